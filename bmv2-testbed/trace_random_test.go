package testbed

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
	"github.com/p4evpn/p4evpn/packet/packettest"
)

var tracedSeed = flag.Uint64("traced-seed", 0, "of the random gateway; 0: the time")

// The same with objects, routes and stations that are random too.
func TestATraceIsWhatTheTargetDoesWhateverTheGatewayHas(t *testing.T) {
	t.Parallel()
	for _, target := range []string{Embedded, BMv2} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			needDemo(t, target)
			seed := *tracedSeed
			if seed == 0 {
				seed = uint64(time.Now().UnixNano())
			}
			t.Logf("seed %d", seed)
			g := buildRandom(t, target, rand.New(rand.NewPCG(seed, 1)))
			c := newCaptures(t, g.gateway, g.ends, peeringUplinks[0].name, End{NS: g.foreign, Dev: foreignDevice})
			c.verifyAll(t, *tracedFrames, g.frame)
			c.readsTheSame(t)
		})
	}
}

// randomGateway is a gateway with random objects, stations behind its ports, and routes of
// several VTEPs.
type randomGateway struct {
	*peering
	random *rand.Rand
	ends   map[string]End // of the ports, where stations are

	bridges  []*randomBridge
	vrfs     []*randomVRF
	ports    []*randomPort
	stations []*randomStation
	vteps    []netip.Addr
}

type randomBridge struct {
	id       string
	vlan     uint16
	vni      uint32         // 0: none
	vrf      *randomVRF     // nil: it has no SVI
	mac      ether.MAC      // of the SVI
	gateways []netip.Prefix // IPv4, and IPv6 if there is a second
}

type randomVRF struct {
	id       string
	vni      uint32 // 0: none
	prefixes []netip.Prefix
}

type randomPort struct {
	name    string
	trunk   bool
	bridges []*randomBridge
}

// randomStation is behind a port, or behind a VTEP.
type randomStation struct {
	mac     ether.MAC
	bridge  *randomBridge
	port    *randomPort
	vtep    netip.Addr
	ip, ip6 netip.Addr // invalid: it has none
}

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

func (g *randomGateway) one(in int) bool { return g.random.IntN(in) == 0 }

// number gives one that was not given before.
func (g *randomGateway) number(given map[uint32]bool, most uint32) uint32 {
	for {
		if n := 2 + g.random.Uint32N(most-2); !given[n] {
			given[n] = true
			return n
		}
	}
}

func buildRandom(t *testing.T, target string, random *rand.Rand) *randomGateway {
	t.Helper()
	l, ctx := needLab(t), t.Context()
	t.Cleanup(func() { logsOf(t, l) })
	o := DemoOptions{Target: target, Binary: must(builtBinary())(t), Out: testWriter{t}}
	g := &randomGateway{random: random, ends: map[string]End{}}
	g.peering = must(buildPeering(ctx, l, o, []byte{0x11, 0x12, 0x13, 0x14}, gatewayFile{ageing: "10m",
		peers: []Peer{{Address: foreignVTEP, AS: gatewayAS, Passive: true}}}))(t)
	t.Cleanup(func() { viewOf(t, g.gateway) })
	for i, h := range g.hosts {
		g.ends[peeringPorts[i].Dev] = End{NS: h.NS, Dev: h.Dev}
	}
	g.makeObjects(t)
	check(t, g.gateway.AwaitPortsUp(ctx))
	check(t, g.gateway.AwaitRoutingUp(ctx))
	g.makeStations(t)
	g.makeRoutes(t)
	g.awaitStations(t)
	t.Logf("%d bridges, %d VRFs, %d stations", len(g.bridges), len(g.vrfs), len(g.stations))
	return g
}

