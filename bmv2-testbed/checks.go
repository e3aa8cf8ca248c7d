package testbed

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// claim is one check of a network. Its notes are for the narration.
type claim[N any] struct {
	name string
	run  func(ctx context.Context, network N) (notes string, err error)
}

var demoChecks = []claim[*demo]{
	{"BGP and ARP of the underlay run through the pipeline's uplinks and host ports", underlayThroughPipeline},
	{"hosts on the gateway's access ports reach each other", localPings},
	{"hosts behind the gateway and behind each leaf reach each other, both ways", remotePings},
	{"the trunk's tagged hosts reach their own bridge and nothing else", trunkPings},
	{"a broadcast is received once by every host of its bridge, by no other, and never comes back", broadcastOnce},
	{"unknown unicast floods until the address is learned, then it does not", unknownUnicast},
	{"known unicast reaches its host alone, whichever host sends", knownUnicast},
	{"frames with a VLAN tag that the port does not carry reach nobody", foreignTags},
	{"neither leaf gets the other's routes from the gateway", noTransit},
	{"a host that moves from port to port is reachable within 1 s", moveBetweenPorts},
	{"a station that is back at its port at once is found there by one frame", moveBackAtOnce},
	{"a host that moves from the gateway to a leaf is reachable within 1 s, with a higher sequence number", moveToLeaf},
	{"a host that moves from leaf to leaf is reachable within 1 s, with a higher sequence number", moveBetweenLeaves},
	{"a host that moves from a leaf to the gateway is reachable within 1 s, with a higher sequence number", moveBack},
	{"the address of a silent host ages out on both sides", ageing},
	{"what FRR withdraws goes from the gateway, MACs and flood replica, and returns with it", withdrawal},
	{"what a stopped FRR had goes from the gateway, and returns with it", stoppedLeaf},
}

// selected gives the checks whose name contains a text.
func selected[N any](checks []claim[N], part string) []claim[N] {
	return slices.DeleteFunc(slices.Clone(checks), func(c claim[N]) bool { return !strings.Contains(c.name, part) })
}

// converge waits until everybody floods to everybody in both bridges.
func (d *demo) converge(ctx context.Context, _ map[string]*Namespace, _ DemoOptions) error {
	return Eventually(ctx, 2*patience, "type-3 routes are exchanged", func(ctx context.Context) error {
		return d.flooding(ctx, true)
	})
}

// flooding checks who floods to whom, with leaf2 in or out.
func (d *demo) flooding(ctx context.Context, leaf2 bool) error {
	want := map[bool]int{true: 2, false: 1}[leaf2]
	groups, err := d.gateway.Replicas(ctx)
	if err != nil {
		return err
	}
	for group, n := range groups {
		if n != want {
			return fmt.Errorf("the switch floods %s to %d VTEPs, want %d", group, n, want)
		}
	}
	for bridge, vni := range map[string]uint32{blue: blueVNI, green: greenVNI} {
		b, err := d.gateway.Bridge(ctx, bridge)
		if err != nil {
			return err
		}
		if int(b.GetRemoteVteps()) != want {
			return fmt.Errorf("the gateway floods %s to %d VTEPs, want %d", bridge, b.GetRemoteVteps(), want)
		}
		if !leaf2 {
			continue
		}
		for leaf, others := range map[*Leaf][]string{
			d.leaf1: {gatewayVTEP.String(), leaf2VTEP.String()}, d.leaf2: {gatewayVTEP.String(), leaf1VTEP.String()},
		} {
			vteps, err := leaf.FloodsTo(vni)
			if err != nil {
				return err
			}
			if !slices.Equal(vteps, others) {
				return fmt.Errorf("%s floods VNI %d to %v, want %v", leaf.Name, vni, vteps, others)
			}
		}
	}
	return nil
}
