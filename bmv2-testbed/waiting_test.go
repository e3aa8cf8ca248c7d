package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/ether"
)

func TestPausedProcessHasNoThreadThatRuns(t *testing.T) {
	l, ctx := needLab(t), t.Context()
	// What /proc says of it has parentheses, and what looks like a state.
	program := filepath.Join(t.TempDir(), "a) T (b")
	check(t, os.Symlink("/bin/sh", program))
	p := must(l.Start(must(l.Namespace("x"))(t), "busy", program, "-c", "while :; do :; done"))(t)
	running := func(context.Context) error {
		comm, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID()), "comm"))
		if name := strings.TrimSpace(string(comm)); err == nil &&
			(name != filepath.Base(program) || allStopped(p.PID()) == nil) {
			err = fmt.Errorf("%s is not running", name)
		}
		return err
	}
	check(t, Eventually(ctx, patience, "it runs", running))
	for range 3 {
		check(t, p.Pause(ctx))
		check(t, allStopped(p.PID()))
		check(t, p.Resume())
		check(t, Eventually(ctx, patience, "it runs again", running))
	}
	check(t, p.Kill())
	if err := p.Pause(ctx); err == nil {
		t.Error("a process that has ended is paused")
	}
}

// twoHosts gives two hosts with a cable between them.
func twoHosts(t *testing.T, l *Lab) (hosts [2]*Host) {
	t.Helper()
	for i, name := range []string{"a", "b"} {
		hosts[i] = &Host{
			Name: name, NS: must(l.Namespace(name))(t), Dev: "eth0", MAC: ether.MAC{2, 0, 0, 0, 9, byte(i)},
			Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 10, byte(i + 1)}), 24),
		}
	}
	check(t, l.Cable(End{NS: hosts[0].NS, Dev: "eth0"}, End{NS: hosts[1].NS, Dev: "eth0"}))
	for _, h := range hosts {
		check(t, h.Configure())
	}
	return hosts
}

func TestForgottenNeighboursAreThoseThatWereLearned(t *testing.T) {
	hosts, ctx := twoHosts(t, needLab(t)), t.Context()
	a, b := hosts[0], hosts[1].Address.Addr()
	known := func() string { return must(a.NS.Output(ctx, "ip", "neigh", "show", "dev", a.Dev))(t) }
	must(a.NS.Output(ctx, "ip", "neigh", "add", "192.168.10.9", "lladdr", "02:00:00:00:00:09", "dev", a.Dev, "nud",
		"permanent"))(t)
	for _, forget := range []func() error{
		func() error { return a.NS.ForgetNeighbour(a.Dev, b) },
		func() error { return a.NS.ForgetNeighbours(a.Dev) },
	} {
		must(a.Reach(ctx, b, patience))(t)
		if !strings.Contains(known(), "192.168.10.2 lladdr") {
			t.Fatalf("before: %s", known())
		}
		check(t, forget())
		check(t, forget()) // there is none now
		if got := known(); strings.Contains(got, "192.168.10.2 lladdr") || !strings.Contains(got, "192.168.10.9 lladdr") {
			t.Errorf("left: %s", got)
		}
	}
}

func TestHostThatIsReachedIsNotMissed(t *testing.T) {
	hosts, ctx := twoHosts(t, needLab(t)), t.Context()
	a, b := hosts[0], hosts[1]
	if err := a.Misses(ctx, b.Address.Addr(), b, a.Address.Addr()); err == nil {
		t.Error("a host that answers is missed")
	}
	check(t, a.Misses(ctx, netip.MustParseAddr("192.168.10.9"), b, a.Address.Addr()))
	check(t, a.Misses(ctx, netip.MustParseAddr("198.51.100.1"), b, a.Address.Addr())) // no route
}

func TestProbeCountsEachCopy(t *testing.T) {
	hosts, ctx := twoHosts(t, needLab(t)), t.Context()
	a, b := hosts[0], hosts[1]
	fence := func(ctx context.Context) error { _, err := a.Reach(ctx, b.Address.Addr(), patience); return err }
	for _, c := range []struct {
		sent, want int
		good       bool
	}{{1, 1, true}, {2, 1, false}, {1, 0, false}, {0, 0, true}} {
		p := must(newProbe(a, b))(t)
		for range c.sent {
			check(t, p.Send(a, a.MAC, ether.Broadcast))
		}
		if err := p.Expect(ctx, map[string]int{b.Name: c.want}, fence); (err == nil) != c.good {
			t.Errorf("%d sent, %d expected: %v", c.sent, c.want, err)
		}
		check(t, p.Close())
	}
}
