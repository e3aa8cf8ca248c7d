package differential

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// program is one that frames are sent through.
type program struct {
	name, json, info string
	ports            []uint32
	// skip leaves frames out that need not be answered alike: random numbers.
	skip func(data []byte) bool
}

var programs = []program{
	{"p4evpn", "../../p4/p4evpn.json", "../../p4/p4evpn.p4info.txtpb", []uint32{1, 2, 3, 4, 5}, nil},
	{"features", "../pipeline/testdata/features.json", "../pipeline/testdata/features.p4info.txtpb", []uint32{1, 2, 3, 4, 7, 9},
		func(data []byte) bool { return data[0] == 20 }},
	{"more", "../pipeline/testdata/more.json", "../pipeline/testdata/more.p4info.txtpb", []uint32{1, 2, 3, 4, 5, 6},
		func(data []byte) bool { return data[0] == 0x61 || data[0] == 0x66 }}, // queues; an assertion that ends BMv2
}

func (p *program) load(t testing.TB) (*p4v1.ForwardingPipelineConfig, *bmv2json.Program) {
	t.Helper()
	json, err := os.ReadFile(p.json)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.ReadFile(p.info)
	if err != nil {
		t.Fatal(err)
	}
	config := &p4v1.ForwardingPipelineConfig{P4Info: &p4configv1.P4Info{}, P4DeviceConfig: json}
	if err := prototext.Unmarshal(info, config.P4Info); err != nil {
		t.Fatal(err)
	}
	spec, err := bmv2json.Parse(json)
	if err != nil {
		t.Fatal(err)
	}
	return config, spec
}

const (
	window   = 16 // frames under way: an egress queue of BMv2 holds 64 and drops
	patience = 5 * time.Second
	quiet    = 150 * time.Millisecond
)

// TestRandomFramesLeaveBothSwitchesAlike is the short form; PACKETS in the
// environment sets the number of frames for each program, SEED the first of
// its seeds (make differential).
func TestRandomFramesLeaveBothSwitchesAlike(t *testing.T) {
	if _, err := exec.LookPath("simple_switch_grpc"); err != nil {
		t.Skip("SKIP: simple_switch_grpc is not on PATH")
	}
	packets, seed := setting(t, "PACKETS", 2000), setting(t, "SEED", 1)
	for i := range programs {
		p := &programs[i]
		t.Run(p.name, func(t *testing.T) {
			var said tally
			// New entries for each part, so that more of them are tried.
			for done := 0; done < packets && len(said.crashes) < maxCrashes; seed++ {
				n := min(2000, packets-done)
				p.compare(t, uint64(seed), n, &said)
				if done += n; t.Failed() {
					return
				}
			}
			said.close(t)
		})
	}
}

func setting(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s=%s: %v", name, text, err)
	}
	return n
}

// inputs are the entries and frames of one run.
type inputs struct {
	entities []*p4v1.Entity
	frames   []frame
	outs     []*p4v1.PacketOut
}

func (p *program) inputs(config *p4v1.ForwardingPipelineConfig, spec *bmv2json.Program, seed uint64, n int) *inputs {
	values := NewPool(rand.New(rand.NewPCG(seed, 99)), spec)
	in := &inputs{entities: values.config(config.P4Info, append([]uint32{cpuPort}, p.ports...))}
	g := NewGenerator(values, spec)
	for len(in.frames) < n {
		port := p.ports[values.rng.IntN(len(p.ports))]
		if data := g.Frame(port); p.skip == nil || !p.skip(data) {
			in.frames = append(in.frames, frame{Port: port, Data: data})
		}
	}
	for _, h := range config.P4Info.ControllerPacketMetadata {
		if h.Preamble.Name != "packet_out" {
			continue
		}
		for range n / 20 {
			out := &p4v1.PacketOut{Payload: g.Frame(cpuPort)}
			for _, m := range h.Metadata {
				v := values.value(int(m.Bitwidth))
				if m.Bitwidth == 9 {
					v = big.NewInt(int64(p.ports[values.rng.IntN(len(p.ports))]))
				}
				out.Metadata = append(out.Metadata, &p4v1.PacketMetadata{MetadataId: m.Id, Value: canonical(v)})
			}
			in.outs = append(in.outs, out)
		}
	}
	return in
}

func (p *program) compare(t *testing.T, seed uint64, n int, said *tally) {
	config, spec := p.load(t)
	in := p.inputs(config, spec, seed, n)
	bad := p.survive(t, config, in, window, false, said)
	if len(bad) == 0 || t.Failed() {
		return
	}
	// Once more, each by itself, to say which and why.
	again := &inputs{entities: in.entities}
	for _, w := range bad[:min(4, len(bad))] {
		again.frames = append(again.frames, in.frames[w:min(w+window, len(in.frames))]...)
	}
	p.survive(t, config, again, 1, true, said)
	if !t.Failed() {
		t.Errorf("seed %d: the frames from %v on differ, but not when they come alone", seed, bad)
	}
}

