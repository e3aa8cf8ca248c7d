package p4_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// TestTheSoftswitchDoesWhatBMv2Does sends frames of many kinds, whole and
// damaged, through both targets. It knows no right answer: BMv2's is.
func TestTheSoftswitchDoesWhatBMv2Does(t *testing.T) {
	referee, own := newGateway(t, newBMv2(t)), newGateway(t, newSoftswitch(t))
	for _, g := range []*gateway{referee, own} {
		g.add(routing()...)
		g.add(known()...)
		g.add(p4.Trap{EtherType: 0x86dd, MAC: hostA, Origin: p4.OriginVXLAN, Priority: 2, Divert: true, Reason: 2},
			via(vrf2, "0.0.0.0/0", 2, router2), via(vrf2, "::/0", 2, router2),
			p4.FDB{Bridge: bridge2, MAC: hostT, Kind: p4.Drop}, p4.FDB{Bridge: bridge2, MAC: hostA, Kind: p4.ToVTEP, VTEP: 9,
				VNI: 9})
	}
	random := rand.New(rand.NewPCG(4789, 7348))
	for i := range 3000 {
		port, in := randomFrame(random)
		want, got := carried(referee.send(port, in)), carried(own.send(port, in))
		if !maps.EqualFunc(want, got, func(a, b [][]byte) bool { return slices.EqualFunc(a, b, slices.Equal) }) {
			t.Errorf("frame %d, into port %d: %x\nBMv2:       %x\nsoftswitch: %x", i, port, in, want, got)
		}
	}
	if want, got := reports(referee), reports(own); !slices.Equal(want, got) {
		t.Errorf("reports:\nBMv2:       %v\nsoftswitch: %v", want, got)
	}
	for counter, cells := range map[string]uint32{
		"ingress_drops": uint32(p4.DropReasons), "egress_drops": uint32(p4.DropReasons),
		"bridge_vxlan_in": bridge3 + 1, "bridge_vxlan_out": bridge3 + 1,
		"vrf_routed": vrf2 + 1, "vrf_vxlan_in": vrf2 + 1, "vrf_vxlan_out": vrf2 + 1,
	} {
		for i := range cells {
			if want, got := referee.count(counter, i), own.count(counter, i); got != want {
				t.Errorf("%s[%d]: BMv2 %v, softswitch %v", counter, i, want, got)
			}
		}
	}
}

// reports gives what was learned as a set: BMv2 leaves a report out while an
// equal one is not acknowledged.
func reports(g *gateway) []p4.Learn {
	l, err := g.target.learned()
	if err != nil {
		g.Fatal(err)
	}
	slices.SortFunc(l, func(a, b p4.Learn) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Bridge, b.Bridge), slices.Compare(a.MAC[:], b.MAC[:]))
	})
	return slices.Compact(l)
}

// carried sorts the frames of each port, since replicas have no order, and
// leaves out those that no Linux interface hands over.
func carried(o out) out {
	for port, frames := range o {
		slices.SortFunc(frames, bytes.Compare)
		if port == p4.CPUPort {
			continue
		}
		if o[port] = slices.DeleteFunc(frames, func(f []byte) bool { return !fits(f) }); len(o[port]) == 0 {
			delete(o, port)
		}
	}
	return o
}

// fits is false for frames without a whole header, and for tagged ones that end
// with the tag: the kernel discards them.
func fits(f []byte) bool {
	if len(f) < 14 {
		return false
	}
	tpid := binary.BigEndian.Uint16(f[12:])
	return tpid != 0x8100 && tpid != 0x88a8 || len(f) >= 20
}

// randomFrame gives a frame and the port that it enters by.
func randomFrame(r *rand.Rand) (uint32, []byte) {
	for {
		port, head, f := wholeFrame(r)
		for range r.IntN(6) - 2 {
			f = damaged(r, f)
		}
		if fits(f) {
			return port, slices.Concat(head, f)
		}
	}
}

// wholeFrame gives a frame without damage, and what stands before it when it
// enters by the CPU port.
func wholeFrame(r *rand.Rand) (port uint32, head, f []byte) {
	vlans := []uint16{0, 10, 10, 20, 20, 30, 40}
	tunnel := func() []byte {
		from := one(r, vtep1, vtep1, vtep2, vtep2, netip.MustParseAddr("10.0.0.9"))
		return tunnelled(from, one(r, ours, ours, ours, vtep2), one[uint32](r, vni1, vni1, vni2, l3vni1, l3vni1, l3vni2, 7),
			tenantFrame(r))
	}
	switch r.IntN(10) {
	case 0, 1:
		return access1, nil, tenantFrame(r)
	case 2:
		return one[uint32](r, access2, other, unused), nil, tenantFrame(r)
	case 3, 4:
		return trunk, nil, tagged(tenantFrame(r), vlans[r.IntN(len(vlans))]|uint16(r.IntN(16))<<12)
	case 5, 6, 7:
		return uplink, nil, tunnel()
	case 8:
		return one[uint32](r, uplink, host), nil, tenantFrame(r)
	}
	head = one(r, injected(0, one[uint16](r, access1, trunk, uplink, host), 0, 0, nil),
		injected(1, 0, one[uint16](r, bridge1, bridge2, 0), 0, nil), injected(2, 0, one[uint16](r, bridge1, bridge3), 0, nil),
		injected(3, 0, 0, one[uint16](r, vrf1, vrf2, 9), nil))
	return p4.CPUPort, head, tenantFrame(r)
}

