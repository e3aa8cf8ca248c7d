package controller

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/internal/events"
)

// Ages of addresses (RFC 9161 section 3.5): a host is asked for each of them before it
// ends, unless it was heard meanwhile. A round is no longer than a MAC may be silent, so
// that one that answers is not forgotten; in each some of the addresses of each MAC have
// their turn, those that were not heard for the longest time.

// roundOf is how long a round is, and how many there are in an age.
func roundOf(age, ageing time.Duration) (round time.Duration, rounds int) {
	round = max(min(age, ageing)-probeTime, time.Second)
	return round, max(1, int((age-probeTime)/round))
}

// tendAges asks whom it is time to ask, and says when it wants to be called again.
func (l *loop) tendAges() time.Duration {
	if !l.target.Ready() {
		l.deaf = true
		return idleTick
	}
	if l.deaf {
		l.deaf = false
		l.prober.again()
	}
	now := l.now()
	l.prober.rate = l.probeRate()
	l.prober.tick(now)
	next := idleTick
	for l.rounds.due(now) == 0 {
		if !l.prober.free(now) {
			next = min(next, probeTick)
			break
		}
		if t := l.rounds.take(now); t != nil {
			l.takeTurn(t, now)
		}
	}
	if due := l.rounds.due(now); due > 0 {
		next = min(next, due)
	}
	return min(next, l.prober.next(now))
}

// probeRate is how many hosts may be asked in a second: somewhat more than have their
// turns.
func (l *loop) probeRate() float64 {
	_, rounds := roundOf(l.cfg.AddressAge, l.cfg.Ageing)
	most := float64(l.rounds.count) + float64(l.stats.hostsLocal.Load())/float64(rounds)
	return max(leastProbes, 1.25*most/l.rounds.length.Seconds())
}

// takeTurn asks a MAC for some of its addresses.
func (l *loop) takeTurn(t *turn, now time.Time) {
	b := l.bridges[t.bridge]
	if b == nil || b.claimed[t.mac] == nil {
		return
	}
	l.rounds.again(t, now)
	if b.stationHere(t.mac) != nil { // else its claims wait for it, but for those that were found
		l.endStale(b, t.mac, now)
	}
	asked := l.askable(b, t.mac)
	if len(asked) == 0 {
		return
	}
	round, rounds := roundOf(l.cfg.AddressAge, l.cfg.Ageing)
	share := int(math.Ceil(float64(len(asked)) / float64(rounds)))
	if heard := asked[len(asked)-1].confirmed; now.Sub(heard) < round/5 {
		share = 0 // it spoke by itself
		l.rounds.again(t, heard)
	}
	for i, a := range asked {
		if lasts := l.cfg.AddressAge-probeTime-now.Sub(a.confirmed) > round; lasts && i >= share {
			return // so do the rest, until the next turn
		}
		l.prober.ask(probed{b.Index, a.ip, t.mac}, now)
	}
}

// dated is an address of a MAC and when it was heard last.
type dated struct {
	ip        netip.Addr
	confirmed time.Time
}

// askable are the addresses that a MAC has by its claims, here or where it was found, but
// those that it was given or never spoke for, the longest not heard first.
func (l *loop) askable(b *bridge, mac ether.MAC) (out []dated) {
	of := b.claimed[mac]
	if of == nil {
		return nil
	}
	for ip := range of.of {
		c := b.addresses[ip].claim(mac)
		if at := b.locate(ip); c.by&byStatic == 0 && c.by != byExpectation && at.claimed && at.mac == mac {
			out = append(out, dated{ip, c.confirmed})
		}
	}
	slices.SortFunc(out, func(a, b dated) int { return a.confirmed.Compare(b.confirmed) })
	return out
}

// endStale ends claims of a MAC that lost, and were not made again for an age. It is not
// asked: an answer would claim the address anew.
func (l *loop) endStale(b *bridge, mac ether.MAC, now time.Time) {
	for ip := range b.claimed[mac].of {
		c := b.addresses[ip].claim(mac)
		if c.by&byStatic == 0 && !c.confirmed.IsZero() && now.Sub(c.confirmed) >= l.cfg.AddressAge &&
			b.locate(ip).mac != mac {
			l.endClaim(b, ip, mac)
		}
	}
}

// makeRoom ends the claim of a MAC that was not heard for the longest time, so that it may
// make another, and reports whether it may.
func (l *loop) makeRoom(b *bridge, mac ether.MAC) bool {
	of := b.claimed[mac]
	var oldest netip.Addr
	var since time.Time
	for ip := range of.of {
		c := b.addresses[ip].claim(mac)
		if c.by&(byStatic|byExpectation) == 0 && (!oldest.IsValid() || c.confirmed.Before(since)) {
			oldest, since = ip, c.confirmed
		}
	}
	if !oldest.IsValid() {
		return false
	}
	l.stats.hostsDisplaced.Add(1)
	of.silent = false
	if !of.crowded {
		of.crowded = true
		l.log.Warn("a MAC has too many addresses: each new one ends the one that was not heard for the longest time",
			events.Key, events.Limit, "bridge", b.ID, "mac", mac, "addresses", len(of.of), "oldest", oldest)
	}
	l.prober.end(probed{b.Index, oldest, mac})
	l.endClaim(b, oldest, mac)
	return true
}

// lingers reports whether a MAC that fell silent is asked for its addresses before it is
// forgotten: it may have nothing to say.
func (l *loop) lingers(b *bridge, mac ether.MAC) bool {
	lingers := false
	for _, a := range l.askable(b, mac) {
		lingers = l.probeSoon(b, a.ip, mac) || lingers
	}
	if lingers {
		b.claimed[mac].silent = true
	}
	return lingers
}
