package p4rtserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

const (
	testDevice  = 3
	testCPUPort = 510
)

// testConfig is testdata/kinds.p4.
func testConfig(t testing.TB) *p4v1.ForwardingPipelineConfig {
	t.Helper()
	return configOf(t, "testdata/kinds")
}

// configOf is the program whose artefacts begin with path.
func configOf(t testing.TB, path string) *p4v1.ForwardingPipelineConfig {
	t.Helper()
	json, err := os.ReadFile(path + ".json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path + ".p4info.txtpb")
	if err != nil {
		t.Fatal(err)
	}
	info := &p4configv1.P4Info{}
	if err := prototext.Unmarshal(text, info); err != nil {
		t.Fatal(err)
	}
	return &p4v1.ForwardingPipelineConfig{
		P4Info: info, P4DeviceConfig: json, Cookie: &p4v1.ForwardingPipelineConfig_Cookie{Cookie: 77},
	}
}

// target is a server on loopback whose frames the test carries by hand.
type target struct {
	t      testing.TB
	server *Server
	conn   *grpc.ClientConn
	rpc    p4v1.P4RuntimeClient
	names  *namer

	mu         sync.Mutex
	forwarding *Forwarding
	worker     *pipeline.Worker
	sent       []pipeline.Packet // what packet-outs put out
	down       map[uint32]bool   // of the ports 0 to 15
}

func (tg *target) setDown(number uint32, down bool) {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	tg.down[number] = down
}

// port is Config.Port.
func (tg *target) port(number uint32) (exists, up bool) {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	return number < 16, !tg.down[number]
}

func startTarget(t testing.TB) *target {
	t.Helper()
	return startConfigured(t, Config{})
}

// startConfigured sets what a target needs in cfg.
func startConfigured(t testing.TB, cfg Config) *target {
	t.Helper()
	tg := &target{t: t, names: newNamer(t, testConfig(t).P4Info), down: map[uint32]bool{}}
	cfg.DeviceID, cfg.Logger, cfg.Port = testDevice, slog.New(slog.DiscardHandler), tg.port
	cfg.Inject = func(frame []byte) error {
		tg.mu.Lock()
		defer tg.mu.Unlock()
		tg.sent = append(tg.sent, tg.process(testCPUPort, frame)...)
		return nil
	}
	var err error
	tg.server, err = New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gs := grpc.NewServer(grpc.MaxRecvMsgSize(64<<20), ServerOption())
	tg.server.Register(gs)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { tg.server.Run(ctx) })
	running.Go(func() { gs.Serve(listener) })
	t.Cleanup(func() {
		cancel()
		gs.Stop()
		running.Wait()
	})
	tg.conn = tg.dial(listener.Addr().String())
	tg.rpc = p4v1.NewP4RuntimeClient(tg.conn)
	return tg
}

func (tg *target) dial(address string) *grpc.ClientConn {
	tg.t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tg.t.Fatal(err)
	}
	tg.t.Cleanup(func() { conn.Close() })
	return conn
}

// startPrimary is a target with a pipeline and its primary client.
func startPrimary(t testing.TB) (*target, *client) {
	t.Helper()
	return startWith(t, testConfig(t))
}

func startWith(t testing.TB, config *p4v1.ForwardingPipelineConfig) (*target, *client) {
	t.Helper()
	tg := startTarget(t)
	tg.names = newNamer(t, config.P4Info)
	c := tg.client(t)
	c.arbitrate(0, 1)
	c.expectArbitration(codes.OK, 1)
	c.commit(config)
	return tg, c
}

// startFeatures is a target with the program of package pipeline's tests.
func startFeatures(t testing.TB) (*target, *client) {
	t.Helper()
	return startWith(t, configOf(t, "../pipeline/testdata/features"))
}

// process runs a frame through the committed pipeline; the caller holds mu.
func (tg *target) process(port uint32, frame []byte) []pipeline.Packet {
	f := tg.server.Forwarding()
	if f != tg.forwarding {
		tg.forwarding, tg.worker = f, f.Pipeline.NewWorker(f)
	}
	tg.worker.Process(port, frame)
	var out []pipeline.Packet
	for _, p := range tg.worker.Out {
		if p.Port == testCPUPort {
			f.PacketIn(p.Data)
			continue
		}
		out = append(out, pipeline.Packet{Port: p.Port, Data: bytes.Clone(p.Data)})
	}
	tg.worker.Reset()
	return out
}

