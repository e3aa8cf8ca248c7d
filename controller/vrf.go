package controller

import (
	"iter"
	"math"
	"net/netip"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// vrf is one VRF and all that is known in it.
type vrf struct {
	intent.VRF
	// localVTEP is our VTEP address for it; invalid unless EVPN stretches it.
	localVTEP netip.Addr
	svis      map[string]*svi // in place, by id
	// prefixes are the imported routes by what they lead to.
	prefixes map[netip.Prefix]candidates
	most     int // of prefixes: see without
	// imported counts them by type.
	imported [bgp.TypePrefix + 1]int64
}

// routerMACOf gives the gateway's router MAC: the configured one, else one that
// the address makes locally unique, 02:00 and its four bytes. It stands in no
// anycast address, so that no two gateways share it.
func routerMACOf(cfg Config) ether.MAC {
	if !cfg.RouterMAC.IsZero() {
		return cfg.RouterMAC
	}
	of := cfg.RouterID
	if len(cfg.VTEPs) > 0 {
		of = cfg.VTEPs[0]
	}
	if !of.IsValid() {
		return ether.MAC{2} // no routing by VNI without a VTEP
	}
	a := of.As4()
	return ether.MAC{2, 0, a[0], a[1], a[2], a[3]}
}

func (l *loop) vrfChanged(o intent.VRF, deleted bool) {
	v := l.vrfByID[o.ID]
	if v != nil && (deleted || v.Index != o.Index) {
		l.deleteVRF(v)
		v = nil
	}
	if deleted {
		return
	}
	if v == nil {
		v = &vrf{svis: map[string]*svi{}, prefixes: map[netip.Prefix]candidates{}}
		l.vrfs[o.Index], l.vrfByID[o.ID] = v, v
		l.meterMore(p4.VRFMeters(o.Index))
		l.awaitSVIs(func(s *svi) bool { return s.VRF == o.ID })
	}
	l.markVRF(v) // what goes with the old values
	old := v.VRF
	v.VRF = o
	if old.VNI != o.VNI || old.VTEP != o.VTEP {
		l.stretchVRF(v, old.VNI)
	}
	l.markVRF(v)
	for _, s := range v.svis {
		l.addressesChanged(s.bridge) // their routes carry the VRF's VNI
	}
}

func (l *loop) deleteVRF(v *vrf) {
	for _, s := range v.svis {
		l.removeSVI(s)
		l.dirtySVIs[s.ID] = struct{}{}
	}
	l.markVRF(v)
	old := v.VNI
	v.VNI = 0
	l.stretchVRF(v, old)
	delete(l.vrfs, v.Index)
	delete(l.vrfByID, v.ID)
	l.dirtyKernel = true
}

// stretchVRF makes EVPN follow a change of the VRF's VNI or VTEP, as stretch
// does for bridges.
func (l *loop) stretchVRF(v *vrf, oldVNI uint32) {
	l.relocate(&v.localVTEP, l.chooseVTEP(v.VNI, v.VTEP), func() {
		l.unimportPrefixes(v)
		l.mark(p4.L3VNI{Local: v.localVTEP, VNI: oldVNI})
		if l.vrfByVNI[oldVNI] == v {
			delete(l.vrfByVNI, oldVNI)
		}
	}, func() {
		l.vrfByVNI[v.VNI] = v
		l.importPrefixes(v)
	})
	l.markDisplacedVRFs(oldVNI, v.VNI)
}

// markVRF marks all entries and routes of ours that have the VRF in their key,
// but those of hosts.
func (l *loop) markVRF(v *vrf) {
	if v.localVTEP.IsValid() {
		l.mark(p4.L3VNI{Local: v.localVTEP, VNI: v.VNI})
	}
	if v.Loopback.IsValid() {
		l.markPrefix(v, single(v.Loopback.Addr()))
	}
	for _, st := range l.cfg.VRFs[v.ID].StaticRoutes {
		l.markPrefix(v, st.Prefix.Masked())
	}
	for p := range v.prefixes {
		l.mark(p4.Route{VRF: v.Index, Prefix: p})
	}
	for _, s := range v.svis {
		l.markSVI(s)
	}
	l.dirtyKernel = true
}

// prefixesOf yields every prefix that a VRF may have an entry for, some twice.
func (l *loop) prefixesOf(v *vrf) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		if v.Loopback.IsValid() && !yield(single(v.Loopback.Addr())) {
			return
		}
		for _, st := range l.cfg.VRFs[v.ID].StaticRoutes {
			if !yield(st.Prefix.Masked()) {
				return
			}
		}
		for p := range v.prefixes {
			if !yield(p) {
				return
			}
		}
		for _, s := range v.svis {
			for p := range s.prefixes() {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// markPrefix marks the entry of a prefix that is ours, and our route of it.
func (l *loop) markPrefix(v *vrf, p netip.Prefix) {
	l.mark(p4.Route{VRF: v.Index, Prefix: p})
	l.dirtyAdverts[advertKey{vrf: v.Index, prefix: p}] = struct{}{}
}

// markOwnPrefixes marks our routes of the VRF.
func (l *loop) markOwnPrefixes(v *vrf) {
	if v.Loopback.IsValid() {
		l.markPrefix(v, single(v.Loopback.Addr()))
	}
	for _, st := range l.cfg.VRFs[v.ID].StaticRoutes {
		l.markPrefix(v, st.Prefix.Masked())
	}
	for _, s := range v.svis {
		for _, g := range s.Gateways {
			l.markPrefix(v, g.Masked())
		}
	}
}

// single is the prefix of one address.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// desiredVNI gives a VNI to the bridge or the VRF that has it.
func (l *loop) desiredVNI(local netip.Addr, vni uint32) entry {
	if b := l.byVNI[vni]; b != nil && b.localVTEP == local {
		return p4.VNI{Local: local, VNI: vni, Bridge: b.Index}
	}
	if v := l.vrfByVNI[vni]; v != nil && v.endsAt(local) {
		return p4.L3VNI{Local: local, VNI: vni, VRF: v.Index, RouterMAC: l.routerMAC}
	}
	return nil
}

// endsAt reports whether the VRF's L3 VNI ends at one of our VTEP addresses: its own,
// and those of its bridges, since a type-2 route has one next hop for both VNIs.
func (v *vrf) endsAt(local netip.Addr) bool {
	if v.localVTEP == local {
		return true
	}
	for _, s := range v.svis {
		if s.bridge.localVTEP == local {
			return true
		}
	}
	return false
}

// markDisplacedVRFs is markDisplacedRDs for VRFs.
func (l *loop) markDisplacedVRFs(vnis ...uint32) {
	for _, vni := range vnis {
		if v := l.vrfs[uint16(vni%4096)]; vni != 0 && vni <= math.MaxUint16 && v != nil && v.VNI > math.MaxUint16 {
			l.markOwnPrefixes(v)
		}
	}
}

// sviOf is the SVI in place whose subnet holds the address, nil if there is
// none.
func (v *vrf) sviOf(ip netip.Addr) *svi {
	for _, s := range v.svis {
		if s.covers(ip) {
			return s
		}
	}
	return nil
}
