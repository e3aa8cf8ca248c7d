package front

import (
	"net/netip"
	"testing"

	"github.com/p4evpn/p4evpn/bfd"
	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/wire"
)

// path is a session that is up, and what it is when it is lost.
func path(a netip.Addr, independent bool) (up, lost bfd.Status) {
	up = bfd.Status{Peer: a, Discriminator: 7, State: bfd.Up, RemoteState: bfd.Up, Independent: independent}
	lost = up
	lost.State, lost.LastDown, lost.Failures = bfd.Down, bfd.TimeExpired, 1
	return up, lost
}

// RFC 5882 section 4.3.2.2, RFC 9384, RFC 8538 section 3.1.
func TestALostPathEndsTheSessionAtOnceAndItsRoutesGo(t *testing.T) {
	for name, c := range map[string]struct {
		open              []byte
		independent, hard bool
	}{
		"without graceful restart":      {hello(65002, lowID), true, false},
		"with graceful restart":         {hello(65002, lowID, gracefully), true, false},
		"with the N bit":                {hello(65002, lowID, gracefully, notifying), true, true},
		"with the N bit, without the C": {hello(65002, lowID, gracefully, notifying), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			v := run(t, l.graceful(l.raw(2, 65002)))
			p := twoRoutes(l, v, c.open)
			up, lost := path(l.addr(2), c.independent)
			v.SetBFD(up)
			if st := v.Peers()[0]; st.BFD != up || !st.Up {
				t.Errorf("%+v", st)
			}
			v.SetBFD(lost)
			if n := p.expectEnd(wire.Cease, wire.BFDDown); n.Hard != c.hard {
				t.Errorf("a hard reset: %v", n.Hard)
			}
			v.awaitLast(l.addr(2), "peer down")
			v.awaitRoutes(l.addr(2))
			if st := v.Peers()[0]; st.LastDown != "BFD: the path is lost" || st.BFD != lost {
				t.Errorf("%+v", st)
			}
		})
	}
}

// RFC 5882 section 4.3: a restart goes on if the end of BFD may be a part of it.
func TestALostPathTakesTheRoutesOfAPeerThatIsAwayIfItsBFDIsIndependent(t *testing.T) {
	for name, independent := range map[string]bool{"with the C bit": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			v := run(t, l.graceful(l.raw(2, 65002)))
			up, lost := path(l.addr(2), independent)
			v.SetBFD(up)
			_ = twoRoutes(l, v, hello(65002, lowID, gracefully)).conn.Close()
			v.awaitLast(l.addr(2), "peer down graceful")
			v.SetBFD(lost)
			if independent {
				v.awaitRoutes(l.addr(2))
				v.awaitPeer(l.addr(2), "without kept routes", func(st bgp.PeerState) bool { return !st.Graceful })
				return
			}
			// What was sent is handled before what comes now.
			v.awaitTaken(l.addr(2))
			v.awaitRoutes(l.addr(2), leafRoute(1), leafRoute(2))
			l.connect(2).establish(hello(65002, lowID, gracefully, func(o *wire.Open) { o.GracefulRestart.Restarting = true }))
			v.awaitRoutes(l.addr(2), leafRoute(1), leafRoute(2))
		})
	}
}

// RFC 5882 section 3.2 and 4.1; RFC 5880 section 6.8.16.
func TestWhatIsNoLossOfThePathEndsNothing(t *testing.T) {
	l := newLab(t)
	v := run(t, l.graceful(l.raw(2, 65002)))
	p := twoRoutes(l, v, hello(65002, lowID))
	up, lost := path(l.addr(2), true)
	off, another := up, lost
	off.State, off.RemoteState, off.LastDown = bfd.Down, bfd.AdminDown, bfd.NeighborDown
	another.Discriminator = 8
	unknown := bfd.Status{Peer: l.addr(2), Trouble: "out of reach"}
	opening := up
	opening.State = bfd.Init
	for _, st := range []bfd.Status{
		{Peer: l.addr(2), Discriminator: 7, State: bfd.Down}, opening, // it never comes up
		up, off, up, unknown, // the process is away
		lost,                                                                // and what was before it was away is not known
		another,                                                             // nor what another session has been through
		{Peer: l.addr(9)}, {Peer: l.addr(9), Discriminator: 7, Failures: 3}, // nobody's
		{Peer: l.addr(2)},
	} {
		v.SetBFD(st)
	}
	v.awaitTaken(l.addr(2))
	p.send(wire.AppendMessage(nil, wire.KeepaliveType, nil))
	if st := v.Peers()[0]; !st.Up || st.Flaps != 0 || st.BFD != (bfd.Status{}) {
		t.Errorf("%+v", st)
	}
	v.awaitRoutes(l.addr(2), leafRoute(1), leafRoute(2))
}

// awaitTaken waits until a neighbour has taken what BFD said to it.
func (v *view) awaitTaken(a netip.Addr) {
	v.t.Helper()
	v.Speaker.mu.Lock()
	n := v.neighbor(a)
	v.Speaker.mu.Unlock()
	v.awaitPeer(a, "taken", func(bgp.PeerState) bool {
		done := make(chan struct{})
		n.post(func() { close(done) })
		<-done
		return len(n.pathEnds) == 0
	})
}
