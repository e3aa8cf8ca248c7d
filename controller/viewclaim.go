package controller

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// MAC gives the entry of one MAC in each bridge that has it, with its claims.
func (c *Controller) MAC(ctx context.Context, mac ether.MAC) (rows []view.MAC, err error) {
	err = c.ask(ctx, func(l *loop) {
		for _, b := range l.bridges {
			s := b.macs[mac]
			if s == nil {
				continue
			}
			row := view.MAC{FDBEntry: l.fdbRow(b, mac, s), Claims: l.macClaims(b, mac, s)}
			for ip := range l.addressesAt(b, mac, s) {
				row.Addresses = append(row.Addresses, ip)
			}
			rows = append(rows, row)
		}
	})
	return rows, err
}

// Address gives one address in each bridge that has it.
func (c *Controller) Address(ctx context.Context, ip netip.Addr) (rows []view.Host, err error) {
	err = c.ask(ctx, func(l *loop) {
		for _, b := range l.bridges {
			if b.svi.has(ip) || b.addresses[ip] != nil {
				rows = append(rows, l.hostRow(b, ip))
			}
		}
	})
	return rows, err
}

// addressesAt are the addresses that a MAC has in the end.
func (l *loop) addressesAt(b *bridge, mac ether.MAC, s *station) map[netip.Addr]struct{} {
	at := map[netip.Addr]struct{}{}
	take := func(ip netip.Addr) {
		if b.locate(ip).mac == mac {
			at[ip] = struct{}{}
		}
	}
	if of := b.claimed[mac]; of != nil {
		for ip := range of.of {
			take(ip)
		}
	}
	for c := range s.routes.all() {
		if c.route.isHost() {
			take(c.route.IP)
		}
	}
	return at
}

// maxShown bounds the routes that are shown of one MAC or address, whatever peers send.
const maxShown = 100

// macClaims are who says where a MAC is, the one that is believed first.
func (l *loop) macClaims(b *bridge, mac ether.MAC, s *station) (rows []view.Claim) {
	from, here := b.selected(mac, s)
	lost := view.ClaimInactive
	if b.frozen(mac) {
		lost = view.ClaimDuplicate
	}
	best := s.best()
	local := func(row view.Claim) {
		row.MAC, row.State, row.Reason = mac, view.ClaimActive, whyHere(best, s, b)
		if !here {
			row.State, row.Reason = lost, "its route is better: "+whyNot(best, s, b)
		}
		if b.frozen(mac) {
			row.Reason = "it is held where it is: it moved too often"
		}
		rows = append(rows, row)
	}
	if s.static != 0 {
		local(view.Claim{Sources: []view.ClaimSource{view.SourceStatic}, Port: l.portName(b, s.static), Sticky: true})
	}
	if s.local != nil {
		row := view.Claim{Sources: []view.ClaimSource{view.SourceHost}, Port: l.portName(b, s.local.port),
			Sequence: s.local.sequence, Age: l.since(s.local.since)}
		switch {
		case s.local.expected:
			row.Sources[0] = view.SourceExpected
		case s.local.since.IsZero():
			row.Sources[0] = view.SourceRestart
		}
		local(row)
	}
	for _, c := range shown(&s.routes) {
		row := routeClaim(c)
		row.State, row.Reason = lost, b.unselectedMAC(c.route)
		if !here && c == from {
			row.State, row.Reason = view.ClaimActive, whyRoute(&s.routes, c)
		} else if row.Reason == "" {
			row.Reason = better("another route", stepNone)
		}
		rows = append(rows, row)
	}
	return activeFirst(rows)
}

// whyHere says why a MAC is on a port of ours.
func whyHere(best *candidate, s *station, b *bridge) string {
	switch {
	case s.static != 0:
		return "it is configured"
	case best == nil:
		return "nobody else says where it is"
	}
	return "it is better than the routes: " + whyNot(best, s, b)
}

// whyNot is the step by which a local MAC and its best route are told apart.
func whyNot(best *candidate, s *station, b *bridge) string {
	mine := rank{sticky: s.static != 0, vtep: b.localVTEP}
	if s.local != nil && s.static == 0 {
		mine.sequence = s.local.sequence
	}
	if best == nil {
		return ""
	}
	_, by := mine.compare(best.route.rank())
	return by.String()
}

