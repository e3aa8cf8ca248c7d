package front

import (
	"bufio"
	"encoding/binary"
	"errors"
	"os"
	"time"

	"github.com/p4evpn/p4evpn/bgp/gobgp"
	"github.com/p4evpn/p4evpn/bgp/wire"
)

// prepare makes our OPEN of the engine's: without what is of the connection between us
// (the engine offers some capabilities that mean nothing here), with what the front does
// itself.
func (n *neighbor) prepare(inner *gobgp.Inner) error {
	o, err := wire.ParseOpen(inner.Open)
	if err != nil {
		return err
	}
	gr := n.s.cfg.BGP.GracefulRestart
	ours := wire.Open{
		AS: o.AS, HoldTime: o.HoldTime, ID: o.ID, Families: o.Families,
		AS4: true, RouteRefresh: o.RouteRefresh, ExtendedMessage: true,
	}
	if gr.Enabled {
		restarted := n.s.preserved.Load() && !n.restarted
		ours.GracefulRestart = &wire.GracefulRestart{
			Restarting: restarted, Notification: true, Time: uint16(gr.RestartTime / time.Second),
		}
		for _, f := range o.Families {
			if f.Known() != 0 {
				preserved := wire.Preserved{Family: f, Forwarding: restarted}
				ours.GracefulRestart.Families = append(ours.GracefulRestart.Families, preserved)
			}
		}
		if o.Has(wire.EVPN) && gr.LongLived > 0 {
			ours.LongLived = []wire.LongLived{{
				Family: wire.EVPN, Forwarding: restarted, Time: uint32(gr.LongLived / time.Second),
			}}
		}
	}
	n.ours = ours
	n.hello = wire.AppendMessage(nil, wire.OpenType, ours.Append(nil))
	return nil
}

// introduce gives the peer's OPEN as the engine is to see it: what it shall know of the
// session and nothing else. Messages that it makes are not extended ones. Of graceful
// restart it is told that the peer does it, so that it sends End-of-RIB, and of no
// families: what is kept of the peer is kept here.
func (s *session) introduce() []byte {
	o := wire.Open{
		AS: s.open.AS, HoldTime: s.open.HoldTime, ID: s.open.ID, AS4: s.open.AS4, RouteRefresh: s.open.RouteRefresh,
	}
	for _, f := range s.ours.Families {
		if s.open.Has(f) {
			o.Families = append(o.Families, f)
		}
	}
	if len(o.Families) == 0 {
		// None at all would mean IPv4 unicast (RFC 4760 section 8).
		o.Families = []wire.Family{{AFI: reservedAFI, SAFI: reservedSAFI}}
	}
	if gr := s.open.GracefulRestart; gr != nil && s.ours.GracefulRestart != nil {
		o.GracefulRestart = &wire.GracefulRestart{Time: gr.Time}
	}
	return wire.AppendMessage(nil, wire.OpenType, o.Append(nil))
}

// A family that nobody has.
const (
	reservedAFI  = 65535
	reservedSAFI = 255
)

// transmit carries what the engine sends to the peer until that ends the session.
func (s *session) transmit() *ending {
	if err := s.inner.Establish(s.ctx, append(s.introduce(), keepalive...)); err != nil {
		return &ending{reason: "the BGP engine ended the session: " + err.Error(), graceful: true}
	}
	close(s.introduced)
	r := bufio.NewReaderSize(s.inner, readBuffer)
	own := s.n.s.ownHops(s.conn)
	own.noARPND = s.n.config().NoARPND
	buf := make([]byte, wire.MaxMessage)
	limit := s.longest()
	var out []byte
	updates := uint64(0)
	for {
		typ, body, err := wire.ReadMessage(r, buf, wire.MaxMessage)
		if err != nil {
			return &ending{reason: "the BGP engine ended the session: " + err.Error(), graceful: true}
		}
		switch typ {
		case wire.NotificationType:
			why := wire.ParseNotification(body)
			e := ended(why)
			// Of a peer that is silent the routes are kept, as of one whose connection broke.
			e.graceful = why.Code == wire.HoldTimerExpired
			return e
		case wire.UpdateType:
			out = own.appendUpdates(out, body, limit)
			updates++
		default:
			out = wire.AppendMessage(out, typ, body)
		}
		if len(out) < readBuffer && whole(r) {
			continue
		}
		if e := s.write(out, updates); e != nil {
			return e
		}
		out, updates = out[:0], 0
	}
}

// whole reports whether a whole message has been read ahead.
func whole(r *bufio.Reader) bool {
	if r.Buffered() < wire.HeaderLength {
		return false
	}
	h, err := r.Peek(wire.HeaderLength)
	return err == nil && r.Buffered() >= int(binary.BigEndian.Uint16(h[16:]))
}

// write sends whole messages to the peer, of which some are UPDATEs. A peer that reads
// nothing for too long ends the session (RFC 9687).
func (s *session) write(b []byte, updates uint64) *ending {
	counts := &s.n.s.counts
	counts.sending.Add(1)
	defer counts.sending.Add(-1)
	s.writing.Lock()
	defer s.writing.Unlock()
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.sendHold()))
	written, err := s.conn.Write(b)
	if err == nil {
		counts.sent.Add(updates)
		return nil
	}
	s.cut.Store(written > 0)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		e := ended(&wire.Notification{Code: wire.SendHoldTimer})
		e.graceful = true
		return e
	}
	return &ending{reason: err.Error(), graceful: true}
}

// sendHold is the time after which a peer that reads nothing is given up: RFC 9687
// section 6.
func (s *session) sendHold() time.Duration {
	if t := s.n.s.timing.sendHold; t != 0 {
		return t
	}
	return max(8*time.Minute, 2*holdTime(s.ours.HoldTime, s.open.HoldTime))
}
