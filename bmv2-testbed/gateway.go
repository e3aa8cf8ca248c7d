package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
)

// Targets: which switch runs the P4 program.
const (
	Embedded = "embedded" // p4evpn switch
	BMv2     = "bmv2"     // simple_switch_grpc
)

// SwitchPort gives a P4 port number to a device of the gateway's namespace.
type SwitchPort struct {
	Number int
	Dev    string
}

// Gateway is a switch and a p4evpn controller, two processes in one namespace.
type Gateway struct {
	NS   *Namespace
	VTEP netip.Addr
	BFD  bool // neighbours may have it

	lab                *Lab
	folder             string // of its files; the lab's, but for a second gateway
	name               string // begins the names of its processes and namespaces; empty but for a second gateway
	binary             string
	target             string
	ports              []SwitchPort
	socket             string   // of the API
	flags              []string // more, of `p4evpn run`
	switchFlags        []string // more, of `p4evpn switch`
	switchAs, runAs    []string // commands that start the two, with other rights than ours; empty: none
	dataplane, control *Process
	conn               *grpc.ClientConn
	view               p4evpnv1.ViewClient
}

const (
	cpuPort        = 510
	targetAddress  = "127.0.0.1:9559"
	metricsAddress = "127.0.0.1:9464"
	thriftPort     = "9090"
	ownElectionID  = 1000 // leaves lower ones to clients that only read
)

// Gateway prepares a gateway in a namespace with a p4evpn binary. The devices
// of its ports must be there, cabled as End.Switch.
func (l *Lab) Gateway(n *Namespace, binary, target string, vtep netip.Addr, ports []SwitchPort) (*Gateway, error) {
	g := &Gateway{NS: n, VTEP: vtep, lab: l, folder: l.Dir, binary: binary, target: target, ports: ports}
	return g, g.prepare()
}

// SecondGateway prepares one more gateway in a lab, by a name.
func (l *Lab) SecondGateway(n *Namespace, name, binary, target string, vtep netip.Addr,
	ports []SwitchPort) (*Gateway, error) {
	g := &Gateway{
		NS: n, VTEP: vtep, lab: l, folder: filepath.Join(l.Dir, name), name: name + "-", binary: binary, target: target,
		ports: ports,
	}
	if err := os.Mkdir(g.folder, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of gateway %s: %w", name, err)
	}
	return g, g.prepare()
}

func (g *Gateway) prepare() error {
	g.socket = "unix:" + filepath.Join(g.folder, "api.sock")
	if err := g.NS.AddAddress("lo", netip.PrefixFrom(g.VTEP, g.VTEP.BitLen())); err != nil {
		return err
	}
	var err error
	if g.conn, err = grpc.NewClient(g.socket, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return fmt.Errorf("connect to the gateway's API: %w", err)
	}
	g.lab.onClose(g.conn.Close)
	g.lab.onClose(func() error { return removeNamespaces(g.vrfNamespaces()) })
	g.view = p4evpnv1.NewViewClient(g.conn)
	return nil
}

// vrfNamespaces is how the names of the namespaces begin that the controller
// makes for its VRFs: they are swept with the lab.
func (g *Gateway) vrfNamespaces() string { return g.lab.prefix + g.name + "vrf-" }

func (g *Gateway) storeFile() string { return filepath.Join(g.folder, "p4evpn.db") }

// livenessAddress is where BFD runs for the gateway.
func (g *Gateway) livenessAddress() string { return "unix:" + filepath.Join(g.folder, "liveness.sock") }

// startBFD starts BFD beside a target that does not have it inside.
func (g *Gateway) startBFD() error {
	_, err := g.lab.Start(g.NS, g.name+"liveness", g.binary, "liveness", "--address", g.livenessAddress())
	return err
}

// StartSwitch starts the target without a program, and BFD if neighbours are to have it.
func (g *Gateway) StartSwitch(ctx context.Context) (err error) {
	args := []string{g.binary, "switch"}
	common := []string{"--no-p4", "--device-id", "1"}
	own := append([]string{"--grpc-server-addr", targetAddress, "--cpu-port", fmt.Sprint(cpuPort)}, g.switchFlags...)
	switch {
	case g.BFD && g.target == BMv2:
		if err := g.startBFD(); err != nil {
			return err
		}
	case g.BFD:
		own = append(own, "--liveness", g.livenessAddress())
	}
	if g.target == BMv2 {
		args = []string{"simple_switch_grpc"}
		common = append(common, "--thrift-port", thriftPort, "--log-console", "--log-level", "warn")
		own = append([]string{"--"}, append(own, "--max-mc-groups", "8192", "--max-l1-entries", "8192", "--max-l2-entries",
			"16384")...)
	}
	for _, p := range g.ports {
		common = append(common, "-i", fmt.Sprintf("%d@%s", p.Number, p.Dev))
	}
	args = append(append(append(g.switchAs[:len(g.switchAs):len(g.switchAs)], args...), common...), own...)
	if g.dataplane, err = g.lab.Start(g.NS, g.name+"switch", args...); err != nil || g.target != BMv2 {
		return err
	}
	return g.deepenQueues(ctx)
}

