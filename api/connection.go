package api

import (
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/time/rate"

	"github.com/p4evpn/p4evpn/internal/socket"
)

// party is who is at the other end of a connection, and what that one may do.
type party struct {
	peer    socket.Peer
	address string // with the port, over TCP
	subject string // of the verified certificate, as RFC 2253 writes it; "" without TLS
	role    Role   // "" is none
	plain   bool   // TCP without TLS: a browser may be made to ask
}

// client is what limits count by.
func (p party) client() string {
	if p.subject != "" {
		return p.subject
	}
	return p.peer.Client()
}

// who is for texts.
func (p party) who() string {
	if p.peer.Local {
		return fmt.Sprintf("the user with uid %d", p.peer.UID)
	}
	return fmt.Sprintf("the certificate's subject %q", p.subject)
}

// conn is a client's connection, as net/http has it: what comes is in the clear.
type conn struct {
	net.Conn
	raw     *socket.Conn
	tls     *tls.Conn // Conn, or nil without TLS
	server  *Server
	frames  frameMeter
	shaking sync.Once
	failed  error // of the handshake
	party   party
}

// newConn makes one of what a listener accepted. TLS is for TCP alone: on a Unix socket
// the kernel says who asks.
func (s *Server) newConn(raw *socket.Conn, with *tls.Config) *conn {
	c := &conn{Conn: raw, raw: raw, server: s, party: party{peer: raw.Peer}}
	switch {
	case raw.Peer.Local:
		c.party.role = s.local.of(raw.Peer)
		return c
	case with == nil:
		c.party.plain = true
		if s.insecure {
			c.party.role = RoleOperator
		}
	default:
		c.tls = tls.Server(raw, with)
		c.Conn = c.tls
	}
	c.party.address = raw.RemoteAddr().String()
	return c
}

var errTooManyFrames = errors.New("too many HTTP/2 frames that say nothing")

// Read reads what the client sent, and ends the connection of one that floods.
func (c *conn) Read(b []byte) (int, error) {
	if err := c.shake(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	if !c.frames.take(b[:n]) {
		c.server.metrics.connection(refusedFrames)
		c.server.log.Warn("an API client floods its connection, which is closed", "peer", c.party.client())
		return 0, errTooManyFrames
	}
	return n, err
}

// shake makes the handshake of TLS, and learns by it who the client is. The time that the
// header of a first request may take is all the time there is.
func (c *conn) shake() error {
	if c.tls == nil {
		return nil
	}
	c.shaking.Do(func() {
		if c.failed = c.tls.Handshake(); c.failed != nil {
			c.server.metrics.connection(refusedHandshake)
			c.server.log.Warn("TLS handshake with an API client", "peer", c.party.address, "err", c.failed)
			return
		}
		if chains := c.tls.ConnectionState().VerifiedChains; len(chains) > 0 {
			c.party.subject = subjectOf(chains[0][0].RawSubject)
			c.party.role = c.server.certificates[c.party.subject]
		}
		if c.party.role == "" {
			c.frames.limiter = rate.NewLimiter(framesPerSecond/strangersShare, framesAtOnce/strangersShare)
		}
	})
	return c.failed
}

// CloseWrite lets the client read the last answer.
func (c *conn) CloseWrite() error {
	if c.tls != nil {
		return c.tls.CloseWrite()
	}
	return c.raw.CloseWrite()
}

// maxSubject bounds a subject, in bytes.
const maxSubject = 1024

// subjectOf writes a certificate's subject in the order that it has there, the
// last part first (RFC 2253), as `openssl x509 -subject -nameopt RFC2253` does. One that
// is no text, such as a number for a name, or too long, is nobody's: "".
func subjectOf(raw []byte) string {
	var name pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &name); err != nil || len(rest) > 0 {
		return ""
	}
	for _, part := range name {
		for _, attribute := range part {
			value, ok := attribute.Value.(string)
			if !ok || strings.ToValidUTF8(value, "") != value || strings.ContainsFunc(value, unicode.IsControl) {
				return ""
			}
		}
	}
	if text := name.String(); len(text) <= maxSubject {
		return text
	}
	return ""
}

// pageBuffer is how much the kernel takes of a page that its client does not read: it would
// take megabytes, of each stream.
const pageBuffer = 64 << 10

// connections is a listener whose connections say who they are of.
type connections struct {
	net.Listener
	server *Server
	tls    *tls.Config // over TCP; nil: none
	page   bool
}

func (l connections) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	of := c.(*socket.Conn)
	if tcp, ok := of.Conn.(*net.TCPConn); ok && l.page {
		_ = tcp.SetWriteBuffer(pageBuffer)
	}
	return l.server.newConn(of, l.tls), nil
}

// accept is a listener with the bounds of the API.
func (s *Server) accept(at served) net.Listener {
	b := socket.Bound(at.listener, s.bounds())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bounded = append(s.bounded, b)
	return connections{b, s, at.tls, at.http == s.webHTTP}
}

// bounds are those of one listener.
func (s *Server) bounds() socket.Bounds {
	return socket.Bounds{
		InAll: s.limits.Connections, ByClient: s.limits.ConnectionsPerClient,
		Admit: func(p socket.Peer) bool { return !p.Local || s.local.of(p) != "" },
		Refused: func(p socket.Peer, reason string) {
			s.metrics.connection(reason)
			s.log.Debug("an API connection was refused", "peer", p, "reason", reason)
		},
	}
}

// open is how many connections there are.
func (s *Server) open() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.bounded {
		n += b.Open()
	}
	return n
}

type partyKey struct{}

// withParty is http.Server's ConnContext.
func withParty(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, partyKey{}, c)
}

// partyOf gives who makes a request, false where that cannot be said.
func partyOf(ctx context.Context) (party, bool) {
	switch c := ctx.Value(partyKey{}).(type) {
	case *conn:
		return c.party, true // its first byte was read, and so it has shaken hands
	case party:
		return c, true
	}
	return party{}, false
}
