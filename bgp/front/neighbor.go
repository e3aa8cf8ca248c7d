package front

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/gobgp"
	"github.com/p4evpn/p4evpn/bgp/rib"
	"github.com/p4evpn/p4evpn/bgp/wire"
)

// The states as PeerState names them.
const (
	stateIdle        = "idle"
	stateConnect     = "connect"
	stateActive      = "active"
	stateOpenSent    = "opensent"
	stateOpenConfirm = "openconfirm"
	stateEstablished = "established"
)

// neighbor is one peer. What is decided about it is decided in its goroutine alone, run:
// which connection stays, when the next attempt is, what becomes of its routes.
type neighbor struct {
	s        *Speaker
	log      *slog.Logger
	address  netip.Addr
	incoming chan *net.TCPConn // accepted, that nobody has looked at
	events   chan func()       // for run to call
	ended    chan struct{}     // closed when run calls no more events
	done     chan struct{}     // closed when all has ended
	pathEnds chan pathEnd      // one slot
	linkBack chan struct{}     // one slot
	cancel   context.CancelCauseFunc
	stopping context.Context

	// The goroutine's own.
	ctx        context.Context
	owned      sync.WaitGroup
	candidates []*candidate
	inner      *gobgp.Inner // of the session that the candidates contend for
	opening    bool         // inner is being made
	ours       wire.Open    // what candidates are sent
	hello      []byte       // the same as a message
	settling   *time.Timer
	dial       dialer
	session    *session
	beat       *time.Ticker
	restart    restart
	excess     excess
	restarted  bool // our first session of this neighbour has been

	evpn *rib.Peer // nil for a neighbour without EVPN

	mu      sync.Mutex // guards what follows
	cfg     bgp.Neighbor
	state   bgp.PeerState
	unicast rib.AdjRIBIn[netip.Prefix, bgp.UnicastRoute]
	faults  faults
	awaited []bgp.Family // whose routes Converged waits for
}

func newNeighbor(s *Speaker, cfg bgp.Neighbor) *neighbor {
	n := &neighbor{
		s: s, log: s.log.With("peer", cfg.Address), address: cfg.Address,
		incoming: make(chan *net.TCPConn, maxAccepted), events: make(chan func()),
		ended: make(chan struct{}), done: make(chan struct{}), pathEnds: make(chan pathEnd, 1),
		linkBack: make(chan struct{}, 1),
		settling: stoppedTimer(), dial: newDialer(), restart: newRestart(),
		cfg:     cfg,
		state:   idle(&cfg),
		unicast: rib.NewAdjRIBIn(s.unicast, &cfg, cfg.UnicastFamily()),
	}
	n.stopping, n.cancel = context.WithCancelCause(context.Background())
	limit := cfg.Limit()
	n.excess.limit = limit
	if cfg.Has(bgp.EVPN) {
		n.evpn = s.table.Peer(cfg.Address, limit)
	}
	if !cfg.Shutdown {
		n.awaited = cfg.Carried()
	}
	return n
}

// idle is the state of a neighbour of which nothing is known yet.
func idle(n *bgp.Neighbor) bgp.PeerState {
	return bgp.PeerState{Address: n.Address, AS: n.AS, State: stateIdle, Shutdown: n.Shutdown, Families: n.Carried(),
		Limit: n.Limit()}
}

func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// stop has run end, for a reason.
func (n *neighbor) stop(why error) { n.cancel(why) }

// config gives what the neighbour is configured to be.
func (n *neighbor) config() bgp.Neighbor {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cfg
}

// run holds the sessions with the neighbour until ctx ends or it is stopped.
func (n *neighbor) run(ctx context.Context) {
	defer close(n.done)
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer context.AfterFunc(n.stopping, func() { end(context.Cause(n.stopping)) })()
	n.ctx = ctx
	defer n.close()
	if n.cfg.Shutdown {
		n.setDown("administratively down")
	} else {
		n.dial.about(n.s.timing.firstDial)
	}
	for {
		n.show()
		var beat <-chan time.Time
		var over <-chan *ending
		if n.session != nil {
			beat, over = n.beat.C, n.session.endings
		}
		select {
		case <-ctx.Done():
			return
		case conn := <-n.incoming:
			n.accepted(conn)
		case do := <-n.events:
			do()
		case <-n.dial.timer.C:
			n.dial.armed = false
			n.connect()
		case <-n.settling.C:
			n.settle()
		case <-n.restart.timer.C:
			n.restartOver()
		case <-beat:
			n.session.beat()
		case e := <-over:
			n.finish(e)
		case e := <-n.pathEnds:
			n.pathLost(e)
		case <-n.linkBack:
			n.dialSoon()
		}
	}
}

// post has run call do, and reports whether it will: not if it has ended.
func (n *neighbor) post(do func()) bool {
	select {
	case n.events <- do:
		return true
	case <-n.ended:
		return false
	}
}

// close ends all that there is of the neighbour, as the cause of n.ctx's end says.
func (n *neighbor) close() {
	close(n.ended)
	n.dial.timer.Stop()
	n.settling.Stop()
	n.restart.timer.Stop()
	cause := context.Cause(n.ctx)
	var removed errRemoved
	gone := errors.As(cause, &removed)
	farewell := wire.Shutdown(wire.AdminShutdown, "the speaker stops")
	if gone {
		text := removed.text
		if text == "" {
			text = n.config().ShutdownMessage
		}
		farewell = wire.Shutdown(wire.AdminShutdown, text)
	}
	if n.session != nil {
		e := &ending{reason: "the speaker stops", send: farewell, hard: true}
		if gone {
			e.reason = removed.Error()
		} else if n.session.graceful() && !n.s.draining.Load() {
			e.send = nil // RFC 4724 section 4: the peer keeps our routes
		}
		n.finish(e)
	}
	for _, c := range slices.Clone(n.candidates) {
		n.refuse(c, farewell)
	}
	n.closeInner()
	for {
		select {
		case conn := <-n.incoming:
			_ = conn.Close()
			continue
		default:
		}
		break
	}
	n.owned.Wait()
	if gone {
		n.forget()
	}
}

// forget takes back all that the peer told.
func (n *neighbor) forget() {
	if n.evpn != nil {
		n.s.table.Remove(n.evpn)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.restart.away {
		n.unicast.Down(false)
	}
	n.unicast.Waive()
}

// show has PeerState say what state the neighbour is in.
func (n *neighbor) show() {
	state := stateActive
	switch {
	case n.session != nil:
		state = stateEstablished
	case n.cfg.Shutdown, n.excess.held():
		state = stateIdle
	case n.dial.busy:
		state = stateConnect
	}
	if n.session == nil {
		for _, c := range n.candidates {
			switch {
			case c.confirmed:
				state = stateOpenConfirm
			case state != stateOpenConfirm && n.hello != nil:
				state = stateOpenSent
			}
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state.State = state
}

func (n *neighbor) setDown(reason string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state.LastDown = reason
}

// snapshot is what is known of the neighbour now.
func (n *neighbor) snapshot() bgp.PeerState {
	var routes int
	var ended bool
	if n.evpn != nil {
		routes, ended = n.evpn.Len(), n.evpn.Ended()
	}
	path := n.s.path(n.address)
	n.mu.Lock()
	defer n.mu.Unlock()
	st := n.state
	st.BFD = path
	st.Routes, st.EndOfRIB = uint64(routes), ended
	st.Unicast = uint64(n.unicast.Len())
	st.Faults, st.Recent = n.faults.snapshot()
	return st
}
