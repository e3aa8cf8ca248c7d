package main

import (
	"context"
	"fmt"
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

// runBMv2 runs a script on simple_switch; expected is how many frames ours
// sent, which says how long to wait.
func runBMv2(ctx context.Context, jsonPath string, names *program, s *script, expected int) (map[uint32][]string, error) {
	sw, err := bmv2.Start(ctx, bmv2.Config{Binary: "simple_switch", JSON: jsonPath, Ports: s.ports})
	if err != nil {
		return nil, err
	}
	defer sw.Close()
	cli, err := sw.Client(ctx)
	if err != nil {
		return nil, err
	}
	defer cli.Close()
	frames, err := s.frames()
	if err != nil {
		return nil, err
	}
	if err := sw.Load(frames); err != nil {
		return nil, err
	}
	out := map[uint32][]string{}
	receive := func(n int, wait time.Duration) int {
		got := sw.Receive(n, wait)
		for _, f := range got {
			out[f.Port] = append(out[f.Port], fmt.Sprintf("%x", f.Data))
		}
		return len(got)
	}
	for _, ph := range s.phases {
		for _, c := range ph.configure {
			if err := bmv2Configure(cli, names, c); err != nil {
				return out, fmt.Errorf("line %d: %s: %w", c.line, c.text, err)
			}
		}
		packets := 0
		for _, c := range ph.steps {
			if c.verb != "packet" {
				continue
			}
			if err := sw.Release(1); err != nil {
				return out, err
			}
			if packets++; packets%window == 0 {
				receive(1, quiet/4)
			}
		}
		if len(s.phases) > 1 {
			receive(1<<20, quiet)
		}
	}
	got := 0
	for _, list := range out {
		got += len(list)
	}
	if got < expected {
		receive(expected-got, patience)
	}
	receive(1<<20, quiet)
	return out, sw.Exited()
}

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

func bmv2Configure(cli *bmv2.Client, names *program, c command) error {
	text := c.text
	if c.verb == "add" || c.verb == "setdefault" {
		parsed, err := parseCall(c.text)
		if err != nil {
			return err
		}
		e, err := names.resolve(parsed)
		if err != nil {
			return err
		}
		text = e.bmv2(c.verb)
	}
	_, err := cli.Do(text)
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
