package controller

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/controller/underlay"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// plentyLeaves are how many leaves there are; the last half goes when room is made.
const plentyLeaves = 8

func plentyLeaf(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}) }

// plenty starts a gateway with several of everything that has entries. Bridge-10 is the first
// that is there: eth1, and a station on eth2.
func plenty(t *testing.T, o options) *gateway {
	t.Helper()
	g := plentyAsked(t, o)
	for i := range plentyLeaves {
		g.send(plentyRoutes(i)...)
	}
	g.eventually("the hosts are known", func() bool {
		for n := range plentyHosts {
			g.target.SendDigest(p4.DigestID(), learnData(1, mac(n+1), 1))
			g.target.SendPacketIn(packetIn(p4.PuntARP, 1, 1, 0, plentyHost(n)))
		}
		return g.hostsKnown()
	})
	return g
}

// plentyHosts are how many hosts there are at eth1.
const plentyHosts = 6

// plentyHost is what a host says of itself.
func plentyHost(n int) []byte { return arp(mac(n+1), fmt.Sprint("10.10.0.", n+11), "10.10.0.99") }

func (g *gateway) hostsKnown() bool {
	known := 0
	g.peek(func(l *loop) {
		for n := range plentyHosts {
			known += l.bridges[1].addressCount(mac(n + 1))
		}
	})
	return known == plentyHosts
}

// plentyAsked has what the operator asks for.
func plentyAsked(t *testing.T, o options) *gateway {
	t.Helper()
	logger := cmp.Or(o.cfg.Logger, quietly)
	o.cfg = testConfig()
	o.cfg.Logger = logger
	o.cfg.Ports[1].SourceGuard = true
	o.cfg.VTEPs = append(o.cfg.VTEPs, vtep2, addr("10.0.0.3"), addr("10.0.0.4"))
	g := start(t, o)
	for i := range plentyLeaves {
		paths := []underlay.Path{{Uplink: "host1", Source: up1, Destination: mac(0xe00 + i)}}
		if i%2 == 0 {
			paths = append(paths, path2)
		}
		g.underlay.Foresee(plentyLeaf(i), paths...)
	}
	all := intent.BridgePort{ID: "eth2", Type: intent.Trunk, MAC: mac(0xbb)}
	for i, vrf := range []string{"blue", "blue", "green", "green"} {
		vlan := uint16(10 * (i + 1))
		id := fmt.Sprintf("bridge-%d", vlan)
		g.bridge(vlan, uint32(10*vlan))
		all.Bridges = append(all.Bridges, id)
		if i == 0 {
			g.access("eth1", 10)
			g.port(all)
		}
		g.update(func(tx *intent.Tx) (err error) {
			_, err = tx.Ports().Update(all)
			if i < 2 {
				_, one := tx.StaticMACs().Create(intent.StaticMAC{ID: id, Bridge: id, Port: "eth2", MAC: mac(0x4000 + i),
					IPs: []netip.Addr{addr(fmt.Sprintf("10.%d.0.201", vlan)), addr(fmt.Sprintf("2001:db8:%d::201", vlan))}})
				_, other := tx.Instances().Create(intent.Instance{ID: "bridge." + id, DropUnknownUnicast: true})
				err = errors.Join(err, one, other)
			}
			return err
		})
		if i%2 == 0 {
			g.vrf(vrf, uint32(5000+i))
		}
		g.svi(vrf, vlan, fmt.Sprintf("10.%d.0.1/24", vlan), fmt.Sprintf("2001:db8:%d::1/64", vlan))
		if i == 0 {
			g.without()
		}
	}
	g.without() // what the operator asks for comes first
	return g
}

// plentyRoutes are what a leaf says.
func plentyRoutes(i int) (all []bgp.Event) {
	leaf := plentyLeaf(i)
	alias := hostRoute(leaf, 100, mac(0x3000+i), "10.10.0.1", 0)
	alias.DefaultGateway = true
	for _, r := range []bgp.Route{
		alias, floodRoute(leaf, 100), floodRoute(leaf, 300), macRoute(leaf, 300, mac(0x2000+i)),
		hostRoute(leaf, 100, mac(0x1000+i), fmt.Sprint("10.10.0.", 100+i), 5000),
		hostRoute(leaf, 100, mac(0x1000+i), fmt.Sprint("2001:db8:10::", 100+i), 5000),
		prefixRoute(leaf, 5000, fmt.Sprintf("10.100.%d.0/24", i)),
		prefixRoute(leaf, 5000, fmt.Sprintf("2001:db8:100:%d::/64", i)),
		prefixRoute(leaf, 5000, fmt.Sprintf("10.101.%d.0/24", i/2)), // as another leaf
	} {
		all = append(all, update(peer1, r))
	}
	return all
}

