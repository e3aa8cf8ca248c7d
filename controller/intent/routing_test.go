package intent

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/ether"
)

func vrf(id string, vni uint32) VRF {
	return VRF{ID: id, VNI: vni, Loopback: netip.MustParsePrefix("10.100.0.1/32"),
		VTEP: netip.MustParsePrefix("10.0.0.2/32")}
}

func svi(id, vrf, br string, gateways ...string) SVI {
	s := SVI{ID: id, VRF: vrf, Bridge: br, MAC: stationMAC}
	for _, g := range gateways {
		s.Gateways = append(s.Gateways, netip.MustParsePrefix(g))
	}
	return s
}

// mapped is an IPv4-mapped IPv6 address, which netip does not parse as a prefix.
var mapped = netip.PrefixFrom(netip.MustParseAddr("::ffff:10.1.1.1"), 120)

func TestAVRFThatIsWrongAloneIsRefusedByField(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*VRF)
		fields []string
	}{
		{"as it should be", func(*VRF) {}, nil},
		{"no VNI", func(v *VRF) { v.VNI = 0 }, nil},
		{"no loopback and no VTEP", func(v *VRF) { v.Loopback, v.VTEP = netip.Prefix{}, netip.Prefix{} }, nil},
		{"host bits in both", func(v *VRF) {
			v.Loopback, v.VTEP = netip.MustParsePrefix("10.100.0.1/24"), netip.MustParsePrefix("10.1.0.2/24")
		}, nil},
		{"v6 loopback", func(v *VRF) { v.Loopback = netip.MustParsePrefix("2001:db8::1/64") }, nil},
		{"bad id", func(v *VRF) { v.ID = "X" }, []string{"id"}},
		{"VNI of 25 bits", func(v *VRF) { v.VNI = 1 << 24 }, []string{"vni"}},
		{"multicast loopback", func(v *VRF) { v.Loopback = netip.MustParsePrefix("ff05::1/128") }, []string{"loopback_ip_prefix"}},
		{"loopback of loopbacks", func(v *VRF) { v.Loopback = netip.MustParsePrefix("127.0.0.1/32") }, []string{"loopback_ip_prefix"}},
		{"unspecified loopback", func(v *VRF) { v.Loopback = netip.MustParsePrefix("::/128") }, []string{"loopback_ip_prefix"}},
		{"mapped loopback", func(v *VRF) { v.Loopback = mapped }, []string{"loopback_ip_prefix"}},
		{"loopback of length 0", func(v *VRF) { v.Loopback = netip.MustParsePrefix("10.0.0.1/0") }, []string{"loopback_ip_prefix"}},
		{"link-local VTEP", func(v *VRF) { v.VTEP = netip.MustParsePrefix("169.254.0.1/16") }, []string{"vtep_ip_prefix"}},
		{"everything", func(v *VRF) { *v = VRF{ID: "", VNI: 1 << 30, Loopback: mapped, VTEP: mapped} }, []string{"id", "vni", "loopback_ip_prefix", "vtep_ip_prefix"}},
	} {
		v := vrf("green", 100)
		c.change(&v)
		if err := v.Check(); !slices.Equal(violated(err), c.fields) || err != nil && !errors.Is(err, Invalid) {
			t.Errorf("%s: %v, want fields %v", c.name, err, c.fields)
		}
	}
}

