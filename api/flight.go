package api

import (
	"io"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
)

// What may be under way: bytes of requests that are being read or answered, and calls.
// However many others ask, a client has one call, and freeBytes of requests.
const (
	maxBytes          = 64 << 20
	maxBytesPerClient = 16 << 20
	freeBytes         = 64 << 10
	maxCalls          = 256
	maxCallsPerClient = 64
)

// flight counts what is under way, in all and of each client.
type flight struct {
	mu      sync.Mutex
	all     load
	clients map[string]*load
}

type load struct{ calls, bytes int }

func newFlight() *flight { return &flight{clients: map[string]*load{}} }

// begin counts a call of a client, which its end gives back with all bytes of it.
func (f *flight) begin(client string) (*passage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	of := f.clients[client]
	if of == nil {
		of = &load{}
	}
	if of.calls >= maxCallsPerClient || f.all.calls >= maxCalls && of.calls > 0 {
		return nil, later("the gateway is answering as many calls as it may")
	}
	f.clients[client] = of
	of.calls++
	f.all.calls++
	return &passage{flight: f, client: client}, nil
}

// now tells what is under way.
func (f *flight) now() load {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all
}

// passage is one call under way.
type passage struct {
	flight *flight
	client string
	bytes  int
}

// take counts bytes of the call's request.
func (p *passage) take(n int) error {
	f := p.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	of := f.clients[p.client]
	if of.bytes+n > maxBytesPerClient || f.all.bytes+n > maxBytes && of.bytes+n > freeBytes {
		return later("the gateway is reading as much of requests as it may")
	}
	p.bytes += n
	of.bytes += n
	f.all.bytes += n
	return nil
}

func (p *passage) end() {
	f := p.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	of := f.clients[p.client]
	of.calls--
	of.bytes -= p.bytes
	f.all.calls--
	f.all.bytes -= p.bytes
	if of.calls == 0 {
		delete(f.clients, p.client)
	}
}

// later refuses what will do in a moment.
func later(text string) error {
	return withDetails(codes.ResourceExhausted, text+": try again",
		&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)})
}

// counted is a request's body that counts what is read of it, up to a limit.
type counted struct {
	io.ReadCloser
	passage *passage
	left    int
	over    error // what reading gives behind the limit
}

func (c *counted) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if c.left == 0 {
		// Whether there is more must be known, and is not kept.
		if n, err := c.ReadCloser.Read(b[:1]); n == 0 {
			return 0, err
		}
		return 0, c.over
	}
	n, err := c.ReadCloser.Read(b[:min(len(b), c.left)])
	c.left -= n
	if err := c.passage.take(n); err != nil {
		return 0, err
	}
	return n, err
}