// without says of what is wanted how many entries of each table the target does not hold. It
// waits until the target holds nothing else, and each that is missing has a reason that is
// shown.
func (g *gateway) without() map[string]int {
	g.Helper()
	var n map[string]int
	g.eventually("what is on the target is wanted, and of what is not it is said why", func() (all bool) {
		g.peek(func(l *loop) { n, all = l.without() })
		return all && fmt.Sprint(n) == fmt.Sprint(g.shown()) && g.acknowledged()
	})
	return n
}

// shown is of how many entries of each table it is shown why they are missing.
func (g *gateway) shown() map[string]int {
	rows, err := g.c.Entries(g.Context(), "")
	if err != nil {
		g.Fatal(err)
	}
	n := map[string]int{}
	for _, r := range rows {
		if r.Error != "" {
			n[r.Table]++
		}
	}
	return n
}

// acknowledged reports whether the target holds what it acknowledged.
func (g *gateway) acknowledged() (same bool) {
	held := g.entries()
	g.peek(func(l *loop) {
		n := 0
		for range l.target.Entries() {
			n++
		}
		same = n == len(held)
		for _, k := range held {
			v, known := l.target.Value(k.Key())
			same = same && known && v == k.Entry().Value
		}
	})
	return same
}

// without counts the wanted entries that the target does not hold, by table; false if one of
// them has no reason, or an entry is on the target and not wanted.
func (l *loop) without() (n map[string]int, told bool) {
	l.settle()
	l.deleting = &leaving{keys: map[p4.Key]entry{}} // which notes what is marked
	l.All()
	wanted := l.deleting.keys
	l.deleting = nil
	n, told = map[string]int{}, true
	for key, k := range wanted {
		want := l.Desired(k)
		if want == nil {
			continue
		}
		if v, held := l.target.Value(key); held && v == want.Entry().Value {
			continue
		}
		f := l.target.Failure(key)
		told = told && f != nil
		n[key.Table()]++
	}
	for e := range l.target.Entries() {
		d, err := p4.Decode(e)
		if err != nil || l.Desired(d) == nil {
			told = false
		}
	}
	return n, told
}

// counts are the entries of the target by table and owner.
func (g *gateway) shares() map[string]map[p4.Owner]int {
	out := map[string]map[p4.Owner]int{}
	for _, k := range g.entries() {
		owner, _ := k.Key().Owner()
		if out[k.Key().Table()] == nil {
			out[k.Key().Table()] = map[p4.Owner]int{}
		}
		out[k.Key().Table()][owner]++
	}
	return out
}

func (s sizes) of(table string) (n int) {
	for _, of := range s[table] {
		n += of
	}
	return n
}

type sizes map[string]map[p4.Owner]int

// A target with less room than its program says refuses entries, and gets more.
func TestEachTableMayBeFullOnTheTargetAndTheRestStaysRight(t *testing.T) {
	whole := sizes(settledPlenty(t).shares())
	for _, table := range p4.P4Info().GetTables() {
		name, id := table.GetPreamble().GetName(), table.GetPreamble().GetId()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if whole.of(name) < 2 {
				t.Fatalf("there are %d entries of it: the test proves nothing", whole.of(name))
			}
			var size, refused atomic.Int64
			size.Store(int64(whole.of(name) / 2))
			g := plenty(t, options{target: p4rttest.Config{MayFail: true, Check: func(u *p4v1.Update, s *p4rttest.State) error {
				n := int64(0)
				for e := range s.All() {
					if e.GetTableEntry().GetTableId() == id {
						n++
					}
				}
				if u.GetType() == p4v1.Update_INSERT && u.GetEntity().GetTableEntry().GetTableId() == id && n >= size.Load() {
					refused.Add(1)
					return status.Error(codes.ResourceExhausted, "table full")
				}
				return checkOrder(u, s)
			}}})
			if doneWithout[name] {
				g.eventually("who finds no room does without", func() bool { return len(g.without()) == 0 })
				if n := sizes(g.shares()).of(name); n != whole.of(name)/2 || refused.Load() == 0 {
					t.Errorf("%d entries of %s, want the %d that fit", n, name, whole.of(name)/2)
				}
				return
			}
			if n := g.without()[name]; n != whole.of(name)-whole.of(name)/2 || refused.Load() == 0 {
				t.Errorf("%d entries of %s are missing, want all but the %d that fit", n, name, whole.of(name)/2)
			}
			size.Store(1000)
			g.eventually("all came in", func() bool { return len(g.without()) == 0 })
			if n := sizes(g.shares()).of(name); n != whole.of(name) {
				t.Errorf("%d entries of %s, want %d", n, name, whole.of(name))
			}
		})
	}
}

