package controller

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// SlowPath is what the kernel does for the VRFs; *slowpath.Slowpath is one. None
// of its methods may block.
type SlowPath interface {
	Set([]slowpath.VRF)
	Deliver(slowpath.Frame)
	Events() <-chan slowpath.Neighbor
	SetRemote(bridge uint16, ip netip.Addr, mac ether.MAC)
	RemoveRemote(bridge uint16, ip netip.Addr)
	SetAsker(bridge uint16, a slowpath.Asker)
	RemoveAsker(bridge uint16, ip netip.Addr)
	Probe(bridge uint16, ip netip.Addr)
	Forget(bridge uint16, ip netip.Addr)
	Converged()
	Status() slowpath.Status
}

// neighborKey is an address of a bridge.
type neighborKey struct {
	bridge uint16
	ip     netip.Addr
}

// kernelChanged takes what the kernel knows of a neighbour. One that failed was
// asked and did not answer: the MAC here that has the address is gone, whatever it said
// before. Another that claims it has it then, and is asked itself. One that it was to forget
// says nothing new.
func (l *loop) kernelChanged(n slowpath.Neighbor) {
	b, ip := l.bridges[n.Bridge], n.IP.Unmap()
	_, forgotten := l.forgotten[neighborKey{n.Bridge, ip}]
	delete(l.forgotten, neighborKey{n.Bridge, ip})
	if b == nil || b.svi == nil || b.svi.vrf.Index != n.VRF || !packet.IsHost(ip) {
		return
	}
	a := b.addresses[ip]
	switch {
	case n.Present && !n.MAC.IsZero() && !n.MAC.IsMulticast():
		if a == nil {
			a = l.address(b, ip)
		}
		b.soleClaim(ip, a, n.MAC, bySlowPath)
	case a != nil:
		at := b.locate(ip)
		b.soleClaim(ip, a, ether.MAC{}, bySlowPath)
		// What we told it, or had it forget, it did not ask for.
		if _, told := l.kernelHosts[neighborKey{b.Index, ip}]; at.here() && !told && !forgotten {
			b.removeClaim(ip, a, at.mac, spoken)
		}
	}
	l.addressChanged(b, ip)
}

// forgetNeighbor has the kernel forget a host: else it would say nothing when it hears it
// again.
func (l *loop) forgetNeighbor(k neighborKey) {
	if l.slow != nil {
		l.forgotten[k] = struct{}{}
		l.slow.Forget(k.bridge, k.ip)
	}
}

// settleKernel gives the slow path what changed: the VRFs and SVIs as a whole,
// and hosts behind VTEPs one by one.
func (l *loop) settleKernel() {
	if l.slow == nil {
		return
	}
	if l.dirtyKernel {
		l.slow.Set(l.kernelVRFs())
		l.dirtyKernel, l.probedAt = false, time.Time{}
	}
	l.settleAskers()
	for k := range l.dirtyNeighbors {
		mac := l.remoteNeighbor(k)
		old, had := l.kernelHosts[k]
		switch {
		case mac.IsZero() && had:
			delete(l.kernelHosts, k)
			l.slow.RemoveRemote(k.bridge, k.ip)
		case !mac.IsZero() && mac != old:
			l.kernelHosts[k] = mac
			l.slow.SetRemote(k.bridge, k.ip, mac)
		}
		l.settleAsker(k)
	}
	clear(l.dirtyNeighbors)
	l.probeNextHops()
}

// remoteNeighbor is the MAC of a host behind a VTEP that the kernel is to know,
// zero if it is not to.
func (l *loop) remoteNeighbor(k neighborKey) ether.MAC {
	b := l.bridges[k.bridge]
	if b == nil || !b.svi.covers(k.ip) {
		return ether.MAC{}
	}
	at := b.locate(k.ip)
	if at.here() || at.claimed && b.addresses[k.ip].claim(at.mac).by&byAnswer == 0 { // the kernel itself found it
		return ether.MAC{}
	}
	return at.mac
}

// kernelVRFs is what the kernel shall have, in a steady order.
func (l *loop) kernelVRFs() []slowpath.VRF {
	out := make([]slowpath.VRF, 0, len(l.vrfs))
	for _, v := range l.vrfs {
		k := slowpath.VRF{ID: v.Index, Name: v.ID, RouterMAC: l.routerMAC, Loopback: v.Loopback}
		for _, s := range v.svis {
			k.SVIs = append(k.SVIs, slowpath.SVI{
				Bridge: s.bridge.Index, Name: s.ID, MAC: s.mac, Addresses: slices.Clone(s.Gateways),
				Advertise: !l.cfg.SVIs[s.ID].Silent &&
					slices.ContainsFunc(s.Gateways, func(g netip.Prefix) bool { return g.Addr().Is6() }),
				AdvertiseFar: l.cfg.SVIs[s.ID].Centralised,
			})
		}
		slices.SortFunc(k.SVIs, func(a, b slowpath.SVI) int { return cmp.Compare(a.Bridge, b.Bridge) })
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b slowpath.VRF) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// probeNextHops has the kernel look for next hops of static routes that nobody
// has heard of: at once when there is a new one, and again and again.
func (l *loop) probeNextHops() {
	now := l.now()
	if now.Sub(l.probedAt) < idleTick/2 {
		return
	}
	l.probedAt = now
	for id, c := range l.cfg.VRFs {
		v := l.vrfByID[id]
		if v == nil {
			continue
		}
		for _, st := range c.StaticRoutes {
			if s := v.sviOf(st.NextHop); s != nil && !s.gateway(st.NextHop) && !s.bridge.locate(st.NextHop).known() {
				l.slow.Probe(s.bridge.Index, st.NextHop)
				l.seek(s.bridge, st.NextHop)
			}
		}
	}
}
