package bfd

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"
)

func bytesOf(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The fields are where RFC 5880 section 4.1 has them.
func TestAPacketIsReadAsTheRFCDrawsIt(t *testing.T) {
	wire := bytesOf(t, "23"+"ea"+"05"+"18"+"00000007"+"00000009"+"000186a0"+"0000c350"+"00000001")
	want := Packet{
		State: Up, Diagnostic: NeighborDown, Poll: true, Independent: true, Demand: true, Multiplier: 5, Mine: 7, Yours: 9,
		DesiredMinTx: 100 * time.Millisecond, RequiredMinRx: 50 * time.Millisecond, EchoMinRx: time.Microsecond,
	}
	got, why := Parse(wire)
	if why != Taken || got != want {
		t.Errorf("got %+v, %v; want %+v", got, why, want)
	}
	if again := want.Append(nil); !bytes.Equal(again, wire) {
		t.Errorf("written as %x, want %x", again, wire)
	}
	if got, why := Parse(append(wire, 1, 2, 3)); why != Taken || got != want {
		t.Errorf("with bytes behind it: %+v, %v", got, why)
	}
}

// RFC 5880 section 6.8.6 says what MUST be discarded.
func TestAPacketThatMustBeDiscardedIsByItsReason(t *testing.T) {
	good := func() []byte { return bytesOf(t, "20c003180000000700000009000186a0000186a000000000") }
	for _, c := range []struct {
		name string
		want Reason
		make func(b []byte) []byte
	}{
		{"the packet itself", Taken, func(b []byte) []byte { return b }},
		{"nothing", BadLength, func([]byte) []byte { return nil }},
		{"a byte less", BadLength, func(b []byte) []byte { return b[:23] }},
		{"a length of 23", BadLength, func(b []byte) []byte { b[3] = 23; return b }},
		{"a length of 0", BadLength, func(b []byte) []byte { b[3] = 0; return b }},
		{"a length beyond the payload", BadLength, func(b []byte) []byte { b[3] = 25; return b }},
		{"version 0", BadVersion, func(b []byte) []byte { b[0] &= 0x1f; return b }},
		{"version 7", BadVersion, func(b []byte) []byte { b[0] |= 0xe0; return b }},
		{"a multiplier of 0", BadMultiplier, func(b []byte) []byte { b[2] = 0; return b }},
		{"the M bit", Multipoint, func(b []byte) []byte { b[1] |= 1; return b }},
		{"my discriminator of 0", BadDiscriminator, func(b []byte) []byte { clear(b[4:8]); return b }},
		{"your discriminator of 0, up", NoYourDiscriminator, func(b []byte) []byte { clear(b[8:12]); return b }},
		{"your discriminator of 0, init", NoYourDiscriminator,
			func(b []byte) []byte { clear(b[8:12]); b[1] = 2 << 6; return b }},
		{"your discriminator of 0, down", Taken, func(b []byte) []byte { clear(b[8:12]); b[1] = 1 << 6; return b }},
		{"your discriminator of 0, admin down", Taken, func(b []byte) []byte { clear(b[8:12]); b[1] = 0; return b }},
		{"the A bit", Authenticated, func(b []byte) []byte { b[1] |= 4; return b }},
		{"the A bit with a password", Authenticated,
			func(b []byte) []byte { b[1] |= 4; b[3] = 28; return append(b, 1, 4, 1, 'x') }},
	} {
		if _, got := Parse(c.make(good())); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "20c003180000000700000009000186a0000186a000000000",
		"23ea05180000000700000009000186a00000c35000000001",
		"20c4031c0000000700000009000186a0000186a0000000000104" + "0178", "00", "ffffffffffffffffffffffffffffffffffffffffffffffff"} {
		f.Add(bytesOf(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, why := Parse(b)
		if why != Taken {
			if p != (Packet{}) {
				t.Errorf("discarded for %v, and %+v is left", why, p)
			}
			return
		}
		again, why := Parse(p.Append(nil))
		if why != Taken || again != p {
			t.Errorf("%+v is written as what is read as %+v, %v", p, again, why)
		}
		s := NewSession(1, Timing{100 * time.Millisecond, 3}, start)
		for _, first := range []State{Down, Init, Up} {
			s.Receive(&Packet{State: first, Mine: 2, Yours: 1, Multiplier: 1, RequiredMinRx: time.Second}, start)
			s.Receive(&p, start)
			s.Transmit(start)
			if d := s.Detection(); d < 0 || d > 255*(1<<32)*time.Microsecond {
				t.Errorf("detection time %v", d)
			}
			if next := s.Next(); !next.IsZero() && next.Before(start.Add(-time.Second)) && s.sent.Equal(start) {
				t.Errorf("the next thing is due %v before now", start.Sub(next))
			}
			s.Expire(start.Add(time.Hour))
		}
	})
}
