package testbed

import (
	"context"
	"fmt"
	"strings"
	"testing"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/ether"
)

func TestDeletedObjectsLeaveNothingAndCanBeMadeAgain(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, d *demo) {
		ctx := t.Context()
		d.whole(t)
		if err := d.gateway.DeleteBridge(ctx, blue); err == nil {
			t.Error("a bridge that has ports could be deleted")
		}
		for _, p := range demoPorts {
			check(t, d.gateway.DeletePort(ctx, p.name))
		}
		// Hosts of deleted ports do not reach each other.
		check(t, d.h1.Misses(ctx, d.h2.Address.Addr(), d.l1a, d.l2a.Address.Addr()))
		for _, bridge := range []string{blue, green} {
			check(t, d.gateway.DeleteBridge(ctx, bridge))
		}
		check(t, Eventually(ctx, patience, "nothing of the bridges is left", func(ctx context.Context) error {
			out, err := d.gateway.Show(ctx, "entries")
			if err != nil {
				return err
			}
			for line := range strings.Lines(out) {
				for _, table := range []string{"bridge.", "multicast_group", "flood.", "vxlan.vni", "vxlan.tunnel", "vxlan.peer",
					"underlay."} {
					if strings.Contains(line, " "+table) {
						return fmt.Errorf("there is still %s", line)
					}
				}
			}
			vteps, err := d.leaf1.FloodsTo(blueVNI)
			if err == nil && len(vteps) != 1 {
				err = fmt.Errorf("leaf1 floods to %v, want leaf2 alone", vteps)
			}
			return err
		}))
		check(t, d.createObjects(ctx, nil, DemoOptions{}))
		d.whole(t)
	})
}

func TestTransparentTrunkCarriesEveryBridgeByItsVLAN(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, d *demo) {
		ctx := t.Context()
		check(t, d.gateway.DeletePort(ctx, trunkName))
		check(t, d.gateway.CreatePort(ctx, trunkName, ether.MAC{2, 0, 0, 0, 1, 4}, opi.BridgePortType_BRIDGE_PORT_TYPE_TRUNK))
		check(t, d.gateway.AwaitPortsUp(ctx))
		check(t, d.converge(ctx, nil, DemoOptions{}))
		must(trunkPings(ctx, d))(t)
		for _, from := range []*Host{d.t10, d.t20} {
			check(t, d.expectFrame(ctx, from, from.MAC, ether.Broadcast, d.others(from)))
		}
	})
}

func TestPortThatDoesNotExistIsDownAndSaysWhy(t *testing.T) {
	t.Parallel()
	d := buildNetwork(t, DemoOptions{Target: Embedded})
	ctx := t.Context()
	check(t, d.gateway.CreatePort(ctx, "nowhere", ether.MAC{2, 0, 0, 0, 1, 99},
		opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS, blue))
	check(t, Eventually(ctx, patience, "the port is down", func(ctx context.Context) error {
		p, err := opi.NewBridgePortServiceClient(d.gateway.conn).GetBridgePort(ctx,
			&opi.GetBridgePortRequest{Name: "bridgePorts/nowhere"})
		if err != nil {
			return err
		}
		if p.GetStatus().GetOperStatus() != opi.BPOperStatus_BP_OPER_STATUS_DOWN ||
			!strings.Contains(fmt.Sprint(p.GetStatus().GetComponents()), "port") {
			return fmt.Errorf("its status is %v", p.GetStatus())
		}
		return nil
	}))
	d.whole(t) // the others are as well as before
}
