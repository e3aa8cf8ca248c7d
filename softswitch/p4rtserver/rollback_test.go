package p4rtserver

import (
	"sync/atomic"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
)

var allOrNone = []p4v1.WriteRequest_Atomicity{p4v1.WriteRequest_ROLLBACK_ON_ERROR, p4v1.WriteRequest_DATAPLANE_ATOMIC}

// changesOfAllKinds are entries to begin with, and updates of every kind.
func changesOfAllKinds(n *namer) (first, then []*p4v1.Update) {
	forward, drop := n.action("ingress.forward", []byte{1}), n.action("ingress.drop")
	host := n.entry("ingress.host", forward, exact(1))
	host.CounterData, host.Metadata = &p4v1.CounterData{PacketCount: 4, ByteCount: 5}, []byte("m")
	rule := withPriority(n.entry("ingress.rule", forward, ternary([]byte{1}, []byte{3})), 10)
	source := n.entry("ingress.source", n.action("NoAction"), exact(1), exact(2))
	source.IdleTimeoutNs = 1e12
	def := n.entry("ingress.host", drop)
	def.IsDefaultAction = true
	digest := &p4v1.DigestEntry{DigestId: n.ids["seen_t"], Config: &p4v1.DigestEntry_Config{MaxListSize: 3}}
	counter := &p4v1.CounterEntry{CounterId: n.ids["ingress.by_port"], Data: &p4v1.CounterData{PacketCount: 9}}
	meter := &p4v1.MeterEntry{MeterId: n.ids["ingress.police"], Index: at(3), Config: &p4v1.MeterConfig{Cir: 1, Pir: 2}}
	first = []*p4v1.Update{insert(host), insert(rule), insert(source), insert(group(7, replica(1, 1))),
		insert(&p4v1.CloneSessionEntry{SessionId: 3,
			Replicas: []*p4v1.Replica{replica(1, 1)}}), insert(digest), modify(counter), modify(meter)}
	then = []*p4v1.Update{
		insert(n.entry("ingress.host", forward, exact(2))), remove(n.entry("ingress.host", nil, exact(2))),
		insert(n.entry("ingress.host", forward, exact(2))),
		modify(with(host, func(te *p4v1.TableEntry) { te.Action, te.CounterData = drop, &p4v1.CounterData{} })),
		modify(&p4v1.DirectCounterEntry{TableEntry: host, Data: &p4v1.CounterData{PacketCount: 100}}),
		remove(host), remove(rule), modify(with(source, func(te *p4v1.TableEntry) { te.IdleTimeoutNs = 0 })),
		modify(def), insert(group(8, replica(2, 2))), modify(group(7, replica(3, 3))), remove(group(7)),
		modify(&p4v1.CloneSessionEntry{SessionId: 3, Replicas: []*p4v1.Replica{replica(2, 2)}, PacketLengthBytes: 9}),
		remove(&p4v1.CloneSessionEntry{SessionId: 3}), insert(&p4v1.CloneSessionEntry{SessionId: 4}),
		remove(&p4v1.DigestEntry{DigestId: digest.DigestId}),
		modify(&p4v1.CounterEntry{CounterId: counter.CounterId, Data: &p4v1.CounterData{}}),
		modify(&p4v1.MeterEntry{MeterId: meter.MeterId}),
	}
	return first, then
}

func TestBatchThatFailsAnywhereChangesNothing(t *testing.T) {
	for _, atomicity := range allOrNone {
		tg, c := startPrimary(t)
		first, then := changesOfAllKinds(tg.names)
		c.mustWrite(first...)
		before := c.everything()
		wrong := insert(&p4v1.TableEntry{TableId: 5})
		for i := range len(then) + 1 {
			updates := append(append(append([]*p4v1.Update{}, then[:i]...), wrong), then[i:]...)
			for j, e := range batchErrors(t, c.writeAs(atomicity, updates...), len(updates)) {
				want := codes.Aborted
				if j == i {
					want = codes.InvalidArgument
				}
				if codes.Code(e.GetCanonicalCode()) != want {
					t.Errorf("%v, update %d of a batch whose %dth is wrong: %v, want %v", atomicity, j, i, e, want)
				}
			}
			if d := diff(before, c.everything()); d != "" {
				t.Fatalf("%v, the %dth update is wrong: %s", atomicity, i, d)
			}
		}
		if err := c.writeAs(atomicity, then...); err != nil {
			t.Fatalf("%v: %v", atomicity, err)
		}
		if d := diff(before, c.everything()); d == "" {
			t.Error("the whole batch changed nothing")
		}
	}
}

