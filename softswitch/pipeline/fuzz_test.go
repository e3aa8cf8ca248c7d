package pipeline

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
)

// FuzzDamagedProgram loads programs with a few things removed, doubled or
// replaced, and runs those that load.
func FuzzDamagedProgram(f *testing.F) {
	var trees []any
	for _, path := range []string{"testdata/features.json", "testdata/more.json"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		var tree any
		if err := json.Unmarshal(data, &tree); err != nil {
			f.Fatal(err)
		}
		trees = append(trees, tree)
	}
	f.Add(uint8(0), uint64(1), uint8(1))
	f.Add(uint8(1), uint64(2), uint8(3))
	f.Fuzz(func(t *testing.T, which uint8, seed uint64, times uint8) {
		tree := trees[int(which)%len(trees)]
		size := &damage{rng: rand.New(rand.NewPCG(1, 2)), point: -1}
		size.walk(tree)
		rng := rand.New(rand.NewPCG(seed, 3))
		for range 1 + times%4 {
			d := &damage{rng: rng}
			d.point = 1 + rng.IntN(-size.point)
			tree = d.walk(tree)
		}
		bad, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		tryLoad(t, bad)
	})
}

// parserGraph makes a program whose parser has the states and edges that the
// bytes say, loops and all: four bytes a state.
func parserGraph(shape []byte) []byte {
	n := min(len(shape)/4, 16)
	ops := []string{
		"", `{"op":"extract","parameters":[{"type":"regular","value":"h"}]}`, `{"op":"extract","parameters":[{"type":"stack","value":"s"}]}`,
		`{"op":"advance","parameters":[{"type":"hexstr","value":"0x8"}]}`,
		`{"op":"set","parameters":[{"type":"field","value":["standard_metadata","x"]},{"type":"lookahead","value":[0,8]}]}`,
		`{"op":"extract_VL","parameters":[{"type":"regular","value":"v"},{"type":"expression","value":{"type":"expression","value":{"op":"<<","left":{"type":"field","value":["standard_metadata","x"]},"right":{"type":"hexstr","value":"0x3"}}}}]}`,
		`{"op":"verify","parameters":[{"type":"expression","value":{"op":"!=","left":{"type":"field","value":["standard_metadata","x"]},"right":{"type":"hexstr","value":"0x7"}}},{"type":"hexstr","value":"0x1"}]}`,
	}
	var states []string
	for i := range n {
		b := shape[4*i : 4*i+4]
		states = append(states, fmt.Sprintf(`{"name":"s%d","id":%d,"parser_ops":[%s],"transition_key":[{"type":"lookahead","value":[0,8]}],"transitions":[
			{"type":"hexstr","value":"0x%02x","mask":"0x%02x","next_state":"s%d"},{"type":"default","value":null,"mask":null,"next_state":"s%d"}]}`,
			i, i, ops[int(b[0])%len(ops)], b[1]&b[2], b[2], int(b[1])%n, int(b[3])%n))
	}
	return fmt.Appendf(nil, `{"__meta__":{"version":[2,23]},
"header_types":[{"name":"std_t","id":0,"fields":[["ingress_port",9,false],["egress_spec",9,false],["egress_port",9,false],["packet_length",32,false],["instance_type",32,false],["parser_error",32,false],["x",8,false]]},
{"name":"h_t","id":1,"fields":[["f",8,false]]},{"name":"v_t","id":2,"fields":[["l",8,false],["d","*"]],"max_length":20}],
"headers":[{"name":"standard_metadata","id":0,"header_type":"std_t","metadata":true},{"name":"h","id":1,"header_type":"h_t","metadata":false},{"name":"v","id":2,"header_type":"v_t","metadata":false},
{"name":"s[0]","id":3,"header_type":"h_t","metadata":false},{"name":"s[1]","id":4,"header_type":"h_t","metadata":false}],
"header_stacks":[{"name":"s","id":0,"header_type":"h_t","size":2,"header_ids":[3,4]}],
"parsers":[{"name":"parser","id":0,"init_state":"s0","parse_states":[%s]}],
"deparsers":[{"name":"deparser","id":0,"order":["h","s[0]","s[1]","v"],"primitives":[]}],
"pipelines":[{"name":"ingress","id":0,"init_table":null,"tables":[],"conditionals":[],"action_profiles":[]},{"name":"egress","id":1,"init_table":null,"tables":[],"conditionals":[],"action_profiles":[]}]}`,
		strings.Join(states, ","))
}

// FuzzParserLoops runs frames through parsers of any shape: each ends, with an
// error where it goes round.
func FuzzParserLoops(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0}, []byte("a frame"))                           // nothing but itself
	f.Add([]byte{1, 0, 0, 1, 1, 0, 0, 0}, []byte("two in turn"))           // the header again and again
	f.Add([]byte{2, 0, 0, 0}, []byte{1, 2, 3, 4})                          // more than the stack holds
	f.Add([]byte{4, 0, 0, 1, 5, 7, 0xff, 2, 6, 0, 0, 0}, make([]byte, 64)) // variable lengths
	f.Add([]byte{3, 0, 0, 0}, make([]byte, 65535))
	f.Fuzz(func(t *testing.T, shape, frame []byte) {
		if len(shape) < 4 {
			return
		}
		prog, err := Load(parserGraph(shape))
		if err != nil {
			t.Fatalf("a parser of states that all exist: %v", err)
		}
		p := New(prog, Limits{})
		plain, accounted := p.NewWorker(nil), p.NewWorker(nil)
		plain.Process(1, frame)
		a := accounted.Trace(1, frame)
		if !reflect.DeepEqual(plain.Out, accounted.Out) || len(plain.Out) != 1 {
			t.Fatalf("%d frames left; the account:\n%s", len(plain.Out), a)
		}
		states := 0
		for _, s := range a.Steps {
			if s.Kind == StepState {
				states++
			}
		}
		if states > maxParserSteps {
			t.Errorf("%d states", states)
		}
	})
}

