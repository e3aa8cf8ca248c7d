package p4_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// claimCount is how many claims the tests make: CLAIMS of the environment, else
// fewer where the race detector slows the pipeline down.
func claimCount(t *testing.T) int {
	t.Helper()
	if v := os.Getenv("CLAIMS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			t.Fatalf("CLAIMS=%s: want a number", v)
		}
		return n
	}
	if raceDetector {
		return 100_000
	}
	return 1_000_000
}

// guarded adds the gateway of bridge 1, behind whose access ports nobody is
// trusted, to a gateway's entries.
func guarded(g *gateway) *gateway {
	g.add(
		p4.Gateway{Bridge: bridge1, Address: gateway4}, p4.Gateway{Bridge: bridge1, Address: gateway6},
		p4.Gateway{Bridge: bridge1, Address: gatewayLL}, p4.GatewayTarget{Bridge: bridge1, Address: gateway6},
		p4.GatewayTarget{Bridge: bridge1, Address: gatewayLL}, p4.GatewayMAC{Bridge: bridge1, MAC: gateway1},
		p4.ARPHost{Bridge: bridge1, Address: gateway4, MAC: gateway1},
		p4.NDHost{Bridge: bridge1, Address: gateway6, MAC: gateway1, Router: true, Override: true},
		p4.NDHost{Bridge: bridge1, Address: gatewayLL, MAC: gateway1, Router: true, VXLAN: true})
	return g
}

// withGateway is what bridge.vlan says of bridge 1 and its ports.
var withGateway = members{
	access1: {Port: access1, Bridge: bridge1, Gateway: true},
	access2: {Port: access2, Bridge: bridge1, Gateway: true},
	trunk:   {Port: trunk, VLAN: 10, Bridge: bridge1, Gateway: true, Trusted: true},
}

// reached gives the frames, as the bridge carries them, that reached anybody but
// the gateway itself.
func reached(got out) [][]byte {
	var frames [][]byte
	for port, list := range got {
		for _, f := range list {
			switch port {
			case access1, p4.CPUPort: // an answer to the attacker, a copy to the controller
				continue
			case trunk:
				f = slices.Concat(f[:12], f[16:])
			case uplink:
				f = f[50:]
			}
			frames = append(frames, f)
		}
	}
	return frames
}

// claims reports what a host would take a frame for: RFC 826, 792, 4861, 8200,
// 2131 and 8415, read as leniently as any host reads them. "" is no claim.
func claims(frame []byte) string {
	etherType, at := binary.BigEndian.Uint16(frame[12:]), 14
	for (etherType == 0x8100 || etherType == 0x88a8) && len(frame) >= at+4 {
		if binary.BigEndian.Uint16(frame[at:])&0xfff != 0 {
			return "" // another VLAN's
		}
		etherType, at = binary.BigEndian.Uint16(frame[at+2:]), at+4
	}
	if etherType < 0x600 && len(frame) >= at+8 && frame[at] == 0xaa {
		etherType, at = binary.BigEndian.Uint16(frame[at+6:]), at+8
	}
	b := frame[at:]
	switch {
	case etherType == 0x0806 && len(b) >= 28 && b[2] == 8 && b[3] == 0 && b[4] == 6 && b[5] == 4:
		if netip.AddrFrom4([4]byte(b[14:])) == gateway4 {
			return "arp"
		}
	case etherType == 0x0800 && len(b) >= 20:
		return claims4(b)
	case etherType == 0x86dd && len(b) >= 40 && b[0]>>4 == 6:
		return claims6(b)
	}
	return ""
}

func claims4(b []byte) string {
	payload := b[min(len(b), int(b[0]&15)*4):]
	switch first := binary.BigEndian.Uint16(b[6:])&0x1fff == 0; {
	case b[9] == 1 && netip.AddrFrom4([4]byte(b[12:])) == gateway4:
		return "icmp"
	case b[9] == 17 && first && len(payload) >= 4 && binary.BigEndian.Uint16(payload[2:]) == 68:
		return "dhcp"
	}
	return ""
}

