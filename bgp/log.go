package bgp

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// quiet passes GoBGP's log to ours one level lower: what it tells of every
// session and of each unexpected connection is of interest only to someone who
// debugs a session, and its Debug level prints every UPDATE.
type quiet struct {
	slog.Handler
	muted *atomic.Bool
}

func lower(l slog.Level) slog.Level { return l - 4 }

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
