package gobgp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
)

const patience = 30 * time.Second

var ours = netip.MustParseAddr("10.0.0.2")

// route is a type-2 route of ours.
func route(n byte) bgp.Route {
	rd, err := bgp.ParseRD("10.0.0.2:100")
	if err != nil {
		panic(err)
	}
	return bgp.Route{Key: bgp.MACKey(rd, ether.MAC{2, 0, 0, 0, 0, n}, netip.Addr{}), NextHop: ours, Label: 100,
		RouteTargets: bgp.MakeRouteTargets(bgp.AutoRouteTarget(65000, 100))}
}

// run runs an engine until the test ends.
func run(t *testing.T, e *Engine) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var owned sync.WaitGroup
	owned.Go(func() {
		if err := e.Run(ctx, 65000, ours); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); owned.Wait() })
}

func newEngine(t *testing.T) *Engine {
	t.Helper()
	e, err := NewEngine(Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var leaf = bgp.Neighbor{Address: netip.MustParseAddr("10.0.0.4"), AS: 65002}

func open(t *testing.T, e *Engine, n bgp.Neighbor) *Inner {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	inner, err := e.Open(ctx, &n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inner.Close() })
	return inner
}

func TestSessionsBeginOneAfterTheOtherAndAtTheSameTime(t *testing.T) {
	e := newEngine(t)
	run(t, e)
	for range 5 {
		_ = open(t, e, leaf).Close()
	}
	var all sync.WaitGroup
	for i := range byte(20) {
		n := leaf
		n.Address = netip.AddrFrom4([4]byte{10, 0, 1, i})
		all.Go(func() {
			inner, err := e.Open(t.Context(), &n)
			if err != nil {
				t.Error(err)
				return
			}
			if len(inner.Open) < 10 || inner.Open[0] != 4 {
				t.Errorf("OPEN % x", inner.Open)
			}
			_ = inner.Close()
		})
	}
	all.Wait()
}

// dialInner connects to GoBGP without the key, from an address.
func dialInner(e *Engine, from string, patience time.Duration) (net.Conn, error) {
	l, err := e.await(context.Background())
	if err != nil {
		return nil, err
	}
	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)), Timeout: patience,
	}
	return d.Dial("tcp", l.listen.String())
}

func TestAStrangerOnThisMachineGetsNothingFromGoBGP(t *testing.T) {
	e := newEngine(t)
	run(t, e)
	inner := open(t, e, leaf)
	host, _, _ := net.SplitHostPort(inner.LocalAddr().String())
	for _, from := range []string{host, "127.66.255.7"} {
		conn, err := dialInner(e, from, 500*time.Millisecond)
		if err == nil {
			_ = conn.Close()
		}
		if late := net.Error(nil); !errors.As(err, &late) || !late.Timeout() {
			t.Errorf("without the key, from %s: %v, want no answer", from, err)
		}
	}
	// Another address is no neighbour's.
	conn, err := dialInner(e, "127.0.0.1", patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if got, err := io.ReadAll(conn); len(got) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a stranger was sent % x (%v), want the end", got, err)
	}
}

func TestAGoBGPThatAcceptsNothingAnyMoreIsStartedAnewWithOurRoutes(t *testing.T) {
	e := newEngine(t)
	if err := e.Originate([]bgp.Route{route(1)}, nil); err != nil {
		t.Fatal(err)
	}
	run(t, e)
	first, err := e.await(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	inner := open(t, e, leaf)
	first.gobgp.Log().Warn(listenerEnds[0], "Error", "too many open files")
	_ = inner.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, inner); err != nil {
		t.Errorf("its session did not end: %v", err)
	}
	_ = inner.Close()
	for late := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if l, err := e.await(t.Context()); err != nil || l != first {
			break
		}
		if time.Now().After(late) {
			t.Fatal("GoBGP is the same")
		}
	}
	open(t, e, leaf)
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.local[route(1).Key]; !ok {
		t.Error("the new GoBGP has not our route")
	}
}

func TestBadRouteOfOursChangesNothing(t *testing.T) {
	e, err := NewEngine(Config{})
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(*bgp.Route)) bgp.Route { r := route(2); f(&r); return r }
	for name, bad := range map[string]bgp.Route{
		"no next hop":    change(func(r *bgp.Route) { r.NextHop = netip.Addr{} }),
		"VNI 0":          change(func(r *bgp.Route) { r.Label = 0 }),
		"VNI of 25 bits": change(func(r *bgp.Route) { r.Label = 1 << 24 }),
		"zero MAC":       change(func(r *bgp.Route) { r.MAC = ether.MAC{} }),
		"multicast MAC":  change(func(r *bgp.Route) { r.MAC = ether.Broadcast }),
		"RD type":        change(func(r *bgp.Route) { r.RD[1] = 7 }),
		"type":           change(func(r *bgp.Route) { r.Type = 4 }),
		"host bits": change(func(r *bgp.Route) {
			r.Type, r.IP, r.PrefixLength = bgp.TypePrefix, netip.MustParseAddr("10.10.10.7"), 8
		}),
	} {
		if err := e.Originate([]bgp.Route{route(1), bad}, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if len(e.local) != 0 {
		t.Errorf("advertised %v", e.local)
	}
}
