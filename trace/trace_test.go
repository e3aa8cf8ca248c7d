package trace

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/softswitch/shadow"
)

var worlds = flag.Int("worlds", 10, "how many random targets the property test has")

// world is what a target holds.
type world struct {
	entries map[p4.Key]p4.Entry
	places  map[string][]view.Place
}

var _ Held = (*world)(nil)

func (w *world) Entry(k p4.Key) (p4.Entry, bool) { e, ok := w.entries[k]; return e, ok }

// Entries come after those that they refer to, as a Read of the groups of selectors before the
// tables gives them.
func (w *world) Entries() iter.Seq[p4.Entry] {
	var levels [p4.Levels][]p4.Entry
	for _, e := range w.entries {
		level := p4.LevelBase // of what has no meaning here
		if d, err := p4.Decode(e); err == nil {
			level = d.Level()
		}
		levels[level] = append(levels[level], e)
	}
	return slices.Values(slices.Concat(levels[:]...))
}

func (w *world) Why(e p4.Entry) string { return "the test has " + e.Key.Table() }

func (w *world) Port(name string) (uint16, bool) {
	for n := range uint16(30) {
		if w.PortName(n) == name {
			return n, true
		}
	}
	return 0, false
}

func (w *world) PortName(n uint16) string {
	switch {
	case n >= 1 && n <= 4:
		return fmt.Sprintf("eth%d", n)
	case n == 11, n == 12:
		return fmt.Sprintf("up%d", n-10)
	case n == 21, n == 22:
		return fmt.Sprintf("up%d-host", n-20)
	}
	return ""
}

func (w *world) Places(host string) ([]view.Place, error) {
	if host == "nonsense" {
		return nil, errors.New("want a MAC or an IP address")
	}
	return w.places[host], nil
}

func (w *world) add(all ...p4.Typed) {
	for _, e := range all {
		w.entries[e.Key()] = e.Entry()
	}
}

