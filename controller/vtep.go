package controller

import (
	"cmp"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/underlay"
	"github.com/p4evpn/p4evpn/internal/events"
	"github.com/p4evpn/p4evpn/p4"
)

// remoteVTEP is a VTEP that routes point to.
type remoteVTEP struct {
	addr    netip.Addr
	users   int // of all its tunnels
	tracked bool
	// answered: the underlay has said something since it tracks the VTEP.
	answered bool
	paths    []underlay.Path
	reason   string // why there is no path
	tunnels  []*tunnel
}

// tunnelKey names a tunnel: our VTEP address and theirs.
type tunnelKey struct{ local, remote netip.Addr }

// tunnel is what the P4 program calls a VTEP: one encapsulation, with an id. A
// tunnel without users stays until its entries are off the target, so that its
// id never means two things.
type tunnel struct {
	tunnelKey
	id     uint16 // 0: it waits for one
	to     *remoteVTEP
	users  int
	hops   []hop        // by which flows may leave, in order
	group  *uplinkGroup // among which they choose; nil: they have the path of replicas, if any
	alone  bool         // the target refused to have them choose
	path   underlay.Path
	port   uint16     // uplink of the path
	adj    *adjacency // nil: there is no path
	dark   bool       // there were one, if its uplink had carrier
	floods map[*bridge]struct{}
	// replicates: it is, or was, flooded to.
	replicates bool
	// candidates are those that lead over it, in no order.
	candidates []*candidate
}

// useTunnel gives the tunnel and counts one more user.
func (l *loop) useTunnel(local, remote netip.Addr) *tunnel {
	t := l.tunnel(tunnelKey{local, remote})
	if t.id == 0 && t.users == 0 {
		l.numberTunnel(t)
	}
	t.users++
	t.to.users++
	if t.users == 1 {
		l.pathChanged(t)
		l.markTunnel(t.id)
	}
	if t.to.users == 1 {
		l.dirtyRemoteVTEPs[remote] = struct{}{}
	}
	return t
}

// dropTunnel counts one user less.
func (l *loop) dropTunnel(t *tunnel) {
	t.users--
	t.to.users--
	switch {
	case t.users > 0:
	case t.id == 0:
		l.removeTunnel(t) // the target has nothing of it
	default:
		l.pathChanged(t)
		l.markTunnel(t.id)
	}
	if t.to.users == 0 {
		l.dirtyRemoteVTEPs[t.remote] = struct{}{}
	}
}

// tunnel finds or makes a tunnel, without a user and without an id.
func (l *loop) tunnel(key tunnelKey) *tunnel {
	if t := l.tunnels[key]; t != nil {
		return t
	}
	r := l.remoteVTEPs[key.remote]
	if r == nil {
		r = &remoteVTEP{addr: key.remote, reason: "not looked up yet"}
		l.remoteVTEPs[key.remote] = r
	}
	t := &tunnel{tunnelKey: key, to: r, floods: map[*bridge]struct{}{}}
	r.tunnels = append(r.tunnels, t)
	l.tunnels[key] = t
	return t
}

// numberTunnel gives a tunnel the lowest free id, or has it wait for one.
func (l *loop) numberTunnel(t *tunnel) {
	t.id = 0
	if len(l.tunnelByID) < l.cfg.MaxVTEPs {
		t.id, _ = l.tunnelIDs.take() // there are more than may be in use
		l.tunnelByID[t.id] = t
		delete(l.unnumbered, t)
		return
	}
	l.unnumbered[t] = struct{}{}
	if !l.vtepsFull {
		l.vtepsFull = true
		l.log.Warn("as many remote VTEPs are in use as may be: others wait", events.Key, events.Limit,
			"limit", l.cfg.MaxVTEPs, "first", t.remote)
	}
}

