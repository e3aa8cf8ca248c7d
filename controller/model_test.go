package controller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/underlay"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// The model: two gateways that exchange routes, and a leaf whose routes never have a
// sequence number. Behind them are hosts, which take addresses from each other, move, fall
// silent and answer when they are asked. The oracle knows one rule: an address is at the host
// that took it last.

// memoryTarget holds entries, also while its controller is another one.
type memoryTarget struct {
	Target
	mu   sync.Mutex
	held map[p4.Key]*p4v1.Entity
}

func (t *memoryTarget) Write(_ context.Context, updates []p4rt.Update) ([]error, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, u := range updates {
		e, err := p4.FromEntity(u.GetEntity())
		switch {
		case err != nil: // a meter
		case u.GetType() == p4v1.Update_DELETE:
			delete(t.held, e.Key)
		default:
			t.held[e.Key] = u.GetEntity()
		}
	}
	return make([]error, len(updates)), nil
}

func (t *memoryTarget) Read(_ context.Context, wanted []*p4v1.Entity, take func(*p4v1.Entity) error) error {
	if len(wanted) > 0 && wanted[0].GetMeterEntry() != nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.held {
		if err := take(e); err != nil {
			return err
		}
	}
	return nil
}

// modelClock goes on whenever it is looked at.
type modelClock struct {
	Clock
	now time.Time
}

func (c *modelClock) Now() time.Time { c.now = c.now.Add(time.Millisecond); return c.now }

// site is one gateway.
type site struct {
	*loop
	index   int
	vtep    netip.Addr
	target  *memoryTarget
	speaker *controllertest.Speaker
	said    map[bgp.Key]bgp.Route // of which the others were told
	asked   map[probeOf]bool      // that were not answered yet
	stop    func()
}

type probeOf struct {
	ip  netip.Addr
	mac ether.MAC
}

// actor is a host.
type actor struct {
	mac    ether.MAC
	site   int // len(world.sites) = the leaf
	port   uint16
	silent bool // it must speak before anybody can know where it is
	// missed are addresses that it was asked for where it was no more: of such a host nothing
	// is known until somebody looks for it by a broadcast.
	missed map[netip.Addr]bool
}

type world struct {
	testing.TB
	rand  *rand.Rand
	clock *modelClock
	sites []*site
	hosts []*actor
	owner map[netip.Addr]*actor
	leaf  map[bgp.Key]bgp.Route
	// lanes are what is under way, each in order: routes to a site from a site or the leaf,
	// copies of frames to a site.
	lanes map[string][]func()
	trace []string
}

var (
	modelIPs = []netip.Addr{addr("10.10.0.1"), addr("10.10.0.2"), addr("2001:db8::1")}
	leafVTEP = netip.MustParseAddr("10.0.0.2") // between the gateways'
)

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{TB: t, rand: rand.New(rand.NewPCG(seed, 7)), clock: &modelClock{now: time.Unix(1e9, 0)},
		owner: map[netip.Addr]*actor{}, leaf: map[bgp.Key]bgp.Route{}, lanes: map[string][]func(){}}
	for i, a := range []string{"10.0.0.1", "10.0.0.3"} {
		s := &site{index: i, vtep: addr(a), target: &memoryTarget{held: map[p4.Key]*p4v1.Entity{}},
			said: map[bgp.Key]bgp.Route{}}
		w.sites = append(w.sites, s)
		w.boot(s)
	}
	for i := range 6 {
		w.hosts = append(w.hosts, &actor{mac: mac(0x10 + i), site: i % 3, port: uint16(1 + i%2), silent: true,
			missed: map[netip.Addr]bool{}})
	}
	return w
}

// boot starts the controller of a site on what its target holds.
func (w *world) boot(s *site) {
	cfg := testConfig()
	cfg.RouterID, cfg.VTEPs, cfg.Clock = s.vtep, []netip.Addr{s.vtep}, w.clock
	cfg.Duplicates.Moves = -1
	s.speaker, s.asked = controllertest.NewSpeaker(), map[probeOf]bool{}
	in := Inputs{Speaker: s.speaker, Underlay: controllertest.NewUnderlay(), Target: s.target}
	s.loop = newLoop(cfg.withDefaults(), in, p4.P4Info(), tables(), newStats())
	s.loop.asked = func(_ *bridge, ip netip.Addr, m ether.MAC) { s.asked[probeOf{ip, m}] = true }
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.loop.target.Run(ctx) })
	s.stop = func() { cancel(); wg.Wait() }
	s.bridgeChanged(intent.LogicalBridge{ID: "bridge-10", VLAN: 10, VNI: 100, Index: 1}, false)
	for _, port := range []uint16{1, 2} {
		s.plug(port, true)
	}
	s.settle()
	s.loop.target.Up(p4rt.Up{})
	s.flush()
	s.loop.target.Take(<-s.loop.target.Results())
	s.finish()
}

