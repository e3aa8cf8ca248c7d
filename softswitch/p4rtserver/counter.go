package p4rtserver

import (
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

func checkCounterData(data *p4v1.CounterData) error {
	if data.GetByteCount() < 0 || data.GetPacketCount() < 0 {
		return invalid("counter data is negative: %d packets, %d bytes", data.GetPacketCount(), data.GetByteCount())
	}
	return nil
}

// writeCounter sets one cell or, without an index, all cells of an indirect
// counter (9.3.2).
func (f *Forwarding) writeCounter(op p4v1.Update_Type, ce *p4v1.CounterEntry) error {
	if op != p4v1.Update_MODIFY {
		return invalid("a counter entry can only be modified")
	}
	c := f.counter(ce.GetCounterId())
	if c == nil {
		return invalid("no counter has id %d", ce.GetCounterId())
	}
	if err := checkCounterData(ce.Data); err != nil {
		return within("counter "+c.cell.Name(), err)
	}
	first, last, err := c.cells(ce.Index)
	if err != nil || ce.Data == nil {
		return err
	}
	for i := first; i < last; i++ {
		if err := c.cell.Write(i, uint64(ce.Data.PacketCount), uint64(ce.Data.ByteCount)); err != nil {
			return refuse(err)
		}
	}
	return nil
}

func (c *counter) cells(index *p4v1.Index) (first, last int, err error) {
	return cellRange("counter "+c.cell.Name(), c.cell.Size(), index)
}

// cellRange returns the range of cells that an index stands for: all without
// one.
func cellRange(array string, size int, index *p4v1.Index) (first, last int, err error) {
	switch {
	case index == nil:
		return 0, size, nil
	case index.Index < 0:
		return 0, 0, invalid("%s: index %d is negative", array, index.Index)
	case index.Index >= int64(size):
		return 0, 0, status.Errorf(codes.OutOfRange, "%s: index %d is outside its %d cells", array, index.Index, size)
	default:
		return int(index.Index), int(index.Index) + 1, nil
	}
}

func (f *Forwarding) readCounters(out *reply, ce *p4v1.CounterEntry) error {
	counters := f.counters
	if id := ce.GetCounterId(); id != 0 {
		c := f.counter(id)
		if c == nil {
			return invalid("no counter has id %d", id)
		}
		counters = []*counter{c}
	}
	for _, c := range counters {
		first, last, err := c.cells(ce.GetIndex())
		if err != nil {
			return err
		}
		for i := first; i < last; i++ {
			packets, octets := c.cell.Read(i)
			out.add(&p4v1.Entity{Entity: &p4v1.Entity_CounterEntry{CounterEntry: &p4v1.CounterEntry{
				CounterId: c.id, Index: &p4v1.Index{Index: int64(i)},
				Data: counterData(packets, octets),
			}}})
		}
	}
	return nil
}

func counterData(packets, octets uint64) *p4v1.CounterData {
	return &p4v1.CounterData{PacketCount: int64(packets), ByteCount: int64(octets)}
}

// writeDirectCounter sets the direct counter of an entry (9.3.1).
func (f *Forwarding) writeDirectCounter(tr *translator, op p4v1.Update_Type, dc *p4v1.DirectCounterEntry) error {
	if op != p4v1.Update_MODIFY {
		return invalid("a direct counter entry can only be modified")
	}
	t, err := f.countedTable(dc)
	if err != nil {
		return err
	}
	if err := checkCounterData(dc.Data); err != nil {
		return within("table "+t.name, err)
	}
	e, err := tr.named(t, dc.TableEntry)
	if err != nil {
		return within("table "+t.name, err)
	}
	if dc.Data == nil {
		_, err = t.entries.Get(e)
		return refuse(err)
	}
	return t.setCounter(e, dc.Data)
}

// countedTable returns the table of a direct counter entry.
func (f *Forwarding) countedTable(dc *p4v1.DirectCounterEntry) (*table, error) {
	if dc.GetTableEntry() == nil {
		return nil, invalid("the direct counter entry has no table_entry")
	}
	t := f.byTable[dc.TableEntry.TableId]
	if t == nil {
		return nil, invalid("no table has id %d", dc.TableEntry.TableId)
	}
	if !t.counter {
		return nil, invalid("table %s has no direct counter", t.name)
	}
	return t, nil
}

func (f *Forwarding) readDirectCounters(tr *translator, out *reply, dc *p4v1.DirectCounterEntry) error {
	if allTables(dc.GetTableEntry()) {
		f.readAllDirect(out, func(t *table) bool { return t.counter }, directCounter)
		return nil
	}
	t, err := f.countedTable(dc)
	if err != nil {
		return err
	}
	return t.readDirect(tr, out, dc.TableEntry, directCounter)
}

func directCounter(key *p4v1.TableEntry, e *pipeline.Entry) *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_DirectCounterEntry{DirectCounterEntry: &p4v1.DirectCounterEntry{
		TableEntry: key, Data: counterData(e.Packets, e.Bytes),
	}}}
}
