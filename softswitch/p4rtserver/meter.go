package p4rtserver

import (
	"fmt"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// meter ties an indirect meter to its P4Info id.
type meter struct {
	id    uint32
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
		f.meters = append(f.meters, &meter{id: mi.GetPreamble().GetId(), cells: m})
	}
	return nil
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
	var config *pipeline.MeterConfig
	if c := me.Config; c != nil {
		config = &pipeline.MeterConfig{CIR: c.Cir, CBurst: c.Cburst, PIR: c.Pir, PBurst: c.Pburst}
	}
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
	for _, m := range meters {
		first, last, err := cellRange("meter "+m.cells.Name(), m.cells.Size(), me.GetIndex())
		if err != nil {
			return err
		}
		for i := first; i < last; i++ {
			entry := &p4v1.MeterEntry{MeterId: m.id, Index: &p4v1.Index{Index: int64(i)}}
			if c, ok := m.cells.Config(i); ok {
				entry.Config = &p4v1.MeterConfig{Cir: c.CIR, Cburst: c.CBurst, Pir: c.PIR, Pburst: c.PBurst}
			}
			out.add(&p4v1.Entity{Entity: &p4v1.Entity_MeterEntry{MeterEntry: entry}})
		}
	}
	return nil
}
