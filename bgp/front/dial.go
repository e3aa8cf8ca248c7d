package front

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
)

// dialer says when a neighbour is connected to: soon, and while that fails after times
// that grow up to ConnectRetry.
type dialer struct {
	timer *time.Timer // of the next attempt
	armed bool        // there is to be one
	wait  time.Duration
	busy  bool // an attempt is being made
}

func newDialer() dialer { return dialer{timer: stoppedTimer()} }

// now has the next attempt be made at once.
func (d *dialer) now() { d.at(0) }

// stop has no attempt be made.
func (d *dialer) stop() {
	d.armed = false
	d.timer.Stop()
}

func (d *dialer) at(wait time.Duration) {
	d.armed = true
	d.timer.Reset(wait)
}

// about has the next attempt be made after a while, of which a quarter is left to chance,
// so that two ends do not meet again and again.
func (d *dialer) about(wait time.Duration) { d.at(wait - time.Duration(rand.Int64N(int64(wait)/4+1))) }

// later has the next attempt be made after a while, and the one after that later still.
func (d *dialer) later(first, most time.Duration) {
	d.wait = min(max(2*d.wait, first), most)
	d.about(d.wait)
}

// connect makes an attempt to connect, unless that has no use now: a candidate that has
// sent its OPEN is better than a new one. What ends without a session leads here again.
func (n *neighbor) connect() {
	cfg := n.config()
	switch {
	case cfg.Shutdown || cfg.Passive || n.session != nil || n.dial.busy:
		return
	case n.excess.held():
		n.dial.at(time.Until(n.excess.until))
		return
	}
	for _, c := range n.candidates {
		if c.outgoing || c.open != nil {
			return
		}
	}
	n.dial.busy = true
	n.owned.Go(func() {
		conn, err := n.s.dialNeighbor(n.ctx, &cfg)
		if !n.post(func() { n.dialled(conn, err) }) && conn != nil {
			_ = conn.Close()
		}
	})
}

// dialled takes what became of an attempt.
func (n *neighbor) dialled(conn net.Conn, err error) {
	n.dial.busy = false
	if err != nil {
		n.log.Debug("connecting to a BGP neighbour", "err", err)
		n.retry()
		n.settle()
		return
	}
	if n.session != nil {
		_ = conn.Close()
		return
	}
	n.contend(conn, true)
}

// retry has the next attempt to connect be made in a while, unless there is to be one.
func (n *neighbor) retry() {
	if n.dial.armed || n.dial.busy {
		return
	}
	n.dial.later(n.s.timing.firstRetry, cmp.Or(n.config().ConnectRetry, defaultConnectRetry))
}

// dialNeighbor connects to a neighbour.
func (s *Speaker) dialNeighbor(ctx context.Context, n *bgp.Neighbor) (net.Conn, error) {
	port := cmp.Or(n.Port, bgpPort)
	id := s.identityNow()
	to, err := s.numbered(n.Address)
	if err != nil {
		return nil, fmt.Errorf("neighbor %v: %w", n.Address, err)
	}
	d := net.Dialer{
		Timeout: cmp.Or(n.ConnectRetry, defaultConnectRetry), KeepAlive: -1,
		Control: func(_, _ string, c syscall.RawConn) error {
			return control(c, func(fd int) error {
				if err := setHops(fd, n.Address, hopsOf(n, n.AS == id.as)); err != nil {
					return err
				}
				return sign(fd, n.Address, n.Password)
			})
		},
	}
	if n.LocalAddress.IsValid() {
		from, err := s.numbered(n.LocalAddress)
		if err != nil {
			return nil, fmt.Errorf("neighbor %v: local address: %w", n.Address, err)
		}
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	d.SetMultipathTCP(false)
	var conn net.Conn
	err = s.cfg.Namespace(func() (err error) {
		conn, err = d.DialContext(ctx, "tcp", netip.AddrPortFrom(to, port).String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("neighbor %v: %w", n.Address, err)
	}
	return conn, nil
}
