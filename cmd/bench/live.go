package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"golang.org/x/sync/errgroup"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
	"github.com/p4evpn/p4evpn/ether"
)

const (
	liveObjects = 1000
	liveRoutes  = 10_000

	speakLimit = 3 * time.Minute

	liveAPI = "127.0.0.1:50151" // besides a socket
)

// liveGateway is a gateway as users run it: processes, a store on the disk, the
// API. A leaf gives it routes; four hosts are behind its
// ports, two in one bridge and two routed.
type liveGateway struct {
	*testbed.Gateway
	lab    *testbed.Lab
	config string
	hosts  map[string]*testbed.Host
	leaf   *bgptest.Session
	owned  sync.WaitGroup
}

var leafLoopback = netip.MustParseAddr("127.0.0.2")

// liveOptions say how a gateway is not the usual one.
type liveOptions struct {
	binary   func(context.Context) (string, error)
	neighbor string // more keys of the leaf, each behind a comma
	// neighbors are others, each a line of the configuration's list.
	neighbors string
	api       string // how the API is served over TCP; empty: without TLS
	web       string // where the page is; empty: there is none
}

// startLive starts one with an object for each thing that its hosts need; the lab
// is the caller's to close, also after an error.
func startLive(ctx context.Context, lab *testbed.Lab, of liveOptions) (*liveGateway, error) {
	binary, err := of.binary(ctx)
	if err != nil {
		return nil, err
	}
	ns, err := lab.Namespace("gw")
	if err != nil {
		return nil, err
	}
	g := &liveGateway{lab: lab, hosts: map[string]*testbed.Host{}}
	if err := g.cable(ctx, ns); err != nil {
		return nil, err
	}
	ports := []testbed.SwitchPort{{Number: 10, Dev: "uplink1"}, {Number: 11, Dev: "up1-sw"}}
	for i := range liveHosts {
		ports = append(ports, testbed.SwitchPort{Number: i + 1, Dev: fmt.Sprintf("port%d", i+1)})
	}
	if g.Gateway, err = lab.Gateway(ns, binary, testbed.Embedded, gatewayVTEP, ports); err != nil {
		return nil, err
	}
	if err := g.StartSwitch(ctx); err != nil {
		return nil, err
	}
	g.config = liveConfig(lab.Dir, of)
	if err := g.StartController(ctx, g.config); err != nil {
		return nil, err
	}
	return g, g.createObjects(ctx)
}

// liveHosts are at the ports from 1 on.
var liveHosts = []struct {
	name, bridge, address, gateway string
}{
	{"a", "blue", "192.168.10.1/24", ""},
	{"b", "blue", "192.168.10.2/24", ""},
	{"r1", "east", "10.1.11.10/24", "10.1.11.1"},
	{"r2", "west", "10.1.12.10/24", "10.1.12.1"},
}

// cable cables hosts and uplink; what is sent to the leaf's VTEP leaves by the
// uplink, to nobody.
func (g *liveGateway) cable(ctx context.Context, ns *testbed.Namespace) error {
	end := func(dev string) testbed.End { return testbed.End{NS: ns, Dev: dev, Switch: true} }
	for i, h := range liveHosts {
		n, err := g.lab.Namespace(h.name)
		if err != nil {
			return err
		}
		host := &testbed.Host{Name: h.name, NS: n, Dev: "eth0", MAC: ether.MAC{2, 0x0c, 0, 0, 3, byte(i + 1)},
			Address: netip.MustParsePrefix(h.address)}
		if h.gateway != "" {
			host.Gateway = netip.MustParseAddr(h.gateway)
		}
		if err := errors.Join(g.lab.Cable(testbed.End{NS: n, Dev: "eth0"}, end(fmt.Sprintf("port%d", i+1))),
			host.Configure()); err != nil {
			return err
		}
		g.hosts[h.name] = host
	}
	up := testbed.End{NS: ns, Dev: "up1", MTU: 1600}
	err := errors.Join(g.lab.Cable(up, end("up1-sw")), g.lab.Cable(testbed.End{NS: ns, Dev: "far"}, end("uplink1")),
		ns.AddAddress("up1", netip.MustParsePrefix("10.1.1.1/24")),
		ns.AddRoute(netip.PrefixFrom(vtep(0), 32), netip.MustParseAddr("10.1.1.2")))
	if err == nil {
		_, err = ns.Output(ctx, "ip", "neighbor", "add", "10.1.1.2", "lladdr", "02:00:00:00:0f:01", "dev", "up1")
	}
	return err
}

