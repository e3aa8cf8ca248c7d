package p4rtserver

import (
	"log/slog"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
)

// fuzzTarget is a server with the test pipeline and no network.
func fuzzTarget(f *testing.F) (*Forwarding, *namer) {
	return fuzzTargetWith(f, testConfig(f))
}

func fuzzTargetWith(f *testing.F, config *p4v1.ForwardingPipelineConfig) (*Forwarding, *namer) {
	s, err := New(Config{DeviceID: testDevice, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Configure(config); err != nil {
		f.Fatal(err)
	}
	return s.Forwarding(), newNamer(f, config.P4Info)
}

func addUpdates(f *testing.F, updates ...*p4v1.Update) {
	for _, u := range updates {
		addMessage(f, &p4v1.WriteRequest{Updates: []*p4v1.Update{u}})
	}
}

func addMessage(f *testing.F, m proto.Message) {
	b, err := proto.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
}

// FuzzWrite feeds a loaded pipeline any updates, and queries for the same
// entities. Nothing may panic, and a Write that fails must say why.
func FuzzWrite(f *testing.F) {
	fw, n := fuzzTarget(f)
	forward := n.action("ingress.forward", []byte{1})
	addUpdates(f,
		insert(n.entry("ingress.host", forward, exact(1))),
		modify(withPriority(n.entry("ingress.rule", forward, ternary([]byte{1}, []byte{3}), between([]byte{1}, []byte{2}),
			optional(5)), 7)),
		remove(n.entry("ingress.prefix", nil, lpm(8, 1, 0, 0, 0, 0, 0))),
		insert(group(5, replica(1, 2), replica(3, 4))),
		insert(&p4v1.CloneSessionEntry{SessionId: 5, PacketLengthBytes: 60, Replicas: []*p4v1.Replica{replica(1, 1)}}),
		modify(&p4v1.CounterEntry{CounterId: n.ids["ingress.by_port"], Index: &p4v1.Index{Index: 2},
			Data: &p4v1.CounterData{PacketCount: 1}}),
		modify(&p4v1.DirectCounterEntry{TableEntry: n.entry("ingress.host", nil, exact(1)), Data: &p4v1.CounterData{}}),
		insert(&p4v1.DigestEntry{DigestId: n.ids["seen_t"], Config: &p4v1.DigestEntry_Config{MaxListSize: 3}}),
	)
	f.Fuzz(func(t *testing.T, b []byte) {
		req := &p4v1.WriteRequest{}
		if proto.Unmarshal(b, req) != nil {
			return
		}
		var tr translator
		for _, u := range req.Updates {
			if err := fw.apply(&tr, u); err != nil && err.Error() == "" {
				t.Errorf("update %v: an error without a text", u)
			}
			var out reply
			_ = fw.read(&tr, &out, u.Entity)
		}
	})
}

// FuzzPacketOut feeds the packer of the controller header any metadata.
func FuzzPacketOut(f *testing.F) {
	fw, _ := fuzzTarget(f)
	b, err := proto.Marshal(&p4v1.PacketOut{Payload: []byte("payload"), Metadata: metadata([]byte{1, 2}, []byte{3})})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &p4v1.PacketOut{}
		if proto.Unmarshal(b, m) != nil {
			return
		}
		if frame, err := fw.packetOut.frame(m); err == nil && len(frame) != fw.packetOut.octets+len(m.Payload) {
			t.Errorf("frame of %d bytes for a payload of %d", len(frame), len(m.Payload))
		}
		fw.PacketIn(m.Payload)
	})
}
