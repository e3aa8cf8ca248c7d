package testbed

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"golang.org/x/sync/errgroup"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
)

/*
The network of the tests that end parts of it. Hosts in bridge blue share a
subnet; the others are routed in VRF tenant.

	a, b (blue) ─┐          ┌─ kernel (GoBGP, kernel VXLAN) ─ ka (blue), kr 10.1.40.0/24
	r1 10.1.11.0 ┼─ gateway ┼─ second (p4evpn)              ─ sa (blue), sr 10.1.50.0/24
	r2 10.1.12.0 ┘          └─ leaf (FRR)                   ─ fa (blue)

kernel and second keep EVPN routes over a graceful restart; FRR 8.4 does not.
*/
type restartNetwork struct {
	target          string
	size            restartSize
	lab             *Lab
	gateway, second *Gateway
	kernel          *GoBGPLeaf
	leaf            *Leaf
	hosts           map[string]*Host
	oldStore        []byte      // what the gateway's store was
	cable           *cable      // of the gateway to its switch; nil: none
	config          gatewayFile // of the gateway
	secondConfig    gatewayFile
}

// restartSize is how much of the network a test needs.
type restartSize struct {
	macs    uint32 // that kernel advertises
	objects int    // of the gateway
	peers   bool   // second and leaf are there
	cable   bool   // the gateway speaks with its switch over a cable that can be cut
	tmpfs   bool   // the gateway's store is on a small file system of its own
	binary  string // that the gateway begins with; empty: the tree's
}

// wholeSize is what the restarts of the controller are promised for.
var wholeSize = restartSize{macs: 10_000, objects: 1_000, peers: true}

const (
	kernelAS      = 65201
	restartTime   = 120 // s
	cabledAddress = "127.0.0.1:9560"
)

var (
	kernelVTEP = netip.MustParseAddr("10.0.0.21")

	kernelSubnet = netip.MustParsePrefix("10.1.40.1/24")
	kernelRouter = ether.MAC{2, 0xcc, 0, 0, 0, 0x21}
)

// restartUplinks are the gateway's: to kernel, second and leaf.
var restartUplinks = []demoUplink{
	{"uplink1", 10, "up1", "10.2.1.1", "10.2.1.2", kernelAS, kernelVTEP, 11, "up1-sw", ""},
	{"uplink2", 12, "up2", "10.2.2.1", "10.2.2.2", secondAS, secondVTEP, 13, "up2-sw", ""},
	{"uplink3", 14, "up3", "10.2.3.1", "10.2.3.2", leaf1AS, leaf1VTEP, 15, "up3-sw", ""},
}

// secondUplinks are those of second: to the gateway.
var secondUplinks = []demoUplink{
	{"uplink1", 10, "up1", "10.2.2.2", "10.2.2.1", gatewayAS, gatewayVTEP, 11, "up1-sw", ""},
}

// gobgpleaf is the program of that name, built once for all tests.
var gobgpleaf = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaryFolder, "gobgpleaf")
	out, err := exec.Command("go", "build", "-o", path, "./gobgpleaf").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("go build ./gobgpleaf: %w\n%s", err, out)
	}
	return path, err
})

// eachRestartable runs a test with a network of its own on every target.
func eachRestartable(t *testing.T, size restartSize, test func(t *testing.T, n *restartNetwork)) {
	for _, target := range []string{Embedded, BMv2} {
		t.Run(target, func(t *testing.T) { test(t, buildRestartable(t, target, size)) })
	}
}

func buildRestartable(t *testing.T, target string, size restartSize) *restartNetwork {
	needDemo(t, target)
	start := time.Now()
	n := &restartNetwork{target: target, size: size, lab: needLab(t), hosts: map[string]*Host{}}
	t.Cleanup(func() { logsOf(t, n.lab) })
	spaces := map[string]*Namespace{}
	for _, name := range []string{"gw", "kernel", "second", "leaf"} { // two may stay empty
		spaces[name] = must(n.lab.Namespace(name))(t)
	}
	n.underlay(t, spaces)
	n.makeHosts(t, spaces)
	n.startPeers(t, spaces)
	n.startGateways(t, spaces)
	n.createObjects(t)
	n.settle(t)
	t.Logf("the network is up after %.1f s", time.Since(start).Seconds())
	return n
}

