package intent

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/ether"
)

func (s SVI) Check() error {
	var v violations
	v.check("id", CheckID(s.ID))
	v.check("vrf", CheckID(s.VRF))
	v.check("logical_bridge", CheckID(s.Bridge))
	if s.MAC != (ether.MAC{}) {
		v.check("mac_address", CheckMAC(s.MAC))
	}
	switch n := len(s.Gateways); {
	case n == 0:
		v.add("gw_ip_prefix", "not set: want at least one address with a length, such as 10.0.0.1/24")
	case n > MaxGateways:
		v.add("gw_ip_prefix", fmt.Sprintf("%d given: want at most %d", n, MaxGateways))
	default:
		v.gateways(s.Gateways)
	}
	if s.EnableBGP && s.RemoteAS == 0 {
		v.add("remote_as", fmt.Sprintf("not set, though enable_bgp is: want 1 to %d", maxRemoteAS))
	} else if s.RemoteAS > maxRemoteAS {
		v.add("remote_as", fmt.Sprintf("%d is out of range: want 1 to %d", s.RemoteAS, maxRemoteAS))
	}
	return v.invalid(s.Ref())
}

// gateways checks the addresses of one SVI, each and against those before it.
func (v *violations) gateways(gateways []netip.Prefix) {
	for i, g := range gateways {
		field := fmt.Sprintf("gw_ip_prefix[%d]", i)
		if err := CheckGateway(g); err != nil {
			v.add(field, err.Error())
			continue
		}
		if j := slices.IndexFunc(gateways[:i], g.Overlaps); j >= 0 {
			v.add(field, fmt.Sprintf("%v overlaps gw_ip_prefix[%d], %v: want subnets that do not", g, j, gateways[j]))
		}
	}
}

// admit checks that what the SVI refers to is there, that its bridge has no
// other, and that its subnets are free in the VRF.
func (s SVI) admit(tx *Tx, _ *SVI) (SVI, error) {
	var v violations
	if _, ok := tx.vrfs.find(s.VRF); !ok {
		v.missing("vrf", Ref{KindVRF, s.VRF})
	}
	if _, ok := tx.bridges.find(s.Bridge); !ok {
		v.missing("logical_bridge", Ref{KindLogicalBridge, s.Bridge})
	}
	if v != nil {
		return s, v.notFound(s.Ref())
	}
	for _, o := range tx.svis.rows {
		if o.ID == s.ID {
			continue
		}
		if o.Bridge == s.Bridge {
			v = append(v, Violation{"logical_bridge",
				fmt.Sprintf("%v has %v already: a bridge has one at most", Ref{KindLogicalBridge, s.Bridge}, o.Ref()), o.Ref()})
		}
		if o.VRF == s.VRF {
			v.overlaps(s, o)
		}
	}
	for _, o := range tx.statics.rows {
		if o.Bridge == s.Bridge {
			v.stations(s, o)
		}
	}
	return s, v.conflict(s.Ref())
}

// stations checks a gateway against a static MAC of its bridge.
func (v *violations) stations(s SVI, o StaticMAC) {
	if s.MAC == o.MAC {
		v.taken("mac_address", s.MAC, o.Ref())
	}
	for i, g := range s.Gateways {
		if slices.Contains(o.IPs, g.Addr()) {
			v.taken(fmt.Sprintf("gw_ip_prefix[%d]", i), g.Addr(), o.Ref())
		}
	}
}

// overlaps checks the subnets of an SVI against those of another in its VRF.
func (v *violations) overlaps(s, o SVI) {
	for i, g := range s.Gateways {
		if j := slices.IndexFunc(o.Gateways, g.Overlaps); j >= 0 {
			*v = append(*v, Violation{fmt.Sprintf("gw_ip_prefix[%d]", i),
				fmt.Sprintf("%v overlaps %v of %v in the same VRF: want a subnet that is free", g, o.Gateways[j],
					o.Ref()), o.Ref()})
		}
	}
}

// has reports whether an address is one of the gateways'.
func (s SVI) has(a netip.Addr) bool {
	return slices.ContainsFunc(s.Gateways, func(g netip.Prefix) bool { return g.Addr() == a })
}

// release: nothing refers to an SVI.
func (s SVI) release(*Tx) error { return nil }

func (s SVI) clone() SVI {
	s.Gateways = slices.Clone(s.Gateways)
	return s
}
