package wire

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
)

// What most tests begin with: a session, an UPDATE with two routes and nothing wrong.

const (
	ourAS   = 65001
	theirAS = 65002
)

var (
	ourID = netip.MustParseAddr("192.0.2.1")
	leaf  = netip.MustParseAddr("10.0.0.2")
)

func external() Session {
	return Session{AS: ourAS, PeerAS: theirAS, RouterID: ourID, AS4: true,
		Families: []bgp.Family{bgp.EVPN, bgp.IPv4Unicast, bgp.IPv6Unicast}}
}

func internal() Session {
	s := external()
	s.PeerAS, s.Internal = ourAS, true
	return s
}

// oldPeer is one that has AS numbers of two octets.
func oldPeer() Session {
	s := external()
	s.AS4 = false
	return s
}

var (
	vxlan  = []byte{3, 12, 0, 0, 0, 0, 0, tunnelVXLAN}
	target = []byte{0, 2, 0xfd, 0xea, 0, 0, 0, 100} // 65002:100
)

// path4 is AS_PATH of one sequence, in four octets a number; path2 in two.
func path4(list ...uint32) []byte {
	if len(list) == 0 {
		return attr(transitive, attrASPath)
	}
	return attr(transitive, attrASPath, segment4(asSequence, list...)...)
}

func segment4(typ byte, list ...uint32) []byte {
	b := []byte{typ, byte(len(list))}
	for _, as := range list {
		b = append(b, u32(as)...)
	}
	return b
}

func segment2(typ byte, list ...uint32) []byte {
	b := []byte{typ, byte(len(list))}
	for _, as := range list {
		b = append(b, u32(as)[2:]...)
	}
	return b
}

// given are the attributes of a good UPDATE of the session, without MP_REACH_NLRI. What is
// changed takes the place of what it has of the same type, or comes behind.
func given(s Session, changed ...[]byte) []byte {
	list := [][]byte{attr(transitive, attrOrigin, 0)}
	switch {
	case s.Internal:
		list = append(list, path4(), attr(transitive, attrLocalPref, 0, 0, 0, 100))
	case s.AS4:
		list = append(list, path4(theirAS))
	default:
		list = append(list, attr(transitive, attrASPath, segment2(asSequence, theirAS)...))
	}
	list = append(list, attr(optional|transitive, attrExtendedCommunities, slices.Concat(target, vxlan)...))
	for _, c := range changed {
		i := slices.IndexFunc(list, func(a []byte) bool { return a[1] == c[1] })
		if i < 0 {
			list = append(list, c)
		} else {
			list[i] = c
		}
	}
	return slices.Concat(list...)
}

// without gives what is given, less one attribute.
func without(s Session, code byte) []byte {
	b := given(s)
	var out []byte
	for len(b) > 0 {
		n := 3 + int(b[2])
		if b[1] != code {
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return out
}

var rd1 = bgp.RD{0, 1, 10, 0, 0, 2, 0, 100}

// macRoute is a type-2 route for a MAC.
func macRoute(n byte) bgp.NLRI {
	return bgp.NLRI{Key: bgp.MACKey(rd1, ether.MAC{2, 0, 0, 0, 0, n}, netip.Addr{}), Label: 100}
}

// announced is an UPDATE with those attributes and routes of EVPN.
func announced(attributes []byte, nlri ...[]byte) []byte {
	return body(nil, append(reach(EVPN, leaf.AsSlice(), nlri...), attributes...), nil)
}

func two() []byte { return encodeNLRI(macRoute(1), macRoute(2)) }

func decode(t *testing.T, s Session, b []byte) (*Update, *Notification) {
	t.Helper()
	u := new(Update)
	n := NewDecoder(s).Update(b, u)
	return u, n
}

// taken decodes what has to be taken without a fault.
func takenAll(t *testing.T, s Session, b []byte) *Update {
	t.Helper()
	u, n := decode(t, s, b)
	if n != nil {
		t.Fatalf("session ended: %v", n)
	}
	if len(u.Faults) > 0 {
		t.Fatalf("faults %+v", u.Faults)
	}
	return u
}

// outcome is what becomes of an UPDATE with two routes.
type outcome struct {
	action  bgp.Action // 0: taken without a fault
	reason  bgp.Reason
	subcode uint8 // of UpdateError
}

func ends(subcode uint8) outcome { return outcome{action: bgp.SessionEnded, subcode: subcode} }

func withdrawn(reason bgp.Reason) outcome { return outcome{action: bgp.Withdrawn, reason: reason} }

func discarded(reason bgp.Reason) outcome { return outcome{action: bgp.Discarded, reason: reason} }

func (want outcome) check(t *testing.T, s Session, b []byte) {
	t.Helper()
	u, n := decode(t, s, b)
	if want.action == bgp.SessionEnded {
		if n == nil || n.Code != UpdateError || n.Subcode != want.subcode {
			t.Fatalf("%v, want 3/%d; %+v", n, want.subcode, u)
		}
		if len(u.Reach)+len(u.Unreach)+len(u.Faults) > 0 || u.Attributes != nil {
			t.Errorf("the session ends, and %+v", u)
		}
		return
	}
	if n != nil {
		t.Fatalf("session ended: %v", n)
	}
	routes := []bgp.NLRI{macRoute(1), macRoute(2)}
	keys := []bgp.Key{routes[0].Key, routes[1].Key}
	if want.action == bgp.Withdrawn {
		routes = nil
	} else {
		keys = nil
	}
	if !slices.Equal(u.Reach, routes) || !slices.Equal(u.Unreach, keys) {
		t.Errorf("routes %v, withdrawn %v, want %v and %v", u.Reach, u.Unreach, routes, keys)
	}
	if (u.Attributes != nil) != (len(routes) > 0) {
		t.Errorf("attributes %+v with %d routes", u.Attributes, len(routes))
	}
	if want.action == 0 {
		if len(u.Faults) > 0 {
			t.Errorf("faults %+v", u.Faults)
		}
		return
	}
	if len(u.Faults) != 1 || u.Faults[0].Action != want.action || u.Faults[0].Reason != want.reason {
		t.Fatalf("faults %+v, want one: %v %v", u.Faults, want.reason, want.action)
	}
	if f := u.Faults[0]; f.What == "" || f.Routes != len(keys) {
		t.Errorf("fault %+v, of %d routes", f, len(keys))
	}
}