func TestAnSVIThatIsWrongAloneIsRefusedByField(t *testing.T) {
	many := make([]netip.Prefix, MaxGateways+1)
	for i := range many {
		many[i] = netip.MustParsePrefix(fmt.Sprintf("10.1.%d.1/24", i))
	}
	for _, c := range []struct {
		name   string
		change func(*SVI)
		fields []string
	}{
		{"as it should be", func(*SVI) {}, nil},
		{"no MAC", func(s *SVI) { s.MAC = ether.MAC{} }, nil},
		{"as many gateways as there may be", func(s *SVI) { s.Gateways = many[:MaxGateways] }, nil},
		{"BGP", func(s *SVI) { s.EnableBGP, s.RemoteAS = true, 65535 }, nil},
		{"an AS without BGP", func(s *SVI) { s.RemoteAS = 65000 }, nil},
		{"bad id", func(s *SVI) { s.ID = "abc" }, []string{"id"}},
		{"no VRF", func(s *SVI) { s.VRF = "" }, []string{"vrf"}},
		{"no bridge", func(s *SVI) { s.Bridge = "" }, []string{"logical_bridge"}},
		{"multicast MAC", func(s *SVI) { s.MAC = ether.MAC{1, 0, 0x5e, 0, 0, 1} }, []string{"mac_address"}},
		{"broadcast MAC", func(s *SVI) { s.MAC = ether.Broadcast }, []string{"mac_address"}},
		{"no gateway", func(s *SVI) { s.Gateways = nil }, []string{"gw_ip_prefix"}},
		{"too many gateways", func(s *SVI) { s.Gateways = many }, []string{"gw_ip_prefix"}},
		{"one gateway twice", func(s *SVI) { s.Gateways = append(s.Gateways, s.Gateways[0]) }, []string{"gw_ip_prefix[2]"}},
		{"two gateways in a subnet", func(s *SVI) { s.Gateways[1] = netip.MustParsePrefix("10.20.0.9/28") }, []string{"gw_ip_prefix[1]"}},
		{"a gateway that is none, beside one that is good", func(s *SVI) { s.Gateways[0] = netip.Prefix{} }, []string{"gw_ip_prefix[0]"}},
		{"BGP without an AS", func(s *SVI) { s.EnableBGP = true }, []string{"remote_as"}},
		{"AS of 17 bits", func(s *SVI) { s.EnableBGP, s.RemoteAS = true, 65536 }, []string{"remote_as"}},
		{"AS of 17 bits without BGP", func(s *SVI) { s.RemoteAS = 65536 }, []string{"remote_as"}},
		{"everything", func(s *SVI) { *s = SVI{MAC: ether.Broadcast, EnableBGP: true} },
			[]string{"id", "vrf", "logical_bridge", "mac_address", "gw_ip_prefix", "remote_as"}},
	} {
		s := svi("svi10", "green", "vlan10", "10.20.0.1/24", "2001:db8::1/64")
		c.change(&s)
		if err := s.Check(); !slices.Equal(violated(err), c.fields) || err != nil && !errors.Is(err, Invalid) {
			t.Errorf("%s: %v, want fields %v", c.name, err, c.fields)
		}
	}
}

func TestAGatewayIsAnAddressOfItsSubnet(t *testing.T) {
	for s, ok := range map[string]bool{
		"10.100.0.1/24": true, "10.0.0.254/24": true, "10.0.0.1/8": true, "10.0.0.1/32": true, "10.0.0.0/31": true, "10.0.0.1/31": true,
		"192.168.1.5/30": true, "2001:db8::1/64": true, "2001:db8::ffff:ffff:ffff:ffff/64": true, "2001:db8::/127": true, "2001:db8::1/128": true,
		"10.0.0.0/24": false, "10.0.0.255/24": false, "192.168.1.7/30": false, "2001:db8::/64": false,
		"0.0.0.0/24": false, "224.0.0.1/24": false, "127.0.0.1/8": false, "169.254.1.1/16": false, "255.255.255.255/32": false,
		"10.0.0.1/0": false, "2001:db8::1/0": false, "::/64": false, "::1/128": false, "fe80::1/64": false, "ff02::1/64": false,
	} {
		if err := CheckGateway(netip.MustParsePrefix(s)); (err == nil) != ok {
			t.Errorf("CheckGateway(%s) = %v, want ok %v", s, err, ok)
		}
	}
	for _, p := range []netip.Prefix{{}, mapped, netip.PrefixFrom(netip.MustParseAddr("10.0.0.1"), 33)} {
		if CheckGateway(p) == nil {
			t.Errorf("%v passed", p)
		}
	}
}

