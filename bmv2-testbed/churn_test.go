package testbed

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
)

// churnFor is how long things change at random. `make soak` says 30m.
func churnFor(t *testing.T) time.Duration {
	text := os.Getenv("P4EVPN_SOAK")
	if text == "" {
		return 12 * time.Second
	}
	return must(time.ParseDuration(text))(t)
}

// bouncer is a station that is now behind one port and now behind another. Its
// address can be found in a text.
var bouncer = ether.MAC([]byte("bounce"))

// Random calls of the API, routes, moves and kills; then everything made is
// unmade, and the target must hold what it held before.
func TestChurnLeavesNothingBehind(t *testing.T) {
	size := restartSize{macs: 500, objects: 20}
	eachRestartable(t, size, func(t *testing.T, n *restartNetwork) {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		c := &churn{t: t, n: n, random: rand.New(rand.NewPCG(seed, 0)), bridges: map[int]bool{}, svis: map[int]int{},
			vrfs: map[int]bool{}}
		r := n.gateway.raw(t)
		check(t, c.bounce())
		n.announce(t)
		before := must(c.heldBut(r))(t)

		// First with kills of the gateway's own processes, then without, so that
		// what they gather can be seen.
		steps := []func() error{c.bridge, c.bridge, c.svi, c.vrf, c.flapMACs, c.flapPrefixes, c.bounce, c.killPeer}
		c.run(churnFor(t)/2, append(slices.Clone(steps), c.killController, c.killController, c.killSwitch))
		n.settle(t)
		m := must(StartMeter(n.local(100)...))(t)
		c.run(churnFor(t)/2, steps)
		n.measured(t, m, "")
		t.Logf("%d steps: %v", c.done, c.counts)

		check(t, c.unmake())
		n.settle(t)
		n.awaitConverged(t, 6*patience)
		n.awaitMany(t)
		n.announce(t)
		check(t, differences(before, must(c.heldBut(r))(t)))
		check(t, c.fdbIsTheRIB())
		check(t, c.namespacesAre(1))
		c.sameWhenFresh(r)
	})
}

// churn does steps at random, and knows what it made.
type churn struct {
	t       *testing.T
	n       *restartNetwork
	random  *rand.Rand
	bridges map[int]bool
	svis    map[int]int // by bridge, the VRF
	vrfs    map[int]bool
	killed  time.Time // the BGP peer
	done    int
	counts  map[string]int
}

// run does steps for a time.
func (c *churn) run(d time.Duration, steps []func() error) {
	c.t.Helper()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	next := time.Now()
	for start := time.Now(); time.Since(start) < d; c.done++ {
		if err := steps[c.random.IntN(len(steps))](); err != nil {
			c.t.Fatalf("step %d: %v", c.done, err)
		}
		if time.Now().After(next) {
			c.t.Logf("%4.0f s: %d steps; controller %v; switch %v", time.Since(start).Seconds(), c.done,
				useOf(c.n.gateway.control), useOf(c.n.gateway.dataplane))
			next = time.Now().Add(max(d/10, 5*time.Second))
		}
	}
}

func (c *churn) count(what string) { c.counts[what]++ }

func churnBridge(i int) string { return fmt.Sprintf("churn-bridge-%d", i) }
func churnVRF(i int) string    { return fmt.Sprintf("churn-vrf-%d", i) }

// bridge makes or deletes a bridge, with its SVI.
func (c *churn) bridge() error {
	i := c.random.IntN(20)
	if !c.bridges[i] {
		c.count("bridges made")
		c.bridges[i] = true
		return c.n.gateway.CreateBridge(c.t.Context(), churnBridge(i), uint16(2000+i), uint32(40_000+i))
	}
	if err := c.deleteSVI(i); err != nil {
		return err
	}
	delete(c.bridges, i)
	return c.n.gateway.DeleteBridge(c.t.Context(), churnBridge(i))
}

