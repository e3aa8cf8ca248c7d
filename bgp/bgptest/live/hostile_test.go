package live_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/bgp/bgptest/live"
	"github.com/p4evpn/p4evpn/ether"
)

// everyCapability gives capabilities of each code, with a value of one length, in lots that
// fit an OPEN. The one with which two values would contradict is left out.
func everyCapability(length, lot int) [][]byte {
	var lots [][]byte
	var b []byte
	for code := range 256 {
		if code == bgptest.CapAS4 && length == 4 {
			continue
		}
		if len(b)+2+length > lot {
			lots, b = append(lots, b), nil
		}
		b = bgptest.AppendCapability(b, byte(code), bytes.Repeat([]byte{0xee}, length))
	}
	return append(lots, b)
}

// RFC 5492 section 3: what is not known of capabilities is ignored.
func TestNoCapabilityOfAnyLengthKeepsASessionFromComingUpNorEndsAnother(t *testing.T) {
	s := newSiege(t)
	for _, length := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 63, 255} {
		lots := everyCapability(length, 3900)
		if length < 2 {
			lots = append(lots, everyCapability(length, 200)...) // without RFC 9072 too
		}
		for _, capabilities := range lots {
			cfg := s.attack()
			cfg.Capabilities = capabilities
			session := s.Dial(t, cfg)
			leaf := live.NewLeaf(attacker, attackerAS)
			if err := session.Send(bgptest.Update(leaf.Attributes(), leaf.NLRI(uint32(length)))); err != nil {
				t.Fatal(err)
			}
			s.speaker.AwaitRoutes(t, leaf.Route(uint32(length)))
			session.Close()
			s.speaker.AwaitUp(t, s.Addr(attacker), false)
		}
	}
	s.recovers()
}

// RFC 4271 section 6.2: a list that cannot be read is an OPEN message error, and no more.
func TestAnOPENThatCannotBeReadIsRefusedAndEndsNoOtherSession(t *testing.T) {
	s := newSiege(t)
	cfg := s.attack()
	good := cfg.Open(bgptest.AppendCapability(nil, bgptest.CapMultiprotocol, []byte{0, 25, 0, 70}))
	var opens [][]byte
	for _, code := range []byte{0, 1, 2, 5, 6, 9, 64, 65, 69, 70, 71, 73, 128, 255} { // over the end of its parameter
		opens = append(opens, cfg.OpenWith([]byte{2, 3, code, 9, 0}, false))
	}
	opens = append(opens,
		cfg.OpenWith([]byte{2, 200, 1}, false),          // a parameter that runs over the end of all
		cfg.OpenWith([]byte{2}, false),                  // one without a length
		cfg.OpenWith([]byte{1, 1, 0}, false),            // of a type that is gone (RFC 5492 appendix A)
		cfg.OpenWith([]byte{2, 255, 255}, true),         // RFC 9072: two octets of length, too many
		bgptest.Message(bgptest.Open, good[19:24]),      // cut short
		bgptest.Message(bgptest.Open, make([]byte, 10)), // all zero
	)
	for _, open := range opens {
		cfg.OpenMessage = open
		// One that is too short is an error of its header too.
		code, subcode, err := s.refusal(cfg)
		if err != nil || code != 2 && (code != 1 || len(open) >= 29) {
			t.Errorf("OPEN % x: notification %d/%d, %v, want an OPEN message error", open[19:], code, subcode, err)
		}
	}
	s.recovers()
}

// conversation is a connection on which the attacker says what it likes.
type conversation struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func (s *siege) establish(cfg bgptest.Config) *conversation {
	s.t.Helper()
	session := s.dialRaw(cfg)
	return &conversation{session, s.t, bufio.NewReader(session)}
}

