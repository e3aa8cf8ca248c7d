package controllertest

import (
	"maps"
	"sync"

	"github.com/p4evpn/p4evpn/controller/carrier"
)

// Carrier is the carrier of netdevs as a test sets it. All methods may be called from any
// goroutine.
type Carrier struct {
	changes chan []carrier.State

	mu       sync.Mutex
	followed map[string]bool
	trouble  string
}

// NewCarrier makes a Carrier whose netdevs are so at first.
func NewCarrier(first ...carrier.State) *Carrier {
	c := &Carrier{changes: make(chan []carrier.State, queue), followed: map[string]bool{}}
	c.Set(first...)
	return c
}

// Set reports states of netdevs, together.
func (c *Carrier) Set(states ...carrier.State) { c.changes <- states }

// Pending gives the number of reports that were not taken.
func (c *Carrier) Pending() int { return len(c.changes) }

func (c *Carrier) Changes() <-chan []carrier.State { return c.changes }

func (c *Carrier) Follow(device string, up, _ bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.followed[device] = up
}

// Followed gives what was last said of each device.
func (c *Carrier) Followed() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.followed)
}

// SetTrouble is what Trouble says of every device.
func (c *Carrier) SetTrouble(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trouble = why
}

func (c *Carrier) Trouble(string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trouble
}
