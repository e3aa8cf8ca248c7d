package p4

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/ether"
)

var (
	mac1 = ether.MAC{2, 0, 0, 0, 0, 1}
	mac2 = ether.MAC{0, 0x11, 0x22, 0x33, 0x44, 0x55}
)

// everyType holds at least one value of each typed entry and action.
var everyType = []Typed{
	BridgePort{Port: 3},
	Uplink{Port: 1, HostPort: 2},
	HostPort{Port: 2, Uplink: 1},
	Member{Port: 3, VLAN: 4094, Bridge: 4095},
	Member{Port: 3, VLAN: 0, Bridge: 1},
	Member{Port: 3, Bridge: 1, Gateway: true},
	Member{Port: 3, Bridge: 1, Trusted: true},
	Member{Port: 3, VLAN: 7, Bridge: 1, Stacked: true},
	Member{Port: 3, Bridge: 1, Guarded: true},
	EgressVLAN{Port: 3, Bridge: 9, VLAN: 100},
	EgressVLAN{Port: 3, Bridge: 9, VLAN: 100, Stacked: true},
	EgressVLAN{Port: 3, Bridge: 9},
	RemoteVTEP{Prefix: netip.MustParsePrefix("0.0.0.0/0")},
	RemoteVTEP{Prefix: netip.MustParsePrefix("10.0.0.3/32")},
	LocalVTEP{Address: netip.MustParseAddr("10.0.0.1")},
	VNI{Local: netip.MustParseAddr("10.0.0.1"), VNI: 0xffffff, Bridge: 7},
	Source{Bridge: 1, MAC: mac2, Port: 3, IdleTimeout: 5 * time.Minute, Metadata: "\x01\x00\x02"},
	Source{Bridge: 1, MAC: mac1, Port: 3, Verdict: Ignore},
	Source{Bridge: 1, MAC: mac1, Port: 510, Verdict: Discard, IdleTimeout: time.Second},
	FDB{Bridge: 1, MAC: mac1, Kind: ToPort, Port: 3},
	FDB{Bridge: 1, MAC: mac2, Kind: ToVTEP, VTEP: 65535, VNI: 10},
	FDB{Bridge: 1, MAC: mac2, Kind: Drop},
	UplinkSlot{Group: 1, Slot: 63, Port: 1, Adjacency: 2, MTU: 1464},
	UplinkSlot{Group: 65535, Port: 509, Adjacency: 65535, MTU: 65535},
	UplinkGroup{ID: 65535},
	NextHopSlot{Group: 1, Slot: 63, VTEP: 2, VNI: 5000, Source: mac1, Destination: mac2},
	NextHopSlot{Group: 65535, VTEP: 65535, VNI: 1<<24 - 1, Source: mac1, Destination: mac2},
	NextHopGroup{ID: 65535},
	Multipath{Group: 65535},
	Path{VTEP: 1, Port: 1, MTU: 1464},
	Flows{VTEP: 1, Group: 65535},
	Tunnel{VTEP: 2, Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.3")},
	Tunnel{VTEP: 1, Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.3"), Adjacency: 2,
		MTU: 8964},
	Adjacency{ID: 2, Source: mac1, Destination: mac2},
	Replica{Bridge: 1, Instance: 2, VTEP: 1, VNI: 100},
	Group{ID: 1, Members: []GroupMember{{Port: 3, Instance: 1}, {Port: 4, Instance: 1}, {Port: 1, Instance: 2}}},
	CloneSession{ID: CPUCloneSession, Port: CPUPort},
	Trap{Bridge: 1, EtherType: 0x0806, Origin: OriginBridge, Priority: 10, Reason: 4},
	Trap{MAC: mac1, Priority: 1, Divert: true},
	Trap{ICMPv6Type: 135, Priority: 3, Reason: PuntND},
	RouterMAC{Bridge: 1, MAC: mac1, VRF: 4095},
	L3VNI{Local: netip.MustParseAddr("10.0.0.1"), VNI: 5000, VRF: 2, RouterMAC: mac2},
	Route{VRF: 1, Prefix: netip.MustParsePrefix("192.168.1.5/32"), Kind: RouteHost, Bridge: 1, MAC: mac2},
	Route{VRF: 1, Prefix: netip.MustParsePrefix("2001:db8::5/128"), Kind: RouteHost, Bridge: 1, MAC: mac1},
	Route{VRF: 1, Prefix: netip.MustParsePrefix("0.0.0.0/0"), Kind: RouteVTEP, VTEP: 3, VNI: 5000, Source: mac1,
		Destination: mac2},
	Route{VRF: 1, Prefix: netip.MustParsePrefix("::/0"), Kind: RouteVTEP, VTEP: 3, VNI: 5000, Source: mac1,
		Destination: mac2},
	Route{VRF: 1, Prefix: netip.MustParsePrefix("10.9.0.0/16"), Kind: RouteVTEPs, Group: 65535},
	Route{VRF: 1, Prefix: netip.MustParsePrefix("2001:db8:9::/48"), Kind: RouteVTEPs, Group: 1},
	Route{VRF: 1, Prefix: netip.MustParsePrefix("192.168.1.0/25"), Kind: RouteGlean},
	Route{VRF: 1, Prefix: netip.MustParsePrefix("192.168.1.1/32"), Kind: RouteLocal},
	Route{VRF: 1, Prefix: netip.MustParsePrefix("10.0.0.0/7"), Kind: RouteDrop},
	RouterInterface{Bridge: 1, MAC: mac1},
	Gateway{Bridge: 1, Address: netip.MustParseAddr("192.168.1.1")},
	Gateway{Bridge: 1, Address: netip.MustParseAddr("fe80::1")},
	GatewayTarget{Bridge: 1, Address: netip.MustParseAddr("fe80::1")},
	GatewayMAC{Bridge: 1, MAC: mac1},
	BoundSource{Bridge: 1, Port: 3, MAC: mac1, Address: netip.MustParseAddr("192.168.1.2")},
	BoundSource{Bridge: 1, Port: 3, MAC: mac1, Address: netip.MustParseAddr("2001:db8::2")},
	NoFlood{Bridge: 4095},
	Snooped{Bridge: 4095},
	ARPHost{Bridge: 1, Address: netip.MustParseAddr("192.168.1.1"), MAC: mac1},
	ARPHost{Bridge: 1, Address: netip.MustParseAddr("192.168.1.1"), MAC: mac1, VXLAN: true},
	ARPHost{Bridge: 1, Address: netip.MustParseAddr("192.168.1.2"), MAC: mac1, Port: 300, Metadata: "here"},
	NDHost{Bridge: 1, Address: netip.MustParseAddr("2001:db8::1"), MAC: mac1, Router: true, Override: true},
	NDHost{Bridge: 1, Address: netip.MustParseAddr("2001:db8::1"), MAC: mac1, Override: true, VXLAN: true},
	NDHost{Bridge: 1, Address: netip.MustParseAddr("2001:db8::2"), MAC: mac2},
	NDHost{Bridge: 1, Address: netip.MustParseAddr("2001:db8::2"), MAC: mac2, Port: 3, Router: true, Metadata: "here"},
	NDHost{Bridge: 1, Address: netip.MustParseAddr("2001:db8::2"), MAC: mac2, Unanswered: true, Metadata: "here"},
}

func TestEveryTypeSurvivesP4Runtime(t *testing.T) {
	for _, want := range everyType {
		e := want.Entry()
		back, err := FromEntity(e.Entity())
		if err != nil {
			t.Errorf("%#v: %v", want, err)
			continue
		}
		if back != e {
			t.Errorf("%v came back as %v", e, back)
		}
		got, err := Decode(back)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%#v decoded to %#v, %v", want, got, err)
		}
		if e.String() == "" || e.Key.Table() == "" {
			t.Errorf("%#v has no text", want)
		}
	}
}