// svi makes or deletes the SVI of a bridge that is there.
func (c *churn) svi() error {
	bridges, vrfs := slices.Sorted(maps.Keys(c.bridges)), slices.Sorted(maps.Keys(c.vrfs))
	if len(bridges) == 0 || len(vrfs) == 0 {
		return nil
	}
	i := bridges[c.random.IntN(len(bridges))]
	if _, made := c.svis[i]; made {
		return c.deleteSVI(i)
	}
	c.count("SVIs made")
	c.svis[i] = vrfs[c.random.IntN(len(vrfs))]
	gateway := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 200, byte(i), 1}), 24)
	return c.n.gateway.CreateSVI(c.t.Context(), churnBridge(i), churnVRF(c.svis[i]), ether.MAC{2, 0xcd, 0, 0, 0, byte(i)},
		gateway)
}

func (c *churn) deleteSVI(i int) error {
	if _, made := c.svis[i]; !made {
		return nil
	}
	delete(c.svis, i)
	return c.n.gateway.DeleteSVI(c.t.Context(), churnBridge(i))
}

// vrf makes or deletes a VRF, with its SVIs.
func (c *churn) vrf() error {
	i := c.random.IntN(3)
	if !c.vrfs[i] {
		c.count("VRFs made")
		c.vrfs[i] = true
		return c.n.gateway.CreateVRF(c.t.Context(), churnVRF(i), uint32(50_000+i),
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 254, 0, byte(i)}), 32))
	}
	for bridge, vrf := range c.svis {
		if vrf != i {
			continue
		}
		if err := c.deleteSVI(bridge); err != nil {
			return err
		}
	}
	delete(c.vrfs, i)
	return c.n.gateway.DeleteVRF(c.t.Context(), churnVRF(i))
}

// flapMACs replaces some of the many routes.
func (c *churn) flapMACs() error {
	c.count("route flaps")
	c.n.kernel.Config.MACs[0].First = uint32(c.random.IntN(1000))
	return c.n.kernel.Reload()
}

// flapPrefixes adds or removes type-5 routes.
func (c *churn) flapPrefixes() error {
	c.count("route flaps")
	l3 := &c.n.kernel.Config.L3
	l3.Prefixes = l3.Prefixes[:1:1]
	for i := range c.random.IntN(20) {
		l3.Prefixes = append(l3.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 210, byte(i), 0}), 24))
	}
	return c.n.kernel.Reload()
}

// announce lets the gateway learn its hosts' addresses, which it may have lost
// with switch and controller, and waits until all is written.
func (n *restartNetwork) announce(t *testing.T) {
	t.Helper()
	for _, name := range []string{"a", "b", "r1", "r2"} {
		check(t, n.hosts[name].Announce())
	}
	n.awaitQuiet(t)
}

// bounce shows the bouncer behind a port.
func (c *churn) bounce() error {
	h := []string{"a", "b"}[c.random.IntN(2)]
	if c.counts != nil {
		c.count("MAC moves")
	}
	return c.n.speakFrom(h, bouncer)
}

func (c *churn) killPeer() error {
	if time.Since(c.killed) < 8*time.Second { // a session takes seconds to come up
		return nil
	}
	c.killed = time.Now()
	c.count("kills of the BGP peer")
	if err := c.n.kernel.Kill(); err != nil {
		return err
	}
	return c.n.kernel.Start(c.t.Context())
}

func (c *churn) killController() error {
	c.count("ends of the controller")
	end := c.n.gateway.KillController
	if c.random.IntN(2) == 0 {
		end = c.n.gateway.control.Stop
	}
	if err := end(); err != nil {
		return err
	}
	return c.n.gateway.StartController(c.t.Context(), c.n.config.String())
}

func (c *churn) killSwitch() error {
	c.count("kills of the switch")
	if err := c.n.gateway.KillSwitch(); err != nil {
		return err
	}
	return c.n.gateway.StartSwitch(c.t.Context())
}

// unmake removes what is left of the churn.
func (c *churn) unmake() error {
	ctx, g := c.t.Context(), c.n.gateway
	for i := range c.svis {
		if err := g.DeleteSVI(ctx, churnBridge(i)); err != nil {
			return err
		}
	}
	for i := range c.bridges {
		if err := g.DeleteBridge(ctx, churnBridge(i)); err != nil {
			return err
		}
	}
	for i := range c.vrfs {
		if err := g.DeleteVRF(ctx, churnVRF(i)); err != nil {
			return err
		}
	}
	c.n.kernel.Config.MACs[0].First = 0
	c.n.kernel.Config.L3.Prefixes = c.n.kernel.Config.L3.Prefixes[:1:1]
	return c.n.kernel.Reload()
}

