package claim

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// Verdicts of traffic control (linux/pkt_cls.h); those of tcx (linux/bpf.h) are
// the same numbers. Both end the processing of the frame by traffic control:
// what is accepted is not asked about again behind it, where the mark is gone.
const (
	verdictAccept = 0
	verdictDrop   = 2
)

// skbMark is the offset of mark in struct __sk_buff.
const skbMark = 8

// side is one of the two directions of a device.
type side struct {
	name         string // of the program, and in the names of pins
	instructions asm.Instructions
}

// Packet sockets see what arrives before the program of the ingress side.
var (
	ingress = side{"p4evpn_in", asm.Instructions{
		asm.Mov.Imm(asm.R0, verdictDrop),
		asm.Return(),
	}}
	egress = side{"p4evpn_out", asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, skbMark, asm.Word),
		asm.JNE.Imm(asm.R2, Mark, "drop"),
		asm.Mov.Imm(asm.R3, 0),
		asm.StoreMem(asm.R1, skbMark, asm.R3, asm.Word),
		asm.Mov.Imm(asm.R0, verdictAccept),
		asm.Return(),
		asm.Mov.Imm(asm.R0, verdictDrop).WithSymbol("drop"),
		asm.Return(),
	}}
)

// load gives the program to the kernel, which keeps it for as long as it is
// attached; the caller closes it.
func (s side) load() (*ebpf.Program, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: s.name, Type: ebpf.SchedCLS, Instructions: s.instructions, License: "Apache-2.0",
	})
	if err != nil {
		return nil, fmt.Errorf("load a program: %w", err)
	}
	return p, nil
}
