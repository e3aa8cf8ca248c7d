package p4rtserver

import (
	"encoding/json"
	"slices"
	"testing"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
)

// changed is a program whose P4Info and JSON a test changes alike.
type changed struct {
	t    *testing.T
	info *p4configv1.P4Info
	json map[string]any
}

func changeable(t *testing.T, config *p4v1.ForwardingPipelineConfig) changed {
	t.Helper()
	c := changed{t: t, info: proto.Clone(config.P4Info).(*p4configv1.P4Info), json: map[string]any{}}
	if err := json.Unmarshal(config.P4DeviceConfig, &c.json); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c changed) config() *p4v1.ForwardingPipelineConfig {
	c.t.Helper()
	program, err := json.Marshal(c.json)
	if err != nil {
		c.t.Fatal(err)
	}
	return &p4v1.ForwardingPipelineConfig{P4Info: c.info, P4DeviceConfig: program}
}

// table is a table in both halves.
func (c changed) table(name string) (*p4configv1.Table, map[string]any) {
	c.t.Helper()
	var info *p4configv1.Table
	for _, ti := range c.info.Tables {
		if ti.Preamble.Name == name {
			info = ti
		}
	}
	for _, pipeline := range c.json["pipelines"].([]any) {
		for _, one := range pipeline.(map[string]any)["tables"].([]any) {
			if one := one.(map[string]any); one["name"] == name && info != nil {
				return info, one
			}
		}
	}
	c.t.Fatalf("no table %s", name)
	return nil, nil
}

// key is a field of a table's key in both halves.
func (c changed) key(table string, i int) (*p4configv1.MatchField, map[string]any) {
	info, one := c.table(table)
	return info.MatchFields[i], one["key"].([]any)[i].(map[string]any)
}

// action changes an action in both halves; p4c makes a copy for each table.
func (c changed) action(name string, change func(*p4configv1.Action), changeJSON func(map[string]any)) {
	change(infoAction(c.info, name))
	for _, one := range c.json["actions"].([]any) {
		if one := one.(map[string]any); one["name"] == name && changeJSON != nil {
			changeJSON(one)
		}
	}
}

// array is an element of one of the JSON's lists, by name.
func (c changed) array(list, name string) map[string]any {
	c.t.Helper()
	for _, one := range c.json[list].([]any) {
		if one := one.(map[string]any); one["name"] == name {
			return one
		}
	}
	c.t.Fatalf("no %s in %s", name, list)
	return nil
}

func (c changed) without(table string) {
	c.info.Tables = slices.DeleteFunc(c.info.Tables, func(ti *p4configv1.Table) bool { return ti.Preamble.Name == table })
}

func (c changed) wider(header, field string, bits float64) {
	for _, one := range c.array("header_types", header)["fields"].([]any) {
		if one := one.([]any); one[0] == field {
			one[1] = bits
		}
	}
}

func (c changed) widerParam(name string, bits int) {
	c.action(name, func(a *p4configv1.Action) { a.Params[0].Bitwidth = int32(bits) },
		func(a map[string]any) { a["runtime_data"].([]any)[0].(map[string]any)["bitwidth"] = float64(bits) })
}
