package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

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
		Use: "duplicate BRIDGE [MAC|ADDRESS]", Short: "Let what is frozen as a duplicate move again",
		Long: `Lets a MAC or an address that moved too often, and is frozen where it was since, move
again: without one all those of the bridge. Find the loop or the second station first, or
it is frozen again. ` + "`p4evpn show fdb`" + ` and ` + "`p4evpn show hosts`" + ` have those that
are frozen.`,
		Example: "  p4evpn clear duplicate blue 02:00:00:00:00:01\n  p4evpn clear duplicate blue 10.10.10.11\n" +
			"  p4evpn clear duplicate blue",
		Args: cobra.RangeArgs(1, 2), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return gateway.call(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				r := &p4evpnv1.ClearDuplicateRequest{LogicalBridge: args[0]}
				if len(args) == 2 {
					if _, err := netip.ParseAddr(args[1]); err == nil {
						r.Address = args[1]
					} else {
						r.MacAddress = args[1]
					}
				}
				done, err := p4evpnv1.NewDuplicatesClient(conn).ClearDuplicate(ctx, r)
				if err != nil {
					return gateway.explain(err)
				}
				what := strings.Join(args[1:], "")
				if what == "" {
					what = fmt.Sprintf("%d MACs and addresses", done.GetCleared())
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s of bridge %s may move again\n", what, args[0])
				return err
			})
		},
	})
	return cmd
}
