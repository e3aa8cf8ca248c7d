package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/ether"
)

/*
One leaf at both uplinks; nobody has a static route.

	h1 ─ gateway ═ uplink1, uplink2 ═ leaf1 (FRR) ─ l1a
*/
type routedUnderlay struct {
	gateway *Gateway
	leaf    *Leaf
	h1, l1a *Host
	config  string

	// elsewhere is h1's device at the leaf, which has no address.
	elsewhere string
}

const learnedRoutes = "164" // the protocol number of the routes that p4evpn learns

// leafUnderlay are the leaf's BGP lines: EVPN and its connected prefixes, which
// are its VTEP and the subnets of the uplinks.
const leafUnderlay = `router bgp 65101
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 bgp router-id 10.0.0.11
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 timers bgp 3 9
 neighbor 10.1.1.1 remote-as 65000
 neighbor 10.1.1.1 timers connect 1
 neighbor 10.1.2.1 remote-as 65000
 neighbor 10.1.2.1 timers connect 1
 address-family ipv4 unicast
  redistribute connected
  neighbor 10.1.1.1 activate
  neighbor 10.1.2.1 activate
 exit-address-family
 address-family l2vpn evpn
  neighbor 10.1.1.1 activate
  neighbor 10.1.2.1 activate
  advertise-all-vni
 exit-address-family
`

func buildRoutedUnderlay(t *testing.T, target string) *routedUnderlay {
	needDemo(t, target)
	l, ctx := needLab(t), t.Context()
	t.Cleanup(func() {
		if t.Failed() {
			showLogs(testWriter{t}, l)
		}
	})
	space := func(name string) *Namespace { return must(l.Namespace(name))(t) }
	gw, leaf, h1, l1a := space("gw"), space("leaf1"), space("h1"), space("l1a")
	check(t, l.Cable(End{NS: h1, Dev: "eth0"}, End{NS: gw, Dev: "port1", Switch: true}))
	check(t, l.Cable(End{NS: l1a, Dev: "eth0"}, End{NS: leaf, Dev: "l1a"}))
	check(t, l.Cable(End{NS: h1, Dev: "eth1"}, End{NS: leaf, Dev: "h1"}))
	ports := []SwitchPort{{1, "port1"}}
	var config strings.Builder
	for i, u := range demoUplinks {
		up := fmt.Sprintf("gw%d", i+1)
		check(t, l.Cable(End{NS: leaf, Dev: up, MTU: underlayMTU}, End{NS: gw, Dev: u.name, Switch: true}))
		check(t, l.Cable(End{NS: gw, Dev: u.host, MTU: underlayMTU}, End{NS: gw, Dev: u.hostPortDevice, Switch: true}))
		check(t, gw.AddAddress(u.host, netip.PrefixFrom(netip.MustParseAddr(u.address), 24)))
		check(t, leaf.AddAddress(up, netip.PrefixFrom(netip.MustParseAddr(u.peer), 24)))
		ports = append(ports, SwitchPort{u.number, u.name}, SwitchPort{u.hostPort, u.hostPortDevice})
		fmt.Fprintf(&config, "  - {name: %s, number: %d, interface: %[1]s, host: {number: %[3]d, interface: %[4]s, "+
			"device: %[5]s}}\n",
			u.name, u.number, u.hostPort, u.hostPortDevice, u.host)
	}
	check(t, leaf.AddAddress("lo", netip.PrefixFrom(leaf1VTEP, 32)))
	check(t, leaf.Sysctl("net.ipv4.ip_forward", "1"))
	n := &routedUnderlay{leaf: &Leaf{FRR: must(l.StartFRR(ctx, leaf, "leaf1", leafUnderlay))(t), Name: "leaf1",
		AS: leaf1AS, VTEP: leaf1VTEP}, elsewhere: "eth1"}
	check(t, n.leaf.AddVNI(blueVNI))
	check(t, n.leaf.Join("l1a", blueVNI))
	check(t, n.leaf.Join("h1", blueVNI))
	host := func(name string, ns *Namespace, number byte) *Host {
		h := &Host{Name: name, NS: ns, Dev: "eth0", MAC: ether.MAC{2, 0, 0, 0, 0, number},
			Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 10, number}), 24)}
		check(t, h.Configure())
		return h
	}
	n.h1, n.l1a = host("h1", h1, 1), host("l1a", l1a, 0x31)
	n.gateway = must(l.Gateway(gw, must(builtBinary())(t), target, gatewayVTEP, ports))(t)
	check(t, n.gateway.StartSwitch(ctx))
	n.config = fmt.Sprintf("as: %d\nrouter_id: %[2]s\nvteps: [%[2]s]\nstore: %s/p4evpn.db\n", gatewayAS, gatewayVTEP,
		l.Dir) +
		fmt.Sprintf("target: {address: %q, embedded: false}\napi: {listen: %q}\n", targetAddress, n.gateway.socket) +
		"ports:\n  - {name: port1, number: 1, interface: port1}\nuplinks:\n" + config.String() + "bgp:\n  neighbors:\n"
	for _, u := range demoUplinks {
		n.config += fmt.Sprintf("    - {address: %s, as: %d, families: [evpn, ipv4], hold_time: 9s, connect_retry: 1s}\n",
			u.peer, leaf1AS)
	}
	check(t, n.gateway.StartController(ctx, n.config))
	check(t, n.gateway.CreateBridge(ctx, blue, tagBlue, blueVNI))
	check(t, n.gateway.CreatePort(ctx, "port1", ether.MAC{2, 0, 0, 0, 1, 1}, opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS,
		blue))
	return n
}

