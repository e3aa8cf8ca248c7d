package wire

import (
	"bytes"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
)

// RFC 4271 section 6.2, RFC 6286 section 2.1, RFC 7607 section 2.
func TestOPENThatIsRefusedIsANotification(t *testing.T) {
	at := func(i int, v ...byte) []byte { b := withOptions(); copy(b[i:], v); return b }
	for name, c := range map[string]struct {
		code, subcode uint8
		body, data    []byte
	}{
		"short":                {HeaderError, BadMessageLength, withOptions()[:9], []byte{0, 28}},
		"version 3":            {OpenError, UnsupportedVersion, at(0, 3), []byte{0, 4}},
		"version 5":            {OpenError, UnsupportedVersion, at(0, 5), []byte{0, 4}},
		"AS 0":                 {OpenError, BadPeerAS, at(1, 0, 0), nil},
		"AS 0 of four octets":  {OpenError, BadPeerAS, withOptions(parameter(65, 4, 0, 0, 0, 0)...), nil},
		"two ASes":             {OpenError, BadPeerAS, withOptions(parameter(65, 4, 0, 0, 0, 7)...), nil},
		"hold time 1":          {OpenError, UnacceptableHoldTime, at(3, 0, 1), nil},
		"hold time 2":          {OpenError, UnacceptableHoldTime, at(3, 0, 2), nil},
		"identifier 0":         {OpenError, BadIdentifier, at(5, 0, 0, 0, 0), nil},
		"parameter 1":          {OpenError, UnsupportedParameter, withOptions(1, 1, 0), nil},
		"parameter 3":          {OpenError, UnsupportedParameter, withOptions(3, 0), nil},
		"too few parameters":   {OpenError, 0, at(9, 5), nil},
		"too many parameters":  {OpenError, 0, append(withOptions(), 2, 0), nil},
		"half a parameter":     {OpenError, 0, withOptions(2), nil},
		"parameter overrun":    {OpenError, 0, withOptions(2, 3, 2, 0), nil},
		"capability overrun":   {OpenError, 0, withOptions(parameter(65, 4, 0)...), nil},
		"half a capability":    {OpenError, 0, withOptions(parameter(2, 0, 2)...), nil},
		"extended, too short":  {OpenError, 0, append(withOptions()[:9], 255, 255, 0, 9, 2, 0, 0), nil},
		"extended, half":       {OpenError, 0, append(withOptions()[:9], 255, 255, 0, 2, 2, 0), nil},
		"extended, overrun":    {OpenError, 0, append(withOptions()[:9], 255, 255, 0, 3, 2, 0, 1), nil},
		"extended, of no size": {OpenError, UnsupportedParameter, append(withOptions()[:9], 2, 255, 0), nil},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := ParseOpen(c.body)
			var n *Notification
			if !errors.As(err, &n) || n.Code != c.code || n.Subcode != c.subcode || !bytes.Equal(n.Data, c.data) {
				t.Errorf("%+v of %+v, want %d/%d with % x", err, o, c.code, c.subcode, c.data)
			}
		})
	}
	for _, hold := range [][]byte{{0, 0}, {0, 3}, {255, 255}} {
		if _, err := ParseOpen(at(3, hold...)); err != nil {
			t.Errorf("hold time % x: %v", hold, err)
		}
	}
}

