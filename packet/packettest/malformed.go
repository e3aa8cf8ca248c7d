package packettest

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// Shape is a frame by its name.
type Shape struct {
	Name  string
	Frame []byte
}

// Malformed gives frames by which whoever has mac says, in every way that is malformed
// or not meant for hosts, that it has v4 and v6: none of them makes it so. Each is the
// right frame but for what its name says.
func Malformed(mac ether.MAC, v4, v6 netip.Addr) []Shape {
	return append(malformedARP(mac, v4), malformedND(mac, v6)...)
}

type shapes []Shape

func (s *shapes) add(frame []byte, name string, args ...any) {
	*s = append(*s, Shape{fmt.Sprintf(name, args...), frame})
}

// Where the fields of ARP are in a frame, RFC 826.
const (
	arpHardware       = 14
	arpProtocol       = 16
	arpHardwareLength = 18
	arpProtocolLength = 19
	arpOperation      = 20
	arpSenderMAC      = 22
	arpSender         = 28
	arpEnd            = 42
)

func malformedARP(mac ether.MAC, v4 netip.Addr) (s shapes) {
	right := func() []byte { return ARP(Request, mac, v4, ether.MAC{}, v4) }
	for _, v := range []uint16{0, 2, 6, 0x0100, 0xffff} {
		s.add(put16(right(), arpHardware, v), "ARP: hardware type %#x", v)
	}
	for _, v := range []uint16{0, 0x0806, 0x86dd, 0xffff} {
		s.add(put16(right(), arpProtocol, v), "ARP: protocol type %#x", v)
	}
	for _, v := range []byte{0, 1, 5, 7, 8, 255} {
		s.add(put8(right(), arpHardwareLength, v), "ARP: hardware addresses of %d bytes", v)
	}
	for _, v := range []byte{0, 1, 3, 5, 16, 255} {
		s.add(put8(right(), arpProtocolLength, v), "ARP: protocol addresses of %d bytes", v)
	}
	for _, v := range []uint16{0, 3, 4, 8, 9, 25, 0x0100, 0xffff} {
		s.add(put16(right(), arpOperation, v), "ARP: operation %d", v)
	}
	for n := ethernetLength; n < arpEnd; n++ {
		s.add(right()[:n], "ARP: a frame of %d bytes", n)
	}
	for _, other := range strangers(mac) {
		f := right()
		copy(f[arpSenderMAC:], other[:])
		s.add(f, "ARP: for %s, sent by %s", other, mac)
	}
	for _, source := range noStations {
		f := right()
		copy(f[6:], source[:])
		s.add(f, "ARP: sent by %s", source)
		copy(f[arpSenderMAC:], source[:])
		s.add(f, "ARP: of %s", source)
	}
	return s
}

// NotForHosts gives well formed announcements of mac for addresses that no host can
// have (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5 and 2.7).
func NotForHosts(mac ether.MAC) (s []Shape) {
	list := shapes{}
	for _, text := range []string{
		"0.0.0.0", "0.0.0.1", "0.255.255.255", "127.0.0.1", "127.255.255.255", "224.0.0.1", "239.255.255.255", "240.0.0.1",
		"255.255.255.254", "255.255.255.255",
	} {
		a := netip.MustParseAddr(text)
		list.add(ARP(Request, mac, a, ether.MAC{}, a), "ARP: for %s", a)
		list.add(ARP(Reply, mac, a, mac, a), "ARP: a reply for %s", a)
	}
	for _, text := range []string{"::", "::1", "ff02::1", "ff02::1:ff00:1", "ff0e::1", "::ffff:192.0.2.1"} {
		a := netip.MustParseAddr(text)
		list.add(NeighborAdvertisement(mac, a, Override), "NA: for %s", a)
		list.add(ND(mac, a, SolicitedNode(netip.MustParseAddr("fe80::1")), solicitationOf(netip.MustParseAddr("fe80::1"),
			macOption(sourceMACOption, mac))), "NS: from %s with a MAC", a)
	}
	return list
}

// strangers are stations and no stations that are not mac.
func strangers(mac ether.MAC) []ether.MAC {
	other := mac
	other[5] ^= 0x55
	return append([]ether.MAC{other}, noStations...)
}

// noStations are what no frame has for its source: none, and groups.
var noStations = []ether.MAC{
	{}, ether.Broadcast, {0x33, 0x33, 0, 0, 0, 1}, {1, 0, 0x5e, 0, 0, 1}, {1, 0x80, 0xc2, 0, 0, 0},
}

func put8(f []byte, at int, v byte) []byte {
	f[at] = v
	return f
}

func put16(f []byte, at int, v uint16) []byte {
	binary.BigEndian.PutUint16(f[at:], v)
	return f
}
