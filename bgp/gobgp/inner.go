package gobgp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/osrg/gobgp/v4/api"

	"github.com/p4evpn/p4evpn/bgp"
)

// Inner is GoBGP's side of one session: a connection with a GoBGP that waits for the
// peer's OPEN.
type Inner struct {
	net.Conn
	Open []byte // the body of GoBGP's OPEN

	engine   *Engine
	life     *life
	neighbor *neighbor
	once     sync.Once
}

// establishPatience is how long GoBGP may take to establish its side of a session; some
// milliseconds are usual.
const establishPatience = 2 * time.Second

// Establish says what the peer said, its OPEN and the KEEPALIVE behind it, and waits until
// GoBGP's side of the session is established. No route of ours changes meanwhile: of a
// change between its look at all routes and the end of its transition GoBGP 4.8.0 would
// never tell the peer (needToAdvertise in its server.go). What is wrong with the session
// is for who reads from it to see.
func (i *Inner) Establish(ctx context.Context, messages []byte) error {
	e := i.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, establishPatience)
	defer cancel()
	if _, err := i.Conn.Write(messages); err != nil {
		return fmt.Errorf("telling GoBGP of the peer: %w", err)
	}
	request := &api.ListPeerRequest{Address: i.neighbor.inner.String()}
	for {
		state := api.PeerState_SESSION_STATE_IDLE
		// It fails only if this GoBGP has been stopped.
		_ = i.life.gobgp.ListPeer(ctx, request, func(p *api.Peer) { state = p.GetState().GetSessionState() })
		switch state {
		case api.PeerState_SESSION_STATE_IDLE, api.PeerState_SESSION_STATE_ESTABLISHED:
			return nil
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return nil
		}
	}
}

// Close ends it; nobody may read from it any more. GoBGP knows the neighbour no more
// until the next Open.
func (i *Inner) Close() error {
	i.once.Do(i.end)
	return nil
}

// end has the engine delete the neighbour from GoBGP, as soon as that has nothing more to
// say to it.
func (i *Inner) end() {
	e := i.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.life != i.life {
		e.left(i.neighbor) // it went with its GoBGP
		_ = i.Conn.Close()
		return
	}
	i.life.closing.Go(func() {
		i.drain()
		// It fails only if this GoBGP has been stopped, and then has no neighbours.
		_ = i.life.gobgp.DeletePeer(context.Background(), &api.DeletePeerRequest{Address: i.neighbor.inner.String()})
		_ = i.Conn.Close()
		e.mu.Lock()
		defer e.mu.Unlock()
		e.left(i.neighbor)
	})
}

// quietFor is how long GoBGP has said nothing when it is taken to have nothing to say, and
// drainFor the longest that is waited for that.
const (
	quietFor = 20 * time.Millisecond
	drainFor = time.Second
)

// drain reads what GoBGP says until it says nothing. What it has still to say when its
// neighbour is deleted GoBGP 4.8.0 keeps for ever, with a goroutine (cleanInfiniteChannel
// in its util.go drains no channel that is not empty).
func (i *Inner) drain() {
	buf := make([]byte, 64<<10)
	for late := time.Now().Add(drainFor); time.Now().Before(late); {
		_ = i.Conn.SetReadDeadline(time.Now().Add(quietFor))
		if _, err := i.Conn.Read(buf); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				time.Sleep(quietFor) // it has ended the session, and is tidying up
			}
			return
		}
	}
}

// openPatience is how long GoBGP may take to send its OPEN; a few milliseconds are usual.
const openPatience = 5 * time.Second

// Open has GoBGP begin a session with a neighbour, which has none now.
func (e *Engine) Open(ctx context.Context, n *bgp.Neighbor) (*Inner, error) {
	ctx, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	l, err := e.await(ctx)
	if err != nil {
		return nil, err
	}
	if err := e.dial.begin(ctx); err != nil {
		return nil, err
	}
	defer e.dial.end()
	known, err := e.addPeer(ctx, l, n)
	if err != nil {
		return nil, fmt.Errorf("adding neighbor %v to GoBGP: %w", n.Address, err)
	}
	i := &Inner{engine: e, life: l, neighbor: known}
	if i.Conn, i.Open, err = e.connect(ctx, known.inner, l.listen); err != nil {
		i.Conn = nobody{}
		_ = i.Close()
		return nil, fmt.Errorf("connecting neighbor %v with GoBGP: %w", n.Address, err)
	}
	return i, nil
}

// nobody is a connection that was not made.
type nobody struct{ net.Conn }

func (nobody) Close() error                    { return nil }
func (nobody) Read([]byte) (int, error)        { return 0, io.EOF }
func (nobody) SetReadDeadline(time.Time) error { return nil }