// RFC 5492 section 4 lets capabilities come in one optional parameter or several, RFC 9072
// section 2 in a longer form of those, whether they need it or not.
func TestCapabilitiesAreReadInEachFormThatTheyMayHave(t *testing.T) {
	want := good()
	list := want.appendCapabilities(nil)
	var several, severalLong []byte
	for b := list; len(b) > 0; {
		n := 2 + int(b[1])
		several = append(several, parameter(b[:n]...)...)
		severalLong = append(append(severalLong, 2, 0, byte(n)), b[:n]...)
		b = b[n:]
	}
	fixed := want.Append(nil)[:9]
	size := func(b []byte) []byte { return []byte{byte(len(b) >> 8), byte(len(b))} }
	oneLong := slices.Concat([]byte{2}, size(list), list)
	for name, options := range map[string][]byte{
		"one": append([]byte{byte(len(list) + 2)}, parameter(list...)...), "several": append([]byte{byte(len(several))}, several...),
		"extended":                    slices.Concat([]byte{255, 255}, size(oneLong), oneLong),
		"extended, several":           slices.Concat([]byte{255, 255}, size(severalLong), severalLong),
		"extended, of another length": slices.Concat([]byte{9, 255}, size(oneLong), oneLong),
		"with empty ones":             slices.Concat([]byte{byte(len(several) + 4)}, parameter(), several, parameter()),
		"twice":                       slices.Concat([]byte{byte(2*len(list) + 4)}, parameter(list...), parameter(list...)),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseOpen(append(slices.Clone(fixed), options...))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
			}
		})
	}
}

// RFC 5492 section 3 has a speaker ignore what it does not know. What is not as its RFC
// has it is no worse, and is said.
func TestMalformedCapabilityIsAFaultAndNothingElse(t *testing.T) {
	fine := parameter(1, 4, 0, 25, 0, 70)
	for name, bad := range map[string][]byte{
		"multiprotocol": {1, 3, 0, 1, 0}, "multiprotocol, empty": {1, 0}, "route refresh": {2, 1, 0},
		"extended message": {6, 2, 0, 0}, "graceful restart, empty": {64, 0}, "graceful restart": {64, 5, 0, 120, 0, 25, 70},
		"four-octet AS": {65, 2, 0xfd, 0xea}, "enhanced route refresh": {70, 1, 0}, "long-lived": {71, 6, 0, 25, 70, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := ParseOpen(withOptions(slices.Concat(fine, parameter(bad...), fine)...))
			if err != nil {
				t.Fatal(err)
			}
			want := Open{AS: 65002, HoldTime: 90, ID: leaf, Families: []Family{EVPN}}
			if len(o.Faults) != 1 || o.Faults[0].Reason != bgp.BadMessage || o.Faults[0].Action != bgp.Discarded ||
				!bytes.Equal(o.Faults[0].Bytes, bad) || o.Faults[0].What == "" {
				t.Errorf("faults %+v", o.Faults)
			}
			if o.Faults = nil; !reflect.DeepEqual(o, want) {
				t.Errorf("got  %+v\nwant %+v", o, want)
			}
		})
	}
}

// An OPEN with all of them wrong, each length from 0 to 255.
func TestEveryCapabilityOfEveryLengthIsReadOrPassedOver(t *testing.T) {
	for code := range 256 {
		for n := range 256 {
			value := bytes.Repeat([]byte{0, 1}, n/2+1)[:n]
			caps := slices.Concat([]byte{1, 4, 0, 25, 0, 70, byte(code), byte(n)}, value, []byte{2, 0})
			size := len(caps)
			b := append(withOptions()[:9], 255, 255, byte((size+3)>>8), byte(size+3), 2, byte(size>>8), byte(size))
			o, err := ParseOpen(append(b, caps...))
			if code == capAS4 && n == 4 { // 00 01 00 01 is another AS
				continue
			}
			if err != nil || !o.Has(EVPN) || !o.RouteRefresh {
				t.Fatalf("capability %d of %d bytes: %v, %+v", code, n, err, o)
			}
		}
	}
}

