package p4rtserver

import (
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
)

func bitData(b ...byte) *p4v1.P4Data {
	return &p4v1.P4Data{Data: &p4v1.P4Data_Bitstring{Bitstring: b}}
}

func at(i int64) *p4v1.Index { return &p4v1.Index{Index: i} }

func TestRegistersAreReadAndWritten(t *testing.T) {
	tg, c := startFeatures(t)
	cells, wide := tg.names.ids["ingress.cells"], tg.names.ids["ingress.wide_cells"]
	c.mustWrite(
		modify(&p4v1.RegisterEntry{RegisterId: cells, Data: bitData(0, 5)}), // all four
		modify(&p4v1.RegisterEntry{RegisterId: cells, Index: at(2), Data: bitData(1, 2, 3, 4, 5, 6, 7, 8)}),
		modify(&p4v1.RegisterEntry{RegisterId: wide, Index: at(1), Data: bitData(1, 0, 0, 0, 0, 0, 0, 0, 0, 9)}))
	want := []*p4v1.Entity{
		entityOf(&p4v1.RegisterEntry{RegisterId: cells, Index: at(0), Data: bitData(5)}),
		entityOf(&p4v1.RegisterEntry{RegisterId: cells, Index: at(1), Data: bitData(5)}),
		entityOf(&p4v1.RegisterEntry{RegisterId: cells, Index: at(2), Data: bitData(1, 2, 3, 4, 5, 6, 7, 8)}),
		entityOf(&p4v1.RegisterEntry{RegisterId: cells, Index: at(3), Data: bitData(5)}),
		entityOf(&p4v1.RegisterEntry{RegisterId: wide, Index: at(0), Data: bitData(0)}),
		entityOf(&p4v1.RegisterEntry{RegisterId: wide, Index: at(1), Data: bitData(1, 0, 0, 0, 0, 0, 0, 0, 0, 9)}),
	}
	if d := diff(want, c.mustRead(entityOf(&p4v1.RegisterEntry{}))); d != "" {
		t.Error(d)
	}
	if d := diff(want[:4], c.mustRead(entityOf(&p4v1.RegisterEntry{RegisterId: cells}))); d != "" {
		t.Error(d)
	}
	if d := diff(want[2:3], c.mustRead(entityOf(&p4v1.RegisterEntry{RegisterId: cells, Index: at(2)}))); d != "" {
		t.Error(d)
	}
	frame := calcFrame(16, 0) // reads the cells at a
	frame[1] = 2
	if got := tg.frame(0, frame)[0].Data[37:45]; string(got) != "\x01\x02\x03\x04\x05\x06\x07\x08" {
		t.Errorf("the program reads %x", got)
	}
	if err := c.setPipeline(p4v1.SetForwardingPipelineConfigRequest_RECONCILE_AND_COMMIT,
		configOf(t, "../pipeline/testdata/features")); err != nil {
		t.Fatal(err)
	}
	if d := diff(want, c.mustRead(entityOf(&p4v1.RegisterEntry{}))); d != "" {
		t.Errorf("after RECONCILE_AND_COMMIT: %s", d)
	}
}

func TestEachWrongUpdateOfRegistersGetsItsCode(t *testing.T) {
	tg, c := startFeatures(t)
	cells := tg.names.ids["ingress.cells"]
	for _, x := range []wrongUpdate{
		{"insert", insert(&p4v1.RegisterEntry{RegisterId: cells, Data: bitData(1)}), codes.InvalidArgument},
		{"delete", remove(&p4v1.RegisterEntry{RegisterId: cells, Data: bitData(1)}), codes.InvalidArgument},
		{"unknown", modify(&p4v1.RegisterEntry{RegisterId: 1, Data: bitData(1)}), codes.InvalidArgument},
		{"index negative", modify(&p4v1.RegisterEntry{RegisterId: cells, Index: at(-1), Data: bitData(1)}), codes.InvalidArgument},
		{"index too large", modify(&p4v1.RegisterEntry{RegisterId: cells, Index: at(4), Data: bitData(1)}), codes.OutOfRange},
		{"no data", modify(&p4v1.RegisterEntry{RegisterId: cells, Index: at(1)}), codes.InvalidArgument},
		{"data of another type", modify(&p4v1.RegisterEntry{RegisterId: cells, Index: at(1), Data: &p4v1.P4Data{Data: &p4v1.P4Data_Bool{Bool: true}}}), codes.InvalidArgument},
		{"data empty", modify(&p4v1.RegisterEntry{RegisterId: cells, Index: at(1), Data: bitData()}), codes.InvalidArgument},
		{"data too wide", modify(&p4v1.RegisterEntry{RegisterId: cells, Index: at(1), Data: bitData(1, 0, 0, 0, 0, 0, 0, 0, 0)}), codes.InvalidArgument},
	} {
		c.expectRefused(t, x)
	}
}

