package packet

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/p4evpn/p4evpn/ether"
)

var (
	hostMAC    = ether.MAC{2, 0, 0, 0, 1, 5}
	gatewayMAC = ether.MAC{2, 0, 0, 0, 0, 1}
)

// The frames are another implementation's.

func address(s string) net.IP { return netip.MustParseAddr(s).AsSlice() }

func frameOf(t testing.TB, all ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	how := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, how, all...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func ethernet(source, destination ether.MAC, kind layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: source[:], DstMAC: destination[:], EthernetType: kind}
}

// arp is a request from a host for another address.
func arp(t testing.TB, m ether.MAC, sender, target string) []byte {
	t.Helper()
	return frameOf(t, ethernet(m, ether.Broadcast, layers.EthernetTypeARP), &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation: layers.ARPRequest, SourceHwAddress: m[:], SourceProtAddress: address(sender),
		DstHwAddress: make([]byte, 6), DstProtAddress: address(target),
	})
}

// nd is a neighbour discovery message whose option says the MAC; option 0 is
// none.
func nd(t testing.TB, kind byte, m ether.MAC, source, target string, option byte) []byte {
	t.Helper()
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6,
		SrcIP: address(source), DstIP: address("ff02::1")}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}
	_ = icmp.SetNetworkLayerForChecksum(ip)
	var options layers.ICMPv6Options
	if option != 0 {
		options = layers.ICMPv6Options{{Type: layers.ICMPv6Opt(option), Data: m[:]}}
	}
	var message gopacket.SerializableLayer
	switch kind {
	default:
		message = &layers.ICMPv6NeighborSolicitation{TargetAddress: address(target), Options: options}
	case layers.ICMPv6TypeRouterSolicitation:
		message = &layers.ICMPv6RouterSolicitation{Options: options}
	case layers.ICMPv6TypeNeighborAdvertisement:
		message = &layers.ICMPv6NeighborAdvertisement{TargetAddress: address(target), Options: options}
	}
	return frameOf(t, ethernet(m, ether.MAC{0x33, 0x33, 0, 0, 0, 1}, layers.EthernetTypeIPv6), ip, icmp, message)
}

func TestWhatARPAndNDSayOfTheirSender(t *testing.T) {
	changed := func(f []byte, at int, to byte) []byte { f = slices.Clone(f); f[at] = to; return f }
	request := arp(t, hostMAC, "10.0.0.5", "10.0.0.9")
	solicit := nd(t, ICMPv6NeighborSolicitation, hostMAC, "fe80::5", "fe80::9", optionSourceMAC)
	longer := append(slices.Clone(solicit), make([]byte, 8)...)
	for _, c := range []struct {
		name  string
		frame []byte
		ip    string // "" = it says none
		ok    bool
	}{
		{"request", request, "10.0.0.5", true},
		{"reply", changed(request, 21, 2), "10.0.0.5", true},
		{"gratuitous", arp(t, hostMAC, "10.0.0.5", "10.0.0.5"), "10.0.0.5", true},
		{"probe", arp(t, hostMAC, "0.0.0.0", "10.0.0.5"), "", true},
		{"RARP", changed(request, 21, 3), "", false},
		{"for another hardware", changed(request, 15, 6), "", false},
		{"short", request[:41], "", false},
		{"empty", nil, "", false},
		{"not the sender's", changed(request, 11, 99), "", false},
		{"multicast sender", arp(t, hostMAC, "224.0.0.5", "10.0.0.9"), "", false},
		{"broadcast sender", arp(t, hostMAC, "255.255.255.255", "10.0.0.9"), "", false},
		{"loopback sender", arp(t, hostMAC, "127.0.0.1", "10.0.0.9"), "", false},
		{"from a group", changed(request, 6, 3), "", false},
		{"solicitation", solicit, "fe80::5", true},
		{"solicitation of duplicate address detection",
			nd(t, ICMPv6NeighborSolicitation, hostMAC, "::", "fe80::5", 0), "", true},
		{"solicitation of duplicate address detection, with a MAC",
			nd(t, ICMPv6NeighborSolicitation, hostMAC, "::", "fe80::5", optionSourceMAC), "", true},
		{"option of no Ethernet address", summed(changed(changed(longer, 19, 24+16), 79, 2)), "", true},
		{"advertisement",
			nd(t, ICMPv6NeighborAdvertisement, hostMAC, "fe80::5", "2001:db8::5", optionTargetMAC), "2001:db8::5", true},
		{"advertisement without an address",
			nd(t, ICMPv6NeighborAdvertisement, hostMAC, "fe80::5", "2001:db8::5", 0), "", true},
		{"router solicitation", nd(t, ICMPv6RouterSolicitation, hostMAC, "fe80::5", "::", optionSourceMAC), "fe80::5", true},
		{"router solicitation of nobody", nd(t, ICMPv6RouterSolicitation, hostMAC, "::", "::", 0), "", true},
		{"router advertisement", nd(t, ICMPv6RouterAdvertisement, hostMAC, "fe80::5", "fe80::9", 0), "", false},
		{"from behind a router", summed(changed(solicit, 21, 64)), "", false},
		{"damaged", changed(solicit, 60, 1), "", false},
		{"truncated", solicit[:len(solicit)-1], "", false},
		{"option too long", summed(changed(solicit, 79, 2)), "", false},
		{"option of no length", summed(changed(solicit, 79, 0)), "", false},
		{"not the sender's ND", summed(changed(solicit, 11, 99)), "", false},
		{"IPv4", changed(request, 13, 0), "", false},
	} {
		s, ok := ReadSighting(c.frame)
		ip := ""
		if s.IP.IsValid() {
			ip = s.IP.String()
		}
		if ok != c.ok || ip != c.ip || ok && s.MAC != hostMAC {
			t.Errorf("%s: %+v, %v; want %q, %v", c.name, s, ok, c.ip, c.ok)
		}
	}
}

func FuzzReadSighting(f *testing.F) {
	f.Add(arp(f, hostMAC, "10.0.0.5", "10.0.0.9"))
	f.Add(nd(f, ICMPv6NeighborSolicitation, hostMAC, "fe80::5", "fe80::9", optionSourceMAC))
	f.Add(nd(f, ICMPv6NeighborAdvertisement, hostMAC, "fe80::5", "2001:db8::5", optionTargetMAC))
	f.Add(nd(f, ICMPv6RouterSolicitation, hostMAC, "::", "::", 0))
	f.Fuzz(func(t *testing.T, frame []byte) {
		s, ok := ReadSighting(frame)
		if ok && (s.MAC.IsZero() || s.MAC.IsMulticast() || s.IP.IsValid() && !IsHost(s.IP)) {
			t.Errorf("%x says %+v", frame, s)
		}
	})
}
