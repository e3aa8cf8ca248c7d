package bgp

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unique"
)

// RouteTarget is a route target extended community in its wire form (RFC 4360
// section 4): type, subtype 2, value.
type RouteTarget [8]byte

const subtypeRouteTarget = 2

// ParseRouteTarget reads "65000:100", "10.0.0.1:100" or "4200000000:100".
func ParseRouteTarget(s string) (RouteTarget, error) {
	var rt RouteTarget
	typ, value, err := parseAdmin(s)
	if err != nil {
		return rt, fmt.Errorf("route target %q: %w", s, err)
	}
	rt[0], rt[1] = typ, subtypeRouteTarget
	copy(rt[2:], value[:])
	return rt, nil
}

// AutoRouteTarget is the one that we export by default, (AS mod 65536):VNI, as
// FRR does.
func AutoRouteTarget(as, vni uint32) RouteTarget {
	rt := RouteTarget{adminAS2, subtypeRouteTarget}
	binary.BigEndian.PutUint16(rt[2:], uint16(as))
	binary.BigEndian.PutUint32(rt[4:], vni)
	return rt
}

// number is the part after the colon.
func (r RouteTarget) number() uint32 { return adminNumber(uint16(r[0]), r[2:]) }

// matchesVNI reports whether the target is *:vni.
func (r RouteTarget) matchesVNI(vni uint32) bool {
	n := r.number()
	if n == vni {
		return vni != 0
	}
	return r[0] == adminAS2 && n>>28 == 1 && n&0xffffff == vni && vni != 0
}

// String is the form that ParseRouteTarget reads.
func (r RouteTarget) String() string { return formatAdmin(uint16(r[0]), r[2:]) }

// MarshalText gives the form that ParseRouteTarget reads.
func (r RouteTarget) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what ParseRouteTarget does.
func (r *RouteTarget) UnmarshalText(b []byte) error {
	v, err := ParseRouteTarget(string(b))
	if err == nil {
		*r = v
	}
	return err
}

// RouteTargets is a set of route targets. It is one word and comparable: equal
// sets are the same interned value, whatever order they were written in. The
// zero value is the empty set.
type RouteTargets struct{ set unique.Handle[string] }

// MakeRouteTargets gives the set of the given targets.
func MakeRouteTargets(rts ...RouteTarget) RouteTargets {
	if len(rts) == 0 {
		return RouteTargets{}
	}
	sorted := slices.Clone(rts)
	slices.SortFunc(sorted, func(a, b RouteTarget) int { return strings.Compare(string(a[:]), string(b[:])) })
	sorted = slices.Compact(sorted)
	b := make([]byte, 0, 8*len(sorted))
	for _, rt := range sorted {
		b = append(b, rt[:]...)
	}
	return RouteTargets{unique.Make(string(b))}
}

func (s RouteTargets) bytes() string {
	if s == (RouteTargets{}) {
		return ""
	}
	return s.set.Value()
}

// Len is the number of targets.
func (s RouteTargets) Len() int { return len(s.bytes()) / 8 }

// All yields the targets in the order of their bytes.
func (s RouteTargets) All() iter.Seq[RouteTarget] {
	return func(yield func(RouteTarget) bool) {
		for b := s.bytes(); len(b) >= 8; b = b[8:] {
			if !yield(RouteTarget([]byte(b[:8]))) {
				return
			}
		}
	}
}

// Contains reports whether rt is in the set.
func (s RouteTargets) Contains(rt RouteTarget) bool {
	for o := range s.All() {
		if o == rt {
			return true
		}
	}
	return false
}

// MatchesVNI reports whether any target is *:vni, which is what we import by
// default: any administrator with the number vni, or with the VXLAN form that
// RFC 8365 section 5.1.2.1 derives (bit 31 clear, type 1 in bits 30 to 28, any
// domain in bits 27 to 24, the VNI below).
func (s RouteTargets) MatchesVNI(vni uint32) bool {
	for rt := range s.All() {
		if rt.matchesVNI(vni) {
			return true
		}
	}
	return false
}

// String joins the targets by spaces.
func (s RouteTargets) String() string {
	var b strings.Builder
	for rt := range s.All() {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(rt.String())
	}
	return b.String()
}
