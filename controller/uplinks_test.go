package controller

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/controller/underlay"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// pathOf is the i-th way to a VTEP, by one of the two uplinks.
func pathOf(i int) underlay.Path {
	return underlay.Path{Uplink: fmt.Sprintf("host%d", 1+i%2), Source: ether.MAC{2, 1, byte(i)},
		Destination: ether.MAC{2, 2, byte(i)}}
}

// slotsOf gives the slots by which a VTEP is reached, each as the adjacency that it leads to,
// or its one path's.
func (g *gateway) slotsOf(vtep netip.Addr) (slots []uint16) {
	g.Helper()
	for _, k := range g.entries() {
		t, ok := k.(p4.Tunnel)
		if !ok || t.Destination != vtep {
			continue
		}
		if path, ok := g.get(p4.Path{VTEP: t.VTEP}).(p4.Path); ok && path.Port != 0 {
			slots = append(slots, t.Adjacency)
		}
		flows, ok := g.get(p4.Flows{VTEP: t.VTEP}).(p4.Flows)
		for i := range uint8(p4.Slots) {
			if s, is := g.get(p4.UplinkSlot{Group: flows.Group, Slot: i}).(p4.UplinkSlot); ok && is {
				slots = append(slots, s.Adjacency)
			}
		}
	}
	return slots
}

func (g *gateway) wantShares(vtep netip.Addr, want ...int) {
	g.Helper()
	shares := map[uint16]int{}
	slots := g.slotsOf(vtep)
	for _, a := range slots {
		shares[a]++
	}
	if got := slices.Sorted(maps.Values(shares)); !slices.Equal(got, want) {
		g.Errorf("the slots to %v are shared %v, want %v", vtep, got, want)
	}
}

// spread is a gateway with 300 prefixes behind three VTEPs, which are reached by three ways.
func spread(t *testing.T, o options) (g *gateway, vteps []netip.Addr) {
	g, _, _, _ = routed(t, o)
	vteps = []netip.Addr{leaf0, leaf1, leaf2}
	var routes []bgp.Event
	for i, vtep := range vteps {
		g.underlay.Set(vtep, "", pathOf(0), pathOf(1), pathOf(2))
		for n := range 100 {
			routes = append(routes, update(peer1, prefixRoute(vtep, 5000, fmt.Sprintf("10.%d.%d.0/24", 100+i, n))))
		}
	}
	g.send(routes...)
	g.settle()
	return g, vteps
}

func TestAWayThatIsLostCostsItsSlotsAndNoEntryOfATable(t *testing.T) {
	server := p4rttest.New(t, p4rttest.Config{Check: checkOrder})
	g, vteps := spread(t, options{server: server})
	g.wantShares(leaf1, 21, 21, 22)
	before := g.slotsOf(leaf1)
	w := watch(server)
	for _, vtep := range vteps {
		g.underlay.Set(vtep, "", pathOf(0), pathOf(2))
	}
	g.settle()
	g.regroup()
	after := g.slotsOf(leaf1)
	moved := 0
	for i := range before {
		if before[i] != after[i] {
			moved++
		}
	}
	got := w.of(changing...)
	of := map[string]int{}
	for _, s := range got {
		what, _, _ := strings.Cut(s, "=")
		of[what]++
	}
	want := map[string]int{
		"MODIFY action_profile_member of underlay.uplinks member": moved, "DELETE underlay.adjacency adjacency": 1,
	}
	if !maps.Equal(of, want) || moved < 21 || moved > 22 {
		t.Errorf("%d slots moved, written\n%s\nwant one slot in three, and the adjacency gone", moved,
			strings.Join(got, "\n"))
	}
	g.wantShares(leaf1, 32, 32)
	t.Logf("300 routes behind a lost way: %d slots written, 0 entries of tables but its adjacency", moved)
}