func TestEveryTypeNamesItsTableAndRefersToLowerLevelsAlone(t *testing.T) {
	levels, seen := map[Type]Level{}, map[Type]bool{}
	byKey := map[string]Level{} // by table, or action profile
	place := func(k Key) string { name, _, _ := strings.Cut(k.String(), "="); return name }
	for _, v := range everyType {
		seen[v.Type()], levels[v.Type()] = true, v.Level()
		byKey[place(v.Key())] = v.Level()
		if v.Key() != v.Entry().Key {
			t.Errorf("%#v: its key is %v, its entry's %v", v, v.Key(), v.Entry().Key)
		}
		if !strings.Contains(v.Type().String(), v.Key().Table()) {
			t.Errorf("%#v of %s is of type %q", v, v.Key().Table(), v.Type())
		}
	}
	for _, v := range everyType {
		for _, k := range v.Refs() {
			if to, known := byKey[place(k)]; !known || to >= v.Level() {
				t.Errorf("%#v, of level %d, refers to %v, of level %d", v, v.Level(), k, to)
			}
		}
	}
	for typ := range Types {
		if !seen[typ] {
			t.Errorf("%q is not in everyType", typ)
		}
		if typ > 0 && levels[typ] < levels[typ-1] {
			t.Errorf("%q comes after %q, whose level is higher", typ, typ-1)
		}
	}
}

