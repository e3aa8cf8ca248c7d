package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// DemoOptions of RunDemo.
type DemoOptions struct {
	Target string    // Embedded or BMv2; empty: Embedded
	Binary string    // path of p4evpn; empty: the running program
	Out    io.Writer // narration; nil: standard output
	// Keep leaves everything in place until ctx ends, to look around.
	Keep bool
	Only string // run only checks whose name contains this

	ownSwitch bool     // `p4evpn run` starts the switch
	sessions  sessions // zero: eBGP between the addresses of the links
}

// sessions are the kinds of BGP sessions that a test wants.
type sessions struct {
	ibgp      bool   // one AS for all
	loopbacks bool   // between the VTEP addresses, multihop
	password  string // TCP MD5
}

// RunDemo builds the demo's topology, runs its checks and removes everything,
// also when ctx ends first. The error says which checks failed, or what kept
// the demo from running; the last line written is "demo: N of M checks passed".
func RunDemo(ctx context.Context, o DemoOptions) (err error) {
	if err := o.complete(); err != nil {
		return err
	}
	if err := needs(o.Target); err != nil {
		return err
	}
	passed, checks := 0, selected(o.Only)
	if len(checks) == 0 {
		return fmt.Errorf("no check's name contains %q", o.Only)
	}
	lab, err := NewLab()
	if err != nil {
		return err
	}
	defer func() {
		if closing := lab.Close(); closing != nil {
			err = errors.Join(err, fmt.Errorf("clean up: %w", closing))
		}
		_, _ = fmt.Fprintf(o.Out, "demo: %d of %d checks passed\n", passed, len(checks))
	}()

	start := time.Now()
	d, err := buildDemo(ctx, lab, o)
	if err != nil {
		showLogs(o.Out, lab)
		return fmt.Errorf("build the demo's network: %w", err)
	}
	d.say("The network is up after %.1f s.", time.Since(start).Seconds())
	var failed []string
	for i, c := range checks {
		if err := d.check(ctx, i+1, len(checks), c); err != nil {
			failed = append(failed, c.name)
		} else {
			passed++
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	d.wake(ctx)
	d.view(ctx)
	if len(failed) > 0 {
		showLogs(o.Out, lab)
		err = fmt.Errorf("%d checks failed: %s", len(failed), strings.Join(failed, "; "))
	}
	if o.Keep {
		d.say("Left in place until Ctrl-C; namespaces: ip netns list | grep %s, logs: %s", lab.prefix, lab.Dir)
		<-ctx.Done()
	}
	return err
}

func (o *DemoOptions) complete() (err error) {
	if o.Out == nil {
		o.Out = os.Stdout
	}
	switch o.Target {
	case "":
		o.Target = Embedded
	case Embedded, BMv2:
	default:
		return fmt.Errorf("target %q: want %s or %s", o.Target, Embedded, BMv2)
	}
	if o.Binary == "" {
		o.Binary, err = os.Executable()
	}
	return err
}

// needs says what is missing to run the demo.
func needs(target string) error {
	if os.Geteuid() != 0 {
		return errors.New("the demo needs root, for network namespaces: sudo p4evpn demo")
	}
	programs := map[string]string{"ip": "iproute2", "ping": "iputils-ping", "vtysh": "frr", filepath.Join(frrDaemons, "bgpd"): "frr"}
	if target == BMv2 {
		programs["simple_switch_grpc"] = "BMv2 (see README.md)"
		programs["simple_switch_CLI"] = "BMv2 (see README.md)"
	}
	missing := map[string]bool{}
	for program, pkg := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing[pkg] = true
		}
	}
	if len(missing) == 0 {
		return nil
	}
	var names []string
	for name := range missing {
		names = append(names, name)
	}
	return fmt.Errorf("the demo needs %s: apt-get install --no-install-recommends iproute2 iputils-ping frr", strings.Join(names, ", "))
}

// check runs one check and says how it went.
func (d *demo) check(ctx context.Context, n, of int, c demoCheck) error {
	start := time.Now()
	notes, err := c.run(ctx, d)
	result := "ok  "
	if err != nil {
		result = "FAIL"
	}
	d.say("%s %2d/%d %s (%.1f s)", result, n, of, c.name, time.Since(start).Seconds())
	if notes != "" {
		d.say("          %s", notes)
	}
	if err != nil {
		d.say("          %v", err)
	}
	return err
}

// wake lets all hosts be learned again, for a view with something in it.
func (d *demo) wake(ctx context.Context) {
	for _, h := range d.hosts() {
		if h.Announce() == nil {
			bridge, vni, vtep := d.whereabouts(h)
			_ = d.knownIn(ctx, bridge, vni, h.MAC, vtep) // the view shows what there is
		}
	}
}

const viewLines = 16

// view prints what a user sees of the gateway.
func (d *demo) view(ctx context.Context) {
	for _, args := range [][]string{{"neighbors"}, {"bridges"}, {"vteps"}, {"fdb"}, {"routes"}, {"entries", "bridge.fdb"}, {"entries", "multicast_group"}} {
		out, err := d.gateway.Show(ctx, args...)
		if err != nil {
			out = err.Error()
		}
		lines := strings.Split(out, "\n")
		if len(lines) > viewLines {
			lines = append(lines[:viewLines:viewLines], fmt.Sprintf("... %d more", len(lines)-viewLines))
		}
		d.say("\n$ p4evpn show %s\n%s", strings.Join(args, " "), strings.Join(lines, "\n"))
	}
	d.say("")
}

func (d *demo) say(format string, args ...any) { _, _ = fmt.Fprintf(d.out, format+"\n", args...) }

// showLogs prints the ends of all logs after a failure.
func showLogs(out io.Writer, l *Lab) {
	logs, _ := filepath.Glob(filepath.Join(l.Dir, "*.log"))
	for _, path := range logs {
		p := Process{Log: path}
		if tail := p.Tail(3000); tail != "" {
			_, _ = fmt.Fprintf(out, "--- %s\n%s\n", filepath.Base(path), tail)
		}
	}
}
