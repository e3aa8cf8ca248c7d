package controller

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/controller/underlay"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

var (
	seeds  = flag.Int("seeds", 20, "how many random histories the property test goes through")
	length = flag.Int("steps", 150, "how many inputs each of them has")
	first  = flag.Uint64("seed", 1, "the first of them")
)

// story drives a gateway through random inputs.
type story struct {
	*gateway
	rand   *rand.Rand
	best   map[bgp.Key]bgp.Event // of the peers' routes
	leaves []netip.Addr
	failed map[neighborKey]bool // the kernel asked for it in vain
}

// Whatever comes in whatever order, the entries on the target are in the end
// those that a controller makes that sees only the last state, and nothing is
// left in memory of what is gone.
func TestTheOrderOfInputsDoesNotMatter(t *testing.T) {
	for seed := *first; seed < *first+uint64(*seeds); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			cfg := testConfig()
			cfg.Duplicates.Moves, cfg.VTEPs = -1, []netip.Addr{vtep1, vtep2}
			if seed%4 == 0 {
				cfg.AS = 0 // until there is a speaker
			}
			if seed%2 == 0 {
				cfg.MaxMACs, cfg.Ports[0].MaxMACs = 4, 2
			}
			cfg.AcceptUnknownVTEPs = seed%5 == 0
			cfg.SVIs = map[string]SVI{"svi-1": {Unique: true}}
			cfg.VRFs = map[string]VRF{"vrf-0": {StaticRoutes: []StaticRoute{{prefix("10.99.0.0/16"), addr("10.0.0.102")}}}}
			cfg.Ports[2].StaticMACs = []StaticMAC{{MAC: mac(3)}, {MAC: mac(4), VLAN: 10}}
			h := &story{
				gateway: start(t, options{cfg: cfg, target: p4rttest.Config{Seed: seed, MayFail: true}}),
				rand:    rand.New(rand.NewPCG(seed, 0)), best: map[bgp.Key]bgp.Event{},
				leaves: []netip.Addr{leaf0, leaf1, leaf2, vtep2}, failed: map[neighborKey]bool{},
			}
			for range *length {
				h.step()
			}
			h.target.FailUpdates(nil)
			h.settle()
			h.drain()
			h.settle()
			h.compare(t)
		})
	}
}

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

func (h *story) step() {
	steps := []struct {
		weight int
		do     func()
	}{
		{30, h.route}, {20, h.routeIP}, {16, h.unroute}, {20, h.speak}, {20, h.resolve}, {8, h.changeVRF}, {8, h.changeSVI}, {3, h.punt}, {30, h.report}, {8, h.silence}, {10, h.path}, {8, h.changeBridge}, {8, h.changePort},
		{8, h.changeStaticMAC}, {5, h.changeInstance}, {1, h.changeSpeaker},
		{2, h.peerDown}, {2, h.fail}, {1, h.interrupt}, {8, h.settleMaybe}, {2, h.inspect},
	}
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	n := h.rand.IntN(total)
	for _, s := range steps {
		if n -= s.weight; n < 0 {
			s.do()
			return
		}
	}
}

var vnis, l3vnis = []uint32{100, 200, 300}, []uint32{5000, 6000}

func (h *story) route() {
	leaf, vni := pick(h.rand, h.leaves), pick(h.rand, vnis)
	var r bgp.Route
	if h.rand.IntN(3) == 0 {
		r = floodRoute(leaf, vni)
		r.Label = vni + uint32(h.rand.IntN(2))
	} else {
		r = macRoute(leaf, vni, mac(h.rand.IntN(6)))
		r.Sequence = uint32(h.rand.IntN(4))
		r.Sticky = h.rand.IntN(8) == 0
	}
	if h.rand.IntN(6) == 0 {
		r.RouteTargets = bgp.MakeRouteTargets(bgp.AutoRouteTarget(1, 100), bgp.AutoRouteTarget(1, 200))
	}
	if h.rand.IntN(6) == 0 {
		r.EthernetTag = pick(h.rand, vnis)
	}
	r.RD = bgp.RouterRD(leaf, uint16(int(vni)+h.rand.IntN(3)))
	h.advertise(r)
}