// routed is a model with two VRFs whose addresses are the same.
func routed(t *testing.T) *Tx {
	return with(t, bridge("vlan10", 10, 10), bridge("vlan20", 20, 20), bridge("vlan30", 30, 0), bridge("vlan40", 40, 40),
		access("port4", "vlan40"),
		vrf("green", 100), vrf("yellow", 101), vrf("blue", 0),
		svi("svi10", "green", "vlan10", "10.10.0.1/24", "2001:db8:10::1/64"), svi("svi20", "green", "vlan20", "10.20.0.1/16"),
		svi("svi30", "yellow", "vlan30", "10.10.0.1/24"))
}

func TestRulesBetweenVRFsSVIsAndBridges(t *testing.T) {
	newVRF := func(v VRF) func(*Tx) error {
		return func(tx *Tx) error { _, err := tx.VRFs().Create(v); return err }
	}
	setVRF := func(v VRF) func(*Tx) error {
		return func(tx *Tx) error { _, err := tx.VRFs().Update(v); return err }
	}
	newSVI := func(s SVI) func(*Tx) error {
		return func(tx *Tx) error { _, err := tx.SVIs().Create(s); return err }
	}
	setSVI := func(s SVI) func(*Tx) error {
		return func(tx *Tx) error { _, err := tx.SVIs().Update(s); return err }
	}
	loopback := func(v VRF, p string) VRF { v.Loopback = netip.MustParsePrefix(p); return v }
	for _, c := range []struct {
		name   string
		do     func(*Tx) error
		reason Reason
		fields []string
	}{
		{"another VRF", newVRF(vrf("black", 102)), "", nil},
		{"another VRF without a VNI", newVRF(vrf("black", 0)), "", nil},
		{"an id that is taken", newVRF(vrf("green", 102)), Exists, []string{""}},
		{"a VNI of another VRF", newVRF(vrf("black", 100)), Conflict, []string{"vni"}},
		{"a VNI of a bridge", newVRF(vrf("black", 10)), Conflict, []string{"vni"}},
		{"update to the VNI of a bridge", setVRF(vrf("green", 10)), Conflict, []string{"vni"}},
		{"update to a VNI that is free", setVRF(vrf("green", 102)), "", nil},
		{"update of no VRF", setVRF(vrf("black", 102)), NotFound, []string{""}},
		{"a bridge with the VNI of a VRF", func(tx *Tx) error { _, err := tx.Bridges().Create(bridge("vlan50", 50, 100)); return err }, Conflict, []string{"vni"}},
		{"update of a bridge to the VNI of a VRF", func(tx *Tx) error { _, err := tx.Bridges().Update(bridge("vlan10", 10, 100)); return err }, Conflict, []string{"vni"}},
		{"a loopback that is a gateway of the VRF", setVRF(loopback(vrf("green", 100), "10.20.0.1/32")), "", nil},
		{"a loopback that is a gateway of another VRF", setVRF(loopback(vrf("blue", 0), "10.20.0.1/32")), "", nil},
		{"a gateway that is the loopback", newSVI(svi("svi40", "green", "vlan40", "10.40.0.1/24", "10.100.0.1/24")), "", nil},

		{"another SVI", newSVI(svi("svi40", "blue", "vlan40", "10.40.0.1/24")), "", nil},
		{"a subnet of another VRF", newSVI(svi("svi40", "blue", "vlan40", "10.10.0.1/24")), "", nil},
		{"no such VRF", newSVI(svi("svi40", "black", "vlan40", "10.40.0.1/24")), NotFound, []string{"vrf"}},
		{"no such bridge", newSVI(svi("svi40", "blue", "vlan99", "10.40.0.1/24")), NotFound, []string{"logical_bridge"}},
		{"neither", newSVI(svi("svi40", "black", "vlan99", "10.40.0.1/24")), NotFound, []string{"vrf", "logical_bridge"}},
		{"a second SVI of a bridge, in another VRF", newSVI(svi("svi11", "blue", "vlan10", "10.40.0.1/24")), Conflict, []string{"logical_bridge"}},
		{"a subnet of the VRF", newSVI(svi("svi40", "green", "vlan40", "10.10.0.2/24")), Conflict, []string{"gw_ip_prefix[0]"}},
		{"a subnet within one of the VRF", newSVI(svi("svi40", "green", "vlan40", "10.40.0.1/24", "10.20.5.1/24")), Conflict, []string{"gw_ip_prefix[1]"}},
		{"a subnet around one of the VRF", newSVI(svi("svi40", "green", "vlan40", "2001:db8::1/32")), Conflict, []string{"gw_ip_prefix[0]"}},
		{"a subnet around two of the VRF", newSVI(svi("svi40", "green", "vlan40", "10.0.0.1/8")), Conflict, []string{"gw_ip_prefix[0]", "gw_ip_prefix[0]"}},
		{"update to another gateway of its own subnet", setSVI(svi("svi10", "green", "vlan10", "10.10.0.2/24")), "", nil},
		{"update to a subnet of the VRF", setSVI(svi("svi10", "green", "vlan10", "10.20.0.2/24")), Conflict, []string{"gw_ip_prefix[0]"}},
		{"update to a bridge with an SVI", setSVI(svi("svi10", "green", "vlan30", "10.10.0.1/24")), Conflict, []string{"logical_bridge"}},
		{"update to another bridge and VRF", setSVI(svi("svi10", "blue", "vlan40", "10.10.0.1/24")), "", nil},
		{"update to a VRF that has the subnet", setSVI(svi("svi10", "yellow", "vlan10", "10.10.0.9/24")), Conflict, []string{"gw_ip_prefix[0]"}},
		{"update to no VRF", setSVI(svi("svi10", "black", "vlan10", "10.10.0.1/24")), NotFound, []string{"vrf"}},
		{"update of no SVI", setSVI(svi("svi40", "blue", "vlan40", "10.40.0.1/24")), NotFound, []string{""}},

		{"delete of a VRF with SVIs", func(tx *Tx) error { return tx.VRFs().Delete("green") }, Conflict, []string{"", ""}},
		{"delete of a VRF without", func(tx *Tx) error { return tx.VRFs().Delete("blue") }, "", nil},
		{"delete of a bridge with an SVI", func(tx *Tx) error { return tx.Bridges().Delete("vlan10") }, Conflict, []string{""}},
		{"delete of an SVI", func(tx *Tx) error { return tx.SVIs().Delete("svi10") }, "", nil},
		{"delete of none", func(tx *Tx) error { return tx.SVIs().Delete("svi99") }, NotFound, []string{""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tx := routed(t)
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
			if len(tx.changes) != 0 || !reflect.DeepEqual(tx.model(), before) {
				t.Error("the refused operation changed something")
			}
		})
	}
}

