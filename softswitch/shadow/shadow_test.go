package shadow

import (
	"context"
	"encoding/hex"
	"log/slog"
	"os"
	"strings"
	"testing"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/p4evpn/p4evpn/softswitch/p4rtserver"
	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// The server's own test program: ingress.host forwards by destination.
const (
	testdata    = "../p4rtserver/testdata/kinds."
	hostTable   = 40737662
	forward     = 26512162
	flood       = 22029261
	prefixTable = 37759373
)

func config(t *testing.T) *p4v1.ForwardingPipelineConfig {
	t.Helper()
	json, err := os.ReadFile(testdata + "json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(testdata + "p4info.txtpb")
	if err != nil {
		t.Fatal(err)
	}
	info := &p4configv1.P4Info{}
	if err := prototext.Unmarshal(text, info); err != nil {
		t.Fatal(err)
	}
	return &p4v1.ForwardingPipelineConfig{P4Info: info, P4DeviceConfig: json}
}

func host(mac string, action uint32, param byte) *p4v1.Entity {
	b, err := hex.DecodeString(mac)
	if err != nil {
		panic(err)
	}
	return &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{
		TableId: hostTable, Metadata: []byte("why"),
		Match: []*p4v1.FieldMatch{{FieldId: 1,
			FieldMatchType: &p4v1.FieldMatch_Exact_{Exact: &p4v1.FieldMatch_Exact{Value: b}}}},
		Action: &p4v1.TableAction{Type: &p4v1.TableAction_Action{Action: &p4v1.Action{
			ActionId: action, Params: []*p4v1.Action_Param{{ParamId: 1, Value: []byte{param}}},
		}}},
	}}}
}

func group(id uint32, ports ...string) *p4v1.Entity {
	g := &p4v1.MulticastGroupEntry{MulticastGroupId: id}
	for i, p := range ports {
		g.Replicas = append(g.Replicas, &p4v1.Replica{Instance: uint32(i + 1), PortKind: &p4v1.Replica_Port{Port: []byte(p)}})
	}
	return &p4v1.Entity{Entity: &p4v1.Entity_PacketReplicationEngineEntry{
		PacketReplicationEngineEntry: &p4v1.PacketReplicationEngineEntry{
			Type: &p4v1.PacketReplicationEngineEntry_MulticastGroupEntry{MulticastGroupEntry: g}}}}
}

// reader takes what a Read sends.
type reader struct {
	grpc.ServerStream
	entities []*p4v1.Entity
}

func (*reader) Context() context.Context { return context.Background() }

func (r *reader) Send(m *p4v1.ReadResponse) error {
	r.entities = append(r.entities, m.Entities...)
	return nil
}

// readBack is everything that a target holds, defaults and counters too.
func readBack(t *testing.T, server *p4rtserver.Server) []*p4v1.Entity {
	t.Helper()
	r := &reader{}
	err := server.Read(&p4v1.ReadRequest{DeviceId: 1, Entities: []*p4v1.Entity{
		{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{CounterData: &p4v1.CounterData{}}}},
		{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{TableId: prefixTable, IsDefaultAction: true}}},
		{Entity: &p4v1.Entity_CounterEntry{CounterEntry: &p4v1.CounterEntry{}}},
		group(0),
	}}, r)
	if err != nil {
		t.Fatal(err)
	}
	return r.entities
}

