package p4rt_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
)

// cable is a TCP connection to a target that can be cut: both ends stay open,
// and nothing passes any more. What is connected later passes after mend.
type cable struct {
	net.Listener
	target string

	mu   sync.Mutex
	cut  bool
	ends []net.Conn
	old  map[net.Conn]bool // from before a cut
}

func newCable(tb testing.TB, target string) *cable {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	c := &cable{Listener: l, target: target, old: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				tb.Error(err)
				return
			}
			c.mu.Lock()
			c.ends = append(c.ends, near, far)
			c.old[near], c.old[far] = c.cut, c.cut
			c.mu.Unlock()
			wg.Go(func() { c.carry(near, far) })
			wg.Go(func() { c.carry(far, near) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		c.mu.Lock()
		for _, e := range c.ends {
			_ = e.Close()
		}
		c.mu.Unlock()
		wg.Wait()
	})
	return c
}

// carry swallows what comes while the cable is cut, and the end of it too.
func (c *cable) carry(to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		c.mu.Lock()
		dead := c.old[from]
		c.mu.Unlock()
		switch {
		case dead && err != nil:
			return
		case err != nil:
			_ = to.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, to)
			return
		case !dead:
			_, _ = to.Write(buf[:n])
		}
	}
}

func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	for _, e := range c.ends {
		c.old[e] = true
	}
}

// The target still takes the old connection for alive when the cable is mended,
// and with it the election id for used.
func TestClientComesBackAfterTheCableWasCut(t *testing.T) {
	s := p4rttest.New(t, p4rttest.Config{})
	cable := newCable(t, s.Target())
	cfg := config(t, cable.Addr().String())
	cfg.ProbeInterval = 300 * time.Millisecond
	c := start(t, cfg)
	nextUp(t, c)
	write(t, c, nexthop(p4v1.Update_INSERT, 1, 1))

	cable.set(true)
	// A write under way does not wait for ever.
	errs, err := c.Write(context.Background(), []p4rt.Update{nexthop(p4v1.Update_INSERT, 2, 1)})
	if !errors.Is(err, p4rt.ErrNotConnected) || errs[0] == nil {
		t.Errorf("Write over a cut cable: %v, %v", errs[0], err)
	}
	if down := await[p4rt.Down](t, c); !errors.Is(down.Err, p4rt.ErrNotConnected) {
		t.Errorf("Down says %v", down.Err)
	}
	cable.set(false)
	if nextUp(t, c).Pushed {
		t.Error("pushed a pipeline that was there")
	}
	write(t, c, nexthop(p4v1.Update_INSERT, 2, 1))
	if got := len(s.Entries()); got != 2 {
		t.Errorf("%d entries, want 2", got)
	}
}