// learned gives the gateway's learned routes as "prefix nexthop ...".
func (n *routedUnderlay) learned(ctx context.Context) ([]string, error) {
	out, err := n.gateway.NS.Output(ctx, "ip", "-o", "route", "show", "proto", learnedRoutes)
	var routes []string
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		var hops []string
		for i, f := range fields {
			if f == "via" {
				hops = append(hops, fields[i+1])
			}
		}
		slices.Sort(hops)
		routes = append(routes, fields[0]+" "+strings.Join(hops, " "))
	}
	return routes, err
}

func (n *routedUnderlay) awaitLearned(t *testing.T, want ...string) {
	t.Helper()
	check(t, Eventually(t.Context(), 2*patience, fmt.Sprintf("the gateway's learned routes are %q", want),
		func(ctx context.Context) error {
			got, err := n.learned(ctx)
			if err == nil && !slices.Equal(got, want) {
				err = fmt.Errorf("they are %q", got)
			}
			return err
		}))
}

// awaitPaths waits until the gateway sends to the leaf by so many uplinks.
func (n *routedUnderlay) awaitPaths(t *testing.T, want int) {
	t.Helper()
	check(t, Eventually(t.Context(), 2*patience, fmt.Sprintf("the leaf is reached by %d uplinks", want),
		func(ctx context.Context) error {
			vteps, err := n.gateway.VTEPs(ctx)
			if err != nil {
				return err
			}
			if v := vteps[leaf1VTEP.String()]; len(v.GetPaths()) != want {
				return fmt.Errorf("the paths are %v (%s)", v.GetPaths(), v.GetReason())
			}
			return nil
		}))
}

func (n *routedUnderlay) reach(t *testing.T) {
	t.Helper()
	_, err := n.h1.Reach(t.Context(), n.l1a.Address.Addr(), 2*patience)
	check(t, err)
}

// watchRoutes follows the gateway's routes until the function that it gives is
// called, which gives what `ip monitor` saw.
func (n *routedUnderlay) watchRoutes(t *testing.T) (seen func() string) {
	t.Helper()
	return n.watchRoutesOf(t, n.gateway.NS)
}

// watchRoutesOf is watchRoutes in a namespace. It returns when `ip monitor` has
// seen a route of ours come, so that it misses none.
func (n *routedUnderlay) watchRoutesOf(t *testing.T, ns *Namespace) (seen func() string) {
	t.Helper()
	p := must(n.gateway.lab.Start(ns, "monitor", "ip", "monitor", "route"))(t)
	check(t, Eventually(t.Context(), patience, "ip monitor listens", func(ctx context.Context) error {
		const marker = "198.51.100.1"
		for _, op := range []string{"replace", "delete"} {
			if _, err := ns.Output(ctx, "ip", "route", op, marker, "dev", "lo"); err != nil {
				return err
			}
		}
		if !strings.Contains(p.Tail(1<<16), marker) {
			return errors.New("it saw no route yet")
		}
		return nil
	}))
	return func() string {
		check(t, p.Kill())
		return p.Tail(1 << 16)
	}
}

// awaitSessions waits until so many BGP sessions of the leaf are established
// for ipv4 unicast.
func (l *Leaf) awaitSessions(ctx context.Context, want int) error {
	return Eventually(ctx, 2*patience, fmt.Sprintf("%s has %d sessions", l.Name, want), func(ctx context.Context) error {
		out, err := l.Show(ctx, "show bgp ipv4 unicast summary established json")
		if err == nil && strings.Count(out, `"state":"Established"`) != want {
			err = errors.New(out)
		}
		return err
	})
}

func TestUnderlayIsRoutedByTheSameSessions(t *testing.T) {
	t.Parallel()
	for _, target := range []string{Embedded, BMv2} {
		t.Run(target, func(t *testing.T) {
			n, ctx := buildRoutedUnderlay(t, target), t.Context()
			both, second := "10.0.0.11 10.1.1.2 10.1.2.2", "10.0.0.11 10.1.2.2"

			// The subnets of the uplinks, which the leaf advertises too, stay ours.
			n.awaitLearned(t, both)
			n.awaitPaths(t, 2)
			n.reach(t)

			// A killed controller leaves the routes, and the next one takes them
			// over: they are never away.
			check(t, n.gateway.KillController())
			changes := n.watchRoutes(t)
			check(t, n.gateway.StartController(ctx, n.config))
			check(t, n.leaf.awaitSessions(ctx, 2))
			n.awaitLearned(t, both)
			if log := changes(); strings.Contains(log, "Deleted 10.0.0.11 ") {
				t.Errorf("the new controller took routes away:\n%s", log)
			}
			n.awaitPaths(t, 2)
			n.reach(t)

			shutdown := func(line string) {
				check(t, n.leaf.Configure(ctx, "router bgp 65101", line))
			}
			shutdown("neighbor 10.1.1.1 shutdown")
			n.awaitLearned(t, second)
			n.awaitPaths(t, 1)
			n.reach(t)
			shutdown("no neighbor 10.1.1.1 shutdown")
			n.awaitLearned(t, both)
			n.awaitPaths(t, 2)

			redistribute := func(line string) {
				check(t, n.leaf.Configure(ctx, "router bgp 65101", "address-family ipv4 unicast", line))
			}
			redistribute("no redistribute connected")
			n.awaitLearned(t)
			n.awaitPaths(t, 0)
			redistribute("redistribute connected")
			n.awaitLearned(t, both)
			n.awaitPaths(t, 2)
			n.reach(t)
		})
	}
}
