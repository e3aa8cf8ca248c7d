// Package shadow is the embedded switch without ports: it takes the entries of
// any P4Runtime target, one frame at a time, and gives a full account of what
// the target would do with it. Tracing and self-checks stand on it.
//
// A shadow has a pipeline of its own, so that nothing it does touches a target:
// its counters, meters and registers are its own too, and digests are only
// accounted for.
//
// The package knows P4Runtime and the switch; it knows no program.
package shadow
