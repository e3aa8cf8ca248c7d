package softswitch

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"github.com/vishvananda/netlink"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/p4evpn/p4evpn/internal/netnstest"
	"github.com/p4evpn/p4evpn/softswitch/netport"
	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// TestMain runs the tests in a network namespace of their own.
func TestMain(m *testing.M) { netnstest.Main(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func needRoot(t testing.TB) {
	t.Helper()
	netnstest.Need(t)
	link(t, "lo", netlink.LinkSetUp)
}

func link(t testing.TB, name string, change func(netlink.Link) error) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = change(l)
	}
	if err != nil {
		t.Fatalf("interface %s: %v", name, err)
	}
}

// addVeth makes a veth pair that is up, without IPv6 chatter.
func addVeth(t testing.TB, a, b string) {
	t.Helper()
	la := netlink.NewLinkAttrs()
	la.Name = a
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: la, PeerName: b}); err != nil {
		t.Fatalf("add veth %s: %v", a, err)
	}
	t.Cleanup(func() {
		if l, err := netlink.LinkByName(a); err == nil {
			netlink.LinkDel(l)
		}
	})
	for _, name := range []string{a, b} {
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0)
		link(t, name, netlink.LinkSetUp)
	}
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// kinds is the test program of package p4rtserver.
func kinds(t testing.TB) *p4v1.ForwardingPipelineConfig {
	t.Helper()
	return readPipeline(t, "p4rtserver/testdata/kinds.json", "p4rtserver/testdata/kinds.p4info.txtpb")
}

func readPipeline(t testing.TB, jsonFile, infoFile string) *p4v1.ForwardingPipelineConfig {
	t.Helper()
	json, err := os.ReadFile(jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(infoFile)
	if err != nil {
		t.Fatal(err)
	}
	info := &p4configv1.P4Info{}
	if err := prototext.Unmarshal(text, info); err != nil {
		t.Fatal(err)
	}
	return &p4v1.ForwardingPipelineConfig{P4Info: info, P4DeviceConfig: json}
}

// bench is a switch that runs, with its hosts' ends of the veth pairs.
type bench struct {
	t     testing.TB
	sw    *Switch
	hosts map[uint32]*host
	rpc   p4v1.P4RuntimeClient
	conn  p4v1.P4Runtime_StreamChannelClient
	names map[string]uint32
}

// host is the other end of a port.
type host struct {
	sending sync.Once
	sender  *netport.Sender // for one goroutine at a time
	port    *netport.Port
	mu      sync.Mutex
	frames  [][]byte
}

func (h *host) send(frames ...[]byte) {
	h.sending.Do(func() { h.sender = netport.NewSender() })
	h.sender.Send(h.port, frames)
}

func (h *host) has(want []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.frames {
		if bytes.Equal(f, want) {
			return true
		}
	}
	return false
}

// start runs a switch with ports 1 to n, each with a host behind it.
func start(t testing.TB, n int, cfg Config) *bench {
	t.Helper()
	needRoot(t)
	for i := range n {
		addVeth(t, fmt.Sprintf("sw%d", i+1), fmt.Sprintf("h%d", i+1))
		cfg.Ports = append(cfg.Ports, Port{uint32(i + 1), fmt.Sprintf("sw%d", i+1)})
	}
	if cfg.GRPCAddress == "" {
		cfg.GRPCAddress = "127.0.0.1:0"
	}
	cfg.Logger = quiet()
	sw, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := sw.Run(ctx); err != nil {
			t.Errorf("switch: %v", err)
		}
	})
	b := &bench{t: t, sw: sw, hosts: map[uint32]*host{}, names: map[string]uint32{}}
	for i := range n {
		h := &host{}
		if h.port, err = netport.New(netport.Config{Interface: fmt.Sprintf("h%d", i+1), Logger: quiet()}); err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			h.port.Run(ctx, func(frames [][]byte) {
				h.mu.Lock()
				defer h.mu.Unlock()
				for _, f := range frames {
					h.frames = append(h.frames, bytes.Clone(f))
				}
			})
		})
		b.hosts[uint32(i+1)] = h
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
		for _, h := range b.hosts {
			h.port.Close()
		}
	})
	<-sw.Ready()
	eventually(t, "all ports up", b.up)
	return b
}