func liveConfig(dir string, of liveOptions) string {
	config := fmt.Sprintf("as: %d\nrouter_id: %[2]s\nvteps: [%[2]s]\nstore: %[3]s/p4evpn.db\n", gatewayAS, gatewayVTEP,
		dir) +
		"target: {address: \"127.0.0.1:9559\", embedded: false}\nmetrics: {listen: \"127.0.0.1:9464\"}\n" +
		fmt.Sprintf("api: {listen: [\"unix:%s\", %q], %s}\n", filepath.Join(dir, "api.sock"), liveAPI,
			cmp.Or(of.api, "insecure: true")) +
		fmt.Sprintf("web: {listen: [%s]}\n", of.web) +
		fmt.Sprintf("slow_path: {namespaces: %s-vrf-}\n", filepath.Base(dir)) +
		"uplinks:\n  - {name: uplink1, number: 10, interface: uplink1, host: {number: 11, interface: up1-sw, device: " +
		"up1}}\n" +
		fmt.Sprintf("bgp:\n  neighbors:\n    - {address: %s, as: %d, passive: true%s}\n%sports:\n", leafLoopback,
			leafAS, of.neighbor, of.neighbors)
	for i := range liveHosts {
		config += fmt.Sprintf("  - {name: port%d, number: %[1]d, interface: port%[1]d}\n", i+1)
	}
	return config
}

func (g *liveGateway) createObjects(ctx context.Context) error {
	if err := g.CreateVRF(ctx, "tenant", 0, netip.MustParsePrefix("10.255.1.1/32")); err != nil {
		return err
	}
	for i, h := range liveHosts {
		if h.name != "b" { // shares a's
			if err := g.CreateBridge(ctx, h.bridge, uint16(10+i), uint32(firstVNI+i)); err != nil {
				return err
			}
		}
		if h.gateway != "" {
			gateway := netip.PrefixFrom(netip.MustParseAddr(h.gateway), 24)
			if err := g.CreateSVI(ctx, h.bridge, "tenant", ether.MAC{2, 0xaa, 0, 0, 1, byte(i)}, gateway); err != nil {
				return err
			}
		}
		port := fmt.Sprintf("port%d", i+1)
		if err := g.CreatePort(ctx, port, ether.MAC{2, 0, 0, 0, 4, byte(i)}, opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS,
			h.bridge); err != nil {
			return err
		}
	}
	return errors.Join(g.AwaitPortsUp(ctx), g.AwaitRoutingUp(ctx))
}

// createMany creates so many bridges, several at a time as clients do.
func (g *liveGateway) createMany(ctx context.Context, count int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range count {
		group.Go(func() error {
			return g.CreateBridge(ctx, fmt.Sprintf("many-%04d", i), uint16(100+i), uint32(firstVNI+100+i))
		})
	}
	return group.Wait()
}

// speak has the leaf send that many routes, which are of the first bridge, and
// End-of-RIB, and waits until the controller has taken them all and holds
// nothing of before back.
func (g *liveGateway) speak(ctx context.Context, routes int) error {
	if err := g.connect(ctx, time.Minute); err != nil {
		return err
	}
	bodies := bgptest.MACUpdates(leafAS, vtep(0), firstVNI, 0, routes, perUpdate)
	if err := g.leaf.Send(bytes.Join(append(bodies, bgptest.Withdraw()), nil)); err != nil {
		return err
	}
	return testbed.Eventually(ctx, speakLimit, "the controller has the routes", func(ctx context.Context) error {
		m, err := g.Metrics(ctx)
		taken, held := m[routesMetric], m["p4evpn_controller_held_entries"]
		written := m[entriesMetric("bridge.fdb")]
		if n := float64(routes); err == nil && (taken < n || written < n || held > 0) {
			err = fmt.Errorf("%.0f of %.0f are taken, the target has %.0f entries, %.0f wait for BGP", taken, n, written, held)
		}
		return err
	})
}

