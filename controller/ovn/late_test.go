package ovn

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/p4evpn/p4evpn/controller/intent"
)

// slow stands before a server, and brings its answers late. What it is asked goes through at
// once.
type slow struct {
	*testing.T
	path  string
	to    string
	delay atomic.Int64 // before each piece of an answer; negative = it never comes
	piece atomic.Int64 // bytes; 0 = as they come

	done  chan struct{}
	owned sync.WaitGroup
	mu    sync.Mutex
	open  []net.Conn
}

func slowly(t *testing.T, s *server, delay time.Duration, piece int64) *slow {
	t.Helper()
	p := &slow{T: t, path: t.TempDir() + "/late", to: s.path("sock"), done: make(chan struct{})}
	p.delay.Store(int64(delay))
	p.piece.Store(piece)
	l, err := net.Listen("unix", p.path)
	if err != nil {
		t.Fatal(err)
	}
	p.owned.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.serve(c)
		}
	})
	t.Cleanup(func() {
		close(p.done)
		_ = l.Close()
		p.mu.Lock()
		for _, c := range p.open {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.owned.Wait()
	})
	return p
}

func (p *slow) address() string { return "unix:" + p.path }

func (p *slow) serve(c net.Conn) {
	to, err := net.Dial("unix", p.to)
	if err != nil {
		_ = c.Close()
		return
	}
	p.mu.Lock()
	p.open = append(p.open, c, to)
	p.mu.Unlock()
	p.owned.Go(func() { _, _ = io.Copy(to, c); _ = to.Close() })
	p.owned.Go(func() { p.answer(c, to); _ = c.Close() })
}

// answer brings what the server says.
func (p *slow) answer(c io.Writer, from io.Reader) {
	b := make([]byte, 1<<16)
	for {
		size := len(b)
		if n := p.piece.Load(); n > 0 {
			size = int(n)
		}
		n, err := from.Read(b[:size])
		if err != nil || !p.pause() {
			return
		}
		if _, err := c.Write(b[:n]); err != nil {
			return
		}
	}
}

// pause waits as long as an answer is late by now; false is for ever.
func (p *slow) pause() bool {
	for start := time.Now(); ; {
		late := time.Duration(p.delay.Load())
		if late >= 0 && time.Since(start) >= late {
			return true
		}
		select {
		case <-p.done:
			return false
		case <-time.After(time.Millisecond):
		}
	}
}

// startSlowly starts a gateway whose database is behind this.
func (p *slow) start(store *intent.Store, nb *server, patience time.Duration) *gateway {
	p.Helper()
	return start(p.T, store, nb, nil, func(c *Config) {
		c.Northbound, c.Patience = []string{p.address()}, patience
	})
}

func (g *gateway) well() bool { return testutil.ToFloat64(g.stats.problems) == 0 }

func TestADatabaseThatAnswersLateIsWaitedFor(t *testing.T) {
	for name, c := range map[string]struct {
		delay time.Duration
		piece int64
	}{
		"each answer late":     {200 * time.Millisecond, 0},
		"answers that trickle": {time.Millisecond, 512},
		"bytes that trickle":   {0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nb, store := serve(t, northboundSchema), intent.NewMemory()
			nb.nb("ls-add ls1 -- ls-add ls2")
			stretch(t, store, 10, "ls1")
			g := slowly(t, nb, c.delay, c.piece).start(store, nb, time.Hour)
			nb.has(10, "ls1")
			stretch(t, store, 20, "ls2")
			nb.has(20, "ls2")
			nb.nb("lsp-del evpn_10")
			nb.has(10, "ls1")
			g.stop()
			if n := testutil.ToFloat64(g.stats.transactions); n != 3 || len(g.problems) > 0 {
				t.Errorf("%v transactions and problems %v, want 3 and none", n, g.problems)
			}
		})
	}
}

