package controller

import (
	"fmt"
	"net/netip"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/p4"
)

// vrfSummary: a VRF is up when the target has its L3 VNI and its loopback.
func (l *loop) vrfSummary(v *vrf, without map[subject]refusals) summary {
	s := summary{unmet: l.whyUnstretched(v.VNI, v.VTEP, v.localVTEP)}
	if v.localVTEP.IsValid() {
		s.check(l, p4.L3VNI{Local: v.localVTEP, VNI: v.VNI})
		s.check(l, p4.LocalVTEP{Address: v.localVTEP})
	}
	if v.Loopback.IsValid() {
		s.check(l, p4.Route{VRF: v.Index, Prefix: single(v.Loopback.Addr())})
	}
	s.checkTarget(l)
	of := without[subject{ofVRF, v.Index}]
	s.partly, s.limited = of.partly, of.limited
	return s
}

// routesTo reports whether a prefix of the VRF leads to a VTEP.
func (v *vrf) routesTo(vtep netip.Addr) bool {
	for _, routes := range v.prefixes {
		for c := range routes.all() {
			if c.via.remote == vtep {
				return true
			}
		}
	}
	return false
}

// sviSummary: an SVI is up when packets to its MAC are routed, its subnets and
// addresses have their routes and somebody answers for them.
func (l *loop) sviSummary(o *svi, without map[subject]refusals) summary {
	if o.bridge == nil {
		return summary{unmet: fmt.Sprintf("VRF %s or logical bridge %s is not in place, or the bridge has another SVI",
			o.VRF, o.Bridge)}
	}
	var s summary
	s.check(l, p4.RouterMAC{Bridge: o.bridge.Index, MAC: o.mac})
	s.check(l, p4.RouterInterface{Bridge: o.bridge.Index})
	s.check(l, p4.GatewayMAC{Bridge: o.bridge.Index, MAC: o.mac})
	if o.bridge.localVTEP.IsValid() {
		s.check(l, p4.L3VNI{Local: o.bridge.localVTEP, VNI: o.vrf.VNI})
	}
	for _, g := range o.Gateways {
		s.check(l, p4.Route{VRF: o.vrf.Index, Prefix: g.Masked()})
		s.check(l, p4.Route{VRF: o.vrf.Index, Prefix: single(g.Addr())})
		s.check(l, p4.Gateway{Bridge: o.bridge.Index, Address: g.Addr()})
		if g.Addr().Is4() {
			s.check(l, p4.ARPHost{Bridge: o.bridge.Index, Address: g.Addr()})
		} else {
			s.check(l, p4.GatewayTarget{Bridge: o.bridge.Index, Address: g.Addr()})
			s.check(l, p4.NDHost{Bridge: o.bridge.Index, Address: g.Addr()})
		}
	}
	s.checkTarget(l)
	of := without[subject{ofGateway, o.bridge.Index}]
	s.partly, s.limited = of.partly, of.limited
	return s
}

// kernelComponent is the slow path's part. An object is up without it: packets
// are routed, but the gateway answers no ping and finds no silent hosts.
func kernelComponent(there bool, fault string) intent.Component {
	c := intent.Component{Name: "slowpath", Status: intent.ComponentSuccess}
	switch {
	case fault != "":
		c.Status, c.Details = intent.ComponentError, details(fault)
	case !there:
		c.Status, c.Details = intent.ComponentPending, details("Linux is still to be set up for it")
	}
	return c
}

// bgpComponent says how many routes of a bridge or VRF BGP was given.
func (l *loop) bgpComponent(of advertKey) intent.Component {
	c := intent.Component{Name: "bgp", Status: intent.ComponentSuccess}
	switch n := l.advertised[of]; {
	case l.as == 0:
		c.Status, c.Details = intent.ComponentPending, details(fmt.Sprintf("there is no %v", intent.KindSpeaker))
	case n == 0 && len(l.dirtyAdverts) > 0:
		c.Status, c.Details = intent.ComponentPending, details("its routes are still to be advertised")
	default:
		c.Details = fmt.Sprintf(`{"routes":%d}`, n)
	}
	return c
}

// vrfStatus adds what BGP and the kernel do for a VRF.
func (l *loop) vrfStatus(v *vrf, without map[subject]refusals) intent.Status {
	out := l.vrfSummary(v, without).status()
	if v.localVTEP.IsValid() {
		out.Components = append(out.Components, l.bgpComponent(advertKey{vrf: v.Index}))
	}
	if l.slow != nil {
		fault, there := l.slow.Status().VRFs[v.Index]
		out.Components = append(out.Components, kernelComponent(there, fault))
	}
	return out
}

func (l *loop) sviStatus(s *svi, without map[subject]refusals) intent.Status {
	out := l.sviSummary(s, without).status()
	if s.EnableBGP {
		out.Components = append(out.Components, intent.Component{Name: "bgp", Status: intent.ComponentError,
			Details: details("BGP sessions with hosts are not supported yet: the SVI routes without them")})
	}
	if l.slow != nil && s.bridge != nil {
		fault, there := l.slow.Status().SVIs[s.bridge.Index]
		out.Components = append(out.Components, kernelComponent(there, fault))
	}
	return out
}
