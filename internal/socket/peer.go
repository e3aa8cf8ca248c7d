package socket

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Peer is who is at the other end of a connection.
type Peer struct {
	// Local says that it is a process of this machine, over a Unix socket, and has what
	// follows: its process, user and groups when it connected, as the kernel has them.
	Local    bool
	PID      int32
	UID, GID uint32
	Groups   []uint32 // supplementary

	Address netip.Addr // over TCP
}

// PeerOf asks the kernel who is at the other end.
func PeerOf(c net.Conn) (Peer, error) {
	switch at := c.RemoteAddr().(type) {
	case *net.TCPAddr:
		return Peer{Address: at.AddrPort().Addr().Unmap()}, nil
	case *net.UnixAddr:
		u, ok := c.(*net.UnixConn)
		if !ok {
			return Peer{}, fmt.Errorf("a Unix connection that is a %T", c)
		}
		return credentials(u)
	}
	return Peer{}, fmt.Errorf("a peer at %v: neither TCP nor Unix", c.RemoteAddr())
}

func credentials(c *net.UnixConn) (p Peer, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return p, err
	}
	p.Local = true
	asked := raw.Control(func(fd uintptr) {
		var u *unix.Ucred
		if u, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil {
			err = os.NewSyscallError("SO_PEERCRED", err)
			return
		}
		p.PID, p.UID, p.GID = u.Pid, u.Uid, u.Gid
		p.Groups, err = groups(int(fd))
	})
	return p, errors.Join(asked, err)
}

// groups asks for the supplementary groups, of which there may be 65,536.
func groups(fd int) ([]uint32, error) {
	for n := 64; ; n *= 32 {
		ids := make([]uint32, n)
		size := uint32(4 * n)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&ids[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return ids[:size/4], nil
		case errno == unix.ERANGE && n < 65536:
			continue
		}
		return nil, os.NewSyscallError("SO_PEERGROUPS", errno)
	}
}

// In reports whether the peer is in a group.
func (p Peer) In(gid uint32) bool { return p.Local && (p.GID == gid || slices.Contains(p.Groups, gid)) }

// Client is what is counted as one client: a user of this machine, an IPv4 address, or an
// IPv6 network of 64 bits, of which a host has as many addresses as it likes.
func (p Peer) Client() string {
	switch {
	case p.Local:
		return "user " + strconv.FormatUint(uint64(p.UID), 10)
	case p.Address.Is6():
		if net, err := p.Address.WithZone("").Prefix(64); err == nil && !p.Address.IsLoopback() {
			return net.String()
		}
	}
	return p.Address.String()
}

// String is for the log.
func (p Peer) String() string {
	if p.Local {
		return fmt.Sprintf("uid %d gid %d pid %d", p.UID, p.GID, p.PID)
	}
	return p.Address.String()
}