func TestBatchOfOtherKindsThatFailsChangesNothing(t *testing.T) {
	tg, c := startFeatures(t)
	s := newSelectorSubject(tg.names)
	n := tg.names
	rated := n.entry("ingress.by_rate", n.action("ingress.metered_to", []byte{3}), exact(7))
	rated.MeterConfig = &p4v1.MeterConfig{Cir: 1, Pir: 2}
	c.mustWrite(insert(s.member(1, s.to(1))), insert(s.member(2, s.to(2))), insert(rated))
	c.mustWrite(insert(s.group(1, weighted(1, 1))))
	c.mustWrite(insert(s.entry(1, byGroup(1))),
		modify(&p4v1.RegisterEntry{RegisterId: n.ids["ingress.cells"], Index: at(2), Data: bitData(9)}),
		modify(&p4v1.ValueSetEntry{ValueSetId: n.ids["p.nobody"], Members: []*p4v1.ValueSetMember{valueSetMember(7)}}))
	before := c.everything()
	updates := []*p4v1.Update{
		modify(s.entry(1, byMember(2))), remove(s.group(1)), modify(s.member(1, s.to(5))), remove(s.member(1, nil)),
		insert(s.member(3, s.to(3))), insert(s.group(4, weighted(2, 2), weighted(3, 1))), modify(s.group(4, weighted(3, 1))),
		modify(with(rated, func(te *p4v1.TableEntry) { te.MeterConfig = nil })),
		modify(&p4v1.DirectMeterEntry{TableEntry: rated, Config: &p4v1.MeterConfig{Cir: 5, Pir: 5}}), remove(rated),
		modify(&p4v1.RegisterEntry{RegisterId: n.ids["ingress.cells"], Data: bitData(1)}),
		modify(&p4v1.ValueSetEntry{ValueSetId: n.ids["p.nobody"]}),
		remove(s.entry(1, nil)), remove(s.entry(1, nil)),
	}
	if e := batchErrors(t, c.writeAs(p4v1.WriteRequest_ROLLBACK_ON_ERROR, updates...),
		len(updates))[len(updates)-1]; codes.Code(e.GetCanonicalCode()) != codes.NotFound {
		t.Errorf("the last update: %v, want NOT_FOUND", e)
	}
	if d := diff(before, c.everything()); d != "" {
		t.Error(d)
	}
}

func TestPacketsSeeAnAtomicBatchWholeOrNotAtAll(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	hosts := func(port byte) (out []*p4v1.TableEntry) {
		for i := range byte(4) {
			out = append(out, n.entry("ingress.host", n.action("ingress.forward", []byte{port}), exact(i+1)))
		}
		return out
	}
	for _, te := range hosts(1) {
		c.mustWrite(insert(te))
	}
	var stop atomic.Bool
	mixed := make(chan int, 1)
	f := tg.server.Forwarding()
	gate, worker := tg.server.NewGate(), f.Pipeline.NewWorker(f)
	go func() { // one goroutine of the switch, batches of four
		count := 0
		for !stop.Load() {
			gate.Enter()
			ports := map[uint32]bool{}
			for i := range uint64(4) {
				worker.Process(0, ethernet(i+1, 0xaa, 0x800, "x"))
				for _, p := range worker.Out {
					ports[p.Port] = true
				}
				worker.Reset()
			}
			gate.Leave()
			if len(ports) != 1 {
				count++
			}
		}
		mixed <- count
	}()
	for i := range 200 {
		var updates []*p4v1.Update
		for _, te := range hosts(byte(i%8 + 1)) {
			updates = append(updates, modify(te))
		}
		if err := c.writeAs(p4v1.WriteRequest_DATAPLANE_ATOMIC, updates...); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	if count := <-mixed; count > 0 {
		t.Errorf("%d batches of packets saw a part of a batch of updates", count)
	}
}