// frame lets a frame arrive on a port and returns what leaves.
func (tg *target) frame(port uint32, frame []byte) []pipeline.Packet {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	return tg.process(port, frame)
}

func ethernet(dst, src uint64, etherType uint16, payload string) []byte {
	mac := func(v uint64) []byte {
		return []byte{byte(v >> 40), byte(v >> 32), byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
	}
	b := append(mac(dst), mac(src)...)
	return append(append(b, byte(etherType>>8), byte(etherType)), payload...)
}

// client is one P4Runtime client with a stream.
type client struct {
	t        testing.TB
	tg       *target
	stream   p4v1.P4Runtime_StreamChannelClient
	cancel   context.CancelFunc
	election *p4v1.Uint128
	role     string
}

func (tg *target) client(t testing.TB) *client {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	stream, err := tg.rpc.StreamChannel(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &client{t: t, tg: tg, stream: stream, cancel: cancel}
}

func (c *client) send(m *p4v1.StreamMessageRequest) {
	c.t.Helper()
	if err := c.stream.Send(m); err != nil && !errors.Is(err, io.EOF) {
		c.t.Fatal(err)
	}
}

func (c *client) arbitrate(high, low uint64) {
	c.t.Helper()
	c.election = &p4v1.Uint128{High: high, Low: low}
	c.sendArbitration(&p4v1.MasterArbitrationUpdate{DeviceId: testDevice, ElectionId: c.election})
}

func (c *client) sendArbitration(m *p4v1.MasterArbitrationUpdate) {
	c.t.Helper()
	if c.role != "" {
		m.Role = &p4v1.Role{Name: c.role}
	}
	c.send(&p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Arbitration{Arbitration: m}})
}

// recv waits for the next message; the test's own deadline ends it.
func (c *client) recv() (*p4v1.StreamMessageResponse, error) {
	timer := time.AfterFunc(10*time.Second, c.cancel)
	defer timer.Stop()
	return c.stream.Recv()
}

func (c *client) mustRecv() *p4v1.StreamMessageResponse {
	c.t.Helper()
	m, err := c.recv()
	if err != nil {
		c.t.Fatalf("waiting for a stream message: %v", err)
	}
	return m
}

func (c *client) expectArbitration(code codes.Code, low uint64) {
	c.t.Helper()
	a := c.mustRecv().GetArbitration()
	if a == nil || codes.Code(a.Status.GetCode()) != code || a.ElectionId.GetLow() != low || a.DeviceId != testDevice ||
		a.Role.GetName() != c.role {
		c.t.Fatalf("got arbitration %v, want %v with election id %d", a, code, low)
	}
}

// expectEnd waits until the server ends the stream.
func (c *client) expectEnd(code codes.Code) {
	c.t.Helper()
	for {
		m, err := c.recv()
		if err == nil {
			c.t.Logf("before the end: %v", m)
			continue
		}
		if status.Code(err) != code {
			c.t.Fatalf("stream ended with %v, want %v", err, code)
		}
		return
	}
}

func (c *client) setPipeline(action p4v1.SetForwardingPipelineConfigRequest_Action,
	config *p4v1.ForwardingPipelineConfig) error {
	_, err := c.tg.rpc.SetForwardingPipelineConfig(context.Background(), &p4v1.SetForwardingPipelineConfigRequest{
		DeviceId: testDevice, ElectionId: c.election, Role: c.role, Action: action, Config: config,
	})
	return err
}

func (c *client) commit(config *p4v1.ForwardingPipelineConfig) {
	c.t.Helper()
	if err := c.setPipeline(p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT, config); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) write(updates ...*p4v1.Update) error {
	return c.writeAs(p4v1.WriteRequest_CONTINUE_ON_ERROR, updates...)
}

func (c *client) writeAs(atomicity p4v1.WriteRequest_Atomicity, updates ...*p4v1.Update) error {
	_, err := c.tg.rpc.Write(context.Background(), &p4v1.WriteRequest{
		DeviceId: testDevice, ElectionId: c.election, Role: c.role, Updates: updates, Atomicity: atomicity,
	})
	return err
}

func (c *client) mustWrite(updates ...*p4v1.Update) {
	c.t.Helper()
	if err := c.write(updates...); err != nil {
		c.t.Fatalf("write: %v", status.Convert(err).Details())
	}
}

// writeErrors returns the error of each update, nil for those that stand.
func (c *client) writeErrors(updates ...*p4v1.Update) []*p4v1.Error {
	c.t.Helper()
	return batchErrors(c.t, c.write(updates...), len(updates))
}

func batchErrors(t testing.TB, err error, want int) []*p4v1.Error {
	t.Helper()
	out := make([]*p4v1.Error, want)
	if err == nil {
		return out
	}
	st := status.Convert(err)
	if st.Code() != codes.Unknown || len(st.Details()) != want {
		t.Fatalf("got %v with %d details, want UNKNOWN with %d", st, len(st.Details()), want)
	}
	for i, d := range st.Details() {
		e, ok := d.(*p4v1.Error)
		if !ok {
			t.Fatalf("detail %d is a %T", i, d)
		}
		if e.CanonicalCode != 0 {
			out[i] = e
		}
	}
	return out
}

func (c *client) read(queries ...*p4v1.Entity) ([]*p4v1.Entity, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	stream, err := c.tg.rpc.Read(ctx, &p4v1.ReadRequest{DeviceId: testDevice, Entities: queries})
	if err != nil {
		return nil, err
	}
	var out []*p4v1.Entity
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, response.Entities...)
	}
}

