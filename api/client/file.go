package client

import (
	"errors"
	"fmt"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// MaxFile is the size of the largest file that is read.
const MaxFile = 16 << 20

// Parse reads the objects of a file: documents that are one object or a list of
// them, each with kind, id and spec. A status, which `get -o yaml` writes, is
// ignored. Every error names the line.
func Parse(name string, b []byte) (objects []Object, err error) {
	// The library panics on some input that is no YAML.
	defer func() {
		if r := recover(); r != nil {
			objects, err = nil, fmt.Errorf("%s: not YAML that can be read: %v", name, r)
		}
	}()
	if len(b) > MaxFile {
		return nil, fmt.Errorf("%s: %d bytes: want at most %d", name, len(b), MaxFile)
	}
	file, err := parser.ParseBytes(b, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p := &fileParser{name: name, seen: map[string]int{}}
	for _, doc := range file.Docs {
		p.document(doc.Body)
	}
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return p.objects, nil
}

// maxFaults is how many errors of a file are told at once.
const maxFaults = 20

type fileParser struct {
	name    string
	objects []Object
	seen    map[string]int // lines of objects by kind and id
	errs    []error
}

func (p *fileParser) fail(n ast.Node, format string, args ...any) {
	if len(p.errs) < maxFaults {
		p.errs = append(p.errs, fmt.Errorf("%s:%d: %s", p.name, line(n), fmt.Sprintf(format, args...)))
	}
}

func line(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 1
}

func (p *fileParser) document(n ast.Node) {
	switch n := n.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
	case *ast.SequenceNode:
		for _, e := range n.Values {
			p.object(e)
		}
	default:
		p.object(n)
	}
}

// pair is a key of a mapping.
type pair struct {
	key   string
	node  ast.Node // the key's
	value ast.Node
}

// pairs reads a mapping whose keys are words.
func (p *fileParser) pairs(n ast.Node, what string) []pair {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		p.fail(n, "%s: want a mapping, such as `kind: bridge`%s", what, refused(n))
		return nil
	}
	var out []pair
	seen := map[string]bool{}
	for _, v := range values {
		key, ok := scalar(v.Key)
		switch {
		case !ok:
			p.fail(v, "%s: want words as keys%s", what, refused(v.Key))
		case seen[key]:
			p.fail(v, "%s: %q is there twice", what, clip(key))
		default:
			seen[key] = true
			out = append(out, pair{key, v.Key, v.Value})
		}
	}
	return out
}

// refused says why some YAML is not taken.
func refused(n ast.Node) string {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return " (anchors and aliases are not taken: an object could hold itself)"
	case *ast.TagNode:
		return " (tags are not taken)"
	}
	return ""
}

// scalar gives the text of a value in one word.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.BoolNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// object reads one object.
func (p *fileParser) object(n ast.Node) {
	var kind, id string
	var spec ast.Node
	for _, kv := range p.pairs(n, "object") {
		switch kv.key {
		case "kind", "id":
			text, ok := scalar(kv.value)
			if !ok || text == "" {
				p.fail(kv.node, "%s: want a word%s", kv.key, refused(kv.value))
			}
			if kv.key == "kind" {
				kind = text
			} else {
				id = text
			}
		case "spec":
			spec = kv.value
		case "status":
		default:
			p.fail(kv.node, "unknown field %q: an object has kind, id and spec", clip(kv.key))
		}
	}
	if faults := len(p.errs); faults > 0 && kind == "" {
		return
	}
	k, err := ParseKind(kind)
	switch {
	case kind == "":
		p.fail(n, "object: kind is missing")
		return
	case err != nil:
		p.fail(n, "%v", err)
		return
	case k.ReadOnly:
		p.fail(n, "%ss are of the configuration file: they cannot be made here", k.Name)
		return
	case id == "":
		p.fail(n, "%s: id is missing", k.Name)
		return
	}
	o := Object{Kind: k, ID: id, message: k.message.ProtoReflect().New().Interface(), line: line(n)}
	if first, twice := p.seen[o.String()]; twice {
		p.fail(n, "%v is there already, in line %d", o, first)
		return
	}
	p.seen[o.String()] = o.line
	p.spec(o, spec)
	p.objects = append(p.objects, o)
}

// spec fills in what the object asks for.
func (p *fileParser) spec(o Object, n ast.Node) {
	r := o.message.ProtoReflect()
	m := r.Mutable(r.Descriptor().Fields().ByName("spec")).Message()
	switch n.(type) {
	case nil, *ast.NullNode:
		return
	}
	for _, kv := range p.pairs(n, o.String()+": spec") {
		f := m.Descriptor().Fields().ByName(protoreflect.Name(kv.key))
		if f == nil {
			p.fail(kv.node, "%v: unknown field %q: a %s has %s", o, clip(kv.key), o.Kind.Name, fieldNames(m.Descriptor()))
			continue
		}
		p.field(o, m, f, kv.value)
	}
}

func (p *fileParser) field(o Object, m protoreflect.Message, f protoreflect.FieldDescriptor, n ast.Node) {
	if _, null := n.(*ast.NullNode); null {
		return
	}
	if !f.IsList() {
		if v, ok := p.value(o, f, n); ok {
			m.Set(f, v)
		}
		return
	}
	values := []ast.Node{n}
	if seq, ok := n.(*ast.SequenceNode); ok {
		values = seq.Values
	}
	list := m.Mutable(f).List()
	for _, e := range values {
		if v, ok := p.value(o, f, e); ok {
			list.Append(v)
		}
	}
}

func (p *fileParser) value(o Object, f protoreflect.FieldDescriptor, n ast.Node) (protoreflect.Value, bool) {
	text, ok := scalar(n)
	if !ok {
		p.fail(n, "%v: %s: want %s%s", o, f.Name(), wants(f), refused(n))
		return protoreflect.Value{}, false
	}
	v, err := parseLeaf(f, text)
	if err != nil {
		p.fail(n, "%v: %v", o, err)
		return v, false
	}
	return v, true
}

func fieldNames(d protoreflect.MessageDescriptor) string {
	names := ""
	for i := range d.Fields().Len() {
		if i > 0 {
			names += ", "
		}
		names += string(d.Fields().Get(i).Name())
	}
	return names
}
