package gobgp

import (
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

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/server"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/rib"
)

// Speaker is one BGP instance with its neighbours.
type Speaker struct {
	cfg     bgp.Config
	log     *slog.Logger
	clock   func() time.Time // the wall clock's; tests set it
	evpn    *rib.Table
	unicast *rib.Queue[netip.Prefix, bgp.UnicastRoute]
	counts  counters

	mu      sync.Mutex // guards what follows and what peers point to
	peers   []*peer
	running bool // all sessions of the configuration were started
	// refused are neighbours that were asked for and could not be had.
	refused map[netip.Addr]refusal

	identified chan struct{} // closed when there is an AS and a router id

	originate sync.Mutex        // guards what follows; held while routes of ours change
	gobgp     *server.BgpServer // nil while it does not take routes
	local     map[bgp.Key]bgp.Route
	prefixes  map[netip.Prefix]bool // unicast, of ours
	preserved bool                  // forwarding was, over a restart of ours
	draining  bool                  // nothing is advertised any more
}

// New checks the configuration. Run starts it.
func New(cfg bgp.Config, log *slog.Logger) (*Speaker, error) {
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("bgp configuration: %w", err)
	}
	s := &Speaker{
		cfg:        cfg,
		log:        log,
		clock:      time.Now,
		evpn:       rib.NewTable(),
		unicast:    rib.NewQueue(rib.UnicastKey),
		local:      make(map[bgp.Key]bgp.Route),
		prefixes:   make(map[netip.Prefix]bool),
		identified: make(chan struct{}),
	}
	if cfg.AS != 0 {
		close(s.identified)
	}
	for _, n := range cfg.Neighbors {
		s.peers = append(s.peers, s.newPeer(n))
	}
	return s, nil
}

// Events gives the changes in batches. While nobody receives, several changes of a
// key become one, so that what waits is bounded by the number of routes. It is
// closed when Run returns.
func (s *Speaker) Events() <-chan []bgp.Event { return s.evpn.Events() }

// Paths gives the EVPN routes of all peers, those of one key together and the best
// of them first.
func (s *Speaker) Paths() iter.Seq[bgp.Path] { return s.evpn.Paths() }

// Stats counts what came from all peers since the start.
func (s *Speaker) Stats() bgp.Stats { return s.counts.snapshot() }

// Run waits for an AS and a router id, opens the listener, advertises what was
// originated, starts the sessions and returns when ctx ends and all of it is
// closed, or with the reason why it could not start, or ErrDeaf. It may be called
// once.
func (s *Speaker) Run(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	var queues sync.WaitGroup
	defer queues.Wait()
	defer end(nil)
	queues.Go(func() { s.evpn.Run(ctx) })
	queues.Go(func() { s.unicast.Run(ctx) })
	if err := checkMD5(s.cfg.Neighbors...); err != nil {
		return err
	}
	queues.Go(func() { s.watchHandshakes(ctx) })
	if !s.awaitIdentity(ctx) {
		return nil
	}
	var muted atomic.Bool
	gobgp := server.NewBgpServer(server.LoggerOption(slog.New(quiet{s.log.Handler(), &muted, end}), nil))
	var owned sync.WaitGroup
	owned.Go(gobgp.Serve)
	defer owned.Wait()
	defer s.stop(gobgp, &muted)
	if err := s.start(ctx, gobgp); err != nil {
		return err
	}
	deferral := time.AfterFunc(orDefault(s.cfg.GracefulRestart.Deferral, defaultDeferral), func() { s.converge(true) })
	defer deferral.Stop()
	s.converge(false)
	s.watchClock(ctx)
	if err := context.Cause(ctx); errors.Is(err, bgp.ErrDeaf) {
		return fmt.Errorf("%w; it takes a restart, and more open files if their limit was reached (LimitNOFILE)", err)
	}
	return nil
}

// start sets GoBGP up in the order that keeps anything from being missed or
// sent too early: policy, watch, our routes, sessions.
func (s *Speaker) start(ctx context.Context, gobgp *server.BgpServer) error {
	s.originate.Lock()
	defer s.originate.Unlock()
	global := &api.Global{
		Asn:        s.cfg.AS,
		RouterId:   s.cfg.RouterID.String(),
		ListenPort: int32(s.cfg.ListenPort),
		Families:   globalFamilies,
	}
	for _, a := range s.cfg.ListenAddresses {
		global.ListenAddresses = append(global.ListenAddresses, a.String())
	}
	if err := gobgp.StartBgp(ctx, &api.StartBgpRequest{Global: global}); err != nil {
		return fmt.Errorf("starting BGP on %v port %d: %w", s.cfg.ListenAddresses, s.cfg.ListenPort, err)
	}
	if err := setPolicies(ctx, gobgp); err != nil {
		return err
	}
	err := gobgp.WatchEvent(ctx, server.WatchEventMessageCallbacks{
		OnPathUpdate: s.onPaths,
		OnPathEor:    s.onEndOfRIB,
		OnPeerUpdate: s.onPeer,
	}, server.WatchUpdate(false, "", ""), server.WatchAdjInWithdraw(), server.WatchEor(false), server.WatchPeer())
	if err != nil {
		return fmt.Errorf("watching the peers' routes: %w", err)
	}
	s.gobgp = gobgp
	add := make([]bgp.Route, 0, len(s.local))
	for _, r := range s.local {
		add = append(add, r)
	}
	clear(s.local)
	if err := s.advertise(add, nil); err != nil {
		return err
	}
	prefixes := s.prefixes
	s.prefixes = make(map[netip.Prefix]bool)
	if err := s.advertiseUnicast(prefixes); err != nil {
		return err
	}
	s.mu.Lock()
	peers := slices.Clone(s.peers)
	s.mu.Unlock()
	for _, p := range peers {
		if err := limitRoutes(ctx, gobgp, p.neighbor); err != nil {
			return fmt.Errorf("neighbor %v: %w", p.neighbor.Address, err)
		}
		peer := apiPeer(&p.neighbor, s.cfg.GracefulRestart, s.preserved)
		if err := gobgp.AddPeer(ctx, &api.AddPeerRequest{Peer: peer}); err != nil {
			return fmt.Errorf("neighbor %v: %w", p.neighbor.Address, err)
		}
	}
	return nil
}

