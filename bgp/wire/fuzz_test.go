package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"reflect"
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
)

// fuzzSessions are those that a fuzzed UPDATE may be of.
func fuzzSessions() []Session { return []Session{constrained(external()), internal(), oldPeer()} }

// FuzzUpdate decodes any bytes. Nothing panics; a decoder that has seen other UPDATEs says
// the same as a new one; each route that is taken comes back as it is when it is encoded
// again, and what is withdrawn is named by a withdrawal of its own.
func FuzzUpdate(f *testing.F) {
	s := newSource(7)
	for i, session := range fuzzSessions() {
		for range 10 {
			a := s.attributes(&session)
			f.Add(byte(i), encode(&session, &a, s.nlri(), s.nlri()))
		}
		f.Add(byte(i), body([]byte{8, 10}, given(session, attr(transitive, attrNextHop, 10, 0, 0, 2)), []byte{8, 11}))
		f.Add(byte(i), body(nil, unreach(EVPN, two(), nlri(7, rdBytes)), nil))
		f.Add(byte(i), body(nil, append(reach(IPv6Unicast, make([]byte, 32), []byte{16, 0x20, 1}), given(session)...), nil))
		f.Add(byte(i), body(nil, append(reach(RTConstraint, leaf.AsSlice(), constraintNLRI(1)), given(session)...), nil))
		f.Add(byte(i), body(nil, nil, nil))
	}
	for _, v := range vendors {
		f.Add(byte(0), v.body())
		f.Add(byte(1), v.body())
	}
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		if len(b) > MaxExtended-HeaderLength {
			return
		}
		session := fuzzSessions()[int(which)%len(fuzzSessions())]
		old, fresh := NewDecoder(session), NewDecoder(session)
		var u, again Update
		old.Update(announced(given(session), two()), &u)
		bad := old.Update(b, &u)
		if n := fresh.Update(b, &again); !reflect.DeepEqual(n, bad) {
			t.Fatalf("%v, and by a new decoder %v", bad, n)
		}
		if bad == nil && !sameUpdate(&u, &again) {
			t.Fatalf("%+v, and by a new decoder %+v", u, again)
		}
		if n := old.Update(b, &again); !reflect.DeepEqual(n, bad) || bad == nil && !sameUpdate(&u, &again) {
			t.Fatalf("%v, %+v and then %v, %+v", bad, u, n, again)
		}
		checkUpdate(t, session, &u, bad)
	})
}

// sameUpdate compares what they say.
func sameUpdate(a, b *Update) bool {
	if (a.Attributes == nil) != (b.Attributes == nil) || a.Attributes != nil && *a.Attributes != *b.Attributes {
		return false
	}
	faults := func(x, y bgp.Fault) bool { return reflect.DeepEqual(x, y) }
	return slices.Equal(a.Reach, b.Reach) && slices.Equal(a.Unreach, b.Unreach) && slices.Equal(a.Unicast, b.Unicast) &&
		slices.Equal(a.UnicastUnreach, b.UnicastUnreach) && slices.EqualFunc(a.Constraint, b.Constraint, bytes.Equal) &&
		a.EndOfRIB == b.EndOfRIB && slices.EqualFunc(a.Faults, b.Faults, faults)
}

