package testbed

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
)

// upgradeFrom names the commit whose binary the upgrade begins with.
const upgradeFrom = "P4EVPN_UPGRADE_FROM"

// upgradeGoal is what a changed program may cost on the embedded switch, besides what
// the machine itself held up meanwhile.
const upgradeGoal = 100 * time.Millisecond

// An upgrade replaces one process after the other, as systemctl restart does: the
// controller over a switch that goes on, and the switch under a controller that goes
// on, in either order. BMv2 is not ours to replace.
func TestAnUpgradeLosesNothingButForWhatTheProgramChanges(t *testing.T) {
	revision := os.Getenv(upgradeFrom)
	if revision == "" {
		t.Skipf("SKIP: %s names no commit to upgrade from; make upgrade-test FROM=REV does", upgradeFrom)
	}
	u := &upgrade{old: oldBinary(t, revision), new: must(builtBinary())(t)}
	t.Cleanup(func() { t.Logf("from %s, with %d routes:\n%s", revision, wholeSize.macs, u.table()) })
	for _, c := range []struct {
		target, order string
		steps         []upgradeStep
	}{
		{Embedded, "controller first", []upgradeStep{u.controller, u.dataplane, u.back}},
		{Embedded, "switch first", []upgradeStep{u.dataplane, u.controller}},
		{BMv2, "controller", []upgradeStep{u.controller}},
	} {
		t.Run(c.target+", "+c.order, func(t *testing.T) {
			size := wholeSize
			size.binary, size.peers, u.newSwitch = u.old, false, false
			n := buildRestartable(t, c.target, size)
			n.awaitMany(t)
			for _, step := range c.steps {
				n.awaitQuiet(t)
				step(t, n)
			}
		})
	}
}

