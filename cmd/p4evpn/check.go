package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/p4evpn/p4evpn/api/client"
	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

// checkPatience is how long the answer is waited for by default: large gateways have many
// frames to try, and what is under way is waited for.
const checkPatience = 5 * time.Minute

func newCheck() *cobra.Command {
	var gateway remote
	var all, read bool
	var format string
	cmd := &cobra.Command{
		Use:   "check [--all | BRIDGE | VRF]",
		Short: "Say whether the target does what is asked for",
		Long: `Goes from objects, configuration, routes and hosts to where representative frames must
end, without looking at entries, and compares that with where the target's entries lead them.
What differs is printed with an example frame, and the exit status is 1. Nothing is sent, and
nothing is put right.

The entries are those that the target acknowledged. --read reads the target itself first;
BMv2 forwards nothing meanwhile.`,
		Example: `  p4evpn check
  p4evpn check blue --read`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return fmt.Errorf("--output %q: want text or json", format)
			}
			if all && len(args) > 0 {
				return fmt.Errorf("--all and %s: want one of them", args[0])
			}
			request := &p4evpnv1.CheckTargetRequest{}
			if len(args) > 0 {
				request.Bridge, request.Vrf = args[0], args[0]
			}
			return gateway.call(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				check := p4evpnv1.NewCheckingClient(conn).CheckTarget
				if read {
					check = p4evpnv1.NewCheckingClient(conn).CheckTargetRead
				}
				r, err := check(ctx, request)
				if err != nil {
					return gateway.explain(err)
				}
				return writeCheck(cmd.OutOrStdout(), r, format)
			})
		},
	}
	gateway.addFlags(cmd)
	timeout := cmd.PersistentFlags().Lookup("timeout")
	timeout.DefValue = checkPatience.String()
	_ = timeout.Value.Set(timeout.DefValue)
	f := cmd.Flags()
	f.BoolVar(&all, "all", false, "check everything, as without an argument")
	f.BoolVar(&read, "read", false, "read the target itself first, instead of what it acknowledged")
	f.StringVarP(&format, "output", "o", "text", "text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", choices("text", "json"))
	return cmd
}

// writeCheck writes what was found; an error says that something was.
func writeCheck(w io.Writer, r *p4evpnv1.CheckTargetResponse, format string) error {
	text := checkText(r, paint(w))
	if format == "json" {
		b, err := client.JSON(r)
		if err != nil {
			return err
		}
		text = string(b) + "\n"
	}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	if n := uint64(len(r.GetDifferences())) + r.GetMore(); n > 0 {
		return fmt.Errorf("%d of %d frames do not end where they must", n, r.GetFrames())
	}
	return nil
}

func checkText(r *p4evpnv1.CheckTargetResponse, paint painter) string {
	var b strings.Builder
	for _, d := range r.GetDifferences() {
		fmt.Fprintf(&b, "%s\n", paint(bold, d.GetObject()))
		fmt.Fprintf(&b, "  %s\n", d.GetArrives())
		fmt.Fprintf(&b, "  must: %s\n", paint(green, d.GetExpected()))
		if d.GetRule() != "" {
			fmt.Fprintf(&b, "        %s\n", d.GetRule())
		}
		fmt.Fprintf(&b, "  does: %s\n", paint(red, d.GetActual()))
		for _, s := range d.GetSteps() {
			fmt.Fprintf(&b, "    %s\n", s.GetText())
			if s.GetWhy() != "" {
				fmt.Fprintf(&b, "        because %s\n", s.GetWhy())
			}
			if s.GetOdd() != "" {
				fmt.Fprintf(&b, "        %s\n", paint(amber, s.GetOdd()))
			}
		}
		fmt.Fprintf(&b, "  p4evpn trace --port %s --frame %x\n\n", d.GetPort(), d.GetFrame())
	}
	if r.GetMore() > 0 {
		fmt.Fprintf(&b, "and %d more\n", r.GetMore())
	}
	of := "that the target acknowledged"
	if r.GetRead() {
		of = "read from the target"
	}
	fmt.Fprintf(&b, "%d frames tried with %d entries %s, %d differ\n", r.GetFrames(), r.GetEntries(), of,
		uint64(len(r.GetDifferences()))+r.GetMore())
	return b.String()
}
