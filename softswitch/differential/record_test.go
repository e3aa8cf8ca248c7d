package differential

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
)

// recording is a run in which BMv2 did what it says.
type recording struct {
	Program  string          `json:"program"`
	Entities []string        `json:"entities"` // P4Runtime entities
	Frames   []recordedFrame `json:"frames"`
	Digests  []string        `json:"digests"`
	Packets  []string        `json:"packet_ins"`
}

type recordedFrame struct {
	Port uint32     `json:"port"`
	In   string     `json:"in"`
	Out  []outFrame `json:"out,omitempty"`
}

type outFrame struct {
	Port uint32 `json:"port"`
	Data string `json:"data"`
}

func recordingFile(name string) string { return filepath.Join("testdata", name+".json") }

// TestRecordedRunsComeOutAsOnBMv2 repeats the runs in testdata on our switch.
// RECORD=1 in the environment makes them anew, with BMv2.
func TestRecordedRunsComeOutAsOnBMv2(t *testing.T) {
	for i := range programs {
		p := &programs[i]
		t.Run(p.name, func(t *testing.T) {
			if os.Getenv("RECORD") != "" {
				p.record(t)
			}
			var r recording
			data, err := os.ReadFile(recordingFile(p.name))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &r); err != nil {
				t.Fatal(err)
			}
			p.repeat(t, &r)
		})
	}
}

func (p *program) record(t *testing.T) {
	if _, err := exec.LookPath("simple_switch_grpc"); err != nil {
		t.Fatalf("a recording needs BMv2: %v", err)
	}
	const frames, shortest, seed = 250, 256, 7
	config, spec := p.load(t)
	in := p.inputs(config, spec, seed, 2*frames)
	in.outs = nil
	in.frames = slices.DeleteFunc(in.frames, func(f frame) bool { return len(f.Data) > shortest })[:frames]
	if bad, crashed := p.run(t, config, in, 1, false, new(tally)); len(bad) > 0 || crashed >= 0 || t.Failed() {
		t.Fatalf("the switches differ at %v, BMv2 crashed at %d", bad, crashed)
	}
	// They are alike: what ours does is what BMv2 did.
	r := recording{Program: p.name}
	own := startOurs(t, config, p.ports)
	for _, e := range in.entities {
		if own.write(e) != nil {
			continue
		}
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		r.Entities = append(r.Entities, hex.EncodeToString(b))
	}
	for _, f := range in.frames {
		r.Frames = append(r.Frames, recordedFrame{f.Port, hex.EncodeToString(f.Data), outFrames(own.process(f.Port, f.Data))})
	}
	time.Sleep(time.Second) // nothing says that the last digest has come
	r.Packets, r.Digests = own.told()
	data, err := json.MarshalIndent(&r, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(recordingFile(p.name), append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func outFrames(frames []frame) []outFrame {
	var out []outFrame
	for _, f := range frames {
		out = append(out, outFrame{f.Port, hex.EncodeToString(f.Data)})
	}
	return out
}

func (p *program) repeat(t *testing.T, r *recording) {
	config, _ := p.load(t)
	own := startOurs(t, config, p.ports)
	for _, text := range r.Entities {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		e := &p4v1.Entity{}
		if err := proto.Unmarshal(b, e); err != nil {
			t.Fatal(err)
		}
		if err := own.write(e); err != nil {
			t.Errorf("writing %v: %v", e, err)
		}
	}
	for i, f := range r.Frames {
		data, err := hex.DecodeString(f.In)
		if err != nil {
			t.Fatal(err)
		}
		if got := outFrames(own.process(f.Port, data)); !slices.Equal(got, f.Out) {
			t.Errorf("frame %d, %s at port %d:\nours: %v\nBMv2: %v\n%s", i, f.In, f.Port, got, f.Out,
				own.worker.Trace(f.Port, data))
		}
	}
	var packets, digests []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if packets, digests = own.told(); slices.Equal(packets, r.Packets) && slices.Equal(digests, r.Digests) {
			break
		}
	}
	report(t, "packet-in", packets, r.Packets)
	report(t, "digest", digests, r.Digests)
	if len(r.Frames) == 0 || len(r.Entities) == 0 {
		t.Error(fmt.Errorf("an empty recording of %s proves nothing", r.Program))
	}
}
