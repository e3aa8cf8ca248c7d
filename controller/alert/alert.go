// Package alert looks at what a gateway says of itself, now and then, and makes events of what
// operators want to hear of without asking: objects that go down and come up, and frames that
// are dropped faster than they should be.
//
// It knows neither what objects are nor how frames are counted: it compares what it is told
// with what it was told before.
package alert

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

const (
	// statusInterval is how often objects are looked at: what is down for less is no event.
	statusInterval = 2 * time.Second
	// dropInterval is the time of a rate of drops.
	dropInterval = 10 * time.Second
	// idleShare keeps looking at one part of the time in so many, however many objects there are.
	idleShare = 100

	defaultDropRate = 100
)

// Store has the objects; *intent.Store is one.
type Store interface {
	Version() uint64
	View(func(*intent.Tx) error) error
}

// Drops says how much was dropped; *controller.Controller is one.
type Drops interface {
	Drops(context.Context, view.DropQuery) ([]view.Drop, error)
}

// Config says what is looked at.
type Config struct {
	Store  Store
	Status intent.StatusSource
	Drops  Drops
	// DropRate is how many frames a second, dropped for one reason, are an event; 0 = 100,
	// -1 = any number is none.
	DropRate int
	Logger   *slog.Logger // nil = slog.Default
}

// Watcher looks.
type Watcher struct {
	cfg     Config
	objects objects
	drops   drops
}

// New makes a Watcher. It does nothing until Run.
func New(cfg Config) *Watcher {
	cfg.DropRate = cmp.Or(cfg.DropRate, defaultDropRate)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	return &Watcher{
		cfg:     cfg,
		objects: objects{store: cfg.Store, status: cfg.Status, log: cfg.Logger, was: map[intent.Ref]state{}},
		drops:   drops{of: cfg.Drops, limit: float64(cfg.DropRate), log: cfg.Logger, over: map[reason]bool{}},
	}
}

// Run looks until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	status, dropped := time.NewTimer(0), time.NewTimer(0)
	defer status.Stop()
	defer dropped.Stop()
	for {
		select {
		case <-status.C:
			status.Reset(pause(statusInterval, func() { w.objects.look(ctx) }))
		case <-dropped.C:
			if w.cfg.DropRate > 0 {
				dropped.Reset(pause(dropInterval, func() { w.drops.look(ctx, time.Now()) }))
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pause is how long to wait after do.
func pause(interval time.Duration, do func()) time.Duration {
	began := time.Now()
	do()
	return max(interval, idleShare*time.Since(began))
}
