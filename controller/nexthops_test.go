package controller

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/p4"
)

// equals is a gateway with 300 prefixes, all behind the same three VTEPs.
func equals(t *testing.T, o options) (g *gateway, vrf uint16) {
	g, vrf, _, _ = routed(t, o)
	for _, vtep := range []netip.Addr{leaf2, leaf0, leaf1} {
		var routes []bgp.Event
		for n := range 300 {
			routes = append(routes, update(peer1, prefixRoute(vtep, 5000, equalPrefix(n))))
		}
		g.send(routes...)
		g.settle()
	}
	return g, vrf
}

func equalPrefix(n int) string { return fmt.Sprintf("10.%d.%d.0/24", 100+n/100, n%100) }

// nextHopSlots gives where the slots of the group of a prefix lead, nil if it has none.
func (g *gateway) nextHopSlots(vrf uint16, p string) (slots []netip.Addr) {
	g.Helper()
	r, _ := g.get(p4.Route{VRF: vrf, Prefix: prefix(p)}).(p4.Route)
	if r.Kind != p4.RouteVTEPs {
		return nil
	}
	for i := range uint8(p4.Slots) {
		s, _ := g.get(p4.NextHopSlot{Group: r.Group, Slot: i}).(p4.NextHopSlot)
		t, _ := g.get(p4.Tunnel{VTEP: s.VTEP}).(p4.Tunnel)
		slots = append(slots, t.Destination)
	}
	return slots
}

// wantNextHops checks that the slots of a prefix lead to these VTEPs, to each by its share.
func (g *gateway) wantNextHops(vrf uint16, p string, want ...netip.Addr) {
	g.Helper()
	got := map[netip.Addr]int{}
	for _, vtep := range g.nextHopSlots(vrf, p) {
		got[vtep]++
	}
	fair := len(got) == len(want)
	for _, vtep := range want {
		fair = fair && (got[vtep] == p4.Slots/len(want) || got[vtep] == p4.Slots/len(want)+1)
	}
	if !fair {
		g.Errorf("%s is shared by %v, want %v", p, got, want)
	}
}

// kindsWritten counts what was written, by what it is.
func kindsWritten(w *written) map[string]int {
	of := map[string]int{}
	for _, s := range w.of(any3...) {
		what, _, _ := strings.Cut(s, "=")
		of[what]++
	}
	return of
}

func TestALostVTEPCostsItsSlotsAndNoWriteOfARoute(t *testing.T) {
	server := p4rttest.New(t, p4rttest.Config{Check: checkOrder})
	g, v := equals(t, options{server: server})
	g.wantNextHops(v, equalPrefix(0), leaf0, leaf1, leaf2)
	before := g.nextHopSlots(v, equalPrefix(7))
	w := watch(server)
	g.underlay.Set(leaf1, "no route")
	g.settle()
	after := g.nextHopSlots(v, equalPrefix(299))
	for i := range before {
		if before[i] != leaf1 && before[i] != after[i] {
			t.Errorf("slot %d led to %v, and leads to %v", i, before[i], after[i])
		}
	}
	const slot = "MODIFY action_profile_member of router.next_hops member"
	want := map[string]int{slot: 21, "DELETE vxlan.tunnel vtep": 1, "DELETE underlay.path vtep": 1}
	if got := kindsWritten(w); !maps.Equal(got, want) {
		t.Errorf("written %v, want %v", got, want)
	}
	g.wantNextHops(v, equalPrefix(0), leaf0, leaf2)
	// It comes back, and takes its share from the others.
	w = watch(server)
	g.underlay.Set(leaf1, "", path1)
	g.settle()
	want = map[string]int{slot: 21, "INSERT vxlan.tunnel vtep": 1, "INSERT underlay.path vtep": 1}
	if got := kindsWritten(w); !maps.Equal(got, want) {
		t.Errorf("written when it is back %v, want %v", got, want)
	}
	g.wantNextHops(v, equalPrefix(0), leaf0, leaf1, leaf2)
}

