package front

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/bgp"
)

// control calls do with the descriptor of a socket.
func control(c syscall.RawConn, do func(fd int) error) error {
	var err error
	if e := c.Control(func(fd uintptr) { err = do(int(fd)) }); e != nil {
		return e
	}
	return err
}

// maxHops is the TTL of what is sent to a peer that checks it (RFC 5082).
const maxHops = 255

// hopLimits are the TTL that we send with, 0 for the system's, and the least that what a
// peer sends must have, 0 for any.
type hopLimits struct{ send, least int }

// hopsOf are those of a neighbour: an eBGP peer is on our link unless it is said to be
// elsewhere.
func hopsOf(n *bgp.Neighbor, internal bool) hopLimits {
	switch {
	case n.TTLSecurity > 0:
		return hopLimits{maxHops, maxHops + 1 - int(n.TTLSecurity)}
	case internal:
		return hopLimits{}
	case n.Multihop > 0:
		return hopLimits{send: int(n.Multihop)}
	}
	return hopLimits{send: 1}
}

// setHops sets the TTL, or hop limit, of a socket to a peer.
func setHops(fd int, peer netip.Addr, h hopLimits) error {
	level, send, least := unix.IPPROTO_IP, unix.IP_TTL, unix.IP_MINTTL
	if peer.Is6() {
		level, send, least = unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, unix.IPV6_MINHOPCOUNT
	}
	if h.send == 0 {
		h.send = -1 // the system's
	}
	if err := unix.SetsockoptInt(fd, level, send, h.send); err != nil {
		return fmt.Errorf("setting the TTL %d: %w", h.send, err)
	}
	if h.least == 0 {
		return nil
	}
	if err := unix.SetsockoptInt(fd, level, least, h.least); err != nil {
		return fmt.Errorf("setting the least TTL %d: %w", h.least, err)
	}
	return nil
}

// sign has the kernel sign what is sent to a peer by TCP MD5 (RFC 2385), and take from it
// nothing that is not. No password ends that. Of a link-local address the link means
// nothing: one key is for all links.
func sign(fd int, peer netip.Addr, password string) error {
	sig := &unix.TCPMD5Sig{Keylen: uint16(len(password))}
	copy(sig.Key[:], password)
	if peer.Is4() {
		a := peer.As4()
		sig.Addr.Family = unix.AF_INET
		copy(sig.Addr.Data[2:], a[:])
	} else {
		a := peer.As16()
		sig.Addr.Family = unix.AF_INET6
		copy(sig.Addr.Data[6:], a[:])
	}
	err := unix.SetsockoptTCPMD5Sig(fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG, sig)
	if password == "" {
		return nil // there need not have been a key, nor a kernel that knows of any
	}
	if err != nil {
		return fmt.Errorf("the kernel refuses TCP MD5 signatures: %w", err)
	}
	return nil
}

// trySigning says why the kernel would not sign the sessions of a neighbour.
func trySigning(peer netip.Addr, password string) error {
	family := unix.AF_INET
	if peer.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	return sign(fd, peer, password)
}

// linkIndex is the index of a link by its name, or by its number as a text, where the
// sockets of the sessions are. Package net would look for it here, and remember it for all
// namespaces.
func (s *Speaker) linkIndex(zone string) (index int, err error) {
	err = s.cfg.Namespace(func() error {
		link, err := net.InterfaceByName(zone)
		if err != nil {
			if index, err = strconv.Atoi(zone); err != nil {
				return fmt.Errorf("there is no link %q", zone)
			}
			return nil
		}
		index = link.Index
		return nil
	})
	return index, err
}

// numbered is an address with the number of its link in the place of its name.
func (s *Speaker) numbered(a netip.Addr) (netip.Addr, error) {
	if a.Zone() == "" {
		return a, nil
	}
	index, err := s.linkIndex(a.Zone())
	if err != nil {
		return a, err
	}
	return a.WithZone(strconv.Itoa(index)), nil
}

// linkOf is the index of the link of a connection between link-local addresses, 0 of
// another one.
func linkOf(conn net.Conn) (index int) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = control(raw, func(fd int) error { // without a link if it fails
		peer, err := unix.Getpeername(fd)
		if a, ok := peer.(*unix.SockaddrInet6); ok {
			index = int(a.ZoneId)
		}
		return err
	})
	return index
}

// InNamespace gives a function for Config.Namespace: it calls another one on a thread
// that is in the network namespace of a file, such as one in /run/netns, and in no other
// goroutine's use meanwhile.
func InNamespace(path string) func(func() error) error {
	return func(open func() error) error {
		result := make(chan error, 1)
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			result <- func() error {
				f, err := os.Open(path)
				if err != nil {
					return fmt.Errorf("opening a network namespace: %w", err)
				}
				defer func() { _ = f.Close() }()
				if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
					return fmt.Errorf("entering network namespace %s: %w", path, err)
				}
				return open()
			}()
		}()
		return <-result
	}
}
