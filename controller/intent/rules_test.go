package intent

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/ether"
)

var stationMAC = ether.MAC{0x02, 0, 0, 0, 0, 1}

func TestAPortOfAnyNameHasABridgePortsID(t *testing.T) {
	seen := map[string]string{}
	for name, want := range map[string]string{"port1": "port1", "vm1": "port-vm1", "0": "port-0", "Vm1": "",
		"s1-eth1": "s1-eth1", "vm1-": "", "": "", "a b": "", strings.Repeat("x", 64): "", "\xff": ""} {
		id := BridgePortID(name)
		if err := CheckID(id); err != nil || want != "" && id != want || seen[id] != "" {
			t.Errorf("%q has %q, which %q has too: %v", name, id, seen[id], err)
		}
		seen[id] = name + "."
	}
}

func TestIDsFollowTheAPIAndAIP122(t *testing.T) {
	for id, ok := range map[string]bool{
		"vlan10": true, "vlan": true, "a-b-1": true, strings.Repeat("a", 63): true,
		"": false, "abc": false, strings.Repeat("a", 64): false, "1abc": false, "-abc": false, "abc-": false,
		"0b9f6a52-17c5-4b0e-9d39-3d1f2b9f4e11": true, "0b9f6a52-17c5-4b0e-9d39-3d1f2b9f4e1": false, "0B9F6A52-17c5-4b0e-9d39-3d1f2b9f4e11": false,
		"Vlan10": false, "vlan_10": false, "vlan/10": false, "vlan 10": false, "vlän": false, "vlan\x00": false,
	} {
		if err := CheckID(id); (err == nil) != ok {
			t.Errorf("CheckID(%q) = %v, want ok %v", id, err, ok)
		}
	}
}

func bridge(id string, vlan uint16, vni uint32) LogicalBridge {
	return LogicalBridge{ID: id, VLAN: vlan, VNI: vni, VTEP: netip.MustParsePrefix("10.0.0.2/32")}
}

func access(id, br string) BridgePort {
	return BridgePort{ID: id, MAC: stationMAC, Type: Access, Bridges: []string{br}}
}

func trunk(id string, br ...string) BridgePort {
	return BridgePort{ID: id, MAC: stationMAC, Type: Trunk, Bridges: br}
}

// fields lists the fields that an error of this package names.
func violated(err error) []string {
	var e *Error
	if !errors.As(err, &e) {
		return nil
	}
	var f []string
	for _, v := range e.Violations {
		f = append(f, v.Field)
	}
	return f
}

func TestABridgeThatIsWrongAloneIsRefusedByField(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*LogicalBridge)
		fields []string
	}{
		{"as it should be", func(*LogicalBridge) {}, nil},
		{"no VNI", func(b *LogicalBridge) { b.VNI = 0 }, nil},
		{"no VTEP", func(b *LogicalBridge) { b.VTEP = netip.Prefix{} }, nil},
		{"host bits in the VTEP", func(b *LogicalBridge) { b.VTEP = netip.MustParsePrefix("10.100.0.1/24") }, nil},
		{"v6 VTEP", func(b *LogicalBridge) { b.VTEP = netip.MustParsePrefix("2001:db8::1/64") }, nil},
		{"highest VLAN and VNI", func(b *LogicalBridge) { b.VLAN, b.VNI = 4094, 1<<24-1 }, nil},
		{"bad id", func(b *LogicalBridge) { b.ID = "X" }, []string{"id"}},
		{"VLAN 0", func(b *LogicalBridge) { b.VLAN = 0 }, []string{"vlan_id"}},
		{"VLAN 4095", func(b *LogicalBridge) { b.VLAN = 4095 }, []string{"vlan_id"}},
		{"VNI of 25 bits", func(b *LogicalBridge) { b.VNI = 1 << 24 }, []string{"vni"}},
		{"multicast VTEP", func(b *LogicalBridge) { b.VTEP = netip.MustParsePrefix("224.0.0.1/32") }, []string{"vtep_ip_prefix"}},
		{"loopback VTEP", func(b *LogicalBridge) { b.VTEP = netip.MustParsePrefix("127.0.0.1/8") }, []string{"vtep_ip_prefix"}},
		{"unspecified VTEP", func(b *LogicalBridge) { b.VTEP = netip.MustParsePrefix("0.0.0.0/32") }, []string{"vtep_ip_prefix"}},
		{"broadcast VTEP", func(b *LogicalBridge) { b.VTEP = netip.MustParsePrefix("255.255.255.255/32") }, []string{"vtep_ip_prefix"}},
		{"link-local VTEP", func(b *LogicalBridge) { b.VTEP = netip.MustParsePrefix("fe80::1/64") }, []string{"vtep_ip_prefix"}},
		{"mapped VTEP", func(b *LogicalBridge) { b.VTEP = netip.PrefixFrom(netip.MustParseAddr("::ffff:10.0.0.1"), 128) }, []string{"vtep_ip_prefix"}},
		{"VTEP of length 0", func(b *LogicalBridge) { b.VTEP = netip.MustParsePrefix("10.0.0.1/0") }, []string{"vtep_ip_prefix"}},
		{"VTEP too long", func(b *LogicalBridge) { b.VTEP = netip.PrefixFrom(netip.MustParseAddr("10.0.0.1"), 33) }, []string{"vtep_ip_prefix"}},
		{"everything", func(b *LogicalBridge) { b.ID, b.VLAN, b.VNI = "", 5000, 1<<30 }, []string{"id", "vlan_id", "vni"}},
	} {
		b := bridge("vlan10", 10, 10)
		c.change(&b)
		err := b.Check()
		if !slices.Equal(violated(err), c.fields) {
			t.Errorf("%s: %v, want fields %v", c.name, err, c.fields)
		}
		if err != nil && !errors.Is(err, Invalid) {
			t.Errorf("%s: %v is not Invalid", c.name, err)
		}
	}
}

