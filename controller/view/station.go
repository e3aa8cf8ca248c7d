package view

import (
	"context"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// Fabric says who is behind VTEPs, and is told who is behind a port.
type Fabric interface {
	// Stations are those of a bridge by its id that are behind VTEPs, in the order of their
	// MACs. Settled is that BGP has converged: before, some may be missing.
	Stations(ctx context.Context, bridge string) (all []Station, settled bool, err error)
	// StationsChanged gives a value after stations of any bridge changed, and when BGP has
	// converged. It has one receiver.
	StationsChanged() <-chan struct{}
	// Expect has stations be behind a port, by its name, while nobody says that they are
	// elsewhere. It replaces those that were expected in the bridge before, which need not be
	// there yet.
	Expect(ctx context.Context, bridge, port string, stations []Station) error
}

// Station is a MAC with its addresses.
type Station struct {
	MAC ether.MAC
	IPs []netip.Addr // in order
}
