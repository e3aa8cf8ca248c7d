package ovn

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/controller/intent"
)

// expects waits until the fabric was told of exactly these stations of a bridge.
func (f *fabric) expects(t *testing.T, bridge, want string) {
	t.Helper()
	got := ""
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		f.mu.Lock()
		got = f.expected[bridge]
		f.mu.Unlock()
		if got == "trunk9: "+want {
			return
		}
	}
	t.Fatalf("of %s the fabric was told %q, want %q", bridge, got, want)
}

// up is what northd writes of a port.
func up(port string, is bool) string {
	return fmt.Sprintf("set Logical_Switch_Port %s up=%t", port, is)
}

// told starts a gateway that tells a fabric of the stations of ls1.
func told(t *testing.T, setUp string, change ...func(*Config)) (*server, *fabric, *gateway) {
	t.Helper()
	nb, store, f := serve(t, northboundSchema), intent.NewMemory(), newFabric()
	nb.nb("ls-add ls1 -- ls-add ls2 -- " + setUp)
	stretch(t, store, 10, "ls1")
	g := start(t, store, nb, nil, append(change, func(c *Config) { c.Fabric, c.Port = f, "trunk9" })...)
	return nb, f, g
}

func TestTheFabricIsToldOfTheStationsBehindOVN(t *testing.T) {
	const vm = "lsp-add ls1 vm1 -- " +
		"lsp-set-addresses vm1 02:00:00:00:00:0A~10.0.0.10~2001:db8::a -- set Logical_Switch_Port vm1 up=true"
	for name, c := range map[string]struct{ rows, want string }{
		"a VM":              {"", "02:00:00:00:00:0a[10.0.0.10 2001:db8::a]"},
		"several addresses": {`set Logical_Switch_Port vm1 addresses="02:00:00:00:00:0a~10.0.0.10","02:00:00:00:00:0b"`, "02:00:00:00:00:0a[10.0.0.10] 02:00:00:00:00:0b[]"},
		"by OVN itself":     {`set Logical_Switch_Port vm1 addresses=dynamic dynamic_addresses="02:00:00:00:00:0c~10.0.0.12"`, "02:00:00:00:00:0c[10.0.0.12]"},
		"no address":        {`clear Logical_Switch_Port vm1 addresses`, ""},
		"unknown":           {`lsp-set-addresses vm1 unknown`, ""},
		"nonsense":          {`set Logical_Switch_Port vm1 addresses="02:00:00:00:00:0a~ten~fe80::1%eth0~10.0.0.10","02:00~10.0.0.1","01:00:5e:00:00:01~10.0.0.2",""`, "02:00:00:00:00:0a[10.0.0.10]"},
		"a MAC twice":       {`lsp-add ls1 vm2 -- set Logical_Switch_Port vm2 up=true addresses="02:00:00:00:00:0a~10.0.0.9~10.0.0.10"`, "02:00:00:00:00:0a[10.0.0.9 10.0.0.10 2001:db8::a]"},
		"not up":            {up("vm1", false), ""},
		"disabled":          {"lsp-set-enabled vm1 disabled", ""},
		"on another switch": {`lsp-add ls2 vm2 -- set Logical_Switch_Port vm2 up=true addresses="02:00:00:00:00:0b"`, "02:00:00:00:00:0a[10.0.0.10 2001:db8::a]"},
		"a gateway's port":  {"set Logical_Switch_Port vm1 external_ids:p4evpn-owner=there", ""},
		"another type":      {"lsp-set-type vm1 localnet", ""},
		"a router": {"lr-add r1 -- lrp-add r1 rp1 02:00:00:00:00:0f 10.0.0.1/24 2001:db8::1/64 -- lsp-add ls1 to-r1 -- " +
			"lsp-set-type to-r1 router -- lsp-set-addresses to-r1 router -- lsp-set-options to-r1 router-port=rp1",
			"02:00:00:00:00:0a[10.0.0.10 2001:db8::a] 02:00:00:00:00:0f[10.0.0.1 2001:db8::1]"},
		"a router that is not there": {"lsp-add ls1 to-r1 -- lsp-set-type to-r1 router -- lsp-set-options to-r1 router-port=rp1", "02:00:00:00:00:0a[10.0.0.10 2001:db8::a]"},
	} {
		t.Run(name, func(t *testing.T) {
			rows := vm
			if c.rows != "" {
				rows += " -- " + c.rows
			}
			_, f, _ := told(t, rows)
			f.expects(t, "vni-10", c.want)
		})
	}
}

