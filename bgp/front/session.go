package front

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/gobgp"
	"github.com/p4evpn/p4evpn/bgp/rib"
	"github.com/p4evpn/p4evpn/bgp/wire"
)

// readBuffer is that of a connection, and the most that is written at once.
const readBuffer = 64 << 10

// innerPatience is how long the engine may take to read what it is told.
const innerPatience = 5 * time.Second

// session is an established session: two goroutines that carry messages, one from the
// peer and one to it, until one of them says why it ends.
type session struct {
	n     *neighbor
	conn  net.Conn
	r     *bufio.Reader
	inner *gobgp.Inner
	hello []byte // our OPEN
	open  *wire.Open
	ours  wire.Open
	since time.Time

	ctx        context.Context // ends with the session
	end        context.CancelFunc
	introduced chan struct{} // closed when the engine knows the peer's OPEN

	endings chan *ending
	pumps   sync.WaitGroup
	writing sync.Mutex  // held while something is written to the peer
	cut     atomic.Bool // a message to the peer was written in part

	alive   atomic.Bool  // something came since the last beat
	heard   atomic.Int64 // when the last route came, as time.Duration since since
	refresh refreshes

	// The receiver's own.
	decoder *wire.Decoder
	update  wire.Update
	unicast []bgp.UnicastEvent
	warned  bool // that the limit is near
	ran     int  // how many routes were taken since it let others go first
}

// ending is why a session is over.
type ending struct {
	reason string
	send   *wire.Notification // for the peer; nil for none
	// graceful is that routes are kept, of a peer with which that was agreed; hard that
	// none are, whatever was. Where there is neither, the N bits decide (RFC 8538).
	graceful, hard bool
	excess         bool // it had too many routes
}

// establish makes a candidate the session.
func (n *neighbor) establish(c *candidate) {
	s := &session{
		n: n, conn: c.conn, r: c.r, inner: n.inner, hello: n.hello, open: c.open, ours: n.ours, since: time.Now(),
		endings:    make(chan *ending, 3), // of the two pumps, and of beat
		introduced: make(chan struct{}),
	}
	s.ctx, s.end = context.WithCancel(n.ctx)
	n.session, n.inner = s, nil
	n.candidates = slices.DeleteFunc(n.candidates, func(o *candidate) bool { return o == c })
	for len(n.candidates) > 0 {
		n.refuse(n.candidates[0], collision)
	}
	n.dial.stop()
	n.settling.Stop()
	id, cfg := n.s.identityNow(), n.config()
	s.decoder = wire.NewDecoder(wire.Session{
		AS: id.as, PeerAS: cfg.AS, RouterID: id.routerID, Internal: cfg.AS == id.as, AS4: c.open.AS4,
		AllowOwnAS: cfg.AllowOwnAS, Families: s.families(&cfg), Constraint: s.constrained(),
	})
	n.up(s)
	n.beat = time.NewTicker(beatEvery)
	s.pumps.Go(func() { s.endings <- s.receive() })
	s.pumps.Go(func() { s.endings <- s.transmit() })
}

// families are those of ours that both sides have.
func (s *session) families(cfg *bgp.Neighbor) []bgp.Family {
	var list []bgp.Family
	for _, f := range cfg.Carried() {
		if s.open.Has(wire.FamilyOf(f)) {
			list = append(list, f)
		}
	}
	return list
}

// extended reports whether messages may be longer than 4,096 bytes (RFC 8654).
func (s *session) extended() bool { return s.ours.ExtendedMessage && s.open.ExtendedMessage }

// longest is how long a message may be.
func (s *session) longest() int {
	if s.extended() {
		return wire.MaxExtended
	}
	return wire.MaxMessage
}

// constrained reports whether the peer does RT constraint (RFC 4684).
func (s *session) constrained() bool {
	return s.ours.Has(wire.RTConstraint) && s.open.Has(wire.RTConstraint)
}

// finish ends the session.
func (n *neighbor) finish(e *ending) {
	s := n.session
	n.session = nil
	n.beat.Stop()
	s.end()
	_ = s.conn.SetDeadline(time.Unix(1, 0))
	_ = s.inner.SetDeadline(time.Unix(1, 0))
	s.pumps.Wait()
	_ = s.inner.Close()
	if s.cut.Load() {
		e.send = nil // it would be read as the rest of a message
	}
	if e.send != nil && e.hard && s.notifies() {
		hard := *e.send
		hard.Hard = true // RFC 8538 section 3.1
		e.send = &hard
	}
	n.sendOff(s.conn, e.send)
	n.down(s, e)
	n.s.checkConverged()
	switch lasted := time.Since(s.since); {
	case n.excess.held():
		n.dial.at(time.Until(n.excess.until))
	case lasted >= n.s.timing.lasting:
		n.dial.wait = 0
		n.dial.now()
	default:
		n.retry()
	}
}

// receive takes what the peer sends until that ends the session.
func (s *session) receive() *ending {
	limit := s.longest()
	buf := make([]byte, limit)
	for {
		typ, body, err := wire.ReadMessage(s.r, buf, limit)
		if err != nil {
			return readEnding(err)
		}
		var e *ending
		switch typ {
		case wire.UpdateType:
			e = s.take(body)
		case wire.KeepaliveType:
		case wire.RouteRefreshType:
			e = s.asked(body)
		case wire.NotificationType:
			said := wire.ParseNotification(body)
			return &ending{reason: received{said}.Error(), hard: said.Hard}
		default:
			e = ended(&wire.Notification{Code: wire.StateMachineError, Subcode: wire.InEstablished})
		}
		if e != nil {
			return e
		}
		s.alive.Store(true)
	}
}

