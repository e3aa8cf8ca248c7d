package controller

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// Inspection is what the target acknowledged, and why it was told so, at one moment.
type Inspection struct{ l *loop }

// Inspect calls do while nothing changes: it should be quick. The Inspection is of no use
// after it. An error is one of ctx or says why the controller cannot answer.
func (c *Controller) Inspect(ctx context.Context, do func(Inspection)) error {
	return c.ask(ctx, func(l *loop) { do(Inspection{l}) })
}

// Entry is the entry that the target holds, false if it holds none.
func (i Inspection) Entry(k p4.Key) (p4.Entry, bool) {
	v, held := i.l.target.Value(k)
	return p4.Entry{Key: k, Value: v}, held
}

// Entries yields what the target holds.
func (i Inspection) Entries() iter.Seq[p4.Entry] { return i.l.target.Entries() }

// Why says what an entry comes from: the object, the route with its peer, or what was
// learned. Of one that nothing wants any more it says that.
func (i Inspection) Why(e p4.Entry) string {
	d, err := p4.Decode(e)
	if err != nil {
		return "nothing of this gateway: it has no meaning here"
	}
	switch want := i.l.Desired(d); {
	case want == nil:
		return "nothing any more: it is about to be removed"
	case want.Entry() != e:
		return "it is about to change: " + explanations[d.Type()](i.l, want)
	default:
		return explanations[d.Type()](i.l, want)
	}
}

// Port finds a port of the target by its name or by that of a bridge port on it.
func (i Inspection) Port(name string) (number uint16, ok bool) {
	for _, p := range i.l.cfg.Ports {
		switch {
		case p.Name == name:
			return p.Number, true
		case p.Kind == KindUplink && hostPortName(p) == name:
			return p.HostPort, true
		}
	}
	if bp := i.l.bridgePorts[name]; bp != nil && bp.port != nil {
		return bp.port.Number, true
	}
	return 0, false
}

// PortName is the name of a port of the target, "" of one that has none.
func (i Inspection) PortName(number uint16) string { return i.l.targetPort(number) }

func (l *loop) targetPort(number uint16) string {
	for _, p := range l.cfg.Ports {
		switch {
		case p.Number == number:
			return p.Name
		case p.Kind == KindUplink && p.HostPort == number:
			return hostPortName(p)
		}
	}
	return ""
}

// Places are where a host is, in each bridge that has it, by its MAC or by an address of it.
func (i Inspection) Places(host string) (places []view.Place, err error) {
	ip, notIP := netip.ParseAddr(host)
	mac, notMAC := ether.ParseMAC(host)
	if notIP != nil && notMAC != nil {
		return nil, fmt.Errorf("%q: want a MAC or an IP address", host)
	}
	for _, b := range i.l.bridges {
		of := mac
		if notIP == nil {
			of = b.locate(ip).mac
		}
		if p, ok := i.l.place(b, of); ok {
			places = append(places, p)
		}
	}
	slices.SortFunc(places, func(a, b view.Place) int { return strings.Compare(a.Bridge, b.Bridge) })
	return places, nil
}

// place is where a MAC of a bridge is, false if nobody knows.
func (l *loop) place(b *bridge, mac ether.MAC) (view.Place, bool) {
	s := b.macs[mac]
	if s == nil {
		return view.Place{}, false
	}
	p := view.Place{Bridge: b.ID, MAC: mac, VNI: b.VNI}
	if b.svi != nil {
		p.Gateway = b.svi.mac
	}
	p.Addresses = slices.SortedFunc(maps.Keys(l.addressesAt(b, mac, s)), netip.Addr.Compare)
	switch c, here := b.selected(mac, s); {
	case here:
		p.Port = b.portOf(mac)
		if at := l.ports[p.Port]; at != nil {
			for vlan, a := range at.attached {
				if a.bridge == b.Index {
					p.VLAN = vlan
				}
			}
		}
	case c != nil:
		p.VTEP = c.route.vtep
	}
	return p, p.Port != 0 || p.VTEP.IsValid()
}
