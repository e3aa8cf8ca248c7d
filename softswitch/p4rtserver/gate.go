package p4rtserver

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Gate lets one goroutine run packets, and keeps it out while a batch of
// updates is made that packets must see whole or not at all. Entering costs two
// atomic operations.
type Gate struct {
	gates *gates
	busy  atomic.Bool
	_     [56]byte // its own cache line
}

// gates are those of all goroutines that run packets.
type gates struct {
	closed atomic.Bool
	turn   sync.RWMutex // held for writing while they are closed
	mu     sync.Mutex
	all    []*Gate
}

// NewGate makes the gate of a goroutine that runs packets through what
// Forwarding returns. Gates are never taken away.
func (s *Server) NewGate() *Gate {
	g := &Gate{gates: &s.gates}
	s.gates.mu.Lock()
	defer s.gates.mu.Unlock()
	s.gates.all = append(s.gates.all, g)
	return g
}

// Enter begins a run of packets; it waits while a batch is being made.
func (g *Gate) Enter() {
	for {
		g.busy.Store(true)
		if !g.gates.closed.Load() {
			return
		}
		g.busy.Store(false)
		g.gates.wait()
	}
}

// wait returns when no batch is being made.
func (g *gates) wait() {
	g.turn.RLock()
	defer g.turn.RUnlock()
}

// Leave ends a run of packets.
func (g *Gate) Leave() { g.busy.Store(false) }

// alone calls f while no packet is in the pipeline.
func (g *gates) alone(f func()) {
	g.turn.Lock()
	defer g.turn.Unlock()
	g.closed.Store(true)
	defer g.closed.Store(false)
	g.mu.Lock()
	all := g.all
	g.mu.Unlock()
	for _, one := range all {
		for one.busy.Load() {
			runtime.Gosched()
		}
	}
	f()
}