// whyRoute says why a candidate is the one in use.
func whyRoute(all *candidates, c *candidate) string {
	best := all.best()
	switch {
	case all.size() == 1:
		return "nobody else says so"
	case c != best:
		return fmt.Sprintf("the better VTEP %v: %s", best.route.vtep, cmp.Or(best.via.unresolved(), "no path"))
	}
	for _, other := range shown(all) {
		if other != c {
			if n, by := c.compare(other, all.slot()); n < 0 && by != stepNone {
				return "it is the best of the routes: " + by.String()
			}
		}
	}
	return "the routes say the same"
}

// hostClaims are who says who has an address, the one that has it first.
func (l *loop) hostClaims(b *bridge, ip netip.Addr) (rows []view.Claim) {
	a, at := b.addresses[ip], b.locate(ip)
	if a == nil {
		return nil
	}
	holder := b.holder(ip)
	for _, c := range slices.Backward(a.allClaims()) {
		row := l.localClaim(b, c)
		switch {
		case c.mac == holder:
			row.State, row.Reason = view.ClaimDuplicate, "it holds the address, which moved too often: nobody is answered"
		case at.claimed && c.mac == at.mac:
			row.State, row.Reason = view.ClaimActive, b.whyClaimed(a, c)
		default:
			row.State, row.Reason = view.ClaimInactive, b.whyUnclaimed(ip, a, c, at)
			if !holder.IsZero() {
				row.State = view.ClaimDuplicate
			}
		}
		rows = append(rows, row)
	}
	for _, c := range shown(&a.routes) {
		row := routeClaim(c)
		row.State, row.Reason = view.ClaimActive, b.whyRouted(a, c)
		if at.claimed || c != at.from {
			row.State, row.Reason = view.ClaimInactive, b.whyUnrouted(ip, a, c, at)
		}
		if !holder.IsZero() {
			row.State = view.ClaimDuplicate
		}
		rows = append(rows, row)
	}
	return l.showProbed(b, ip, activeFirst(rows))
}

// showProbed has claims of an address that hosts are asked about now say so, whatever became
// of them before.
func (l *loop) showProbed(b *bridge, ip netip.Addr, rows []view.Claim) []view.Claim {
	for i := range rows {
		c := &rows[i]
		if c.Sources[0] != view.SourceRoute && c.State != view.ClaimDuplicate && l.prober.asks(probed{b.Index, ip, c.MAC}) {
			c.State = view.ClaimProbed
		}
	}
	return rows
}

var evidences = []struct {
	by     evidence
	source view.ClaimSource
}{
	{byStatic, view.SourceStatic}, {byHost, view.SourceHost}, {byTarget, view.SourceRestart}, {byPeer, view.SourceMoved},
	{answered, view.SourceResolved}, {byExpectation, view.SourceExpected},
}

// localClaim is what is known of a claim, but for what became of it.
func (l *loop) localClaim(b *bridge, c claim) view.Claim {
	row := view.Claim{MAC: c.mac, Age: l.since(c.confirmed)}
	for _, e := range evidences {
		if c.by&e.by != 0 {
			row.Sources = append(row.Sources, e.source)
		}
	}
	showFlags(&row, c.flags)
	switch from, known := b.place(c.mac); {
	case !known:
	case from != nil:
		row.VTEP, row.Sequence, row.Sticky = from.route.vtep, from.route.sequence, from.route.sticky
	default:
		mine, _ := b.rankHere(c.mac)
		row.Port, row.Sequence, row.Sticky = l.portName(b, b.portOf(c.mac)), mine.sequence, mine.sticky
	}
	return row
}

// routeClaim is what a route says, but for what became of it.
func routeClaim(c *candidate) view.Claim {
	r := c.route
	row := view.Claim{MAC: r.MAC, Sources: []view.ClaimSource{view.SourceRoute}, VTEP: r.vtep, Sequence: r.sequence,
		Sticky: r.sticky, Immutable: r.immutable}
	showFlags(&row, r.flags)
	return row
}

