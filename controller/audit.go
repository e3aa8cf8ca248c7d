package controller

import (
	"context"

	"github.com/p4evpn/p4evpn/controller/reconcile"
	"github.com/p4evpn/p4evpn/controller/view"
)

// Audit compares the target's entries with those it acknowledged, and has put
// right what differs: what it found, when it is asked for it.
func (c *Controller) Audit(ctx context.Context) (view.Audit, error) {
	var answer <-chan reconcile.Audit
	if err := c.ask(ctx, func(l *loop) { answer = l.target.Audit() }); err != nil {
		return view.Audit{}, err
	}
	select {
	case a := <-answer:
		out := view.Audit{Entries: a.Entries}
		for _, d := range a.Differences {
			out.Differences = append(out.Differences, view.Difference{
				Kind: string(d.Kind), Table: d.Table(), Is: reconcile.Text(d.Is), Was: reconcile.Text(d.Was),
			})
		}
		return out, a.Err
	case <-c.stopped:
		return view.Audit{}, errStopped
	case <-ctx.Done():
		return view.Audit{}, ctx.Err()
	}
}
