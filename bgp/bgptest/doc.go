// Package bgptest is a BGP peer for tests and benchmarks: a raw TCP session
// that sends bytes encoded beforehand and hands over the bytes it gets.
//
// A Session shares no code with the speaker or with GoBGP, so that a mistake
// in one encoder is not repeated in the other, and it costs next to nothing
// while it sends, so that a benchmark measures the receiver. Reference is the
// receiver that benchmarks compare with: GoBGP alone.
package bgptest
