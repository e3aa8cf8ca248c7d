package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
)

// The well-known communities that mean something here.
const (
	gracefulShutdown = 65535 << 16   // RFC 8326 section 5
	llgrStale        = 65535<<16 | 6 // RFC 9494 sections 3.2 and 3.3
	noLLGR           = 65535<<16 | 7
)

func (r *reading) communities(v []byte) verdict {
	if len(v) == 0 || len(v)%4 != 0 {
		return badLength
	}
	for ; len(v) > 0; v = v[4:] {
		switch binary.BigEndian.Uint32(v) {
		case gracefulShutdown:
			r.attributes.GracefulShutdown = true
		case llgrStale:
			r.attributes.LLGRStale = true
		case noLLGR:
			r.attributes.NoLLGR = true
		}
	}
	return taken
}

// ipv6Communities are not used: route targets of IPv6 addresses (RFC 5701) are no part of
// EVPN's configuration here.
func (r *reading) ipv6Communities(v []byte) verdict { return multiple(v, 20) }

func (r *reading) largeCommunities(v []byte) verdict { return multiple(v, 12) }

func multiple(v []byte, of int) verdict {
	if len(v) == 0 || len(v)%of != 0 {
		return badLength
	}
	return taken
}

// The first two octets of the extended communities that mean something here.
const (
	opaqueEncapsulation  = 0x030c // RFC 9012 section 4.1
	opaqueDefaultGateway = 0x030d // RFC 7432 section 7.8
	evpnMobility         = 0x0600 // RFC 7432 section 7.7
	evpnESILabel         = 0x0601 // RFC 7432 section 7.5
	evpnESImport         = 0x0602 // RFC 7432 section 7.6
	evpnRouterMAC        = 0x0603 // RFC 9135 section 8.1
	evpnLayer2           = 0x0604 // RFC 8214 section 3.1
	evpnDFElection       = 0x0606 // RFC 8584 section 2.2
	evpnNeighbour        = 0x0608 // RFC 9047 section 2
)

const (
	typeEVPN           = 0x06
	lastEVPNSubtype    = 0x10 // that has a meaning, known or not used here
	tunnelVXLAN        = 8
	subtypeRouteTarget = 2
)

// extendedCommunities reads those that mean something. No type or sub-type is an error
// (RFC 7606 section 7.14).
func (r *reading) extendedCommunities(v []byte) verdict {
	if len(v) == 0 || len(v)%8 != 0 {
		return badLength
	}
	var buf [16]bgp.RouteTarget
	targets := buf[:0]
	for ; len(v) > 0; v = v[8:] {
		c := [8]byte(v)
		switch {
		case c[0] <= 2 && c[1] == subtypeRouteTarget: // RFC 4360 section 4, RFC 5668
			targets = append(targets, bgp.RouteTarget(c))
		case c[0] == typeEVPN:
			r.evpnCommunity(c)
		case binary.BigEndian.Uint16(c[:]) == opaqueEncapsulation:
			r.encapsulation(binary.BigEndian.Uint16(c[6:]))
		case binary.BigEndian.Uint16(c[:]) == opaqueDefaultGateway:
			r.attributes.DefaultGateway = true
		}
	}
	r.attributes.RouteTargets = bgp.MakeRouteTargets(targets...)
	if r.attributes.Encapsulation == bgp.EncapsulationOther {
		r.uselessFor(bgp.BadEncapsulation, ", encapsulations without VXLAN")
	}
	return taken
}

func (r *reading) encapsulation(tunnel uint16) {
	switch {
	case tunnel == tunnelVXLAN:
		r.attributes.Encapsulation = bgp.EncapsulationVXLAN
	case r.attributes.Encapsulation == bgp.EncapsulationUnsaid:
		r.attributes.Encapsulation = bgp.EncapsulationOther
	}
}

// evpnCommunity reads one of type 6. Of those that should be there once the first is taken.
func (r *reading) evpnCommunity(c [8]byte) {
	a := &r.attributes
	switch subtype := binary.BigEndian.Uint16(c[:]); subtype {
	case evpnMobility:
		a.Sequence = max(a.Sequence, binary.BigEndian.Uint32(c[4:]))
		a.Sticky = a.Sticky || c[2]&1 != 0
	case evpnESILabel:
		if !a.HasESILabel {
			a.HasESILabel, a.SingleActive, a.SplitHorizonLabel = true, c[2]&1 != 0, uint24(c[5:])
		}
	case evpnESImport:
		if a.ESImport.IsZero() {
			a.ESImport = ether.MAC(c[2:])
		}
	case evpnRouterMAC:
		r.routerMAC(ether.MAC(c[2:]))
	case evpnLayer2:
		if !a.HasLayer2 {
			a.HasLayer2, a.Layer2 = true, [6]byte(c[2:])
		}
	case evpnDFElection:
		if !a.HasDFElection {
			a.HasDFElection, a.DFElection = true, [6]byte(c[2:])
		}
	case evpnNeighbour:
		if !a.ARPND.Said { // RFC 9047 section 3.2
			a.ARPND = bgp.ARPND{Said: true, Flags: c[2]}
		}
	default:
		if c[1] > lastEVPNSubtype {
			f := r.newFault(bgp.BadCommunity, bgp.Discarded, fmt.Sprintf(", community %02x:%02x", c[0], c[1]))
			f.Bytes = bgp.FirstBytes(c[:])
			r.faults = append(r.faults, *f)
		}
	}
}

// routerMAC takes the first. One that is none makes the route useless (RFC 9136 section
// 3.2: to be treated as withdrawn).
func (r *reading) routerMAC(mac ether.MAC) {
	switch {
	case mac.IsZero() || mac.IsMulticast():
		r.uselessFor(bgp.BadRouterMAC, ", router MAC "+mac.String())
	case r.attributes.RouterMAC.IsZero():
		r.attributes.RouterMAC = mac
	}
}

func (r *reading) uselessFor(reason bgp.Reason, what string) {
	if r.useless == nil {
		r.useless = r.newFault(reason, bgp.Withdrawn, what)
	}
}

// The tunnel types of a PMSI (RFC 6514 section 5).
const ingressReplication = 6

// pmsiTunnel reads the PMSI tunnel attribute (RFC 6514 section 5). What it says is of
// type-3 routes alone: without ingress replication, and with "no tunnel information
// present", there is nothing to flood to.
func (r *reading) pmsiTunnel(v []byte) verdict {
	if len(v) < 5 {
		return badLength
	}
	id := v[5:]
	a := &r.attributes
	if v[1] == ingressReplication {
		if len(id) != 0 && len(id) != 4 && len(id) != 16 {
			return badLength
		}
		if tunnel, _ := netip.AddrFromSlice(id); len(id) > 0 {
			tunnel = tunnel.Unmap()
			if !tunnel.IsUnspecified() && !tunnel.IsMulticast() {
				a.Tunnel = tunnel
			}
		}
	} else {
		r.noTunnel = r.newFault(bgp.BadTunnel, bgp.Withdrawn, fmt.Sprintf(", PMSI tunnel of type %d", v[1]))
	}
	a.HasTunnel, a.TunnelType, a.TunnelLabel = true, v[1], uint24(v[2:])
	return taken
}
