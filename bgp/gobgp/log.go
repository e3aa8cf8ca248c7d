package gobgp

import (
	"context"
	"errors"
	"log/slog"
	"slices"
)

// quiet passes GoBGP's log to ours as Debug, and its errors as warnings: why a
// session ended the front says itself, once. GoBGP's own Debug level prints every
// UPDATE and is left out. What GoBGP says in its log alone is noticed here.
type quiet struct {
	slog.Handler
	life *life
	// deaf is told why GoBGP's listener has ended.
	deaf func(error)
}

// The warnings with which GoBGP 4.8.0 ends the loop that accepts connections, for
// good and without another sign (acceptLoop in its netutils).
var listenerEnds = []string{"Failed to AcceptTCP", "Failed to SetKeepAlive"}

// noSignature is the warning with which GoBGP 4.8.0 goes on without a key.
const noSignature = "failed to set md5"

func lower(l slog.Level) slog.Level {
	if l >= slog.LevelError {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelInfo && !q.life.muted.Load() && (l >= slog.LevelWarn || q.Handler.Enabled(ctx, lower(l)))
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == noSignature {
		q.life.unsigned.Store(true)
	}
	if slices.Contains(listenerEnds, r.Message) {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "Error" {
				q.deaf(errors.New(a.Value.String()))
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
	return quiet{q.Handler.WithAttrs(attrs), q.life, q.deaf}
}

func (q quiet) WithGroup(name string) slog.Handler {
	return quiet{q.Handler.WithGroup(name), q.life, q.deaf}
}
