package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// testdata/more.p4, compiled by p4c.
func newMore(t testing.TB) *evpn { return newProgram(t, "testdata/more.json") }

func TestValueSetsDirectTheParser(t *testing.T) {
	e := newMore(t)
	state := func(frame string) string {
		var names []string
		for _, s := range e.w.Trace(3, unhex(frame)).Steps {
			if s.Kind == StepState {
				names = append(names, s.Name)
			}
		}
		return strings.Join(names, " ")
	}
	long, pair := e.ValueSet("p.long_kinds"), e.ValueSet("p.again_kinds")
	if long.Bits() != 8 || long.Size() != 3 || pair.Bits() != 17 {
		t.Fatalf("%d bits, %d members; %d bits", long.Bits(), long.Size(), pair.Bits())
	}
	const large, small, other = "77000000 010203040506", "25000000 0102", "55000000 66000000"
	for _, c := range []struct{ frame, want string }{
		{large, "start more pair"}, {small, "start more small"}, {other, "start more pair"}, {"0f000000", "start"}, {"99080000 0102", "start small"},
	} {
		if got := state(c.frame); got != c.want {
			t.Errorf("empty sets: %s passes %s; want %s", c.frame, got, c.want)
		}
	}
	// kind 0x55 at port 3: 0x55 and nine bits.
	for _, err := range []error{long.SetMembers([][]byte{{0x77}, {0x25}}), pair.SetMembers([][]byte{{0x00, 0xaa, 0x03}})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ frame, want string }{
		{large, "start more large"}, {"25000000 010203040506", "start more large"}, {other, "start more pair second"}, {"54000000 66000000", "start more pair"},
	} {
		if got := state(c.frame); got != c.want {
			t.Errorf("%s passes %s; want %s", c.frame, got, c.want)
		}
	}
	if err := long.SetMembers([][]byte{{1}, {2}, {3}, {4}}); !errors.Is(err, ErrFull) {
		t.Errorf("four members of three: %v", err)
	}
	if err := long.SetMembers([][]byte{{1, 0}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a member of nine bits: %v", err)
	}
	if got := fmt.Sprintf("%x", long.Members()); got != "[25 77]" {
		t.Errorf("after refusals the members are %s", got)
	}
}

func TestAUnionHasOneValidHeader(t *testing.T) {
	e := newMore(t)
	e.add("ingress.by_kind", Entry{Match: []Match{{Value: b(0x26)}}, Action: "ingress.swap"})
	e.expect(0, unhex("26000000 0102 ff"), Packet{1, unhex("26000000 112233445566 ff")})
	e.expect(0, unhex("27000000 0102 ff"), Packet{1, unhex("27000000 0102 ff")})
	if err := e.ValueSet("p.long_kinds").SetMembers([][]byte{{0x30}}); err != nil {
		t.Fatal(err)
	}
	e.add("ingress.by_kind", Entry{Match: []Match{{Value: b(0x30)}}, Action: "ingress.shrink"})
	e.expect(0, unhex("30000000 010203040506 ff"), Packet{1, unhex("30000000 abcd ff")})
}

func TestAnIngressCloneIsTheFrameThatCameWithItsFields(t *testing.T) {
	e := newMore(t)
	e.add("ingress.by_kind", Entry{Match: []Match{{Value: b(1)}}, Action: "ingress.mark", Params: [][]byte{{0x2a}}})
	e.expect(5, unhex("01000000 aa"), Packet{1, unhex("01000000 aa")}) // no session
	if err := e.SetSession(9, Session{Replicas: []Replica{{Port: 8, Instance: 1}}, Truncate: 5}); err != nil {
		t.Fatal(err)
	}
	// instance 1, nine bits of port 5, seven of the mark, nothing else kept.
	e.expect(5, unhex("01000000 aabbcc"), Packet{8, unhex("01 02aa 00 01000000 aa")}, Packet{1, unhex("01000000 aabbcc")})
}

func TestAChecksumThatIsWrongIsReported(t *testing.T) {
	e := newMore(t)
	for _, c := range []struct{ name, in, want string }{
		{"right", "0301 fcfe", "0301 fcfe"}, {"wrong", "0301 fcff", "03ee fcff"},
		{"right over the payload", "0402 b5d0 31323334", "0402 b5d0 31323334"}, {"wrong over the payload", "0402 b5d0 31323335", "04ee b5d0 31323335"},
		{"not asked for", "0601 0000", "0601 0000"}, {"made anew", "0501 0000", "0501 fafe"},
	} {
		in := unhex(c.in)
		if c.name == "right over the payload" { // the sum is that of the reference implementation
			sum := crc16(append(unhex("0402"), in[4:]...))
			in[2], in[3] = byte(sum>>8), byte(sum)
			c.want = fmt.Sprintf("%x", in)
		}
		t.Run(c.name, func(t *testing.T) {
			e.t = t
			e.expect(0, in, Packet{1, unhex(c.want)})
		})
	}
}

func TestConstEntriesMatchInTheirOrder(t *testing.T) {
	e := newMore(t)
	for in, port := range map[string]uint32{"41050000": 3, "4f060000": 3, "40040000": 2, "50050000": 4, "50040000": 1} {
		e.expect(0, unhex(in), Packet{port, unhex(in)})
	}
	if err := e.ValueSet("p.long_kinds").SetMembers([][]byte{{0x30}}); err != nil {
		t.Fatal(err)
	}
	for in, port := range map[string]uint32{"30000000 0a0000000001": 5, "30000000 0a0b00000001": 6,
		"30000000 0b0000000000": 1} {
		e.expect(0, unhex(in), Packet{port, unhex(in)})
	}
	if err := e.Table("ingress.constant").Clear(); !errors.Is(err, ErrConst) {
		t.Errorf("const entries are cleared: %v", err)
	}
}

func TestHeadersAreEqualOrNot(t *testing.T) {
	e := newMore(t)
	if err := e.ValueSet("p.again_kinds").SetMembers([][]byte{{0x00, 0xaa, 0x00}}); err != nil {
		t.Fatal(err)
	}
	e.add("ingress.by_kind", Entry{Match: []Match{{Value: b(0x55)}}, Action: "ingress.same"})
	e.expect(0, unhex("55020304 55020304"), Packet{1, unhex("55010304 55020304")})
	e.expect(0, unhex("55020304 55020305"), Packet{1, unhex("55020304 55020305")})
	// another port: one header, not equal to an invalid one
	e.expect(1, unhex("55020304 55020304"), Packet{1, unhex("55020304 55020304")})
}

func TestProfilesAndSelectorsChooseMembers(t *testing.T) {
	e := newMore(t)
	plain, spread := e.Profile("ingress.plain"), e.Profile("ingress.spread")
	for _, err := range []error{
		plain.InsertMember(1, "ingress.to", [][]byte{{2}}),
		spread.InsertMember(1, "ingress.to", [][]byte{{3}}), spread.InsertMember(2, "ingress.to", [][]byte{{4}}),
		spread.SetGroup(1, []GroupMember{{Member: 1, Weight: 3}, {Member: 2, Weight: 1}}, true),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	e.add("ingress.profiled", Entry{Match: []Match{{Value: b(1)}}, Member: 1})
	e.add("ingress.selected", Entry{Match: []Match{{Value: b(1)}}, Group: 1})
	e.expect(0, unhex("50010000"), Packet{2, unhex("50010000")})
	if err := plain.ModifyMember(1, "ingress.to", [][]byte{{7}}); err != nil {
		t.Fatal(err)
	}
	e.expect(0, unhex("50010000"), Packet{7, unhex("50010000")})
	ports := map[uint32]int{}
	for i := range 400 {
		out := e.run(0, unhex(fmt.Sprintf("2f01 0000 %04x", i*163)))
		ports[out[0].Port]++
	}
	if ports[3]+ports[4] != 400 || ports[3] < 230 || ports[4] < 60 {
		t.Errorf("weights 3 and 1 spread as %v", ports)
	}
	same := e.run(0, unhex("2f01 1234 0001"))[0].Port
	for range 10 {
		if got := e.run(0, unhex("2f01 1234 0001"))[0].Port; got != same {
			t.Fatalf("one flow left by ports %d and %d", same, got)
		}
	}
}

func TestCountersCountPacketsAndBytes(t *testing.T) {
	e := newMore(t)
	entry := Entry{Match: []Match{{Value: b(2)}}, Action: "ingress.gone"}
	e.add("ingress.by_kind", entry)
	e.expect(0, unhex("02010000"))
	e.expect(0, unhex("02010000 0102"))
	e.run(0, unhex("03090000")) // an index outside counts nothing
	got, err := e.Table("ingress.by_kind").Get(&entry)
	if err != nil || got.Packets != 2 || got.Bytes != 10 {
		t.Errorf("%d packets, %d bytes, %v", got.Packets, got.Bytes, err)
	}
	if packets, bytes := e.Counter("ingress.seen").Read(1); packets != 2 || bytes != 10 {
		t.Errorf("cell 1: %d packets, %d bytes", packets, bytes)
	}
	if packets, _ := e.Counter("ingress.seen").Read(9); packets != 0 {
		t.Error("a cell outside the array counts")
	}
}

func TestADropInACopyOfStandardMetadataIsADrop(t *testing.T) {
	e := newMore(t)
	e.expect(0, unhex("0b090000"), Packet{1, unhex("0b090000")})
	e.add("ingress.by_kind", Entry{Match: []Match{{Value: b(0x0b)}}, Action: "ingress.vanish"})
	e.expect(0, unhex("0b090000"))
}

func TestThereIsNoQueue(t *testing.T) {
	e := newMore(t)
	e.expect(0, unhex("6155ffff"), Packet{1, unhex("61000000")})
}

func TestAMeterOfBytesCountsBytes(t *testing.T) {
	e := newMore(t)
	if err := e.Meter("ingress.rate").SetConfig(1, &MeterConfig{CIR: 1, CBurst: 10, PIR: 1, PBurst: 20}); err != nil {
		t.Fatal(err)
	}
	// Five bytes, then four, then four more than the committed burst holds.
	for _, c := range []struct{ in, want string }{
		{"6201ffff 00", "62010000 00"}, {"6201ffff", "62010000"}, {"6201ffff", "62010001"}, {"6201ffff 0000", "62010001 0000"}, {"6201ffff", "62010002"},
		{"6200ffff", "62000000"}, // no configuration
	} {
		e.expect(0, unhex(c.in), Packet{1, unhex(c.want)})
	}
}

func TestAnAccountHasAssertionsAndMessages(t *testing.T) {
	e := newMore(t)
	text := e.w.Trace(0, unhex("66aa0000")).String()
	for _, want := range []string{"assert: does not hold", "log_msg: kind 0x66 of 0xaa"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if text := e.w.Trace(0, unhex("65aa0000")).String(); strings.Contains(text, "does not hold") {
		t.Errorf("an assertion that holds is noted:\n%s", text)
	}
	e.expect(0, unhex("66aa0000"), Packet{1, unhex("66aa0000")})
}

// TestTheProgramsOfTheTestsAreWhatP4cMakes compiles them anew. The JSON is kept
// without the places in the source, which are half of it.
func TestTheProgramsOfTheTestsAreWhatP4cMakes(t *testing.T) {
	if _, err := exec.LookPath("p4c-bm2-ss"); err != nil {
		t.Skipf("SKIP: %v", err)
	}
	for _, name := range []string{"features", "more"} {
		out := filepath.Join(t.TempDir(), name+".json")
		cmd := exec.CommandContext(t.Context(), "p4c-bm2-ss", "--arch", "v1model", "-o", out, name+".p4")
		cmd.Dir = "testdata"
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, text)
		}
		if want, got := readTree(t, out), readTree(t, filepath.Join("testdata", name+".json")); !reflect.DeepEqual(want,
			got) {
			t.Errorf("testdata/%s.json is not what p4c makes of %s.p4", name, name)
		}
	}
}

func readTree(t *testing.T, path string) any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	return withoutPlaces(tree)
}

func withoutPlaces(v any) any {
	switch x := v.(type) {
	case map[string]any:
		delete(x, "source_info")
		delete(x, "__meta__") // has the compiler's version
		delete(x, "program")  // and its argument
		for k := range x {
			x[k] = withoutPlaces(x[k])
		}
	case []any:
		for i := range x {
			x[i] = withoutPlaces(x[i])
		}
	}
	return v
}
