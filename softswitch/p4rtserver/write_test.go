package p4rtserver

//lint:file-ignore SA1019 The deprecated controller_metadata must work too.

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// diff compares messages; the order of repeated fields means nothing.
func diff(want, got any) string {
	return cmp.Diff(want, got, protocmp.Transform(),
		protocmp.SortRepeated(func(a, b *p4v1.FieldMatch) bool { return a.FieldId < b.FieldId }),
		cmpopts.SortSlices(func(a, b *p4v1.Entity) bool { return sortKey(a) < sortKey(b) }))
}

func sortKey(m proto.Message) string {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func with(te *p4v1.TableEntry, change func(*p4v1.TableEntry)) *p4v1.TableEntry {
	te = proto.Clone(te).(*p4v1.TableEntry)
	change(te)
	return te
}

func withPriority(te *p4v1.TableEntry, priority int32) *p4v1.TableEntry {
	te.Priority = priority
	return te
}

// everything reads all but counter cells.
func (c *client) everything() []*p4v1.Entity {
	c.t.Helper()
	return c.mustRead(
		entity(&p4v1.TableEntry{CounterData: &p4v1.CounterData{}, MeterConfig: &p4v1.MeterConfig{}}),
		entity(&p4v1.TableEntry{IsDefaultAction: true}), entityOf(&p4v1.CounterEntry{}), entityOf(&p4v1.MeterEntry{}),
		entityOf(&p4v1.ActionProfileMember{}), entityOf(&p4v1.ActionProfileGroup{}), entityOf(&p4v1.RegisterEntry{}),
		entityOf(&p4v1.ValueSetEntry{}),
		entityOf(group(0)), entityOf(&p4v1.CloneSessionEntry{}), entityOf(&p4v1.DigestEntry{}))
}

func TestFullTableIsResourceExhaustedAndTheOthersStand(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	var updates []*p4v1.Update
	for i := range byte(6) { // ingress.host holds 4
		updates = append(updates, insert(n.entry("ingress.host", n.action("ingress.forward", []byte{i}), exact(i))))
	}
	updates = append(updates, insert(group(1, replica(1, 0))))
	for i, e := range c.writeErrors(updates...) {
		want := codes.OK
		if i == 4 || i == 5 {
			want = codes.ResourceExhausted
		}
		if codes.Code(e.GetCanonicalCode()) != want {
			t.Errorf("update %d: %v, want %v", i, e, want)
		}
	}
	if got := len(c.mustRead(entity(n.entry("ingress.host", nil)))); got != 4 {
		t.Errorf("table holds %d entries, want 4", got)
	}
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	forward := n.action("ingress.forward", []byte{1, 0xfe})
	entities := []*p4v1.Entity{
		entity(with(n.entry("ingress.host", forward, exact(0)),
			func(te *p4v1.TableEntry) { te.Metadata = []byte("\xffopaque") })),
		entity(with(n.entry("ingress.host", forward, exact(0xaa, 0, 0, 0, 0, 1)),
			func(te *p4v1.TableEntry) { te.ControllerMetadata = 1 << 60; te.Metadata = []byte{1} })),
		entity(n.entry("ingress.prefix", n.action("ingress.drop"), lpm(13, 2, 0xa8, 0, 0, 0, 0))),
		entity(n.entry("ingress.prefix", n.action("ingress.drop"))), // matches everything
		entity(with(n.entry("ingress.source", n.action("NoAction"), exact(5), exact(1, 0xff)),
			func(te *p4v1.TableEntry) { te.IdleTimeoutNs = 12345678901; te.Metadata = []byte("seq=7") })),
		entity(withPriority(n.entry("ingress.rule", forward, ternary([]byte{0}, []byte{0xff, 0}),
			between([]byte{8, 0}, []byte{8, 6}), optional(3)), 1)),
		entity(withPriority(n.entry("ingress.rule", forward), 1<<30)),
		entity(withPriority(n.entry("ingress.rule", forward, nil, between([]byte{1}, []byte{1})), 1)),
		entityOf(&p4v1.MulticastGroupEntry{MulticastGroupId: 9,
			Replicas: []*p4v1.Replica{replica(1, 2), replica(2, 2), replica(1, 0xffff)}, Metadata: []byte("bridge 9")}),
		entityOf(group(10)),
		entityOf(&p4v1.MulticastGroupEntry{MulticastGroupId: 11,
			Replicas: []*p4v1.Replica{{PortKind: &p4v1.Replica_EgressPort{EgressPort: 4}}}}),
		entityOf(&p4v1.CloneSessionEntry{SessionId: 1, Replicas: []*p4v1.Replica{replica(5, 1)}, ClassOfService: 2,
			PacketLengthBytes: 100}),
		entityOf(&p4v1.DigestEntry{DigestId: n.ids["seen_t"],
			Config: &p4v1.DigestEntry_Config{MaxTimeoutNs: 1000, MaxListSize: 10, AckTimeoutNs: 5}}),
	}
	var updates []*p4v1.Update
	for _, e := range entities {
		updates = append(updates, insert(e))
	}
	c.mustWrite(updates...)
	got := c.mustRead(entity(&p4v1.TableEntry{}), entityOf(group(0)), entityOf(&p4v1.CloneSessionEntry{}),
		entityOf(&p4v1.DigestEntry{}))
	var variable []*p4v1.Entity // constant entries came too
	for _, e := range got {
		if !e.GetTableEntry().GetIsConst() {
			variable = append(variable, e)
		}
	}
	if d := diff(entities, variable); d != "" {
		t.Errorf("read back, - written, + read:\n%s", d)
	}
	for _, e := range entities { // deleting needs the key alone
		if te := e.GetTableEntry(); te != nil {
			te.Action, te.IdleTimeoutNs, te.Metadata = nil, 0, nil
		}
	}
	for i := range updates {
		updates[i] = remove(entities[i])
	}
	c.mustWrite(updates...)
	for _, e := range c.mustRead(entity(&p4v1.TableEntry{}), entityOf(group(0)), entityOf(&p4v1.CloneSessionEntry{}),
		entityOf(&p4v1.DigestEntry{})) {
		if !e.GetTableEntry().GetIsConst() {
			t.Errorf("left after delete: %v", e)
		}
	}
}

func TestModifyReplacesActionMetadataAndTimeout(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	old := with(n.entry("ingress.source", n.action("ingress.report"), exact(5), exact(1)), func(te *p4v1.TableEntry) {
		te.IdleTimeoutNs, te.Metadata = 5e9, []byte("a")
	})
	c.mustWrite(insert(old))
	changed := with(old, func(te *p4v1.TableEntry) {
		te.Action, te.IdleTimeoutNs, te.Metadata = n.action("NoAction"), 0, []byte("b")
	})
	c.mustWrite(modify(changed))
	if d := diff([]*p4v1.Entity{entity(changed)}, c.mustRead(entity(n.entry("ingress.source", nil)))); d != "" {
		t.Error(d)
	}
	c.mustWrite(modify(with(changed, func(te *p4v1.TableEntry) { te.Action, te.Metadata = nil, []byte("c") })))
	want := with(changed, func(te *p4v1.TableEntry) { te.Metadata = []byte("c") })
	if d := diff([]*p4v1.Entity{entity(want)}, c.mustRead(entity(n.entry("ingress.source", nil)))); d != "" {
		t.Errorf("without an action it stays: %s", d)
	}
}

func TestDefaultEntryIsModifiedAndReset(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	def := func(a *p4v1.TableAction, metadata string) *p4v1.TableEntry {
		te := n.entry("ingress.host", a)
		te.IsDefaultAction = true
		if metadata != "" {
			te.Metadata = []byte(metadata)
		}
		return te
	}
	changed := def(n.action("ingress.forward", []byte{4}), "mine")
	c.mustWrite(modify(changed))
	if d := diff([]*p4v1.Entity{entity(changed)}, c.mustRead(entity(def(nil, "")))); d != "" {
		t.Error(d)
	}
	if out := tg.frame(1, ethernet(0x42, 1, 0x9000, "")); len(out) != 1 || out[0].Port != 4 {
		t.Errorf("a missing frame left as %v, want port 4", out)
	}
	c.mustWrite(modify(def(nil, "")))
	if d := diff([]*p4v1.Entity{entity(def(n.action("NoAction"), ""))}, c.mustRead(entity(def(nil, "")))); d != "" {
		t.Errorf("after the reset: %s", d)
	}
}

func TestDirectCounterIsSetReadAndKept(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	host := n.entry("ingress.host", n.action("ingress.forward", []byte{2}), exact(7))
	c.mustWrite(insert(with(host, func(te *p4v1.TableEntry) {
		te.CounterData = &p4v1.CounterData{PacketCount: 10,
			ByteCount: 1000}
	})))
	frame := ethernet(7, 1, 0x9000, "sixteen bytes ..")
	if out := tg.frame(1, frame); len(out) != 1 || out[0].Port != 2 {
		t.Fatalf("frame left as %v, want port 2", out)
	}
	want := &p4v1.CounterData{PacketCount: 11, ByteCount: 1000 + int64(len(frame))}
	got := c.mustRead(entity(with(host,
		func(te *p4v1.TableEntry) { te.Action, te.CounterData = nil, &p4v1.CounterData{} })))
	if len(got) != 1 || !proto.Equal(got[0].GetTableEntry().CounterData, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	key := &p4v1.DirectCounterEntry{TableEntry: with(host, func(te *p4v1.TableEntry) { te.Action = nil })}
	for name, query := range map[string]*p4v1.DirectCounterEntry{
		"the entry": key, "the table": {TableEntry: n.entry("ingress.host", nil)}, "every table": {TableEntry: &p4v1.TableEntry{}},
	} {
		got := c.mustRead(entityOf(query))
		if len(got) != 1 || !proto.Equal(got[0].GetDirectCounterEntry().Data, want) {
			t.Errorf("direct counters of %s: %v, want %v", name, got, want)
		}
	}
	c.mustWrite(modify(host)) // keeps the counter
	c.mustWrite(modify(&p4v1.DirectCounterEntry{TableEntry: key.TableEntry, Data: &p4v1.CounterData{PacketCount: 1}}))
	if got := c.mustRead(entityOf(key)); got[0].GetDirectCounterEntry().Data.PacketCount != 1 {
		t.Errorf("after the write: %v", got)
	}
}

func TestIndirectCounterCountsIsSetAndRead(t *testing.T) {
	tg, c := startPrimary(t)
	id := tg.names.ids["ingress.by_port"]
	frame := ethernet(7, 1, 0x9000, "")
	tg.frame(3, frame)
	cell := func(index int64) *p4v1.CounterData {
		t.Helper()
		got := c.mustRead(entityOf(&p4v1.CounterEntry{CounterId: id, Index: &p4v1.Index{Index: index}}))
		if len(got) != 1 {
			t.Fatalf("read %d cells, want 1", len(got))
		}
		return got[0].GetCounterEntry().Data
	}
	if got := cell(3); got.PacketCount != 1 || got.ByteCount != int64(len(frame)) {
		t.Errorf("cell 3: %v", got)
	}
	c.mustWrite(modify(&p4v1.CounterEntry{CounterId: id, Data: &p4v1.CounterData{PacketCount: 5, ByteCount: 6}}))
	c.mustWrite(modify(&p4v1.CounterEntry{CounterId: id, Index: &p4v1.Index{Index: 2},
		Data: &p4v1.CounterData{PacketCount: 9}}))
	c.mustWrite(modify(&p4v1.CounterEntry{CounterId: id, Index: &p4v1.Index{Index: 1}})) // without data: no change
	for index, want := range map[int64]int64{0: 5, 1: 5, 2: 9, 15: 5} {
		if got := cell(index); got.PacketCount != want {
			t.Errorf("cell %d: %v, want %d packets", index, got, want)
		}
	}
	for name, query := range map[string]*p4v1.CounterEntry{"one": {CounterId: id}, "all": {}} {
		if got := c.mustRead(entityOf(query)); len(got) != 16 {
			t.Errorf("read of %s: %d cells, want 16", name, len(got))
		}
	}
}

func TestAMeterDropsWhatIsOverItsRateUntilItsConfigurationGoes(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	c.mustWrite(insert(n.entry("ingress.host", n.action("ingress.forward", []byte{2}), exact(7))))
	passed := func() (count int) {
		for range 100 {
			count += len(tg.frame(3, ethernet(7, 1, 0x9000, "")))
		}
		return count
	}
	id := n.ids["ingress.police"]
	if got := passed(); got != 100 {
		t.Errorf("%d of 100 frames pass an unconfigured meter", got)
	}
	config := &p4v1.MeterConfig{Cir: 1, Cburst: 5, Pir: 1, Pburst: 10}
	c.mustWrite(modify(&p4v1.MeterEntry{MeterId: id, Index: &p4v1.Index{Index: 3}, Config: config}))
	if got := passed(); got < 10 || got > 20 {
		t.Errorf("%d of 100 frames pass a burst of 10 at 1 frame/s", got)
	}
	got := c.mustRead(entityOf(&p4v1.MeterEntry{MeterId: id, Index: &p4v1.Index{Index: 3}}))
	if len(got) != 1 || !proto.Equal(got[0].GetMeterEntry().GetConfig(), config) {
		t.Errorf("read %v, want %v", got, config)
	}
	if got := c.mustRead(entityOf(&p4v1.MeterEntry{})); len(got) != 16 {
		t.Errorf("read of all: %d cells, want 16", len(got))
	}
	c.mustWrite(modify(&p4v1.MeterEntry{MeterId: id}))
	if got := passed(); got != 100 {
		t.Errorf("%d of 100 frames pass a meter whose configuration is gone", got)
	}
}

func TestEntriesAndGroupsForward(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	c.mustWrite(
		insert(n.entry("ingress.host", n.action("ingress.flood", []byte{5}), exact(0xff, 0xff, 0xff, 0xff, 0xff, 0xff))),
		insert(group(5, replica(1, 1), replica(2, 1), replica(3, 2))),
		insert(n.entry("ingress.host", n.action("ingress.copy", []byte{9}), exact(8))),
		insert(&p4v1.CloneSessionEntry{SessionId: 9, Replicas: []*p4v1.Replica{replica(6, 0)}}),
	)
	ports := func(frame []byte) (out []uint32) {
		for _, p := range tg.frame(1, frame) {
			out = append(out, p.Port)
		}
		return out
	}
	broadcast := ethernet(0xffffffffffff, 1, 0x9000, "")
	if d := cmp.Diff([]uint32{1, 2, 3}, ports(broadcast)); d != "" {
		t.Errorf("flooded: %s", d)
	}
	c.mustWrite(modify(group(5, replica(4, 1))))
	if d := cmp.Diff([]uint32{4}, ports(broadcast)); d != "" {
		t.Errorf("after MODIFY of the group: %s", d)
	}
	c.mustWrite(remove(group(5)))
	if d := cmp.Diff([]uint32(nil), ports(broadcast)); d != "" {
		t.Errorf("after DELETE of the group: %s", d)
	}
	if got := ports(ethernet(8, 1, 0x9000, "")); len(got) == 0 || got[len(got)-1] != 6 && got[0] != 6 {
		t.Errorf("cloned frame left on %v, want 6 among them", got)
	}
}

func TestAThousandErrorsArriveInOneStatus(t *testing.T) {
	tg, c := startPrimary(t)
	var updates []*p4v1.Update
	for i := range 1000 {
		updates = append(updates, remove(tg.names.entry("ingress.host", nil, exact(byte(i>>8), byte(i)))))
	}
	for i, e := range c.writeErrors(updates...) {
		if codes.Code(e.GetCanonicalCode()) != codes.NotFound {
			t.Fatalf("update %d: %v", i, e)
		}
	}
	if _, err := tg.rpc.Capabilities(context.Background(), &p4v1.CapabilitiesRequest{}); err != nil {
		t.Errorf("the connection suffered: %v", err)
	}
}

func TestLongValuesMakeShortErrors(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	long := make([]byte, 1<<20)
	zeros := insert(n.entry("ingress.host", n.action("ingress.drop"), exact(long...)))
	c.mustWrite(zeros) // a million zeros are a zero
	long = bytes.Clone(long)
	long[0] = 1
	if e := c.writeErrors(insert(n.entry("ingress.host", n.action("ingress.drop"), exact(long...)))); e[0] == nil ||
		len(e[0].Message) > 200 {
		t.Errorf("got %.300v", e[0])
	}
	if e := c.writeErrors(zeros); e[0] == nil || e[0].Message != "table ingress.host: entry: already exists" {
		t.Errorf("got %v", e[0])
	}
}

func TestReplicaMovesToItsFirstBackupWhosePortIsUp(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	g := group(7, replica(1, 1),
		backed(replica(2, 2), &p4v1.BackupReplica{Port: []byte{3}, Instance: 5},
			&p4v1.BackupReplica{Port: []byte{4}, Instance: 6}))
	c.mustWrite(insert(g), insert(n.entry("ingress.host", n.action("ingress.flood", []byte{7}), exact(1))))
	ports := func() (out []uint32) {
		for _, p := range tg.frame(0, ethernet(1, 0xaa, 0x800, "x")) {
			out = append(out, p.Port)
		}
		return out
	}
	for _, x := range []struct {
		down []uint32
		want []uint32
	}{
		{nil, []uint32{1, 2}}, {[]uint32{2}, []uint32{1, 3}}, {[]uint32{2, 3}, []uint32{1, 4}}, {[]uint32{2, 3, 4}, []uint32{1}},
		{[]uint32{3, 4}, []uint32{1, 2}}, {[]uint32{1}, []uint32{1, 2}}, // a replica without backups stays
	} {
		for port := range uint32(5) {
			tg.setDown(port, slices.Contains(x.down, port))
		}
		eventually(t, fmt.Sprintf("with %v down frames leave at %v", x.down, x.want),
			func() bool { return slices.Equal(ports(), x.want) })
		if d := diff([]*p4v1.Entity{entityOf(g)}, c.mustRead(entityOf(group(7)))); d != "" {
			t.Errorf("with %v down the group reads otherwise than it was written: %s", x.down, d)
		}
	}
	tg.setDown(2, true)
	eventually(t, "port 2 is down", func() bool { return slices.Equal(ports(), []uint32{1, 3}) })
	c.mustWrite(modify(group(7, replica(2, 9)))) // without backups as before
	if got := ports(); !slices.Equal(got, []uint32{2}) {
		t.Errorf("without backups frames leave at %v", got)
	}
}
