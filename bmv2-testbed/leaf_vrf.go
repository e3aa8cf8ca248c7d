package testbed

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/p4evpn/p4evpn/ether"
)

// LeafVRF is a tenant's VRF on a leaf: a namespace, which FRR takes for a VRF
// where the kernel has no VRF device.
type LeafVRF struct {
	Name string
	NS   *Namespace
	// VNI is the L3 VNI of symmetric IRB and type-5 routes; 0: none, so that the
	// leaf routes between its own bridges only (asymmetric IRB).
	VNI       uint32
	RouterMAC ether.MAC
	// Default originates type-5 default routes, of both versions of IP.
	Default bool
	// Hidden is not advertised though it is connected; invalid: none.
	Hidden, Hidden6 netip.Prefix
}

// zebraConfig gives the VRFs their L3 VNIs. With next hop groups in the kernel zebra 8.4 loses
// a path of several for good when its device loses carrier and has it back soon: the kernel
// took it out of the group, and zebra uses that group again.
func zebraConfig(vrfs []LeafVRF) string {
	var b strings.Builder
	b.WriteString("no zebra nexthop kernel enable\n")
	for _, v := range vrfs {
		if v.VNI != 0 {
			fmt.Fprintf(&b, "vrf %s\n vni %d\nexit-vrf\n", v.Name, v.VNI)
		}
	}
	return b.String()
}

// bgpConfig advertises what is connected in a VRF by type-5 routes.
func (v LeafVRF) bgpConfig(as uint32, id netip.Addr) string {
	if v.VNI == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(v.hide("ip", v.Hidden) + v.hide("ipv6", v.Hidden6))
	fmt.Fprintf(&b, "router bgp %d vrf %s\n bgp router-id %s\n no bgp ebgp-requires-policy\n"+
		" no bgp network import-check\n", as, v.Name, id)
	for _, f := range []struct{ name, all string }{{"ipv4", "0.0.0.0/0"}, {"ipv6", "::/0"}} {
		fmt.Fprintf(&b, " address-family %s unicast\n  redistribute connected route-map %s-%[1]s\n", f.name, v.Name)
		if v.Default { // FRR 8.4 forgets the VNI of what default-originate makes
			fmt.Fprintf(&b, "  network %s\n", f.all)
		}
		b.WriteString(" exit-address-family\n")
	}
	b.WriteString(" address-family l2vpn evpn\n  advertise ipv4 unicast\n  advertise ipv6 unicast\n exit-address-family\n")
	return b.String()
}

// hide gives the route map of what is redistributed.
func (v LeafVRF) hide(version string, p netip.Prefix) string {
	family := map[string]string{"ip": "ipv4", "ipv6": "ipv6"}[version]
	name, text := v.Name+"-"+family, ""
	if p.IsValid() {
		text = fmt.Sprintf("%s prefix-list hidden-%s permit %s\nroute-map %[2]s deny 10\n"+
			" match %[1]s address prefix-list hidden-%[2]s\nexit\n", version, name, p.Masked())
	}
	return text + fmt.Sprintf("route-map %s permit 20\nexit\n", name)
}

// seeingVRFs gives the command that runs a daemon where /run/netns has the
// namespaces of our VRFs alone, by the names of the VRFs. `ip netns exec` gives
// each program mounts of its own.
func (f *FRR) seeingVRFs() []string {
	if len(f.vrfs) == 0 {
		return nil
	}
	folder := filepath.Join(f.Folder, "netns")
	var b strings.Builder
	fmt.Fprintf(&b, "set -e\nmkdir -p %s\n", folder)
	for _, v := range f.vrfs {
		at := filepath.Join(folder, v.Name)
		fmt.Fprintf(&b, "touch %s\nmount --bind %s %[1]s\n", at, filepath.Join(netnsFolder, v.NS.Name))
	}
	fmt.Fprintf(&b, "mount --rbind %s %s\nexec \"$@\"\n", folder, netnsFolder)
	return []string{"sh", "-c", b.String(), "sh"}
}

// addL3VNI makes the bridge and the VXLAN device of a VRF's L3 VNI. The bridge's
// MAC address is the router MAC.
func (l *Leaf) addL3VNI(v LeafVRF) error {
	if err := l.addVNI(v.NS, v.VNI); err != nil {
		return err
	}
	return v.NS.SetMAC(bridgeOf(v.VNI), v.RouterMAC)
}

// AddRoutedVNI makes the bridge and the VXLAN device of a VNI in a VRF, whose
// gateway the leaf is by the addresses of the bridge.
func (l *Leaf) AddRoutedVNI(vrf string, vni uint32, mac ether.MAC, gateways ...netip.Prefix) error {
	n := l.VRFs[vrf].NS
	if err := l.addVNI(n, vni); err != nil {
		return err
	}
	if err := n.SetMAC(bridgeOf(vni), mac); err != nil {
		return err
	}
	for _, g := range gateways {
		if err := n.AddAddress(bridgeOf(vni), g); err != nil {
			return err
		}
	}
	return nil
}

// JoinVRF puts a device of a VRF's namespace into a VNI's bridge.
func (l *Leaf) JoinVRF(vrf, dev string, vni uint32) error { return join(l.VRFs[vrf].NS, dev, vni) }
