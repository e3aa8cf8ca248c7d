package p4rtserver

//lint:file-ignore SA1019 The deprecated controller_metadata must work too.

import (
	"context"
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

func TestEachWrongUpdateGetsItsCode(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	forward := n.action("ingress.forward", []byte{1})
	host := n.entry("ingress.host", forward, exact(1))
	rule := withPriority(n.entry("ingress.rule", forward, ternary([]byte{1}, []byte{3})), 10)
	source := n.entry("ingress.source", n.action("NoAction"), exact(1), exact(2))
	fixed := n.entry("ingress.fixed", n.action("NoAction"), exact(0x88, 0xcc))
	drop := n.action("ingress.drop")
	c.mustWrite(insert(host), insert(rule), insert(source), insert(group(7, replica(1, 1))))
	def := func(table string, a *p4v1.TableAction) *p4v1.TableEntry {
		te := n.entry(table, a)
		te.IsDefaultAction = true
		return te
	}
	for _, x := range []struct {
		name string
		u    *p4v1.Update
		code codes.Code
	}{
		{"no type", update(p4v1.Update_UNSPECIFIED, host), codes.InvalidArgument},
		{"unknown type", update(17, host), codes.InvalidArgument},
		{"no entity", &p4v1.Update{Type: p4v1.Update_INSERT}, codes.InvalidArgument},
		{"empty entity", insert(&p4v1.Entity{}), codes.InvalidArgument},
		{"register", insert(&p4v1.Entity{Entity: &p4v1.Entity_RegisterEntry{}}), codes.Unimplemented},
		{"unknown table", insert(&p4v1.TableEntry{TableId: 5, Action: forward}), codes.InvalidArgument},
		{"table 0", insert(&p4v1.TableEntry{}), codes.InvalidArgument},
		{"exists", insert(host), codes.AlreadyExists},
		{"exists, value with leading zeros", insert(n.entry("ingress.host", forward, exact(0, 0, 1))), codes.AlreadyExists},
		{"modify what is not there", modify(n.entry("ingress.host", forward, exact(99))), codes.NotFound},
		{"modify without action what is not there", modify(n.entry("ingress.host", nil, exact(99))), codes.NotFound},
		{"delete what is not there", remove(n.entry("ingress.host", nil, exact(99))), codes.NotFound},
		{"no action", insert(n.entry("ingress.host", nil, exact(99))), codes.InvalidArgument},
		{"empty action", insert(n.entry("ingress.host", &p4v1.TableAction{}, exact(99))), codes.InvalidArgument},
		{"member in a direct table", insert(n.entry("ingress.host", &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileMemberId{ActionProfileMemberId: 1}}, exact(99))), codes.InvalidArgument},
		{"action of another table", insert(n.entry("ingress.host", n.action("ingress.report"), exact(99))), codes.InvalidArgument},
		{"default-only action", insert(n.entry("ingress.host", n.action("NoAction"), exact(99))), codes.PermissionDenied},
		{"table-only action as default", modify(def("ingress.host", n.action("ingress.copy", []byte{1}))), codes.PermissionDenied},
		{"parameter missing", insert(n.entry("ingress.host", n.action("ingress.forward"), exact(99))), codes.InvalidArgument},
		{"parameter empty", insert(n.entry("ingress.host", n.action("ingress.forward", []byte{}), exact(99))), codes.InvalidArgument},
		{"parameter too wide", insert(n.entry("ingress.host", n.action("ingress.forward", []byte{2, 0}), exact(99))), codes.InvalidArgument},
		{"parameter unknown", insert(n.entry("ingress.host", &p4v1.TableAction{Type: &p4v1.TableAction_Action{Action: &p4v1.Action{
			ActionId: n.actions["ingress.forward"].Preamble.Id, Params: []*p4v1.Action_Param{{ParamId: 9, Value: []byte{1}}}}}}, exact(99))), codes.InvalidArgument},
		{"parameter twice", insert(n.entry("ingress.host", &p4v1.TableAction{Type: &p4v1.TableAction_Action{Action: &p4v1.Action{
			ActionId: n.actions["ingress.forward"].Preamble.Id, Params: []*p4v1.Action_Param{{ParamId: 1, Value: []byte{1}}, {ParamId: 1, Value: []byte{1}}}}}}, exact(99))), codes.InvalidArgument},
		{"no match", insert(n.entry("ingress.host", forward)), codes.InvalidArgument},
		{"match empty", insert(n.entry("ingress.host", forward, exact())), codes.InvalidArgument},
		{"match too wide", insert(n.entry("ingress.host", forward, exact(1, 0, 0, 0, 0, 0, 0))), codes.InvalidArgument},
		{"match of another kind", insert(n.entry("ingress.host", forward, lpm(8, 1, 0, 0, 0, 0, 0))), codes.InvalidArgument},
		{"match without kind", insert(&p4v1.TableEntry{TableId: host.TableId, Action: forward, Match: []*p4v1.FieldMatch{{FieldId: 1}}}), codes.InvalidArgument},
		{"unknown field", insert(&p4v1.TableEntry{TableId: host.TableId, Action: forward, Match: []*p4v1.FieldMatch{{FieldId: 9, FieldMatchType: exact(1).FieldMatchType}}}), codes.InvalidArgument},
		{"field twice", insert(&p4v1.TableEntry{TableId: host.TableId, Action: forward, Match: []*p4v1.FieldMatch{host.Match[0], host.Match[0]}}), codes.InvalidArgument},
		{"second exact field missing", insert(n.entry("ingress.source", n.action("NoAction"), exact(1))), codes.InvalidArgument},
		{"priority without need", insert(withPriority(n.entry("ingress.host", forward, exact(99)), 1)), codes.InvalidArgument},
		{"no priority", insert(n.entry("ingress.rule", forward)), codes.InvalidArgument},
		{"negative priority", insert(withPriority(n.entry("ingress.rule", forward), -1)), codes.InvalidArgument},
		{"lpm of length 0", insert(n.entry("ingress.prefix", forward, lpm(0, 0))), codes.InvalidArgument},
		{"lpm too long", insert(n.entry("ingress.prefix", forward, lpm(49, 1))), codes.InvalidArgument},
		{"lpm with host bits", insert(n.entry("ingress.prefix", forward, lpm(8, 1, 0, 0, 0, 0, 1))), codes.InvalidArgument},
		{"ternary with a zero mask", insert(withPriority(n.entry("ingress.rule", forward, ternary([]byte{0}, []byte{0})), 1)), codes.InvalidArgument},
		{"ternary value outside the mask", insert(withPriority(n.entry("ingress.rule", forward, ternary([]byte{2}, []byte{1})), 1)), codes.InvalidArgument},
		{"ternary without mask", insert(withPriority(n.entry("ingress.rule", forward, ternary([]byte{2}, nil)), 1)), codes.InvalidArgument},
		{"range the wrong way", insert(withPriority(n.entry("ingress.rule", forward, nil, between([]byte{2}, []byte{1})), 1)), codes.InvalidArgument},
		{"range of everything", insert(withPriority(n.entry("ingress.rule", forward, nil, between([]byte{0}, []byte{0xff, 0xff})), 1)), codes.InvalidArgument},
		{"range without high", insert(withPriority(n.entry("ingress.rule", forward, nil, between([]byte{1}, nil)), 1)), codes.InvalidArgument},
		{"optional too wide", insert(withPriority(n.entry("ingress.rule", forward, nil, nil, optional(2, 0)), 1)), codes.InvalidArgument},
		{"same match, another priority is another entry", remove(withPriority(n.entry("ingress.rule", nil, ternary([]byte{1}, []byte{3})), 11)), codes.NotFound},
		{"constant table, insert", insert(n.entry("ingress.fixed", n.action("NoAction"), exact(1))), codes.PermissionDenied},
		{"constant table, modify", modify(fixed), codes.PermissionDenied},
		{"constant table, delete", remove(fixed), codes.PermissionDenied},
		{"is_const", insert(with(n.entry("ingress.host", forward, exact(99)), func(te *p4v1.TableEntry) { te.IsConst = true })), codes.InvalidArgument},
		{"table without key", insert(n.entry("ingress.nokey", drop)), codes.InvalidArgument},
		{"idle timeout not supported", insert(with(n.entry("ingress.host", forward, exact(99)), func(te *p4v1.TableEntry) { te.IdleTimeoutNs = 1 })), codes.InvalidArgument},
		{"negative idle timeout", modify(with(source, func(te *p4v1.TableEntry) { te.IdleTimeoutNs = -1 })), codes.InvalidArgument},
		{"time since last hit", modify(with(source, func(te *p4v1.TableEntry) { te.TimeSinceLastHit = &p4v1.TableEntry_IdleTimeout{} })), codes.InvalidArgument},
		{"counter data without counter", modify(with(source, func(te *p4v1.TableEntry) { te.CounterData = &p4v1.CounterData{} })), codes.InvalidArgument},
		{"negative counter data", modify(with(host, func(te *p4v1.TableEntry) { te.CounterData = &p4v1.CounterData{ByteCount: -1} })), codes.InvalidArgument},
		{"meter without meter", modify(with(host, func(te *p4v1.TableEntry) { te.MeterConfig = &p4v1.MeterConfig{} })), codes.InvalidArgument},
		{"default entry, insert", insert(def("ingress.host", drop)), codes.InvalidArgument},
		{"default entry, delete", remove(def("ingress.host", drop)), codes.InvalidArgument},
		{"default entry with match", modify(with(host, func(te *p4v1.TableEntry) { te.IsDefaultAction = true })), codes.InvalidArgument},
		{"default entry with priority", modify(withPriority(def("ingress.rule", drop), 1)), codes.InvalidArgument},
		{"default entry with timeout", modify(with(def("ingress.source", n.action("NoAction")), func(te *p4v1.TableEntry) { te.IdleTimeoutNs = 1 })), codes.InvalidArgument},
		{"constant default", modify(def("ingress.prefix", drop)), codes.PermissionDenied},
		{"replication entry of nothing", insert(&p4v1.PacketReplicationEngineEntry{}), codes.InvalidArgument},
		{"group 0", insert(group(0, replica(1, 1))), codes.InvalidArgument},
		{"group id too large", insert(group(1<<17, replica(1, 1))), codes.InvalidArgument},
		{"group exists", insert(group(7, replica(1, 1))), codes.AlreadyExists},
		{"group to modify is not there", modify(group(8, replica(1, 1))), codes.NotFound},
		{"group to delete is not there", remove(group(8)), codes.NotFound},
		{"replica twice", modify(group(7, replica(1, 1), replica(2, 1), replica(1, 1))), codes.InvalidArgument},
		{"replica without port", modify(group(7, &p4v1.Replica{Instance: 1})), codes.InvalidArgument},
		{"replica with an empty port", modify(group(7, &p4v1.Replica{PortKind: &p4v1.Replica_Port{}})), codes.InvalidArgument},
		{"replica with a wide port", modify(group(7, &p4v1.Replica{PortKind: &p4v1.Replica_Port{Port: []byte{1, 0, 0, 0, 0}}})), codes.InvalidArgument},
		{"replica instance too large", modify(group(7, replica(1, 1<<16))), codes.InvalidArgument},
		{"backup replicas", modify(group(7, &p4v1.Replica{PortKind: replica(1, 1).PortKind, BackupReplicas: []*p4v1.BackupReplica{{}}})), codes.Unimplemented},
		{"session 0", insert(&p4v1.CloneSessionEntry{Replicas: []*p4v1.Replica{replica(1, 1)}}), codes.InvalidArgument},
		{"session to modify is not there", modify(&p4v1.CloneSessionEntry{SessionId: 3}), codes.NotFound},
		{"session to delete is not there", remove(&p4v1.CloneSessionEntry{SessionId: 3}), codes.NotFound},
		{"session with negative length", insert(&p4v1.CloneSessionEntry{SessionId: 3, PacketLengthBytes: -1}), codes.InvalidArgument},
		{"counter insert", insert(&p4v1.CounterEntry{CounterId: n.ids["ingress.by_port"]}), codes.InvalidArgument},
		{"unknown counter", modify(&p4v1.CounterEntry{CounterId: 4}), codes.InvalidArgument},
		{"counter index negative", modify(&p4v1.CounterEntry{CounterId: n.ids["ingress.by_port"], Index: &p4v1.Index{Index: -1}}), codes.InvalidArgument},
		{"counter index too large", modify(&p4v1.CounterEntry{CounterId: n.ids["ingress.by_port"], Index: &p4v1.Index{Index: 16}}), codes.OutOfRange},
		{"direct counter insert", insert(&p4v1.DirectCounterEntry{TableEntry: host}), codes.InvalidArgument},
		{"direct counter without entry", modify(&p4v1.DirectCounterEntry{}), codes.InvalidArgument},
		{"direct counter of a table without", modify(&p4v1.DirectCounterEntry{TableEntry: source, Data: &p4v1.CounterData{}}), codes.InvalidArgument},
		{"direct counter of no entry", modify(&p4v1.DirectCounterEntry{TableEntry: n.entry("ingress.host", nil, exact(99)), Data: &p4v1.CounterData{}}), codes.NotFound},
		{"unknown digest", insert(&p4v1.DigestEntry{DigestId: 4}), codes.InvalidArgument},
		{"digest without config", insert(&p4v1.DigestEntry{DigestId: n.ids["seen_t"]}), codes.InvalidArgument},
		{"digest with negative timeout", insert(&p4v1.DigestEntry{DigestId: n.ids["seen_t"], Config: &p4v1.DigestEntry_Config{MaxTimeoutNs: -1}}), codes.InvalidArgument},
		{"digest to modify is not configured", modify(&p4v1.DigestEntry{DigestId: n.ids["seen_t"], Config: &p4v1.DigestEntry_Config{}}), codes.NotFound},
		{"digest to delete is not configured", remove(&p4v1.DigestEntry{DigestId: n.ids["seen_t"]}), codes.NotFound},
	} {
		t.Run(x.name, func(t *testing.T) {
			before := c.everything()
			errs := c.writeErrors(x.u)
			if errs[0] == nil || codes.Code(errs[0].CanonicalCode) != x.code || errs[0].Message == "" {
				t.Errorf("got %v, want %v with a message", errs[0], x.code)
			}
			if d := diff(before, c.everything()); d != "" {
				t.Errorf("the update changed something: %s", d)
			}
		})
	}
}