// addPeer makes the neighbour one of GoBGP's, when an earlier session of it is over.
func (e *Engine) addPeer(ctx context.Context, l *life, n *bgp.Neighbor) (*neighbor, error) {
	for {
		e.mu.Lock()
		known, err := e.neighbor(n.Address)
		if err != nil {
			e.mu.Unlock()
			return nil, err
		}
		if over := known.over; over != nil {
			e.mu.Unlock()
			select {
			case <-over:
				continue
			case <-ctx.Done():
				return nil, fmt.Errorf("waiting for the end of its last session: %w", ctx.Err())
			}
		}
		peer := innerPeer(n, known.inner, e.cfg.GracefulRestart)
		if err = l.gobgp.AddPeer(ctx, &api.AddPeerRequest{Peer: peer}); err == nil {
			known.over = make(chan struct{})
		}
		e.mu.Unlock()
		return known, err
	}
}

// left is called when GoBGP has a neighbour no more; e.mu is held.
func (e *Engine) left(n *neighbor) {
	close(n.over)
	n.over = nil
	if n.forgotten {
		delete(e.used, n.inner)
	}
}

// connect dials until GoBGP's OPEN came: it closes what it accepts before it is ACTIVE,
// which takes a new neighbour some milliseconds.
func (e *Engine) connect(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, []byte, error) {
	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)),
		Control:   func(_, _ string, c syscall.RawConn) error { return signInner(c, to.Addr(), e.key) },
		KeepAlive: -1,
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		conn, err := d.DialContext(ctx, "tcp4", to.String())
		if err == nil {
			var open []byte
			if open, err = readOpen(ctx, conn); err == nil {
				return conn, open, nil
			}
			_ = conn.Close()
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, nil, err
		}
	}
}

const (
	headerLength = 19 // RFC 4271 section 4.1
	typeOpen     = 1
	maxOpen      = 4096
)

// readOpen gives the body of the OPEN with which GoBGP begins.
func readOpen(ctx context.Context, conn net.Conn) ([]byte, error) {
	late, _ := ctx.Deadline()
	if err := conn.SetDeadline(late); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var header [headerLength]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return nil, fmt.Errorf("reading GoBGP's OPEN: %w", err)
	}
	n := int(binary.BigEndian.Uint16(header[16:]))
	if n < headerLength || n > maxOpen || header[18] != typeOpen {
		return nil, fmt.Errorf("GoBGP began with a message of type %d and %d bytes", header[18], n)
	}
	open := make([]byte, n-headerLength)
	if _, err := io.ReadFull(conn, open); err != nil {
		return nil, fmt.Errorf("reading GoBGP's OPEN: %w", err)
	}
	if !stop() {
		return nil, ctx.Err()
	}
	return open, conn.SetDeadline(time.Time{})
}

// dialling lets one connection to GoBGP be made at a time, and only with three file
// descriptors that were set aside for it: GoBGP 4.8.0 accepts nothing any more after
// its first failure to, for want of a descriptor. Two are the connection's; the third is
// for GoBGP's next look for one, which wants a descriptor even while nobody connects.
type dialling struct {
	turn  chan struct{} // holds one while nobody dials
	spare [3]*os.File   // of whose turn it is
}

func newDialling() dialling {
	d := dialling{turn: make(chan struct{}, 1)}
	d.turn <- struct{}{}
	_ = d.reserve() // begin tries again
	return d
}

func (d *dialling) reserve() error {
	for i := range d.spare {
		if d.spare[i] != nil {
			continue
		}
		f, err := os.Open(os.DevNull)
		if err != nil {
			return err
		}
		d.spare[i] = f
	}
	return nil
}

func (d *dialling) release() {
	for i, f := range d.spare {
		if f != nil {
			_ = f.Close()
			d.spare[i] = nil
		}
	}
}

// begin waits for the turn and frees the descriptors.
func (d *dialling) begin(ctx context.Context) error {
	select {
	case <-d.turn:
	case <-ctx.Done():
		return fmt.Errorf("waiting for others to connect to GoBGP: %w", ctx.Err())
	}
	if err := d.reserve(); err != nil {
		d.turn <- struct{}{}
		return fmt.Errorf("setting file descriptors aside to connect to GoBGP: %w", err)
	}
	d.release()
	return nil
}

// end sets descriptors aside again, unless there are none: then begin will say so.
func (d *dialling) end() {
	_ = d.reserve()
	d.turn <- struct{}{}
}

func (d *dialling) close() {
	<-d.turn
	d.release()
	d.turn <- struct{}{}
}

// freePort gives an address of the inner listener that nobody listens at now.
func freePort() (netip.AddrPort, error) {
	ln, err := net.Listen("tcp4", netip.AddrPortFrom(innerListener, 0).String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	at, ok := ln.Addr().(*net.TCPAddr)
	if err := ln.Close(); err != nil {
		return netip.AddrPort{}, err
	}
	if !ok {
		return netip.AddrPort{}, errors.New("no TCP address")
	}
	return at.AddrPort(), nil
}
