package peering

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/p4evpn/p4evpn/bfd"
	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/liveness"
)

// Intent is where neighbours come from; *intent.Store is one.
type Intent interface {
	Watch(context.Context) <-chan intent.Batch
}

// Speaker is what a Keeper keeps; *front.Speaker is one.
type Speaker interface {
	SetNeighbors(context.Context, []bgp.Neighbor) error
	SetIdentity(as uint32, routerID netip.Addr) error
	SetBFD(bfd.Status)
}

// Liveness watches the paths to neighbours; *liveness.Client is one.
type Liveness interface {
	Want([]liveness.Peer)
	Events() <-chan liveness.Event
}

// Underlay is told which next hops are lost; *underlay.Resolver is one.
type Underlay interface {
	// SetNextHop says why a next hop is not to be used, "" if it may be.
	SetNextHop(address netip.Addr, down string)
}

// Config of a Keeper.
type Config struct {
	Intent  Intent
	Speaker Speaker
	// Liveness is for the neighbours with BFD, and for NextHops; nil: there is none.
	Liveness Liveness
	// NextHops of the underlay are watched as long as the Keeper runs, and Underlay is told of
	// them. Who is a neighbour with BFD too is watched as that wants it.
	NextHops []liveness.Peer
	Underlay Underlay // needed for NextHops
	// Retry is the pause before what the speaker refused is tried again; 0 = 10 s.
	Retry  time.Duration
	Logger *slog.Logger // nil = slog.Default
}

func (c Config) withDefaults() Config {
	c.Retry = cmp.Or(c.Retry, 10*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

func (c Config) check() error {
	switch {
	case c.Intent == nil:
		return errors.New("no intent to follow")
	case c.Speaker == nil:
		return errors.New("no speaker to keep")
	case len(c.NextHops) > 0 && c.Underlay == nil:
		return errors.New("no underlay to tell of its next hops")
	case c.Retry < 0:
		return fmt.Errorf("retry %v: want a time that is not negative", c.Retry)
	}
	return nil
}

// Keeper brings each change of the intent to the speaker.
type Keeper struct {
	cfg       Config
	speaking  bool // there is a speaker; without one there are no sessions
	as        uint32
	neighbors map[netip.Addr]intent.Neighbor
	watched   map[netip.Addr]bool // neighbours, by BFD
	nextHops  map[netip.Addr]nextHop
	told      string // what was logged of the last refusal
}

// New prepares a Keeper; Run does the work.
func New(cfg Config) (*Keeper, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("peering: %w", err)
	}
	return &Keeper{cfg: cfg}, nil
}

// Run follows the intent until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	k.neighbors, k.watched = map[netip.Addr]intent.Neighbor{}, map[netip.Addr]bool{}
	k.nextHops = map[netip.Addr]nextHop{}
	for _, p := range k.cfg.NextHops {
		k.nextHops[p.Address] = nextHop{Peer: p}
		k.cfg.Underlay.SetNextHop(p.Address, "")
	}
	var paths <-chan liveness.Event
	if k.cfg.Liveness != nil {
		paths = k.cfg.Liveness.Events()
	}
	watch := k.cfg.Intent.Watch(ctx)
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	retry.Stop() // nothing is known before the first batch
	for {
		select {
		case batch, open := <-watch:
			if !open {
				return ctx.Err()
			}
			if !k.take(batch) {
				if batch.Snapshot {
					k.watch() // an earlier run may have had some watched
				}
				continue
			}
		case e, open := <-paths:
			if !open {
				paths = nil
			}
			k.hear(e)
			continue
		case <-retry.C:
		}
		if err := k.apply(ctx); err != nil {
			retry.Reset(k.cfg.Retry)
		} else {
			retry.Stop()
		}
	}
}

// take notes what changed, and reports whether anything of ours did.
func (k *Keeper) take(batch intent.Batch) bool {
	changed := false
	for _, c := range batch.Changes {
		if n, ok := c.Old.(intent.Neighbor); ok {
			delete(k.neighbors, n.Address)
			changed = true
		}
		if k.identify(c) {
			changed = true
		}
		if n, ok := c.New.(intent.Neighbor); ok {
			k.neighbors[n.Address] = n
			changed = true
		}
	}
	return changed
}

// identify follows the speaker: without one there are no sessions, and with another
// one they go on, or stay away, until a restart.
func (k *Keeper) identify(c intent.Change) bool {
	_, was := c.Old.(intent.Speaker)
	speaker, is := c.New.(intent.Speaker)
	if is {
		if err := k.cfg.Speaker.SetIdentity(speaker.AS, speaker.RouterID); err != nil {
			k.cfg.Logger.Warn("a changed BGP speaker waits for a restart of the gateway", "err", err)
			return false
		}
	}
	if was || is {
		k.speaking, k.as = is, speaker.AS
	}
	return was || is
}

func (k *Keeper) apply(ctx context.Context) error {
	var want []bgp.Neighbor
	if k.speaking {
		for _, n := range k.neighbors {
			want = append(want, Neighbor(n))
		}
	}
	k.watch()
	err := k.cfg.Speaker.SetNeighbors(ctx, want)
	if err == nil {
		k.told = ""
		return nil
	}
	if text := err.Error(); text != k.told && ctx.Err() == nil {
		k.told = text
		k.cfg.Logger.Error("some BGP neighbours cannot be had, trying again", "err", err)
	}
	return err
}
