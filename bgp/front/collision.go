package front

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/p4evpn/p4evpn/bgp/gobgp"
	"github.com/p4evpn/p4evpn/bgp/wire"
)

// candidate is a connection that may become the session. Ours and the peer's OPEN are
// exchanged on each; one alone is answered with a KEEPALIVE at a time.
type candidate struct {
	conn      net.Conn
	r         *bufio.Reader
	outgoing  bool // we have dialled
	begun     bool // its handshake is going on
	since     time.Time
	open      *wire.Open // the peer's; nil before it came
	opened    time.Time
	confirmed bool // it was sent a KEEPALIVE: OpenConfirm
	heard     bool // it has sent one
}

// maxAccepted is how many connections of one neighbour there may be that have become no
// session.
const maxAccepted = 2

// accepted takes a connection that the neighbour has made.
func (n *neighbor) accepted(conn net.Conn) {
	switch cfg := n.config(); {
	case cfg.Shutdown:
		n.sendOff(conn, wire.Shutdown(wire.AdminShutdown, cfg.ShutdownMessage))
		return
	case n.excess.held():
		n.sendOff(conn, &wire.Notification{Code: wire.Cease, Subcode: wire.ConnectionRejected})
		return
	case n.session != nil && !n.session.graceful():
		// RFC 4271 section 6.8: the established one stays.
		n.sendOff(conn, collision)
		return
	}
	var waiting []*candidate
	for _, c := range n.candidates {
		if !c.outgoing {
			waiting = append(waiting, c)
		}
	}
	if len(waiting) >= maxAccepted {
		// The one that is silent, or the older one, is nobody's any more.
		i := max(0, slices.IndexFunc(waiting, func(c *candidate) bool { return c.open == nil }))
		n.refuse(waiting[i], collision)
	}
	n.contend(conn, false)
}

// collision is what ends a connection that is one too many (RFC 4486 section 4).
var collision = &wire.Notification{Code: wire.Cease, Subcode: wire.CollisionResolution}

func isCollision(n *wire.Notification) bool {
	return n.Code == wire.Cease && n.Subcode == wire.CollisionResolution
}

// contend makes a connection a candidate.
func (n *neighbor) contend(conn net.Conn, outgoing bool) {
	c := &candidate{conn: conn, r: bufio.NewReaderSize(conn, readBuffer), outgoing: outgoing, since: time.Now()}
	n.candidates = append(n.candidates, c)
	if n.session != nil {
		n.begin(c) // our OPEN is the same as that of the session but for the R bit
		return
	}
	n.openInner()
	n.begin(c)
}

// openInner has the engine begin the session, whose OPEN all candidates are sent.
func (n *neighbor) openInner() {
	if n.inner != nil || n.opening {
		return
	}
	n.opening = true
	cfg := n.config()
	n.owned.Go(func() {
		inner, err := n.s.engine.Open(n.ctx, &cfg)
		if !n.post(func() { n.innerOpened(inner, err) }) && inner != nil {
			_ = inner.Close()
		}
	})
}

func (n *neighbor) innerOpened(inner *gobgp.Inner, err error) {
	n.opening = false
	if err == nil && n.prepare(inner) == nil {
		n.inner = inner
		for _, c := range n.candidates {
			n.begin(c)
		}
		n.closeUnused()
		n.settle()
		return
	}
	if err == nil {
		err = errors.New("it sent no OPEN that can be read")
		_ = inner.Close()
	}
	n.log.Warn("the BGP engine cannot begin a session", "err", err)
	for _, c := range slices.Clone(n.candidates) {
		n.refuse(c, &wire.Notification{Code: wire.Cease, Subcode: wire.OutOfResources})
	}
	n.retry()
}

// closeInner ends the engine's side, and closeUnused does if nobody contends for it.
func (n *neighbor) closeInner() {
	if n.inner != nil {
		_ = n.inner.Close()
		n.inner = nil
	}
}

func (n *neighbor) closeUnused() {
	if n.session == nil && len(n.candidates) == 0 {
		n.closeInner()
	}
}