// heldBut gives what the target holds, but for the bouncer's entries, which say
// how often it moved.
func (c *churn) heldBut(r *rawTarget) (map[string]bool, error) {
	held, err := r.held(c.t.Context())
	maps.DeleteFunc(held, func(wire string, _ bool) bool { return strings.Contains(wire, string(bouncer[:])) })
	return held, err
}

// fdbIsTheRIB checks that the FDB's remote addresses are those that kernel
// advertises.
func (c *churn) fdbIsTheRIB() error {
	fdb, err := c.n.gateway.FDB(c.t.Context(), blue)
	if err != nil {
		return err
	}
	want := map[string]bool{}
	for _, mac := range c.n.kernel.Config.MACs[0].All() {
		want[mac.String()] = true
		if e := fdb[mac.String()]; e.GetVtep() != kernelVTEP.String() || e.GetState() != p4evpnv1.State_STATE_UP {
			return fmt.Errorf("kernel advertises %v, the FDB has %v", mac, e)
		}
	}
	for mac, e := range fdb {
		if e.GetVtep() != "" && !want[mac] {
			return fmt.Errorf("nobody advertises %v, the FDB has %v", mac, e)
		}
	}
	return nil
}

// namespacesAre checks that there are so many namespaces of VRFs.
func (c *churn) namespacesAre(want int) error {
	return Eventually(c.t.Context(), patience, fmt.Sprintf("there are %d namespaces of VRFs", want),
		func(context.Context) error {
			entries, err := os.ReadDir(netnsFolder)
			got := 0
			for _, e := range entries {
				if strings.HasPrefix(e.Name(), c.n.gateway.vrfNamespaces()) {
					got++
				}
			}
			if err == nil && got != want {
				err = fmt.Errorf("there are %d", got)
			}
			return err
		})
}

// sameWhenFresh starts the controller anew: what it wants by store and routes is
// what the target holds, and it needs as much as the old one did.
func (c *churn) sameWhenFresh(r *rawTarget) {
	t, n := c.t, c.n
	t.Helper()
	held, old := must(c.heldBut(r))(t), must(wholeUseOf(n.gateway))(t)
	check(t, n.gateway.KillController())
	n.startController(t.Context(), t)
	n.settle(t)
	n.awaitConverged(t, 6*patience)
	n.awaitMany(t)
	n.awaitQuiet(t)
	check(t, differences(held, must(c.heldBut(r))(t)))
	if updates := must(n.gateway.Updates(t.Context()))(t); updates > len(must(r.held(t.Context()))(t))-len(held) {
		t.Errorf("a fresh controller wrote %d updates to what the old one left, want none", updates)
	}
	fresh := must(wholeUseOf(n.gateway))(t)
	t.Logf("the controller after the churn: %v; fresh: %v", old, fresh)
	if old.goroutines > fresh.goroutines+5 || old.fds > fresh.fds+5 || old.memory > 2*fresh.memory+(32<<20) {
		t.Errorf("after the churn the controller has %v, a fresh one %v", old, fresh)
	}
}

// use is what a process holds of the machine.
type use struct {
	goroutines, fds int
	memory          int64 // bytes resident
}

func (u use) String() string {
	s := fmt.Sprintf("%d file descriptors, %d MB", u.fds, u.memory>>20)
	if u.goroutines > 0 {
		s = fmt.Sprintf("%d goroutines, ", u.goroutines) + s
	}
	return s
}

func wholeUseOf(g *Gateway) (use, error) {
	values, err := g.Metrics(context.Background())
	u := useOf(g.control)
	u.goroutines = int(values["go_goroutines"])
	return u, err
}

// useOf reads a process's use from /proc; zeros when it is gone.
func useOf(p *Process) (u use) {
	folder := fmt.Sprintf("/proc/%d/", p.PID())
	fds, _ := os.ReadDir(folder + "fd")
	u.fds = len(fds)
	status, _ := os.ReadFile(folder + "status")
	for line := range bytes.Lines(status) {
		if kb, ok := strings.CutPrefix(string(line), "VmRSS:"); ok {
			u.memory, _ = strconv.ParseInt(strings.Fields(kb)[0], 10, 64)
			u.memory <<= 10
		}
	}
	return u
}
