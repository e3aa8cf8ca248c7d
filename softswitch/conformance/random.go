package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/p4evpn/p4evpn/softswitch/bmv2"
	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
	"github.com/p4evpn/p4evpn/softswitch/differential"
)

// comparison of random frames.
type comparison struct {
	json     []byte
	jsonPath string
	names    *program
	script   *script

	compared  int
	different int
	first     string // of those
	crashed   []bmv2.Frame
}

// maxCrashes and maxDifferences end a comparison: more say nothing new.
const (
	maxCrashes     = 5
	maxDifferences = 8
)

// compareRandom sends n frames through both switches with the script's entries:
// random ones, and the script's with damage. The error counts those that are
// answered differently and shows the first. Many of p4c's programs read fields
// of invalid headers or loop without end, where that is no fault. A frame that
// crashes BMv2 is returned, and a fresh one goes on with the next.
func compareRandom(ctx context.Context, json []byte, jsonPath string, names *program, s *script,
	n int) ([]bmv2.Frame, error) {
	spec, err := bmv2json.Parse(json)
	if err != nil || len(s.ports) == 0 || len(spec.Parsers) == 0 || spec.Parsers[0].InitState == "" {
		return nil, err
	}
	frames, err := randomFrames(spec, s, n)
	if err != nil {
		return nil, err
	}
	c := &comparison{json: json, jsonPath: jsonPath, names: names, script: s}
	for len(frames) > 0 && len(c.crashed) < maxCrashes && c.different < maxDifferences {
		if frames, err = c.run(ctx, frames); err != nil {
			return c.crashed, err
		}
	}
	switch {
	case c.compared == 0:
		return c.crashed, errors.New("BMv2 crashed before any random frame could be compared")
	case c.different > 0:
		return c.crashed, fmt.Errorf("%d of %d random frames are answered differently, such as %s", c.different, n, c.first)
	}
	return c.crashed, nil
}

// start gives a BMv2 with the script's entries.
func (c *comparison) start(ctx context.Context, frames []bmv2.Frame, own *ours) (*theirs, error) {
	other, err := startBMv2(ctx, c.jsonPath, c.names, c.script.ports, frames)
	if err != nil {
		return nil, err
	}
	for _, ph := range c.script.phases {
		for _, line := range ph.configure { // what one refuses the script's own run tells
			if own != nil {
				_ = own.configure(line)
			}
			_ = other.configure(line)
		}
	}
	return other, nil
}

// run sends frames through fresh switches, and returns what is left of them when
// BMv2 crashed.
func (c *comparison) run(ctx context.Context, frames []bmv2.Frame) ([]bmv2.Frame, error) {
	own, err := newOurs(c.json, c.names)
	if err != nil {
		return nil, err
	}
	other, err := c.start(ctx, frames, own)
	if err != nil {
		return nil, err
	}
	defer other.close()
	for i, f := range frames {
		got := own.carry(f, c.script.ports)
		if err := other.sw.Release(1); err != nil {
			return nil, err
		}
		want := other.sw.Receive(len(got), patience)
		last := i == len(frames)-1
		if i%late == late-1 || last { // what nobody expects
			want = append(want, other.sw.Receive(1, quiet/20)...)
		}
		if same := sameFrames(got, want); same && !last {
			continue
		} else if other.sw.Crashed(quiet / 4) {
			return c.blame(ctx, frames, i)
		} else if same {
			break
		}
		if c.different++; c.first == "" {
			c.first = fmt.Sprintf("%x at port %d: ours %s, BMv2 %s", f.Data, f.Port, frameTexts(got), frameTexts(want))
		}
		other.sw.Receive(1<<20, quiet/4)
		if c.different == maxDifferences || ctx.Err() != nil {
			break
		}
	}
	c.compared += len(frames)
	return nil, other.sw.Exited()
}

// late is how many frames may go in before BMv2 is seen to have crashed.
const late = 16

// blame finds which of the last frames up to the one at an index crashed BMv2, and
// returns those that come after that index.
func (c *comparison) blame(ctx context.Context, frames []bmv2.Frame, at int) ([]bmv2.Frame, error) {
	suspects := frames[max(0, at+1-late) : at+1]
	other, err := c.start(ctx, nil, nil)
	if err != nil {
		return nil, err
	}
	defer other.close()
	i, err := other.sw.Blame(suspects, quiet)
	if err != nil {
		return nil, err
	}
	if i < 0 {
		i = len(suspects) - 1 // it takes more than one
	}
	c.crashed = append(c.crashed, suspects[i])
	c.compared += at
	return frames[at+1:], nil
}

func randomFrames(spec *bmv2json.Program, s *script, n int) ([]bmv2.Frame, error) {
	rng := rand.New(rand.NewPCG(3, 4))
	g := differential.NewGenerator(differential.NewPool(rng, spec), spec)
	own, err := s.frames()
	if err != nil {
		return nil, err
	}
	var frames []bmv2.Frame
	for i := range n {
		if i%2 == 0 || len(own) == 0 {
			port := s.ports[rng.IntN(len(s.ports))]
			frames = append(frames, bmv2.Frame{Port: port, Data: g.Frame(port)})
			continue
		}
		f := own[rng.IntN(len(own))]
		f.Data = slices.Clone(f.Data)
		for rng.IntN(2) == 0 && len(f.Data) > 0 {
			f.Data[rng.IntN(len(f.Data))] ^= byte(1 << rng.IntN(8))
		}
		if len(f.Data) == 0 {
			f.Data = []byte{0}
		}
		frames = append(frames, f)
	}
	return frames, nil
}

// carry runs a frame and returns what leaves by the ports that the switch has.
func (o *ours) carry(f bmv2.Frame, ports []uint32) []bmv2.Frame {
	o.w.Reset()
	o.w.Process(f.Port, f.Data)
	var out []bmv2.Frame
	for _, p := range o.w.Out {
		if slices.Contains(ports, p.Port) {
			out = append(out, bmv2.Frame{Port: p.Port, Data: slices.Clone(p.Data)})
		}
	}
	return out
}

// sameFrames reports whether two lists hold the same frames: in any order, which BMv2
// has not between ports.
func sameFrames(a, b []bmv2.Frame) bool {
	order := func(x, y bmv2.Frame) int {
		return cmp.Or(cmp.Compare(x.Port, y.Port), bytes.Compare(x.Data, y.Data))
	}
	slices.SortFunc(a, order)
	slices.SortFunc(b, order)
	return slices.EqualFunc(a, b, func(x, y bmv2.Frame) bool { return order(x, y) == 0 })
}

func frameTexts(frames []bmv2.Frame) string {
	if len(frames) == 0 {
		return "nothing"
	}
	text := ""
	for _, f := range frames {
		text += fmt.Sprintf(" %d:%x", f.Port, f.Data)
	}
	return text[1:]
}
