package testbed

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/bgp/bgptest/live"
	"github.com/p4evpn/p4evpn/ether"
)

// fuzzed is a live speaker to which mutated UPDATEs are sent by several sessions, and one
// more neighbour to whom nothing must happen.
type fuzzed struct {
	*live.Net
	speaker *live.Speaker
	witness *live.Leaf
	routes  []bgp.Route // the witness's
	seeds   [][]byte
	over    func() bool
	readers sync.WaitGroup // of the sessions
	sent    atomic.Uint64  // UPDATEs
	ended   atomic.Uint64  // sessions, as they might
	stood   atomic.Uint64  // sessions that might have ended
}

// mutant is a session of those.
type mutant struct {
	*fuzzed
	t        *testing.T
	neighbor bgp.Neighbor
	peer     bgptest.Config
	leaf     *live.Leaf
	mutator  *bgptest.Mutator
	rand     *rand.Rand
	batch    uint32
	told     atomic.Int64 // how often our route came
	internal bool
}

// ownRoute is what the speaker advertises, with a route target of its own.
var (
	ownTarget = bgptest.RouteTarget(64999, 0x7a7a7a7a)
	ownRoute  = bgp.Route{
		Key:     bgp.MACKey(bgp.RouterRD(live.RouterID, 100), ether.MAC{2, 0x7a, 0x5b, 0x3c, 0x1d, 0xfe}, netip.Addr{}),
		NextHop: live.RouterID, Label: 100, RouteTargets: bgp.MakeRouteTargets(bgp.RouteTarget(ownTarget)),
	}
)

const (
	mutantBatch   = 400 // UPDATEs between two looks
	mutantBatches = 60  // in a session, so that what it holds is bounded
	mutantGood    = 16  // routes that must stay
)

// TestMutatedUpdatesOfRealSpeakersEndNoSessionButByTheRFCs sends what FRR, GoBGP and ExaBGP
// send, nearly, for P4EVPN_BGP_FUZZ UPDATEs or 15 s. What may end a session bgptest.Judge
// says, by RFC 7606 and its own reading of the bytes; all else must leave the session, its
// good routes and other neighbours alone.
func TestMutatedUpdatesOfRealSpeakersEndNoSessionButByTheRFCs(t *testing.T) {
	t.Parallel()
	seeds := recorded(t)
	if len(seeds) == 0 {
		t.Skip("SKIP: none of FRR, GoBGP and ExaBGP is installed (packages.sh installs them)")
	}
	// What none of them says unless it is told the same.
	for _, m := range [][]byte{bgptest.Wants(65102, foreignVTEP, false, bgptest.RouteTarget(65102, 1), [8]byte{1, 2, 3}),
		bgptest.Wants(65102, foreignVTEP, true), bgptest.WantsNoMore(65102, bgptest.RouteTarget(65102, 1)),
		bgptest.WantsNoMore(65102), bgptest.Withdraw(), bgptest.IPv4EndOfRIB()} {
		seeds = append(seeds, m[19:])
	}
	f := &fuzzed{Net: live.NewNet(t), seeds: seeds, witness: live.NewLeaf(9, 65009)}
	if n, err := strconv.ParseUint(os.Getenv("P4EVPN_BGP_FUZZ"), 10, 64); err == nil {
		f.over = func() bool { return f.sent.Load() >= n }
	} else {
		late := time.Now().Add(15 * time.Second)
		f.over = func() bool { return time.Now().After(late) }
	}
	mutants := f.mutants(t)
	cfg := f.Config(f.Neighbor(9, 65009))
	for _, m := range mutants {
		cfg.Neighbors = append(cfg.Neighbors, m.neighbor)
	}
	f.speaker = live.Run(t, cfg)
	check(t, f.speaker.Originate([]bgp.Route{ownRoute}, nil))
	witness := f.Dial(t, f.Peer(9, 65009))
	var updates []byte
	f.routes, updates = f.witness.Stations(100)
	check(t, witness.Send(updates))
	f.speaker.AwaitRoutes(t, f.routes...)
	start := time.Now()
	var owned sync.WaitGroup
	for _, m := range mutants {
		owned.Go(m.run)
	}
	owned.Wait()
	f.readers.Wait()
	t.Logf("%d mutations of %d UPDATEs in %.1f s: %d sessions ended as the RFCs have it, %d stood that might have ended",
		f.sent.Load(), len(seeds), time.Since(start).Seconds(), f.ended.Load(), f.stood.Load())
	if n := f.speaker.Routes(f.routes...); n != len(f.routes) || f.speaker.Downs(f.Addr(9)) > 0 {
		t.Errorf("of the neighbour that did nothing %d of %d routes are there, %d sessions ended", n, len(f.routes),
			f.speaker.Downs(f.Addr(9)))
	}
}

