package testbed

import (
	"context"
	"errors"
	"strings"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
)

func (n *restartNetwork) otherController(t *testing.T) {
	const half = 50 // routes withdrawn, and as many new ones
	ctx, r := t.Context(), n.gateway.raw(t)
	n.awaitQuiet(t)
	before, heldBefore := must(n.gateway.Updates(ctx))(t), must(r.held(ctx))(t)
	m := must(StartMeter(append(n.local(n.rate()), n.remote(100)...)...))(t)
	other := &p4v1.Uint128{Low: 1 << 20}
	leave := r.takeOver(t, other)
	check(t, Eventually(ctx, patience, "the bridges say that another controller is primary",
		func(ctx context.Context) error {
			b, err := n.gateway.Show(ctx, "bridges")
			if err == nil && !strings.Contains(b, "another controller") {
				err = errors.New(b)
			}
			return err
		}))
	n.kernel.Config.MACs[0].First += half
	check(t, n.kernel.Reload())
	// The other one removes an entry that we want.
	fdb := must(r.entities(ctx, "bridge.fdb"))(t)
	check(t, r.write(ctx, other, p4v1.Update_DELETE, fdb[0]))
	n.awaitMany(t)
	held := must(r.held(ctx))(t)
	if writes := must(n.gateway.Updates(ctx))(t) - before; writes != 0 || len(held) != len(heldBefore)-1 {
		t.Errorf("while another controller was primary %d updates were written, and of %d entries %d are left, want all "+
			"but one",
			writes, len(heldBefore), len(held))
	}
	leave()
	n.awaitQuiet(t)
	writes := must(n.gateway.Updates(ctx))(t) - before
	n.measured(t, m, "")
	t.Logf("after it left: %d updates for %d changes", writes, 2*half+1)
	if writes < 2*half || writes > 2*half+1 { // what it removed may be what was withdrawn
		t.Errorf("%d updates were written after it left, want %d", writes, 2*half+1)
	}
	n.kernel.Config.MACs[0].First -= half
	check(t, n.kernel.Reload())
	n.awaitHeld(t, r, heldBefore)
}