// doneWithout are the tables in whose place another one has an entry where there is no room.
var doneWithout = map[string]bool{"underlay.flows": true, "router.multipath": true}

// settledPlenty is plenty where there is room.
func settledPlenty(t *testing.T) *gateway {
	g := plenty(t, options{})
	if n := g.without(); len(n) != 0 {
		t.Fatalf("missing where there is room: %v", n)
	}
	return g
}

// makeRoom takes half of the leaves away, and the MACs that were learned and are on the
// target.
func (g *gateway) makeRoom() {
	for i := range plentyLeaves / 2 {
		for _, e := range plentyRoutes(plentyLeaves - 1 - i) {
			g.send(withdraw(peer1, e.Route))
		}
	}
	var silent []ether.MAC
	for _, k := range g.entries() {
		if s, ok := k.(p4.Source); ok && s.Port == 1 && len(silent) < 3 {
			silent = append(silent, s.MAC)
		}
	}
	g.idle(1, 1, silent...)
}

func TestEachTableThatOthersFillIsDeclinedBeforeItIsFull(t *testing.T) {
	g := settledPlenty(t)
	whole := sizes(g.shares())
	g.makeRoom()
	g.eventually("half is gone", func() bool {
		g.without()
		return sizes(g.shares()).of("bridge.source") == 3+2 // with the static ones
	})
	after := sizes(g.shares())
	for _, name := range []string{"bridge.source", "bridge.fdb", "flood.replica", "arp.host", "nd.host", "router.ipv4",
		"router.ipv6", "router.mac", "gateway.mac", "vxlan.peer", "vxlan.tunnel", "underlay.path",
		"underlay.adjacency"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if after.of(name) >= whole.of(name) {
				t.Fatalf("there are %d entries, and %d when there is room: the test proves nothing", whole.of(name), after.of(name))
			}
			g := plenty(t, options{program: small(name, after)})
			missing := g.without()[name]
			if n := g.target.Counts().Failed; n != 0 || missing == 0 {
				t.Errorf("%d entries are missing, and the target refused %d: want it asked for none of them", missing, n)
			}
			said := fmt.Sprint(g.c.Status(g.Context(), bridgeRef(10), intent.Ref{Kind: intent.KindVRF, ID: "blue"},
				intent.Ref{Kind: intent.KindSVI, ID: "svi-10"}))
			if owned(name) && !strings.Contains(said, "entries of "+name+" wait for room") {
				t.Errorf("the objects say nothing of it: %s", said)
			}
			g.makeRoom()
			g.eventually("all came in", func() bool { return len(g.without()) == 0 })
		})
	}
}

// owned reports whether the entries of a table are of a bridge or a VRF.
func owned(table string) bool {
	return !strings.HasPrefix(table, "vxlan.") && !strings.HasPrefix(table, "underlay.")
}

// small is the program with room in one table for what there is of it and no more.
func small(table string, fits sizes) *p4configv1.P4Info {
	n, most := fits.of(table), 0
	if owned(table) { // the largest one has as much as is left
		for _, of := range fits[table] {
			most = max(most, of)
		}
	}
	size := int64(n + most)
	return withSize(table, size+max(1, size/15))
}

// withSize is the program with another size of one table.
func withSize(table string, size int64) *p4configv1.P4Info {
	program := proto.CloneOf(p4.P4Info())
	for _, t := range program.GetTables() {
		if t.GetPreamble().GetName() == table {
			t.Size = size
		}
	}
	return program
}
