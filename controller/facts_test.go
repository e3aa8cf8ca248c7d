package controller

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// entries gives what is on the target, decoded.
func (g *gateway) entries() []entry {
	var out []entry
	if g.target == nil { // a switch: none while it is away
		for _, all := range p4.Wildcards() {
			_ = g.client.Read(g.Context(), []*p4v1.Entity{all}, func(e *p4v1.Entity) error {
				out = append(out, decode(e))
				return nil
			})
		}
		return out
	}
	for _, e := range g.target.Entries() {
		out = append(out, decode(e))
	}
	return out
}

// facts is what the target holds with every id resolved to what it stands for:
// two targets that do the same have the same facts.
func (g *gateway) facts() []string { return facts(g.entries()) }

func facts(held []entry) []string {
	tunnels, adjacencies, paths := map[uint16]p4.Tunnel{}, map[uint16]p4.Adjacency{}, map[uint16]p4.Path{}
	replicas := map[[2]uint16]p4.Replica{}
	floods := map[uint16]bool{}  // tunnels that replicas are for
	flows := map[uint16]uint16{} // VTEP → group
	slots := map[uint16]map[uint8]p4.UplinkSlot{}
	nextHops := map[uint16][]p4.NextHopSlot{} // by group
	for _, k := range held {
		switch k := k.(type) {
		case p4.Tunnel:
			tunnels[k.VTEP] = k
		case p4.Adjacency:
			adjacencies[k.ID] = k
		case p4.Path:
			paths[k.VTEP] = k
		case p4.Flows:
			flows[k.VTEP] = k.Group
		case p4.UplinkSlot:
			if slots[k.Group] == nil {
				slots[k.Group] = map[uint8]p4.UplinkSlot{}
			}
			slots[k.Group][k.Slot] = k
		case p4.NextHopSlot:
			nextHops[k.Group] = append(nextHops[k.Group], k)
		case p4.Replica:
			replicas[[2]uint16{k.Bridge, k.Instance}] = k
			floods[k.VTEP] = true
		}
	}
	vtep := func(id uint16) string {
		t, ok := tunnels[id]
		if !ok {
			return "nowhere"
		}
		s := fmt.Sprintf("%v>%v", t.Source, t.Destination)
		if a := adjacencies[t.Adjacency]; floods[id] {
			s += fmt.Sprintf(" replicas %v>%v", a.Source, a.Destination)
		}
		shares := shares{}
		for _, slot := range slots[flows[id]] {
			a := adjacencies[slot.Adjacency]
			shares[fmt.Sprintf(" by port %d %v>%v", slot.Port, a.Source, a.Destination)]++
		}
		if a, p := adjacencies[t.Adjacency], paths[id]; p.Port != 0 {
			shares[fmt.Sprintf(" by port %d %v>%v", p.Port, a.Source, a.Destination)]++
		}
		return s + shares.text()
	}
	var out []string
	for _, k := range held {
		switch k := k.(type) {
		case p4.FDB:
			if k.Kind == p4.ToVTEP {
				out = append(out, fmt.Sprintf("fdb %d %v -> vni %d %s", k.Bridge, k.MAC, k.VNI, vtep(k.VTEP)))
				continue
			}
			out = append(out, k.Entry().String())
		case p4.Group:
			for _, m := range k.Members {
				if m.Instance == p4.LocalInstance {
					out = append(out, fmt.Sprintf("flood %d -> port %d", k.ID, m.Port))
					continue
				}
				r := replicas[[2]uint16{k.ID, m.Instance}]
				out = append(out, fmt.Sprintf("flood %d -> vni %d %s, replica by port %d", k.ID, r.VNI, vtep(r.VTEP), m.Port))
			}
		case p4.Replica:
			out = append(out, fmt.Sprintf("replica %d -> vni %d %s", k.Bridge, k.VNI, vtep(k.VTEP)))
		case p4.Tunnel:
			out = append(out, "vtep "+vtep(k.VTEP))
		case p4.Path:
			if _, ok := tunnels[k.VTEP]; !ok {
				out = append(out, "path without a tunnel")
			}
		case p4.UplinkSlot, p4.UplinkGroup, p4.Flows: // they are in what leads to VTEPs
		case p4.NextHopSlot, p4.NextHopGroup, p4.Multipath: // they are in routes
		case p4.Adjacency:
			out = append(out, fmt.Sprintf("adjacency %v>%v", k.Source, k.Destination))
		case p4.Route:
			switch k.Kind {
			case p4.RouteVTEP:
				out = append(out, fmt.Sprintf("route %d %v -> vni %d %v>%v %s", k.VRF, k.Prefix, k.VNI, k.Source, k.Destination,
					vtep(k.VTEP)))
				continue
			case p4.RouteVTEPs:
				shares := shares{}
				for _, s := range nextHops[k.Group] {
					shares[fmt.Sprintf(" vni %d %v>%v %s", s.VNI, s.Source, s.Destination, vtep(s.VTEP))]++
				}
				out = append(out, fmt.Sprintf("route %d %v -> flows%s", k.VRF, k.Prefix, shares.text()))
				continue
			}
			out = append(out, k.Entry().String())
		default:
			out = append(out, k.Entry().String())
		}
	}
	slices.Sort(out)
	return out
}

