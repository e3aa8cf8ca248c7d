package wire

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
)

// source makes routes and attributes of which every field may have any value that it may
// have there.
type source struct{ *rand.Rand }

func newSource(seed uint64) source { return source{rand.New(rand.NewPCG(seed, 4271))} }

func (s source) chance(of int) bool { return s.IntN(of) == 0 }

func (s source) fill(b []byte) {
	for i := range b {
		b[i] = byte(s.Uint32())
	}
}

func (s source) session() Session {
	x := Session{AS: 65001, PeerAS: 65002, RouterID: netip.MustParseAddr("192.0.2.1"), Internal: s.chance(2), AS4: true,
		AllowOwnAS: 3, Families: []bgp.Family{bgp.EVPN}}
	if x.Internal {
		x.PeerAS = x.AS
	}
	return x
}

func (s source) host4() netip.Addr {
	var a [4]byte
	s.fill(a[:])
	a[0] = byte(1 + s.IntN(126))
	return netip.AddrFrom4(a)
}

func (s source) host6() netip.Addr {
	a := [16]byte{0x20, 1, 0xd, 0xb8}
	s.fill(a[4:])
	return netip.AddrFrom16(a)
}

func (s source) host() netip.Addr {
	if s.chance(2) {
		return s.host4()
	}
	return s.host6()
}

func (s source) mac() ether.MAC {
	var m ether.MAC
	s.fill(m[:])
	m[0] = m[0]&^1 | 2
	return m
}

func (s source) esi() bgp.ESI {
	var e bgp.ESI
	if s.chance(2) {
		s.fill(e[:])
		e[0] = byte(s.IntN(6))
	}
	return e
}

func (s source) rd() bgp.RD {
	var rd bgp.RD
	s.fill(rd[:])
	rd[0], rd[1] = 0, byte(s.IntN(3))
	return rd
}

// label is a VNI.
func (s source) label() uint32 { return 1 + s.Uint32N(1<<24-1) }

func (s source) nlri() bgp.NLRI {
	n := bgp.NLRI{Key: bgp.Key{Type: bgp.RouteType(1 + s.IntN(5)), RD: s.rd()}}
	tag := uint32(0)
	if s.chance(2) {
		tag = s.Uint32()
	}
	switch n.Type {
	case bgp.TypeEthernetAD:
		n.Segment, n.EthernetTag, n.Label = s.esi(), tag, s.Uint32N(1<<24)
	case bgp.TypeMACIP:
		n.ESI, n.EthernetTag, n.MAC, n.Label = s.esi(), tag, s.mac(), s.label()
		if s.chance(2) {
			n.IP = s.host()
		}
		if s.chance(2) {
			n.Label2 = s.label()
		}
	case bgp.TypeMulticast:
		n.EthernetTag, n.IP = tag, s.host()
	case bgp.TypeSegment:
		n.Segment, n.IP = s.esi(), s.host()
	case bgp.TypePrefix:
		n.EthernetTag, n.Label = tag, s.label()
		p, _ := s.host().Prefix(8 + s.IntN(25))
		n.IP, n.PrefixLength = p.Addr(), uint8(p.Bits())
		switch s.IntN(3) {
		case 0:
			n.ESI = s.esi()
		case 1:
			if n.GatewayIP = s.host4(); n.IP.Is6() {
				n.GatewayIP = s.host6()
			}
			n.Label = s.Uint32N(2) * n.Label
		}
	}
	return n
}

func (s source) attributes(x *Session) bgp.Attributes {
	a := bgp.Attributes{NextHop: s.host()}
	a.LocalPref, a.Internal, a.Origin = bgp.DefaultLocalPref, x.Internal, uint8(s.IntN(3))
	if s.chance(2) {
		a.MED = s.Uint32()
	}
	a.PathLength = []uint16{1, 2, 5, 255, 256, 700}[s.IntN(6)]
	if a.NeighborAS = 64500 + s.Uint32N(100); s.chance(8) {
		a.NeighborAS = 0
	}
	if a.PathLength >= 5 {
		a.OwnAS = uint8(s.IntN(int(x.AllowOwnAS) + 1))
	}
	if x.Internal {
		a.LocalPref = s.Uint32()
		if s.chance(4) {
			a.PathLength, a.NeighborAS, a.OwnAS = 0, 0, 0
		}
		if s.chance(2) {
			a.OriginatorID, a.ClusterLength = s.host4(), uint16(s.IntN(3))
		}
	}
	if a.GracefulShutdown = s.chance(8); a.GracefulShutdown {
		a.LocalPref = 0
	}
	a.LLGRStale, a.NoLLGR = s.chance(8), s.chance(8)
	s.communities(&a)
	if s.chance(3) {
		a.HasTunnel, a.TunnelType, a.TunnelLabel = true, ingressReplication, s.label()
		if s.chance(2) {
			a.Tunnel = s.host()
		}
	}
	return a
}

