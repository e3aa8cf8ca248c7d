package pipeline

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
)

// testdata/features.p4, compiled by p4c: everything of v1model that our own
// program has no use for.
func newFeatures(t testing.TB) *evpn { return newProgram(t, "testdata/features.json") }

// newProgram runs another program by the means of the EVPN program's tests.
func newProgram(t testing.TB, path string) *evpn {
	t.Helper()
	json, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	prog, err := Load(json)
	if err != nil {
		t.Fatal(err)
	}
	p := New(prog, Limits{})
	return &evpn{t: t, Pipeline: p, w: p.NewWorker(nil)}
}

// calc is the frame that most tests use: operation, a, b, s, t, w, v, q.
func calc(op, a, b, s, t uint8, w, v string, q uint64) []byte {
	return unhex(fmt.Sprintf("%02x%02x%02x%02x%02x%032s%032s%016x", op, a, b, s, t, w, v, q))
}

const ones = "ffffffffffffffffffffffffffffffff"

func TestArithmeticIsThatOfP4(t *testing.T) {
	for _, c := range []struct {
		name     string
		in, want []byte
	}{
		{"saturating add clamps above", calc(1, 200, 100, 100, 100, "1", "2", 3), calc(1, 255, 100, 127, 100, "1", "2", 3)},
		{"saturating add clamps below", calc(1, 2, 3, 0x80, 0xff, "1", "2", 3), calc(1, 5, 3, 0x80, 0xff, "1", "2", 3)},
		{"saturating subtract clamps", calc(2, 1, 2, 0x80, 1, "1", "2", 3), calc(2, 0, 2, 0x80, 1, "1", "2", 3)},
		{"saturating subtract of negatives", calc(2, 9, 2, 100, 0x9c, "1", "2", 3), calc(2, 7, 2, 127, 0x9c, "1", "2", 3)},
		{"add wraps", calc(3, 200, 100, 100, 100, ones, "1", 3), calc(3, 44, 100, 200, 100, "0", "1", 3)},
		{"add carries from word to word", calc(3, 0, 0, 0, 0, "ffffffffffffffff", "1", 0), calc(3, 0, 0, 0, 0, "10000000000000000", "1", 0)},
		{"subtract wraps", calc(4, 1, 2, 0x80, 1, "0", "1", 3), calc(4, 255, 2, 0x7f, 1, ones, "1", 3)},
		{"multiply", calc(5, 16, 17, 0, 0, "10000000000000003", "30000000000000005", 0x100000001), calc(5, 16, 17, 0, 0, "e000000000000000f", "30000000000000005", 0x200000001)},
		{"shift left", calc(6, 68, 0, 0, 0, "f000000000000001", "0", 1), calc(6, 68, 0, 0, 0, "100000000000000000", "0", 0)},
		{"shift left by more than the width", calc(6, 200, 0, 0, 0, ones, "0", 1), calc(6, 200, 0, 0, 0, "0", "0", 0)},
		{"shift right, arithmetic for signed", calc(7, 68, 0, 0x81, 0, "f0000000000000000000000000000000", "0", 1<<63), calc(7, 68, 0, 0xc0, 0, "0f00000000000000", "0", 0)},
		{"bitwise", calc(8, 0xf0, 0x3c, 0, 0, "ff00000000000000000000000000000c", "f0f", 0), calc(8, 0xcf, 0x3c, 0, 0, "ff000000000000000000000000000f03", "f0f", 0)},
		{"slices", calc(9, 0, 0xa5, 0, 0, "000102030405060708090a0b0c0d0e0f", "112233", 0), calc(9, 7, 0xaa, 0, 0, "000102030405060708090a0b0c0d0e0f", "11ee33", 0x0405060708090a0b)},
		{"casts keep the sign, then the bits", calc(10, 0, 0, 0x80, 0, "0", "aabb", 0), calc(10, 0, 0, 0x80, 0, "aabbffffffffffffff80", "aabb", 0xffffffffffffff80)},
		{"signed and wide comparison", calc(11, 0, 7, 0xff, 1, "0", "10000000000000000", 6), calc(11, 1|2|8, 7, 0xff, 1, "0", "10000000000000000", 6)},
		{"comparison of equals", calc(11, 0, 7, 1, 0xff, ones, ones, 5), calc(11, 4, 7, 1, 0xff, ones, ones, 5)},
		{"saturation at the width of a word", calc(12, 9, 0, 0, 0, "0", "0", 0xfffffffffffffff8), calc(12, 9, 0, 0, 0, "0", "0", 0xffffffffffffffff)},
		{"no saturation below it", calc(12, 9, 0, 0, 0, "0", "0", 1), calc(12, 9, 0, 0, 0, "0", "0", 10)},
		{"hashes", calc(13, 23, 0, 0, 0, "31323334353637383900000000000000", "0", 0), calc(13, 23, 0, 0, 0, "31323334353637383900000000000000", "0", 0x0067_3908_f62a_88f7)},
		{"exit ends ingress", calc(22, 0, 0, 0, 0, "0", "0", 0), calc(22, 0x77, 0, 0, 0, "0", "0", 0)},
		{"truncate", calc(19, 1, 2, 3, 4, "0102030405060708090a0b0c0d0e0f10", "0", 0), calc(19, 1, 2, 3, 4, "0102030405060708090a0b0c0d0e0f10", "0", 0)[:10]},
		{"resubmit keeps its fields", calc(18, 0, 0, 0, 0, "0", "0", 0), calc(18, 0, 0x5a, 0, 0, "0", "0", 0)},
		{"recirculation passes three times", calc(0x51, 0, 0, 0, 0, "0", "0", 0), calc(0x51, 3, 0, 0, 0, "0", "0", 0)},
		{"packet length", append(calc(0x52, 0, 0, 0, 0, "0", "0", 0), 1, 2, 3), append(calc(0x52, 0, 0, 0, 0, "0", "0", 48), 1, 2, 3)},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newFeatures(t)
			e.t = t
			e.expect(0, c.in, Packet{1, c.want})
		})
	}
}

