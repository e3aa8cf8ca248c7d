// Package differential makes random frames for a program, along its own parser
// paths and damaged, for comparisons of the embedded switch with BMv2. Its tests
// are one: with random entries, they compare the frames that leave, their
// ports, digests, packet-ins and counters. They know no right answer: BMv2's
// is, but where docs/switch.md says otherwise. Without BMv2 the recorded runs
// in testdata are repeated.
package differential