func claims6(b []byte) string {
	next, rest := b[6], b[40:]
	for slices.Contains([]byte{0, 43, 44, 51, 60, 135, 139, 140}, next) {
		if len(rest) < 8 {
			return ""
		}
		length := 8 + 8*int(rest[1])
		switch next {
		case 44:
			if binary.BigEndian.Uint16(rest[2:])>>3 != 0 {
				return "" // not the first fragment
			}
			length = 8
		case 51:
			length = 8 + 4*int(rest[1])
		}
		if length > len(rest) {
			return ""
		}
		next, rest = rest[0], rest[length:]
	}
	switch {
	case next == 17 && len(rest) >= 4 && binary.BigEndian.Uint16(rest[2:]) == 546:
		return "dhcpv6"
	case next != 58 || len(rest) < 8 || b[7] != 255:
		return ""
	}
	source := netip.AddrFrom16([16]byte(b[8:]))
	ours := func(a netip.Addr) bool { return a == gateway6 || a == gatewayLL }
	switch rest[0] {
	case 134, 137:
		return "router"
	case 135:
		if ours(source) {
			return "solicitation"
		}
	case 136:
		if len(rest) >= 24 && ours(netip.AddrFrom16([16]byte(rest[8:]))) {
			return "advertisement"
		}
	}
	return ""
}

func TestNoFormOfAClaimReachesATenant(t *testing.T) {
	run := func(t *testing.T, on target, n int) {
		g := guarded(newGatewayOf(t, on, withGateway))
		f := newForms(1)
		made, through := map[string]int{}, 0
		for i := 0; i < n; {
			c := f.next()
			for _, frame := range c.frames {
				i++
				if what := claims(frame); what != "" {
					made[what]++
				}
				for _, out := range reached(g.send(access1, frame)) {
					if what := claims(out); what != "" {
						t.Fatalf("%s (%s) went through:\n%s", what, c.form, dump(access2, out))
					}
					through++
				}
			}
		}
		for _, what := range []string{"arp", "icmp", "dhcp", "router", "solicitation", "advertisement", "dhcpv6"} {
			if made[what] < n/200 {
				t.Errorf("of %d frames %d were a claim of kind %q: the forms do not show it", n, made[what], what)
			}
		}
		t.Logf("%d frames, claims among them: %v; %d frames that are none went through", n, made, through)
	}
	t.Run("softswitch", func(t *testing.T) { run(t, newSoftswitch(t), claimCount(t)) })
	t.Run("BMv2", func(t *testing.T) { run(t, newBMv2(t), min(claimCount(t), 3000)) })
}

