package front

import (
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/bgp/wire"
)

func TestAnOpenThatIsRefusedSaysWhy(t *testing.T) {
	for _, tc := range []struct {
		name          string
		as            uint32
		open          []byte
		code, subcode uint8
	}{
		{"another AS (RFC 4271 section 6.2)", 65002, hello(65003, lowID), wire.OpenError, wire.BadPeerAS},
		{"our identifier within our AS (RFC 6286 section 2.1)", 65000, hello(65000, "10.0.0.2"), wire.OpenError,
			wire.BadIdentifier},
		{"a hold time of 2 s", 65002, hello(65002, lowID, func(o *wire.Open) { o.HoldTime = 2 }), wire.OpenError,
			wire.UnacceptableHoldTime},
		{"a KEEPALIVE instead (RFC 6608 section 3)", 65002, keepalive, wire.StateMachineError, wire.InOpenSent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t)
			v := run(t, l.config(l.raw(2, tc.as)))
			p := l.connect(2)
			p.expect(wire.OpenType)
			p.send(tc.open)
			n := p.expectEnd(tc.code, tc.subcode)
			v.awaitPeer(l.addr(2), "what was wrong", func(p bgp.PeerState) bool {
				return strings.Contains(p.LastDown, n.Error())
			})
		})
	}
}

func TestMalformedCapabilitiesAreCountedAndTheSessionComesUp(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002)))
	p := l.connect(2)
	// RFC 5492 section 3: each of a length that it cannot have; and some that nobody knows.
	caps := []byte{1, 1, 9, 2, 1, 9, 6, 1, 9, 64, 1, 9, 65, 3, 9, 9, 9, 70, 1, 9, 71, 1, 9, 200, 0, 201, 2, 1, 2}
	caps = append(caps, 1, 4, 0, 25, 0, 70, 65, 4, 0, 0, 0xfd, 0xea)
	body := append([]byte{4, 0xfd, 0xea, 0, 90, 10, 0, 0, 1, byte(len(caps) + 2), 2, byte(len(caps))}, caps...)
	p.send(wire.AppendMessage(nil, wire.OpenType, body))
	p.expect(wire.OpenType)
	p.expect(wire.KeepaliveType)
	p.send(keepalive, bgptest.Update(leafAttributes(), leafMAC(1)))
	v.awaitRoutes(l.addr(2), leafRoute(1))
	if got := v.Peers()[0].Faults[bgp.BadMessage]; got != 7 {
		t.Errorf("%d faults, want 7", got)
	}
}

func TestOurOpenOffersWhatTheFrontDoes(t *testing.T) {
	l := newLab(t)
	n := l.raw(2, 65002)
	n.Families = []bgp.Family{bgp.EVPN, bgp.IPv4Unicast}
	cfg := l.graceful(n)
	cfg.GracefulRestart.RestartTime = 77 * time.Second
	cfg.GracefulRestart.LongLived = time.Hour
	run(t, cfg)
	p := l.connect(2)
	p.expect(wire.OpenType)
	o := p.open
	for _, f := range []wire.Family{wire.EVPN, wire.IPv4Unicast, wire.RTConstraint} {
		if !o.Has(f) {
			t.Errorf("no %v in %+v", f, o)
		}
	}
	gr := o.GracefulRestart
	if !o.AS4 || !o.RouteRefresh || !o.ExtendedMessage || o.EnhancedRefresh || gr == nil || !gr.Notification ||
		gr.Restarting || gr.Time != 77 || len(gr.Families) != 2 || gr.Families[0].Forwarding {
		t.Errorf("OPEN %+v, graceful restart %+v", o, gr)
	}
	if len(o.LongLived) != 1 || o.LongLived[0].Family != wire.EVPN || o.LongLived[0].Time != 3600 {
		t.Errorf("long-lived graceful restart %+v, want an hour for EVPN", o.LongLived)
	}
	if len(o.Unknown) > 0 {
		t.Errorf("capabilities %+v that mean nothing here", o.Unknown)
	}
}

func TestAPeerWithoutAnyCapabilityHasASession(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002)))
	l.connect(2).establish(wire.AppendMessage(nil, wire.OpenType, []byte{4, 0xfd, 0xea, 0, 90, 10, 0, 0, 1, 0}))
	v.awaitLast(l.addr(2), "peer up")
	if err := v.Originate([]bgp.Route{ourMAC(1)}, nil); err != nil {
		t.Fatal(err)
	}
	v.awaitState(l.addr(2), stateEstablished)
}

func TestMessagesAreLongerThan4096BytesIfBothSidesHaveThat(t *testing.T) {
	attrs := leafAttributes()
	var nlri [][]byte
	for i := range 250 {
		nlri = append(nlri, leafMAC(byte(i)))
	}
	long := bgptest.Update(attrs, nlri...)
	if len(long) <= wire.MaxMessage {
		t.Fatal("the message is too short for this test")
	}
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002), l.raw(3, 65002)))
	p := l.connect(2).establish(hello(65002, lowID, func(o *wire.Open) { o.ExtendedMessage = true }))
	p.send(long)
	v.await(l.addr(2), "all routes", func(routes map[bgp.Key]bgp.Route, _ []string) bool {
		return len(routes) == len(nlri)
	})
	p = l.connect(3).establish(hello(65002, "10.0.0.9"))
	p.send(long)
	// RFC 4271 section 6.1: with the length that was wrong.
	n := p.expectEnd(wire.HeaderError, wire.BadMessageLength)
	if len(n.Data) != 2 {
		t.Errorf("data % x, want the length", n.Data)
	}
}
