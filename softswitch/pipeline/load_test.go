package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// edit loads testdata/features.json, changes it and gives Load's error.
func edit(t *testing.T, change func(j map[string]any)) error {
	t.Helper()
	data, err := os.ReadFile("testdata/features.json")
	if err != nil {
		t.Fatal(err)
	}
	var j map[string]any
	if err := json.Unmarshal(data, &j); err != nil {
		t.Fatal(err)
	}
	change(j)
	if data, err = json.Marshal(j); err != nil {
		t.Fatal(err)
	}
	_, err = Load(data)
	return err
}

// item is the element of a section with the name.
func item(j map[string]any, section, name string) map[string]any {
	for _, e := range j[section].([]any) {
		if m := e.(map[string]any); m["name"] == name {
			return m
		}
	}
	panic(section + " has no " + name)
}

func table(j map[string]any, name string) map[string]any {
	return item(item(j, "pipelines", "ingress"), "tables", name)
}

func TestLoadErrorsNameTheElement(t *testing.T) {
	state := func(j map[string]any) map[string]any {
		return item(item(j, "parsers", "parser"), "parse_states", "labels")
	}
	for _, c := range []struct {
		want   string // all of these words
		unable bool   // ErrUnsupported
		change func(j map[string]any)
	}{
		{"__meta__ version", false, func(j map[string]any) { j["__meta__"] = map[string]any{"version": []int{3, 0}} }},
		{"__meta__ missing", false, func(j map[string]any) { delete(j, "__meta__") }},
		{"header_types calc_t width 0", false, func(j map[string]any) {
			item(j, "header_types", "calc_t")["fields"].([]any)[0] = []any{"op", 0, false}
		}},
		{"header_types calc_t width 10000", false, func(j map[string]any) {
			item(j, "header_types", "calc_t")["fields"].([]any)[0] = []any{"op", 10000, false}
		}},
		{"headers calc header type nothing", false, func(j map[string]any) { item(j, "headers", "calc")["header_type"] = "nothing" }},
		{"header_stacks labels id 99", false, func(j map[string]any) {
			item(j, "header_stacks", "labels")["header_ids"] = []int{99}
		}},
		{"parsers labels no state nowhere", false, func(j map[string]any) {
			state(j)["transitions"].([]any)[0].(map[string]any)["next_state"] = "nowhere"
		}},
		{"parsers labels header stack ghosts", false, func(j map[string]any) {
			state(j)["parser_ops"].([]any)[0].(map[string]any)["parameters"].([]any)[0].(map[string]any)["value"] = "ghosts"
		}},
		{"actions ingress.add primitive teleport", true, func(j map[string]any) {
			item(j, "actions", "ingress.add")["primitives"].([]any)[0].(map[string]any)["op"] = "teleport"
		}},
		{"actions ingress.add parameters", false, func(j map[string]any) {
			item(j, "actions", "ingress.add")["primitives"].([]any)[0].(map[string]any)["parameters"] = []any{}
		}},
		{"ingress.by_range no action ingress.to with id 9999", false, func(j map[string]any) {
			table(j, "ingress.by_range")["action_ids"].([]any)[0] = 9999
		}},
		{"ingress.by_range key match type fuzzy", true, func(j map[string]any) {
			table(j, "ingress.by_range")["key"].([]any)[0].(map[string]any)["match_type"] = "fuzzy"
		}},
		{"ingress.by_choice action profile ghosts", false, func(j map[string]any) { table(j, "ingress.by_choice")["action_profile"] = "ghosts" }},
		{"ingress.operation entry 0 action id", false, func(j map[string]any) {
			first := table(j, "ingress.operation")["entries"].([]any)[0].(map[string]any)
			first["action_entry"].(map[string]any)["action_id"] = 9999
		}},
		{"ingress.operation entry 1 already exists", false, func(j map[string]any) {
			e := table(j, "ingress.operation")["entries"].([]any)
			e[1] = e[0]
		}},
		{"is reached again from itself", false, func(j map[string]any) {
			next := table(j, "ingress.by_range")["next_tables"].(map[string]any)
			for k := range next {
				next[k] = "ingress.by_range"
			}
		}},
		{"calculations algorithm sha512", true, func(j map[string]any) {
			j["calculations"].([]any)[0].(map[string]any)["algo"] = "sha512"
		}},
		{"checksums no calculation ghosts", false, func(j map[string]any) {
			j["checksums"].([]any)[0].(map[string]any)["calculation"] = "ghosts"
		}},
		{"deparsers no header ghosts", false, func(j map[string]any) {
			item(j, "deparsers", "deparser")["order"] = []string{"ghosts"}
		}},
		{"extern_instances box magic", true, func(j map[string]any) {
			j["extern_instances"] = []any{map[string]any{"name": "box", "type": "magic", "id": 0}}
		}},
		{"standard_metadata.egress_spec which the target needs", false, func(j map[string]any) {
			h := item(j, "header_types", "standard_metadata")
			for _, f := range h["fields"].([]any) {
				if f.([]any)[0] == "egress_spec" {
					f.([]any)[0] = "elsewhere"
				}
			}
		}},
	} {
		err := edit(t, c.change)
		if err == nil {
			t.Errorf("%q: it loads", c.want)
			continue
		}
		for _, word := range strings.Fields(c.want) {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q: the error lacks %q: %v", c.want, word, err)
			}
		}
		if errors.Is(err, ErrUnsupported) != c.unable {
			t.Errorf("%q: errors.Is(ErrUnsupported) is not %v: %v", c.want, c.unable, err)
		}
	}
}

