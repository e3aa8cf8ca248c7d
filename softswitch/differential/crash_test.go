package differential

import (
	"bytes"
	"os/exec"
	"slices"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
)

// BMv2 itself may end by a signal at some frames. They are told, and a fresh BMv2
// with the same entries goes on with the next.

// maxCrashes bounds how many for a program: each takes seconds.
const maxCrashes = 20

// tally is what was compared of one program.
type tally struct {
	compared int     // frames
	crashes  []frame // that crashed BMv2
	passed   int     // frames of windows with a crash that none of them repeats alone
}

// close says how much a comparison is worth.
func (s *tally) close(t *testing.T) {
	t.Helper()
	t.Logf("%d frames compared, %d crashed BMv2, %d passed over", s.compared, len(s.crashes), s.passed)
	switch {
	case s.compared == 0:
		t.Error("BMv2 crashed before any frame could be compared")
	case len(s.crashes) >= maxCrashes:
		t.Skipf("SKIP: BMv2 crashed at %d frames; the %d others so far are answered alike", len(s.crashes), s.compared)
	}
}

// survive is run for all frames whatever BMv2 does. What registers, counters and
// reports hold is compared where it did not crash.
func (p *program) survive(t *testing.T, config *p4v1.ForwardingPipelineConfig, in *inputs, window int, blame bool,
	said *tally) (bad []int) {
	for from := 0; ; {
		rest := &inputs{in.entities, in.frames[from:], in.outs}
		differ, crashed := p.run(t, config, rest, window, blame, said)
		for _, i := range differ {
			bad = append(bad, from+i)
		}
		if crashed < 0 {
			said.compared += len(rest.frames)
			return bad
		}
		// It may be one of the window before, from which nothing was to come.
		first, end := max(0, crashed-window), min(crashed+window, len(rest.frames))
		compared, next := crashed, end
		if at := p.culprit(t, config, in.entities, rest.frames[first:end]); at >= 0 {
			at += first
			f := rest.frames[at]
			t.Logf("BMv2 crashed at port %d: %x", f.Port, f.Data)
			said.crashes = append(said.crashes, f)
			in.frames = slices.Concat(in.frames[:from+at], in.frames[from+at+1:])
			if at < crashed {
				compared--
			}
			next = compared
		} else {
			t.Logf("BMv2 crashed, and not again when each frame comes alone, at these:%s", list(rest.frames[first:end]))
			said.crashes = append(said.crashes, rest.frames[crashed])
			said.passed += end - crashed
		}
		said.compared += compared
		if from += next; from >= len(in.frames) || len(said.crashes) >= maxCrashes {
			return bad
		}
	}
}

// culprit sends frames one by one through a fresh BMv2 and returns which crashes
// it, or -1.
func (p *program) culprit(t *testing.T, config *p4v1.ForwardingPipelineConfig, entities []*p4v1.Entity,
	frames []frame) int {
	other := startReference(t, config, p.ports)
	for _, e := range entities {
		_ = other.write(e) // run compares what it says
	}
	i, err := other.Blame(frames, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// An assertion of the program ends BMv2 at this frame.
var assertion = frame{Port: 1, Data: append([]byte{0x66}, make([]byte, 59)...)}

func TestACrashOfBMv2IsToldWithItsFrameAndTheRestIsCompared(t *testing.T) {
	if _, err := exec.LookPath("simple_switch_grpc"); err != nil {
		t.Skip("SKIP: simple_switch_grpc is not on PATH")
	}
	p := &programs[2]
	config, spec := p.load(t)
	in := p.inputs(config, spec, 1, 100)
	in.frames[20], in.frames[21], in.frames[99] = assertion, assertion, assertion
	var said tally
	if bad := p.survive(t, config, in, window, false, &said); len(bad) > 0 {
		t.Errorf("frames differ at %v", bad)
	}
	for _, f := range said.crashes {
		if f.Port != assertion.Port || !bytes.Equal(f.Data, assertion.Data) {
			t.Errorf("told of port %d: %x", f.Port, f.Data)
		}
	}
	if len(said.crashes) != 3 || said.compared != 97 || said.passed != 0 {
		t.Errorf("%d crashes, %d frames compared, %d passed over", len(said.crashes), said.compared, said.passed)
	}
}