// When no VTEP is left a prefix leads nowhere, so that a shorter one may have its packets.
func TestAPrefixWhoseVTEPsAreAllLostLeadsNowhereUntilOneIsBack(t *testing.T) {
	g, v := equals(t, options{})
	for _, vtep := range []netip.Addr{leaf0, leaf1, leaf2} {
		g.underlay.Set(vtep, "no route")
	}
	g.settle()
	g.wantRouteTo(v, equalPrefix(0), "nowhere")
	for _, e := range g.entries() {
		switch e.(type) {
		case p4.NextHopSlot, p4.NextHopGroup, p4.Multipath:
			t.Fatalf("%v is left", e.Entry())
		}
	}
	g.underlay.Set(leaf2, "", path1)
	g.settle()
	g.wantNextHops(v, equalPrefix(0), leaf2)
	g.underlay.Set(leaf1, "", path1)
	g.settle()
	g.wantNextHops(v, equalPrefix(0), leaf1, leaf2)
}

// A prefix that other VTEPs have has another group; one that a single VTEP has, none.
func TestPrefixesWithTheSameVTEPsShareAGroup(t *testing.T) {
	g, v := equals(t, options{})
	g.send(withdraw(peer1, prefixRoute(leaf1, 5000, equalPrefix(5))),
		withdraw(peer1, prefixRoute(leaf1, 5000, equalPrefix(6))),
		withdraw(peer1, prefixRoute(leaf1, 5000, equalPrefix(7))),
		withdraw(peer1, prefixRoute(leaf2, 5000, equalPrefix(7))))
	g.settle()
	groups := map[uint16]int{}
	for _, e := range g.entries() {
		if r, ok := e.(p4.Route); ok && r.Kind == p4.RouteVTEPs {
			groups[r.Group]++
		}
	}
	if got := slices.Sorted(maps.Values(groups)); !slices.Equal(got, []int{2, 297}) {
		t.Errorf("groups are shared by %v prefixes, want two by 2 and 297", got)
	}
	g.wantNextHops(v, equalPrefix(5), leaf0, leaf2)
	g.wantNextHops(v, equalPrefix(7))
	g.wantRouteTo(v, equalPrefix(7), "10.0.0.0 vni 5000 02:00:0a:00:00:01>02:00:00:00:00:d1")
}

// An address of an Ethernet segment would have several VTEPs by its ESI (RFC 7432 section
// 8.4), which is not known here: two VTEPs that say that they have a host do not agree.
func TestAHostIsAtOneVTEP(t *testing.T) {
	g, v, _, _ := routed(t, options{})
	for _, vtep := range []netip.Addr{leaf1, leaf2} {
		g.send(update(peer1, hostRoute(vtep, 777, mac(5), "10.50.0.5", 5000)),
			update(peer1, prefixRoute(vtep, 5000, "10.50.0.6/32"))) // as anycast services are advertised
	}
	g.settle()
	g.wantRouteTo(v, "10.50.0.5/32", viaLeaf1)
	g.wantNextHops(v, "10.50.0.6/32", leaf1, leaf2)
}

func TestOfMoreVTEPsThanSlotsTheLowestAreUsed(t *testing.T) {
	for name, of := range map[string]struct{ vteps, want int }{
		"as many as slots": {p4.Slots, p4.Slots}, "more": {p4.Slots + 10, p4.Slots},
		"more than are looked at": {maxEqual + 1, 0}, // the best alone
	} {
		t.Run(name, func(t *testing.T) {
			for _, step := range []int{1, 5} { // orders of arrival
				g, v, _, _ := routed(t, options{})
				vtep := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}) }
				var routes []bgp.Event
				for i := range of.vteps {
					n := i * step % of.vteps
					g.underlay.Foresee(vtep(n), path1)
					routes = append(routes, update(peer1, prefixRoute(vtep(n), 5000, "10.50.0.0/16")))
				}
				g.send(routes...)
				g.settle()
				var want []netip.Addr
				for i := range of.want {
					want = append(want, vtep(i))
				}
				g.wantNextHops(v, "10.50.0.0/16", want...)
				if of.want == 0 {
					g.wantRouteTo(v, "10.50.0.0/16", "10.9.0.0 vni 5000 02:00:0a:00:00:01>02:00:00:00:00:d1")
				}
			}
		})
	}
}