// routeIP is a route of a host or prefix.
func (h *story) routeIP() {
	leaf, l3vni := pick(h.rand, h.leaves), pick(h.rand, l3vnis)
	r := prefixRoute(leaf, l3vni, pick(h.rand,
		[]string{"0.0.0.0/0", "10.0.0.0/24", "10.0.0.101/32", "10.7.0.0/16", "2001:db8::/64", "10.99.0.0/16"}))
	r.Preference = bgp.Preference{LocalPref: 100 + uint32(h.rand.IntN(2)), NeighborAS: uint32(h.rand.IntN(2)),
		MED: uint32(h.rand.IntN(3))}
	if h.rand.IntN(2) == 0 {
		if h.rand.IntN(2) == 0 {
			l3vni = 0
		}
		r = hostRoute(leaf, pick(h.rand, vnis), mac(h.rand.IntN(6)), h.address(), l3vni)
		r.Sequence, r.DefaultGateway = uint32(h.rand.IntN(3)), h.rand.IntN(8) == 0
	}
	h.advertise(r)
}

// address is one of few that hosts and gateways share.
func (h *story) address() string {
	return pick(h.rand, []string{"10.0.0.101", "10.0.0.102", "10.0.1.101", "10.0.0.1", "2001:db8::101", "fe80::101",
		"10.200.0.1", "10.0.0.255"})
}

// speak has a host send ARP or ND. Its MAC is learned on the way.
func (h *story) speak() {
	m, ip := mac(1+h.rand.IntN(5)), h.address()
	bridge, port := uint16(1+h.rand.IntN(3)), uint16(1+h.rand.IntN(3))
	if addr(ip).Is4() {
		h.target.SendPacketIn(packetIn(p4.PuntARP, port, bridge, 0, arp(m, ip, "10.0.0.9")))
	} else {
		h.target.SendPacketIn(packetIn(p4.PuntND, port, bridge, 0,
			nd(packet.ICMPv6NeighborSolicitation, m, ip, "fe80::9", sourceMAC)))
	}
}

// resolve has the kernel say that it found a neighbour, or lost one.
func (h *story) resolve() {
	n := slowpath.Neighbor{VRF: 99, Bridge: uint16(1 + h.rand.IntN(3)), IP: addr(h.address())}
	h.peek(func(l *loop) {
		if b := l.bridges[n.Bridge]; b != nil && b.svi != nil {
			n.VRF = b.svi.vrf.Index
		}
	})
	if h.rand.IntN(3) > 0 {
		n.MAC, n.Present = mac(1+h.rand.IntN(5)), true
	}
	h.failed[neighborKey{n.Bridge, n.IP}] = !n.Present
	h.slow.events <- n
}

// neighbors are what the kernel knows of the SVIs that are in place. What it said of a host
// that has moved since would be news if it said it now. What did not answer it, and has not
// spoken since, is not there because a peer once said that its MAC has the address.
func (h *story) neighbors() (out []slowpath.Neighbor) {
	h.peek(func(l *loop) {
		for _, b := range l.bridges {
			for ip, a := range b.addresses {
				mac := a.claimant(bySlowPath)
				if at := b.locate(ip); !mac.IsZero() && (at.claimed || at.mac == mac) {
					out = append(out, slowpath.Neighbor{VRF: b.svi.vrf.Index, Bridge: b.Index, IP: ip, MAC: mac,
						Present: true})
				} else if b.svi != nil && h.failed[neighborKey{b.Index, ip}] && !at.here() {
					out = append(out, slowpath.Neighbor{VRF: b.svi.vrf.Index, Bridge: b.Index, IP: ip})
				}
			}
		}
	})
	return out
}

func (h *story) punt() {
	h.target.SendPacketIn(packetIn(p4.PuntReason(1+h.rand.IntN(6)), 1, uint16(h.rand.IntN(4)), uint16(h.rand.IntN(3)),
		[]byte("anything")))
}

func (h *story) changeVRF() {
	n := h.rand.IntN(2)
	o := intent.VRF{ID: fmt.Sprintf("vrf-%d", n), VNI: l3vnis[n]}
	switch h.rand.IntN(4) {
	case 0:
		o.VNI = 0
	case 1:
		o.VTEP = netip.PrefixFrom(vtep2, 32)
	case 2:
		o.Loopback = prefix("10.200.0.1/32")
	}
	_ = h.store.Update(func(tx *intent.Tx) error {
		if _, err := tx.VRFs().Get(o.ID); err != nil {
			_, err = tx.VRFs().Create(o)
			return err
		}
		if h.rand.IntN(4) == 0 {
			return tx.VRFs().Delete(o.ID) // refused while SVIs use it
		}
		_, err := tx.VRFs().Update(o)
		return err
	})
}

