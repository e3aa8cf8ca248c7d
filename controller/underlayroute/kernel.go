package underlayroute

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/controller/internal/rtnetlink"
)

const (
	// protocol is the protocol number (rtm_protocol) of our routes, which
	// `ip route show proto 164` lists. It is none of rtnetlink.h's, and none
	// that FRR, BIRD or systemd use.
	protocol = 164
	// metric is the metric of our routes: worse than the 1024 that the kernel
	// and others give at most by default.
	metric = 2164
)

// errTaken says that a route of another protocol has our prefix and metric.
var errTaken = errors.New("a route of another protocol has this prefix and metric")

// state is the kernel as it was read.
type state struct {
	local     map[netip.Addr]bool    // addresses of this machine
	prefixes  []netip.Prefix         // their subnets, on any device
	connected map[netip.Prefix][]int // subnets of uplinks that have carrier, with the devices
	routes    map[netip.Prefix]hops  // ours
}

// owner gives the prefix of ours that p is or lies within; invalid if none.
func (s *state) owner(p netip.Prefix) netip.Prefix {
	for _, own := range s.prefixes {
		if own.Bits() <= p.Bits() && own.Contains(p.Addr()) {
			return own
		}
	}
	return netip.Prefix{}
}

// onLink finds the uplink by which a next hop is reached without another.
func (s *state) onLink(a netip.Addr) (hop, bool) {
	var subnet netip.Prefix
	for p := range s.connected {
		if p.Contains(a) && (!subnet.IsValid() || p.Bits() > subnet.Bits()) {
			subnet = p
		}
	}
	if !subnet.IsValid() || s.local[a] {
		return hop{}, false
	}
	return hop{s.connected[subnet][0], a}, true
}

// kernel asks and changes the kernel, in one network namespace.
type kernel struct{ *rtnetlink.Conn }

func openKernel(ns *netns.NsHandle) (*kernel, error) {
	at := netns.None()
	if ns != nil {
		at = *ns
	}
	conn, err := rtnetlink.Open(at, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	return &kernel{conn}, err
}

// heard wakes the loop for what the kernel announced. What it says does not matter:
// the loop reads the kernel anew.
func (r *Router) heard(messages []syscall.NetlinkMessage) {
	if !slices.ContainsFunc(messages, notOurs) {
		return
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// notOurs reports whether a notification tells of anything but a route that we set.
func notOurs(m syscall.NetlinkMessage) bool {
	const protocolAt = 5 // in struct rtmsg
	return m.Header.Type != unix.RTM_NEWROUTE || len(m.Data) <= protocolAt || m.Data[protocolAt] != protocol
}

// state reads addresses, the named devices and our routes.
func (k *kernel) state(devices []string) (*state, error) {
	s := &state{local: map[netip.Addr]bool{}, connected: map[netip.Prefix][]int{}, routes: map[netip.Prefix]hops{}}
	up := map[int]bool{}
	for _, name := range devices {
		link, err := k.Handle.LinkByName(name)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read link %s: %w", name, err)
		}
		up[link.Attrs().Index] = rtnetlink.Running(link.Attrs().RawFlags)
	}
	addresses, err := k.Handle.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("read addresses: %w", err)
	}
	for _, a := range addresses {
		s.address(&a, up[a.LinkIndex])
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		filter := &netlink.Route{Protocol: protocol, Table: unix.RT_TABLE_MAIN}
		list, err := k.Handle.RouteListFiltered(family, filter, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, fmt.Errorf("read routes: %w", err)
		}
		for i := range list {
			s.route(&list[i], family)
		}
	}
	return s, nil
}

func (s *state) address(a *netlink.Addr, uplink bool) {
	local, ok := netip.AddrFromSlice(a.IP)
	if !ok || a.IPNet == nil {
		return
	}
	s.local[local.Unmap()] = true
	subnet := a.IPNet
	if a.Peer != nil { // what is on the link is the peer's prefix
		subnet = a.Peer
	}
	p := rtnetlink.FromIPNet(subnet).Masked()
	if !p.IsValid() || p.Addr().IsLinkLocalUnicast() {
		return
	}
	s.prefixes = append(s.prefixes, p)
	if uplink && p.Bits() < p.Addr().BitLen() {
		s.connected[p] = append(s.connected[p], a.LinkIndex)
	}
}

func (s *state) route(r *netlink.Route, family int) {
	p := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if family == netlink.FAMILY_V6 {
		p = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if r.Dst != nil {
		if p = rtnetlink.FromIPNet(r.Dst).Masked(); !p.IsValid() {
			return
		}
	}
	if r.Priority != metric {
		return
	}
	if s.routes[p] == nil {
		s.routes[p] = hops{}
	}
	list := r.MultiPath
	if len(list) == 0 {
		list = []*netlink.NexthopInfo{{LinkIndex: r.LinkIndex, Gw: r.Gw}}
	}
	for _, n := range list {
		address, _ := netip.AddrFromSlice(n.Gw)
		s.routes[p][hop{n.LinkIndex, address.Unmap()}] = struct{}{}
	}
}

// set installs or replaces a route. Only one that is ours already is replaced,
// since the kernel looks at prefix and metric alone.
func (k *kernel) set(p netip.Prefix, h hops, ours bool) error {
	route := &netlink.Route{Dst: rtnetlink.ToIPNet(p), Protocol: protocol, Priority: metric, Table: unix.RT_TABLE_MAIN}
	list := h.sorted()
	for _, one := range list {
		route.MultiPath = append(route.MultiPath, &netlink.NexthopInfo{LinkIndex: one.link, Gw: one.address.AsSlice()})
	}
	if len(list) == 1 {
		route.LinkIndex, route.Gw, route.MultiPath = list[0].link, list[0].address.AsSlice(), nil
	}
	change := k.Handle.RouteAdd
	if ours {
		change = k.Handle.RouteReplace
	}
	err := change(route)
	if errors.Is(err, unix.EEXIST) {
		err = errTaken
	}
	if err != nil {
		return fmt.Errorf("route %v by %v: %w", p, h, err)
	}
	return nil
}

// remove deletes our route of a prefix; that it is gone already is no error.
func (k *kernel) remove(p netip.Prefix) error {
	err := k.Handle.RouteDel(&netlink.Route{Dst: rtnetlink.ToIPNet(p), Protocol: protocol, Priority: metric,
		Table: unix.RT_TABLE_MAIN})
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("remove route %v: %w", p, err)
	}
	return nil
}
