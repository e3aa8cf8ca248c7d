package liveness

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/p4evpn/p4evpn/bfd"
	"github.com/p4evpn/p4evpn/internal/socket"
)

// Config of an Endpoint.
type Config struct {
	// Address is where it is asked: unix:PATH, for its own user and root alone.
	Address string
	// Farewell tells peers at the end that it is no failure: for a process whose end is not
	// that of the forwarding.
	Farewell bool
	Logger   *slog.Logger // nil = slog.Default

	// listen are the addresses at which packets are received, of both versions; none means
	// all. Tests have several on one machine.
	listen []netip.Addr
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if len(c.listen) == 0 {
		c.listen = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
	return c
}

func (c Config) check() error {
	a, err := socket.Parse(c.Address)
	if err != nil {
		return fmt.Errorf("liveness: %w", err)
	}
	if !a.Unix() {
		return fmt.Errorf("liveness: address %q: want unix:PATH", c.Address)
	}
	return nil
}

// Endpoint runs the sessions that its client wants. It has no more sockets than they need.
type Endpoint struct {
	cfg   Config
	log   *slog.Logger
	ready chan struct{}

	received, sent atomic.Uint64
	discarded      [bfd.Reasons]atomic.Uint64

	mu        sync.RWMutex // guards what follows
	sessions  map[netip.Addr]*session
	byNumber  map[uint32]*session // by discriminator, those that say farewell too
	leaving   map[netip.Addr]*session
	receivers map[reception]*net.UDPConn
	statuses  map[netip.Addr]bfd.Status
	changed   map[netip.Addr]bool // statuses that the client has not got
	news      chan struct{}       // there are some
	trouble   error               // why packets cannot be received

	owned sync.WaitGroup
}

// New checks the configuration; Run does the work.
func New(cfg Config) (*Endpoint, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Endpoint{
		cfg: cfg, log: cfg.Logger, ready: make(chan struct{}), news: make(chan struct{}, 1),
		sessions: map[netip.Addr]*session{}, byNumber: map[uint32]*session{},
		leaving: map[netip.Addr]*session{}, receivers: map[reception]*net.UDPConn{},
		statuses: map[netip.Addr]bfd.Status{}, changed: map[netip.Addr]bool{},
	}, nil
}

// Ready is closed when the endpoint can be asked.
func (e *Endpoint) Ready() <-chan struct{} { return e.ready }

// Run serves until ctx ends. Call it once.
func (e *Endpoint) Run(ctx context.Context) error {
	address, err := socket.Parse(e.cfg.Address)
	if err != nil {
		return err
	}
	lis, err := address.Listen(ctx, socket.File{Mode: 0o600})
	if err != nil {
		return fmt.Errorf("liveness: %w", err)
	}
	defer e.owned.Wait()
	defer e.closeReceivers()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = lis.Close() })()
	close(e.ready)
	return e.serve(ctx, lis)
}

// want makes the sessions those with peers, which were checked.
func (e *Endpoint) want(ctx context.Context, peers []Peer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	left := map[netip.Addr]bool{}
	for addr := range e.sessions {
		left[addr] = true
	}
	for _, p := range peers {
		s := e.sessions[p.Address]
		if s != nil && (s.peer.Hops != p.Hops || s.peer.Local != p.Local) {
			e.dismiss(s)
			s = nil
		}
		if s == nil {
			e.begin(ctx, p)
		} else if s.peer != p {
			s.peer = p
			s.set(p.timing())
		}
		delete(left, p.Address)
	}
	for addr := range left {
		e.dismiss(e.sessions[addr])
	}
	e.receive()
	e.tellAll()
}

// tellAll has the client hear of every session; e.mu is held.
func (e *Endpoint) tellAll() {
	for addr := range e.statuses {
		e.changed[addr] = true
	}
	e.tell()
}

// retry opens the sockets that could not be had.
func (e *Endpoint) retry() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.trouble == nil {
		return
	}
	if e.receive(); e.trouble == nil {
		e.tellAll()
	}
}

// begin starts a session; e.mu is held.
func (e *Endpoint) begin(ctx context.Context, p Peer) {
	number := rand.Uint32()
	for number == 0 || e.byNumber[number] != nil {
		number = rand.Uint32()
	}
	s := newSession(e, p, number)
	if old := e.leaving[p.Address]; old != nil {
		close(old.gone) // the peer is to hear of the new one alone
		delete(e.leaving, p.Address)
	}
	e.sessions[p.Address], e.byNumber[number] = s, s
	e.owned.Go(func() {
		s.run(ctx)
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.byNumber, number)
		if e.leaving[s.address] == s {
			delete(e.leaving, s.address)
		}
	})
}

// dismiss ends a session, which says farewell; e.mu is held.
func (e *Endpoint) dismiss(s *session) {
	delete(e.sessions, s.peer.Address)
	delete(e.statuses, s.peer.Address)
	delete(e.changed, s.peer.Address)
	e.leaving[s.address] = s
	close(s.off)
}

// publish has the client hear of a session.
func (e *Endpoint) publish(s *session, st bfd.Status) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sessions[st.Peer] != s {
		return
	}
	e.statuses[st.Peer], e.changed[st.Peer] = st, true
	e.tell()
}

// tell wakes who writes to the client.
func (e *Endpoint) tell() {
	select {
	case e.news <- struct{}{}:
	default:
	}
}

// take gives what the client has not got.
func (e *Endpoint) take() (list []bfd.Status) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for addr := range e.changed {
		st := e.statuses[addr]
		if e.trouble != nil && st.Trouble == "" {
			st.Trouble = e.trouble.Error()
		}
		list = append(list, st)
	}
	clear(e.changed)
	return list
}

// deliver gives a packet to its session, or says why there is none (RFC 5880 section 6.3,
// 6.8.6; RFC 5881 section 3 and 5).
func (e *Endpoint) deliver(b []byte, from netip.Addr, ttl int, at reception) bfd.Reason {
	if !at.multihop && ttl != 255 {
		return bfd.BadTTL
	}
	p, why := bfd.Parse(b)
	if why != bfd.Taken {
		return why
	}
	e.mu.RLock()
	s := e.sessions[from]
	if p.Yours != 0 {
		s = e.byNumber[p.Yours]
	}
	e.mu.RUnlock()
	switch {
	case s == nil || s.multihop() != at.multihop:
		return bfd.NoSession
	case s.address != from:
		return bfd.BadAddress
	case ttl < s.minTTL:
		return bfd.BadTTL
	}
	return s.hear(p)
}
