package pipeline

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// port runs a frame that a table may send elsewhere and says where it went.
func (e *evpn) port(frame []byte) uint32 {
	e.t.Helper()
	out := e.run(0, frame)
	if len(out) != 1 {
		e.t.Fatalf("%d packets", len(out))
	}
	return out[0].Port
}

func (e *evpn) add(table string, entry Entry) {
	e.t.Helper()
	if err := e.Table(table).Insert(&entry); err != nil {
		e.t.Fatal(err)
	}
}

func b(v ...byte) []byte { return v }

func TestRangesMatchInclusivelyByPriority(t *testing.T) {
	e := newFeatures(t)
	entry := func(low, high byte, priority int32, to byte) Entry {
		return Entry{Match: []Match{{Value: b(low), High: b(high)}, {Value: b(1)}}, Priority: priority,
			Action: "ingress.to", Params: [][]byte{{to}}}
	}
	e.add("ingress.by_range", entry(10, 20, 5, 2))
	e.add("ingress.by_range", entry(15, 15, 6, 3))
	e.add("ingress.by_range", entry(10, 20, 4, 4))
	e.add("ingress.by_range", Entry{Match: []Match{{Any: true}, {Value: b(1)}}, Priority: 1, Action: "ingress.to",
		Params: [][]byte{{5}}})
	for value, want := range map[byte]uint32{9: 5, 10: 2, 14: 2, 15: 3, 20: 2, 21: 5, 255: 5} {
		if got := e.port(calc(0x40, 1, value, 0, 0, "0", "0", 0)); got != want {
			t.Errorf("%d goes to port %d, want %d", value, got, want)
		}
	}
	if got := e.port(calc(0x40, 2, 15, 0, 0, "0", "0", 0)); got != 1 {
		t.Errorf("another exact field matches all the same")
	}
	hit := entry(10, 20, 5, 0)
	if err := e.Table("ingress.by_range").Delete(&hit); err != nil {
		t.Fatal(err)
	}
	if got := e.port(calc(0x40, 1, 11, 0, 0, "0", "0", 0)); got != 4 {
		t.Errorf("after deletion: port %d, want the next priority's 4", got)
	}
}

func TestOptionalAndTernaryFieldsMatchByMask(t *testing.T) {
	e := newFeatures(t)
	add := func(q, w Match, priority int32, a byte) {
		e.add("ingress.by_option", Entry{Match: []Match{q, w}, Priority: priority, Action: "ingress.tag",
			Params: [][]byte{unhex(ones), {a}}})
	}
	kind := e.Table("ingress.by_option").Keys()[0].Kind
	one := Match{Value: b(7)}
	if kind == Ternary {
		one.Mask = unhex("ffffffffffffffff")
	}
	high := Match{Value: unhex("a0000000000000000000000000000000"), Mask: unhex("f0000000000000000000000000000000")}
	add(one, Match{Any: true}, 10, 1)
	add(one, high, 20, 2)
	add(Match{Any: true}, high, 5, 3)
	for _, c := range []struct {
		q    uint64
		w    string
		want byte
	}{{7, "1", 1}, {7, "a0000000000000000000000000000001", 2}, {8, "a0000000000000000000000000000001", 3}, {8, "1", 9}} {
		if got := e.run(0, calc(0x41, 9, 0, 0, 0, c.w, "0", c.q))[0].Data[1]; got != c.want {
			t.Errorf("q=%d w=%s: %d, want %d", c.q, c.w, got, c.want)
		}
	}
}