func (c *client) mustRead(queries ...*p4v1.Entity) []*p4v1.Entity {
	c.t.Helper()
	out, err := c.read(queries...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// namer makes messages from the names in the P4Info.
type namer struct {
	t       testing.TB
	tables  map[string]*p4configv1.Table
	actions map[string]*p4configv1.Action
	ids     map[string]uint32 // counters, meters, digests
}

func newNamer(t testing.TB, info *p4configv1.P4Info) *namer {
	n := &namer{t: t, tables: map[string]*p4configv1.Table{}, actions: map[string]*p4configv1.Action{},
		ids: map[string]uint32{}}
	for _, x := range info.Tables {
		n.tables[x.Preamble.Name] = x
	}
	for _, x := range info.Actions {
		n.actions[x.Preamble.Name] = x
	}
	for _, x := range info.Counters {
		n.ids[x.Preamble.Name] = x.Preamble.Id
	}
	for _, x := range info.Meters {
		n.ids[x.Preamble.Name] = x.Preamble.Id
	}
	for _, x := range info.ActionProfiles {
		n.ids[x.Preamble.Name] = x.Preamble.Id
	}
	for _, x := range info.Registers {
		n.ids[x.Preamble.Name] = x.Preamble.Id
	}
	for _, x := range info.ValueSets {
		n.ids[x.Preamble.Name] = x.Preamble.Id
	}
	for _, x := range info.Digests {
		n.ids[x.Preamble.Name] = x.Preamble.Id
	}
	return n
}

// entry makes a table entry; the match values stand for fields in order, nil
// leaves one out.
func (n *namer) entry(table string, action *p4v1.TableAction, match ...*p4v1.FieldMatch) *p4v1.TableEntry {
	te := &p4v1.TableEntry{TableId: n.tables[table].Preamble.Id, Action: action}
	for i, m := range match {
		if m != nil {
			m.FieldId = n.tables[table].MatchFields[i].Id
			te.Match = append(te.Match, m)
		}
	}
	return te
}

func (n *namer) action(name string, params ...[]byte) *p4v1.TableAction {
	a := &p4v1.Action{ActionId: n.actions[name].Preamble.Id}
	for i, value := range params {
		a.Params = append(a.Params, &p4v1.Action_Param{ParamId: n.actions[name].Params[i].Id, Value: value})
	}
	return &p4v1.TableAction{Type: &p4v1.TableAction_Action{Action: a}}
}

func exact(v ...byte) *p4v1.FieldMatch {
	return &p4v1.FieldMatch{FieldMatchType: &p4v1.FieldMatch_Exact_{Exact: &p4v1.FieldMatch_Exact{Value: v}}}
}

func lpm(length int32, v ...byte) *p4v1.FieldMatch {
	return &p4v1.FieldMatch{FieldMatchType: &p4v1.FieldMatch_Lpm{Lpm: &p4v1.FieldMatch_LPM{Value: v, PrefixLen: length}}}
}

func ternary(value, mask []byte) *p4v1.FieldMatch {
	return &p4v1.FieldMatch{FieldMatchType: &p4v1.FieldMatch_Ternary_{Ternary: &p4v1.FieldMatch_Ternary{Value: value,
		Mask: mask}}}
}

func between(low, high []byte) *p4v1.FieldMatch {
	return &p4v1.FieldMatch{FieldMatchType: &p4v1.FieldMatch_Range_{Range: &p4v1.FieldMatch_Range{Low: low, High: high}}}
}

func optional(v ...byte) *p4v1.FieldMatch {
	return &p4v1.FieldMatch{FieldMatchType: &p4v1.FieldMatch_Optional_{Optional: &p4v1.FieldMatch_Optional{Value: v}}}
}

func insert(m any) *p4v1.Update { return update(p4v1.Update_INSERT, m) }
func modify(m any) *p4v1.Update { return update(p4v1.Update_MODIFY, m) }
func remove(m any) *p4v1.Update { return update(p4v1.Update_DELETE, m) }

func update(op p4v1.Update_Type, m any) *p4v1.Update {
	return &p4v1.Update{Type: op, Entity: entityOf(m)}
}

// entityOf wraps any kind of entry.
func entityOf(m any) *p4v1.Entity {
	switch m := m.(type) {
	case *p4v1.TableEntry:
		return entity(m)
	case *p4v1.MulticastGroupEntry:
		return replicationEntity(&p4v1.PacketReplicationEngineEntry{
			Type: &p4v1.PacketReplicationEngineEntry_MulticastGroupEntry{MulticastGroupEntry: m}})
	case *p4v1.CloneSessionEntry:
		return replicationEntity(
			&p4v1.PacketReplicationEngineEntry{Type: &p4v1.PacketReplicationEngineEntry_CloneSessionEntry{CloneSessionEntry: m}})
	case *p4v1.PacketReplicationEngineEntry:
		return replicationEntity(m)
	case *p4v1.CounterEntry:
		return &p4v1.Entity{Entity: &p4v1.Entity_CounterEntry{CounterEntry: m}}
	case *p4v1.MeterEntry:
		return &p4v1.Entity{Entity: &p4v1.Entity_MeterEntry{MeterEntry: m}}
	case *p4v1.DirectCounterEntry:
		return &p4v1.Entity{Entity: &p4v1.Entity_DirectCounterEntry{DirectCounterEntry: m}}
	case *p4v1.DigestEntry:
		return &p4v1.Entity{Entity: &p4v1.Entity_DigestEntry{DigestEntry: m}}
	case *p4v1.ActionProfileMember:
		return &p4v1.Entity{Entity: &p4v1.Entity_ActionProfileMember{ActionProfileMember: m}}
	case *p4v1.ActionProfileGroup:
		return &p4v1.Entity{Entity: &p4v1.Entity_ActionProfileGroup{ActionProfileGroup: m}}
	case *p4v1.DirectMeterEntry:
		return &p4v1.Entity{Entity: &p4v1.Entity_DirectMeterEntry{DirectMeterEntry: m}}
	case *p4v1.ValueSetEntry:
		return &p4v1.Entity{Entity: &p4v1.Entity_ValueSetEntry{ValueSetEntry: m}}
	case *p4v1.RegisterEntry:
		return &p4v1.Entity{Entity: &p4v1.Entity_RegisterEntry{RegisterEntry: m}}
	case *p4v1.Entity:
		return m
	}
	return nil
}

func group(id uint32, replicas ...*p4v1.Replica) *p4v1.MulticastGroupEntry {
	return &p4v1.MulticastGroupEntry{MulticastGroupId: id, Replicas: replicas}
}

func replica(port byte, instance uint32) *p4v1.Replica {
	return &p4v1.Replica{PortKind: &p4v1.Replica_Port{Port: []byte{port}}, Instance: instance}
}

func backed(r *p4v1.Replica, backups ...*p4v1.BackupReplica) *p4v1.Replica {
	r.BackupReplicas = backups
	return r
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
