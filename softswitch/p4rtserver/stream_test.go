package p4rtserver

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

func (c *client) configureDigest(config *p4v1.DigestEntry_Config) {
	c.t.Helper()
	c.mustWrite(insert(&p4v1.DigestEntry{DigestId: c.tg.names.ids["seen_t"], Config: config}))
}

func (c *client) expectDigest(sources ...byte) *p4v1.DigestList {
	c.t.Helper()
	list := c.mustRecv().GetDigest()
	if list == nil || list.DigestId != c.tg.names.ids["seen_t"] || len(list.Data) != len(sources) {
		c.t.Fatalf("got %v, want a digest list of %d", list, len(sources))
	}
	for i, data := range list.Data {
		want := &p4v1.P4Data{Data: &p4v1.P4Data_Struct{Struct: &p4v1.P4StructLike{Members: []*p4v1.P4Data{
			{Data: &p4v1.P4Data_Bitstring{Bitstring: []byte{sources[i]}}},
			{Data: &p4v1.P4Data_Bitstring{Bitstring: []byte{1, 0x2c}}}, // port 300
			{Data: &p4v1.P4Data_Bool{Bool: false}},
			{Data: &p4v1.P4Data_Bitstring{Bitstring: []byte{0xfe}}}, // int<16> -2
		}}}}
		if !proto.Equal(data, want) {
			c.t.Errorf("digest %d: %v, want %v", i, data, want)
		}
	}
	return list
}

// expectNothing checks that no message came before the answer to a packet-out
// that the server must refuse.
func (c *client) expectNothing() {
	c.t.Helper()
	c.send(&p4v1.StreamMessageRequest{
		Update: &p4v1.StreamMessageRequest_Packet{Packet: &p4v1.PacketOut{Payload: []byte("marker")}}})
	if m := c.mustRecv(); m.GetError() == nil {
		c.t.Errorf("unexpected message %v", m)
	}
}

func seen(tg *target, source byte) { tg.frame(300, ethernet(1, uint64(source), 0x9000, "")) }

func TestDigestsAreListedAndNotRepeatedUntilAcknowledged(t *testing.T) {
	tg, c := startPrimary(t)
	seen(tg, 1) // not configured: lost
	c.configureDigest(&p4v1.DigestEntry_Config{MaxTimeoutNs: int64(time.Hour), MaxListSize: 3,
		AckTimeoutNs: int64(time.Hour)})
	for _, source := range []byte{1, 2, 1, 2, 3} {
		seen(tg, source)
	}
	first := c.expectDigest(1, 2, 3)
	if age := time.Since(time.Unix(0, first.Timestamp)); age < 0 || age > time.Minute {
		t.Errorf("timestamp is %v old", age)
	}
	for _, source := range []byte{3, 2, 4, 5, 1, 6} {
		seen(tg, source)
	}
	second := c.expectDigest(4, 5, 6)
	if second.ListId == first.ListId {
		t.Errorf("two lists have id %d", first.ListId)
	}
	c.send(&p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_DigestAck{
		DigestAck: &p4v1.DigestListAck{DigestId: first.DigestId, ListId: first.ListId}}})
	c.expectNothing() // the acknowledgement has been handled
	for _, source := range []byte{4, 1, 2, 3} {
		seen(tg, source)
	}
	c.expectDigest(1, 2, 3)
	if s := tg.server.Stats(); s.DigestLists != 3 || s.Digests != 9 {
		t.Errorf("counted %d lists, %d digests, want 3 and 9", s.DigestLists, s.Digests)
	}
}

func TestDigestListLeavesAfterItsTimeout(t *testing.T) {
	tg, c := startPrimary(t)
	c.configureDigest(&p4v1.DigestEntry_Config{MaxTimeoutNs: int64(20 * time.Millisecond), AckTimeoutNs: int64(time.Hour)})
	seen(tg, 1)
	seen(tg, 2)
	c.expectDigest(1, 2)
	seen(tg, 3) // and again
	c.expectDigest(3)
}

func TestUnacknowledgedDigestIsRepeatedAfterItsTimeout(t *testing.T) {
	tg, c := startPrimary(t)
	c.configureDigest(&p4v1.DigestEntry_Config{MaxListSize: 1, AckTimeoutNs: int64(30 * time.Millisecond)})
	seen(tg, 1)
	c.expectDigest(1)
	seen(tg, 1)
	c.expectNothing()
	eventually(t, "the digest is forgotten", func() bool { seen(tg, 1); return tg.server.Stats().DigestLists == 2 })
	c.expectDigest(1)
}

func TestWithoutAckTimeoutEachPacketMakesADigest(t *testing.T) {
	tg, c := startPrimary(t)
	c.configureDigest(&p4v1.DigestEntry_Config{MaxListSize: 1})
	seen(tg, 1)
	seen(tg, 1)
	c.expectDigest(1)
	c.expectDigest(1)
}

