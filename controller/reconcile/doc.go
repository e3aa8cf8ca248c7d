// Package reconcile brings a P4Runtime target to what a Model wants it to hold.
//
// The Model marks the entries that may have to change. Flush computes them anew,
// compares with what the target acknowledged, and gives the difference to the
// writer, while marks go on gathering. While entries are written to which nothing
// refers, a full job more of such is prepared, so that the target need not wait. A
// level is written and acknowledged before the next one, removals go the other way
// round, and what refers to an entry that the target refused waits for it. When a
// connection was made, everything is read back and compared; an audit does the same
// with a target that is up. Until what a restarted model does not know yet has come,
// nothing that the target held before is taken away.
//
//	Model ──► Mark ──► marked keys
//	                      │ Desired against what was acknowledged
//	Take ◄── writer ◄─────┘ Flush
//
// One goroutine, the Model's, owns the Reconciler and calls its methods; Run alone,
// the writer, belongs to another. Neither side has a lock or a copy of the other's
// state.
//
// The package knows P4Runtime, by controller/p4rt, and the shape of package p4's
// entries: keys, values, levels, references. What the tables are for, and why an
// entry is wanted, it does not know.
package reconcile