// plug attaches or detaches a port.
func (s *site) plug(port uint16, in bool) {
	s.bridgePortChanged(intent.BridgePort{ID: fmt.Sprintf("eth%d", port), MAC: mac(0xbb), Type: intent.Access,
		Bridges: []string{"bridge-10"}}, !in)
}

// under puts something on its way.
func (w *world) under(lane string, do func()) { w.lanes[lane] = append(w.lanes[lane], do) }

// pass has the first of one lane arrive; false if nothing is under way.
func (w *world) pass() bool {
	all := slices.Sorted(maps.Keys(w.lanes))
	if len(all) == 0 {
		return false
	}
	lane := pick(w.rand, all)
	do := w.lanes[lane][0]
	if w.lanes[lane] = w.lanes[lane][1:]; len(w.lanes[lane]) == 0 {
		delete(w.lanes, lane)
	}
	w.note("arrives %s", lane)
	do()
	w.exchange()
	return true
}

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

// exchange has what the sites advertise now, or no longer, go to the others.
func (w *world) exchange() {
	for _, s := range w.sites {
		s.finish()
		now := map[bgp.Key]bgp.Route{}
		for _, r := range s.speaker.Routes() {
			if r.Type == bgp.TypeMACIP {
				now[r.Key] = r
			}
		}
		for _, key := range inOrder(now) {
			if r := now[key]; s.said[key] != r {
				w.tell(fmt.Sprintf("bgp %d", s.index), s, update(s.vtep, r))
			}
		}
		for _, key := range inOrder(s.said) {
			if _, still := now[key]; !still {
				w.tell(fmt.Sprintf("bgp %d", s.index), s, withdraw(s.vtep, s.said[key]))
			}
		}
		s.said = now
	}
}

// inOrder are the keys of routes in an order that is the same in each run.
func inOrder(routes map[bgp.Key]bgp.Route) []bgp.Key {
	return slices.SortedFunc(maps.Keys(routes), func(a, b bgp.Key) int { return cmp.Compare(a.String(), b.String()) })
}

// tell has a route of a site, or of the leaf if that is nil, go to the other sites.
func (w *world) tell(lane string, from *site, e bgp.Event) {
	for _, to := range w.sites {
		if to != from {
			w.under(fmt.Sprintf("%s to %d", lane, to.index), func() {
				w.note("site %d hears: %v %v sequence %d", to.index, e.Kind, e.Route.Key, e.Route.Sequence)
				to.takes(e)
			})
		}
	}
}

// takes gives a site a route; every VTEP can be reached.
func (s *site) takes(events ...bgp.Event) {
	s.bgpChanged(events)
	s.settle()
	for a := range s.remoteVTEPs {
		s.underlayChanged(underlay.Change{VTEP: a, Paths: []underlay.Path{path1}})
	}
	s.finish()
}

// frame has a host send a frame, which says that it has addresses. It may be a frame of data
// that says nothing.
func (w *world) frame(h *actor, says ...netip.Addr) {
	if h.site == len(w.sites) {
		w.leafHears(h, says)
		return
	}
	s := w.sites[h.site]
	digest := func() {
		if _, known := s.loop.target.Value(p4.Source{Bridge: 1, MAC: h.mac, Port: h.port}.Key()); !known {
			s.learn(p4.Learn{Bridge: 1, MAC: h.mac, Port: h.port})
			s.finish()
		}
	}
	first := w.rand.IntN(2) == 0
	if first {
		digest()
	}
	for _, ip := range says {
		said := sighting{ip: ip, mac: h.mac, port: h.port, by: byHost}
		hear := func() {
			b := s.bridges[1]
			if b.macs[said.mac] == nil {
				s.learn(p4.Learn{Bridge: 1, MAC: said.mac, Port: said.port})
			}
			if _, here := b.rankHere(said.mac); here {
				s.heard(b, said)
			} else {
				s.remember(b, said)
			}
			s.finish()
		}
		if w.rand.IntN(4) == 0 { // the copy is late
			w.under(fmt.Sprintf("copy to %d", s.index), hear)
		} else {
			hear()
		}
		w.flood(h, ip)
	}
	if !first {
		digest()
	}
	w.exchange()
}

