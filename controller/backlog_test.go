package controller

import (
	"context"
	"sync"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/controller/underlay"
	"github.com/p4evpn/p4evpn/p4"
)

// batchOf is a batch of MAC routes as the speaker gives them.
func batchOf(first int) (events []bgp.Event) {
	for i := range 256 {
		events = append(events, update(peer1, macRoute(leaf1, 100, mac(first+i))))
	}
	return events
}

// recordingTarget does everything at once, and knows the keys of each Write.
type recordingTarget struct {
	hastyTarget
	writes chan map[p4.Key]bool
}

func (t recordingTarget) Write(ctx context.Context, u []p4rt.Update) ([]error, error) {
	keys := map[p4.Key]bool{}
	for _, u := range u {
		if k, ok := u.(interface{ Key() p4.Key }); ok {
			keys[k.Key()] = true
		}
	}
	if len(keys) == 0 { // of meters
		return t.hastyTarget.Write(ctx, u)
	}
	t.writes <- keys
	return t.hastyTarget.Write(ctx, u)
}

func TestAChangeThatComesWhileRoutesWaitIsInTheNextJobButOne(t *testing.T) {
	target := recordingTarget{writes: make(chan map[p4.Key]bool, 1000)}
	l := newHastyLoopTo(t, target)
	l.bridgeChanged(intent.LogicalBridge{ID: "bridge-10", VLAN: 10, VNI: 100, Index: 1}, false)
	l.underlayChanged(underlay.Change{VTEP: leaf1, Paths: []underlay.Path{path1}})
	l.bgpChanged([]bgp.Event{update(peer1, macRoute(leaf1, 100, mac(0)))})
	l.finish()
	first := 1
	fill := func() {
		for l.routeEvents() != nil {
			l.bgpChanged(batchOf(first))
			first += 256
		}
	}
	fill()
	l.flush() // a job is under way,
	fill()    // as much as the next one takes is marked,
	l.target.Take(<-l.target.Results())
	l.flush() // which is given,
	if l.routeEvents() == nil {
		t.Fatal("no routes are taken though a job was given")
	}
	for len(target.writes) > 0 {
		<-target.writes
	}
	moved := macRoute(leaf1, 100, mac(0xeeeeee))
	l.bgpChanged([]bgp.Event{update(peer2, moved)}) // and then it comes
	fill()
	key := p4.FDB{Bridge: 1, MAC: moved.MAC}.Key()
	l.target.Take(<-l.target.Results())
	l.flush()
	l.target.Take(<-l.target.Results())
	for len(target.writes) > 0 {
		if (<-target.writes)[key] {
			return
		}
	}
	t.Error("it is not in the next job")
}

func TestATargetThatHangsHoldsUpRoutesAndNothingElse(t *testing.T) {
	g := start(t, options{target: p4rttest.Config{Check: func(*p4v1.Update, *p4rttest.State) error { return nil }}})
	g.bridge(10, 100)
	g.settle()
	release := make(chan struct{})
	var once sync.Once
	free := func() { once.Do(func() { close(release) }) }
	t.Cleanup(free)
	g.target.Intercept(func(ctx context.Context, m proto.Message) error {
		if _, ok := m.(*p4v1.WriteRequest); ok {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return nil
	})
	const batches = 20
	var sent sync.WaitGroup
	sent.Go(func() {
		for i := range batches {
			g.send(batchOf(1 + i*256)...)
		}
	})
	g.eventually("routes wait", func() (full bool) {
		g.peek(func(l *loop) { full = l.routeEvents() == nil })
		return full
	})
	g.bridge(20, 200) // the loop takes it
	taken := func() (n int) { g.peek(func(l *loop) { n = l.routes.Len() }); return n }
	if n := taken(); n >= batches*256 {
		t.Errorf("%d routes were taken", n)
	}
	g.target.Stop() // then the state follows BGP, whatever becomes of the target
	sent.Wait()
	if n := taken(); n != batches*256 {
		t.Errorf("%d routes were taken of a target that is away", n)
	}
	free()
	g.target.Start()
	g.settle()
}