func checkUpdate(t *testing.T, session Session, u *Update, bad *Notification) {
	t.Helper()
	if bad != nil {
		if bad.Code != UpdateError || bad.Subcode == 0 || bad.Error() == "" {
			t.Fatalf("ends by %v", bad)
		}
		if !sameUpdate(u, &Update{}) {
			t.Fatalf("the session ends, and %+v", u)
		}
		return
	}
	if (u.Attributes != nil) != (len(u.Reach) > 0) {
		t.Fatalf("attributes %+v with %d routes", u.Attributes, len(u.Reach))
	}
	for _, n := range u.Reach {
		switch n.Type {
		case bgp.TypeMACIP, bgp.TypeMulticast, bgp.TypePrefix:
			if err := n.Check(); err != nil {
				t.Fatalf("took %+v: %v", n, err)
			}
		}
		var back Update
		session.AllowOwnAS = 255
		plain := bgp.Attributes{NextHop: leaf}
		e := NewDecoder(session).Update(encode(&session, &plain, n), &back)
		if e != nil || !slices.Equal(back.Reach, []bgp.NLRI{n}) {
			t.Fatalf("%+v became %v, %+v", n, e, back)
		}
	}
	for _, k := range u.Unreach {
		var back Update
		gone := body(nil, unreach(EVPN, encodeNLRI(bgp.NLRI{Key: k})), nil)
		if e := NewDecoder(session).Update(gone, &back); e != nil || !slices.Equal(back.Unreach, []bgp.Key{k}) {
			t.Fatalf("withdrawn %v became %v, %+v", k, e, back)
		}
	}
	for _, r := range u.Unicast {
		if r.Prefix != r.Prefix.Masked() || !bgp.IsHost(r.NextHop) || r.NextHop.BitLen() != r.Prefix.Addr().BitLen() {
			t.Fatalf("took %+v", r)
		}
	}
	for _, b := range u.Constraint {
		var p parts
		if n := p.split(b); n != nil || len(b)+HeaderLength > MaxMessage {
			t.Fatalf("% x goes on: %v", b, n)
		}
	}
	for _, f := range u.Faults {
		if f.Reason == bgp.Accepted || f.Reason >= bgp.Reasons || f.Action == 0 || f.What == "" || len(f.Bytes) > 64 {
			t.Fatalf("fault %+v", f)
		}
	}
}

// FuzzOpen reads any bytes as an OPEN. One that is taken is taken again as it was, in the
// form that we give it.
func FuzzOpen(f *testing.F) {
	o := good()
	f.Add(o.Append(nil))
	f.Add(withOptions())
	f.Add(withOptions(slices.Concat(parameter(2, 0), parameter(65, 4, 0, 0, 0xfd, 0xea), parameter(71, 0))...))
	f.Add(append(withOptions()[:9], 255, 255, 0, 7, 2, 0, 4, 2, 1, 0, 70))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := ParseOpen(b)
		if err != nil {
			var n *Notification
			if !errors.As(err, &n) || n.Code != OpenError && n.Code != HeaderError {
				t.Fatalf("% x: %v", b, err)
			}
			return
		}
		o.Faults = nil
		if len(o.LongLived) == 0 {
			o.LongLived = nil
		}
		again, err := ParseOpen(o.Append(nil))
		if err != nil || !reflect.DeepEqual(o, again) {
			t.Fatalf("%+v became %v, %+v", o, err, again)
		}
	})
}

// FuzzMessages reads any stream. What is read is, message by message, what was there.
func FuzzMessages(f *testing.F) {
	o := good()
	stream := AppendMessage(nil, OpenType, o.Append(nil))
	stream = AppendMessage(stream, KeepaliveType, nil)
	stream = AppendMessage(stream, UpdateType, announced(given(external()), two()))
	stream = AppendMessage(stream, RouteRefreshType, RouteRefresh{Family: EVPN}.Append(nil))
	stream = AppendMessage(stream, NotificationType, Shutdown(AdminShutdown, "bye").Append(nil))
	f.Add(stream, false)
	f.Add(stream[:len(stream)-3], true)
	f.Add(header(6, 19), false)
	f.Fuzz(func(t *testing.T, stream []byte, extended bool) {
		limit := MaxMessage
		if extended {
			limit = MaxExtended
		}
		r, rest := bufio.NewReaderSize(bytes.NewReader(stream), 64), stream
		for {
			typ, b, err := ReadMessage(r, nil, limit)
			if err != nil {
				var n *Notification
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) &&
					(!errors.As(err, &n) || n.Code != HeaderError || n.Error() == "") {
					t.Fatal(err)
				}
				return
			}
			message := AppendMessage(nil, typ, b)
			if !bytes.HasPrefix(rest, message) {
				t.Fatalf("read % x from % x", message, rest)
			}
			rest = rest[len(message):]
			switch typ {
			case NotificationType:
				if n := ParseNotification(b); !bytes.Equal(n.Append(nil), b) || n.Error() == "" {
					t.Fatalf("% x became %+v", b, n)
				}
			case RouteRefreshType:
				if _, err := ParseRouteRefresh(b); err != nil && len(b) == 4 {
					t.Fatalf("% x: %v", b, err)
				}
			}
		}
	})
}
