package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/controller/view"
)

// fakeAuditor answers what the test gives.
type fakeAuditor func() (view.Audit, error)

func (f fakeAuditor) Audit(context.Context) (view.Audit, error) { return f() }

func TestAuditPrintsWhatDiffers(t *testing.T) {
	for name, c := range map[string]struct {
		answer view.Audit
		err    error
		want   []string
		fails  bool
	}{
		"all is well": {answer: view.Audit{Entries: 7}, want: []string{"7 entries read, 0 differ\n"}},
		"two differ": {answer: view.Audit{Entries: 7, Differences: []view.Difference{
			{Kind: "unexpected", Table: "vxlan.peer", Is: "vxlan.peer 10.0.0.9 -> accept"},
			{Kind: "missing", Table: "bridge.fdb", Was: "bridge.fdb mac=1 -> to_port 1"},
		}}, want: []string{"7 entries read, 2 differ and are put right", "bridge.fdb mac=1 -> to_port 1  -", "-  ",
			"vxlan.peer 10.0.0.9 -> accept"}},
		"no target": {err: errors.New("the target is not connected"), want: []string{"the target is not connected"}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			address := serveWith(t, fakeAuditor(func() (view.Audit, error) { return c.answer, c.err }))
			out, err := command(t, "audit", "--api", address)
			if (err != nil) != c.fails {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				out = err.Error()
			}
			for _, w := range c.want {
				if !strings.Contains(out, w) {
					t.Errorf("%q lacks %q", out, w)
				}
			}
		})
	}
}
