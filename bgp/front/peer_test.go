package front

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp/wire"
)

// peer is a connection with a speaker, message by message: what a bgptest.Session does
// by itself is the test's to do.
type peer struct {
	t    *testing.T
	conn *net.TCPConn
	r    *bufio.Reader
	open wire.Open // the speaker's
}

// connect connects from the n-th address, with options of the socket.
func (l *lab) connect(n byte, options ...func(fd int) error) *peer {
	l.t.Helper()
	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(l.addr(n), 0)),
		Control: func(_, _ string, c syscall.RawConn) error {
			for _, set := range options {
				if err := control(c, set); err != nil {
					return err
				}
			}
			return nil
		},
	}
	for late := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		conn, err := d.DialContext(l.t.Context(), "tcp", netip.AddrPortFrom(l.addr(1), l.port).String())
		if err == nil {
			return newPeer(l.t.(*testing.T), conn)
		}
		if time.Now().After(late) {
			l.t.Fatal(err)
		}
	}
}

// listen has the n-th address accept connections.
func (l *lab) listen(n byte) net.Listener {
	l.t.Helper()
	ln, err := net.Listen("tcp", netip.AddrPortFrom(l.addr(n), l.port).String())
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// accept waits for the speaker to connect to the n-th address.
func (l *lab) accept(n byte) net.Conn {
	l.t.Helper()
	ln := l.listen(n)
	_ = ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	conn, err := ln.Accept()
	if err != nil {
		l.t.Fatal(err)
	}
	return conn
}

func newPeer(t *testing.T, conn net.Conn) *peer {
	t.Cleanup(func() { _ = conn.Close() })
	return &peer{t: t, conn: conn.(*net.TCPConn), r: bufio.NewReaderSize(conn, 1<<16)}
}

// hello is an OPEN as most peers send it, changed.
func hello(as uint32, id string, changes ...func(*wire.Open)) []byte {
	o := wire.Open{AS: as, HoldTime: 90, ID: netip.MustParseAddr(id), Families: []wire.Family{wire.EVPN}, AS4: true,
		RouteRefresh: true}
	for _, change := range changes {
		change(&o)
	}
	return wire.AppendMessage(nil, wire.OpenType, o.Append(nil))
}

// gracefully has an OPEN say that graceful restart is done, for EVPN with forwarding
// preserved.
func gracefully(o *wire.Open) {
	o.GracefulRestart = &wire.GracefulRestart{Time: 60, Families: []wire.Preserved{{Family: wire.EVPN, Forwarding: true}}}
}

// notifying sets the N bit of RFC 8538.
func notifying(o *wire.Open) { o.GracefulRestart.Notification = true }

func (p *peer) send(messages ...[]byte) {
	p.t.Helper()
	for _, m := range messages {
		if _, err := p.conn.Write(m); err != nil {
			p.t.Fatal(err)
		}
	}
}

// next reads a message.
func (p *peer) next() (wire.Type, []byte, error) {
	_ = p.conn.SetReadDeadline(time.Now().Add(patience))
	typ, body, err := wire.ReadMessage(p.r, nil, wire.MaxExtended)
	return typ, body, err
}

// expect reads the next message, which is of a type.
func (p *peer) expect(want wire.Type) []byte {
	p.t.Helper()
	typ, body, err := p.next()
	if err != nil || typ != want {
		p.t.Fatalf("got %v % x (%v), want %v", typ, body, err, want)
	}
	if typ == wire.OpenType {
		if p.open, err = wire.ParseOpen(body); err != nil {
			p.t.Fatal(err)
		}
	}
	return body
}

// ends reads until the connection's end and gives the NOTIFICATION before it, nil if
// there was none.
func (p *peer) ends() *wire.Notification {
	p.t.Helper()
	for {
		typ, body, err := p.next()
		switch {
		case err == nil && typ == wire.NotificationType:
			return wire.ParseNotification(body)
		case errors.Is(err, io.EOF), err != nil && isReset(err):
			return nil
		case err != nil:
			p.t.Fatalf("reading until the end: %v", err)
		}
	}
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

func isReset(err error) bool {
	var late net.Error
	return !errors.As(err, &late) || !late.Timeout()
}

// expectEnd is ends, for one NOTIFICATION.
func (p *peer) expectEnd(code, subcode uint8) *wire.Notification {
	p.t.Helper()
	n := p.ends()
	if n == nil || n.Code != code || n.Subcode != subcode {
		p.t.Fatalf("ended by %v, want %d/%d", n, code, subcode)
	}
	return n
}

// establish begins a session with an OPEN.
func (p *peer) establish(open []byte) *peer {
	p.t.Helper()
	p.send(open)
	p.expect(wire.OpenType)
	p.expect(wire.KeepaliveType)
	p.send(keepalive)
	return p
}

// updates reads UPDATEs, passing over KEEPALIVEs.
func (p *peer) updates() []byte {
	p.t.Helper()
	for {
		typ, body, err := p.next()
		switch {
		case err != nil:
			p.t.Fatalf("no UPDATE: %v", err)
		case typ == wire.UpdateType:
			return body
		case typ != wire.KeepaliveType:
			p.t.Fatalf("%v % x, want an UPDATE", typ, body)
		}
	}
}