func TestHashesAreTheWellKnownOnes(t *testing.T) {
	check := []byte("123456789")
	for name, want := range map[string]uint64{
		"crc16": 0xbb3d, "crc32": 0xcbf43926, "crcCCITT": 0x29b1, "identity": 0x3132333435363738,
		"xor16": 0x3132 ^ 0x3334 ^ 0x3536 ^ 0x3738 ^ 0x3900,
		// 3132+3334+3536+3738+3900 = 109d4: with the carry 09d5, inverted.
		"csum16": 0xf62a,
	} {
		if got := hashes[name](check); got != want {
			t.Errorf("%s: %#x, want %#x", name, got, want)
		}
	}
	// RFC 1071 section 3.
	if got := csum16(unhex("0001f203f4f5f6f7")); got != 0x220d {
		t.Errorf("checksum of RFC 1071's example: %#x", got)
	}
}

func TestHeaderStacksAndVariableLengths(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"a stack comes out as it went in", "80 02 04 07 aabb", "80 02 04 07 aabb"},
		{"full stack: the rest is payload", "80 02 04 06 07 aabb", "e2 02 04 06 07 aabb"},
		{"push moves all and the last falls off", "84 02 04 07 aabb", "84 aa 02 04 aabb"},
		{"pop moves all", "85 02 04 07 aabb", "85 04 07 aabb"},
		{"an element picked at run time", "86 02 04 07 aabb", "86 02 66 07 aabb"},
		{"options of 0 bytes", "81 00 77 aabb", "81 00 77 aabb"},
		{"options of 3 bytes", "81 03 010203 77 aabb", "81 03 010203 77 aabb"},
		{"options of 8 bytes", "81 08 0102030405060708 77", "81 08 0102030405060708 77"},
		{"options longer than they may be", "81 09 010203040506070809 77", "e4 09 010203040506070809 77"},
		{"options longer than the frame", "81 05 0102", "e3 05 0102"},
		{"verify sets the program's error", "81 ff 0102", "e1 ff 0102"},
		{"advance skips", "83 eeee 03 aabb", "83 03 aabb"},
		{"fields that cross words", "82 3fffffffffffffffff85", "82 20000000000000000005"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newFeatures(t)
			e.expect(0, unhex(c.in), Packet{1, unhex(c.want)})
		})
	}
}

func TestRegistersKeepTheirValues(t *testing.T) {
	e := newFeatures(t)
	e.run(0, calc(15, 1, 0, 0, 0, "0102030405060708090a0b0c0d0e0f10", "0", 0x1122334455667788))
	e.expect(0, calc(16, 1, 0, 0, 0, "0", "0", 0),
		Packet{1, calc(16, 1, 0, 0, 0, "0102030405060708090a0b0c0d0e0f10", "0", 0x1122334455667788)})
	outside := calc(16, 9, 0, 0, 0, "7", "0", 8)
	e.expect(0, outside, Packet{1, outside})
}

