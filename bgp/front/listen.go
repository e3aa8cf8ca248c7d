package front

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/bgp"
)

// listeners are the sockets that accept sessions, and whom they are accepted from.
type listeners struct {
	mu        sync.RWMutex // guards what follows
	open      []*net.TCPListener
	closed    bool
	neighbors map[netip.Addr]*neighbor
	keys      map[netip.Addr]string
	owned     sync.WaitGroup
}

// expect has the connections of a neighbour accepted.
func (l *listeners) expect(n *neighbor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.neighbors == nil {
		l.neighbors = make(map[netip.Addr]*neighbor)
	}
	l.neighbors[n.address] = n
}

// forget has the neighbour's connections closed.
func (l *listeners) forget(n *neighbor) {
	l.mu.Lock()
	if l.neighbors[n.address] == n {
		delete(l.neighbors, n.address)
	}
	l.mu.Unlock()
	_ = l.setKey(n.address, "") // taking a key away does not fail
}

// setKey has the connections of a neighbour be signed, or not.
func (l *listeners) setKey(peer netip.Addr, password string) error {
	if password != "" {
		if err := trySigning(peer, password); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		l.keys = make(map[netip.Addr]string)
	}
	_, had := l.keys[peer]
	if password == "" {
		delete(l.keys, peer)
		if !had {
			return nil
		}
		for other, key := range l.keys {
			if other.WithZone("") == peer.WithZone("") {
				password = key // another neighbour's with this address, on another link
			}
		}
	} else {
		l.keys[peer] = password
	}
	for _, ln := range l.open {
		if err := signListener(ln, peer, password); err != nil {
			return err
		}
	}
	return nil
}

// signListener gives a listener the key of a peer, if it can be the peer's.
func signListener(ln *net.TCPListener, peer netip.Addr, password string) error {
	if addressOf(ln).Is4() != peer.Is4() {
		return nil
	}
	c, err := ln.SyscallConn()
	if err != nil {
		return err
	}
	return control(c, func(fd int) error { return sign(fd, peer, password) })
}

func addressOf(ln *net.TCPListener) netip.Addr {
	a, ok := ln.Addr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return a.AddrPort().Addr().Unmap()
}

// checkKey says what keeps a neighbour from having its password: the kernel knows of no
// links where it looks for a key. s.mu is held.
func (s *Speaker) checkKey(cfg *bgp.Neighbor) error {
	same := cfg.Address.WithZone("")
	for _, n := range s.neighbors {
		if n.address != cfg.Address && n.address.WithZone("") == same && n.config().Password != cfg.Password {
			return fmt.Errorf("neighbor %v: want the password of neighbor %v, which has the same address on another link",
				cfg.Address, n.address)
		}
	}
	return nil
}

// listen opens the listeners.
func (s *Speaker) listen() error {
	if s.cfg.BGP.ListenPort < 0 {
		return nil
	}
	addresses, optional := s.cfg.BGP.ListenAddresses, netip.Addr{}
	if len(addresses) == 0 {
		optional = netip.IPv6Unspecified() // not every system has IPv6
		addresses = []netip.Addr{netip.IPv4Unspecified(), optional}
	}
	l := &s.listeners
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range addresses {
		ln, err := s.listenAt(netip.AddrPortFrom(a, uint16(s.cfg.BGP.ListenPort)))
		if a == optional && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)) {
			s.log.Info("no IPv6 here, listening for BGP by IPv4 alone", "err", err)
			continue
		}
		if err != nil {
			return fmt.Errorf("listening for BGP: %w", err)
		}
		l.open = append(l.open, ln)
		for peer, key := range l.keys {
			if err := signListener(ln, peer, key); err != nil {
				return fmt.Errorf("neighbor %v: %w", peer, err)
			}
		}
	}
	return nil
}

func (s *Speaker) listenAt(at netip.AddrPort) (*net.TCPListener, error) {
	network := "tcp4"
	if at.Addr().Is6() {
		network = "tcp6"
	}
	cfg := net.ListenConfig{
		KeepAlive: -1,
		// What answers a connection is sent before it can be known whose it is: with a TTL
		// that any peer takes.
		Control: func(_, _ string, c syscall.RawConn) error {
			return control(c, func(fd int) error { return setHops(fd, at.Addr(), hopLimits{send: maxHops}) })
		},
	}
	cfg.SetMultipathTCP(false) // it knows no MD5
	addr, err := s.numbered(at.Addr())
	if err != nil {
		return nil, fmt.Errorf("%v: %w", at, err)
	}
	var ln net.Listener
	err = s.cfg.Namespace(func() (err error) {
		ln, err = cfg.Listen(context.Background(), network, netip.AddrPortFrom(addr, at.Port()).String())
		return err
	})
	if err != nil {
		return nil, err
	}
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return nil, errors.New("no TCP listener")
	}
	return tcp, nil
}