// everything reads all but counter cells.
func (c *client) everything() []*p4v1.Entity {
	c.t.Helper()
	return c.mustRead(
		entity(&p4v1.TableEntry{CounterData: &p4v1.CounterData{}}),
		entity(&p4v1.TableEntry{IsDefaultAction: true}),
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
		entity(with(n.entry("ingress.host", forward, exact(0)), func(te *p4v1.TableEntry) { te.Metadata = []byte("\xffopaque") })),
		entity(with(n.entry("ingress.host", forward, exact(0xaa, 0, 0, 0, 0, 1)), func(te *p4v1.TableEntry) { te.ControllerMetadata = 1 << 60; te.Metadata = []byte{1} })),
		entity(n.entry("ingress.prefix", n.action("ingress.drop"), lpm(13, 2, 0xa8, 0, 0, 0, 0))),
		entity(n.entry("ingress.prefix", n.action("ingress.drop"))), // matches everything
		entity(with(n.entry("ingress.source", n.action("NoAction"), exact(5), exact(1, 0xff)), func(te *p4v1.TableEntry) { te.IdleTimeoutNs = 12345678901; te.Metadata = []byte("seq=7") })),
		entity(withPriority(n.entry("ingress.rule", forward, ternary([]byte{0}, []byte{0xff, 0}), between([]byte{8, 0}, []byte{8, 6}), optional(3)), 1)),
		entity(withPriority(n.entry("ingress.rule", forward), 1<<30)),
		entity(withPriority(n.entry("ingress.rule", forward, nil, between([]byte{1}, []byte{1})), 1)),
		entityOf(&p4v1.MulticastGroupEntry{MulticastGroupId: 9, Replicas: []*p4v1.Replica{replica(1, 2), replica(2, 2), replica(1, 0xffff)}, Metadata: []byte("bridge 9")}),
		entityOf(group(10)),
		entityOf(&p4v1.MulticastGroupEntry{MulticastGroupId: 11, Replicas: []*p4v1.Replica{{PortKind: &p4v1.Replica_EgressPort{EgressPort: 4}}}}),
		entityOf(&p4v1.CloneSessionEntry{SessionId: 1, Replicas: []*p4v1.Replica{replica(5, 1)}, ClassOfService: 2, PacketLengthBytes: 100}),
		entityOf(&p4v1.DigestEntry{DigestId: n.ids["seen_t"], Config: &p4v1.DigestEntry_Config{MaxTimeoutNs: 1000, MaxListSize: 10, AckTimeoutNs: 5}}),
	}
	var updates []*p4v1.Update
	for _, e := range entities {
		updates = append(updates, insert(e))
	}
	c.mustWrite(updates...)
	got := c.mustRead(entity(&p4v1.TableEntry{}), entityOf(group(0)), entityOf(&p4v1.CloneSessionEntry{}), entityOf(&p4v1.DigestEntry{}))
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
	for _, e := range c.mustRead(entity(&p4v1.TableEntry{}), entityOf(group(0)), entityOf(&p4v1.CloneSessionEntry{}), entityOf(&p4v1.DigestEntry{})) {
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
	c.mustWrite(insert(with(host, func(te *p4v1.TableEntry) { te.CounterData = &p4v1.CounterData{PacketCount: 10, ByteCount: 1000} })))
	frame := ethernet(7, 1, 0x9000, "sixteen bytes ..")
	if out := tg.frame(1, frame); len(out) != 1 || out[0].Port != 2 {
		t.Fatalf("frame left as %v, want port 2", out)
	}
	want := &p4v1.CounterData{PacketCount: 11, ByteCount: 1000 + int64(len(frame))}
	got := c.mustRead(entity(with(host, func(te *p4v1.TableEntry) { te.Action, te.CounterData = nil, &p4v1.CounterData{} })))
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
	c.mustWrite(modify(&p4v1.CounterEntry{CounterId: id, Index: &p4v1.Index{Index: 2}, Data: &p4v1.CounterData{PacketCount: 9}}))
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
