package front

import (
	"net/netip"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/wire"
)

// elsewhere is a link that none of the lab's neighbours is on.
var elsewhere = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}

// link is the one that they are on.
func (l *lab) link() []netip.Prefix { return []netip.Prefix{netip.PrefixFrom(l.addr(0), 24)} }

func TestANeighbourMustBeOnOurLinkIfNobodyRoutesItsPackets(t *testing.T) {
	for name, c := range map[string]struct {
		n        bgp.Neighbor
		internal bool
		want     bool
	}{
		"eBGP":                        {bgp.Neighbor{}, false, true},
		"eBGP over hops":              {bgp.Neighbor{Multihop: 2}, false, false},
		"eBGP, TTL security":          {bgp.Neighbor{TTLSecurity: 1}, false, true},
		"TTL security, two hops away": {bgp.Neighbor{TTLSecurity: 2}, false, false},
		"iBGP":                        {bgp.Neighbor{}, true, false},
		"iBGP, TTL security":          {bgp.Neighbor{TTLSecurity: 1}, true, true},
	} {
		if c.n.AS = 65002; c.internal {
			c.n.AS = 65000
		}
		if got := onLink(&c.n, 65000); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// RFC 5882 section 4.3.2.2, for a loss that carrier tells; RFC 8538 section 3.1.
func TestASessionEndsAtOnceWithItsLinkAndItsRoutesGo(t *testing.T) {
	l := newLab(t)
	v := run(t, l.graceful(l.raw(2, 65002)))
	p := twoRoutes(l, v, hello(65002, lowID, gracefully, notifying))
	for _, links := range [][]netip.Prefix{elsewhere, nil, l.link(), append(l.link(), elsewhere...), l.link()} {
		v.SetLinks(links) // nothing is lost by these
	}
	v.awaitTaken(l.addr(2))
	v.awaitRoutes(l.addr(2), leafRoute(1), leafRoute(2))
	v.SetLinks(elsewhere)
	if n := p.expectEnd(wire.Cease, wire.AdminReset); !n.Hard {
		t.Error("the peer may keep our routes")
	}
	v.awaitLast(l.addr(2), "peer down")
	v.awaitRoutes(l.addr(2))
	if st := v.Peers()[0]; st.LastDown != "the link to it has no carrier" {
		t.Errorf("%+v", st)
	}
}

// RFC 5882 section 4.3.1: a link fails apart from the control plane behind it.
func TestTheRoutesOfAPeerThatIsAwayGoWithItsLink(t *testing.T) {
	l := newLab(t)
	v := run(t, l.graceful(l.raw(2, 65002)))
	v.SetLinks(l.link())
	_ = twoRoutes(l, v, hello(65002, lowID, gracefully)).conn.Close()
	v.awaitLast(l.addr(2), "peer down graceful")
	v.SetLinks(nil)
	v.awaitRoutes(l.addr(2))
}

func TestANeighbourWhoseLinkIsBackIsConnectedToSoon(t *testing.T) {
	l := newLab(t)
	cfg := l.config(bgp.Neighbor{
		Address: l.addr(2), AS: 65002, LocalAddress: l.addr(1), Port: l.port, ConnectRetry: time.Hour,
	})
	cfg.ListenPort = -1
	v := run(t, cfg)
	v.Speaker.mu.Lock()
	n := v.neighbor(l.addr(2))
	v.Speaker.mu.Unlock()
	n.post(func() { n.dial.wait = time.Hour; n.dial.at(time.Hour) }) // it has been away for long
	v.SetLinks(elsewhere)
	v.SetLinks(l.link())
	p := newPeer(t, l.accept(2))
	p.establish(hello(65002, lowID))
	v.awaitLast(l.addr(2), "peer up")
}