func (n *restartNetwork) underlay(t *testing.T, spaces map[string]*Namespace) {
	t.Helper()
	gw := spaces["gw"]
	for i, far := range []string{"kernel", "second", "leaf"} {
		u := restartUplinks[i]
		peer := End{NS: spaces[far], Dev: "gw", MTU: underlayMTU}
		if far == "second" {
			peer.Dev, peer.Switch = secondUplinks[0].name, true
		}
		check(t, n.lab.Cable(peer, End{NS: gw, Dev: u.name, Switch: true}))
		check(t, n.lab.hostPort(gw, u))
		if far == "second" {
			check(t, n.lab.hostPort(spaces[far], secondUplinks[0]))
			continue
		}
		check(t, spaces[far].AddAddress("gw", netip.PrefixFrom(netip.MustParseAddr(u.peer), 24)))
		check(t, spaces[far].AddRoute(netip.PrefixFrom(gatewayVTEP, 32), netip.MustParseAddr(u.address)))
	}
}

// makeHosts makes the hosts and cables them.
func (n *restartNetwork) makeHosts(t *testing.T, spaces map[string]*Namespace) {
	t.Helper()
	for i, h := range []struct {
		name, address, gateway string
		at                     string
		port                   End
	}{
		{"a", "192.168.10.1/24", "", "gw", End{Dev: "port1", Switch: true}},
		{"b", "192.168.10.2/24", "", "gw", End{Dev: "port2", Switch: true}},
		{"r1", "10.1.11.10/24", "10.1.11.1", "gw", End{Dev: "port3", Switch: true}},
		{"r2", "10.1.12.10/24", "10.1.12.1", "gw", End{Dev: "port4", Switch: true}},
		{"ka", "192.168.10.21/24", "", "kernel", End{Dev: "ka"}},
		{"kr", "10.1.40.10/24", "10.1.40.1", "kernel", End{Dev: "kr"}},
		{"sa", "192.168.10.31/24", "", "second", End{Dev: "port1", Switch: true}},
		{"sr", "10.1.50.10/24", "10.1.50.1", "second", End{Dev: "port2", Switch: true}},
		{"fa", "192.168.10.41/24", "", "leaf", End{Dev: "fa"}},
	} {
		host := &Host{Name: h.name, NS: must(n.lab.Namespace(h.name))(t), Dev: "eth0",
			MAC: ether.MAC{2, 0, 0, 0, 3, byte(i + 1)}, Address: netip.MustParsePrefix(h.address)}
		h.port.NS = spaces[h.at]
		check(t, n.lab.Cable(End{NS: host.NS, Dev: host.Dev}, h.port))
		if h.gateway != "" {
			host.Gateway = netip.MustParseAddr(h.gateway)
		}
		check(t, host.Configure())
		n.hosts[h.name] = host
	}
	for i, name := range []string{"p1", "p2"} {
		n.hosts[name] = &Host{Name: name, NS: must(n.lab.Namespace(name))(t), Dev: "eth0",
			MAC:     ether.MAC{2, 0, 0, 0, 4, byte(i)},
			Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, 0, byte(i + 1)}), 24)}
	}
	p1, p2 := n.hosts["p1"], n.hosts["p2"]
	check(t, n.lab.Cable(End{NS: p1.NS, Dev: p1.Dev}, End{NS: p2.NS, Dev: p2.Dev}))
	check(t, p1.Configure())
	check(t, p2.Configure())
}

func (n *restartNetwork) startPeers(t *testing.T, spaces map[string]*Namespace) {
	t.Helper()
	ctx := t.Context()
	gateway := func(u demoUplink) []Peer {
		return []Peer{{Address: netip.MustParseAddr(u.address), AS: gatewayAS, Passive: true, BFD: u.as == leaf1AS}}
	}
	n.kernel = must(n.lab.NewGoBGPLeaf(spaces["kernel"], "kernel", must(gobgpleaf())(t), GoBGPConfig{
		AS: kernelAS, VTEP: kernelVTEP, Peers: gateway(restartUplinks[0]), RestartTime: restartTime,
		MACs: []LeafMACs{{VNI: blueVNI, MACs: []ether.MAC{n.hosts["ka"].MAC}, Many: n.size.macs}},
		L3:   LeafPrefixes{VNI: tenantVNI, RouterMAC: kernelRouter, Prefixes: []netip.Prefix{kernelSubnet.Masked()}},
	}))(t)
	check(t, n.kernel.Join("ka", blueVNI))
	check(t, spaces["kernel"].AddAddress("kr", kernelSubnet))
	check(t, n.kernel.Start(ctx))
	if !n.size.peers {
		return
	}
	n.leaf = must(n.lab.Leaf(ctx, spaces["leaf"], "leaf", leaf1AS, leaf1VTEP, gateway(restartUplinks[2])))(t)
	check(t, n.leaf.AddVNI(blueVNI))
	check(t, n.leaf.Join("fa", blueVNI))
}

