package pipeline

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// counterCell counts packets and bytes.
type counterCell struct {
	packets, bytes atomic.Uint64
}

func (c *counterCell) add(bytes uint64) {
	c.packets.Add(1)
	c.bytes.Add(bytes)
}

// maxSharded is the size up to which each worker counts in cells of its own,
// so that workers do not contend for a cell.
const maxSharded = 1 << 14

// Counter is an indirect counter: an array of cells that count packets and
// bytes.
type Counter struct {
	name   string
	base   []counterCell
	mu     sync.Mutex // new shards, writes
	shards atomic.Pointer[[][]counterCell]
}

func newCounter(name string, size int) *Counter {
	c := &Counter{name: name, base: make([]counterCell, size)}
	c.shards.Store(&[][]counterCell{c.base})
	return c
}

// shard is the array that one worker counts in.
func (c *Counter) shard() []counterCell {
	if len(c.base) > maxSharded {
		return c.base
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	own := make([]counterCell, len(c.base))
	all := append(slices.Clone(*c.shards.Load()), own)
	c.shards.Store(&all)
	return own
}

// Name is the JSON's full name, as in P4Info.
func (c *Counter) Name() string { return c.name }

// Size is the number of cells.
func (c *Counter) Size() int { return len(c.base) }

// Read returns a cell; both are zero for an index outside the array.
func (c *Counter) Read(index int) (packets, bytes uint64) {
	if index < 0 || index >= len(c.base) {
		return 0, 0
	}
	for _, s := range *c.shards.Load() {
		packets += s[index].packets.Load()
		bytes += s[index].bytes.Load()
	}
	return packets, bytes
}

// Write sets a cell. Errors: ErrInvalid for an index outside the array.
func (c *Counter) Write(index int, packets, bytes uint64) error {
	if index < 0 || index >= len(c.base) {
		return fmt.Errorf("counter %s: index %d is not in 0..%d: %w", c.name, index, len(c.base)-1, ErrInvalid)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range *c.shards.Load() {
		if i > 0 {
			s[index].packets.Store(0)
			s[index].bytes.Store(0)
		}
	}
	c.base[index].packets.Store(packets)
	c.base[index].bytes.Store(bytes)
	return nil
}
