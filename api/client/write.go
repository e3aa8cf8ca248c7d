package client

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Write writes objects of a kind as a table, or in the form that Parse reads, as
// "yaml" or "json".
func Write(w io.Writer, format string, k *Kind, objects []Object) error {
	if format == "table" {
		return writeTable(w, k, objects)
	}
	if format == "yaml" { // documents, so that lists of several kinds can follow each other
		for _, o := range objects {
			if err := WriteOne(w, format, o); err != nil {
				return err
			}
		}
		return nil
	}
	trees := make([]any, len(objects))
	for i, o := range objects {
		trees[i] = o.tree()
	}
	return writeJSON(w, trees)
}

// WriteOne is Write for one object.
func WriteOne(w io.Writer, format string, o Object) error {
	switch format {
	case "table":
		return writeTable(w, o.Kind, []Object{o})
	case "json":
		return writeJSON(w, o.tree())
	}
	b, err := yaml.Marshal(o.tree())
	if err == nil {
		_, err = fmt.Fprintf(w, "---\n%s", b)
	}
	return err
}

func writeJSON(w io.Writer, tree any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(toJSON(tree))
}

// notInTables are fields that would make a table too wide.
var notInTables = map[protoreflect.Name]bool{"name": true, "status": true, "state": true, "reason": true,
	"configured": true, "password": true}

// columns are the fields of a table between the id and the state.
func (k *Kind) columns() []protoreflect.FieldDescriptor {
	d := k.spec()
	if d == nil {
		d = k.descriptor()
	}
	var out []protoreflect.FieldDescriptor
	for i := range d.Fields().Len() {
		if f := d.Fields().Get(i); !notInTables[f.Name()] && (isLeaf(f) || f.IsList()) {
			out = append(out, f)
		}
	}
	return out
}

func writeTable(w io.Writer, k *Kind, objects []Object) error {
	columns := k.columns()
	head := []string{"id"}
	for _, f := range columns {
		head = append(head, strings.ReplaceAll(string(f.Name()), "_", " "))
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, strings.ToUpper(strings.Join(append(head, "state", "reason"), "\t")))
	for _, o := range objects {
		m, ok := o.get("spec")
		if !ok {
			m = o.message.ProtoReflect()
		}
		row := []string{o.ID}
		for _, f := range columns {
			row = append(row, text(m, f))
		}
		state, reason := o.state()
		for i, cell := range append(row, state, reason) {
			if cell == "" {
				cell = "-"
			}
			if i > 0 {
				_, _ = fmt.Fprint(tw, "\t")
			}
			_, _ = fmt.Fprint(tw, cell)
		}
		_, _ = fmt.Fprintln(tw)
	}
	return tw.Flush()
}
