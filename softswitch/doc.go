// Package softswitch is a P4 switch in software: it moves frames between
// Linux interfaces (package netport) through a v1model program (package
// pipeline) that P4Runtime clients load and fill (package p4rtserver).
//
// It takes the BMv2 JSON and the P4Info that simple_switch_grpc takes, and
// ports in its notation, so that one can stand in for the other. It is usable
// alone: it knows no particular P4 program and no controller.
//
// Each port has a goroutine that receives, runs the pipeline and sends, so
// frames of one flow, which come in by one port, stay in order; no goroutine
// waits for another.
package softswitch