func TestLongestPrefixWinsWithinTheExactPart(t *testing.T) {
	e := newFeatures(t)
	add := func(a byte, v string, plen int, to byte) {
		m := []Match{{Value: b(a)}, {Value: unhex(v), PrefixLen: plen}}
		if plen == 0 {
			m[1] = Match{Any: true}
		}
		e.add("ingress.by_prefix", Entry{Match: m, Action: "ingress.to", Params: [][]byte{{to}}})
	}
	add(1, "20010db8000000000000000000000000", 32, 2)
	add(1, "20010db8000100000000000000000000", 48, 3)
	add(1, "20010db8000100000000000000000001", 128, 4)
	add(1, "00000000000000000000ffff00000000", 96, 6)
	add(2, "00", 0, 5)
	for _, c := range []struct {
		a    uint8
		v    string
		want uint32
	}{
		{1, "20010db8000100000000000000000001", 4}, {1, "20010db8000100000000000000000002", 3},
		{1, "20010db8000200000000000000000002", 2}, {1, "20020db8000200000000000000000002", 9},
		{2, "20010db8000100000000000000000001", 5}, {3, "20010db8000100000000000000000001", 9},
		{1, "00000000000000000000ffff01020304", 6},
	} {
		if got := e.port(calc(0x42, c.a, 0, 0, 0, "0", c.v, 0)); got != c.want {
			t.Errorf("a=%d v=%s: port %d, want %d", c.a, c.v, got, c.want)
		}
	}
}

// The packed tables against the plain meaning of an entry, at random.
func TestMatchingIsThatOfAListOfEntries(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	e := newFeatures(t)
	table := e.Table("ingress.by_range")
	type rule struct {
		low, high, a byte
		priority     int32
	}
	var rules []rule
	entry := func(r rule) *Entry {
		return &Entry{Match: []Match{{Value: b(r.low), High: b(r.high)}, {Value: b(r.a)}}, Priority: r.priority,
			Action: "ingress.to", Params: [][]byte{{byte(r.priority)}}}
	}
	for step := range 2000 {
		if len(rules) < 40 && rng.IntN(3) > 0 {
			r := rule{low: byte(rng.IntN(16)), a: byte(rng.IntN(2)), priority: int32(step + 1)}
			r.priority = 2 + r.priority%200
			r.high = r.low + byte(rng.IntN(16))
			if slices.ContainsFunc(rules, func(o rule) bool { return o.priority == r.priority }) {
				continue
			}
			if err := table.Insert(entry(r)); err != nil {
				t.Fatal(err)
			}
			rules = append(rules, r)
		} else if len(rules) > 0 {
			i := rng.IntN(len(rules))
			if err := table.Delete(entry(rules[i])); err != nil {
				t.Fatal(err)
			}
			rules = slices.Delete(rules, i, i+1)
		}
		value, a := byte(rng.IntN(32)), byte(rng.IntN(2))
		best := rule{priority: 1}
		for _, r := range rules {
			if r.low <= value && value <= r.high && r.a == a && r.priority > best.priority {
				best = r
			}
		}
		if got := e.port(calc(0x40, a, value, 0, 0, "0", "0", 0)); got != uint32(best.priority) {
			t.Fatalf("step %d: value %d, %d: %d, want %d of %v", step, value, a, got, best.priority, rules)
		}
	}
}

func TestExactTableHoldsWhatWasPutIn(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	p := New(loadEVPN(t), Limits{})
	table := p.Table("bridge.source") // two words of key
	have := map[uint32]bool{}
	entry := func(k uint32) *Entry {
		mac := binary.BigEndian.AppendUint32([]byte{2, 0}, k)
		return &Entry{Match: []Match{{Value: b(byte(k % 3))}, {Value: mac}, {Value: b(1)}}, Action: "bridge.known"}
	}
	for range 20_000 {
		k := uint32(rng.IntN(500))
		if have[k] {
			if err := table.Insert(entry(k)); !errors.Is(err, ErrExists) {
				t.Fatalf("second insert: %v", err)
			}
			if err := table.Delete(entry(k)); err != nil {
				t.Fatal(err)
			}
		} else {
			if err := table.Delete(entry(k)); !errors.Is(err, ErrNotFound) {
				t.Fatalf("delete of nothing: %v", err)
			}
			if err := table.Insert(entry(k)); err != nil {
				t.Fatal(err)
			}
		}
		have[k] = !have[k]
		probe := uint32(rng.IntN(500))
		if _, err := table.Get(entry(probe)); (err == nil) != have[probe] {
			t.Fatalf("Get: %v, have %v", err, have[probe])
		}
	}
	seen := 0
	table.Each(func(Entry) bool { seen++; return true })
	want := 0
	for _, h := range have {
		if h {
			want++
		}
	}
	if seen != want || table.Len() != want {
		t.Errorf("%d entries seen, Len %d, want %d", seen, table.Len(), want)
	}
}

