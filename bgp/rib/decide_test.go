package rib

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
)

// offer is a path as the oracle sees it.
type offer struct {
	peer, routerID netip.Addr
	nlri           bgp.NLRI
	attributes     *bgp.Attributes
	stale          bool // its session went down since
	longLived      bool // and LongLived was said since
}

func (o offer) leastPreferred() bool { return o.longLived || o.attributes.LLGRStale }

// oracle is RFC 4271 section 9.1.2.2 as it is written: it removes from consideration, step
// by step. It gives the step by which each but the winner was removed.
func oracle(offers []offer) (winner offer, removed map[netip.Addr]bgp.Step) {
	removed = map[netip.Addr]bgp.Step{}
	considered := slices.Clone(offers)
	remove := func(step bgp.Step, which func(m offer) bool) {
		gone := map[netip.Addr]bool{}
		for _, m := range considered {
			if gone[m.peer] = which(m); gone[m.peer] {
				removed[m.peer] = step
			}
		}
		considered = slices.DeleteFunc(considered, func(m offer) bool { return gone[m.peer] })
	}
	least := func(step bgp.Step, of func(m offer) uint64) {
		low := of(considered[0])
		for _, m := range considered {
			low = min(low, of(m))
		}
		remove(step, func(m offer) bool { return of(m) != low })
	}
	number := func(yes bool) uint64 { return map[bool]uint64{true: 1}[yes] }
	address := func(a netip.Addr) uint64 {
		var n uint64
		for _, b := range a.AsSlice() {
			n = n<<8 | uint64(b)
		}
		return n
	}
	// RFC 9494 section 4.4: least preferred.
	least(bgp.StepStale, func(m offer) uint64 { return number(m.leastPreferred()) })
	// Section 9.1.2: "the route that has the highest degree of preference".
	least(bgp.StepLocalPref, func(m offer) uint64 { return 1<<32 - uint64(localPref(m)) })
	// a) "the smallest number of AS numbers present in their AS_PATH attributes"
	least(bgp.StepPathLength, func(m offer) uint64 { return uint64(m.attributes.PathLength) })
	// b) "the lowest Origin number"
	least(bgp.StepOrigin, func(m offer) uint64 { return uint64(m.attributes.Origin) })
	// c) "if neighborAS(m) == neighborAS(n) and MED(n) < MED(m) remove route m"
	remove(bgp.StepMED, func(m offer) bool {
		return slices.ContainsFunc(considered, func(n offer) bool {
			return m.attributes.NeighborAS == n.attributes.NeighborAS && n.attributes.MED < m.attributes.MED
		})
	})
	// d) "If at least one of the candidate routes was received via EBGP, remove from
	// consideration all routes that were received via IBGP."
	least(bgp.StepExternal, func(m offer) uint64 { return number(m.attributes.Internal) })
	// f) "the lowest BGP Identifier value", ORIGINATOR_ID in its place (RFC 4456 section 9)
	least(bgp.StepRouterID, func(m offer) uint64 {
		if m.attributes.OriginatorID.IsValid() {
			return address(m.attributes.OriginatorID)
		}
		return address(m.routerID)
	})
	// RFC 4456 section 9: "the route with the shorter CLUSTER_LIST length"
	least(bgp.StepClusterLength, func(m offer) uint64 { return uint64(m.attributes.ClusterLength) })
	// g) "the lowest peer address"
	least(bgp.StepAddress, func(m offer) uint64 { return address(m.peer) })
	return considered[0], removed
}

// localPref is the degree of preference: RFC 8326 section 4 has 0 for graceful shutdown.
func localPref(m offer) uint32 {
	if m.attributes.GracefulShutdown {
		return 0
	}
	return m.attributes.LocalPref
}

// route is what the consumer is told of an offer.
func (o offer) route() bgp.Route {
	r := o.attributes.Route(&o.nlri)
	if o.leastPreferred() || o.attributes.GracefulShutdown {
		r.Preference.LocalPref = 0
	}
	return r
}