// honest is what tenants send that is no claim, by name, from hostA. What is
// sent to hostB's MAC or to a group goes to access2.
func honest(f *forms) map[string][]byte {
	all := map[string][]byte{}
	add := func(name string, etherType uint16, dst ether.MAC, packets [][]byte) {
		for i, p := range packets {
			head := binary.BigEndian.AppendUint16(slices.Concat(dst[:], hostA[:]), etherType)
			all[fmt.Sprintf("%s %d", name, i)] = slices.Concat(head, p)
		}
	}
	nd := func(name string, dst ether.MAC, from, to netip.Addr, message []byte) {
		binary.BigEndian.PutUint16(message[2:], ^sum(from, to, 58, message))
		add(name, 0x86dd, dst, [][]byte{plain6(from, to, 255, 58, message)})
	}
	nowhere := netip.MustParseAddr("2001:db8:1::99")
	group, groupIP := solicited(nowhere.String())
	toGroup := netip.MustParseAddr(groupIP)
	all["ARP request"] = whoHas(hostA, attacker4.String(), "10.1.0.99")
	all["ARP reply"] = arp(hostA, hostB, layers.ARPReply, hostA, attacker4.String(), hostB, victim4.String())
	all["ARP probe of an unknown address"] = whoHas(hostA, "0.0.0.0", "10.1.0.98")
	nd("solicitation", group, attacker6, toGroup,
		slices.Concat([]byte{135, 0, 0, 0, 0, 0, 0, 0}, nowhere.AsSlice(), f.options(1)))
	nd("duplicate address detection", group, netip.IPv6Unspecified(), toGroup,
		slices.Concat([]byte{135, 0, 0, 0, 0, 0, 0, 0}, nowhere.AsSlice(), []byte{14, 1, 1, 2, 3, 4, 5, 6}))
	nd("advertisement", allNodeMAC, attackerLL, allNodes,
		slices.Concat([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, attacker6.AsSlice(), f.options(2)))
	nd("router solicitation", ether.MAC{0x33, 0x33, 0, 0, 0, 2}, attackerLL, netip.MustParseAddr("ff02::2"),
		slices.Concat([]byte{133, 0, 0, 0, 0, 0, 0, 0}, f.options(1)))
	nd("echo", hostB, attacker6, victim6, []byte{128, 0, 0, 0, 1, 2, 3, 4, 5})
	report := append([]byte{143, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0}, toGroup.AsSlice()...)
	binary.BigEndian.PutUint16(report[2:], ^sum(attackerLL, netip.MustParseAddr("ff02::16"), 58, report))
	add("MLD report", 0x86dd, ether.MAC{0x33, 0x33, 0, 0, 0, 0x16}, [][]byte{
		plain6(attackerLL, netip.MustParseAddr("ff02::16"), 1, 0, append([]byte{58, 0, 5, 2, 0, 0, 1, 0}, report...))})
	for name, next := range map[string]byte{"destination": 60, "routing": 43, "ah": 51} {
		add("TCP behind "+name, 0x86dd, hostB,
			[][]byte{plain6(attacker6, victim6, 64, next, append(f.extension(next, 6), make([]byte, 20)...))})
	}
	udp := append([]byte{0x14, 0xe9, 0x14, 0xe9, 0, 40, 0, 0}, make([]byte, 32)...)
	add("mDNS in fragments", 0x86dd, ether.MAC{0x33, 0x33, 0, 0, 0, 0xfb}, [][]byte{
		plain6(attackerLL, netip.MustParseAddr("ff02::fb"), 255, 44, append([]byte{17, 0, 0, 1, 0, 0, 0, 1}, udp[:24]...)),
		plain6(attackerLL, netip.MustParseAddr("ff02::fb"), 255, 44, append([]byte{17, 0, 0, 24, 0, 0, 0, 1}, udp[24:]...))})
	echo := append([]byte{128, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 24)...)
	add("echo in fragments", 0x86dd, hostB, [][]byte{
		plain6(attackerLL, victimLL, 64, 44, append([]byte{58, 0, 0, 1, 0, 0, 0, 2}, echo[:16]...)),
		plain6(attackerLL, victimLL, 64, 44, append([]byte{58, 0, 0, 16, 0, 0, 0, 2}, echo[16:]...))})
	add("DHCPv6 solicit", 0x86dd, ether.MAC{0x33, 0x33, 0, 1, 0, 2}, [][]byte{
		plain6(attackerLL, netip.MustParseAddr("ff02::1:2"), 1, 17, []byte{2, 34, 2, 35, 0, 8, 0, 0})})
	for name, ports := range map[string][]byte{"DHCP discover": {0, 68, 0, 67}, "UDP": {1, 2, 3, 4},
		"UDP from 68": {0, 68, 3, 4}} {
		add(name, 0x0800, hostB, [][]byte{plain4(attacker4, victim4, 17, append(slices.Clone(ports), 0, 8, 0, 0))})
	}
	add("ping", 0x0800, hostB, [][]byte{plain4(attacker4, victim4, 1, []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0})})
	all["LLC"] = slices.Concat(hostB[:], hostA[:], []byte{0, 3, 0x42, 0x42, 3}, make([]byte, 43))
	all["another protocol by SNAP"] = slices.Concat(hostB[:], hostA[:], []byte{0, 20, 0xaa, 0xaa, 3, 0, 0, 0xc, 0x20, 0},
		make([]byte, 36))
	return all
}

func plain6(from, to netip.Addr, hops, next byte, payload []byte) []byte {
	h := []byte{0x60, 0, 0, 0, byte(len(payload) >> 8), byte(len(payload)), next, hops}
	return slices.Concat(h, from.AsSlice(), to.AsSlice(), payload)
}

func plain4(from, to netip.Addr, protocol byte, payload []byte) []byte {
	h := []byte{0x45, 0, 0, byte(20 + len(payload)), 0, 0, 0, 0, 64, protocol, 0, 0}
	h = slices.Concat(h, from.AsSlice(), to.AsSlice())
	binary.BigEndian.PutUint16(h[10:], ^plainSum(h))
	return append(h, payload...)
}

// What is forwarded says as much of a guard as what is dropped.
func TestWhatTenantsSayForThemselvesIsForwarded(t *testing.T) {
	eachGuarded(t, func(g *gateway) {
		for name, f := range honest(newForms(3)) {
			for form, in := range map[string][]byte{"": f, " in VLAN 0": tagged(f, 0)} {
				got := g.send(access1, in)[access2]
				if len(got) != 1 || !slices.Equal(got[0], f) {
					g.Errorf("%s%s: %d frames reached access2, want the one that was sent\n%s", name, form, len(got),
						dump(access1, in))
				}
			}
		}
	})
}

// eachGuarded runs a test on each target, with the gateway in bridge 1.
func eachGuarded(t *testing.T, test func(*gateway)) {
	t.Helper()
	t.Run("softswitch", func(t *testing.T) { test(guarded(newGatewayOf(t, newSoftswitch(t), withGateway))) })
	t.Run("BMv2", func(t *testing.T) { test(guarded(newGatewayOf(t, newBMv2(t), withGateway))) })
}
