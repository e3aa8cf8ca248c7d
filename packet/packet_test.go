package packet

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/p4evpn/p4evpn/ether"
)

func TestAnARPRequestIsWhatAnotherImplementationMakes(t *testing.T) {
	for _, target := range []string{"10.0.0.9", "10.0.0.5"} {
		got := ARPRequest(hostMAC, netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr(target))
		want := arp(t, hostMAC, "10.0.0.5", target) // padded to 60 bytes
		if !bytes.Equal(got, want) || len(got) != 60 {
			t.Errorf("for %s\n%x, want\n%x", target, got, want)
		}
	}
	for _, a := range []netip.Addr{{}, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:10.0.0.5")} {
		v4 := netip.MustParseAddr("10.0.0.5")
		if f := ARPRequest(hostMAC, a, v4); f != nil {
			t.Errorf("from %v: %x", a, f)
		}
		if f := ARPRequest(hostMAC, v4, a); f != nil {
			t.Errorf("for %v: %x", a, f)
		}
	}
}

func TestTheLinkLocalAddressIsThatOfEUI64(t *testing.T) {
	// RFC 2464 section 4: the universal/local bit is inverted.
	for mac, want := range map[ether.MAC]string{
		{0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde}: "fe80::3656:78ff:fe9a:bcde", // the RFC's own, with its prefix
		{2, 0, 0, 0, 0, 1}:                   "fe80::ff:fe00:1",
	} {
		if got := LinkLocal(mac); got != netip.MustParseAddr(want) {
			t.Errorf("%v: %v, want %v", mac, got, want)
		}
	}
}

func TestAddressesThatAHostCanHave(t *testing.T) {
	for a, want := range map[string]bool{
		"10.0.0.1": true, "169.254.0.1": true, "2001:db8::1": true, "fe80::1": true,
		"0.0.0.0": false, "::": false, "127.0.0.1": false, "::1": false, "224.0.0.1": false, "ff02::1": false,
		"255.255.255.255": false, "::ffff:10.0.0.1": false, "fe80::1%eth0": false,
		"0.1.2.3": false, "1.0.0.0": true, "127.255.0.1": false, "239.255.255.255": false, "240.0.0.1": false,
		"223.255.255.254": true,
	} {
		if got := IsHost(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v, want %v", a, got, want)
		}
	}
	if IsHost(netip.Addr{}) {
		t.Error("no address is one of a host")
	}
}

func TestATenantsPacketsAreSmallerThanTheUnderlaysByWhatVXLANAdds(t *testing.T) {
	// Linux gives a VXLAN device over an IPv4 one of MTU 1500 the MTU 1450.
	for underlay, want := range map[int]uint16{1500: 1450, 9000: 8950, 50: 0, 49: 0, 0: 0, 65585: 65535, 65586: 65535,
		1 << 30: 65535} {
		if got := TenantMTU(underlay); got != want {
			t.Errorf("underlay %d: %d, want %d", underlay, got, want)
		}
	}
}

func TestChecksumsAreThoseOfAnotherImplementation(t *testing.T) {
	// In ones' complement ffff is a zero (RFC 1071 section 2): the sum is 1,
	// after carrying twice.
	if c := IPv4Checksum([]byte{0xff, 0xff, 0xff, 0xff, 0, 1}); c != 0xfffe {
		t.Errorf("checksum %#x, want 0xfffe", c)
	}
	for size := range 20 { // of both parities
		payload := gopacket.Payload(bytes.Repeat([]byte{0xff}, size))
		ip4 := &layers.IPv4{Version: 4, TTL: 64, Id: uint16(size), Protocol: layers.IPProtocolUDP,
			SrcIP: address("10.0.0.1"), DstIP: address("10.0.0.2")}
		header := frameOf(t, ip4, payload)[:20]
		if IPv4Checksum(header) != 0 {
			t.Errorf("IPv4 %x: refused", header)
		}
		want := [2]byte(header[10:12])
		header[10], header[11] = 0, 0
		if c := IPv4Checksum(header); [2]byte{byte(c >> 8), byte(c)} != want {
			t.Errorf("IPv4 %x: %#x, want %x", header, c, want)
		}
		ip6 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolICMPv6,
			SrcIP: address("2001:db8::1"), DstIP: address("2001:db8::2")}
		icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)}
		_ = icmp.SetNetworkLayerForChecksum(ip6)
		packet := frameOf(t, ip6, icmp, payload)
		if ICMPv6Checksum(packet) != 0 {
			t.Errorf("ICMPv6 %x: refused", packet)
		}
		want = [2]byte(packet[42:44])
		packet[42], packet[43] = 0, 0
		if c := ICMPv6Checksum(packet); [2]byte{byte(c >> 8), byte(c)} != want {
			t.Errorf("ICMPv6 %x: %#x, want %x", packet, c, want)
		}
	}
}
