package front

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/bgp/wire"
)

func TestAConnectionFromNobodysAddressIsClosedAtOnceAndCostsNothing(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002)))
	l.connect(2).establish(hello(65002, lowID))
	v.awaitLast(l.addr(2), "peer up")
	before := runtime.NumGoroutine()
	const strangers = 200
	var last *peer
	for range strangers {
		last = l.connect(9)
	}
	if n := last.ends(); n != nil {
		t.Errorf("it was told %v", n)
	}
	for late := time.Now().Add(patience); v.counts.strangers.Load() < strangers; time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("%d counted, want %d", v.counts.strangers.Load(), strangers)
		}
	}
	if after := runtime.NumGoroutine(); after > before+5 {
		t.Errorf("%d goroutines, %d before", after, before)
	}
}

func TestAConnectionToAnotherAddressThanTheNeighboursLocalOneIsClosed(t *testing.T) {
	l := newLab(t)
	cfg := l.config(l.raw(2, 65002))
	cfg.ListenAddresses = append(cfg.ListenAddresses, l.addr(5))
	cfg.Neighbors[0].LocalAddress = l.addr(5)
	v := run(t, cfg)
	if n := l.connect(2).ends(); n != nil {
		t.Errorf("it was told %v", n)
	}
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(l.addr(2), 0))}
	conn, err := d.DialContext(t.Context(), "tcp", netip.AddrPortFrom(l.addr(5), l.port).String())
	if err != nil {
		t.Fatal(err)
	}
	newPeer(t, conn).establish(hello(65002, lowID))
	v.awaitLast(l.addr(2), "peer up")
}

const listenVariable = "P4EVPN_TEST_LISTEN"

// A process that has no file descriptors for a while, then one, and then some again.
func TestAListenerThatHadNoFileDescriptorsAcceptsAgainWhenThereAreSome(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(),
		fmt.Sprintf("%s=%v %v %v", listenVariable, netip.AddrPortFrom(l.addr(1), l.port), l.addr(2), l.addr(3)))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer cancel()
	lines := bufio.NewScanner(out)
	await := func(want string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == want {
				return
			}
			if strings.HasPrefix(lines.Text(), "peer ") {
				t.Fatalf("it said %q before %q", lines.Text(), want)
			}
		}
		t.Fatalf("it did not say %q", want)
	}
	first := l.dial(2, 65002) // all of it works
	await("none left")
	for range 20 { // its listener fails, and neither waits nor ends
		if n := l.connect(2).ends(); n != nil {
			t.Errorf("it was told %v", n)
		}
	}
	free := func() {
		t.Helper()
		if _, err := fmt.Fprintln(in, "more"); err != nil {
			t.Fatal(err)
		}
		await("free")
	}
	free() // one: another session begins with what is set aside for it, and the first goes on
	second := l.dial(3, 65003)
	await("peer up")
	free()
	for _, s := range []*bgptest.Session{first, second} {
		s.Close()
		await("peer down")
	}
	l.dial(2, 65002)
	await("peer up")
}

// withoutFiles is the process of the test above.
func withoutFiles(args string) error {
	words := strings.Fields(args)
	listen := netip.MustParseAddrPort(words[0])
	s, err := New(Config{BGP: bgp.Config{
		AS: 65000, RouterID: ours, ListenAddresses: []netip.Addr{listen.Addr()}, ListenPort: int(listen.Port()),
		Neighbors: []bgp.Neighbor{
			{Address: netip.MustParseAddr(words[1]), AS: 65002, Passive: true},
			{Address: netip.MustParseAddr(words[2]), AS: 65003, Passive: true},
		},
	}})
	if err != nil {
		return err
	}
	go func() { _ = s.Run(context.Background()) }()
	for up := false; !up; {
		up = slices.ContainsFunc(<-s.Events(), func(e bgp.Event) bool { return e.Kind == bgp.PeerUp })
	}
	// What fails to accept while nobody connects has failed all the same: Linux looks for a
	// free descriptor first. So GoBGP's loop must be back before they are taken.
	for !waits("netutils.(*TCPListener).acceptLoop") {
		time.Sleep(time.Millisecond)
	}
	limit := unix.Rlimit{Cur: 64, Max: 64}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	var files []*os.File
	for err == nil {
		var f *os.File
		if f, err = os.Open(os.DevNull); err == nil {
			files = append(files, f)
		}
	}
	if !errors.Is(err, unix.EMFILE) {
		return err
	}
	fmt.Println("none left")
	freed := make(chan error, 1)
	go func() { freed <- freeAsAsked(files) }()
	for batch := range s.Events() {
		for _, e := range batch {
			fmt.Println(e.Kind)
		}
	}
	return <-freed
}