func (h *story) changeSVI() {
	n := h.rand.IntN(3)
	o := intent.SVI{ID: fmt.Sprintf("svi-%d", n), VRF: fmt.Sprintf("vrf-%d", h.rand.IntN(2)),
		Bridge:   fmt.Sprintf("bridge-%d", h.rand.IntN(3)),
		Gateways: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(n), 1}), 24)}}
	if h.rand.IntN(2) == 0 {
		o.Gateways = append(o.Gateways, netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: byte(n), 15: 1}),
			64))
	}
	if h.rand.IntN(3) == 0 {
		o.MAC = mac(1 + h.rand.IntN(5)) // a tenant may have it
	}
	_ = h.store.Update(func(tx *intent.Tx) error {
		if _, err := tx.SVIs().Get(o.ID); err != nil {
			_, err = tx.SVIs().Create(o)
			return err
		}
		if h.rand.IntN(3) == 0 {
			return tx.SVIs().Delete(o.ID)
		}
		_, err := tx.SVIs().Update(o)
		return err
	})
}

func (h *story) advertise(r bgp.Route) {
	h.best[r.Key] = update(pick(h.rand, []netip.Addr{peer1, peer2}), r)
	h.send(h.best[r.Key])
}

func (h *story) unroute() {
	for key, e := range h.best {
		delete(h.best, key)
		h.send(withdraw(e.Peer, e.Route))
		return
	}
}

// peerDown takes away what a peer alone has. The other one has some of it too.
func (h *story) peerDown() {
	var events []bgp.Event
	for key, e := range h.best {
		switch {
		case e.Peer != peer1:
		case h.rand.IntN(3) == 0:
			h.best[key] = update(peer2, e.Route)
			events = append(events, h.best[key])
		default:
			delete(h.best, key)
			events = append(events, withdraw(peer1, e.Route))
		}
	}
	h.send(append(events, bgp.Event{Peer: peer1, Kind: bgp.PeerDown})...)
}

func (h *story) report() {
	_, _ = h.target.SendDigest(p4.DigestID(),
		learnData(uint16(1+h.rand.IntN(3)), mac(h.rand.IntN(6)), uint16(1+h.rand.IntN(3))))
}

func (h *story) silence() {
	for _, k := range h.entries() {
		if s, ok := k.(p4.Source); ok && s.IdleTimeout != 0 {
			h.target.SendIdle(s.Entry().Entity().GetTableEntry())
			return
		}
	}
}

func (h *story) path() {
	leaf := pick(h.rand, h.leaves)
	switch h.rand.IntN(5) {
	case 0:
		h.underlay.Set(leaf, "no route")
	case 1:
		h.underlay.Set(leaf, "", path1)
	case 2:
		h.underlay.Set(leaf, "", path2)
	case 3:
		h.underlay.Set(leaf, "", path1, path2)
	case 4:
		h.underlay.Set(leaf, "", underlay.Path{Uplink: "host1", Source: up1, Destination: hop2})
	}
}

func (h *story) changeBridge() {
	n := h.rand.IntN(3)
	o := intent.LogicalBridge{ID: fmt.Sprintf("bridge-%d", n), VLAN: uint16(10 * (n + 1)), VNI: vnis[n]}
	switch h.rand.IntN(5) {
	case 0:
		o.VNI = 0
	case 1:
		o.VTEP = netip.PrefixFrom(vtep2, 32)
	case 2:
		o.VLAN++
	}
	_ = h.store.Update(func(tx *intent.Tx) error {
		if _, err := tx.Bridges().Get(o.ID); err != nil {
			_, err = tx.Bridges().Create(o)
			return err
		}
		if h.rand.IntN(3) == 0 {
			return tx.Bridges().Delete(o.ID) // refused while ports use it
		}
		_, err := tx.Bridges().Update(o)
		return err
	})
}

func (h *story) changePort() {
	o := intent.BridgePort{ID: fmt.Sprintf("eth%d", 1+h.rand.IntN(3)), MAC: mac(0xbb), Type: intent.Trunk}
	for n := range 3 {
		if h.rand.IntN(2) == 0 {
			o.Bridges = append(o.Bridges, fmt.Sprintf("bridge-%d", n))
		}
	}
	if h.rand.IntN(2) == 0 {
		o.Type, o.Bridges = intent.Access, []string{fmt.Sprintf("bridge-%d", h.rand.IntN(3))}
	}
	_ = h.store.Update(func(tx *intent.Tx) error {
		if _, err := tx.Ports().Get(o.ID); err == nil {
			if h.rand.IntN(3) == 0 {
				return tx.Ports().Delete(o.ID)
			}
			_, err = tx.Ports().Update(o)
			return err
		}
		_, err := tx.Ports().Create(o)
		return err
	})
}

