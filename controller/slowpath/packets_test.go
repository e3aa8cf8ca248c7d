package slowpath

import (
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/p4evpn/p4evpn/ether"
)

// frameOf serialises layers with lengths and checksums.
func frameOf(t *testing.T, all ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		all...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func ethernet(src, dst ether.MAC, kind layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: src[:], DstMAC: dst[:], EthernetType: kind}
}

func address(s string) net.IP { return netip.MustParseAddr(s).AsSlice() }

// ping is an echo request, v4 or v6, of so many bytes of payload.
func ping(t *testing.T, srcMAC, dstMAC ether.MAC, src, dst string, ttl uint8, size int) []byte {
	t.Helper()
	payload := gopacket.Payload(make([]byte, size))
	if netip.MustParseAddr(src).Is4() {
		return frameOf(t, ethernet(srcMAC, dstMAC, layers.EthernetTypeIPv4),
			&layers.IPv4{Version: 4, TTL: ttl, Protocol: layers.IPProtocolICMPv4, Flags: layers.IPv4DontFragment,
				SrcIP: address(src), DstIP: address(dst)},
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 7, Seq: 9}, payload)
	}
	ip := &layers.IPv6{Version: 6, HopLimit: ttl, NextHeader: layers.IPProtocolICMPv6, SrcIP: address(src),
		DstIP: address(dst)}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)}
	_ = icmp.SetNetworkLayerForChecksum(ip)
	return frameOf(t, ethernet(srcMAC, dstMAC, layers.EthernetTypeIPv6), ip, icmp,
		&layers.ICMPv6Echo{Identifier: 7, SeqNumber: 9}, payload)
}

// arp is a request or a reply.
func arp(t *testing.T, op uint16, srcMAC, dstMAC ether.MAC, src, dst string) []byte {
	t.Helper()
	target := dstMAC
	if op == layers.ARPRequest {
		target = ether.MAC{}
	}
	return frameOf(t, ethernet(srcMAC, dstMAC, layers.EthernetTypeARP), &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation: op, SourceHwAddress: srcMAC[:], SourceProtAddress: address(src), DstHwAddress: target[:],
		DstProtAddress: address(dst),
	})
}

// advertisement is a solicited neighbour advertisement.
func advertisement(t *testing.T, srcMAC, dstMAC ether.MAC, src, dst string) []byte {
	t.Helper()
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: address(src),
		DstIP: address(dst)}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborAdvertisement, 0)}
	_ = icmp.SetNetworkLayerForChecksum(ip)
	return frameOf(t, ethernet(srcMAC, dstMAC, layers.EthernetTypeIPv6), ip, icmp, &layers.ICMPv6NeighborAdvertisement{
		Flags: 0x60, TargetAddress: address(src),
		Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: srcMAC[:]}},
	})
}

func isARP(vrf, bridge, op uint16, target string) func(Frame, gopacket.Packet) bool {
	return func(f Frame, p gopacket.Packet) bool {
		a, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP)
		return ok && f.VRF == vrf && f.Bridge == bridge && !f.LocalOnly && a.Operation == op &&
			net.IP(a.DstProtAddress).Equal(address(target))
	}
}

func isSolicit(vrf, bridge uint16, target string) func(Frame, gopacket.Packet) bool {
	return func(f Frame, p gopacket.Packet) bool {
		n, ok := p.Layer(layers.LayerTypeICMPv6NeighborSolicitation).(*layers.ICMPv6NeighborSolicitation)
		return ok && f.VRF == vrf && f.Bridge == bridge && n.TargetAddress.Equal(address(target))
	}
}

// isICMP reports whether a packet is an ICMP message from and to addresses.
func isICMP(vrf, bridge uint16, src, dst string, v4, v6 uint8) func(Frame, gopacket.Packet) bool {
	return func(f Frame, p gopacket.Packet) bool {
		if f.VRF != vrf || f.Bridge != bridge || p.NetworkLayer() == nil {
			return false
		}
		flow := p.NetworkLayer().NetworkFlow()
		if flow.Src().String() != src || flow.Dst().String() != dst {
			return false
		}
		if i, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
			return i.TypeCode.Type() == v4
		}
		i, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
		return ok && i.TypeCode.Type() == v6
	}
}

const (
	echoReply4, echoReply6       = layers.ICMPv4TypeEchoReply, layers.ICMPv6TypeEchoReply
	timeExceeded4, timeExceeded6 = layers.ICMPv4TypeTimeExceeded, layers.ICMPv6TypeTimeExceeded
	unreachable4, tooBig6        = layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv6TypePacketTooBig
)

// destination checks the Ethernet addresses of a packet.
func destination(t *testing.T, p gopacket.Packet, src, dst ether.MAC) {
	t.Helper()
	e := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	if gotSrc, _ := ether.FromBytes(e.SrcMAC); !src.IsZero() && gotSrc != src {
		t.Errorf("source MAC %s, want %s", gotSrc, src)
	}
	if got, _ := ether.FromBytes(e.DstMAC); got != dst {
		t.Errorf("destination MAC %s, want %s", got, dst)
	}
}
