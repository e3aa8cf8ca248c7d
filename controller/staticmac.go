package controller

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/internal/events"
	"github.com/p4evpn/p4evpn/p4"
)

// staticMACChanged takes a static MAC of the intent as it is now.
func (l *loop) staticMACChanged(o intent.StaticMAC, deleted bool) {
	for id, of := range l.staticMACs { // it may have been another bridge's
		if _, was := of[o.ID]; !was {
			continue
		}
		if delete(of, o.ID); len(of) == 0 {
			delete(l.staticMACs, id)
		}
		l.markStaticMACs(id)
	}
	if deleted {
		return
	}
	if l.staticMACs[o.Bridge] == nil {
		l.staticMACs[o.Bridge] = map[string]intent.StaticMAC{}
	}
	l.staticMACs[o.Bridge][o.ID] = o
	l.markStaticMACs(o.Bridge)
}

// markStaticMACs has the static MACs of a bridge looked at again.
func (l *loop) markStaticMACs(id string) {
	if b := l.byID[id]; b != nil {
		l.dirtyStaticMACs[b.Index] = struct{}{}
	}
}

// placeStaticMACs puts the static MACs of a bridge in place.
func (l *loop) placeStaticMACs(b *bridge) {
	want := l.configuredStaticMACs(b)
	ips := map[netip.Addr]ether.MAC{}
	for _, st := range l.staticMACs[b.ID] {
		if n, why := l.staticMACPort(b, st); why == "" && (want[st.MAC] == 0 || want[st.MAC] == n) {
			want[st.MAC] = n
			for _, ip := range st.IPs {
				ips[ip] = st.MAC
			}
		}
	}
	l.markBoundStatics(b) // as they were
	for mac, n := range b.staticMACs {
		if want[mac] != n {
			delete(b.staticMACs, mac)
			l.markStation(b, mac)
			b.macs[mac].static = 0
			l.changed(b, mac)
		}
	}
	for mac, n := range want {
		if s := b.station(mac); s.static != n {
			s.static, b.staticMACs[mac] = n, n
			l.undecline(b, mac, n)
			l.mark(p4.Source{Bridge: b.Index, MAC: mac, Port: n})
			l.changed(b, mac)
		}
	}
	l.placeStaticIPs(b, ips)
	l.markBoundStatics(b)
}

// configuredStaticMACs are the MACs that the configuration has on the bridge's
// ports, those of the lowest port number where two ports have one MAC.
func (l *loop) configuredStaticMACs(b *bridge) map[ether.MAC]uint16 {
	want := map[ether.MAC]uint16{}
	for _, n := range slices.Sorted(maps.Keys(b.ports)) {
		for _, st := range l.ports[n].StaticMACs {
			a := l.ports[n].attached[st.VLAN]
			if a == nil || a.bridge != b.Index || !l.linkUp(n) {
				continue
			}
			if other, ok := want[st.MAC]; ok {
				l.log.Warn("static MAC is configured on two ports of a bridge, the first one has it",
					events.Key, events.Conflict, "bridge", b.ID, "mac", st.MAC, "port", l.ports[other].Name, "other", l.ports[n].Name)
				continue
			}
			want[st.MAC] = n
		}
	}
	return want
}

// staticMACPort is the port of the target that a static MAC is on, or why it is on
// none now.
func (l *loop) staticMACPort(b *bridge, st intent.StaticMAC) (uint16, string) {
	bp := l.bridgePorts[st.Port]
	if bp == nil {
		return 0, "there is no bridge port " + st.Port
	}
	if bp.port != nil {
		for _, a := range bp.port.attached {
			if a.bridge == b.Index && a.by == bp {
				if why := l.whyDown(bp.port.Number); why != "" {
					return 0, "port " + bp.port.Name + " is down: " + why
				}
				return bp.port.Number, ""
			}
		}
	}
	if bp.reason != "" {
		return 0, "bridge port " + st.Port + ": " + bp.reason
	}
	return 0, "bridge port " + st.Port + " is not attached to the bridge"
}

// placeStaticIPs gives addresses of the bridge to its static MACs, and to nobody else.
func (l *loop) placeStaticIPs(b *bridge, want map[netip.Addr]ether.MAC) {
	for ip := range b.staticIPs {
		if _, ok := want[ip]; !ok {
			delete(b.staticIPs, ip)
			b.soleClaim(ip, b.addresses[ip], ether.MAC{}, byStatic)
			l.addressChanged(b, ip)
		}
	}
	for ip, mac := range want {
		if b.staticIPs[ip] == mac {
			continue
		}
		b.staticIPs[ip] = mac
		b.soleClaim(ip, l.address(b, ip), mac, byStatic)
		l.addressChanged(b, ip)
	}
}

// staticMACSummary: a static MAC is up when the target sends to it and lets its
// frames pass.
func (l *loop) staticMACSummary(o intent.StaticMAC) summary {
	b := l.byID[o.Bridge]
	if b == nil {
		return summary{unmet: "there is no logical bridge " + o.Bridge}
	}
	n, why := l.staticMACPort(b, o)
	if st := b.macs[o.MAC]; why == "" && st != nil && st.static != n {
		why = "the configuration has the MAC on port " + l.ports[st.static].Name
	}
	s := summary{unmet: why}
	if why == "" {
		s.check(l, p4.FDB{Bridge: b.Index, MAC: o.MAC})
		s.check(l, p4.Source{Bridge: b.Index, MAC: o.MAC, Port: n})
	}
	s.checkTarget(l)
	return s
}

// staticMACNamed finds a static MAC by its id.
func (l *loop) staticMACNamed(id string) (intent.StaticMAC, bool) {
	for _, of := range l.staticMACs {
		if o, ok := of[id]; ok {
			return o, true
		}
	}
	return intent.StaticMAC{}, false
}
