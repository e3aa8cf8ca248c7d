// Package differential has tests only: they send random frames, along the
// program's own parser paths and damaged, with random entries, through the
// embedded switch and through BMv2, and compare the frames that leave, their
// ports, digests, packet-ins and counters. They know no right answer: BMv2's
// is, but where docs/switch.md says otherwise.
//
// Without BMv2 the recorded runs in testdata are repeated.
package differential
