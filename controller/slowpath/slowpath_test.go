package slowpath

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/internal/netnstest"
)

const timeout = 20 * time.Second

// lab is a Slowpath whose namespaces have a prefix of their own, and which go
// with the test. Frames that the kernel sends gather in it.
type lab struct {
	*Slowpath
	t      *testing.T
	prefix string
	stop   func()

	mu     sync.Mutex
	frames []Frame
	news   chan struct{} // one slot
}

func TestMain(m *testing.M) {
	netnstest.Alone()
	os.Exit(m.Run())
}

var labs atomic.Int32

func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: the test makes network namespaces")
	}
	l := &lab{t: t, prefix: fmt.Sprintf("sp%d-%d-", os.Getpid(), labs.Add(1)), news: make(chan struct{}, 1)}
	t.Cleanup(func() {
		if l.stop != nil {
			l.stop()
		}
		if err := RemoveAll(l.prefix); err != nil {
			t.Error(err)
		}
	})
	return l
}

func newSlowpath(t testing.TB, cfg Config) *Slowpath {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start runs a Slowpath over what the one before left.
func (l *lab) start(change ...func(*Config)) {
	l.t.Helper()
	cfg := Config{Prefix: l.prefix, Inject: l.inject, MTU: 1450, Retry: 20 * time.Millisecond}
	for _, f := range change {
		f(&cfg)
	}
	l.Slowpath = newSlowpath(l.t, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := l.Run(ctx); err != nil {
			l.t.Error(err)
		}
	})
	l.stop = sync.OnceFunc(func() { cancel(); done.Wait() })
}

func (l *lab) inject(f Frame) {
	l.mu.Lock()
	l.frames = append(l.frames, f)
	l.mu.Unlock()
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// frame waits for a frame that the kernel sent and that matches, and takes it
// and those before it.
func (l *lab) frame(what string, match func(Frame, gopacket.Packet) bool) gopacket.Packet {
	l.t.Helper()
	deadline := time.After(timeout)
	var others []string
	for {
		l.mu.Lock()
		frames := l.frames
		l.frames = nil
		for i, f := range frames {
			p := gopacket.NewPacket(f.Data, layers.LayerTypeEthernet, gopacket.Default)
			if match(f, p) {
				l.frames = frames[i+1:]
				l.mu.Unlock()
				return p
			}
			others = append(others, fmt.Sprintf("vrf %d bridge %d %v", f.VRF, f.Bridge, p))
		}
		l.mu.Unlock()
		select {
		case <-l.news:
		case <-deadline:
			l.t.Fatalf("no %s came; other frames:\n%s", what, strings.Join(others, "\n"))
		}
	}
}

// until waits until a condition holds.
func (l *lab) until(what string, holds func() bool) {
	l.t.Helper()
	for end := time.Now().Add(timeout); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("not so after %v: %s", timeout, what)
		}
	}
}

// set gives VRFs and waits until all of them are in place.
func (l *lab) set(vrfs ...VRF) {
	l.t.Helper()
	l.Set(vrfs)
	l.placed(vrfs...)
}

func (l *lab) placed(vrfs ...VRF) {
	l.t.Helper()
	l.until(fmt.Sprintf("all in place: %+v", l.Status()), func() bool {
		s := l.Status()
		svis := 0
		for _, v := range vrfs {
			svis += len(v.SVIs)
		}
		if len(s.VRFs) != len(vrfs) || len(s.SVIs) != svis {
			return false
		}
		for _, text := range s.VRFs {
			if text != "" {
				return false
			}
		}
		for _, text := range s.SVIs {
			if text != "" {
				return false
			}
		}
		return true
	})
}

// event waits for the event that matches.
func (l *lab) event(want Neighbor) {
	l.t.Helper()
	deadline := time.After(timeout)
	var others []Neighbor
	for {
		select {
		case n := <-l.Events():
			if n == want {
				return
			}
			others = append(others, n)
		case <-deadline:
			l.t.Fatalf("no event %+v, but %+v", want, others)
		}
	}
}

// ip runs ip(8) in a VRF's namespace.
func (l *lab) ip(vrf string, args ...string) string {
	l.t.Helper()
	out, err := exec.Command("ip", append([]string{"-n", l.prefix + vrf}, args...)...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("ip %v: %v: %s", args, err, out)
	}
	return string(out)
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

var (
	routerMAC  = ether.MAC{2, 0, 0, 0, 0, 0xfe}
	gatewayMAC = ether.MAC{2, 0, 0, 0, 0, 1}
	hostMAC    = ether.MAC{2, 0, 0, 0, 1, 1}
	otherMAC   = ether.MAC{2, 0, 0, 0, 1, 2}
)

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// red is a VRF with two bridges.
func red() VRF {
	return VRF{
		ID: 1, Name: "red", RouterMAC: routerMAC, Loopback: netip.MustParsePrefix("10.255.0.1/24"),
		SVIs: []SVI{
			{Bridge: 10, Name: "ten", MAC: gatewayMAC, Addresses: prefixes("10.0.10.1/24", "2001:db8:10::1/64")},
			{Bridge: 20, Name: "twenty", MAC: gatewayMAC, Addresses: prefixes("10.0.20.1/24", "2001:db8:20::1/64")},
		},
	}
}

func TestAddressesAndRoutesAppear(t *testing.T) {
	l := newLab(t)
	l.start()
	l.set(red())
	for device, want := range map[string][]string{
		"svi10": {"mtu 1450", "02:00:00:00:00:01", "inet 10.0.10.1/24", "inet6 2001:db8:10::1/64", "inet6 fe80::ff:fe00:1/64", "nodad"},
		"svi20": {"inet 10.0.20.1/24", "inet6 2001:db8:20::1/64"},
		"vrf":   {"mtu 1450", "UP"},
		"lo":    {"inet 10.255.0.1/32", "UP"},
	} {
		out := l.ip("red", "address", "show", "dev", device)
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%s lacks %q:\n%s", device, w, out)
			}
		}
		if strings.Contains(out, "tentative") {
			t.Errorf("%s detects duplicates:\n%s", device, out)
		}
	}
	if out := l.ip("red", "route"); !strings.Contains(out,
		"default via 169.254.0.1 dev vrf proto static src 10.255.0.1 onlink") {
		t.Errorf("v4 routes:\n%s", out)
	}
	if out := l.ip("red", "-6", "route"); !strings.Contains(out, "default via fe80::1 dev vrf") {
		t.Errorf("v6 routes:\n%s", out)
	}
	if out := l.ip("red", "neighbour"); strings.Count(out, routerMAC.String()+" PERMANENT") != 2 {
		t.Errorf("next hops:\n%s", out)
	}
}

// installed lists the hosts behind VTEPs that a VRF's kernel has.
func installed(l *lab, vrf string) (list []string) {
	for line := range strings.Lines(l.ip(vrf, "neighbour")) {
		if strings.Contains(line, "extern_learn") {
			list = append(list, strings.TrimSpace(line))
		}
	}
	return list
}
