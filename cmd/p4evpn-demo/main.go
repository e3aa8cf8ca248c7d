// Command p4evpn-demo shows a gateway at work: it builds networks around the
// p4evpn program in network namespaces, runs their checks and removes them. It is
// no part of what is shipped. The networks are those of bmv2-testbed.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// A reader that goes away (p4evpn-demo | head) or a terminal that does must not
	// keep the demo from cleaning up.
	signal.Ignore(syscall.SIGPIPE)
	if err := newRoot().ExecuteContext(ctx); err != nil {
		if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
			fmt.Fprintln(os.Stderr, "p4evpn-demo:", err)
		}
		stop()
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	demo := newNarration(testbed.RunDemo, cobra.Command{
		Use:   "p4evpn-demo",
		Short: "Show a gateway between hosts and two FRR leaves, in network namespaces",
		Long: `Builds network namespaces with a gateway, two FRR leaves and hosts behind each,
runs the checks and removes everything again. Needs root.

P4EVPN_TARGET=bmv2 runs it on simple_switch_grpc, which must be on PATH.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	})
	demo.AddCommand(newNarration(testbed.RunTwoDC, cobra.Command{
		Use:   "two-dc",
		Short: "Join a data centre of RYU's rest_vtep to one of p4evpn by REST calls",
		Long: `Builds network namespaces with two data centres of one network each, one of
os-ken's BGP speaker and kernel VXLAN, one of p4evpn, joins them by the REST calls
of RYU's rest_vtep, runs the checks and removes everything again. Needs root.`,
	}))
	demo.AddCommand(newNarration(testbed.RunOVN, cobra.Command{
		Use:   "ovn",
		Short: "Stretch a logical switch of OVN to an FRR leaf",
		Long: `Builds network namespaces with OVN's databases, two of its chassis, a gateway beside
one of them and an FRR leaf, stretches a logical switch to the leaf, runs the checks and
removes everything again. Needs root, OVN and Open vSwitch.`,
	}))
	return demo
}

// newNarration makes a command of a demo.
func newNarration(run func(context.Context, testbed.DemoOptions) error, cmd cobra.Command) *cobra.Command {
	var o testbed.DemoOptions
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.Target, o.Out = os.Getenv("P4EVPN_TARGET"), cmd.OutOrStdout()
		return run(cmd.Context(), o)
	}
	f := cmd.Flags()
	f.StringVar(&o.Binary, "binary", "", "the p4evpn program to show (default the one beside this program, else on PATH)")
	f.BoolVar(&o.Keep, "keep", false, "after the checks leave everything in place until Ctrl-C, to look around")
	f.StringVar(&o.Only, "only", "", "run only the checks whose name contains this")
	return &cmd
}
