package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// features is the pipeline package's own test program; frames of it begin with
// an operation and the numbers a and b.
const features = "../pipeline/testdata/features.json"

func frame(op, a, b int) string {
	return fmt.Sprintf("%02x%02x%02x%s", op, a, b, strings.Repeat("00", 42))
}

// everyCommand uses each kind of command that our switch and BMv2 must agree on.
var everyCommand = strings.NewReplacer(
	"STORE", frame(15, 1, 0)[:74]+"0000000000000007", "RECALL", frame(16, 1, 0), "ALTERED", frame(16, 1, 0)[:74]+"000000000000002a",
	"MULTICAST", frame(0x44, 3, 0)[:74], "CLONE", frame(0x50, 0, 0), "PREFIX", frame(0x42, 5, 0), "METERED", frame(0x45, 9, 7),
).Replace(`
# comments are left out
mc_mgrp_create 3
mc_node_create 10 4 5
mc_node_associate 3 0
mirroring_add 5 6
add by_prefix a:5 v:0/0 to(port:7) = P
add by_rate a:9 ingress.metered_to(port:2)
packet 0 STORE
expect 1 STORE $
packet 0 MULTICAST 0000000000000000
expect 4 MULTICAST 000000000000000a $
expect 5 MULTICAST **************0a
packet 3 CLONE
expect 1 CLONE
expect 6
packet 0 PREFIX
expect 7 PREFIX
packet 0 METERED
expect 2 45 09 00
wait
register_write ingress.cells 1 42
packet 0 RECALL
expect 1 ALTERED
`)

func TestAScriptRunsOnOursAsItSays(t *testing.T) {
	json, names, s := prepare(t, everyCommand)
	got, err := runOurs(json, names, s, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.check(got.out); err != nil {
		t.Error(err)
	}
	accounted, err := runOurs(json, names, s, true)
	if err != nil || !maps.EqualFunc(got.out, accounted.out, slices.Equal) {
		t.Errorf("with an account of each frame it sends %v, %v", accounted, err)
	}
}

func needBMv2(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"simple_switch", "simple_switch_CLI"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIP: %v", err)
		}
	}
}

// The comparison of random frames must see a difference: here ours leaves a
// header out.
func TestRandomFramesTellSwitchesApart(t *testing.T) {
	needBMv2(t)
	const script = "add by_kind top.kind:0 ingress.to(port:2)\npacket 0 00090000\nexpect 2 00090000"
	const path = "../pipeline/testdata/more.json"
	json, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := bmv2json.Parse(json)
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseSTF(script)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := compareRandom(t.Context(), json, path, newProgram(spec), s, 100); err != nil {
		t.Error(err)
	}
	altered := []byte(strings.Replace(string(json), `"order":["note","top",`, `"order":["note",`, 1))
	if _, err := compareRandom(t.Context(), altered, path, newProgram(spec), s, 100); err == nil {
		t.Error("a switch that leaves a header out is not told apart")
	}
}

// An assertion of the program ends BMv2 at frames that begin with 66: the script has
// one, so that every second random frame is one with damage.
func TestAFrameThatCrashesBMv2IsToldAndTheRestIsCompared(t *testing.T) {
	needBMv2(t)
	const path = "../pipeline/testdata/more.json"
	json, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := bmv2json.Parse(json)
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseSTF("packet 0 6609000000000000\nexpect 1 00")
	if err != nil {
		t.Fatal(err)
	}
	crashed, err := compareRandom(t.Context(), json, path, newProgram(spec), s, 12)
	if err != nil {
		t.Error(err)
	}
	if len(crashed) == 0 {
		t.Error("no frame crashed BMv2")
	}
	for _, f := range crashed {
		if f.Data[0] != 0x66 {
			t.Errorf("BMv2 crashed at %x", f.Data)
		}
	}
}

