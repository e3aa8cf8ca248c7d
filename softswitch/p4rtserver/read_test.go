package p4rtserver

//lint:file-ignore SA1019 The deprecated controller_metadata must work too.

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

func TestReadSelectsByWhatTheQuerySays(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	forward, drop := n.action("ingress.forward", []byte{1}), n.action("ingress.drop")
	a := with(withPriority(n.entry("ingress.rule", forward, ternary([]byte{1}, []byte{3})), 10),
		func(te *p4v1.TableEntry) { te.Metadata = []byte("x") })
	b := with(withPriority(n.entry("ingress.rule", drop, ternary([]byte{1}, []byte{3})), 20),
		func(te *p4v1.TableEntry) { te.ControllerMetadata = 5 })
	d := withPriority(n.entry("ingress.rule", drop), 20)
	src := n.entry("ingress.source", n.action("NoAction"), exact(1), exact(2))
	c.mustWrite(insert(a), insert(b), insert(d), insert(src))
	constant := c.mustRead(entity(n.entry("ingress.fixed", nil)))
	if len(constant) != 2 || !constant[0].GetTableEntry().IsConst {
		t.Errorf("constant entries: %v", constant)
	}
	rule := func(change func(*p4v1.TableEntry)) *p4v1.TableEntry {
		return with(n.entry("ingress.rule", nil), change)
	}
	for _, x := range []struct {
		name  string
		query *p4v1.TableEntry
		want  []*p4v1.TableEntry
	}{
		{"a table", rule(func(*p4v1.TableEntry) {}), []*p4v1.TableEntry{a, b, d}},
		{"priority", rule(func(te *p4v1.TableEntry) { te.Priority = 20 }), []*p4v1.TableEntry{b, d}},
		{"match and priority", rule(func(te *p4v1.TableEntry) { te.Priority, te.Match = 10, a.Match }), []*p4v1.TableEntry{a}},
		{"match alone", rule(func(te *p4v1.TableEntry) { te.Match = a.Match }), []*p4v1.TableEntry{a, b}},
		{"match that is not there", rule(func(te *p4v1.TableEntry) { te.Priority, te.Match = 11, a.Match }), nil},
		{"action", rule(func(te *p4v1.TableEntry) { te.Action = drop }), []*p4v1.TableEntry{b, d}},
		{"metadata", rule(func(te *p4v1.TableEntry) { te.Metadata = []byte("x") }), []*p4v1.TableEntry{a}},
		{"controller metadata", rule(func(te *p4v1.TableEntry) { te.ControllerMetadata = 5 }), []*p4v1.TableEntry{b}},
		{"exact match", with(src, func(te *p4v1.TableEntry) { te.Action = nil }), []*p4v1.TableEntry{src}},
	} {
		t.Run(x.name, func(t *testing.T) {
			var want []*p4v1.Entity
			for _, te := range x.want {
				want = append(want, entity(te))
			}
			if d := diff(want, c.mustRead(entity(x.query))); d != "" {
				t.Error(d)
			}
		})
	}
	if got := c.mustRead(entity(&p4v1.TableEntry{})); len(got) != 4+2 {
		t.Errorf("all tables have %d entries, want 6", len(got))
	}
	if got := c.mustRead(entity(&p4v1.TableEntry{IsDefaultAction: true})); len(got) != len(n.tables) {
		t.Errorf("%d default entries, want one for each of %d tables", len(got), len(n.tables))
	}
	timed := c.mustRead(entity(with(n.entry("ingress.source", nil),
		func(te *p4v1.TableEntry) { te.TimeSinceLastHit = &p4v1.TableEntry_IdleTimeout{} })))
	if len(timed) != 1 || timed[0].GetTableEntry().TimeSinceLastHit == nil {
		t.Errorf("with time_since_last_hit: %v", timed)
	}
}

func TestReadReportsAnErrorForEachQuery(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	queries := []struct {
		query *p4v1.Entity
		code  codes.Code
	}{
		{entity(n.entry("ingress.fixed", nil)), codes.OK},
		{&p4v1.Entity{}, codes.InvalidArgument},
		{entity(&p4v1.TableEntry{TableId: 5}), codes.InvalidArgument},
		{entity(&p4v1.TableEntry{Priority: 5}), codes.InvalidArgument},
		{entity(n.entry("ingress.host", nil, lpm(8, 1))), codes.InvalidArgument},
		{entity(n.entry("ingress.host", n.action("ingress.report"))), codes.InvalidArgument},
		{entity(with(n.entry("ingress.host", nil), func(te *p4v1.TableEntry) { te.TimeSinceLastHit = &p4v1.TableEntry_IdleTimeout{} })), codes.InvalidArgument},
		{entityOf(&p4v1.CounterEntry{CounterId: 4}), codes.InvalidArgument},
		{entityOf(&p4v1.CounterEntry{CounterId: n.ids["ingress.by_port"], Index: &p4v1.Index{Index: 16}}), codes.OutOfRange},
		{entityOf(&p4v1.DirectCounterEntry{}), codes.InvalidArgument},
		{entityOf(&p4v1.DirectCounterEntry{TableEntry: n.entry("ingress.host", nil, exact(1))}), codes.NotFound},
		{entityOf(&p4v1.PacketReplicationEngineEntry{}), codes.InvalidArgument},
		{entityOf(group(5)), codes.NotFound},
		{entityOf(&p4v1.CloneSessionEntry{SessionId: 5}), codes.NotFound},
		{entityOf(&p4v1.DigestEntry{DigestId: 5}), codes.InvalidArgument},
		{&p4v1.Entity{Entity: &p4v1.Entity_ExternEntry{ExternEntry: &p4v1.ExternEntry{ExternTypeId: 1}}}, codes.Unimplemented},
	}
	var all []*p4v1.Entity
	for _, q := range queries {
		all = append(all, q.query)
	}
	got, err := c.read(all...)
	if len(got) != 2 {
		t.Errorf("the good query found %d entries, want 2", len(got))
	}
	for i, e := range batchErrors(t, err, len(queries)) {
		if codes.Code(e.GetCanonicalCode()) != queries[i].code {
			t.Errorf("query %v: %v, want %v", queries[i].query, e, queries[i].code)
		}
	}
}

func TestLargeReadComesInPartsBelowFourMegabytes(t *testing.T) {
	tg, c := startPrimary(t)
	metadata := make([]byte, 8192)
	var updates []*p4v1.Update
	for i := range 1000 {
		te := tg.names.entry("ingress.source", tg.names.action("NoAction"),
			exact(binary.BigEndian.AppendUint32(nil, uint32(i))...), exact(1))
		te.Metadata = metadata
		updates = append(updates, insert(te))
	}
	c.mustWrite(updates...)
	stream, err := tg.rpc.Read(context.Background(),
		&p4v1.ReadRequest{DeviceId: testDevice, Entities: []*p4v1.Entity{entity(&p4v1.TableEntry{})}})
	if err != nil {
		t.Fatal(err)
	}
	parts, entries := 0, 0
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if size := proto.Size(response); size > 4<<20 {
			t.Errorf("a part has %d bytes", size)
		}
		parts++
		entries += len(response.Entities)
	}
	if entries != 1002 || parts < 2 {
		t.Errorf("%d entries in %d parts, want 1002 in several", entries, parts)
	}
}