// shares are how many slots of a group lead by each way.
type shares map[string]int

// text is all ways, and what is wrong with their shares.
func (s shares) text() (text string) {
	least, most := p4.Slots, 0
	for _, by := range slices.Sorted(maps.Keys(s)) {
		text += by
		least, most = min(least, s[by]), max(most, s[by])
	}
	if most > least+1 {
		text += fmt.Sprintf(" by %d to %d slots", least, most)
	}
	return text
}

// get finds the entry that k names on the target, nil if it is not there.
func (g *gateway) get(k entry) entry {
	e := p4.Entry{Key: k.Key(), Value: k.Entry().Value}.Entity()
	return decode(g.target.Get(e))
}

// wantFDB checks where a MAC is sent.
func (g *gateway) wantFDB(bridge uint16, m ether.MAC, want string) {
	g.Helper()
	if got := g.whereIs(bridge, m); got != want {
		g.Errorf("%v is at %q, want %q", m, got, want)
	}
}

func (g *gateway) whereIs(bridge uint16, m ether.MAC) string {
	f, ok := g.get(p4.FDB{Bridge: bridge, MAC: m}).(p4.FDB)
	switch {
	case !ok:
		return "nowhere"
	case f.Kind == p4.ToPort:
		return fmt.Sprintf("port %d", f.Port)
	}
	t, _ := g.get(p4.Tunnel{VTEP: f.VTEP}).(p4.Tunnel)
	return fmt.Sprintf("%v vni %d", t.Destination, f.VNI)
}

// wantSource checks the entry of a source; nil is none.
func (g *gateway) wantSource(bridge uint16, m ether.MAC, port uint16, want entry) {
	g.Helper()
	got := g.get(p4.Source{Bridge: bridge, MAC: m, Port: port})
	if want != nil {
		w := want.(p4.Source)
		w.Bridge, w.MAC, w.Port = bridge, m, port
		want = w
	}
	if got != want {
		g.Errorf("source %v on port %d is %+v, want %+v", m, port, got, want)
	}
}

func learned(sequence uint32) entry {
	return p4.Source{Verdict: p4.Known, IdleTimeout: testAgeing, Metadata: sequenceMetadata(sequence)}
}

func refusedSource(v p4.Verdict) entry { return p4.Source{Verdict: v, IdleTimeout: testAgeing} }

// flood gives who gets a bridge's floods.
func (g *gateway) flood(bridge uint16) []string {
	group, _ := g.get(p4.Group{ID: bridge}).(p4.Group)
	slices.SortFunc(group.Members, func(a, b p4.GroupMember) int {
		return cmp.Or(cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Port, b.Port))
	})
	out := []string{}
	for _, m := range group.Members {
		if m.Instance == p4.LocalInstance {
			out = append(out, fmt.Sprintf("port %d", m.Port))
			continue
		}
		r, _ := g.get(p4.Replica{Bridge: bridge, Instance: m.Instance}).(p4.Replica)
		t, _ := g.get(p4.Tunnel{VTEP: r.VTEP}).(p4.Tunnel)
		out = append(out, fmt.Sprintf("%v vni %d by port %d", t.Destination, r.VNI, m.Port))
	}
	return out
}

func (g *gateway) wantFlood(bridge uint16, want ...string) {
	g.Helper()
	if got := g.flood(bridge); !slices.Equal(got, slices.Concat([]string{}, want)) {
		g.Errorf("bridge %d floods to %q, want %q", bridge, got, want)
	}
}

// wantReason checks why a route of peers by a VTEP is not used, "" if it is.
func (g *gateway) wantReason(key string, vtep netip.Addr, want string) {
	g.Helper()
	rows, err := g.c.Routes(g.Context())
	if err != nil {
		g.Fatal(err)
	}
	for _, r := range rows {
		if r.Direction == view.In && r.Key == key && r.NextHop == vtep {
			if r.Reason != want || r.Selected != (want == "") {
				g.Errorf("%s by %v: selected %v, %q; want %q", key, vtep, r.Selected, r.Reason, want)
			}
			return
		}
	}
	g.Errorf("no route %s by %v", key, vtep)
}

// wantRoute checks our type-2 route of a MAC: the sequence, -1 for none.
func (g *gateway) wantRoute(m ether.MAC, sequence int) {
	g.Helper()
	macs, _ := g.originated()
	r, ok := macs[m]
	switch {
	case ok != (sequence >= 0):
		g.Errorf("route of %v: advertised %v, want sequence %d", m, ok, sequence)
	case ok && int(r.Sequence) != sequence:
		g.Errorf("route of %v has sequence %d, want %d", m, r.Sequence, sequence)
	}
}

// refuse has a target refuse all entries of the table of k.
func refuse(k entry) func(*p4v1.Update) error {
	return func(u *p4v1.Update) error {
		if d := decode(u.GetEntity()); d != nil && d.Key().Table() == k.Key().Table() {
			return status.Error(codes.ResourceExhausted, "on purpose")
		}
		return nil
	}
}