// begin exchanges OPENs with a candidate, if there is one of ours.
func (n *neighbor) begin(c *candidate) {
	if c.begun || n.hello == nil || n.session == nil && n.inner == nil {
		return
	}
	c.begun = true
	late := c.since.Add(n.s.timing.open)
	hello := n.hello
	if n.session != nil {
		hello = n.session.hello
	}
	id := n.s.identityNow()
	as, hold := n.config().AS, n.ours.HoldTime
	n.owned.Go(func() {
		open, err := exchange(c, hello, late)
		if err == nil {
			if bad := open.Check(as, id.routerID, as == id.as); bad != nil {
				err = bad
			}
		}
		if !n.post(func() { n.opened(c, open, err) }) || err != nil {
			return
		}
		silent := awaitKeepalive(c, holdTime(hold, open.HoldTime))
		n.post(func() { n.answered(c, silent) })
	})
}

// exchange sends our OPEN and reads the peer's.
func exchange(c *candidate, hello []byte, late time.Time) (*wire.Open, error) {
	if err := c.conn.SetDeadline(late); err != nil {
		return nil, err
	}
	if _, err := c.conn.Write(hello); err != nil {
		return nil, err
	}
	typ, body, err := wire.ReadMessage(c.r, nil, wire.MaxMessage)
	if err != nil {
		return nil, err
	}
	switch typ {
	case wire.OpenType:
		open, err := wire.ParseOpen(body)
		return &open, err
	case wire.NotificationType:
		return nil, received{wire.ParseNotification(body)}
	}
	return nil, &wire.Notification{Code: wire.StateMachineError, Subcode: wire.InOpenSent}
}

// awaitKeepalive reads the KEEPALIVE with which the peer takes our OPEN.
func awaitKeepalive(c *candidate, hold time.Duration) error {
	late := time.Time{}
	if hold > 0 {
		late = time.Now().Add(hold)
	}
	if err := c.conn.SetDeadline(late); err != nil {
		return err
	}
	typ, body, err := wire.ReadMessage(c.r, nil, wire.MaxMessage)
	switch {
	case err != nil:
		return err
	case typ == wire.KeepaliveType:
		return c.conn.SetDeadline(time.Time{})
	case typ == wire.NotificationType:
		return received{wire.ParseNotification(body)}
	}
	return &wire.Notification{Code: wire.StateMachineError, Subcode: wire.InOpenConfirm}
}

// received is a NOTIFICATION of the peer.
type received struct{ *wire.Notification }

func (r received) Error() string { return "received " + r.Notification.Error() }

// opened takes what became of the exchange of OPENs.
func (n *neighbor) opened(c *candidate, open *wire.Open, err error) {
	if !slices.Contains(n.candidates, c) {
		return
	}
	if open != nil {
		n.note(open.Faults)
	}
	if err != nil {
		n.lost(c, err)
		return
	}
	c.open, c.opened = open, time.Now()
	n.mu.Lock()
	n.state.RouterID = open.ID
	n.mu.Unlock()
	n.settle()
}

// answered takes the peer's KEEPALIVE.
func (n *neighbor) answered(c *candidate, err error) {
	if !slices.Contains(n.candidates, c) {
		return
	}
	if err != nil {
		n.lost(c, err)
		return
	}
	c.heard = true
	n.settle()
}

// lost gives up a candidate that failed.
func (n *neighbor) lost(c *candidate, err error) {
	var bad *wire.Notification
	var said received
	switch {
	case errors.As(err, &said):
	case errors.As(err, &bad):
	default:
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			bad = &wire.Notification{Code: wire.HoldTimerExpired}
			err = fmt.Errorf("no answer: %w", bad)
		}
	}
	n.log.Debug("a BGP connection became no session", "outgoing", c.outgoing, "err", err)
	if said.Notification != nil {
		bad = nil
	}
	if why := cmp.Or(bad, said.Notification); why != nil && n.session == nil && !isCollision(why) {
		n.setDown(err.Error())
	}
	n.refuse(c, bad)
	n.settle()
}

// refuse ends a candidate, with a NOTIFICATION if there is one.
func (n *neighbor) refuse(c *candidate, why *wire.Notification) {
	n.candidates = slices.DeleteFunc(n.candidates, func(o *candidate) bool { return o == c })
	n.sendOff(c.conn, why)
	if n.session == nil {
		n.retry()
		n.closeUnused()
	}
}

