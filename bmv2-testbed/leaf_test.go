package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/p4evpn/p4evpn/ether"
)

// needLab gives a lab that is removed with the test.
func needLab(t *testing.T) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: the test makes network namespaces")
	}
	l, err := NewLab()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	return l
}

func needFRR(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(frrDaemons, "bgpd")); err != nil {
		t.Skip("needs FRR: apt-get install frr")
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTwoLeavesBridgeOverEVPN(t *testing.T) {
	needFRR(t)
	l, ctx := needLab(t), t.Context()
	const vni = 1010
	var spaces [2]*Namespace
	var hosts [2]*Host
	addr := func(format string, i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf(format, i+1)) }
	for i := range spaces {
		spaces[i] = must(l.Namespace(fmt.Sprintf("leaf%d", i+1)))(t)
	}
	check(t, l.Cable(End{NS: spaces[0], Dev: "eth0"}, End{NS: spaces[1], Dev: "eth0"}))
	for i, n := range spaces {
		other := 1 - i
		check(t, n.AddAddress("eth0", netip.PrefixFrom(addr("10.1.3.%d", i), 24)))
		check(t, n.AddRoute(netip.PrefixFrom(addr("10.0.0.%d", other), 32), addr("10.1.3.%d", other)))
		leaf := must(l.Leaf(ctx, n, fmt.Sprintf("leaf%d", i+1), uint32(65101+i), addr("10.0.0.%d", i),
			[]Peer{{Address: addr("10.1.3.%d", other), AS: uint32(65101 + other)}}))(t)
		check(t, leaf.AddVNI(vni))
		hosts[i] = &Host{
			Name: fmt.Sprintf("host%d", i+1), NS: must(l.Namespace(fmt.Sprintf("host%d", i+1)))(t), Dev: "eth0",
			MAC: ether.MAC{2, 0, 0, 0, 1, byte(i + 1)}, Address: netip.PrefixFrom(addr("192.168.10.%d", i), 24),
		}
		check(t, l.Cable(End{NS: hosts[i].NS, Dev: "eth0"}, End{NS: n, Dev: "host"}))
		check(t, leaf.Join("host", vni))
		check(t, hosts[i].Configure())
	}
	for i, h := range hosts {
		took, err := h.Reach(ctx, hosts[1-i].Address.Addr(), patience)
		check(t, err)
		t.Logf("%s reaches the other host after %v", h.Name, took)
	}
	p := must(newProbe(hosts[:]...))(t)
	t.Cleanup(func() { _ = p.Close() })
	check(t, p.Send(hosts[0], hosts[0].MAC, ether.Broadcast))
	check(t, p.Expect(ctx, map[string]int{"host2": 1}, func(ctx context.Context) error {
		_, err := hosts[0].Reach(ctx, hosts[1].Address.Addr(), patience)
		return err
	}))
}

func TestTrunkStationsHaveAStackOfTheirOwn(t *testing.T) {
	l, ctx := needLab(t), t.Context()
	a, b := must(l.Namespace("a"))(t), must(l.Namespace("b"))(t)
	check(t, l.Cable(End{NS: a, Dev: "eth0"}, End{NS: b, Dev: "eth0"}))
	stations := map[End]map[uint16]*Host{}
	for i, trunk := range []End{{NS: a, Dev: "eth0"}, {NS: b, Dev: "eth0"}} {
		stations[trunk] = map[uint16]*Host{}
		spaces := map[uint16]*Namespace{}
		for _, vlan := range []uint16{10, 20} {
			name := fmt.Sprintf("s%d-%d", i, vlan)
			spaces[vlan] = must(l.Namespace(name))(t)
			stations[trunk][vlan] = &Host{
				Name: name, NS: spaces[vlan], Dev: "eth0", MAC: ether.MAC{2, 0, 0, 0, byte(vlan), byte(i)},
				Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 10, byte(vlan) + byte(i)}), 24),
			}
		}
		check(t, l.JoinTrunk(trunk, "eth0", spaces))
		for _, h := range stations[trunk] {
			check(t, h.Configure())
		}
	}
	left, right := stations[End{NS: a, Dev: "eth0"}], stations[End{NS: b, Dev: "eth0"}]
	for _, vlan := range []uint16{10, 20} {
		_, err := left[vlan].Reach(ctx, right[vlan].Address.Addr(), patience)
		check(t, err)
	}
	check(t, left[10].Misses(ctx, right[20].Address.Addr(), left[10], right[10].Address.Addr()))
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	l := needLab(t)
	n := must(l.Namespace("x"))(t)
	p := must(l.Start(n, "sleeper", "sh", "-c", "sleep 1000 & trap '' TERM; wait; sleep 1000"))(t)
	check(t, l.Close())
	if p.Running() == nil {
		t.Error("the process still runs")
	}
	for _, path := range []string{l.Dir, filepath.Join(netnsFolder, n.Name)} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there", path)
		}
	}
}

func TestSweepRemovesWhatADeadRunLeft(t *testing.T) {
	mine := needLab(t)
	kept := must(mine.Namespace("kept"))(t)
	dead := exec.Command("true")
	check(t, dead.Run()) // its process id is free now
	name := fmt.Sprintf("%s%d-012345", labPrefix, dead.Process.Pid)
	check(t, exec.Command("ip", "netns", "add", name+"-x").Run())
	check(t, os.Mkdir(filepath.Join(os.TempDir(), name), 0o755))
	orphan := exec.Command("ip", "netns", "exec", name+"-x", "sleep", "1000")
	check(t, orphan.Start())
	check(t, Eventually(t.Context(), patience, "the orphan is in its namespace", func(context.Context) error {
		out, err := exec.Command("ip", "netns", "pids", name+"-x").Output()
		if err == nil && len(out) == 0 {
			err = errors.New("no process")
		}
		return err
	}))
	check(t, sweep())
	if err := orphan.Wait(); err == nil {
		t.Error("the orphan ended by itself")
	}
	for _, path := range []string{filepath.Join(netnsFolder, name+"-x"), filepath.Join(os.TempDir(), name)} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there", path)
		}
	}
	if _, err := os.Stat(filepath.Join(netnsFolder, kept.Name)); err != nil {
		t.Errorf("a living run's namespace: %v", err)
	}
}