func (w *world) tracer(tb testing.TB) *Tracer {
	tb.Helper()
	return New(Config{
		Program: program(),
		Inspect: func(_ context.Context, do func(Held)) error { do(w); return nil },
		Read: func(_ context.Context, _ []*p4v1.Entity, each func(*p4v1.Entity) error) error {
			for e := range w.Entries() {
				if err := each(e.Entity()); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

func program() *p4v1.ForwardingPipelineConfig {
	return &p4v1.ForwardingPipelineConfig{P4Info: p4.P4Info(), P4DeviceConfig: p4.DeviceConfig()}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func mac(n int) ether.MAC { return ether.MAC{2, 0, 0, 0, 0, byte(n)} }

// small is a gateway with a bridge of two ports and a VTEP, and a subnet that it routes.
func small() *world {
	w := &world{entries: map[p4.Key]p4.Entry{}, places: map[string][]view.Place{}}
	w.add(p4.BridgePort{Port: 1}, p4.BridgePort{Port: 2}, p4.Uplink{Port: 11, HostPort: 21}, p4.HostPort{Port: 21,
		Uplink: 11},
		p4.Member{Port: 1, Bridge: 10}, p4.Member{Port: 2, VLAN: 7, Bridge: 10}, p4.EgressVLAN{Port: 1, Bridge: 10},
		p4.EgressVLAN{Port: 2, Bridge: 10, VLAN: 7}, p4.Source{Bridge: 10, MAC: mac(1), Port: 1},
		p4.FDB{Bridge: 10, MAC: mac(1), Kind: p4.ToPort, Port: 1}, p4.FDB{Bridge: 10, MAC: mac(2), Kind: p4.ToPort, Port: 2},
		p4.FDB{Bridge: 10, MAC: mac(3), Kind: p4.ToVTEP, VTEP: 5, VNI: 100}, p4.LocalVTEP{Address: addr("192.0.2.1")},
		p4.RemoteVTEP{Prefix: netip.MustParsePrefix("192.0.2.2/32")}, p4.VNI{Local: addr("192.0.2.1"), VNI: 100, Bridge: 10},
		p4.Tunnel{VTEP: 5, Source: addr("192.0.2.1"), Destination: addr("192.0.2.2"), Adjacency: 3, MTU: 1450},
		p4.UplinkGroup{ID: 2}, p4.Flows{VTEP: 5, Group: 2}, p4.Adjacency{ID: 3, Source: mac(0xa1), Destination: mac(0xa2)},
		p4.Replica{Bridge: 10, Instance: 2, VTEP: 5, VNI: 100},
		p4.Group{ID: 10, Members: []p4.GroupMember{{Port: 1, Instance: 1}, {Port: 2, Instance: 1}, {Port: 11, Instance: 2}}},
		p4.RouterMAC{Bridge: 10, MAC: mac(0xff), VRF: 1}, p4.RouterInterface{Bridge: 10, MAC: mac(0xff)},
		p4.Route{VRF: 1, Prefix: netip.MustParsePrefix("10.0.0.2/32"), Kind: p4.RouteHost, Bridge: 10, MAC: mac(2)},
		p4.Route{VRF: 1, Prefix: netip.MustParsePrefix("10.0.0.0/24"), Kind: p4.RouteGlean},
		p4.Route{VRF: 1, Prefix: netip.MustParsePrefix("198.51.100.0/24"), Kind: p4.RouteVTEPs, Group: 9},
		p4.Multipath{Group: 9}, p4.NextHopGroup{ID: 9},
		p4.Tunnel{VTEP: 6, Source: addr("192.0.2.1"), Destination: addr("192.0.2.3")}, p4.Flows{VTEP: 6, Group: 2},
		p4.CloneSession{ID: p4.CPUCloneSession, Port: p4.CPUPort},
		p4.Trap{EtherType: 0x0806, Origin: p4.OriginBridge, Priority: 1, Reason: p4.PuntARP},
	)
	for i := range uint8(p4.Slots) {
		w.add(p4.UplinkSlot{Group: 2, Slot: i, Port: 11, Adjacency: 3, MTU: 1450},
			p4.NextHopSlot{Group: 9, Slot: i, VTEP: 5 + uint16(i%2), VNI: 500, Source: mac(0xff),
				Destination: mac(0xb0 + int(i%2))})
	}
	w.places["10.0.0.1"] = []view.Place{{Bridge: "blue", MAC: mac(1), Addresses: []netip.Addr{addr("10.0.0.1")}, Port: 1,
		VNI: 100, Gateway: mac(0xff)}}
	w.places[mac(3).String()] = []view.Place{{Bridge: "blue", MAC: mac(3), Addresses: []netip.Addr{addr("10.0.0.3")},
		VTEP: addr("192.0.2.2"), VNI: 100, Gateway: mac(0xff)}}
	w.places["10.0.0.2"] = []view.Place{{Bridge: "blue", MAC: mac(2), Addresses: []netip.Addr{addr("10.0.0.2")}, Port: 2,
		VLAN: 7, VNI: 100, Gateway: mac(0xff)}}
	w.places["2001:db8::1"] = []view.Place{{Bridge: "blue", MAC: mac(1), Addresses: []netip.Addr{addr("2001:db8::1")},
		Port: 1,
		VNI:  100}}
	w.places["10.0.0.9"] = []view.Place{{Bridge: "blue", MAC: mac(1), Port: 1}, {Bridge: "green", MAC: mac(1), Port: 1}}
	return w
}

func TestATraceSaysWhatLeavesAndWhy(t *testing.T) {
	w := small()
	for name, tc := range map[string]struct {
		request view.TraceRequest
		results []string // parts of them, in their order
		because []string // tables of entries that were hit
		out     []string // ports
	}{
		"bridged to a port with a tag": {
			view.TraceRequest{From: "10.0.0.1", To: "10.0.0.2"},
			[]string{"leaves by eth2: " + mac(1).String() + " > " + mac(2).String() +
				", VLAN 7, 10.0.0.1 > 10.0.0.2, UDP, TTL 64"},
			[]string{"port.kind", "bridge.vlan", "bridge.source", "bridge.fdb", "bridge.egress_vlan"}, []string{"eth2"},
		},
		"encapsulated": {
			view.TraceRequest{From: "10.0.0.1", To: mac(3).String()},
			[]string{"leaves by up1 to VTEP 192.0.2.2 with VNI 100 (outer " + mac(0xa1).String() + " > " + mac(0xa2).String() +
				", from 192.0.2.1, source port "},
			[]string{"bridge.fdb", "vxlan.tunnel", "underlay.flows", "underlay.adjacency"}, []string{"up1"},
		},
		"decapsulated": {
			view.TraceRequest{From: mac(3).String(), To: "10.0.0.1"},
			[]string{"leaves by eth1: " + mac(3).String() + " > " + mac(1).String()},
			[]string{"port.kind", "vxlan.local", "vxlan.peer", "vxlan.vni", "bridge.fdb"}, []string{"eth1"},
		},
		"flooded, and read by the controller": {
			view.TraceRequest{Port: "eth1", Headers: view.TraceHeaders{SourceMAC: mac(1), Target: addr("10.0.0.77")}},
			[]string{"goes to the controller (arp; it came from a bridge port): it learns", "the copy for eth1 ends",
				"leaves by eth2", "leaves by up1 to VTEP 192.0.2.2"},
			[]string{"punt.trap", "flood.replica"}, []string{"", "eth2", "up1"},
		},
		"routed": {
			view.TraceRequest{Port: "eth1", Headers: view.TraceHeaders{SourceMAC: mac(1), DestinationMAC: mac(0xff),
				Source: addr("10.0.0.1"), Destination: addr("10.0.0.2"), TTL: 9}},
			[]string{"leaves by eth2: " + mac(0xff).String() + " > " + mac(2).String() +
				", VLAN 7, 10.0.0.1 > 10.0.0.2, UDP, TTL 8"},
			[]string{"router.mac", "router.ipv4", "router.interface"}, []string{"eth2"},
		},
		"to a host that nobody knows": {
			view.TraceRequest{From: "10.0.0.1", To: "10.0.0.200"},
			[]string{"goes to the controller (glean"}, []string{"router.ipv4"}, []string{""},
		},
		"out of time": {
			view.TraceRequest{Port: "eth1", Headers: view.TraceHeaders{SourceMAC: mac(1), DestinationMAC: mac(0xff),
				Source: addr("10.0.0.1"), Destination: addr("10.0.0.2"), TTL: 1}},
			[]string{"goes to the controller (ttl"}, []string{"router.ipv4"}, []string{""},
		},
		"nowhere to route": {
			view.TraceRequest{From: "10.0.0.1", To: "203.0.113.1"},
			[]string{"dropped: no route"}, []string{"router.mac"}, nil,
		},
		"a VLAN that the port is not in": {
			view.TraceRequest{Port: "eth1", Headers: view.TraceHeaders{VLAN: 99, SourceMAC: mac(1), DestinationMAC: mac(2)}},
			[]string{"dropped: not member, decided at bridge.vlan"}, []string{"port.kind"}, nil,
		},
		"a VTEP that is unknown": {
			view.TraceRequest{VTEP: addr("198.51.100.9"), VNI: 100,
				Headers: view.TraceHeaders{SourceMAC: mac(3), DestinationMAC: mac(1)}},
			[]string{"dropped: unknown vtep, decided at vxlan.peer"}, []string{"vxlan.local"}, nil,
		},
		"between hosts of one bridge without addresses of one family": {
			view.TraceRequest{From: "2001:db8::1", To: mac(3).String()},
			[]string{"leaves by up1 to VTEP 192.0.2.2"}, []string{"bridge.fdb"}, []string{"up1"},
		},
		"of two bridges that have the host, the one that is said": {
			view.TraceRequest{From: "blue/10.0.0.9", To: "10.0.0.2"},
			[]string{"leaves by eth2: " + mac(1).String()}, []string{"bridge.fdb"}, []string{"eth2"},
		},
		"a new source": {
			view.TraceRequest{Port: "eth1", Headers: view.TraceHeaders{SourceMAC: mac(8), DestinationMAC: mac(2)}},
			[]string{"the controller is told of the source MAC", "leaves by eth2"}, nil, []string{"eth2"},
		},
	} {
		for _, read := range []bool{false, true} {
			tc.request.Read = read
			got, err := w.tracer(t).Trace(t.Context(), tc.request)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			results := slices.Clone(got.Results)
			for _, want := range tc.results {
				i := slices.IndexFunc(results, func(s string) bool { return strings.HasPrefix(s, want) })
				if i < 0 {
					t.Errorf("%s: no %q in %q", name, want, got.Results)
					break
				}
				results = slices.Delete(results, i, i+1)
			}
			if len(results) > 0 {
				t.Errorf("%s: says %q besides", name, results)
			}
			var ports []string
			for _, o := range got.Out {
				ports = append(ports, o.Port)
			}
			if slices.Sort(ports); !slices.Equal(ports, tc.out) {
				t.Errorf("%s: leaves by %q, want %q", name, ports, tc.out)
			}
			for _, table := range tc.because {
				if !slices.ContainsFunc(got.Steps, func(s view.TraceStep) bool {
					return s.Name == table && s.Result == "hit" && s.Why == "the test has "+table && strings.HasPrefix(s.Entry, table)
				}) {
					t.Errorf("%s: not because of %s", name, table)
				}
			}
		}
	}
}

// Each flow to a prefix of two VTEPs goes to one of them, which the entry names, and what leaves
// shows; over many flows both are met.
func TestATraceNamesWhatAFlowTakesOfAGroup(t *testing.T) {
	w, met := small(), map[string]int{}
	tracer := w.tracer(t)
	for port := range uint16(20) {
		got, err := tracer.Trace(t.Context(), view.TraceRequest{From: "10.0.0.1", To: "198.51.100.1",
			Headers: view.TraceHeaders{SourcePort: 1000 + port}})
		if err != nil {
			t.Fatal(err)
		}
		for i, vtep := range []string{"192.0.2.2", "192.0.2.3"} {
			if !strings.Contains(fmt.Sprint(got.Results), "to VTEP "+vtep+" with VNI 500") {
				continue
			}
			met[vtep]++
			want := fmt.Sprintf("router.multipath group=9 -> group=9: this flow takes router.to_vtep vtep=%d vni=500 "+
				"source=%v destination=%v", 5+i, mac(0xff), mac(0xb0+i))
			uplink := fmt.Sprintf("underlay.flows vtep=%d -> group=2: this flow takes underlay.hop port=11 adjacency=3 mtu=1450",
				5+i)
			for _, entry := range []string{want, uplink} {
				if !slices.ContainsFunc(got.Steps, func(s view.TraceStep) bool { return s.Entry == entry }) {
					t.Errorf("no step with %s:\n%+v", entry, got.Steps)
				}
			}
		}
	}
	if len(met) != 2 || met["192.0.2.2"]+met["192.0.2.3"] != 20 {
		t.Errorf("flows go to %v", met)
	}
}

// What is met on the way is all that decides: a target that holds everything does the same.
func TestATraceByTheEntriesThatAFrameMeetsIsThatByAll(t *testing.T) {
	for seed := range uint64(*worlds) {
		w := randomWorld(rand.New(rand.NewPCG(seed, 1)))
		s, err := shadow.New(program())
		if err != nil {
			t.Fatal(err)
		}
		for e := range w.Entries() {
			if err := s.Insert(e.Entity()); err != nil {
				t.Fatalf("world %d: %v: %v", seed, e, err)
			}
		}
		r := rand.New(rand.NewPCG(seed, 2))
		tracer := w.tracer(t)
		hits := 0
		for range 100 {
			request := randomRequest(r)
			got, err := tracer.Trace(t.Context(), request)
			if err != nil {
				t.Fatalf("world %d: %+v: %v", seed, request, err)
			}
			port, _ := w.Port(got.Port)
			want := s.Trace(uint32(port), got.Frame)
			for i := range want.Steps {
				if want.Steps[i].Result == "hit" {
					hits++
				}
				if i >= len(got.Steps) || got.Steps[i].Text != want.Steps[i].String() {
					t.Fatalf("world %d: %+v: step %d of\n%v", seed, request, i, want)
				}
			}
			for i, o := range want.Out {
				if len(got.Out) != len(want.Out) || got.Out[i].Number != o.Port || string(got.Out[i].Frame) != string(o.Data) {
					t.Fatalf("world %d: %+v: %v leaves, want %v", seed, request, got.Out, want.Out)
				}
			}
		}
		if hits == 0 {
			t.Errorf("world %d: nothing was hit", seed)
		}
	}
}

// randomWorld has few of everything, so that frames meet it.
func randomWorld(r *rand.Rand) *world {
	w := &world{entries: map[p4.Key]p4.Entry{}}
	n := func(most int) uint16 { return uint16(1 + r.IntN(most)) }
	v4 := func() netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(n(6))}) }
	v6 := func() netip.Addr { return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(n(6))}) }
	w.add(p4.Uplink{Port: 11, HostPort: 21}, p4.HostPort{Port: 21, Uplink: 11}, p4.LocalVTEP{Address: addr("192.0.2.1")},
		p4.CloneSession{ID: p4.CPUCloneSession, Port: p4.CPUPort})
	for port := range uint16(4) {
		w.add(p4.BridgePort{Port: port + 1})
	}
	for range 12 {
		w.add(p4.Member{Port: n(4), VLAN: n(3) - 1, Bridge: n(3), Gateway: r.IntN(2) == 0, Trusted: r.IntN(2) == 0},
			p4.EgressVLAN{Port: n(4), Bridge: n(3), VLAN: n(3) - 1},
			p4.Source{Bridge: n(3), MAC: mac(int(n(6))), Port: n(4), Verdict: p4.Verdict(r.IntN(3))},
			p4.FDB{Bridge: n(3), MAC: mac(int(n(6))), Kind: p4.FDBKind(r.IntN(3)), Port: n(4), VTEP: n(3), VNI: 100},
			p4.Replica{Bridge: n(3), Instance: 1 + n(3), VTEP: n(3), VNI: 100},
			p4.RemoteVTEP{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n(4))}), 31+r.IntN(2)).Masked()},
			p4.VNI{Local: addr("192.0.2.1"), VNI: uint32(99 + n(3)), Bridge: n(3)},
			p4.Route{VRF: n(2), Prefix: netip.PrefixFrom(v4(), 29+r.IntN(4)).Masked(), Kind: p4.RouteKind(r.IntN(6)),
				Bridge: n(3), MAC: mac(int(n(6))), VTEP: n(3), VNI: 500, Group: n(4)},
			p4.Route{VRF: n(2), Prefix: netip.PrefixFrom(v6(), 120+r.IntN(9)).Masked(), Kind: p4.RouteKind(r.IntN(6)),
				Bridge: n(3), MAC: mac(int(n(6))), VTEP: n(3), VNI: 500, Group: n(4)},
			p4.ARPHost{Bridge: n(3), Address: v4(), MAC: mac(int(n(6))), Port: n(4), VXLAN: r.IntN(2) == 0},
			p4.NDHost{Bridge: n(3), Address: v6(), MAC: mac(int(n(6))), Port: n(4), Unanswered: r.IntN(2) == 0},
			p4.RouterMAC{Bridge: n(3), MAC: mac(int(n(6))), VRF: n(2)}, p4.RouterInterface{Bridge: n(3), MAC: mac(0xff)})
	}
	for id := range uint16(3) {
		id++
		w.add(p4.Tunnel{VTEP: id, Source: addr("192.0.2.1"), Destination: addr("192.0.2.2"), Adjacency: n(3), MTU: 1450},
			p4.UplinkGroup{ID: id}, p4.Path{VTEP: id, Port: 11, MTU: 1450},
			p4.Adjacency{ID: n(3), Source: mac(0xa1), Destination: mac(0xa2)},
			p4.Group{ID: id, Members: []p4.GroupMember{{Port: 1, Instance: 1}, {Port: 2, Instance: 1}, {Port: 11, Instance: 1 +
				n(3)}}})
		for slot := range uint8(p4.Slots) {
			w.add(p4.UplinkSlot{Group: id, Slot: slot, Port: 11, Adjacency: n(3), MTU: 1450},
				p4.NextHopSlot{Group: id, Slot: slot, VTEP: n(3), VNI: 500, Destination: mac(int(n(6)))})
		}
		w.add(p4.NextHopGroup{ID: id}, p4.Multipath{Group: id})
		if r.IntN(2) == 0 {
			w.add(p4.Flows{VTEP: id, Group: id})
		}
	}
	for i := range int32(5) {
		w.add(p4.Trap{Bridge: n(4) - 1, EtherType: []uint16{0x0806, 0x86dd, 0x0800, 0}[r.IntN(4)], Origin: uint8(r.IntN(3)),
			Priority: 1 + i, Divert: r.IntN(2) == 0, Reason: p4.PuntARP})
	}
	return w
}