// sendOff closes a connection, after a NOTIFICATION if there is one.
func (n *neighbor) sendOff(conn net.Conn, why *wire.Notification) {
	// Who reads from it now must not read what is said after it.
	_ = conn.SetReadDeadline(time.Unix(1, 0))
	// The speaker waits for it, the neighbour does not: it may be removed meanwhile.
	n.s.owned.Go(func() { farewell(conn, why, n.s.timing.farewell) })
}

// dominant reports whether the connection that we have made stays when there are two (RFC
// 4271 section 6.8, RFC 6286 section 2.3).
func dominant(us identity, open *wire.Open) bool {
	if c := us.routerID.Compare(open.ID); c != 0 {
		return c > 0
	}
	return us.as > open.AS
}

// settle chooses among the candidates whose OPEN came, and has the chosen one become the
// session when the peer has answered.
//
// That of the speaker with the higher identifier is preferred. Another one that came
// first waits for it for a while, if it is under way, and is not answered: so the peer
// cannot take the one to be established while we take the other. One that was answered
// already may be established with the peer by now: then the preferred one waits, for the
// peer to end one of them.
func (n *neighbor) settle() {
	n.settling.Stop()
	if n.session != nil {
		n.succeed()
		return
	}
	var preferred, other *candidate // the newest of each direction
	direction := false
	for _, c := range n.candidates {
		if c.open == nil {
			continue
		}
		direction = dominant(n.s.identityNow(), c.open)
		if c.outgoing == direction {
			preferred = c
		} else {
			other = c
		}
	}
	switch {
	case preferred != nil && (other == nil || !other.confirmed || !n.within(preferred.opened)):
		n.confirm(preferred, direction)
	case other == nil:
	case preferred == nil && !other.confirmed && n.underway(direction) && n.within(other.opened):
	default:
		n.confirm(other, direction)
	}
}

// underway reports whether there may soon be a candidate that we have dialled, or not.
func (n *neighbor) underway(outgoing bool) bool {
	return outgoing && n.dial.busy || slices.ContainsFunc(n.candidates, func(c *candidate) bool {
		return c.open == nil && c.outgoing == outgoing
	})
}

// within reports whether a candidate still waits for another one since it was opened, and
// then has settle be called when it does no more.
func (n *neighbor) within(opened time.Time) bool {
	left := n.s.timing.collision - time.Since(opened)
	if left <= 0 {
		return false
	}
	n.settling.Reset(left)
	return true
}

// confirm answers a candidate, ends what it won over, and makes it the session if the
// peer has answered too. One of the preferred direction wins over all.
func (n *neighbor) confirm(c *candidate, direction bool) {
	for _, o := range slices.Clone(n.candidates) {
		if o != c && o.open != nil && (c.outgoing == direction || o.outgoing == c.outgoing) {
			n.refuse(o, collision)
		}
	}
	if !c.confirmed {
		c.confirmed = true
		_ = c.conn.SetWriteDeadline(time.Now().Add(n.s.timing.farewell))
		if _, err := c.conn.Write(keepalive); err != nil {
			n.lost(c, err)
			return
		}
		_ = c.conn.SetWriteDeadline(time.Time{})
	}
	switch {
	case !c.heard:
	case n.inner == nil:
		n.openInner() // and then settle again
	default:
		n.establish(c)
	}
}

// succeed has a new connection take the place of an established session with a peer that
// does graceful restart: it has lost the one that we have (RFC 4724 section 5). If that is
// young both may be of one beginning, and the peer is left the time to end one.
func (n *neighbor) succeed() {
	var newest *candidate
	for _, c := range n.candidates {
		if c.open != nil {
			newest = c
		}
	}
	if newest == nil || time.Since(n.session.since) < n.s.timing.lasting && n.within(newest.opened) {
		return
	}
	n.finish(&ending{reason: "the peer began a new session", graceful: true})
	n.openInner()
	n.settle()
}

var keepalive = wire.AppendMessage(nil, wire.KeepaliveType, nil)

// localOf is our address of a connection.
func localOf(conn net.Conn) netip.Addr {
	a, ok := conn.LocalAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return a.AddrPort().Addr().Unmap()
}
