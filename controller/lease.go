package controller

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/p4evpn/p4evpn/controller/dhcp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// This file is the addresses that DHCP gave stations behind guarded ports (RFC 7513). The
// pipeline copies what stations behind them ask, and what trusted ports and VTEPs answer: an
// address is bound where the question came from.

// Leases keeps leases over a restart; *intent.Store does.
type Leases interface {
	Leases() (leases []intent.Lease, unreadable int, err error)
	KeepLeases(keep, forget []intent.Lease) error
}

// lease is an address that DHCP gave a station.
type lease struct {
	mac   ether.MAC
	port  uint16
	until time.Time // zero: for ever
}

// exchange is how an answer of DHCP names its question.
type exchange struct {
	client      ether.MAC
	transaction uint32
}

// leaseQuestion is one that waits for its answer.
type leaseQuestion struct {
	bridge, port uint16
	at           time.Time
}

const (
	// answerPatience is how long a question waits: clients ask again after 64 s at most (RFC
	// 2131 section 4.1).
	answerPatience = 64 * time.Second
	// maxQuestions bounds those of one port.
	maxQuestions = 1024
)

// snoopDHCP learns from a copy of DHCP which address a station has.
func (l *loop) snoopDHCP(p p4.PacketIn) {
	m, ok := dhcp.ReadV4(p.Frame)
	if !ok {
		return // of no address
	}
	asked := !p.VTEP.IsValid() && l.bridges[p.Bridge] != nil && l.guards(l.bridges[p.Bridge], p.Port)
	switch {
	case m.Kind == dhcp.Grants:
		l.granted(p, m)
	case !asked: // the port was guarded a moment ago
	case m.Kind == dhcp.Asks:
		l.askedDHCP(exchange{m.Client, m.Transaction}, leaseQuestion{p.Bridge, p.Port, l.now()})
	case m.Kind == dhcp.Returns:
		b := l.bridges[p.Bridge]
		if le, ok := b.leases[m.Address]; ok && le.mac == m.Client && le.port == p.Port {
			l.endLease(b, m.Address)
		}
	}
}

// maxAnswers bounds those of the kernel that wait for the loop.
const maxAnswers = 64

// Injected is to be called with each frame that the kernel sends for a VRF: a relay or server
// of DHCP may run there. It never waits; a lease that is lost so is asked for again.
func (c *Controller) Injected(f slowpath.Frame) {
	if !dhcp.MayBeAnswer(f.Data) {
		return
	}
	select {
	case c.answers <- f:
	default:
	}
}

// kernelAnswered takes what may be the answer of a server of our own.
func (l *loop) kernelAnswered(f slowpath.Frame) {
	if m, ok := dhcp.ReadV4(f.Data); ok && m.Kind == dhcp.Grants {
		l.granted(p4.PacketIn{Bridge: f.Bridge, VRF: f.VRF}, m)
	}
}

// askedDHCP keeps a question. Whoever repeats another port's does not take it over.
func (l *loop) askedDHCP(e exchange, q leaseQuestion) {
	old, again := l.questions[e]
	switch {
	case again && (old.port != q.port || old.bridge != q.bridge) && q.at.Sub(old.at) < answerPatience:
		return
	case again:
		l.forgetQuestion(e)
	}
	p := l.ports[q.port]
	if p.questions >= maxQuestions {
		for other, o := range l.questions { // any of its own: it is asked again
			if o.port == q.port {
				l.forgetQuestion(other)
				break
			}
		}
	}
	p.questions++
	l.questions[e] = q
}

func (l *loop) forgetQuestion(e exchange) {
	l.ports[l.questions[e].port].questions--
	delete(l.questions, e)
}

// granted takes a server's answer, if it is one to a station here: by the bridge that it asked
// in, or routed to it.
func (l *loop) granted(p p4.PacketIn, m dhcp.Message) {
	q, ok := l.questions[exchange{m.Client, m.Transaction}]
	b := l.bridges[q.bridge]
	if !ok || b == nil || !l.guards(b, q.port) {
		return
	}
	inBridge := p.Bridge == q.bridge
	inVRF := p.VRF != 0 && b.svi != nil && b.svi.vrf.Index == p.VRF
	if !inBridge && !inVRF {
		return
	}
	l.forgetQuestion(exchange{m.Client, m.Transaction})
	le := lease{mac: m.Client, port: q.port}
	if m.Lease != dhcp.Forever {
		le.until = l.now().Add(m.Lease)
	}
	if why := l.bindLease(b, m.Address, le); why != "" {
		l.stats.leasesRefused.Add(1)
		l.log.Warn("a lease of DHCP is not bound: its station stays without the address", "bridge", b.ID,
			"port", l.ports[q.port].Name, "mac", m.Client, "address", m.Address, "reason", why)
	}
}

// bindLease binds an address to a station, or says why not.
func (l *loop) bindLease(b *bridge, ip netip.Addr, le lease) string {
	old, had := b.leases[ip]
	p := l.ports[le.port]
	switch {
	case b.svi.guards(ip):
		return "it is the gateway's"
	case b.staticIPs[ip] != (ether.MAC{}) && b.staticIPs[ip] != le.mac:
		return "a static MAC has it"
	// A server gives an address by the MAC that the client says: who says another's must not
	// have its address while it is there.
	case had && old.mac == le.mac && old.port != le.port && l.guards(b, old.port) && l.links[old.port].up &&
		!l.ended(old):
		return "the station has it behind port " + l.ports[old.port].Name + ", which is up"
	case !had && p.leases >= l.maxPortMACs(p):
		return "the port has as many as it may have MACs (max_macs)"
	}
	if had {
		l.forgetLease(b, ip)
	}
	l.addLease(b, ip, le)
	l.leaseKeeper.put(l.stored(b, ip, le), false)
	return ""
}

