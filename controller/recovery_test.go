package controller

import (
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// anyOrder are options of a target that does not check the order of updates,
// which takes long where there are many entries.
var anyOrder = options{target: p4rttest.Config{Check: func(*p4v1.Update, *p4rttest.State) error { return nil }}}

// churn changes n MACs that leaf1 had: half move to leaf2, a quarter goes, and
// a quarter goes and comes back as it was. What is left of it are 3n/4 changes.
func (g *gateway) churn(n int) {
	var events []bgp.Event
	for i := range n {
		here, there := macRoute(leaf1, 100, mac(i+1)), macRoute(leaf2, 100, mac(i+1))
		switch i % 4 {
		case 0, 1:
			events = append(events, update(peer1, with(there, 1)), withdraw(peer1, here), update(peer1, with(there, 2)))
		case 2:
			events = append(events, withdraw(peer1, here), update(peer1, with(here, 7)), withdraw(peer1, here))
		case 3:
			events = append(events, withdraw(peer1, here), update(peer1, here))
		}
	}
	g.send(events...)
}

func (g *gateway) manyMACs(n int) {
	events := []bgp.Event{update(peer1, macRoute(leaf2, 100, mac(1<<20)))} // leaf2's tunnel is there
	for i := range n {
		events = append(events, update(peer1, macRoute(leaf1, 100, mac(i+1))))
	}
	g.send(events...)
	g.settle()
}

func TestRoutesThatChangeWhileTheTargetIsAwayCostNoMoreThanTheirDifference(t *testing.T) {
	const routes = 5000
	g, b := twoPorts(t, anyOrder)
	g.manyMACs(routes)
	g.target.Stop()
	g.eventually("down seen", func() (down bool) {
		g.peek(func(l *loop) { down = !l.target.Ready() })
		return down
	})
	g.churn(routes)
	g.peek(func(l *loop) {
		if n := l.target.Depth(); n > 0 {
			t.Errorf("%d keys wait for a target that is away", n)
		}
		if n := l.target.Len(); n > routes+100 {
			t.Errorf("%d records of entries, for %d routes", n, routes)
		}
	})
	counts := g.target.Counts()
	g.target.Start()
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.12 vni 100")
	g.wantFDB(b, mac(3), "nowhere")
	g.wantFDB(b, mac(4), "10.0.0.11 vni 100")
	if n := g.target.Counts().Updates - counts.Updates; n != routes*3/4 {
		t.Errorf("%d updates for %d changes", n, routes*3/4)
	}
}

func TestAConnectionThatKeepsBreakingEndsWithWhatIsWanted(t *testing.T) {
	const routes = 2000
	g, _ := twoPorts(t, anyOrder)
	g.manyMACs(routes)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(15 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				g.target.Disconnect()
			case <-stop:
				return
			}
		}
	}()
	connections := g.target.Counts().Connections
	for round := range 20 {
		r := macRoute(leaf1, 100, mac(round+1))
		for i := range 100 {
			g.send(update(peer1, with(r, uint32(i+1))), update(peer1, with(macRoute(leaf2, 100, mac(round*100+i+1)), 3)))
		}
		g.peek(func(l *loop) {
			if n := l.target.Depth(); n > routes+100 {
				t.Errorf("%d keys wait", n)
			}
		})
	}
	g.eventually("many cuts", func() bool { return g.target.Counts().Connections > connections+5 })
	close(stop)
	<-done
	g.settle()
	for i := range routes {
		if got := g.get(p4.FDB{Bridge: 1, MAC: mac(i + 1)}).(p4.FDB); got.Kind != p4.ToVTEP {
			t.Fatalf("%v is %+v", mac(i+1), got)
		}
	}
	g.wantFDB(1, mac(routes), "10.0.0.12 vni 100")
}

