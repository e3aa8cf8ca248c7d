package bmv2json

import (
	"os"
	"strings"
	"testing"
)

func TestParseReadsWhatTheCompilerWrites(t *testing.T) {
	data, err := os.ReadFile("../pipeline/testdata/features.json")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if p.Version[0] != 2 || len(p.Pipelines) != 2 || len(p.Parsers[0].States) < 5 {
		t.Errorf("version %v, %d pipelines, %d states", p.Version, len(p.Pipelines), len(p.Parsers[0].States))
	}
	for _, a := range p.Actions {
		if a.Name == "ingress.sat_add" && a.Primitives[0].Params[1].Op != "usat_cast" {
			t.Errorf("saturating add: %+v", a.Primitives[0].Params[1])
		}
	}
}

func TestParseErrorsNameSectionAndElement(t *testing.T) {
	for in, want := range map[string]string{
		`[]`:                             "not a JSON object",
		`{}`:                             "__meta__",
		`{"__meta__":{"version":[1,0]}}`: "version 1.0",
		`{"__meta__":{"version":[2,0]},"headers":{}}`:                               "headers",
		`{"__meta__":{"version":[2,0]},"headers":[{"name":"x","id":"y"}]}`:          `headers[0] "x"`,
		`{"__meta__":{"version":[2,0]},"header_types":[{"fields":[["a"]]}]}`:        "header_types[0]",
		`{"__meta__":{"version":[2,0]},"errors":[["a",1],["b"]]}`:                   "errors[1]",
		`{"__meta__":{"version":[2,0]},"learn_lists":[{"elements":[{"type":""}]}]}`: "learn_lists[0]",
	} {
		if _, err := Parse([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"__meta__":{"version":[2,23]},"header_types":[{"name":"h","id":0,"fields":[["a",8,false],["b","*",0,true]]}]}`))
	f.Add([]byte(`{"__meta__":{"version":[2,0]},"actions":[{"primitives":[{"op":"x","parameters":[{"type":"expression","value":{"op":"?","cond":{"type":"bool","value":true},"left":null,"right":1}}]}]}]}`))
	f.Add([]byte(`{"__meta__":{"version":[2,0]},"parsers":[{"parse_states":[{"parser_ops":[{"op":"primitive","parameters":[{"op":"a"}]}],"transitions":[{"value":"default"}]}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := Parse(data); (p == nil) == (err == nil) {
			t.Errorf("program %v and error %v", p, err)
		}
	})
}
