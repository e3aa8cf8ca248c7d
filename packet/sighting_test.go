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
		{"multicast sender", arp(t, hostMAC, "224.0.0.5", "10.0.0.9"), "224.0.0.5", true},
		{"broadcast sender", arp(t, hostMAC, "255.255.255.255", "10.0.0.9"), "255.255.255.255", true},
		{"loopback sender", arp(t, hostMAC, "127.0.0.1", "10.0.0.9"), "127.0.0.1", true},
		{"from a group", changed(request, 6, 3), "", false},
		{"solicitation", solicit, "fe80::5", true},
		{"solicitation of duplicate address detection",
			nd(t, ICMPv6NeighborSolicitation, hostMAC, "::", "fe80::5", 0), "", true},
		{"solicitation of duplicate address detection, with a MAC", // RFC 4861 section 7.1.1
			nd(t, ICMPv6NeighborSolicitation, hostMAC, "::", "fe80::5", optionSourceMAC), "", false},
		{"solicitation of a group",
			nd(t, ICMPv6NeighborSolicitation, hostMAC, "fe80::5", "ff02::9", optionSourceMAC), "", false},
		{"of another code", summed(changed(solicit, EthernetLength+ipv6Length+1, 1)), "", false},
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

// advertised is a neighbour advertisement with the first octet of its flags, to a host or
// to all of them.
func advertised(t testing.TB, flags byte, option byte, to string) []byte {
	t.Helper()
	f := nd(t, ICMPv6NeighborAdvertisement, hostMAC, "2001:db8::5", "2001:db8::5", option)
	f[EthernetLength+ipv6Length+4] = flags
	copy(f[EthernetLength+24:], address(to))
	return summed(f)
}

func TestFlagsAreThoseThatTheHostSaidItself(t *testing.T) {
	const r, s, o = 0x80, 0x40, 0x20 // RFC 4861 section 4.4
	const known = FlagsKnown | FlagOverrideKnown
	one, all := "2001:db8::9", "ff02::1"
	router := advertisement(t, RouterAdvertisement{MAC: hostMAC})
	for _, c := range []struct {
		name   string
		frame  []byte
		flags  Flags
		answer bool
		ok     bool
	}{
		{"host", advertised(t, s|o, optionTargetMAC, one), known | FlagOverride, true, true},
		{"router", advertised(t, r|s|o, optionTargetMAC, one), known | FlagRouter | FlagOverride, true, true},
		{"anycast", advertised(t, s, optionTargetMAC, one), known, true, true},
		{"unsolicited", advertised(t, o, optionTargetMAC, all), known | FlagOverride, false, true},
		// RFC 4861 section 7.2.4: without the MAC the override flag is zero whoever answers.
		{"asked by its MAC", advertised(t, r|s, 0, one), FlagsKnown | FlagRouter | FlagOverride, true, true},
		{"unsolicited without a MAC", advertised(t, r|o, 0, all), 0, false, true},
		{"an answer to all", advertised(t, s|o, optionTargetMAC, all), 0, false, false}, // RFC 4861 section 7.1.2
		{"bits that mean nothing", advertised(t, s|o|0x1f, optionTargetMAC, one), known | FlagOverride, true, true},
		{"router advertisement", router, FlagsKnown | FlagRouter | FlagOverride, false, true}, // section 6.3.4
		{"router advertisement cut short", router[:EthernetLength+ipv6Length+15], 0, false, false},
		{"solicitation", nd(t, ICMPv6NeighborSolicitation, hostMAC, "fe80::5", "fe80::9", optionSourceMAC), 0, false, true},
		{"ARP", arp(t, hostMAC, "10.0.0.5", "10.0.0.9"), 0, false, true},
	} {
		got, ok := ReadSighting(c.frame)
		if ok != c.ok || got.Flags != c.flags || got.Answer != c.answer {
			t.Errorf("%s: flags %04b, answer %v, %v; want %04b, %v, %v", c.name, got.Flags, got.Answer, ok,
				c.flags, c.answer, c.ok)
		}
	}
}

func TestARouterAdvertisementOfAnotherAddressThanALinkLocalOneSaysNothing(t *testing.T) { // RFC 4861 section 6.1.2
	f := advertisement(t, RouterAdvertisement{MAC: hostMAC})
	if s, ok := ReadSighting(f); !ok || s.IP != LinkLocal(hostMAC) || s.MAC != hostMAC {
		t.Errorf("%+v, %v", s, ok)
	}
	copy(f[EthernetLength+8:], address("2001:db8::5"))
	if s, ok := ReadSighting(summed(f)); ok {
		t.Errorf("of 2001:db8::5: %+v", s)
	}
}

