package peering

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bfd"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/internal/events"
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
	for a, h := range k.nextHops {
		if !k.watched[a] {
			want = append(want, h.Peer)
		}
	}
	slices.SortFunc(want, func(a, b liveness.Peer) int { return a.Address.Compare(b.Address) })
	k.cfg.Liveness.Want(want)
}

// hear tells the speaker, and the underlay, how paths are.
func (k *Keeper) hear(e liveness.Event) {
	for _, st := range e.Sessions {
		if k.watched[st.Peer] {
			k.cfg.Speaker.SetBFD(st)
		}
		k.hearNextHop(st)
	}
	if e.Lost == nil {
		return
	}
	for a := range k.nextHops {
		k.hearNextHop(bfd.Status{Peer: a}) // nobody knows: the kernel's word counts
	}
	for a := range k.watched {
		k.cfg.Speaker.SetBFD(bfd.Status{Peer: a, Trouble: "the process that watches the path is out of reach: " +
			e.Lost.Error()})
	}
}

// nextHop is one that is watched, and why it is not to be used, as the underlay was told.
type nextHop struct {
	liveness.Peer
	down string
}

// hearNextHop tells the underlay whether a next hop may be used.
func (k *Keeper) hearNextHop(st bfd.Status) {
	h, ours := k.nextHops[st.Peer]
	down := whyNot(st)
	if !ours || h.down == down {
		return
	}
	level := slog.LevelInfo
	if down != "" && st.LastDown != 0 {
		level = slog.LevelWarn
	}
	k.cfg.Logger.Log(context.Background(), level, "BFD of a next hop of the underlay", events.Key, events.Liveness,
		"next_hop", st.Peer, "used", down == "", "reason", down)
	h.down = down
	k.nextHops[st.Peer] = h
	k.cfg.Underlay.SetNextHop(st.Peer, down)
}

// whyNot says why a next hop is not to be used, as its session has it, "" if it may be (RFC
// 5882 section 5). That the peer's administrator switched BFD off means nothing (section 3.2), nor
// does that nobody says how the session is.
func whyNot(st bfd.Status) string {
	switch {
	case st.Discriminator == 0 || st.State == bfd.Up || st.RemoteState == bfd.AdminDown:
		return ""
	case st.LastDown == 0:
		return "BFD has not come up"
	}
	return fmt.Sprintf("BFD is down: %v", st.LastDown)
}
