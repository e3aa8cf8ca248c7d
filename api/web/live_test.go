package web

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

// talker answers each stream by one bridge, another one each time, perhaps a long one.
type talker struct{ asked, long atomic.Int64 }

func (*talker) Invoke(context.Context, string, any, any, ...grpc.CallOption) error { return nil }

func (t *talker) NewStream(_ context.Context, _ *grpc.StreamDesc, method string,
	_ ...grpc.CallOption) (grpc.ClientStream, error) {
	return &answers{talker: t, bridges: strings.HasSuffix(method, "ListBridges")}, nil
}

type answers struct {
	grpc.ClientStream
	talker  *talker
	bridges bool
}

func (*answers) SendMsg(any) error { return nil }
func (*answers) CloseSend() error  { return nil }

func (a *answers) RecvMsg(m any) error {
	if !a.bridges {
		return io.EOF
	}
	a.bridges = false
	m.(*p4evpnv1.ListBridgesResponse).Bridges = []*p4evpnv1.Bridge{{Name: "blue",
		Reason: fmt.Sprint(a.talker.asked.Add(1)) + strings.Repeat(" long", int(a.talker.long.Load()))}}
	return nil
}

// streaming serves pages, each client by the name that it gives, and gives what changes them.
func streaming(t *testing.T, api *talker, patience time.Duration) (*Pages, *httptest.Server, *atomic.Uint64) {
	t.Helper()
	changed := new(atomic.Uint64)
	p := New(Config{API: api, Changed: changed.Load, Logger: slog.New(slog.DiscardHandler),
		Viewer: func(ctx context.Context) context.Context { return ctx }})
	p.live.patience = patience
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = p.Run(ctx); close(done) }()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.ServeHTTP(w, r.WithContext(WithUser(r.Context(), User{Client: r.Header.Get("X-Client")})))
	}))
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		_ = c.(*net.TCPConn).SetWriteBuffer(64 << 10)
		return ctx
	}
	s.Start()
	t.Cleanup(func() { cancel(); <-done; s.Close() })
	return p, s, changed
}

// open asks for a stream and reads nothing of it.
func open(t *testing.T, s *httptest.Server, client string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_, err = fmt.Fprintf(c, "GET /live/bridges HTTP/1.1\r\nHost: localhost\r\nX-Client: %s\r\n\r\n", client)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (l *live) now() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.streams
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func TestAThousandStreamsThatDoNotReadCostLittle(t *testing.T) {
	const streams = maxStreams
	api := &talker{}
	p, s, changed := streaming(t, api, patience)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range streams {
		open(t, s, fmt.Sprint(i%8))
	}
	await(t, "all are there", func() bool { return p.live.now() == streams })
	c := open(t, s, "another")
	answer := make([]byte, 64)
	if _, err := io.ReadFull(c, answer); err != nil || !strings.Contains(string(answer), " 503 ") {
		t.Errorf("one more: %q %v", answer, err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapInuse + after.StackInuse - before.HeapInuse - before.StackInuse) / streams
	t.Logf("%d kB each, both ends", each/1024)
	if each > 100<<10 {
		t.Errorf("%d bytes each, want at most 100 kB", each)
	}
	asked := api.asked.Load()
	changed.Add(1)
	await(t, "the change is told", func() bool { return api.asked.Load() > asked })
	if n := api.asked.Load() - asked; n > 2 {
		t.Errorf("the rows were asked for %d times for %d streams", n, streams)
	}
}

func TestAStreamThatNobodyReadsEnds(t *testing.T) {
	api := &talker{}
	p, s, changed := streaming(t, api, 50*time.Millisecond)
	for range 20 {
		open(t, s, "one")
	}
	await(t, "all are there", func() bool { return p.live.now() == 20 })
	api.long.Store(1_000_000) // more than the kernel takes of what nobody reads
	await(t, "all have ended that nobody reads", func() bool {
		changed.Add(1)
		return p.live.now() == 0
	})
}
