package packet

import (
	"encoding/binary"
	"testing"
)

// summed gives an ICMPv6 message in a frame the checksum that it should have.
func summed(frame []byte) []byte {
	packet := frame[EthernetLength:]
	sum := packet[ipv6Length+2:]
	binary.BigEndian.PutUint16(sum, 0)
	binary.BigEndian.PutUint16(sum, ICMPv6Checksum(packet))
	return frame
}

func TestOnlyValidSolicitationsCount(t *testing.T) {
	solicitation := func(source string, option byte) []byte {
		return nd(t, ICMPv6RouterSolicitation, hostMAC, source, "::", option)
	}
	good := solicitation("fe80::1:1", optionSourceMAC)
	edit := func(at int, value byte) []byte { // whole but for the one byte
		b := append([]byte(nil), good...)
		b[at] = value
		return summed(b)
	}
	damaged := append([]byte(nil), good...)
	damaged[len(damaged)-1] ^= 1
	const icmp = EthernetLength + ipv6Length
	for _, c := range []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"plain", solicitation("fe80::1:1", 0), true},
		{"with the host's MAC", good, true},
		{"padded", append(append([]byte(nil), good...), 0, 0, 0), true},
		{"from an unspecified address", solicitation("::", 0), true},
		{"from an unspecified address, with a MAC", solicitation("::", optionSourceMAC), false},
		{"forwarded", edit(EthernetLength+7, 254), false},
		{"checksum wrong", damaged, false},
		{"code not zero", edit(icmp+1, 1), false},
		{"option of length zero", edit(icmp+9, 0), false},
		{"option too long", edit(icmp+9, 2), false},
		{"another message", edit(icmp, 135), false},
		{"cut short", good[:len(good)-1], false},
		{"not IPv6", edit(12, 8), false},
		{"nothing", nil, false},
	} {
		if got := IsRouterSolicitation(c.frame); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func FuzzFramesFromTenants(f *testing.F) {
	f.Add([]byte{})
	f.Add(advertisement(f, RouterAdvertisement{MAC: gatewayMAC, Prefixes: prefixes("2001:db8::/64")}))
	f.Add(nd(f, ICMPv6RouterSolicitation, hostMAC, "fe80::1:1", "::", optionSourceMAC))
	seedMalformed(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		if IsRouterSolicitation(frame) && ICMPv6Type(frame) != ICMPv6RouterSolicitation {
			t.Error("a solicitation of another type")
		}
		if to, ok := Destination(frame); ok != to.IsValid() {
			t.Errorf("%x is for %v, %v", frame, to, ok)
		}
	})
}
