package differential

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sort"
	"sync"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/softswitch/bmv2"
	"github.com/p4evpn/p4evpn/softswitch/p4rtserver"
	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

const (
	deviceID = 1
	cpuPort  = 510
)

// frame is one frame at a port.
type frame = bmv2.Frame

// client is a P4Runtime client of either switch. What the switch tells it is
// kept as text.
type client struct {
	rpc      p4v1.P4RuntimeClient
	stream   p4v1.P4Runtime_StreamChannelClient
	election *p4v1.Uint128

	mu        sync.Mutex
	packetIns []string
	digests   []string
}

func connect(t *testing.T, address string, config *p4v1.ForwardingPipelineConfig) *client {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &client{rpc: p4v1.NewP4RuntimeClient(conn), election: &p4v1.Uint128{Low: 1}}
	if c.stream, err = c.rpc.StreamChannel(ctx); err != nil {
		t.Fatal(err)
	}
	c.send(t, &p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Arbitration{
		Arbitration: &p4v1.MasterArbitrationUpdate{DeviceId: deviceID, ElectionId: c.election}}})
	if m, err := c.stream.Recv(); err != nil || m.GetArbitration().GetStatus().GetCode() != 0 {
		t.Fatalf("arbitration: %v, %v", m, err)
	}
	var listening sync.WaitGroup
	listening.Go(c.listen)
	t.Cleanup(func() {
		cancel()
		conn.Close()
		listening.Wait()
	})
	_, err = c.rpc.SetForwardingPipelineConfig(ctx, &p4v1.SetForwardingPipelineConfigRequest{
		DeviceId: deviceID, ElectionId: c.election, Action: p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT,
		Config: config})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *client) send(t *testing.T, m *p4v1.StreamMessageRequest) {
	t.Helper()
	if err := c.stream.Send(m); err != nil {
		t.Fatal(err)
	}
}

// listen takes what the switch sends, and acknowledges digests.
func (c *client) listen() {
	for {
		m, err := c.stream.Recv()
		if err != nil {
			return
		}
		c.mu.Lock()
		if in := m.GetPacket(); in != nil {
			c.packetIns = append(c.packetIns, text(in))
		}
		list := m.GetDigest()
		for _, d := range list.GetData() {
			c.digests = append(c.digests, text(d))
		}
		c.mu.Unlock()
		if list != nil {
			_ = c.stream.Send(&p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_DigestAck{
				DigestAck: &p4v1.DigestListAck{DigestId: list.DigestId, ListId: list.ListId}}})
		}
	}
}

// text is a message as one that compares.
func text(m proto.Message) string {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%x", b)
}

func (c *client) write(e *p4v1.Entity) error {
	u := &p4v1.Update{Type: p4v1.Update_INSERT, Entity: e}
	if e.GetTableEntry().GetIsDefaultAction() {
		u.Type = p4v1.Update_MODIFY
	}
	_, err := c.rpc.Write(context.Background(),
		&p4v1.WriteRequest{DeviceId: deviceID, ElectionId: c.election, Updates: []*p4v1.Update{u}})
	return err
}

// told is what the switch has told so far: packet-ins in order, digests as a
// set, since BMv2 leaves out a digest that waits for the acknowledgement of an
// equal one.
func (c *client) told() (packetIns, digests []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	packetIns, digests = slices.Clone(c.packetIns), slices.Clone(c.digests)
	sort.Strings(digests)
	return packetIns, slices.Compact(digests)
}

func (c *client) numPacketIns() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.packetIns)
}

