package bgp

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// quiet passes GoBGP's log to ours as Debug, and its errors as warnings: why a
// session ended we say ourselves, once, and a host that knocks at the port
// makes a line each time. Its own Debug level prints every UPDATE and is left
// out.
type quiet struct {
	slog.Handler
	muted *atomic.Bool
}

func lower(l slog.Level) slog.Level {
	if l >= slog.LevelError {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelInfo && !q.muted.Load() && q.Handler.Enabled(ctx, lower(l))
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = lower(r.Level)
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quiet{q.Handler.WithAttrs(attrs), q.muted}
}

func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name), q.muted} }