// oldBinary builds p4evpn of a commit of this repository, outside its tree.
func oldBinary(t *testing.T, revision string) string {
	t.Helper()
	tree := t.TempDir()
	archive := filepath.Join(t.TempDir(), "tree.tar")
	for _, args := range [][]string{
		{"git", "-C", "..", "archive", "--output", archive, revision},
		{"tar", "-C", tree, "-xf", archive},
		{"go", "build", "-C", tree, "-buildvcs=false", "-o", "p4evpn", "./cmd/p4evpn"},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	return filepath.Join(tree, "p4evpn")
}

// upgrade goes from a binary to another, and keeps what was seen.
type upgrade struct {
	old, new  string
	newSwitch bool // in the network at hand
	rows      []upgradeRow
}

type upgradeStep func(*testing.T, *restartNetwork)

type upgradeRow struct {
	target, step, program string
	found                 string // entries that the new controller found on the target
	updates               int    // that it wrote
	readings              []Reading
}

// controller replaces the controller over the switch that runs.
func (u *upgrade) controller(t *testing.T, n *restartNetwork) {
	ctx, r := t.Context(), n.gateway.raw(t)
	over := "the old switch"
	switch {
	case n.target == BMv2:
		over = "BMv2"
	case u.newSwitch:
		over = "the new switch"
	}
	before, cookie := must(r.held(ctx))(t), r.cookie(t)
	m := n.traffic(t)
	check(t, n.gateway.control.Stop())
	n.gateway.binary = u.new
	n.startController(ctx, t)
	n.awaitConverged(t, 6*patience)
	n.awaitQuiet(t)
	n.settle(t)
	row := upgradeRow{
		target: n.target, step: "controller over " + over, program: "the same",
		found: n.foundEntries(), updates: must(n.gateway.Updates(ctx))(t),
	}
	if r.cookie(t) != cookie {
		row.program = "changed"
		row.readings = n.measured(t, m)
		if limit := upgradeGoal + row.stall(); u.newSwitch && row.outage() > limit {
			t.Errorf("the changed program cost %v, want %v at most", row.outage(), limit)
		}
	} else {
		if row.updates > 0 {
			t.Errorf("%d updates were written for the same program, want none", row.updates)
		}
		check(t, differences(before, must(r.held(ctx))(t)))
		row.readings = n.measured(t, m, keeping...)
	}
	u.rows = append(u.rows, row)
}

// dataplane replaces the switch under the controller that runs: what the switch held
// is gone, and is written again.
func (u *upgrade) dataplane(t *testing.T, n *restartNetwork) {
	ctx := t.Context()
	controller := "the old controller"
	if n.gateway.binary == u.new {
		controller = "the new controller"
	}
	before := must(n.gateway.Updates(ctx))(t)
	m := n.traffic(t)
	check(t, n.gateway.dataplane.Stop())
	running := n.gateway.binary
	n.gateway.binary, u.newSwitch = u.new, true
	check(t, n.gateway.StartSwitch(ctx))
	n.gateway.binary = running
	n.settle(t)
	n.awaitQuiet(t)
	u.rows = append(u.rows, upgradeRow{
		target: n.target, step: "switch under " + controller, program: "pushed", found: "0",
		updates: must(n.gateway.Updates(ctx))(t) - before, readings: n.measured(t, m), // all is lost meanwhile
	})
}

// back starts the old binary over what the new one wrote: it goes on, or says that the
// store is of a newer one and leaves it alone.
func (u *upgrade) back(t *testing.T, n *restartNetwork) {
	check(t, n.gateway.control.Stop())
	before := must(os.ReadFile(n.gateway.storeFile()))(t)
	n.gateway.binary = u.old
	err := n.gateway.StartController(t.Context(), n.config.String())
	switch {
	case err == nil:
		t.Log("the old binary reads the new one's store")
		return
	case !strings.Contains(err.Error(), "was written by a newer p4evpn"):
		t.Errorf("the old binary over the new one's store: %v", err)
	default:
		t.Log("the old binary refuses the new one's store, as of a newer version")
	}
	if after := must(os.ReadFile(n.gateway.storeFile()))(t); !bytes.Equal(before, after) {
		t.Error("the old binary changed the new one's store")
	}
}

// outage is the longest time for which a flow that lost something was not heard.
func (r upgradeRow) outage() (longest time.Duration) {
	for _, reading := range r.readings {
		if reading.Lost > 0 && reading.Flow != pastTheGateway {
			longest = max(longest, reading.Gap)
		}
	}
	return longest
}

// stall is the longest time for which the flow that crosses no switch was not heard.
func (r upgradeRow) stall() (longest time.Duration) {
	for _, reading := range r.readings {
		if reading.Flow == pastTheGateway {
			longest = max(longest, reading.Gap)
		}
	}
	return longest
}

func (r upgradeRow) lost(prefix string) (lost, sent int) {
	for _, reading := range r.readings {
		if strings.HasPrefix(reading.Flow, prefix) {
			lost, sent = lost+reading.Lost, sent+reading.Sent
		}
	}
	return lost, sent
}

func (u *upgrade) table() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "target\twhat is replaced\tprogram\tentries found\twrites\tlost, local hosts\tlost, GoBGP "+
		"leaf\toutage, ms")
	for _, r := range u.rows {
		local, localSent := r.lost("local")
		far, farSent := r.lost("GoBGP")
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d of %d\t%d of %d\t%.0f\n", r.target, r.step, r.program, r.found, r.updates,
			local, localSent, far, farSent, r.outage().Seconds()*1000)
	}
	_ = w.Flush() // to memory
	return b.String()
}

// foundEntries is how many entries the controller that was started last read back, by
// its log.
func (n *restartNetwork) foundEntries() string {
	log := n.gateway.control.Tail(1 << 24)
	found := readBack.FindAllStringSubmatch(log, -1)
	if len(found) == 0 {
		return "?"
	}
	return found[len(found)-1][1]
}

var readBack = regexp.MustCompile(`read the target's entries.* entries=(\d+)`)

// cookie names the program that the target runs.
func (r *rawTarget) cookie(t *testing.T) uint64 {
	t.Helper()
	config := must(r.client.GetForwardingPipelineConfig(context.WithoutCancel(t.Context()),
		&p4v1.GetForwardingPipelineConfigRequest{
			DeviceId: rawDevice, ResponseType: p4v1.GetForwardingPipelineConfigRequest_COOKIE_ONLY,
		}))(t)
	return config.GetConfig().GetCookie().GetCookie()
}
