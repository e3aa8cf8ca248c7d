package softswitch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// served is a switch without ports, by loopback TCP or at a path.
type served struct {
	t  *testing.T
	sw *Switch
}

func serve(t *testing.T, address string) *served {
	t.Helper()
	needRoot(t)
	sw, err := New(Config{GRPCAddress: address, CPUPort: 510, Pipeline: kinds(t), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = sw.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	<-sw.Ready()
	return &served{t, sw}
}

// connect gives a connection from an address.
func (s *served) connect(from string) net.Conn {
	s.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	conn, err := d.Dial("tcp", s.sw.Address().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// controller is a client of P4Runtime.
type controller struct {
	t      *testing.T
	conn   *grpc.ClientConn
	rpc    p4v1.P4RuntimeClient
	stream p4v1.P4Runtime_StreamChannelClient
}

const (
	ours     = "127.0.0.1"
	attacker = "127.6.6.6"
)

func (s *served) client(from string) *controller {
	s.t.Helper()
	conn, err := grpc.NewClient("passthrough:///switch", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return s.connect(from), nil }),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(1<<30), grpc.MaxCallRecvMsgSize(1<<30)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	c := &controller{t: s.t, conn: conn, rpc: p4v1.NewP4RuntimeClient(conn)}
	if c.stream, err = c.rpc.StreamChannel(s.t.Context(), grpc.WaitForReady(true)); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// arbitrate asks to be primary of a role by an id, 0 for none, and gives the answer.
func (c *controller) arbitrate(role string, id uint64) (codes.Code, error) {
	m := &p4v1.MasterArbitrationUpdate{DeviceId: 1}
	if role != "" {
		m.Role = &p4v1.Role{Name: role}
	}
	if id != 0 {
		m.ElectionId = &p4v1.Uint128{Low: id}
	}
	if err := c.stream.Send(&p4v1.StreamMessageRequest{
		Update: &p4v1.StreamMessageRequest_Arbitration{Arbitration: m}}); err != nil {
		return 0, err
	}
	for {
		r, err := c.stream.Recv()
		if err != nil {
			return 0, err
		}
		if a := r.GetArbitration(); a != nil {
			return codes.Code(a.Status.Code), nil
		}
	}
}

// becomesPrimary has a controller control the switch.
func (s *served) becomesPrimary(id uint64) *controller {
	s.t.Helper()
	c := s.client(ours)
	if code, err := c.arbitrate("", id); err != nil || code != codes.OK {
		s.t.Fatalf("the controller is not primary: %v %v", code, err)
	}
	return c
}

// writes reports what came of a Write of so many bytes.
func (c *controller) writes(id uint64, size int) error {
	u := &p4v1.Update{Type: p4v1.Update_INSERT, Entity: &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{
		TableEntry: &p4v1.TableEntry{TableId: 1, Metadata: make([]byte, size)}}}}
	_, err := c.rpc.Write(c.t.Context(), &p4v1.WriteRequest{DeviceId: 1, ElectionId: &p4v1.Uint128{Low: id},
		Updates: []*p4v1.Update{u}})
	return err
}

func TestTheSocketIsForTheSwitchsUserAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "switch.sock")
	serve(t, "unix:"+path)
	if fi, err := os.Lstat(path); err != nil || fi.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v %v", fi, err)
	}
	if _, err := New(Config{GRPCAddress: "unix:" + path, Logger: quiet()}); err == nil ||
		!strings.Contains(err.Error(), "another process listens") {
		t.Errorf("a second switch at its socket: %v", err)
	}
}

func TestStreamsOfStrangersLeaveRoomForTheController(t *testing.T) {
	s := serve(t, "127.0.0.1:0")
	first := s.becomesPrimary(1000)
	const flood = 300 // of each kind: more than there may be connections, streams, clients of a role
	strangers := func(kind func(*controller, int)) {
		for i := range flood {
			kind(s.client(attacker), i)
		}
	}
	strangers(func(*controller, int) {}) // that never arbitrate
	strangers(func(c *controller, i int) { _, _ = c.arbitrate("", uint64(i+1)) })
	strangers(func(c *controller, i int) { _, _ = c.arbitrate(strings.Repeat("r", i+1), 1) })
	if err := first.writes(1000, 10); status.Code(err) == codes.PermissionDenied || status.Code(err) == codes.Unavailable {
		t.Errorf("the primary lost the switch: %v", err)
	}
	_ = first.conn.Close() // the controller starts again, and they go on
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			_, _ = s.client(attacker).arbitrate("", uint64(i%1000+1))
		}
	})
	again := s.becomesPrimary(1001)
	if err := again.writes(1001, 10); status.Code(err) == codes.PermissionDenied || status.Code(err) == codes.Unavailable {
		t.Errorf("the controller that came back: %v", err)
	}
	cancel()
	wg.Wait()
	if n := s.sw.clients.bounded.Open(); n > maxConnections {
		t.Errorf("%d connections are open", n)
	}
	if s.sw.clients.bounded.Evicted() == 0 || s.sw.Stats().Server.StreamsEvicted == 0 {
		t.Errorf("nothing is counted: %d connections, %d streams", s.sw.clients.bounded.Evicted(),
			s.sw.Stats().Server.StreamsEvicted)
	}
}