func (b *bench) up() bool {
	for _, p := range b.sw.Stats().Ports {
		if !p.Up {
			return false
		}
	}
	for _, h := range b.hosts {
		if !h.port.Up() {
			return false
		}
	}
	return true
}

// connect becomes the primary client.
func (b *bench) connect() {
	b.t.Helper()
	address := b.sw.Address().String()
	if b.sw.Address().Network() == "unix" {
		address = "unix:" + address
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	b.rpc = p4v1.NewP4RuntimeClient(conn)
	ctx, cancel := context.WithCancel(context.Background())
	b.t.Cleanup(cancel)
	if b.conn, err = b.rpc.StreamChannel(ctx); err != nil {
		b.t.Fatal(err)
	}
	if err := b.conn.Send(&p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Arbitration{
		Arbitration: &p4v1.MasterArbitrationUpdate{DeviceId: 1, ElectionId: &p4v1.Uint128{Low: 1}},
	}}); err != nil {
		b.t.Fatal(err)
	}
	if m, err := b.conn.Recv(); err != nil || m.GetArbitration().GetStatus().GetCode() != 0 {
		b.t.Fatalf("arbitration: %v, %v", m, err)
	}
}

func (b *bench) commit(config *p4v1.ForwardingPipelineConfig) {
	b.t.Helper()
	if _, err := b.rpc.SetForwardingPipelineConfig(context.Background(), &p4v1.SetForwardingPipelineConfigRequest{
		DeviceId: 1, ElectionId: &p4v1.Uint128{Low: 1},
		Action: p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT, Config: config,
	}); err != nil {
		b.t.Fatal(err)
	}
	for _, x := range config.P4Info.Tables {
		b.names[x.Preamble.Name] = x.Preamble.Id
	}
	for _, x := range config.P4Info.Actions {
		b.names[x.Preamble.Name] = x.Preamble.Id
	}
}

// forward makes frames to a MAC leave on a port.
func (b *bench) forward(mac byte, port byte) {
	b.t.Helper()
	b.write(&p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{
		TableId: b.names["ingress.host"],
		Match: []*p4v1.FieldMatch{{FieldId: 1,
			FieldMatchType: &p4v1.FieldMatch_Exact_{Exact: &p4v1.FieldMatch_Exact{Value: []byte{mac}}}}},
		Action: &p4v1.TableAction{Type: &p4v1.TableAction_Action{Action: &p4v1.Action{
			ActionId: b.names["ingress.forward"], Params: []*p4v1.Action_Param{{ParamId: 1, Value: []byte{port}}},
		}}},
	}}})
}

// cross connects two ports: what comes in by one leaves by the other.
func (b *bench) cross(first, second byte) {
	b.t.Helper()
	for _, pair := range [][2]byte{{first, second}, {second, first}} {
		b.write(&p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{
			TableId: b.names["ingress.rule"], Priority: 1,
			Match: []*p4v1.FieldMatch{{FieldId: 3,
				FieldMatchType: &p4v1.FieldMatch_Optional_{Optional: &p4v1.FieldMatch_Optional{Value: pair[:1]}}}},
			Action: &p4v1.TableAction{Type: &p4v1.TableAction_Action{Action: &p4v1.Action{
				ActionId: b.names["ingress.forward"], Params: []*p4v1.Action_Param{{ParamId: 1, Value: pair[1:]}},
			}}},
		}}})
	}
}

func (b *bench) write(e *p4v1.Entity) {
	b.t.Helper()
	if _, err := b.rpc.Write(context.Background(), &p4v1.WriteRequest{
		DeviceId: 1, ElectionId: &p4v1.Uint128{Low: 1},
		Updates: []*p4v1.Update{{Type: p4v1.Update_INSERT, Entity: e}},
	}); err != nil {
		b.t.Fatal(err)
	}
}

func frame(dst byte, etherType uint16, payload string) []byte {
	return append([]byte{0, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, 9, byte(etherType >> 8), byte(etherType)}, payload...)
}

