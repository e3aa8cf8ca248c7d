package p4_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

func TestAKnownMACGetsTheFrameAndNoOneElse(t *testing.T) {
	for name, tc := range map[string]struct {
		port uint32
		in   []byte
		want out
	}{
		"access to access":        {access1, frame(hostA, hostB), out{access2: {frame(hostA, hostB)}}},
		"access to trunk":         {access1, frame(hostA, hostT), out{trunk: {tagged(frame(hostA, hostT), 10)}}},
		"trunk to access":         {trunk, tagged(frame(hostT, hostA), 10), out{access1: {frame(hostT, hostA)}}},
		"priority tag is no VLAN": {access1, tagged(frame(hostA, hostB), 0), out{access2: {frame(hostA, hostB)}}},
		"VXLAN to access":         {uplink, tunnelled(vtep1, ours, vni1, frame(remote, hostA)), out{access1: {frame(remote, hostA)}}},
		"VXLAN to trunk":          {uplink, tunnelled(vtep1, ours, vni1, frame(remote, hostT)), out{trunk: {tagged(frame(remote, hostT), 10)}}},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(g *gateway) { g.expect(g.send(tc.port, tc.in), tc.want) })
		})
	}
}

func TestEncapsulationIsExact(t *testing.T) {
	each(t, func(g *gateway) {
		inner := frame(hostA, remote)
		f := g.only(uplink, g.send(access1, inner))
		sport := binary.BigEndian.Uint16(f[34:])
		if sport < 49152 {
			g.Errorf("UDP source port %d: want the dynamic range", sport)
		}
		want := assemble(
			&layers.Ethernet{SrcMAC: uplinkMAC[:], DstMAC: routerMAC[:], EthernetType: layers.EthernetTypeIPv4},
			// DSCP 46 of the tenant's packet, without its ECN bits.
			&layers.IPv4{Version: 4, TTL: 64, TOS: 0xb8, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolUDP,
				SrcIP: ours.AsSlice(), DstIP: vtep1.AsSlice()},
			&layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: 4789},
			&layers.VXLAN{ValidIDFlag: true, VNI: remoteVNI},
			gopacket.Payload(inner))
		want[40], want[41] = 0, 0 // RFC 7348: the UDP checksum should be zero
		if !bytes.Equal(f, want) {
			g.Errorf("got  %x\nwant %x", f, want)
		}
		if n := g.count("bridge_vxlan_out", bridge1).packets; n != 1 {
			g.Errorf("bridge_vxlan_out = %d, want 1", n)
		}
	})
}

func TestTheOuterDSCPIsTheTenants(t *testing.T) {
	eth := func(t layers.EthernetType) *layers.Ethernet {
		return &layers.Ethernet{SrcMAC: hostA[:], DstMAC: remote[:], EthernetType: t}
	}
	for name, tc := range map[string]struct {
		in   []byte
		want byte // the whole byte: ECN is 0
	}{
		"IPv4": {frame(hostA, remote), 46 << 2},
		"IPv6": {assemble(eth(layers.EthernetTypeIPv6), &layers.IPv6{Version: 6, TrafficClass: 10<<2 | 3,
			SrcIP: make([]byte, 16), DstIP: make([]byte, 16), NextHeader: layers.IPProtocolNoNextHeader}), 10 << 2},
		"neither": {assemble(eth(layers.EthernetTypeARP), gopacket.Payload(make([]byte, 28))), 0},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(g *gateway) {
				if f := g.only(uplink, g.send(access1, tc.in)); f[15] != tc.want {
					g.Errorf("TOS %#x, want %#x", f[15], tc.want)
				}
			})
		})
	}
}

func TestATagIsNotCarriedThroughATunnel(t *testing.T) {
	each(t, func(g *gateway) {
		f := g.only(uplink, g.send(trunk, tagged(frame(hostT, remote), 10)))
		if !bytes.Equal(f[50:], frame(hostT, remote)) {
			g.Errorf("got %x", f)
		}
		if n := int(binary.BigEndian.Uint16(f[16:])); n != len(f)-14 {
			g.Errorf("outer IPv4 length %d in a frame of %d", n, len(f))
		}
	})
}

func TestAFlowKeepsItsSourcePortAndFlowsDiffer(t *testing.T) {
	each(t, func(g *gateway) {
		ports := map[uint16]bool{}
		for flow := range uint16(64) {
			in := frame(hostA, remote)
			binary.BigEndian.PutUint16(in[34:], flow)
			first := binary.BigEndian.Uint16(g.only(uplink, g.send(access1, in))[34:])
			again := binary.BigEndian.Uint16(g.only(uplink, g.send(access1, in))[34:])
			if first != again {
				g.Fatalf("flow %d: source port %d, then %d", flow, first, again)
			}
			ports[first] = true
		}
		if len(ports) < 56 {
			g.Errorf("64 flows have %d source ports", len(ports))
		}
	})
}

