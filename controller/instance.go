package controller

import (
	"fmt"
	"math"
	"net/netip"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/p4"
)

// instance is what a bridge's or VRF's EVPN instance was given in place of what
// follows from its VNI; the zero value is nothing.
type instance struct {
	rd               bgp.RD
	imports, exports bgp.RouteTargets
	macIPOnly        bool
	// ethernetTag is the bridge's beside its VNI, in routes of others; 0 is none.
	ethernetTag uint32
	// taggedMulticast: the bridge's VNI is the tag of our type-3 route.
	taggedMulticast bool
	dropUnknown     bool // the bridge does not flood frames to unknown stations
	maxRoutes       int  // limit of the routes of the VRF of a family; 0 = the configuration's
	maxMACs         int  // limit of the MACs learned in the bridge; 0 = the configuration's
	maxAddresses    int  // limit of the addresses of MACs on the bridge's ports; 0 = the configuration's
}

// takes reports whether what has the instance imports routes with these route targets: by
// those that it was given, else by *:VNI. Neither VNI nor RD of a route matter.
func (i instance) takes(vni uint32, rts bgp.RouteTargets) bool {
	if i.imports.Len() == 0 {
		return rts.MatchesVNI(vni)
	}
	for rt := range i.imports.All() {
		if rts.Contains(rt) {
			return true
		}
	}
	return false
}

func (l *loop) bridgeInstance(b *bridge) instance { return l.instances[intent.InstanceID(b.Ref())] }
func (l *loop) vrfInstance(v *vrf) instance       { return l.instances[intent.InstanceID(v.Ref())] }

// instanceChanged takes the settings of an instance as they are now. What it
// imports before and after stays where it is.
func (l *loop) instanceChanged(o intent.Instance, deleted bool) {
	old, now := l.instances[o.ID], instance{}
	if deleted {
		delete(l.instances, o.ID)
	} else {
		now = instance{rd: o.RD, imports: bgp.MakeRouteTargets(o.Import...), exports: bgp.MakeRouteTargets(o.Export...),
			macIPOnly: o.MACIPOnly, ethernetTag: o.EthernetTag, taggedMulticast: o.TaggedMulticast,
			maxMACs: int(o.MaxMACs), maxAddresses: int(o.MaxAddresses), maxRoutes: int(o.MaxRoutes),
			dropUnknown: o.DropUnknownUnicast}
		l.instances[o.ID] = now
	}
	switch of := o.Of(); of.Kind {
	case intent.KindLogicalBridge:
		if b := l.byID[of.ID]; b != nil {
			if b.localVTEP.IsValid() {
				l.retag(b, old.ethernetTag)
				l.importRoutes(b)
			}
			l.markAdverts(b)
			l.vacant[b.Index] = struct{}{}
			l.mark(p4.NoFlood{Bridge: b.Index})
		}
	case intent.KindVRF:
		if v := l.vrfByID[of.ID]; v != nil {
			if v.localVTEP.IsValid() {
				l.importPrefixes(v)
			}
			l.markExports(v)
			l.target.Reconsider()
		}
	}
	if old.rd != now.rd {
		delete(l.explicitRDs, old.rd)
		if now.rd != (bgp.RD{}) {
			l.explicitRDs[now.rd] = true
		}
		l.markAllAdverts() // one that has it by its VNI gives way, or has it again
	}
}

// speakerChanged takes our AS and router id, which are in every route of ours.
func (l *loop) speakerChanged(o intent.Speaker, deleted bool) {
	if deleted {
		o = intent.Speaker{}
	}
	l.as, l.routerID = o.AS, o.RouterID
	l.markAllAdverts()
}

func (l *loop) markAllAdverts() {
	for _, b := range l.bridges {
		l.markAdverts(b)
	}
	for _, v := range l.vrfs {
		l.markExports(v)
	}
}

// markExports marks our routes that carry the VRF's route targets: its own and
// those of the hosts in its subnets.
func (l *loop) markExports(v *vrf) {
	l.markOwnPrefixes(v)
	for _, s := range v.svis {
		l.markAdverts(s.bridge)
	}
}

// exportRouteTargets are what our routes of the bridge carry.
func (l *loop) exportRouteTargets(b *bridge) bgp.RouteTargets {
	if t := l.bridgeInstance(b).exports; t.Len() > 0 {
		return t
	}
	return bgp.MakeRouteTargets(bgp.AutoRouteTarget(l.as, b.VNI))
}

// vrfExports are what our routes of the VRF carry.
func (l *loop) vrfExports(v *vrf) bgp.RouteTargets {
	if t := l.vrfInstance(v).exports; t.Len() > 0 {
		return t
	}
	return bgp.MakeRouteTargets(bgp.AutoRouteTarget(l.as, v.VNI))
}

// bridgeRD is the bridge's route distinguisher: the one that it was given, else
// the router id and a number.
func (l *loop) bridgeRD(b *bridge) bgp.RD {
	if rd := l.bridgeInstance(b).rd; rd != (bgp.RD{}) {
		return rd
	}
	return l.autoRD(l.routerID, b.VNI, b.Index, func(n uint32) bool { return l.byVNI[n] != nil })
}

// vrfRD is the VRF's route distinguisher: the one that it was given, else its
// IPv4 loopback or the router id, and a number as a bridge's.
func (l *loop) vrfRD(v *vrf) bgp.RD {
	if rd := l.vrfInstance(v).rd; rd != (bgp.RD{}) {
		return rd
	}
	admin := l.routerID
	if a := v.Loopback.Addr(); a.Is4() {
		admin = a
	}
	return l.autoRD(admin, v.VNI, v.Index, func(n uint32) bool { return l.vrfByVNI[n] != nil })
}

// autoRD numbers a route distinguisher by the VNI if that fits 16 bits, else by
// the index, or the next number that is no VNI here; one that was given to an
// instance by hand is that one's. Like that it depends on nothing but what there
// is now, and no two share one, since no two of a kind share an index.
func (l *loop) autoRD(admin netip.Addr, vni uint32, index uint16, isVNI func(uint32) bool) bgp.RD {
	explicit := func(n uint32) bool { return l.explicitRDs[bgp.RouterRD(admin, uint16(n))] }
	if vni <= math.MaxUint16 && !explicit(vni) {
		return bgp.RouterRD(admin, uint16(vni))
	}
	n := uint32(index)
	for n+4096 <= math.MaxUint16 && (isVNI(n) || explicit(n)) {
		n += 4096
	}
	return bgp.RouterRD(admin, uint16(n))
}

// instanceSummary: the settings of what is there are in force.
func (l *loop) instanceSummary(id string) summary {
	switch of := (intent.Instance{ID: id}).Of(); {
	case of.Kind == intent.KindVRF && l.vrfByID[of.ID] == nil, of.Kind == intent.KindLogicalBridge && l.byID[of.ID] == nil:
		return summary{unmet: fmt.Sprintf("there is no %v", of)}
	}
	return summary{}
}
