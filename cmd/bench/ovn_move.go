package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
	"github.com/p4evpn/p4evpn/ether"
)

const (
	ovnMACs     = 1000
	ovnMoves    = 20
	ovnMoveGoal = 150 // ms
)

// measureOVNMove has MACs, of a thousand behind one VTEP, move to another one by one, with
// Open vSwitch the VTEP: from the UPDATE on the wire until the flows of both chassis of OVN
// have it.
func measureOVNMove(ctx context.Context, b *bench) ([]value, error) {
	if err := testbed.HasOVN(); err != nil {
		return nil, skip("OVN is not here: install Debian's packages ovn-central, ovn-host and openvswitch-switch")
	}
	binary, err := b.program(ctx, embedded)
	if err != nil {
		return nil, err
	}
	return withLab(func(lab *testbed.Lab) ([]value, error) {
		leaves := []netip.Addr{leafLoopback, leafLoopback.Next()}
		var peers []testbed.Peer
		for _, l := range leaves {
			peers = append(peers, testbed.Peer{Address: l, AS: leafAS, Passive: true})
		}
		o, err := lab.BuildOVNTunnels(ctx, binary, peers...)
		if err != nil {
			return nil, err
		}
		var sessions []*bgptest.Session
		var draining sync.WaitGroup
		defer draining.Wait() // once the sessions are closed
		for _, l := range leaves {
			s, err := dialIn(ctx, o.Namespace(), l, &draining)
			if err != nil {
				return nil, err
			}
			defer s.Close()
			sessions = append(sessions, s)
		}
		took, err := ovnMove(ctx, o, sessions)
		if err != nil {
			return nil, err
		}
		return []value{
			{name: "ovn_move_ms", number: milliseconds(percentile(took, 50)), unit: "ms", goal: atMost(ovnMoveGoal),
				against: fmt.Sprintf("median of %d moves, one of %d MACs each, UPDATE on the wire to the flows of both chassis",
					len(took), ovnMACs)},
			{name: "ovn_move_slowest_ms", number: milliseconds(slices.Max(took)), unit: "ms", against: "of the same"},
		}, nil
	})
}

// dialIn is a session from an address of a namespace's loopback to the gateway there; what
// the gateway sends is dropped until it is closed.
func dialIn(ctx context.Context, ns *testbed.Namespace, from netip.Addr, draining *sync.WaitGroup) (s *bgptest.Session,
	err error) {
	err = ns.Do(func() (err error) {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		s, err = bgptest.Dial(ctx, bgptest.Config{Local: from, Remote: netip.MustParseAddrPort("127.0.0.1:179"), AS: leafAS})
		return err
	})
	if err == nil {
		draining.Go(func() {
			for range s.Updates() {
			}
		})
	}
	return s, err
}

func ovnMove(ctx context.Context, o *testbed.OVNTunnels, sessions []*bgptest.Session) ([]time.Duration, error) {
	var took []time.Duration
	send := func(leaf, first, n int, more ...[8]byte) error {
		updates := bgptest.MACUpdates(leafAS, vtep(leaf), o.VNI(), first, n, perUpdate, more...)
		return sessions[leaf].Send(bytes.Join(updates, nil))
	}
	if err := errors.Join(send(0, 0, ovnMACs), send(1, ovnMACs, 1), sessions[0].Send(bgptest.Withdraw()),
		sessions[1].Send(bgptest.Withdraw())); err != nil {
		return nil, err
	}
	there, err := o.TunnelKey(ctx, vtep(0))
	if err != nil {
		return nil, err
	}
	next, err := o.TunnelKey(ctx, vtep(1))
	if err != nil {
		return nil, err
	}
	for i := 0; i < ovnMACs; i += ovnMACs / ovnMoves {
		if err := o.AwaitFlows(ctx, numberedMAC(i), there, time.Minute); err != nil {
			return nil, err
		}
	}
	for i := range ovnMoves {
		n := i * (ovnMACs / ovnMoves)
		if err := sleep(ctx, ovnPause); err != nil {
			return nil, err
		}
		start := time.Now()
		if err := send(1, n, 1, bgptest.MACMobility(1, false)); err != nil {
			return nil, err
		}
		if err := o.AwaitFlows(ctx, numberedMAC(n), next, moveLimit); err != nil {
			return nil, fmt.Errorf("move %d: %w", i, err)
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}

// numberedMAC is the MAC of a number, as bgptest.MACUpdates has it.
func numberedMAC(n int) ether.MAC {
	return ether.MAC{2, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}