// mutants are sessions of eBGP and iBGP, with EVPN alone and with all families.
func (f *fuzzed) mutants(t *testing.T) []*mutant {
	t.Helper()
	var list []*mutant
	for i, kind := range []struct {
		as       uint32
		families []bgp.Family
	}{
		{65102, []bgp.Family{bgp.EVPN}}, {live.AS, []bgp.Family{bgp.EVPN}},
		{65104, []bgp.Family{bgp.EVPN, bgp.IPv4Unicast}}, {live.AS, []bgp.Family{bgp.EVPN, bgp.IPv4Unicast}},
	} {
		n := byte(10 + i)
		m := &mutant{fuzzed: f, t: t, neighbor: f.Neighbor(n, kind.as), peer: f.Peer(n, kind.as),
			internal: kind.as == live.AS}
		m.neighbor.Families, m.neighbor.MaxPrefixes = kind.families, 4_000_000
		if len(kind.families) > 1 {
			m.peer.Unicast, m.peer.Constraint = true, true
			m.peer.Capabilities = bgptest.AppendCapability(nil, bgptest.CapRouteRefresh, nil)
		}
		path := kind.as
		if m.internal {
			path = 0
		}
		m.leaf = live.NewLeaf(n, path)
		m.mutator = bgptest.NewMutator(uint64(n), 4096-19, f.seeds...)
		m.rand = rand.New(rand.NewPCG(uint64(n), 1))
		list = append(list, m)
	}
	return list
}

// run makes one session after the other.
func (m *mutant) run() {
	for !m.over() && !m.t.Failed() {
		s, err := m.dial()
		if err != nil {
			m.t.Errorf("%v: %v", m.neighbor.Address, err)
			return
		}
		for range mutantBatches {
			if m.over() || m.t.Failed() || !m.step(s) {
				break
			}
		}
		s.Close()
	}
}

func (m *mutant) dial() (*bgptest.Session, error) {
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	s, err := bgptest.Dial(ctx, m.peer)
	if err != nil {
		return nil, err
	}
	m.readers.Go(func() {
		for body := range s.Updates() {
			if bytes.Contains(body, ownRoute.MAC[:]) {
				m.told.Add(1)
			}
		}
	})
	_, updates := m.leaf.Stations(mutantGood)
	if err := s.Send(updates); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// step sends a batch that must leave all as it is, looks, and then sends one UPDATE that
// may end the session. It reports whether that stands.
func (m *mutant) step(s *bgptest.Session) bool {
	var good [][]byte
	var dangerous []byte
	var verdict bgptest.Judgement
	for len(good) < mutantBatch {
		body := m.mutator.Next()
		if j := bgptest.Judge(body, m.internal); j.Ending == bgptest.Stands {
			good = append(good, body)
		} else if m.rand.IntN(mutantBatch) == 0 || dangerous == nil {
			dangerous, verdict = body, j
		}
	}
	if err := m.send(s, good...); err != nil {
		m.blame(good, err)
		return false
	}
	if m.batch%8 != 0 || dangerous == nil {
		return true
	}
	err := m.send(s, dangerous)
	if err == nil {
		m.stood.Add(1)
		if verdict.Ending == bgptest.Must {
			m.t.Errorf("the session stands though %s: % x", verdict.Why, dangerous)
		}
		return true
	}
	m.ended.Add(1)
	if n, ok := err.(bgptest.NotificationError); ok && n.Code != verdict.Code {
		m.t.Errorf("%v, though %s wants code %d: % x", n, verdict.Why, verdict.Code, dangerous)
	}
	return false
}

// send sends UPDATEs and waits until they are read: all good routes are there then. The
// error is why the session ended.
func (m *mutant) send(s *bgptest.Session, bodies ...[]byte) error {
	var b []byte
	for _, body := range bodies {
		b = append(b, bgptest.Message(bgptest.UpdateType, body)...)
	}
	m.batch++
	last := m.leaf.Route(1 << 20)
	last.Sequence = m.batch
	b = append(b, bgptest.Update(m.leaf.Attributes(bgptest.MACMobility(m.batch, false)), m.leaf.NLRI(1<<20))...)
	told := m.told.Load()
	if m.peer.Constraint { // what is asked for goes to GoBGP behind the front, which takes its time
		b = append(b, bgptest.Wants(m.neighbor.AS, m.neighbor.Address, m.internal, ownTarget)...)
		b = append(b, bgptest.Refresh(bgptest.EVPN)...)
	}
	m.sent.Add(uint64(len(bodies)))
	_ = s.Send(b) // what came of it is seen below
	err := m.speaker.Wait(patience, func() error {
		select {
		case <-s.Done():
			return nil
		default:
		}
		if m.speaker.Routes(last) == 0 || m.peer.Constraint && m.told.Load() == told {
			return fmt.Errorf("what was sent is not read: %+v", m.speaker.Peer(m.neighbor.Address))
		}
		return nil
	})
	select {
	case <-s.Done():
		return s.Err()
	default:
	}
	if err != nil {
		return err
	}
	var want []bgp.Route
	for i := range uint32(mutantGood) {
		want = append(want, m.leaf.Route(i))
	}
	if n := m.speaker.Routes(want...); n != len(want) {
		return fmt.Errorf("%d of %d good routes are there", n, len(want))
	}
	return nil
}

// blame sends the UPDATEs of a batch that ended a session one by one, to say which did.
func (m *mutant) blame(bodies [][]byte, why error) {
	m.t.Errorf("%v (internal %t): %v; %+v", m.neighbor.Address, m.internal, why, m.speaker.Peer(m.neighbor.Address))
	for len(bodies) > 0 {
		s, err := m.dial()
		if err != nil {
			m.t.Error(err)
			return
		}
		for len(bodies) > 0 && err == nil {
			if err = m.send(s, bodies[0]); err != nil {
				m.t.Errorf("%v by the UPDATE % x", err, bodies[0])
				s.Close()
				return
			}
			bodies = bodies[1:]
		}
		s.Close()
	}
}