// numberWaiting gives ids to tunnels that wait for one, in the order of their addresses.
func (l *loop) numberWaiting() {
	room := l.cfg.MaxVTEPs - len(l.tunnelByID)
	l.vtepsFull = l.vtepsFull && room <= 0
	if room <= 0 || len(l.unnumbered) == 0 {
		return
	}
	waiting := slices.SortedFunc(maps.Keys(l.unnumbered), func(a, b *tunnel) int {
		return cmp.Or(a.remote.Compare(b.remote), a.local.Compare(b.local))
	})
	for _, t := range waiting[:min(room, len(waiting))] {
		l.numberTunnel(t)
		l.pathChanged(t)
		l.markTunnel(t.id)
		l.dirtyRemoteVTEPs[t.remote] = struct{}{}
		for _, c := range t.candidates {
			l.markNumbered(c)
		}
	}
}

// markNumbered marks what leads over a tunnel that was given its id.
func (l *loop) markNumbered(c *candidate) {
	switch r := c.route; {
	case c.inVRF:
		l.mark(p4.Route{VRF: c.owner, Prefix: r.prefix()})
	case r.Type == bgp.TypeMulticast:
		b := l.bridges[c.owner]
		rep := b.flood[r.vtep]
		b.numberReplica(rep)
		l.markReplica(b, rep)
	default:
		l.mark(p4.FDB{Bridge: c.owner, MAC: r.MAC})
	}
}

// markTunnel marks the entries that have a VTEP id in their key.
func (l *loop) markTunnel(id uint16) {
	l.mark(p4.Tunnel{VTEP: id})
	l.mark(p4.Path{VTEP: id})
	l.mark(p4.Flows{VTEP: id})
}

// forgetTunnel drops a tunnel without users once no entry of it is left.
func (l *loop) forgetTunnel(id uint16) {
	t := l.tunnelByID[id]
	if t == nil || t.users > 0 || l.held(p4.Tunnel{VTEP: id}) || l.held(p4.Path{VTEP: id}) ||
		l.held(p4.Flows{VTEP: id}) {
		return
	}
	delete(l.tunnelByID, id)
	l.tunnelIDs.release(id)
	l.removeTunnel(t)
}

func (l *loop) removeTunnel(t *tunnel) {
	delete(l.unnumbered, t)
	delete(l.tunnels, t.tunnelKey)
	t.to.tunnels = slices.DeleteFunc(t.to.tunnels, func(o *tunnel) bool { return o == t })
	l.dirtyRemoteVTEPs[t.remote] = struct{}{}
}

// settleRemoteVTEPs has the underlay follow the VTEPs in use, and forgets those
// without tunnels.
func (l *loop) settleRemoteVTEPs() {
	for addr := range l.dirtyRemoteVTEPs {
		r := l.remoteVTEPs[addr]
		if r == nil {
			continue
		}
		l.mark(remoteVTEPKey(addr))
		used := r.numbered()
		switch {
		case used && !r.tracked:
			l.underlay.Track(addr)
		case !used && r.tracked:
			l.underlay.Untrack(addr)
			r.paths, r.reason, r.answered = nil, "not looked up yet", false
		}
		r.tracked = used
		if len(r.tunnels) == 0 {
			delete(l.remoteVTEPs, addr)
		}
	}
	clear(l.dirtyRemoteVTEPs)
}

// numbered reports whether a VTEP is in use, and is one of those that may be.
func (r *remoteVTEP) numbered() bool {
	return slices.ContainsFunc(r.tunnels, func(t *tunnel) bool { return t.users > 0 && t.id != 0 })
}

// underlayChanged takes the newest state of a VTEP's paths.
func (l *loop) underlayChanged(c underlay.Change) {
	r := l.remoteVTEPs[c.VTEP]
	if r == nil || !r.tracked {
		return
	}
	first := !r.answered
	r.paths, r.reason, r.answered = c.Paths, c.Reason, true
	for _, t := range r.tunnels {
		if l.pathChanged(t); first {
			l.nextHopsOver(t)
		}
	}
}

