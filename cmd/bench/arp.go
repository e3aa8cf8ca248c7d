package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/p4evpn/p4evpn/controller"
	"github.com/p4evpn/p4evpn/packet"
)

const (
	newHosts = 400
	hostsAt  = 9 // the port of the switch that they are at
)

// measureARP has hosts that nobody heard of ask for their gateway, one at a
// time while nothing else happens: from the frame into the switch's port to the
// UPDATE with MAC and IP at a peer.
func measureARP(ctx context.Context, b *bench) ([]value, error) {
	return b.withRig(func(r *rig) ([]value, error) { return r.arp(ctx) })
}

func (r *rig) arp(ctx context.Context) ([]value, error) {
	b := r.bench
	heard := make(chan arrival, 64)
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	g, err := b.startBGPGateway(ctx, setup{
		injectors: 1, routed: true, hear: func(body []byte) {
			select {
			case heard <- arrival{time.Now(), body}:
			case <-running.Done():
			}
		},
		port: &controller.Port{Name: "hosts", Number: hostsAt, Kind: controller.KindBridge, MAC: macA},
		on: &switchOptions{
			kind: embedded, address: "unix:" + filepath.Join(b.dir, "p4rt.sock"), ports: []string{port(hostsAt, devA)},
			inside: func(args ...string) *exec.Cmd { return r.ns.Command(ctx, args...) },
		},
	})
	if err != nil {
		return nil, err
	}
	defer g.stop()
	defer cancel() // before the gateway ends: it waits for hear
	if err := g.settle(ctx, benchRoutes, 1); err != nil {
		return nil, err
	}
	took, err := r.askForGateway(ctx, b, heard)
	if err != nil {
		return nil, err
	}
	how := fmt.Sprintf("%d new hosts, from the frame into the switch to the type-2 UPDATE at a BGP peer", len(took))
	return []value{
		{name: "arp_to_route_p50", number: milliseconds(percentile(took, 50)), unit: "ms", goal: atMost(5), against: how},
		{name: "arp_to_route_p99", number: milliseconds(percentile(took, 99)), unit: "ms", against: how},
	}, nil
}

// arrival is an UPDATE and when it came.
type arrival struct {
	at   time.Time
	body []byte
}

// askForGateway gives the time of each host. The first one only shows that all
// is in place.
func (r *rig) askForGateway(ctx context.Context, b *bench, heard <-chan arrival) ([]time.Duration, error) {
	in, err := r.ns.OpenRaw(devA)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	defer b.profile("arp")()
	var took []time.Duration
	for n := range newHosts + 1 {
		mac, ip := stationMAC(uint32(n)), tenantAddress(n)
		frame := packet.ARPRequest(mac, ip, tenantGateway.Addr())
		time.Sleep(3*time.Millisecond + rand.N(4*time.Millisecond))
		start := time.Now()
		if err := in.Send(frame); err != nil {
			return nil, err
		}
		nlri := append(append(mac[:], 32), ip.AsSlice()...) // RFC 7432 section 7.2: MAC, length in bits, IP
		at, err := awaitRoute(ctx, heard, nlri)
		if err != nil {
			return nil, fmt.Errorf("host %d: %w", n, err)
		}
		if n > 0 {
			took = append(took, at.Sub(start))
		}
	}
	return took, nil
}

// awaitRoute waits for an UPDATE that has the bytes.
func awaitRoute(ctx context.Context, heard <-chan arrival, nlri []byte) (time.Time, error) {
	timeout := time.After(5 * time.Second)
	for {
		select {
		case u := <-heard:
			if bytes.Contains(u.body, nlri) {
				return u.at, nil
			}
		case <-ctx.Done():
			return time.Time{}, context.Cause(ctx)
		case <-timeout:
			return time.Time{}, errors.New("no route with its MAC and IP within 5 s")
		}
	}
}