// flood has the other sites see a broadcast by VXLAN.
func (w *world) flood(h *actor, ip netip.Addr) {
	for i, s := range w.sites {
		if i != h.site {
			w.under(fmt.Sprintf("copy to %d", i), func() {
				s.heard(s.bridges[1], sighting{ip: ip, mac: h.mac, by: byHost})
				s.finish()
			})
		}
	}
}

// leafHears advertises what the leaf's host says. The leaf does not ask, so that what others
// said before has to be heard before.
func (w *world) leafHears(h *actor, says []netip.Addr) {
	for i := range w.sites {
		lane := fmt.Sprintf("copy to %d", i)
		for _, do := range w.lanes[lane] {
			do()
		}
		delete(w.lanes, lane)
	}
	w.exchange()
	for _, ip := range append(says, netip.Addr{}) {
		r := macRoute(leafVTEP, 100, h.mac)
		r.IP = ip
		if w.leaf[r.Key] != r {
			w.leaf[r.Key] = r
			w.tell("bgp leaf", nil, update(leafVTEP, r))
		}
		if ip.IsValid() {
			w.flood(h, ip)
		}
	}
}

// leafForgets withdraws what the leaf's hosts do not have any more.
func (w *world) leafForgets() {
	for _, key := range inOrder(w.leaf) {
		if r := w.leaf[key]; r.IP.IsValid() && (w.owner[r.IP] == nil || w.owner[r.IP].mac != r.MAC) {
			delete(w.leaf, key)
			w.tell("bgp leaf", nil, withdraw(leafVTEP, r))
		}
	}
}

// answer ends one probe of a site: its host answers if it is where the probe went and has the
// address.
func (w *world) answer(s *site) bool {
	if len(s.asked) == 0 {
		return false
	}
	p := slices.SortedFunc(maps.Keys(s.asked), func(a, b probeOf) int {
		return cmp.Or(a.ip.Compare(b.ip), a.mac.Compare(b.mac))
	})[0]
	delete(s.asked, p)
	h := w.owner[p.ip]
	b := s.bridges[1]
	if h != nil && h.mac == p.mac && h.site == s.index && h.port == b.portOf(h.mac) {
		w.note("%v answers site %d for %v", p.mac, s.index, p.ip)
		s.heard(b, sighting{ip: p.ip, mac: p.mac, port: h.port, by: byHost})
	} else if _, here := b.rankHere(p.mac); here {
		w.note("%v does not answer site %d for %v", p.mac, s.index, p.ip)
		if h != nil && h.mac == p.mac {
			h.missed[p.ip] = true
		}
		s.probeFailed(b, p.ip, p.mac)
	}
	s.finish()
	w.exchange()
	return true
}

func (w *world) step() {
	w.clock.now = w.clock.now.Add(10 * time.Millisecond)
	h, ip := pick(w.rand, w.hosts), pick(w.rand, modelIPs)
	switch n := w.rand.IntN(40); {
	case n < 6:
		w.note("%v takes %v", h.mac, ip)
		w.owner[ip] = h
		w.frame(h, ip)
	case n < 10:
		if h := w.owner[ip]; h != nil {
			w.note("%v speaks for %v", h.mac, ip)
			w.frame(h, ip)
		}
	case n < 13:
		w.note("%v sends data", h.mac)
		w.frame(h)
	case n < 16:
		if h.site < len(w.sites) { // the leaf's hosts stay there
			h.site, h.port = w.rand.IntN(len(w.sites)), uint16(1+w.rand.IntN(2))
			w.note("%v moves to site %d port %d", h.mac, h.site, h.port)
			if h.silent {
				w.frame(h, w.owns(h)...)
			} else {
				w.frame(h)
			}
		}
	case n < 17:
		w.age(h)
	case n < 18:
		s, port := pick(w.rand, w.sites), uint16(1+w.rand.IntN(2))
		w.note("port %d of site %d flaps", port, s.index)
		s.plug(port, false)
		s.finish()
		s.plug(port, true)
		for _, h := range w.hosts {
			h.silent = h.silent || h.site == s.index && h.port == port
		}
		w.exchange()
	case n < 19 && w.rand.IntN(3) == 0:
		w.restart(pick(w.rand, w.sites))
	case n < 20:
		w.leafForgets()
	case n < 30:
		w.answer(pick(w.rand, w.sites))
	default:
		w.pass()
	}
}

