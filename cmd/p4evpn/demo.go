package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
)

func newDemo() *cobra.Command {
	demo := newNarration(testbed.RunDemo, cobra.Command{
		Use:   "demo",
		Short: "Show a gateway between hosts and two FRR leaves, in network namespaces",
		Long: `Builds network namespaces with a gateway, two FRR leaves and hosts behind each,
runs the checks and removes everything again. Needs root.

P4EVPN_TARGET=bmv2 runs it on simple_switch_grpc, which must be on PATH.`,
	})
	demo.AddCommand(newNarration(testbed.RunTwoDC, cobra.Command{
		Use:   "two-dc",
		Short: "Join a data centre of RYU's rest_vtep to one of p4evpn by REST calls",
		Long: `Builds network namespaces with two data centres of one network each, one of
os-ken's BGP speaker and kernel VXLAN, one of p4evpn, joins them by the REST calls
of RYU's rest_vtep, runs the checks and removes everything again. Needs root.`,
	}))
	return demo
}

// newNarration makes a command of a demo.
func newNarration(run func(context.Context, testbed.DemoOptions) error, described cobra.Command) *cobra.Command {
	var o testbed.DemoOptions
	cmd := &cobra.Command{
		Use: described.Use, Short: described.Short, Long: described.Long,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// A reader that goes away (demo | head) or a terminal that does
			// must not keep the demo from cleaning up.
			signal.Ignore(syscall.SIGPIPE)
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP)
			defer stop()
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("finding this program's own file: %w", err)
			}
			o.Target, o.Binary, o.Out = os.Getenv("P4EVPN_TARGET"), self, cmd.OutOrStdout()
			return run(ctx, o)
		},
	}
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "after the checks leave everything in place until Ctrl-C, to look around")
	cmd.Flags().StringVar(&o.Only, "only", "", "run only the checks whose name contains this")
	return cmd
}
