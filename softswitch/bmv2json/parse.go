package bmv2json

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Parse reads a BMv2 JSON file.
func Parse(data []byte) (*Program, error) {
	var sections map[string]json.RawMessage
	if err := json.Unmarshal(data, &sections); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	p := new(Program)
	if err := p.version(sections["__meta__"]); err != nil {
		return nil, err
	}
	err := errors.Join(
		section(sections, "header_types", &p.HeaderTypes),
		section(sections, "headers", &p.Headers),
		section(sections, "header_stacks", &p.Stacks),
		section(sections, "header_union_types", &p.UnionTypes),
		section(sections, "header_unions", &p.Unions),
		section(sections, "header_union_stacks", &p.UnionStacks),
		section(sections, "field_lists", &p.FieldLists),
		section(sections, "errors", &p.Errors),
		section(sections, "parsers", &p.Parsers),
		section(sections, "parse_vsets", &p.ValueSets),
		section(sections, "deparsers", &p.Deparsers),
		section(sections, "meter_arrays", &p.Meters),
		section(sections, "counter_arrays", &p.Counters),
		section(sections, "register_arrays", &p.Registers),
		section(sections, "calculations", &p.Calculations),
		section(sections, "learn_lists", &p.LearnLists),
		section(sections, "actions", &p.Actions),
		section(sections, "pipelines", &p.Pipelines),
		section(sections, "checksums", &p.Checksums),
		section(sections, "extern_instances", &p.Externs),
		section(sections, "field_aliases", &p.Aliases),
	)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Program) version(raw json.RawMessage) error {
	if raw == nil {
		return errors.New("__meta__: missing; this is no BMv2 JSON of version 2")
	}
	var meta struct {
		Version [2]int `json:"version"`
	}
	if err := json.Unmarshal(raw, &meta); err != nil {
		return fmt.Errorf("__meta__: %w", err)
	}
	if meta.Version[0] != 2 {
		return fmt.Errorf("__meta__: version %d.%d; only 2.x is understood",
			meta.Version[0], meta.Version[1])
	}
	p.Version = meta.Version
	return nil
}

// section decodes one top-level array, element by element, so that an error
// names the element.
func section[T any](sections map[string]json.RawMessage, name string, out *[]T) error {
	raw, ok := sections[name]
	if !ok {
		return nil
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(raw, &elements); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	*out = make([]T, len(elements))
	for i, e := range elements {
		if err := json.Unmarshal(e, &(*out)[i]); err != nil {
			return fmt.Errorf("%s[%d]%s: %w", name, i, quotedName(e), err)
		}
	}
	return nil
}

func quotedName(raw json.RawMessage) string {
	var n struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(raw, &n) != nil || n.Name == "" {
		return ""
	}
	return fmt.Sprintf(" %q", n.Name)
}

// tuple decodes a JSON array into the targets given; further elements are
// left alone, missing ones beyond min leave their target as it is.
func tuple(raw []byte, min int, targets ...any) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil {
		return err
	}
	if len(parts) < min {
		return fmt.Errorf("array of %d elements where at least %d are needed", len(parts), min)
	}
	for i, t := range targets {
		if i == len(parts) {
			break
		}
		if err := json.Unmarshal(parts[i], t); err != nil {
			return err
		}
	}
	return nil
}

// UnmarshalJSON reads [name, bits or "*", signed, saturating]; p4c writes the
// flags of bool fields as 0.
func (f *FieldType) UnmarshalJSON(raw []byte) error {
	var width json.RawMessage
	var signed, saturating any
	if err := tuple(raw, 2, &f.Name, &width, &signed, &saturating); err != nil {
		return fmt.Errorf("field: %w", err)
	}
	f.Signed = signed == true || signed == 1.0
	f.Saturating = saturating == true || saturating == 1.0
	if string(width) == `"*"` {
		f.Varbit = true
		return nil
	}
	if err := json.Unmarshal(width, &f.Bits); err != nil {
		return fmt.Errorf("field %q: width: %w", f.Name, err)
	}
	return nil
}

