package netport

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// sharing is how a group gives frames to its rings, as in the upper half of the
// option PACKET_FANOUT.
const sharing = unix.PACKET_FANOUT_HASH | unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING

// newGroup asks the kernel for a group with an id of its choice, which may be
// any, also 0.
const newGroup = (sharing | unix.PACKET_FANOUT_FLAG_UNIQUEID) << 16

// openRings opens rings of an interface, of which the kernel gives each frame
// to one, by a hash of its flow: the addresses and ports of IP, outer ones of
// a tunnel. What the kernel sees no flow in goes to one ring. The first ring
// makes their group by the value first of PACKET_FANOUT.
func openRings(l link, bytes, n, first int, count *counters) ([]*ring, error) {
	var rings []*ring
	group := first
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
		if err = r.join(group); err != nil && i == 0 {
			break // the kernel cannot: one ring must do
		}
		if err == nil && i == 0 {
			group, err = r.group()
		}
		if err != nil {
			closeRings(rings)
			return nil, err
		}
	}
	if len(rings) > 1 {
		if err := checkGroup(rings, group); err != nil {
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

// join sets PACKET_FANOUT: it adds the ring to a group of rings, or makes one.
func (r *ring) join(group int) error {
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_FANOUT, group); err != nil {
		return fmt.Errorf("share frames among receive rings: %w", err)
	}
	return nil
}

// group returns the group that the ring is in, by its id and sharing. 0 is
// also what a socket in no group has.
func (r *ring) group() (int, error) {
	group, err := unix.GetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
	if err != nil {
		return 0, fmt.Errorf("read the group of a receive ring: %w", err)
	}
	return group, nil
}

// checkGroup checks that all rings share frames in one group: each group gets
// every frame.
func checkGroup(rings []*ring, group int) error {
	if group>>16 != sharing {
		return fmt.Errorf("the kernel shares frames among receive rings by %#x, not %#x", group>>16, sharing)
	}
	for i, r := range rings {
		got, err := r.group()
		if err != nil {
			return err
		}
		if got != group {
			return fmt.Errorf("receive ring %d is in group %#x and the first in %#x: every frame would be read "+
				"more than once", i, got, group)
		}
	}
	return nil
}
