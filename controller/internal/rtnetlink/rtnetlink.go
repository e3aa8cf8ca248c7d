// Package rtnetlink is a connection to the kernel's links, addresses, neighbours
// and routes in one network namespace: for requests, and for notifications, which
// it reads. It knows nothing of what they are for.
//
// Who follows the kernel opens a connection, reads what is there, and is told by
// Watch what happens since; News keeps that until it is looked at, and says when all
// has to be read again.
package rtnetlink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// receiveBuffer holds a burst of some 10,000 notifications.
const receiveBuffer = 4 << 20

// DumpPause is the wait after a dump that failed, most often because the kernel
// interrupted it.
const DumpPause = 50 * time.Millisecond

// Conn is an open connection.
type Conn struct {
	Handle *netlink.Handle
	Socket *nl.NetlinkSocket // notifications of the groups
}

// Open connects to a namespace, netns.None() for the process's own, and
// subscribes to multicast groups (unix.RTNLGRP_...): whatever changes after what is
// read by Handle is heard by Watch.
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

// NewOverruns counts overruns of the connections of one watcher.
func NewOverruns(watcher string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Name:        "p4evpn_netlink_overruns_total",
		Help:        "Times that the kernel announced more than was read in time, after which all is read anew.",
		ConstLabels: prometheus.Labels{"watcher": watcher},
	})
}

// Watch gives heard what the kernel announces, in its order, until ctx ends (nil) or
// the connection is lost (why). heard should be quick: what comes meanwhile waits
// in the socket's buffer. Where that overflows, something was lost: it is counted,
// and a message of type unix.NLMSG_OVERRUN comes when whatever is announced from then on
// is heard. Watch ends by closing the Socket; it may be called once.
func (c *Conn) Watch(
	ctx context.Context, overruns prometheus.Counter, heard func(messages []syscall.NetlinkMessage),
) error {
	defer context.AfterFunc(ctx, c.Socket.Close)()
	lost := false // since what was last said of an overrun
	for {
		// From an overrun until the buffer is empty the kernel drops all, and does not say so again.
		if lost {
			switch err := c.peek(); {
			case errors.Is(err, unix.EAGAIN):
				lost = false
				heard([]syscall.NetlinkMessage{{Header: syscall.NlMsghdr{Type: unix.NLMSG_OVERRUN}}})
			case errors.Is(err, unix.ENOBUFS):
				overruns.Inc()
			}
		}
		messages, from, err := c.Socket.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			overruns.Inc()
			lost = true
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
		case err != nil:
			return fmt.Errorf("receive from netlink: %w", err)
		case from.Pid == nl.PidKernel:
			heard(messages)
		}
	}
}

// peek says why Receive would not have a message now, nil if it would.
func (c *Conn) peek() error {
	_, _, err := unix.Recvfrom(c.Socket.GetFd(), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return err
}

// Neighbours reads the neighbour entries of a link, v4 and v6.
func (c *Conn) Neighbours(link int) (map[NeighbourKey]Neighbour, error) {
	list, err := c.Handle.NeighList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("read neighbours of link %d: %w", link, err)
	}
	found := make(map[NeighbourKey]Neighbour, len(list))
	for i := range list {
		key, n := fromNeigh(&list[i])
		found[key] = n
	}
	return found, nil
}

// Close closes both.
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
