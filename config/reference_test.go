package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

const referenceFile = "../docs/configuration.md"

// docs/configuration.md is made of the types of this package, their comments and
// what Parse gives for keys that are left out; go generate writes it.
func TestReferenceIsOfTheCode(t *testing.T) {
	text := reference(t)
	if *update {
		if err := os.WriteFile(referenceFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	is, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(is) != text {
		t.Errorf("%s is of other code: run go generate ./config", referenceFile)
	}
}

// source is the package's types, as they are written.
type source map[string]*ast.StructType

func reference(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	types := source{}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if s, ok := spec.Type.(*ast.StructType); ok {
					types[spec.Name.Name] = s
				}
			}
			return true
		})
	}
	least, err := Parse([]byte("as: 65000\nrouter_id: 10.0.0.1\nvteps: [10.0.0.1]\n"))
	if err != nil {
		t.Fatal(err)
	}
	least.AS, least.RouterID, least.VTEPs = 0, Addr{}, nil // not defaults
	var b strings.Builder
	b.WriteString(`# Configuration

Every key of the file that ` + "`p4evpn run -c FILE`" + ` reads, made from the code by
` + "`go generate ./config`" + `; [p4evpn.example.yaml](../p4evpn.example.yaml) shows them in
place. Unknown and repeated keys are errors; ` + "`p4evpn run -c FILE --check`" + ` finds
mistakes with their lines. N stands for an element of a list, ID for an object's id.

| key | type | default | |
| --- | --- | --- | --- |
`)
	types.write(&b, "", reflect.ValueOf(*least))
	return b.String()
}

// write writes a row for each key of a struct.
func (s source) write(b *strings.Builder, at string, v reflect.Value) {
	comments := map[string]string{}
	keys := []string{} // pairs of a field's name and its key
	for i := range v.NumField() {
		f := v.Type().Field(i)
		for _, after := range []string{" is", " are", " says", " holds", " starts", " serves", " terminates", " sends",
			" leaves", " our", " those", " keeps", " tells", " advertises"} {
			keys = append(keys, f.Name+after, "`"+f.Tag.Get("yaml")+"`"+after)
		}
	}
	names := strings.NewReplacer(keys...)
	for _, f := range s[v.Type().Name()].Fields.List {
		text := names.Replace(strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " "))
		for _, name := range f.Names {
			comments[name.Name] = text
		}
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		key := at + field.Tag.Get("yaml")
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", key, typeName(field.Type), defaultOf(v.Field(i)),
			strings.ReplaceAll(comments[field.Name], "|", `\|`))
		elem, suffix := field.Type, "."
		switch elem.Kind() {
		case reflect.Slice:
			elem, suffix = elem.Elem(), "[N]."
		case reflect.Map:
			elem, suffix = elem.Elem(), ".ID."
		case reflect.Pointer: // left out is something else than empty
			elem = elem.Elem()
		}
		if s.ours(elem) {
			below := reflect.Zero(elem)
			if elem == field.Type {
				below = v.Field(i)
			}
			s.write(b, key+suffix, below)
		}
	}
}

// ours reports whether a type has keys of its own.
func (s source) ours(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && s[t.Name()] != nil && t.Field(0).Tag.Get("yaml") != ""
}

func typeName(t reflect.Type) string {
	if t == reflect.TypeFor[Addresses]() {
		return "text, or list of text"
	}
	switch t.Kind() {
	case reflect.Slice:
		return "list of " + typeName(t.Elem())
	case reflect.Map:
		return "map to " + typeName(t.Elem())
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float64:
		return "number"
	case reflect.String:
		return "text"
	}
	if known, ok := map[string]string{
		"Addr": "IP address", "Prefix": "IP prefix", "MAC": "MAC address", "RouteTarget": "route target", "Family": "family", "Duration": "time",
	}[t.Name()]; ok {
		return known
	}
	return "keys"
}

func defaultOf(v reflect.Value) string {
	if v.IsZero() || typeName(v.Type()) == "keys" {
		return ""
	}
	return fmt.Sprintf("`%v`", v.Interface())
}
