package front

import (
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
)

// told follows what we tell a neighbour.
type told struct {
	t      *testing.T
	s      *bgptest.Session
	routes map[bgp.Key]bool // that it has now
	ever   map[bgp.Key]bool // that were advertised to it
}

func newTold(t *testing.T, s *bgptest.Session) *told {
	return &told{t, s, map[bgp.Key]bool{}, map[bgp.Key]bool{}}
}

// await reads until the neighbour has exactly these.
func (n *told) await(what string, want []bgp.Key) {
	n.t.Helper()
	set := map[bgp.Key]bool{}
	for _, k := range want {
		set[k] = true
	}
	for late := time.After(patience); !maps.Equal(n.routes, set); {
		select {
		case u, ok := <-n.s.Updates():
			if !ok {
				n.t.Fatalf("%s: the session ended: %v", what, n.s.Err())
			}
			n.take(u)
		case <-late:
			n.t.Fatalf("%s: it has %v, want %v", what, n.routes, set)
		}
	}
}

func (n *told) take(update []byte) {
	n.t.Helper()
	for _, c := range changes(n.t, update) {
		k := c.Route.Key
		if c.Kind == bgp.RouteWithdraw {
			delete(n.routes, k)
			continue
		}
		n.routes[k], n.ever[k] = true, true
		if a := bgptest.ParseAttributes(update)[8]; a != nil {
			n.t.Errorf("%v was sent with communities % x", k, a)
		}
	}
}

// formsOfRoutes are ours, by whether a neighbour with MACIPOnly may be told.
func formsOfRoutes() (fit, others []bgp.Route) {
	with := func(n byte, ip string, change func(*bgp.Route)) bgp.Route {
		r := ourMAC(n)
		if ip != "" {
			r.IP = netip.MustParseAddr(ip)
		}
		change(&r)
		return r
	}
	plain := func(*bgp.Route) {}
	sticky := func(r *bgp.Route) { r.Sticky = true }
	moved := func(r *bgp.Route) { r.Sequence = 7 }
	irb := func(r *bgp.Route) { r.Label2, r.RouterMAC = 5000, ourRouter }
	gateway := func(r *bgp.Route) { r.Sticky, r.DefaultGateway = true, true }
	for i, form := range []func(*bgp.Route){plain, sticky, moved, irb, gateway} {
		n := byte(20 + i)
		fit = append(fit, with(n, "10.10.10."+string('0'+rune(i)), form))
		others = append(others, with(n, "", form), with(n, "2001:db8::"+string('0'+rune(i)), form))
	}
	for _, r := range ourRoutes() {
		if r.Type != bgp.TypeMACIP {
			fit = append(fit, r) // types 3 and 5, of both IP versions
		}
	}
	return fit, others
}

func keysOf(routes ...bgp.Route) (keys []bgp.Key) {
	for _, r := range routes {
		keys = append(keys, r.Key)
	}
	return keys
}

func TestANeighbourWithMACIPOnlyIsToldTypeTwoRoutesOfIPv4Alone(t *testing.T) {
	l := newLab(t)
	limited, full := l.raw(2, 65000), l.raw(3, 65000)
	limited.MACIPOnly = true
	v := run(t, l.graceful(limited, full))
	fit, others := formsOfRoutes()
	all := append(keysOf(fit...), keysOf(others...)...)
	originate := func(add []bgp.Route, withdraw ...bgp.Key) {
		t.Helper()
		if err := v.Originate(add, withdraw); err != nil {
			t.Fatal(err)
		}
	}
	originate(append(fit, others...)) // before the sessions: what a session begins with
	a, b := newTold(t, l.dialGraceful(2, 65000, false)), newTold(t, l.dialGraceful(3, 65000, false))
	a.await("at the start", keysOf(fit...))
	b.await("at the start", all)

	originate(nil, all...)
	a.await("all withdrawn", nil)
	b.await("all withdrawn", nil)
	for _, r := range others { // and what changes in a session
		originate([]bgp.Route{r})
	}
	b.await("others alone", keysOf(others...))
	// A MAC that gets its address, and loses it again.
	originate(fit[:1])
	a.await("an address", keysOf(fit[0]))
	originate(nil, fit[0].Key)
	a.await("no address", nil)
	originate(fit)
	a.await("all", keysOf(fit...))
	b.await("all", all)
	for _, r := range others {
		if a.ever[r.Key] {
			t.Errorf("it was told %v", r.Key)
		}
	}
}

func TestAChangeOfMACIPOnlyReEvaluatesTheSessionAndEndsNone(t *testing.T) {
	l := newLab(t)
	n, other := l.raw(2, 65000), l.raw(3, 65002)
	v := run(t, l.graceful(n, other))
	fit, others := formsOfRoutes()
	all := append(keysOf(fit...), keysOf(others...)...)
	if err := v.Originate(append(fit, others...), nil); err != nil {
		t.Fatal(err)
	}
	a, b := newTold(t, l.dialGraceful(2, 65000, false)), newTold(t, l.dialGraceful(3, 65002, false))
	a.await("at the start", all)
	b.await("at the start", all)
	for range 2 {
		for _, only := range []bool{true, false} {
			n.MACIPOnly = only
			if err := v.SetNeighbors(t.Context(), []bgp.Neighbor{other, n}); err != nil {
				t.Fatal(err)
			}
			if want := all; only {
				a.await("limited", keysOf(fit...))
			} else {
				a.await("not limited", want)
			}
		}
	}
	// What is set for the one that is away holds when it is back, also if it is
	// removed and comes anew.
	n.MACIPOnly = true
	a.s.Close()
	v.awaitLast(l.addr(2), "peer down graceful")
	if err := v.SetNeighbors(t.Context(), []bgp.Neighbor{other, n}); err != nil {
		t.Fatal(err)
	}
	a = newTold(t, l.dialGraceful(2, 65000, true))
	a.await("back", keysOf(fit...))
	if err := v.SetNeighbors(t.Context(), []bgp.Neighbor{other}); err != nil {
		t.Fatal(err)
	}
	n.MACIPOnly = false
	if err := v.SetNeighbors(t.Context(), []bgp.Neighbor{other, n}); err != nil {
		t.Fatal(err)
	}
	a = newTold(t, l.dialGraceful(2, 65000, false))
	a.await("made anew", all)
	v.await(l.addr(3), "untouched", func(_ map[bgp.Key]bgp.Route, h []string) bool {
		return len(h) == 1 && h[0] == "peer up"
	})
}
