package underlay

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/p4evpn/p4evpn/controller/internal/rtnetlink"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// hop is a next hop: an address on the link of a device.
type hop = rtnetlink.NeighbourKey

const (
	nudFixed = unix.NUD_PERMANENT | unix.NUD_NOARP
	nudValid = nudFixed | unix.NUD_REACHABLE | unix.NUD_PROBE | unix.NUD_STALE | unix.NUD_DELAY
)

// usable reports whether frames can be sent to the neighbour's MAC address.
func usable(n rtnetlink.Neighbour) bool {
	return n.State&nudValid != 0 && !n.MAC.IsZero() && !n.MAC.IsMulticast()
}

// uplink is the host port of an uplink as the kernel has it now.
type uplink struct {
	name string
	mac  ether.MAC
	up   bool // administratively up and with carrier
	mtu  int
}

// kernel asks the kernel, in one network namespace.
type kernel struct{ *rtnetlink.Conn }

func openKernel(ns *netns.NsHandle) (*kernel, error) {
	at := netns.None()
	if ns != nil {
		at = *ns
	}
	conn, err := rtnetlink.Open(at,
		unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_NEXTHOP)
	return &kernel{conn}, err
}

// uplinks reads the named devices; those that do not exist are left out.
func (k *kernel) uplinks(names []string) (map[int]uplink, error) {
	found := map[int]uplink{}
	for _, name := range names {
		link, err := k.Handle.LinkByName(name)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read link %s: %w", name, err)
		}
		a := link.Attrs()
		mac, err := ether.FromBytes(a.HardwareAddr)
		if err != nil {
			continue // not an Ethernet device: nothing can be sent by it
		}
		found[a.Index] = uplink{name: name, mac: mac, up: rtnetlink.Running(a.RawFlags), mtu: a.MTU}
	}
	return found, nil
}

// route looks a VTEP up as the kernel would for a packet of its own and gives
// every next hop of the route that is alive, or the reason why there is none.
func (k *kernel) route(vtep netip.Addr, which Routes) ([]hop, string) {
	routes, err := k.Handle.RouteGetWithOptions(vtep.AsSlice(), &netlink.RouteGetOptions{FIBMatch: true})
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), err == nil && len(routes) == 0:
		return nil, fmt.Sprintf("no route to %s", vtep)
	case err != nil:
		return nil, fmt.Sprintf("route to %s: %v", vtep, err)
	}
	route := routes[0]
	if route.Type == unix.RTN_LOCAL {
		return nil, fmt.Sprintf("%s is an address of this machine", vtep)
	}
	if route.Type != unix.RTN_UNICAST {
		return nil, fmt.Sprintf("no unicast route to %s", vtep)
	}
	bits := 0
	if route.Dst != nil {
		bits, _ = route.Dst.Mask.Size()
	}
	if why := which.why(vtep, bits); why != "" {
		return nil, why
	}
	return nextHops(&route, vtep), ""
}

// nextHops lists the live next hops of a route, a single one or many.
func nextHops(route *netlink.Route, vtep netip.Addr) []hop {
	all := route.MultiPath
	if len(all) == 0 {
		all = []*netlink.NexthopInfo{{LinkIndex: route.LinkIndex, Gw: route.Gw, Via: route.Via, Flags: route.Flags}}
	}
	var hops []hop
	for _, n := range all {
		if n.Flags&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) != 0 {
			continue
		}
		hops = append(hops, hop{Link: n.LinkIndex, IP: gateway(n, vtep)})
	}
	return hops
}

// gateway is the address to resolve: that of the next hop, of the other family
// where the route says so (RFC 5549), or the VTEP itself when it is on the link.
func gateway(n *netlink.NexthopInfo, vtep netip.Addr) netip.Addr {
	ip := n.Gw
	if via, ok := n.Via.(*netlink.Via); ok && ip == nil {
		ip = via.Addr
	}
	if address, ok := netip.AddrFromSlice(ip); ok && !address.IsUnspecified() {
		return address.Unmap()
	}
	return vtep
}

// use tells the kernel that the hop is in use: an entry that is missing or
// failed is resolved, a stale one is confirmed, as if a packet had been sent.
func (k *kernel) use(h hop) error {
	return k.Handle.NeighSet(&netlink.Neigh{
		LinkIndex: h.Link,
		IP:        h.IP.AsSlice(),
		State:     unix.NUD_NONE,
		Flags:     unix.NTF_USE,
	})
}
