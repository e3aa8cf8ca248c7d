// Command conformance runs p4c's own packet tests on the embedded switch and,
// where simple_switch is on PATH, on BMv2: each v1model program of a p4c source
// tree that has an .stf file beside it. It ends with
//
//	conformance: N of M as BMv2
//
// and names the rest with the reason. It wants p4c-bm2-ss on PATH; nothing of
// p4c's is kept.
//
//	go run ./softswitch/conformance [-run regexp] [-bmv2=false] P4C-SOURCE-TREE
//
// An STF (simple test framework) file adds entries, sends packets and says what
// must come out; p4c's tools/stf has the grammar and backends/bmv2/bmv2stf.py
// what each command means for BMv2.
package main
