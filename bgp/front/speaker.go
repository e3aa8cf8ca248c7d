package front

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/p4evpn/p4evpn/bfd"
	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/gobgp"
	"github.com/p4evpn/p4evpn/bgp/rib"
)

// Config is what a Speaker is told at the start.
type Config struct {
	BGP    bgp.Config
	Logger *slog.Logger
	// Namespace calls a function that opens a socket in the network namespace of the
	// sessions, as InNamespace does; nil calls it here.
	Namespace func(open func() error) error
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Namespace == nil {
		c.Namespace = func(open func() error) error { return open() }
	}
	c.BGP.ListenPort = cmp.Or(c.BGP.ListenPort, bgpPort)
	gr := &c.BGP.GracefulRestart
	gr.RestartTime = cmp.Or(gr.RestartTime, defaultRestartTime)
	gr.Deferral = cmp.Or(gr.Deferral, defaultDeferral)
	return c
}

func (c *Config) check() error {
	if err := c.BGP.Check(); err != nil {
		return fmt.Errorf("bgp configuration: %w", err)
	}
	return nil
}

const (
	bgpPort             = 179
	defaultConnectRetry = 10 * time.Second
	defaultRestartTime  = 120 * time.Second
	defaultDeferral     = 60 * time.Second
)

// timing is how long what is not configured takes. Tests are less patient.
type timing struct {
	open       time.Duration // for a connection until its OPEN came
	collision  time.Duration // that a connection waits for one that is preferred
	farewell   time.Duration // for a NOTIFICATION to be read before the connection is closed
	firstDial  time.Duration // from the beginning to the first attempt to connect
	firstRetry time.Duration // between the first two attempts
	lasting    time.Duration // that a session lasts if nothing is wrong with it
	limitRetry time.Duration // after a session with too many routes, doubled each time
	limitMost  time.Duration // until that
	sendHold   time.Duration // 0: as RFC 9687 has it
}

var usual = timing{
	open: 10 * time.Second, collision: time.Second, farewell: time.Second,
	// FRR 8.4 takes our next hops for unreachable, for good, when we connect to an eBGP
	// multihop neighbour of its before it has looked for that, a second after its start:
	// where a fabric starts as a whole we let it begin.
	firstDial:  2 * time.Second,
	firstRetry: time.Second, lasting: 10 * time.Second,
	limitRetry: time.Minute, limitMost: 10 * time.Minute,
}

// Speaker is one BGP instance with its neighbours.
type Speaker struct {
	cfg       Config
	log       *slog.Logger
	timing    timing
	engine    *gobgp.Engine
	table     *rib.Table
	unicast   *rib.Queue[netip.Prefix, bgp.UnicastRoute]
	counts    counters
	listeners listeners
	preserved atomic.Bool // forwarding was, over a restart of ours
	draining  atomic.Bool // nothing is advertised any more

	identified chan struct{} // closed when there is an AS and a router id

	mu        sync.Mutex // guards what follows
	neighbors []*neighbor
	refused   map[netip.Addr]refusal // that were asked for and could not be had
	identity  identity
	paths     map[netip.Addr]bfd.Status // of BFD, to neighbours
	links     []netip.Prefix            // subnets of links with carrier
	// sessions is what neighbours live in; nil before they are started and when they are
	// over.
	sessions context.Context
	running  bool // all sessions of the configuration were started
	owned    sync.WaitGroup
}

