package controller

import (
	"cmp"
	"net/netip"

	"github.com/p4evpn/p4evpn/p4"
)

// replica is one remote VTEP in a bridge's flood list: an instance of the
// bridge's group. One without routes stays until its entry is off the target.
type replica struct {
	vtep     netip.Addr
	instance uint16
	via      *tunnel
	routes   candidates // type 3
}

// replica finds or makes a VTEP's place in the flood list, without an instance.
func (b *bridge) replica(vtep netip.Addr) *replica {
	rep := b.flood[vtep]
	if rep == nil {
		rep = &replica{vtep: vtep}
		b.flood[vtep] = rep
	}
	return rep
}

// addReplica takes a type-3 route into a bridge's flood list.
func (l *loop) addReplica(b *bridge, r *route) {
	rep := b.replica(r.vtep)
	c := l.candidateIn(b, r)
	if rep.routes.add(c, slotKey); rep.routes.size() == 1 {
		rep.via = c.via
		rep.via.floods[b] = struct{}{}
		rep.via.replicates = true
		l.mark(p4.Tunnel{VTEP: rep.via.id})
	}
	b.numberReplica(rep)
	l.markReplica(b, rep)
}

// numberReplica gives a replica its instance, if its tunnel has an id: there are as many.
func (b *bridge) numberReplica(rep *replica) {
	if rep.instance == 0 && rep.via.id != 0 {
		rep.instance, _ = b.replicaIDs.take()
		b.replicas[rep.instance] = rep
	}
}

// removeReplica takes a type-3 route out of a bridge's flood list.
func (l *loop) removeReplica(b *bridge, r *route) {
	rep := b.flood[r.vtep]
	if rep == nil {
		return
	}
	c := rep.routes.find(r)
	if c == nil {
		return
	}
	if rep.routes.remove(c); rep.routes.size() == 0 {
		delete(rep.via.floods, b)
		if rep.instance == 0 {
			delete(b.flood, r.vtep)
		}
	}
	l.dropCandidate(c)
	l.markReplica(b, rep)
}

func (l *loop) markReplica(b *bridge, rep *replica) {
	l.mark(p4.Replica{Bridge: b.Index, Instance: rep.instance})
	l.mark(p4.Group{ID: b.Index})
}

// forgetReplica drops a replica without routes whose entry is gone.
func (l *loop) forgetReplica(index, instance uint16) {
	b := l.bridges[index]
	if b == nil {
		return
	}
	rep := b.replicas[instance]
	if rep == nil || rep.routes.size() > 0 {
		return
	}
	delete(b.replicas, instance)
	b.replicaIDs.release(instance)
	if b.flood[rep.vtep] == rep {
		delete(b.flood, rep.vtep)
	}
}

// vni is what the replica is sent with: the lowest that the VTEP asks for, if
// it gives several; the bridge's if it names none.
func (rep *replica) vni(b *bridge) uint32 { return cmp.Or(rep.routes.best().route.vni, b.VNI) }

func (l *loop) desiredReplica(index, instance uint16) entry {
	b := l.bridges[index]
	if b == nil {
		return nil
	}
	rep := b.replicas[instance]
	if rep == nil || rep.routes.size() == 0 || rep.via.id == 0 {
		return nil
	}
	return p4.Replica{Bridge: index, Instance: instance, VTEP: rep.via.id, VNI: rep.vni(b)}
}

// replicaRefs are the entries that a replica of a group needs.
func (l *loop) replicaRefs(index, instance uint16) []entry {
	out := []entry{p4.Replica{Bridge: index, Instance: instance}}
	if b := l.bridges[index]; b != nil {
		if rep := b.replicas[instance]; rep != nil && rep.via != nil {
			out = append(out, p4.Tunnel{VTEP: rep.via.id}, p4.Path{VTEP: rep.via.id}, p4.Flows{VTEP: rep.via.id})
		}
	}
	return out
}

func (l *loop) failingReplica(index, instance uint16) bool {
	return l.target.Failing(l.replicaRefs(index, instance)...)
}

// desiredGroup floods to the bridge's ports and, by ingress replication, to
// every VTEP that can be reached and whose replica the target took.
func (l *loop) desiredGroup(index uint16) entry {
	b := l.bridges[index]
	if b == nil {
		return nil
	}
	g := p4.Group{ID: index}
	for port := range b.ports {
		g.Members = append(g.Members, p4.GroupMember{Port: port, Instance: p4.LocalInstance})
	}
	for instance, rep := range b.replicas {
		if rep.routes.size() > 0 && rep.via.adj != nil && !l.failingReplica(index, instance) {
			g.Members = append(g.Members, p4.GroupMember{Port: rep.via.port, Instance: instance})
		}
	}
	l.keepFlooded(&g)
	if len(g.Members) == 0 {
		return nil
	}
	return g
}