func (g *randomGateway) makeObjects(t *testing.T) {
	t.Helper()
	ctx, r, vnis, vlans := t.Context(), g.random, map[uint32]bool{}, map[uint32]bool{}
	for i := range 1 + r.IntN(3) {
		v := &randomVRF{id: fmt.Sprintf("vrf%d", i)}
		if !g.one(4) {
			v.vni = g.number(vnis, 1<<24)
		}
		g.vrfs = append(g.vrfs, v)
		check(t, g.gateway.CreateVRF(ctx, v.id, v.vni, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 254, 0, byte(i)}), 32)))
	}
	for i := range 2 + r.IntN(5) {
		b := &randomBridge{id: fmt.Sprintf("bridge%d", i), vlan: uint16(g.number(vlans, 4094))}
		if !g.one(5) {
			b.vni = g.number(vnis, 1<<24)
		}
		g.bridges = append(g.bridges, b)
		check(t, g.gateway.CreateBridge(ctx, b.id, b.vlan, b.vni))
		if len(g.vrfs) == 0 || g.one(3) {
			continue
		}
		b.vrf, b.mac = pick(r, g.vrfs), ether.MAC{2, 0xaa, 0, 0, byte(r.IntN(256)), byte(i)}
		b.gateways = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i), 1}), 24),
			netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::1/64", i+1))}
		b.gateways = b.gateways[:1+r.IntN(2)]
		check(t, g.gateway.CreateSVI(ctx, b.id, b.vrf.id, b.mac, b.gateways...))
	}
	for i := range g.hosts {
		p := &randomPort{name: peeringPorts[i].Dev, trunk: g.one(2)}
		kind := opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS
		p.bridges = []*randomBridge{pick(r, g.bridges)}
		if p.trunk {
			kind = opi.BridgePortType_BRIDGE_PORT_TYPE_TRUNK
			for range r.IntN(len(g.bridges)) {
				if b := pick(r, g.bridges); !slices.Contains(p.bridges, b) {
					p.bridges = append(p.bridges, b)
				}
			}
		}
		var ids []string
		for _, b := range p.bridges {
			ids = append(ids, b.id)
		}
		g.ports = append(g.ports, p)
		check(t, g.gateway.CreatePort(ctx, p.name, ether.MAC{2, 0, 0, 0, 1, byte(i)}, kind, ids...))
	}
}

// station makes one more, with an address of each family or none.
func (g *randomGateway) station(b *randomBridge) *randomStation {
	n := len(g.stations) + 10
	s := &randomStation{bridge: b, mac: ether.MAC{2, 0x10, 0, byte(g.random.IntN(256)), byte(n >> 8), byte(n)}}
	if b.vrf != nil && !g.one(4) {
		ip4 := b.gateways[0].Addr().As4()
		ip4[3] = byte(n)
		s.ip = netip.AddrFrom4(ip4)
		if len(b.gateways) > 1 && !g.one(3) {
			ip6 := b.gateways[1].Addr().As16()
			ip6[15] = byte(n)
			s.ip6 = netip.AddrFrom16(ip6)
		}
	}
	g.stations = append(g.stations, s)
	return s
}

// makeStations has stations of ports known: they say something, or are static.
func (g *randomGateway) makeStations(t *testing.T) {
	t.Helper()
	for _, p := range g.ports {
		for i := range 2 + g.random.IntN(3) {
			s := g.station(pick(g.random, p.bridges))
			s.port = p
			if g.one(4) {
				args := []string{"create", "static-mac", fmt.Sprintf("%s-%d", p.name, i), "--logical-bridge", s.bridge.id,
					"--bridge-port", p.name, "--mac-address", s.mac.String()}
				if s.ip.IsValid() {
					args = append(args, "--ip-addresses", s.ip.String())
				}
				s.ip6 = netip.Addr{}
				must(g.gateway.command(t.Context(), args...))(t)
			}
		}
	}
}

// speak has the stations behind ports say who they are.
func (g *randomGateway) speak() error {
	for _, s := range g.stations {
		if s.port == nil {
			continue
		}
		frames := [][]byte{slices.Concat(ether.Broadcast[:], s.mac[:], []byte{0x88, 0xb5}, make([]byte, 46))}
		if s.ip.IsValid() {
			frames = append(frames, packet.ARPRequest(s.mac, s.ip, s.bridge.gateways[0].Addr()))
		}
		if s.ip6.IsValid() {
			frames = append(frames, packettest.NeighborSolicitation(s.mac, s.ip6, s.bridge.gateways[1].Addr()))
		}
		socket, err := g.ends[s.port.name].NS.OpenRaw(g.ends[s.port.name].Dev)
		for _, f := range frames {
			if err == nil {
				err = socket.Send(g.as(s, f))
			}
		}
		if err != nil {
			return err
		}
		if err := socket.Close(); err != nil {
			return err
		}
	}
	return nil
}

// as is a frame with the tag that a station's has.
func (g *randomGateway) as(s *randomStation, f []byte) []byte {
	if !s.port.trunk {
		return f
	}
	return tagged(f, s.bridge.vlan)
}

// tagged puts a VLAN tag into a frame.
func tagged(f []byte, vlan uint16) []byte {
	return slices.Concat(f[:12], []byte{0x81, 0, byte(vlan >> 8), byte(vlan)}, f[12:])
}

func (v *randomVRF) router(vtep netip.Addr) ether.MAC {
	return ether.MAC{2, 0xbb, 0, 0, byte(v.vni), vtep.As4()[3]}
}