func TestTheFabricIsToldOnceOfEachChange(t *testing.T) {
	nb, f, g := told(t, "lsp-add ls1 vm1 -- lsp-set-addresses vm1 02:00:00:00:00:0a")
	f.expects(t, "vni-10", "")
	nb.nb(up("vm1", true))
	f.expects(t, "vni-10", "02:00:00:00:00:0a[]")
	nb.nb("lsp-add ls2 vm2")
	nb.nb("lsp-set-addresses vm1 02:00:00:00:00:0a~10.0.0.10")
	f.expects(t, "vni-10", "02:00:00:00:00:0a[10.0.0.10]")
	if f.told != 3 {
		t.Errorf("it was told %d times, want 3", f.told)
	}
	nb.nb("lsp-del vm1")
	f.expects(t, "vni-10", "")
	nb.nb("lsp-add ls1 vm1 -- lsp-set-addresses vm1 02:00:00:00:00:0a -- " + up("vm1", true))
	f.expects(t, "vni-10", "02:00:00:00:00:0a[]")
	if err := g.store.Update(func(tx *intent.Tx) error { return tx.Instances().Delete("bridge.vni-10") }); err != nil {
		t.Fatal(err)
	}
	f.expects(t, "vni-10", "")
}

// A VM that moves is on no chassis for a while, and one whose database is away is still there.
func TestAStationThatIsDownIsToldOfForAWhile(t *testing.T) {
	const vm = "lsp-add ls1 vm1 -- lsp-set-addresses vm1 02:00:00:00:00:0a -- set Logical_Switch_Port vm1 up=true"
	t.Run("it comes up elsewhere", func(t *testing.T) {
		nb, f, _ := told(t, vm, func(c *Config) { c.Linger = time.Hour })
		f.expects(t, "vni-10", "02:00:00:00:00:0a[]")
		nb.nb(up("vm1", false))
		nb.nb(up("vm1", true))
		nb.nb(up("vm1", false))
		nb.stop()
		nb.start()
		nb.nb("lsp-add ls1 vm2 -- lsp-set-addresses vm2 02:00:00:00:00:0b -- " + up("vm2", true))
		f.expects(t, "vni-10", "02:00:00:00:00:0a[] 02:00:00:00:00:0b[]")
		if f.told != 2 {
			t.Errorf("it was told %d times, want 2", f.told)
		}
	})
	t.Run("it does not", func(t *testing.T) {
		nb, f, _ := told(t, vm, func(c *Config) { c.Linger = time.Millisecond })
		f.expects(t, "vni-10", "02:00:00:00:00:0a[]")
		nb.nb(up("vm1", false))
		f.expects(t, "vni-10", "")
	})
}

func FuzzReadStation(f *testing.F) {
	for _, seed := range []string{"02:00:00:00:00:0a 10.0.0.1 2001:db8::1", "unknown", "dynamic", "router", "",
		"02:00:00:00:00:0f 10.0.0.1/24", "02:00:00:00:00:0a ::ffff:10.0.0.1 fe80::1%eth0 x/y /"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		mac, ips, ok := readStation(strings.Fields(address))
		if ok && (mac.IsZero() || mac.IsMulticast()) || slices.ContainsFunc(ips, func(ip netip.Addr) bool {
			return !ip.IsValid() || ip.Zone() != "" || ip.Is4In6()
		}) {
			t.Errorf("%q: %v %v", address, mac, ips)
		}
	})
}