func TestNewPrimaryGetsDigestsThatTheOldOneHad(t *testing.T) {
	tg, a := startPrimary(t)
	a.configureDigest(&p4v1.DigestEntry_Config{MaxListSize: 1, AckTimeoutNs: int64(time.Hour)})
	seen(tg, 1)
	a.expectDigest(1)
	b := tg.client(t)
	b.arbitrate(0, 2)
	b.expectArbitration(codes.OK, 2)
	eventually(t, "the digest comes again", func() bool { seen(tg, 1); return tg.server.Stats().DigestLists == 2 })
	b.expectDigest(1)
}

func TestDigestsStopWhenDeletedOrWithoutPrimary(t *testing.T) {
	tg, c := startPrimary(t)
	c.configureDigest(&p4v1.DigestEntry_Config{MaxListSize: 1, AckTimeoutNs: int64(time.Hour)})
	c.arbitrate(0, 0) // gives up
	c.expectArbitration(codes.NotFound, 1)
	seen(tg, 1)
	if s := tg.server.Stats(); s.DigestsDropped != 1 || s.Digests != 0 {
		t.Errorf("counted %+v, want one dropped", s)
	}
	c.arbitrate(0, 1)
	c.expectArbitration(codes.OK, 1)
	seen(tg, 1) // nobody had it
	c.expectDigest(1)
	c.mustWrite(remove(&p4v1.DigestEntry{DigestId: tg.names.ids["seen_t"]}))
	seen(tg, 2)
	c.expectNothing()
}

func TestIdleEntryIsNotifiedAgainAndAgainUntilHit(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	te := n.entry("ingress.source", n.action("NoAction"), exact(9), exact(1, 0x2c))
	te.IdleTimeoutNs, te.Metadata = int64(100*time.Millisecond), []byte("meta")
	other := n.entry("ingress.source", n.action("NoAction"), exact(10), exact(1))
	other.IdleTimeoutNs = int64(time.Hour)
	c.mustWrite(insert(te), insert(other), insert(n.entry("ingress.source", n.action("NoAction"), exact(11), exact(1))))
	want := with(te, func(te *p4v1.TableEntry) { te.Action = nil })
	start := time.Now()
	for i := range 2 {
		m := c.mustRecv().GetIdleTimeoutNotification()
		if m == nil || len(m.TableEntry) != 1 || diff(want, m.TableEntry[0]) != "" || m.Timestamp == 0 {
			t.Fatalf("notification %d: %v, want %v", i, m, want)
		}
	}
	if d := time.Since(start); d < time.Second || d > 6*time.Second {
		t.Errorf("the second notification came after %v", d)
	}
	c.mustWrite(remove(want))
	if s := tg.server.Stats(); s.IdleEntries != 2 {
		t.Errorf("counted %d, want 2", s.IdleEntries)
	}
}

func TestNotificationIsDueOnceAStep(t *testing.T) {
	const step, timeout = 500 * time.Millisecond, 3 * time.Second
	var due []time.Duration
	for since := time.Duration(0); since <= 8*time.Second; since += step {
		if notificationDue(since, timeout, step) {
			due = append(due, since)
		}
	}
	want := []time.Duration{3 * time.Second, 5 * time.Second, 7 * time.Second}
	if len(due) != 3 || due[0] != want[0] || due[1] != want[1] || due[2] != want[2] {
		t.Errorf("due at %v, want %v", due, want)
	}
}

func TestPacketInCarriesItsMetadata(t *testing.T) {
	tg, c := startPrimary(t)
	frame := ethernet(1, 2, 0x88cc, "lldp")
	tg.frame(300, frame) // constant entry: to_cpu(2)
	m := c.mustRecv().GetPacket()
	want := &p4v1.PacketIn{Payload: frame, Metadata: []*p4v1.PacketMetadata{
		{MetadataId: 1, Value: []byte{1, 0x2c}}, {MetadataId: 2, Value: []byte{2}},
	}}
	if d := diff(want, m); d != "" {
		t.Error(d)
	}
	tg.server.Forwarding().PacketIn([]byte{1}) // shorter than its header
	if s := tg.server.Stats(); s.PacketIns != 1 || s.PacketInsDropped != 1 {
		t.Errorf("counted %+v", s)
	}
}

func metadata(values ...[]byte) []*p4v1.PacketMetadata {
	var out []*p4v1.PacketMetadata
	for i, v := range values {
		out = append(out, &p4v1.PacketMetadata{MetadataId: uint32(i + 1), Value: v})
	}
	return out
}

func TestPacketOutRunsThroughThePipeline(t *testing.T) {
	tg, c := startPrimary(t)
	payload := ethernet(1, 2, 0x9000, "payload")
	c.send(&p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Packet{Packet: &p4v1.PacketOut{
		Payload: payload, Metadata: metadata([]byte{1, 0x2d}, []byte{0}),
	}}})
	eventually(t, "the packet leaves", func() bool {
		tg.mu.Lock()
		defer tg.mu.Unlock()
		return len(tg.sent) == 1
	})
	if out := tg.sent[0]; out.Port != 301 || !bytes.Equal(out.Data, payload) {
		t.Errorf("left on port %d as %x, want 301, %x", out.Port, out.Data, payload)
	}
}

