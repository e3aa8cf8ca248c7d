package front

import (
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/bgp/wire"
)

// Below and above the identifier of the labs' speakers, 10.0.0.2.
const lowID, highID = "10.0.0.1", "10.0.0.3"

// both gives the two connections of a collision: the one that the speaker has made to its
// neighbour, and the one that the neighbour has made.
func both(t *testing.T, l *lab, v *view) (theirs, own *peer) {
	t.Helper()
	ln := l.listen(2)
	if err := v.AddNeighbor(t.Context(), bgp.Neighbor{
		Address: l.addr(2), AS: 65002, LocalAddress: l.addr(1), Port: l.port, ConnectRetry: time.Second,
	}); err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	theirs = newPeer(t, conn)
	theirs.expect(wire.OpenType)
	own = l.connect(2)
	own.expect(wire.OpenType)
	return theirs, own
}

// RFC 4271 section 6.8: the connection made by the speaker with the higher identifier
// stays, whichever OPEN comes first.
func TestOfTwoConnectionsTheOneOfTheHigherIdentifierStays(t *testing.T) {
	for _, tc := range []struct {
		name, id string
		ours     bool // the speaker's connection stays
		first    bool // it is the first with the peer's OPEN
	}{
		{"ours, heard first", lowID, true, true},
		{"ours, heard last", lowID, true, false},
		{"the neighbour's, heard first", highID, false, false},
		{"the neighbour's, heard last", highID, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t)
			v := run(t, l.config())
			theirs, own := both(t, l, v)
			stays, ends := own, theirs
			if tc.ours {
				stays, ends = theirs, own
			}
			order := []*peer{own, theirs}
			if tc.first {
				order = []*peer{theirs, own}
			}
			for _, p := range order {
				p.send(hello(65002, tc.id))
			}
			stays.expect(wire.KeepaliveType)
			stays.send(keepalive)
			ends.expectEnd(wire.Cease, wire.CollisionResolution)
			stays.send(bgptest.Update(leafAttributes(), leafMAC(1)))
			v.awaitRoutes(l.addr(2), leafRoute(1))
		})
	}
}

// RFC 6286 section 2.3.
func TestOfTwoConnectionsOfEqualIdentifiersTheOneOfTheHigherASStays(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config()) // AS 65000, the neighbour's is 65002
	theirs, own := both(t, l, v)
	theirs.send(hello(65002, "10.0.0.2"))
	own.send(hello(65002, "10.0.0.2"))
	own.expect(wire.KeepaliveType)
	own.send(keepalive)
	theirs.expectEnd(wire.Cease, wire.CollisionResolution)
	v.awaitLast(l.addr(2), "peer up")
}

func TestAConnectionThatIsNotPreferredIsTakenWhenThePreferredOneSaysNothing(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config())
	theirs, own := both(t, l, v)
	own.send(hello(65002, lowID)) // and nothing on ours, which is preferred
	own.expect(wire.KeepaliveType)
	own.send(keepalive)
	v.awaitLast(l.addr(2), "peer up")
	theirs.expectEnd(wire.Cease, wire.CollisionResolution)
}

func TestAPeerThatKeepsTheOtherConnectionGetsItsWay(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config())
	theirs, own := both(t, l, v)
	// Ours is preferred, and the peer ends it: it has taken its own.
	theirs.send(hello(65002, lowID))
	theirs.expect(wire.KeepaliveType)
	own.send(hello(65002, lowID))
	theirs.send(wire.AppendMessage(nil, wire.NotificationType, collision.Append(nil)))
	_ = theirs.conn.Close()
	typ, body, err := own.next()
	// It may be refused before the other one has ended: then the peer tries again.
	for err == nil && (typ == wire.OpenType || typ == wire.NotificationType && isCollision(wire.ParseNotification(body))) {
		if typ == wire.NotificationType {
			own = l.connect(2)
			own.send(hello(65002, lowID))
		}
		typ, body, err = own.next()
	}
	if err != nil || typ != wire.KeepaliveType {
		t.Fatalf("%v % x: %v", typ, body, err)
	}
	own.send(keepalive)
	v.awaitLast(l.addr(2), "peer up")
}