func TestEntriesComeBackAsGivenInCanonicalForm(t *testing.T) {
	e := newFeatures(t)
	table := e.Table("ingress.by_range")
	given := Entry{Match: []Match{{Value: b(0, 3), High: b(0, 0, 9)}, {Value: b(0)}}, Priority: 7,
		Action: "ingress.to", Params: [][]byte{{0, 1, 2}}, Metadata: []byte("note")}
	if err := table.Insert(&given); err != nil {
		t.Fatal(err)
	}
	want := Entry{Match: []Match{{Value: b(3), High: b(9)}, {Value: b(0)}}, Priority: 7,
		Action: "ingress.to", Params: [][]byte{{1, 2}}, Metadata: []byte("note")}
	got, err := table.Get(&given)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	prefix := Entry{Match: []Match{{Value: b(1)}, {Value: unhex("20010db8000000000000000000000000"), PrefixLen: 32}},
		Action: "ingress.to", Params: [][]byte{{2}}}
	e.add("ingress.by_prefix", prefix)
	got, err = e.Table("ingress.by_prefix").Get(&prefix)
	if err != nil || !reflect.DeepEqual(got, prefix) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, prefix)
	}
}

func TestWrongEntriesAreRefused(t *testing.T) {
	e := newFeatures(t)
	good := func() *Entry {
		return &Entry{Match: []Match{{Value: b(3), High: b(9)}, {Value: b(0)}}, Priority: 7, Action: "ingress.to",
			Params: [][]byte{{1}}}
	}
	for name, spoil := range map[string]func(*Entry){
		"no priority":          func(e *Entry) { e.Priority = 0 },
		"negative priority":    func(e *Entry) { e.Priority = -1 },
		"too few fields":       func(e *Entry) { e.Match = e.Match[:1] },
		"empty range":          func(e *Entry) { e.Match[0].High = b(2) },
		"range without end":    func(e *Entry) { e.Match[0].High = nil },
		"value too wide":       func(e *Entry) { e.Match[1].Value = b(1, 0) },
		"value missing":        func(e *Entry) { e.Match[1].Value = nil },
		"exact field left out": func(e *Entry) { e.Match[1] = Match{Any: true} },
		"unknown action":       func(e *Entry) { e.Action = "ingress.tag" },
		"parameter missing":    func(e *Entry) { e.Params = nil },
		"parameter too wide":   func(e *Entry) { e.Params[0] = b(2, 0) },
		"timeout":              func(e *Entry) { e.TimeoutNs = 1 },
		"member":               func(e *Entry) { e.Member = 1 },
	} {
		entry := good()
		spoil(entry)
		if err := e.Table("ingress.by_range").Insert(entry); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	lpm := &Entry{Match: []Match{{Value: b(1)}, {Value: b(1), PrefixLen: 127}}, Action: "ingress.to",
		Params: [][]byte{{1}}}
	if err := e.Table("ingress.by_prefix").Insert(lpm); !errors.Is(err, ErrInvalid) {
		t.Errorf("host bits: %v", err)
	}
	if err := e.Table("ingress.operation").Insert(&Entry{Match: exact("01"), Action: "ingress.gone"}); !errors.Is(err,
		ErrConst) {
		t.Errorf("const entries: %v", err)
	}
	if err := e.Table("ingress.operation").SetDefault("ingress.gone", nil); !errors.Is(err, ErrConst) {
		t.Errorf("const default: %v", err)
	}
}

func TestFullTableRefusesAndTakesAgainAfterADelete(t *testing.T) {
	p := New(loadEVPN(t), Limits{TableSize: map[string]int{"bridge.fdb": 2}})
	table := p.Table("bridge.fdb")
	entry := func(i int) *Entry {
		return &Entry{Match: exact("01", fmt.Sprintf("%012x", i)), Action: "bridge.drop"}
	}
	for i := range 2 {
		if err := table.Insert(entry(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := table.Insert(entry(2)); !errors.Is(err, ErrFull) {
		t.Fatalf("third entry: %v", err)
	}
	if err := table.Delete(entry(0)); err != nil {
		t.Fatal(err)
	}
	if err := table.Insert(entry(2)); err != nil {
		t.Errorf("after a delete: %v", err)
	}
}

func TestDefaultActionsCanBeSetAndReset(t *testing.T) {
	e := newFeatures(t)
	table := e.Table("ingress.by_range")
	if err := table.SetDefault("ingress.to", [][]byte{{8}}); err != nil {
		t.Fatal(err)
	}
	if got := e.port(calc(0x40, 1, 1, 0, 0, "0", "0", 0)); got != 8 {
		t.Errorf("port %d, want 8", got)
	}
	if d := table.Default(); d.Action != "ingress.to" || d.Params[0][0] != 8 {
		t.Errorf("default reads %+v", d)
	}
	if err := table.ResetDefault(); err != nil {
		t.Fatal(err)
	}
	if got := e.port(calc(0x40, 1, 1, 0, 0, "0", "0", 0)); got != 1 {
		t.Errorf("port %d after the reset, want 1", got)
	}
}

func TestIdleEntriesExpireUnlessHit(t *testing.T) {
	e := newEVPN(t)
	table := e.Table("bridge.source")
	second := int64(1e9)
	e.Tick(100 * second)
	add := func(mac string, timeout int64) {
		e.add("bridge.source", Entry{Match: exact("0a", mac, "01"), Action: "bridge.known", TimeoutNs: timeout,
			Metadata: []byte(mac)})
	}
	add(macA, 10*second)
	add(macB, 10*second)
	add(macR, 0)
	expired := func() (out []string) {
		table.Expired(func(e Entry) bool { out = append(out, string(e.Metadata)); return true })
		slices.Sort(out)
		return out
	}
	e.Tick(109 * second)
	e.run(1, ether(macB, macA, "88b5"))
	e.Tick(110 * second)
	if got := expired(); !slices.Equal(got, []string{macB}) {
		t.Errorf("expired %q, want the one that was not hit", got)
	}
	if got, _ := table.Get(&Entry{Match: exact("0a", macA, "01")}); got.SinceHitNs != second ||
		got.TimeoutNs != 10*second {
		t.Errorf("hit entry: %+v", got)
	}
	again := Entry{Match: exact("0a", macB, "01"), Action: "bridge.ignore", TimeoutNs: 20 * second, Metadata: []byte(macB)}
	if err := table.Modify(&again); err != nil {
		t.Fatal(err)
	}
	e.Tick(120 * second)
	if got := expired(); !slices.Equal(got, []string{macA}) {
		t.Errorf("expired %q; Modify must begin the idle time anew", got)
	}
}

func TestModifyKeepsTheDirectCounter(t *testing.T) {
	e := newEVPN(t)
	f := outer(gwMAC, hopMAC, vtep7, gwIP, "000064", 50000, ether(macB, macR, "88b5"))
	e.run(4, f)
	key := Entry{Match: []Match{{Value: unhex("0a000000"), PrefixLen: 24}}, Action: "vxlan.accept"}
	table := e.Table("vxlan.peer")
	if err := table.Modify(&key); err != nil {
		t.Fatal(err)
	}
	if got, _ := table.Get(&key); got.Packets != 1 || got.Bytes != uint64(len(f)) {
		t.Errorf("after Modify: %+v", got)
	}
	if err := table.SetCounter(&key, 10, 1000); err != nil {
		t.Fatal(err)
	}
	e.run(4, f)
	if got, _ := table.Get(&key); got.Packets != 11 || got.Bytes != 1000+uint64(len(f)) {
		t.Errorf("after SetCounter: %+v", got)
	}
}

func TestSelectorSpreadsOverTheMembersOfAGroup(t *testing.T) {
	e := newFeatures(t)
	p := e.Profile("ingress.choices")
	if p == nil || !p.HasSelector() || e.Table("ingress.by_choice").ProfileName() != "ingress.choices" {
		t.Fatalf("profile %+v", p)
	}
	for id := range uint32(4) {
		if err := p.InsertMember(id+1, "ingress.to", [][]byte{{byte(id + 2)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.SetGroup(1, []GroupMember{{Member: 1, Weight: 1}, {Member: 2, Weight: 1}, {Member: 3, Weight: 2}},
		true); err != nil {
		t.Fatal(err)
	}
	key := exact("43")
	e.add("ingress.by_choice", Entry{Match: key, Group: 1})
	ports := func() map[uint32]int {
		seen := map[uint32]int{}
		for i := range 400 {
			out := e.run(0, calc(0x43, 0, 0, 0, 0, fmt.Sprintf("%x", i*7919), "0", 0))
			if out[0].Data[2] != 0xcc {
				t.Fatal("the node after the action was not taken")
			}
			seen[out[0].Port]++
		}
		return seen
	}
	if got := ports(); len(got) != 3 || got[2] < 60 || got[3] < 60 || got[4] < 140 {
		t.Errorf("spread %v, want about 100, 100, 200 on ports 2, 3, 4", got)
	}
	if err := p.DeleteMember(3); !errors.Is(err, ErrInUse) {
		t.Errorf("member in use: %v", err)
	}
	if err := p.DeleteGroup(1); !errors.Is(err, ErrInUse) {
		t.Errorf("group in use: %v", err)
	}
	if err := p.ModifyMember(1, "ingress.to", [][]byte{{8}}); err != nil {
		t.Fatal(err)
	}
	if err := p.SetGroup(1, []GroupMember{{Member: 1, Weight: 1}}, false); err != nil {
		t.Fatal(err)
	}
	if got := ports(); got[8] != 400 {
		t.Errorf("spread %v, want all on port 8", got)
	}
	own := Entry{Match: key, Actions: []WeightedAction{{Action: "ingress.to", Params: [][]byte{{5}}, Weight: 1},
		{Action: "ingress.to", Params: [][]byte{{6}}, Weight: 1}}}
	if err := e.Table("ingress.by_choice").Modify(&own); err != nil {
		t.Fatal(err)
	}
	if got := ports(); got[5] < 100 || got[6] < 100 {
		t.Errorf("spread %v over the entry's own actions", got)
	}
	if err := p.DeleteGroup(1); err != nil {
		t.Errorf("group no more in use: %v", err)
	}
	if err := e.Table("ingress.by_choice").Insert(&Entry{Match: exact("44"), Group: 1}); !errors.Is(err, ErrNotFound) {
		t.Errorf("entry with a group that is gone: %v", err)
	}
}

func TestGroupsAndSessionsAreChecked(t *testing.T) {
	p := New(loadEVPN(t), Limits{Groups: 2, Replicas: 5})
	for name, c := range map[string]struct {
		err  error
		want error
	}{
		"group 0":           {p.SetGroup(0, nil), ErrInvalid},
		"group 65536":       {p.SetGroup(65536, nil), ErrInvalid},
		"the drop port":     {p.SetGroup(1, []Replica{{511, 1}}), ErrInvalid},
		"port 512":          {p.SetGroup(1, []Replica{{512, 1}}), ErrInvalid},
		"a replica twice":   {p.SetGroup(1, []Replica{{5, 1}, {5, 1}}), ErrInvalid},
		"too many replicas": {p.SetGroup(1, []Replica{{1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}}), ErrFull},
		"no such group":     {p.DeleteGroup(1), ErrNotFound},
		"session 0":         {p.SetSession(0, Session{}), ErrInvalid},
		"no such session":   {p.DeleteSession(1), ErrNotFound},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	for id := range uint32(2) {
		if err := p.SetGroup(id+1, []Replica{{1, 1}, {2, 1}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.SetGroup(3, nil); !errors.Is(err, ErrFull) {
		t.Errorf("third group: %v", err)
	}
	if err := p.SetGroup(2, []Replica{{1, 1}}); err != nil {
		t.Error(err)
	}
	var ids []uint32
	p.EachGroup(func(id uint32, r []Replica) bool { ids = append(ids, id); return true })
	if !slices.Equal(ids, []uint32{1, 2}) {
		t.Errorf("groups %v", ids)
	}
}