func TestAWayThatReturnsTakesItsShareAndNoMore(t *testing.T) {
	g, vteps := spread(t, options{})
	for _, vtep := range vteps {
		g.underlay.Set(vtep, "", pathOf(0), pathOf(2))
	}
	g.settle()
	g.regroup()
	before := g.slotsOf(leaf2)
	for _, vtep := range vteps {
		g.underlay.Set(vtep, "", pathOf(0), pathOf(1), pathOf(2))
	}
	g.settle()
	g.regroup()
	g.wantShares(leaf2, 21, 21, 22)
	after := g.slotsOf(leaf2)
	moved := 0
	for i := range before {
		if before[i] != after[i] {
			moved++
		}
	}
	if moved < 21 || moved > 22 {
		t.Errorf("%d slots moved, want those of the way that returned", moved)
	}
}

// What one VTEP loses the others do without for a moment, and get back when it turns out that
// they have it still.
func TestAVTEPThatLosesAWayAloneLeavesTheGroup(t *testing.T) {
	g, _ := spread(t, options{})
	g.underlay.Set(leaf0, "", pathOf(0), pathOf(1))
	g.settle()
	g.wantShares(leaf0, 32, 32)
	g.regroup()
	g.wantShares(leaf0, 32, 32)
	g.wantShares(leaf1, 21, 21, 22)
	g.wantShares(leaf2, 21, 21, 22)
	g.underlay.Set(leaf0, "no route")
	g.settle()
	if slots := g.slotsOf(leaf0); len(slots) != 0 {
		t.Errorf("a VTEP without a way has slots %v", slots)
	}
	g.wantShares(leaf1, 21, 21, 22)
}

// BMv2 does not let go of a group that an entry was for which it refused since the table was
// full (ref_count_increase in its match_tables.cpp).
func TestAGroupThatTheTargetDoesNotLetGoOfLeavesTheOthersTheirWays(t *testing.T) {
	server := p4rttest.New(t, p4rttest.Config{MayFail: true})
	g, _ := spread(t, options{server: server})
	g.underlay.Set(leaf0, "", pathOf(0), pathOf(1))
	g.settle()
	g.regroup()
	server.FailUpdates(func(u *p4v1.Update) error {
		if u.GetType() == p4v1.Update_DELETE && u.GetEntity().GetActionProfileGroup() != nil {
			return status.Error(codes.Unknown, "Error when deleting group on target")
		}
		return nil
	})
	g.underlay.Set(leaf0, "no route")
	g.eventually("the group stays and it is shown", func() bool { return g.shown()["action_selector_group"] == 1 })
	server.FailUpdates(nil)
	g.settle()
	g.wantShares(leaf1, 21, 21, 22)
	g.wantShares(leaf2, 21, 21, 22)
	g.underlay.Set(leaf0, "", pathOf(0), pathOf(1))
	g.settle()
	g.wantShares(leaf0, 32, 32)
}

func TestAWayNamedTwiceIsOneAndManyAreAsManyAsThereAreSlots(t *testing.T) {
	g, _ := spread(t, options{})
	g.underlay.Set(leaf0, "", pathOf(0), pathOf(0), pathOf(1))
	var many []underlay.Path
	for i := range 2 * p4.Slots {
		many = append(many, pathOf(i))
	}
	g.underlay.Set(leaf1, "", many...)
	g.settle()
	g.regroup()
	g.wantShares(leaf0, 32, 32)
	g.wantShares(leaf1, slices.Repeat([]int{1}, p4.Slots)...)
}

