package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// entry is an add or setdefault with the program's own names, its values as
// BMv2's command line takes them: 0x12&&&0xff, 0x12/8, 0x12.
type entry struct {
	table, action, label string
	priority             int // higher wins
	kinds                []string
	keys, args           []string // in the program's order
	params               []string // names
	ternary              bool
}

// program looks names up as p4c's runner does: the full name or a suffix.
type program struct {
	actions map[int]*bmv2json.Action
	tables  []*bmv2json.Table
	direct  map[string]string // direct counter to its table
	counted []string          // all counters
}

func newProgram(spec *bmv2json.Program) *program {
	p := &program{actions: map[int]*bmv2json.Action{}, direct: map[string]string{}}
	for i := range spec.Actions {
		p.actions[spec.Actions[i].ID] = &spec.Actions[i]
	}
	for i := range spec.Pipelines {
		for j := range spec.Pipelines[i].Tables {
			p.tables = append(p.tables, &spec.Pipelines[i].Tables[j])
		}
	}
	for _, c := range spec.Counters {
		p.counted = append(p.counted, c.Name)
		if c.Direct {
			p.direct[c.Name] = c.Binding
		}
	}
	return p
}

// bySuffix finds the one whose name is, or ends with, what is wanted.
func bySuffix[T any](what, want string, all []T, name func(T) string) (T, error) {
	var found []T
	for _, x := range all {
		if name(x) == want {
			return x, nil
		}
		if strings.HasSuffix(name(x), want) {
			found = append(found, x)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	var none T
	return none, fmt.Errorf("%d %ss of name %q", len(found), what, want)
}

// counter is the full name of a counter.
func (p *program) counter(name string) (string, error) {
	return bySuffix("counter", name, p.counted, func(s string) string { return s })
}

func (p *program) resolve(c *call) (*entry, error) {
	t, err := bySuffix("table", c.table, p.tables, func(t *bmv2json.Table) string { return t.Name })
	if err != nil {
		return nil, err
	}
	var actions []*bmv2json.Action
	for _, id := range t.ActionIDs {
		actions = append(actions, p.actions[id])
	}
	a, err := bySuffix("action", c.action, actions, func(a *bmv2json.Action) string { return a.Name })
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t.Name, err)
	}
	e := &entry{table: t.Name, action: a.Name, label: c.label, priority: c.priority, ternary: t.MatchType == "ternary"}
	for _, param := range a.Params {
		i := slices.IndexFunc(c.args, func(v [2]string) bool { return v[0] == param.Name })
		if i < 0 {
			return nil, fmt.Errorf("action %s: no value for %q", a.Name, param.Name)
		}
		e.args, e.params = append(e.args, c.args[i][1]), append(e.params, param.Name)
	}
	if len(c.args) != len(e.args) {
		return nil, fmt.Errorf("action %s takes %d arguments", a.Name, len(e.args))
	}
	return e, e.setKeys(t, c.keys)
}

// unset is what a key field that is left out matches.
var unset = map[string]string{"exact": "0", "valid": "0", "lpm": "0/0", "ternary": "0&&&0", "optional": "0&&&0"}

func (e *entry) setKeys(t *bmv2json.Table, keys [][2]string) error {
	var names []string
	for _, k := range t.Key {
		name := k.Name
		if name == "" {
			name = k.Field[0] + "." + k.Field[1]
		}
		if _, ok := unset[k.MatchType]; !ok {
			return fmt.Errorf("table %s: STF has no %s keys", t.Name, k.MatchType)
		}
		names = append(names, name)
		e.keys, e.kinds = append(e.keys, unset[k.MatchType]), append(e.kinds, k.MatchType)
	}
	for _, k := range keys {
		i := keyIndex(names, k[0])
		if i < 0 {
			return fmt.Errorf("table %s: no key field %q in %q", t.Name, k[0], names)
		}
		value, err := keyValue(e.kinds[i], k[1])
		if err != nil {
			return fmt.Errorf("table %s: key %s: %w", t.Name, k[0], err)
		}
		e.keys[i] = value
	}
	return nil
}

var elementRE = regexp.MustCompile(`^(.*)\$([0-9]+)(.*)$`)

// keyIndex finds a key field by the short forms that STF files use.
func keyIndex(names []string, key string) int {
	key = elementRE.ReplaceAllString(key, "$1[$2]$3")
	forms := []string{key, key + "$", key + ".$valid$"}
	if header, ok := strings.CutSuffix(key, ".valid"); ok {
		forms = append(forms, header+".$valid$")
	}
	for _, form := range forms {
		if i := slices.Index(names, form); i >= 0 {
			return i
		}
	}
	return slices.IndexFunc(names, func(n string) bool {
		return strings.HasSuffix(n, "."+key) || strings.HasSuffix(n, "."+key+"$") || key == "valid" &&
			strings.HasSuffix(n, "$valid$")
	})
}

var bitsPerDigit = map[string]int{"0x": 4, "0o": 3, "0b": 1}

// keyValue turns a value with * for any digit into value and mask, or value
// and prefix length.
func keyValue(kind, value string) (string, error) {
	prefix := value[:min(2, len(value))]
	switch kind {
	case "ternary", "optional":
		full := map[string]rune{"0x": 'f', "0o": '7', "0b": '1'}[prefix]
		if full == 0 {
			return "", fmt.Errorf("%s is not hexadecimal, octal or binary", value)
		}
		mask := strings.Map(func(r rune) rune {
			if r == '*' {
				return '0'
			}
			return full
		}, value[2:])
		return strings.ReplaceAll(value, "*", "0") + "&&&" + prefix + mask, nil
	case "lpm":
		if strings.Contains(value, "/") {
			return value, nil
		}
		if bitsPerDigit[prefix] == 0 {
			return "", fmt.Errorf("%s is not hexadecimal, octal or binary", value)
		}
		digits := len(value) - 2 - strings.Count(value, "*")
		return strings.ReplaceAll(value, "*", "0") + "/" + strconv.Itoa(digits*bitsPerDigit[prefix]), nil
	}
	return value, nil
}
