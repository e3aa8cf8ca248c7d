package front

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/bgp/wire"
)

// reach is the value of an MP_REACH_NLRI (RFC 4760 section 3).
func reach(afi uint16, safi byte, hop, nlri []byte) []byte {
	b := append(binary.BigEndian.AppendUint16(nil, afi), safi, byte(len(hop)))
	return append(append(append(b, hop...), 0), nlri...)
}

// attribute frames a path attribute, a long one in the form for those.
func attribute(flags, typ byte, value []byte) []byte {
	if len(value) > 255 {
		return long(flags, typ, value)
	}
	return append([]byte{flags, typ, byte(len(value))}, value...)
}

func long(flags, typ byte, value []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{flags | flagLong, typ}, uint16(len(value))), value...)
}

func updateOf(attributes ...[]byte) []byte {
	all := bytes.Join(attributes, nil)
	return append(binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(all))), all...)
}

func TestNextHopsOfTheEngineBecomeTheSessions(t *testing.T) {
	own4 := hops{ip4: netip.MustParseAddr("192.0.2.1"), mp: []byte{192, 0, 2, 1}}
	global := netip.MustParseAddr("2001:db8::1").AsSlice()
	own6 := hops{mp: global}
	local := hops{mp: append(bytes.Clone(global), netip.MustParseAddr("fe80::1").AsSlice()...)}
	quiet := hops{mp: own4.mp, noARPND: true}
	flagged := []byte{6, 8, 3, 0, 0, 0, 0, 0, 6, 3, 2, 1, 2, 3, 4, 5}
	vtep := []byte{10, 0, 0, 2}
	origin := attribute(0x40, 1, []byte{0})
	many := bytes.Repeat([]byte{48, 0x20, 1, 0xd, 0xb8, 0, 1}, 40)
	for _, tc := range []struct {
		name      string
		own       hops
		have, set []byte // attributes
	}{
		{"NEXT_HOP (RFC 4271 section 5.1.3)", own4, attribute(0x40, 3, engineHop4), attribute(0x40, 3, own4.mp)},
		{"NEXT_HOP of another is left", own4, attribute(0x40, 3, vtep), attribute(0x40, 3, vtep)},
		{"EVPN's is left", own4, attribute(0x80, 14, reach(25, 70, vtep, []byte{3, 1, 0})),
			attribute(0x80, 14, reach(25, 70, vtep, []byte{3, 1, 0}))},
		{"communities are left", own4, attribute(0xc0, 16, flagged), attribute(0xc0, 16, flagged)},
		{"communities without flags of addresses", quiet, attribute(0xc0, 16, flagged), long(0xc0, 16, flagged[8:])},
		{"no others", quiet, attribute(0xc0, 16, flagged[:8]), nil},
		{"none of them", quiet, attribute(0xc0, 16, flagged[8:]), attribute(0xc0, 16, flagged[8:])},
		{"IPv6 (RFC 2545 section 3)", own6, attribute(0x80, 14, reach(2, 1, engineHop6, []byte{0})),
			long(0x80, 14, reach(2, 1, global, []byte{0}))},
		{"IPv6 with a link-local one", local, attribute(0x80, 14, reach(2, 1, engineHop6, []byte{0})),
			long(0x80, 14, reach(2, 1, local.mp, []byte{0}))},
		{"that makes the attribute a long one", local, attribute(0x80, 14, reach(2, 1, engineHop6, many[:230])),
			long(0x80, 14, reach(2, 1, local.mp, many[:230]))},
		{"a long attribute", local, attribute(0x80, 14, reach(2, 1, engineHop6, many)),
			long(0x80, 14, reach(2, 1, local.mp, many))},
		{"what would say that it was reflected (RFC 4456 section 8)", own4,
			append(attribute(0x80, 9, vtep), attribute(0x80, 10, vtep)...), nil},
		{"RT constraint", own4, attribute(0x80, 14, reach(1, 132, engineHop4, []byte{0})),
			long(0x80, 14, reach(1, 132, own4.mp, []byte{0}))},
		{"RT constraint, by IPv6", own6, attribute(0x80, 14, reach(1, 132, engineHop4, []byte{0})),
			long(0x80, 14, reach(1, 132, global, []byte{0}))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := []byte("before")
			got := tc.own.appendUpdate(bytes.Clone(before), updateOf(origin, tc.have, origin))
			want := wire.AppendMessage(bytes.Clone(before), wire.UpdateType, updateOf(origin, tc.set, origin))
			if !bytes.Equal(got, want) {
				t.Errorf("got  % x\nwant % x", got, want)
			}
		})
	}
}

// RFC 4271 section 4.1: a message has at most 4,096 bytes, and the engine fills them.
func TestAnUpdateThatGetsTooLongByItsNextHopGoesAsTwo(t *testing.T) {
	var nlri []byte
	for i := 0; len(nlri)+100 < wire.MaxMessage-30; i++ {
		nlri = append(nlri, 48, 0x20, 1, 0xd, 0xb8, byte(i>>8), byte(i))
	}
	body := updateOf(attribute(0x40, 1, []byte{0}), attribute(0x80, 14, reach(2, 1, engineHop6, nlri)),
		attribute(0x40, 5, make([]byte, wire.MaxMessage-wire.HeaderLength-4-4-4-21-len(nlri)-3)))
	local := hops{mp: make([]byte, 32)}
	out := local.appendUpdates(nil, body, wire.MaxMessage)
	var got []byte
	for n := 0; len(out) > 0; n++ {
		size := int(binary.BigEndian.Uint16(out[16:]))
		if size > wire.MaxMessage || size > len(out) {
			t.Fatalf("a message of %d bytes", size)
		}
		attributes := bgptest.ParseAttributes(out[19:size])
		got = append(got, attributes[14][5+32:]...)
		if len(attributes) != 3 || !bytes.Equal(attributes[14][4:36], local.mp) {
			t.Errorf("message %d has attributes % x", n, attributes)
		}
		out = out[size:]
	}
	if !bytes.Equal(got, nlri) {
		t.Errorf("prefixes % x, want % x", got, nlri)
	}
	if out = local.appendUpdates(nil, body, wire.MaxExtended); int(binary.BigEndian.Uint16(out[16:])) != len(out) {
		t.Error("it was cut though the peer takes long ones")
	}
}

func FuzzNextHops(f *testing.F) {
	f.Add(updateOf(attribute(0x80, 14, reach(2, 1, engineHop6, []byte{0}))))
	f.Add(updateOf(attribute(0x40, 3, engineHop4)))
	f.Add(bgptest.Withdraw()[19:])
	f.Add(updateOf(attribute(0xc0, 16, []byte{6, 8, 1, 0, 0, 0, 0, 0, 6, 0, 1, 0, 0, 0, 0, 0, 6, 8})))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) < 4 || len(body) > wire.MaxMessage-wire.HeaderLength {
			return
		}
		for _, own := range []hops{
			{ip4: netip.MustParseAddr("192.0.2.1"), mp: []byte{192, 0, 2, 1}, noARPND: true},
			{mp: make([]byte, 16)}, {mp: make([]byte, 32)},
		} {
			out := own.appendUpdate(nil, body)
			own.appendUpdates(nil, body, 64)
			if n := int(binary.BigEndian.Uint16(out[16:])); n != len(out) {
				t.Errorf("a message of %d bytes says that it has %d", len(out), n)
			}
		}
	})
}