func TestRandomStaysInItsRange(t *testing.T) {
	e := newFeatures(t)
	seen := map[byte]bool{}
	for range 500 {
		seen[e.run(0, calc(20, 0, 0, 0, 0, "0", "0", 0))[0].Data[1]] = true
	}
	for v := range seen {
		if v < 3 || v > 7 {
			t.Errorf("random(3, 7) gave %d", v)
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d values of 5", len(seen))
	}
}

func TestMeterColoursByItsBuckets(t *testing.T) {
	e := newFeatures(t)
	colour := func() byte { return e.run(0, calc(17, 2, 9, 0, 0, "0", "0", 0))[0].Data[2] }
	if c := colour(); c != green {
		t.Errorf("unconfigured: %d", c)
	}
	// So slow that no token comes back during the test.
	m := e.Meter("ingress.rate")
	if err := m.SetConfig(2, &MeterConfig{CIR: 1, CBurst: 2, PIR: 1, PBurst: 5}); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for range 7 {
		got = append(got, colour())
	}
	if want := []byte{green, green, yellow, yellow, yellow, red, red}; !slices.Equal(got, want) {
		t.Errorf("colours %v, want %v", got, want)
	}
	if err := m.SetConfig(4, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("index outside the array: %v", err)
	}
}

func TestDroppedFrameLeavesNothing(t *testing.T) {
	e := newFeatures(t)
	e.expect(0, calc(21, 0, 0, 0, 0, "0", "0", 0))
}

func TestEgressCloneTakesTheHeadersAndPreservedFields(t *testing.T) {
	e := newFeatures(t)
	in := calc(0x50, 1, 2, 0, 0, "0", "0", 0)
	e.expect(0, in, Packet{1, in}) // no session
	if err := e.SetSession(5, Session{Replicas: []Replica{{Port: 6}, {Port: 7}}}); err != nil {
		t.Fatal(err)
	}
	cloned := calc(0x50, 1, 0x21, 0, 0, "0", "0", 0)
	e.expect(0, in, Packet{1, in}, Packet{6, cloned}, Packet{7, cloned})
	if err := e.SetSession(5, Session{Replicas: []Replica{{Port: 6}}, Truncate: 45}); err != nil {
		t.Fatal(err)
	}
	long := append(slices.Clone(in), 9, 9, 9)
	e.expect(0, long, Packet{1, long}, Packet{6, cloned})
}

func TestMulticastSetsTheReplicaID(t *testing.T) {
	e := newFeatures(t)
	in := calc(0x44, 3, 0, 0, 0, "0", "0", 0)
	e.expect(0, in) // no such group: dropped
	if err := e.SetGroup(3, []Replica{{4, 10}, {5, 11}, {4, 12}}); err != nil {
		t.Fatal(err)
	}
	e.expect(0, in, Packet{4, calc(0x44, 3, 0, 0, 0, "0", "0", 10)},
		Packet{5, calc(0x44, 3, 0, 0, 0, "0", "0", 11)}, Packet{4, calc(0x44, 3, 0, 0, 0, "0", "0", 12)})
}

func TestChecksumCoversThePayload(t *testing.T) {
	e := newFeatures(t)
	in := append(calc(0x60, 5, 0, 0, 0, "0", "0", 0), 1, 2, 3)
	// 6005 + 1234 + 0102 + 0300 = 763b
	want := append(calc(0x60, 5, 0, 0, 0, "0", "0", 0xffff&^0x763b), 1, 2, 3)
	e.expect(0, in, Packet{1, want})
}

func TestDirectMeterBelongsToItsEntry(t *testing.T) {
	e := newFeatures(t)
	entry := func(a byte) Entry {
		return Entry{Match: []Match{{Value: b(a)}}, Action: "ingress.metered_to", Params: [][]byte{{2}}}
	}
	e.add("ingress.by_rate", entry(1))
	e.add("ingress.by_rate", entry(2))
	table, first := e.Table("ingress.by_rate"), entry(1)
	if err := table.SetMeter(&first, &MeterConfig{CIR: 1, CBurst: 1, PIR: 1, PBurst: 2}); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for _, a := range []byte{1, 2, 1, 2, 1, 2} {
		got = append(got, e.run(0, calc(0x45, a, 9, 0, 0, "0", "0", 0))[0].Data[2])
	}
	if want := []byte{green, green, yellow, green, red, green}; !slices.Equal(got, want) {
		t.Errorf("colours %v, want %v", got, want)
	}
	first.Meter = &MeterConfig{CIR: 1, CBurst: 1, PIR: 1, PBurst: 2}
	if err := table.Modify(&first); err != nil {
		t.Fatal(err)
	}
	if got := e.run(0, calc(0x45, 1, 9, 0, 0, "0", "0", 0))[0].Data[2]; got != red {
		t.Errorf("colour %d after Modify with the same configuration: its buckets were filled", got)
	}
	if c, ok, err := table.MeterConfig(&first); err != nil || !ok || c.PBurst != 2 {
		t.Errorf("after Modify: %+v, %v, %v", c, ok, err)
	}
	if err := table.SetMeter(&first, &MeterConfig{CIR: 2, PIR: 1}); !errors.Is(err, ErrInvalid) {
		t.Errorf("peak below committed rate: %v", err)
	}
	first.Meter = nil
	if err := table.Modify(&first); err != nil {
		t.Fatal(err)
	}
	if c, ok, _ := table.MeterConfig(&first); ok {
		t.Errorf("after Modify without a configuration: %+v", c)
	}
}
