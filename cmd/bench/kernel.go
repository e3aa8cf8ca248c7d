package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
)

// kernelEntries says how many entries of each kind a load makes in the kernel.
type kernelEntries struct {
	macs       int // of the VXLAN device's FDB
	neighbours int // of the SVI
	routes     int
}

// What of a load becomes an entry is known by its number: the MACs are those of
// stationMAC, the addresses those of tenantAddress, the prefixes those of
// prefixUpdates.
type kernelKind uint8

const (
	kernelMAC kernelKind = iota
	kernelNeighbour
	kernelRoute
	kernelKinds
)

// monitor waits for entries of the kernel by its notifications.
type monitor struct {
	fd       int
	ifindex  [kernelKinds]uint32 // of the device; 0: of any
	first, n int                 // the numbers that are waited for
	missing  [kernelKinds]int
	seen     [kernelKinds][]bool
}

// monitorBuffer holds all notifications of a load, should we be too slow; each
// takes about a kilobyte.
const monitorBuffer = 1 << 29

// newMonitor listens in a namespace for entries with the numbers from first on.
func newMonitor(ns *testbed.Namespace, wanted kernelEntries, first int) (*monitor, error) {
	m := &monitor{first: first, n: max(wanted.macs, wanted.neighbours, wanted.routes)}
	m.missing = [kernelKinds]int{wanted.macs, wanted.neighbours, wanted.routes}
	for kind := range m.seen {
		m.seen[kind] = make([]bool, m.n)
	}
	err := ns.Do(func() error {
		for kind, dev := range map[kernelKind]string{kernelMAC: frrVXLAN, kernelNeighbour: frrBridge} {
			i, err := net.InterfaceByName(dev)
			if err != nil {
				return err
			}
			m.ifindex[kind] = uint32(i.Index)
		}
		return m.open(wanted)
	})
	if err != nil {
		return nil, fmt.Errorf("listen to the kernel's entries: %w", err)
	}
	return m, nil
}

func (m *monitor) open(wanted kernelEntries) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	m.fd = fd
	var groups uint32
	if wanted.macs+wanted.neighbours > 0 {
		groups |= 1 << (unix.RTNLGRP_NEIGH - 1)
	}
	if wanted.routes > 0 {
		groups |= 1 << (unix.RTNLGRP_IPV4_ROUTE - 1)
	}
	filter := kernelFilter()
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: unsafe.SliceData(filter)}
	for _, set := range []func() error{
		func() error { return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog) },
		func() error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, monitorBuffer) },
		func() error {
			short := unix.NsecToTimeval(int64(100 * time.Millisecond)) // to look whether to go on
			return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &short)
		},
		func() error { return unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}) },
	} {
		if err := set(); err != nil {
			m.close()
			return err
		}
	}
	return nil
}

func (m *monitor) close() { _ = unix.Close(m.fd) }

// Offsets behind a netlink message's header, of struct ndmsg and struct rtmsg.
const (
	familyAt   = unix.NLMSG_HDRLEN
	ifindexAt  = unix.NLMSG_HDRLEN + 4
	ndmFlagsAt = unix.NLMSG_HDRLEN + 10
	bodyLength = 12 // of both
)

// kernelFilter is the classic BPF program that leaves out what the bridge says of a
// MAC before the VXLAN device says it: to read it would take time from who is
// measured.
func kernelFilter() []unix.SockFilter {
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: familyAt},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.AF_BRIDGE, Jf: 2},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: ndmFlagsAt},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: unix.NTF_SELF, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
}

// wait reads until nothing is missing any more, and gives the time of the last one.
func (m *monitor) wait(ctx context.Context, limit time.Duration) (time.Time, error) {
	start := time.Now()
	buffer := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(m.fd, buffer, 0)
		now := time.Now()
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOBUFS):
			return now, errors.New("the kernel's notifications came too fast to be read")
		case err != nil:
			return now, fmt.Errorf("read the kernel's notifications: %w", err)
		default:
			m.take(buffer[:n])
		}
		switch {
		case m.missing == [kernelKinds]int{}:
			return now, nil
		case ctx.Err() != nil:
			return now, context.Cause(ctx)
		case now.Sub(start) > limit:
			return now, late{limit, fmt.Sprintf("%d FDB entries, %d neighbours and %d routes are missing in the kernel",
				m.missing[kernelMAC], m.missing[kernelNeighbour], m.missing[kernelRoute])}
		}
	}
}

// take notes the messages that are in a buffer.
func (m *monitor) take(b []byte) {
	for len(b) >= unix.NLMSG_HDRLEN+bodyLength {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN+bodyLength || size > len(b) {
			return
		}
		if kind, number, ok := kernelEntry(b[:size]); ok {
			ifindex := binary.NativeEndian.Uint32(b[ifindexAt:])
			i := number - m.first
			if (m.ifindex[kind] == 0 || m.ifindex[kind] == ifindex) && i >= 0 && i < m.n && !m.seen[kind][i] {
				m.seen[kind][i] = true
				m.missing[kind] = max(0, m.missing[kind]-1)
			}
		}
		b = b[min(len(b), (size+3)&^3):]
	}
}

// kernelEntry says what entry a message tells of.
func kernelEntry(message []byte) (kind kernelKind, number int, ok bool) {
	attributes := message[unix.NLMSG_HDRLEN+bodyLength:]
	switch typ := binary.NativeEndian.Uint16(message[4:]); {
	case typ == unix.RTM_NEWNEIGH && message[familyAt] == unix.AF_BRIDGE:
		mac := attribute(attributes, unix.NDA_LLADDR)
		if len(mac) != 6 || mac[0] != 2 || mac[1] != 0 {
			return 0, 0, false
		}
		return kernelMAC, int(binary.BigEndian.Uint32(mac[2:])), true
	case typ == unix.RTM_NEWNEIGH && message[familyAt] == unix.AF_INET:
		ip := attribute(attributes, unix.NDA_DST)
		if len(ip) != 4 || len(attribute(attributes, unix.NDA_LLADDR)) != 6 {
			return 0, 0, false
		}
		return kernelNeighbour, int(binary.BigEndian.Uint32(ip)) - firstTenant, true
	case typ == unix.RTM_NEWROUTE && message[familyAt] == unix.AF_INET:
		ip := attribute(attributes, unix.RTA_DST)
		if len(ip) != 4 {
			return 0, 0, false
		}
		return kernelRoute, (int(binary.BigEndian.Uint32(ip)) - firstPrefix) >> 8, true
	}
	return 0, 0, false
}

// attribute gives the first one of a type, nil if there is none.
func attribute(b []byte, typ uint16) []byte {
	for len(b) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return nil
		}
		if binary.NativeEndian.Uint16(b[2:]) == typ {
			return b[unix.SizeofRtAttr:size]
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return nil
}
