package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// underlayThroughPipeline stops the switch for a moment: what went through it
// stops with it, ARP and BGP alike, and goes on with it.
func underlayThroughPipeline(ctx context.Context, d *demo) (string, error) {
	gw, up1 := Host{Name: "the gateway", NS: d.gateway.NS}, demoUplinks[0].host
	leaf := netip.MustParseAddr(leaf1Up)
	if _, err := gw.Reach(ctx, leaf, patience); err != nil {
		return "", err
	}
	if err := d.gateway.dataplane.Pause(ctx); err != nil {
		return "", err
	}
	// The leaves have a cable between them.
	err := gw.Misses(ctx, leaf, &Host{Name: "leaf1", NS: d.leaf1.NS}, netip.MustParseAddr(leaf2Side))
	if err = errors.Join(err, d.gateway.dataplane.Resume()); err != nil {
		return "", fmt.Errorf("while the switch is stopped: %w", err)
	}
	if err := gw.NS.ForgetNeighbour(up1, leaf); err != nil {
		return "", err
	}
	if _, err := gw.Reach(ctx, leaf, patience); err != nil {
		return "", fmt.Errorf("after its neighbour entry was deleted: %w", err)
	}
	entry, err := gw.NS.Output(ctx, "ip", "neigh", "show", leaf1Up, "dev", up1)
	if err != nil || !strings.Contains(entry, "lladdr") {
		return "", fmt.Errorf("no ARP entry of leaf1 on %s: %q %w", up1, entry, err)
	}
	return "ARP of leaf1 on the host port: " + entry, d.awaitSessions(ctx)
}

// awaitSessions waits for the gateway's BGP sessions. Routes may be there
// before: each leaf passes the other's on.
func (d *demo) awaitSessions(ctx context.Context) error {
	return Eventually(ctx, 2*patience, "both BGP sessions are up", d.sessions)
}

// sessions checks that the gateway's BGP sessions are up as the leaves see it.
func (d *demo) sessions(ctx context.Context) error {
	for leaf, address := range map[*Leaf]string{d.leaf1: gatewayUp1, d.leaf2: gatewayUp2} {
		peer := d.options.sessions.peer(address, gatewayVTEP, gatewayAS).Address.String()
		var answer map[string]struct {
			State string `json:"bgpState"`
		}
		if err := leaf.JSON(ctx, "show bgp neighbors "+peer, &answer); err != nil {
			return err
		}
		if s := answer[peer].State; s != "Established" {
			return fmt.Errorf("%s: BGP with the gateway is %q", leaf.Name, s)
		}
	}
	return nil
}

func localPings(ctx context.Context, d *demo) (string, error) {
	return d.reachEachOther(ctx, []*Host{d.h1}, []*Host{d.h2})
}

func remotePings(ctx context.Context, d *demo) (string, error) {
	return d.reachEachOther(ctx, []*Host{d.h1, d.h2}, []*Host{d.l1a, d.l2a})
}

// reachEachOther pings from each of some hosts to each of others, and back.
func (d *demo) reachEachOther(ctx context.Context, some, others []*Host) (string, error) {
	var longest time.Duration
	for _, a := range some {
		for _, b := range others {
			for _, way := range [][2]*Host{{a, b}, {b, a}} {
				took, err := way[0].Reach(ctx, way[1].Address.Addr(), patience)
				if err != nil {
					return "", err
				}
				longest = max(longest, took)
			}
		}
	}
	return fmt.Sprintf("%d pings, the slowest start to answer %d ms", 2*len(some)*len(others), longest.Milliseconds()), nil
}

func trunkPings(ctx context.Context, d *demo) (string, error) {
	blue, err := d.reachEachOther(ctx, []*Host{d.t10}, []*Host{d.h1, d.h2, d.l1a, d.l2a})
	if err != nil {
		return "", err
	}
	green, err := d.reachEachOther(ctx, []*Host{d.t20}, []*Host{d.l1b, d.l2b})
	if err != nil {
		return "", err
	}
	// From, to, and whom it reaches meanwhile.
	for _, way := range [][3]*Host{{d.t10, d.t20, d.h1}, {d.t20, d.h1, d.l1b}, {d.t10, d.l1b, d.l1a},
		{d.l2b, d.t10, d.t20}} {
		if err := way[0].Misses(ctx, way[1].Address.Addr(), way[0], way[2].Address.Addr()); err != nil {
			return "", fmt.Errorf("%s is in the other bridge: %w", way[1].Name, err)
		}
	}
	return "VLAN 10: " + blue + "; VLAN 20: " + green, nil
}
