package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

// maxParts is how many ports or bridges a line names.
const maxParts = 4

// whyDrop is the command that says why frames are dropped.
type whyDrop struct {
	gateway      remote
	port, bridge string
	over         time.Duration
	format       string
}

func newWhy() *cobra.Command {
	cmd := &cobra.Command{
		Use: "why", Short: "Say why something is as it is", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	w := &whyDrop{}
	drop := &cobra.Command{
		Use:   "drop",
		Short: "Say why frames are dropped: by reason, port and bridge, with a sample's trace",
		Long: `Counts for a while what the target drops, and says it by reason: how many frames a second,
which ports they came by, which bridges they were in. Of a reason of which the gateway has a
sample it says what the trace of that frame ends with; p4evpn trace has the whole.`,
		Example: `  p4evpn why drop
  p4evpn why drop --port port1 --for 30s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return w.run(cmd) },
	}
	w.gateway.addFlags(drop)
	f := drop.Flags()
	f.StringVar(&w.port, "port", "", "only what came by this port: of the target, or a bridge port")
	f.StringVar(&w.bridge, "bridge", "", "only what was in this bridge")
	f.DurationVar(&w.over, "for", 5*time.Second, "how long to count, at most 1m; 0: all since the program was loaded")
	f.StringVarP(&w.format, "output", "o", "text", "text or json")
	drop.MarkFlagsMutuallyExclusive("port", "bridge")
	_ = drop.RegisterFlagCompletionFunc("output", choices("text", "json"))
	cmd.AddCommand(drop)
	return cmd
}

func (w *whyDrop) run(cmd *cobra.Command) error {
	if w.format != "text" && w.format != "json" {
		return fmt.Errorf("--output %q: want text or json", w.format)
	}
	w.gateway.timeout += max(w.over, 0) // that for the answer begins then
	out := cmd.OutOrStdout()
	return w.gateway.call(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
		drops, err := listDrops(ctx, p4evpnv1.NewViewClient(conn),
			&p4evpnv1.ListDropsRequest{Port: w.port, Bridge: w.bridge, Over: durationpb.New(w.over)})
		if err != nil {
			return w.gateway.explain(err)
		}
		if w.format == "json" {
			t := &table{}
			for _, d := range drops {
				t.add(d)
			}
			return t.writeJSON(out, "  ")
		}
		if len(drops) == 0 {
			_, err := fmt.Fprintln(out, "nothing was dropped")
			return err
		}
		paint := paint(out)
		for _, d := range drops {
			if err := w.write(ctx, out, paint, p4evpnv1.NewTracingClient(conn), d); err != nil {
				return err
			}
		}
		return nil
	})
}

func listDrops(ctx context.Context, c p4evpnv1.ViewClient,
	r *p4evpnv1.ListDropsRequest) (drops []*p4evpnv1.Drop, err error) {
	stream, err := c.ListDrops(ctx, r)
	err = collect(stream, err, func(part *p4evpnv1.ListDropsResponse) { drops = append(drops, part.GetDrops()...) })
	return drops, err
}

// write says all of one reason. That a sample cannot be traced now costs its lines alone.
func (w *whyDrop) write(ctx context.Context, out io.Writer, paint painter, c p4evpnv1.TracingClient,
	d *p4evpnv1.Drop) error {
	text := fmt.Sprintf("%s: %s\n  %s\n", paint(bold, d.GetReason()), howMany(d.GetDropped()), d.GetMeans())
	if d.GetStage() == "egress" {
		text += "  decided when it was about to leave\n"
	}
	for _, by := range []struct {
		what  string
		parts []*p4evpnv1.DropsOf
	}{{"came by", d.GetPorts()}, {"in bridge", d.GetBridges()}} {
		if len(by.parts) > 0 {
			text += fmt.Sprintf("  %s %s\n", by.what, parts(by.parts))
		}
	}
	if s := d.GetSample(); s != nil {
		text += fmt.Sprintf("  such as %s, by %s:\n", s.GetTime().AsTime().Local().Format("15:04:05.000"), s.GetPort())
		t, err := c.TraceFrame(ctx, &p4evpnv1.TraceFrameRequest{Port: s.GetPort(), Frame: s.GetFrame()})
		if err != nil {
			text += fmt.Sprintf("    it cannot be traced: %v\n", w.gateway.explain(err))
		} else {
			text += fmt.Sprintf("    %s\n", t.GetArrives())
			for _, line := range t.GetResults() {
				text += fmt.Sprintf("    %s %s\n", paint(bold, "=>"), paint(red, line))
			}
			text += paint(faint, fmt.Sprintf("    p4evpn trace --port %s --frame %x\n", s.GetPort(), s.GetFrame()))
		}
	}
	_, err := io.WriteString(out, text)
	return err
}

// howMany says the rate where there is one.
func howMany(d *p4evpnv1.Dropped) string {
	if d.GetRate() > 0 {
		return fmt.Sprintf("%d frames, %.1f/s", d.GetPackets(), d.GetRate())
	}
	return fmt.Sprintf("%d frames", d.GetPackets())
}

// parts names those with the most.
func parts(all []*p4evpnv1.DropsOf) string {
	var words []string
	for i, p := range all {
		if i == maxParts && len(all) > maxParts+1 {
			words = append(words, fmt.Sprintf("and %d more", len(all)-i))
			break
		}
		words = append(words, fmt.Sprintf("%s (%s)", p.GetName(), howMany(p.GetDropped())))
	}
	return strings.Join(words, ", ")
}

// showDrops shows a line for each reason for which frames were dropped.
func showDrops(ctx context.Context, c p4evpnv1.ViewClient, _ string) (*table, error) {
	drops, err := listDrops(ctx, c, &p4evpnv1.ListDropsRequest{})
	t := &table{columns: []string{"reason", "stage", "frames", "ports", "bridges", "means"}}
	for _, d := range drops {
		t.add(d, d.GetReason(), d.GetStage(), d.GetDropped().GetPackets(), counts(d.GetPorts()), counts(d.GetBridges()),
			d.GetMeans())
	}
	return t, err
}

// counts are those with the most, in one cell.
func counts(all []*p4evpnv1.DropsOf) string {
	var words []string
	for i, p := range all {
		if i == maxParts {
			words = append(words, "...")
			break
		}
		words = append(words, fmt.Sprintf("%s %d", p.GetName(), p.GetDropped().GetPackets()))
	}
	return strings.Join(words, ",")
}
