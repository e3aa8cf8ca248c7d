package carrier

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/controller/internal/rtnetlink"
	"github.com/p4evpn/p4evpn/internal/netnstest"
)

// TestMain runs the tests in a network namespace of their own.
func TestMain(m *testing.M) { netnstest.Main(m) }

// follower keeps what a Watcher says.
type follower struct {
	testing.TB
	w *Watcher

	mu    sync.Mutex
	told  chan struct{} // closed with the first states
	state map[string]State
	lists int
}

// follow runs a Watcher until the test ends.
func follow(tb testing.TB, cfg Config) *follower {
	tb.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	w, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	f := &follower{TB: tb, w: w, told: make(chan struct{}), state: map[string]State{}}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx); err != nil {
			tb.Errorf("watcher: %v", err)
		}
	})
	running.Go(func() {
		for states := range w.Changes() {
			f.mu.Lock()
			for _, s := range states {
				f.state[s.Netdev] = s
			}
			if f.lists++; f.lists == 1 {
				close(f.told)
			}
			f.mu.Unlock()
		}
	})
	tb.Cleanup(func() { cancel(); running.Wait() })
	<-f.told
	return f
}

func (f *follower) get(netdev string) State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state[netdev]
}

// wait waits until a netdev is so, but for its losses.
func (f *follower) wait(netdev string, exists, up bool) {
	f.Helper()
	eventually(f, func() bool { s := f.get(netdev); return s.Exists == exists && s.Up == up },
		"%s: exists %t, up %t", netdev, exists, up)
}

func eventually(tb testing.TB, so func() bool, format string, args ...any) {
	tb.Helper()
	for deadline := time.Now().Add(10 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("not within 10 s: "+format, args...)
		}
	}
}

// must does something with a netdev.
func must(tb testing.TB, name string, do func(netlink.Link) error) {
	tb.Helper()
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = do(l)
	}
	if err != nil {
		tb.Fatalf("netdev %s: %v", name, err)
	}
}

func addVeth(tb testing.TB, a, b string) {
	tb.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = a
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: b}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		for _, name := range []string{a, b} { // one may have another name now
			if l, err := netlink.LinkByName(name); err == nil {
				_ = netlink.LinkDel(l)
			}
		}
	})
	must(tb, a, netlink.LinkSetUp)
	must(tb, b, netlink.LinkSetUp)
}

// addTap makes a tap that stays without a reader.
func addTap(tb testing.TB, name string) {
	tb.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if err := netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { must(tb, name, netlink.LinkDel) })
	must(tb, name, netlink.LinkSetUp)
}

// addAlone makes a netdev as most physical ones are for the kernel: it has no other end here, and
// its driver does not let its carrier be set.
func addAlone(tb testing.TB, name string) {
	tb.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if err := netlink.LinkAdd(&netlink.Ifb{LinkAttrs: attrs}); err != nil {
		tb.Skipf("this kernel has no ifb: %v", err)
	}
	tb.Cleanup(func() { must(tb, name, netlink.LinkDel) })
	must(tb, name, netlink.LinkSetUp)
}

// readTap is a reader of a tap.
func readTap(tb testing.TB, name string) *os.File {
	tb.Helper()
	file, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		tb.Fatal(err)
	}
	request, err := unix.NewIfreq(name)
	if err != nil {
		tb.Fatal(err)
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(int(file.Fd()), unix.TUNSETIFF, request); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = file.Close() })
	return file
}

func TestCarrierIsWhatTheKernelSaysOfAnyNetdev(t *testing.T) {
	netnstest.Need(t)
	addVeth(t, "p1", "h1")
	f := follow(t, Config{Netdevs: []string{"p1", "p2", "tap1"}})
	f.wait("p1", true, true)
	if s := f.get("p2"); s.Exists || s.Up {
		t.Errorf("p2 at the start: %+v", s)
	}
	must(t, "h1", netlink.LinkSetDown)
	f.wait("p1", true, false)
	must(t, "h1", netlink.LinkSetUp)
	f.wait("p1", true, true)
	must(t, "p1", netlink.LinkSetDown) // by an operator
	f.wait("p1", true, false)
	must(t, "p1", netlink.LinkSetUp)
	f.wait("p1", true, true)
	must(t, "h1", netlink.LinkDel) // and with it its peer
	f.wait("p1", false, false)
	addVeth(t, "p1", "h1")
	f.wait("p1", true, true)
	if s := f.get("p1"); s.Losses != 3 {
		t.Errorf("p1 lost carrier %d times, want 3", s.Losses)
	}
	must(t, "p1", func(l netlink.Link) error { return netlink.LinkSetName(l, "p2") })
	f.wait("p1", false, false)
	f.wait("p2", true, true)

	addTap(t, "tap1")
	f.wait("tap1", true, false)
	reader := readTap(t, "tap1")
	f.wait("tap1", true, true)
	_ = reader.Close()
	f.wait("tap1", true, false)
}