func TestAPortThatIsWrongAloneIsRefusedByField(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*BridgePort)
		fields []string
	}{
		{"access", func(*BridgePort) {}, nil},
		{"trunk", func(p *BridgePort) { p.Type, p.Bridges = Trunk, []string{"vlan10", "vlan20"} }, nil},
		{"transparent trunk", func(p *BridgePort) { p.Type, p.Bridges = Trunk, nil }, nil},
		{"access to none", func(p *BridgePort) { p.Bridges = nil }, []string{"logical_bridges"}},
		{"access to two", func(p *BridgePort) { p.Bridges = []string{"vlan10", "vlan20"} }, []string{"logical_bridges"}},
		{"no type", func(p *BridgePort) { p.Type = 0 }, []string{"ptype"}},
		{"other type", func(p *BridgePort) { p.Type = 7 }, []string{"ptype"}},
		{"zero MAC", func(p *BridgePort) { p.MAC = ether.MAC{} }, []string{"mac_address"}},
		{"multicast MAC", func(p *BridgePort) { p.MAC = ether.MAC{1} }, []string{"mac_address"}},
		{"broadcast MAC", func(p *BridgePort) { p.MAC = ether.Broadcast }, []string{"mac_address"}},
		{"a bridge twice", func(p *BridgePort) { p.Type, p.Bridges = Trunk, []string{"vlan10", "vlan10"} }, []string{"logical_bridges[1]"}},
		{"a bridge that can have no such id", func(p *BridgePort) { p.Bridges = []string{"X"} }, []string{"logical_bridges[0]"}},
	} {
		p := access("port1", "vlan10")
		c.change(&p)
		if err := p.Check(); !slices.Equal(violated(err), c.fields) {
			t.Errorf("%s: %v, want fields %v", c.name, err, c.fields)
		}
	}
}

