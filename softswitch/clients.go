package softswitch

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/tap"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/internal/socket"
	"github.com/p4evpn/p4evpn/softswitch/p4rtserver"
)

// What clients have. The connection with the primary's stream, the controller's, has no
// other bound than maxRequest; of the rest, strangers, each may have so many bytes that no
// message took yet, and all together so many besides what each may have in any case.
const (
	maxConnections = 128
	strangerBytes  = 4<<20 + 64<<10
	strangersBytes = 16 << 20
	freeBytes      = 64 << 10
	// drainRate is how many bytes a second are forgotten of what was no message: pings and
	// the like of a client that stays for months.
	drainRate = 1 << 10
)

// clients are the connections to the switch.
type clients struct {
	log     *slog.Logger
	flooded atomic.Uint64 // connections that ended since they sent too much
	refused atomic.Uint64 // or since there were too many
	bounded *socket.Bounded

	mu      sync.Mutex
	waiting int // bytes of strangers, above freeBytes of each
}

func newClients(log *slog.Logger) *clients { return &clients{log: log} }

// bound bounds the connections of a listener. When there are too many the oldest one goes
// that is not the controller's: who comes late, as a controller that starts again, finds
// room among any number of others.
func (c *clients) bound(l net.Listener) net.Listener {
	c.bounded = socket.Bound(l, socket.Bounds{
		InAll: maxConnections, ByClient: maxConnections, Evict: true,
		Refused: func(p socket.Peer, reason string) {
			c.refused.Add(1)
			c.log.Debug("a connection to P4Runtime was refused", "peer", p, "reason", reason)
		},
	})
	return c.bounded
}

// client is a connection, in the clear.
type client struct {
	net.Conn // raw, or TLS over it
	raw      *socket.Conn
	of       *clients
	primary  atomic.Bool
	closing  sync.Once

	// Guarded by of.mu.
	gone    bool
	calls   int // under way
	waiting int // bytes that no message took yet
	at      time.Time
}

var errFlood = errors.New("more than a client may send that is not primary")

// Read reads what the client sent, and ends the connection of one that sends too much.
func (c *client) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.of.took(c, n) {
		c.of.flooded.Add(1)
		c.of.log.Warn("a client that is not primary sends too much to P4Runtime: its connection ends")
		return 0, errFlood
	}
	return n, err
}

func (c *client) Close() error {
	c.closing.Do(func() { c.of.forget(c) })
	return c.Conn.Close()
}

// SetPrimary is p4rtserver.Connection's.
func (c *client) SetPrimary(is bool) {
	c.primary.Store(is)
	c.raw.Keep(is)
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.of.set(c, 0)
}

// Primary is p4rtserver.Connection's.
func (c *client) Primary() bool { return c.primary.Load() }

// took counts bytes that came, and reports whether they may.
func (c *clients) took(of *client, n int) bool {
	if of.Primary() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	drained := int(now.Sub(of.at).Seconds() * drainRate)
	if drained > 0 {
		of.at = now
	}
	c.set(of, max(0, of.waiting-drained)+n)
	return of.waiting <= strangerBytes && (of.waiting <= freeBytes || c.waiting <= strangersBytes)
}

// set sets what waits of a client.
func (c *clients) set(of *client, n int) {
	if of.gone {
		return
	}
	c.waiting += max(0, n-freeBytes) - max(0, of.waiting-freeBytes)
	of.waiting = n
}

func (c *clients) forget(of *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set(of, 0)
	of.gone = true
}

// bytes tells how many there are of strangers.
func (c *clients) bytes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting
}

// clientCredentials give each connection its client, below which TLS is ended.
type clientCredentials struct {
	credentials.TransportCredentials
	clients *clients
}

func newClientCredentials(inner credentials.TransportCredentials, c *clients) credentials.TransportCredentials {
	if inner == nil {
		inner = insecure.NewCredentials()
	}
	return clientCredentials{inner, c}
}

// clientInfo is the AuthInfo of a client's calls, and its p4rtserver.Connection.
type clientInfo struct {
	credentials.AuthInfo
	*client
}

func (c clientCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	of := &client{Conn: conn, raw: raw.(*socket.Conn), of: c.clients, at: time.Now()}
	return of, clientInfo{info, of}, nil
}

func (c clientCredentials) Clone() credentials.TransportCredentials {
	return clientCredentials{c.TransportCredentials.Clone(), c.clients}
}

// clients follow the calls of each client: what a message took waits no more, and nothing
// does when there is no call.
var _ stats.Handler = (*clients)(nil)

// HandleRPC is stats.Handler's.
func (c *clients) HandleRPC(ctx context.Context, s stats.RPCStats) {
	p, _ := peer.FromContext(ctx)
	if p == nil {
		return
	}
	info, ok := p.AuthInfo.(clientInfo)
	if !ok {
		return
	}
	of := info.client
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s := s.(type) {
	case *stats.Begin:
		of.calls++
	case *stats.InPayload:
		c.set(of, max(0, of.waiting-s.WireLength))
	case *stats.End:
		if of.calls--; of.calls == 0 {
			c.set(of, 0)
		}
	}
}

// TagRPC is stats.Handler's.
func (*clients) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// TagConn is stats.Handler's.
func (*clients) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn is stats.Handler's.
func (*clients) HandleConn(context.Context, stats.ConnStats) {}

// boundRead has a stranger's Read end in time.
func boundRead(ctx context.Context, info *tap.Info) (context.Context, error) {
	if info.FullMethodName != p4v1.P4Runtime_Read_FullMethodName {
		return ctx, nil
	}
	most, bounded := p4rtserver.TimeOfRead(ctx)
	if !bounded {
		return ctx, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(most, func() { cancel(context.DeadlineExceeded) })
	context.AfterFunc(ctx, func() { timer.Stop() })
	return ctx, nil
}
