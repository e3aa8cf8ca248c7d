package front

import (
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/bgp/wire"
)

// RFC 4486 section 4: the family and the limit.
func TestANeighbourOverItsLimitIsToldTheLimitAndLosesItsRoutes(t *testing.T) {
	l := newLab(t)
	n := l.raw(2, 65002)
	n.MaxPrefixes = 2
	v := run(t, l.graceful(n))
	p := l.connect(2).establish(hello(65002, lowID, gracefully, notifying))
	p.send(bgptest.Update(leafAttributes(), leafMAC(1), leafMAC(2)))
	v.awaitRoutes(l.addr(2), leafRoute(1), leafRoute(2))
	p.send(bgptest.Update(leafAttributes(), leafMAC(2), leafMAC(3)))
	got := p.expectEnd(wire.Cease, wire.MaximumPrefixes)
	if want := []byte{0, 25, 70, 0, 0, 0, 2}; !slices.Equal(got.Data, want) || !got.Hard {
		t.Errorf("data % x, hard reset %v; want % x and a hard reset (RFC 8538 section 3)", got.Data, got.Hard, want)
	}
	v.awaitLast(l.addr(2), "peer down") // not gracefully
	v.awaitRoutes(l.addr(2))
}

func TestUnicastRoutesHaveALimitToo(t *testing.T) {
	l := newLab(t)
	n := l.unicastNeighbor(2, 65002)
	n.MaxPrefixes = 1
	v := run(t, l.config(n))
	s := l.dialUnicast(2, 65002)
	must(t, s, bgptest.UnicastUpdate(l.fromLeaf(2, 65002), leafVTEP, leafOther))
	if want := (bgptest.NotificationError{Code: wire.Cease, Subcode: wire.MaximumPrefixes}); s.Err() != want {
		t.Errorf("session ended by %v, want %v", s.Err(), want)
	}
	awaitUnicast(t, v.Speaker, l.addr(2), bgp.PeerDown, netip.Prefix{})
}

func TestANeighbourOverItsLimitIsLetBeForATimeThatGrows(t *testing.T) {
	l := newLab(t)
	n := l.raw(2, 65002)
	n.MaxPrefixes = 1
	s, err := New(Config{BGP: l.config(n), Logger: testLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	s.timing.limitRetry, s.timing.limitMost = 200*time.Millisecond, 400*time.Millisecond
	v := follow(t, s)
	for _, pause := range []time.Duration{200, 400, 400} {
		p := l.connect(2).establish(hello(65002, lowID))
		p.send(bgptest.Update(leafAttributes(), leafMAC(1), leafMAC(2)))
		p.expectEnd(wire.Cease, wire.MaximumPrefixes)
		v.awaitState(l.addr(2), stateIdle)
		began := time.Now()
		n, took := l.connect(2).ends(), time.Since(began)
		if took < pause*time.Millisecond*3/4 && (n == nil || n.Code != wire.Cease || n.Subcode != wire.ConnectionRejected) {
			t.Errorf("a connection %v after the session was told %v, want to be refused", took, n)
		}
		v.awaitState(l.addr(2), stateActive)
		if took = time.Since(began); took < pause*time.Millisecond*3/4 {
			t.Errorf("it was let be for %v, want %v", took, pause*time.Millisecond)
		}
	}
}

func TestTheLimitIsAQuarterOfAMillionUnlessItIsGiven(t *testing.T) {
	for given, want := range map[uint32]uint32{0: 250_000, 7: 7} {
		l := newLab(t)
		n := l.raw(2, 65002)
		n.MaxPrefixes = given
		s, err := New(Config{BGP: l.config(n)})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.neighbors[0].excess.limit; got != want {
			t.Errorf("given %d the limit is %d, want %d", given, got, want)
		}
	}
}

func TestANeighbourNearItsLimitIsWarnedOfOnce(t *testing.T) {
	l := newLab(t)
	n := l.raw(2, 65002)
	n.MaxPrefixes = 10
	var log lines
	s, err := New(Config{BGP: l.config(n), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	v := follow(t, s)
	p := l.connect(2).establish(hello(65002, lowID))
	var want []bgp.Route
	for i := range byte(9) {
		p.send(bgptest.Update(leafAttributes(), leafMAC(i)))
		want = append(want, leafRoute(i))
		v.awaitRoutes(l.addr(2), want...)
		warned := 0
		if i >= 7 { // the eighth of ten
			warned = 1
		}
		if got := log.count("nearly as many routes"); got != warned {
			t.Errorf("after %d routes there are %d warnings, want %d", i+1, got, warned)
		}
	}
}