func (s source) communities(a *bgp.Attributes) {
	var targets []bgp.RouteTarget
	for range s.IntN(5) {
		rt := bgp.RouteTarget{byte(s.IntN(3)), 2}
		s.fill(rt[2:])
		targets = append(targets, rt)
	}
	a.RouteTargets = bgp.MakeRouteTargets(targets...)
	a.Encapsulation = bgp.Encapsulation(s.IntN(2))
	if s.chance(2) {
		a.Sequence = s.Uint32()
	}
	a.Sticky, a.DefaultGateway = s.chance(4), s.chance(4)
	if s.chance(3) {
		a.RouterMAC = s.mac()
	}
	if a.ARPND.Said = s.chance(3); a.ARPND.Said {
		a.ARPND.Flags = byte(s.Uint32())
	}
	if a.HasESILabel = s.chance(4); a.HasESILabel {
		a.SplitHorizonLabel, a.SingleActive = s.Uint32N(1<<24), s.chance(2)
	}
	if s.chance(4) {
		a.ESImport = s.mac()
	}
	if a.HasDFElection = s.chance(4); a.HasDFElection {
		s.fill(a.DFElection[:])
	}
	if a.HasLayer2 = s.chance(4); a.HasLayer2 {
		s.fill(a.Layer2[:])
	}
}

func TestWhatIsEncodedIsDecodedAsItWas(t *testing.T) {
	s := newSource(1)
	for range 20000 {
		x := s.session()
		want := s.attributes(&x)
		var routes []bgp.NLRI
		for range 1 + s.IntN(20) {
			routes = append(routes, s.nlri())
		}
		var u Update
		d := NewDecoder(x)
		if n := d.Update(encode(&x, &want, routes...), &u); n != nil {
			t.Fatalf("%+v %+v: %v", want, routes, n)
		}
		if len(u.Faults) > 0 || len(u.Unreach) > 0 {
			t.Fatalf("%+v\n%+v\nfaults %+v\nwithdrawn %v", want, routes, u.Faults, u.Unreach)
		}
		if *u.Attributes != want {
			t.Fatalf("attributes\n%+v\nwant\n%+v", *u.Attributes, want)
		}
		if !slices.Equal(u.Reach, routes) {
			t.Fatalf("routes\n%+v\nwant\n%+v", u.Reach, routes)
		}
		withdrawal := body(nil, unreach(EVPN, encodeNLRI(routes...)), nil)
		if n := d.Update(withdrawal, &u); n != nil || len(u.Faults) > 0 || len(u.Reach) > 0 || u.EndOfRIB != 0 {
			t.Fatalf("withdrawal of %+v: %v, %+v", routes, n, u)
		}
		var keys []bgp.Key
		for _, r := range routes {
			keys = append(keys, r.Key)
		}
		if !slices.Equal(u.Unreach, keys) {
			t.Fatalf("withdrawn %v, want %v", u.Unreach, keys)
		}
	}
}

// What a property test does not set it does not prove: each field of what is decoded has
// some other value than zero in some case.
func TestTheRandomRoutesUseEveryField(t *testing.T) {
	s := newSource(2)
	used := map[string]bool{}
	for range 5000 {
		x := s.session()
		mark(used, reflect.ValueOf(s.attributes(&x)))
		mark(used, reflect.ValueOf(s.nlri()))
	}
	for _, v := range []any{bgp.Attributes{}, bgp.NLRI{}} {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if name := reflect.TypeOf(v).Name() + "." + f.Name; !used[name] {
				t.Errorf("%s is always zero", name)
			}
		}
	}
}

func mark(used map[string]bool, v reflect.Value) {
	for _, f := range reflect.VisibleFields(v.Type()) {
		if !v.FieldByIndex(f.Index).IsZero() {
			used[v.Type().Name()+"."+f.Name] = true
		}
	}
}