func TestWhatASightingAsksAbout(t *testing.T) {
	reply := arp(t, hostMAC, "10.0.0.5", "10.0.0.9")
	reply[21] = 2
	toOne := slices.Clone(reply)
	copy(toOne, gatewayMAC[:])
	for _, c := range []struct {
		name, ip, target string
		frame            []byte
		answer           bool
	}{
		{"request", "10.0.0.5", "10.0.0.9", arp(t, hostMAC, "10.0.0.5", "10.0.0.9"), false},
		{"announcement", "10.0.0.5", "10.0.0.5", arp(t, hostMAC, "10.0.0.5", "10.0.0.5"), false},
		{"probe", "", "10.0.0.9", arp(t, hostMAC, "0.0.0.0", "10.0.0.9"), false},
		{"reply to all", "10.0.0.5", "", reply, false},
		{"reply to one", "10.0.0.5", "", toOne, true},
		{"solicitation", "fe80::5", "fe80::9",
			nd(t, ICMPv6NeighborSolicitation, hostMAC, "fe80::5", "fe80::9", optionSourceMAC), false},
		{"duplicate address detection", "", "fe80::5", nd(t, ICMPv6NeighborSolicitation, hostMAC, "::", "fe80::5", 0), false},
	} {
		s, ok := ReadSighting(c.frame)
		if !ok || text(s.IP) != c.ip || text(s.Target) != c.target || s.Answer != c.answer {
			t.Errorf("%s: %+v, %v", c.name, s, ok)
		}
	}
}

func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func TestWhatWasNotSaidOfAnAddressStaysAsItWas(t *testing.T) {
	const known = FlagsKnown | FlagOverrideKnown
	for _, c := range []struct{ was, heard, want Flags }{
		{0, 0, 0},
		{0, known | FlagRouter, known | FlagRouter},
		{known | FlagRouter, 0, known | FlagRouter},                                          // a solicitation
		{known | FlagRouter, known | FlagOverride, known | FlagOverride},                     // a router no more
		{known, FlagsKnown | FlagOverride, known},                                            // it did not say O
		{known, FlagsKnown | FlagRouter | FlagOverride, known | FlagRouter},                  // the same
		{0, FlagsKnown | FlagRouter | FlagOverride, FlagsKnown | FlagRouter | FlagOverride},  // O by default
		{FlagsKnown | FlagOverride, known | FlagRouter, known | FlagRouter},                  // O is said later
		{FlagsKnown | FlagOverride | FlagRouter, known | FlagOverride, known | FlagOverride}, // all anew
		{0, FlagOverrideKnown | FlagOverride, FlagOverrideKnown | FlagOverride},              // R is not known
		{FlagOverrideKnown, FlagsKnown | FlagOverride, known},                                // R is said later
	} {
		if got := c.was.With(c.heard); got != c.want {
			t.Errorf("%04b with %04b: %04b, want %04b", c.was, c.heard, got, c.want)
		}
	}
}

func FuzzReadSighting(f *testing.F) {
	f.Add(arp(f, hostMAC, "10.0.0.5", "10.0.0.9"))
	f.Add(nd(f, ICMPv6NeighborSolicitation, hostMAC, "fe80::5", "fe80::9", optionSourceMAC))
	f.Add(nd(f, ICMPv6NeighborAdvertisement, hostMAC, "fe80::5", "2001:db8::5", optionTargetMAC))
	f.Add(nd(f, ICMPv6RouterSolicitation, hostMAC, "::", "::", 0))
	f.Add(advertised(f, 0xff, 0, "2001:db8::9"))
	f.Add(advertisement(f, RouterAdvertisement{MAC: hostMAC}))
	seedMalformed(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		s, ok := ReadSighting(frame)
		if ok && (s.MAC.IsZero() || s.MAC.IsMulticast()) {
			t.Errorf("%x says %+v", frame, s)
		}
		if ok && s.Flags != 0 && (!s.IP.Is6() || !s.Flags.Known()) {
			t.Errorf("%x says %+v: flags of what has none", frame, s)
		}
	})
}
