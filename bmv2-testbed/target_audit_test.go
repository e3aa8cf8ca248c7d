package testbed

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
)

// changedBehindOurBack deletes, adds and changes entries with the controller's
// own election id, so that nothing tells it.
func (n *restartNetwork) changedBehindOurBack(t *testing.T) {
	ctx, r := t.Context(), n.gateway.raw(t)
	n.awaitQuiet(t)
	before := must(r.held(ctx))(t)
	id := must(r.electionID())(t)
	for _, found := range []struct {
		by     string
		audits []string // commands; the first answers with what differs
	}{
		{"on demand", []string{"audit"}},
		{"by time", nil},
	} {
		if found.audits == nil {
			if n.target == BMv2 {
				continue // forwards nothing while it is read
			}
			n.config.audit = "2s"
			check(t, n.gateway.KillController())
			n.startController(ctx, t)
			n.awaitConverged(t, 6*patience)
			n.awaitQuiet(t)
			id = must(r.electionID())(t)
		}
		counted := must(n.differences(ctx))(t)
		n.tamper(t, r, id)
		start := time.Now()
		if found.audits != nil {
			out := must(n.gateway.command(ctx, found.audits...))(t)
			t.Logf("p4evpn audit:\n%s", out)
			if !strings.Contains(out, "3 differ") {
				t.Errorf("p4evpn audit does not say that 3 entries differ:\n%s", out)
			}
		}
		n.awaitHeld(t, r, before)
		t.Logf("%s: put right after %.2f s", found.by, time.Since(start).Seconds())
		if got := must(n.differences(ctx))(t) - counted; got != 3 {
			t.Errorf("%s: the metric counts %v differences, want 3", found.by, got)
		}
		if log := n.gateway.control.Tail(4000); !strings.Contains(log, "audit") && !strings.Contains(log, "somebody else") {
			t.Errorf("the log does not speak of it:\n%s", log)
		}
	}
}

// tamper deletes an entry, adds one and changes one.
func (n *restartNetwork) tamper(t *testing.T, r *rawTarget, id *p4v1.Uint128) {
	t.Helper()
	ctx := t.Context()
	fdb := must(r.entities(ctx, "bridge.fdb"))(t)
	if len(fdb) < 3 {
		t.Fatalf("the target holds %d FDB entries", len(fdb))
	}
	var many []*p4v1.Entity // those of nobody
	for _, e := range fdb {
		if m := e.GetTableEntry().GetMatch()[1].GetExact().GetValue(); len(m) == 6 && m[0] == manyMAC(0)[0] {
			many = append(many, e)
		}
	}
	check(t, r.write(ctx, id, p4v1.Update_DELETE, many[0]))
	changed := proto.Clone(many[1]).(*p4v1.Entity)
	changed.GetTableEntry().Metadata = []byte("changed")
	changed.GetTableEntry().Action = toPort(fdb).GetTableEntry().GetAction()
	check(t, r.write(ctx, id, p4v1.Update_MODIFY, changed))
	added := proto.Clone(many[2]).(*p4v1.Entity)
	added.GetTableEntry().GetMatch()[1].GetExact().Value[0] = 0x0e
	check(t, r.write(ctx, id, p4v1.Update_INSERT, added))
}

// toPort gives an entry whose action is not that of the many.
func toPort(fdb []*p4v1.Entity) *p4v1.Entity {
	actionOf := func(e *p4v1.Entity) uint32 { return e.GetTableEntry().GetAction().GetAction().GetActionId() }
	count := map[uint32]int{}
	for _, e := range fdb {
		count[actionOf(e)]++
	}
	rarest := fdb[0]
	for _, e := range fdb {
		if count[actionOf(e)] < count[actionOf(rarest)] {
			rarest = e
		}
	}
	return rarest
}

// differences is how many entries audits have found to differ.
func (n *restartNetwork) differences(ctx context.Context) (float64, error) {
	values, err := n.gateway.Metrics(ctx)
	if err == nil && counted(values, "p4evpn_p4rt_connected") == 0 {
		err = fmt.Errorf("no metrics")
	}
	return counted(values, "p4evpn_controller_audit_differences_total"), err
}