func TestFramesCrossTheSwitch(t *testing.T) {
	b := start(t, 3, Config{})
	b.hosts[1].send(frame(7, 0x9000, "early"))
	eventually(t, "the frame without a pipeline is counted", func() bool { return b.sw.Stats().NoPipeline == 1 })
	b.connect()
	b.commit(kinds(t))
	b.forward(7, 2)
	b.forward(8, 3)
	b.forward(9, 99)
	for i := range 10 {
		f := frame(7, 0x9000, fmt.Sprintf("frame %d, long enough to be one on the wire by itself", i))
		b.hosts[1].send(f)
		eventually(t, "the frame arrives at port 2", func() bool { return b.hosts[2].has(f) })
		f = frame(8, 0x9000, fmt.Sprint("the other way", i))
		b.hosts[2].send(f)
		eventually(t, "the frame arrives at port 3", func() bool { return b.hosts[3].has(f) })
	}
	b.hosts[1].send(frame(9, 0x9000, "to nowhere"))
	eventually(t, "the frame to a port that does not exist is counted", func() bool { return b.sw.Stats().NoPort == 1 })
	if s := b.sw.Stats(); s.Ports[0].RxFrames != 12 || s.Ports[1].TxFrames != 10 || s.Ports[2].TxFrames != 10 {
		t.Errorf("port counters: %+v", s.Ports)
	}
}

func TestFramesOfOneFlowStayInOrder(t *testing.T) {
	b := start(t, 2, Config{Pipeline: kinds(t)})
	b.connect()
	b.commit(kinds(t))
	b.forward(7, 2)
	const frames = 1000
	var batch [][]byte
	for i := range frames {
		batch = append(batch, frame(7, 0x9000, fmt.Sprintf("%05d", i)))
	}
	b.hosts[1].send(batch...)
	h := b.hosts[2]
	eventually(t, "all frames arrive", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.frames) == frames
	})
	for i, f := range h.frames {
		if !bytes.Equal(f, batch[i]) {
			t.Fatalf("frame %d is %q", i, f[14:])
		}
	}
}

func TestPacketsToAndFromTheController(t *testing.T) {
	b := start(t, 2, Config{CPUPort: 510})
	b.connect()
	b.commit(kinds(t))
	lldp := frame(1, 0x88cc, "punted by a constant entry")
	b.hosts[2].send(lldp)
	m, err := b.conn.Recv()
	for err == nil && m.GetOther() != nil { // of ports
		m, err = b.conn.Recv()
	}
	if err != nil || !bytes.Equal(m.GetPacket().GetPayload(), lldp) {
		t.Fatalf("got %v, %v, want the frame", m, err)
	}
	out := frame(1, 0x9000, "from the controller")
	if err := b.conn.Send(&p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Packet{Packet: &p4v1.PacketOut{
		Payload: out, Metadata: []*p4v1.PacketMetadata{{MetadataId: 1, Value: []byte{1}}, {MetadataId: 2, Value: []byte{0}}},
	}}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the packet-out leaves on port 1", func() bool { return b.hosts[1].has(out) })
}

func TestPipelineIsReplacedUnderTraffic(t *testing.T) {
	b := start(t, 2, Config{})
	b.connect()
	stop := make(chan struct{})
	var traffic sync.WaitGroup
	traffic.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				b.hosts[1].send(frame(7, 0x9000, fmt.Sprint(i)))
			}
		}
	})
	for range 20 {
		b.commit(kinds(t))
		b.forward(7, 2)
	}
	close(stop)
	traffic.Wait()
	last := frame(7, 0x9000, "last")
	eventually(t, "frames arrive by the last pipeline", func() bool {
		b.hosts[1].send(last)
		return b.hosts[2].has(last)
	})
}

