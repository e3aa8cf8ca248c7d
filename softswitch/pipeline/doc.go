// Package pipeline runs v1model P4 programs as p4c compiles them for BMv2.
//
// Load turns BMv2 JSON (behavioral-model, docs/JSON_format.md) into a Program:
// a flat, immutable form in which every field is a slot of a register file and
// every action, expression and parser state is an array of small operations.
// New gives a Program its state (tables, counters, multicast groups, clone
// sessions), which is a Pipeline. A Worker carries one frame at a time through
// parser, ingress, replication, egress and deparser.
//
// A worker can also give an account of a frame (Trace): each parser state,
// table, action and changed field.
//
// The packet path neither locks nor allocates. Configuration may change while
// packets run: writers serialise among themselves and publish by atomic
// pointers, so a packet sees each table either before or after a change.
//
// The package knows P4 and nothing else: no P4Runtime, no ports of the
// machine, no VXLAN. Values cross its API as big-endian byte strings.
package pipeline
