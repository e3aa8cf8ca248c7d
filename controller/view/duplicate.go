package view

import (
	"context"

	"github.com/p4evpn/p4evpn/ether"
)

// Duplicates lets MACs that moved too often, and are frozen for that, move again.
type Duplicates interface {
	// ClearDuplicate does so for a MAC of a logical bridge by its id; false if the MAC
	// is not frozen.
	ClearDuplicate(ctx context.Context, bridge string, mac ether.MAC) (bool, error)
}
