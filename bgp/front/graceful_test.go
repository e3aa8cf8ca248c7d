package front

import (
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/bgp/wire"
)

func notification(n *wire.Notification) []byte {
	return wire.AppendMessage(nil, wire.NotificationType, n.Append(nil))
}

// twoRoutes begins a session in which the peer has sent two routes and End-of-RIB.
func twoRoutes(l *lab, v *view, open []byte) *peer {
	l.t.Helper()
	p := l.connect(2).establish(open)
	p.send(bgptest.Update(leafAttributes(), leafMAC(1), leafMAC(2)), bgptest.Withdraw())
	v.awaitLast(l.addr(2), "end of RIB")
	v.awaitRoutes(l.addr(2), leafRoute(1), leafRoute(2))
	return p
}

// RFC 4724 section 4.2: the F bit of the new session says what is kept.
func TestAPeerThatLostItsForwardingLosesItsRoutesAtOnce(t *testing.T) {
	l := newLab(t)
	v := run(t, l.graceful(l.raw(2, 65002)))
	_ = twoRoutes(l, v, hello(65002, lowID, gracefully)).conn.Close()
	v.awaitLast(l.addr(2), "peer down graceful")
	v.awaitRoutes(l.addr(2), leafRoute(1), leafRoute(2))
	l.connect(2).establish(hello(65002, lowID, gracefully, func(o *wire.Open) {
		o.GracefulRestart.Restarting, o.GracefulRestart.Families[0].Forwarding = true, false
	}))
	v.awaitRoutes(l.addr(2)) // before any End-of-RIB
}

// RFC 8538 section 3.
func TestANotificationLeavesTheRoutesIfBothSidesHaveTheNBit(t *testing.T) {
	shutdown := wire.Shutdown(wire.AdminShutdown, "back in an hour")
	hard := *shutdown
	hard.Hard = true
	for _, tc := range []struct {
		name  string
		open  []byte
		ends  *wire.Notification
		stays bool
	}{
		{"both have it", hello(65002, lowID, gracefully, notifying), shutdown, true},
		{"a hard reset", hello(65002, lowID, gracefully, notifying), &hard, false},
		{"the peer has it not", hello(65002, lowID, gracefully), shutdown, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t)
			v := run(t, l.graceful(l.raw(2, 65002)))
			p := twoRoutes(l, v, tc.open)
			p.send(notification(tc.ends))
			want := "peer down"
			if tc.stays {
				want = "peer down graceful"
			}
			v.awaitLast(l.addr(2), want)
			if !tc.stays {
				v.awaitRoutes(l.addr(2))
			}
			if st := v.Peers()[0]; !strings.Contains(st.LastDown, "back in an hour") || st.Graceful != tc.stays {
				t.Errorf("peer %+v, want the text of RFC 9003 section 2", st)
			}
		})
	}
}

func TestAnErrorOfOursLeavesTheRoutesIfBothSidesHaveTheNBit(t *testing.T) {
	l := newLab(t)
	v := run(t, l.graceful(l.raw(2, 65002)))
	p := twoRoutes(l, v, hello(65002, lowID, gracefully, notifying))
	p.send(wire.AppendMessage(nil, wire.UpdateType, []byte{0, 9, 0, 0}))
	if n := p.expectEnd(wire.UpdateError, wire.MalformedAttributeList); n.Hard {
		t.Error("it was a hard reset")
	}
	v.awaitLast(l.addr(2), "peer down graceful")
	v.awaitRoutes(l.addr(2), leafRoute(1), leafRoute(2))
}

func TestARemovedNeighbourIsToldSoInAHardReset(t *testing.T) {
	for name, tc := range map[string]struct {
		open []byte
		hard bool
	}{
		"with the N bit":           {hello(65002, lowID, gracefully, notifying), true},
		"without graceful restart": {hello(65002, lowID), false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			n := l.raw(2, 65002)
			n.ShutdownMessage = "moved to the other rack"
			v := run(t, l.graceful(n))
			p := twoRoutes(l, v, tc.open)
			if err := v.RemoveNeighbor(t.Context(), l.addr(2)); err != nil {
				t.Fatal(err)
			}
			got := p.expectEnd(wire.Cease, wire.AdminShutdown)
			if got.Text() != n.ShutdownMessage || got.Hard != tc.hard {
				t.Errorf("got %v, want the text %q, a hard reset %v", got, n.ShutdownMessage, tc.hard)
			}
			v.awaitRoutes(l.addr(2))
		})
	}
}

