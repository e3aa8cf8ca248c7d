package testbed

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/ether"
)

// The leaf that the routed tests rely on is checked without a gateway first.
func TestTwoLeavesRouteOverEVPN(t *testing.T) {
	t.Parallel()
	needFRR(t)
	l, ctx := needLab(t), t.Context()
	var leaves [2]*Leaf
	number := func(format string, i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf(format, i+1)) }
	prefix := func(format string, args ...any) netip.Prefix {
		return netip.MustParsePrefix(fmt.Sprintf(format, args...))
	}
	var spaces [2]*Namespace
	for i := range spaces {
		spaces[i] = must(l.Namespace(fmt.Sprintf("leaf%d", i+1)))(t)
	}
	check(t, l.Cable(End{NS: spaces[0], Dev: "eth0", MTU: underlayMTU}, End{NS: spaces[1], Dev: "eth0"}))
	hosts := map[string]*Host{}
	for i, n := range spaces {
		check(t, n.AddAddress("eth0", netip.PrefixFrom(number("10.1.3.%d", i), 24)))
		vrf := func(name string, vni uint32) LeafVRF {
			return LeafVRF{Name: name, NS: must(l.Namespace(fmt.Sprintf("%s%d", name, i+1)))(t), VNI: vni,
				RouterMAC: ether.MAC{2, 0, 0, byte(vni >> 8), byte(vni), byte(i + 1)}}
		}
		tenant := vrf("tenant", 5001)
		if i == 1 {
			tenant.Default = true
			tenant.Hidden, tenant.Hidden6 = prefix("198.51.100.1/32"), prefix("2001:db8:5100::1/128")
		}
		leaf := must(l.NewLeaf(n, fmt.Sprintf("leaf%d", i+1), uint32(65101+i), number("10.0.0.%d", i),
			[]Peer{{Address: number("10.1.3.%d", 1-i), AS: uint32(65102 - i), Underlay: true}}, 1500, tenant, vrf("other",
				5002), vrf("blue", 0)))(t)
		leaves[i] = leaf
		// Symmetric, twice with the same addresses: each leaf has a subnet of its own.
		for k, name := range []string{"tenant", "other"} {
			vni := uint32(1010 + 10*k + i)
			gw4, gw6 := prefix("10.1.%d.1/24", 11+i), prefix("2001:db8:%d::1/64", 11+i)
			check(t, leaf.AddRoutedVNI(name, vni, ether.MAC{2, 0, 0, 1, byte(k), byte(i)}, gw4, gw6))
			hosts[fmt.Sprint(name, i)] = leafHost(t, l, leaf, name, vni, byte(k), gw4, gw6)
		}
		// Asymmetric: both leaves have both subnets.
		for k := range 2 {
			check(t, leaf.AddRoutedVNI("blue", uint32(1030+k), ether.MAC{2, 0, 0, 2, byte(k), byte(i)},
				prefix("10.1.%d.1/24", 31+k), prefix("2001:db8:%d::1/64", 31+k)))
		}
		hosts[fmt.Sprint("blue", i)] = leafHost(t, l, leaf, "blue", uint32(1030+i), byte(2+i), prefix("10.1.%d.1/24", 31+i),
			prefix("2001:db8:%d::1/64", 31+i))
		for _, p := range []netip.Prefix{prefix("10.9.9.9/32"), prefix("2001:db8:9::9/128"), tenant.Hidden, tenant.Hidden6} {
			if tenant.Default {
				check(t, tenant.NS.AddAddress("lo", p))
			}
		}
		check(t, leaf.Start(ctx))
	}

	reach := func(from *Host, to ...netip.Addr) {
		t.Helper()
		for _, a := range to {
			took, err := from.Reach(ctx, a, 2*patience)
			if err != nil {
				t.Error(err)
			}
			t.Logf("%s reaches %s after %v", from.Name, a, took)
		}
	}
	for _, name := range []string{"tenant", "other", "blue"} {
		a, b := hosts[name+"0"], hosts[name+"1"]
		reach(a, a.Gateway, a.Gateway6, b.Address.Addr(), b.Address6.Addr())
		reach(b, a.Address.Addr(), a.Address6.Addr())
	}
	reach(hosts["tenant0"], netip.MustParseAddr("10.9.9.9"), netip.MustParseAddr("2001:db8:9::9")) // type-5 prefix
	reach(hosts["tenant0"], netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:5100::1"))
	// A prefix of one VRF is not reached from the other.
	check(t, hosts["other0"].Misses(ctx, netip.MustParseAddr("10.9.9.9"), hosts["other0"], hosts["other1"].Address.Addr()))
	// Reached by the default route, and not by one of its own.
	routes := must(leaves[0].VRFs["tenant"].NS.Output(ctx, "ip", "route", "show"))(t)
	if !strings.Contains(routes, "default via 10.0.0.2 dev br5001") || strings.Contains(routes, "198.51.100") {
		t.Errorf("the routes of leaf1's tenant are\n%s", routes)
	}
}

// leafHost puts a host behind a leaf's VNI of a VRF, whose gateways it uses.
func leafHost(t *testing.T, l *Lab, leaf *Leaf, vrf string, vni uint32, number byte, gw4, gw6 netip.Prefix) *Host {
	t.Helper()
	name := fmt.Sprintf("h%d", vni)
	if vrf == "blue" {
		name += leaf.Name
	}
	h := &Host{
		Name: name, NS: must(l.Namespace(name))(t), Dev: "eth0", MAC: ether.MAC{2, 0, 0, 9, byte(vni), number},
		Address: netip.PrefixFrom(hostOf(gw4), gw4.Bits()), Address6: netip.PrefixFrom(hostOf(gw6), gw6.Bits()),
		Gateway: gw4.Addr(), Gateway6: gw6.Addr(),
	}
	dev := fmt.Sprintf("h%d", vni)
	check(t, l.Cable(End{NS: h.NS, Dev: "eth0"}, End{NS: leaf.VRFs[vrf].NS, Dev: dev}))
	check(t, leaf.JoinVRF(vrf, dev, vni))
	check(t, h.Configure())
	return h
}
