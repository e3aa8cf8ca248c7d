package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet/packettest"
)

const (
	failOvers     = 10 // as many from us to FRR as back
	failOverEcho  = time.Millisecond
	failOverLimit = 30 * time.Second
	failOverGoal  = 1000 // ms
)

var failOverVIP = netip.MustParseAddr("192.168.10.200")

// measureFailOver has a virtual IP address go from a host of ours to one behind FRR and
// back, between two that live on: from the gratuitous ARP of its new owner to the first
// answer that a host behind the other end gets, who sends an echo request each
// millisecond.
func measureFailOver(ctx context.Context, b *bench) ([]value, error) {
	version, err := frrVersion(ctx)
	if err != nil {
		return nil, err
	}
	binary, err := b.program(ctx, embedded)
	if err != nil {
		return nil, err
	}
	return withLab(func(lab *testbed.Lab) ([]value, error) {
		f, err := lab.BuildFabric(ctx, testbed.FabricOptions{Target: testbed.Embedded, Binary: binary, LeafSVI: true,
			Ageing: "5m", Moves: -1})
		if err != nil {
			return nil, err
		}
		took, err := failOver(ctx, f)
		if err != nil {
			return nil, err
		}
		how := fmt.Sprintf("the slowest of %d, from a host of ours to one behind FRR %s and back: from its gratuitous ARP "+
			"to the far host's first answered ping; median %.0f ms", len(took), version, milliseconds(percentile(took, 50)))
		return []value{{name: "vip_failover_ms", number: milliseconds(slices.Max(took)), unit: "ms",
			goal: atMost(failOverGoal), against: how}}, nil
	})
}

// failOver gives the time of each. The address is where it was before, everywhere, when
// it goes on.
func failOver(ctx context.Context, f *testbed.Fabric) (took []time.Duration, err error) {
	ours, theirs := f.Hosts["gw-owner"], f.Hosts["leaf-owner"]
	owner, next := ours, theirs
	far := map[*testbed.Host]*testbed.Host{ours: f.Hosts["leaf-watcher"], theirs: f.Hosts["gw-watcher"]}
	if err := owner.Take(failOverVIP); err != nil {
		return nil, err
	}
	for len(took) < failOvers {
		say := func() error { return announce(owner) }
		if err := f.AwaitAgreement(ctx, failOverLimit, failOverVIP, owner, say); err != nil {
			return nil, err
		}
		if _, err := far[next].Reach(ctx, failOverVIP, failOverLimit); err != nil { // its neighbour table is warm
			return nil, err
		}
		if err := errors.Join(owner.Leave(failOverVIP), next.Take(failOverVIP)); err != nil {
			return nil, err
		}
		owner, next = next, owner
		d, err := firstAnswer(ctx, owner, far[owner])
		if err != nil {
			return nil, fmt.Errorf("to %s: %w", owner.Name, err)
		}
		took = append(took, d)
	}
	return took, nil
}

// announce says that the address is at a host now (RFC 5227 section 2.3).
func announce(h *testbed.Host) error {
	s, err := h.NS.OpenRaw(h.Dev)
	if err != nil {
		return err
	}
	return errors.Join(s.Send(failOverFrame(h)), s.Close())
}

func failOverFrame(h *testbed.Host) []byte {
	return packettest.ARP(packettest.Request, h.MAC, failOverVIP, ether.MAC{}, failOverVIP)
}

// firstAnswer gives the time from the announcement of the address's new owner to the first
// answer that a host gets.
func firstAnswer(ctx context.Context, owner, far *testbed.Host) (time.Duration, error) {
	e, err := far.Echo(failOverVIP)
	if err != nil {
		return 0, err
	}
	defer func() { _ = e.Close() }()
	s, err := owner.NS.OpenRaw(owner.Dev)
	if err != nil {
		return 0, err
	}
	defer func() { _ = s.Close() }()
	start := time.Now()
	if err := s.Send(failOverFrame(owner)); err != nil {
		return 0, err
	}
	at, err := e.FirstAnswer(ctx, failOverEcho, failOverLimit)
	return at.Sub(start), err
}
