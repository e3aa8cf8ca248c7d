package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/p4"
)

// leaving is an object that was deleted, until the target holds none of the
// entries that went with it.
type leaving struct {
	object intent.Object
	// keys are those that its deletion marked; those that are done with go.
	keys map[p4.Key]entry
}

// deleteObject takes the deletion of an object. What that marks, here and in what
// settles at once, is what has to go from the target.
func (l *loop) deleteObject(o intent.Object) {
	l.settle() // what was changed before is not of this object
	left := &leaving{object: o, keys: map[p4.Key]entry{}}
	l.deleting = left
	l.changeObject(o, true)
	l.settle()
	l.deleting = nil
	if len(left.keys) > 0 {
		l.leaving[o.Ref()] = left
	}
}

// sweepLeaving forgets the objects of which nothing is left. While the target is
// away that is not known.
func (l *loop) sweepLeaving() {
	if !l.target.Ready() {
		return
	}
	for ref, o := range l.leaving {
		if _, left := o.left(l); !left {
			delete(l.leaving, ref)
		}
	}
}

// left gives an entry of the object that is on the target, or may be: one that is
// still marked may be in a job under way.
func (o *leaving) left(l *loop) (p4.Key, bool) {
	for key, k := range o.keys {
		if l.target.Known(key) && l.Desired(k) == nil {
			return key, true
		}
		delete(o.keys, key) // gone, or another object wants it
	}
	return "", false
}

// status tells what keeps the object from being gone.
func (o *leaving) status(l *loop) intent.Status {
	s := summary{pending: "its entries are being removed"}
	for key, f := range l.target.Failures() {
		if _, ours := o.keys[key]; ours && l.Desired(f.What) == nil {
			s.refused = fmt.Sprintf("%v cannot be removed: %s", key, l.target.Why(f))
			break
		}
	}
	s.checkTarget(l)
	out := s.status()
	out.Oper = intent.StatusToBeDeleted
	return out
}

// Leaving gives the deleted objects of a kind of which the target still has, or
// may have, entries.
func (c *Controller) Leaving(ctx context.Context, kind intent.Kind) []intent.Leaving {
	ctx, cancel := context.WithTimeout(ctx, statusWait)
	defer cancel()
	var out []intent.Leaving
	err := c.askUpToDate(ctx, func(l *loop) {
		for ref, o := range l.leaving {
			if ref.Kind == kind {
				out = append(out, intent.Leaving{Object: o.object, Status: o.status(l)})
			}
		}
	})
	if err != nil {
		return nil
	}
	slices.SortFunc(out, func(a, b intent.Leaving) int { return strings.Compare(a.Object.Ref().ID, b.Object.Ref().ID) })
	return out
}
