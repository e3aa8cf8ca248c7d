package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/p4evpn/p4evpn/softswitch/bmv2"
)

const (
	// patience is how long BMv2 may take for what is expected of it, quiet how
	// long it must then send nothing more.
	patience = 5 * time.Second
	quiet    = 200 * time.Millisecond
	// window is how many frames may be under way: an egress queue holds 64.
	window = 8
)

// theirs runs a script on simple_switch.
type theirs struct {
	names   *program
	sw      *bmv2.Switch
	cli     *bmv2.Client
	handles map[string]string // of labelled entries
	outcome
}

// runBMv2 runs a script on simple_switch; sent is how many frames had left ours
// after each step, which says what to wait for.
func runBMv2(ctx context.Context, jsonPath string, names *program, s *script, sent []int) (map[uint32][]string, error) {
	frames, err := s.frames()
	if err != nil {
		return nil, err
	}
	t, err := startBMv2(ctx, jsonPath, names, s.ports, frames)
	if err != nil {
		return nil, err
	}
	defer t.close()
	var failed error // the first check that failed: what leaves is of interest still
	steps := 0
	expected := func() int {
		if steps == 0 || steps > len(sent) {
			return 0
		}
		return sent[steps-1]
	}
	for _, ph := range s.phases {
		t.settle(expected(), s.ports)
		for _, c := range ph.configure {
			if err := t.configure(c); err != nil {
				return t.out, fmt.Errorf("line %d: %s: %w", c.line, c.text, err)
			}
		}
		for _, c := range ph.steps {
			if c.verb == "check_counter" || steps%window == 0 {
				t.settle(expected(), s.ports)
			}
			if err := t.step(c); err != nil && failed == nil {
				failed = fmt.Errorf("line %d: %s: %w", c.line, c.text, err)
			}
			steps++
		}
	}
	t.settle(expected(), s.ports)
	t.receive(1<<20, quiet)
	return t.out, errors.Join(failed, t.sw.Exited())
}

// startBMv2 starts simple_switch with the frames that will be sent.
func startBMv2(ctx context.Context, jsonPath string, names *program, ports []uint32,
	frames []bmv2.Frame) (*theirs, error) {
	sw, err := bmv2.Start(ctx, bmv2.Config{Binary: "simple_switch", JSON: jsonPath, Ports: ports})
	if err != nil {
		return nil, err
	}
	cli, err := sw.Client(ctx)
	if err == nil && frames != nil { // else they come later
		err = sw.Load(frames)
	}
	if err != nil {
		sw.Close()
		return nil, err
	}
	return &theirs{names: names, sw: sw, cli: cli, handles: map[string]string{},
		outcome: outcome{out: map[uint32][]string{}}}, nil
}

func (t *theirs) close() {
	t.cli.Close()
	t.sw.Close()
}

func (t *theirs) receive(n int, wait time.Duration) {
	for _, f := range t.sw.Receive(n, wait) {
		t.out[f.Port] = append(t.out[f.Port], fmt.Sprintf("%x", f.Data))
	}
}

// settle waits until so many frames have come.
func (t *theirs) settle(expected int, ports []uint32) {
	if missing := expected - t.count(ports); missing > 0 {
		t.receive(missing, patience)
	}
}

// step sends a frame or checks a counter. A frame that the script does not
// expect anywhere cannot be waited for, so a counter has time to become right.
func (t *theirs) step(c command) error {
	if c.verb == "packet" {
		return t.sw.Release(1)
	}
	check, err := parseCheck(c.text)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(quiet) {
		packets, bytes, err := t.counter(check)
		if err != nil {
			return err
		}
		if err = check.holds(packets, bytes); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// counter reads the cell that a check names.
func (t *theirs) counter(c *check) (packets, bytes uint64, err error) {
	name, err := t.names.counter(c.name)
	if err != nil {
		return 0, 0, err
	}
	index := c.index
	if label, ok := strings.CutPrefix(index, "$"); ok {
		index = t.handles[label]
	}
	text, err := t.cli.Do("counter_read " + name + " " + index)
	if err != nil {
		return 0, 0, err
	}
	m := readingRE.FindStringSubmatch(text)
	if m == nil {
		return 0, 0, fmt.Errorf("simple_switch_CLI says %q", text)
	}
	return mustUint(m[2]), mustUint(m[1]), nil
}

// What the client prints.
var (
	readingRE = regexp.MustCompile(`\(\s*(\d+) bytes, (\d+) packets\)`)
	handleRE  = regexp.MustCompile(`added with handle (\d+)`)
)

func (s *script) frames() ([]bmv2.Frame, error) {
	var out []bmv2.Frame
	for _, ph := range s.phases {
		for _, c := range ph.steps {
			if c.verb != "packet" {
				continue
			}
			data, err := c.data()
			if err != nil {
				return nil, err
			}
			out = append(out, bmv2.Frame{Port: c.portNumber(), Data: data})
		}
	}
	return out, nil
}

func (t *theirs) configure(c command) error {
	text, label := c.text, ""
	if c.verb == "add" || c.verb == "setdefault" {
		parsed, err := parseCall(c.text)
		if err != nil {
			return err
		}
		e, err := t.names.resolve(parsed)
		if err != nil {
			return err
		}
		text, label = e.bmv2(c.verb), e.label
	}
	answer, err := t.cli.Do(text)
	if m := handleRE.FindStringSubmatch(answer); m != nil && label != "" {
		t.handles[label] = m[1]
	}
	return err
}

// bmv2 is the entry as a command of simple_switch_CLI, where the lowest
// priority wins.
func (e *entry) bmv2(verb string) string {
	args := strings.Join(e.args, " ")
	if verb == "setdefault" {
		return fmt.Sprintf("table_set_default %s %s %s", e.table, e.action, args)
	}
	text := fmt.Sprintf("table_add %s %s %s => %s", e.table, e.action, strings.Join(e.keys, " "), args)
	if e.ternary {
		text += fmt.Sprintf(" %d", 10000-e.priority)
	}
	return text
}
