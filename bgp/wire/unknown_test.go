package wire

import (
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
)

// The unknown as a kind: whatever is well framed and not known, at a random place between
// good routes, costs nothing that is good.

// among puts something at a random place of a list.
func (s source) among(list [][]byte, odd []byte) []byte {
	return slices.Concat(slices.Insert(slices.Clone(list), s.IntN(len(list)+1), odd)...)
}

func goodRoutes(n int) (keys []bgp.Key, raw [][]byte) {
	for i := range n {
		r := macRoute(byte(i + 1))
		keys, raw = append(keys, r.Key), append(raw, encodeNLRI(r))
	}
	return keys, raw
}

// count says how many of the keys are among the routes or the withdrawn ones, and how many
// others there are.
func count(keys []bgp.Key, u *Update) (good, others int) {
	got := slices.Clone(u.Unreach)
	for _, n := range u.Reach {
		got = append(got, n.Key)
	}
	for _, k := range got {
		if slices.Contains(keys, k) {
			good++
		} else {
			others++
		}
	}
	return good, others
}

func TestRoutesOfEveryTypeAndLengthCostNoOther(t *testing.T) {
	s := newSource(3)
	session := external()
	d := NewDecoder(session)
	attributes := given(session)
	keys, raw := goodRoutes(4)
	var u Update
	for typ := range 256 {
		for n := range 256 {
			v := make([]byte, n)
			s.fill(v)
			if s.chance(2) && n >= 2 {
				v[0], v[1] = 0, 1 // an RD that is known
			}
			odd := s.among(raw, nlri(byte(typ), v))
			for _, b := range [][]byte{announced(attributes, odd), body(nil, unreach(EVPN, odd), nil)} {
				if bad := d.Update(b, &u); bad != nil {
					t.Fatalf("type %d of %d octets ends the session: %v", typ, n, bad)
				}
				good, others := count(keys, &u)
				if good != len(keys) || len(u.Reach) > 0 && len(u.Reach)+len(u.Faults) < len(keys)+1 {
					t.Fatalf("type %d of %d octets: %d good routes, %+v", typ, n, good, u)
				}
				known := typ >= 1 && typ <= 5
				if !known && (len(u.Faults) != 1 || u.Faults[0].Reason != bgp.BadRouteType || others > 0) {
					t.Fatalf("type %d of %d octets: %+v", typ, n, u)
				}
				if known && others+len(u.Faults) == 0 {
					t.Fatalf("type %d of %d octets is neither taken nor counted: %+v", typ, n, u)
				}
			}
		}
	}
}

// RFC 7606 section 7.14.
func TestEveryExtendedCommunityIsCarriedPast(t *testing.T) {
	s := newSource(4)
	session := external()
	want := *attributesOf(t, session)
	good := [][]byte{target, vxlan}
	d := NewDecoder(session)
	var u Update
	for typ := range 256 {
		for subtype := range 256 {
			odd := make([]byte, 8)
			s.fill(odd)
			odd[0], odd[1] = byte(typ), byte(subtype)
			if typ == 6 && subtype == 3 {
				odd[2] = 2 // a router MAC is of a station
			}
			raw := attr(optional|transitive, attrExtendedCommunities, s.among(good, odd)...)
			if n := d.Update(announced(given(session, raw), two()), &u); n != nil || len(u.Reach) != 2 || len(u.Unreach) > 0 {
				t.Fatalf("community %02x:%02x: %v, %+v", typ, subtype, n, u)
			}
			// RFC 7432 to 9251 and the registry that they began have the sub-types up to 10.
			unknown := typ == 6 && subtype > 0x10
			if (len(u.Faults) > 0) != unknown {
				t.Fatalf("community %02x:%02x: %+v", typ, subtype, u.Faults)
			}
			means := typ == 6 && subtype <= 8 || typ == 3 && (subtype == 12 || subtype == 13) || typ <= 2 && subtype == 2
			if !means && *u.Attributes != want {
				t.Fatalf("community %02x:%02x: %+v", typ, subtype, u.Attributes)
			}
		}
	}
}

