package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

func newClear() *cobra.Command {
	var gateway remote
	cmd := &cobra.Command{
		Use: "clear", Short: "Clear what waits for an operator", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	gateway.addFlags(cmd)
	cmd.AddCommand(&cobra.Command{
		Use: "duplicate BRIDGE MAC", Short: "Let a MAC that is frozen as a duplicate move again",
		Long: `Lets a MAC that moved too often, and is frozen where it was since, move again. Find the
loop or the second station first, or it is frozen again. ` + "`p4evpn show fdb`" + ` has those
that are frozen.`,
		Example: "  p4evpn clear duplicate blue 02:00:00:00:00:01",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return gateway.call(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				_, err := p4evpnv1.NewDuplicatesClient(conn).ClearDuplicate(ctx,
					&p4evpnv1.ClearDuplicateRequest{LogicalBridge: args[0], MacAddress: args[1]})
				if err != nil {
					return gateway.explain(err)
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s of bridge %s may move again\n", args[1], args[0])
				return err
			})
		},
	})
	return cmd
}