func TestAShadowOfWhatATargetHoldsSendsWhatTheTargetSends(t *testing.T) {
	server, err := p4rtserver.New(p4rtserver.Config{DeviceID: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Configure(config(t)); err != nil {
		t.Fatal(err)
	}
	var updates []*p4v1.Update
	for _, e := range []*p4v1.Entity{host("020000000001", forward, 4), host("020000000002", flood, 9),
		group(9, "\x01", "\x02")} {
		updates = append(updates, &p4v1.Update{Type: p4v1.Update_INSERT, Entity: e})
	}
	if errs := server.Apply(updates); errs != nil {
		t.Fatal(errs)
	}
	target := server.Forwarding().Pipeline.NewWorker(nil)
	frames := []string{"020000000001" + "0200000000aa" + "0800", "020000000002" + "0200000000aa" + "0800",
		"020000000003" + "0200000000aa" + "0800"}
	for _, f := range frames { // so that the target has counted something
		target.Process(3, mustHex(f))
	}
	s, err := New(config(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Insert(readBack(t, server)...); err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		target.Reset()
		target.Process(3, mustHex(f))
		a := s.Trace(3, mustHex(f))
		if got, want := packets(a.Out), frameTexts(target.Out); got != want {
			t.Errorf("frame %s: the shadow sends %s, the target %s\n%s", f, got, want, a)
		}
		if out, digests := s.Process(3, mustHex(f)); frameTexts(out) != frameTexts(target.Out) || digests != 1 {
			t.Errorf("frame %s: without an account the shadow sends %s and %d digests, the target %s", f, frameTexts(out),
				digests, frameTexts(target.Out))
		}
	}
	text := s.Trace(3, mustHex(frames[0])).String()
	if want := "table ingress.host: hdr.ethernet.dst=0x020000000001: hit (hdr.ethernet.dst=0x020000000001), " +
		"ingress.forward(port=0x004)"; !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
}

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func packets(out []pipeline.Sent) string {
	var plain []pipeline.Packet
	for _, o := range out {
		plain = append(plain, pipeline.Packet{Port: o.Port, Data: o.Data})
	}
	return frameTexts(plain)
}

func frameTexts(out []pipeline.Packet) string {
	text := ""
	for _, o := range out {
		text += " " + hex.EncodeToString(append([]byte{byte(o.Port)}, o.Data...))
	}
	return text
}

func TestAShadowNamesTheUpdatesThatItRefuses(t *testing.T) {
	s, err := New(config(t))
	if err != nil {
		t.Fatal(err)
	}
	err = s.Insert(host("020000000001", forward, 4), host("020000000001", forward, 5), host("020000000002", 1, 1))
	if err == nil || !strings.Contains(err.Error(), "update 2 of 3") || !strings.Contains(err.Error(), "update 3 of 3") ||
		strings.Contains(err.Error(), "update 1") {
		t.Errorf("%v", err)
	}
	if n := s.pipeline().Table("ingress.host").Len(); n != 1 {
		t.Errorf("%d entries", n)
	}
	if _, err := New(&p4v1.ForwardingPipelineConfig{}); err == nil {
		t.Error("a shadow without a program")
	}
}

func TestAShadowHasNoInitialEntryThatTheTargetHasNot(t *testing.T) {
	c := config(t)
	var fixed *p4configv1.Table
	for _, ti := range c.P4Info.Tables {
		if ti.Preamble.Name == "ingress.fixed" {
			fixed = ti
			ti.IsConstTable, ti.HasInitialEntries = false, true
		}
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	table := s.pipeline().Table("ingress.fixed")
	if table.Len() != 2 {
		t.Fatalf("%d initial entries, want 2", table.Len())
	}
	read := &p4v1.TableEntry{TableId: fixed.Preamble.Id, // 0x88cc was deleted
		Match: []*p4v1.FieldMatch{{FieldId: fixed.MatchFields[0].Id, FieldMatchType: &p4v1.FieldMatch_Exact_{
			Exact: &p4v1.FieldMatch_Exact{Value: []byte{0x88, 0x09}}}}},
		Action: &p4v1.TableAction{Type: &p4v1.TableAction_Action{Action: &p4v1.Action{ActionId: fixed.ActionRefs[1].Id}}}}
	for range 2 { // in two parts, as of a large Read
		if err := s.Insert(&p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: read}}); err != nil {
			t.Fatal(err)
		}
		read.Match[0].GetExact().Value = []byte{0x12, 0x34}
	}
	if table.Len() != 2 {
		t.Errorf("%d entries, want the 2 that were read", table.Len())
	}
}