// makeRoutes has VTEPs advertise floods, stations and prefixes by one session.
func (g *randomGateway) makeRoutes(t *testing.T) {
	t.Helper()
	r := g.random
	s := g.rawPeer(t, bgptest.Config{Local: foreignVTEP, AS: gatewayAS, HoldTime: 30 * time.Second})
	for i := range 1 + r.IntN(4) {
		vtep := netip.AddrFrom4([4]byte{172, 17, 0, byte(101 + i)})
		g.vteps = append(g.vteps, vtep)
		check(t, g.foreign.AddAddress(foreignDevice, netip.PrefixFrom(vtep, 24)))
	}
	rd := func(vtep netip.Addr, n int) [8]byte {
		a := vtep.As4()
		return [8]byte{0, 1, a[0], a[1], a[2], a[3], byte(n >> 8), byte(n)}
	}
	send := func(vtep netip.Addr, vni uint32, pmsi []byte, more [][8]byte, nlri []byte) {
		check(t, s.Send(bgptest.Update(bgptest.Attributes{NextHop: vtep, LocalPref: true, PMSI: pmsi,
			Communities: append([][8]byte{bgptest.RouteTarget(gatewayAS, vni), bgptest.VXLAN()}, more...)}, nlri)))
	}
	for i, b := range g.bridges {
		for _, vtep := range g.vteps {
			if b.vni == 0 || g.one(4) {
				continue
			}
			send(vtep, b.vni, bgptest.IngressReplication(b.vni, vtep), nil, bgptest.MulticastRoute(rd(vtep, i), 0, vtep))
			for range r.IntN(4) {
				st := g.station(b)
				st.vtep = vtep
				labels := []uint32{b.vni}
				more := [][8]byte{bgptest.MACMobility(r.Uint32N(3), false)}
				if b.vrf != nil && b.vrf.vni != 0 && g.one(2) {
					labels = append(labels, b.vrf.vni)
					more = append(more, bgptest.RouterMAC(b.vrf.router(vtep)), bgptest.RouteTarget(gatewayAS, b.vrf.vni))
				}
				for _, ip := range []netip.Addr{{}, st.ip, st.ip6} {
					if !ip.IsValid() && ip != (netip.Addr{}) {
						continue
					}
					send(vtep, b.vni, nil, more, bgptest.MACRoute(rd(vtep, i), 0, st.mac, ip, labels...))
				}
			}
		}
	}
	for i, v := range g.vrfs {
		for n := range r.IntN(6) {
			if v.vni == 0 {
				break
			}
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(64 + i), byte(16 * n), 0}), 12+r.IntN(13)).Masked()
			if g.one(3) {
				p = netip.PrefixFrom(netip.MustParseAddr(fmt.Sprintf("3fff:%x:%x::", i, n)), 32+r.IntN(33)).Masked()
			}
			vtep := pick(r, g.vteps)
			v.prefixes = append(v.prefixes, p)
			send(vtep, v.vni, nil, [][8]byte{bgptest.RouterMAC(v.router(vtep))},
				bgptest.PrefixRoute(rd(vtep, 100+i), p, netip.Addr{}, v.vni))
		}
	}
}

// awaitStations waits until the gateway knows all stations where they are.
func (g *randomGateway) awaitStations(t *testing.T) {
	t.Helper()
	check(t, Eventually(t.Context(), 2*patience, "the gateway knows all stations", func(ctx context.Context) error {
		if err := g.speak(); err != nil {
			return err
		}
		for _, b := range g.bridges {
			fdb, err := g.gateway.FDB(ctx, b.id)
			if err != nil {
				return err
			}
			for _, s := range g.stations {
				e := fdb[s.mac.String()]
				if s.bridge == b && (e == nil || (e.GetPort() != "") != (s.port != nil) || s.port == nil &&
					e.GetVtep() != s.vtep.String()) {
					return fmt.Errorf("%v of %s is at %v", s.mac, b.id, e)
				}
			}
		}
		out, err := g.gateway.Show(ctx, "hosts")
		for _, s := range g.stations {
			for _, ip := range []netip.Addr{s.ip, s.ip6} {
				if err == nil && ip.IsValid() && !strings.Contains(out, ip.String()+" ") {
					err = fmt.Errorf("%v is not known", ip)
				}
			}
		}
		return err
	}))
}