func TestAPeerThatIsGoneTakesItsRoutesAndNothingElse(t *testing.T) {
	const routes = 10000
	g, b := twoPorts(t, anyOrder)
	g.manyMACs(routes)
	g.learn(b, 1, mac(1<<21))
	g.send(update(peer2, macRoute(leaf1, 100, mac(1<<22))), update(peer2, floodRoute(leaf1, 100)))
	g.settle()
	var gone []bgp.Event
	for i := range routes {
		gone = append(gone, withdraw(peer1, macRoute(leaf1, 100, mac(i+1))))
	}
	g.send(append(gone, bgp.Event{Peer: peer1, Kind: bgp.PeerDown})...)
	g.settle()
	g.wantFDB(b, mac(1), "nowhere")
	g.wantFDB(b, mac(1<<21), "port 1")
	g.wantFDB(b, mac(1<<22), "10.0.0.11 vni 100")
	g.wantFlood(b, "port 1", "port 2", "10.0.0.11 vni 100 by port 11")
}

func TestSourcesThatOverranTheQueueAreLearnedWhenTheyAreReportedAgain(t *testing.T) {
	const lists, queue = 100, 4
	g, b := twoPorts(t, options{queue: queue})
	report := func(list int) uint64 {
		var members []*p4v1.P4Data
		for i := range 10 {
			members = append(members, learnData(b, mac(list*10+i+1), 1))
		}
		var id uint64
		g.eventually("sent", func() (ok bool) { id, ok = g.target.SendDigest(p4.DigestID(), members...); return ok })
		return id
	}
	ids := make([]uint64, lists)
	g.peek(func(*loop) { // the loop is busy with something else
		for i := range ids {
			ids[i] = report(i)
		}
	})
	repeated := 0
	for i, id := range ids {
		if g.target.Acked(id) {
			continue
		}
		repeated++ // by a target, what was not acknowledged
		sent := time.Time{}
		g.eventually("taken", func() bool {
			if time.Since(sent) > 100*time.Millisecond {
				id, sent = report(i), time.Now()
			}
			return g.target.Acked(id)
		})
	}
	if repeated < lists/2 {
		t.Errorf("%d lists of %d were dropped: the test proves nothing", repeated, lists)
	}
	g.settle()
	g.peek(func(l *loop) {
		if n := l.bridges[b].learned; n != lists*10 {
			t.Errorf("%d MACs learned of %d", n, lists*10)
		}
	})
}

func TestAClockThatJumpsEndsNothingEarlyAndKeepsNothingForEver(t *testing.T) {
	o := options{cfg: testConfig()}
	o.cfg.Duplicates = Duplicates{Moves: 3, Window: time.Minute, Freeze: time.Hour}
	g, b := twoPorts(t, o)
	move := func(m ether.MAC, times int) {
		for i := range times {
			g.learn(b, uint16(1+i%2), m)
		}
	}
	move(mac(1), 4)
	frozen := func() (is bool) {
		g.peek(func(l *loop) { l.thaw(); is = l.bridges[b].frozen(mac(1)) })
		return is
	}
	if !frozen() {
		t.Fatal("a MAC that moved three times is not frozen")
	}
	g.now.advance(-24 * time.Hour) // the clock is put back
	if !frozen() {
		t.Error("the clock went back, and the MAC is free")
	}
	move(mac(2), 2) // once; moves of before the jump do not count against it
	g.now.advance(30 * time.Minute)
	if !frozen() {
		t.Error("half an hour later the MAC is free")
	}
	g.now.advance(31 * time.Minute)
	if frozen() {
		t.Error("an hour after the MAC was frozen, by the clock that was put back, it still is")
	}
	g.now.advance(10 * 365 * 24 * time.Hour)
	g.learn(b, 1, mac(3))
	g.settle()
	g.wantFDB(b, mac(3), "port 1")
	g.now.advance(-10 * 365 * 24 * time.Hour)
	move(mac(4), 2)
	g.settle()
	g.wantFDB(b, mac(4), "port 2")
}
