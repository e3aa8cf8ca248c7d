package p4rt

import (
	"bytes"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
)

// appender is an Update that encodes its entity by itself.
type appender struct{ *p4v1.Update }

func (a appender) AppendEntity(b []byte) []byte {
	b, err := proto.MarshalOptions{}.MarshalAppend(b, a.Entity)
	if err != nil {
		panic(err)
	}
	return b
}

// described is an Update that is neither.
type described struct{ u *p4v1.Update }

func (d described) GetType() p4v1.Update_Type { return d.u.Type }
func (d described) GetEntity() *p4v1.Entity   { return d.u.Entity }

func TestEveryKindOfUpdateIsTheSameOnTheWire(t *testing.T) {
	head := &p4v1.WriteRequest{DeviceId: 300, ElectionId: &p4v1.Uint128{Low: 1}}
	whole := proto.Clone(head).(*p4v1.WriteRequest)
	var e encoder
	if err := e.begin(head); err != nil {
		t.Fatal(err)
	}
	for _, octets := range []int{0, 1, 90, 120, 127, 128, 20_000} { // whose lengths take one to three bytes
		te := &p4v1.TableEntry{TableId: 7, Metadata: bytes.Repeat([]byte{1}, octets)}
		m := &p4v1.Update{Type: p4v1.Update_MODIFY, Entity: &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: te}}}
		for _, u := range []Update{m, appender{m}, described{m}} {
			if err := e.add(u); err != nil {
				t.Fatal(err)
			}
			whole.Updates = append(whole.Updates, m)
		}
	}
	want, err := proto.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(e.request, want) {
		got := &p4v1.WriteRequest{}
		t.Fatalf("encoded\n%x, want\n%x; it reads (%v)\n%v", e.request, want, proto.Unmarshal(e.request, got), got)
	}
}