func TestAParserThatGoesRoundEndsWithATimeout(t *testing.T) {
	prog, err := Load(parserGraph([]byte{0, 0, 0, 0}))
	if err != nil {
		t.Fatal(err)
	}
	text := New(prog, Limits{}).NewWorker(nil).Trace(1, []byte{1, 2}).String()
	if !strings.Contains(text, "parsed: ParserTimeout") {
		t.Errorf("no timeout in an account of %d bytes", len(text))
	}
}

// FuzzFrames sends frames of any length through the programs of the tests.
func FuzzFrames(f *testing.F) {
	programs := []*evpn{newFeatures(f), newMore(f), newEVPN(f)}
	for _, e := range programs[:2] {
		if err := e.SetSession(5, Session{Replicas: []Replica{{Port: 6}, {Port: 7}}, Truncate: 20}); err != nil {
			f.Fatal(err)
		}
		for _, table := range e.Tables() {
			fillTable(table)
		}
	}
	for i, frame := range append(featureFrames(), unhex("26000000 0102 ff"), unhex("77000000 010203040506")) {
		f.Add(uint8(i%2), uint16(i), uint16(len(frame)), frame)
	}
	for _, length := range []uint16{0, 1, 13, 14, 60, 1514, 9000, 65535} {
		f.Add(uint8(2), uint16(1), length, ether(macB, macA, udpToPort))
		f.Add(uint8(0), uint16(1), length, []byte{0x80, 2, 4, 6})
	}
	var workers []*Worker
	for _, e := range programs {
		workers = append(workers, e.NewWorker(discard{}))
	}
	f.Fuzz(func(t *testing.T, which uint8, port, length uint16, start []byte) {
		frame := make([]byte, length)
		copy(frame, start)
		w := workers[int(which)%len(workers)]
		w.Reset()
		w.Process(uint32(port), frame)
		for _, o := range w.Out {
			if len(o.Data) > len(frame)+128 || o.Port == 511 {
				t.Errorf("a frame of %d bytes gave %d at port %d", len(frame), len(o.Data), o.Port)
			}
		}
	})
}

// everyTime makes a program that does one thing in each pass of a control.
func everyTime(t *testing.T, control, primitive string, params ...string) *Pipeline {
	t.Helper()
	var values []string
	for _, p := range params {
		values = append(values, fmt.Sprintf(`{"type":"hexstr","value":%q}`, p))
	}
	call := fmt.Sprintf(`"actions":[{"name":"a","id":0,"runtime_data":[],"primitives":[{"op":%q,"parameters":[%s]}]}],"pipelines":`, primitive, strings.Join(values, ","))
	text := strings.Replace(string(parserGraph([]byte{1, 0xff, 0, 1, 0, 0xff, 0xff, 1})), `"pipelines":`, call, 1)
	text = strings.Replace(text, `"mask":"0x00","next_state":"s1"`, `"mask":"0x00","next_state":null`, 1)
	pipe := fmt.Sprintf(`{"name":%q,"id":0,"init_table":null,`, control)
	if control == "egress" {
		pipe = strings.Replace(pipe, `"id":0`, `"id":1`, 1)
	}
	text = strings.Replace(text, pipe, strings.Replace(pipe, `null,`,
		`"call","action_calls":[{"name":"call","id":0,"action_id":0,"next_node":null}],`, 1), 1)
	prog, err := Load([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return New(prog, Limits{})
}

func TestAPacketThatWouldGoRoundForEverEnds(t *testing.T) {
	count := func(p *Pipeline, kind StepKind) (steps, out int) {
		a := p.NewWorker(nil).Trace(1, []byte{1, 2, 3})
		for _, s := range a.Steps {
			if s.Kind == kind {
				steps++
			}
		}
		return steps, len(a.Out)
	}
	if n, out := count(everyTime(t, "ingress", "resubmit", "0x0"), StepPacket); n != maxPasses || out != 0 {
		t.Errorf("resubmitted: %d passes, %d frames", n, out)
	}
	if n, out := count(everyTime(t, "egress", "recirculate", "0x0"), StepPacket); n != maxPasses || out != 0 {
		t.Errorf("recirculated: %d passes, %d frames", n, out)
	}
	clones := everyTime(t, "egress", "clone_egress_pkt_to_egress", "0x1", "0x0")
	var replicas []Replica
	for i := range uint32(16) {
		replicas = append(replicas, Replica{Port: i})
	}
	if err := clones.SetSession(1, Session{Replicas: replicas}); err != nil {
		t.Fatal(err)
	}
	if n, out := count(clones, StepEgress); n != out || n < maxClones || n > 1+maxClones*len(replicas) {
		t.Errorf("cloned: %d copies, %d frames", n, out)
	}
}
