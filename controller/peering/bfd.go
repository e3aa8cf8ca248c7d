package peering

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bfd"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/liveness"
)

// anywhere is how far away a neighbour may be of which nothing is known.
const anywhere = 255

// Watched is how the path to a neighbour is watched, and whether it is: by a speaker of an
// AS.
func Watched(n *intent.Neighbor, as uint32) (liveness.Peer, bool) {
	hops := cmp.Or(n.BFD.Hops, n.TTLSecurity, n.Multihop)
	switch {
	case hops != 0:
	case n.AS == as: // by an address of its own, as a rule
		hops = anywhere
	default:
		hops = 1
	}
	return liveness.Peer{
		Address: n.Address, Local: n.LocalAddress, Hops: hops,
		Interval:   cmp.Or(n.BFD.Interval, bfd.DefaultInterval),
		Multiplier: cmp.Or(n.BFD.Multiplier, bfd.DefaultMultiplier),
	}, n.BFD.On && !n.Shutdown
}

// unheard is what is known of a path that nobody has told of.
const unheard = "the process that is to watch the path has not answered yet"

// watch has the paths watched to those that want it.
func (k *Keeper) watch() {
	if k.cfg.Liveness == nil {
		return
	}
	var want []liveness.Peer
	for _, n := range k.neighbors {
		if p, on := Watched(&n, k.as); on && k.speaking {
			want = append(want, p)
		}
	}
	slices.SortFunc(want, func(a, b liveness.Peer) int { return a.Address.Compare(b.Address) })
	left := k.watched
	k.watched = map[netip.Addr]bool{}
	for _, p := range want {
		if k.watched[p.Address] = true; !left[p.Address] {
			k.cfg.Speaker.SetBFD(bfd.Status{Peer: p.Address, Trouble: unheard})
		}
		delete(left, p.Address)
	}
	for a := range left {
		k.cfg.Speaker.SetBFD(bfd.Status{Peer: a})
	}
	k.cfg.Liveness.Want(want)
}

// hear tells the speaker how paths are.
func (k *Keeper) hear(e liveness.Event) {
	for _, st := range e.Sessions {
		if k.watched[st.Peer] {
			k.cfg.Speaker.SetBFD(st)
		}
	}
	if e.Lost == nil {
		return
	}
	for a := range k.watched {
		k.cfg.Speaker.SetBFD(bfd.Status{Peer: a, Trouble: "the process that watches the path is out of reach: " +
			e.Lost.Error()})
	}
}
