package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/credentials"

	"github.com/p4evpn/p4evpn/api"
	"github.com/p4evpn/p4evpn/bfd"
	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/check"
	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/controller"
	"github.com/p4evpn/p4evpn/controller/carrier"
	"github.com/p4evpn/p4evpn/controller/inject"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/ovn"
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/peering"
	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/controller/underlay"
	"github.com/p4evpn/p4evpn/controller/underlayroute"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/internal/socket"
	"github.com/p4evpn/p4evpn/internal/tracing/otlp"
	"github.com/p4evpn/p4evpn/liveness"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
	"github.com/p4evpn/p4evpn/softswitch"
	"github.com/p4evpn/p4evpn/trace"
)

// What each part is told, out of the configuration file.

// configured are the objects that the file gives and the API can give too.
func configured(f *config.File) []intent.Object {
	var objects []intent.Object
	if f.AS != 0 {
		objects = append(objects, intent.Speaker{AS: f.AS, RouterID: f.RouterID.Addr})
	}
	for _, n := range f.BGP.Neighbors {
		objects = append(objects, intent.Neighbor{
			Address: n.Address.Addr, AS: n.AS, Port: n.Port, LocalAddress: n.LocalAddress.Addr,
			Password: n.Password, Multihop: n.Multihop, Passive: n.Passive,
			HoldTime: n.HoldTime, Keepalive: n.Keepalive, ConnectRetry: n.ConnectRetry,
			MaxPrefixes: n.MaxPrefixes, Families: families(n.Families), MACIPOnly: n.MACIPOnly, NoARPND: n.NoARPND,
			AllowOwnAS:  n.AllowOwnAS,
			TTLSecurity: n.TTLSecurity, Shutdown: n.Shutdown, ShutdownMessage: n.ShutdownMessage,
			BFD: configuredBFD(n.BFD),
		})
	}
	for id, b := range f.Bridges {
		i := configuredInstance(intent.KindLogicalBridge, id, b.Import, b.Export)
		i.MACIPOnly, i.EthernetTag, i.LogicalSwitch = b.MACIPOnly, b.EthernetTag, b.LogicalSwitch
		i.TaggedMulticast, i.DropUnknownUnicast = b.TaggedMulticast, b.DropUnknownUnicast
		i.MaxMACs, i.MaxAddresses = b.MaxMACs, b.MaxAddresses
		objects = append(objects, i)
	}
	for id, v := range f.VRFs {
		if len(v.Import)+len(v.Export) > 0 || v.MaxRoutes > 0 {
			i := configuredInstance(intent.KindVRF, id, v.Import, v.Export)
			i.MaxRoutes = v.MaxRoutes
			objects = append(objects, i)
		}
	}
	return objects
}

func configuredBFD(b *config.BFD) intent.BFD {
	if b == nil {
		return intent.BFD{}
	}
	return intent.BFD{On: true, Interval: b.Interval, Multiplier: b.Multiplier, Hops: b.Hops}
}

func configuredInstance(kind intent.Kind, id string, imports, exports []config.RouteTarget) intent.Instance {
	return intent.Instance{
		ID:     intent.InstanceID(intent.Ref{Kind: kind, ID: id}),
		Import: routeTargets(imports), Export: routeTargets(exports),
	}
}

func speakerConfig(f *config.File, store *intent.Store) (bgp.Config, error) {
	c := bgp.Config{
		ListenAddresses: addrs(f.BGP.ListenAddresses),
		ListenPort:      f.BGP.Port,
		GracefulRestart: bgp.GracefulRestart{
			Enabled: f.BGP.GracefulRestart.Enabled, RestartTime: f.BGP.GracefulRestart.RestartTime,
			LongLived: f.BGP.GracefulRestart.LongLivedTime, Deferral: f.BGP.GracefulRestart.Deferral,
		},
	}
	err := store.View(func(tx *intent.Tx) error {
		for _, s := range tx.Speakers().List("", 0) {
			c.AS, c.RouterID = s.AS, s.RouterID
		}
		for _, n := range tx.Neighbors().List("", 0) {
			c.Neighbors = append(c.Neighbors, peering.Neighbor(n))
		}
		return nil
	})
	return c, err
}

func families(in []config.Family) []bgp.Family {
	var out []bgp.Family
	for _, f := range in {
		out = append(out, f.Family)
	}
	return out
}