func TestEachStepOfTheDecisionIsTakenInItsOrder(t *testing.T) {
	ip := netip.MustParseAddr
	for _, tc := range []struct {
		step          bgp.Step
		better, worse func(*bgp.Attributes)
	}{
		// Each worse one is better in the steps that come after.
		{bgp.StepLocalPref, func(a *bgp.Attributes) { a.LocalPref, a.PathLength = 200, 9 }, func(*bgp.Attributes) {}},
		{bgp.StepLocalPref, func(a *bgp.Attributes) { a.PathLength = 9 },
			func(a *bgp.Attributes) { a.LocalPref, a.GracefulShutdown = 500, true }},
		{bgp.StepStale, func(a *bgp.Attributes) { a.LocalPref = 1 },
			func(a *bgp.Attributes) { a.LocalPref, a.LLGRStale = 500, true }},
		{bgp.StepPathLength, func(a *bgp.Attributes) { a.PathLength, a.Origin = 1, 2 },
			func(a *bgp.Attributes) { a.PathLength = 2 }},
		{bgp.StepOrigin, func(a *bgp.Attributes) { a.Origin, a.MED = 0, 9 }, func(a *bgp.Attributes) { a.Origin = 1 }},
		{bgp.StepMED, func(a *bgp.Attributes) { a.MED, a.Internal = 1, true }, func(a *bgp.Attributes) { a.MED = 2 }},
		{bgp.StepExternal, func(a *bgp.Attributes) { a.OriginatorID = ip("9.9.9.9") },
			func(a *bgp.Attributes) { a.Internal, a.OriginatorID = true, ip("1.1.1.1") }},
		{bgp.StepExternal, func(a *bgp.Attributes) { a.MED = 9 }, // of another neighbouring AS it means nothing
			func(a *bgp.Attributes) { a.NeighborAS, a.Internal = 65003, true }},
		{bgp.StepRouterID, func(a *bgp.Attributes) { a.OriginatorID, a.ClusterLength = ip("1.1.1.1"), 9 },
			func(a *bgp.Attributes) { a.OriginatorID = ip("9.9.9.9") }},
		{bgp.StepRouterID, func(a *bgp.Attributes) { a.OriginatorID = ip("9.9.9.9") }, // by number, not by text
			func(a *bgp.Attributes) { a.OriginatorID = ip("10.0.0.1") }},
		{bgp.StepClusterLength, func(a *bgp.Attributes) { a.OriginatorID, a.ClusterLength = leaf, 1 },
			func(a *bgp.Attributes) { a.OriginatorID, a.ClusterLength = leaf, 2 }},
	} {
		for _, first := range []bool{true, false} { // who is first, and who has the lower address
			table := NewTable()
			p1, p2 := table.Peer(spine1, 0), table.Peer(spine2, 0)
			p1.Up(spine1, false)
			p2.Up(spine2, false)
			better, worse := p1, p2
			if !first {
				better, worse = p2, p1
			}
			worse.Take(&Batch{Attributes: attributes(tc.worse), Reach: []bgp.NLRI{nlri(1)}})
			better.Take(&Batch{Attributes: attributes(tc.better), Reach: []bgp.NLRI{nlri(1)}})
			rows := slices.Collect(table.Paths())
			if len(rows) != 2 || !rows[0].Best || rows[0].Peer != better.address || rows[1].Best || rows[1].Step != tc.step ||
				rows[0].Step != tc.step {
				t.Errorf("%v: %+v", tc.step, rows)
			}
		}
	}
	table := NewTable()
	for _, address := range []netip.Addr{spine2, spine1} {
		p := table.Peer(address, 0)
		p.Up(leaf, false)
		p.Take(&Batch{Attributes: attributes(), Reach: []bgp.NLRI{nlri(1)}})
	}
	rows := slices.Collect(table.Paths())
	if len(rows) != 2 || rows[0].Peer != spine1 || rows[1].Step != bgp.StepAddress {
		t.Errorf("equal but for the peer's address: %+v", rows)
	}
}

// Of three paths without an order by pairs: A (AS 1, MED 10) beats B (AS 2) by router id, B
// beats C (AS 1, MED 5), and C beats A by MED. RFC 4271 section 9.1.2.2 c) removes A first.
func TestMEDDecidesAmongOneNeighbouringASBeforeAllElse(t *testing.T) {
	offers := []func(*bgp.Attributes){
		func(a *bgp.Attributes) { a.NeighborAS, a.MED, a.OriginatorID = 1, 10, netip.MustParseAddr("1.1.1.1") },
		func(a *bgp.Attributes) { a.NeighborAS, a.OriginatorID = 2, netip.MustParseAddr("2.2.2.2") },
		func(a *bgp.Attributes) { a.NeighborAS, a.MED, a.OriginatorID = 1, 5, netip.MustParseAddr("3.3.3.3") },
	}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		table := NewTable()
		for _, i := range order {
			p := table.Peer(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 0)
			p.Up(leaf, false)
			p.Take(&Batch{Attributes: attributes(offers[i]), Reach: []bgp.NLRI{nlri(1)}})
		}
		rows := slices.Collect(table.Paths())
		if rows[0].Route.Preference.NeighborAS != 2 {
			t.Errorf("order %v: %+v won", order, rows[0])
		}
		for _, r := range rows {
			want := bgp.StepRouterID
			if r.Route.Preference.MED == 10 {
				want = bgp.StepMED
			}
			if r.Step != want {
				t.Errorf("order %v: MED %d by step %v, want %v", order, r.Route.Preference.MED, r.Step, want)
			}
		}
	}
}

func TestNoOrderOfArrivalAndWithdrawalChangesWhoWins(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := newHistory(rand.New(rand.NewPCG(seed, 7)))
			for range 150 {
				h.step()
				if h.rand.IntN(4) == 0 {
					h.consumer.take(drain(h.table))
					h.check(t)
				}
			}
			h.consumer.take(drain(h.table))
			h.check(t)
			again := h.inAnotherOrder()
			if want := h.consumer; len(again) != len(want) {
				t.Fatalf("%d winners in another order, want %d", len(again), len(want))
			}
			for k, e := range again {
				if e != h.consumer[k] {
					t.Errorf("in another order %+v wins, want %+v", e, h.consumer[k])
				}
			}
		})
	}
}
