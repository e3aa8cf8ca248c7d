package pipeline

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// mutations are frames for a program: those given, with bytes changed, cut or
// repeated.
func mutations(rng *rand.Rand, frames [][]byte) []byte {
	f := slices.Clone(frames[rng.IntN(len(frames))])
	for rng.IntN(3) == 0 {
		f[rng.IntN(len(f))] ^= byte(1 << rng.IntN(8))
	}
	switch rng.IntN(8) {
	case 0:
		f = f[:rng.IntN(len(f)+1)]
	case 1:
		f = append(f, frames[rng.IntN(len(frames))]...)
	}
	return f
}

func evpnFrames() [][]byte {
	inner := ether(macB, macR, "8100000508004500")
	return [][]byte{
		ether(macB, macA, udpToPort), ether(macR, macA, udpToPort), ether("ffffffffffff", macA, "88b5"),
		ether("ffffffffffff", macA, "8100001e0806"), outer(gwMAC, hopMAC, vtep7, gwIP, "000064", 50000, inner),
		append(unhex("010000000a0000"), inner...),
	}
}

func featureFrames() [][]byte {
	var out [][]byte
	for op := range 0x61 {
		out = append(out, calc(uint8(op), 3, 9, 4, 5, "0102030405060708090a0b0c0d0e0f10", "77", 8))
	}
	for _, f := range []string{"80020407aabb", "810301020377aabb", "82ffffffffffffffffff85", "83eeee03aabb",
		"84020407aabb", "86020407aabb"} {
		out = append(out, unhex(f))
	}
	return out
}

// noise leaves out what is not the same twice.
func noise(f []byte) bool { return len(f) > 0 && f[0] == 20 }

