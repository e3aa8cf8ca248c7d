package controller

import (
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// adjacencyKey is what an adjacency rewrites: the uplink's own MAC, which
// stands for the uplink too, and the next hop's.
type adjacencyKey struct{ source, destination ether.MAC }

// adjacency is an underlay hop that tunnels share. One without users stays
// until its entry is off the target.
type adjacency struct {
	adjacencyKey
	id    uint16
	users int
}

// useAdjacency gives an adjacency and counts one more user. There are more ids than the
// kernel has neighbours.
func (l *loop) useAdjacency(key adjacencyKey) *adjacency {
	a := l.adjacency(key)
	if a.id == 0 {
		a.id, _ = l.adjacencyIDs.take()
		l.adjacencyByID[a.id] = a
	}
	a.users++
	if a.users == 1 {
		l.mark(p4.Adjacency{ID: a.id})
	}
	return a
}

func (l *loop) dropAdjacency(a *adjacency) {
	a.users--
	if a.users == 0 {
		l.mark(p4.Adjacency{ID: a.id})
	}
}

// adjacency finds or makes an adjacency, without a user and without an id.
func (l *loop) adjacency(key adjacencyKey) *adjacency {
	if a := l.adjacencies[key]; a != nil {
		return a
	}
	a := &adjacency{adjacencyKey: key}
	l.adjacencies[key] = a
	return a
}

// forgetAdjacency drops an adjacency without users whose entry is gone.
func (l *loop) forgetAdjacency(id uint16) {
	a := l.adjacencyByID[id]
	if a == nil || a.users > 0 {
		return
	}
	delete(l.adjacencyByID, id)
	delete(l.adjacencies, a.adjacencyKey)
	l.adjacencyIDs.release(id)
}

func (l *loop) desiredAdjacency(id uint16) entry {
	a := l.adjacencyByID[id]
	if a == nil || a.users == 0 {
		return nil
	}
	return p4.Adjacency{ID: id, Source: a.source, Destination: a.destination}
}
