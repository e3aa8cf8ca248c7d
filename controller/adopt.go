package controller

import (
	"iter"

	"github.com/p4evpn/p4evpn/p4"
)

// Adopt is of reconcile.Model: ids and learned MACs are taken from the target.
func (l *loop) Adopt(held *[p4.Types][]entry) {
	for i := range l.tables { // lower levels first, and hosts after their MACs
		l.tables[i].adopt(l, held[i])
	}
}

// adoptTunnels gives tunnels the ids that they have on the target. Those that
// it does not hold keep theirs where that is still free.
func (l *loop) adoptTunnels(held iter.Seq[p4.Tunnel]) {
	l.tunnelIDs = ids{first: l.tunnelIDs.first, last: l.tunnelIDs.last}
	clear(l.tunnelByID)
	for e := range held {
		t := l.tunnel(tunnelKey{e.Source, e.Destination})
		t.replicates = t.replicates || e.Adjacency != 0
		if l.tunnelByID[t.id] != t && l.tunnelIDs.reserve(e.VTEP) {
			t.id = e.VTEP
			l.tunnelByID[t.id] = t
		}
	}
	for _, t := range l.tunnels {
		if l.tunnelByID[t.id] == t {
			continue
		}
		switch {
		case l.tunnelIDs.reserve(t.id):
			l.tunnelByID[t.id] = t
		case t.users == 0:
			l.removeTunnel(t)
		default:
			l.numberTunnel(t)
		}
	}
}

func (l *loop) adoptAdjacencies(held iter.Seq[p4.Adjacency]) {
	l.adjacencyIDs = ids{first: l.adjacencyIDs.first, last: l.adjacencyIDs.last}
	clear(l.adjacencyByID)
	for e := range held {
		a := l.adjacency(adjacencyKey{e.Source, e.Destination})
		if l.adjacencyByID[a.id] != a && l.adjacencyIDs.reserve(e.ID) {
			a.id = e.ID
			l.adjacencyByID[a.id] = a
		}
	}
	for _, a := range l.adjacencies {
		if l.adjacencyByID[a.id] == a {
			continue
		}
		if !l.adjacencyIDs.reserve(a.id) {
			a.id, _ = l.adjacencyIDs.take()
		}
		l.adjacencyByID[a.id] = a
	}
}

func (l *loop) adoptReplicas(held iter.Seq[p4.Replica]) {
	for _, b := range l.bridges {
		b.replicaIDs = ids{first: b.replicaIDs.first, last: b.replicaIDs.last}
		clear(b.replicas)
	}
	for e := range held {
		b, t := l.bridges[e.Bridge], l.tunnelByID[e.VTEP]
		if b == nil || t == nil {
			continue
		}
		rep := b.replica(t.remote)
		if b.replicas[rep.instance] != rep && b.replicaIDs.reserve(e.Instance) {
			rep.instance = e.Instance
			b.replicas[rep.instance] = rep
		}
	}
	for _, b := range l.bridges {
		for _, rep := range b.flood {
			if b.replicas[rep.instance] == rep || rep.instance == 0 && rep.via != nil && rep.via.id == 0 {
				continue
			}
			if !b.replicaIDs.reserve(rep.instance) {
				rep.instance, _ = b.replicaIDs.take()
			}
			b.replicas[rep.instance] = rep
		}
	}
}

// adoptSource takes over a MAC that was learned before we started, unless it
// is known better by now.
func (l *loop) adoptSource(e p4.Source) {
	b, p := l.bridges[e.Bridge], l.ports[e.Port]
	sequence, ok := metadataSequence(e.Metadata)
	if b == nil || p == nil || !ok || e.Verdict != p4.Known {
		return
	}
	if _, attached := b.ports[e.Port]; !attached {
		return
	}
	if l.ours(b, e.MAC) || !l.linkUp(e.Port) {
		return
	}
	if s := b.macs[e.MAC]; s == nil || s.local == nil && s.static == 0 {
		l.setLocal(b, p, e.MAC, &local{port: e.Port, sequence: sequence, expected: l.cfg.Expecting && e.IdleTimeout == 0})
	}
}
