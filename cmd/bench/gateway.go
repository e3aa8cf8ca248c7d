package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/p4evpn/p4evpn/controller"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/underlay"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/internal/footprint"
)

// The numbers of the gateway that figures measure.
const (
	gatewayAS = 65000
	leafAS    = 65001
	firstVNI  = 10_001 // of the first bridge; the others follow
	l3VNI     = 9_999  // of the VRF

	uplink1, hostPort1 = 1, 2
	uplink2, hostPort2 = 3, 4
)

var (
	routerID    = netip.MustParseAddr("10.255.0.1")
	gatewayVTEP = routerID

	tenantGateway = netip.MustParsePrefix("100.64.0.1/10") // of the SVI
	leafRouterMAC = ether.MAC{2, 3, 0, 0, 0, 2}

	path1 = underlay.Path{Uplink: "up1", Source: ether.MAC{2, 1, 0, 0, 0, 1}, Destination: ether.MAC{2, 2, 0, 0, 0, 1}}
	path2 = underlay.Path{Uplink: "up2", Source: ether.MAC{2, 1, 0, 0, 0, 2}, Destination: ether.MAC{2, 2, 0, 0, 0, 2}}
)

// vtep is the address of the n-th remote VTEP, from 0.
func vtep(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 255, 1 + byte(n>>8), byte(n)}) }

// gateway is a controller with a real target and a store in memory, over an
// underlay that a figure decides.
type gateway struct {
	target   *target
	loop     *controller.Controller
	underlay *controllertest.Underlay
	process  *process // the switch
	stop     func()   // ends the controller and the switch
}

// startGateway starts a switch and a controller with a store, two uplinks and
// other ports, and waits until the controller has taken the target over. The
// controller is in this process, the switch is not.
func (b *bench) startGateway(ctx context.Context, speaker controller.Speaker, store *intent.Store, o switchOptions,
	ports ...controller.Port) (*gateway, error) {
	sw, err := b.startSwitch(ctx, o)
	if err != nil {
		return nil, err
	}
	t, err := newTarget(o, 0)
	if err != nil {
		sw.stop()
		return nil, err
	}
	g := &gateway{target: t, underlay: controllertest.NewUnderlay(path1, path2), process: sw}
	loop, err := controller.New(controller.Config{
		AS: gatewayAS, RouterID: routerID, VTEPs: []netip.Addr{gatewayVTEP},
		Ports: append([]controller.Port{
			{Name: "up1", Number: uplink1, Kind: controller.KindUplink, HostPort: hostPort1, HostDevice: "up1"},
			{Name: "up2", Number: uplink2, Kind: controller.KindUplink, HostPort: hostPort2, HostDevice: "up2"},
		}, ports...),
		MaxMACs: millionSize, MaxPortMACs: millionSize, MaxBridgeAddresses: millionSize,
		MaxPortAddresses: millionSize, MaxRoutes: millionSize, Program: o.runs.p4info(),
		Logger: slog.Default(),
	}, controller.Inputs{Intent: store, Speaker: speaker, Target: t, Underlay: g.underlay})
	if err != nil {
		sw.stop()
		return nil, err
	}
	g.loop = loop
	running, cancel := context.WithCancel(ctx)
	var owned sync.WaitGroup
	failed := make(chan error, 1)
	owned.Go(func() { _ = t.Run(running) }) // it returns nil
	owned.Go(func() { failed <- loop.Run(running) })
	percent := debug.SetGCPercent(100)
	owned.Go(func() { _ = footprint.Tend(running) }) // as p4evpn run does; it returns nil
	g.stop = func() { cancel(); owned.Wait(); sw.stop(); debug.SetGCPercent(percent) }
	select {
	case <-loop.Synced():
		return g, nil
	case err = <-failed:
	case <-sw.done:
		err = sw.lastWords()
	case <-time.After(30 * time.Second):
		err = fmt.Errorf("the controller does not take over its target within 30 s")
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	g.stop()
	return nil, err
}

// startBridges starts a gateway that has bridges and the embedded switch, and says
// how that one was started.
func (b *bench) startBridges(ctx context.Context, speaker controller.Speaker,
	bridges int) (*gateway, switchOptions, error) {
	store, err := storeWith(bridges)
	if err != nil {
		return nil, switchOptions{}, err
	}
	o, err := overLoopback(embedded)
	if err != nil {
		return nil, o, err
	}
	g, err := b.startGateway(ctx, speaker, store, o)
	return g, o, err
}

// storeWith is a store in memory with as many bridges.
func storeWith(bridges int) (*intent.Store, error) {
	store := intent.NewMemory()
	err := store.Update(func(tx *intent.Tx) error {
		for i := range bridges {
			_, err := tx.Bridges().Create(intent.LogicalBridge{
				ID: bridgeID(i), VLAN: uint16(i + 1), VNI: firstVNI + uint32(i),
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return store, err
}

func bridgeID(n int) string { return fmt.Sprintf("bridge-%04d", n) }

// addSVI gives the first bridge an SVI in a VRF with an L3 VNI.
func addSVI(store *intent.Store) error {
	return store.Update(func(tx *intent.Tx) error {
		if _, err := tx.VRFs().Create(intent.VRF{ID: "vrf-0000", VNI: l3VNI}); err != nil {
			return err
		}
		_, err := tx.SVIs().Create(intent.SVI{ID: "svi-0000", VRF: "vrf-0000", Bridge: bridgeID(0),
			Gateways: []netip.Prefix{tenantGateway}})
		return err
	})
}
