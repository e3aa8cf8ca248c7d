package gobgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/bgp"
)

const (
	// handshakeCheck is how often the connections of neighbours without a session
	// are looked at.
	handshakeCheck = time.Second
	// handshakePatience is what a connection gets to become a session, which takes
	// three round trips.
	handshakePatience = 3 * time.Second
)

// connection is a TCP connection by its two ends.
type connection struct{ local, remote netip.AddrPort }

// watchHandshakes ends connections that became no session in time. When both ends
// dial at once GoBGP 4.8.0 may keep the one connection and neither read nor close the
// other (opensent in its fsm.go): a neighbour that kept that one waits on it for its
// hold time, and refuses all others meanwhile.
func (s *Speaker) watchHandshakes(ctx context.Context) {
	tick := time.NewTicker(handshakeCheck)
	defer tick.Stop()
	since := map[connection]time.Time{} // when each was seen first
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.endForgotten(since, time.Now()); err != nil {
			s.log.Warn("looking for BGP connections without a session", "err", err)
		}
	}
}

// endForgotten ends the connections that have been there too long, and keeps since
// up to date.
func (s *Speaker) endForgotten(since map[connection]time.Time, now time.Time) error {
	waiting := s.withoutSession()
	seen := map[connection]bool{}
	err := s.connections(waiting, func(fd int, c connection) {
		seen[c] = true
		first, known := since[c]
		switch {
		case !known:
			since[c] = now
		case now.Sub(first) >= handshakePatience:
			s.log.Info("a BGP connection became no session, ending it", "peer", c.remote.Addr())
			_ = unix.Shutdown(fd, unix.SHUT_RDWR) // it can fail only because it has ended
		}
	})
	for c := range since {
		if !seen[c] {
			delete(since, c)
		}
	}
	return err
}

// withoutSession are the neighbours that have none.
func (s *Speaker) withoutSession() map[netip.Addr]bgp.Neighbor {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[netip.Addr]bgp.Neighbor{}
	for _, p := range s.peers {
		if !p.state.Up {
			out[p.state.Address.WithZone("")] = p.neighbor
		}
	}
	return out
}

// connections gives the BGP connections of this process with some neighbours. A file
// descriptor is a duplicate that is valid during the call.
func (s *Speaker) connections(of map[netip.Addr]bgp.Neighbor, do func(fd int, c connection)) error {
	if len(of) == 0 {
		return nil
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("listing the open files: %w", err)
	}
	for _, f := range files {
		n, err := strconv.Atoi(f.Name())
		if err != nil {
			continue
		}
		// A duplicate, since the file may be closed meanwhile and another have its number.
		fd, err := unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			continue
		}
		if c, ok := ends(fd); ok {
			if n, ok := of[c.remote.Addr()]; ok && s.speaksBGP(c, n) {
				do(fd, c)
			}
		}
		_ = unix.Close(fd)
	}
	return nil
}

// speaksBGP reports whether a connection with a neighbour is one of BGP: by the port
// where we listen, or by that of the neighbour.
func (s *Speaker) speaksBGP(c connection, n bgp.Neighbor) bool {
	return int(c.local.Port()) == orBGP(s.cfg.ListenPort) || int(c.remote.Port()) == orBGP(int(n.Port))
}

func orBGP(port int) int {
	if port == 0 {
		return 179
	}
	return port
}

// ends gives both ends of a TCP connection.
func ends(fd int) (c connection, ok bool) {
	protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil || protocol != unix.IPPROTO_TCP {
		return c, false
	}
	local, err := unix.Getsockname(fd)
	remote, err2 := unix.Getpeername(fd)
	if errors.Join(err, err2) != nil {
		return c, false // it listens, or is not connected yet
	}
	c.local, c.remote = addrPort(local), addrPort(remote)
	return c, c.local.IsValid() && c.remote.IsValid()
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