func TestALossThatTheKernelHoldsBackIsFound(t *testing.T) {
	netnstest.Need(t)
	addVeth(t, "p1", "h1")
	asker, err := ethtool.NewEthtool()
	if err != nil {
		t.Fatal(err)
	}
	defer asker.Close()
	l := newLoop(&Watcher{cfg: Config{Netdevs: []string{"p1", "none"}}}, nil)
	l.asker = asker
	now := time.Now()
	l.set("p1", true, true)
	l.set("none", true, true)
	if l.poll(now); !l.netdev["p1"].Up || !l.netdev["none"].Up {
		t.Error("a netdev with carrier, or of which nothing is known, is taken for down")
	}
	must(t, "h1", netlink.LinkSetDown)
	if l.poll(now.Add(pollInterval - 1)); !l.netdev["p1"].Up {
		t.Error("it is looked at too often")
	}
	if l.poll(now.Add(pollInterval)); l.netdev["p1"].Up || l.netdev["p1"].Losses != 1 {
		t.Errorf("%+v, want it down", l.netdev["p1"])
	}
}

// What a look at one netdev costs, of which there are 40 a second at most.
func BenchmarkPoll(b *testing.B) {
	netnstest.Need(b)
	addVeth(b, "p1", "h1")
	asker, err := ethtool.NewEthtool()
	if err != nil {
		b.Fatal(err)
	}
	defer asker.Close()
	for b.Loop() {
		if _, err := asker.LinkState("p1"); err != nil {
			b.Fatal(err)
		}
	}
}

func TestALossBetweenTwoLooksIsCounted(t *testing.T) {
	l := newLoop(&Watcher{cfg: Config{Netdevs: []string{"p1"}}}, nil)
	const up = unix.IFF_UP | unix.IFF_LOWER_UP | unix.IFF_RUNNING
	for _, flags := range []uint32{up, unix.IFF_UP, up, up, unix.IFF_UP | unix.IFF_RUNNING, up} {
		l.announced(rtnetlink.Link{Index: 7, Name: "p1", Flags: flags})
	}
	if s := l.netdev["p1"]; !s.Up || s.Losses != 2 {
		t.Errorf("%+v, want it up after 2 losses", s)
	}
}