func randomRequest(r *rand.Rand) view.TraceRequest {
	h := view.TraceHeaders{VLAN: uint16(r.IntN(3)), SourceMAC: mac(1 + r.IntN(6)), DestinationMAC: mac(1 + r.IntN(6)),
		Protocol: []string{"udp", "tcp", "icmp"}[r.IntN(3)], TTL: uint8(r.IntN(4))}
	if r.IntN(4) == 0 {
		h.DestinationMAC = ether.Broadcast
	}
	v4 := func() netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + r.IntN(8))}) }
	v6 := func() netip.Addr { return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(1 + r.IntN(8))}) }
	switch r.IntN(5) {
	case 0:
		h.Source, h.Target = v4(), v4()
	case 1:
		h.Source, h.Target = v6(), v6()
	case 2:
		h.Source, h.Destination = v4(), v4()
	case 3:
		h.Source, h.Destination = v6(), v6()
	}
	q := view.TraceRequest{Headers: h}
	switch r.IntN(3) {
	case 0:
		q.VTEP, q.VNI = netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + r.IntN(5))}), uint32(99+r.IntN(4))
	default:
		q.Port = []string{"eth1", "eth2", "eth3", "eth4", "up1-host"}[r.IntN(5)]
	}
	return q
}

func TestARequestThatMakesNoSenseIsRefusedByItsField(t *testing.T) {
	w := small()
	plain := view.TraceHeaders{SourceMAC: mac(1), DestinationMAC: mac(2)}
	for name, tc := range map[string]struct {
		request view.TraceRequest
		field   string
	}{
		"from nowhere":    {view.TraceRequest{Headers: plain}, "port"},
		"no such port":    {view.TraceRequest{Port: "eth77", Headers: plain}, "port"},
		"from two places": {view.TraceRequest{Port: "eth1", VTEP: addr("192.0.2.2"), VNI: 100, Headers: plain}, "vtep"},
		"no VNI":          {view.TraceRequest{VTEP: addr("192.0.2.2"), Headers: plain}, "vni"},
		"a VNI too wide":  {view.TraceRequest{VTEP: addr("192.0.2.2"), VNI: 1 << 24, Headers: plain}, "vni"},
		"a VTEP of IPv6":  {view.TraceRequest{VTEP: addr("2001:db8::1"), VNI: 100, Headers: plain}, "vtep"},
		"no headers":      {view.TraceRequest{Port: "eth1"}, "headers.source_mac"},
		"no destination": {view.TraceRequest{Port: "eth1", Headers: view.TraceHeaders{SourceMAC: mac(1)}},
			"headers.destination_mac"},
		"an unknown host":      {view.TraceRequest{From: "10.9.9.9"}, "from"},
		"a host that is none":  {view.TraceRequest{From: "nonsense"}, "from"},
		"in another bridge":    {view.TraceRequest{From: "red/10.0.0.1"}, "from"},
		"in two bridges":       {view.TraceRequest{From: "10.0.0.9"}, "from"},
		"to an unknown MAC":    {view.TraceRequest{From: "10.0.0.1", To: mac(0x77).String()}, "to"},
		"to, from nowhere":     {view.TraceRequest{Port: "eth1", To: "10.0.0.1", Headers: plain}, "to"},
		"no address of family": {view.TraceRequest{From: mac(3).String(), To: "2001:db8::9"}, "from"},
		"too long":             {view.TraceRequest{Port: "eth1", Frame: make([]byte, 10000)}, "frame"},
		"a protocol": {view.TraceRequest{Port: "eth1", Headers: view.TraceHeaders{SourceMAC: mac(1), DestinationMAC: mac(2),
			Source: addr("10.0.0.1"), Destination: addr("10.0.0.2"), Protocol: "sctp"}}, "headers.protocol"},
		"two families": {view.TraceRequest{Port: "eth1", Headers: view.TraceHeaders{SourceMAC: mac(1), DestinationMAC: mac(2),
			Source: addr("10.0.0.1"), Destination: addr("2001:db8::1")}}, "headers.destination"},
		"a source without destination": {view.TraceRequest{Port: "eth1", Headers: view.TraceHeaders{SourceMAC: mac(1),
			DestinationMAC: mac(2), Source: addr("10.0.0.1")}}, "headers.destination"},
		"asking across families": {view.TraceRequest{Port: "eth1", Headers: view.TraceHeaders{SourceMAC: mac(1),
			Source: addr("10.0.0.1"), Target: addr("2001:db8::1")}}, "headers.target"},
	} {
		_, err := w.tracer(t).Trace(t.Context(), tc.request)
		var wrong *view.TraceError
		if !errors.As(err, &wrong) || wrong.Field != tc.field {
			t.Errorf("%s: %v, want what is wrong with %s", name, err, tc.field)
		}
	}
}

