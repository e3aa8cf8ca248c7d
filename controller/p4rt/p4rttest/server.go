package p4rttest

import (
	"context"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/controller/p4rt"
)

// Config says how a Server behaves from the start. All of it may be left zero.
type Config struct {
	DeviceID uint64
	// Seed makes the order in which updates of a batch take effect.
	Seed uint64
	// Running is a pipeline that the target runs already.
	Running *p4v1.ForwardingPipelineConfig
	// Check is asked before each update that is otherwise valid. Its error
	// refuses the update, and fails the test unless MayFail is set. It must
	// not call the Server.
	Check   func(u *p4v1.Update, s *State) error
	MayFail bool
	// NoPromotion leaves the target without a primary when the primary goes,
	// until one arbitrates with an election id at least as high, as the
	// specification says. Otherwise the highest of the others becomes primary,
	// as with PI.
	NoPromotion bool
	// Keeps has the target announce that it keeps, for a pipeline that replaces
	// another, what fits it, and do so.
	Keeps bool
}

// Counts says what a Server was asked for since it was made.
type Counts struct {
	Connections int // streams that arbitrated
	Pushes      int // pipelines accepted
	Writes      int // Write RPCs
	Updates     int // updates in them
	Failed      int // updates that got an error
	Reads       int // Read RPCs
	PacketOuts  int
	Acks        int // digest lists acknowledged
}

// Server is a P4Runtime target. Its methods are safe for concurrent use.
type Server struct {
	tb      testing.TB
	cfg     Config
	address string

	life  sync.Mutex // held while starting and stopping
	grpc  *grpc.Server
	done  chan struct{} // closed when grpc has ended
	conns *listener

	mu         sync.Mutex
	changed    chan struct{} // closed and replaced at each change
	rand       *rand.Rand
	config     *p4v1.ForwardingPipelineConfig
	schema     *schema
	state      *State
	counters   map[counterCell]*p4v1.CounterData
	streams    map[*stream]bool
	primary    *stream
	highest    p4rt.ElectionID // ever seen
	counts     Counts
	nextList   uint64
	acked      map[uint64]bool
	packetOuts []*p4v1.PacketOut
	failUpdate func(*p4v1.Update) error
	intercept  Interceptor
	answer     Interceptor
}

// Interceptor is asked about a request: one of the request messages of
// P4Runtime's RPCs, and for the stream MasterArbitrationUpdate. An error, best
// a gRPC status, is what the client gets. It may wait, and should not do so
// longer than ctx lasts.
type Interceptor func(ctx context.Context, request proto.Message) error

// New starts a Server, which ends with the test.
func New(tb testing.TB, cfg Config) *Server {
	tb.Helper()
	s := &Server{
		tb: tb, cfg: cfg, address: "127.0.0.1:0",
		changed: make(chan struct{}), rand: rand.New(rand.NewPCG(cfg.Seed, cfg.Seed)),
		streams: map[*stream]bool{}, acked: map[uint64]bool{},
	}
	s.lose()
	if cfg.Running != nil {
		sch, err := newSchema(cfg.Running.GetP4Info())
		if err != nil {
			tb.Fatalf("p4rttest: running pipeline: %v", err)
		}
		s.config, s.schema = cfg.Running, sch
	}
	s.Start()
	tb.Cleanup(s.Stop)
	return s
}

// Target is the address for p4rt.Config, the same as long as the Server lives.
func (s *Server) Target() string { return s.address }

// Start makes a stopped Server listen again.
func (s *Server) Start() {
	s.life.Lock()
	defer s.life.Unlock()
	if s.grpc != nil {
		return
	}
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		s.tb.Errorf("p4rttest: %v", err)
		return
	}
	s.address = l.Addr().String()
	s.conns = &listener{Listener: l, open: map[net.Conn]bool{}}
	s.grpc = grpc.NewServer(grpc.MaxRecvMsgSize(4<<20), grpc.MaxSendMsgSize(math.MaxInt32))
	p4v1.RegisterP4RuntimeServer(s.grpc, &service{Server: s})
	s.done = make(chan struct{})
	go func(g *grpc.Server, l net.Listener, done chan struct{}) {
		defer close(done)
		_ = g.Serve(l) // ends by Stop
	}(s.grpc, s.conns, s.done)
}

// Stop makes the target absent. Pipeline and entries stay.
func (s *Server) Stop() {
	s.life.Lock()
	defer s.life.Unlock()
	if s.grpc == nil {
		return
	}
	s.grpc.Stop()
	<-s.done
	s.grpc = nil
}