// readEnding is why nothing more can be read.
func readEnding(err error) *ending {
	var bad *wire.Notification
	switch {
	case errors.As(err, &bad):
		return ended(bad)
	case errors.Is(err, io.EOF):
		return &ending{reason: "the peer closed the connection", graceful: true}
	}
	return &ending{reason: err.Error(), graceful: true}
}

// ended is the end by a NOTIFICATION of ours.
func ended(why *wire.Notification) *ending {
	return &ending{reason: "sent " + why.Error(), send: why}
}

// take takes an UPDATE.
func (s *session) take(body []byte) *ending {
	n, u := s.n, &s.update
	bad := s.decoder.Update(body, u)
	if len(u.Faults) > 0 {
		n.note(u.Faults)
	}
	if bad != nil {
		return ended(bad)
	}
	if len(u.Reach)+len(u.Unreach) > 0 {
		s.heard.Store(int64(time.Since(s.since)))
		over := n.evpn.Take(&rib.Batch{Attributes: u.Attributes, Reach: u.Reach, Unreach: u.Unreach})
		n.s.counts.updates.Add(uint64(len(u.Reach)))
		n.s.counts.withdrawals.Add(uint64(len(u.Unreach)))
		if over {
			return n.excess.ending(bgp.EVPN)
		}
		s.warn(n.evpn.Len, bgp.EVPN)
		s.pace(len(u.Reach) + len(u.Unreach))
	}
	if len(u.Unicast)+len(u.UnicastUnreach) > 0 {
		s.heard.Store(int64(time.Since(s.since)))
		if e := s.takeUnicast(u); e != nil {
			return e
		}
	}
	if u.EndOfRIB != 0 {
		n.endOfRIB(u.EndOfRIB)
	}
	for _, c := range u.Constraint {
		if e := s.tell(wire.UpdateType, c); e != nil {
			return e
		}
	}
	return nil
}

// A session whose routes come faster than the consumer takes them pauses after so many,
// once as many wait that the consumer does not run dry.
const (
	paceAfter = 256
	paceFrom  = 4096
	pacePause = time.Millisecond
)

// pace lets others go first, who have less to say: this session does not have a processor
// to itself. What it reads later waits with the peer meanwhile. The pause is so short that
// nobody takes it for silence.
func (s *session) pace(routes int) {
	if s.ran += routes; s.ran < paceAfter {
		return
	}
	s.ran = 0
	if s.n.evpn.Waiting() >= paceFrom {
		time.Sleep(pacePause)
	}
}

func (s *session) takeUnicast(u *wire.Update) *ending {
	n := s.n
	s.unicast = s.unicast[:0]
	for _, p := range u.UnicastUnreach {
		s.unicast = append(s.unicast, bgp.UnicastEvent{Kind: bgp.RouteWithdraw, Route: bgp.UnicastRoute{Prefix: p}})
	}
	for _, r := range u.Unicast {
		s.unicast = append(s.unicast, bgp.UnicastEvent{Kind: bgp.RouteUpdate, Route: r})
	}
	n.s.counts.updates.Add(uint64(len(u.Unicast)))
	n.s.counts.withdrawals.Add(uint64(len(u.UnicastUnreach)))
	n.mu.Lock()
	n.unicast.Take(s.unicast)
	f, count := n.unicast.Family(), n.unicast.Len()
	n.mu.Unlock()
	if count > int(n.excess.limit) {
		return n.excess.ending(f)
	}
	s.warn(func() int { return count }, f)
	return nil
}

// tell passes a message on to the engine, when it is not waiting for the peer to read:
// what a peer has it say that reads nothing would gather there.
func (s *session) tell(typ wire.Type, body []byte) *ending {
	select {
	case <-s.introduced:
	case <-s.ctx.Done():
		return &ending{reason: "it was over before it began", graceful: true}
	}
	s.writing.Lock() // to wait is the aim
	deaf := s.deaf()
	s.writing.Unlock()
	if deaf {
		return ended(wire.Shutdown(wire.AdminReset, "the clock was set back"))
	}
	return s.pass(wire.AppendMessage(nil, typ, body))
}

// deaf reports whether the engine would hear nothing: GoBGP 4.8.0 compares the second in
// which a message came with that in which the session began, and drops what seems older.
// It does when the clock was set back meanwhile.
func (s *session) deaf() bool { return time.Now().Unix() < s.since.Unix() }

func (s *session) pass(message []byte) *ending {
	_ = s.inner.SetWriteDeadline(time.Now().Add(innerPatience))
	if _, err := s.inner.Write(message); err != nil {
		return &ending{reason: "the BGP engine ended the session: " + err.Error(), graceful: true}
	}
	return nil
}

// beatEvery is how often the engine hears of a peer that is alive.
const beatEvery = time.Second

// beat tells the engine that the peer is alive, if anything came since the last time; a
// message that is not complete is nothing. So a peer costs the engine the same whatever
// it sends.
func (s *session) beat() {
	select {
	case <-s.introduced:
	default:
		return
	}
	var e *ending
	if s.alive.Swap(false) {
		e = s.pass(keepalive)
	}
	if e == nil {
		e = s.askAgain()
	}
	if e == nil {
		return
	}
	select {
	case s.endings <- e:
	default: // another one is there
	}
}

func holdTime(ours, theirs uint16) time.Duration {
	return time.Duration(min(ours, theirs)) * time.Second
}

// farewell sends a NOTIFICATION, if there is one, and closes the connection. What the peer
// has sent is read for a while: unread, it would have the kernel reset the connection, and
// the peer might not read why.
func farewell(conn net.Conn, why *wire.Notification, patience time.Duration) {
	defer func() { _ = conn.Close() }()
	if why == nil {
		return
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(wire.AppendMessage(nil, wire.NotificationType, why.Append(nil))); err != nil {
		return
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, conn)
	}
}