// whyClaimed says why a claim is the active one.
func (b *bridge) whyClaimed(a *address, c claim) string {
	best := a.routes.best()
	mine, _ := b.rankHere(c.mac)
	switch {
	case c.by&byStatic != 0:
		return "the address was given to the MAC"
	case c.by == byExpectation:
		return "no host here speaks for it, and the MAC is said to have it"
	case c.by&spoken == 0:
		return "nobody claims it, and the host answered when the gateway looked for it"
	case best == nil && len(a.claims.all) == 1:
		return "nobody else claims it"
	case best == nil:
		return "it spoke for the address last"
	case best.route.MAC == c.mac:
		return "its MAC is here"
	}
	_, by := mine.compare(best.route.rank())
	return "it is better than the routes: " + by.String()
}

// whyUnclaimed says why a claim is not the active one.
func (b *bridge) whyUnclaimed(ip netip.Addr, a *address, c claim, at location) string {
	if no := b.noHost(ip); no != isHost {
		return no.String()
	}
	from, known := b.place(c.mac)
	switch {
	case !known:
		return "its MAC is nowhere"
	case from != nil:
		return fmt.Sprintf("its MAC is behind VTEP %v", from.route.vtep)
	case !b.holder(ip).IsZero():
		return heldBy(b.holder(ip))
	case at.claimed && a.claimant(byStatic) == at.mac:
		return "the address was given to " + at.mac.String()
	case at.claimed:
		return fmt.Sprintf("%v spoke for it later", at.mac)
	case at.from == nil:
		return ""
	case at.from.route.immutable:
		return "a route says that the address was given to " + at.mac.String()
	}
	mine, _ := b.rankHere(c.mac)
	_, by := mine.compare(at.from.route.rank())
	return better("a route", by)
}

// whyRouted says why a route has the address.
func (b *bridge) whyRouted(a *address, c *candidate) string {
	for _, other := range slices.Backward(a.allClaims()) {
		if mine, here := b.rankHere(other.mac); here {
			if n, by := c.route.rank().compare(mine); n < 0 {
				return "it is better than a claim here: " + by.String()
			}
		}
	}
	return whyRoute(&a.routes, c)
}

// whyUnrouted says why a route does not have the address.
func (b *bridge) whyUnrouted(ip netip.Addr, a *address, c *candidate, at location) string {
	no := b.noHost(ip)
	switch {
	case no != isHost:
		return no.String()
	case !b.holder(ip).IsZero():
		return heldBy(b.holder(ip))
	case !c.usable():
		return fmt.Sprintf("VTEP %v: %s", c.route.vtep, c.via.unresolved())
	case at.claimed && a.claimant(byStatic) == at.mac:
		return "the address was given to " + at.mac.String()
	case at.claimed && at.mac == c.route.MAC:
		return "its MAC is here"
	case at.claimed:
		mine, _ := b.rankHere(at.mac)
		_, by := mine.compare(c.route.rank())
		return better("a claim here", by)
	case at.from == nil:
		return ""
	}
	return better("another route", a.routes.why(c, at.from))
}

func heldBy(mac ether.MAC) string {
	return fmt.Sprintf("the address moved too often, and %v holds it", mac)
}

// shown are some of the candidates in an order of their own.
func shown(s *candidates) (some []*candidate) {
	some = slices.Collect(s.some(maxShown))
	slices.SortFunc(some, func(a, b *candidate) int {
		n, _ := a.compare(b, s.slot())
		return cmp.Or(n, strings.Compare(a.route.Key.String(), b.route.Key.String()))
	})
	return some
}

// activeFirst puts what is in use before the rest.
func activeFirst(rows []view.Claim) []view.Claim {
	slices.SortStableFunc(rows, func(a, b view.Claim) int {
		return cmp.Compare(boolRank(b.State == view.ClaimActive), boolRank(a.State == view.ClaimActive))
	})
	return rows
}

// since is the time from then to now, 0 if that is not known.
func (l *loop) since(then time.Time) time.Duration {
	if then.IsZero() {
		return 0
	}
	return max(l.now().Sub(then), time.Nanosecond) // 0 would be none
}

func showFlags(row *view.Claim, flags packet.Flags) {
	if row.FlagsKnown = flags.Known(); row.FlagsKnown {
		row.Router, row.Override = flags.Router(), flags.Override()
	}
}
