package p4rtserver

import (
	"slices"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// translator turns TableEntry messages into pipeline entries; its buffers are
// used again for each, since the pipeline keeps nothing of an Entry but the
// metadata.
type translator struct {
	entry  pipeline.Entry
	match  []pipeline.Match
	params [][]byte
}

// key fills the match and priority (9.1.1); the returned entry is valid until
// the next call.
func (tr *translator) key(t *table, te *p4v1.TableEntry) (*pipeline.Entry, error) {
	tr.match = slices.Grow(tr.match[:0], len(t.fields))[:len(t.fields)]
	for i := range tr.match {
		tr.match[i] = pipeline.Match{Any: true}
	}
	for _, m := range te.Match {
		i := t.fieldIndex(m.FieldId)
		if i < 0 {
			return nil, invalid("no match field has id %d", m.FieldId)
		}
		if !tr.match[i].Any {
			return nil, invalid("match field %s is there twice", t.fields[i].name)
		}
		if err := fillMatch(&tr.match[i], &t.fields[i], m); err != nil {
			return nil, within("match field "+t.fields[i].name, err)
		}
	}
	for i := range t.fields {
		if tr.match[i].Any && t.fields[i].kind == pipeline.Exact {
			return nil, invalid("exact match field %s is missing", t.fields[i].name)
		}
	}
	if t.priority && te.Priority <= 0 {
		return nil, invalid("priority %d: the table has ternary, range or optional fields and needs one above 0", te.Priority)
	}
	if !t.priority && te.Priority != 0 {
		return nil, invalid("priority %d: the table has no ternary, range or optional field, so it must be 0", te.Priority)
	}
	tr.entry = pipeline.Entry{Match: tr.match, Priority: te.Priority}
	return &tr.entry, nil
}

// named returns the pipeline's entry for what te names, nil for the default
// entry, which the pipeline knows by that.
func (tr *translator) named(t *table, te *p4v1.TableEntry) (*pipeline.Entry, error) {
	if !te.IsDefaultAction {
		return tr.key(t, te)
	}
	return nil, checkDefaultKey(te)
}

func checkDefaultKey(te *p4v1.TableEntry) error {
	if len(te.Match) != 0 || te.Priority != 0 {
		return invalid("the default entry has neither match nor priority")
	}
	return nil
}

// fillMatch translates one match field (9.1.1).
func fillMatch(m *pipeline.Match, f *field, fm *p4v1.FieldMatch) error {
	switch v := fm.FieldMatchType.(type) {
	case *p4v1.FieldMatch_Exact_:
		if f.kind == pipeline.Exact {
			value, err := f.names.value(v.Exact.GetValue(), f.width)
			*m = pipeline.Match{Value: value}
			return err
		}
	case *p4v1.FieldMatch_Optional_:
		if f.kind == pipeline.Optional {
			value, err := f.names.value(v.Optional.GetValue(), f.width)
			*m = pipeline.Match{Value: value, Mask: f.exactMask}
			return err
		}
	case *p4v1.FieldMatch_Lpm:
		if f.kind == pipeline.LPM {
			length := int(v.Lpm.GetPrefixLen())
			if length < 1 || length > f.width {
				return invalid("prefix length %d: must be 1 to %d; to match everything leave the field out", length, f.width)
			}
			*m = pipeline.Match{Value: trim(v.Lpm.GetValue()), PrefixLen: length}
			return checkValue(m.Value, f.width)
		}
	case *p4v1.FieldMatch_Ternary_:
		if f.kind == pipeline.Ternary {
			*m = pipeline.Match{Value: trim(v.Ternary.GetValue()), Mask: trim(v.Ternary.GetMask())}
			if err := checkValue(m.Value, f.width); err != nil {
				return err
			}
			if isZero(m.Mask) {
				return invalid("the mask is zero: to match everything leave the field out")
			}
			return checkValue(m.Mask, f.width)
		}
	case *p4v1.FieldMatch_Range_:
		if f.kind == pipeline.Range {
			*m = pipeline.Match{Value: trim(v.Range.GetLow()), High: trim(v.Range.GetHigh())}
			if err := checkValue(m.Value, f.width); err != nil {
				return err
			}
			if isZero(m.Value) && isMax(m.High, f.width) {
				return invalid("the range holds every value: to match everything leave the field out")
			}
			return checkValue(m.High, f.width)
		}
	}
	return invalid("the field is matched as %v", f.kind)
}

// action fills the action of an entry or a default entry (9.1.2).
func (tr *translator) action(t *table, ta *p4v1.TableAction, isDefault bool) (string, [][]byte, error) {
	set, ok := ta.GetType().(*p4v1.TableAction_Action)
	if !ok || set.Action == nil {
		return "", nil, invalid("the table has no action profile: the action must be an action with parameters")
	}
	a := t.action(set.Action.ActionId)
	if a == nil {
		return "", nil, invalid("action id %d is not one of the table's", set.Action.ActionId)
	}
	if a.tableOnly && isDefault || a.defaultOnly && !isDefault {
		return "", nil, status.Errorf(codes.PermissionDenied, "action %s: its scope in the P4Info does not allow it here",
			a.name)
	}
	params, err := tr.parameters(a, set.Action)
	return a.name, params, err
}

// parameters translates those of an action; they are valid until the next call.
func (tr *translator) parameters(a *action, m *p4v1.Action) ([][]byte, error) {
	tr.params = slices.Grow(tr.params[:0], len(a.params))[:len(a.params)]
	clear(tr.params)
	for _, p := range m.Params {
		if err := a.fillParam(tr.params, p); err != nil {
			return nil, within("action "+a.name, err)
		}
	}
	if len(m.Params) < len(a.params) {
		return nil, invalid("action %s: %d of %d parameters are missing", a.name, len(a.params)-len(m.Params), len(a.params))
	}
	return tr.params, nil
}

func (a *action) fillParam(values [][]byte, p *p4v1.Action_Param) error {
	for i := range a.params {
		if a.params[i].id != p.ParamId {
			continue
		}
		if values[i] != nil {
			return invalid("parameter %s is there twice", a.params[i].name)
		}
		value, err := a.params[i].names.value(p.Value, a.params[i].width)
		if err != nil {
			return within("parameter "+a.params[i].name, err)
		}
		values[i] = value
		return nil
	}
	return invalid("no parameter has id %d", p.ParamId)
}
