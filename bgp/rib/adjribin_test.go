package rib

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
)

// sayings plays the sessions of one peer as its steps say, and gives for each what the
// consumer is told, in one text.
func sayings[K comparable, R any](q *Queue[K, R], f bgp.Family, key func(n byte) K, steps []string) []string {
	a := NewAdjRIBIn(q, &bgp.Neighbor{Address: leaf, Families: []bgp.Family{f}}, f)
	change := func(kind bgp.Kind, n string) []bgp.Change[R] {
		c := bgp.Change[R]{Kind: kind}
		*q.key(&c.Route) = key(n[0])
		return []bgp.Change[R]{c}
	}
	var told []string
	for _, step := range steps {
		switch verb, n, _ := strings.Cut(step, " "); verb {
		case "up":
			a.Up(false)
		case "up-preserved":
			a.Up(true)
		case "update":
			a.Take(change(bgp.RouteUpdate, n))
		case "withdraw":
			a.Take(change(bgp.RouteWithdraw, n))
		case "end":
			a.EndOfRIB()
		case "down":
			a.Down(false)
		case "down-kept":
			a.Down(true)
		}
		told = append(told, texts(q.take(), func(r R) string {
			n := byte('1')
			for ; *q.key(&r) != key(n) && n < '9'; n++ {
			}
			return string(n)
		}))
	}
	return told
}

// texts gives changes in one text. Withdrawals, which have no order, are one word.
func texts[R any](changes []bgp.Change[R], name func(R) string) string {
	var said, gone []string
	for _, c := range changes {
		if c.Peer != leaf {
			said = append(said, fmt.Sprintf("of %v:", c.Peer))
		}
		switch {
		case c.Kind == bgp.RouteWithdraw:
			if len(gone) == 0 {
				said = append(said, "")
			}
			gone = append(gone, name(c.Route))
			slices.Sort(gone)
			said[len(said)-1] = "withdraw " + strings.Join(gone, "+")
		case c.Kind == bgp.RouteUpdate:
			said = append(said, "update "+name(c.Route))
		case c.Graceful:
			said = append(said, c.Kind.String()+" graceful")
		default:
			said = append(said, c.Kind.String())
		}
	}
	return strings.Join(said, ", ")
}

type move struct{ does, told string }

// restarts are sessions of one peer with what the consumer is told of them. Both families
// are held to them.
var restarts = map[string][]move{
	"a session without graceful restart": {
		{"up", "peer up"},
		{"update 1", "update 1"},
		{"end", "end of RIB"},
		{"end", ""},
		{"withdraw 1", "withdraw 1"},
		{"update 2", "update 2"},
		{"down", "withdraw 2, peer down"},
		{"up", "peer up"},
		{"end", "end of RIB"},
	},
	"what a restarted peer does not send again is withdrawn before its End-of-RIB (section 4.2)": {
		{"up-preserved", "peer up"},
		{"update 1", "update 1"}, {"update 2", "update 2"}, {"update 3", "update 3"}, {"update 4", "update 4"},
		{"withdraw 4", "withdraw 4"},
		{"end", "end of RIB"},
		{"down-kept", "peer down graceful"},
		{"up-preserved", "peer up"},
		{"update 5", "update 5"},
		{"repeat 2", ""},
		{"end", "withdraw 1+3, end of RIB"},
	},
	"a peer that stays away too long loses its routes (section 4.2)": {
		{"up-preserved", "peer up"},
		{"update 1", "update 1"}, {"update 2", "update 2"},
		{"down-kept", "peer down graceful"},
		{"down", "withdraw 1+2, peer down"},
		{"down", ""},
		{"up-preserved", "peer up"},
		{"end", "end of RIB"},
	},
	"a route that is stale already when a peer restarts again is deleted (section 4.2)": {
		{"up-preserved", "peer up"},
		{"update 1", "update 1"}, {"update 2", "update 2"},
		{"down-kept", "peer down graceful"},
		{"up-preserved", "peer up"},
		{"repeat 2", ""},
		{"down-kept", "withdraw 1, peer down graceful"},
		{"up-preserved", "peer up"},
		{"update 1", "update 1"},
		{"end", "withdraw 2, end of RIB"},
	},
	"a peer that did not preserve its forwarding loses its routes when it is back (section 4.2)": {
		{"up-preserved", "peer up"},
		{"update 1", "update 1"}, {"update 2", "update 2"},
		{"down-kept", "peer down graceful"},
		{"up", "peer up, withdraw 1+2"},
		{"update 1", "update 1"},
		{"end", "end of RIB"},
	},
	"a session that ends without grace takes its routes along": {
		{"up-preserved", "peer up"},
		{"update 1", "update 1"},
		{"down", "withdraw 1, peer down"},
		{"update 2", ""},
		{"end", ""},
	},
}