// freeAsAsked closes one of the files at the first line that it reads, and the others at the next.
func freeAsAsked(files []*os.File) error {
	more := bufio.NewReader(os.Stdin)
	for _, some := range [][]*os.File{files[:1], files[1:]} {
		if _, err := more.ReadString('\n'); err != nil {
			return err
		}
		for _, f := range some {
			_ = f.Close()
		}
		fmt.Println("free")
	}
	return nil
}

// waits reports whether a goroutine waits for a socket in a function.
func waits(function string) bool {
	buf := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(stack, "[IO wait") && strings.Contains(stack, function) {
			return true
		}
	}
	return false
}

// RFC 5082 section 3.
func TestAPeerIsHeardFromNoFurtherAwayThanItMayBe(t *testing.T) {
	l := newLab(t)
	near, far := l.raw(2, 65002), l.raw(3, 65002)
	near.TTLSecurity, far.TTLSecurity = 1, 1
	v := run(t, l.config(near, far))
	dial := func(n byte, ttl int) *peer {
		return l.connect(n, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, ttl) })
	}
	distant := dial(3, 254)
	distant.send(hello(65002, highID))
	dial(2, 255).establish(hello(65002, lowID))
	v.awaitLast(l.addr(2), "peer up")
	v.await(l.addr(3), "unheard", func(_ map[bgp.Key]bgp.Route, h []string) bool { return len(h) == 0 })
}

func TestTheTTLOfAConnectionIsThatOfThePeersDistance(t *testing.T) {
	for name, tc := range map[string]struct {
		n        bgp.Neighbor
		internal bool
		want     hopLimits
	}{
		"eBGP on our link":          {bgp.Neighbor{}, false, hopLimits{send: 1}},
		"eBGP over hops":            {bgp.Neighbor{Multihop: 4}, false, hopLimits{send: 4}},
		"iBGP":                      {bgp.Neighbor{}, true, hopLimits{}},
		"on our link, and checked":  {bgp.Neighbor{TTLSecurity: 1}, false, hopLimits{255, 255}},
		"three hops away, checked":  {bgp.Neighbor{TTLSecurity: 3, Multihop: 9}, false, hopLimits{255, 253}},
		"iBGP on our link, checked": {bgp.Neighbor{TTLSecurity: 1}, true, hopLimits{255, 255}},
	} {
		if got := hopsOf(&tc.n, tc.internal); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

// What a peer that reads nothing is sent ends its session (RFC 9687), and it is heard of
// what has the engine send it more no further.
func TestAPeerThatReadsNothingIsGivenUp(t *testing.T) {
	l := newLab(t)
	s, err := New(Config{BGP: l.config(l.raw(2, 65002)), Logger: testLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	s.timing.sendHold = time.Second
	var routes []bgp.Route
	for i := range 4_000 {
		r := ourMAC(0)
		r.MAC[3], r.MAC[4], r.MAC[5] = byte(i>>16), byte(i>>8), byte(i)
		r.Sequence = uint32(i) + 1 // so that each has attributes of its own
		routes = append(routes, r)
	}
	if err := s.Originate(routes, nil); err != nil {
		t.Fatal(err)
	}
	v := follow(t, s)
	v.await(nobody, "listening", func(map[bgp.Key]bgp.Route, []string) bool {
		s.listeners.mu.Lock()
		defer s.listeners.mu.Unlock()
		if len(s.listeners.open) == 0 {
			return false
		}
		c, err := s.listeners.open[0].SyscallConn()
		if err == nil {
			err = control(c, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4096) })
		}
		return err == nil
	})
	small := func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) }
	p := l.connect(2, small).establish(hello(65002, lowID))
	v.awaitLast(l.addr(2), "peer up")
	for range 100 {
		p.send(routeRefresh(wire.EVPN, wire.Request))
	}
	v.awaitPeer(l.addr(2), "given up", func(p bgp.PeerState) bool {
		return !p.Up && strings.Contains(p.LastDown, "send hold timer expired")
	})
}

func TestAFloodOfKeepalivesIsNoMoreThanOne(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002)))
	p := l.connect(2).establish(hello(65002, lowID, func(o *wire.Open) { o.HoldTime = 3 }))
	many := make([]byte, 0, 1000*len(keepalive))
	for range 1000 {
		many = append(many, keepalive...)
	}
	for range 200 {
		p.send(many)
	}
	p.send(bgptest.Update(leafAttributes(), leafMAC(1)))
	v.awaitRoutes(l.addr(2), leafRoute(1))
}