func TestEveryAttributeWithFlagsThatItMayHaveIsCarriedPast(t *testing.T) {
	s := newSource(5)
	for _, session := range []Session{external(), internal()} {
		want := *attributesOf(t, session)
		known := map[byte]bool{attrMPReach: true, attrMPUnreach: true}
		for code := range specs {
			known[byte(code)] = known[byte(code)] || specs[code].read != nil
		}
		for code := range 256 {
			for _, flags := range []byte{optional, optional | transitive, optional | transitive | 0x20, optional | 0x0f} {
				if known[byte(code)] {
					continue
				}
				odd := make([]byte, s.IntN(300))
				s.fill(odd)
				list := [][]byte{reach(EVPN, leaf.AsSlice(), two()), given(session)}
				u, n := decode(t, session, body(nil, s.among(list, attr(flags, byte(code), odd...)), nil))
				if n != nil || len(u.Reach) != 2 || *u.Attributes != want {
					t.Fatalf("attribute %d with flags %02x: %v, %+v", code, flags, n, u)
				}
				if (len(u.Faults) == 1) == passed[code] || len(u.Faults) > 1 {
					t.Fatalf("attribute %d with flags %02x: %+v", code, flags, u.Faults)
				}
			}
		}
	}
}

// truncated gives the UPDATE cut off at each byte: with its lengths as they were, and with
// those that say where the end of all, of the attributes and of MP_REACH_NLRI or
// MP_UNREACH_NLRI is now.
func truncated(b []byte) (all [][]byte) {
	for n := range b {
		cut := slices.Clone(b[:n])
		all = append(all, slices.Clone(cut))
		if n < 4 {
			continue
		}
		cut[2], cut[3] = byte((n-4)>>8), byte(n-4)
		all = append(all, slices.Clone(cut))
		if n >= 8 && (cut[5] == attrMPReach || cut[5] == attrMPUnreach) {
			if cut[4]&extendedLength == 0 {
				cut[6] = byte(n - 7)
			} else {
				cut[6], cut[7] = byte((n-8)>>8), byte(n-8)
			}
			all = append(all, cut)
		}
	}
	return all
}

func TestTruncatedUpdateNeverGivesARouteThatWasNotThere(t *testing.T) {
	s := newSource(6)
	for range 20 {
		session := s.session()
		a := s.attributes(&session)
		var routes []bgp.NLRI
		var keys []bgp.Key
		for range 1 + s.IntN(4) {
			routes = append(routes, s.nlri())
			keys = append(keys, routes[len(routes)-1].Key)
		}
		d := NewDecoder(session)
		var u Update
		withdrawal := body(nil, unreach(EVPN, encodeNLRI(routes...)), nil)
		for _, whole := range [][]byte{encode(&session, &a, routes...), withdrawal} {
			for _, b := range truncated(whole) {
				if d.Update(b, &u) != nil {
					continue
				}
				for _, n := range u.Reach {
					if !slices.Contains(routes, n) {
						t.Fatalf("% x gives %+v", b, n)
					}
				}
				for _, k := range u.Unreach {
					if !slices.Contains(keys, k) {
						t.Fatalf("% x withdraws %v", b, k)
					}
				}
			}
		}
	}
}

// What is decoded owns its memory: the bytes may be used again.
func TestWhatIsDecodedDoesNotChangeWithTheBytes(t *testing.T) {
	session := constrained(external())
	odd := attr(optional|transitive, 99, 1, 2, 3)
	b := body(nil, slices.Concat(given(session), odd, reach(RTConstraint, leaf.AsSlice(), constraintNLRI(1)),
		unreach(EVPN, two(), nlri(77, rdBytes))), nil)
	u, n := decode(t, session, b)
	if n != nil || len(u.Faults) != 2 || len(u.Constraint) != 1 {
		t.Fatalf("%v, %+v", n, u)
	}
	bytes0, bytes1 := slices.Clone(u.Faults[0].Bytes), slices.Clone(u.Faults[1].Bytes)
	constraint := slices.Clone(u.Constraint[0])
	clear(b)
	if !slices.Equal(u.Faults[0].Bytes, bytes0) || !slices.Equal(u.Faults[1].Bytes, bytes1) ||
		!slices.Equal(u.Constraint[0], constraint) {
		t.Errorf("%+v", u)
	}
	open := withOptions(parameter(73, 1, 9)...)
	o, err := ParseOpen(open)
	notification := []byte{6, 2, 1, 'a'}
	text := ParseNotification(notification)
	clear(open)
	clear(notification)
	if err != nil || o.Unknown[0].Value[0] != 9 || text.Text() != "a" {
		t.Errorf("%+v, %+v", o, text)
	}
}
