package netport

import (
	"bytes"
	"context"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/p4evpn/p4evpn/softswitch/claim"
)

// logged is a log that tests can read.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), part)
}

// runPort runs a port with a configuration, and Watch, for the test's length.
func runPort(t *testing.T, cfg Config) (*Port, *logged) {
	t.Helper()
	log := &logged{}
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = p.Run(ctx, func([][]byte) {}, func([][]byte) {}) })
	running.Go(func() { _ = Watch(ctx, cfg.Logger, []*Port{p}) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		_ = p.Close()
	})
	return p, log
}

func deviceNamed(t *testing.T, name string) claim.Device {
	t.Helper()
	d, err := claim.DeviceNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAPortTakesTheWaysThatItIsGiven(t *testing.T) {
	needRoot(t)
	for _, w := range claim.Ways() {
		t.Run(string(w), func(t *testing.T) {
			addVeth(t, "va", "vb", 1500)
			p, _ := runPort(t, Config{Interface: "va", Ways: []claim.Way{w}})
			eventually(t, "port up", p.Up)
			if got := p.State(); got != (State{Up: true, Claim: w}) {
				t.Errorf("%s: state %+v", w, got)
			}
			if err := claim.Check(deviceNamed(t, "va"), w, claim.Both); err != nil {
				t.Errorf("%s: %v", w, err)
			}
			delLink("va")
			eventually(t, "port down", func() bool { return !p.Up() })
		})
	}
}

// TestAPortWhoseInterfaceCannotBeClaimedIsRefused takes what stands in the way
// of each of several claims.
func TestAPortWhoseInterfaceCannotBeClaimedIsRefused(t *testing.T) {
	needRoot(t)
	addVeth(t, "va", "vb", 1500)
	ingress := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: linkNamed(t, "va").Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS,
	}}
	if err := netlink.QdiscAdd(ingress); err != nil {
		t.Skipf("SKIP: no ingress queueing discipline: %v", err)
	}
	p, log := runPort(t, Config{Interface: "va", Ways: []claim.Way{claim.Clsact}})
	eventually(t, "the port is refused", func() bool { return strings.Contains(p.State().Refused, "clsact") })
	for range 5 {
		p.recheck()
	}
	if p.Up() {
		t.Error("a port that is refused is up")
	}
	if n := log.count("port is down"); n != 1 {
		t.Errorf("%d lines of log, want 1", n)
	}

	shared, sharedLog := runPort(t, Config{Interface: "va", Ways: []claim.Way{claim.Clsact}, Shared: true})
	eventually(t, "a shared port is up", shared.Up)
	if s := shared.State(); s.Claim != "" || s.Refused != "" || sharedLog.count("UNSAFE") == 0 {
		t.Errorf("shared: %+v, %d warnings", s, sharedLog.count("UNSAFE"))
	}

	if err := netlink.QdiscDel(ingress); err != nil {
		t.Fatal(err)
	}
	p.recheck()
	eventually(t, "the port comes up when it can be claimed", p.Up)
	if s := p.State(); s.Refused != "" {
		t.Errorf("up, and refused: %+v", s)
	}
}

func TestAClaimThatSomebodyRemovesIsPutBackAndCounted(t *testing.T) {
	needRoot(t)
	for w, remove := range map[claim.Way]string{
		claim.TCX:    "rm -r /sys/fs/bpf/p4evpn",
		claim.Clsact: "tc qdisc del dev va clsact",
		claim.NFT:    "nft flush ruleset",
	} {
		t.Run(string(w), func(t *testing.T) {
			addVeth(t, "va", "vb", 1500)
			p, log := runPort(t, Config{Interface: "va", Ways: []claim.Way{w}})
			eventually(t, "port up", p.Up)
			args := strings.Fields(remove)
			if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", remove, err, out)
			}
			d := deviceNamed(t, "va")
			eventually(t, string(w)+" is put back", func() bool { return claim.Check(d, w, claim.Both) == nil })
			eventually(t, string(w)+" is counted",
				func() bool { return p.Stats().ClaimsLost > 0 && log.count("somebody removed") > 0 })
			if !p.Up() {
				t.Errorf("%s: the port is down", w)
			}
			delLink("va")
		})
	}
}

// TestAClaimThatCannotBePutBackTakesThePortDown puts something in its place.
func TestAClaimThatCannotBePutBackTakesThePortDown(t *testing.T) {
	needRoot(t)
	addVeth(t, "va", "vb", 1500)
	p, _ := runPort(t, Config{Interface: "va", Ways: []claim.Way{claim.Clsact}})
	eventually(t, "port up", p.Up)
	for _, line := range []string{"tc qdisc del dev va clsact", "tc qdisc add dev va ingress"} {
		args := strings.Fields(line)
		eventually(t, line, func() bool { // the claim may come back between the two
			_ = exec.Command("tc", "qdisc", "del", "dev", "va", "clsact").Run()
			return exec.Command(args[0], args[1:]...).Run() == nil || strings.Contains(line, "del")
		})
	}
	eventually(t, "the port is refused", func() bool { return !p.Up() && p.State().Refused != "" })
}

func TestAPortIsClaimedBeforeItIsUp(t *testing.T) {
	needRoot(t)
	addVeth(t, "va", "vb", 1500)
	if err := netlink.LinkSetDown(linkNamed(t, "va")); err != nil {
		t.Fatal(err)
	}
	runPort(t, Config{Interface: "va"})
	d := deviceNamed(t, "va")
	eventually(t, "a device that is down is claimed", func() bool { return len(claim.Of(d)) == 1 })
}

// TestAClaimFollowsItsDevice renames and replaces the device under the port.
func TestAClaimFollowsItsDevice(t *testing.T) {
	needRoot(t)
	for _, w := range []claim.Way{claim.TCX, claim.Clsact} {
		t.Run(string(w), func(t *testing.T) {
			addVeth(t, "va", "vb", 1500)
			p, _ := runPort(t, Config{Interface: "va", Ways: []claim.Way{w}})
			eventually(t, "port up", p.Up)
			if err := netlink.LinkSetName(linkNamed(t, "va"), "other"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the port has no interface", func() bool { return !p.Up() })
			if ways := claim.Of(deviceNamed(t, "other")); len(ways) != 1 || ways[0] != w {
				t.Errorf("renamed: claimed by %v, want %s still", ways, w)
			}
			addVeth(t, "va", "vc", 1500)
			eventually(t, "the port takes the new device", p.Up)
			if err := claim.Check(deviceNamed(t, "va"), w, claim.Both); err != nil {
				t.Errorf("the new device: %v", err)
			}
			delLink("va")
			eventually(t, "the port notices that it is gone", func() bool { return !p.Up() })
			if err := netlink.LinkSetName(linkNamed(t, "other"), "va"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the port takes the first one back", p.Up)
			delLink("va")
		})
	}
}
