package p4_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/p4"
)

// arrivals are the ways for a packet to a router to come in.
func arrivals() map[string]func(frame []byte) (port uint32, in []byte) {
	to := func(f []byte, src, dst [6]byte) []byte { return slices.Concat(dst[:], src[:], f[12:]) }
	return map[string]func([]byte) (uint32, []byte){
		"trunk":  func(f []byte) (uint32, []byte) { return trunk, tagged(to(f, hostT, gateway1), 10) },
		"L2 VNI": func(f []byte) (uint32, []byte) { return uplink, tunnelled(vtep1, ours, vni1, to(f, remote, gateway1)) },
		"L3 VNI": func(f []byte) (uint32, []byte) {
			return uplink, tunnelled(vtep1, ours, l3vni1, to(f, router1, ourRouter))
		},
	}
}

// notRouted checks that a packet is dropped for the reason, however it comes.
func notRouted(t *testing.T, name string, reason p4.DropReason, f []byte) {
	t.Helper()
	for by, arrival := range arrivals() {
		t.Run(name+", "+by, func(t *testing.T) {
			routed(t, func(g *gateway) {
				g.add(via(vrf1, "0.0.0.0/0", 1, router1), via(vrf1, "::/0", 1, router1))
				g.dropped("ingress_drops", reason, g.send(arrival(f)))
				if n := g.count("vrf_routed", vrf1).packets; n != 0 {
					g.Errorf("vrf_routed = %d, want 0", n)
				}
			})
		})
	}
}

// RFC 1812 section 5.3.7, RFC 6890, RFC 4291 sections 2.5 and 2.7.
func TestMartiansAreNotRouted(t *testing.T) {
	for name, p := range map[string]packet{
		"to loopback":               {from: "10.1.0.11", to: "127.0.0.1"},
		"from loopback":             {from: "127.9.9.9", to: "10.2.0.20"},
		"to network 0":              {from: "10.1.0.11", to: "0.0.0.1"},
		"from network 0":            {from: "0.0.0.0", to: "10.2.0.20"},
		"to a group":                {from: "10.1.0.11", to: "224.0.0.1"},
		"from a group":              {from: "239.1.1.1", to: "10.2.0.20"},
		"to class E":                {from: "10.1.0.11", to: "240.0.0.1"},
		"from class E":              {from: "250.0.0.1", to: "10.2.0.20"},
		"to broadcast":              {from: "10.1.0.11", to: "255.255.255.255"},
		"from broadcast":            {from: "255.255.255.255", to: "10.2.0.20"},
		"to 169.254/16":             {from: "10.1.0.11", to: "169.254.1.2"},
		"from 169.254/16":           {from: "169.254.255.254", to: "10.2.0.20"},
		"from 169.254/16, glean":    {from: "169.254.0.1", to: "10.2.0.99"},
		"to ::":                     {from: "2001:db8:1::11", to: "::"},
		"from ::":                   {from: "::", to: "2001:db8:2::20"},
		"to ::1":                    {from: "2001:db8:1::11", to: "::1"},
		"from ::1":                  {from: "::1", to: "2001:db8:2::20"},
		"to ff02::1":                {from: "2001:db8:1::11", to: "ff02::1"},
		"from ff0e::1":              {from: "ff0e::1", to: "2001:db8:2::20"},
		"from a link-local address": {from: "fe80::1", to: "2001:db8:2::20"},
		"from a link-local, glean":  {from: "fe80::1", to: "2001:db8:2::99"},
	} {
		notRouted(t, name, p4.DropMartian, p.frame())
	}
	mapped := packet{from: "2001:db8:1::11", to: "2001:db8:2::20"}.frame()
	four := slices.Concat(make([]byte, 10), []byte{0xff, 0xff, 10, 2, 0, 20})
	notRouted(t, "to a mapped IPv4 address", p4.DropMartian, slices.Concat(mapped[:38], four, mapped[54:]))
	notRouted(t, "from a mapped IPv4 address", p4.DropMartian, slices.Concat(mapped[:22], four, mapped[38:]))
}