func routerConfig(f *config.File, speaker underlayroute.Speaker) underlayroute.Config {
	c := underlayroute.Config{Speaker: speaker, VTEPs: addrs(f.VTEPs), Devices: underlayConfig(f).Uplinks}
	for _, p := range f.BGP.Underlay.Advertise {
		c.Advertise = append(c.Advertise, p.Prefix)
	}
	return c
}

// clientConfig fails where the files of TLS are not good at start; they are read again for
// every connection.
func clientConfig(f *config.File) (p4rt.Config, error) {
	var creds func() (credentials.TransportCredentials, error)
	if t := f.Target.TLS; t != (config.TargetTLS{}) {
		creds = func() (credentials.TransportCredentials, error) {
			return mutualTLS(t.CA, t.Certificate, t.Key, t.ServerName)
		}
		if _, err := creds(); err != nil {
			return p4rt.Config{}, fmt.Errorf("target.tls: %w", err)
		}
	} else if a, err := socket.Parse(f.Target.Address); err == nil && !a.Unix() && !a.Loopback() {
		slog.Warn("the target is programmed in the clear: whoever is on the way can do it as well; set target.tls",
			"target", f.Target.Address)
	}
	return p4rt.Config{
		Credentials:  creds,
		Target:       f.Target.Address,
		DeviceID:     f.Target.DeviceID,
		ElectionID:   p4rt.ElectionID{Low: f.Target.ElectionID},
		P4Info:       p4.P4Info(),
		DeviceConfig: p4.DeviceConfig(),
		Cookie:       p4.Cookie(),
		Digests:      []p4rt.DigestConfig{{ID: p4.DigestID()}},
		Logger:       slog.Default(),
	}, nil
}

// slowPathConfig is of a gateway whose loop is there before the slow path runs.
func slowPathConfig(f *config.File, g *gateway) slowpath.Config {
	send := inject.Into(g.client, slog.Default())
	return slowpath.Config{
		Prefix: f.SlowPath.Namespaces,
		MTU:    packet.TenantMTU(underlayConfig(f).MTU()),
		Inject: func(frame slowpath.Frame) {
			g.loop.Injected(frame)
			send(frame)
		},
	}
}

// vtepRoutes is by the words of the configuration.
var vtepRoutes = map[string]underlay.Routes{
	config.VTEPRoutesNotDefault: underlay.NotDefault, config.VTEPRoutesHost: underlay.HostRoutes,
	config.VTEPRoutesAll: underlay.AllRoutes,
}

func underlayConfig(f *config.File) underlay.Config {
	c := underlay.Config{Routes: vtepRoutes[f.VTEPRoutes]}
	for _, u := range f.Uplinks {
		c.Uplinks = append(c.Uplinks, u.Host.Device)
	}
	return c
}

// nextHops are those of the underlay that BFD watches.
func nextHops(f *config.File) (peers []liveness.Peer) {
	for _, h := range f.Underlay.NextHops {
		peers = append(peers, liveness.Peer{Address: h.Address.Addr, Hops: 1,
			Interval:   cmp.Or(h.BFD.Interval, bfd.DefaultInterval),
			Multiplier: cmp.Or(h.BFD.Multiplier, bfd.DefaultMultiplier)})
	}
	return peers
}

// carrierConfig follows what the target's ports are here.
func carrierConfig(f *config.File) carrier.Config {
	var c carrier.Config
	for _, p := range f.Ports {
		if p.Interface != "" {
			c.Netdevs = append(c.Netdevs, p.Interface)
		}
	}
	for _, u := range f.Uplinks {
		if u.Interface != "" {
			c.Netdevs = append(c.Netdevs, u.Interface)
		}
		c.Hosts = append(c.Hosts, carrier.Host{Device: u.Host.Device, Interface: u.Host.Interface})
	}
	return c
}

