package p4rtserver

import (
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
)

func asDefault(te *p4v1.TableEntry) *p4v1.TableEntry {
	te.IsDefaultAction = true
	return te
}

func TestDefaultEntryCountsWhatMisses(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	frame := ethernet(9, 8, 0x1234, "payload")
	count := func() int64 {
		t.Helper()
		query := asDefault(n.entry("ingress.host", nil))
		query.CounterData = &p4v1.CounterData{}
		byEntry := c.mustRead(entity(query))[0].GetTableEntry().CounterData
		query.CounterData = nil
		direct := c.mustRead(entityOf(&p4v1.DirectCounterEntry{TableEntry: query}))
		if len(direct) != 1 || !direct[0].GetDirectCounterEntry().GetTableEntry().IsDefaultAction {
			t.Fatalf("direct counter of the default entry: %v", direct)
		}
		if d := direct[0].GetDirectCounterEntry().Data; d.PacketCount != byEntry.PacketCount ||
			d.ByteCount != byEntry.ByteCount {
			t.Errorf("the direct counter is %v, with the entry %v", d, byEntry)
		}
		if byEntry.ByteCount != byEntry.PacketCount*int64(len(frame)) {
			t.Errorf("%v for frames of %d bytes", byEntry, len(frame))
		}
		return byEntry.PacketCount
	}
	expect := func(after string, want int64) {
		t.Helper()
		if got := count(); got != want {
			t.Errorf("%s: %d packets, want %d", after, got, want)
		}
	}
	tg.frame(1, frame)
	tg.frame(1, frame)
	expect("two misses", 2)
	c.mustWrite(modify(asDefault(n.entry("ingress.host", n.action("ingress.drop")))))
	tg.frame(1, frame)
	expect("another default action", 3)
	c.mustWrite(insert(n.entry("ingress.host", n.action("ingress.drop"), exact(9))))
	tg.frame(1, frame)
	expect("a hit", 3)
	query := asDefault(n.entry("ingress.host", nil))
	c.mustWrite(modify(&p4v1.DirectCounterEntry{TableEntry: query,
		Data: &p4v1.CounterData{PacketCount: 10, ByteCount: 10 * int64(len(frame))}}))
	expect("the counter set by itself", 10)
	set := asDefault(n.entry("ingress.host", n.action("ingress.drop")))
	set.CounterData = &p4v1.CounterData{}
	c.mustWrite(modify(set))
	expect("the counter set with the entry", 0)

	// A batch that fails leaves it alone, and what is counted meanwhile.
	tg.frame(1, ethernet(7, 8, 0x1234, "payload"))
	set.CounterData.PacketCount = 99
	if err := c.writeAs(p4v1.WriteRequest_ROLLBACK_ON_ERROR, modify(set),
		modify(asDefault(n.entry("ingress.host", nil))), remove(n.entry("ingress.host", nil, exact(77)))); err == nil {
		t.Error("a batch with a wrong update was made")
	}
	expect("a batch undone", 1)
	c.mustWrite(modify(asDefault(n.entry("ingress.host", nil))))
	expect("a reset", 0)
	set.Action = nil
	c.expectRefused(t, wrongUpdate{"reset and set at once", modify(set), codes.InvalidArgument})
	c.expectRefused(t, wrongUpdate{"counter of a table without", modify(&p4v1.DirectCounterEntry{
		TableEntry: asDefault(n.entry("ingress.rule", nil)), Data: &p4v1.CounterData{}}), codes.InvalidArgument})
	c.expectRefused(t, wrongUpdate{"a default entry with a match", modify(&p4v1.DirectCounterEntry{
		TableEntry: asDefault(n.entry("ingress.host", nil, exact(1))), Data: &p4v1.CounterData{}}), codes.InvalidArgument})
}

func TestDefaultEntryMetersWhatMisses(t *testing.T) {
	tg, c := startFeatures(t)
	n := tg.names
	config := &p4v1.MeterConfig{Cir: 1, Cburst: 1, Pir: 1, Pburst: 2}
	colours := func() (seen [3]int) {
		for range 4 {
			seen[tg.frame(0, calcFrame(0x45, 0))[0].Data[2]]++
		}
		return seen
	}
	te := asDefault(n.entry("ingress.by_rate", n.action("ingress.nothing")))
	if got := colours(); got != [3]int{4, 0, 0} {
		t.Errorf("colours %v without a configuration", got)
	}
	c.mustWrite(modify(&p4v1.DirectMeterEntry{TableEntry: asDefault(n.entry("ingress.by_rate", nil)), Config: config}))
	if got := colours(); got != [3]int{1, 1, 2} {
		t.Errorf("colours %v, want one green, one yellow, two red", got)
	}
	query := asDefault(n.entry("ingress.by_rate", nil))
	query.MeterConfig = &p4v1.MeterConfig{}
	te.MeterConfig = config
	if d := diff([]*p4v1.Entity{entity(te)}, c.mustRead(entity(query))); d != "" {
		t.Errorf("the default entry with its meter: %s", d)
	}
	c.mustWrite(modify(asDefault(n.entry("ingress.by_rate", nil)))) // reset
	if got := colours(); got != [3]int{4, 0, 0} {
		t.Errorf("colours %v after a reset", got)
	}
	c.mustWrite(modify(te))
	if got := colours(); got != [3]int{1, 1, 2} {
		t.Errorf("colours %v with the meter set by the entry", got)
	}
}