func TestLargeRequestsAreThePrimarysAlone(t *testing.T) {
	s := serve(t, "127.0.0.1:0")
	primary := s.becomesPrimary(1000)
	var wg sync.WaitGroup
	for i := range 6 {
		c := s.client(attacker)
		if code, err := c.arbitrate(strings.Repeat("r", i+1), 5); err != nil || code != codes.OK {
			t.Fatal(code, err) // primary of a role of its own
		}
		wg.Go(func() {
			if err := c.writes(5, 30<<20); status.Code(err) != codes.Unavailable {
				t.Errorf("a stranger's request of 30 MB: %v", err)
			}
		})
	}
	most := 0
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
			most = max(most, s.sw.clients.bytes())
		}
	}
	if most > strangersBytes+6*strangerBytes {
		t.Errorf("%d bytes of strangers were taken", most)
	}
	if n := s.sw.clients.flooded.Load(); n != 6 {
		t.Errorf("%d are counted, want 6", n)
	}
	if err := primary.writes(1000, 20<<20); status.Code(err) == codes.Unavailable ||
		status.Code(err) == codes.ResourceExhausted {
		t.Errorf("the primary's request of 20 MB: %v", err)
	}
	small := s.client(attacker)
	for range 100 { // 200 MB in all, one after the other
		if err := small.writes(5, 2<<20); status.Code(err) != codes.PermissionDenied {
			t.Fatalf("a stranger's request of 2 MB: %v", err)
		}
	}
}

func TestWhatIsInFlightOfAllStrangersIsBounded(t *testing.T) {
	c := newClients(quiet())
	var all []*client
	took := 0
	for range 100 {
		of := &client{of: c, at: time.Now()}
		all = append(all, of)
		if !c.took(of, freeBytes) {
			t.Fatal("a new client may say nothing")
		}
		if c.took(of, 1<<20) {
			took++
		}
	}
	if took != strangersBytes>>20 {
		t.Errorf("%d of 1 MB each, want %d", took, strangersBytes>>20)
	}
	for _, of := range all {
		c.forget(of)
	}
	if c.bytes() != 0 {
		t.Errorf("%d bytes are left of nobody", c.bytes())
	}
}

func TestFloodsOfHTTP2EndAndTheControllerGoesOn(t *testing.T) {
	s := serve(t, "127.0.0.1:0")
	primary := s.becomesPrimary(1000)
	works := func() {
		t.Helper()
		if err := primary.writes(1000, 10); status.Code(err) == codes.PermissionDenied ||
			status.Code(err) == codes.Unavailable {
			t.Errorf("the controller: %v", err)
		}
	}
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", p4v1.P4Runtime_Write_FullMethodName},
		{":authority", "switch"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	for name, flood := range map[string]struct {
		send func(*http2.Framer, int) error
		ends bool // else it is only slowed down
	}{
		"pings": {func(f *http2.Framer, _ int) error { return f.WritePing(false, [8]byte{}) }, true},
		"rapid reset": {func(f *http2.Framer, i int) error {
			id := uint32(2*i + 1)
			return errors.Join(f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(),
				EndHeaders: true}), f.WriteRSTStream(id, http2.ErrCodeCancel))
		}, false},
		"settings": {func(f *http2.Framer, _ int) error { return f.WriteSettings() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			conn := s.connect(attacker)
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() { _, _ = io.Copy(io.Discard, conn) })
			_, _ = io.WriteString(conn, http2.ClientPreface)
			f := http2.NewFramer(conn, nil)
			_ = f.WriteSettings()
			ended := false
			for i := range 1000000 {
				if !flood.ends && i == 50000 {
					break
				}
				if err := flood.send(f, i); err != nil {
					if ended = true; errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("the switch neither reads nor closes: %v", err)
					}
					break
				}
				if i%20000 == 0 {
					works()
				}
			}
			if flood.ends && !ended {
				t.Error("a million were taken")
			}
			_ = conn.Close()
			works()
		})
	}
}
