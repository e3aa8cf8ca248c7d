package p4rtserver

import (
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// renderDirect renders a direct resource of an entry, which has a key.
type renderDirect func(key *p4v1.TableEntry, e *pipeline.Entry) *p4v1.Entity

// allTables reports whether a query for a direct resource is for that of every
// table; the entry must be set for that.
func allTables(te *p4v1.TableEntry) bool { return te != nil && te.TableId == 0 }

func (f *Forwarding) readAllDirect(out *reply, has func(*table) bool, render renderDirect) {
	for _, t := range f.tables {
		if has(t) {
			t.readEachDirect(out, 0, render)
		}
	}
}

// readDirect answers a query for a direct resource of one entry, or without a
// match of each.
func (t *table) readDirect(tr *translator, out *reply, te *p4v1.TableEntry, render renderDirect) error {
	if len(te.Match) == 0 && !te.IsDefaultAction {
		t.readEachDirect(out, te.Priority, render)
		return nil
	}
	name, err := tr.named(t, te)
	if err != nil {
		return within("table "+t.name, err)
	}
	if name == nil {
		e := t.entries.Default()
		out.add(render(&p4v1.TableEntry{TableId: t.id, IsDefaultAction: true}, &e))
		return nil
	}
	e, err := t.entries.Get(name)
	if err != nil {
		return within("table "+t.name, refuse(err))
	}
	out.add(render(t.keyMessage(&e), &e))
	return nil
}

// readEachDirect adds those of every entry, or of the entries with the
// priority.
func (t *table) readEachDirect(out *reply, priority int32, render renderDirect) {
	t.entries.Each(func(e pipeline.Entry) bool {
		if priority == 0 || e.Priority == priority {
			out.add(render(t.keyMessage(&e), &e))
		}
		return true
	})
}