// deepenQueues makes BMv2's queues hold a flood's copies; its own 64 packets a
// port lose them.
func (g *Gateway) deepenQueues(ctx context.Context) error {
	return Eventually(ctx, patience, "BMv2 sets its queue depth", func(ctx context.Context) error {
		if err := g.dataplane.Running(); err != nil {
			return err
		}
		cmd := g.NS.Command(ctx, "simple_switch_CLI", "--thrift-port", thriftPort)
		cmd.Stdin = strings.NewReader("set_queue_depth 4096\n")
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), "Could not connect") {
			return errors.Join(err, errors.New(string(out)))
		}
		return nil
	})
}

// StartController starts `p4evpn run` with a configuration file's text and
// waits until its API answers.
func (g *Gateway) StartController(ctx context.Context, config string) error {
	file := filepath.Join(g.folder, "p4evpn.yaml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return fmt.Errorf("write the gateway's configuration: %w", err)
	}
	var err error
	args := append(append(g.runAs[:len(g.runAs):len(g.runAs)], g.binary, "run", "-c", file), g.flags...)
	if g.control, err = g.lab.StartSharing(g.NS, g.name+"controller", args...); err != nil {
		return err
	}
	return Eventually(ctx, 2*patience, "the gateway's API answers", func(ctx context.Context) error {
		if err := g.control.Running(); err != nil {
			return err
		}
		g.conn.ResetConnectBackoff() // a second, if it was tried in vain since the last one was killed
		_, err := opi.NewLogicalBridgeServiceClient(g.conn).ListLogicalBridges(ctx, &opi.ListLogicalBridgesRequest{})
		return err
	})
}

// ControllerPID is the id of the controller's process.
func (g *Gateway) ControllerPID() int { return g.control.PID() }

// SwitchPID is the id of the switch's process.
func (g *Gateway) SwitchPID() int { return g.dataplane.PID() }

// KillController ends the controller without a chance to clean up.
func (g *Gateway) KillController() error { return g.control.Kill() }

// KillSwitch ends the switch in the same way.
func (g *Gateway) KillSwitch() error { return g.dataplane.Kill() }

// CreateBridge makes a logical bridge by the API; VNI 0 is none.
func (g *Gateway) CreateBridge(ctx context.Context, id string, vlan uint16, vni uint32) error {
	spec := &opi.LogicalBridgeSpec{VlanId: uint32(vlan)}
	if vni != 0 {
		spec.Vni, spec.VtepIpPrefix = &vni, opiPrefix(netip.PrefixFrom(g.VTEP, g.VTEP.BitLen()))
	}
	_, err := opi.NewLogicalBridgeServiceClient(g.conn).CreateLogicalBridge(ctx, &opi.CreateLogicalBridgeRequest{
		LogicalBridgeId: id,
		LogicalBridge:   &opi.LogicalBridge{Spec: spec},
	})
	if err != nil {
		return fmt.Errorf("create logical bridge %s: %w", id, err)
	}
	return nil
}

// CreatePort makes a bridge port by the API: an access port of one bridge or a
// trunk of several.
func (g *Gateway) CreatePort(ctx context.Context, id string, mac ether.MAC, kind opi.BridgePortType,
	bridges ...string) error {
	spec := &opi.BridgePortSpec{MacAddress: mac[:], Ptype: kind}
	for _, b := range bridges {
		spec.LogicalBridges = append(spec.LogicalBridges, "logicalBridges/"+b)
	}
	_, err := opi.NewBridgePortServiceClient(g.conn).CreateBridgePort(ctx, &opi.CreateBridgePortRequest{
		BridgePortId: id, BridgePort: &opi.BridgePort{Spec: spec},
	})
	if err != nil {
		return fmt.Errorf("create bridge port %s: %w", id, err)
	}
	return nil
}

// AwaitPortsUp waits until the API says that every bridge and port is up.
func (g *Gateway) AwaitPortsUp(ctx context.Context) error {
	return Eventually(ctx, patience, "bridges and bridge ports are up", func(ctx context.Context) error {
		bridges, err := opi.NewLogicalBridgeServiceClient(g.conn).ListLogicalBridges(ctx, &opi.ListLogicalBridgesRequest{})
		if err != nil {
			return err
		}
		for _, b := range bridges.GetLogicalBridges() {
			if b.GetStatus().GetOperStatus() != opi.LBOperStatus_LB_OPER_STATUS_UP {
				return fmt.Errorf("%s is %v: %v", b.GetName(), b.GetStatus().GetOperStatus(), b.GetStatus().GetComponents())
			}
		}
		ports, err := opi.NewBridgePortServiceClient(g.conn).ListBridgePorts(ctx, &opi.ListBridgePortsRequest{})
		if err != nil {
			return err
		}
		for _, p := range ports.GetBridgePorts() {
			if p.GetStatus().GetOperStatus() != opi.BPOperStatus_BP_OPER_STATUS_UP {
				return fmt.Errorf("%s is %v: %v", p.GetName(), p.GetStatus().GetOperStatus(), p.GetStatus().GetComponents())
			}
		}
		return nil
	})
}

