package view

import (
	"context"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// Fabric says what is behind VTEPs, and is told who is behind a port.
type Fabric interface {
	// Behind is what of a bridge, by its id, is behind VTEPs.
	Behind(ctx context.Context, bridge string) (Behind, error)
	// BehindChanged gives a value after that of any bridge changed, and when BGP has
	// converged. It has one receiver.
	BehindChanged() <-chan struct{}
	// Expect has stations be behind a port, by its name, while nobody says that they are
	// elsewhere. It replaces those that were expected in the bridge before, which need not be
	// there yet.
	Expect(ctx context.Context, bridge, port string, stations []Station) error
}

// Behind is what of a bridge is behind VTEPs.
type Behind struct {
	Local    netip.Addr   // our VTEP address; invalid: EVPN does not stretch the bridge
	VTEPs    []netip.Addr // that want its floods or have stations, in order
	Stations []Station    // in the order of their MACs
	Settled  bool         // BGP has converged: before, some may be missing
}

// Station is a MAC with its addresses.
type Station struct {
	MAC  ether.MAC
	IPs  []netip.Addr // in order
	VTEP netip.Addr   // that it is behind; invalid: it is behind a port
	// Reached is that the target has a way to the VTEP.
	Reached bool
}