func TestSignedValuesOfAnyLengthAreChecked(t *testing.T) {
	for _, x := range []struct {
		width int
		in    string
		want  string // "" for a refusal
	}{
		{8, "\x63", "\x63"}, {8, "\x9d", "\x9d"}, {8, "\xff\x9d", "\x9d"}, {8, "\x00\x9d", ""},
		{12, "\xfd\x1d", "\x0d\x1d"}, {12, "\x8d\x1d", ""}, {12, "\x07\xff", "\x07\xff"}, {12, "\x08\x00", ""},
		{12, "\xff", "\x0f\xff"}, {16, "\x00\x00", "\x00"}, {16, "", ""}, {1, "\xff", "\x01"}, {1, "\x01", ""},
		{9, "\xff\xff\xff\x00", "\x01\x00"}, {9, "\xff\xff\x00\x00", ""},
	} {
		got, err := unsignedBits([]byte(x.in), x.width)
		if (err != nil) != (x.want == "") || err == nil && string(got) != x.want {
			t.Errorf("int<%d> %x: %x, %v, want %x", x.width, x.in, got, err, x.want)
		}
	}
}

func valueSetMember(values ...byte) *p4v1.ValueSetMember {
	m := &p4v1.ValueSetMember{}
	for i, v := range values {
		fm := exact(v)
		fm.FieldId = uint32(i + 1)
		m.Match = append(m.Match, fm)
	}
	return m
}

func TestValueSetsSteerTheParser(t *testing.T) {
	tg, c := startWith(t, configOf(t, "../pipeline/testdata/more"))
	single, pair := tg.names.ids["p.long_kinds"], tg.names.ids["p.again_kinds"]
	long := &p4v1.ValueSetEntry{ValueSetId: single,
		Members: []*p4v1.ValueSetMember{valueSetMember(0x30), valueSetMember(0x31)}}
	again := &p4v1.ValueSetEntry{ValueSetId: pair, Members: []*p4v1.ValueSetMember{valueSetMember(0x60, 3)}}
	c.mustWrite(modify(long), modify(again))
	want := []*p4v1.Entity{entityOf(long), entityOf(again)}
	if d := diff(want, c.mustRead(entityOf(&p4v1.ValueSetEntry{}))); d != "" {
		t.Error(d)
	}
	if d := diff(want[1:], c.mustRead(entityOf(&p4v1.ValueSetEntry{ValueSetId: pair}))); d != "" {
		t.Error(d)
	}
	// The table for long headers has a route for 0a...: port 5.
	frame := append([]byte{0x31, 0, 0, 0}, 0x0a, 0, 0, 0, 0, 1)
	if got := tg.frame(0, frame); len(got) != 1 || got[0].Port != 5 {
		t.Errorf("a member's frame: %v", got)
	}
	c.mustWrite(modify(&p4v1.ValueSetEntry{ValueSetId: single}))
	if got := tg.frame(0, frame); len(got) != 1 || got[0].Port != 1 {
		t.Errorf("without members: %v", got)
	}
	for _, x := range []wrongUpdate{
		{"insert", insert(long), codes.InvalidArgument},
		{"delete", remove(long), codes.InvalidArgument},
		{"unknown", modify(&p4v1.ValueSetEntry{ValueSetId: 1}), codes.InvalidArgument},
		{"too many", modify(&p4v1.ValueSetEntry{ValueSetId: single, Members: []*p4v1.ValueSetMember{
			valueSetMember(1), valueSetMember(2), valueSetMember(3), valueSetMember(4)}}), codes.ResourceExhausted},
		{"twice", modify(&p4v1.ValueSetEntry{ValueSetId: single, Members: []*p4v1.ValueSetMember{valueSetMember(1), valueSetMember(1)}}), codes.AlreadyExists},
		{"field missing", modify(&p4v1.ValueSetEntry{ValueSetId: pair, Members: []*p4v1.ValueSetMember{valueSetMember(1)}}), codes.InvalidArgument},
		{"field unknown", modify(&p4v1.ValueSetEntry{ValueSetId: single, Members: []*p4v1.ValueSetMember{valueSetMember(1, 1)}}), codes.InvalidArgument},
		{"field twice", modify(&p4v1.ValueSetEntry{ValueSetId: single, Members: []*p4v1.ValueSetMember{
			{Match: append(valueSetMember(1).Match, valueSetMember(1).Match...)}}}), codes.InvalidArgument},
		{"of another kind", modify(&p4v1.ValueSetEntry{ValueSetId: single, Members: []*p4v1.ValueSetMember{
			{Match: []*p4v1.FieldMatch{{FieldId: 1, FieldMatchType: ternary([]byte{1}, []byte{1}).FieldMatchType}}}}}), codes.InvalidArgument},
		{"too wide", modify(&p4v1.ValueSetEntry{ValueSetId: single, Members: []*p4v1.ValueSetMember{
			{Match: []*p4v1.FieldMatch{{FieldId: 1, FieldMatchType: exact(1, 0).FieldMatchType}}}}}), codes.InvalidArgument},
	} {
		c.expectRefused(t, x)
	}
}
