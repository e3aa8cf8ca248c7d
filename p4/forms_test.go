package p4_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"github.com/p4evpn/p4evpn/ether"
)

// Who takes part in claims of the gateway's addresses: the attacker is hostA at
// access1, its victim hostB at access2, both hosts of bridge 1.
var (
	gateway4   = netip.MustParseAddr("10.1.0.1")
	gateway6   = netip.MustParseAddr("2001:db8:1::1")
	gatewayLL  = netip.MustParseAddr("fe80::1")
	attacker4  = netip.MustParseAddr("10.1.0.10")
	attacker6  = netip.MustParseAddr("2001:db8:1::10")
	attackerLL = netip.MustParseAddr("fe80::ff:fe00:a")
	victim4    = netip.MustParseAddr("10.1.0.12")
	victim6    = netip.MustParseAddr("2001:db8:1::12")
	victimLL   = netip.MustParseAddr("fe80::ff:fe00:b")
	far4       = netip.MustParseAddr("192.0.2.9") // reached by the gateway
	far6       = netip.MustParseAddr("2001:db8:9::9")
	allNodes   = netip.MustParseAddr("ff02::1")
	allNodeMAC = ether.MAC{0x33, 0x33, 0, 0, 0, 1}
)

// claim is a claim to be the gateway, a router or a DHCP server, in one frame or
// in fragments.
type claim struct {
	form   string // what it is and what it is wrapped in: "na tag hop-by-hop"
	frames [][]byte
}

// forms makes claims by RFC 826, 792, 4861 and 8200 in every form that the
// standards allow and in some that they forbid.
type forms struct{ *rand.Rand }

func newForms(seed uint64) *forms { return &forms{rand.New(rand.NewPCG(seed, 7))} }

// chance reports true once in n times.
func (f *forms) chance(n int) bool { return f.IntN(n) == 0 }

func pick[T any](f *forms, of ...T) T { return of[f.IntN(len(of))] }

// next makes a claim.
func (f *forms) next() claim {
	type kind struct {
		name string
		make func() (etherType uint16, dst ether.MAC, wraps string, packets [][]byte)
	}
	k := pick(f, kind{"arp", f.arp}, kind{"arp", f.arp}, kind{"ns", f.ns}, kind{"na", f.na}, kind{"na", f.na},
		kind{"ra", f.ra}, kind{"redirect", f.redirect}, kind{"redirect4", f.redirect4}, kind{"dhcp", f.dhcp}, kind{"dhcpv6",
			f.dhcp6})
	etherType, dst, wraps, packets := k.make()
	head, how := f.link(etherType, dst)
	c := claim{form: strings.Join(strings.Fields(k.name+" "+how+" "+wraps), " ")}
	for _, p := range packets {
		c.frames = append(c.frames, slices.Concat(head, p))
	}
	return c
}

// link is what comes before the packet: MACs, tags, and the packet's type, in
// the Ethernet II form or by LLC and SNAP.
func (f *forms) link(etherType uint16, dst ether.MAC) (head []byte, how string) {
	src := hostA
	if f.chance(50) {
		src, how = gateway1, "its-mac "
	}
	head = slices.Concat(dst[:], src[:])
	tags := pick(f, 0, 0, 0, 0, 1, 1, 2, 3, 5)
	for range tags {
		tpid := pick[uint16](f, 0x8100, 0x8100, 0x8100, 0x88a8, 0x9100)
		vid := uint16(0)
		if f.chance(8) {
			vid = pick[uint16](f, 1, 10, 4095)
		}
		head = binary.BigEndian.AppendUint16(head, tpid)
		head = binary.BigEndian.AppendUint16(head, vid|uint16(f.IntN(16))<<12)
		how += fmt.Sprintf("%x:%d ", tpid, vid)
	}
	if f.chance(20) {
		head = append(head, 0, 64, 0xaa, 0xaa, 3, 0, 0, 0)
		how += "snap "
	}
	return binary.BigEndian.AppendUint16(head, etherType), how
}

func (f *forms) toVictim() ether.MAC { return pick(f, hostB, hostB, ether.Broadcast) }

// arp is ARP with the gateway as its sender.
func (f *forms) arp() (uint16, ether.MAC, string, [][]byte) {
	b := []byte{0, 1, 8, 0, 6, 4, 0, byte(1 + f.IntN(2))}
	if f.chance(4) {
		b[1] = 6 // IEEE 802 networks: Linux takes it
	}
	if f.chance(20) {
		b[f.IntN(8)] ^= byte(1 + f.IntN(255))
	}
	b = slices.Concat(b, hostA[:], gateway4.AsSlice(), hostB[:], pick(f, victim4, victim4, gateway4).AsSlice())
	return 0x0806, f.toVictim(), "", [][]byte{f.trailed(b)}
}

// trailed adds padding, or more, behind what is complete without it.
func (f *forms) trailed(b []byte) []byte {
	if f.chance(3) {
		return append(b, make([]byte, f.IntN(40))...)
	}
	return b
}

