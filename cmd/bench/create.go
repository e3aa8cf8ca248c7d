package main

import (
	"context"
	"fmt"
	"time"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
)

const timedCreates = 300

// measureCreates creates bridges over gRPC, each durable in the store before it
// is answered: many at a time, and then one after the other until each is UP,
// which it is when the target acknowledged its entries.
func measureCreates(ctx context.Context, b *bench) ([]value, error) {
	return b.withLive(ctx, func(g *liveGateway) ([]value, error) {
		start := time.Now()
		if err := g.createMany(ctx, liveObjects); err != nil {
			return nil, err
		}
		rate := liveObjects / time.Since(start).Seconds()
		if err := g.AwaitPortsUp(ctx); err != nil {
			return nil, err
		}
		var took []time.Duration
		for i := range timedCreates {
			d, err := g.createToUp(ctx, i)
			if err != nil {
				return nil, err
			}
			took = append(took, d)
		}
		how := fmt.Sprintf("%d logical bridges, one after the other, beside %d", timedCreates, liveObjects)
		return []value{
			{name: "api_create", number: rate, unit: "per_s",
				against: fmt.Sprintf("%d logical bridges, 16 at a time, gRPC over a socket, bbolt on the disk", liveObjects)},
			{name: "create_to_up_p50", number: milliseconds(percentile(took, 50)), unit: "ms", against: how},
			{name: "create_to_up_p99", number: milliseconds(percentile(took, 99)), unit: "ms", against: how},
		}, nil
	})
}

// createToUp gives the time from the call to the first answer that says UP.
func (g *liveGateway) createToUp(ctx context.Context, i int) (time.Duration, error) {
	id := fmt.Sprintf("timed-%04d", i)
	start := time.Now()
	if err := g.CreateBridge(ctx, id, uint16(2000+i), uint32(firstVNI+5000+i)); err != nil {
		return 0, err
	}
	bridges := opi.NewLogicalBridgeServiceClient(g.Conn())
	for time.Since(start) < 10*time.Second {
		b, err := bridges.GetLogicalBridge(ctx, &opi.GetLogicalBridgeRequest{Name: "logicalBridges/" + id})
		if err != nil {
			return 0, fmt.Errorf("get logical bridge %s: %w", id, err)
		}
		if b.GetStatus().GetOperStatus() == opi.LBOperStatus_LB_OPER_STATUS_UP {
			return time.Since(start), nil
		}
	}
	return 0, fmt.Errorf("logical bridge %s is not up within 10 s", id)
}
