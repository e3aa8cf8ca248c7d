package p4

import (
	"fmt"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
)

// TableKey reads the key of a table entry that may lack everything else, as in
// an idle timeout notification (P4Runtime section 16.5).
func TableKey(te *p4v1.TableEntry) (Key, error) {
	t := program().tables[te.GetTableId()]
	if t == nil {
		return "", fmt.Errorf("table id %#x: %w", te.GetTableId(), errForeign)
	}
	key, err := t.packKey(te)
	if err != nil {
		return "", fmt.Errorf("table %s: %w", t.name, err)
	}
	return Key(key), nil
}