// with gives a transaction over a model that holds these objects.
func with(t *testing.T, objects ...Object) *Tx {
	t.Helper()
	tx := begin(model{})
	for _, o := range objects {
		var err error
		switch o := o.(type) {
		case LogicalBridge:
			_, err = tx.Bridges().Create(o)
		case BridgePort:
			_, err = tx.Ports().Create(o)
		case VRF:
			_, err = tx.VRFs().Create(o)
		case SVI:
			_, err = tx.SVIs().Create(o)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return begin(tx.model())
}

func TestRulesBetweenObjects(t *testing.T) {
	for _, c := range []struct {
		name   string
		do     func(*Tx) error
		reason Reason
		fields []string
	}{
		{"a second bridge", func(tx *Tx) error { _, err := tx.Bridges().Create(bridge("vlan30", 30, 30)); return err }, "", nil},
		{"two bridges without a VNI", func(tx *Tx) error { _, err := tx.Bridges().Create(bridge("vlan30", 30, 0)); return err }, "", nil},
		{"an id that is taken", func(tx *Tx) error { _, err := tx.Bridges().Create(bridge("vlan10", 30, 30)); return err }, Exists, []string{""}},
		{"a VLAN that is taken", func(tx *Tx) error { _, err := tx.Bridges().Create(bridge("vlan30", 10, 30)); return err }, Conflict, []string{"vlan_id"}},
		{"a VNI that is taken", func(tx *Tx) error { _, err := tx.Bridges().Create(bridge("vlan30", 30, 10)); return err }, Conflict, []string{"vni"}},
		{"update to a VLAN that is taken", func(tx *Tx) error { _, err := tx.Bridges().Update(bridge("vlan20", 10, 0)); return err }, Conflict, []string{"vlan_id"}},
		{"update to its own VLAN", func(tx *Tx) error { _, err := tx.Bridges().Update(bridge("vlan20", 20, 99)); return err }, "", nil},
		{"update of none", func(tx *Tx) error { _, err := tx.Bridges().Update(bridge("vlan99", 99, 99)); return err }, NotFound, []string{""}},
		{"a port to a bridge that is not there", func(tx *Tx) error { _, err := tx.Ports().Create(access("port9", "vlan99")); return err }, NotFound, []string{"logical_bridges[0]"}},
		{"update of a port to a bridge that is not there", func(tx *Tx) error {
			_, err := tx.Ports().Update(trunk("port1", "vlan10", "vlan99"))
			return err
		}, NotFound, []string{"logical_bridges[1]"}},
		{"two ports with one MAC", func(tx *Tx) error { _, err := tx.Ports().Create(access("port9", "vlan20")); return err }, "", nil},
		{"delete of a bridge with ports", func(tx *Tx) error { return tx.Bridges().Delete("vlan10") }, Conflict, []string{"", ""}},
		{"delete of a bridge that only a transparent trunk carries", func(tx *Tx) error { return tx.Bridges().Delete("vlan20") }, "", nil},
		{"delete of none", func(tx *Tx) error { return tx.Ports().Delete("port9") }, NotFound, []string{""}},
		{"delete of a port", func(tx *Tx) error { return tx.Ports().Delete("port1") }, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			tx := with(t, bridge("vlan10", 10, 10), bridge("vlan20", 20, 0), access("port1", "vlan10"),
				trunk("port2", "vlan10"), trunk("port3"))
			before := tx.model()
			err := c.do(tx)
			if c.reason == "" {
				if err != nil || len(tx.changes) != 1 {
					t.Fatalf("error %v and %d changes, want 1 change", err, len(tx.changes))
				}
				return
			}
			if !errors.Is(err, c.reason) || !slices.Equal(violated(err), c.fields) {
				t.Errorf("%v, want %q for fields %q", err, c.reason, c.fields)
			}
			if len(tx.changes) != 0 || !slices.Equal(tx.model().bridges, before.bridges) ||
				len(tx.model().ports) != len(before.ports) {
				t.Error("the refused operation changed something")
			}
		})
	}
}

func TestDeletingABridgeWithPortsListsThem(t *testing.T) {
	tx := with(t, bridge("vlan10", 10, 10), access("port1", "vlan10"), trunk("port2", "vlan10"))
	err := tx.Bridges().Delete("vlan10")
	if err == nil || !strings.Contains(err.Error(), "port1") || !strings.Contains(err.Error(), "port2") {
		t.Errorf("%v does not list both ports", err)
	}
}

func TestABridgeKeepsTheLowestIndexThatWasFree(t *testing.T) {
	tx := begin(model{})
	index := func(id string, vlan uint16) uint16 {
		t.Helper()
		b, err := tx.Bridges().Create(bridge(id, vlan, 0))
		if err != nil {
			t.Fatal(err)
		}
		return b.Index
	}
	if a, b, c := index("vlan30", 30), index("vlan10", 10), index("vlan20", 20); a != 1 || b != 2 || c != 3 {
		t.Fatalf("indexes %d %d %d, want 1 2 3", a, b, c)
	}
	if err := tx.Bridges().Delete("vlan10"); err != nil {
		t.Fatal(err)
	}
	if i := index("vlan40", 40); i != 2 {
		t.Errorf("index %d after 2 became free", i)
	}
	moved := bridge("vlan30", 31, 31)
	moved.Index = 77 // not the caller's to choose
	if b, err := tx.Bridges().Update(moved); err != nil || b.Index != 1 {
		t.Errorf("update: index %d, error %v, want 1 kept", b.Index, err)
	}
}

func TestEveryVLANCanHaveABridge(t *testing.T) {
	tx := begin(model{})
	for v := uint16(1); v <= maxVLAN; v++ {
		if _, err := tx.Bridges().Create(bridge(fmt.Sprintf("vlan%d", v), v, uint32(v))); err != nil {
			t.Fatal(err)
		}
	}
}

// Unique VLANs keep bridges below the number of indexes, so that the rule is
// tried on a model that could not come about.
func TestNoIndexLeftIsExhausted(t *testing.T) {
	var m model
	for i := range uint16(maxIndex) {
		m.bridges = append(m.bridges, LogicalBridge{ID: fmt.Sprintf("b%04d", i), VLAN: 5000, Index: i + 1})
	}
	if _, err := begin(m).Bridges().Create(bridge("vlan10", 10, 10)); !errors.Is(err, Exhausted) {
		t.Errorf("%v, want exhausted", err)
	}
}

func TestWhatComesOutOfATableIsACopy(t *testing.T) {
	in := trunk("port1", "vlan10", "vlan20")
	tx := with(t, bridge("vlan10", 10, 10), bridge("vlan20", 20, 20), in)
	in.Bridges[0] = "changed"
	p, _ := tx.Ports().Get("port1")
	p.Bridges[1] = "changed"
	tx.Ports().List("", 0)[0].Bridges[0] = "changed"
	if p, _ := tx.Ports().Get("port1"); !slices.Equal(p.Bridges, []string{"vlan10", "vlan20"}) {
		t.Errorf("bridges are now %v", p.Bridges)
	}
}

func FuzzCheckID(f *testing.F) {
	for _, s := range []string{"vlan10", "", "a-b", "-", "ABCD", "vlan10-", "vl\xffn"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if CheckID(id) != nil {
			return
		}
		if len(id) < 4 || len(id) > 63 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" ||
			strings.ContainsAny(id[:1], "0123456789-") {
			t.Errorf("%q passed", id)
		}
	})
}