// New checks the configuration. Run starts it.
func New(cfg Config) (*Speaker, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	engine, err := gobgp.NewEngine(gobgp.Config{GracefulRestart: cfg.BGP.GracefulRestart, Logger: cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("bgp: %w", err)
	}
	s := &Speaker{
		cfg:        cfg,
		log:        cfg.Logger,
		timing:     usual,
		engine:     engine,
		table:      rib.NewTable(),
		unicast:    rib.NewQueue(rib.UnicastKey),
		identified: make(chan struct{}),
		paths:      map[netip.Addr]bfd.Status{},
	}
	if cfg.BGP.AS != 0 {
		s.identity = identity{cfg.BGP.AS, cfg.BGP.RouterID}
		close(s.identified)
	}
	for _, n := range cfg.BGP.Neighbors {
		if err := s.admit(n); err != nil {
			return nil, fmt.Errorf("bgp configuration: %w", err)
		}
	}
	return s, nil
}

// Events gives the changes in batches, each the receiver's until it receives the next one.
// Nothing is dropped: while nobody receives, several changes of a key become the last of
// them, so that what waits is bounded by the number of routes. It is closed when Run
// returns.
func (s *Speaker) Events() <-chan []bgp.Event { return s.table.Events() }

// UnicastEvents gives the changes of unicast routes as Events does those of
// EVPN routes. Neither waits for the other.
func (s *Speaker) UnicastEvents() <-chan []bgp.UnicastEvent { return s.unicast.Events() }

// Paths gives the EVPN routes of all peers, those of one key together and the best
// of them first, in no other order.
func (s *Speaker) Paths() iter.Seq[bgp.Path] { return s.table.Paths() }

// PathsOf gives what all peers say of one NLRI, the best first.
func (s *Speaker) PathsOf(key bgp.Key) []bgp.Path { return s.table.PathsOf(key) }

// Originate advertises and withdraws routes of ours, declaratively by key: an
// equal route again sends nothing, a different one replaces it, withdrawing
// what is not advertised is no error. It may be called before Run: peers then
// get the routes before End-of-RIB. If any route is not valid nothing changes
// and the error names it. It is safe for concurrent use.
func (s *Speaker) Originate(add []bgp.Route, withdraw []bgp.Key) error {
	return s.engine.Originate(add, withdraw)
}

// AdvertiseUnicast makes prefixes all of those that we advertise to the
// neighbours with the unicast family of their IP version, with the session's
// own address as the next hop: what is new is advertised, what is not among
// them any more is withdrawn. It may be called before Run. A prefix that is
// not valid is an error that names it, and nothing changes.
func (s *Speaker) AdvertiseUnicast(prefixes []netip.Prefix) error {
	return s.engine.AdvertiseUnicast(prefixes)
}

// PreservedForwarding says that the target went on forwarding while we were
// away: neighbours then keep our routes until we have sent them again. It is
// for the sessions that Run starts, and must be called before.
func (s *Speaker) PreservedForwarding() { s.preserved.Store(true) }

// Run waits for an AS and a router id, opens the listener, advertises what was
// originated, starts the sessions and returns when ctx ends and all of it is
// closed, or with the reason why it could not start. It may be called once.
func (s *Speaker) Run(ctx context.Context) error {
	var queues sync.WaitGroup
	defer queues.Wait()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	queues.Go(func() { s.table.Run(ctx) })
	queues.Go(func() { s.unicast.Run(ctx) })
	if !s.awaitIdentity(ctx) {
		return nil
	}
	if err := s.listen(); err != nil {
		return err
	}
	defer s.listeners.close()
	// The engine ends after the sessions, which say farewell by themselves.
	engine, stop := context.WithCancel(context.WithoutCancel(ctx))
	var owned sync.WaitGroup
	defer owned.Wait()
	defer stop()
	owned.Go(func() {
		id := s.identityNow()
		if err := s.engine.Run(engine, id.as, id.routerID); err != nil {
			end(err)
		}
	})
	s.start(ctx)
	deferral := time.AfterFunc(s.cfg.BGP.GracefulRestart.Deferral, func() { s.converge(true) })
	defer deferral.Stop()
	s.converge(false)
	<-ctx.Done()
	s.stop()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// start starts the sessions and accepts connections.
func (s *Speaker) start(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions = ctx
	for _, n := range s.neighbors {
		s.owned.Go(func() { n.run(ctx) })
	}
	s.listeners.serve(s)
}

// stop waits until all sessions have ended.
func (s *Speaker) stop() {
	s.listeners.close()
	s.mu.Lock()
	s.sessions = nil
	s.mu.Unlock()
	s.owned.Wait()
}

// neighbor gives the one with an address, nil if there is none; s.mu is held.
func (s *Speaker) neighbor(addr netip.Addr) *neighbor {
	for _, n := range s.neighbors {
		if n.address == addr {
			return n
		}
	}
	return nil
}

// admit makes a neighbour that is to be started with the others, or by the caller; it
// does not hold s.mu.
func (s *Speaker) admit(cfg bgp.Neighbor) error {
	if err := cfg.Check(); err != nil {
		return fmt.Errorf("neighbor %v: %w", cfg.Address, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.neighbor(cfg.Address) != nil {
		return fmt.Errorf("neighbor %v: there is one with this address", cfg.Address)
	}
	if err := s.checkKey(&cfg); err != nil {
		return err
	}
	if err := s.listeners.setKey(cfg.Address, cfg.Password); err != nil {
		return fmt.Errorf("neighbor %v: %w", cfg.Address, err)
	}
	if err := s.engine.SetMACIPOnly(context.Background(), cfg.Address, cfg.MACIPOnly); err != nil {
		return err
	}
	n := newNeighbor(s, cfg)
	s.neighbors = append(s.neighbors, n)
	s.listeners.expect(n)
	if s.sessions != nil {
		ctx := s.sessions
		s.owned.Go(func() { n.run(ctx) })
	}
	return nil
}

// remove takes a neighbour out of the list, whose goroutine has ended.
func (s *Speaker) remove(n *neighbor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.neighbors = slices.DeleteFunc(s.neighbors, func(o *neighbor) bool { return o == n })
}

// Drain withdraws all that we advertise, and returns when the neighbours were
// sent that or ctx ends. What is originated from then on is not advertised, and
// sessions end with a Cease, so that no neighbour keeps our routes.
func (s *Speaker) Drain(ctx context.Context) {
	routes := s.engine.Drain()
	s.draining.Store(true)
	s.log.Info("withdrew our routes, waiting until the BGP neighbours were told", "routes", routes)
	tick := time.NewTicker(sent / 10)
	defer tick.Stop()
	last, since := s.counts.sent.Load(), time.Now()
	for time.Since(since) < sent {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if now := s.counts.sent.Load(); now != last || s.counts.sending.Load() > 0 {
			last, since = now, time.Now()
		}
	}
}

// sent is how long no UPDATE has been sent when all are taken to have been.
const sent = 500 * time.Millisecond

// Stats counts what came from all peers since the start.
func (s *Speaker) Stats() bgp.Stats { return s.counts.snapshot() }
