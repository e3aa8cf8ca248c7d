package testbed

import (
	"net"
	"sync"
	"testing"
)

// cable carries TCP connections in a namespace, until it is cut: then nothing
// passes in either direction, and no end is closed.
type cable struct {
	ns       *Namespace
	listener net.Listener
	to       string
	owned    sync.WaitGroup

	mu    sync.Mutex
	whole *sync.Cond
	cut   bool
	gone  bool
	conns []net.Conn
}

// newCable listens at an address for connections to another one.
func newCable(t *testing.T, ns *Namespace, at, to string) *cable {
	t.Helper()
	c := &cable{ns: ns, to: to}
	c.whole = sync.NewCond(&c.mu)
	check(t, ns.Do(func() (err error) {
		c.listener, err = net.Listen("tcp", at)
		return err
	}))
	c.owned.Go(c.accept)
	t.Cleanup(c.close)
	return c
}

func (c *cable) accept() {
	for {
		near, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.keep(near)
		c.owned.Go(func() { c.join(near) })
	}
}

// keep notes what close has to close.
func (c *cable) keep(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
	if c.gone {
		_ = conn.Close()
	}
}

// join connects a caller with the other end, once the cable is whole.
func (c *cable) join(near net.Conn) {
	c.wait()
	var far net.Conn
	err := c.ns.Do(func() (err error) {
		far, err = net.Dial("tcp", c.to)
		return err
	})
	if err != nil {
		_ = near.Close() // as a host says that nobody listens
		return
	}
	c.keep(far)
	c.owned.Go(func() { c.carry(near, far) })
	c.carry(far, near)
}

// carry copies what one end sends until it ends, and passes that on.
func (c *cable) carry(from, to net.Conn) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		c.wait()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_, _ = from.Close(), to.Close()
}

// wait returns while the cable is whole.
func (c *cable) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.cut {
		c.whole.Wait()
	}
}

func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	c.whole.Broadcast()
}

func (c *cable) close() {
	_ = c.listener.Close()
	c.set(false)
	c.mu.Lock()
	c.gone = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.mu.Unlock()
	c.owned.Wait()
}
