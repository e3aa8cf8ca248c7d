package api

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
)

// openAPIDocument is as a client reads it.
type openAPIDocument struct {
	Paths map[string]map[string]struct {
		Parameters []struct{ In, Name string }
		Responses  map[string]struct {
			Content map[string]struct{ Schema schemaNode }
		}
	}
	Components struct{ Schemas map[string]schemaNode }
}

type schemaNode struct {
	Ref        string `json:"$ref"`
	Type       string
	AllOf      []schemaNode
	Items      *schemaNode
	Properties map[string]schemaNode
	Nullable   bool
	Enum       []string
}

// fits says in what a value does not look as the document has it.
func (d *openAPIDocument) fits(at string, s schemaNode, value any) []string {
	if value == nil && s.Nullable {
		return nil
	}
	if len(s.AllOf) == 1 {
		s = s.AllOf[0]
	}
	if s.Ref != "" {
		s = d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	var wrong []string
	ok := false
	switch v := value.(type) {
	case map[string]any:
		ok = s.Type == "object"
		for name, inner := range v {
			if p, known := s.Properties[name]; known {
				wrong = append(wrong, d.fits(at+"."+name, p, inner)...)
			} else if s.Properties != nil {
				wrong = append(wrong, at+"."+name+" is not in the document")
			}
		}
	case []any:
		ok = s.Type == "array"
		for _, inner := range v {
			wrong = append(wrong, d.fits(at+"[]", *s.Items, inner)...)
		}
	case string:
		ok = s.Type == "string" && (s.Enum == nil || slices.Contains(s.Enum, v))
	case float64:
		ok = s.Type == "integer" || s.Type == "number"
	case bool:
		ok = s.Type == "boolean"
	}
	if !ok {
		wrong = append(wrong, at+" is no "+s.Type)
	}
	return wrong
}

// newWholeGateway has every service, and objects of each kind.
func newWholeGateway(t *testing.T) *gateway {
	return serveConfig(t, wholeConfig(t), nil)
}

var existingIDs = map[string]string{"/v1/logicalBridges/": "vlan10", "/v1/bridgePorts/": "port1", "/v1/vrfs/": "green",
	"/v1/svis/": "svi10", ownPrefix + "speakers/": "default", ownPrefix + "neighbors/": "2001:db8::1",
	ownPrefix + "instances/": "bridge.vlan10", ownPrefix + "staticMacs/": "static-mac-1", ownPrefix + "ports/": "port1"}

func document(t *testing.T, g *gateway) *openAPIDocument {
	r := g.do(t, "GET", openAPIPath, "")
	d := &openAPIDocument{}
	if err := json.Unmarshal(r.body, d); err != nil || r.code != 200 || len(d.Paths) < 30 {
		t.Fatalf("HTTP %d %.200s: %v", r.code, r.body, err)
	}
	return d
}

func (d *openAPIDocument) pathOf(template string) string {
	return strings.Replace(template, "{id}", existingIDs[strings.TrimSuffix(template, "{id}")], 1)
}

func TestTheDocumentHasWhatIsServedAndNothingElse(t *testing.T) {
	g := newWholeGateway(t)
	d := document(t, g)
	for template, operations := range d.Paths {
		want := []string{}
		for verb := range operations {
			if want = append(want, strings.ToUpper(verb)); verb == "get" {
				want = append(want, "HEAD")
			}
		}
		slices.Sort(want)
		r := g.do(t, "PUT", d.pathOf(template), "{}")
		if code, _, _ := r.problem(t); r.code != 405 || code != codes.Unimplemented ||
			r.header.Get("Allow") != strings.Join(want, ", ") {
			t.Errorf("PUT %s: HTTP %d, Allow %q, want 405 and %v", template, r.code, r.header.Get("Allow"), want)
		}
		for _, verb := range []string{"GET", "POST", "PATCH", "DELETE"} {
			_, documented := operations[strings.ToLower(verb)]
			// A parameter that nothing has, so that nothing is changed.
			r := g.do(t, verb, d.pathOf(template)+"?no_such_parameter=1", "")
			if served := r.code != 404 && r.code != 405; served != documented {
				t.Errorf("%s %s: HTTP %d %s, though the document has it: %v", verb, template, r.code, r.body, documented)
			}
		}
	}
	for _, s := range slices.Sorted(maps.Keys(existingIDs)) {
		if d.Paths[s+"{id}"] == nil {
			t.Errorf("the document lacks %s{id}", s)
		}
	}
}

func TestAnswersLookAsTheDocumentSays(t *testing.T) {
	g := newWholeGateway(t)
	d := document(t, g)
	for template, operations := range d.Paths {
		op, ok := operations["get"]
		if !ok {
			continue
		}
		path := d.pathOf(template)
		if strings.HasSuffix(path, "/lookup") {
			path += "?vrf=green&address=10.10.0.1"
		}
		r, head := g.do(t, "GET", path, ""), g.do(t, "HEAD", path, "")
		var value any
		if err := json.Unmarshal(r.body, &value); err != nil || r.code != 200 {
			t.Errorf("%s: HTTP %d %s", path, r.code, r.body)
		}
		for _, wrong := range d.fits(path, op.Responses["200"].Content["application/json"].Schema, value) {
			t.Error(wrong)
		}
		if head.code != 200 || len(head.body) != 0 || head.header.Get("Content-Type") != r.header.Get("Content-Type") {
			t.Errorf("HEAD %s: HTTP %d %q", path, head.code, head.body)
		}
		for _, p := range op.Parameters {
			bad := g.do(t, "GET", path+sep(path)+p.Name+"=%FF", "")
			if p.In == "query" && strings.Contains(string(bad.body), "no parameter") {
				t.Errorf("%s does not take its parameter %s: %s", path, p.Name, bad.body)
			}
		}
	}
}

func sep(path string) string {
	if strings.Contains(path, "?") {
		return "&"
	}
	return "?"
}