func TestADatabaseThatAnswersTooLateIsSaidToAndNothingIsDoneTwice(t *testing.T) {
	const patience, late = 200 * time.Millisecond, 600 * time.Millisecond
	t.Run("from the start", func(t *testing.T) {
		t.Parallel()
		nb, store := serve(t, northboundSchema), intent.NewMemory()
		nb.nb("ls-add ls1")
		stretch(t, store, 10, "ls1")
		p := slowly(t, nb, late, 0)
		g := p.start(store, nb, patience)
		await(t, "it is counted", func() bool { return !g.well() })
		if got := nb.nb("lsp-list ls1"); got != "" {
			t.Errorf("ls1 has %s, though nobody knew whether it has", got)
		}
		p.delay.Store(0)
		nb.has(10, "ls1")
		await(t, "all is well", g.well)
	})
	t.Run("from then on", func(t *testing.T) {
		t.Parallel()
		nb, store := serve(t, northboundSchema), intent.NewMemory()
		nb.nb("ls-add ls1 -- ls-add ls2")
		p := slowly(t, nb, 0, 0)
		stretch(t, store, 10, "ls1")
		g := p.start(store, nb, patience)
		nb.has(10, "ls1")
		await(t, "all is well", g.well)
		p.delay.Store(int64(late))
		stretch(t, store, 20, "ls2")
		nb.has(20, "ls2")
		await(t, "it is counted", func() bool { return !g.well() })
		p.delay.Store(0)
		await(t, "all is well", g.well)
		nb.has(20, "ls2")
		if got := nb.nb("lsp-list ls2"); strings.Count(got, "evpn_20") != 1 {
			t.Errorf("ls2 has %s", got)
		}
	})
}

// A change of which nobody heard that it was done is made again, by what was there before.
func TestAChangeThatIsMadeAgainChangesNothingMore(t *testing.T) {
	for name, do := range map[string]string{
		"all is new":           "lsp-del vxlan_10.9.0.11_10 -- pg-del p4evpn_10",
		"a port is new":        "lsp-del vxlan_10.9.0.11_10",
		"the group is new":     "pg-del p4evpn_10",
		"the rule is new":      "--all destroy ACL -- clear Port_Group p4evpn_10 acls",
		"another is with it":   "acl-del p4evpn_10 -- acl-add p4evpn_10 to-lport 1 inport==@p4evpn_10 allow",
		"the group has less":   "clear Port_Group p4evpn_10 ports",
		"a port has addresses": "lsp-set-addresses vxlan_10.9.0.11_10 02:00:00:00:00:0f",
		"it is on no switch":   "ls-del ls1 -- ls-add ls1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startTunnels(t, "")
			n.fabric.set(true, "vni-10", "0a@11", "0b@12")
			n.has("11 0a", "12 0b")
			n.hasRule()
			n.g.stop()
			n.nb.nb(do)
			c, err := n.g.northbound.open()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := n.g.northbound.start(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			there, err := readNorthbound(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			a := attachment{bridge: "vni-10", logicalSwitch: "ls1", vni: 10, share: ours}
			a.behind, _ = n.fabric.Behind(t.Context(), "vni-10")
			changes, _ := there.plan(n.g.cfg, "", []attachment{a})
			if len(changes) != 1 {
				t.Fatalf("%d changes, want one", len(changes))
			}
			change := func() error {
				ops, err := changes[0].operations(c)
				if err == nil {
					err = transact(t.Context(), c, ops)
				}
				return err
			}
			if err := change(); err != nil {
				t.Fatal(err)
			}
			n.has("11 0a", "12 0b")
			before := n.nb.run("ovsdb-client", "dump", n.nb.address())
			_ = change() // it may be refused
			if after := n.nb.run("ovsdb-client", "dump", n.nb.address()); after != before {
				t.Errorf("there was\n%s\nand is\n%s", before, after)
			}
		})
	}
}

// Who waits for an answer that never comes stops at once all the same.
func TestAGatewayStopsThoughItsDatabaseDoesNotAnswer(t *testing.T) {
	for name, at := range map[string]func(nb *server, p *slow, store *intent.Store){
		"when it connects": nil,
		"when it writes": func(nb *server, p *slow, store *intent.Store) {
			nb.has(10, "ls1")
			p.delay.Store(-1)
			stretch(p.T, store, 20, "ls2")
			nb.has(20, "ls2")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nb, store := serve(t, northboundSchema), intent.NewMemory()
			nb.nb("ls-add ls1 -- ls-add ls2")
			stretch(t, store, 10, "ls1")
			p := slowly(t, nb, 0, 0)
			if at == nil {
				p.delay.Store(-1)
			}
			g := p.start(store, nb, time.Hour)
			if at != nil {
				at(nb, p, store)
			} else {
				await(t, "it connects", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.open) > 0 })
			}
			if _, err := g.northbound.get(); at == nil && !errors.Is(err, errConnecting) {
				t.Errorf("%v, want it to be connecting", err)
			}
			g.stop()
		})
	}
}