// 100 times a second for a second, which is what the processor's time is measured of.
func TestANetdevThatFlapsIsToldRight(t *testing.T) {
	netnstest.Need(t)
	addVeth(t, "p1", "h1")
	f := follow(t, Config{Netdevs: []string{"p1"}})
	f.wait("p1", true, true)
	began := processorTime(t)
	for range 100 {
		must(t, "h1", netlink.LinkSetDown)
		time.Sleep(5 * time.Millisecond)
		must(t, "h1", netlink.LinkSetUp)
		time.Sleep(5 * time.Millisecond)
	}
	took := processorTime(t) - began
	f.wait("p1", true, true)
	n := f.get("p1").Losses
	t.Logf("a netdev that flaps 100 times a second lost carrier %d times and cost %.1f %% of a core, what made it flap "+
		"included", n, 100*took.Seconds())
	if n == 0 || n > 100 {
		t.Errorf("it lost carrier %d times, want what the kernel told of 100", n)
	}
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func lower(name string) bool {
	l, err := netlink.LinkByName(name)
	return err == nil && l.Attrs().RawFlags&unix.IFF_LOWER_UP != 0
}

func running(name string) bool {
	l, err := netlink.LinkByName(name)
	return err == nil && rtnetlink.Running(l.Attrs().RawFlags)
}

func TestALinuxSideWithoutAnotherEndFollows(t *testing.T) {
	netnstest.Need(t)
	addAlone(t, "phys")
	f := follow(t, Config{Hosts: []Host{{"phys", "nothing"}}})
	for range 2 {
		f.w.Follow("phys", false, true)
		eventually(t, func() bool { return !running("phys") && f.w.Trouble("phys") == "" }, "phys dormant")
		f.w.Follow("phys", true, true)
		eventually(t, func() bool { return running("phys") && f.w.Trouble("phys") == "" }, "phys as it was")
	}
}

func TestTheLinuxSideFollows(t *testing.T) {
	netnstest.Need(t)
	addVeth(t, "host1", "sw1")
	addVeth(t, "host2", "sw2")
	addTap(t, "tap1")
	reader := readTap(t, "tap1")
	addVeth(t, "host3", "sw3")
	f := follow(t, Config{Hosts: []Host{{"host1", "sw1"}, {"host2", ""}, {"host3", "sw3"}, {"tap1", ""}}})
	for _, c := range []struct {
		name string
		peer bool
		is   func(string) bool
	}{{"host1", true, lower}, {"host2", true, running}, {"host3", false, running}, {"tap1", false, lower}} {
		eventually(t, func() bool { return c.is(c.name) }, "%s up at first", c.name)
		f.w.Follow(c.name, false, c.peer)
		eventually(t, func() bool { return !c.is(c.name) }, "%s without carrier", c.name)
		f.w.Follow(c.name, true, c.peer)
		eventually(t, func() bool { return c.is(c.name) && f.w.Trouble(c.name) == "" }, "%s with carrier again", c.name)
	}
	// That the target bears it is known later.
	f.w.Follow("host3", false, false)
	eventually(t, func() bool { return !running("host3") && lower("sw3") }, "host3 dormant, and its peer as it was")
	f.w.Follow("host3", false, true)
	eventually(t, func() bool { return !lower("host3") }, "host3 without carrier")
	f.w.Follow("host3", true, true)
	eventually(t, func() bool { return running("host3") }, "host3 as it was")
	// Who reads the tap goes, and another one comes.
	f.w.Follow("tap1", false, true)
	eventually(t, func() bool { return !lower("tap1") }, "tap1 without carrier")
	_ = reader.Close()
	readTap(t, "tap1")
	eventually(t, func() bool { return !lower("tap1") }, "tap1 without carrier though another one reads it")
	f.w.Follow("tap1", true, true)
	eventually(t, func() bool { return lower("tap1") }, "tap1 with carrier again")
	// It comes again, or somebody sets it up.
	f.w.Follow("host1", false, true)
	eventually(t, func() bool { return !lower("host1") }, "host1 without carrier")
	must(t, "sw1", netlink.LinkSetUp)
	eventually(t, func() bool { return !lower("host1") }, "host1 without carrier though its peer was set up")
	must(t, "host1", netlink.LinkDel)
	addVeth(t, "host1", "sw1")
	eventually(t, func() bool { return !lower("host1") }, "a new host1 without carrier")
	f.w.Follow("host1", true, true)
	eventually(t, func() bool { return lower("host1") }, "host1 with carrier")
	must(t, "host1", netlink.LinkDel)
	f.w.Follow("host1", false, true)
	eventually(t, func() bool { return f.w.Trouble("host1") != "" }, "that it is not there is told")
}

func TestBadConfigurationsAreRefused(t *testing.T) {
	for what, c := range map[string]Config{
		"a netdev without a name":         {Netdevs: []string{""}},
		"a host without a name":           {Hosts: []Host{{Interface: "sw1"}}},
		"two uplinks with one Linux side": {Hosts: []Host{{Device: "a"}, {Device: "a"}}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

// What an announcement costs, of a netdev that loses carrier or has it again.
func BenchmarkAnnounced(b *testing.B) {
	l := newLoop(&Watcher{cfg: Config{Netdevs: []string{"p1"}}}, nil)
	flags := [2]uint32{unix.IFF_UP, unix.IFF_UP | unix.IFF_LOWER_UP | unix.IFF_RUNNING}
	for i := 0; b.Loop(); i++ {
		l.announced(rtnetlink.Link{Index: 7, Name: "p1", Flags: flags[i%2]})
	}
}
