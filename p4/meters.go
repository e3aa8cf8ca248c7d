package p4

import (
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
)

// Meters of what reaches the controller, by their P4Info ids: of each reason all
// frames together, and of them those of one port, one bridge (by VXLAN) or one VRF.
const (
	puntMeter       = 0x14000001
	puntPortMeter   = 0x14000002
	puntBridgeMeter = 0x14000003
	puntVRFMeter    = 0x14000004
)

// stormMeter is of what bridge ports have flooded.
const stormMeter = 0x14000005

// sampleMeter is of copies of frames that were dropped.
const sampleMeter = 0x14000006

// puntRate is in frames a second, and how many may come at once.
type puntRate struct{ rate, burst int64 }

// puntRates bounds the frames that reach the controller for each reason. They are far
// above what hosts need to find each other, and far below what would keep the
// controller busy.
var puntRates = map[PuntReason]puntRate{
	PuntARP:      {5000, 10000},
	PuntND:       {5000, 10000},
	PuntGlean:    {1000, 2000},
	PuntLocal:    {5000, 5000},
	PuntTTL:      {500, 500},
	PuntMTU:      {500, 500},
	PuntVXLANARP: {5000, 10000},
	PuntVXLANND:  {5000, 10000},

	PuntVXLANDHCP:   {1000, 2000},
	PuntVXLANDHCPv6: {1000, 2000},
	PuntDHCP:        {1000, 2000},
	PuntDHCPv6:      {1000, 2000},
}

// puntShare is the part of a reason's frames that one port, bridge or VRF may cause: with
// as many at their bound nothing is left for the others.
const puntShare = 4

// share is the bound for one of those who cause frames for a reason.
func (r puntRate) share() puntRate { return puntRate{r.rate / puntShare, r.burst / puntShare} }

// Meter is a cell of one of the meters, with its rates.
type Meter struct{ entry *p4v1.MeterEntry }

func meter(id uint32, index int64, r puntRate) Meter {
	return Meter{&p4v1.MeterEntry{
		MeterId: id, Index: &p4v1.Index{Index: index},
		Config: &p4v1.MeterConfig{Cir: r.rate, Cburst: r.burst, Pir: r.rate, Pburst: r.burst},
	}}
}

// Cell names the cell, for a Read.
func (m Meter) Cell() *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_MeterEntry{MeterEntry: &p4v1.MeterEntry{
		MeterId: m.entry.GetMeterId(), Index: m.entry.GetIndex(),
	}}}
}

// Update configures the cell.
func (m Meter) Update() *p4v1.Update {
	return &p4v1.Update{Type: p4v1.Update_MODIFY, Entity: &p4v1.Entity{
		Entity: &p4v1.Entity_MeterEntry{MeterEntry: m.entry},
	}}
}

// Is reports whether a cell that a target answered is this one, configured so.
func (m Meter) Is(e *p4v1.MeterEntry) bool {
	return e.GetMeterId() == m.entry.GetMeterId() && e.GetIndex().GetIndex() == m.entry.GetIndex().GetIndex() &&
		proto.Equal(e.GetConfig(), m.entry.GetConfig())
}

// PuntMeters bound all frames of each reason.
func PuntMeters() []Meter {
	var all []Meter
	for reason := range PuntReason(PuntReasons) {
		if r, ok := puntRates[reason]; ok {
			all = append(all, meter(puntMeter, int64(reason), r))
		}
	}
	return all
}

// PortMeters bound what is copied from one bridge port.
func PortMeters(port uint16) []Meter {
	return shares(puntPortMeter, port, PuntARP, PuntND, PuntDHCP, PuntDHCPv6)
}

// BridgeMeters bound what is copied from what came to one bridge by VXLAN.
func BridgeMeters(bridge uint16) []Meter {
	return shares(puntBridgeMeter, bridge, PuntVXLANARP, PuntVXLANND, PuntVXLANDHCP, PuntVXLANDHCPv6)
}

// VRFMeters bound what one VRF gives to the slow path.
func VRFMeters(vrf uint16) []Meter {
	return shares(puntVRFMeter, vrf, PuntGlean, PuntLocal, PuntTTL, PuntMTU)
}

// shares are the cells of one of those who cause frames: its index is a number and the
// last two bits of the reason.
func shares(id uint32, of uint16, reasons ...PuntReason) []Meter {
	all := make([]Meter, len(reasons))
	for i, reason := range reasons {
		index := int64(of)<<2 | int64(reason)&3
		all[i] = meter(id, index, puntRates[reason].share())
	}
	return all
}

// Policed is what the frames of a bridge port are policed for.
type Policed uint8

// What there is; the last three are what the port has flooded.
const (
	PolicedSource Policed = iota // from addresses that are not bound to their station
	PolicedBroadcast
	PolicedMulticast
	PolicedUnknown // to stations that the bridge does not know
	PolicedReasons // how many there are
)

// Drop is the reason for which they are dropped.
func (p Policed) Drop() DropReason { return DropSpoofed + DropReason(p) }

// String gives the name that metrics use.
func (p Policed) String() string { return p.Drop().String() }

// StormMeter bounds what a bridge port has flooded of a kind, in frames a second and at
// once. A rate of 0 bounds nothing.
func StormMeter(port uint16, of Policed, rate, burst int64) Meter {
	m := meter(stormMeter, int64(port)<<2|int64(of), puntRate{rate, burst})
	if rate == 0 {
		m.entry.Config = nil
	}
	return m
}

// SampleMeters bound the copies of frames that were dropped, of each reason, a second.
func SampleMeters(rate int64) []Meter {
	all := make([]Meter, 0, DropReasons-1)
	for reason := DropNone + 1; reason < DropReasons; reason++ {
		all = append(all, meter(sampleMeter, int64(reason), puntRate{rate, rate}))
	}
	return all
}