// options are options of neighbour discovery: the attacker's link-layer address,
// with others before and behind it.
func (f *forms) options(kind byte) []byte {
	var out []byte
	others := func() {
		for range f.IntN(3) {
			units := 1 + f.IntN(3)
			o := make([]byte, 8*units)
			o[0], o[1] = pick[byte](f, 14, 14, 5, 31, 200), byte(units) // nonce, MTU, search list, unknown
			out = append(out, o...)
		}
	}
	if f.chance(2) {
		others()
	}
	out = slices.Concat(out, []byte{kind, 1}, hostA[:])
	if f.chance(2) {
		others()
	}
	return out
}

func (f *forms) ns() (uint16, ether.MAC, string, [][]byte) {
	from, target := pick(f, gateway6, gatewayLL), pick(f, victim6, victimLL)
	dst, to := hostB, target
	if f.chance(2) {
		mac, group := solicited(target.String())
		dst, to = mac, netip.MustParseAddr(group)
	}
	return f.icmp6(dst, from, to, slices.Concat([]byte{135, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice(), f.options(1)))
}

func (f *forms) na() (uint16, ether.MAC, string, [][]byte) {
	target := pick(f, gateway6, gatewayLL)
	from := pick(f, target, attackerLL, attacker6)
	dst, to := hostB, pick(f, victim6, victimLL)
	if f.chance(2) {
		dst, to = allNodeMAC, allNodes
	}
	return f.icmp6(dst, from, to, slices.Concat([]byte{136, 0, 0, 0, byte(f.IntN(8) << 5), 0, 0, 0}, target.AsSlice(),
		f.options(2)))
}

func (f *forms) ra() (uint16, ether.MAC, string, [][]byte) {
	from := pick(f, gatewayLL, attackerLL)
	b := []byte{134, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if from == attackerLL || f.chance(2) {
		b[6] = 7 // router lifetime 1792 s, else 0
	}
	if !f.chance(4) {
		b = append(b, f.options(1)...)
	}
	return f.icmp6(allNodeMAC, from, allNodes, b)
}

func (f *forms) redirect() (uint16, ether.MAC, string, [][]byte) {
	from, target := gatewayLL, attackerLL
	if f.chance(3) {
		target = far6 // it is on the link, says the redirect
	}
	b := slices.Concat([]byte{137, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice(), far6.AsSlice())
	if f.chance(2) {
		b = append(b, f.options(2)...)
	}
	return f.icmp6(hostB, from, pick(f, victim6, victimLL), b)
}

// icmp6 is an ICMPv6 message in what IPv6 allows around it.
func (f *forms) icmp6(dst ether.MAC, from, to netip.Addr, message []byte) (uint16, ether.MAC, string, [][]byte) {
	if f.chance(30) {
		message = message[:f.IntN(len(message))]
	}
	if len(message) >= 4 {
		if f.chance(40) {
			message[1] = 1
		}
		binary.BigEndian.PutUint16(message[2:], ^sum(from, to, 58, message))
		if f.chance(20) {
			message[2] ^= 0x55
		}
	}
	hops := uint8(255)
	if f.chance(20) {
		hops = pick[uint8](f, 254, 64, 1, 0)
	}
	how, packets := f.ipv6(from, to, hops, 58, message)
	return 0x86dd, dst, how, packets
}

// sum is that of a message with its pseudo-header (RFC 8200 section 8.1).
func sum(from, to netip.Addr, protocol byte, message []byte) uint16 {
	pseudo := []byte{0, 0, byte(len(message) >> 8), byte(len(message)), 0, 0, 0, protocol}
	return plainSum(slices.Concat(from.AsSlice(), to.AsSlice(), pseudo, message))
}

// ipv6 puts what protocol says behind an IPv6 header, with extension headers and
// fragments now and then.
func (f *forms) ipv6(from, to netip.Addr, hops, protocol byte, payload []byte) (how string, packets [][]byte) {
	names := map[byte]string{0: "hop-by-hop", 43: "routing", 44: "fragment", 60: "destination", 51: "ah", 135: "mobility",
		139: "hip"}
	chain := func(next byte, behind []byte, kinds ...byte) (byte, []byte) {
		for _, k := range slices.Backward(kinds) {
			behind = append(f.extension(k, next), behind...)
			next = k
			how = names[k] + " " + how
		}
		return next, behind
	}
	var kinds []byte
	if f.chance(4) {
		kinds = append(kinds, 0)
	}
	for f.chance(4) {
		kinds = append(kinds, pick[byte](f, 60, 60, 60, 43, 51, 0, 135, 139))
	}
	header := func(next byte, length int) []byte {
		h := []byte{0x60, byte(f.IntN(4)), 0, 0, byte(length >> 8), byte(length), next, hops}
		return slices.Concat(h, from.AsSlice(), to.AsSlice())
	}
	next := protocol
	if !f.chance(6) {
		next, payload = chain(next, payload, kinds...)
		return how, [][]byte{f.trailed(append(header(next, len(payload)), payload...))}
	}
	if f.chance(3) {
		next, payload = chain(next, payload, 60) // in the part that is cut
	}
	id := f.Uint32()
	var parts [][]byte
	step := pick(f, len(payload)+8, 8, 16, 24) &^ 7
	for at := 0; at == 0 || at < len(payload); at += step {
		end := min(at+step, len(payload))
		frag := []byte{next, 0, byte(at >> 8), byte(at), 0, 0, 0, 0}
		if end < len(payload) {
			frag[3] |= 1
		}
		binary.BigEndian.PutUint32(frag[4:], id)
		first, part := chain(44, append(frag, payload[at:end]...), kinds...)
		parts = append(parts, append(header(first, len(part)), part...))
	}
	how = fmt.Sprintf("%s fragments:%d", how, len(parts))
	if f.chance(4) {
		slices.Reverse(parts)
	}
	return how, parts
}

// extension is an extension header of a kind.
func (f *forms) extension(kind, next byte) []byte {
	switch kind {
	case 43: // RFC 4303 allows any type whose segments are all left behind
		return []byte{next, 0, pick[byte](f, 0, 3, 4), 0, 0, 0, 0, 0}
	case 51:
		return []byte{next, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	case 135, 139:
		return []byte{next, 0, 0, 0, 0, 0, 0, 0}
	}
	h := []byte{next, 0, 1, 4, 0, 0, 0, 0}
	if f.chance(3) { // an option that is passed over (RFC 8200 section 4.2)
		units := f.IntN(6)
		h = append(h, make([]byte, 8*units)...)
		h[1] = byte(units)
		h[2], h[3] = 0x1e, byte(8*units+4)
	}
	return h
}

// ipv4 is an IPv4 packet with its header's checksum, in fragments and with
// options now and then.
func (f *forms) ipv4(from, to netip.Addr, protocol byte, payload []byte) (how string, packets [][]byte) {
	var options []byte
	if f.chance(6) {
		options, how = []byte{1, 1, 1, 0}, "options"
	}
	step, id := len(payload)+8, f.Uint32()
	if f.chance(6) {
		step = pick(f, 8, 16, 24)
	}
	step &^= 7
	for at := 0; at == 0 || at < len(payload); at += step {
		end := min(at+step, len(payload))
		h := make([]byte, 20+len(options))
		h[0], h[8], h[9] = 0x40|byte(len(h)/4), 64, protocol
		binary.BigEndian.PutUint16(h[2:], uint16(len(h)+end-at))
		binary.BigEndian.PutUint16(h[4:], uint16(id))
		binary.BigEndian.PutUint16(h[6:], uint16(at/8))
		if end < len(payload) {
			h[6] |= 0x20
		}
		copy(h[12:], from.AsSlice())
		copy(h[16:], to.AsSlice())
		copy(h[20:], options)
		binary.BigEndian.PutUint16(h[10:], ^plainSum(h))
		packets = append(packets, append(h, payload[at:end]...))
	}
	if len(packets) > 1 {
		how += fmt.Sprintf(" fragments:%d", len(packets))
	}
	return how, packets
}

// plainSum is the sum of RFC 1071, not complemented.
func plainSum(b []byte) uint16 {
	if len(b)%2 == 1 {
		b = append(slices.Clone(b), 0)
	}
	var s uint32
	for i := 0; i < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// redirect4 is the gateway's ICMP redirect (RFC 792): what is far is reached by
// the attacker.
func (f *forms) redirect4() (uint16, ether.MAC, string, [][]byte) {
	was := make([]byte, 28) // an echo reply that the victim may have sent
	was[0], was[3], was[8], was[9] = 0x45, 28, 64, 1
	copy(was[12:], victim4.AsSlice())
	copy(was[16:], far4.AsSlice())
	binary.BigEndian.PutUint16(was[10:], ^plainSum(was[:20]))
	b := slices.Concat([]byte{5, byte(f.IntN(4)), 0, 0}, attacker4.AsSlice(), was)
	binary.BigEndian.PutUint16(b[2:], ^plainSum(b))
	how, packets := f.ipv4(gateway4, victim4, 1, b)
	return 0x0800, hostB, how, packets
}

// dhcp is what a server tells a client (RFC 2131 section 4.1, port 68).
func (f *forms) dhcp() (uint16, ether.MAC, string, [][]byte) {
	from, to, dst := pick(f, gateway4, attacker4), victim4, hostB
	if f.chance(2) {
		to, dst = netip.MustParseAddr("255.255.255.255"), ether.Broadcast
	}
	b := append([]byte{0, pick[byte](f, 67, 67, 68, 99), 0, 68, 0, 8 + 48, 0, 0, 2, 1, 6, 0}, make([]byte, 44)...)
	how, packets := f.ipv4(from, to, 17, b)
	return 0x0800, dst, how, packets
}

// dhcp6 is what a server tells a client (RFC 8415 section 7.2, port 546).
func (f *forms) dhcp6() (uint16, ether.MAC, string, [][]byte) {
	b := []byte{2, pick[byte](f, 35, 35, 99), 2, 34, 0, 20, 0, 0, 2, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(b[6:], ^sum(attackerLL, victimLL, 17, b))
	how, packets := f.ipv6(attackerLL, victimLL, pick[uint8](f, 1, 64, 255), 17, b)
	return 0x86dd, hostB, how, packets
}
