package p4rt

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/internal/events"
)

// Client controls one target. Its methods are safe for concurrent use.
type Client struct {
	cfg     Config
	network string
	address string
	queue   *queue
	metrics *metrics
	writing chan struct{}              // holds a token while a Write is under way
	id      atomic.Pointer[ElectionID] // that is arbitrated with
	known   bool                       // a target knew this client before; Run's own

	mu      sync.Mutex
	session *session // nil while there is no connection that arbitrated
	primary bool     // session runs our pipeline, and we may write
	down    error    // why there is no session
}

// New checks cfg and makes a Client. It does nothing until Run.
func New(cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("P4Runtime client: %w", err)
	}
	c := &Client{
		cfg:     cfg.withDefaults(),
		metrics: newMetrics(),
		writing: make(chan struct{}, 1),
		down:    fmt.Errorf("%w: not tried yet", ErrNotConnected),
	}
	c.cfg.Logger = c.cfg.Logger.With("target", cfg.Target)
	c.network, c.address, _ = splitTarget(cfg.Target)
	c.id.Store(&c.cfg.ElectionID)
	c.queue = newQueue(c.cfg.QueueSize, c.metrics)
	return c, nil
}

// Run keeps the connection to the target until ctx ends, then closes it, closes
// the channel of Events and returns nil. It must be called once.
func (c *Client) Run(ctx context.Context) error {
	var pump sync.WaitGroup
	pump.Go(func() { c.queue.run(ctx) })
	defer pump.Wait()

	backoff := c.cfg.MinBackoff
	for ctx.Err() == nil {
		began := time.Now()
		err := c.connect(ctx)
		if ctx.Err() != nil {
			break
		}
		c.lost(err)
		if time.Since(began) > c.cfg.MaxBackoff {
			backoff = c.cfg.MinBackoff // it held for a while
		}
		// Half of the pause is random, so that controllers that lost one
		// target together do not return together.
		select {
		case <-ctx.Done():
		case <-time.After(backoff/2 + rand.N(backoff/2+1)):
		}
		backoff = min(2*backoff, c.cfg.MaxBackoff)
	}
	c.mu.Lock()
	c.session, c.primary, c.down = nil, false, fmt.Errorf("%w: the client was stopped", ErrNotConnected)
	c.mu.Unlock()
	c.metrics.connected.Set(0)
	c.metrics.primary.Set(0)
	return nil
}

// lost makes the end of a session, or the failure to make one, known.
func (c *Client) lost(err error) {
	c.mu.Lock()
	repeated := c.session == nil && c.down != nil && c.down.Error() == err.Error()
	c.session, c.primary, c.down = nil, false, err
	c.mu.Unlock()
	c.metrics.connected.Set(0)
	c.metrics.primary.Set(0)
	if repeated {
		c.cfg.Logger.Debug("target still unreachable", "err", err)
		return
	}
	c.cfg.Logger.Warn("no connection to the target, trying again", events.Key, events.Target, "err", err)
	c.queue.state(Down{Err: err}, nil)
}

// connected makes a session known to Read, which needs no mastership.
func (c *Client) connected(s *session) {
	c.mu.Lock()
	c.session, c.primary, c.down = s, false, nil
	c.mu.Unlock()
	c.metrics.connects.Inc()
	c.metrics.connected.Set(1)
}

// setPrimary makes known whether s may write.
func (c *Client) setPrimary(s *session, primary bool, e Event) {
	c.mu.Lock()
	c.session, c.primary = s, primary
	c.mu.Unlock()
	c.metrics.primary.Set(map[bool]float64{true: 1}[primary])
	c.queue.state(e, func() { s.up.Store(primary) })
}

// reader gives the session to read from.
func (c *Client) reader() (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil {
		return nil, c.down
	}
	return c.session, nil
}

// writer gives the session to write to.
func (c *Client) writer() (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.session == nil:
		return nil, c.down
	case !c.primary:
		return nil, ErrNotPrimary
	}
	return c.session, nil
}

// Events gives the channel on which the target's events arrive. It is closed
// when Run returns. It has no buffer: what was received has arrived.
func (c *Client) Events() <-chan Event { return c.queue.out }

// PacketOut hands a packet to the target. Nil means that it is on its way: a
// target never acknowledges one, and tells of a refusal later, if at all.
func (c *Client) PacketOut(ctx context.Context, p *p4v1.PacketOut) error {
	s, err := c.writer()
	if err != nil {
		return fmt.Errorf("packet out: %w", err)
	}
	msg := &p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Packet{Packet: p}}
	select {
	case s.out <- msg:
		c.metrics.packetOuts.Inc()
		return nil
	case <-s.ctx.Done():
		return fmt.Errorf("packet out: %w: the connection broke", ErrNotConnected)
	case <-ctx.Done():
		return fmt.Errorf("packet out: %w", ctx.Err())
	}
}
