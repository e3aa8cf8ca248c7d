package front

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/bgp/wire"
)

func TestSessionWithAWrongPasswordNeverComesUp(t *testing.T) {
	l := newLab(t)
	n := l.raw(2, 65002)
	n.Password = "right"
	v := run(t, l.config(n))
	cfg := bgptest.Config{Local: l.addr(2), Remote: netip.AddrPortFrom(l.addr(1), l.port), AS: 65002}
	for _, wrong := range []string{"", "wrong"} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		cfg.Password = wrong
		if s, err := bgptest.Dial(ctx, cfg); err == nil {
			s.Close()
			t.Errorf("session up with password %q", wrong)
		}
		cancel()
	}
	cfg.Password = "right"
	s := l.dialAs(cfg)
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(1)))
	v.awaitRoutes(l.addr(2), leafRoute(1))
}

func TestRoutesOriginatedBeforeRunAreSentBeforeAnythingElse(t *testing.T) {
	l := newLab(t)
	n := l.raw(2, 65002)
	s, err := New(Config{BGP: l.graceful(n), Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	gone := ourMAC(9)
	if err := s.Originate(append(ourRoutes(), gone), []bgp.Key{gone.Key}); err != nil {
		t.Fatal(err)
	}
	follow(t, s)
	peer := l.dialAs(bgptest.Config{Local: l.addr(2), AS: 65002, RestartTime: 10 * time.Second})
	keys := map[bgp.Key]bool{}
	for {
		body := receive(t, peer)
		list := changes(t, body)
		if len(list) == 0 { // End-of-RIB
			break
		}
		for _, c := range list {
			keys[c.Route.Key] = true
		}
	}
	if len(keys) != len(ourRoutes()) || keys[gone.Key] {
		t.Errorf("sent %v before End-of-RIB", keys)
	}
}

func TestSlowConsumerLosesNothing(t *testing.T) {
	const routes = 4000
	l := newLab(t)
	s, err := New(Config{BGP: l.config(l.raw(2, 65002)), Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var owned sync.WaitGroup
	owned.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	peer := l.dial(2, 65002)
	const rounds = 8
	for i := range rounds {
		for _, u := range bgptest.MACUpdates(65002, leaf, 100, 0, routes, 16, bgptest.MACMobility(uint32(i+1), false)) {
			must(t, peer, u)
		}
	}
	deadline := time.Now().Add(patience)
	for s.Stats().Updates < rounds*routes && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	got := map[bgp.Key]uint32{}
	for last := 0; last < routes; {
		select {
		case batch := <-s.Events():
			for _, e := range batch {
				if e.Kind == bgp.RouteUpdate {
					if got[e.Route.Key] = e.Route.Sequence; e.Route.Sequence == rounds {
						last++
					}
				}
			}
		case <-time.After(patience):
			t.Fatalf("%d of %d routes arrived in their last form", last, routes)
		}
	}
	if len(got) != routes {
		t.Errorf("%d routes, want %d", len(got), routes)
	}
	cancel()
	owned.Wait()
}

func TestStoppedSpeakerLeavesNoGoroutineAndNoListener(t *testing.T) {
	before := runtime.NumGoroutine()
	l := newLab(t)
	for range 2 { // the second needs the port of the first
		s, err := New(Config{BGP: l.config(l.raw(2, 65002), l.raw(3, 65003)), Logger: discard})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		peer := l.dial(2, 65002)
		must(t, peer, bgptest.Update(leafAttributes(), leafMAC(1)))
		awaitKind(t, s, bgp.RouteUpdate)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if want := (bgptest.NotificationError{Code: 6, Subcode: 2}); !errors.Is(peer.Err(), want) {
			t.Errorf("peer saw %v, want %v", peer.Err(), want)
		}
		for range s.Events() { // closed
		}
		if err := s.Originate([]bgp.Route{ourMAC(1)}, nil); err != nil {
			t.Errorf("after the end: %v", err)
		}
		peer.Close()
	}
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestStopIsNoCeaseForAPeerWithGracefulRestart(t *testing.T) {
	l := newLab(t)
	n := l.raw(2, 65002)
	s, err := New(Config{BGP: l.graceful(n), Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	peer := l.dialAs(bgptest.Config{Local: l.addr(2), AS: 65002, RestartTime: 10 * time.Second})
	awaitKind(t, s, bgp.PeerUp)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	var ceased bgptest.NotificationError
	if err := peer.Err(); errors.As(err, &ceased) {
		t.Errorf("peer saw %v", err)
	}
}

func TestPortInUseIsAnErrorOfRun(t *testing.T) {
	l := newLab(t)
	run(t, l.config(l.raw(2, 65002)))
	l.dial(2, 65002).Close() // it listens
	s, err := New(Config{BGP: l.config(l.raw(2, 65002)), Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil {
		t.Error("second speaker on the same port runs")
	}
}

func TestNeighboursComeAndGoAtRunTime(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002)))
	l.dial(2, 65002)
	v.awaitLast(l.addr(2), "peer up")
	if err := v.AddNeighbor(t.Context(), l.raw(2, 65002)); err == nil {
		t.Error("one neighbour added twice")
	}
	if err := v.AddNeighbor(t.Context(), l.raw(3, 65003)); err != nil {
		t.Fatal(err)
	}
	s := l.dial(3, 65003)
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(1)))
	v.awaitRoutes(l.addr(3), leafRoute(1))
	if err := v.RemoveNeighbor(t.Context(), l.addr(3)); err != nil {
		t.Fatal(err)
	}
	v.awaitLast(l.addr(3), "peer down")
	v.awaitRoutes(l.addr(3))
	if err := v.RemoveNeighbor(t.Context(), l.addr(3)); err == nil {
		t.Error("one neighbour removed twice")
	}
	if p := v.Peers(); len(p) != 1 || p[0].Address != l.addr(2) || !p[0].Up {
		t.Errorf("peers %+v", p)
	}
	if err := v.AddNeighbor(t.Context(), l.raw(3, 65003)); err != nil {
		t.Fatal(err)
	}
	s = l.dial(3, 65003)
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(2)))
	v.awaitRoutes(l.addr(3), leafRoute(2))
	v.await(l.addr(2), "untouched", func(_ map[bgp.Key]bgp.Route, h []string) bool {
		return len(h) == 1 && h[0] == "peer up"
	})
}

func TestSessionsThatComeAndGoLeaveNoGoroutine(t *testing.T) {
	l := newLab(t)
	v := run(t, l.graceful(l.raw(2, 65002)))
	if err := v.Originate(ourRoutes(), nil); err != nil {
		t.Fatal(err)
	}
	session := func(i int) {
		p := l.connect(2).establish(hello(65002, lowID))
		p.updates()
		v.awaitLast(l.addr(2), "peer up")
		switch i % 3 {
		case 0:
			_ = p.conn.Close()
		case 1:
			p.send(notification(wire.Shutdown(wire.AdminReset, "")))
		case 2:
			p.send(wire.AppendMessage(nil, wire.UpdateType, []byte{0, 9, 0, 0}))
			p.ends()
		}
		_ = p.conn.Close()
		v.awaitLast(l.addr(2), "peer down")
	}
	session(0)
	before := runtime.NumGoroutine()
	for i := range 30 {
		session(i)
	}
	for late := time.Now().Add(patience); runtime.NumGoroutine() > before+2; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(late) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}
