package packet

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/p4evpn/p4evpn/ether"
)

func TestAQueryByARPIsWhatAnotherImplementationMakes(t *testing.T) {
	for name, c := range map[string]struct {
		query  Query
		to     ether.MAC
		sender string
	}{
		// RFC 5227 section 2.1.1: an all-zero sender address.
		"of one host, by nobody": {Query{MAC: gatewayMAC, To: hostMAC}, hostMAC, "0.0.0.0"},
		"of all, by nobody":      {Query{MAC: gatewayMAC}, ether.Broadcast, "0.0.0.0"},
		"of one host, by a gateway": {Query{MAC: gatewayMAC, To: hostMAC, Sender: netip.MustParseAddr("10.0.0.1")},
			hostMAC, "10.0.0.1"},
	} {
		c.query.Target = netip.MustParseAddr("10.0.0.5")
		want := frameOf(t, ethernet(gatewayMAC, c.to, layers.EthernetTypeARP), &layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
			Operation: layers.ARPRequest, SourceHwAddress: gatewayMAC[:], SourceProtAddress: address(c.sender),
			DstHwAddress: make([]byte, 6), DstProtAddress: address("10.0.0.5"),
		})
		if got := c.query.Frame(); !bytes.Equal(got, want) {
			t.Errorf("%s:\n%x, want\n%x", name, got, want)
		}
	}
}

func TestAQueryByNeighbourDiscoveryIsWhatAnotherImplementationMakes(t *testing.T) {
	for name, c := range map[string]struct {
		to          ether.MAC
		at          ether.MAC
		destination string
	}{
		"of one host": {hostMAC, hostMAC, "2001:db8::12:3456"},
		// RFC 4291 section 2.7.1, RFC 2464 section 7.
		"of all": {ether.MAC{}, ether.MAC{0x33, 0x33, 0xff, 0x12, 0x34, 0x56}, "ff02::1:ff12:3456"},
	} {
		got := Query{MAC: gatewayMAC, To: c.to, Target: netip.MustParseAddr("2001:db8::12:3456")}.Frame()
		want := neighborFrame(t, gatewayMAC, c.at, "fe80::ff:fe00:1", c.destination,
			&layers.ICMPv6NeighborSolicitation{TargetAddress: address("2001:db8::12:3456"), Options: layers.ICMPv6Options{
				{Type: layers.ICMPv6OptSourceAddress, Data: gatewayMAC[:]}}})
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\n%x, want\n%x", name, got, want)
		}
		if s, ok := ReadSighting(got); !ok || s.IP != LinkLocal(gatewayMAC) {
			t.Errorf("%s: it says %+v, %v", name, s, ok)
		}
	}
}

func TestANeighborAdvertisementIsWhatAnotherImplementationMakes(t *testing.T) {
	got := NeighborAdvertisement(gatewayMAC, netip.MustParseAddr("fe80::1"), hostMAC, netip.MustParseAddr("fe80::5"))
	want := neighborFrame(t, gatewayMAC, hostMAC, "fe80::1", "fe80::5",
		&layers.ICMPv6NeighborAdvertisement{
			Flags:         0x60, // solicited, override (RFC 4861 section 4.4)
			TargetAddress: address("fe80::1"),
			Options:       layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: gatewayMAC[:]}}})
	if !bytes.Equal(got, want) {
		t.Errorf("\n%x, want\n%x", got, want)
	}
}

func neighborFrame(t *testing.T, from, to ether.MAC, source, destination string,
	message gopacket.SerializableLayer) []byte {
	t.Helper()
	kind := uint8(layers.ICMPv6TypeNeighborSolicitation)
	if message.LayerType() == layers.LayerTypeICMPv6NeighborAdvertisement {
		kind = layers.ICMPv6TypeNeighborAdvertisement
	}
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: address(source),
		DstIP: address(destination)}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}
	_ = icmp.SetNetworkLayerForChecksum(ip)
	return frameOf(t, ethernet(from, to, layers.EthernetTypeIPv6), ip, icmp, message)
}

func TestWhatIsOfNoFamilyIsNotAsked(t *testing.T) {
	v4, v6 := netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("2001:db8::5")
	for _, q := range []Query{{}, {Target: netip.MustParseAddr("::ffff:10.0.0.5")}, {Target: v4, Sender: v6}} {
		if f := q.Frame(); f != nil {
			t.Errorf("%+v: %x", q, f)
		}
	}
}
