package api

import (
	"cmp"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Limits bound what one client may ask of the gateway. Zero values stand for the
// defaults.
type Limits struct {
	// MessageBytes is the largest message over gRPC, BodyBytes the largest body over REST.
	MessageBytes, BodyBytes int
	// Connections is how many there may be at one address, ConnectionsPerClient how many of
	// a client: a user of this machine, an IPv4 address or an IPv6 network of 64 bits.
	Connections, ConnectionsPerClient int
	// CallsPerSecond and Burst bound the calls of a client: a certificate's
	// subject, or an address where there is no TLS.
	CallsPerSecond float64
	Burst          int
}

// The defaults of Limits: what a client that applies a whole site at once needs.
const (
	defaultMessageBytes         = 4 << 20
	defaultBodyBytes            = 64 << 10
	defaultConnections          = 512
	defaultConnectionsPerClient = 64
	defaultCallsPerSecond       = 1000
	defaultBurst                = 2000
)

func (l Limits) withDefaults() Limits {
	l.MessageBytes = cmp.Or(l.MessageBytes, defaultMessageBytes)
	l.BodyBytes = cmp.Or(l.BodyBytes, defaultBodyBytes)
	l.Connections = cmp.Or(l.Connections, defaultConnections)
	l.ConnectionsPerClient = cmp.Or(l.ConnectionsPerClient, defaultConnectionsPerClient)
	l.CallsPerSecond = cmp.Or(l.CallsPerSecond, defaultCallsPerSecond)
	l.Burst = cmp.Or(l.Burst, defaultBurst)
	return l
}

// maxClients bounds the clients that a limiter counts for. Those that come when
// it is full share one count.
const maxClients = 4096

// limiter bounds the calls of each client by a token bucket.
type limiter struct {
	limit rate.Limit
	burst int

	mu      sync.Mutex
	clients map[string]*rate.Limiter
	others  *rate.Limiter
}

func newLimiter(l Limits) *limiter {
	return &limiter{
		limit: rate.Limit(l.CallsPerSecond), burst: l.Burst,
		clients: map[string]*rate.Limiter{}, others: rate.NewLimiter(rate.Limit(l.CallsPerSecond), l.Burst),
	}
}

// take counts one call; a client that made too many gets ResourceExhausted and
// is told when to come back.
func (l *limiter) take(client string) error {
	bucket := l.bucket(client)
	now := time.Now()
	r := bucket.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	r.CancelAt(now)
	return withDetails(codes.ResourceExhausted,
		"too many calls of one client: wait, or raise api.limits.calls_per_second of the configuration",
		&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)})
}

func (l *limiter) bucket(client string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.clients[client]; b != nil {
		return b
	}
	if len(l.clients) >= maxClients {
		l.forget()
	}
	if len(l.clients) >= maxClients {
		return l.others
	}
	b := rate.NewLimiter(l.limit, l.burst)
	l.clients[client] = b
	return b
}

// forget drops the clients that were silent for so long that nothing is counted
// against them.
func (l *limiter) forget() {
	for client, b := range l.clients {
		if b.Tokens() >= float64(l.burst) {
			delete(l.clients, client)
		}
	}
}