// endLease ends a lease, here and in the store.
func (l *loop) endLease(b *bridge, ip netip.Addr) {
	l.leaseKeeper.put(l.stored(b, ip, b.leases[ip]), true)
	l.forgetLease(b, ip)
}

func (l *loop) addLease(b *bridge, ip netip.Addr, le lease) {
	b.leases[ip] = le
	l.ports[le.port].leases++
	l.stats.leases.Add(1)
	l.markLease(b, ip, le)
}

func (l *loop) forgetLease(b *bridge, ip netip.Addr) {
	le := b.leases[ip]
	delete(b.leases, ip)
	l.ports[le.port].leases--
	l.stats.leases.Add(-1)
	l.markLease(b, ip, le)
}

func (l *loop) markLease(b *bridge, ip netip.Addr, le lease) {
	l.mark(p4.BoundSource{Bridge: b.Index, Port: le.port, MAC: le.mac, Address: ip})
}

// ended reports whether a lease is over.
func (l *loop) ended(le lease) bool { return !le.until.IsZero() && !l.now().Before(le.until) }

// stored is a lease as the store has it.
func (l *loop) stored(b *bridge, ip netip.Addr, le lease) intent.Lease {
	kept := intent.Lease{Bridge: b.ID, Port: l.ports[le.port].Name, MAC: le.mac, Address: ip}
	if !le.until.IsZero() {
		kept.Until = le.until.Add(-l.clock.skew)
	}
	return kept
}

// endLeases ends what is over: leases, and questions that nobody answered.
func (l *loop) endLeases() {
	for _, b := range l.bridges {
		for ip, le := range b.leases {
			if l.ended(le) {
				l.endLease(b, ip)
			}
		}
	}
	now := l.now()
	for e, q := range l.questions {
		if now.Sub(q.at) >= answerPatience {
			l.forgetQuestion(e)
		}
	}
}

// restoreLeases gives a new bridge the leases that were kept of one with its id.
func (l *loop) restoreLeases(b *bridge) {
	for _, kept := range l.keptLeases[b.ID] {
		le := lease{mac: kept.MAC, until: kept.Until}
		for number, p := range l.ports {
			if p.Name == kept.Port && p.SourceGuard {
				le.port = number
			}
		}
		if le.port == 0 || l.ended(le) {
			l.leaseKeeper.put(kept, true)
			continue
		}
		l.addLease(b, kept.Address, le)
	}
	delete(l.keptLeases, b.ID)
}

// dropKeptLeases forgets leases of bridges that are no more.
func (l *loop) dropKeptLeases() {
	for _, of := range l.keptLeases {
		for _, kept := range of {
			l.leaseKeeper.put(kept, true)
		}
	}
	clear(l.keptLeases)
}

// dropLeases forgets those of a bridge that goes.
func (l *loop) dropLeases(b *bridge) {
	for ip := range b.leases {
		l.endLease(b, ip)
	}
}

// readLeases are those that were kept, by the bridge's id.
func readLeases(from Leases, log *slog.Logger) map[string][]intent.Lease {
	by := map[string][]intent.Lease{}
	if from == nil {
		return by
	}
	kept, unreadable, err := from.Leases()
	if err != nil || unreadable > 0 {
		log.Warn("leases of DHCP are lost: their stations stay without addresses until they ask again",
			"unreadable", unreadable, "err", err)
	}
	for _, le := range kept {
		by[le.Bridge] = append(by[le.Bridge], le)
	}
	return by
}

// leaseKeeper writes leases to the store on a goroutine of its own: the loop never waits for
// the disk. What changes meanwhile is one transaction.
type leaseKeeper struct {
	leases  Leases // nil: nothing is kept
	log     *slog.Logger
	mu      sync.Mutex
	changed map[leaseName]leaseChange
	wake    chan struct{}
}

type leaseName struct {
	bridge  string
	address netip.Addr
}

type leaseChange struct {
	intent.Lease
	gone bool
}

// leaseRetry is the pause after the store refused.
const leaseRetry = 10 * time.Second

func newLeaseKeeper(leases Leases, log *slog.Logger) *leaseKeeper {
	return &leaseKeeper{leases: leases, log: log, changed: map[leaseName]leaseChange{}, wake: make(chan struct{}, 1)}
}

func (k *leaseKeeper) put(le intent.Lease, gone bool) {
	if k.leases == nil {
		return
	}
	k.mu.Lock()
	k.changed[leaseName{le.Bridge, le.Address}] = leaseChange{le, gone}
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run writes until ctx ends, and what is left then.
func (k *leaseKeeper) run(ctx context.Context) {
	var retry <-chan time.Time
	for {
		select {
		case <-k.wake:
		case <-retry:
		case <-ctx.Done():
			k.write()
			return
		}
		if retry = nil; !k.write() {
			retry = time.After(leaseRetry)
		}
	}
}

// write reports whether nothing is left to be written.
func (k *leaseKeeper) write() bool {
	k.mu.Lock()
	changed := k.changed
	k.changed = map[leaseName]leaseChange{}
	k.mu.Unlock()
	if len(changed) == 0 {
		return true
	}
	var keep, forget []intent.Lease
	for _, c := range changed {
		if c.gone {
			forget = append(forget, c.Lease)
		} else {
			keep = append(keep, c.Lease)
		}
	}
	err := k.leases.KeepLeases(keep, forget)
	if err == nil {
		return true
	}
	k.log.Warn("leases of DHCP could not be kept: they are lost by a restart", "leases", len(keep), "err", err)
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, c := range changed {
		if _, newer := k.changed[name]; !newer {
			k.changed[name] = c
		}
	}
	return false
}
