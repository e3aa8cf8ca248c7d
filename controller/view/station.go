package view

import (
	"context"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// Fabric says who is behind VTEPs.
type Fabric interface {
	// Stations are those of a bridge by its id that are behind VTEPs, in the order of their
	// MACs. Settled is that BGP has converged: before, some may be missing.
	Stations(ctx context.Context, bridge string) (all []Station, settled bool, err error)
	// StationsChanged gives a value after stations of any bridge changed, and when BGP has
	// converged. It has one receiver.
	StationsChanged() <-chan struct{}
}

// Station is a MAC behind a VTEP.
type Station struct {
	MAC ether.MAC
	IPs []netip.Addr // in order
}