// frame makes one of a station behind a port, or that a VTEP sends. What it says of its
// sender is true, or of a MAC that is nobody's.
func (g *randomGateway) frame() *traced {
	r := g.random
	from := pick(r, g.stations)
	f := &traced{}
	tag := func(b []byte) []byte { return b }
	bridge := from.bridge
	switch {
	case from.port == nil:
		f.vtep, f.vni = from.vtep, from.bridge.vni
		switch r.IntN(8) {
		case 0:
			f.vni = r.Uint32N(1 << 24)
		case 1, 2:
			if bridge.vrf != nil && bridge.vrf.vni != 0 {
				f.vni = bridge.vrf.vni
			}
		}
	default:
		f.port = from.port.name
		vlan := uint16(0)
		if from.port.trunk {
			vlan = bridge.vlan
		}
		if g.one(12) {
			vlan = []uint16{0, 4000, pick(r, g.bridges).vlan}[r.IntN(3)]
		}
		if vlan != 0 {
			tag = func(b []byte) []byte { return tagged(b, vlan) }
		}
		if g.one(20) {
			inner := tag
			tag = func(b []byte) []byte { return inner(tagged(b, 77)) }
		}
	}
	source := from.mac
	if g.one(10) {
		source = ether.MAC{2, 0x77, byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256)), 7}
	}
	f.make, f.what = g.payload(from, source)
	untagged := f.make
	f.make = func(mark []byte) []byte { return tag(untagged(mark)) }
	f.what += fmt.Sprintf(" of %s", bridge.id)
	f.comes()
	return f
}

// payload makes a frame without its tag.
func (g *randomGateway) payload(from *randomStation, source ether.MAC) (make_ func([]byte) []byte, what string) {
	r := g.random
	to := pick(r, g.stations)
	destination := []ether.MAC{to.mac, to.mac, from.bridge.mac, from.bridge.mac, from.bridge.mac, ether.Broadcast,
		{1, 0, 0x5e, 1, 1, 1}, {2, 0x78, 0, 0, 0, 1}, {1, 0x80, 0xc2, 0, 0, 0}, ownRouterMAC}[r.IntN(10)]
	if destination.IsZero() {
		destination = to.mac
	}
	ttl := []uint8{64, 64, 64, 2, 1}[r.IntN(5)]
	six := g.one(3) && from.ip6.IsValid()
	target := g.address(to, six)
	switch kind := r.IntN(6); {
	case kind == 0 && source == from.mac && from.ip.IsValid() && from.port != nil && target.Is4():
		return func(mark []byte) []byte { return append(packet.ARPRequest(source, from.ip, target), mark...) },
			fmt.Sprintf("ARP of %v for %v", from.ip, target)
	case kind == 1 && source == from.mac && from.port != nil && target.Is6():
		return func(mark []byte) []byte { return append(packet.Query{MAC: source, Target: target}.Frame(), mark...) },
			fmt.Sprintf("ND of %v for %v", source, target)
	case kind <= 4 && from.ip.IsValid() && target.Is4():
		return func(mark []byte) []byte {
			return udp(source, destination, &layers.IPv4{Version: 4, TTL: ttl, Protocol: layers.IPProtocolUDP,
				SrcIP: from.ip.AsSlice(), DstIP: target.AsSlice()}, mark)
		}, fmt.Sprintf("%v > %v, %v > %v, TTL %d", source, destination, from.ip, target, ttl)
	case kind <= 4 && from.ip6.IsValid() && target.Is6():
		return func(mark []byte) []byte {
			return udp(source, destination, &layers.IPv6{Version: 6, HopLimit: ttl, NextHeader: layers.IPProtocolUDP,
				SrcIP: from.ip6.AsSlice(), DstIP: target.AsSlice()}, mark)
		}, fmt.Sprintf("%v > %v, %v > %v, hop limit %d", source, destination, from.ip6, target, ttl)
	}
	return func(mark []byte) []byte {
		return slices.Concat(destination[:], source[:], []byte{0x88, 0xb5}, mark, make([]byte, 46-len(mark)))
	}, fmt.Sprintf("%v > %v", source, destination)
}

// address is one to ask for or to send to; some nobody has.
func (g *randomGateway) address(to *randomStation, six bool) netip.Addr {
	r := g.random
	all := []netip.Addr{netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("224.0.0.5"),
		netip.MustParseAddr("127.0.0.1")}
	if six {
		all = []netip.Addr{netip.MustParseAddr("3fff:ffff::9"), netip.MustParseAddr("ff02::5"),
			netip.MustParseAddr("fe80::9")}
	}
	add := func(a netip.Addr) {
		if a.IsValid() && a.Is6() == six {
			all = append(all, a, a)
		}
	}
	for _, a := range []netip.Addr{to.ip, to.ip6, pick(r, g.stations).ip, pick(r, g.stations).ip6} {
		add(a)
		add(a)
	}
	for _, p := range to.bridge.gateways {
		add(p.Addr())
		add(unknownIn(p))
	}
	for _, v := range g.vrfs {
		for _, p := range v.prefixes {
			add(p.Addr().Next())
		}
	}
	return pick(r, all)
}

// ownRouterMAC is the gateway's in symmetric IRB, which follows from its VTEP.
var ownRouterMAC = ether.MAC{2, 0, 172, 17, 0, 2}