// An entry that somebody else wrote is said to be that.
func TestAnEntryOnTheTargetThatWasNotWrittenIsSaidToBeForeign(t *testing.T) {
	w := small()
	other := p4.FDB{Bridge: 10, MAC: mac(2), Kind: p4.ToPort, Port: 1}
	tracer := w.tracer(t)
	tracer.cfg.Read = func(_ context.Context, _ []*p4v1.Entity, each func(*p4v1.Entity) error) error {
		for e := range w.Entries() {
			if e.Key == other.Key() {
				e = other.Entry()
			}
			if err := each(e.Entity()); err != nil {
				return err
			}
		}
		return nil
	}
	request := view.TraceRequest{VTEP: addr("192.0.2.2"), VNI: 100, Read: true,
		Headers: view.TraceHeaders{SourceMAC: mac(3), DestinationMAC: mac(2)}}
	got, err := tracer.Trace(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range got.Steps {
		if s.Name == "bridge.fdb" && (s.Entry != other.Entry().String() || !strings.HasPrefix(s.Why,
			"nothing of this gateway")) {
			t.Errorf("%s because %s", s.Entry, s.Why)
		}
	}
	if len(got.Out) != 1 || got.Out[0].Port != "eth1" {
		t.Errorf("leaves by %v, want eth1, as the target has it", got.Out)
	}
	failed := errors.New("away")
	tracer.cfg.Read = func(context.Context, []*p4v1.Entity, func(*p4v1.Entity) error) error { return failed }
	if _, err := tracer.Trace(t.Context(), request); !errors.Is(err, failed) {
		t.Errorf("a target that is away: %v", err)
	}
}

func TestATargetThatAnswersWhatMakesNoSenseIsSaidTo(t *testing.T) {
	request := view.TraceRequest{VTEP: addr("192.0.2.2"), VNI: 100, Read: true,
		Headers: view.TraceHeaders{SourceMAC: mac(3), DestinationMAC: mac(2)}}
	w := small()
	var whole []*p4v1.Entity
	for e := range w.Entries() {
		whole = append(whole, e.Entity())
	}
	cut := errors.New("the connection was cut")
	table := func(id uint32) *p4v1.Entity {
		return &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{TableId: id}}}
	}
	endless := func(each func(*p4v1.Entity) error) error {
		for {
			if err := each(whole[0]); err != nil {
				return err
			}
		}
	}
	given := func(entities []*p4v1.Entity, then error) func(func(*p4v1.Entity) error) error {
		return func(each func(*p4v1.Entity) error) error {
			for _, e := range entities {
				if err := each(e); err != nil {
					return err
				}
			}
			return then
		}
	}
	for name, tc := range map[string]struct {
		read func(each func(*p4v1.Entity) error) error
		want string
	}{
		"half, and then none":     {given(whole[:len(whole)/2], cut), "read the target: the connection was cut"},
		"of another program":      {given([]*p4v1.Entity{table(0x02abcdef)}, nil), "it runs another"},
		"an entry without a key":  {given([]*p4v1.Entity{table(whole[len(whole)-1].GetTableEntry().GetTableId())}, nil), "it runs another"},
		"an empty entity":         {given([]*p4v1.Entity{{}}, nil), "it runs another"},
		"the same entry twice":    {given([]*p4v1.Entity{whole[0], whole[0]}, nil), "it told a part alone"},
		"members of no group":     {given([]*p4v1.Entity{{Entity: &p4v1.Entity_ActionProfileGroup{ActionProfileGroup: &p4v1.ActionProfileGroup{ActionProfileId: 99}}}}, nil), "it runs another"},
		"more than there is room": {endless, "more than the "},
	} {
		tracer := w.tracer(t)
		tracer.cfg.Read = func(_ context.Context, _ []*p4v1.Entity, each func(*p4v1.Entity) error) error {
			return tc.read(each)
		}
		if _, err := tracer.Trace(t.Context(), request); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q in it", name, err, tc.want)
		}
		tracer.cfg.Read = func(_ context.Context, _ []*p4v1.Entity, each func(*p4v1.Entity) error) error {
			return given(whole, nil)(each)
		}
		if got, err := tracer.Trace(t.Context(), request); err != nil || len(got.Out) != 1 {
			t.Errorf("%s: a trace after it: %v, %v", name, got.Results, err)
		}
	}
}

