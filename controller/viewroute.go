package controller

import (
	"context"
	"net/netip"

	"github.com/p4evpn/p4evpn/api/view"
)

// VRFs gives a row for each VRF.
func (c *Controller) VRFs(context.Context) ([]view.VRF, error) { return nil, nil }

// SVIs gives a row for each SVI.
func (c *Controller) SVIs(context.Context) ([]view.SVI, error) { return nil, nil }

// Hosts gives a row for each address of a bridge, of all bridges if none is named.
func (c *Controller) Hosts(context.Context, string) ([]view.Host, error) { return nil, nil }

// Prefixes gives a row for each prefix of a VRF, of all VRFs if none is named.
func (c *Controller) Prefixes(context.Context, string) ([]view.Prefix, error) { return nil, nil }

// Lookup says what becomes of a packet to an address in a VRF.
func (c *Controller) Lookup(_ context.Context, vrf string, address netip.Addr) (view.Lookup, error) {
	return view.Lookup{VRF: vrf, Address: address, Result: "unreachable: nothing routes in this VRF"}, nil
}