func TestANeighbourThatIsDownByTheOperatorIsToldSoAndIsIdle(t *testing.T) {
	l := newLab(t)
	n := l.raw(2, 65002)
	v := run(t, l.config(n))
	p := twoRoutes(l, v, hello(65002, lowID))
	n.Shutdown, n.ShutdownMessage = true, "maintenance"
	if err := v.SetNeighbors(t.Context(), []bgp.Neighbor{n}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*peer{p, l.connect(2)} {
		if got := p.expectEnd(wire.Cease, wire.AdminShutdown); got.Text() != "maintenance" {
			t.Errorf("it was told %v", got)
		}
	}
	v.awaitState(l.addr(2), stateIdle)
	n.Shutdown = false
	if err := v.SetNeighbors(t.Context(), []bgp.Neighbor{n}); err != nil {
		t.Fatal(err)
	}
	l.connect(2).establish(hello(65002, lowID))
	v.awaitLast(l.addr(2), "peer up")
}

// RFC 9494 section 4.2.
func TestRoutesOfAPeerThatStaysAwayAreKeptAsALastResort(t *testing.T) {
	longLived := func(time uint32) func(o *wire.Open) {
		return func(o *wire.Open) {
			o.GracefulRestart.Time = 1
			o.LongLived = []wire.LongLived{{Family: wire.EVPN, Forwarding: true, Time: time}}
		}
	}
	l := newLab(t)
	v := run(t, l.graceful(l.raw(2, 65002), l.raw(3, 65002)))
	// Another peer's route is worse but for that.
	worse := leafAttributes()
	worse.ASPath = []uint32{65002, 65009, 65010}
	other := l.connect(3).establish(hello(65002, highID))
	other.send(bgptest.Update(worse, leafMAC(1)))
	p := twoRoutes(l, v, hello(65002, lowID, gracefully, longLived(3600)))
	bestOf := func(peer byte) {
		t.Helper()
		v.await(l.addr(peer), "the best of route 1", func(map[bgp.Key]bgp.Route, []string) bool {
			return v.best[leafRoute(1).Key].Peer == l.addr(peer)
		})
	}
	bestOf(2)
	_ = p.conn.Close()
	v.awaitLast(l.addr(2), "peer down graceful")
	bestOf(3) // after the restart time
	if v.Peers()[0].Routes != 2 {
		t.Errorf("peer %+v, want its routes kept", v.Peers()[0])
	}
	p = l.connect(2).establish(hello(65002, lowID, gracefully, longLived(1)))
	p.send(bgptest.Update(leafAttributes(), leafMAC(1)))
	bestOf(2)
	p.send(bgptest.Withdraw())
	v.awaitPeer(l.addr(2), "one route", func(p bgp.PeerState) bool { return p.Routes == 1 && p.EndOfRIB })
	_ = p.conn.Close()
	v.awaitPeer(l.addr(2), "without routes", func(p bgp.PeerState) bool { return p.Routes == 0 })
	v.awaitLast(l.addr(2), "peer down")
}

func TestTheHoldTimerEndsASessionOfAPeerThatSaysNothingWhole(t *testing.T) {
	l := newLab(t)
	v := run(t, l.graceful(l.raw(2, 65002)))
	p := twoRoutes(l, v, hello(65002, lowID, gracefully, func(o *wire.Open) { o.HoldTime = 3 }))
	began := time.Now()
	stop := make(chan struct{})
	defer close(stop)
	go func() { // one byte at a time, of an UPDATE that never ends
		long := wire.AppendMessage(nil, wire.UpdateType, make([]byte, 4000))
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for i := range long {
			select {
			case <-tick.C:
			case <-stop:
				return
			}
			if _, err := p.conn.Write(long[i : i+1]); err != nil {
				return
			}
		}
	}()
	p.expectEnd(wire.HoldTimerExpired, 0)
	if took := time.Since(began); took < 2*time.Second || took > 15*time.Second {
		t.Errorf("it ended after %v, want about the hold time of 3 s", took)
	}
	v.awaitLast(l.addr(2), "peer down graceful") // as one whose connection broke
}

func TestASessionLivesByItsKeepalives(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002)))
	p := l.connect(2).establish(hello(65002, lowID, func(o *wire.Open) { o.HoldTime = 3 }))
	pace := time.NewTicker(time.Second)
	defer pace.Stop()
	for range 6 { // twice the hold time
		p.send(keepalive)
		<-pace.C
	}
	p.send(bgptest.Update(leafAttributes(), leafMAC(1)))
	v.awaitRoutes(l.addr(2), leafRoute(1))
}