func TestADroppedFrameOfWhichASampleIsTakenIsSaidToBeDropped(t *testing.T) {
	w := small()
	w.add(p4.CloneSession{ID: p4.SampleCloneSession, Port: p4.CPUPort})
	got, err := w.tracer(t).Trace(t.Context(), view.TraceRequest{VTEP: addr("192.0.2.2"), VNI: 99,
		Headers: view.TraceHeaders{SourceMAC: mac(3), DestinationMAC: mac(2)}})
	want := []string{"a copy goes to the controller, as a sample of what is dropped",
		"dropped: unknown vni, decided at vxlan.vni"}
	if err != nil || !slices.Equal(got.Results, want) {
		t.Errorf("%q, %v, want %q", got.Results, err, want)
	}
}

func FuzzAnyFrameIsTraced(f *testing.F) {
	w := small()
	tracer := w.tracer(f)
	for _, port := range []string{"eth1", "up1", "up1-host"} {
		for _, frame := range []string{"", "\x02", strings.Repeat("\xff", 14), strings.Repeat("\x45", 90)} {
			f.Add(port, []byte(frame))
		}
	}
	f.Fuzz(func(t *testing.T, port string, frame []byte) {
		got, err := tracer.Trace(t.Context(), view.TraceRequest{Port: port, Frame: frame})
		var wrong *view.TraceError
		if err != nil && !errors.As(err, &wrong) {
			t.Error(err)
		}
		if err == nil && len(got.Results) == 0 && len(got.Out) > 0 {
			t.Errorf("%d frames leave, and nothing is said of them", len(got.Out))
		}
	})
}

func TestEachReasonForWhichAFrameIsPuntedIsExplained(t *testing.T) {
	for r := range p4.PuntReason(p4.PuntReasons) {
		if r != 0 && reads[r] == "" {
			t.Errorf("%v is not", r)
		}
	}
}