// UnmarshalJSON reads [name, code].
func (e *Error) UnmarshalJSON(raw []byte) error { return tuple(raw, 2, &e.Name, &e.Code) }

// UnmarshalJSON reads [target field, [header, field]].
func (a *Alias) UnmarshalJSON(raw []byte) error { return tuple(raw, 2, &a.Target, &a.Field) }

// UnmarshalJSON reads a parser operation.
func (o *ParserOp) UnmarshalJSON(raw []byte) error {
	var form struct {
		Op     string            `json:"op"`
		Params []json.RawMessage `json:"parameters"`
	}
	if err := json.Unmarshal(raw, &form); err != nil {
		return err
	}
	o.Op = form.Op
	if o.Op == "primitive" {
		if len(form.Params) != 1 {
			return fmt.Errorf("parser operation %q: %d parameters where 1 is needed", o.Op, len(form.Params))
		}
		o.Call = new(Primitive)
		return json.Unmarshal(form.Params[0], o.Call)
	}
	o.Params = make([]Value, len(form.Params))
	for i, p := range form.Params {
		if err := json.Unmarshal(p, &o.Params[i]); err != nil {
			return fmt.Errorf("parser operation %q: parameter %d: %w", o.Op, i, err)
		}
	}
	return nil
}

// UnmarshalJSON reads a transition; files of before version 2.8 or so say
// "default" in the value and have no type.
func (t *Transition) UnmarshalJSON(raw []byte) error {
	var form struct {
		Type  string  `json:"type"`
		Value *string `json:"value"`
		Mask  *string `json:"mask"`
		Next  *string `json:"next_state"`
	}
	if err := json.Unmarshal(raw, &form); err != nil {
		return fmt.Errorf("transition: %w", err)
	}
	t.Type, t.Mask, t.Next = form.Type, form.Mask, form.Next
	if form.Value != nil {
		t.Value = *form.Value
	}
	if t.Type == "" {
		t.Type = "hexstr"
		if form.Value == nil || t.Value == "default" {
			t.Type = "default"
		}
	}
	return nil
}

// UnmarshalJSON reads a key field of a table.
func (k *Key) UnmarshalJSON(raw []byte) error {
	var form struct {
		MatchType string          `json:"match_type"`
		Name      string          `json:"name"`
		Target    json.RawMessage `json:"target"`
		Mask      *string         `json:"mask"`
	}
	if err := json.Unmarshal(raw, &form); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	k.MatchType, k.Name, k.Mask = form.MatchType, form.Name, form.Mask
	var err error
	if k.MatchType == "valid" {
		err = json.Unmarshal(form.Target, &k.Header)
	} else {
		err = tuple(form.Target, 2, &k.Field[0], &k.Field[1])
	}
	if err != nil {
		return fmt.Errorf("key %q: target: %w", k.Name, err)
	}
	return nil
}

// UnmarshalJSON reads a key field of an entry.
func (k *EntryKey) UnmarshalJSON(raw []byte) error {
	var form struct {
		MatchType string          `json:"match_type"`
		Key       json.RawMessage `json:"key"`
		Mask      string          `json:"mask"`
		PrefixLen int             `json:"prefix_length"`
		Start     string          `json:"start"`
		End       string          `json:"end"`
	}
	if err := json.Unmarshal(raw, &form); err != nil {
		return fmt.Errorf("match key: %w", err)
	}
	*k = EntryKey{MatchType: form.MatchType, Mask: form.Mask, PrefixLen: form.PrefixLen,
		Start: form.Start, End: form.End}
	switch key := string(bytes.TrimSpace(form.Key)); key {
	case "", "null":
		return nil
	case "true":
		k.Key = "0x01"
	case "false":
		k.Key = "0x00"
	default:
		if err := json.Unmarshal(form.Key, &k.Key); err != nil {
			return fmt.Errorf("match key: %w", err)
		}
	}
	return nil
}
