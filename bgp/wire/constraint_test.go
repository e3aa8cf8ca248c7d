package wire

import (
	"bytes"
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
)

func constrained(s Session) Session {
	s.Constraint = true
	return s
}

// constraintNLRI is one of a whole route target (RFC 4684 section 4).
func constraintNLRI(n uint16) []byte {
	return slices.Concat([]byte{96}, u32(theirAS), []byte{0, 2, 0xfd, 0xea, 0, 0, byte(n >> 8), byte(n)})
}

// What goes on holds nothing of others' making but the NLRI.
func TestWhatAnUpdateSaysOfRTConstraintGoesOnAlone(t *testing.T) {
	one, all := constraintNLRI(1), []byte{0}
	short := slices.Concat([]byte{36}, u32(theirAS), []byte{0})
	odd := attr(optional|transitive, attrExtendedCommunities, 6, 0x7f, 0, 0, 0, 0, 0, 0)
	unknown := attr(optional|transitive, 99, 1)
	attributes := map[bool][]byte{
		false: slices.Concat(attr(transitive, attrOrigin, 0), path4(theirAS)),
		true:  slices.Concat(attr(transitive, attrOrigin, 0), path4(), attr(transitive, attrLocalPref, 0, 0, 0, 100)),
	}
	long := func(b []byte) []byte { return append([]byte{b[0] | extendedLength, b[1], 0}, b[2:]...) }
	for _, s := range []Session{constrained(external()), constrained(internal())} {
		u, n := decode(t, s, body(nil, slices.Concat(reach(RTConstraint, leaf.AsSlice(), one, all, short),
			given(s, odd, unknown), unreach(EVPN, two())), nil))
		want := body(nil, append(long(reach(RTConstraint, leaf.AsSlice(), one, all, short)), attributes[s.Internal]...), nil)
		if n != nil || len(u.Constraint) != 1 || !bytes.Equal(u.Constraint[0], want) || len(u.Unreach) != 2 {
			t.Errorf("%v, %+v\nwant % x", n, u, want)
		}
		u = takenAll(t, s, body(nil, unreach(RTConstraint, one, short), nil))
		want = body(nil, long(unreach(RTConstraint, one, short)), nil)
		if len(u.Constraint) != 1 || !bytes.Equal(u.Constraint[0], want) {
			t.Errorf("withdrawal %+v\nwant % x", u, want)
		}
		u = takenAll(t, s, body(nil, unreach(RTConstraint), nil))
		want = body(nil, long(unreach(RTConstraint)), nil)
		if len(u.Constraint) != 1 || !bytes.Equal(u.Constraint[0], want) || u.EndOfRIB != 0 {
			t.Errorf("End-of-RIB %+v", u)
		}
	}
	if u := takenAll(t, constrained(external()), announced(given(external()), two())); u.Constraint != nil {
		t.Errorf("%+v", u)
	}
}

func TestRTConstraintThatIsTreatedAsWithdrawnGoesOnAsAWithdrawal(t *testing.T) {
	s := constrained(external())
	one := constraintNLRI(1)
	for reason, changed := range map[bgp.Reason][]byte{
		bgp.BadAttribute: attr(transitive, attrOrigin, 9), bgp.ASLoop: path4(theirAS, ourAS),
	} {
		u, n := decode(t, s, body(nil, append(reach(RTConstraint, leaf.AsSlice(), one), given(s, changed)...), nil))
		head := []byte{attrMPUnreach, 0, byte(3 + len(one)), 0, 1, 132}
		if n != nil || len(u.Constraint) != 1 || !bytes.Contains(u.Constraint[0], head) ||
			len(u.Faults) != 1 || u.Faults[0].Reason != reason || u.Faults[0].Routes != 1 {
			t.Errorf("%v: %v, %+v", reason, n, u)
		}
	}
}

func TestRTConstraintOfAWrongLengthIsDiscardedOrEndsTheSession(t *testing.T) {
	s := constrained(external())
	one := constraintNLRI(1)
	for bits := range 256 {
		bad := append([]byte{byte(bits)}, make([]byte, (bits+7)/8)...)
		u, n := decode(t, s, body(nil, append(reach(RTConstraint, leaf.AsSlice(), one, bad, one), given(s)...), nil))
		switch {
		case bits > 96: // RFC 7606 section 5.3
			if n == nil || n.Subcode != OptionalAttributeError {
				t.Errorf("%d bits: %v", bits, n)
			}
		case bits == 0 || bits >= 32:
			if n != nil || len(u.Faults) > 0 || bytes.Count(u.Constraint[0], one) != 2 {
				t.Errorf("%d bits: %v, %+v", bits, n, u)
			}
		default:
			if n != nil || len(u.Faults) != 1 || u.Faults[0].Reason != bgp.BadNLRI || bytes.Count(u.Constraint[0], one) != 2 {
				t.Errorf("%d bits: %v, %+v", bits, n, u)
			}
		}
	}
	ends(OptionalAttributeError).check(t, s, body(nil, unreach(RTConstraint, one[:9]), nil))
}

// RFC 4360 section 4, RFC 5668 section 2: a route target is of type 0, 1 or 2.
func TestRTConstraintOfWhatIsNoRouteTargetIsDiscarded(t *testing.T) {
	s := constrained(external())
	one := constraintNLRI(1)
	for kind := range 256 {
		other := bytes.Clone(one)
		other[5] = byte(kind)
		u, n := decode(t, s, body(nil, append(reach(RTConstraint, leaf.AsSlice(), one, other), given(s)...), nil))
		left := bytes.Contains(u.Constraint[0], other)
		if n != nil || left != (kind <= 2) || (len(u.Faults) == 0) != left {
			t.Errorf("type %02x: %v, %+v", kind, n, u)
		}
	}
}

// RFC 8654: a peer may send more in a message than GoBGP takes.
func TestRTConstraintOfAnExtendedMessageIsCutToMessages(t *testing.T) {
	s := constrained(external())
	var nlri []byte
	for n := range uint16(4000) {
		nlri = append(nlri, constraintNLRI(n)...)
	}
	u := takenAll(t, s, body(nil, slices.Concat(reach(RTConstraint, leaf.AsSlice(), nlri), given(s)), nil))
	var got []byte
	for _, b := range u.Constraint {
		if len(b)+HeaderLength > MaxMessage {
			t.Errorf("a body of %d bytes", len(b))
		}
		var p parts
		if n := p.split(b); n != nil {
			t.Fatal(n)
		}
		got = append(got, p.reach.nlri...)
	}
	if !bytes.Equal(got, nlri) {
		t.Errorf("%d bytes of NLRI in %d messages, want %d", len(got), len(u.Constraint), len(nlri))
	}
}