// connect establishes the leaf's session, instead of the one before. With a restart
// time its routes outlive it (RFC 4724).
func (g *liveGateway) connect(ctx context.Context, restart time.Duration) error {
	g.close()
	err := g.NS.Do(func() (err error) {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		g.leaf, err = bgptest.Dial(ctx, bgptest.Config{
			Local: leafLoopback, Remote: netip.MustParseAddrPort("127.0.0.1:179"), AS: leafAS, RestartTime: restart,
		})
		return err
	})
	if err != nil {
		return err
	}
	updates := g.leaf.Updates()
	g.owned.Go(func() {
		for range updates {
		}
	})
	return nil
}

// poll reads the controller's metrics until they are as wanted. What does not answer
// is asked again. The error is late, and says what was missing.
func (g *liveGateway) poll(ctx context.Context, limit time.Duration, missing func(map[string]float64) string) error {
	start, last := time.Now(), "nothing is known"
	for time.Since(start) < limit {
		asked, cancel := context.WithTimeout(ctx, min(5*time.Second, limit))
		m, err := g.Metrics(asked)
		cancel()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			last = err.Error()
		} else if last = missing(m); last == "" {
			return nil
		}
		// What takes long is asked less often: to ask is work for the machine too.
		if err := sleep(ctx, min(max(2*time.Millisecond, time.Since(start)/50), 100*time.Millisecond)); err != nil {
			return err
		}
	}
	return late{limit, last}
}

// entriesMetric counts the acknowledged entries of a table, routesMetric the type-2
// routes that were received.
func entriesMetric(table string) string {
	return fmt.Sprintf("p4evpn_controller_entries{table=%q}", table)
}

const routesMetric = `p4evpn_controller_routes{type="2"}`

// awaitStations waits until the target acknowledged the entries of that many
// routes.
func (g *liveGateway) awaitStations(ctx context.Context, routes int) error {
	return testbed.Eventually(ctx, time.Minute, "the routes are written", func(ctx context.Context) error {
		fdb, err := g.FDB(ctx, "blue")
		up := 0
		for _, e := range fdb {
			if e.GetVtep() != "" && e.GetState() == p4evpnv1.State_STATE_UP {
				up++
			}
		}
		if err == nil && up < routes {
			err = fmt.Errorf("%d of %d are", up, routes)
		}
		return err
	})
}

// close ends the leaf's session; the lab ends the rest.
func (g *liveGateway) close() {
	if g != nil && g.leaf != nil {
		g.leaf.Close()
		g.owned.Wait()
	}
}

// withLab measures something in network namespaces of its own.
func withLab(measure func(*testbed.Lab) ([]value, error)) (values []value, err error) {
	if os.Geteuid() != 0 {
		return nil, skip("it makes network namespaces: run it as root")
	}
	lab, err := testbed.NewLab()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	return measure(lab)
}

// withLive measures something with a gateway of its own.
func (b *bench) withLive(ctx context.Context, measure func(*liveGateway) ([]value, error)) ([]value, error) {
	binary := func(ctx context.Context) (string, error) { return b.program(ctx, embedded) }
	return withLiveOf(ctx, liveOptions{binary: binary}, measure)
}

// withLiveOf does that with one that is not the usual one.
func withLiveOf(ctx context.Context, of liveOptions, measure func(*liveGateway) ([]value, error)) ([]value, error) {
	return withLab(func(lab *testbed.Lab) ([]value, error) {
		g, err := startLive(ctx, lab, of)
		defer func() { g.close() }()
		if err != nil {
			return nil, err
		}
		return measure(g)
	})
}
