package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

func newToken() *cobra.Command {
	var gateway remote
	cmd := &cobra.Command{
		Use: "token", Short: "Tokens for the page", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	gateway.addFlags(cmd)
	var role, holder string
	var lifetime time.Duration
	create := &cobra.Command{
		Use: "create", Short: "Make a token, by which somebody logs in to the page",
		Long: `Makes a token, by which somebody without a certificate logs in to the page (web.listen). It
holds for this gateway until it expires. The gateway keeps none: to end all of them, remove
token.key beside the store and restart it.`,
		Example: "  p4evpn token create --for 24h --holder alice",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return gateway.call(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				made, err := p4evpnv1.NewTokensClient(conn).CreateToken(ctx,
					&p4evpnv1.CreateTokenRequest{Role: role, Lifetime: durationpb.New(lifetime), Holder: holder})
				if err != nil {
					return gateway.explain(err)
				}
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "a %s's, until %s:\n", role,
					made.GetExpires().AsTime().Local().Format(time.DateTime))
				_, err = fmt.Fprintln(cmd.OutOrStdout(), made.GetToken())
				return err
			})
		},
	}
	f := create.Flags()
	f.StringVar(&role, "role", "viewer", "viewer: the page changes nothing")
	f.DurationVar(&lifetime, "for", 24*time.Hour, "how long it holds, up to 2160h")
	f.StringVar(&holder, "holder", "", "whom it is for, as the log shall say it")
	_ = create.RegisterFlagCompletionFunc("role", choices("viewer"))
	cmd.AddCommand(create)
	return cmd
}