func TestAConsumerOfUnicastIsToldWhatIsLeftOfAPeersRoutes(t *testing.T) {
	for name, steps := range restarts {
		t.Run(name, func(t *testing.T) {
			var does, want []string
			for _, s := range steps {
				if verb, n, _ := strings.Cut(s.does, " "); verb == "repeat" { // the consumer sees for itself
					s = move{"update " + n, "update " + n}
				}
				does, want = append(does, s.does), append(want, s.told)
			}
			prefix := func(n byte) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, n}), 32) }
			if got := sayings(NewQueue(UnicastKey), bgp.IPv4Unicast, prefix, does); !slices.Equal(got, want) {
				t.Errorf("told %q, want %q", got, want)
			}
		})
	}
}

func TestASessionIsToldOnlyToConsumersOfItsFamilies(t *testing.T) {
	q := NewQueue(UnicastKey)
	a := NewAdjRIBIn(q, &bgp.Neighbor{Address: leaf}, bgp.IPv4Unicast) // of EVPN alone
	a.Up(false)
	a.Down(false)
	if got := q.take(); len(got) > 0 {
		t.Errorf("told %v", got)
	}
	if a.Awaited() {
		t.Error("its routes are awaited")
	}
}

// inbound is what an AdjRIBIn and a Peer have in common.
type inbound interface {
	EndOfRIB()
	Down(kept bool)
	Awaited() bool
	Waive() bool
}

func TestAPeersRoutesAreAwaitedUntilItsFirstEndOfRIB(t *testing.T) {
	for name, end := range map[string]func(a inbound, up func()){
		"End-of-RIB":                    func(a inbound, _ func()) { a.EndOfRIB() },
		"an end of the waiting":         func(a inbound, _ func()) { a.Waive() },
		"End-of-RIB and then a restart": func(a inbound, up func()) { a.EndOfRIB(); a.Down(false); up() },
	} {
		unicast := NewAdjRIBIn(NewQueue(UnicastKey), &bgp.Neighbor{Address: leaf, Families: []bgp.Family{bgp.IPv4Unicast}},
			bgp.IPv4Unicast)
		evpn := NewTable().Peer(leaf, 0)
		for _, a := range []struct {
			inbound
			up func()
		}{{&unicast, func() { unicast.Up(false) }}, {evpn, func() { evpn.Up(leaf, false) }}} {
			if a.up(); !a.Awaited() {
				t.Errorf("before %s nothing is awaited", name)
			}
			if end(a, a.up); a.Awaited() || a.Waive() {
				t.Errorf("after %s its routes are awaited", name)
			}
		}
	}
}

func TestConvergedIsSaidOnce(t *testing.T) {
	q := NewQueue(UnicastKey)
	q.Converge()
	q.Converge()
	if got := q.take(); len(got) != 1 || got[0].Kind != bgp.Converged {
		t.Errorf("told %v", got)
	}
	table := NewTable()
	table.Converge()
	table.Converge()
	if got := drain(table); len(got) != 1 || got[0].Kind != bgp.Converged {
		t.Errorf("told %v", got)
	}
}
