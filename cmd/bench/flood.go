package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/p4"
)

const (
	floodBridges = 1000
	floodVTEPs   = 100
	eventBatch   = 2048 // as many as the speaker hands over at once
)

// measureFlood feeds the type-3 routes of 100 VTEPs in each of 1,000 bridges to
// a controller, as a speaker would, leaf by leaf, and waits until the embedded
// switch acknowledged each bridge's whole flood group. Then one of the two
// uplinks goes, and every replica that left by it must leave by the other.
func measureFlood(ctx context.Context, b *bench) ([]value, error) {
	speaker := controllertest.NewSpeaker()
	g, _, err := b.startBridges(ctx, speaker, floodBridges)
	if err != nil {
		return nil, err
	}
	defer g.stop()
	groups := &groupWatch{members: map[uint16]map[uint16]uint16{}, changed: make(chan struct{}, 1)}
	g.target.watch(groups.observe)
	routes := multicastRoutes()

	stopProfile := b.profile("flood_build")
	start := time.Now()
	if err := feed(ctx, speaker, routes); err != nil {
		return nil, err
	}
	built, err := groups.await(ctx, "has all VTEPs",
		func(members map[uint16]uint16) bool { return len(members) == floodVTEPs })
	stopProfile()
	if err != nil {
		return nil, fmt.Errorf("building flood groups: %w", err)
	}
	moving := groups.replicasBy(uplink2)
	if moving == 0 {
		return nil, errors.New("no replica leaves by the second uplink")
	}

	stopProfile = b.profile("flood_loss")
	lost := time.Now()
	g.underlay.SetAll(path1)
	moved, err := groups.await(ctx, "has all VTEPs by the first uplink", func(members map[uint16]uint16) bool {
		return len(members) == floodVTEPs && countPort(members, uplink2) == 0
	})
	stopProfile()
	if err != nil {
		return nil, fmt.Errorf("moving flood groups: %w", err)
	}
	return []value{
		{name: "flood_100k_replicas", number: built.Sub(start).Seconds(), unit: "s",
			against: fmt.Sprintf("%d bridges with %d VTEPs each, type-3 routes to the last acknowledged group", floodBridges,
				floodVTEPs)},
		{name: "flood_uplink_loss", number: moved.Sub(lost).Seconds(), unit: "s",
			against: fmt.Sprintf("%d replicas leave by the other uplink", moving)},
	}, nil
}

// multicastRoutes are the type-3 routes of all leaves, one leaf after the other.
func multicastRoutes() [][]bgp.Event {
	var all []bgp.Event
	for v := range floodVTEPs {
		for n := range floodBridges {
			vni := firstVNI + uint32(n)
			all = append(all, bgp.Event{Peer: vtep(v), Kind: bgp.RouteUpdate, Route: bgp.Route{
				Key:     bgp.MulticastKey(bgp.RouterRD(vtep(v), uint16(n+1)), vtep(v)),
				NextHop: vtep(v), Tunnel: vtep(v), Label: vni,
				RouteTargets: bgp.MakeRouteTargets(bgp.AutoRouteTarget(leafAS, vni)),
			}})
		}
	}
	var batches [][]bgp.Event
	for i := 0; i < len(all); i += eventBatch {
		batches = append(batches, all[i:min(i+eventBatch, len(all))])
	}
	return batches
}

// feed has a speaker hand over events.
func feed(ctx context.Context, speaker *controllertest.Speaker, batches [][]bgp.Event) error {
	for _, events := range batches {
		if err := speaker.Send(ctx, events...); err != nil {
			return err
		}
	}
	return nil
}

// groupWatch keeps the multicast groups that the switch acknowledged.
type groupWatch struct {
	changed chan struct{} // one slot

	mu      sync.Mutex
	members map[uint16]map[uint16]uint16 // group → instance → port
	at      time.Time                    // of the last change
}

func (w *groupWatch) observe(at time.Time, updates []p4rt.Update, errs []error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, u := range updates {
		if u.GetEntity().GetPacketReplicationEngineEntry() == nil || errs[i] != nil {
			continue
		}
		e, err := p4.FromEntity(u.GetEntity())
		if err != nil {
			continue
		}
		d, _ := p4.Decode(e)
		group, ok := d.(p4.Group)
		if !ok {
			continue
		}
		members := make(map[uint16]uint16, len(group.Members))
		for _, m := range group.Members {
			members[m.Instance] = m.Port
		}
		delete(members, p4.LocalInstance)
		w.members[group.ID] = members
		w.at = at
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// await waits until every bridge's group is as it should be, and gives the time
// of the last acknowledgement.
func (w *groupWatch) await(ctx context.Context, what string, right func(map[uint16]uint16) bool) (time.Time, error) {
	timeout := time.After(90 * time.Second)
	for {
		w.mu.Lock()
		good, at := 0, w.at
		for _, members := range w.members {
			if right(members) {
				good++
			}
		}
		w.mu.Unlock()
		if good == floodBridges {
			return at, nil
		}
		select {
		case <-w.changed:
		case <-ctx.Done():
			return at, context.Cause(ctx)
		case <-timeout:
			return at, fmt.Errorf("after 90 s %d of %d groups: %s", good, floodBridges, what)
		}
	}
}

// replicasBy counts the replicas that leave by a port.
func (w *groupWatch) replicasBy(port uint16) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, members := range w.members {
		n += countPort(members, port)
	}
	return n
}

func countPort(members map[uint16]uint16, port uint16) int {
	n := 0
	for _, p := range members {
		if p == port {
			n++
		}
	}
	return n
}