func TestLinkLocalAddressesAreNoneOfAnL3VNI(t *testing.T) {
	for name, p := range map[string]packet{
		"to":         {from: "2001:db8:3::1", to: "fe80::1"},
		"from":       {from: "fe80::1", to: "2001:db8:1::1"},
		"to, IPv4":   {from: "10.3.0.1", to: "169.254.7.1"},
		"from, IPv4": {from: "169.254.7.2", to: "10.1.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			routed(t, func(g *gateway) {
				g.add(p4.Route{VRF: vrf1, Prefix: host32("169.254.7.1"), Kind: p4.RouteLocal})
				p.src, p.dst = router1, ourRouter
				g.dropped("ingress_drops", p4.DropMartian, g.send(uplink, tunnelled(vtep1, ours, l3vni1, p.frame())))
			})
		})
	}
}

// A bridge may have such a subnet, and its gateway an address in it (RFC 3927
// section 2.6.2).
func TestAGatewayHasALinkLocalAddressInItsBridgeAlone(t *testing.T) {
	routed(t, func(g *gateway) {
		g.add(glean(vrf1, "169.254.7.0/24"), p4.Route{VRF: vrf1, Prefix: host32("169.254.7.1"), Kind: p4.RouteLocal},
			p4.Route{VRF: vrf1, Prefix: host32("169.254.7.9"), Bridge: bridge2, MAC: hostO})
		for _, from := range []string{"169.254.7.2", "10.1.0.11"} {
			p := packet{src: hostA, dst: gateway1, from: from, to: "169.254.7.1"}
			g.expect(g.send(access1, p.frame()), out{p4.CPUPort: {punted(p4.PuntLocal, access1, bridge1, vrf1, p.frame())}})
		}
		for n, to := range []string{"169.254.7.9", "169.254.7.99", "10.2.0.20"} {
			p := packet{src: hostA, dst: gateway1, from: "169.254.7.2", to: to}
			g.expect(g.send(access1, p.frame()), out{})
			if c := g.count("ingress_drops", uint32(p4.DropMartian)).packets; c != uint64(n+1) {
				g.Errorf("to %s: ingress_drops[martian] = %d, want %d", to, c, n+1)
			}
		}
	})
}

func TestPacketsThatAreNotWholeAreNotRouted(t *testing.T) {
	four := packet{from: "10.1.0.11", to: "10.2.0.20", size: 40}.frame() // needs no padding
	six := packet{from: "2001:db8:1::11", to: "2001:db8:2::20", size: 40}.frame()
	with := func(f []byte, at int, bytes ...byte) []byte {
		f = slices.Clone(f)
		copy(f[at:], bytes)
		return f
	}
	length := func(f []byte, at, n int) []byte { return with(f, at, binary.BigEndian.AppendUint16(nil, uint16(n))...) }
	for name, f := range map[string][]byte{
		"no IPv4 header":          slices.Clone(four[:20]),
		"IPv4 header is cut":      four[:33],
		"version 6 in IPv4":       with(four, 14, 0x65),
		"version 0 in IPv4":       with(four, 14, 0x05),
		"header length 4":         with(four, 14, 0x44),
		"header length 0":         with(four, 14, 0x40),
		"total length 19":         length(four, 16, 19),
		"total length over frame": length(four, 16, len(four)-13),
		"payload is cut":          four[:len(four)-1],
		"no IPv6 header":          six[:20],
		"IPv6 header is cut":      six[:53],
		"version 4 in IPv6":       with(six, 14, 0x40),
		"payload length too long": length(six, 18, len(six)-53),
		"IPv6 payload is cut":     six[:len(six)-1],
	} {
		notRouted(t, name, p4.DropBadIP, f)
	}
	notRouted(t, "options", p4.DropIPOptions,
		length(slices.Concat(with(four[:34], 14, 0x46), []byte{7, 4, 4, 0}, four[34:]), 16, len(four)-10))
	notRouted(t, "options, cut", p4.DropIPOptions, with(four, 14, 0x4f))
	notRouted(t, "told to drop", p4.DropRoute, packet{from: "10.1.0.11", to: "10.3.4.66"}.frame())
	notRouted(t, "told to drop IPv6", p4.DropRoute, packet{from: "2001:db8:1::11", to: "2001:db8:3:4::66"}.frame())
}

func TestAPacketWithoutARouteIsDropped(t *testing.T) {
	for family, p := range both(packet{from: "10.1.0.11", to: "10.99.0.1"}) {
		for by, arrival := range arrivals() {
			t.Run(family+", "+by, func(t *testing.T) {
				routed(t, func(g *gateway) { g.dropped("ingress_drops", p4.DropNoRoute, g.send(arrival(p.frame()))) })
			})
		}
	}
}
