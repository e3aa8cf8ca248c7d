package p4rt_test

import (
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
)

func TestStreamMessagesArriveAsEvents(t *testing.T) {
	c, s := up(t, p4rttest.Config{})
	list, _ := s.SendDigest(learnDigest, p4rttest.Struct([]byte{1}, []byte{2}))
	if d := next[p4rt.Digest](t, c); d.ID != learnDigest || d.ListID != list || len(d.Members) != 1 {
		t.Errorf("digest %+v", d)
	}
	packet := &p4v1.PacketIn{Payload: []byte("frame"), Metadata: []*p4v1.PacketMetadata{{MetadataId: 1, Value: []byte{9}}}}
	s.SendPacketIn(packet)
	if p := next[p4rt.PacketIn](t, c); !proto.Equal(p.Packet, packet) {
		t.Errorf("packet-in %v", p.Packet)
	}
	idle := source(p4v1.Update_INSERT, 5).GetEntity().GetTableEntry()
	s.SendIdle(idle)
	if i := next[p4rt.Idle](t, c); len(i.Entries) != 1 || !proto.Equal(i.Entries[0], idle) {
		t.Errorf("idle %v", i.Entries)
	}
}

func TestDigestIsAcknowledgedWhenItIsReceivedAndNotBefore(t *testing.T) {
	c, s := up(t, p4rttest.Config{})
	first, _ := s.SendDigest(learnDigest)
	second, _ := s.SendDigest(learnDigest)
	next[p4rt.Digest](t, c)
	s.WaitFor("the first list is acknowledged", func() bool { return s.Acked(first) })
	// The stream keeps order: a packet-out that has come overtook no ack.
	if err := c.PacketOut(t.Context(), &p4v1.PacketOut{Payload: []byte{1}}); err != nil {
		t.Fatal(err)
	}
	s.WaitFor("the packet-out", func() bool { return s.Counts().PacketOuts == 1 })
	if s.Acked(second) {
		t.Error("a list that nobody received is acknowledged")
	}
	next[p4rt.Digest](t, c)
	s.WaitFor("the second list is acknowledged", func() bool { return s.Acked(second) })
}

func TestPacketOutsArriveInOrder(t *testing.T) {
	c, s := up(t, p4rttest.Config{})
	const n = 1000
	for i := range n {
		if err := c.PacketOut(t.Context(), &p4v1.PacketOut{Payload: canonical(uint64(i))}); err != nil {
			t.Fatal(err)
		}
	}
	s.WaitFor("all packets", func() bool { return len(s.PacketOuts()) == n })
	for i, p := range s.PacketOuts() {
		if string(p.GetPayload()) != string(canonical(uint64(i))) {
			t.Fatalf("packet %d has payload %x", i, p.GetPayload())
		}
	}
}

// A reader that stalls loses what the target repeats, and no state.
func TestStalledReaderLosesNoState(t *testing.T) {
	const size = 8
	s := p4rttest.New(t, p4rttest.Config{})
	cfg := config(t, s.Target())
	cfg.QueueSize = size
	c := start(t, cfg)
	primary := func(connections int) func() bool {
		return func() bool {
			return s.Counts().Connections >= connections && testutil.ToFloat64(gauge(t, c, "p4evpn_p4rt_primary")) == 1
		}
	}
	s.WaitFor("the first connection", primary(1))
	s.Restart()
	s.WaitFor("the second connection", primary(2))
	s.Disconnect()
	s.WaitFor("the third connection", primary(3))
	last := uint64(0)
	for range 10 * size {
		last, _ = s.SendDigest(learnDigest)
		s.SendPacketIn(&p4v1.PacketIn{})
		s.SendIdle()
	}
	received := func() float64 { return testutil.ToFloat64(gauge(t, c, "p4evpn_p4rt_events_total", "digest")) }
	s.WaitFor("all digests", func() bool { return received() == 10*size })

	var ups, downs, digests, packets, idles int
	var pushed bool
	for digests+packets+idles < 3*size || testutil.ToFloat64(gauge(t, c, "p4evpn_p4rt_event_queue")) > 0 {
		select {
		case e := <-c.Events():
			switch e := e.(type) {
			case p4rt.Up:
				ups, pushed = ups+1, pushed || e.Pushed
			case p4rt.Down:
				downs++
			case p4rt.Digest:
				digests++
			case p4rt.PacketIn:
				packets++
			case p4rt.Idle:
				idles++
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("only %d digests, %d packets, %d idles of %d each came", digests, packets, idles, size)
		}
	}
	// One Up may have been in the hand of the deliverer since the beginning.
	if ups < 1 || ups > 2 || downs != 1 || !pushed {
		t.Errorf("%d Up, %d Down, pushed %v; want the last Up, a Down before it, and the push told", ups, downs, pushed)
	}
	if digests != size || packets != size || idles != size {
		t.Errorf("%d digests, %d packets, %d idles; want %d of each", digests, packets, idles, size)
	}
	if s.Acked(last) {
		t.Error("a digest list that was dropped is acknowledged")
	}
	if got := testutil.ToFloat64(gauge(t, c, "p4evpn_p4rt_events_dropped_total", "digest")); got != 9*size {
		t.Errorf("%v digests counted as dropped, want %d", got, 9*size)
	}
}
