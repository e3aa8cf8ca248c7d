package p4rtserver

import (
	"errors"
	"fmt"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// table ties a table of P4Info to the pipeline's, so that a Write needs no
// names.
type table struct {
	id      uint32
	name    string
	entries *pipeline.Table
	fields  []field // in the order of the pipeline's key
	actions []action

	priority  bool // entries need one
	timeout   bool // entries may have an idle timeout
	counter   bool // direct counter
	fixed     bool // const entries
	meter     bool // direct meter
	meterKind p4configv1.MeterSpec_Type
	profile   *profile // what its entries refer to; nil: they have actions
	// constDefault: the program fixes the default action.
	constDefault bool

	defaultMetadata []byte // packed; guarded by Server.state
}

type field struct {
	id    uint32
	name  string
	kind  pipeline.MatchKind // as P4Info has it
	width int
	names *sdnNames // nil: values are numbers
	// exactMask is set for an optional field, which p4c compiles to ternary:
	// all ones.
	exactMask []byte
}

type action struct {
	id          uint32
	name        string
	params      []param // in the order of the pipeline's parameters
	tableOnly   bool
	defaultOnly bool
}

type param struct {
	id    uint32
	name  string
	width int
	names *sdnNames // nil: values are numbers
}

func (f *Forwarding) bindTable(ti *p4configv1.Table, types *p4configv1.P4TypeInfo,
	actions map[uint32]*p4configv1.Action) (*table, error) {
	name := ti.GetPreamble().GetName()
	entries := f.Pipeline.Table(name)
	if entries == nil {
		return nil, errors.New("it is not in the JSON")
	}
	if ti.HasInitialEntries && !ti.IsConstTable {
		entries.Preinitialize(int(min(ti.Size, 1<<31-1)))
	}
	t := &table{
		id: ti.GetPreamble().GetId(), name: name, entries: entries,
		priority: entries.HasPriority(), timeout: entries.SupportsTimeout(),
		counter: entries.HasCounter(), fixed: entries.IsConst() || ti.IsConstTable,
		meter: entries.HasMeter(), constDefault: ti.ConstDefaultActionId != 0,
	}
	var err error
	if t.fields, err = f.bindFields(types, entries.Keys(), ti.MatchFields); err != nil {
		return nil, err
	}
	known := entries.Actions()
	for _, ref := range ti.ActionRefs {
		info := actions[ref.Id]
		if info == nil {
			return nil, fmt.Errorf("action id %d is not in the P4Info", ref.Id)
		}
		a, err := f.bindAction(types, known, info)
		if err != nil {
			return nil, fmt.Errorf("action %s: %w", info.GetPreamble().GetName(), err)
		}
		a.tableOnly = ref.Scope == p4configv1.ActionRef_TABLE_ONLY
		a.defaultOnly = ref.Scope == p4configv1.ActionRef_DEFAULT_ONLY
		t.actions = append(t.actions, a)
	}
	return t, nil
}

var matchTypes = map[p4configv1.MatchField_MatchType]pipeline.MatchKind{
	p4configv1.MatchField_EXACT:    pipeline.Exact,
	p4configv1.MatchField_LPM:      pipeline.LPM,
	p4configv1.MatchField_TERNARY:  pipeline.Ternary,
	p4configv1.MatchField_RANGE:    pipeline.Range,
	p4configv1.MatchField_OPTIONAL: pipeline.Optional,
}

// bindFields puts P4Info's match fields into the order of the pipeline's key.
func (f *Forwarding) bindFields(types *p4configv1.P4TypeInfo, keys []pipeline.KeyField,
	infos []*p4configv1.MatchField) ([]field, error) {
	if len(keys) != len(infos) {
		return nil, fmt.Errorf("%d match fields, in the JSON %d", len(infos), len(keys))
	}
	byName := make(map[string]*p4configv1.MatchField, len(infos))
	for _, mi := range infos {
		byName[mi.Name] = mi
	}
	fields := make([]field, len(keys))
	for i, key := range keys {
		mi := byName[key.Name]
		if mi == nil {
			return nil, fmt.Errorf("match field %s of the JSON is not in the P4Info", key.Name)
		}
		kind, ok := matchTypes[mi.GetMatchType()]
		asTernary := kind == pipeline.Optional && key.Kind == pipeline.Ternary
		if !ok || kind != key.Kind && !asTernary {
			return nil, fmt.Errorf("match field %s is %v, in the JSON %v", mi.Name, mi.GetMatchType(), key.Kind)
		}
		sdn, err := f.sdnType(types, mi.TypeName, key.Bits)
		if err != nil {
			return nil, fmt.Errorf("match field %s: %w", mi.Name, err)
		}
		if sdn.names != nil && kind != pipeline.Exact && kind != pipeline.Optional {
			return nil, fmt.Errorf("match field %s is matched as %v and has names for values; only exact and optional can",
				mi.Name, kind)
		}
		if !sdn.translated && int(mi.Bitwidth) != key.Bits {
			return nil, fmt.Errorf("match field %s has %d bits, in the JSON %d", mi.Name, mi.Bitwidth, key.Bits)
		}
		fields[i] = field{id: mi.Id, name: mi.Name, kind: kind, width: key.Bits, names: sdn.names}
		if asTernary {
			fields[i].exactMask = allOnes(key.Bits)
		}
	}
	return fields, nil
}

func (f *Forwarding) bindAction(types *p4configv1.P4TypeInfo, known []pipeline.ActionInfo,
	info *p4configv1.Action) (action, error) {
	a := action{id: info.GetPreamble().GetId(), name: info.GetPreamble().GetName()}
	for _, k := range known {
		if k.Name != a.name {
			continue
		}
		if len(k.Params) != len(info.Params) {
			return a, fmt.Errorf("%d parameters, in the JSON %d", len(info.Params), len(k.Params))
		}
		for i, p := range k.Params {
			pi := info.Params[i]
			sdn, err := f.sdnType(types, pi.TypeName, p.Bits)
			if err != nil {
				return a, fmt.Errorf("parameter %s: %w", pi.Name, err)
			}
			if pi.Name != p.Name || !sdn.translated && int(pi.Bitwidth) != p.Bits {
				return a, fmt.Errorf("parameter %s has %d bits, in the JSON there is %s with %d",
					pi.Name, pi.Bitwidth, p.Name, p.Bits)
			}
			a.params = append(a.params, param{id: pi.Id, name: pi.Name, width: p.Bits, names: sdn.names})
		}
		return a, nil
	}
	return a, errors.New("the table does not have it in the JSON")
}

// fieldIndex returns the place of a match field in the key, or -1.
func (t *table) fieldIndex(id uint32) int {
	for i := range t.fields {
		if t.fields[i].id == id {
			return i
		}
	}
	return -1
}

// action returns the action of that id, or nil.
func (t *table) action(id uint32) *action {
	for i := range t.actions {
		if t.actions[i].id == id {
			return &t.actions[i]
		}
	}
	return nil
}

// actionNamed returns the action of that name, or nil.
func (t *table) actionNamed(name string) *action {
	for i := range t.actions {
		if t.actions[i].name == name {
			return &t.actions[i]
		}
	}
	return nil
}
