// Package rtnetlink is a connection to the kernel's links, addresses, neighbours
// and routes in one network namespace: for requests, and for notifications. It
// knows nothing of what they are for.
package rtnetlink

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// receiveBuffer holds a burst of some 10,000 notifications. An overrun is an
// ENOBUFS of Receive.
const receiveBuffer = 4 << 20

// Conn is an open connection.
type Conn struct {
	Handle *netlink.Handle
	Socket *nl.NetlinkSocket // notifications of the groups
}

// Open connects to a namespace, netns.None() for the process's own, and
// subscribes to multicast groups (unix.RTNLGRP_...).
func Open(ns netns.NsHandle, groups ...uint) (*Conn, error) {
	socket, err := nl.SubscribeAt(ns, netns.None(), unix.NETLINK_ROUTE, groups...)
	if err != nil {
		return nil, fmt.Errorf("subscribe to netlink: %w", err)
	}
	if err := socket.SetReceiveBufferSize(receiveBuffer, true); err != nil {
		_ = socket.SetReceiveBufferSize(receiveBuffer, false) // best effort without CAP_NET_ADMIN
	}
	handle, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return &Conn{handle, socket}, nil
}

// Close closes both, and ends a Receive.
func (c *Conn) Close() {
	c.Socket.Close()
	c.Handle.Close()
}

// FromIPNet gives an address with its length, host bits and all; IPv4 as such in
// whichever form it comes. It is invalid if n is.
func FromIPNet(n *net.IPNet) netip.Prefix {
	a, ok := netip.AddrFromSlice(n.IP)
	bits, size := n.Mask.Size()
	if !ok || size == 0 {
		return netip.Prefix{}
	}
	if a.Is4In6() && size == 32 {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, bits)
}

// ToIPNet is the way back.
func ToIPNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
