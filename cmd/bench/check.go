package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/check"
	"github.com/p4evpn/p4evpn/controller"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

const (
	checkedHosts  = 10_000
	checkedLeaves = 8
	checkedPort   = 5
	checkedWindow = 60 * time.Second
)

// measureCheck has a gateway with 10,000 hosts of a routed bridge checked, by what its switch
// holds: once, and again and again as p4evpn run does it.
func measureCheck(ctx context.Context, b *bench) ([]value, error) {
	speaker := controllertest.NewSpeaker()
	store, err := checkedStore()
	if err != nil {
		return nil, err
	}
	o, err := overLoopback(embedded)
	if err != nil {
		return nil, err
	}
	g, err := b.startGateway(ctx, speaker, store, o,
		controller.Port{Name: "port1", Number: checkedPort, Kind: controller.KindBridge})
	if err != nil {
		return nil, err
	}
	defer g.stop()
	acked := g.target.countAcked(map[string]int64{"bridge.fdb": checkedHosts, "arp.host": checkedHosts,
		"router.ipv4": checkedHosts})
	routes := hostRoutes()
	if err := feed(ctx, speaker, routes); err != nil {
		return nil, err
	}
	var paths []bgp.Path
	for _, e := range slices.Concat(routes...) {
		paths = append(paths, bgp.Path{Route: e.Route, Peer: e.Peer, Best: true})
	}
	speaker.Show(paths...)
	if err := await(ctx, acked.done, acked.progress); err != nil {
		return nil, fmt.Errorf("filling the switch: %w", err)
	}
	cfg := g.checked(store, speaker)
	end := b.profile("check")
	once, err := check.New(cfg).Check(ctx, view.CheckRequest{Read: true})
	end()
	if err != nil {
		return nil, err
	}
	for _, d := range once.Differences {
		return nil, fmt.Errorf("%s: want %s, got %s", d.Object, d.Expected, d.Actual)
	}
	idle, err := g.busy(ctx, checkedWindow/3)
	if err != nil {
		return nil, err
	}
	watching, stop := context.WithCancel(ctx)
	var owned sync.WaitGroup
	watch := check.NewWatch(cfg, check.WatchConfig{Share: 0.01, Read: true, Logger: slog.Default()})
	owned.Go(func() { _ = watch.Run(watching) }) // it ends with the context
	busy, err := g.busy(ctx, checkedWindow)
	stop()
	owned.Wait()
	if err != nil {
		return nil, err
	}
	return []value{
		{name: "check_10k_s", number: once.Took.Seconds(), unit: "s", goal: atMost(10),
			against: fmt.Sprintf("%d frames with %d entries of %d hosts, which are read from the embedded switch", once.Frames,
				once.Entries, checkedHosts)},
		{name: "check_cpu_pct", number: busy - idle, unit: "%", goal: atMost(1.5),
			against: fmt.Sprintf("of a core, gateway and switch together, in %v of checking unasked; %.2g %% without",
				checkedWindow, idle)},
	}, nil
}

// checkedStore has a bridge with a port and an SVI.
func checkedStore() (*intent.Store, error) {
	store, err := storeWith(1)
	if err != nil {
		return nil, err
	}
	err = store.Update(func(tx *intent.Tx) error {
		_, err := tx.Ports().Create(intent.BridgePort{ID: "port1", MAC: ether.MAC{2, 0, 0, 0, 4, 1}, Type: intent.Access,
			Bridges: []string{bridgeID(0)}})
		return err
	})
	if err != nil {
		return nil, err
	}
	return store, addSVI(store)
}

// hostRoutes are type-2 routes with addresses, from several leaves in turn, which flood too.
func hostRoutes() [][]bgp.Event {
	rts := bgp.MakeRouteTargets(bgp.AutoRouteTarget(leafAS, firstVNI), bgp.AutoRouteTarget(leafAS, l3VNI))
	var batches [][]bgp.Event
	var floods []bgp.Event
	for i := range checkedLeaves {
		from := vtep(i)
		floods = append(floods, bgp.Event{Peer: from, Kind: bgp.RouteUpdate, Route: bgp.Route{
			Key: bgp.MulticastKey(bgp.RouterRD(from, 1), from), NextHop: from, Label: firstVNI, Tunnel: from,
			RouteTargets: rts}})
	}
	batches = append(batches, floods)
	for i := 0; i < checkedHosts; i += eventBatch {
		var events []bgp.Event
		for j := i; j < min(i+eventBatch, checkedHosts); j++ {
			from := vtep(j % checkedLeaves)
			events = append(events, bgp.Event{Peer: from, Kind: bgp.RouteUpdate, Route: bgp.Route{
				Key:     bgp.MACKey(bgp.RouterRD(from, 1), stationMAC(uint32(j)), tenantAddress(j)),
				NextHop: from, Label: firstVNI, Label2: l3VNI, RouterMAC: leafRouterMAC, RouteTargets: rts,
			}})
		}
		batches = append(batches, events)
	}
	return append(batches, []bgp.Event{{Kind: bgp.Converged}})
}

// checked is what a check of the gateway goes by.
func (g *gateway) checked(store *intent.Store, speaker *controllertest.Speaker) check.Config {
	settings := check.Settings{VTEPs: []netip.Addr{gatewayVTEP}, TargetPorts: []check.TargetPort{
		{Name: "up1", Number: uplink1, HostPort: hostPort1, HostDevice: "up1"},
		{Name: "up2", Number: uplink2, HostPort: hostPort2, HostDevice: "up2"}, {Name: "port1", Number: checkedPort},
	}}
	return check.Config{
		Program: &p4v1.ForwardingPipelineConfig{P4Info: p4.P4Info(), P4DeviceConfig: p4.DeviceConfig()},
		Read:    g.target.Read,
		Snapshot: func(ctx context.Context) (s check.Snapshot, err error) {
			s.Settings = settings
			if err = store.View(func(tx *intent.Tx) error {
				s.TakeObjects(tx)
				return nil
			}); err != nil {
				return s, err
			}
			s.TakeRoutes(speaker.Paths())
			err = g.loop.Inspect(ctx, func(i controller.Inspection) {
				s.Known, s.Acknowledged = i.Known(), slices.Collect(i.Entries())
			})
			return s, err
		},
	}
}

// busy is how much of a core this process and the switch take for a while, in percent.
func (g *gateway) busy(ctx context.Context, d time.Duration) (float64, error) {
	pids := []int{os.Getpid(), g.process.cmd.Process.Pid}
	used := func() (sum float64, err error) {
		for _, pid := range pids {
			seconds, err := processorTime(pid)
			if err != nil {
				return 0, err
			}
			sum += seconds
		}
		return sum, nil
	}
	before, err := used()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := sleep(ctx, d); err != nil {
		return 0, err
	}
	after, err := used()
	return 100 * (after - before) / time.Since(start).Seconds(), err
}
