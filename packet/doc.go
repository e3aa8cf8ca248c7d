// Package packet reads and makes the packets that p4evpn itself speaks with hosts:
// ARP and neighbour discovery, with the checksums, addresses and lengths that
// belong to them.
//
// It knows bytes and RFCs. It knows nothing of where a frame came from, of EVPN
// or of P4.
package packet