func TestFloodReachesEachMemberOnceAndNeverTheSender(t *testing.T) {
	for name, dst := range map[string]ether.MAC{"broadcast": ether.Broadcast, "unknown unicast": nobody,
		"multicast": {1, 0, 0x5e, 0, 0, 1}} {
		t.Run(name, func(t *testing.T) {
			each(t, func(g *gateway) {
				in := frame(hostA, dst)
				got := g.send(access1, in)
				encapsulated := got[uplink]
				delete(got, uplink)
				g.expect(got, out{access2: {in}, trunk: {tagged(in, 10)}})
				want := map[uint32]netip.Addr{remoteVNI: vtep1, vni1: vtep2}
				if len(encapsulated) != 2 {
					g.Fatalf("%d frames by the uplink, want one for each VTEP", len(encapsulated))
				}
				for _, f := range encapsulated {
					vni := binary.BigEndian.Uint32(f[46:]) >> 8
					if to := netip.AddrFrom4([4]byte(f[30:34])); want[vni] != to || !bytes.Equal(f[50:], in) {
						g.Errorf("VNI %d to %v with %x", vni, to, f[50:])
					}
					delete(want, vni)
				}
			})
		})
	}
}

func TestWhatCameByVXLANNeverLeavesByVXLAN(t *testing.T) {
	each(t, func(g *gateway) {
		in := frame(remote, ether.Broadcast)
		g.expect(g.send(uplink, tunnelled(vtep2, ours, vni1, in)), out{access1: {in}, access2: {in}, trunk: {tagged(in, 10)}})
		g.dropped("ingress_drops", p4.DropSplitHorizon, g.send(uplink, tunnelled(vtep2, ours, vni1, frame(nobody, remote))))
	})
}

// No Linux interface carries such a frame, so that BMv2 is not asked.
func TestAFrameWithoutAnEthernetHeaderIsDropped(t *testing.T) {
	g := newGateway(t, newSoftswitch(t))
	g.dropped("ingress_drops", p4.DropTruncated, g.send(access1, []byte{2, 0, 0, 0, 0, 1, 2, 0}))
}

func TestAFrameNeverReturnsToItsPortAndBridge(t *testing.T) {
	each(t, func(g *gateway) {
		g.dropped("ingress_drops", p4.DropHairpin, g.send(access1, frame(nobody, hostA)))
		in := frame(hostT, ether.Broadcast)
		got := g.send(trunk, tagged(in, 20))
		g.expect(got, out{other: {in}})
	})
}

