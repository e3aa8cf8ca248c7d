package underlay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/p4evpn/p4evpn/ether"
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
		messages, from, err := k.Socket.Receive()
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
		h, entry, ok := parseNeighbour(m.Data)
		if !ok {
			return
		}
		if m.Header.Type == unix.RTM_DELNEIGH {
			entry = neighbour{}
		}
		if s.neighbours == nil {
			s.neighbours = map[hop]neighbour{}
		}
		s.neighbours[h] = entry
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		p, ok := parseRoute(m.Data)
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

// parseNeighbour reads an ARP or ND entry. Entries of other families, such as a
// bridge's FDB, come in the same notifications and are not ours.
func parseNeighbour(data []byte) (hop, neighbour, bool) {
	if len(data) < unix.SizeofNdMsg || (data[0] != unix.AF_INET && data[0] != unix.AF_INET6) {
		return hop{}, neighbour{}, false
	}
	h := hop{link: int(int32(binary.NativeEndian.Uint32(data[4:])))}
	n := neighbour{state: int(binary.NativeEndian.Uint16(data[8:]))}
	attributes(data[unix.SizeofNdMsg:], func(kind uint16, value []byte) {
		switch kind {
		case unix.NDA_DST:
			h.address, _ = netip.AddrFromSlice(value)
		case unix.NDA_LLADDR:
			n.mac, _ = ether.FromBytes(value)
		}
	})
	return h, n, h.address.IsValid()
}

// parseRoute reads the destination of a route. Routes of every table count:
// rules may lead a lookup to any of them.
func parseRoute(data []byte) (netip.Prefix, bool) {
	if len(data) < unix.SizeofRtMsg {
		return netip.Prefix{}, false
	}
	addr := netip.IPv4Unspecified()
	if data[0] == unix.AF_INET6 {
		addr = netip.IPv6Unspecified()
	}
	attributes(data[unix.SizeofRtMsg:], func(kind uint16, value []byte) {
		if kind == unix.RTA_DST {
			addr, _ = netip.AddrFromSlice(value)
		}
	})
	p, err := addr.Prefix(int(data[1]))
	return p, err == nil
}

// attributes walks netlink attributes (struct rtattr) and stops where one does
// not fit.
func attributes(data []byte, each func(kind uint16, value []byte)) {
	for len(data) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(data))
		if size < unix.SizeofRtAttr || size > len(data) {
			return
		}
		each(binary.NativeEndian.Uint16(data[2:]), data[unix.SizeofRtAttr:size])
		data = data[min(len(data), (size+3)&^3):]
	}
}
