package wire

// cache remembers what attributes say by their bytes, in two generations: what the
// older one has and is asked for comes into the younger, and the rest goes when that is
// full. So it holds what a peer uses now, and never more than twice its bounds.
type cache struct {
	young, old map[string]*set
	bytes      int // of the keys of young
}

const (
	cacheSets  = 1024
	cacheBytes = 1 << 18
)

func (c *cache) get(key []byte) *set {
	if s := c.young[string(key)]; s != nil {
		return s
	}
	s := c.old[string(key)]
	if s != nil {
		c.put(key, s)
	}
	return s
}

func (c *cache) put(key []byte, s *set) {
	if c.young == nil || len(c.young) >= cacheSets || c.bytes+len(key) > cacheBytes {
		c.young, c.old, c.bytes = make(map[string]*set), c.young, 0
	}
	c.young[string(key)] = s
	c.bytes += len(key)
}