func (n *restartNetwork) startGateways(t *testing.T, spaces map[string]*Namespace) {
	t.Helper()
	ctx, binary := t.Context(), must(builtBinary())(t)
	all := func(hosts []SwitchPort, uplinks []demoUplink) (ports []SwitchPort) {
		ports = append(ports, hosts...)
		for _, u := range uplinks {
			ports = append(ports, SwitchPort{u.number, u.name}, SwitchPort{u.hostPort, u.hostPortDevice})
		}
		return ports
	}
	n.config = gatewayFile{as: gatewayAS, ageing: "5m", uplinks: restartUplinks,
		ports: []SwitchPort{{1, "port1"}, {2, "port2"}, {3, "port3"}, {4, "port4"}}}
	for _, u := range restartUplinks {
		if u.as != kernelAS && !n.size.peers {
			continue // nobody is there
		}
		n.config.peers = append(n.config.peers, Peer{Address: netip.MustParseAddr(u.peer), AS: u.as,
			BFD: n.size.peers && u.as != kernelAS})
	}
	n.gateway = must(n.lab.Gateway(spaces["gw"], cmp.Or(n.size.binary, binary), n.target, gatewayVTEP,
		all(n.config.ports, restartUplinks)))(t)
	n.config.gateway = n.gateway
	if n.size.cable {
		n.cable, n.config.target = newCable(t, n.gateway.NS, cabledAddress, targetAddress), cabledAddress
	}
	if n.size.tmpfs {
		n.config.store = filepath.Join(n.smallDisk(t), "p4evpn.db")
	}
	n.secondConfig = gatewayFile{as: secondAS, ageing: "5m", uplinks: secondUplinks,
		ports: []SwitchPort{{1, "port1"}, {2, "port2"}},
		peers: []Peer{{Address: netip.MustParseAddr(secondUplinks[0].peer), AS: gatewayAS, BFD: true}}}
	n.second = must(n.lab.SecondGateway(spaces["second"], "second", binary, Embedded, secondVTEP,
		all(n.secondConfig.ports, secondUplinks)))(t)
	n.secondConfig.gateway = n.second
	n.gateway.BFD, n.second.BFD = n.size.peers, n.size.peers
	for _, f := range n.files() {
		check(t, f.gateway.StartSwitch(ctx))
		check(t, f.gateway.StartController(ctx, f.String()))
	}
}

// files are the configurations of the gateways that are there.
func (n *restartNetwork) files() []gatewayFile {
	if n.size.peers {
		return []gatewayFile{n.config, n.secondConfig}
	}
	return []gatewayFile{n.config}
}

// createObjects makes the objects of both gateways, and so many bridges more on
// the first that it has a thousand objects.
func (n *restartNetwork) createObjects(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	access := opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS
	loopback := netip.MustParsePrefix("10.255.1.1/32")
	for i, f := range n.files() {
		g := f.gateway
		check(t, g.CreateVRF(ctx, "tenant", tenantVNI,
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 255, 1, byte(i + 1)}), loopback.Bits())))
		check(t, g.CreateBridge(ctx, blue, tagBlue, blueVNI))
	}
	segment := func(g *Gateway, id string, vlan uint16, gateway string, last byte) {
		check(t, g.CreateBridge(ctx, id, vlan, 1000+uint32(vlan)))
		check(t, g.CreateSVI(ctx, id, "tenant", ether.MAC{2, 0xaa, 0, 0, 1, last}, netip.MustParsePrefix(gateway)))
	}
	segment(n.gateway, "east", 11, "10.1.11.1/24", 11)
	segment(n.gateway, "west", 12, "10.1.12.1/24", 12)
	for port, bridge := range map[string]string{"port1": blue, "port2": blue, "port3": "east", "port4": "west"} {
		check(t, n.gateway.CreatePort(ctx, port, ether.MAC{2, 0, 0, 0, 4, port[4]}, access, bridge))
	}
	if n.size.peers {
		segment(n.second, "south", 50, "10.1.50.1/24", 50)
		check(t, n.second.CreatePort(ctx, "port1", ether.MAC{2, 0, 0, 0, 5, 1}, access, blue))
		check(t, n.second.CreatePort(ctx, "port2", ether.MAC{2, 0, 0, 0, 5, 2}, access, "south"))
	}
	check(t, n.createMany(ctx, n.size.objects-10)) // and a VRF, three bridges, two SVIs, four ports
	for _, f := range n.files() {
		check(t, f.gateway.AwaitRoutingUp(ctx))
	}
}