// owns are the addresses that a host has.
func (w *world) owns(h *actor) (all []netip.Addr) {
	for _, ip := range modelIPs {
		if w.owner[ip] == h {
			all = append(all, ip)
		}
	}
	return all
}

// sought are the addresses of a host that it answers for since it is looked for.
func (w *world) sought(h *actor) []netip.Addr {
	all := slices.DeleteFunc(w.owns(h), func(ip netip.Addr) bool { return !h.missed[ip] })
	if clear(h.missed); len(all) > 0 {
		w.note("%v is looked for by %v", h.mac, all)
	}
	return all
}

// age has a MAC fall silent at a site.
func (w *world) age(h *actor) {
	if h.site == len(w.sites) {
		return
	}
	w.note("%v falls silent", h.mac)
	h.silent = true
	s := w.sites[h.site]
	for _, port := range []uint16{1, 2} {
		_ = s.idle(p4.Source{Bridge: 1, MAC: h.mac, Port: port}.Key())
		s.finish()
	}
	w.exchange()
}

// restart replaces the controller of a site. The others send it all their routes.
func (w *world) restart(s *site) {
	w.note("site %d restarts", s.index)
	s.stop()
	for lane := range w.lanes {
		if lane[len(lane)-1] == byte('0'+s.index) {
			delete(w.lanes, lane)
		}
	}
	for _, h := range w.hosts {
		h.silent = true // what was under way is lost
	}
	w.boot(s)
	for _, o := range w.sites {
		if o != s {
			for _, key := range inOrder(o.said) {
				s.takes(update(o.vtep, o.said[key]))
			}
		}
	}
	for _, key := range inOrder(w.leaf) {
		s.takes(update(leafVTEP, w.leaf[key]))
	}
	s.bgpChanged([]bgp.Event{{Kind: bgp.Converged}})
	s.finish()
	w.exchange()
}

// quiet has all that is under way arrive and all probes end.
func (w *world) quiet() {
	for range 3000 {
		w.clock.now = w.clock.now.Add(10 * time.Millisecond)
		if !w.pass() && !w.answer(w.sites[0]) && !w.answer(w.sites[1]) {
			return
		}
	}
	for _, line := range w.trace[len(w.trace)-60:] {
		w.Log(line)
	}
	w.Fatal("it does not end")
}

// hardHistories have a host move while what it said is under way.
var hardHistories = []uint64{507, 762, 1820, 2427, 2615}

// Whatever happens in whatever order, in the end both gateways have each address at the host
// that took it last (RFC 9721 section 5.1).
func TestAnAddressIsAtTheHostThatSpokeLast(t *testing.T) {
	all := hardHistories
	for seed := *first; seed < *first+uint64(*seeds); seed++ {
		all = append(all, seed)
	}
	for _, seed := range all {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, seed)
			defer func() {
				for _, s := range w.sites {
					s.stop()
				}
			}()
			for range 4 {
				for range *length {
					w.step()
				}
				w.check()
				w.trace = nil
			}
		})
	}
}

// check lets everything come to rest: hosts go on sending, those that fell silent speak, and
// those that are known nowhere are looked for.
func (w *world) check() {
	w.Helper()
	w.note("--- to rest")
	w.quiet()
	for range 3 {
		for _, h := range w.hosts {
			if h.silent {
				w.note("%v speaks up", h.mac)
				w.frame(h, w.owns(h)...)
			} else {
				w.frame(h, w.sought(h)...)
			}
			w.quiet()
		}
		w.leafForgets()
		w.quiet()
	}
	for _, h := range w.hosts {
		h.silent = false
	}
	for _, ip := range modelIPs {
		h := w.owner[ip]
		if h == nil {
			continue
		}
		for _, s := range w.sites {
			at := s.bridges[1].locate(ip)
			place := "nowhere"
			switch {
			case at.here():
				place = fmt.Sprintf("here at %v port %d", at.mac, s.bridges[1].portOf(at.mac))
			case at.known():
				place = fmt.Sprintf("%v at %v", at.from.route.vtep, at.mac)
			}
			want := fmt.Sprintf("here at %v port %d", h.mac, h.port)
			if h.site == len(w.sites) {
				want = fmt.Sprintf("%v at %v", leafVTEP, h.mac)
			} else if h.site != s.index {
				want = fmt.Sprintf("%v at %v", w.sites[h.site].vtep, h.mac)
			}
			if place != want {
				for _, line := range w.trace {
					w.Log(line)
				}
				w.Fatalf("site %d: %v is %s, want %s", s.index, ip, place, want)
			}
		}
	}
}