func controllerConfig(f *config.File) controller.Config {
	c := controller.Config{
		VTEPs:        addrs(f.VTEPs),
		Ageing:       f.Learning.Ageing,
		AddressAge:   f.Learning.AddressAge,
		MaxMACs:      f.Learning.MaxMACs,
		MaxPortMACs:  f.Learning.MaxPortMACs,
		MaxAddresses: f.Learning.MaxAddresses,

		MaxBridgeAddresses: f.Learning.MaxBridgeAddresses,
		MaxPortAddresses:   f.Learning.MaxPortAddresses,

		MaxVTEPs:    f.Limits.VTEPs,
		MaxReplicas: f.Limits.Replicas,
		MaxRoutes:   f.Limits.Routes,
		Storm:       storm(f.Limits.Storm),
		DropSamples: f.Drops.Sample,
		Duplicates: controller.Duplicates{
			Moves: f.Learning.Duplicates.Moves, Window: f.Learning.Duplicates.Window, Freeze: f.Learning.Duplicates.Freeze,
		},
		AcceptUnknownVTEPs: f.AcceptUnknownVTEPs,
		Carrier:            controller.CarrierDelays{Up: f.CarrierDelay.Up, Down: f.CarrierDelay.Down},
		AuditInterval:      f.Target.AuditInterval,
		RouterMAC:          f.RouterMAC.MAC,
		Expecting:          ovnPort(f) != "",
		Link:               link,
		SVIs:               map[string]controller.SVI{},
		VRFs:               map[string]controller.VRF{},
	}
	for id, s := range f.SVIs {
		c.SVIs[id] = controller.SVI{
			Unique:      s.Gateway == config.GatewayUnique,
			Centralised: s.Gateway == config.GatewayCentralised,
			Silent:      s.AdvertiseRouter != nil && !*s.AdvertiseRouter,

			OtherSubnets: s.OtherSubnets,
		}
	}
	for id, v := range f.VRFs {
		var vrf controller.VRF
		for _, s := range v.Statics {
			vrf.StaticRoutes = append(vrf.StaticRoutes,
				controller.StaticRoute{Prefix: s.Prefix.Prefix, NextHop: s.NextHop.Addr})
		}
		c.VRFs[id] = vrf
	}
	for _, p := range f.Ports {
		port := controller.Port{
			Name: p.Name, Number: p.Number, Kind: controller.KindBridge, MAC: p.MAC.MAC, MaxMACs: p.MaxMACs,
			MaxAddresses: p.MaxAddresses, StackedTags: p.StackedTags, Netdev: p.Interface, Storm: storm(p.Storm),
			SourceGuard: p.SourceGuard,
		}
		if p.Trusted != nil {
			port.Trust = controller.Untrusted
			if *p.Trusted {
				port.Trust = controller.Trusted
			}
		}
		for _, s := range p.Static {
			port.StaticMACs = append(port.StaticMACs, controller.StaticMAC{MAC: s.MAC.MAC, VLAN: s.VLAN})
		}
		c.Ports = append(c.Ports, port)
	}
	if f.OVN.Enabled() && f.OVN.Mode == config.OVNTunnels {
		c.Ports = append(c.Ports, ovnTunnels)
	}
	for _, u := range f.Uplinks {
		c.Ports = append(c.Ports, controller.Port{
			Name: u.Name, Number: u.Number, Kind: controller.KindUplink,
			HostPort: u.Host.Number, HostDevice: u.Host.Device, Netdev: u.Interface,
		})
	}
	return c
}

func storm(s config.Storm) controller.Storm {
	return controller.Storm{Broadcast: s.Broadcast, Multicast: s.Multicast, Unknown: s.UnknownUnicast}
}

func apiConfig(f *config.File, g *gateway) api.Config {
	a := f.API
	c := api.Config{
		Listen: slices.Clone(a.Listen), Insecure: a.Insecure, Hosts: a.Hosts, Store: g.store,
		Status: g.loop, View: g.loop, Auditor: g.loop, Tracer: tracing(g), Checker: check.New(checkConfig(f, g)),
		Duplicates: g.loop, Events: g.events,
		Underlay: underlayView{g.router}, VTEPListen: a.VTEPListen, VTEP: f.VTEPs[0].Addr, OVNPort: ovnPort(f),
		WebListen: f.Web.Listen, TokenKey: filepath.Join(filepath.Dir(f.Store), "token.key"),
		Changed: func() uint64 { return g.loop.Changed() + g.events.Last() },
		Roles:   map[string]api.Role{},
		Limits: api.Limits{
			MessageBytes: a.Limits.MessageBytes, BodyBytes: a.Limits.BodyBytes, Connections: a.Limits.Connections,
			ConnectionsPerClient: a.Limits.ConnectionsPerClient, CallsPerSecond: a.Limits.CallsPerSecond, Burst: a.Limits.Burst,
		},
	}
	switch a.AuditLog {
	case "":
		c.AuditLog = filepath.Join(filepath.Dir(f.Store), "audit.log")
	case "none":
	default:
		c.AuditLog = a.AuditLog
	}
	if a.RESTListen != "" {
		c.Listen = append(c.Listen, a.RESTListen)
	}
	if a.TLS != (config.TLS{}) {
		c.TLS = &api.TLS{Certificate: a.TLS.Certificate, Key: a.TLS.Key, ClientCA: a.TLS.ClientCA}
	}
	for subject, role := range a.Roles {
		c.Roles[subject] = api.Role(role)
	}
	return c
}

