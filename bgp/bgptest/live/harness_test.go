package live_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/bgp/bgptest/live"
)

// siege is a speaker with two peers: one that does what it should, and one that does not.
type siege struct {
	*live.Net
	t       *testing.T
	speaker *live.Speaker
	witness *bgptest.Session
	leaf    *live.Leaf // the witness's
	routes  []bgp.Route
	told    uint32 // stations beside those of routes
	before  usage
}

const (
	witness, attacker = 2, 3 // addresses
	witnessAS         = 65002
	attackerAS        = 65003
	stranger          = 66 // an address that is nobody's
	stations          = 256
)

// newSiege establishes the witness's session. The hold time of the attacker is the
// shortest.
func newSiege(t *testing.T, change ...func(*bgp.Config)) *siege {
	t.Helper()
	s := &siege{Net: live.NewNet(t), t: t, leaf: live.NewLeaf(witness, witnessAS)}
	bad := s.Neighbor(attacker, attackerAS)
	bad.HoldTime = 3 * time.Second
	cfg := s.Config(s.Neighbor(witness, witnessAS), bad)
	for _, f := range change {
		f(&cfg)
	}
	s.speaker = live.Run(t, cfg)
	s.witness = s.Dial(t, s.Peer(witness, witnessAS))
	var updates []byte
	s.routes, updates = s.leaf.Stations(stations)
	if err := s.witness.Send(updates); err != nil {
		t.Fatal(err)
	}
	s.speaker.AwaitRoutes(t, s.routes...)
	s.before = used()
	return s
}

// attack gives the attacker's ways to speak.
func (s *siege) attack() bgptest.Config {
	c := s.Peer(attacker, attackerAS)
	c.HoldTime = 3 * time.Second
	return c
}

// stands checks that the witness has its session and its routes, and that a new one is
// taken now.
func (s *siege) stands() {
	s.t.Helper()
	select {
	case <-s.witness.Done():
		s.t.Fatalf("the other neighbour's session has ended: %v", s.witness.Err())
	default:
	}
	s.told++
	station := stations + s.told
	start := time.Now()
	if err := s.witness.Send(bgptest.Update(s.leaf.Attributes(), s.leaf.NLRI(station))); err != nil {
		s.t.Fatal(err)
	}
	s.speaker.AwaitRoutes(s.t, append(s.routes, s.leaf.Route(station))...)
	s.t.Logf("a new route of the other neighbour is there after %v", time.Since(start))
	if n := s.speaker.Downs(s.Addr(witness)); n != 0 {
		s.t.Errorf("the other neighbour's session has ended %d times", n)
	}
}

// recovers checks that the attacker can be a peer as any other, and that what it took is
// given back.
func (s *siege) recovers() {
	s.t.Helper()
	s.stands()
	session := s.Dial(s.t, s.Peer(attacker, attackerAS))
	leaf := live.NewLeaf(attacker, attackerAS)
	if err := session.Send(bgptest.Update(leaf.Attributes(), leaf.NLRI(1))); err != nil {
		s.t.Fatal(err)
	}
	s.speaker.AwaitRoutes(s.t, leaf.Route(1))
	session.Close()
	s.speaker.AwaitUp(s.t, s.Addr(attacker), false)
	s.speaker.Await(s.t, "memory, descriptors and goroutines are what they were", func() error {
		return used().within(s.before)
	})
	s.stands()
}

// usage is what this process, with the speaker in it, uses.
type usage struct {
	descriptors, goroutines int
	heap                    uint64
}

// used collects the garbage first.
func used() usage {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	open, _ := os.ReadDir("/proc/self/fd")
	return usage{len(open), runtime.NumGoroutine(), m.HeapAlloc}
}

// within says what there is too much of. What is kept of a neighbour that was there once
// is no loss.
func (u usage) within(before usage) error {
	const descriptors, goroutines, heap = 4, 8, 8 << 20
	if u.descriptors > before.descriptors+descriptors || u.goroutines > before.goroutines+goroutines ||
		u.heap > before.heap+heap {
		return fmt.Errorf("%+v, before it was %+v", u, before)
	}
	return nil
}

// connect makes a connection of an address without a word on it.
func (s *siege) connect(from byte) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), live.Patience)
	defer cancel()
	return bgptest.Connect(ctx, s.Peer(from, attackerAS))
}

// many is how many connections a test can make: 10,000, if there are descriptors for both
// ends of them.
func many(t *testing.T) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	n := int(min(10_000, (limit.Cur-200)*9/10))
	if n < 10_000 {
		t.Logf("%d connections, since this process may have %d descriptors", n, limit.Cur)
	}
	return n
}

// refusal makes a session by an OPEN of one's own and gives what it was refused with. A
// connection that is closed without a word was one too many, and is made again.
func (s *siege) refusal(cfg bgptest.Config) (code, subcode byte, err error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	for {
		conn, err := bgptest.Establish(ctx, cfg)
		var n bgptest.NotificationError
		switch {
		case err == nil:
			_ = conn.Close()
			return 0, 0, errors.New("the session is up")
		case errors.As(err, &n):
			return n.Code, n.Subcode, nil
		case ctx.Err() != nil:
			return 0, 0, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// frame is the header of a message with a length that it need not have (RFC 4271 section
// 4.1).
func frame(typ byte, length int) []byte {
	b := bgptest.Message(typ, nil)
	b[16], b[17] = byte(length>>8), byte(length)
	return b
}

var documentation = netip.MustParseAddr("192.0.2.1")