// Disconnect breaks all connections; new ones are accepted at once.
func (s *Server) Disconnect() {
	s.life.Lock()
	defer s.life.Unlock()
	s.conns.closeAll()
}

// Restart stops the target and starts it without pipeline and entries.
func (s *Server) Restart() {
	s.Stop()
	s.Lose()
	s.Start()
}

// Lose makes the target forget its pipeline and entries, and keeps connections.
func (s *Server) Lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose()
	s.highest = p4rt.ElectionID{}
	s.change()
}

func (s *Server) lose() {
	s.config, s.schema = nil, nil
	s.state = &State{entries: map[string]*p4v1.Entity{}, tables: map[uint32]int{}, members: map[uint32]int{}}
	s.counters = map[counterCell]*p4v1.CounterData{}
}

// change wakes WaitFor; it needs s.mu.
func (s *Server) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// set changes a field of s that requests look at.
func (s *Server) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.change()
}

// FailUpdates refuses each update for which f has an error; its code and text
// are the update's. Nil ends that. f must not call the Server.
func (s *Server) FailUpdates(f func(*p4v1.Update) error) { s.set(func() { s.failUpdate = f }) }

// Intercept has f asked before each request has any effect. Nil ends that.
func (s *Server) Intercept(f Interceptor) { s.set(func() { s.intercept = f }) }

// InterceptAnswer has f asked after a Write or push took effect, and before it
// is answered. Nil ends that.
func (s *Server) InterceptAnswer(f Interceptor) { s.set(func() { s.answer = f }) }

// SetCookie has the target claim that it runs another pipeline, with the same
// P4Info.
func (s *Server) SetCookie(cookie uint64) {
	s.set(func() {
		if s.config != nil {
			s.config = &p4v1.ForwardingPipelineConfig{P4Info: s.config.GetP4Info(),
				Cookie: &p4v1.ForwardingPipelineConfig_Cookie{Cookie: cookie}}
		}
	})
}

// SetCounter gives an indirect counter's cell a value.
func (s *Server) SetCounter(id uint32, index int64, v *p4v1.CounterData) {
	s.set(func() { s.counters[counterCell{id, index}] = v })
}

// Counts says what was asked so far.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Entries gives the table entries, multicast groups and clone sessions, in the
// order of Identity. They must not be modified.
func (s *Server) Entries() []*p4v1.Entity {
	s.mu.Lock()
	defer s.mu.Unlock()
	type pair struct {
		key string
		e   *p4v1.Entity
	}
	pairs := make([]pair, 0, s.state.Len())
	for e := range s.state.All() {
		pairs = append(pairs, pair{Identity(e), e})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return compare(a.key, b.key) })
	entities := make([]*p4v1.Entity, len(pairs))
	for i, p := range pairs {
		entities[i] = p.e
	}
	return entities
}

// Get gives the entry with the identity of e, nil if there is none.
func (s *Server) Get(e *p4v1.Entity) *p4v1.Entity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Get(e)
}

// Put changes the target behind its controllers' back: it adds or replaces
// entities without any check.
func (s *Server) Put(entities ...*p4v1.Entity) {
	s.set(func() {
		for _, e := range entities {
			s.state.put(e)
		}
	})
}

// Remove deletes entities behind the controllers' back.
func (s *Server) Remove(entities ...*p4v1.Entity) {
	s.set(func() {
		for _, e := range entities {
			s.state.remove(e)
		}
	})
}

// PacketOuts gives the packets that the primary handed over, in order.
func (s *Server) PacketOuts() []*p4v1.PacketOut {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.packetOuts)
}

// waitDeadline is far beyond what anything takes on a busy machine.
const waitDeadline = 20 * time.Second

// WaitFor waits until cond holds, and fails the test when that takes too long.
// It asks at each change of the Server, and often enough for what changes
// elsewhere.
func (s *Server) WaitFor(what string, cond func() bool) {
	s.tb.Helper()
	deadline := time.After(waitDeadline)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if cond() {
			return
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-deadline:
			s.tb.Fatalf("p4rttest: waited %v in vain: %s; counts: %+v, %d entries", waitDeadline, what, s.Counts(),
				len(s.Entries()))
		}
	}
}

// listener keeps the connections it accepted, to break them.
type listener struct {
	net.Listener
	mu   sync.Mutex
	open map[net.Conn]bool
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = true
	return &conn{Conn: c, l: l}, nil
}

func (l *listener) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		_ = c.Close()
	}
	clear(l.open)
}

type conn struct {
	net.Conn
	l *listener
}

func (c *conn) Close() error {
	c.l.mu.Lock()
	delete(c.l.open, c.Conn)
	c.l.mu.Unlock()
	return c.Conn.Close()
}
