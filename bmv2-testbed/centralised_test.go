package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/ether"
)

// eachCentralised runs steps of a test one after the other, with a gateway that is unique and
// with one that is centralised.
func eachCentralised(t *testing.T, steps ...centralisedStep) {
	t.Parallel()
	for _, c := range [][2]string{{Embedded, "unique"}, {Embedded, "centralised"}, {BMv2, "unique"}} {
		t.Run(c[0]+" "+c[1], func(t *testing.T) {
			t.Parallel()
			needDemo(t, c[0])
			binary, l := must(builtBinary())(t), needLab(t)
			t.Cleanup(func() { logsOf(t, l) })
			c := must(l.BuildCentralised(t.Context(), c[0], binary, c[1]))(t)
			t.Cleanup(func() { viewOf(t, c.gateway, c.leaf) })
			for _, s := range steps {
				t.Run(s.claim, func(t *testing.T) { s.test(t, c) })
			}
		})
	}
}

// centralisedStep leaves the network as the next one may have it.
type centralisedStep struct {
	claim string
	test  func(t *testing.T, c *Centralised)
}

func TestHostsBehindALeafThatOnlyBridgesHaveTheirGatewayHere(t *testing.T) {
	eachCentralised(t,
		centralisedStep{"a silent one is found and gets a route", silentHostGetsARoute},
		centralisedStep{"who was found is sent to as who is known", foundHostIsAsGoodAsAKnownOne},
		centralisedStep{"they are routed", hostsAreRouted},
		centralisedStep{"they configure themselves by it", hostConfiguresItself})
}

// A host that was silent is found by whoever sends to it (RFC 9135 section 4), and then
// reached without the CPU.
func silentHostGetsARoute(t *testing.T, c *Centralised) {
	ctx, from, to := t.Context(), c.hosts["near1"], c.hosts["far2"]
	check(t, c.reach(ctx, "near1", "far2"))
	for _, p := range []netip.Prefix{to.Address, to.Address6} {
		check(t, Eventually(ctx, patience, "a route to the host itself", func(ctx context.Context) error {
			out, err := c.gateway.Show(ctx, "route", "tenant", p.Addr().String())
			if err == nil && !strings.Contains(out, "to the host") {
				err = fmt.Errorf("%s", out)
			}
			return err
		}))
	}
	before := must(c.punted(ctx))(t)
	const pings = 50
	for _, p := range []netip.Prefix{to.Address, to.Address6} {
		must(from.NS.Output(ctx, "ping", "-n", "-q", "-i", "0.01", "-c", fmt.Sprint(pings), p.Addr().String()))(t)
	}
	if n := must(c.punted(ctx))(t) - before; n > 0 {
		t.Errorf("%v of %d packets to a host that is known went through the controller", n, 2*pings)
	}
	c.knowsNoAddresses(t)
}

// punted is how many packets that were to be routed went to the controller.
func (c *Centralised) punted(ctx context.Context) (n float64, err error) {
	values, err := c.gateway.Metrics(ctx)
	for name, v := range values {
		if reason, is := strings.CutPrefix(name, "p4evpn_controller_punts_total"); is &&
			!strings.Contains(reason, "arp") && !strings.Contains(reason, "nd") {
			n += v
		}
	}
	return n, err
}

// knowsNoAddresses checks that the leaf said nothing of its hosts' addresses: what is routed
// to them is so by what the gateway found out.
func (c *Centralised) knowsNoAddresses(t *testing.T) {
	t.Helper()
	for _, h := range c.hosts {
		if must(c.advertises(t.Context(), h.Address.Addr()))(t) {
			t.Errorf("the leaf advertises %s", h.Address)
		}
	}
}