func TestDropsAreCountedByReason(t *testing.T) {
	inner := frame(remote, hostA)
	noFlag := tunnelled(vtep1, ours, vni1, inner)
	noFlag[42] = 0
	badChecksum := tunnelled(vtep1, ours, vni1, inner)
	badChecksum[24] ^= 0xff
	for name, tc := range map[string]struct {
		port   uint32
		in     []byte
		reason p4.DropReason
		bridge uint16 // that it came into
	}{
		"port without a kind":      {unused, frame(hostA, hostB), p4.DropUnknownPort, 0},
		"tag on an access port":    {access1, tagged(frame(hostA, hostB), 10), p4.DropNotMember, 0},
		"no tag on a trunk":        {trunk, frame(hostT, hostB), p4.DropNotMember, 0},
		"foreign VLAN":             {trunk, tagged(frame(hostT, hostB), 30), p4.DropNotMember, 0},
		"unknown VTEP":             {uplink, tunnelled(netip.MustParseAddr("10.0.0.9"), ours, vni1, inner), p4.DropUnknownVTEP, 0},
		"unknown VNI":              {uplink, tunnelled(vtep1, ours, 12345, inner), p4.DropUnknownVNI, 0},
		"no valid-VNI flag":        {uplink, noFlag, p4.DropBadVXLAN, 0},
		"no inner Ethernet header": {uplink, tunnelled(vtep1, ours, vni1, []byte{1, 2, 3}), p4.DropBadVXLAN, 0},
		"no VXLAN header":          {uplink, tunnelled(vtep1, ours, vni1, nil)[:44], p4.DropBadVXLAN, 0},
		"outer checksum":           {uplink, badChecksum, p4.DropBadChecksum, 0},
		"tag inside VXLAN":         {uplink, tunnelled(vtep1, ours, vni1, tagged(inner, 10)), p4.DropInnerVLAN, bridge1},
		"group source":             {access1, frame(ether.MAC{1, 0, 0, 0, 0, 1}, hostB), p4.DropBadSource, bridge1},
		"zero source":              {access1, frame(ether.MAC{}, hostB), p4.DropBadSource, bridge1},
		"group source by VXLAN":    {uplink, tunnelled(vtep1, ours, vni1, frame(ether.Broadcast, hostA)), p4.DropBadSource, bridge1},
		"spanning tree":            {access1, frame(hostA, ether.MAC{1, 0x80, 0xc2, 0, 0, 0}), p4.DropReservedGroup, bridge1},
		"tagged, to its own port":  {trunk, tagged(frame(hostA, hostT), 10), p4.DropHairpin, bridge1},
		"LACP":                     {access1, frame(hostA, ether.MAC{1, 0x80, 0xc2, 0, 0, 2}), p4.DropReservedGroup, bridge1},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(g *gateway) {
				g.dropped("ingress_drops", tc.reason, g.send(tc.port, tc.in))
				g.add(p4.CloneSession{ID: p4.SampleCloneSession, Port: p4.CPUPort})
				got := g.send(tc.port, tc.in)
				if sample := sampleOf(t, got); sample.Reason != p4.PuntDropped|p4.PuntReason(tc.reason) ||
					sample.Port != uint16(tc.port) || sample.Bridge != tc.bridge || !bytes.Equal(sample.Frame, tc.in) {
					g.Errorf("the sample is\n%+v, want it as it came, of bridge %d:\n%s", sample, tc.bridge, dump(tc.port, tc.in))
				}
				for by, who := range map[string]uint16{"port_drops": uint16(tc.port), "bridge_drops": tc.bridge} {
					if n := g.count(by, tc.reason.Of(who)); who != 0 && n != (counted{2, 2 * uint64(len(tc.in))}) {
						g.Errorf("%s of %d are %v, want 2 frames", by, who, n)
					}
				}
				if n := g.count("bridge_drops", tc.reason.Of(0)).packets; n != 0 {
					g.Errorf("%d are counted of no bridge", n)
				}
			})
		})
	}
}

// sampleOf is the copy of a dropped frame, and nothing else leaves.
func sampleOf(t *testing.T, got out) p4.PacketIn {
	t.Helper()
	if len(got) != 1 || len(got[p4.CPUPort]) != 1 {
		t.Fatalf("%v leaves: want one sample", got)
	}
	sample, err := p4.CutPacketIn(got[p4.CPUPort][0])
	if err != nil {
		t.Fatal(err)
	}
	return sample
}

func TestAFrameOfWhichATrapHasACopyIsNoSample(t *testing.T) {
	each(t, func(g *gateway) {
		g.add(p4.CloneSession{ID: p4.SampleCloneSession, Port: p4.CPUPort},
			p4.Trap{EtherType: 0x0800, Origin: p4.OriginBridge, Priority: 1, Reason: p4.PuntARP})
		if s := sampleOf(t, g.send(access1, frame(nobody, hostA))); s.Reason != p4.PuntARP {
			g.Errorf("the copy is for %v", s.Reason)
		}
	})
}

func TestAMissingEntryIsADropWithItsReason(t *testing.T) {
	const vtep = 5
	toVTEP := p4.FDB{Bridge: bridge1, MAC: nobody, Kind: p4.ToVTEP, VTEP: vtep, VNI: 5}
	path := p4.Path{VTEP: vtep, Port: uplink, MTU: tunnelMTU}
	for name, tc := range map[string]struct {
		entries []entry
		counter string
		reason  p4.DropReason
	}{
		"path":                {[]entry{toVTEP}, "ingress_drops", p4.DropNoPath},
		"tunnel":              {[]entry{toVTEP, path}, "egress_drops", p4.DropNoTunnel},
		"adjacency":           {[]entry{toVTEP, path, p4.Tunnel{VTEP: vtep, Source: ours, Destination: vtep2, Adjacency: 9, MTU: tunnelMTU}}, "egress_drops", p4.DropNoAdjacency},
		"VLAN of the port":    {[]entry{p4.FDB{Bridge: bridge1, MAC: nobody, Port: other}}, "egress_drops", p4.DropNotMember},
		"nothing: it is told": {[]entry{p4.FDB{Bridge: bridge1, MAC: nobody, Kind: p4.Drop}}, "ingress_drops", p4.DropFDB},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(g *gateway) {
				g.add(tc.entries...)
				g.dropped(tc.counter, tc.reason, g.send(access1, frame(hostA, nobody)))
				by := map[string]string{"ingress_drops": "port_drops", "egress_drops": "port_egress_drops"}[tc.counter]
				if n := g.count(by, tc.reason.Of(access1)).packets; n != 1 {
					g.Errorf("%d of the port are counted", n)
				}
				if n := g.count("bridge_vxlan_out", bridge1).packets; n != 0 {
					g.Errorf("bridge_vxlan_out = %d, want 0: nothing left", n)
				}
			})
		})
	}
}

