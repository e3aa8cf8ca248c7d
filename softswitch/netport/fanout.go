package netport

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// openRings opens rings of an interface, of which the kernel gives each frame
// to one, by a hash of its flow: the addresses and ports of IP, outer ones of
// a tunnel. What the kernel sees no flow in goes to one ring.
func openRings(l link, bytes, n int, count *counters) ([]*ring, error) {
	var rings []*ring
	group := 0
	for i := range n {
		r, err := openRing(l, bytes, count)
		if err != nil {
			closeRings(rings)
			return nil, err
		}
		rings = append(rings, r)
		if n == 1 {
			break
		}
		if group, err = r.join(group); err != nil && i == 0 {
			break // the kernel cannot: one ring must do
		} else if err != nil {
			closeRings(rings)
			return nil, err
		}
	}
	for _, r := range rings {
		if err := unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); err != nil {
			closeRings(rings)
			return nil, fmt.Errorf("let a packet socket receive: %w", err)
		}
	}
	return rings, nil
}

func closeRings(rings []*ring) {
	for _, r := range rings {
		r.close()
	}
}

// refuseAll keeps frames out of a socket: what is bound, but not yet in its
// group, would get a copy of each.
func refuseAll(fd int) error {
	none := [1]unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	program := unix.SockFprog{Len: 1, Filter: &none[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return fmt.Errorf("set a filter: %w", err)
	}
	return nil
}

// join adds the ring to a group of rings, or makes one where the id is 0, and
// returns the group's id.
func (r *ring) join(group int) (int, error) {
	mode := unix.PACKET_FANOUT_HASH | unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING
	if group == 0 {
		mode |= unix.PACKET_FANOUT_FLAG_UNIQUEID
	}
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_FANOUT, group|mode<<16); err != nil {
		return 0, fmt.Errorf("share frames among receive rings: %w", err)
	}
	value, err := unix.GetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
	if err != nil {
		return 0, fmt.Errorf("share frames among receive rings: %w", err)
	}
	return value & 0xffff, nil
}
