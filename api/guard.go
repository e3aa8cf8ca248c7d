package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/internal/tracing"
)

// Role is what a client may do.
type Role string

// Roles of clients.
const (
	RoleViewer   Role = "viewer"   // may get and list
	RoleOperator Role = "operator" // may do everything
)

// requestIDHeader names a request in its headers, in those of the answer and in
// the log.
const requestIDHeader = "x-request-id"

// arrival is a request that came over gRPC or REST.
type arrival struct {
	id       string
	via      string // "grpc" or "rest"
	recorded bool   // in the access log, as a call
	headers  http.Header
	changes  []intent.Batch
}

// context is that of the request, in which what it changes is noted.
func (a *arrival) context(ctx context.Context) context.Context {
	ctx = context.WithValue(ctx, arrivalKey{}, a)
	return intent.Recorded(ctx, func(b intent.Batch) { a.changes = append(a.changes, b) })
}

type arrivalKey struct{}

// caller is who makes a call, and with which request.
type caller struct {
	*arrival
	party
}

// guard stands before every method, over gRPC and REST alike: it says who calls,
// whether they may, and what came of it.
type guard struct {
	// inside is a guard of calls from within the process alone, which may do everything.
	inside  bool
	hosts   map[string]bool // names that the gateway is called by, besides localhost
	origin  *http.CrossOriginProtection
	limit   *limiter
	spans   *tracing.Tracer // nil: calls have none
	flight  *flight
	metrics *metrics
	audit   *auditLog     // nil: there is none
	body    time.Duration // that a request's body may take
	log     *slog.Logger
}

// enter is what every request passes before any of its body is read: whether it may be
// asked from where it is, as often as its client asks, and by whom it is. What it gives
// is to be ended with the request.
func (g *guard) enter(r *http.Request, what string, reads bool) (p *passage, err error) {
	c := g.identify(r.Context())
	reason := ""
	defer func() {
		if err != nil {
			g.metrics.request(reason)
		}
	}()
	if reason = refusedHost; c.plain && !g.calledBy(r.Host) {
		return nil, status.Errorf(codes.PermissionDenied, "%.80q is no name of this gateway: ask by its address or as "+
			"localhost, or name it in api.hosts of the configuration", r.Host)
	}
	if reason = refusedOrigin; g.origin.Check(r) != nil {
		return nil, status.Error(codes.PermissionDenied, "a page of another site asks by a browser for a change: refused")
	}
	reason = refusedRate
	if err := g.limit.take(c.client()); err != nil {
		return nil, err
	}
	reason = refusedRole
	if err := c.mayCall(what, reads); err != nil {
		return nil, err
	}
	reason = refusedCalls
	return g.flight.begin(c.client())
}

// calledBy reports whether a request's Host can be ours. A page of a foreign name that
// suddenly leads here (DNS rebinding) has that name; a number cannot be made to.
func (g *guard) calledBy(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host == "" || host == "localhost" || g.hosts[host]
}

// call runs a method that the caller may use.
func (g *guard) call(ctx context.Context, method string, do func(context.Context) error) (err error) {
	start := time.Now()
	c := g.identify(ctx)
	ctx, span := g.span(ctx, c, method)
	defer func() { span.End(err) }()
	// Over REST the header is set with the answer.
	_ = grpc.SetHeader(ctx, metadata.Pairs(requestIDHeader, c.id))
	defer func() {
		if p := recover(); p != nil {
			g.log.Error("an API call panicked", "id", c.id, "method", method, "panic", p, "stack", string(debug.Stack()))
			err = status.Error(codes.Internal, "the gateway failed to answer: its log says more under request "+c.id)
		}
		g.record(c, method, start, err)
		g.audit.record(c, method, start, err)
	}()
	if err := c.mayCall(method, reads(method)); err != nil {
		return err
	}
	return do(ctx)
}

// span begins that of a call, if calls have any.
func (g *guard) span(ctx context.Context, c caller, method string) (context.Context, tracing.Span) {
	if g.spans == nil {
		return ctx, tracing.Span{}
	}
	called := g.metrics.method(method)
	ctx, span := g.spans.Request(ctx, c.headers, called.service+"/"+called.name)
	span.Text("rpc.system", "grpc")
	span.Text("rpc.service", called.service)
	span.Text("rpc.method", called.name)
	span.Text("p4evpn.via", c.via)
	span.Text("p4evpn.request_id", c.id)
	return ctx, span
}

// identify says who makes the call of a context.
func (g *guard) identify(ctx context.Context) (c caller) {
	c.arrival, _ = ctx.Value(arrivalKey{}).(*arrival)
	if c.arrival == nil {
		c.arrival = &arrival{id: requestID(), via: "inside"}
	}
	var known bool
	if c.party, known = partyOf(ctx); !known && g.inside {
		c.role = RoleOperator
	}
	return c
}

// mayCall checks that the caller's role allows what is asked.
func (c caller) mayCall(what string, reads bool) error {
	switch {
	case c.role == RoleOperator, c.role == RoleViewer && reads:
		return nil
	case c.role == RoleViewer:
		return status.Errorf(codes.PermissionDenied, "%s is a viewer's, which may only get and list: %s wants an operator",
			c.who(), clip(what))
	}
	return status.Errorf(codes.PermissionDenied, "%s has no role: give it one in api.roles of the configuration", c.who())
}

// reads reports whether a method changes nothing. What it does not know it takes
// for a change.
func reads(method string) bool {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	if service == healthpb.Health_ServiceDesc.ServiceName || strings.HasPrefix(service, "grpc.reflection.") {
		return true
	}
	return strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Lookup") ||
		strings.HasPrefix(name, "Watch") || name == "TraceFrame" || name == "CheckTarget"
}

// record writes the access log: what changed something or failed at level info,
// the rest at debug, and what was only asked too often.
func (g *guard) record(c caller, method string, start time.Time, err error) {
	code := status.Code(err)
	level := slog.LevelInfo
	if err == nil && reads(method) || code == codes.ResourceExhausted {
		level = slog.LevelDebug
	}
	c.recorded = true
	took := time.Since(start)
	g.metrics.call(method, code, took)
	attrs := append(c.attrs(), slog.String("method", clip(method)), slog.String("via", c.via),
		slog.String("code", code.String()), slog.Duration("took", took))
	if err != nil {
		attrs = append(attrs, slog.String("err", status.Convert(err).Message()))
	}
	g.log.LogAttrs(context.Background(), level, "API call", attrs...)
}

// attrs are what the log says of a caller.
func (c caller) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("id", c.id), slog.String("peer", cmp.Or(c.address, c.peer.String()))}
	if c.subject != "" {
		attrs = append(attrs, slog.String("subject", c.subject))
	}
	if !c.plain {
		attrs = append(attrs, slog.String("role", string(c.role)))
	}
	return attrs
}

// maxRequestID bounds the ids that clients give to requests.
const maxRequestID = 128

// requestID takes the id that a client gave to its request, if there is just one
// that can stand in a header and a log, else it makes one.
func requestID(given ...string) string {
	if len(given) == 1 && given[0] != "" && len(given[0]) <= maxRequestID &&
		strings.IndexFunc(given[0], func(r rune) bool { return r <= ' ' || r > '~' }) < 0 {
		return given[0]
	}
	return strings.ToLower(rand.Text())
}
