package gobgp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
)

// session plays a session as its steps say, and gives for each what the consumer is
// told, in one text.
func session[K comparable, R any](q *queue[K, R], f, other bgp.Family, key func(n byte) K, steps []string) []string {
	a := newAdjRIBIn(q, &bgp.Neighbor{Address: leaf, Families: []bgp.Family{f}}, f)
	change := func(kind bgp.Kind, n string) []bgp.Change[R] {
		c := bgp.Change[R]{Kind: kind}
		*q.key(&c.Route) = key(n[0])
		return []bgp.Change[R]{c}
	}
	var told []string
	for _, step := range steps {
		switch verb, n, _ := strings.Cut(step, " "); verb {
		case "up":
			a.up(nil)
		case "up-graceful":
			a.up([]bgp.Family{f, other})
		case "up-other": // graceful, and only the other family was preserved
			a.up([]bgp.Family{other})
		case "update":
			a.take(change(bgp.RouteUpdate, n))
		case "withdraw":
			a.take(change(bgp.RouteWithdraw, n))
		case "end":
			a.end()
		case "down":
			a.down(false)
		case "down-kept":
			a.down(true)
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

// The two families go through one type; both are held to RFC 4724 here.
func TestAConsumerIsToldWhatIsLeftOfAPeersRoutes(t *testing.T) {
	type step struct{ does, told string }
	for name, steps := range map[string][]step{
		"a session without graceful restart": {
			{"up", "peer up"},
			{"update 1", "update 1"},
			{"end", "end of RIB"},
			{"end", ""},
			{"withdraw 1", "withdraw 1"},
			{"down", "peer down"},
			{"up", "peer up"},
			{"end", "end of RIB"},
		},
		"what a restarted peer does not send again is withdrawn before its End-of-RIB (section 4.2)": {
			{"up-graceful", "peer up"},
			{"update 1", "update 1"}, {"update 2", "update 2"}, {"update 3", "update 3"}, {"update 4", "update 4"},
			{"withdraw 4", "withdraw 4"},
			{"end", "end of RIB"},
			{"down-kept", "peer down graceful"},
			{"up-graceful", "peer up"},
			{"update 2", "update 2"},
			{"end", "withdraw 1+3, end of RIB"},
		},
		"a peer that stays away too long loses its routes (section 4.2)": {
			{"up-graceful", "peer up"},
			{"update 1", "update 1"}, {"update 2", "update 2"},
			{"down-kept", "peer down graceful"},
			{"down", "withdraw 1+2, peer down"},
			{"up-graceful", "peer up"},
			{"end", "end of RIB"},
		},
		"a peer that restarts twice keeps only what it sent since (section 4.2)": {
			{"up-graceful", "peer up"},
			{"update 1", "update 1"}, {"update 2", "update 2"},
			{"down-kept", "peer down graceful"},
			{"up-graceful", "peer up"},
			{"update 2", "update 2"},
			{"down-kept", "peer down graceful"},
			{"up-graceful", "peer up"},
			{"update 1", "update 1"},
			{"end", "withdraw 2, end of RIB"},
		},
		"a peer that did not preserve its forwarding loses its routes when it is back (section 4.2)": {
			{"up-graceful", "peer up"},
			{"update 1", "update 1"},
			{"down-kept", "peer down graceful"},
			{"up-other", "peer up, withdraw 1"},
			{"end", "end of RIB"},
		},
		"a peer that comes back without graceful restart too": {
			{"up-graceful", "peer up"},
			{"update 1", "update 1"}, {"update 2", "update 2"},
			{"down-kept", "peer down graceful"},
			{"up", "peer up, withdraw 1+2"},
		},
		"a session that ends without grace takes its routes along": {
			{"up-graceful", "peer up"},
			{"update 1", "update 1"},
			{"down", "withdraw 1, peer down"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var does, want []string
			for _, s := range steps {
				does, want = append(does, s.does), append(want, s.told)
			}
			mac := func(n byte) bgp.Key { return leafRoute(n).Key }
			if got := session(newQueue(evpnKey), bgp.EVPN, bgp.IPv4Unicast, mac, does); !slices.Equal(got, want) {
				t.Errorf("EVPN: told %q, want %q", got, want)
			}
			prefix := func(n byte) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, n}), 32) }
			if got := session(newQueue(unicastKey), bgp.IPv4Unicast, bgp.EVPN, prefix, does); !slices.Equal(got, want) {
				t.Errorf("unicast: told %q, want %q", got, want)
			}
		})
	}
}

func TestASessionIsToldOnlyToConsumersOfItsFamilies(t *testing.T) {
	q := newQueue(unicastKey)
	a := newAdjRIBIn(q, &bgp.Neighbor{Address: leaf}, bgp.IPv4Unicast) // of EVPN alone
	a.up(nil)
	a.down(false)
	if got := q.take(); len(got) > 0 {
		t.Errorf("told %v", got)
	}
	if a.awaited {
		t.Error("its routes are awaited")
	}
}

func TestAPeersRoutesAreAwaitedUntilItsFirstEndOfRIB(t *testing.T) {
	for name, end := range map[string]func(a *adjRIBIn[bgp.Key, bgp.Route]){
		"End-of-RIB":                    func(a *adjRIBIn[bgp.Key, bgp.Route]) { a.end() },
		"an end of the waiting":         func(a *adjRIBIn[bgp.Key, bgp.Route]) { a.waive() },
		"End-of-RIB and then a restart": func(a *adjRIBIn[bgp.Key, bgp.Route]) { a.end(); a.down(false); a.up(nil) },
	} {
		a := newAdjRIBIn(newQueue(evpnKey), &bgp.Neighbor{Address: leaf}, bgp.EVPN)
		if a.up(nil); !a.awaited {
			t.Errorf("before %s nothing is awaited", name)
		}
		if end(&a); a.awaited || a.waive() {
			t.Errorf("after %s its routes are awaited", name)
		}
	}
}

func TestConvergedIsSaidOnce(t *testing.T) {
	q := newQueue(evpnKey)
	q.converge()
	q.converge()
	if got := q.take(); len(got) != 1 || got[0].Kind != bgp.Converged {
		t.Errorf("told %v", got)
	}
}