// DeletePort deletes a bridge port by the API.
func (g *Gateway) DeletePort(ctx context.Context, id string) error {
	_, err := opi.NewBridgePortServiceClient(g.conn).DeleteBridgePort(ctx,
		&opi.DeleteBridgePortRequest{Name: "bridgePorts/" + id})
	if err != nil {
		return fmt.Errorf("delete bridge port %s: %w", id, err)
	}
	return nil
}

// DeleteBridge deletes a logical bridge, which must have no ports.
func (g *Gateway) DeleteBridge(ctx context.Context, id string) error {
	_, err := opi.NewLogicalBridgeServiceClient(g.conn).DeleteLogicalBridge(ctx,
		&opi.DeleteLogicalBridgeRequest{Name: "logicalBridges/" + id})
	if err != nil {
		return fmt.Errorf("delete logical bridge %s: %w", id, err)
	}
	return nil
}

// FDB reads the gateway's forwarding entries of a bridge, by MAC address.
func (g *Gateway) FDB(ctx context.Context, bridge string) (map[string]*p4evpnv1.FDBEntry, error) {
	stream, err := g.view.ListFDB(ctx, &p4evpnv1.ListFDBRequest{Bridge: bridge})
	found := map[string]*p4evpnv1.FDBEntry{}
	return found, collect("FDB", stream, err, func(part *p4evpnv1.ListFDBResponse) {
		for _, e := range part.GetEntries() {
			found[e.GetMac()] = e
		}
	})
}

// Bridge reads the gateway's view of one bridge.
func (g *Gateway) Bridge(ctx context.Context, name string) (*p4evpnv1.Bridge, error) {
	stream, err := g.view.ListBridges(ctx, &p4evpnv1.ListBridgesRequest{})
	var found *p4evpnv1.Bridge
	err = collect("bridges", stream, err, func(part *p4evpnv1.ListBridgesResponse) {
		for _, b := range part.GetBridges() {
			if b.GetName() == name {
				found = b
			}
		}
	})
	if err == nil && found == nil {
		err = fmt.Errorf("bridge %s is not in the gateway's view", name)
	}
	return found, err
}

// VTEPs reads the gateway's view of the remote VTEPs, by address.
func (g *Gateway) VTEPs(ctx context.Context) (map[string]*p4evpnv1.VTEP, error) {
	stream, err := g.view.ListVTEPs(ctx, &p4evpnv1.ListVTEPsRequest{})
	found := map[string]*p4evpnv1.VTEP{}
	return found, collect("VTEPs", stream, err, func(part *p4evpnv1.ListVTEPsResponse) {
		for _, v := range part.GetVteps() {
			found[v.GetAddress()] = v
		}
	})
}

// Replicas counts, by multicast group, the remote VTEPs that the target floods
// to: what it holds, not only what is wanted. Instance 1 is the local ports'.
func (g *Gateway) Replicas(ctx context.Context) (map[string]int, error) {
	stream, err := g.view.ListEntries(ctx, &p4evpnv1.ListEntriesRequest{Table: "multicast_group"})
	found := map[string]int{}
	var missing error
	err = collect("multicast groups", stream, err, func(part *p4evpnv1.ListEntriesResponse) {
		for _, e := range part.GetEntries() { // "multicast_group 1 -> 1/1 10/2"
			group, members, _ := strings.Cut(e.GetText(), " -> ")
			if !e.GetAcked() {
				missing = fmt.Errorf("the target does not hold %s: %s", group, e.GetError())
			}
			found[group] = 0
			for _, member := range strings.Fields(members) {
				if _, instance, _ := strings.Cut(member, "/"); instance != "1" {
					found[group]++
				}
			}
		}
	})
	return found, errors.Join(err, missing)
}

// Held reads the entries of a table that the target has acknowledged, as `p4evpn
// show entries` writes them.
func (g *Gateway) Held(ctx context.Context, table string) (held []string, err error) {
	stream, err := g.view.ListEntries(ctx, &p4evpnv1.ListEntriesRequest{Table: table})
	err = collect("entries of "+table, stream, err, func(part *p4evpnv1.ListEntriesResponse) {
		for _, e := range part.GetEntries() {
			if e.GetAcked() {
				held = append(held, e.GetText())
			}
		}
	})
	return held, err
}

// collect reads a stream of parts of what a gateway has to its end.
func collect[Part any](what string, stream grpc.ServerStreamingClient[Part], err error, add func(*Part)) error {
	for err == nil {
		var part *Part
		if part, err = stream.Recv(); err == nil {
			add(part)
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("read the gateway's %s: %w", what, err)
}

// Show runs `p4evpn show` as a user does.
func (g *Gateway) Show(ctx context.Context, args ...string) (string, error) {
	return g.command(ctx, append([]string{"show"}, args...)...)
}

// command runs a command of p4evpn that asks the gateway.
func (g *Gateway) command(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, g.binary, append(args, "--api", g.socket)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("p4evpn %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimRight(string(out), "\n"), nil
}

// Conn is the connection to the gateway's API; the lab closes it.
func (g *Gateway) Conn() *grpc.ClientConn { return g.conn }
