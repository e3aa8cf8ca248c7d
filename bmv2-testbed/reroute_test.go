package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
)

// paths waits until the gateway reaches a VTEP by one uplink and next-hop MAC.
func (d *demo) paths(ctx context.Context, vtep netip.Addr, uplink string, mac ether.MAC) error {
	return Eventually(ctx, patience, fmt.Sprintf("the path to %s is %s via %s", vtep, uplink, mac),
		func(ctx context.Context) error {
			vteps, err := d.gateway.VTEPs(ctx)
			if err != nil {
				return err
			}
			v := vteps[vtep.String()]
			if len(v.GetPaths()) != 1 || v.GetPaths()[0].GetUplink() != uplink ||
				v.GetPaths()[0].GetNextHopMac() != mac.String() {
				return fmt.Errorf("it is %v (%s)", v.GetPaths(), v.GetReason())
			}
			return nil
		})
}

func TestTunnelFollowsTheUnderlayRoute(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, d *demo) {
		ctx := t.Context()
		d.whole(t)
		check(t, d.paths(ctx, leaf1VTEP, "up1", must(d.leaf1.NS.MAC("gw"))(t)))

		// leaf1 by way of leaf2, and back.
		must(d.gateway.NS.Output(ctx, "ip", "route", "replace", leaf1VTEP.String(), "via", leaf2Up))(t)
		check(t, d.paths(ctx, leaf1VTEP, "up2", must(d.leaf2.NS.MAC("gw"))(t)))
		d.whole(t)
		must(d.gateway.NS.Output(ctx, "ip", "route", "replace", leaf1VTEP.String(), "via", leaf1Up))(t)
		check(t, d.paths(ctx, leaf1VTEP, "up1", must(d.leaf1.NS.MAC("gw"))(t)))
		d.whole(t)
	})
}

func TestTunnelFollowsTheNextHopsMAC(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, d *demo) {
		ctx := t.Context()
		d.whole(t)
		replaced := ether.MAC{2, 0, 0, 0, 0xcc, 1}
		check(t, d.leaf1.NS.SetMAC("gw", replaced))
		leaf := &Host{Name: "leaf1", NS: d.leaf1.NS, Dev: "gw", MAC: replaced,
			Address: netip.PrefixFrom(netip.MustParseAddr(leaf1Up), 24)}
		check(t, leaf.Announce())
		_, err := leaf.Reach(ctx, netip.MustParseAddr(gatewayUp1), patience)
		check(t, err)
		check(t, d.paths(ctx, leaf1VTEP, "up1", replaced))
		d.whole(t)
	})
}

func TestVTEPWithoutARouteIsNotFloodedTo(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, d *demo) {
		ctx := t.Context()
		d.whole(t)
		must(d.gateway.NS.Output(ctx, "ip", "route", "delete", leaf2VTEP.String()))(t)
		check(t, Eventually(ctx, patience, "the switch floods to leaf1 alone", func(ctx context.Context) error {
			groups, err := d.gateway.Replicas(ctx)
			for group, n := range groups {
				if n != 1 {
					return fmt.Errorf("%s has %d replicas", group, n)
				}
			}
			return err
		}))
		want := d.others(d.h1)
		for _, h := range d.atLeaf2() {
			delete(want, h.Name)
		}
		check(t, d.expectFrame(ctx, d.h1, d.h1.MAC, ether.Broadcast, want))
		_, err := d.h1.Reach(ctx, d.l1a.Address.Addr(), patience)
		check(t, err)
		vteps := must(d.gateway.VTEPs(ctx))(t)
		if v := vteps[leaf2VTEP.String()]; v.GetState() == p4evpnv1.State_STATE_UP || v.GetReason() == "" {
			t.Errorf("leaf2 is %v for the reason %q, want it not up and a reason", v.GetState(), v.GetReason())
		}
		check(t, d.gateway.NS.AddRoute(netip.PrefixFrom(leaf2VTEP, 32), netip.MustParseAddr(leaf2Up)))
		d.whole(t)
	})
}

func TestOneMACOnTwoVLANsOfATrunkIsTwoStations(t *testing.T) {
	t.Parallel()
	d := buildNetwork(t, DemoOptions{Target: Embedded})
	ctx := t.Context()
	d.whole(t)
	// One MAC on both VLANs: two stations, each in its own bridge.
	twin := ether.MAC{2, 0, 0, 0, 0xee, 9}
	for _, from := range []*Host{d.t10, d.t20} {
		check(t, d.expectFrame(ctx, from, twin, ether.Broadcast, d.others(from)))
	}
	// Both at once, and each where it is.
	check(t, d.known(ctx, d.t10.at(twin)))
	check(t, d.expectKnown(ctx, d.l1b, d.t20.at(twin), d.t20.Name))
	check(t, d.expectKnown(ctx, d.l1a, d.t10.at(twin), d.t10.Name))
}
