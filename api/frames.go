package api

import (
	"time"

	"golang.org/x/time/rate"
)

// What a connection may send of the frames of HTTP/2 that cost the gateway an answer or a
// task and the client nothing: PING, SETTINGS, PRIORITY, RST_STREAM, CONTINUATION, and DATA
// without any. gRPC's own clients send a ping each time that data comes.
const (
	framesPerSecond = 1000
	framesAtOnce    = 10000
	// resetWeight is how many of the others a RST_STREAM is worth, which ends a call that
	// was begun.
	resetWeight = 5
	// strangersShare is the part of that for who has no role: all requests of such a one are
	// refused, and each costs memory until the connection is closed for it.
	strangersShare = 50
)

// preface is what an HTTP/2 connection begins with (RFC 9113 section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Types of frames (RFC 9113 section 6).
const (
	frameData         = 0
	framePriority     = 2
	frameReset        = 3
	frameSettings     = 4
	framePing         = 6
	frameContinuation = 9
	frameHeader       = 9 // bytes before each frame
	endOfStream       = 1
)

// frameMeter follows what a client sends, and counts such frames by a token bucket. What
// is no HTTP/2 it passes over.
type frameMeter struct {
	began   int // bytes of the preface so far; -1: it is no HTTP/2
	header  [frameHeader]byte
	have    int // bytes of header
	skip    int // bytes of a payload that are to come
	limiter *rate.Limiter
}

// take reports whether the client may send what it just sent.
func (f *frameMeter) take(b []byte) bool {
	for len(b) > 0 && f.began >= 0 && f.began < len(preface) {
		if b[0] != preface[f.began] {
			f.began = -1
			break
		}
		f.began, b = f.began+1, b[1:]
	}
	if f.began < 0 {
		return true
	}
	for len(b) > 0 {
		if n := min(f.skip, len(b)); n > 0 {
			f.skip, b = f.skip-n, b[n:]
			continue
		}
		n := copy(f.header[f.have:], b)
		f.have, b = f.have+n, b[n:]
		if f.have < frameHeader {
			break
		}
		f.have = 0
		f.skip = int(f.header[0])<<16 | int(f.header[1])<<8 | int(f.header[2])
		if n := f.weight(); n > 0 && !f.count(n) {
			return false
		}
	}
	return true
}

// weight is what the frame of this header counts.
func (f *frameMeter) weight() int {
	switch f.header[3] {
	case frameReset:
		return resetWeight
	case framePriority, frameSettings, framePing, frameContinuation:
		return 1
	case frameData:
		if f.skip == 0 && f.header[4]&endOfStream == 0 {
			return 1
		}
	}
	return 0
}

func (f *frameMeter) count(n int) bool {
	if f.limiter == nil {
		f.limiter = rate.NewLimiter(framesPerSecond, framesAtOnce)
	}
	return f.limiter.AllowN(time.Now(), n)
}