func TestABridgeWithoutAGroupFloodsNowhere(t *testing.T) {
	each(t, func(g *gateway) {
		g.add(p4.Member{Port: trunk, VLAN: 30, Bridge: 3})
		g.expect(g.send(trunk, tagged(frame(nobody, ether.Broadcast), 30)), nil)
	})
}

func TestTheZeroLengthPrefixLetsInEveryVTEP(t *testing.T) {
	each(t, func(g *gateway) {
		g.add(p4.RemoteVTEP{Prefix: netip.MustParsePrefix("0.0.0.0/0")})
		in := frame(remote, hostA)
		g.expect(g.send(uplink, tunnelled(netip.MustParseAddr("10.0.0.9"), ours, vni1, in)), out{access1: {in}})
	})
}

func TestAnUplinkPassesToItsHostPortWhatIsNotForUs(t *testing.T) {
	elsewhere := tunnelled(vtep1, netip.MustParseAddr("10.0.0.99"), vni1, frame(remote, hostA))
	fragment := tunnelled(vtep1, ours, vni1, frame(remote, hostA))
	fragment[20] |= 0x20
	for name, in := range map[string][]byte{
		"ARP":               append(frame(routerMAC, ether.Broadcast)[:12], 8, 6, 0, 1, 8, 0, 6, 4, 0, 1),
		"UDP":               frame(routerMAC, uplinkMAC),
		"VXLAN to another":  elsewhere,
		"a fragment":        fragment,
		"a tagged frame":    tagged(tunnelled(vtep1, ours, vni1, frame(remote, hostA)), 5),
		"a truncated frame": frame(routerMAC, uplinkMAC)[:20],
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(g *gateway) {
				g.expect(g.send(uplink, in), out{host: {in}})
				g.expect(g.send(host, in), out{uplink: {in}})
			})
		})
	}
}

// A frame like this one leaves no Linux interface, so that BMv2 gets none.
func TestAFrameShorterThanAHeaderIsCarried(t *testing.T) {
	g := newGateway(t, newSoftswitch(t))
	in := []byte{1, 2, 3}
	g.expect(g.send(uplink, in), out{host: {in}})
	g.expect(g.send(host, in), out{uplink: {in}})
}

func TestOnlyAnUnknownSourceIsReported(t *testing.T) {
	each(t, func(g *gateway) {
		g.send(access1, frame(hostA, hostB))
		g.send(uplink, tunnelled(vtep1, ours, vni1, frame(remote, hostA)))
		g.expectLearned()
		g.send(access2, frame(hostA, hostB)) // moved
		g.send(trunk, tagged(frame(nobody, hostB), 10))
		g.expectLearned(p4.Learn{Bridge: bridge1, MAC: hostA, Port: access2},
			p4.Learn{Bridge: bridge1, MAC: nobody, Port: trunk})
	})
}

func TestADeclinedSourceIsNotReportedAgain(t *testing.T) {
	each(t, func(g *gateway) {
		g.add(p4.Source{Bridge: bridge1, MAC: nobody, Port: access1, Verdict: p4.Ignore},
			p4.Source{Bridge: bridge1, MAC: nobody, Port: access2, Verdict: p4.Discard})
		in := frame(nobody, hostB)
		g.expect(g.send(access1, in), out{access2: {in}})
		g.dropped("ingress_drops", p4.DropDeclinedSource, g.send(access2, frame(nobody, hostA)))
		g.expectLearned()
	})
}

func TestATrapCopiesOrDiverts(t *testing.T) {
	each(t, func(g *gateway) {
		g.add(p4.Trap{Bridge: bridge1, MAC: hostB, Priority: 1, Reason: 7})
		g.add(p4.Trap{MAC: hostA, Origin: p4.OriginVXLAN, Priority: 2, Divert: true, Reason: 8})
		in := frame(hostT, hostB)
		g.expect(g.send(trunk, tagged(in, 10)), out{access2: {in}, p4.CPUPort: {punted(7, trunk, bridge1, 0, in)}})
		in = frame(remote, hostB)
		g.expect(g.send(uplink, tunnelled(vtep1, ours, vni1, in)),
			out{access2: {in}, p4.CPUPort: {puntedFrom(vtep1, 7, uplink, bridge1, 0, in)}})
		in = frame(remote, hostA)
		g.expect(g.send(uplink, tunnelled(vtep1, ours, vni1, in)),
			out{p4.CPUPort: {puntedFrom(vtep1, 8, uplink, bridge1, 0, in)}})
		in = frame(hostB, hostA)
		g.expect(g.send(access2, in), out{access1: {in}})
	})
}

