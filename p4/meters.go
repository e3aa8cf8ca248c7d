package p4

import (
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
)

// puntMeter is the P4Info id of the meter punt.rate, whose index is a
// PuntReason.
const puntMeter = 0x14000001

// puntRates bounds the frames a second that reach the controller for each
// reason, and how many may come at once. They are far above what hosts need to
// find each other, and far below what would keep the controller busy.
var puntRates = map[PuntReason]struct{ rate, burst int64 }{
	PuntARP:   {5000, 10000},
	PuntND:    {5000, 10000},
	PuntGlean: {1000, 2000},
	PuntLocal: {5000, 5000},
	PuntTTL:   {500, 500},
	PuntMTU:   {500, 500},
}

// PuntMeters names the cells of the meter punt.rate, for a Read.
func PuntMeters() *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_MeterEntry{MeterEntry: &p4v1.MeterEntry{MeterId: puntMeter}}}
}

// PuntMeterUpdates are what configures the meter, given the cells that the
// target holds: none where they are as they should be.
func PuntMeterUpdates(held []*p4v1.MeterEntry) []*p4v1.Update {
	var updates []*p4v1.Update
	for _, m := range held {
		r, ok := puntRates[PuntReason(m.GetIndex().GetIndex())]
		want := &p4v1.MeterConfig{Cir: r.rate, Cburst: r.burst, Pir: r.rate, Pburst: r.burst}
		if !ok || proto.Equal(m.GetConfig(), want) {
			continue
		}
		updates = append(updates, &p4v1.Update{Type: p4v1.Update_MODIFY, Entity: &p4v1.Entity{
			Entity: &p4v1.Entity_MeterEntry{MeterEntry: &p4v1.MeterEntry{MeterId: puntMeter, Index: m.GetIndex(), Config: want}},
		}})
	}
	return updates
}
