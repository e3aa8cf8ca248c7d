package controller

import (
	"fmt"
	"iter"
	"strings"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"

	"github.com/p4evpn/p4evpn/p4"
)

// table is all that the loop has to say of the entries of one type: what there
// shall be and what follows from what the target does with them. Level and
// references are the type's own.
type table struct {
	desired  func(*loop, entry) entry
	all      func(*loop)
	adopt    func(*loop, []entry)
	gone     func(*loop, entry)
	fromBGP  func(*loop, entry) bool
	flipped  func(*loop, entry)
	concerns func(*loop, entry) []subject
	given    func(*loop, entry) bool
	most     func(*loop, entry) int
	missing  []string // parts that were left out
}

// of is a table as it is registered. Each part is there: where there is nothing to
// do, that is said.
type of[T p4.Typed] struct {
	// desired computes the entry that k names from the loop's state, nil if there
	// shall be none.
	desired func(l *loop, k T) entry
	// all marks every entry that may be desired now.
	all func(*loop)
	// adopt takes over what the target holds, after it was read: ids, and what was
	// learned. What the entries refer to was taken over before.
	adopt func(l *loop, held iter.Seq[T])
	// gone is called when an entry is neither wanted nor on the target: ids that only
	// it kept are free. What is of the last level keeps none.
	gone func(l *loop, k T)
	// fromBGP reports whether an entry is as it is because of what peers said so far.
	fromBGP func(l *loop, e T) bool
	// flipped is called when the target begins or ceases to refuse an entry: it marks
	// what does without it.
	flipped func(l *loop, k T)
	// concerns are those whose routes and hosts an entry follows from.
	concerns func(l *loop, k T) []subject
	// given reports whether an entry is what the operator asks for, who may fill a table.
	given func(l *loop, e T) bool
	// most is how many entries of the table the bridge or VRF may have that k is of, where
	// that is less than its share; 0 = no more is said.
	most func(l *loop, k T) int
}

// Parts of a table for which there is nothing to do.
func adoptNothing[T p4.Typed](*loop, iter.Seq[T])   {}
func freeNothing[T p4.Typed](*loop, T)              {}
func neverFromBGP[T p4.Typed](*loop, T) bool        { return false }
func alwaysFromBGP[T p4.Typed](*loop, T) bool       { return true }
func noneDoesWithout[T p4.Typed](*loop, T)          {}
func concernsNobody[T p4.Typed](*loop, T) []subject { return nil }
func alwaysGiven[T p4.Typed](*loop, T) bool         { return true }
func neverGiven[T p4.Typed](*loop, T) bool          { return false }
func asManyAsFit[T p4.Typed](*loop, T) int          { return 0 }

// table makes the parts those of any entry.
func (o of[T]) table() table {
	t := table{
		desired:  func(l *loop, k entry) entry { return o.desired(l, k.(T)) },
		all:      o.all,
		gone:     func(l *loop, k entry) { o.gone(l, k.(T)) },
		fromBGP:  func(l *loop, e entry) bool { return o.fromBGP(l, e.(T)) },
		flipped:  func(l *loop, k entry) { o.flipped(l, k.(T)) },
		concerns: func(l *loop, k entry) []subject { return o.concerns(l, k.(T)) },
		given:    func(l *loop, e entry) bool { return o.given(l, e.(T)) },
		most:     func(l *loop, k entry) int { return o.most(l, k.(T)) },
		adopt: func(l *loop, held []entry) {
			o.adopt(l, func(yield func(T) bool) {
				for _, k := range held {
					if !yield(k.(T)) {
						return
					}
				}
			})
		},
	}
	for _, part := range []struct {
		name string
		left bool
	}{
		{"desired", o.desired == nil}, {"all", o.all == nil}, {"adopt", o.adopt == nil}, {"gone", o.gone == nil},
		{"fromBGP", o.fromBGP == nil}, {"flipped", o.flipped == nil}, {"concerns", o.concerns == nil},
		{"given", o.given == nil}, {"most", o.most == nil},
	} {
		if part.left {
			t.missing = append(t.missing, part.name)
		}
	}
	return t
}

// fromObjects is a table whose entries follow from the objects and the
// configuration alone, and which only they concern.
func fromObjects[T p4.Typed](desired func(l *loop, k T) entry, all func(*loop)) table {
	return of[T]{
		desired: desired, all: all, adopt: adoptNothing[T], gone: freeNothing[T], fromBGP: neverFromBGP[T],
		flipped: noneDoesWithout[T], concerns: concernsNobody[T], given: alwaysGiven[T], most: asManyAsFit[T],
	}.table()
}

// registry has the table of each type of entries.
type registry [p4.Types]table

// check names what the loop has nothing to say of: tables of the program, types of
// entries, parts of their registration. Their entries would be deleted.
func (r *registry) check(program *p4configv1.P4Info) error {
	if err := p4.CheckTables(program); err != nil {
		return err
	}
	for typ := range p4.Types {
		switch t := &r[typ]; {
		case t.desired == nil:
			return fmt.Errorf("table %v is not registered", typ)
		case len(t.missing) > 0:
			return fmt.Errorf("the registration of table %v lacks %s", typ, strings.Join(t.missing, ", "))
		}
	}
	return nil
}
