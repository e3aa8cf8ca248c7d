package socket

import (
	"net"
	"slices"
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
	// Evict closes, when there are InAll, the oldest that is not kept in favour of the new
	// one: who comes late finds room among any number of others.
	Evict bool
}

// Conn is a connection of a bounded listener.
type Conn struct {
	net.Conn
	Peer Peer

	of      *Bounded
	closing sync.Once
	kept    bool // guarded by of.mu
}

// Bounded is a listener that closes the connections that are too many.
type Bounded struct {
	net.Listener
	bounds Bounds

	mu      sync.Mutex
	open    []*Conn // in the order in which they came
	clients map[string]int
	evicted uint64
}

// Bound puts bounds to a listener. What it accepts is a *Conn.
func Bound(l net.Listener, b Bounds) *Bounded {
	return &Bounded{Listener: l, bounds: b, clients: map[string]int{}}
}

// Open is how many connections there are.
func (b *Bounded) Open() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.open)
}

// Evicted is how many were closed for later ones.
func (b *Bounded) Evicted() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.evicted
}

// Accept waits for a connection that may be.
func (b *Bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer, err := PeerOf(conn)
		c := &Conn{Conn: conn, Peer: peer, of: b}
		reason := RefusedPeer
		if err == nil && (b.bounds.Admit == nil || b.bounds.Admit(peer)) {
			reason = b.take(c)
		}
		if reason == RefusedAll && b.bounds.Evict && b.evict() {
			reason = b.take(c)
		}
		if reason == "" {
			return c, nil
		}
		_ = conn.Close()
		if b.bounds.Refused != nil {
			b.bounds.Refused(peer, reason)
		}
	}
}

// take counts a connection, or says why it may not be.
func (b *Bounded) take(c *Conn) (refused string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	client := c.Peer.Client()
	switch {
	case b.clients[client] >= b.bounds.ByClient:
		return RefusedClient
	case len(b.open) >= b.bounds.InAll:
		return RefusedAll
	}
	b.open = append(b.open, c)
	b.clients[client]++
	return ""
}

// evict closes the oldest connection that is not kept, if there is one.
func (b *Bounded) evict() bool {
	b.mu.Lock()
	var oldest *Conn
	if i := slices.IndexFunc(b.open, func(c *Conn) bool { return !c.kept }); i >= 0 {
		oldest = b.open[i]
		b.evicted++
	}
	b.mu.Unlock()
	if oldest == nil {
		return false
	}
	_ = oldest.Close()
	return true
}

func (b *Bounded) give(c *Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = slices.DeleteFunc(b.open, func(other *Conn) bool { return other == c })
	client := c.Peer.Client()
	if b.clients[client]--; b.clients[client] == 0 {
		delete(b.clients, client)
	}
}

// Close closes the connection, which then counts no more.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	c.closing.Do(func() { c.of.give(c) })
	return err
}

// Keep says whether the connection may not be closed for a later one.
func (c *Conn) Keep(is bool) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.kept = is
}

// CloseWrite says that nothing more is sent, so that the peer can read the last answer.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
