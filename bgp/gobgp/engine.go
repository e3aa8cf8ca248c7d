package gobgp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/server"

	"github.com/p4evpn/p4evpn/bgp"
)

// Config is what an Engine is told at the start.
type Config struct {
	GracefulRestart bgp.GracefulRestart
	Logger          *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.GracefulRestart.RestartTime == 0 {
		c.GracefulRestart.RestartTime = defaultRestartTime
	}
	return c
}

// Engine is GoBGP behind a front: its state machine for each session that Open begins,
// and what we advertise.
type Engine struct {
	cfg Config
	log *slog.Logger
	key string // of the connections between a front and GoBGP

	dial dialling

	mu        sync.Mutex // guards what follows; held while routes of ours change
	life      *life      // nil while GoBGP does not take routes
	changed   chan struct{}
	local     map[bgp.Key]bgp.Route
	prefixes  map[netip.Prefix]bool // unicast, of ours
	draining  bool                  // nothing is advertised any more
	neighbors map[netip.Addr]*neighbor
	used      map[netip.Addr]bool // inner addresses
}

// life is one GoBGP, from its start to its stop.
type life struct {
	gobgp  *server.BgpServer
	listen netip.AddrPort // where it accepts the front's connections
	muted  atomic.Bool
	// unsigned is that a key could not be set on the listener, which GoBGP only logs.
	unsigned atomic.Bool
	closing  sync.WaitGroup // of sessions that end; added to while it is the engine's life
}

// neighbor is what GoBGP is told of one.
type neighbor struct {
	inner     netip.Addr
	macIPOnly bool
	forgotten bool          // it is no neighbour any more
	over      chan struct{} // closed when GoBGP has it no more; nil while it has not
}

// NewEngine makes an engine, which Run starts.
func NewEngine(cfg Config) (*Engine, error) {
	cfg = cfg.withDefaults()
	if err := checkSigning(); err != nil {
		return nil, err
	}
	return &Engine{
		cfg:       cfg,
		log:       cfg.Logger,
		key:       rand.Text(),
		dial:      newDialling(),
		changed:   make(chan struct{}),
		local:     make(map[bgp.Key]bgp.Route),
		prefixes:  make(map[netip.Prefix]bool),
		neighbors: make(map[netip.Addr]*neighbor),
		used:      make(map[netip.Addr]bool),
	}, nil
}

// errEnded is why a GoBGP is replaced by another: it accepts no connection any more.
var errEnded = errors.New("GoBGP's listener has ended")

// startAgain is how long a GoBGP that could not be started is let be.
const startAgain = time.Second

// Run has GoBGP run as a speaker of an AS until ctx ends and all of it is closed. It
// fails only if GoBGP cannot be started the first time.
func (e *Engine) Run(ctx context.Context, as uint32, routerID netip.Addr) error {
	defer e.dial.close()
	for first := true; ; first = false {
		err := e.live(ctx, as, routerID)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errEnded):
			e.log.Warn("GoBGP accepts no connections any more, starting it anew: all BGP sessions begin again", "err", err)
			continue
		case first:
			return err
		}
		e.log.Error("starting GoBGP anew", "err", err)
		select {
		case <-time.After(startAgain):
		case <-ctx.Done():
			return nil
		}
	}
}

// live has one GoBGP run until ctx or its listener ends.
func (e *Engine) live(ctx context.Context, as uint32, routerID netip.Addr) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	l := &life{}
	log := quiet{Handler: e.log.Handler(), life: l, deaf: func(err error) { end(fmt.Errorf("%w: %w", errEnded, err)) }}
	l.gobgp = server.NewBgpServer(server.LoggerOption(slog.New(log), nil))
	var owned sync.WaitGroup
	owned.Go(l.gobgp.Serve)
	defer owned.Wait()
	defer e.stop(l)
	if err := e.start(ctx, l, as, routerID); err != nil {
		return err
	}
	<-ctx.Done()
	if err := context.Cause(ctx); errors.Is(err, errEnded) {
		return err
	}
	return nil
}

// start sets GoBGP up in the order that keeps anything from being sent too early:
// policies, our routes, sessions.
func (e *Engine) start(ctx context.Context, l *life, as uint32, routerID netip.Addr) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := l.listenSomewhere(ctx, as, routerID); err != nil {
		return err
	}
	if err := l.sign(ctx, e.key); err != nil {
		return err
	}
	if err := setInnerPolicies(ctx, l.gobgp); err != nil {
		return err
	}
	for _, n := range e.neighbors {
		if n.macIPOnly {
			if err := limitRoutes(ctx, l.gobgp, n.inner, true); err != nil {
				return err
			}
		}
	}
	e.life = l
	add := make([]bgp.Route, 0, len(e.local))
	for _, r := range e.local {
		add = append(add, r)
	}
	clear(e.local)
	prefixes := e.prefixes
	e.prefixes = make(map[netip.Prefix]bool)
	err := errors.Join(e.advertise(add, nil), e.advertiseUnicast(prefixes), wantAllRouteTargets(l.gobgp))
	if err != nil {
		return err
	}
	close(e.changed)
	e.changed = make(chan struct{})
	return nil
}