func TestInterfaceThatAppearsLaterIsTaken(t *testing.T) {
	needRoot(t)
	sw, err := New(Config{GRPCAddress: "127.0.0.1:0", Ports: []Port{{5, "late"}}, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { sw.Run(ctx) })
	defer running.Wait()
	defer cancel()
	<-sw.Ready()
	if sw.Stats().Ports[0].Up {
		t.Error("the port is up without an interface")
	}
	addVeth(t, "late", "peer")
	eventually(t, "the port is up", func() bool { return sw.Stats().Ports[0].Up })
}

func TestClientsAreToldWhichPortsAreRefusedOrDown(t *testing.T) {
	needRoot(t)
	address := &netlink.Addr{IPNet: &net.IPNet{IP: net.IP{192, 0, 2, 7}, Mask: net.CIDRMask(24, 32)}}
	addVeth(t, "sw1", "h1")
	link(t, "sw1", func(l netlink.Link) error { return netlink.AddrAdd(l, address) })
	sw, err := New(Config{GRPCAddress: "127.0.0.1:0", Ports: []Port{{5, "sw1"}}, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { sw.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	b := &bench{t: t, sw: sw}
	b.connect()
	// said waits until the clients are told of the only port.
	said := func(word, prefix, text string) {
		t.Helper()
		for {
			m, err := b.conn.Recv()
			if err != nil {
				t.Fatalf("%s of %q: %v", word, text, err)
			}
			var object structpb.Struct
			if err := m.GetOther().UnmarshalTo(&object); err != nil {
				t.Fatalf("%v: %v", m, err)
			}
			got := fmt.Sprint(object.AsMap()[word])
			if strings.HasPrefix(got, prefix) && strings.Contains(got, text) {
				return
			}
		}
	}
	said("refused_ports", "map[5:sw1: ", "192.0.2.7")
	link(t, "sw1", func(l netlink.Link) error { return netlink.AddrDel(l, address) })
	said("refused_ports", "map[]", "")
	said("down_ports", "map[]", "")
	link(t, "h1", netlink.LinkSetDown)
	said("down_ports", "map[5:sw1: ", "no carrier")
	link(t, "h1", netlink.LinkSetUp)
	said("down_ports", "map[]", "")
	link(t, "sw1", netlink.LinkSetDown)
	said("down_ports", "map[5:sw1: ", "set down")
	link(t, "sw1", netlink.LinkDel)
	said("down_ports", "map[5:sw1: ", "no such interface")
	addVeth(t, "sw1", "h1")
	said("down_ports", "map[]", "")
}

func TestUnixSocketIsServedAndReplacedWhenStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p4rt.sock")
	if err := syscall.Mknod(path, syscall.S_IFSOCK|0o600, 0); err != nil {
		t.Fatal(err)
	}
	b := start(t, 0, Config{GRPCAddress: "unix:" + path})
	b.connect()
	if _, err := New(Config{GRPCAddress: "unix:" + path, Logger: quiet()}); err == nil ||
		!strings.Contains(err.Error(), "another process") {
		t.Errorf("a second switch at the same socket: %v", err)
	}
}

func TestSwitchStopsWithOpenStreams(t *testing.T) {
	needRoot(t)
	sw, err := New(Config{GRPCAddress: "127.0.0.1:0", Pipeline: kinds(t), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- sw.Run(ctx) }()
	<-sw.Ready()
	b := &bench{t: t, sw: sw}
	b.connect()
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Run: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Run did not return within 10 s")
	}
}

func TestDamagedPipelineToStartWithIsAnError(t *testing.T) {
	config := kinds(t)
	config.P4DeviceConfig = config.P4DeviceConfig[:100]
	if _, err := New(Config{GRPCAddress: "127.0.0.1:0", Pipeline: config, Logger: quiet()}); err == nil ||
		!strings.Contains(err.Error(), "p4_device_config") {
		t.Errorf("got %v", err)
	}
}

// FuzzFrame runs frames of any content through the project's own pipeline, as
// a port and as the CPU port would.
func FuzzFrame(f *testing.F) {
	config := readPipeline(f, "../p4/p4evpn.json", "../p4/p4evpn.p4info.txtpb")
	sw, err := New(Config{GRPCAddress: "127.0.0.1:0", CPUPort: 510, Pipeline: config, Limits: pipeline.Limits{},
		Logger: quiet()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { sw.listener.Close() })
	lanes := []*lane{newLane(sw, 1), newLane(sw, 510)}
	f.Add(frame(1, 0x0800, "\x45\x00\x00\x20"))
	f.Add(frame(1, 0x8100, "\x00\x64\x08\x06"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, l := range lanes {
			if err := l.carry([][]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
