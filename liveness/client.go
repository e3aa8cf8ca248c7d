package liveness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/p4evpn/p4evpn/bfd"
	"github.com/p4evpn/p4evpn/internal/socket"
)

// Client asks an Endpoint for sessions. It asks again after either side was away.
type Client struct {
	address string
	log     *slog.Logger
	events  chan Event

	mu      sync.Mutex
	peers   []Peer
	asked   bool // Want was called; what an earlier client wanted stays until then
	changed chan struct{}
}

// Event is what changed: sessions, or that the endpoint is out of reach, and nothing is
// known of any.
type Event struct {
	Sessions []bfd.Status
	Lost     error
}

// NewClient makes a client of the endpoint at unix:PATH.
func NewClient(address string, log *slog.Logger) *Client {
	if log == nil {
		log = slog.Default()
	}
	return &Client{address: address, log: log, events: make(chan Event), changed: make(chan struct{}, 1)}
}

// Want asks for exactly these sessions. It does not wait. Until it is called those of an
// earlier client go on.
func (c *Client) Want(peers []Peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked && slices.Equal(c.peers, peers) {
		return
	}
	c.peers, c.asked = slices.Clone(peers), true
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// wanted gives what Want was told last, and whether it was called.
func (c *Client) wanted() ([]Peer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peers, c.asked
}

// Events gives what changed. It is closed when Run returns.
func (c *Client) Events() <-chan Event { return c.events }

// pauses between two attempts to reach the endpoint: they double.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = time.Second
)

// Run asks until ctx ends. Call it once.
func (c *Client) Run(ctx context.Context) error {
	defer close(c.events)
	pause, said := firstPause, ""
	for {
		heard, err := c.talk(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if heard {
			pause, said = firstPause, ""
		}
		peers, _ := c.wanted()
		if text := err.Error(); len(peers) > 0 && text != said {
			said = text
			c.log.Error("nobody runs BFD for us, trying again: the embedded switch does, "+
				"or p4evpn liveness beside another target", "address", c.address, "err", err)
			select {
			case c.events <- Event{Lost: err}:
			case <-ctx.Done():
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}

// talk is with the endpoint until one of us goes, and reports whether it has answered.
func (c *Client) talk(ctx context.Context) (heard bool, err error) {
	address, err := socket.Parse(c.address)
	if err != nil {
		return false, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, address.Network, address.Where)
	if err != nil {
		return false, err
	}
	talk, cancel := context.WithCancel(ctx)
	var writer sync.WaitGroup
	defer writer.Wait()
	defer cancel()
	defer context.AfterFunc(talk, func() { _ = conn.Close() })()
	writer.Go(func() {
		defer cancel()
		c.ask(talk, conn)
	})
	lines := scan(conn)
	for lines.Scan() {
		var a answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return heard, fmt.Errorf("its answer: %w", err)
		}
		if a.Error != "" {
			return heard, errors.New(a.Error)
		}
		heard = true
		select {
		case c.events <- Event{Sessions: a.Sessions}:
		case <-ctx.Done():
			return heard, ctx.Err()
		}
	}
	if err := lines.Err(); err != nil && talk.Err() == nil {
		return heard, err
	}
	return heard, errors.New("it closed the connection")
}

// ask says what is wanted, now and whenever that changes.
func (c *Client) ask(ctx context.Context, conn net.Conn) {
	for {
		if peers, asked := c.wanted(); asked && write(conn, request{Peers: peers}) != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-c.changed:
		}
	}
}
