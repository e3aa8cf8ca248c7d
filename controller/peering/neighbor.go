package peering

import (
	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
)

// Neighbor is a neighbour of the intent as the speaker takes it.
func Neighbor(n intent.Neighbor) bgp.Neighbor {
	return bgp.Neighbor{
		Address: n.Address, AS: n.AS, Port: n.Port, LocalAddress: n.LocalAddress,
		Password: n.Password, Multihop: n.Multihop, Passive: n.Passive,
		HoldTime: n.HoldTime, Keepalive: n.Keepalive, ConnectRetry: n.ConnectRetry,
		MaxPrefixes: n.MaxPrefixes, Families: n.Families, MACIPOnly: n.MACIPOnly, NoARPND: n.NoARPND,
		AllowOwnAS:  n.AllowOwnAS,
		TTLSecurity: n.TTLSecurity, Shutdown: n.Shutdown, ShutdownMessage: n.ShutdownMessage,
	}
}
