package controller

import (
	"github.com/p4evpn/p4evpn/p4"
)

// entry is a typed value of package p4. With only its key fields set it names
// an entry; that is what is marked dirty.
type entry interface{ Entry() p4.Entry }

// keyOf is the key of the entry that k names.
func keyOf(k entry) p4.Key {
	if k, ok := k.(interface{ Key() p4.Key }); ok {
		return k.Key() // the many have a cheaper way
	}
	return k.Entry().Key
}

// desired computes the entry that k names from the loop's state, nil if there
// shall be none.
func (l *loop) desired(k entry) entry {
	switch k := k.(type) {
	case p4.FDB:
		return l.desiredFDB(k.Bridge, k.MAC)
	case p4.Source:
		return l.desiredSource(k.Bridge, k.MAC, k.Port)
	case p4.Group:
		return l.desiredGroup(k.ID)
	case p4.Replica:
		return l.desiredReplica(k.Bridge, k.Instance)
	case p4.Tunnel:
		return l.desiredTunnel(k.VTEP)
	case p4.Path:
		return l.desiredPath(k.VTEP)
	case p4.Adjacency:
		return l.desiredAdjacency(k.ID)
	case p4.Peer:
		return l.desiredPeer(k.Prefix)
	case p4.LocalVTEP:
		return l.desiredLocal(k.Address)
	case p4.VNI:
		return l.desiredVNI(k.Local, k.VNI)
	case p4.L3VNI:
		return l.desiredVNI(k.Local, k.VNI)
	case p4.Route:
		return l.desiredRoute(k.VRF, k.Prefix)
	case p4.ARPHost:
		return l.desiredAnswer(k.Bridge, k.Address)
	case p4.NDHost:
		return l.desiredAnswer(k.Bridge, k.Address)
	case p4.RouterMAC:
		return l.desiredRouterMAC(k.Bridge, k.MAC)
	case p4.Gateway:
		return l.desiredGateway(k.Bridge, k.Address)
	case p4.GatewayTarget:
		return l.desiredGatewayTarget(k.Bridge, k.Address)
	case p4.GatewayMAC:
		return l.desiredGatewayMAC(k.Bridge, k.MAC)
	case p4.RouterInterface:
		return l.desiredRouterInterface(k.Bridge)
	case p4.Trap:
		return desiredTrap(k)
	case p4.Member:
		return l.desiredMember(k.Port, k.VLAN)
	case p4.EgressVLAN:
		return l.desiredEgressVLAN(k.Port, k.Bridge)
	case p4.BridgePort, p4.Uplink, p4.HostPort:
		return l.kinds[keyOf(k)] // from the configuration
	case p4.CloneSession:
		return desiredCloneSession(k)
	}
	return nil // a table that we do not use
}

// desiredCloneSession is the one that carries copies to the CPU.
func desiredCloneSession(k p4.CloneSession) entry {
	if k.ID != p4.CPUCloneSession {
		return nil
	}
	return p4.CloneSession{ID: p4.CPUCloneSession, Port: p4.CPUPort}
}

// desiredTrap is one of ours.
func desiredTrap(k p4.Trap) entry {
	for _, t := range traps() {
		if t == k {
			return t
		}
	}
	return nil
}

// markAll marks every entry that may be desired now: what a target that lost
// its entries needs.
func (l *loop) markAll() {
	for _, k := range l.kinds {
		l.mark(k)
	}
	l.mark(p4.CloneSession{ID: p4.CPUCloneSession})
	for _, t := range traps() {
		l.mark(t)
	}
	l.mark(p4.Peer{Prefix: anyPeer})
	for a := range l.locals {
		l.mark(p4.LocalVTEP{Address: a})
	}
	for _, p := range l.ports {
		for vlan := range p.attached {
			l.mark(p4.Member{Port: p.Number, VLAN: vlan})
		}
	}
	for a := range l.remotes {
		l.mark(peerKey(a))
	}
	for id := range l.tunnelByID {
		l.markTunnel(id)
	}
	for id := range l.adjacencyByID {
		l.mark(p4.Adjacency{ID: id})
	}
	for _, b := range l.bridges {
		l.markBridge(b)
	}
	for _, v := range l.vrfs {
		l.markVRF(v)
		for _, s := range v.svis {
			for ip := range s.bridge.hosts {
				l.markRouted(s, ip)
			}
		}
	}
}

// The levels of dependency. A level is written and acknowledged before the
// next one; removals go the other way. Entries of the last level are referred
// to by none, so their removals go with its additions.
const (
	levelBase    = iota // what refers to nothing
	levelTunnel         // tunnels and paths: refer to adjacencies and ports
	levelReplica        // refer to tunnels
	levelGroup          // refer to replicas and egress VLANs
	levelLeaf           // refer to any of them
	levels
)

func level(k entry) int {
	switch k.(type) {
	case p4.Tunnel, p4.Path:
		return levelTunnel
	case p4.Replica:
		return levelReplica
	case p4.Group:
		return levelGroup
	case p4.FDB, p4.Source, p4.Member, p4.VNI, p4.L3VNI, p4.Route, p4.ARPHost, p4.NDHost,
		p4.Gateway, p4.GatewayTarget, p4.GatewayMAC, p4.RouterMAC, p4.Trap:
		return levelLeaf
	}
	return levelBase
}

// refs yields the keys of the entries that e needs on the target. It is called
// only when something failed or several levels change.
func (l *loop) refs(e entry, yield func(p4.Key) bool) {
	give := func(keys ...entry) {
		for _, k := range keys {
			if !yield(k.Entry().Key) {
				return
			}
		}
	}
	switch e := e.(type) {
	case p4.Tunnel:
		give(p4.Adjacency{ID: e.Adjacency})
	case p4.Replica:
		give(p4.Tunnel{VTEP: e.VTEP}, p4.Path{VTEP: e.VTEP})
	case p4.Group:
		for _, m := range e.Members {
			if m.Instance == p4.LocalInstance {
				give(p4.EgressVLAN{Port: m.Port, Bridge: e.ID})
			} else {
				give(l.replicaRefs(e.ID, m.Instance)...)
			}
		}
	case p4.FDB:
		if e.Kind == p4.ToVTEP {
			give(p4.Tunnel{VTEP: e.VTEP}, p4.Path{VTEP: e.VTEP})
		}
	case p4.Member:
		give(p4.EgressVLAN{Port: e.Port, Bridge: e.Bridge})
	case p4.Route:
		switch e.Kind {
		case p4.RouteHost:
			give(p4.RouterInterface{Bridge: e.Bridge})
		case p4.RouteVTEP:
			give(p4.Tunnel{VTEP: e.VTEP}, p4.Path{VTEP: e.VTEP})
		}
	case p4.RouterMAC:
		give(p4.RouterInterface{Bridge: e.Bridge})
	case p4.Trap:
		give(p4.CloneSession{ID: p4.CPUCloneSession})
	}
}
