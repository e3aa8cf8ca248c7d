package p4rtserver

import (
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// preinitialized is kinds.p4 with `entries` instead of `const entries`: p4c
// makes the same JSON of both.
func preinitialized(t *testing.T, size int64) *p4v1.ForwardingPipelineConfig {
	config := proto.Clone(testConfig(t)).(*p4v1.ForwardingPipelineConfig)
	for _, ti := range config.P4Info.Tables {
		if ti.Preamble.Name == "ingress.fixed" {
			ti.IsConstTable, ti.HasInitialEntries, ti.Size = false, true, size
		}
	}
	return config
}

func TestInitialEntriesThatAreNotConstCanBeChanged(t *testing.T) {
	tg, c := startWith(t, preinitialized(t, 3))
	n := tg.names
	entries := func() map[uint16]string {
		got := map[uint16]string{}
		for _, e := range c.mustRead(entity(n.entry("ingress.fixed", nil))) {
			te := e.GetTableEntry()
			v := te.Match[0].GetExact().Value
			param := ""
			if p := te.Action.GetAction().Params; len(p) > 0 {
				param = string(p[0].Value)
			}
			if te.IsConst {
				t.Errorf("%x is const", v)
			}
			got[uint16(v[0])<<8|uint16(v[len(v)-1])] = param
		}
		return got
	}
	expect := func(what string, want map[uint16]string) {
		t.Helper()
		got := entries()
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
	}
	toCPU := func(reason byte) *p4v1.TableAction { return n.action("ingress.to_cpu", []byte{reason}) }
	expect("at first", map[uint16]string{0x88cc: "\x02", 0x8809: "\x03"})
	c.mustWrite(remove(n.entry("ingress.fixed", nil, exact(0x88, 0xcc))),
		modify(n.entry("ingress.fixed", toCPU(9), exact(0x88, 0x09))),
		insert(n.entry("ingress.fixed", toCPU(4), exact(0x12, 0x34))))
	want := map[uint16]string{0x8809: "\x09", 0x1234: "\x04"}
	expect("changed", want)
	c.mustWrite(insert(n.entry("ingress.fixed", toCPU(5), exact(0x12, 0x35))))
	c.expectRefused(t, wrongUpdate{"more than its size", insert(n.entry("ingress.fixed", toCPU(5), exact(0x12, 0x36))),
		codes.ResourceExhausted})
	c.mustWrite(remove(n.entry("ingress.fixed", nil, exact(0x12, 0x35))))

	if err := c.setPipeline(p4v1.SetForwardingPipelineConfigRequest_RECONCILE_AND_COMMIT,
		preinitialized(t, 3)); err != nil {
		t.Fatal(err)
	}
	expect("reconciled", want)
	c.commit(preinitialized(t, 3))
	expect("pushed again", map[uint16]string{0x88cc: "\x02", 0x8809: "\x03"})
}