func TestWhereAGroupIsNotToBeHadAPrefixHasOneNextHop(t *testing.T) {
	edit := func(change func(*p4configv1.ActionProfile)) options {
		program := withoutSelector("")
		change(profile(program, "router.next_hops"))
		return options{program: program}
	}
	for name, o := range map[string]options{
		"no selector":                  {program: withoutSelector("router.next_hops")},
		"small groups":                 edit(func(a *p4configv1.ActionProfile) { a.MaxGroupSize = p4.Slots - 1 }),
		"no room for slots":            edit(func(a *p4configv1.ActionProfile) { a.Size = p4.Slots - 1 }),
		"no table":                     {program: withoutTable("router.multipath")},
		"the target refuses a slot":    refusing(t, "action_profile_member of router.next_hops"),
		"the target refuses a group":   refusing(t, "action_selector_group of router.next_hops"),
		"the target refuses the entry": refusing(t, "router.multipath"),
	} {
		t.Run(name, func(t *testing.T) {
			g, v := equals(t, o)
			g.wantRouteTo(v, equalPrefix(0), "10.0.0.0 vni 5000 02:00:0a:00:00:01>02:00:00:00:00:d1")
			g.underlay.Set(leaf0, "no route")
			g.settle()
			g.wantRouteTo(v, equalPrefix(299), viaLeaf1)
			for _, e := range g.entries() {
				if r, ok := e.(p4.Route); ok && r.Kind == p4.RouteVTEPs {
					t.Fatalf("%v leads to a group", r.Entry())
				}
			}
			if o.server == nil {
				return
			}
			o.server.FailUpdates(nil) // there is room again
			g.underlay.Set(leaf0, "", path1)
			g.settle()
			g.regroup()
			g.wantNextHops(v, equalPrefix(0), leaf0, leaf1, leaf2)
			g.wantNextHops(v, equalPrefix(299), leaf0, leaf1, leaf2)
		})
	}
}

// Those for whom there is room have groups.
func TestARefusalOfOneGroupMoreIsNotMetWhereP4InfoSaysHowManyThereMayBe(t *testing.T) {
	program := withoutSelector("")
	profile(program, "router.next_hops").Size = p4.Slots
	g, v := equals(t, options{program: program})
	g.send(withdraw(peer1, prefixRoute(leaf0, 5000, equalPrefix(0))))
	g.settle()
	g.wantRouteTo(v, equalPrefix(0), viaLeaf1)
	g.wantNextHops(v, equalPrefix(1), leaf0, leaf1, leaf2)
}

func TestARestartKeepsTheGroupsOfPrefixes(t *testing.T) {
	for name, lost := range map[string]bool{"all VTEPs there": false, "one VTEP lost meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			server := p4rttest.New(t, p4rttest.Config{Check: checkOrder})
			var before []netip.Addr
			t.Run("before", func(t *testing.T) {
				g, v := equals(t, options{server: server})
				g.underlay.Set(leaf1, "no route") // so that no two slots follow from each other
				g.settle()
				g.underlay.Set(leaf1, "", path1)
				g.settle()
				before = g.nextHopSlots(v, equalPrefix(0))
			})
			w := watch(server)
			o := options{server: server, deferring: true}
			g, v, _, _ := routed(t, o)
			if lost {
				g.underlay.Set(leaf1, "no route")
			}
			var routes []bgp.Event
			for _, vtep := range []netip.Addr{leaf2, leaf0, leaf1} { // one leaf after the other
				for n := range 300 {
					routes = append(routes, update(peer1, prefixRoute(vtep, 5000, equalPrefix(n))))
				}
				g.send(routes...)
				g.settle()
				routes = nil
			}
			g.converge()
			g.settle()
			after := g.nextHopSlots(v, equalPrefix(299))
			moved := 0
			for i := range before {
				if len(after) != len(before) || before[i] != after[i] && !(lost && before[i] == leaf1) {
					t.Fatalf("the slots led to %v, and lead to %v", before, after)
				}
				if before[i] != after[i] {
					moved++
				}
			}
			want := map[string]int{}
			if lost {
				want["MODIFY action_profile_member of router.next_hops member"] = moved
			}
			got := kindsWritten(w)
			maps.DeleteFunc(got, func(what string, _ int) bool { return !strings.Contains(what, "router.") })
			if !maps.Equal(got, want) || lost != (moved > 0) {
				t.Errorf("written %v, want %v", got, want)
			}
		})
	}
}
