package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
	"github.com/p4evpn/p4evpn/ether"
)

// measureIsolation has one tenant send half of what the switch carries, all of it for the
// controller, while another one routes a thousand packets a second and pings its gateway
// as often.
func measureIsolation(ctx context.Context, b *bench) ([]value, error) {
	return b.withLive(ctx, func(g *liveGateway) ([]value, error) {
		noisy := *g.hosts["a"]
		noisy.Gateway = netip.MustParseAddr("192.168.10.254")
		if err := errors.Join(
			g.CreateVRF(ctx, "noisy", 0, netip.MustParsePrefix("10.255.1.2/32")),
			g.CreateSVI(ctx, "blue", "noisy", ether.MAC{2, 0xaa, 0, 0, 1, 9}, netip.PrefixFrom(noisy.Gateway, 24)),
			g.AwaitRoutingUp(ctx),
		); err != nil {
			return nil, err
		}
		i, err := testbed.MeasureIsolation(ctx, &noisy,
			testbed.Flow{Name: "routed", From: g.hosts["r1"], To: g.hosts["r2"], Rate: 1000})
		if err != nil {
			return nil, err
		}
		return []value{{
			name: "punt_isolation_lost", number: float64(i.Lost()), unit: "frames",
			against: fmt.Sprintf("of %d routed and answered and %d pings to the gateway, while another tenant sent %d frames "+
				"for the controller, half of the %.0f/s that the switch routed; 0 is wanted; longest gap %.0f ms",
				i.Flow.Sent, i.Pings, i.Punted, i.Carried, milliseconds(i.Flow.Gap)),
		}}, nil
	})
}