// A host that was found is sent to by the same entries as when its leaf says its address, and
// neither by the CPU: no frame is slower.
func foundHostIsAsGoodAsAKnownOne(t *testing.T, c *Centralised) {
	ctx, from, to := t.Context(), c.hosts["near1"], c.hosts["far2"]
	a, ways := to.Address.Addr(), map[bool]map[string]bool{}
	for _, known := range []bool{false, true} {
		check(t, c.tell(ctx, to, known))
		check(t, c.reach(ctx, from.Name, to.Name))
		check(t, Eventually(ctx, patience, "nothing of its packets goes to the CPU", func(ctx context.Context) error {
			before, err := c.punted(ctx)
			if err != nil {
				return err
			}
			if _, err := from.NS.Output(ctx, "ping", "-n", "-q", "-i", "0.01", "-c", "20", a.String()); err != nil {
				return err
			}
			after, err := c.punted(ctx)
			if after > before {
				err = errors.Join(err, fmt.Errorf("%v punts of 20 packets", after-before))
			}
			return err
		}))
		ways[known] = must(c.leadsTo(t, to.MAC, a))(t)
	}
	if len(ways[false]) != 2 {
		t.Errorf("%d entries lead to %v where it was found, want a route and the MAC's", len(ways[false]), a)
	}
	if err := differences(ways[true], ways[false]); err != nil {
		t.Errorf("%v was found, and against what its leaf says %v", a, err)
	}
}

// leadsTo are the entries by which the pipeline sends to a host: the route to its address, and
// the place of its MAC.
func (c *Centralised) leadsTo(t *testing.T, m ether.MAC, a netip.Addr) (map[string]bool, error) {
	held, err := c.gateway.raw(t).held(t.Context(), "bridge.fdb", "router.ipv4", "router.ipv6")
	maps.DeleteFunc(held, func(wire string, _ bool) bool {
		key := &p4v1.Entity{}
		if err := proto.Unmarshal([]byte(wire), key); err != nil {
			return true
		}
		for _, f := range key.GetTableEntry().GetMatch() {
			// The shortest form of a value has no zeros before it (P4Runtime 8.3).
			for _, b := range [][]byte{m[:], a.AsSlice()} {
				if b = bytes.TrimLeft(b, "\x00"); bytes.Equal(f.GetExact().GetValue(), b) || bytes.Equal(f.GetLpm().GetValue(), b) {
					return false
				}
			}
		}
		return true
	})
	return held, err
}

// RFC 7432 section 10.1, RFC 9135 section 4: hosts behind a leaf that only bridges find
// their gateway, and whoever is behind it, and are found.
func hostsAreRouted(t *testing.T, c *Centralised) {
	ctx := t.Context()
	for i, b := range centralBridges {
		h := c.hosts[fmt.Sprintf("far%d", i+1)]
		for _, a := range []netip.Addr{h.Gateway, h.Gateway6} {
			must(h.Reach(ctx, a, patience))(t)
			if out := must(h.NS.Output(ctx, "ip", "neigh", "show", a.String()))(t); !strings.Contains(out, b.mac.String()) {
				t.Errorf("%s has for its gateway %s %q, want %s", h.Name, a, out, b.mac)
			}
		}
	}
	for _, way := range [][2]string{{"far1", "near2"}, {"far1", "far2"}, {"near1", "far2"}, {"near2", "far1"}} {
		check(t, c.reach(ctx, way[0], way[1]))
	}
}

// RFC 4861 section 6.2.6: it asks when it comes up, by VXLAN.
func hostConfiguresItself(t *testing.T, c *Centralised) {
	ctx, h := t.Context(), c.hosts["far1"]
	must(h.NS.Output(ctx, "ip", "-6", "route", "delete", "default"))(t)
	check(t, h.NS.DeleteAddress(h.Dev, h.Address6))
	check(t, h.NS.Sysctl("net.ipv6.conf.eth0.accept_ra", "1"))
	check(t, h.NS.Down(h.Dev))
	check(t, h.NS.Up(h.Dev))
	check(t, Eventually(ctx, 2*patience, "an address and a default route", func(ctx context.Context) error {
		out, err := h.NS.Output(ctx, "sh", "-c", "ip -6 address show dev eth0 scope global; ip -6 route show default")
		if err == nil && (!strings.Contains(out, "inet6 2001:db8:41:") || !strings.Contains(out, "default via fe80:")) {
			err = fmt.Errorf("it has %q", out)
		}
		return err
	}))
	must(h.Reach(ctx, c.hosts["near2"].Address6.Addr(), patience))(t)
}
