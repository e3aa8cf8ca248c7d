package controller

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/underlay"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// greed is of how many new entries of each table bridge-10 and VRF blue have need, and content
// what there is room for; more in the others.
const greed, content = 48, 8

// greedy has hosts at eth1 send from their own MACs.
func greedy(e *embedded, from, to int) {
	for i := from; i < to; i++ {
		e.forward(1, arp(mac(0x8000+i), fmt.Sprint("10.10.0.", 20+i), "10.10.0.99"))
	}
}

// flooded fills the tables by what is of bridge-10 and VRF blue, and gives what peers said.
func (g *gateway) flooded() (said []bgp.Event) {
	for i := range greed {
		leaf := netip.AddrFrom4([4]byte{10, 0, 2, byte(i)})
		g.underlay.Foresee(leaf, underlay.Path{Uplink: "host1", Source: up1, Destination: mac(0xf00)})
		alias := hostRoute(leaf, 100, mac(0x6000+i), "10.10.0.1", 0)
		alias.DefaultGateway = true
		for _, r := range []bgp.Route{
			alias, floodRoute(leaf, 100),
			hostRoute(leaf, 100, mac(0x7000+i), fmt.Sprint("10.10.0.", 120+i), 5000),
			hostRoute(leaf, 100, mac(0x7000+i), fmt.Sprint("2001:db8:10::1:", i), 5000),
		} {
			said = append(said, update(peer1, r))
		}
	}
	g.send(said...)
	return said
}

// newcomer is a tenant who comes when others have filled a table: a host here, on eth3, and
// one behind a leaf.
type newcomer struct {
	bridge, vrf   uint16
	here, there   ether.MAC
	leaf          netip.Addr
	local, remote []netip.Addr
}

func (g *gateway) newTenant() newcomer {
	g.Helper()
	n := newcomer{here: mac(0x5001), there: mac(0x5002), leaf: plentyLeaf(1),
		local: []netip.Addr{addr("10.50.0.11")}, remote: []netip.Addr{addr("10.50.0.77"), addr("2001:db8:50::77")}}
	n.bridge, n.vrf = g.bridge(50, 500), g.vrf("crimson", 5004)
	g.svi("crimson", 50, "10.50.0.1/24", "2001:db8:50::1/64")
	g.access("eth3", 50)
	g.send(update(peer1, floodRoute(n.leaf, 500)))
	for _, ip := range n.remote {
		g.send(update(peer1, hostRoute(n.leaf, 500, n.there, ip.String(), 5004)))
	}
	return n
}

// reaches reports whether a frame of the host here leaves for the leaf.
func (n newcomer) reaches(e *embedded, frame []byte) bool {
	for _, p := range e.forward(3, frame) {
		vni := []byte{0, 500 >> 8, 500 & 0xff, 0}
		if (p.Port == 11 || p.Port == 12) && bytes.HasSuffix(p.Data, slices.Concat(vni, frame)) {
			return true
		}
	}
	return false
}

// wanted are the entries of his hosts.
func (n newcomer) wanted() (keys []p4.Key) {
	keys = []p4.Key{p4.Source{Bridge: n.bridge, MAC: n.here, Port: 3}.Key(), p4.FDB{Bridge: n.bridge, MAC: n.here}.Key(),
		p4.FDB{Bridge: n.bridge, MAC: n.there}.Key()}
	for _, ip := range slices.Concat(n.local, n.remote) {
		keys = append(keys, p4.Route{VRF: n.vrf, Prefix: netip.PrefixFrom(ip, ip.BitLen())}.Key())
	}
	return keys
}

func TestATenantWhoFillsATableOfASwitchLeavesTheOthersRoom(t *testing.T) {
	all := plentyOn(t, startEmbedded(t), options{json: switchProgram()})
	all.without()
	whole := sizes(all.shares())
	for _, name := range []string{"bridge.source", "bridge.fdb", "flood.replica", "arp.host", "nd.host", "router.ipv4",
		"router.ipv6", "router.mac", "gateway.mac"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			size := 2*whole.of(name) + 56
			log := &logged{}
			e := startEmbedded(t).(*embedded)
			g := plentyOn(t, e, options{json: sized(t, name, size), program: withSize(name, int64(size)),
				cfg: Config{Logger: slog.New(slog.NewTextHandler(log, nil))}})
			var said []bgp.Event
			if name == "bridge.source" {
				greedy(e, 0, greed)
			} else {
				said = g.flooded()
			}
			g.eventually("some wait", func() bool { return g.without()[name] > 0 })
			owner := "bridge bridge-10"
			if strings.HasPrefix(name, "router.ipv") {
				owner = "VRF blue"
			}
			if n := log.count("no room for more", owner, name+" "); n != 1 {
				t.Errorf("it was said %d times that %s waits, want once: %v", n, owner, log.lines)
			}
			n := g.newTenant()
			n.hasAll(g, e)
			if _, refused := g.updates(); len(refused) != 0 {
				t.Errorf("the switch refused %v, want it asked for nothing that does not fit", refused)
			}
			if name == "bridge.source" { // those that wait come in by what they send
				g.update(func(tx *intent.Tx) error { return tx.Ports().Delete("eth1") })
				g.access("eth1", 10)
			}
			for _, r := range said[:len(said)*(greed-content)/greed] {
				g.send(withdraw(peer1, r.Route))
			}
			g.eventually("the last came in", func() bool {
				var late []p4.Key
				if e.speak(); name == "bridge.source" {
					greedy(e, greed-content, greed)
					late = append(late, p4.Source{Bridge: 1, MAC: mac(0x8000 + greed - 1), Port: 1}.Key())
				}
				return g.hostsKnown() && len(g.without()) == 0 && g.holds(late)
			})
			n.hasAll(g, e)
		})
	}
}

// hasAll waits until the tenant's hosts have all their entries, and reach each other.
func (n newcomer) hasAll(g *gateway, e *embedded) {
	g.Helper()
	unicast := slices.Concat(n.there[:], n.here[:], []byte{0x88, 0xb5}, make([]byte, 46))
	g.eventually("the new tenant's hosts have their entries and reach each other", func() bool {
		flooded := n.reaches(e, arp(n.here, n.local[0].String(), "10.50.0.99"))
		return flooded && g.holds(n.wanted()) && n.reaches(e, unicast)
	})
}

// holds reports whether the target holds all of the entries.
func (g *gateway) holds(keys []p4.Key) bool {
	held := map[p4.Key]bool{}
	for _, k := range g.entries() {
		held[k.Key()] = true
	}
	return !slices.ContainsFunc(keys, func(k p4.Key) bool { return !held[k] })
}