func TestATrapSeesWhatIsThenDroppedAndWhatIsLearned(t *testing.T) {
	lldp := ether.MAC{1, 0x80, 0xc2, 0, 0, 14}
	each(t, func(g *gateway) {
		g.add(p4.Trap{MAC: lldp, Priority: 1, Reason: 3}, p4.Trap{MAC: hostB, Priority: 1, Divert: true, Reason: 4})
		in := frame(hostA, lldp)
		g.expect(g.send(access1, in), out{p4.CPUPort: {punted(3, access1, bridge1, 0, in)}})
		in = frame(nobody, hostB)
		g.expect(g.send(access1, in), out{p4.CPUPort: {punted(4, access1, bridge1, 0, in)}})
		g.expectLearned(p4.Learn{Bridge: bridge1, MAC: nobody, Port: access1})
	})
}

func TestTheControllerInjects(t *testing.T) {
	each(t, func(g *gateway) {
		in := frame(nobody, hostT)
		g.expect(g.inject(p4.PacketOut{Port: access2, Frame: in}), out{access2: {in}})
		g.expect(g.inject(p4.PacketOut{Bridge: bridge1, Frame: in}), out{trunk: {tagged(in, 10)}})
		in = frame(nobody, remote)
		f := g.only(uplink, g.inject(p4.PacketOut{Bridge: bridge1, Frame: in}))
		if !bytes.Equal(f[50:], in) || int(binary.BigEndian.Uint16(f[16:])) != len(in)+36 {
			g.Errorf("into a tunnel: %x", f)
		}
		g.expectLearned()
	})
}

func TestCountersHoldPacketsAndArrivedBytes(t *testing.T) {
	each(t, func(g *gateway) {
		g.send(access1, frame(hostA, remote))
		g.send(uplink, tunnelled(vtep1, ours, vni1, frame(remote, hostA)))
		g.send(uplink, tunnelled(vtep1, ours, vni1, frame(remote, hostB)))
		plain := uint64(len(frame(hostA, remote)))
		left, arrived := counted{1, plain}, counted{2, 2 * (plain + 50)}
		for name, c := range map[string]struct{ got, want counted }{
			"bridge_vxlan_out": {g.count("bridge_vxlan_out", bridge1), left},
			"bridge_vxlan_in":  {g.count("bridge_vxlan_in", bridge1), arrived},
			"port_in":          {g.count("port_in", uplink), arrived},
			"port_out":         {g.count("port_out", uplink), left},
			"tunnel_out":       {g.countEntry(p4.Tunnel{VTEP: 1, Source: ours, Destination: vtep1, Adjacency: 1, MTU: tunnelMTU}), left},
			"peer_in":          {g.countEntry(p4.RemoteVTEP{Prefix: netip.PrefixFrom(vtep1, 32)}), arrived},
		} {
			if c.got != c.want {
				g.Errorf("%s = %v, want %v", name, c.got, c.want)
			}
		}
	})
}

// FuzzBridgingCarriesAnyPayload holds that a tenant's frame is the tenant's:
// whatever follows the addresses arrives as it was sent.
func FuzzBridgingCarriesAnyPayload(f *testing.F) {
	f.Add([]byte{8, 0, 0x45})
	f.Add(frame(hostA, hostB)[12:])
	f.Add(tunnelled(vtep1, ours, vni1, frame(remote, hostA))[12:])
	f.Add([]byte{0x86, 0xdd, 0x60, 0, 0, 0})
	once := inMemory()
	f.Fuzz(func(t *testing.T, rest []byte) {
		if len(rest) < 2 || rest[0] == 0x81 && rest[1] == 0 || len(rest) > 9000 {
			return
		}
		g := once(t, func(*gateway) {})
		in := slices.Concat(hostB[:], hostA[:], rest)
		g.expect(g.send(access1, in), out{access2: {in}})
		back := slices.Concat(hostA[:], remote[:], rest)
		g.expect(g.send(uplink, tunnelled(vtep1, ours, vni1, back)), out{access1: {back}})
	})
}