// minimal is the smallest program, with a place for an expression.
const minimal = `{"__meta__":{"version":[2,23]},
"header_types":[{"name":"std_t","id":0,"fields":[["ingress_port",9,false],["egress_spec",9,false],["egress_port",9,false],["packet_length",32,false],["instance_type",32,false],["x",%d,%v]]}],
"headers":[{"name":"standard_metadata","id":0,"header_type":"std_t","metadata":true}],
"parsers":[{"name":"parser","id":0,"init_state":"start","parse_states":[{"name":"start","id":0,"parser_ops":[],"transition_key":[],"transitions":[{"type":"default","value":null,"mask":null,"next_state":null}]}]}],
"actions":[{"name":"a","id":0,"runtime_data":[],"primitives":[{"op":"assign","parameters":[{"type":"field","value":["standard_metadata","x"]},{"type":"expression","value":%s}]}]}],
"pipelines":[{"name":"ingress","id":0,"init_table":null,"tables":[],"conditionals":[],"action_profiles":[],"action_calls":[{"name":"call","id":0,"action_id":0,"next_node":null}]}]}`

func TestExpressionsThatGrowWithoutBoundAreRefusedNotRun(t *testing.T) {
	big := `{"type":"hexstr","value":"0x` + strings.Repeat("f", 900) + `"}`
	square := big
	for range 4 {
		square = fmt.Sprintf(`{"type":"expression","value":{"op":"*","left":%s,"right":%s}}`, square, square)
	}
	x := `{"type":"field","value":["standard_metadata","x"]}`
	compare := `{"op":"?","cond":{"type":"expression","value":{"op":">","left":%s,"right":` + x + `}},"left":` + x +
		`,"right":` + x + `}`
	if _, err := Load(fmt.Appendf(nil, minimal, 32, false, fmt.Sprintf(compare, square))); !errors.Is(err,
		ErrUnsupported) {
		t.Errorf("comparison of a huge product: %v", err)
	}
	shift := `{"type":"expression","value":{"op":"<<","left":` + x + `,"right":{"type":"hexstr","value":"0xffffffff"}}}`
	if _, err := Load(fmt.Appendf(nil, minimal, 32, false, fmt.Sprintf(compare, shift))); !errors.Is(err, ErrUnsupported) {
		t.Errorf("comparison of a huge shift: %v", err)
	}
	if _, err := Load(fmt.Appendf(nil, minimal, 32, false, x)); err != nil {
		t.Errorf("the form itself: %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	x := `{"type":"field","value":["standard_metadata","x"]}`
	for _, op := range []string{"+", "-", "*", "/", "%", "<<", ">>", "&", "|", "^", "two_comp_mod", "usat_cast",
		"sat_cast"} {
		for _, width := range []int{8, 64, 100} {
			f.Add(fmt.Appendf(nil, minimal, width, width == 64,
				fmt.Sprintf(`{"op":%q,"left":%s,"right":{"type":"hexstr","value":"0x1f"}}`, op, x)))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { tryLoad(t, data) })
}

func FuzzEntry(f *testing.F) {
	e := newFeatures(f)
	f.Add(uint8(0), []byte{1}, []byte{2}, []byte{3}, int32(1), 5)
	f.Add(uint8(1), []byte{}, []byte{0xff, 0xff}, []byte{0}, int32(0), 128)
	f.Fuzz(func(t *testing.T, which uint8, value, mask, high []byte, priority int32, plen int) {
		tables := e.Tables()
		table := tables[int(which)%len(tables)]
		entry := &Entry{Priority: priority, Action: "ingress.to", Params: [][]byte{value}}
		for range table.Keys() {
			entry.Match = append(entry.Match, Match{Value: value, Mask: mask, High: high, PrefixLen: plen, Any: len(value) == 0})
		}
		if table.Insert(entry) != nil {
			return
		}
		got, err := table.Get(entry)
		if err != nil {
			t.Fatalf("an entry that went in is not there: %v", err)
		}
		if err := table.Insert(&got); !errors.Is(err, ErrExists) {
			t.Errorf("what comes out is another entry: %+v: %v", got, err)
		}
		if err := table.Delete(&got); err != nil || table.Len() != 0 {
			t.Errorf("Delete: %v, %d left", err, table.Len())
		}
	})
}
