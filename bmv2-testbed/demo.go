package testbed

import (
	"cmp"
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
	Binary string    // path of p4evpn; empty: the one beside this program, else on PATH
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

// RunDemo builds the demo's networks, runs their checks and removes everything,
// also when ctx ends first. The error says which checks failed, or what kept
// the demo from running; the last line written is "demo: N of M checks passed".
func RunDemo(ctx context.Context, o DemoOptions) error {
	o, err := o.prepare()
	if err != nil {
		return err
	}
	if err := needs(o.Target); err != nil {
		return err
	}
	checks := len(selected(demoChecks, o.Only)) + len(selected(routedChecks, o.Only))
	return o.narrate(ctx, "demo", checks, func(s *score) error {
		err := runChecks(ctx, o, s, "demo", demoChecks, buildDemo)
		if err == nil && ctx.Err() == nil {
			err = runChecks(ctx, o, s, "routed", routedChecks, buildRouted)
		}
		return err
	})
}

// narrate runs so many checks under a name.
func (o DemoOptions) narrate(ctx context.Context, name string, checks int, run func(*score) error) (err error) {
	s := &score{of: checks}
	if s.of == 0 {
		return fmt.Errorf("no check's name contains %q", o.Only)
	}
	defer func() {
		err = errors.Join(err, s.close())
		_, _ = fmt.Fprintf(o.Out, "%s: %d of %d checks passed\n", name, s.passed, s.of)
	}()
	if err = run(s); err != nil {
		return err
	}
	if o.Keep {
		o.say("Left in place until Ctrl-C; namespaces: ip netns list | grep %s%d-, logs: %s",
			labPrefix, os.Getpid(), strings.Join(s.folders(), ", "))
		<-ctx.Done()
	}
	if len(s.failed) > 0 {
		err = fmt.Errorf("%d checks failed: %s", len(s.failed), strings.Join(s.failed, "; "))
	}
	return err
}

// score is how far the demo is, and what it has to remove.
type score struct {
	done, passed, of int
	failed           []string
	labs             []*Lab
}

func (s *score) close() error {
	var errs []error
	for _, l := range s.labs {
		if err := l.Close(); err != nil {
			errs = append(errs, fmt.Errorf("clean up: %w", err))
		}
	}
	s.labs = nil
	return errors.Join(errs...)
}

func (s *score) folders() (list []string) {
	for _, l := range s.labs {
		list = append(list, l.Dir)
	}
	return list
}

// network is what checks look at; end shows what a user sees of it.
type network interface{ end(ctx context.Context) }

// runChecks builds a network and runs those of its checks that are wanted; the
// network is removed afterwards unless it is to be kept.
func runChecks[N network](
	ctx context.Context, o DemoOptions, s *score, name string, checks []claim[N],
	build func(context.Context, *Lab, DemoOptions) (N, error),
) error {
	if checks = selected(checks, o.Only); len(checks) == 0 {
		return nil
	}
	lab, err := NewLab()
	if err != nil {
		return err
	}
	s.labs = append(s.labs, lab)
	start := time.Now()
	n, err := build(ctx, lab, o)
	if err != nil {
		showLogs(o.Out, lab)
		return fmt.Errorf("build the %s network: %w", name, err)
	}
	o.say("The network is up after %.1f s.", time.Since(start).Seconds())
	before := len(s.failed)
	for _, c := range checks {
		s.done++
		start := time.Now()
		notes, err := c.run(ctx, n)
		if s.tell(o, c.name, notes, err, time.Since(start)); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	n.end(ctx)
	if len(s.failed) > before {
		showLogs(o.Out, lab)
	}
	if o.Keep {
		return nil
	}
	return s.close()
}

// tell notes how a check went, and says so.
func (s *score) tell(o DemoOptions, name, notes string, err error, took time.Duration) {
	result := "ok  "
	if err == nil {
		s.passed++
	} else {
		result = "FAIL"
		s.failed = append(s.failed, name)
	}
	o.say("%s %2d/%d %s (%.1f s)", result, s.done, s.of, name, took.Seconds())
	if notes != "" {
		o.say("          %s", notes)
	}
	if err != nil {
		o.say("          %v", err)
	}
}

// prepare gives sound options, with the program to show.
func (o DemoOptions) prepare() (DemoOptions, error) {
	o = o.withDefaults()
	err := o.check()
	if err == nil {
		o.Binary, err = findBinary(o.Binary)
	}
	return o, err
}

func (o DemoOptions) withDefaults() DemoOptions {
	if o.Out == nil {
		o.Out = os.Stdout
	}
	o.Target = cmp.Or(o.Target, Embedded)
	return o
}

func (o DemoOptions) check() error {
	if o.Target != Embedded && o.Target != BMv2 {
		return fmt.Errorf("target %q: want %s or %s", o.Target, Embedded, BMv2)
	}
	return nil
}

// findBinary gives the absolute path of the p4evpn program: named, or beside the
// running program, or on PATH.
func findBinary(named string) (string, error) {
	const name = "p4evpn"
	if named != "" {
		found, err := exec.LookPath(named)
		if err != nil {
			return "", fmt.Errorf("the p4evpn program to show: %w", err)
		}
		return filepath.Abs(found)
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program's own file: %w", err)
	}
	for _, place := range []string{filepath.Join(filepath.Dir(self), name), name} {
		if found, err := exec.LookPath(place); err == nil {
			return filepath.Abs(found)
		}
	}
	return "", fmt.Errorf("there is no p4evpn in %s nor on PATH: build it there (make build), or name it by --binary",
		filepath.Dir(self))
}

// needs says what is missing to run the demo.
func needs(target string) error {
	if os.Geteuid() != 0 {
		return errors.New("the demo needs root, for network namespaces: sudo p4evpn-demo")
	}
	programs := map[string]string{
		"ip": "iproute2", "ping": "iputils-ping", "vtysh": "frr", filepath.Join(frrDaemons, "bgpd"): "frr",
	}
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
	return fmt.Errorf("the demo needs %s: apt-get install --no-install-recommends iproute2 iputils-ping frr",
		strings.Join(names, ", "))
}

// end lets all hosts be learned again, and shows them.
func (d *demo) end(ctx context.Context) {
	d.wake(ctx)
	d.options.view(ctx, d.gateway,
		[]string{"neighbors"}, []string{"bridges"}, []string{"vteps"}, []string{"fdb"}, []string{"routes"},
		[]string{"entries", "bridge.fdb"}, []string{"entries", "multicast_group"})
}

func (r *routed) end(ctx context.Context) {
	r.options.view(ctx, r.gateway, []string{"vrfs"}, []string{"svis"}, []string{"hosts"},
		[]string{"prefixes", "tenant"}, []string{"entries", "router.ipv4"})
}

// wake lets all hosts be learned again, for a view with something in it.
func (d *demo) wake(ctx context.Context) {
	for _, h := range d.hosts() {
		_ = d.known(ctx, h) // the view shows what there is
	}
}

const viewLines = 16

// view prints what a user sees of a gateway.
func (o DemoOptions) view(ctx context.Context, g *Gateway, commands ...[]string) {
	for _, args := range commands {
		out, err := g.Show(ctx, args...)
		if err != nil {
			out = err.Error()
		}
		lines := strings.Split(out, "\n")
		if len(lines) > viewLines {
			lines = append(lines[:viewLines:viewLines], fmt.Sprintf("... %d more", len(lines)-viewLines))
		}
		o.say("\n$ p4evpn show %s\n%s", strings.Join(args, " "), strings.Join(lines, "\n"))
	}
	o.say("")
}

func (o DemoOptions) say(format string, args ...any) {
	_, _ = fmt.Fprintf(o.Out, format+"\n", args...)
}

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
