package p4rtserver

import (
	"fmt"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// meter ties an indirect meter to its P4Info id.
type meter struct {
	id    uint32
	kind  p4configv1.MeterSpec_Type
	cells *pipeline.Meter
}

func (f *Forwarding) bindMeters(info *p4configv1.P4Info) error {
	for _, mi := range info.Meters {
		name := mi.GetPreamble().GetName()
		m := f.Pipeline.Meter(name)
		if m == nil {
			return fmt.Errorf("meter %s is not in the JSON", name)
		}
		if int64(m.Size()) != mi.Size {
			return fmt.Errorf("meter %s has %d cells, in the JSON %d", name, mi.Size, m.Size())
		}
		f.meters = append(f.meters, &meter{id: mi.GetPreamble().GetId(), kind: mi.GetSpec().GetType(), cells: m})
	}
	for _, mi := range info.DirectMeters {
		t := f.byTable[mi.DirectTableId]
		if t == nil || !t.meter {
			return fmt.Errorf("direct meter %s: the JSON has no table with it", mi.GetPreamble().GetName())
		}
		t.meterKind = mi.GetSpec().GetType()
	}
	return nil
}

var errMeterCounters = status.Error(codes.Unimplemented, "meters do not count by colour")

// checkMeterConfig checks a meter's configuration against its type (9.4).
func checkMeterConfig(kind p4configv1.MeterSpec_Type, c *p4v1.MeterConfig) error {
	if c == nil {
		return nil
	}
	if kind != p4configv1.MeterSpec_TWO_RATE_THREE_COLOR && (c.Pir != c.Cir || c.Pburst != c.Cburst) {
		return invalid("meter configuration: pir and pburst must equal cir and cburst where there is a single rate")
	}
	switch {
	case c.Eburst == 0:
	case kind == p4configv1.MeterSpec_SINGLE_RATE_THREE_COLOR:
		return status.Error(codes.Unimplemented, "meter configuration: eburst is not supported")
	default:
		return invalid("meter configuration: eburst must be 0")
	}
	return refuse(meterConfig(c).Check())
}

// meterConfig translates a configuration; nil stays nil.
func meterConfig(c *p4v1.MeterConfig) *pipeline.MeterConfig {
	if c == nil {
		return nil
	}
	return &pipeline.MeterConfig{CIR: c.Cir, CBurst: c.Cburst, PIR: c.Pir, PBurst: c.Pburst}
}

func meterConfigMessage(c *pipeline.MeterConfig) *p4v1.MeterConfig {
	if c == nil {
		return nil
	}
	return &p4v1.MeterConfig{Cir: c.CIR, Cburst: c.CBurst, Pir: c.PIR, Pburst: c.PBurst}
}

// writeDirectMeter configures the direct meter of an entry (9.4.1).
func (f *Forwarding) writeDirectMeter(tr *translator, op p4v1.Update_Type, dm *p4v1.DirectMeterEntry) error {
	if op != p4v1.Update_MODIFY {
		return invalid("a direct meter entry can only be modified")
	}
	t, err := f.meteredTable(dm)
	if err != nil {
		return err
	}
	if err := checkMeterConfig(t.meterKind, dm.Config); err != nil {
		return within("table "+t.name, err)
	}
	e, err := tr.named(t, dm.TableEntry)
	if err != nil {
		return within("table "+t.name, err)
	}
	return refuse(t.entries.SetMeter(e, meterConfig(dm.Config)))
}

// meteredTable returns the table of a direct meter entry.
func (f *Forwarding) meteredTable(dm *p4v1.DirectMeterEntry) (*table, error) {
	if dm.GetTableEntry() == nil {
		return nil, invalid("the direct meter entry has no table_entry")
	}
	t := f.byTable[dm.TableEntry.TableId]
	switch {
	case t == nil:
		return nil, invalid("no table has id %d", dm.TableEntry.TableId)
	case !t.meter:
		return nil, invalid("table %s has no direct meter", t.name)
	case dm.CounterData != nil:
		return nil, errMeterCounters
	}
	return t, nil
}

func (f *Forwarding) readDirectMeters(tr *translator, out *reply, dm *p4v1.DirectMeterEntry) error {
	if allTables(dm.GetTableEntry()) {
		f.readAllDirect(out, func(t *table) bool { return t.meter }, directMeter)
		return nil
	}
	t, err := f.meteredTable(dm)
	if err != nil {
		return err
	}
	return t.readDirect(tr, out, dm.TableEntry, directMeter)
}

func directMeter(key *p4v1.TableEntry, e *pipeline.Entry) *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_DirectMeterEntry{DirectMeterEntry: &p4v1.DirectMeterEntry{
		TableEntry: key, Config: meterConfigMessage(e.Meter),
	}}}
}

// meter returns the indirect meter of that id, or nil.
func (f *Forwarding) meter(id uint32) *meter {
	for _, m := range f.meters {
		if m.id == id {
			return m
		}
	}
	return nil
}

// writeMeter configures one cell or, without an index, all cells of an indirect
// meter; without a configuration they let everything pass again (9.4.2).
func (f *Forwarding) writeMeter(op p4v1.Update_Type, me *p4v1.MeterEntry) error {
	if op != p4v1.Update_MODIFY {
		return invalid("a meter entry can only be modified")
	}
	m := f.meter(me.GetMeterId())
	if m == nil {
		return invalid("no meter has id %d", me.GetMeterId())
	}
	first, last, err := cellRange("meter "+m.cells.Name(), m.cells.Size(), me.Index)
	if err != nil {
		return err
	}
	if me.CounterData != nil {
		return errMeterCounters
	}
	if err := checkMeterConfig(m.kind, me.Config); err != nil {
		return within("meter "+m.cells.Name(), err)
	}
	config := meterConfig(me.Config)
	for i := first; i < last; i++ {
		if err := m.cells.SetConfig(i, config); err != nil {
			return refuse(err)
		}
	}
	return nil
}

func (f *Forwarding) readMeters(out *reply, me *p4v1.MeterEntry) error {
	meters := f.meters
	if id := me.GetMeterId(); id != 0 {
		m := f.meter(id)
		if m == nil {
			return invalid("no meter has id %d", id)
		}
		meters = []*meter{m}
	}
	if me.GetCounterData() != nil {
		return errMeterCounters
	}
	for _, m := range meters {
		first, last, err := cellRange("meter "+m.cells.Name(), m.cells.Size(), me.GetIndex())
		if err != nil {
			return err
		}
		for i := first; i < last; i++ {
			entry := &p4v1.MeterEntry{MeterId: m.id, Index: &p4v1.Index{Index: int64(i)}}
			if c, ok := m.cells.Config(i); ok {
				entry.Config = meterConfigMessage(&c)
			}
			out.add(&p4v1.Entity{Entity: &p4v1.Entity_MeterEntry{MeterEntry: entry}})
		}
	}
	return nil
}