// dialRaw tries until the speaker is ready for the attacker.
func (s *siege) dialRaw(cfg bgptest.Config) net.Conn {
	s.t.Helper()
	for late := time.Now().Add(live.Patience); ; {
		conn, err := bgptest.Establish(s.t.Context(), cfg)
		if err == nil {
			s.t.Cleanup(func() { _ = conn.Close() })
			return conn
		}
		if time.Now().After(late) {
			s.t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// ends reads until the session is ended and gives the NOTIFICATION.
func (c *conversation) ends(within time.Duration) (code, subcode byte) {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(within))
	for {
		typ, body, err := bgptest.ReadMessage(c.r)
		switch {
		case err != nil && errors.Is(err, os.ErrDeadlineExceeded):
			c.t.Fatalf("the session has not ended within %v", within)
		case err != nil:
			return 0, 0 // without a word, or a reset that overtook it
		case typ == bgptest.Notification && len(body) >= 2:
			return body[0], body[1]
		}
	}
}

// RFC 4271 section 6.1.
func TestAMessageWithABadHeaderEndsItsSessionAndNoOther(t *testing.T) {
	s := newSiege(t)
	marker := frame(bgptest.Keepalive, 19)
	marker[3] = 0
	for _, bad := range []struct {
		what          string
		bytes         []byte
		code, subcode byte
	}{
		{"a marker that is not all ones", marker, 1, 1},
		{"a length of 0", frame(bgptest.UpdateType, 0), 1, 2},
		{"a length of 18", frame(bgptest.UpdateType, 18), 1, 2},
		{"a length of 65,535", frame(bgptest.UpdateType, 65535), 1, 2},
		{"a length of 4,097", frame(bgptest.UpdateType, 4097), 1, 2},
		{"a KEEPALIVE of 20 bytes", append(frame(bgptest.Keepalive, 20), 0), 1, 2},
		{"an UPDATE of 22 bytes", append(frame(bgptest.UpdateType, 22), 0, 0, 0), 1, 2},
		{"a NOTIFICATION of 20 bytes", append(frame(bgptest.Notification, 20), 0), 1, 2},
		{"type 0", frame(0, 19), 1, 3},
		{"type 6", frame(6, 19), 1, 3},
		{"type 255", frame(255, 19), 1, 3},
	} {
		c := s.establish(s.attack())
		if _, err := c.Write(bad.bytes); err != nil {
			t.Fatal(err)
		}
		if code, subcode := c.ends(live.Patience); code != bad.code || subcode != bad.subcode {
			// What is no NOTIFICATION ends the session too, and need not be answered.
			if bad.bytes[18] != bgptest.Notification {
				t.Errorf("%s: notification %d/%d, want %d/%d", bad.what, code, subcode, bad.code, bad.subcode)
			}
		}
		_ = c.Close()
		s.speaker.AwaitUp(t, s.Addr(attacker), false)
	}
	s.recovers()
}

// filled is an UPDATE of so many bytes in all, the last of which are an attribute that
// nobody knows.
func filled(leaf *live.Leaf, station uint32, size int) []byte {
	a := leaf.Attributes()
	rest := size - len(bgptest.Update(a, leaf.NLRI(station)))
	a.After = bgptest.AppendAttribute(nil, 0xd0, 213, make([]byte, rest-4))
	return bgptest.Update(a, leaf.NLRI(station))
}

// RFC 4271 section 4.1, RFC 8654 section 4.
func TestTheLongestMessagesAreTaken(t *testing.T) {
	s := newSiege(t)
	leaf := live.NewLeaf(attacker, attackerAS)
	for i, size := range []int{4096, 4097, 65535} {
		cfg := s.attack()
		if size > 4096 {
			cfg.Capabilities = bgptest.AppendCapability(nil, bgptest.CapExtendedMessage, nil)
		}
		session := s.Dial(t, cfg)
		update := filled(leaf, uint32(i), size)
		if len(update) != size {
			t.Fatalf("an UPDATE of %d bytes", len(update))
		}
		if err := session.Send(update); err != nil {
			t.Fatal(err)
		}
		s.speaker.AwaitRoutes(t, leaf.Route(uint32(i)))
		session.Close()
		s.speaker.AwaitUp(t, s.Addr(attacker), false)
	}
	s.recovers()
}

// drip writes one byte each so often, until the connection or the test has ended.
func drip(conn net.Conn, b []byte, every time.Duration, done <-chan struct{}) {
	for i := range b {
		if _, err := conn.Write(b[i : i+1]); err != nil {
			return
		}
		select {
		case <-done:
			return
		case <-time.After(every):
		}
	}
}

// A message must come within the hold time (RFC 4271 section 6.5).
func TestAnUPDATEThatNeverEndsEndsItsSessionAndKeepsNobodyWaiting(t *testing.T) {
	s := newSiege(t)
	c := s.establish(s.attack())
	done := make(chan struct{})
	var owned sync.WaitGroup
	owned.Go(func() { drip(c, append(frame(bgptest.UpdateType, 4096), make([]byte, 4077)...), time.Second, done) })
	s.stands()
	if code, subcode := c.ends(live.Patience); code != 4 || subcode != 0 {
		t.Errorf("notification %d/%d, want 4/0: the hold timer expired", code, subcode)
	}
	close(done)
	owned.Wait()
	_ = c.Close()
	s.recovers()
}

// A neighbour's connection that says next to nothing must not keep its own next one out.
func TestOneByteASecondKeepsNobodyOut(t *testing.T) {
	s := newSiege(t)
	done := make(chan struct{})
	var owned sync.WaitGroup
	cfg := s.attack()
	open := cfg.Open(nil)
	for range 50 {
		conn, err := s.connect(attacker)
		if err != nil {
			continue // refused: one too many
		}
		defer conn.Close()
		owned.Go(func() { drip(conn, open, time.Second, done) })
	}
	s.stands()
	session := s.Dial(t, s.attack())
	s.speaker.AwaitUp(t, s.Addr(attacker), true)
	session.Close()
	close(done)
	owned.Wait()
	s.stands()
}

func TestTenThousandConnectionsThatSayNothingAreForgotten(t *testing.T) {
	for name, from := range map[string]byte{"of a stranger": stranger, "of a neighbour": attacker} {
		t.Run(name, func(t *testing.T) {
			s := newSiege(t)
			var open []net.Conn
			for range many(t) {
				conn, err := s.connect(from)
				if err == nil { // else it is refused: as good as any answer
					open = append(open, conn)
				}
			}
			s.stands()
			if from == stranger { // closed at accept
				for _, conn := range open[:min(len(open), 100)] {
					_ = conn.SetReadDeadline(time.Now().Add(live.Patience))
					if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatalf("a stranger's connection is open: %v", err)
					}
				}
			}
			for _, conn := range open {
				_ = conn.Close()
			}
			s.recovers()
		})
	}
}

func TestAFloodOfKeepalivesKeepsNobodyWaiting(t *testing.T) {
	s := newSiege(t)
	session := s.Dial(t, s.attack())
	flood := bytes.Repeat(bgptest.Message(bgptest.Keepalive, nil), 1000)
	done := make(chan struct{})
	var owned sync.WaitGroup
	owned.Go(func() {
		defer close(done)
		for range 500 {
			if session.Send(flood) != nil {
				return
			}
		}
	})
	for range 5 {
		s.stands()
	}
	<-done
	owned.Wait()
	select {
	case <-session.Done():
		t.Errorf("the session has ended: %v", session.Err())
	default:
	}
	session.Close()
	s.recovers()
}

// ours are routes that the speaker advertises, so different and with so many route targets
// that each is an UPDATE of 1 kB.
func ours(n, sequence uint32) []bgp.Route {
	var targets []bgp.RouteTarget
	for k := range uint32(120) {
		targets = append(targets, bgp.RouteTarget(bgptest.RouteTarget(live.AS, k)))
	}
	var routes []bgp.Route
	for i := range n {
		mac := ether.MAC{2, 1, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}
		routes = append(routes, bgp.Route{Key: bgp.MACKey(bgp.RouterRD(live.RouterID, 100), mac, documentation),
			NextHop: live.RouterID, Label: 100, Sequence: sequence + i, RouteTargets: bgp.MakeRouteTargets(targets...)})
	}
	return routes
}

func TestAPeerThatNeverReadsKeepsNobodyWaiting(t *testing.T) {
	s := newSiege(t)
	const routes, bytes = 400, 400 * 1000
	tell := func(sequence uint32) {
		t.Helper()
		if err := s.speaker.Originate(ours(routes, sequence), nil); err != nil {
			t.Fatal(err)
		}
		s.hears(bytes)
	}
	tell(0)
	s.before = used()
	c := s.establish(s.attack())
	done := make(chan struct{})
	var owned sync.WaitGroup
	owned.Go(func() { // it is well, and so deaf
		for {
			if _, err := c.Write(bgptest.Message(bgptest.Keepalive, nil)); err != nil {
				return
			}
			select {
			case <-done:
				return
			case <-time.After(time.Second):
			}
		}
	})
	for round := range uint32(12) { // 5 MB, more than all sockets hold
		tell((round + 1) * 10_000)
	}
	s.stands()
	close(done)
	_ = c.Close()
	owned.Wait()
	s.recovers()
}

// hears waits until UPDATEs of so many bytes came to the other neighbour.
func (s *siege) hears(bytes int) {
	s.t.Helper()
	for late, read := time.After(live.Patience), 0; read < bytes; {
		select {
		case u, ok := <-s.witness.Updates():
			if !ok {
				s.t.Fatalf("the other neighbour's session has ended: %v", s.witness.Err())
			}
			read += len(u)
		case <-late:
			s.t.Fatalf("%d of %d bytes of our routes came to the other neighbour", read, bytes)
		}
	}
}

func TestStormsOfConnectionsKeepNobodyOut(t *testing.T) {
	s := newSiege(t)
	cfg := s.attack()
	open := cfg.Open(bgptest.AppendCapability(nil, bgptest.CapMultiprotocol, []byte{0, 25, 0, 70}))
	for i := range 1000 {
		conn, err := s.connect([]byte{attacker, stranger}[i%2])
		if err != nil {
			continue
		}
		switch i % 5 {
		case 0: // at once, without a word
		case 1:
			_, _ = conn.Write(open[:i%len(open)])
		case 2:
			_, _ = conn.Write(open)
		case 3: // with a reset
			_ = conn.(*net.TCPConn).SetLinger(0)
		case 4:
			_, _ = conn.Write(open)
			_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			_, _ = io.ReadFull(conn, make([]byte, 19))
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
		_ = conn.Close()
	}
	s.recovers()
}
