package main

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/controller"
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/packet"
)

// encapsulation is what VXLAN over IPv4 adds to a tenant's IP packet: Ethernet,
// IPv4, UDP and VXLAN headers.
const encapsulation = packet.EthernetLength + packet.VXLANOverhead

// injectTimeout is how long a frame of the kernel waits for a target that is
// slow: the tap's queue fills behind it, as before a slow link.
const injectTimeout = 20 * time.Millisecond

func slowPathConfig(f *config.File, client *p4rt.Client) slowpath.Config {
	return slowpath.Config{
		Prefix: f.SlowPath.Namespaces,
		MTU:    tenantMTU(f),
		Inject: func(fr slowpath.Frame) { inject(client, fr) },
	}
}

// inject gives a frame of the kernel to the target. Frames are lost while it is
// away, as on a link that is down.
func inject(client *p4rt.Client, f slowpath.Frame) {
	ctx, cancel := context.WithTimeout(context.Background(), injectTimeout)
	defer cancel()
	if err := controller.Inject(ctx, client, f); err != nil {
		slog.Debug("a frame of the kernel is lost", "vrf", f.VRF, "bridge", f.Bridge, "error", err)
	}
}

// tenantMTU is the largest IP packet of a tenant that fits every uplink, 0 if
// they cannot be asked.
func tenantMTU(f *config.File) uint16 {
	least := 0
	for _, u := range f.Uplinks {
		dev, err := net.InterfaceByName(u.Host.Device)
		if err != nil {
			continue
		}
		if least == 0 || dev.MTU < least {
			least = dev.MTU
		}
	}
	return uint16(max(0, min(least-encapsulation, 65535)))
}

// runSlowPath runs the slow path until ctx ends. Bridging and routing go on
// without it, and the status of VRFs and SVIs says that it is away.
func (g *gateway) runSlowPath(ctx context.Context) error {
	if err := g.slow.Run(ctx); err != nil && ctx.Err() == nil {
		slog.Error("Linux does nothing for the VRFs any more: their gateways answer no ping and find no silent hosts", "error", err)
	}
	<-ctx.Done()
	return ctx.Err()
}
