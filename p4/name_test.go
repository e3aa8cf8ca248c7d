package p4

import (
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
)

// P4Runtime section 9.1: what is deleted is named by table_id, match and priority.
func TestTheNameOfATableEntryIsItsTableMatchAndPriority(t *testing.T) {
	for _, v := range everyType {
		e := v.Entry()
		want, got := e.Entity(), &p4v1.Entity{}
		if te := want.GetTableEntry(); te != nil {
			want = &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{
				TableId: te.TableId, Match: te.Match, Priority: te.Priority,
			}}}
		}
		if err := proto.Unmarshal(e.AppendName(nil), got); err != nil || !proto.Equal(got, want) {
			t.Errorf("%v is named %v, want %v: %v", e, got, want, err)
		}
	}
}
