package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/p4evpn/p4evpn/api/client"
	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/internal/events"
)

// watcher is the command that prints events.
type watcher struct {
	gateway remote
	follow  bool
	since   time.Duration
	after   uint64
	kinds   []string
	format  string
}

func newEvents() *cobra.Command {
	w := &watcher{}
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Print what happened: sessions, moves, duplicates, limits, links",
		Long: `Prints what happened on a gateway, oldest first: BGP sessions that came and went, MACs that
moved, duplicates and conflicts, limits that were reached, links, what somebody else changed
on the target, objects that went down, frames that are dropped. The last 10,000 events are kept, also over a restart.`,
		Example: `  p4evpn events --since 10m
  p4evpn events -f --kind session,duplicate`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return w.run(cmd) },
	}
	w.gateway.addFlags(cmd)
	f := cmd.Flags()
	f.BoolVarP(&w.follow, "follow", "f", false, "go on with those to come, until Ctrl-C")
	f.DurationVar(&w.since, "since", 0, "only those of this time until now, such as 10m; 0: all")
	f.Uint64Var(&w.after, "after", 0, "only those after the event with this id")
	f.StringSliceVar(&w.kinds, "kind", nil, "only those of these kinds: "+strings.Join(kindNames(), ", "))
	f.StringVarP(&w.format, "output", "o", "text", "text or json, a line each")
	_ = cmd.RegisterFlagCompletionFunc("output", choices("text", "json"))
	_ = cmd.RegisterFlagCompletionFunc("kind", choices(kindNames()...))
	return cmd
}

func kindNames() (names []string) {
	for _, k := range events.Kinds() {
		names = append(names, string(k))
	}
	return names
}

func (w *watcher) run(cmd *cobra.Command) error {
	if w.format != "text" && w.format != "json" {
		return fmt.Errorf("--output %q: want text or json", w.format)
	}
	if w.since < 0 {
		return fmt.Errorf("--since %v: want a time that is past, such as 10m", w.since)
	}
	q := &p4evpnv1.WatchEventsRequest{After: w.after, Kinds: w.kinds, Follow: w.follow}
	if w.since > 0 {
		q.Since = timestamppb.New(time.Now().Add(-w.since))
	}
	conn, err := w.gateway.dial()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := cmd.Context(), context.CancelFunc(func() {})
	if !w.follow {
		ctx, cancel = context.WithTimeout(ctx, w.gateway.timeout)
	}
	defer cancel()
	for again := false; ; {
		heard, err := w.print(ctx, conn, q, cmd.OutOrStdout(), grpc.WaitForReady(again))
		again = again || heard
		gone := status.Code(err) == codes.Unavailable || status.Code(err) == codes.Canceled
		switch {
		case w.follow && cmd.Context().Err() != nil:
			return nil // Ctrl-C
		case err == nil:
			return nil
		case !w.follow || !again || !gone:
			return w.gateway.explain(err)
		}
		// The gateway starts anew, as a rule: what happened meanwhile comes by its id.
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "p4evpn:", w.gateway.explain(err))
		select {
		case <-time.After(watchFastest):
		case <-ctx.Done():
		}
	}
}

// print writes what a call gives, until that ends, and whether that was anything. The request
// is for what comes behind it, then.
func (w *watcher) print(ctx context.Context, conn *grpc.ClientConn, q *p4evpnv1.WatchEventsRequest,
	out io.Writer, opts ...grpc.CallOption) (heard bool, err error) {
	s, err := p4evpnv1.NewEventsClient(conn).WatchEvents(ctx, q, opts...)
	if err != nil {
		return false, err
	}
	paint := paint(out)
	for ; ; heard = true {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return heard, nil
		} else if err != nil {
			return heard, err
		}
		if m.GetMissed() > 0 {
			_, _ = fmt.Fprintf(out, "%s\n", paint(amber, fmt.Sprintf("%d events are gone", m.GetMissed())))
		}
		for _, e := range m.GetEvents() {
			line, err := w.line(e, paint)
			if err == nil {
				_, err = fmt.Fprintln(out, line)
			}
			if err != nil {
				return heard, err
			}
			q.After = e.GetId()
		}
	}
}

// line is an event as it is printed.
func (w *watcher) line(e *p4evpnv1.Event, paint painter) (string, error) {
	if w.format == "json" {
		b, err := client.JSON(e)
		return string(b), err
	}
	text := e.GetText()
	if e.GetLevel() != "INFO" {
		text = paint(amber, text)
	}
	line := fmt.Sprintf("%s  %-9s  %s", e.GetTime().AsTime().Local().Format("2006-01-02 15:04:05.000"), e.GetKind(), text)
	for _, k := range slices.Sorted(maps.Keys(e.GetAttributes())) {
		line += fmt.Sprintf("  %s", paint(faint, k+"="+e.GetAttributes()[k]))
	}
	return line, nil
}