// innerListener is where GoBGP listens, and innerNetwork whence the front connects.
var (
	innerListener = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	innerNetwork  = netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 66, 0, 0}), 16)
)

// portAttempts is how often a port that was free is taken by another meanwhile before
// that is an error.
const portAttempts = 5

// listenSomewhere starts BGP with its listener at a free port.
func (l *life) listenSomewhere(ctx context.Context, as uint32, routerID netip.Addr) error {
	var err error
	for range portAttempts {
		if l.listen, err = freePort(); err != nil {
			return fmt.Errorf("looking for a port for GoBGP: %w", err)
		}
		err = l.gobgp.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{
			Asn: as, RouterId: routerID.String(), Families: innerFamilies,
			ListenAddresses: []string{l.listen.Addr().String()}, ListenPort: int32(l.listen.Port()),
		}})
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("starting GoBGP at %v: %w", l.listen, err)
	}
	return nil
}

// innerFamilies are ipv4-unicast, ipv6-unicast, l2vpn-evpn and rtc in GoBGP's numbering
// of global families.
var innerFamilies = []uint32{0, 1, 9, 12}

// stop ends the sessions and the listener. What the front's peers see of it is for the
// front to say.
func (e *Engine) stop(l *life) {
	e.mu.Lock()
	if e.life == l {
		e.life = nil
	}
	e.mu.Unlock()
	l.closing.Wait()
	l.muted.Store(true)
	// Ending the sessions must not wait on a context that has ended already. It can
	// fail only because BGP was not started, and Stop says so once more.
	_ = l.gobgp.StopBgp(context.Background(), &api.StopBgpRequest{})
	// StopBgp leaves the goroutine of the BFD server; only Stop ends it.
	l.gobgp.Stop()
}

// await gives the GoBGP that runs, as soon as one does.
func (e *Engine) await(ctx context.Context) (*life, error) {
	for {
		e.mu.Lock()
		l, changed := e.life, e.changed
		e.mu.Unlock()
		if l != nil {
			return l, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for GoBGP: %w", ctx.Err())
		}
	}
}

// SetMACIPOnly says whether a neighbour is told type-2 routes for a MAC with an IPv4
// address alone: what its session was told and may not be told any more is withdrawn,
// what it now may be told is advertised.
func (e *Engine) SetMACIPOnly(ctx context.Context, addr netip.Addr, only bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	n, err := e.neighbor(addr)
	if err != nil || n.macIPOnly == only {
		return err
	}
	n.macIPOnly = only
	if e.life == nil {
		return nil
	}
	if err := limitRoutes(ctx, e.life.gobgp, n.inner, only); err != nil {
		return fmt.Errorf("neighbor %v: %w", addr, err)
	}
	if n.over == nil {
		return nil
	}
	err = e.life.gobgp.ResetPeer(ctx, &api.ResetPeerRequest{
		Address: n.inner.String(), Soft: true, Direction: api.ResetPeerRequest_DIRECTION_OUT,
	})
	if err != nil {
		return fmt.Errorf("neighbor %v: %w", addr, err)
	}
	return nil
}

// Forget lets go of what is kept of a neighbour that is removed.
func (e *Engine) Forget(ctx context.Context, addr netip.Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.neighbors[addr]
	if n == nil {
		return
	}
	if n.macIPOnly && e.life != nil {
		if err := limitRoutes(ctx, e.life.gobgp, n.inner, false); err != nil {
			e.log.Warn("forgetting a BGP neighbour", "peer", addr, "err", err)
		}
	}
	delete(e.neighbors, addr)
	if n.forgotten = true; n.over == nil {
		delete(e.used, n.inner)
	}
}

// neighbor gives what is known of a neighbour, with an inner address of its own; e.mu
// is held.
func (e *Engine) neighbor(addr netip.Addr) (*neighbor, error) {
	if n := e.neighbors[addr]; n != nil {
		return n, nil
	}
	inner := innerNetwork.Addr().Next()
	for e.used[inner] {
		inner = inner.Next()
	}
	// The last one of the network would be its broadcast address.
	if !innerNetwork.Contains(inner.Next()) {
		return nil, fmt.Errorf("neighbor %v: there are too many neighbors", addr)
	}
	n := &neighbor{inner: inner}
	e.neighbors[addr], e.used[inner] = n, true
	return n, nil
}