// put creates, changes or, one time of three, deletes an object; what the rules
// refuse changes nothing.
func put[T intent.Row[T]](h *story, table func(*intent.Tx) *intent.Table[T], o T) {
	_ = h.store.Update(func(tx *intent.Tx) error {
		t := table(tx)
		if _, err := t.Get(o.Ref().ID); err != nil {
			_, err = t.Create(o)
			return err
		}
		if h.rand.IntN(3) == 0 {
			return t.Delete(o.Ref().ID)
		}
		_, err := t.Update(o)
		return err
	})
}

func (h *story) changeStaticMAC() {
	o := intent.StaticMAC{ID: fmt.Sprintf("host-%d", h.rand.IntN(3)), MAC: mac(1 + h.rand.IntN(5)),
		Bridge: fmt.Sprintf("bridge-%d", h.rand.IntN(3)), Port: fmt.Sprintf("eth%d", 1+h.rand.IntN(3))}
	if h.rand.IntN(2) == 0 {
		o.IPs = append(o.IPs, addr(h.address()))
	}
	put(h, (*intent.Tx).StaticMACs, o)
}

func (h *story) changeInstance() {
	o := intent.Instance{ID: pick(h.rand, []string{"bridge.bridge-0", "bridge.bridge-1", "vrf.vrf-0", "vrf.vrf-1"})}
	for _, rt := range mustRTs("65001:100", "65001:200", "65001:5000", "9:9") {
		if h.rand.IntN(3) == 0 {
			o.Import = append(o.Import, rt)
		}
		if h.rand.IntN(3) == 0 {
			o.Export = append(o.Export, rt)
		}
	}
	if h.rand.IntN(2) == 0 {
		o.RD = mustRD(pick(h.rand, []string{"10.0.0.1:100", "10.0.0.1:5000", "9:9"}))
	}
	put(h, (*intent.Tx).Instances, o)
}

func (h *story) changeSpeaker() {
	if h.cfg.AS != 0 {
		return
	}
	put(h, (*intent.Tx).Speakers, intent.Speaker{AS: 65000 + uint32(h.rand.IntN(2)), RouterID: addr("10.0.0.1")})
}

// fail has the target refuse some updates from now on, or no longer.
func (h *story) fail() {
	if h.rand.IntN(2) == 0 {
		h.target.FailUpdates(nil)
		return
	}
	seed, n := h.rand.Uint64(), 0
	h.target.FailUpdates(func(*p4v1.Update) error {
		n++
		if rand.New(rand.NewPCG(seed, uint64(n))).IntN(5) == 0 {
			return status.Error(codes.ResourceExhausted, "table full")
		}
		return nil
	})
}

func (h *story) interrupt() {
	if h.rand.IntN(2) == 0 {
		h.target.Restart()
	} else {
		h.target.Disconnect()
	}
}

func (h *story) settleMaybe() {
	h.target.FailUpdates(nil)
	h.settle()
}

// drain waits until a digest of no bridge was taken: what was sent before it has
// arrived then. One may be lost with a connection that was just cut.
func (h *story) drain() {
	h.eventually("digests drained", func() bool {
		list, ok := h.target.SendDigest(p4.DigestID(), learnData(99, mac(1), 99))
		for end := time.Now().Add(time.Second); ok && time.Now().Before(end); time.Sleep(time.Millisecond) {
			if h.target.Acked(list) {
				return true
			}
		}
		return false
	})
}