func TestATableWithoutAGoTypeIsNamed(t *testing.T) {
	info := proto.CloneOf(P4Info())
	if err := CheckTables(info); err != nil {
		t.Fatal(err)
	}
	more := proto.CloneOf(info.GetTables()[0])
	more.Preamble.Id, more.Preamble.Name = 0x02ffffff, "bridge.mirror"
	info.Tables = append(info.Tables, more)
	if err := CheckTables(info); err == nil || !strings.Contains(err.Error(), "bridge.mirror") {
		t.Errorf("a table more: %v", err)
	}
	more.IsConstTable = true // its entries are the program's own
	if err := CheckTables(info); err != nil {
		t.Error(err)
	}
}

func TestEntriesReadAsOperatorsKnowThem(t *testing.T) {
	for want, e := range map[string]interface{ Entry() Entry }{
		"bridge.fdb bridge=1 mac=02:00:00:00:00:01 -> bridge.to_port port=3":                                                                            FDB{Bridge: 1, MAC: mac1, Port: 3},
		"vxlan.peer source=10.0.0.0/8 -> vxlan.accept":                                                                                                  RemoteVTEP{netip.MustParsePrefix("10.1.2.3/8")},
		"bridge.source bridge=1 mac=02:00:00:00:00:01 ingress_port=3 -> bridge.known idle_timeout=5s":                                                   Source{Bridge: 1, MAC: mac1, Port: 3, IdleTimeout: 5 * time.Second},
		"underlay.flows vtep=1 -> group=2":                                                                                                              Flows{VTEP: 1, Group: 2},
		"underlay.path vtep=1 -> underlay.uplink port=3 mtu=1500":                                                                                       Path{VTEP: 1, Port: 3, MTU: 1500},
		"action_profile_member of underlay.uplinks member=131 -> underlay.hop port=1 adjacency=4 mtu=1500":                                              UplinkSlot{Group: 2, Slot: 3, Port: 1, Adjacency: 4, MTU: 1500},
		"action_selector_group of underlay.uplinks group=2 -> 128..191":                                                                                 UplinkGroup{ID: 2},
		"action_profile_member of router.next_hops member=129 -> router.to_vtep vtep=1 vni=5000 source=02:00:00:00:00:01 destination=00:11:22:33:44:55": NextHopSlot{Group: 2, Slot: 1, VTEP: 1, VNI: 5000, Source: mac1, Destination: mac2},
		"router.multipath group=2 -> group=2":                                                                                                           Multipath{Group: 2},
		"multicast_group 7 -> 3/1 4/1 1/2":                                                                                                              Group{7, []GroupMember{{1, 2}, {4, 1}, {3, 1}}},
		"punt.trap ether_type=0x0806 priority=9 -> punt.copy reason=1":                                                                                  Trap{EtherType: 0x0806, Priority: 9, Reason: 1},
	} {
		if got := e.Entry().String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestIDsAreThoseOfP4Info builds an entity of every table and action that the
// Go types know: an id that P4Info lacks has no layout.
func TestIDsAreThoseOfP4Info(t *testing.T) {
	used := map[uint32]bool{}
	for _, v := range everyType {
		te := v.Entry().Entity().GetTableEntry()
		used[te.GetTableId()] = true
		used[te.GetAction().GetAction().GetActionId()] = true
		used[v.Entry().Entity().GetActionProfileMember().GetAction().GetActionId()] = true
	}
	for _, table := range P4Info().GetTables() {
		if !used[table.GetPreamble().GetId()] {
			t.Errorf("table %s has no Go type", table.GetPreamble().GetName())
		}
		allowed := map[uint32]bool{}
		for _, ref := range table.GetActionRefs() {
			allowed[ref.GetId()] = true
			if ref.GetScope() != p4configv1.ActionRef_DEFAULT_ONLY && !used[ref.GetId()] {
				t.Errorf("table %s: action %s has no Go type", table.GetPreamble().GetName(), program().actions[ref.GetId()].name)
			}
		}
		for _, v := range everyType {
			te := v.Entry().Entity().GetTableEntry()
			if table.GetImplementationId() != 0 && te.GetAction().GetAction() == nil {
				continue // it refers to a member or a group
			}
			if te.GetTableId() == table.GetPreamble().GetId() && !allowed[te.GetAction().GetAction().GetActionId()] {
				t.Errorf("table %s does not take the action of %#v", table.GetPreamble().GetName(), v)
			}
		}
	}
}

func TestDropReasonsAreThoseOfTheSource(t *testing.T) {
	src, err := os.ReadFile("headers.p4")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`const reason_t DROP_(\w+) += (\d+);`).FindAllStringSubmatch(string(src), -1)
	if len(found) != int(DropReasons) || len(dropNames) != int(DropReasons) {
		t.Fatalf("%d reasons in headers.p4, %d constants, %d names", len(found), DropReasons, len(dropNames))
	}
	for i, f := range found {
		if f[2] != fmt.Sprint(i) || strings.ToLower(f[1]) != DropReason(i).String() {
			t.Errorf("DROP_%s = %s is %q here", f[1], f[2], DropReason(i))
		}
	}
}

func TestArtefactsAreOfTheseSources(t *testing.T) {
	sums, err := os.ReadFile("sources.sha256")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("*.p4")
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	for _, name := range sources {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&want, "%x  %s\n", sha256.Sum256(src), name)
	}
	if !bytes.Equal(sums, want.Bytes()) {
		t.Fatal("the P4 sources changed since p4evpn.json was compiled: run make p4")
	}
}