// serve accepts connections until close.
func (l *listeners) serve(s *Speaker) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, ln := range l.open {
		l.owned.Go(func() { s.accept(ln) })
	}
}

// close closes the listeners and waits for those who accept.
func (l *listeners) close() {
	l.mu.Lock()
	for _, ln := range l.open {
		_ = ln.Close()
	}
	l.open, l.closed = nil, true
	l.mu.Unlock()
	l.owned.Wait()
}

// The times between two attempts to accept that fail, and between two lines of log.
const (
	firstPause = 5 * time.Millisecond
	longPause  = time.Second
)

// accept hands connections over until the listener is closed. Nothing else ends it: while
// there are no file descriptors, connections are closed by means of one that is spare for
// that.
func (s *Speaker) accept(ln *net.TCPListener) {
	spare, _ := os.Open(os.DevNull) // without one, connections wait
	defer func() {
		if spare != nil {
			_ = spare.Close()
		}
	}()
	var pause time.Duration
	var logged time.Time
	for {
		conn, err := ln.AcceptTCP()
		switch {
		case err == nil:
			pause = 0
			s.arrived(conn)
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		if time.Since(logged) >= logEvery {
			logged = time.Now()
			s.log.Warn("accepting a BGP connection", "listener", ln.Addr(), "err", err)
		}
		if spare != nil && (errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)) {
			_ = spare.Close()
			spare = nil
			for err = nil; err == nil; {
				_ = ln.SetDeadline(time.Now().Add(firstPause))
				if conn, err = ln.AcceptTCP(); err == nil {
					reset(conn)
				}
			}
			_ = ln.SetDeadline(time.Time{})
		}
		pause = min(max(2*pause, firstPause), longPause)
		time.Sleep(pause)
		if spare == nil {
			spare, _ = os.Open(os.DevNull)
		}
	}
}

// arrived gives a connection to the neighbour whose it is, or closes it.
func (s *Speaker) arrived(conn *net.TCPConn) {
	at, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		reset(conn)
		return
	}
	peer := at.AddrPort().Addr().Unmap().WithZone("")
	n := s.whose(peer, conn)
	if n == nil {
		s.counts.strangers.Add(1)
		if s.log.Enabled(context.Background(), slog.LevelDebug) {
			s.log.Debug("closed a BGP connection from an address of no neighbour", "address", peer)
		}
		reset(conn)
		return
	}
	cfg := n.config()
	local := cfg.LocalAddress
	if local.IsValid() && local.WithZone("") != localOf(conn).WithZone("") {
		n.log.Debug("closed a BGP connection to an address that is not the neighbour's local address", "local", localOf(conn))
		reset(conn)
		return
	}
	c, err := conn.SyscallConn()
	if err == nil {
		err = control(c, func(fd int) error {
			return setHops(fd, peer, hopsOf(&cfg, cfg.AS == s.identityNow().as))
		})
	}
	if err != nil {
		n.log.Warn("accepting a BGP connection", "err", err)
		reset(conn)
		return
	}
	for {
		select {
		case n.incoming <- conn:
			return
		default: // more than anybody needs: an older one is nobody's any more
		}
		select {
		case old := <-n.incoming:
			reset(old)
		default:
		}
	}
}

// whose gives the neighbour with an address, that of a link-local one by the link too; nil
// if there is none.
func (s *Speaker) whose(peer netip.Addr, conn *net.TCPConn) *neighbor {
	l := &s.listeners
	l.mu.RLock()
	defer l.mu.RUnlock()
	if !peer.IsLinkLocalUnicast() || peer.Is4() {
		return l.neighbors[peer]
	}
	link := linkOf(conn)
	for a, n := range l.neighbors {
		if a.WithZone("") != peer {
			continue
		}
		if index, err := s.linkIndex(a.Zone()); err == nil && index == link {
			return n
		}
	}
	return nil
}

// reset closes a connection without a trace.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}
