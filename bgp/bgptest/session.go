package bgptest

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Message types (RFC 4271 section 4.1).
const (
	Open         = 1
	UpdateType   = 2
	Notification = 3
	Keepalive    = 4
	RouteRefresh = 5 // RFC 2918
)

// Config says who the peer is and whom it calls.
type Config struct {
	Local  netip.Addr // source address, and BGP identifier if that is IPv4
	Remote netip.AddrPort
	AS     uint32
	// HoldTime is 90 s if zero. The session sends keepalives by itself.
	HoldTime time.Duration
	// RestartTime other than 0 puts graceful restart into the OPEN, with
	// forwarding preserved; Restarted sets the R bit.
	RestartTime time.Duration
	Restarted   bool
	Password    string // TCP MD5 (RFC 2385), empty for none
	Unicast     bool   // offer ipv4 and ipv6 unicast too
	Constraint  bool   // offer RT constraint too (RFC 4684)
	// Capabilities are more of them, as AppendCapability encodes them.
	Capabilities []byte
	// OpenMessage is the whole OPEN, in place of the one that all this makes.
	OpenMessage []byte
}

// Session is an established session.
type Session struct {
	conn    net.Conn
	open    []byte // the body of the other side's OPEN
	send    sync.Mutex
	updates chan []byte
	done    chan struct{}
	err     error // why it ended; read after done
	owned   sync.WaitGroup
}

// Dial connects until ctx ends, again where the other side is not ready yet,
// and returns when the session is established.
func Dial(ctx context.Context, cfg Config) (*Session, error) {
	for {
		s, err := dialOnce(ctx, cfg)
		if err == nil {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("BGP session from %v to %v: %w", cfg.Local, cfg.Remote, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func dialOnce(ctx context.Context, cfg Config) (*Session, error) {
	conn, err := Connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return Answer(ctx, conn, cfg)
}

// Answer makes a session of a connection, one that was accepted too.
func Answer(ctx context.Context, conn net.Conn, cfg Config) (*Session, error) {
	r, open, err := begin(ctx, conn, cfg)
	if err != nil {
		return nil, err
	}
	s := &Session{conn: conn, open: open, updates: make(chan []byte, 1024), done: make(chan struct{})}
	s.owned.Go(func() { s.receive(r) })
	s.owned.Go(func() { s.keepalive(cfg.holdTime() / 3) })
	return s, nil
}

// Connect makes the connection of a peer, without a word on it.
func Connect(ctx context.Context, cfg Config) (net.Conn, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(cfg.Local, 0))}
	if cfg.Password != "" {
		d.Control = func(_, _ string, c syscall.RawConn) error { return signMD5(c, cfg.Remote.Addr(), cfg.Password) }
	}
	return d.DialContext(ctx, "tcp", cfg.Remote.String())
}

// Establish makes a session and leaves it to the caller: nobody reads from it or keeps
// it alive.
func Establish(ctx context.Context, cfg Config) (net.Conn, error) {
	conn, err := Connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	_, _, err = begin(ctx, conn, cfg)
	return conn, err
}

// begin exchanges what begins a session, or closes the connection.
func begin(ctx context.Context, conn net.Conn, cfg Config) (r *bufio.Reader, open []byte, err error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	r = bufio.NewReaderSize(conn, 1<<16)
	if open, err = handshake(conn, r, cfg); err != nil {
		conn.Close()
	}
	return r, open, err
}

// signMD5 makes the kernel sign the segments of an IPv4 connection.
func signMD5(c syscall.RawConn, remote netip.Addr, password string) error {
	sig := &unix.TCPMD5Sig{Keylen: uint16(len(password))}
	sig.Addr.Family = unix.AF_INET
	a := remote.As4()
	copy(sig.Addr.Data[2:], a[:])
	copy(sig.Key[:], password)
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptTCPMD5Sig(int(fd), unix.IPPROTO_TCP, unix.TCP_MD5SIG, sig)
	}); e != nil {
		return e
	}
	return err
}

// handshake gives the body of the other side's OPEN.
func handshake(conn net.Conn, r *bufio.Reader, cfg Config) (open []byte, err error) {
	if _, err := conn.Write(cfg.open()); err != nil {
		return nil, err
	}
	for _, want := range []byte{Open, Keepalive} {
		typ, body, err := ReadMessage(r)
		if err != nil {
			return nil, err
		}
		if typ == Notification && len(body) >= 2 {
			return nil, NotificationError{body[0], body[1]}
		}
		if typ != want {
			return nil, fmt.Errorf("message of type %d (% x) instead of %d", typ, body, want)
		}
		if typ == Open {
			open = body
			if _, err := conn.Write(Message(Keepalive, nil)); err != nil {
				return nil, err
			}
		}
	}
	return open, nil
}

// Send writes bytes as they are: whole messages, or what a test wants to be
// broken.
func (s *Session) Send(b []byte) error {
	s.send.Lock()
	defer s.send.Unlock()
	_, err := s.conn.Write(b)
	return err
}

// Updates gives the body of each UPDATE received. It is closed when the
// session ends.
func (s *Session) Updates() <-chan []byte { return s.updates }

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err waits for the end of the session and says why it ended: io.EOF, a
// NotificationError or a read error.
func (s *Session) Err() error {
	<-s.done
	return s.err
}

// Close cuts the connection without a NOTIFICATION, as a crash would.
func (s *Session) Close() {
	s.conn.Close()
	for range s.updates { // let the receiver end
	}
	s.owned.Wait()
}

// NotificationError is the NOTIFICATION that ended a session.
type NotificationError struct{ Code, Subcode byte }

func (e NotificationError) Error() string {
	return fmt.Sprintf("notification %d/%d", e.Code, e.Subcode)
}

func (s *Session) receive(r *bufio.Reader) {
	defer close(s.updates)
	defer close(s.done)
	for {
		typ, body, err := ReadMessage(r)
		if err != nil {
			s.err = err
			return
		}
		switch typ {
		case UpdateType:
			s.updates <- body
		case Notification:
			if len(body) >= 2 {
				s.err = NotificationError{body[0], body[1]}
			} else {
				s.err = errors.New("short notification")
			}
			return
		}
	}
}

func (s *Session) keepalive(every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-t.C:
			if s.Send(Message(Keepalive, nil)) != nil {
				return
			}
		}
	}
}

// Message frames a body (RFC 4271 section 4.1).
func Message(typ byte, body []byte) []byte {
	b := make([]byte, 19, 19+len(body))
	for i := range 16 {
		b[i] = 0xff
	}
	binary.BigEndian.PutUint16(b[16:], uint16(19+len(body)))
	b[18] = typ
	return append(b, body...)
}

// ReadMessage reads one message and gives its type and its body.
func ReadMessage(r io.Reader) (byte, []byte, error) {
	var h [19]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint16(h[16:]))
	if n < 19 {
		return 0, nil, fmt.Errorf("message of %d bytes", n)
	}
	body := make([]byte, n-19)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, err
	}
	return h[18], body, nil
}