// RFC 4724 section 3: the last instance. RFC 9494 section 4.1: not without RFC 4724.
func TestRepeatedCapabilityCountsAsItsRFCHasIt(t *testing.T) {
	o, err := ParseOpen(withOptions(slices.Concat(
		parameter(64, 6, 0x80, 9, 0, 25, 70, 0x80), parameter(64, 2, 0, 120),
		parameter(65, 4, 0, 0, 0xfd, 0xea), parameter(65, 4, 0, 0, 0xfd, 0xeb),
	)...))
	if err != nil || o.AS != 65002 || len(o.Faults) != 1 ||
		!reflect.DeepEqual(o.GracefulRestart, &GracefulRestart{Time: 120}) {
		t.Errorf("%v, %+v", err, o)
	}
	if o, err = ParseOpen(withOptions(parameter(71, 7, 0, 25, 70, 0x80, 0, 0, 9)...)); err != nil || o.LongLived != nil {
		t.Errorf("%v, %+v", err, o)
	}
}

// RFC 6793 sections 4.2.1 and 9.
func TestASOfFourOctetsStandsForASTRANS(t *testing.T) {
	b := withOptions(parameter(65, 4, 0xfa, 0x56, 0xea, 0)...)
	b[1], b[2] = asTrans>>8, asTrans&255
	if o, err := ParseOpen(b); err != nil || o.AS != 4200000000 || !o.AS4 {
		t.Errorf("%v, %+v", err, o)
	}
	o := good()
	if b := o.Append(nil); b[1] != asTrans>>8 || b[2] != asTrans&255 {
		t.Errorf("AS in two octets % x", b[1:3])
	}
}

// RFC 6286 section 2.1.
func TestOPENOfAStrangerIsRefused(t *testing.T) {
	o := good()
	for _, c := range []struct {
		as       uint32
		id       netip.Addr
		internal bool
		want     uint8
	}{
		{o.AS, ourID, false, 0}, {o.AS, leaf, false, 0}, {o.AS, leaf, true, BadIdentifier}, {o.AS, ourID, true, 0},
		{65002, ourID, false, BadPeerAS}, {65002, leaf, true, BadPeerAS},
	} {
		n := o.Check(c.as, c.id, c.internal)
		if (n != nil) != (c.want != 0) || n != nil && (n.Code != OpenError || n.Subcode != c.want) {
			t.Errorf("%+v: %v", c, n)
		}
	}
}

// RFC 4760 section 8: without the capability a session has IPv4 unicast.
func TestOPENWithoutFamiliesHasIPv4Unicast(t *testing.T) {
	o, err := ParseOpen(withOptions())
	if err != nil || !o.Has(IPv4Unicast) || o.Has(EVPN) {
		t.Errorf("%v, %+v", err, o)
	}
	if o := good(); !o.Has(EVPN) || o.Has(IPv6Unicast) {
		t.Errorf("%+v", o)
	}
}

func TestOPENComesBackAsItWas(t *testing.T) {
	many := good()
	many.AS = 65002
	for n := range byte(200) {
		many.Unknown = append(many.Unknown, Capability{201, bytes.Repeat([]byte{n}, 9)})
	}
	bare := Open{AS: 65002, ID: leaf}
	for _, want := range []Open{good(), many, bare} {
		b := want.Append(nil)
		got, err := ParseOpen(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
		}
		if extended := len(b) > openLength && b[10] == 255; extended != (len(want.Unknown) > 9) {
			t.Errorf("%d bytes, extended: %v", len(b), extended)
		}
	}
	whole := many.Append(nil)
	for n := range whole {
		if _, err := ParseOpen(whole[:n]); err == nil {
			t.Errorf("%d of %d bytes are an OPEN", n, len(whole))
		}
	}
}

func TestFamiliesHaveTheNumbersOfTheRegistry(t *testing.T) {
	for f, want := range map[bgp.Family]Family{bgp.EVPN: {25, 70}, bgp.IPv4Unicast: {1, 1}, bgp.IPv6Unicast: {2, 1}} {
		if got := FamilyOf(f); got != want || got.Known() != f || got.String() != f.String() {
			t.Errorf("%v is %+v, %v", f, got, got.Known())
		}
	}
	if RTConstraint.Known() != 0 || FamilyOf(9) != (Family{}) {
		t.Error("unknown families are known")
	}
}
