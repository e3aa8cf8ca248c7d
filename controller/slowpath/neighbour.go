package slowpath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// host is an address on an interface of one namespace.
type host struct {
	link int // interface index
	ip   netip.Addr
}

// entry is a neighbour entry; a zero one is none.
type entry struct {
	mac   ether.MAC
	state int // NUD_ bits
	flags int // NTF_ bits
}

// learned reports whether the kernel has the MAC address from the host itself, and
// no proof that it is gone. A stale entry is one that was not used lately.
func (e entry) learned() bool {
	const valid = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE
	return e.state&valid != 0 && e.flags&unix.NTF_EXT_LEARNED == 0 && !e.mac.IsZero() && !e.mac.IsMulticast()
}

// seen is what one namespace's kernel announced since the loop looked. The
// newest state of a neighbour replaces an older one.
type seen struct {
	neighbours map[host]entry
	links      bool // an interface or an address changed
	all        bool // read everything again
}

// maxSeen bounds what gathers between two looks of the loop. Beyond it one dump
// is cheaper than the single changes.
const maxSeen = 16384

// watch notes the namespace's notifications, never waiting for the loop, until
// the socket is closed. An overrun is cured by a dump.
func (s *Slowpath) watch(v *vrf) {
	for {
		messages, from, err := v.socket.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			s.log.Debug("slowpath: overrun of netlink, reading the neighbours anew", "vrf", v.id)
			s.note(v, func(n *seen) { n.all = true })
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
		case err != nil:
			return
		case from.Pid == nl.PidKernel:
			s.note(v, func(n *seen) {
				for _, m := range messages {
					n.message(m)
				}
			})
		}
	}
}

// note changes what was seen in a namespace and wakes the loop.
func (s *Slowpath) note(v *vrf, change func(*seen)) {
	s.mu.Lock()
	n := s.seen[v]
	if n == nil {
		n = &seen{neighbours: map[host]entry{}}
		s.seen[v] = n
	}
	change(n)
	if len(n.neighbours) > maxSeen {
		n.all = true
	}
	if n.all {
		clear(n.neighbours)
	}
	s.mu.Unlock()
	s.poke()
}

// message notes one notification.
func (n *seen) message(m syscall.NetlinkMessage) {
	switch m.Header.Type {
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		h, e, ok := parseNeighbour(m.Data)
		if !ok || n.all {
			return
		}
		if m.Header.Type == unix.RTM_DELNEIGH {
			e = entry{}
		}
		n.neighbours[h] = e
	default:
		n.links = true
	}
}

// parseNeighbour reads an ARP or ND entry.
func parseNeighbour(data []byte) (host, entry, bool) {
	if len(data) < unix.SizeofNdMsg || (data[0] != unix.AF_INET && data[0] != unix.AF_INET6) {
		return host{}, entry{}, false
	}
	h := host{link: int(int32(binary.NativeEndian.Uint32(data[4:])))}
	e := entry{state: int(binary.NativeEndian.Uint16(data[8:])), flags: int(data[10])}
	for data = data[unix.SizeofNdMsg:]; len(data) >= unix.SizeofRtAttr; {
		size := int(binary.NativeEndian.Uint16(data))
		if size < unix.SizeofRtAttr || size > len(data) {
			break
		}
		value := data[unix.SizeofRtAttr:size]
		switch binary.NativeEndian.Uint16(data[2:]) {
		case unix.NDA_DST:
			h.ip, _ = netip.AddrFromSlice(value)
		case unix.NDA_LLADDR:
			e.mac, _ = ether.FromBytes(value)
		}
		data = data[min(len(data), (size+3)&^3):]
	}
	return h, e, h.ip.IsValid()
}

// neighbours reads the entries of one interface.
func (v *vrf) neighbours(link int) (map[netip.Addr]entry, error) {
	list, err := v.handle.NeighList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("read neighbours: %w", err)
	}
	found := map[netip.Addr]entry{}
	for _, n := range list {
		ip, _ := netip.AddrFromSlice(n.IP)
		mac, _ := ether.FromBytes(n.HardwareAddr)
		found[ip.Unmap()] = entry{mac, n.State, n.Flags}
	}
	return found, nil
}

// setRemote installs a host behind a VTEP. NOARP: ARP and ND cannot change it,
// the kernel does not ask for it. Externally learned: exempt from collection.
func (v *vrf) setRemote(h host, mac ether.MAC) error {
	return v.handle.NeighSet(&netlink.Neigh{
		LinkIndex: h.link, IP: h.ip.AsSlice(), HardwareAddr: mac[:],
		State: unix.NUD_NOARP, Flags: unix.NTF_EXT_LEARNED,
	})
}

func (v *vrf) removeRemote(h host) error {
	err := v.handle.NeighDel(&netlink.Neigh{LinkIndex: h.link, IP: h.ip.AsSlice()})
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// probe asks a host now: one that is known at its MAC address, without the
// delay that use of a stale entry has; another one as if a packet were sent.
func (v *vrf) probe(h host, mac ether.MAC) error {
	n := netlink.Neigh{LinkIndex: h.link, IP: h.ip.AsSlice(), State: unix.NUD_NONE, Flags: unix.NTF_USE}
	if !mac.IsZero() {
		n = netlink.Neigh{LinkIndex: h.link, IP: h.ip.AsSlice(), HardwareAddr: mac[:], State: unix.NUD_PROBE}
	}
	return v.handle.NeighSet(&n)
}
