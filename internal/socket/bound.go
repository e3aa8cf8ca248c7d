package socket

import (
	"net"
	"sync"
)

// Why a connection was closed as soon as it was there.
const (
	RefusedAll    = "connections"            // there are as many as there may be
	RefusedClient = "connections_per_client" // there are as many of this client
	RefusedPeer   = "stranger"               // it has nothing to ask here, or cannot be known
)

// Bounds say how many connections a listener has open.
type Bounds struct {
	InAll, ByClient int
	// Admit reports whether a peer may connect at all; nil: everybody.
	Admit func(Peer) bool
	// Refused is told of each connection that was closed at once; nil: nobody is.
	Refused func(p Peer, reason string)
	// Full is asked when there are InAll, whether it ended one; nil: no.
	Full func() bool
}

// Conn is a connection of a bounded listener.
type Conn struct {
	net.Conn
	Peer Peer

	of      *Bounded
	closing sync.Once
}

// Bounded is a listener that closes the connections that are too many.
type Bounded struct {
	net.Listener
	bounds Bounds

	mu      sync.Mutex
	open    int
	clients map[string]int
}

// Bound puts bounds to a listener. What it accepts is a *Conn.
func Bound(l net.Listener, b Bounds) *Bounded {
	return &Bounded{Listener: l, bounds: b, clients: map[string]int{}}
}

// Open is how many connections there are.
func (b *Bounded) Open() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// Accept waits for a connection that may be.
func (b *Bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer, err := PeerOf(conn)
		reason := RefusedPeer
		if err == nil && (b.bounds.Admit == nil || b.bounds.Admit(peer)) {
			reason = b.take(peer.Client())
		}
		if reason == RefusedAll && b.bounds.Full != nil && b.bounds.Full() {
			reason = b.take(peer.Client())
		}
		if reason == "" {
			return &Conn{Conn: conn, Peer: peer, of: b}, nil
		}
		_ = conn.Close()
		if b.bounds.Refused != nil {
			b.bounds.Refused(peer, reason)
		}
	}
}

// take counts a connection, or says why it may not be.
func (b *Bounded) take(client string) (refused string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.clients[client] >= b.bounds.ByClient:
		return RefusedClient
	case b.open >= b.bounds.InAll:
		return RefusedAll
	}
	b.open++
	b.clients[client]++
	return ""
}

func (b *Bounded) give(client string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open--
	if b.clients[client]--; b.clients[client] == 0 {
		delete(b.clients, client)
	}
}

// Close closes the connection, which then counts no more.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	c.closing.Do(func() { c.of.give(c.Peer.Client()) })
	return err
}

// CloseWrite says that nothing more is sent, so that the peer can read the last answer.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
