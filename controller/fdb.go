package controller

import (
	"encoding/binary"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// markStation marks all that may follow from where a MAC is now.
func (l *loop) markStation(b *bridge, mac ether.MAC) {
	l.mark(p4.FDB{Bridge: b.Index, MAC: mac})
	s := b.macs[mac]
	if s == nil {
		return
	}
	l.markStationSources(b, mac, s)
	l.markAdvert(b, mac)
}

// markStationSources marks the entries that let a MAC pass where it is.
func (l *loop) markStationSources(b *bridge, mac ether.MAC, s *station) {
	if s.local != nil {
		l.mark(p4.Source{Bridge: b.Index, MAC: mac, Port: s.local.port})
	}
	if s.static != 0 {
		l.mark(p4.Source{Bridge: b.Index, MAC: mac, Port: s.static})
	}
}

// desiredFDB sends to the port or the VTEP where the MAC is.
func (l *loop) desiredFDB(index uint16, mac ether.MAC) entry {
	b := l.bridges[index]
	if b == nil {
		return nil
	}
	s := b.macs[mac]
	if s == nil {
		return nil
	}
	c, here := b.selected(mac, s)
	switch {
	case here && s.static != 0:
		return p4.FDB{Bridge: index, MAC: mac, Kind: p4.ToPort, Port: s.static}
	case here:
		return p4.FDB{Bridge: index, MAC: mac, Kind: p4.ToPort, Port: s.local.port}
	case c != nil && c.via.id != 0:
		return p4.FDB{Bridge: index, MAC: mac, Kind: p4.ToVTEP, VTEP: c.via.id, VNI: c.route.vni}
	}
	return nil
}

// desiredSource lets a known source pass without a digest: for ever where it
// is configured or expected, until it is silent where it was learned or declined.
func (l *loop) desiredSource(index uint16, mac ether.MAC, port uint16) entry {
	b := l.bridges[index]
	if b == nil {
		return nil
	}
	e := p4.Source{Bridge: index, MAC: mac, Port: port, Verdict: p4.Known}
	if s := b.macs[mac]; s != nil {
		if s.static == port {
			return e
		}
		if s.local != nil && s.local.port == port {
			if !s.local.expected {
				e.IdleTimeout = l.cfg.Ageing
			}
			e.Metadata = sequenceMetadata(s.local.sequence)
			return e
		}
	}
	reason, ok := b.declined[mac][port]
	if !ok {
		return nil
	}
	e.Verdict = reason.verdict()
	e.IdleTimeout = l.cfg.Ageing
	return e
}

// sequenceMetadata is what an entry of a learned MAC carries beyond its key, so
// that a restarted controller goes on with the sequence it advertised.
func sequenceMetadata(n uint32) string {
	return string(binary.BigEndian.AppendUint32(nil, n))
}

func metadataSequence(m string) (uint32, bool) {
	if len(m) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32([]byte(m)), true
}
