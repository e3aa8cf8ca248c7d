package slowpath

import (
	"context"
	"errors"
	"syscall"

	"github.com/p4evpn/p4evpn/controller/internal/rtnetlink"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// learned reports whether the kernel has the MAC address from the host itself, and
// no proof that it is gone. A stale entry is one that was not used lately.
func learned(n rtnetlink.Neighbour) bool {
	const valid = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE
	return n.State&valid != 0 && n.Flags&unix.NTF_EXT_LEARNED == 0 && !n.MAC.IsZero() && !n.MAC.IsMulticast()
}

// watch notes what the namespace's kernel announces until ctx ends. It never waits
// for the loop.
func (v *vrf) watch(ctx context.Context) {
	err := v.conn.Watch(ctx, v.s.overruns, func(messages []syscall.NetlinkMessage) {
		v.note(func(n *rtnetlink.News) { n.Add(messages) })
	})
	if err != nil {
		v.s.log.Debug("slowpath: a VRF's connection to the kernel is lost", "vrf", v.id, "err", err)
		v.lost.Store(true)
		v.note(func(n *rtnetlink.News) { n.All = true })
	}
}

// note changes the news of the namespace and wakes the loop.
func (v *vrf) note(change func(*rtnetlink.News)) {
	v.s.mu.Lock()
	change(&v.news)
	v.s.mu.Unlock()
	v.s.poke()
}

// takeNews gives the news since the last call.
func (v *vrf) takeNews() rtnetlink.News {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	n := v.news
	v.news = rtnetlink.News{}
	return n
}

// setRemote installs a host behind a VTEP. NOARP: ARP and ND cannot change it,
// the kernel does not ask for it. Externally learned: exempt from collection.
func (v *vrf) setRemote(key rtnetlink.NeighbourKey, mac ether.MAC) error {
	return v.conn.Handle.NeighSet(&netlink.Neigh{
		LinkIndex: key.Link, IP: key.IP.AsSlice(), HardwareAddr: mac[:],
		State: unix.NUD_NOARP, Flags: unix.NTF_EXT_LEARNED,
	})
}

func (v *vrf) removeRemote(key rtnetlink.NeighbourKey) error {
	err := v.conn.Handle.NeighDel(&netlink.Neigh{LinkIndex: key.Link, IP: key.IP.AsSlice()})
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// probe asks a host now: one that is known at its MAC address, without the
// delay that use of a stale entry has; another one as if a packet were sent.
func (v *vrf) probe(key rtnetlink.NeighbourKey, mac ether.MAC) error {
	n := netlink.Neigh{LinkIndex: key.Link, IP: key.IP.AsSlice(), State: unix.NUD_NONE, Flags: unix.NTF_USE}
	if !mac.IsZero() {
		n = netlink.Neigh{LinkIndex: key.Link, IP: key.IP.AsSlice(), HardwareAddr: mac[:], State: unix.NUD_PROBE}
	}
	return v.conn.Handle.NeighSet(&n)
}