func TestRecompilingGivesTheCommittedArtefacts(t *testing.T) {
	p4c, err := exec.LookPath("p4c-bm2-ss")
	if err != nil {
		t.Skip("SKIP: no p4c-bm2-ss on PATH: the artefacts are compared by digest only")
	}
	dir := t.TempDir()
	cmd := exec.Command(p4c, "--arch", "v1model", "--p4runtime-files", dir+"/info.txtpb", "-o", dir+"/out.json",
		"p4evpn.p4")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for file, committed := range map[string][]byte{"out.json": DeviceConfig(), "info.txtpb": p4info} {
		got, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, committed) {
			t.Errorf("%s differs from what is committed: run make p4", file)
		}
	}
}

// A server that keeps bits which the mask or the prefix length leaves out gives
// them back; the entry is the same.
func TestBitsThatDoNotCountAreNoPartOfAKey(t *testing.T) {
	for _, e := range []Entry{
		Trap{Reason: PuntARP, Priority: 1}.Entry(),
		RemoteVTEP{Prefix: netip.MustParsePrefix("10.0.0.0/12")}.Entry(),
		RemoteVTEP{Prefix: netip.MustParsePrefix("10.0.0.0/8")}.Entry(),
	} {
		ent := e.Entity()
		te := ent.GetTableEntry()
		if lpm := te.GetMatch(); len(lpm) > 0 {
			lpm[0].GetLpm().Value = []byte{10, 0x0f, 0xff, 0xff}
		} else {
			te.Match = append(te.Match, &p4v1.FieldMatch{FieldId: 5, FieldMatchType: &p4v1.FieldMatch_Ternary_{
				Ternary: &p4v1.FieldMatch_Ternary{Value: []byte{1}, Mask: []byte{0}},
			}})
		}
		if got, err := FromEntity(ent); err != nil || got != e {
			t.Errorf("%v came back as %v, %v", e, got, err)
		}
	}
}

func FuzzFromEntityNeverPanics(f *testing.F) {
	for _, v := range everyType {
		b, err := proto.Marshal(v.Entry().Entity())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ent := &p4v1.Entity{}
		if proto.Unmarshal(b, ent) != nil {
			return
		}
		e, err := FromEntity(ent)
		if err != nil {
			return
		}
		_ = e.String()
		if _, err := Decode(e); err != nil {
			return
		}
		again, err := FromEntity(e.Entity())
		if err != nil || again != e {
			t.Fatalf("%v came back as %v, %v", e, again, err)
		}
	})
}

