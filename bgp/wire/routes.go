package wire

import (
	"github.com/p4evpn/p4evpn/bgp"
)

// none is that there is no fault of the whole.
const none = -1

// missing are the faults of a mandatory attribute that is not there (RFC 7606 section
// 3 d, RFC 4271 section 5).
var missing = []struct {
	code    uint8
	classic bool // for NLRI outside MP_REACH_NLRI alone
	fault   bgp.Fault
}{
	{attrOrigin, false, missingFault("ORIGIN")},
	{attrASPath, false, missingFault("AS_PATH")},
	{attrNextHop, true, missingFault("NEXT_HOP")},
}

func missingFault(name string) bgp.Fault {
	return bgp.Fault{Reason: bgp.MissingAttribute, Action: bgp.Withdrawn, What: "no " + name}
}

// withdrawals takes the Withdrawn Routes and MP_UNREACH_NLRI.
func (d *Decoder) withdrawals(p *parts, u *Update) *Notification {
	if len(p.withdrawn) > 0 {
		if !d.has[bgp.IPv4Unicast] {
			u.Faults = append(u.Faults, familyFault(IPv4Unicast, p.withdrawn))
		} else if !u.unicastWithdrawals(p.withdrawn, 32) {
			return &Notification{Code: UpdateError, Subcode: InvalidNetworkField}
		}
	}
	m := &p.unreach
	if len(m.nlri) == 0 {
		return nil
	}
	switch f := m.family.Known(); {
	case f != 0 && d.has[f]:
		if f == bgp.EVPN {
			return d.evpnWithdrawals(m, u)
		}
		if !u.unicastWithdrawals(m.nlri, addressBits(f)) {
			return malformedMP(m.raw)
		}
	case m.family != RTConstraint || !d.Constraint:
		u.Faults = append(u.Faults, familyFault(m.family, m.raw))
	}
	return nil
}

// announcements takes the NLRI and MP_REACH_NLRI.
func (d *Decoder) announcements(p *parts, s *set, u *Update) *Notification {
	u.Faults = append(u.Faults, s.faults...)
	if len(p.nlri) > 0 {
		if !d.has[bgp.IPv4Unicast] {
			u.Faults = append(u.Faults, familyFault(IPv4Unicast, p.nlri))
		} else if !u.unicastRoutes(p.nlri, 32, s, s.nextHop, u.whole(s, true, false)) {
			return &Notification{Code: UpdateError, Subcode: InvalidNetworkField}
		}
	}
	m := &p.reach
	if len(m.nlri) == 0 {
		return nil
	}
	f := m.family.Known()
	switch {
	case f != 0 && d.has[f], m.family == RTConstraint && d.Constraint:
	default:
		u.Faults = append(u.Faults, familyFault(m.family, m.raw))
		return nil
	}
	nextHop := parseNextHop(m.nextHop)
	if !nextHop.IsValid() || f == bgp.IPv6Unicast && nextHop.Is4() {
		return malformedMP(m.raw) // RFC 7606 section 7.11
	}
	switch f {
	case 0: // RT constraint is d.constraint's
	case bgp.EVPN:
		return d.evpnRoutes(m, s, u, u.whole(s, false, true))
	default:
		if !u.unicastRoutes(m.nlri, addressBits(f), s, nextHop, u.whole(s, false, false)) {
			return malformedMP(m.raw)
		}
	}
	return nil
}

// whole finds why no route of a kind may be taken: the index of its fault, which it adds
// where that is not one of an attribute.
func (u *Update) whole(s *set, classic, evpn bool) int {
	if s.withdraw != nil {
		for i := range u.Faults {
			if f := &u.Faults[i]; f.Reason == bgp.BadAttribute && f.Action == bgp.Withdrawn {
				return i
			}
		}
	}
	for i := range missing {
		if m := &missing[i]; !s.has(m.code) && (classic || !m.classic) {
			return u.add(&m.fault)
		}
	}
	switch {
	case s.loop != nil:
		return u.add(s.loop)
	case evpn && s.noNextHop != nil:
		return u.add(s.noNextHop)
	case evpn && s.useless != nil:
		return u.add(s.useless)
	}
	return none
}

func (u *Update) add(f *bgp.Fault) int {
	u.Faults = append(u.Faults, *f)
	return len(u.Faults) - 1
}

func familyFault(f Family, raw []byte) bgp.Fault {
	return bgp.Fault{Reason: bgp.BadFamily, Action: bgp.Discarded, What: f.String(), Bytes: bgp.FirstBytes(raw)}
}

func addressBits(f bgp.Family) int {
	if f == bgp.IPv6Unicast {
		return 128
	}
	return 32
}
