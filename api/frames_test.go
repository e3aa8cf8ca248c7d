package api

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/time/rate"
)

func TestFramesAreCountedHoweverTheyAreCut(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&b, nil)
	_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})                 // 1
	_ = f.WriteData(1, false, bytes.Repeat([]byte{framePing}, 40))                                 // 0
	_ = f.WriteData(1, false, nil)                                                                 // 1
	_ = f.WriteData(1, true, nil)                                                                  // 0: it ends a request
	_ = f.WriteWindowUpdate(0, 1)                                                                  // 0: for what was sent
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82, 6, 6, 6}}) // 0
	_ = f.WriteContinuation(1, true, []byte{6, 6, 6})                                              // 1
	_ = f.WritePing(false, [8]byte{6, 6, 6})                                                       // 1
	_ = f.WriteRSTStream(1, http2.ErrCodeCancel)                                                   // 5
	_ = f.WritePriority(1, http2.PriorityParam{})                                                  // 1
	for size := 1; size <= b.Len(); size++ {
		m := frameMeter{limiter: rate.NewLimiter(0, framesAtOnce)} // which nothing fills again
		for rest := b.Bytes(); len(rest) > 0; {
			n := min(size, len(rest))
			m.take(rest[:n])
			rest = rest[n:]
		}
		if got := framesAtOnce - m.limiter.Tokens(); got != 10 {
			t.Fatalf("in parts of %d bytes %v are counted, want 10", size, got)
		}
	}
}

func TestHTTP1IsNoFlood(t *testing.T) {
	pings := bytes.Repeat([]byte{0, 0, 0, framePing, 0, 0, 0, 0, 0}, 2*framesAtOnce)
	for text, flood := range map[string]bool{"POST /v1/vrfs HTTP/1.1\r\n": false, "PRI * HTTP/2.0\r\n\r\nXX": false,
		http2.ClientPreface: true} {
		var m frameMeter
		if !m.take([]byte(text)) || m.take(pings) == flood {
			t.Errorf("%q: a flood is %v", text, !flood)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte(http2.ClientPreface), 3)
	f.Add([]byte(http2.ClientPreface+"\x00\x00\x08\x06\x00\x00\x00\x00\x00"), 1)
	f.Add([]byte("GET / HTTP/1.1\r\n"), 7)
	f.Fuzz(func(_ *testing.T, b []byte, size int) {
		var m frameMeter
		for size = max(1, size); len(b) > 0; {
			n := min(size, len(b))
			m.take(b[:n])
			b = b[n:]
		}
	})
}
