package p4rtserver

import (
	"context"
	"io"
	"log/slog"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// state is all that clients can read, as one text for each entity.
func (f *Forwarding) state(t *testing.T) map[string]int {
	var out reply
	var tr translator
	for _, q := range []any{
		&p4v1.TableEntry{CounterData: &p4v1.CounterData{},
			MeterConfig: &p4v1.MeterConfig{}}, &p4v1.TableEntry{IsDefaultAction: true},
		&p4v1.ActionProfileMember{}, &p4v1.ActionProfileGroup{}, group(0), &p4v1.CloneSessionEntry{},
		&p4v1.MeterEntry{}, &p4v1.RegisterEntry{}, &p4v1.ValueSetEntry{},
	} {
		if err := f.read(&tr, &out, entityOf(q)); err != nil {
			t.Fatal(err)
		}
	}
	all := map[string]int{}
	for _, e := range out.found {
		all[sortKey(e)]++
	}
	return all
}

// FuzzBatch makes batches of any updates, all or none, of a program with every
// kind of entity. A batch that fails changes nothing, and what was written can
// be read and written again as it is.
func FuzzBatch(f *testing.F) {
	config := configOf(f, "../pipeline/testdata/features")
	_, n := fuzzTargetWith(f, config)
	s := newSelectorSubject(n)
	rated := n.entry("ingress.by_rate", n.action("ingress.metered_to", []byte{3}), exact(7))
	rated.MeterConfig = &p4v1.MeterConfig{Cir: 1, Pir: 2}
	batch := []*p4v1.Update{
		insert(s.member(1, s.to(1))), insert(s.group(1, watching(weighted(1, 2), 3))), insert(s.entry(1, byGroup(1))),
		insert(rated), modify(&p4v1.DirectMeterEntry{TableEntry: rated}),
		modify(&p4v1.RegisterEntry{RegisterId: n.ids["ingress.cells"], Data: bitData(1)}),
		modify(&p4v1.ValueSetEntry{ValueSetId: n.ids["p.nobody"], Members: []*p4v1.ValueSetMember{valueSetMember(7)}}),
		insert(group(7, backed(replica(1, 1), &p4v1.BackupReplica{Port: []byte{2}, Instance: 2}))),
		remove(s.entry(1, nil)), remove(s.group(1)), remove(rated),
	}
	addMessage(f, &p4v1.WriteRequest{Updates: batch})
	addMessage(f, &p4v1.WriteRequest{Updates: append(batch[:8:8], remove(s.group(9)))})
	addMessage(f, &p4v1.WriteRequest{Updates: []*p4v1.Update{insert(s.entry(1,
		oneShot(share(s.to(1), 1), share(s.to(2), 3)))), insert(s.member(1, s.to(1)))}})
	addUpdates(f, batch...)
	server, err := New(Config{DeviceID: testDevice, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		req := &p4v1.WriteRequest{}
		if proto.Unmarshal(b, req) != nil || len(req.Updates) > 64 {
			return
		}
		fw, err := server.load(config)
		if err != nil {
			t.Fatal(err)
		}
		before := fw.state(t)
		errs := server.applyAll(fw, messages(req.Updates))
		if errs == nil {
			again, err := server.load(config)
			if err != nil {
				t.Fatal(err)
			}
			if c, err := server.carry(fw, again); err != nil || len(c.losses) > 0 {
				t.Fatalf("what was written cannot be written again: %v, %v", err, c)
			}
			if d := diff(fw.state(t), again.state(t)); d != "" {
				t.Fatalf("what was written reads otherwise when written again: %s", d)
			}
			return
		}
		if d := diff(before, fw.state(t)); d != "" {
			t.Fatalf("a batch that failed changed something: %s", d)
		}
	})
}

// script is a stream on which a client sends what it says, and reads nothing.
type script struct {
	grpc.ServerStream
	requests []*p4v1.StreamMessageRequest
}

func (s *script) Context() context.Context               { return context.Background() }
func (s *script) Send(*p4v1.StreamMessageResponse) error { return nil }
func (s *script) Recv() (m *p4v1.StreamMessageRequest, e error) {
	if len(s.requests) == 0 {
		return nil, io.EOF
	}
	m, s.requests = s.requests[0], s.requests[1:]
	return m, nil
}

// FuzzStream opens a stream and sends any messages. Nothing may panic, nor
// stay when the stream has ended.
func FuzzStream(f *testing.F) {
	add := func(requests ...*p4v1.StreamMessageRequest) {
		var all []byte
		for _, m := range requests {
			b, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			all = protowire.AppendBytes(all, b)
		}
		f.Add(all)
	}
	arbitrate := func(m *p4v1.MasterArbitrationUpdate) *p4v1.StreamMessageRequest {
		return &p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Arbitration{Arbitration: m}}
	}
	first := arbitrate(&p4v1.MasterArbitrationUpdate{DeviceId: testDevice, ElectionId: &p4v1.Uint128{Low: 1}})
	add(first, &p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Packet{Packet: &p4v1.PacketOut{
		Payload: []byte("payload"), Metadata: metadata([]byte{1}, []byte{3})}}},
		&p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_DigestAck{DigestAck: &p4v1.DigestListAck{DigestId: 1}}})
	add(first, arbitrate(&p4v1.MasterArbitrationUpdate{DeviceId: testDevice, Role: &p4v1.Role{Name: "r"}}))
	add(arbitrate(&p4v1.MasterArbitrationUpdate{DeviceId: testDevice, Role: &p4v1.Role{Name: "r"}}),
		&p4v1.StreamMessageRequest{})
	add(first, arbitrate(&p4v1.MasterArbitrationUpdate{DeviceId: testDevice}), first)
	fw, _ := fuzzTarget(f)
	server := fw.server
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &script{}
		for len(b) > 0 {
			one, n := protowire.ConsumeBytes(b)
			if n < 0 {
				break
			}
			m := &p4v1.StreamMessageRequest{}
			if proto.Unmarshal(one, m) == nil {
				s.requests = append(s.requests, m)
			}
			b = b[n:]
		}
		_ = server.StreamChannel(s)
		server.streams.Wait()
		for name, r := range server.arbiter.roles {
			if len(r.streams) > 0 || r.primary != nil {
				t.Fatalf("role %q has %d streams after the last has ended", name, len(r.streams))
			}
		}
	})
}

// TestTenThousandMessagesThatNobodyReads sends messages that are each answered
// with an error, and reads none.
func TestTenThousandMessagesThatNobodyReads(t *testing.T) {
	tg, c := startPrimary(t)
	for i := range 10000 {
		m := &p4v1.StreamMessageRequest{}
		if i%2 == 0 {
			m.Update = &p4v1.StreamMessageRequest_Packet{Packet: &p4v1.PacketOut{Payload: make([]byte, 1000)}}
		}
		c.send(m)
	}
	eventually(t, "all packet-outs are refused", func() bool { return tg.server.Stats().PacketOutsRefused == 5000 })
	c.mustWrite(insert(group(1)))
	other := tg.client(t)
	other.arbitrate(0, 9)
	other.expectArbitration(codes.OK, 9)
}
