package rib

import (
	"net/netip"
	"unique"

	"github.com/p4evpn/p4evpn/bgp"
)

// destination is one NLRI with all peers' paths to it. There are many: it is small.
type destination struct {
	key   bgp.Key
	paths *path // the best first, the others in no order; nil if it is gone
	news  *item // what the consumer is to be told of it; nil for nothing
}

// path is what one peer says of an NLRI. That does not change: when the peer says
// something else, another path takes its place. So what the consumer was told can be
// compared with what there is.
type path struct {
	next          *path // of the same destination
	peer          *Peer
	attributes    unique.Handle[bgp.Attributes]
	rest          unique.Handle[rest]
	label, label2 uint32
	at            uint32 // its place in the peer's list
	round         bool   // the peer's when it was sent: another one is that it is stale
	longLived     bool   // it is stale for longer than the restart time (RFC 9494)
}

// rest is what few NLRIs say, and many of those the same.
type rest struct {
	esi     bgp.ESI
	gateway netip.Addr
}

// makePath gives the path of a peer that an UPDATE announces.
func makePath(p *Peer, n *bgp.NLRI, attributes unique.Handle[bgp.Attributes]) path {
	a := path{peer: p, attributes: attributes, label: n.Label, label2: n.Label2, round: p.round}
	if r := (rest{n.ESI, n.GatewayIP}); r != (rest{}) {
		a.rest = unique.Make(r)
	}
	return a
}

// says reports whether two paths of a peer say the same.
func (a *path) says(b *path) bool {
	return a.attributes == b.attributes && a.rest == b.rest && a.label == b.label && a.label2 == b.label2 &&
		a.longLived == b.longLived
}

func (a *path) stale() bool { return a.longLived || a.round != a.peer.round }

// route is the path as the consumer is told it. One that is least preferred is so beside
// those with another route distinguisher too.
func (a *path) route(k *bgp.Key) bgp.Route {
	n := bgp.NLRI{Key: *k, Label: a.label, Label2: a.label2}
	if a.rest != (unique.Handle[rest]{}) {
		r := a.rest.Value()
		n.ESI, n.GatewayIP = r.esi, r.gateway
	}
	attributes := a.attributes.Value()
	r := attributes.Route(&n)
	if a.longLived || attributes.LLGRStale || attributes.GracefulShutdown {
		r.Preference.LocalPref = 0
	}
	return r
}

// of gives a peer's path, nil if it has none.
func (d *destination) of(p *Peer) *path {
	a := d.paths
	for a != nil && a.peer != p {
		a = a.next
	}
	return a
}

// add adds a path of a peer that has none.
func (d *destination) add(a *path) { a.next, d.paths = d.paths, a }

// replace puts a path in the place of another one; nil takes that away.
func (d *destination) replace(old, a *path) {
	at := &d.paths
	for *at != old {
		at = &(*at).next
	}
	if a == nil {
		*at = old.next
	} else {
		*at, a.next = a, old.next
	}
	old.next = nil // it may be kept for what the consumer was told
}
