package api

import (
	"context"
	"log/slog"

	"google.golang.org/grpc"

	"github.com/p4evpn/p4evpn/controller/intent"
)

// NewModel gives the services of all kinds of objects over a store that is empty,
// in memory and nobody's: what a client tries before it asks a gateway. It has
// the rules of a gateway, and no status.
func NewModel() grpc.ClientConnInterface {
	s := newServices(&guard{inside: true, metrics: newMetrics(), log: slog.New(slog.DiscardHandler)})
	registerObjects(s, intent.NewMemory(), nobody{}, nil)
	return s
}

// nobody knows what became of objects.
type nobody struct{}

func (nobody) Status(_ context.Context, refs ...intent.Ref) []intent.Status {
	return make([]intent.Status, len(refs))
}

func (nobody) Leaving(context.Context, intent.Kind) []intent.Leaving { return nil }