func TestWhatIsInUseIsNotDeletedAndTheUsersAreListed(t *testing.T) {
	tx := with(t, bridge("vlan10", 10, 10), bridge("vlan20", 20, 20), access("port1", "vlan10"), vrf("green", 100),
		svi("svi10", "green", "vlan10", "10.10.0.1/24"), svi("svi20", "green", "vlan20", "10.20.0.1/24"))
	for _, c := range []struct {
		err  error
		want []Ref
	}{
		{tx.VRFs().Delete("green"), []Ref{{KindSVI, "svi10"}, {KindSVI, "svi20"}}},
		{tx.Bridges().Delete("vlan10"), []Ref{{KindBridgePort, "port1"}, {KindSVI, "svi10"}}},
	} {
		var e *Error
		if !errors.As(c.err, &e) || e.Reason != Conflict {
			t.Errorf("%v, want a conflict", c.err)
			continue
		}
		var subjects []Ref
		for _, v := range e.Violations {
			subjects = append(subjects, v.Subject)
			if !strings.Contains(c.err.Error(), v.Subject.ID) {
				t.Errorf("%v does not list %v", c.err, v.Subject)
			}
		}
		if !slices.Equal(subjects, c.want) {
			t.Errorf("subjects %v, want %v", subjects, c.want)
		}
	}
}