func TestWhereAGroupIsNotToBeHadAVTEPHasOneWay(t *testing.T) {
	edit := func(change func(size *int64, group *int32, selector *bool)) options {
		program := proto.CloneOf(p4.P4Info())
		a := profile(program, "underlay.uplinks")
		change(&a.Size, &a.MaxGroupSize, &a.WithSelector)
		return options{program: program}
	}
	for name, o := range map[string]options{
		"no selector":                  edit(func(_ *int64, group *int32, selector *bool) { *group, *selector = 0, false }),
		"small groups":                 edit(func(_ *int64, group *int32, _ *bool) { *group = p4.Slots - 1 }),
		"no room":                      edit(func(size *int64, _ *int32, _ *bool) { *size = p4.Slots - 1 }),
		"no table":                     {program: withoutTable("underlay.flows")},
		"the target refuses a slot":    refusing(t, "action_profile_member of underlay.uplinks"),
		"the target refuses a group":   refusing(t, "action_selector_group of underlay.uplinks"),
		"the target refuses the entry": refusing(t, "underlay.flows"),
	} {
		t.Run(name, func(t *testing.T) {
			g, vteps := spread(t, o)
			used := map[uint16]bool{}
			for _, vtep := range vteps {
				slots := g.slotsOf(vtep)
				if len(slots) != 1 {
					t.Fatalf("%v has slots %v, want one way", vtep, slots)
				}
				used[slots[0]] = true
			}
			if len(used) < 2 {
				t.Errorf("all VTEPs take the same of three ways")
			}
			slots := g.slotsOf(leaf1)
			ways := []underlay.Path{pathOf(0), pathOf(1), pathOf(2)}
			lost := slices.DeleteFunc(slices.Clone(ways), func(p underlay.Path) bool {
				a, _ := g.get(p4.Adjacency{ID: slots[0]}).(p4.Adjacency)
				return a.Destination == p.Destination
			})
			g.underlay.Set(leaf1, "", lost...)
			g.settle()
			if moved := g.slotsOf(leaf1); len(moved) != 1 || moved[0] == slots[0] {
				t.Errorf("after its way is lost it has %v", moved)
			}
			if o.server == nil {
				return
			}
			o.server.FailUpdates(nil) // there is room again
			g.underlay.Set(leaf1, "", ways...)
			g.settle()
			g.regroup()
			for _, vtep := range vteps {
				g.wantShares(vtep, 21, 21, 22)
			}
		})
	}
}

// refusing is a target that refuses all entries of a type.
func refusing(t *testing.T, typ string) options {
	server := p4rttest.New(t, p4rttest.Config{MayFail: true})
	server.FailUpdates(func(u *p4v1.Update) error {
		if d := decode(u.GetEntity()); u.GetType() != p4v1.Update_DELETE && d != nil && d.Type().String() == typ {
			return status.Error(codes.ResourceExhausted, "no more")
		}
		return nil
	})
	return options{server: server}
}

// withoutTable is our program with a table that has no room.
func withoutTable(name string) *p4configv1.P4Info {
	program := proto.CloneOf(p4.P4Info())
	for _, table := range program.GetTables() {
		if table.GetPreamble().GetName() == name {
			table.Size = 0
		}
	}
	return program
}

func TestARestartKeepsEachSlotWhereItIs(t *testing.T) {
	server := p4rttest.New(t, p4rttest.Config{Check: checkOrder})
	var before, after []uint16
	t.Run("before", func(t *testing.T) {
		g, vteps := spread(t, options{server: server})
		for _, vtep := range vteps { // so that no two slots follow from each other
			g.underlay.Set(vtep, "", pathOf(0), pathOf(2))
		}
		g.settle()
		for _, vtep := range vteps {
			g.underlay.Set(vtep, "", pathOf(0), pathOf(1), pathOf(2))
		}
		g.settle()
		g.regroup()
		before = g.slotsOf(leaf1)
	})
	w := watch(server)
	g, _ := spread(t, options{server: server, deferring: true})
	after = g.slotsOf(leaf1)
	if !slices.Equal(before, after) || len(after) != p4.Slots {
		t.Errorf("the slots were %v, and are %v", before, after)
	}
	for _, s := range w.of(any3...) {
		if strings.Contains(s, "underlay.") {
			t.Errorf("written: %s", s)
		}
	}
}

func profile(program *p4configv1.P4Info, name string) *p4configv1.ActionProfile {
	for _, a := range program.GetActionProfiles() {
		if a.GetPreamble().GetName() == name {
			return a
		}
	}
	return nil
}

// withoutSelector is our program where one of its selectors, if it is named, is an action
// profile.
func withoutSelector(name string) *p4configv1.P4Info {
	program := proto.CloneOf(p4.P4Info())
	if a := profile(program, name); a != nil {
		a.WithSelector, a.MaxGroupSize = false, 0
	}
	return program
}
