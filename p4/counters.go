package p4

import (
	"fmt"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
)

// Counter is one of the program's indirect counters, by its P4Info id.
type Counter uint32

// The counters, and what their index is.
const (
	PortIn         Counter = 0x12000001 // port
	PortOut        Counter = 0x12000005 // port
	IngressDrops   Counter = 0x12000004 // DropReason
	EgressDrops    Counter = 0x12000006 // DropReason
	BridgeVXLANIn  Counter = 0x12000002 // bridge
	BridgeVXLANOut Counter = 0x12000003 // bridge
	VRFRouted      Counter = 0x12000007 // VRF
	VRFVXLANIn     Counter = 0x12000008 // VRF
	VRFVXLANOut    Counter = 0x12000009 // VRF
	PuntsLimited   Counter = 0x1200000a // PuntReason

	PortDrops       Counter = 0x1200000d // port and DropReason, of ingress
	BridgeDrops     Counter = 0x1200000e // bridge and DropReason, of ingress
	PortEgressDrops Counter = 0x1200000f // port that they came from and DropReason, of egress
)

// All names every cell of the counter, for a Read.
func (c Counter) All() *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_CounterEntry{CounterEntry: &p4v1.CounterEntry{CounterId: uint32(c)}}}
}

// Cell names one cell of the counter, for a Read.
func (c Counter) Cell(index uint32) *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_CounterEntry{CounterEntry: &p4v1.CounterEntry{
		CounterId: uint32(c), Index: &p4v1.Index{Index: int64(index)},
	}}}
}

// maxIndex is above that of any cell.
const maxIndex = 1<<18 - 1

// Count is one cell of a counter.
type Count struct {
	Counter        Counter
	Index          uint32
	Packets, Bytes uint64
}

// DecodeCount reads a cell that a target answered.
func DecodeCount(e *p4v1.Entity) (Count, error) {
	ce := e.GetCounterEntry()
	index := ce.GetIndex().GetIndex()
	if ce == nil || index < 0 || index > maxIndex || ce.GetData().GetPacketCount() < 0 || ce.GetData().GetByteCount() < 0 {
		return Count{}, fmt.Errorf("counter %#x, index %d: %w", ce.GetCounterId(), index, errForeign)
	}
	return Count{
		Counter: Counter(ce.GetCounterId()), Index: uint32(index),
		Packets: uint64(ce.GetData().GetPacketCount()), Bytes: uint64(ce.GetData().GetByteCount()),
	}, nil
}