// pathChanged chooses the tunnel's paths anew and marks what follows from it.
func (l *loop) pathChanged(t *tunnel) {
	l.setHops(t, l.hopsOf(t))
	path, port, ok := l.choosePath(t)
	t.dark = !ok && slices.ContainsFunc(t.to.paths, func(p underlay.Path) bool { return l.uplinks[p.Uplink] != 0 })
	if ok == (t.adj != nil) && path == t.path && port == t.port {
		return
	}
	old := t.adj
	t.path, t.port, t.adj = path, port, nil
	if ok {
		t.adj = l.useAdjacency(adjacencyKey{path.Source, path.Destination})
	}
	if old != nil {
		l.dropAdjacency(old)
	}
	l.markTunnel(t.id)
	for b := range t.floods {
		l.mark(p4.Group{ID: b.Index})
	}
	if (old != nil) != ok {
		l.tunnelFlipped(t)
	}
}

// choosePath takes the path of replicas: the one with the highest hash over tunnel and path,
// so that tunnels spread over the uplinks, and when one is lost only its own move.
func (l *loop) choosePath(t *tunnel) (best underlay.Path, port uint16, ok bool) {
	if t.users == 0 || t.id == 0 {
		return best, 0, false
	}
	var top uint64
	for _, p := range t.to.paths {
		n, known := l.uplinks[p.Uplink]
		if !known || !l.linkUp(n) {
			continue
		}
		w := t.weight(p)
		if !ok || cmp.Or(cmp.Compare(w, top), best.Compare(p)) > 0 {
			best, port, top, ok = p, n, w, true
		}
	}
	return best, port, ok
}

func (t *tunnel) weight(p underlay.Path) uint64 {
	h := fnv.New64a()
	b, _ := t.remote.MarshalBinary()
	h.Write(b)
	b, _ = t.local.MarshalBinary()
	h.Write(b)
	h.Write(p.Destination[:])
	h.Write([]byte(p.Uplink))
	// FNV leaves the high bits of short inputs alike: mix them (splitmix64).
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// unresolved says why a tunnel has no path, "" if it has one.
func (t *tunnel) unresolved() string {
	switch {
	case t.adj != nil:
		return ""
	case t.id == 0:
		return "as many remote VTEPs are in use as may be: it waits (limits.vteps)"
	case t.dark:
		return "the uplinks of all its paths are without carrier"
	case len(t.to.paths) > 0:
		return "its paths leave by devices that are no uplinks of the configuration"
	}
	return t.to.reason
}

func (l *loop) desiredTunnel(id uint16) entry {
	t := l.tunnelByID[id]
	if t == nil || t.adj == nil {
		return nil
	}
	e := p4.Tunnel{VTEP: id, Source: t.local, Destination: t.remote}
	if t.replicates || t.group == nil {
		e.Adjacency, e.MTU = t.adj.id, tenantMTU(t.path)
	}
	return e
}

func (l *loop) desiredPath(id uint16) entry {
	t := l.tunnelByID[id]
	if t == nil || t.adj == nil || t.group != nil {
		return nil
	}
	return p4.Path{VTEP: id, Port: t.port, MTU: tenantMTU(t.path)}
}

func (l *loop) desiredFlows(id uint16) entry {
	t := l.tunnelByID[id]
	if t == nil || t.group == nil {
		return nil
	}
	return p4.Flows{VTEP: id, Group: t.group.id}
}

// anyRemoteVTEP lets in VXLAN from every source.
var anyRemoteVTEP = netip.PrefixFrom(netip.IPv4Unspecified(), 0)

func remoteVTEPKey(a netip.Addr) p4.RemoteVTEP { return p4.RemoteVTEP{Prefix: netip.PrefixFrom(a, 32)} }

func (l *loop) desiredRemoteVTEP(prefix netip.Prefix) entry {
	if l.cfg.AcceptUnknownVTEPs {
		if prefix == anyRemoteVTEP {
			return p4.RemoteVTEP{Prefix: anyRemoteVTEP}
		}
		return nil
	}
	if r := l.remoteVTEPs[prefix.Addr()]; prefix.Bits() != 32 || r == nil || !r.numbered() {
		return nil
	}
	return p4.RemoteVTEP{Prefix: prefix}
}