// run sends everything through both and returns where windows of frames
// differ, or, with blame, reports each; and the window in which BMv2 crashed, or -1.
func (p *program) run(t *testing.T, config *p4v1.ForwardingPipelineConfig, in *inputs, window int, blame bool,
	said *tally) (bad []int, crashed int) {
	own, other := startOurs(t, config, p.ports), startReference(t, config, p.ports)
	written := 0
	for _, e := range in.entities {
		theirs := other.write(e)
		err := own.write(e)
		if (err == nil) != (theirs == nil) {
			t.Errorf("writing %v: ours says %v, BMv2 %v", e, err, theirs)
		}
		if err == nil {
			written++
		}
	}
	if err := errors.Join(other.Exited(), other.Load(in.frames)); err != nil {
		t.Fatal(err)
	}
	left := 0
	for i := 0; i < len(in.frames); i += window {
		end := min(i+window, len(in.frames))
		var got []frame
		for _, f := range in.frames[i:end] {
			got = append(got, own.process(f.Port, f.Data)...)
		}
		left += len(got)
		if err := other.Release(end - i); err != nil {
			t.Fatal(err)
		}
		want := other.Receive(len(got), patience)
		if blame {
			want = append(want, other.Receive(1, quiet)...)
		}
		if same(got, want) {
			p.awaitPacketIns(own, other)
			continue
		}
		want = append(want, other.Receive(1<<20, quiet)...) // what belongs here
		if other.Crashed(quiet) {
			return bad, i
		}
		bad = append(bad, i)
		if blame {
			f := in.frames[i]
			t.Errorf("%x at port %d\nours: %s\nBMv2: %s\n%s", f.Data, f.Port, list(got), list(want),
				own.worker.Trace(f.Port, f.Data))
		}
		if err := other.Exited(); err != nil {
			t.Fatal(err)
		}
		if len(bad) == 20 {
			return bad, -1
		}
	}
	if late := other.Receive(1, quiet); len(late) > 0 {
		bad = append(bad, max(0, len(in.frames)-window))
	}
	if other.Crashed(0) {
		return bad, max(0, len(in.frames)-window)
	}
	if blame || len(bad) > 0 {
		return bad, -1
	}
	if !p.packetOuts(t, in, own, other) {
		said.crashes = append(said.crashes, frame{Port: cpuPort})
		return nil, -1
	}
	p.compareTold(t, config, own, other)
	t.Logf("%d of %d entries, %d frames in, %d out, %d packet-outs", written, len(in.entities), len(in.frames), left,
		len(in.outs))
	return nil, -1
}

// awaitPacketIns lets BMv2 tell as much as ours did: its queue to the controller
// drops too. What does not come in time is not waited for again.
func (p *program) awaitPacketIns(own *ours, other *reference) {
	for deadline := time.Now().Add(patience); !other.late &&
		other.numPacketIns() < own.punted; time.Sleep(time.Millisecond) {
		other.late = time.Now().After(deadline) || other.Exited() != nil
	}
}

// packetOuts sends the controller's packets, and reports whether BMv2 survived it.
func (p *program) packetOuts(t *testing.T, in *inputs, own *ours, other *reference) bool {
	for i := 0; i < len(in.outs); i += window {
		end := min(i+window, len(in.outs))
		var broken error
		for _, m := range in.outs[i:end] {
			request := &p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Packet{Packet: m}}
			own.send(t, request)
			if broken == nil {
				broken = other.stream.Send(request)
			}
		}
		got := own.awaitInjected(t, end)
		want := other.Receive(len(got), patience)
		switch alike := same(got, want); {
		case (broken != nil || !alike) && other.Crashed(patience):
			t.Logf("BMv2 crashed at one of these packet-outs, no more are sent: %v", in.outs[i:end])
			return false
		case broken != nil:
			t.Fatal(broken)
		case !alike:
			t.Errorf("packet-outs %v\nours: %s\nBMv2: %s", in.outs[i:end], list(got), list(want))
		}
	}
	return true
}

// compareTold compares what the controllers were told, once it has come.
func (p *program) compareTold(t *testing.T, config *p4v1.ForwardingPipelineConfig, own *ours, other *reference) {
	var ins, theirs, digests, others []string
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		ins, digests = own.told()
		theirs, others = other.told()
		slices.Sort(ins)
		slices.Sort(theirs)
		if slices.Equal(ins, theirs) && slices.Equal(digests, others) || time.Now().After(deadline) {
			break
		}
	}
	report(t, "packet-in", ins, theirs)
	report(t, "digest", digests, others)
	report(t, "counter", own.counters(t, config), other.counters(t, config))
	t.Logf("%d packet-ins, %d digests", len(ins), len(digests))
}

// report says what is only on one side.
func report(t *testing.T, what string, ours, theirs []string) {
	t.Helper()
	for i, lists := range [][2][]string{{ours, theirs}, {theirs, ours}} {
		shown := 0
		for _, x := range lists[0] {
			if !slices.Contains(lists[1], x) && shown < 5 {
				t.Errorf("%s of %s alone: %s", what, []string{"ours", "BMv2"}[i], x)
				shown++
			}
		}
	}
	if len(ours) != len(theirs) {
		t.Errorf("%d %ss of ours, %d of BMv2", len(ours), what, len(theirs))
	}
}

// same compares frames without their order: BMv2 has none between ports.
func same(a, b []frame) bool {
	order := func(x, y frame) int { return cmp.Or(cmp.Compare(x.Port, y.Port), bytes.Compare(x.Data, y.Data)) }
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, order)
	slices.SortFunc(b, order)
	return slices.EqualFunc(a, b, func(x, y frame) bool { return order(x, y) == 0 })
}

func list(frames []frame) string {
	out := ""
	for _, f := range frames {
		out += fmt.Sprintf("\n  port %d: %x", f.Port, f.Data)
	}
	return out
}