func FuzzDecodeLearnNeverPanics(f *testing.F) {
	data := func(members ...[]byte) []byte {
		s := &p4v1.P4StructLike{}
		for _, m := range members {
			s.Members = append(s.Members, &p4v1.P4Data{Data: &p4v1.P4Data_Bitstring{Bitstring: m}})
		}
		b, err := proto.Marshal(&p4v1.P4Data{Data: &p4v1.P4Data_Struct{Struct: s}})
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	f.Add(data([]byte{1}, mac1[:], []byte{3}))
	f.Add(data([]byte{1}, mac1[:]))
	f.Add(data([]byte{1, 2, 3}, nil, []byte{3}))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := &p4v1.P4Data{}
		if proto.Unmarshal(b, d) == nil {
			_, _ = DecodeLearn(d)
		}
		in := &p4v1.PacketIn{}
		if proto.Unmarshal(b, in) == nil {
			_, _ = DecodePacketIn(in)
		}
	})
}

func TestLearnKeepsLeadingZerosOfAMAC(t *testing.T) {
	bits := func(b ...byte) *p4v1.P4Data { return &p4v1.P4Data{Data: &p4v1.P4Data_Bitstring{Bitstring: b}} }
	got, err := DecodeLearn(&p4v1.P4Data{Data: &p4v1.P4Data_Struct{Struct: &p4v1.P4StructLike{
		Members: []*p4v1.P4Data{bits(1), bits(mac2[1:]...), bits(1, 0)}}}})
	if want := (Learn{Bridge: 1, MAC: mac2, Port: 256}); err != nil || got != want {
		t.Fatalf("got %v, %v; want %v", got, err, want)
	}
}

func TestCountersAreThoseOfP4Info(t *testing.T) {
	names := map[Counter]string{
		PortIn: "port_in", PortOut: "port_out", IngressDrops: "ingress_drops", EgressDrops: "egress_drops",
		BridgeVXLANIn: "bridge_vxlan_in", BridgeVXLANOut: "bridge_vxlan_out",
		VRFRouted: "vrf_routed", VRFVXLANIn: "vrf_vxlan_in", VRFVXLANOut: "vrf_vxlan_out",
		PuntsLimited: "punts_limited", PortDrops: "port_drops", BridgeDrops: "bridge_drops",
		PortEgressDrops: "port_egress_drops",
	}
	for _, c := range P4Info().GetCounters() {
		id := Counter(c.GetPreamble().GetId())
		if names[id] != c.GetPreamble().GetName() {
			t.Errorf("counter %#x is %q here, %q in P4Info", uint32(id), names[id], c.GetPreamble().GetName())
		}
		delete(names, id)
	}
	if len(names) > 0 {
		t.Errorf("not in P4Info: %v", names)
	}
}

func TestEachPuntReasonHasItsRateAndEachOriginAShareOfIt(t *testing.T) {
	sizes := map[uint32]int64{}
	for _, m := range P4Info().GetMeters() {
		sizes[m.GetPreamble().GetId()] = m.GetSize()
	}
	total := map[int64]int64{}
	for _, m := range PuntMeters() {
		total[m.entry.GetIndex().GetIndex()] = m.entry.GetConfig().GetPir()
	}
	if len(total) != PuntReasons-1 {
		t.Errorf("%d rates for %d reasons", len(total), PuntReasons-1)
	}
	seen := map[string]bool{}
	for _, m := range slices.Concat(PuntMeters(), PortMeters(1), PortMeters(511), BridgeMeters(1), BridgeMeters(4095),
		VRFMeters(1), VRFMeters(4095)) {
		id, index, c := m.entry.GetMeterId(), m.entry.GetIndex().GetIndex(), m.entry.GetConfig()
		if index >= sizes[id] || seen[m.Cell().String()] {
			t.Errorf("meter %#x of %d cells: cell %d is outside or there twice", id, sizes[id], index)
		}
		seen[m.Cell().String()] = true
		if c.GetPir() < 100 || c.GetPburst() < 100 || c.GetCir() != c.GetPir() || c.GetCburst() != c.GetPburst() {
			t.Errorf("meter %#x, cell %d: %v", id, index, c)
		}
		if again := proto.CloneOf(m.entry); !m.Is(again) {
			t.Errorf("%v is not itself", again)
		}
	}
	// Who asks at his bound leaves the others more than he has.
	for _, m := range VRFMeters(1) {
		if p := m.entry.GetConfig().GetPir(); !slices.ContainsFunc(PuntMeters(),
			func(all Meter) bool { return all.entry.GetConfig().GetPir() >= 4*p }) {
			t.Errorf("%v is no share of any reason's rate", m.entry)
		}
	}
}