func TestANewConnectionDoesNotTakeThePlaceOfAnEstablishedOne(t *testing.T) {
	l := newLab(t)
	v := run(t, l.graceful(l.raw(2, 65002)))
	l.dial(2, 65002) // without graceful restart
	v.awaitLast(l.addr(2), "peer up")
	l.connect(2).expectEnd(wire.Cease, wire.CollisionResolution)
	v.await(l.addr(2), "up as before", func(_ map[bgp.Key]bgp.Route, h []string) bool { return len(h) == 1 })
}

// RFC 4724 section 5.
func TestANewConnectionOfAPeerWithGracefulRestartTakesThePlaceOfTheEstablishedOne(t *testing.T) {
	l := newLab(t)
	v := run(t, l.graceful(l.raw(2, 65002)))
	old := l.connect(2).establish(hello(65002, lowID, gracefully))
	old.send(bgptest.Update(leafAttributes(), leafMAC(1), leafMAC(2)), bgptest.Withdraw())
	v.awaitLast(l.addr(2), "end of RIB")
	next := l.connect(2)
	next.send(hello(65002, lowID, gracefully))
	next.expect(wire.OpenType)
	if n := old.ends(); n != nil {
		t.Errorf("the old one ended by %v, want no NOTIFICATION", n)
	}
	next.expect(wire.KeepaliveType)
	next.send(keepalive, bgptest.Update(leafAttributes(), leafMAC(2)))
	v.awaitLast(l.addr(2), "peer up")
	v.awaitRoutes(l.addr(2), leafRoute(1), leafRoute(2))
	next.send(bgptest.Withdraw())
	v.awaitRoutes(l.addr(2), leafRoute(2))
}

func TestAYoungSessionOutlivesAConnectionThatThePeerEndsItself(t *testing.T) {
	l := newLab(t)
	v := run(t, l.graceful(l.raw(2, 65002)))
	l.connect(2).establish(hello(65002, lowID, gracefully))
	v.awaitLast(l.addr(2), "peer up")
	second := l.connect(2) // of the same beginning: the peer has chosen the first one too
	second.send(hello(65002, lowID, gracefully))
	second.expect(wire.OpenType)
	second.send(wire.AppendMessage(nil, wire.NotificationType, collision.Append(nil)))
	_ = second.conn.Close()
	third := l.connect(2)
	third.expect(wire.OpenType)
	_ = third.conn.Close()
	time.Sleep(2 * usual.collision) // longer than it would wait: nothing comes of it
	v.await(l.addr(2), "up as before", func(_ map[bgp.Key]bgp.Route, h []string) bool { return len(h) == 1 })
}

func TestConnectionsThatSayNothingAreFewAndEndInTime(t *testing.T) {
	l := newLab(t)
	s, err := New(Config{BGP: l.config(l.raw(2, 65002)), Logger: testLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	s.timing.open = 3 * time.Second
	v := follow(t, s)
	var all []*peer
	for range 20 {
		all = append(all, l.connect(2))
	}
	began := time.Now()
	for i, p := range all[:len(all)-maxAccepted] {
		if n := p.ends(); n != nil && !isCollision(n) {
			t.Errorf("connection %d ended by %v, want 6/7", i, n)
		}
	}
	for _, p := range all[len(all)-maxAccepted:] {
		p.expectEnd(wire.HoldTimerExpired, 0)
	}
	if took := time.Since(began); took > 3*s.timing.open {
		t.Errorf("the last ended after %v", took)
	}
	l.connect(2).establish(hello(65002, lowID))
	v.awaitLast(l.addr(2), "peer up")
}
