package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
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

// caller is who makes a call, and which call.
type caller struct {
	id      string // of the request
	address string // "" on a Unix socket
	subject string // of the verified certificate, as RFC 2253 writes it; "" without TLS
	role    Role   // "" is none
	rest    *restRequest
}

// client is what limits count by.
func (c caller) client() string {
	if c.subject != "" {
		return c.subject
	}
	host, _, err := net.SplitHostPort(c.address)
	if err != nil {
		return c.address
	}
	return host
}

// guard stands before every method, over gRPC and REST alike: it says who calls,
// whether they may, and what came of it.
type guard struct {
	// roles by subject; nil means that there is no TLS, and that whoever can
	// connect may do everything.
	roles map[string]Role
	limit *limiter
	log   *slog.Logger
}

// call runs a method that the caller may use.
func (g *guard) call(ctx context.Context, method string, do func() error) (err error) {
	start := time.Now()
	c := g.identify(ctx)
	// Over REST the header is set with the answer.
	_ = grpc.SetHeader(ctx, metadata.Pairs(requestIDHeader, c.id))
	defer func() {
		if p := recover(); p != nil {
			g.log.Error("an API call panicked", "id", c.id, "method", method, "panic", p, "stack", string(debug.Stack()))
			err = status.Error(codes.Internal, "the gateway failed to answer: its log says more under request "+c.id)
		}
		g.record(c, method, start, err)
	}()
	if c.rest == nil {
		if err := g.limit.take(c.client()); err != nil {
			return err
		}
	}
	if err := g.authorize(c, method); err != nil {
		return err
	}
	return do()
}

// identify says who makes the call of a context.
func (g *guard) identify(ctx context.Context) caller {
	c := caller{role: RoleOperator}
	if c.rest, _ = ctx.Value(restKey{}).(*restRequest); c.rest != nil {
		c.id = c.rest.id
	} else {
		c.id = requestID(metadata.ValueFromIncomingContext(ctx, requestIDHeader)...)
	}
	p, ok := peer.FromContext(ctx)
	if !ok {
		p = &peer.Peer{}
	}
	if p.Addr != nil {
		c.address = strings.TrimPrefix(p.Addr.String(), "@") // an unnamed Unix socket
	}
	if g.roles == nil {
		return c
	}
	c.role = ""
	if t, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(t.State.VerifiedChains) > 0 {
		c.subject = subjectOf(t.State.VerifiedChains[0][0].RawSubject)
		c.role = g.roles[c.subject]
	}
	return c
}

// subjectOf writes a certificate's subject in the order that it has there, the
// last part first (RFC 2253), as `openssl x509 -subject -nameopt RFC2253` does.
func subjectOf(raw []byte) string {
	var name pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &name); err != nil || len(rest) > 0 {
		return ""
	}
	return name.String()
}

// authorize checks that the caller's role allows the method.
func (g *guard) authorize(c caller, method string) error {
	switch {
	case c.role == RoleOperator, c.role == RoleViewer && reads(method):
		return nil
	case c.role == RoleViewer:
		return status.Errorf(codes.PermissionDenied,
			"the certificate's subject %q is a viewer's, which may only get and list: %s wants an operator", c.subject, method)
	}
	return status.Errorf(codes.PermissionDenied,
		"the certificate's subject %q has no role: give it one in api.roles of the configuration", c.subject)
}

// reads reports whether a method changes nothing. What it does not know it takes
// for a change.
func reads(method string) bool {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	if service == healthpb.Health_ServiceDesc.ServiceName || strings.HasPrefix(service, "grpc.reflection.") {
		return true
	}
	return strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Lookup")
}

// record writes the access log: what changed something or failed at level info,
// the rest at debug.
func (g *guard) record(c caller, method string, start time.Time, err error) {
	level := slog.LevelInfo
	if err == nil && reads(method) {
		level = slog.LevelDebug
	}
	via := "grpc"
	if c.rest != nil {
		via, c.rest.recorded = "rest", true
	}
	attrs := append(c.attrs(), slog.String("method", method), slog.String("via", via),
		slog.String("code", status.Code(err).String()), slog.Duration("took", time.Since(start)))
	if err != nil {
		attrs = append(attrs, slog.String("err", status.Convert(err).Message()))
	}
	g.log.LogAttrs(context.Background(), level, "API call", attrs...)
}

// attrs are what the log says of a caller.
func (c caller) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("id", c.id), slog.String("peer", cmp.Or(c.address, "local"))}
	if c.subject != "" {
		attrs = append(attrs, slog.String("subject", c.subject), slog.String("role", string(c.role)))
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
