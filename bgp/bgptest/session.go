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
	if cfg.HoldTime == 0 {
		cfg.HoldTime = 90 * time.Second
	}
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(cfg.Local, 0))}
	if cfg.Password != "" {
		d.Control = func(_, _ string, c syscall.RawConn) error { return signMD5(c, cfg.Remote.Addr(), cfg.Password) }
	}
	conn, err := d.DialContext(ctx, "tcp", cfg.Remote.String())
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	r := bufio.NewReaderSize(conn, 1<<16)
	open, err := handshake(conn, r, cfg)
	if err != nil {
		conn.Close()
		return nil, err
	}
	s := &Session{conn: conn, open: open, updates: make(chan []byte, 1024), done: make(chan struct{})}
	s.owned.Go(func() { s.receive(r) })
	s.owned.Go(func() { s.keepalive(cfg.HoldTime / 3) })
	return s, nil
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
	if _, err := conn.Write(openMessage(cfg)); err != nil {
		return nil, err
	}
	for _, want := range []byte{Open, Keepalive} {
		typ, body, err := readMessage(r)
		if err != nil {
			return nil, err
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

// Restart says what the other side's OPEN holds of graceful restart (RFC 4724
// section 3): the R bit, its restart time, and for how many families it has the
// F bit. The time is -1 without the capability.
func (s *Session) Restart() (restarted bool, restart time.Duration, forwarding int) {
	const optionsAt = 10 // behind version, AS, hold time, identifier and length
	for options := s.open[min(optionsAt, len(s.open)):]; len(options) >= 2; {
		size := min(2+int(options[1]), len(options))
		for caps := options[2:size]; len(caps) >= 2; {
			n := min(2+int(caps[1]), len(caps))
			if value := caps[2:n]; caps[0] == 64 && len(value) >= 2 {
				flags := binary.BigEndian.Uint16(value)
				for value = value[2:]; len(value) >= 4; value = value[4:] {
					forwarding += int(value[3] >> 7)
				}
				return flags&0x8000 != 0, time.Duration(flags&0xfff) * time.Second, forwarding
			}
			caps = caps[n:]
		}
		options = options[size:]
	}
	return false, -1, 0
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
		typ, body, err := readMessage(r)
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

func readMessage(r io.Reader) (byte, []byte, error) {
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

// families that a session offers, as AFI, reserved, SAFI.
func (c *Config) families() [][4]byte {
	list := [][4]byte{{0, 25, 0, 70}} // l2vpn-evpn
	if c.Unicast {
		list = append(list, [4]byte{0, 1, 0, 1}, [4]byte{0, 2, 0, 1})
	}
	return list
}

// openMessage offers the families and 4-byte AS numbers.
func openMessage(cfg Config) []byte {
	var caps []byte
	for _, f := range cfg.families() {
		caps = append(append(caps, 1, 4), f[:]...) // multiprotocol
	}
	caps = append(caps, 65, 4)
	caps = binary.BigEndian.AppendUint32(caps, cfg.AS)
	if cfg.RestartTime > 0 {
		flags := uint16(cfg.RestartTime / time.Second)
		if cfg.Restarted {
			flags |= 0x8000
		}
		caps = append(caps, 64, byte(2+4*len(cfg.families())))
		caps = binary.BigEndian.AppendUint16(caps, flags)
		for _, f := range cfg.families() {
			caps = append(caps, f[0], f[1], f[3], 0x80)
		}
	}
	as := uint16(23456)
	if cfg.AS < 1<<16 {
		as = uint16(cfg.AS)
	}
	id := [4]byte{192, 0, 2, 1}
	if cfg.Local.Is4() {
		id = cfg.Local.As4()
	}
	b := []byte{4}
	b = binary.BigEndian.AppendUint16(b, as)
	b = binary.BigEndian.AppendUint16(b, uint16(cfg.HoldTime/time.Second))
	b = append(b, id[:]...)
	b = append(b, byte(len(caps)+2), 2, byte(len(caps)))
	return Message(Open, append(b, caps...))
}
