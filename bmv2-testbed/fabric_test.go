package testbed

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// eachFabric runs a test with a fabric of its own, on every target there is.
func eachFabric(t *testing.T, o FabricOptions, test func(t *testing.T, f *Fabric)) {
	t.Helper()
	o.Ageing = cmp.Or(o.Ageing, "5m") // hosts that are silent stay
	o.Moves = cmp.Or(o.Moves, -1)     // they move more often than hosts do
	for _, target := range []string{Embedded, BMv2} {
		t.Run(target, func(t *testing.T) {
			o.Target = target
			test(t, buildFabric(t, o))
		})
	}
}

func buildFabric(t *testing.T, o FabricOptions) *Fabric {
	t.Helper()
	needDemo(t, o.Target)
	l := needLab(t)
	t.Cleanup(func() { logsOf(t, l) })
	o.Binary = must(builtBinary())(t)
	f := must(l.BuildFabric(t.Context(), o))(t)
	t.Cleanup(func() {
		viewOf(t, f.Gateway, f.Leaf)
		viewOf(t, f.Second)
	})
	return f
}

const usualLeaf = "a leaf that routes"

// leafKinds are the leaves that fabrics have.
var leafKinds = map[string]FabricOptions{
	usualLeaf:                           {LeafSVI: true},
	"a leaf that only bridges":          {},
	"a leaf that routes and suppresses": {LeafSVI: true, Suppress: true},
}

// watchers are who reaches an address all the time, one behind each end point.
func (f *Fabric) watchers() []*Host {
	return []*Host{f.Hosts["gw-watcher"], f.Hosts["leaf-watcher"], f.Hosts["second-watcher"]}
}

// reached has the watchers ping an address at the same time, and gives what each needed.
func (f *Fabric) reached(ctx context.Context, address netip.Addr) ([]time.Duration, error) {
	took := make([]time.Duration, len(f.watchers()))
	var group errgroup.Group
	for i, h := range f.watchers() {
		group.Go(func() (err error) {
			took[i], err = h.Reach(ctx, address, 10*time.Second)
			return err
		})
	}
	return took, group.Wait()
}

// withinASecond moves an address to a host and checks that each watcher reaches it within a
// second of the frame that tells so, or as much longer as the machine is busy: pings before
// it say how busy.
func (f *Fabric) withinASecond(t *testing.T, what string, address netip.Addr, to *Host, frame []byte,
	move func() error) {
	t.Helper()
	ctx := t.Context()
	var usual time.Duration
	took, err := f.reached(ctx, address)
	if err == nil {
		took, err = f.reached(ctx, address) // neighbour tables are warm
	}
	if err != nil {
		t.Errorf("before %s: %v", what, err)
	}
	for _, d := range took {
		usual = max(usual, d)
	}
	echoes := make([]*Echo, len(f.watchers()))
	for i, h := range f.watchers() {
		echoes[i] = must(h.Echo(address))(t)
		defer func() { _ = echoes[i].Close() }()
	}
	check(t, move())
	s := must(to.NS.OpenRaw(to.Dev))(t)
	defer func() { _ = s.Close() }()
	start := time.Now()
	check(t, s.Send(frame))
	took, err = firstAnswers(ctx, start, echoes)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	var notes []string
	limit := reachableAgain + busyMachine*usual
	for i, h := range f.watchers() {
		notes = append(notes, fmt.Sprintf("%s %d ms", h.Name, took[i].Milliseconds()))
		if took[i] > limit {
			t.Errorf("%s: %s reaches %s after %v, want at most %v", what, h.Name, address, took[i], limit)
		}
	}
	t.Logf("%s: reached after %s", what, strings.Join(notes, ", "))
}

// firstAnswers gives the time from the start to the first answer to each.
func firstAnswers(ctx context.Context, start time.Time, echoes []*Echo) ([]time.Duration, error) {
	took := make([]time.Duration, len(echoes))
	var group errgroup.Group
	for i, e := range echoes {
		group.Go(func() error {
			at, err := e.FirstAnswer(ctx, 10*time.Millisecond, 10*time.Second)
			took[i] = at.Sub(start)
			return err
		})
	}
	return took, group.Wait()
}

// awaitAgreement is AwaitAgreement with a test's patience.
func (f *Fabric) awaitAgreement(t *testing.T, what string, address netip.Addr, h *Host, say func() error) {
	t.Helper()
	f.awaitWhatIsSaid(t, what, address, h, say, true)
}

// awaitWhatIsSaid does so. Where the leaf does not learn an address, since its kernel does
// not by what is said or since it only bridges, it may be that none has it.
func (f *Fabric) awaitWhatIsSaid(t *testing.T, what string, address netip.Addr, h *Host, say func() error, learned bool) {
	t.Helper()
	unknown := !(learned && f.options.LeafSVI) && f.placeOf(h).vtep == leaf1VTEP
	if err := f.await(t.Context(), patience/4, address, h, say, unknown); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// aside runs a command of a host in the background until the test ends.
func (h *Host) aside(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := h.NS.Command(context.WithoutCancel(t.Context()), args...)
	check(t, cmd.Start())
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	return cmd
}