// createMany makes bridges without ports.
func (n *restartNetwork) createMany(ctx context.Context, count int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range count {
		group.Go(func() error {
			return n.gateway.CreateBridge(ctx, fmt.Sprintf("many-%04d", i), uint16(100+i), uint32(20_000+i))
		})
	}
	return group.Wait()
}

// settle waits until everybody reaches everybody and all routes are in.
func (n *restartNetwork) settle(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	check(t, n.awaitRoutes(ctx, int(n.size.macs)))
	for _, p := range n.config.peers {
		if p.BFD {
			check(t, n.gateway.AwaitBFD(ctx, p.Address.String(), p4evpnv1.BfdState_BFD_STATE_UP))
		}
	}
	for _, f := range n.all(1) {
		_, err := f.From.Reach(ctx, f.To.Address.Addr(), 2*patience)
		check(t, err)
	}
}

// awaitRoutes waits until the gateway holds at least so many MAC addresses.
func (n *restartNetwork) awaitRoutes(ctx context.Context, want int) error {
	return Eventually(ctx, 3*patience, fmt.Sprintf("the gateway holds %d MAC addresses", want),
		func(ctx context.Context) error {
			values, err := n.gateway.Metrics(ctx)
			if err != nil {
				return err
			}
			got := 0.0
			for name, v := range values {
				if strings.HasPrefix(name, "p4evpn_controller_entries{") && strings.Contains(name, `"bridge.fdb"`) {
					got += v
				}
			}
			if int(got) < want || values["p4evpn_controller_queue_depth"] > 0 {
				return fmt.Errorf("it holds %v, %v wait", got, values["p4evpn_controller_queue_depth"])
			}
			return nil
		})
}

// awaitMany waits until the gateway has just those of the many routes that
// kernel's configuration names now.
func (n *restartNetwork) awaitMany(t *testing.T) {
	t.Helper()
	m := n.kernel.Config.MACs[0]
	check(t, Eventually(t.Context(), 2*patience, "the gateway has kernel's routes", func(ctx context.Context) error {
		text, err := n.gateway.Show(ctx, "routes")
		if err != nil {
			return err
		}
		if got := strings.Count(text, "[0a:00:"); got != int(m.Many) {
			return fmt.Errorf("it has %d of the many, want %d", got, m.Many)
		}
		for _, i := range []uint32{m.First, m.First + m.Many - 1} {
			if mac := manyMAC(i).String(); !strings.Contains(text, mac) {
				return fmt.Errorf("it has no %s", mac)
			}
		}
		return nil
	}))
}

// rate is packets/s that a target carries also while it is written to and read,
// on a machine that others load. BMv2 as its sources build it by default, with its
// logging macros, loses some of a thousand while BGP speakers use both cores.
func (n *restartNetwork) rate() int {
	if n.target == BMv2 {
		return 250
	}
	return 1000
}

// local are flows between hosts of the gateway, and one that crosses no switch.
func (n *restartNetwork) local(rate int) []Flow {
	return []Flow{n.flow("local L2", "a", "b", rate), n.flow("local L3", "r1", "r2", rate),
		n.flow(pastTheGateway, "p1", "p2", rate)}
}

// remote are flows to peers that keep EVPN routes over a graceful restart.
func (n *restartNetwork) remote(rate int) []Flow {
	flows := []Flow{n.flow("GoBGP L2", "a", "ka", rate), n.flow("GoBGP L3", "r1", "kr", rate)}
	if n.size.peers {
		flows = append(flows, n.flow("p4evpn L2", "b", "sa", rate), n.flow("p4evpn L3", "r2", "sr", rate))
	}
	return flows
}

// all are these, and one to FRR.
func (n *restartNetwork) all(rate int) []Flow {
	flows := append(n.local(rate), n.remote(rate)...)
	if n.size.peers {
		flows = append(flows, n.flow("FRR L2", "a", "fa", rate))
	}
	return flows
}

func (n *restartNetwork) flow(name, from, to string, rate int) Flow {
	return Flow{Name: name, From: n.hosts[from], To: n.hosts[to], Rate: rate}
}
