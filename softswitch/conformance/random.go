package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/p4evpn/p4evpn/softswitch/bmv2"
	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
	"github.com/p4evpn/p4evpn/softswitch/differential"
)

// compareRandom sends n frames through both switches with the script's entries:
// random ones, and the script's with damage. The error counts those that are
// answered differently and shows the first. Many of p4c's programs read fields
// of invalid headers or loop without end, where that is no fault.
func compareRandom(ctx context.Context, json []byte, jsonPath string, names *program, s *script, n int) error {
	spec, err := bmv2json.Parse(json)
	if err != nil || len(s.ports) == 0 || len(spec.Parsers) == 0 || spec.Parsers[0].InitState == "" {
		return err
	}
	frames, err := randomFrames(spec, s, n)
	if err != nil {
		return err
	}
	own, err := newOurs(json, names)
	if err != nil {
		return err
	}
	other, err := startBMv2(ctx, jsonPath, names, s.ports, frames)
	if err != nil {
		return err
	}
	defer other.close()
	for _, ph := range s.phases {
		for _, c := range ph.configure { // what one refuses the script's own run tells
			_ = own.configure(c)
			_ = other.configure(c)
		}
	}
	different, first := 0, ""
	for i, f := range frames {
		got := own.carry(f, s.ports)
		if err := other.sw.Release(1); err != nil {
			return err
		}
		want := other.sw.Receive(len(got), patience)
		if i%16 == 15 { // what nobody expects
			want = append(want, other.sw.Receive(1, quiet/20)...)
		}
		if sameFrames(got, want) {
			continue
		}
		if different++; first == "" {
			first = fmt.Sprintf("%x at port %d: ours %s, BMv2 %s", f.Data, f.Port, frameTexts(got), frameTexts(want))
		}
		other.sw.Receive(1<<20, quiet/4)
		if different == 8 || other.sw.Exited() != nil || ctx.Err() != nil {
			break
		}
	}
	if different == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d random frames are answered differently, such as %s", different, n, first)
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

// sameFrames compares without the order, which BMv2 has not between ports.
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
