package pipeline

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// damage changes one place of a JSON value at random: something is removed,
// doubled, replaced by another value of the file or by an odd one.
type damage struct {
	rng   *rand.Rand
	seen  []any // values to put elsewhere
	point int   // the place to change, counted down
}

var odd = []any{nil, true, -1.0, 0.0, 1e9, 65.0, "", "0x", "-0x1", "default", "ingress", []any{}, map[string]any{}}

func (d *damage) walk(v any) any {
	d.point--
	if d.point == 0 {
		switch d.rng.IntN(3) {
		case 0:
			return odd[d.rng.IntN(len(odd))]
		case 1:
			if len(d.seen) > 0 {
				return d.seen[d.rng.IntN(len(d.seen))]
			}
		case 2:
			if list, ok := v.([]any); ok && len(list) > 0 {
				if d.rng.IntN(2) == 0 {
					return list[1:]
				}
				return append(append([]any{}, list...), list[d.rng.IntN(len(list))])
			}
		}
		return nil
	}
	if d.rng.IntN(50) == 0 {
		d.seen = append(d.seen, v)
	}
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for _, k := range slices.Sorted(maps.Keys(x)) {
			if k != "source_info" {
				out[k] = d.walk(x[k])
			}
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = d.walk(e)
		}
		return out
	}
	return v
}

// tryLoad loads a program and, if it is one, runs frames through it.
func tryLoad(t *testing.T, data []byte) bool {
	prog, err := Load(data)
	if err != nil {
		if prog != nil {
			t.Error("Load gave both a program and an error")
		}
		return false
	}
	p := New(prog, Limits{})
	_ = p.SetGroup(10, []Replica{{1, 1}, {2, 2}})
	_ = p.SetSession(1, Session{Replicas: []Replica{{Port: 5}}})
	for _, table := range p.Tables() {
		fillTable(table)
		table.Each(func(Entry) bool { return true })
	}
	w := p.NewWorker(discard{})
	frame := outer(gwMAC, hopMAC, vtep7, gwIP, "000064", 50000, ether(macB, macR, "8100000508004500"))
	for n := 0; n <= len(frame); n += 7 {
		for _, port := range []uint32{0, 1, 4, 510} {
			w.Process(port, frame[:n])
		}
		w.Reset()
	}
	return true
}

// fillTable inserts an entry of zeroes for each action.
func fillTable(table *Table) {
	for i, a := range table.Actions() {
		e := Entry{Action: a.Name}
		for _, k := range table.Keys() {
			m := Match{Value: []byte{0}, Mask: []byte{1}, High: []byte{1}, PrefixLen: i % (k.Bits + 1)}
			e.Match = append(e.Match, m)
		}
		for range a.Params {
			e.Params = append(e.Params, []byte{1})
		}
		if table.HasPriority() {
			e.Priority = int32(i + 1)
		}
		_ = table.Insert(&e)
	}
}

func TestDamagedProgramIsRefusedOrRuns(t *testing.T) {
	data, err := os.ReadFile("testdata/features.json")
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	size := &damage{rng: rand.New(rand.NewPCG(1, 2)), point: -1}
	size.walk(tree)
	places := -size.point
	loaded := 0
	rounds := 100
	if testing.Short() {
		rounds = 30
	}
	for i := range rounds {
		d := &damage{rng: rand.New(rand.NewPCG(uint64(i), 7))}
		d.point = 1 + d.rng.IntN(places)
		bad, err := json.Marshal(d.walk(tree))
		if err != nil {
			t.Fatal(err)
		}
		if tryLoad(t, bad) {
			loaded++
		}
	}
	t.Logf("%d of %d damaged programs still load", loaded, rounds)
	if loaded == 0 || loaded == rounds {
		t.Error("the damage proves nothing")
	}
}

func TestTruncatedProgramIsRefused(t *testing.T) {
	data, err := os.ReadFile("../../p4/p4evpn.json")
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(data)-2; n += 1 + len(data)/50 {
		if tryLoad(t, data[:n]) {
			t.Errorf("the first %d of %d bytes load", n, len(data))
		}
	}
}

func FuzzProcess(f *testing.F) {
	e := newEVPN(f)
	inner := ether(macB, macR, "88b5")
	f.Add(uint16(1), ether(macB, macA, udpToPort))
	f.Add(uint16(4), outer(gwMAC, hopMAC, vtep7, gwIP, "000064", 50000, inner))
	f.Add(uint16(510), append(unhex("010000000a0000"), inner...))
	f.Add(uint16(3), ether("ffffffffffff", macA, "8100001e0806"))
	w := e.NewWorker(discard{})
	f.Fuzz(func(t *testing.T, port uint16, frame []byte) {
		w.Reset()
		w.Process(uint32(port), frame)
		for _, p := range w.Out {
			if len(p.Data) > len(frame)+64 || p.Port == 511 {
				t.Errorf("a frame of %d bytes gave %d on port %d", len(frame), len(p.Data), p.Port)
			}
		}
	})
}
