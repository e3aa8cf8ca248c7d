package view

import (
	"context"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// Duplicates lets MACs and addresses that moved too often, and are held for that, move
// again.
type Duplicates interface {
	// ClearDuplicates does so for those of a logical bridge by its id, and tells how many
	// there were.
	ClearDuplicates(ctx context.Context, bridge string, which Duplicate) (int, error)
}

// Duplicate is a MAC or an address; the zero one stands for all.
type Duplicate struct {
	MAC     ether.MAC
	Address netip.Addr
}