// spansConfig is of a gateway that has a collector.
func spansConfig(f *config.File) otlp.Config {
	o := f.Telemetry.OTLP
	c := otlp.Config{Endpoint: o.Endpoint, Insecure: o.Insecure, CA: o.CA, Sample: o.Sample, Version: version(),
		Instance: f.RouterID.String()}
	if c.Protocol = otlp.GRPC; o.Protocol == config.OTLPoverHTTP {
		c.Protocol = otlp.HTTP
	}
	return c
}

// ovnTunnels is the port where the stations of OVN are that have none of the target.
var ovnTunnels = controller.Port{Name: "ovn", Number: 509, Kind: controller.KindBridge, Everywhere: true}

// ovnPort is the port behind which OVN is, "" if there is none or that is not said.
func ovnPort(f *config.File) string {
	switch {
	case !f.OVN.Enabled():
		return ""
	case f.OVN.Mode == config.OVNTunnels:
		return ovnTunnels.Name
	}
	return f.OVN.Port
}

func ovnConfig(f *config.File, store *intent.Store, fabric view.Fabric) ovn.Config {
	o := f.OVN
	c := ovn.Config{
		Intent: store, Fabric: fabric, Addresses: o.Remote == config.OVNAddresses,
		Tunnels: o.Mode == config.OVNTunnels, Shared: o.Shared,
		Northbound: o.NB, OpenVSwitch: o.OVS, Chassis: o.Chassis,
		Owner: o.Owner, Bridge: o.Bridge, Interface: o.Interface, Port: ovnPort(f), Network: o.Network,
		TLS: ovn.TLS{Certificate: o.TLS.Certificate, Key: o.TLS.Key, CA: o.TLS.CA},
	}
	if c.Owner == "" {
		c.Owner = f.RouterID.String()
	}
	return c
}

// tracing traces frames through what the controller has written.
func tracing(g *gateway) *trace.Tracer {
	return trace.New(trace.Config{
		Program: &p4v1.ForwardingPipelineConfig{P4Info: p4.P4Info(), P4DeviceConfig: p4.DeviceConfig()},
		Inspect: func(ctx context.Context, do func(trace.Held)) error {
			return g.loop.Inspect(ctx, func(i controller.Inspection) { do(i) })
		},
		Read: g.client.Read,
	})
}

// underlayView shows the routes that BGP learned.
type underlayView struct{ router *underlayroute.Router }

func (v underlayView) UnderlayRoutes() []view.UnderlayRoute {
	var rows []view.UnderlayRoute
	for _, r := range v.router.Routes() {
		row := view.UnderlayRoute{
			Prefix: r.Prefix, Neighbors: r.Neighbors, NextHops: r.NextHops, State: view.Up, Reason: r.Reason,
		}
		if r.Reason != "" {
			row.State = view.Down
		}
		rows = append(rows, row)
	}
	return rows
}

// link reports how a netdev is, and the errors that it counted.
func link(netdev string) (view.State, uint64, uint64) {
	received, sent := carrier.Errors(netdev)
	dev, err := net.InterfaceByName(netdev)
	switch {
	case err != nil:
		return "", 0, 0
	case dev.Flags&net.FlagRunning != 0:
		return view.Up, received, sent
	}
	return view.Down, received, sent
}

func switchPorts(f *config.File) []softswitch.Port {
	var ports []softswitch.Port
	for _, p := range f.Ports {
		ports = append(ports, softswitch.Port{Number: uint32(p.Number), Interface: p.Interface})
	}
	for _, u := range f.Uplinks {
		ports = append(ports,
			softswitch.Port{Number: uint32(u.Number), Interface: u.Interface},
			softswitch.Port{Number: uint32(u.Host.Number), Interface: u.Host.Interface})
	}
	return ports
}

func addrs(in []config.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range in {
		out = append(out, a.Addr)
	}
	return out
}

func routeTargets(in []config.RouteTarget) []bgp.RouteTarget {
	var rts []bgp.RouteTarget
	for _, r := range in {
		rts = append(rts, r.RouteTarget)
	}
	return rts
}
