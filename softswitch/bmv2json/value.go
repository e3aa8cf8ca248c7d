package bmv2json

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// UnmarshalJSON reads a type value object, or the bare integer that
// access_field and access_union_header take.
func (v *Value) UnmarshalJSON(raw []byte) error {
	raw = bytes.TrimSpace(raw)
	if len(raw) > 0 && raw[0] != '{' {
		v.Type = "int"
		if err := json.Unmarshal(raw, &v.Index); err != nil {
			return fmt.Errorf("neither a type value object nor an integer: %w", err)
		}
		return nil
	}
	var form struct {
		Type     string          `json:"type"`
		Value    json.RawMessage `json:"value"`
		Bitwidth int             `json:"bitwidth"`
		Op       string          `json:"op"` // bare expression, as older length_exp have it
	}
	if err := json.Unmarshal(raw, &form); err != nil {
		return err
	}
	v.Type, v.Bitwidth = form.Type, form.Bitwidth
	if form.Type == "" && form.Op != "" {
		v.Type = "expression"
		form.Value = raw
	}
	if err := v.payload(form.Value); err != nil {
		return fmt.Errorf("value of type %q: %w", v.Type, err)
	}
	return nil
}

func (v *Value) payload(raw json.RawMessage) error {
	switch v.Type {
	case "field", "stack_field", "union_stack":
		return tuple(raw, 2, &v.Field[0], &v.Field[1])
	case "union_stack_field":
		return tuple(raw, 3, &v.Field[0], &v.Member, &v.Field[1])
	case "lookahead":
		return tuple(raw, 2, &v.Bits[0], &v.Bits[1])
	case "bool":
		return json.Unmarshal(raw, &v.Bool)
	case "local", "runtime_data":
		return json.Unmarshal(raw, &v.Index)
	case "register":
		v.Right = new(Value)
		return tuple(raw, 2, &v.Name, v.Right)
	case "expression":
		return v.expression(raw)
	case "parameters_vector":
		return json.Unmarshal(raw, &v.List)
	case "payload":
		return nil
	case "":
		return fmt.Errorf("no type")
	}
	return json.Unmarshal(raw, &v.Name)
}

// expression reads {op, left, right, cond}, or a type value object that wraps
// one once more, or wraps any other value.
func (v *Value) expression(raw json.RawMessage) error {
	var form struct {
		Type  string `json:"type"`
		Op    string `json:"op"`
		Left  *Value `json:"left"`
		Right *Value `json:"right"`
		Cond  *Value `json:"cond"`
	}
	if err := json.Unmarshal(raw, &form); err != nil {
		return err
	}
	if form.Op == "" && form.Type != "" {
		*v = Value{}
		return json.Unmarshal(raw, v)
	}
	v.Op, v.Left, v.Right, v.Cond = form.Op, form.Left, form.Right, form.Cond
	return nil
}