// globalFamilies are ipv4-unicast, ipv6-unicast and l2vpn-evpn in GoBGP's
// numbering of global families.
var globalFamilies = []uint32{0, 1, 9}

// stop ends sessions and listener. A neighbour with graceful restart sees the
// connection close and keeps our routes; others get a Cease, and all do after
// Drain.
func (s *Speaker) stop(gobgp *server.BgpServer, muted *atomic.Bool) {
	s.originate.Lock()
	s.gobgp = nil
	graceful := !s.draining
	s.originate.Unlock()
	// Ending the sessions must not wait on a context that has ended already.
	err := gobgp.StopBgp(context.Background(), &api.StopBgpRequest{AllowGracefulRestart: graceful})
	if err != nil {
		s.log.Warn("stopping BGP", "err", err)
	}
	// StopBgp leaves the goroutine of the BFD server; only Stop ends it, and
	// complains that BGP has stopped already.
	muted.Store(true)
	gobgp.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		p.stopTimer()
	}
}

// Originate advertises and withdraws routes of ours, declaratively by key: an
// equal route again sends nothing, a different one replaces it, withdrawing
// what is not advertised is no error. It may be called before Run: peers then
// get the routes before End-of-RIB. If any route is not valid nothing changes
// and the error names it. It is safe for concurrent use.
func (s *Speaker) Originate(add []bgp.Route, withdraw []bgp.Key) error {
	for i := range add {
		if err := add[i].Check(); err != nil {
			return fmt.Errorf("advertising %v: %w", add[i].Key, err)
		}
	}
	s.originate.Lock()
	defer s.originate.Unlock()
	return s.advertise(add, withdraw)
}

// advertiseBatch is how many routes GoBGP takes under one hold of its lock.
const advertiseBatch = 512

func (s *Speaker) advertise(add []bgp.Route, withdraw []bgp.Key) error {
	if s.draining {
		return nil
	}
	if s.gobgp == nil {
		for _, r := range add {
			s.local[r.Key] = r
		}
		for _, k := range withdraw {
			delete(s.local, k)
		}
		return nil
	}
	var paths []*apiutil.Path
	var keys []bgp.Key
	flush := func(send func() error) error {
		if len(paths) == 0 {
			return nil
		}
		err := send()
		if err != nil {
			// Not known to be advertised: asking again sends it again.
			for _, k := range keys {
				delete(s.local, k)
			}
		}
		paths, keys = nil, nil
		return err
	}
	announce := func() error {
		_, err := s.gobgp.AddPath(apiutil.AddPathRequest{Paths: paths})
		return err
	}
	var errs []error
	for _, r := range add {
		if old, ok := s.local[r.Key]; ok && old == r {
			continue
		}
		p, err := encode(r)
		if err != nil {
			errs = append(errs, fmt.Errorf("advertising %v: %w", r.Key, err))
			continue
		}
		s.local[r.Key] = r
		paths, keys = append(paths, p), append(keys, r.Key)
		if len(paths) == advertiseBatch {
			errs = append(errs, flush(announce))
		}
	}
	errs = append(errs, flush(announce))
	errs = append(errs, s.withdraw(withdraw))
	return errors.Join(errs...)
}

func (s *Speaker) withdraw(keys []bgp.Key) error {
	var paths []*apiutil.Path
	var errs []error
	flush := func() {
		if len(paths) > 0 {
			errs = append(errs, s.gobgp.DeletePath(apiutil.DeletePathRequest{Paths: paths}))
			paths = nil
		}
	}
	for _, k := range keys {
		if _, ok := s.local[k]; !ok {
			continue
		}
		p, err := encodeWithdrawal(k)
		if err != nil {
			errs = append(errs, fmt.Errorf("withdrawing %v: %w", k, err))
			continue
		}
		delete(s.local, k)
		if paths = append(paths, p); len(paths) == advertiseBatch {
			flush()
		}
	}
	flush()
	return errors.Join(errs...)
}