// counters reads all counters that are not 0.
func (c *client) counters(t *testing.T, config *p4v1.ForwardingPipelineConfig) []string {
	t.Helper()
	var ask []*p4v1.Entity
	for _, ci := range config.P4Info.Counters {
		ask = append(ask, &p4v1.Entity{
			Entity: &p4v1.Entity_CounterEntry{CounterEntry: &p4v1.CounterEntry{CounterId: ci.Preamble.Id}}})
	}
	for _, ti := range config.P4Info.Tables {
		if len(ti.DirectResourceIds) > 0 && ti.ImplementationId == 0 {
			ask = append(ask, &p4v1.Entity{Entity: &p4v1.Entity_DirectCounterEntry{
				DirectCounterEntry: &p4v1.DirectCounterEntry{TableEntry: &p4v1.TableEntry{TableId: ti.Preamble.Id}}}})
		}
	}
	if len(ask) == 0 {
		return nil
	}
	stream, err := c.rpc.Read(context.Background(), &p4v1.ReadRequest{DeviceId: deviceID, Entities: ask})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for {
		m, err := stream.Recv()
		if err != nil {
			sort.Strings(out)
			return out
		}
		for _, e := range m.Entities {
			data := e.GetCounterEntry().GetData()
			if d := e.GetDirectCounterEntry(); d != nil {
				data = d.GetData()
				d.TableEntry = &p4v1.TableEntry{TableId: d.TableEntry.GetTableId(), Match: d.TableEntry.GetMatch(),
					Priority: d.TableEntry.GetPriority()}
				slices.SortFunc(d.TableEntry.Match, func(a, b *p4v1.FieldMatch) int { return int(a.FieldId) - int(b.FieldId) })
			}
			if data.GetPacketCount() != 0 {
				out = append(out, e.String())
			}
		}
	}
}

// ours is the embedded switch; the test carries its frames.
type ours struct {
	*client
	server *p4rtserver.Server
	ports  []uint32

	mu       sync.Mutex // the test and packet-outs take turns
	worker   *pipeline.Worker
	injected int
	punted   int     // packet-ins
	out      []frame // of packet-outs
}

func startOurs(t *testing.T, config *p4v1.ForwardingPipelineConfig, ports []uint32) *ours {
	t.Helper()
	o := &ours{ports: ports}
	var err error
	o.server, err = p4rtserver.New(p4rtserver.Config{DeviceID: deviceID, Logger: slog.New(slog.DiscardHandler),
		Inject: o.inject})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gs := grpc.NewServer()
	p4v1.RegisterP4RuntimeServer(gs, o.server)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = o.server.Run(ctx) })
	running.Go(func() { _ = gs.Serve(listener) })
	t.Cleanup(func() {
		cancel()
		gs.Stop()
		running.Wait()
	})
	o.client = connect(t, listener.Addr().String(), config)
	f := o.server.Forwarding()
	o.worker = f.Pipeline.NewWorker(f)
	return o
}

// process runs a frame; what leaves by the CPU port is a packet-in, what
// leaves by a port that the switch does not have is lost.
func (o *ours) process(port uint32, data []byte) []frame {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.carry(port, data)
}

func (o *ours) carry(port uint32, data []byte) []frame {
	o.worker.Reset()
	o.worker.Process(port, data)
	var out []frame
	for _, p := range o.worker.Out {
		switch {
		case p.Port == cpuPort:
			o.punted++
			o.server.Forwarding().PacketIn(p.Data)
		case slices.Contains(o.ports, p.Port):
			out = append(out, frame{Port: p.Port, Data: slices.Clone(p.Data)})
		}
	}
	return out
}

func (o *ours) inject(data []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.out = append(o.out, o.carry(cpuPort, data)...)
	o.injected++
	return nil
}

// awaitInjected waits until n packet-outs have gone through.
func (o *ours) awaitInjected(t *testing.T, n int) []frame {
	t.Helper()
	var out []frame
	o.await(t, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.injected >= n {
			out, o.out = o.out, nil
		}
		return o.injected >= n
	})
	return out
}

// await waits for a condition that comes within milliseconds.
func (o *ours) await(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("10 s have not been enough")
		}
	}
}

// reference is BMv2.
type reference struct {
	*client
	*bmv2.Switch
	late bool // it did not tell what ours told
}

func startReference(t *testing.T, config *p4v1.ForwardingPipelineConfig, ports []uint32) *reference {
	t.Helper()
	s, err := bmv2.Start(t.Context(), bmv2.Config{Binary: "simple_switch_grpc", Ports: ports, DeviceID: deviceID,
		TargetArgs: []string{"--cpu-port", fmt.Sprint(cpuPort)}})
	if err != nil {
		t.Fatal(err)
	}
	r := &reference{Switch: s}
	t.Cleanup(func() { s.Close() })
	r.client = connect(t, s.GRPC, config)
	return r
}
