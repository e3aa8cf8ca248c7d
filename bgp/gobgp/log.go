package gobgp

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/p4evpn/p4evpn/bgp"
)

// quiet passes GoBGP's log to ours as Debug, and its errors as warnings: why a
// session ended we say ourselves, once, and a host that knocks at the port
// makes a line each time. Its own Debug level prints every UPDATE and is left
// out.
type quiet struct {
	slog.Handler
	muted *atomic.Bool
	// deaf is told why GoBGP's listener has ended.
	deaf func(error)
}

// The warnings with which GoBGP 4.8.0 ends the loop that accepts connections, for
// good and without another sign (acceptLoop in its netutils).
var listenerEnds = []string{"Failed to AcceptTCP", "Failed to SetKeepAlive"}

func lower(l slog.Level) slog.Level {
	if l >= slog.LevelError {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelInfo && !q.muted.Load() && (l >= slog.LevelWarn || q.Handler.Enabled(ctx, lower(l)))
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if slices.Contains(listenerEnds, r.Message) {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "Error" {
				q.deaf(fmt.Errorf("%w: %v", bgp.ErrDeaf, a.Value))
			}
			return true
		})
	}
	r.Level = lower(r.Level)
	if !q.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quiet{q.Handler.WithAttrs(attrs), q.muted, q.deaf}
}

func (q quiet) WithGroup(name string) slog.Handler {
	return quiet{q.Handler.WithGroup(name), q.muted, q.deaf}
}