func TestOursAndBMv2SendTheSameFrames(t *testing.T) {
	needBMv2(t)
	json, names, s := prepare(t, everyCommand)
	got, err := runOurs(json, names, s, false)
	if err != nil {
		t.Fatal(err)
	}
	want, err := runBMv2(t.Context(), features, names, s, got.sent)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(got.out, want, slices.Equal) {
		t.Errorf("ours %v\nBMv2 %v", got.out, want)
	}
}

func prepare(t *testing.T, text string) ([]byte, *program, *script) {
	t.Helper()
	s, err := parseSTF(text)
	if err != nil {
		t.Fatal(err)
	}
	json, err := os.ReadFile(features)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := bmv2json.Parse(json)
	if err != nil {
		t.Fatal(err)
	}
	return json, newProgram(spec), s
}

func TestWhatAScriptExpectsMustCome(t *testing.T) {
	in := frame(0, 1, 2)
	for name, c := range map[string]struct{ text, complaint string }{
		"nothing came":        {"expect 1 " + in, "0 packets where 1"},
		"too many came":       {"packet 0 " + in + "\nexpect 0 00", "port 0: 0 packets where 1"},
		"nobody expected it":  {"packet 0 " + in + "\npacket 1 " + in, "port 1: 2 packets where 0"},
		"other bytes":         {"packet 0 " + in + "\nexpect 1 0001ff", "where 0001ff"},
		"too short":           {"packet 0 " + in + "\nexpect 1 " + in + "**", "where"},
		"longer than exactly": {"packet 0 " + in + "\nexpect 1 000102 $", "where 000102$"},
		"no such table":       {"add nowhere a:1 to(port:1)", "0 tables of name"},
		"no such action":      {"add by_prefix a:1 sat_add()", "0 actions of name"},
		"no such key":         {"add by_prefix z:1 to(port:1)", "no key field"},
		"argument is missing": {"add by_prefix a:1 to()", "no value for"},
		"a value too wide":    {"add by_prefix a:0x1ff to(port:1)", "does not fit"},
		"counter of nothing":  {"check_counter cnt(3) packets == 1", "0 counters of name"},
		"no such command":     {"reboot", "not known"},
	} {
		t.Run(name, func(t *testing.T) {
			json, names, s := prepare(t, c.text)
			got, err := runOurs(json, names, s, false)
			if err == nil {
				err = s.check(got.out)
			}
			if err == nil || !strings.Contains(err.Error(), c.complaint) {
				t.Errorf("%v; want a word of %q", err, c.complaint)
			}
		})
	}
}

func TestKeysAreWrittenAsBMv2ReadsThem(t *testing.T) {
	for _, c := range []struct{ kind, in, want string }{
		{"ternary", "0x25**", "0x2500&&&0xff00"}, {"ternary", "0b1*", "0b10&&&0b10"},
		{"lpm", "0x0a01****", "0x0a010000/16"}, {"lpm", "0x0a000000/8", "0x0a000000/8"},
		{"exact", "12", "12"},
	} {
		if got, err := keyValue(c.kind, c.in); err != nil || got != c.want {
			t.Errorf("%s %s: %q, %v; want %q", c.kind, c.in, got, err, c.want)
		}
	}
	names := []string{"h.a", "h[1].b", "h.$valid$", "x.y.c"}
	for key, want := range map[string]int{"h.a": 0, "h$1.b": 1, "h.valid": 2, "h": 2, "y.c": 3, "d": -1} {
		if got := keyIndex(names, key); got != want {
			t.Errorf("key %s: %d, want %d", key, got, want)
		}
	}
}

func FuzzParseSTF(f *testing.F) {
	f.Add(everyCommand)
	f.Add("packet 0\nexpect 1 $\nadd t k:0x** a() = L\ncheck_counter c($L) bytes >= 1")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSTF(text)
		if err != nil {
			return
		}
		for _, ph := range s.phases {
			for _, c := range ph.configure {
				_, _ = parseCall(c.text)
			}
		}
		_ = s.check(map[uint32][]string{0: {"00"}})
	})
}