func one[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// tenantFrame gives a frame that is bridged, routed, or asks for a neighbour.
func tenantFrame(r *rand.Rand) []byte {
	macs := []ether.MAC{hostA, hostB, hostT, remote, nobody, hostO, hostV, {2, 0, 0, 0, 1, byte(r.IntN(8))},
		ether.Broadcast,
		{1, 0x80, 0xc2, 0, 0, 14}, gateway1, gateway2, gateway3, anycast, ourRouter, ourRouter}
	src, dst := one(r, macs[:9]...), one(r, macs...)
	switch r.IntN(8) {
	case 0:
		return randomQuestion(r, src)
	case 1, 2:
		return otherFrame(r, src, dst)
	}
	return randomPacket(r, src, dst)
}

// randomPacket gives one between addresses of the tests, most of them for a
// router.
func randomPacket(r *rand.Rand, src, dst ether.MAC) []byte {
	if r.IntN(2) == 0 {
		dst = one(r, gateway1, gateway1, gateway2, gateway3, ourRouter, ourRouter)
	}
	address := func() string {
		return one(r, "10.1.0.1", "10.1.0.10", "10.1.0.11", "10.1.0.99", "10.2.0.1", "10.2.0.20", "10.2.0.30", "10.2.0.40",
			"10.2.0.50",
			"10.3.0.1", "10.3.4.1", "10.3.4.66", "10.3.5.1", "10.99.0.1")
	}
	odd4 := []string{"127.0.0.1", "0.0.0.0", "224.0.0.5", "255.255.255.255", "240.1.1.1"}
	odd6 := []string{"::", "::1", "fe80::1", "fe80::a", "ff02::1", "febf::1"}
	p := packet{src: src, dst: dst, from: address(), to: address(), ttl: one[uint8](r, 0, 0, 0, 0, 1, 2, 255),
		size: r.IntN(250)}
	if r.IntN(2) == 0 {
		p.from, p.to = sixth(p.from), sixth(p.to)
		odd4 = odd6
	}
	switch r.IntN(12) {
	case 0:
		p.from = one(r, odd4...)
	case 1:
		p.to = one(r, odd4...)
	}
	return p.frame()
}

// randomQuestion asks for a neighbour by ARP or ND.
func randomQuestion(r *rand.Rand, src ether.MAC) []byte {
	target := one(r, "10.1.0.1", "10.1.0.12", "10.1.0.50", "10.1.0.99")
	asker := one(r, "10.1.0.10", "10.1.0.12", "0.0.0.0")
	if r.IntN(2) == 0 {
		return arp(src, one(r, ether.Broadcast, gateway1, hostB), one[uint16](r, 1, 1, 2), one(r, src, src, hostB), asker,
			ether.MAC{}, target)
	}
	if asker == "0.0.0.0" {
		return solicitation(src, "::", sixth(target), 255)
	}
	return solicitation(src, sixth(asker), one(r, sixth(target), "fe80::1"), one[uint8](r, 255, 255, 64),
		sourceOption(one(r, src, src, hostB)))
}

// otherFrame gives a frame of any kind, which a router does not understand.
func otherFrame(r *rand.Rand, src, dst ether.MAC) []byte {
	eth := func(t layers.EthernetType) *layers.Ethernet {
		return &layers.Ethernet{SrcMAC: src[:], DstMAC: dst[:], EthernetType: t}
	}
	payload := gopacket.Payload(make([]byte, r.IntN(200)))
	ip4 := &layers.IPv4{Version: 4, TTL: 9, TOS: uint8(r.Uint32()), SrcIP: vtep2.AsSlice(), DstIP: ours.AsSlice(),
		Protocol: layers.IPProtocolUDP}
	ip6 := &layers.IPv6{Version: 6, HopLimit: 9, TrafficClass: uint8(r.Uint32()), SrcIP: make([]byte, 16),
		DstIP: make([]byte, 16), NextHeader: layers.IPProtocolUDP}
	udp := &layers.UDP{SrcPort: layers.UDPPort(r.Uint32()), DstPort: one[layers.UDPPort](r, 53, 4789)}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(r.Uint32()), DstPort: 80}
	switch r.IntN(9) {
	case 0, 1:
		return assemble(eth(layers.EthernetTypeIPv4), ip4, udp, payload)
	case 2:
		ip4.Protocol = layers.IPProtocolTCP
		return assemble(eth(layers.EthernetTypeIPv4), ip4, tcp, payload)
	case 3:
		ip4.Options = []layers.IPv4Option{{OptionType: 7, OptionLength: 7, OptionData: make([]byte, 5)}}
		return assemble(eth(layers.EthernetTypeIPv4), ip4, udp, payload)
	case 4:
		return assemble(eth(layers.EthernetTypeIPv6), ip6, udp, payload)
	case 5:
		ip6.NextHeader = one(r, layers.IPProtocolTCP, layers.IPProtocolIPv6HopByHop)
		return assemble(eth(layers.EthernetTypeIPv6), ip6, tcp, payload)
	case 6:
		return assemble(eth(layers.EthernetTypeARP), gopacket.Payload(make([]byte, 28)))
	case 7:
		return tagged(assemble(eth(layers.EthernetTypeIPv4), ip4, udp, payload), 10)
	}
	return assemble(eth(layers.EthernetType(r.Uint32())), payload)
}

// damaged cuts a frame, adds to it or changes a byte of it.
func damaged(r *rand.Rand, f []byte) []byte {
	switch r.IntN(4) {
	case 0:
		return f[:r.IntN(len(f)+1)]
	case 1:
		return append(f, make([]byte, r.IntN(30))...)
	}
	if len(f) > 0 {
		f[r.IntN(min(len(f), 70))] = byte(r.Uint32())
	}
	return f
}