func TestAnAccountHasTheEffectsOfProcess(t *testing.T) {
	programs := map[string]struct {
		open   func(testing.TB) *evpn
		frames [][]byte
		ports  []uint32
	}{
		"EVPN": {newEVPN, evpnFrames(), []uint32{0, 1, 2, 3, 4, 5, 6, 510}},
		"features": {func(t testing.TB) *evpn {
			e := newFeatures(t)
			e.sink = &recorder{}
			for _, err := range []error{
				e.SetGroup(3, []Replica{{4, 10}, {5, 11}, {4, 12}}),
				e.SetSession(5, Session{Replicas: []Replica{{Port: 6}, {Port: 7}}, Truncate: 20}),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			for _, table := range e.Tables() {
				fillTable(table)
			}
			return e
		}, featureFrames(), []uint32{0, 7}},
	}
	rounds := 600
	if testing.Short() {
		rounds = 200
	}
	for name, c := range programs {
		t.Run(name, func(t *testing.T) {
			plain, accounted := c.open(t), c.open(t)
			rng := rand.New(rand.NewPCG(5, 6))
			for i := range rounds {
				port, f := c.ports[rng.IntN(len(c.ports))], mutations(rng, c.frames)
				if noise(f) {
					continue
				}
				plain.w.Reset()
				accounted.w.Reset()
				plain.w.Process(port, f)
				a := accounted.w.Trace(port, f)
				if !reflect.DeepEqual(plain.w.Out, accounted.w.Out) {
					t.Fatalf("frame %d, %x at port %d: Process gave %x, the account %x\n%s", i, f, port, plain.w.Out, accounted.w.Out,
						a)
				}
				checkAccount(t, a)
			}
			if !slices.Equal(plain.sink.digests, accounted.sink.digests) {
				t.Error("the digests differ")
			}
			for i, counter := range plain.Counters() {
				for j := range counter.Size() {
					p1, b1 := counter.Read(j)
					if p2, b2 := accounted.Counters()[i].Read(j); p1 != p2 || b1 != b2 {
						t.Errorf("counter %s[%d]: %d, %d and %d, %d", counter.Name(), j, p1, b1, p2, b2)
					}
				}
			}
		})
	}
}

// checkAccount proves what an account says of itself: what was sent is what
// left, and each change starts from the value that the step before left.
func checkAccount(t *testing.T, a *Account) {
	t.Helper()
	var sent []Sent
	values := map[string]string{}
	for _, s := range a.Steps {
		switch s.Kind {
		case StepSend:
			sent = append(sent, Sent{*s.Port, s.Data})
		case StepPacket:
			clear(values)
		case StepEgress: // may go back to what was replicated
			clear(values)
		}
		for _, c := range s.Changes {
			if before, ok := values[c.Field]; ok && c.From != before && c.From != "" {
				t.Fatalf("%s was %s, and then changed from %s\n%s", c.Field, before, c.From, a)
			}
			values[c.Field] = c.To
		}
	}
	if !reflect.DeepEqual(sent, a.Out) {
		t.Fatalf("sent %v, but %v left\n%s", sent, a.Out, a)
	}
}

func TestAnAccountSaysWhatHappened(t *testing.T) {
	e := newEVPN(t)
	e.insert("bridge.source", exact("0a", macA, "01"), "bridge.known")
	a := e.w.Trace(1, ether(macR, macA, udpToPort))
	text := a.String()
	at := 0
	for _, want := range []string{
		"60 bytes at port 1", "packet arrives at port 1, 60 bytes", "standard_metadata.ingress_port: 0x000 -> 0x001",
		"parser start: standard_metadata.ingress_port=0x001 -> parse_ethernet",
		"ethernet: invalid -> valid", "ethernet.destination = 0x0200000000aa", "parsed: NoError",
		"table port.kind: ingress_port=0x001: hit (ingress_port=0x001), port.bridge_port()",
		"table bridge.vlan: ingress_port=0x001, vlan_id=0x000: hit", "bridge.member(bridge=0x000a, gateway=0x0, trusted=0x0, stacked=0x0)",
		"table bridge.fdb: bridge=0x000a, mac=0x0200000000aa: hit", "bridge.to_vtep(vtep=0x0007, vni=0x000064)",
		"egress to port 4", "table vxlan.tunnel", "encap_ipv4: invalid -> valid", "sent to port 4, 110 bytes",
	} {
		i := strings.Index(text[at:], want)
		if i < 0 {
			t.Fatalf("no %q behind byte %d of\n%s", want, at, text)
		}
		at += i
	}
	data, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var back Account
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if back.String() != text {
		t.Errorf("the account from JSON reads\n%s", &back)
	}
}

func TestAnAccountOfDropsCopiesAndDigests(t *testing.T) {
	kinds := func(a *Account) string {
		var out []string
		for _, s := range a.Steps {
			switch s.Kind {
			case StepPacket, StepReplicate, StepDrop, StepSend, StepRecirculate, StepDigest:
				out = append(out, strings.TrimSpace(string(s.Kind)+" "+s.Name))
			}
		}
		return strings.Join(out, ", ")
	}
	features, network := newFeatures(t), newEVPN(t)
	if err := features.SetSession(5, Session{Replicas: []Replica{{Port: 6}}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		e     *evpn
		frame []byte
		want  string
	}{
		{features, calc(21, 0, 0, 0, 0, "0", "0", 0), "packet arrives, drop ingress"},
		{features, calc(18, 0, 0, 0, 0, "0", "0", 0), "packet arrives, packet resubmit, send"},
		{features, calc(0x51, 2, 0, 0, 0, "0", "0", 0), "packet arrives, recirculate, packet recirculate, send"},
		{features, calc(0x50, 0, 0, 0, 0, "0", "0", 0), "packet arrives, replicate clone, send, send"},
		{features, calc(0x44, 9, 0, 0, 0, "0", "0", 0), "packet arrives, replicate multicast"},
		{network, ether("ffffffffffff", macA, "88b5"), "packet arrives, digest learn_t, replicate multicast, drop egress, send, send, send, send"},
	} {
		if got := kinds(c.e.w.Trace(1, c.frame)); got != c.want {
			t.Errorf("%x: %s; want %s", c.frame[:4], got, c.want)
		}
	}
}

func TestAnAccountOfEveryKindOfKey(t *testing.T) {
	e := newFeatures(t)
	e.add("ingress.by_range", Entry{Match: []Match{{Value: b(5), High: b(9)}, {Value: b(1)}}, Priority: 7,
		Action: "ingress.to", Params: [][]byte{{3}}})
	e.add("ingress.by_option", Entry{Match: []Match{{Any: true}, {Value: b(0x10), Mask: b(0xf0)}}, Priority: 2,
		Action: "ingress.nothing"})
	e.add("ingress.by_prefix", Entry{Match: []Match{{Value: b(1)},
		{Value: unhex("01000000000000000000000000000000"), PrefixLen: 9}}, Action: "ingress.to", Params: [][]byte{{3}}})
	for _, c := range []struct {
		frame []byte
		want  string
	}{
		{calc(0x40, 1, 6, 0, 0, "0", "0", 0), "hit (b=0x05..0x09, a=0x01, priority 7), ingress.to(port=0x003)"},
		{calc(0x41, 1, 6, 0, 0, "17", "0", 0), "hit (q=*, w=0x00000000000000000000000000000010&&&0x000000000000000000000000000000f0, priority 2), ingress.nothing()"},
		{calc(0x42, 1, 6, 0, 0, "0", "01700000000000000000000000000000", 0), "hit (a=0x01, v=0x01000000000000000000000000000000/9), ingress.to(port=0x003)"},
		{calc(0x42, 2, 6, 0, 0, "0", "0", 0), "miss, ingress.nothing()"},
		{unhex("81ff0102"), "parsed: BadMark"},
		{unhex("8105"), "parser options -> PacketTooShort"},
	} {
		if text := e.w.Trace(0, c.frame).String(); !strings.Contains(text, c.want) {
			t.Errorf("no %q in\n%s", c.want, text)
		}
	}
}

func FuzzTrace(f *testing.F) {
	program := newEVPN(f).Program()
	for i, frame := range evpnFrames() {
		f.Add(uint16(i), frame)
	}
	f.Fuzz(func(t *testing.T, port uint16, frame []byte) {
		p := New(program, Limits{})
		plain, accounted := p.NewWorker(nil), p.NewWorker(nil)
		plain.Process(uint32(port), frame)
		a := accounted.Trace(uint32(port), frame)
		if fmt.Sprint(plain.Out) != fmt.Sprint(accounted.Out) {
			t.Errorf("Process gave %x, the account\n%s", plain.Out, a)
		}
		checkAccount(t, a)
	})
}

func TestTracingLeavesTheFastPathWithoutAllocations(t *testing.T) {
	e := newEVPN(t)
	e.insert("bridge.source", exact("0a", macA, "01"), "bridge.known")
	frame := ether(macR, macA, udpToPort)
	e.w.Trace(1, frame)
	if n := testing.AllocsPerRun(100, func() { e.w.Reset(); e.w.Process(1, frame) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}
