package p4rtserver

import (
	"fmt"
	"strings"
	"testing"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
)

func TestTranslatedValuesAreNamesForClientsAndNumbersForPackets(t *testing.T) {
	tg, c := startWith(t, configOf(t, "testdata/translated"))
	n := tg.names
	name := func(s string) *p4v1.FieldMatch { return exact([]byte(s)...) }
	entries := []*p4v1.TableEntry{
		n.entry("ingress.vrfs", n.action("ingress.into", []byte{7}), name("3")), // port 3, by its number
		n.entry("ingress.routes", n.action("ingress.via", []byte("leaf-1")), exact(7), lpm(8, 2, 0, 0, 0, 0, 0)),
		withPriority(n.entry("ingress.nexthops", n.action("ingress.out_of", []byte("5")), optional([]byte("leaf-1")...)), 1),
		withPriority(n.entry("ingress.nexthops", n.action("ingress.out_of", []byte("6")), optional([]byte("leaf-2")...)), 1),
	}
	var want []*p4v1.Entity
	for _, te := range entries {
		c.mustWrite(insert(te))
		want = append(want, entity(te))
	}
	if d := diff(want, c.mustRead(entity(&p4v1.TableEntry{}))); d != "" {
		t.Errorf("read back: %s", d)
	}
	frame := ethernet(0x020000000001, 0xaa, 0x800, "x")
	if got := tg.frame(3, frame); len(got) != 1 || got[0].Port != 5 {
		t.Errorf("by leaf-1: %v, want port 5", got)
	}
	c.mustWrite(modify(n.entry("ingress.routes", n.action("ingress.via", []byte("leaf-2")), exact(7),
		lpm(8, 2, 0, 0, 0, 0, 0))))
	if got := tg.frame(3, frame); len(got) != 1 || got[0].Port != 6 {
		t.Errorf("by leaf-2: %v, want port 6", got)
	}
	for _, x := range []wrongUpdate{
		{"empty name", insert(n.entry("ingress.vrfs", n.action("ingress.into", []byte{7}), exact())), codes.InvalidArgument},
		{"name beyond reason", insert(n.entry("ingress.vrfs", n.action("ingress.into", []byte{7}), name(strings.Repeat("x", 2000)))), codes.InvalidArgument},
		{"number too wide for the data plane", insert(n.entry("ingress.vrfs", n.action("ingress.into", []byte{4, 0}), name("4"))), codes.InvalidArgument},
		{"same name, same entry", insert(entries[0]), codes.AlreadyExists},
	} {
		c.expectRefused(t, x)
	}
}

func TestNamesAndNumbersOfATypeDoNotMeet(t *testing.T) {
	tg, c := startWith(t, configOf(t, "testdata/translated"))
	n := tg.names
	hop := func(name string) *p4v1.Update {
		return insert(withPriority(n.entry("ingress.nexthops", n.action("ingress.out_of", []byte("1")),
			optional([]byte(name)...)), 1))
	}
	c.mustWrite(hop("15"), hop("a"), hop("13")) // a cannot be 15, so it is 14
	if e := c.writeErrors(hop("14"))[0]; codes.Code(e.GetCanonicalCode()) != codes.InvalidArgument {
		t.Errorf("14, which is the name a: %v", e)
	}
	var errs []*p4v1.Error
	for i := range 16 { // bit<4>
		errs = append(errs, c.writeErrors(hop(fmt.Sprint("name-", i)))...)
	}
	if last := errs[15]; last == nil || codes.Code(last.CanonicalCode) != codes.ResourceExhausted {
		t.Errorf("the 16th name of 4 bits: %v, want RESOURCE_EXHAUSTED", last)
	}
}

func TestNamesNeedAnExactOrOptionalMatch(t *testing.T) {
	config := configOf(t, "testdata/translated")
	for _, table := range config.P4Info.Tables {
		for _, m := range table.MatchFields {
			if m.Name == "dst" {
				m.TypeName = &p4configv1.P4NamedType{Name: "port_id_t"}
			}
		}
	}
	tg := startTarget(t)
	c := tg.client(t)
	c.arbitrate(0, 1)
	c.expectArbitration(codes.OK, 1)
	if err := c.setPipeline(p4v1.SetForwardingPipelineConfigRequest_VERIFY, config); err == nil ||
		!strings.Contains(err.Error(), "dst") {
		t.Errorf("got %v, want an error that names the field", err)
	}
}