// compare holds the target against one whose controller saw only the last
// state. What was learned and heard is an input: the other one takes it from its
// target, and from the kernel.
func (h *story) compare(t *testing.T) {
	var sources []*p4v1.Entity
	held := h.entries()
	for _, k := range held {
		switch k := k.(type) {
		case p4.Source:
			if k.Verdict == p4.Known && k.IdleTimeout != 0 {
				sources = append(sources, k.Entry().Entity())
			}
		case p4.ARPHost:
			if k.Metadata != "" {
				sources = append(sources, k.Entry().Entity())
			}
		case p4.NDHost:
			if k.Metadata != "" {
				sources = append(sources, k.Entry().Entity())
			}
		}
	}
	server := p4rttest.New(t, p4rttest.Config{Check: checkOrder, Running: &p4v1.ForwardingPipelineConfig{
		P4Info: p4.P4Info(), Cookie: &p4v1.ForwardingPipelineConfig_Cookie{Cookie: p4.Cookie()}}})
	server.Put(sources...)
	fresh := start(t, options{cfg: h.cfg, server: server, store: h.store})
	fresh.settle()
	for a, c := range h.underlay.Known() {
		fresh.underlay.Set(a, c.Reason, c.Paths...)
	}
	for _, e := range h.best {
		fresh.send(e)
	}
	for _, n := range h.neighbors() {
		fresh.slow.events <- n
	}
	fresh.settle()
	for _, g := range []*gateway{h.gateway, fresh} {
		g.regroup()
	}
	held = h.entries()
	if got, want := withoutDeclined(held), withoutDeclined(fresh.entries()); !slices.Equal(got, want) {
		t.Errorf("%s", difference(got, want))
	}
	h.wantSameRoutes(t, fresh)
	for _, g := range []*gateway{h.gateway, fresh} {
		g.peek((*loop).forgetInactive)
		g.settle()
	}
	h.wantSameMemory(t, fresh)
	if got, want := h.slow.remotes(), fresh.slow.remotes(); !maps.Equal(got, want) {
		t.Errorf("the kernel was told of %v, want %v", got, want)
	}
	if got, want := h.slow.told(), fresh.slow.told(); !maps.Equal(got, want) {
		t.Errorf("router advertisements go to %v, want %v", got, want)
	}
	h.wantDeclinedKnown(t, held)
}

// withoutDeclined leaves out sources that were declined once: they go when they
// are silent.
func withoutDeclined(held []entry) []string {
	return facts(slices.DeleteFunc(slices.Clone(held), func(k entry) bool {
		s, ok := k.(p4.Source)
		return ok && s.Verdict != p4.Known
	}))
}

func difference(got, want []string) string {
	var b strings.Builder
	for _, s := range got {
		if !slices.Contains(want, s) {
			fmt.Fprintf(&b, "\n  too much: %s", s)
		}
	}
	for _, s := range want {
		if !slices.Contains(got, s) {
			fmt.Fprintf(&b, "\n  missing:  %s", s)
		}
	}
	if b.Len() == 0 {
		return fmt.Sprintf("duplicates:\n%s", strings.Join(got, "\n"))
	}
	return b.String()
}

func (h *story) wantSameRoutes(t *testing.T, fresh *gateway) {
	render := func(g *gateway) []string {
		var out []string
		for _, r := range g.speaker.Routes() {
			out = append(out, fmt.Sprintf("%+v", r))
		}
		slices.Sort(out)
		return out
	}
	if got, want := render(h.gateway), render(fresh); !slices.Equal(got, want) {
		t.Errorf("advertised: %s", difference(got, want))
	}
}

// wantSameMemory compares how much of everything there is, so that nothing
// piles up.
func (h *story) wantSameMemory(t *testing.T, fresh *gateway) {
	sizes := func(g *gateway) (out string) {
		g.peek(func(l *loop) {
			stations, replicas, learned, hosts, addresses, prefixes := 0, 0, 0, 0, 0, 0
			crowds := map[uint16]int{}
			for _, v := range l.vrfs {
				prefixes += len(v.prefixes)
			}
			for _, b := range l.bridges {
				stations += len(b.macs)
				hosts += len(b.addresses)
				addresses += len(b.claimed) + 1000*len(b.staticIPs) + 1000000*len(b.staticMACs)
				replicas += len(b.replicas)
				learned += b.learned
				b.countAnew(crowds)
				if len(b.flood) != len(b.replicas) {
					out += fmt.Sprintf("bridge %s: %d VTEPs to flood to, %d replicas; ",
						b.ID, len(b.flood), len(b.replicas))
				}
			}
			for _, p := range l.ports {
				learned -= p.learned
				if n := crowds[p.Number]; n != p.addresses {
					out += fmt.Sprintf("port %s: %d addresses are counted, want %d; ", p.Name, p.addresses, n)
				}
			}
			out += fmt.Sprintf("%d hosts, %d counted, %d local, %d addresses, %d prefixes, %d told, ",
				hosts, l.stats.hosts.Load(), l.stats.hostsLocal.Load(), addresses, prefixes, len(l.kernelHosts))
			out += fmt.Sprintf("%d tunnels, %d VTEPs, %d adjacencies, %d stations, %d replicas, "+
				"%d sets of route targets, %d learned too many, %d records, %d failed",
				len(l.tunnels), len(l.remoteVTEPs), len(l.adjacencies), stations, replicas, len(l.routeTargets), learned,
				l.target.Len()-len(declinedSources(l))-g.groupEntries(l), l.target.FailureCount())
		})
		return out
	}
	if got, want := sizes(h.gateway), sizes(fresh); got != want {
		t.Errorf("in memory: %s\nwant:      %s", got, want)
	}
}
