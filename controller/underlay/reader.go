package underlay

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// maxSeen bounds what gathers between two looks of the loop. Beyond it one
// full resync is cheaper than the single changes.
const maxSeen = 4096

// seen is what the kernel announced since the loop looked last. The newest
// state of a neighbour replaces an older one.
type seen struct {
	neighbours map[hop]neighbour // zero = the entry is gone
	routes     map[netip.Prefix]struct{}
	links      bool // read the uplinks again
	all        bool // read everything again
}

// read receives netlink notifications and notes them, never waiting for the
// loop, until the socket is closed.
func (r *Resolver) read(k *kernel) error {
	for {
		messages, from, err := k.socket.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			r.note(func(s *seen) { s.all = true })
			continue
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case err != nil:
			return fmt.Errorf("receive from netlink: %w", err)
		case from.Pid != nl.PidKernel:
			continue
		}
		r.note(func(s *seen) {
			for _, m := range messages {
				s.message(m)
			}
		})
	}
}

// note changes r.seen and wakes the loop.
func (r *Resolver) note(change func(*seen)) {
	r.mu.Lock()
	if !r.seen.all {
		change(&r.seen)
	}
	if r.seen.all || len(r.seen.neighbours)+len(r.seen.routes) > maxSeen {
		r.seen = seen{all: true}
	}
	r.mu.Unlock()
	r.poke()
}

// message notes one notification. What cannot be read makes a full resync.
func (s *seen) message(m syscall.NetlinkMessage) {
	switch m.Header.Type {
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		if len(m.Data) < unix.SizeofNdMsg || m.Data[0] == unix.AF_BRIDGE {
			return
		}
		n, err := netlink.NeighDeserialize(m.Data)
		if err != nil {
			s.all = true
			return
		}
		h, entry := fromNeigh(n)
		if m.Header.Type == unix.RTM_DELNEIGH {
			entry = neighbour{}
		}
		if s.neighbours == nil {
			s.neighbours = map[hop]neighbour{}
		}
		s.neighbours[h] = entry
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		p, ok := routePrefix(m.Data)
		if !ok {
			s.all = true
			return
		}
		if s.routes == nil {
			s.routes = map[netip.Prefix]struct{}{}
		}
		s.routes[p] = struct{}{}
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		s.links = true
	default: // a rule or a next-hop object: any route may mean something else now
		s.all = true
	}
}

// routePrefix reads the destination of a route message. Routes of every table
// count: rules may lead a lookup to any of them.
func routePrefix(data []byte) (netip.Prefix, bool) {
	if len(data) < unix.SizeofRtMsg {
		return netip.Prefix{}, false
	}
	msg := nl.DeserializeRtMsg(data)
	attrs, err := nl.ParseRouteAttr(data[unix.SizeofRtMsg:])
	if err != nil {
		return netip.Prefix{}, false
	}
	addr := netip.IPv4Unspecified()
	if msg.Family == unix.AF_INET6 {
		addr = netip.IPv6Unspecified()
	}
	for _, a := range attrs {
		if a.Attr.Type == unix.RTA_DST {
			addr, _ = netip.AddrFromSlice(a.Value)
		}
	}
	p, err := addr.Prefix(int(msg.Dst_len))
	return p, err == nil
}