func TestMalformedStreamMessagesAreReported(t *testing.T) {
	tg, c := startPrimary(t)
	backup := tg.client(t)
	backup.arbitrate(0, 0)
	backup.mustRecv()
	packet := func(metadata []*p4v1.PacketMetadata) *p4v1.StreamMessageRequest {
		return &p4v1.StreamMessageRequest{
			Update: &p4v1.StreamMessageRequest_Packet{Packet: &p4v1.PacketOut{Metadata: metadata}}}
	}
	good := metadata([]byte{1}, []byte{0})
	for _, x := range []struct {
		name string
		from *client
		m    *p4v1.StreamMessageRequest
		code codes.Code
		kind any
	}{
		{"not primary", backup, packet(good), codes.PermissionDenied, &p4v1.StreamError_PacketOut{}},
		{"no metadata", c, packet(nil), codes.InvalidArgument, &p4v1.StreamError_PacketOut{}},
		{"one metadata missing", c, packet(good[:1]), codes.InvalidArgument, &p4v1.StreamError_PacketOut{}},
		{"metadata twice", c, packet(append(good[:2:2], good[0])), codes.InvalidArgument, &p4v1.StreamError_PacketOut{}},
		{"unknown metadata", c, packet(append(good[:2:2], &p4v1.PacketMetadata{MetadataId: 7, Value: []byte{1}})), codes.InvalidArgument, &p4v1.StreamError_PacketOut{}},
		{"metadata too wide", c, packet(metadata([]byte{2, 0}, []byte{0})), codes.InvalidArgument, &p4v1.StreamError_PacketOut{}},
		{"metadata empty", c, packet(metadata([]byte{}, []byte{0})), codes.InvalidArgument, &p4v1.StreamError_PacketOut{}},
		{"empty packet", c, &p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Packet{}}, codes.InvalidArgument, &p4v1.StreamError_PacketOut{}},
		{"unknown digest", c, &p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_DigestAck{DigestAck: &p4v1.DigestListAck{DigestId: 4}}}, codes.InvalidArgument, &p4v1.StreamError_DigestListAck{}},
		{"digest ack of a backup", backup, &p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_DigestAck{DigestAck: &p4v1.DigestListAck{DigestId: tg.names.ids["seen_t"]}}}, codes.PermissionDenied, &p4v1.StreamError_DigestListAck{}},
		{"other", c, &p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Other{}}, codes.Unimplemented, &p4v1.StreamError_Other{}},
		{"empty message", c, &p4v1.StreamMessageRequest{}, codes.InvalidArgument, &p4v1.StreamError_Other{}},
	} {
		t.Run(x.name, func(t *testing.T) {
			x.from.send(x.m)
			e := x.from.mustRecv().GetError()
			if e == nil || codes.Code(e.CanonicalCode) != x.code || e.Message == "" {
				t.Fatalf("got %v, want %v with a message", e, x.code)
			}
			same := false
			switch x.kind.(type) {
			case *p4v1.StreamError_PacketOut:
				_, same = e.Details.(*p4v1.StreamError_PacketOut)
			case *p4v1.StreamError_DigestListAck:
				_, same = e.Details.(*p4v1.StreamError_DigestListAck)
			case *p4v1.StreamError_Other:
				_, same = e.Details.(*p4v1.StreamError_Other)
			}
			if !same {
				t.Errorf("details are %T, want %T", e.Details, x.kind)
			}
		})
	}
}

func TestClientThatDoesNotReadStallsNobody(t *testing.T) {
	tg, c := startPrimary(t)
	frame := ethernet(1, 2, 0x88cc, string(make([]byte, 1000)))
	for tg.server.Stats().PacketInsDropped == 0 {
		tg.frame(1, frame)
	}
	c.mustWrite(insert(group(1))) // its Writes work
	other := tg.client(t)
	other.arbitrate(0, 9)
	other.expectArbitration(codes.OK, 9)
	tg.frame(1, frame)
	if other.mustRecv().GetPacket() == nil {
		t.Error("the new primary got no packet-in")
	}
	for { // the first client finds all that was queued, and the news, when it reads
		if a := c.mustRecv().GetArbitration(); a != nil {
			if codes.Code(a.Status.Code) != codes.AlreadyExists {
				t.Errorf("got %v", a)
			}
			return
		}
	}
}

func TestFloodOfDigestsIsBounded(t *testing.T) {
	tg, c := startPrimary(t)
	c.configureDigest(&p4v1.DigestEntry_Config{MaxTimeoutNs: int64(time.Hour), MaxListSize: 1000,
		AckTimeoutNs: int64(time.Hour)})
	f := tg.server.Forwarding()
	source := make([]byte, 6)
	for i := range uint32(maxKnown + 50000) {
		binary.BigEndian.PutUint32(source, i)
		f.Digest(1, "seen_t", [][]byte{source, {0, 1}, {0}, {0, 1}})
	}
	d := f.byName["seen_t"]
	d.mu.Lock()
	known := len(d.known)
	d.mu.Unlock()
	s := tg.server.Stats()
	if known > maxKnown || s.DigestsDropped == 0 || s.Digests+s.DigestsDropped+uint64(len(d.waiting)) != maxKnown+50000 {
		t.Errorf("%d digests are remembered, counted %+v", known, s)
	}
}