func TestAVRFKeepsTheLowestIndexThatWasFree(t *testing.T) {
	tx := routed(t)
	if err := errors.Join(tx.SVIs().Delete("svi30"), tx.VRFs().Delete("yellow")); err != nil {
		t.Fatal(err)
	}
	if v, err := tx.VRFs().Create(vrf("black", 0)); err != nil || v.Index != 2 {
		t.Errorf("index %d (%v) after 2 became free", v.Index, err)
	}
	moved := vrf("green", 103)
	moved.Index = 77 // not the caller's to choose
	if v, err := tx.VRFs().Update(moved); err != nil || v.Index != 1 {
		t.Errorf("update: index %d, error %v, want 1 kept", v.Index, err)
	}
}

func TestNoMoreVRFsThanIndexes(t *testing.T) {
	tx := begin(model{})
	for i := range maxIndex {
		if _, err := tx.VRFs().Create(vrf(fmt.Sprintf("vrf%d", i), 0)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.VRFs().Create(vrf("black", 0)); !errors.Is(err, Exhausted) {
		t.Errorf("%v, want exhausted", err)
	}
}

func TestTheOrderOfGatewaysMeansNothing(t *testing.T) {
	a := svi("svi10", "green", "vlan10", "10.10.0.1/24", "2001:db8:10::1/64")
	b := svi("svi10", "green", "vlan10", "2001:db8:10::1/64", "10.10.0.1/24")
	if !a.Equal(b) {
		t.Error("two orders differ")
	}
	b.Gateways[1] = netip.MustParsePrefix("10.10.0.1/25")
	if a.Equal(b) {
		t.Error("two lengths are equal")
	}
}

func TestGatewaysComeOutOfATableAsACopy(t *testing.T) {
	tx := routed(t)
	s, _ := tx.SVIs().Get("svi10")
	s.Gateways[0] = netip.Prefix{}
	if s, _ := tx.SVIs().Get("svi10"); s.Gateways[0] != netip.MustParsePrefix("10.10.0.1/24") {
		t.Errorf("gateways are now %v", s.Gateways)
	}
}

func FuzzGateways(f *testing.F) {
	for _, s := range []string{"10.100.0.1/24", "2001:db8::1/64", "::ffff:1.2.3.4/120", "10.0.0.255/24", "0.0.0.0/0",
		"10.0.0.0/31"} {
		p, _ := netip.ParsePrefix(s)
		f.Add(p.Addr().AsSlice(), p.Bits())
	}
	f.Fuzz(func(t *testing.T, addr []byte, bits int) {
		a, _ := netip.AddrFromSlice(addr)
		p := netip.PrefixFrom(a, bits)
		if CheckGateway(p) != nil {
			return
		}
		if !p.IsValid() || p.Bits() < 1 || a.Is4In6() || !a.IsGlobalUnicast() || !p.Contains(a) {
			t.Errorf("%v passed", p)
		}
		s := SVI{ID: "svi10", VRF: "green", Bridge: "vlan10", Gateways: []netip.Prefix{p}}
		if v, err := encode(s); err != nil {
			t.Error(err)
		} else if again, err := decode[SVI]("svi10", v); err != nil || !again.Equal(s) {
			t.Errorf("%v is read back as %v (%v)", s, again, err)
		}
	})
}
