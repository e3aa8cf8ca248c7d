package controller

import (
	"context"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/p4"
)

// Ports gives a row for each port of the target.
func (c *Controller) Ports(ctx context.Context) (rows []view.Port, err error) {
	err = c.ask(ctx, func(l *loop) {
		for _, p := range l.cfg.Ports {
			switch p.Kind {
			case KindBridge:
				row := l.portRow(p.Name, view.BridgePort, p.Number, p.Netdev, p4.BridgePort{Port: p.Number})
				row.MACs = uint32(l.ports[p.Number].learned)
				row.SourceGuard, row.Leases = p.SourceGuard, uint32(l.ports[p.Number].leases)
				row.Storm = l.storm(l.ports[p.Number])
				for _, bp := range l.ports[p.Number].bound {
					row.BridgePorts = append(row.BridgePorts, bp.ID)
				}
				rows = append(rows, row)
			case KindUplink:
				host := l.portRow(hostPortName(p), view.HostPort, p.HostPort, p.HostDevice, p4.HostPort{Port: p.HostPort})
				if l.carrier != nil && host.Reason == "" {
					host.Reason = l.carrier.Trouble(p.HostDevice)
				}
				rows = append(rows, l.portRow(p.Name, view.Uplink, p.Number, p.Netdev, p4.Uplink{Port: p.Number}), host)
			}
		}
	})
	if err == nil {
		c.count(ctx, rows)
	}
	for i, r := range rows { // outside the loop: it asks the kernel
		if c.cfg.Link == nil || r.Netdev == "" {
			continue
		}
		state, received, sent := c.cfg.Link(r.Netdev)
		rows[i].ErrorsIn, rows[i].ErrorsOut = received, sent
		if r.Link == "" {
			rows[i].Link = state
		}
	}
	return rows, err
}

// hostPortName is the name of an uplink's host port.
func hostPortName(p Port) string { return p.Name + "-host" }

func (l *loop) portRow(name string, kind view.PortKind, number uint16, netdev string, e entry) view.Port {
	var s summary
	s.checkPort(l, number)
	s.check(l, e)
	s.checkTarget(l)
	if p := l.ports[number]; p != nil {
		s.limited = l.portLimited(p)
	}
	row := view.Port{Name: name, Kind: kind, Number: number, Netdev: netdev}
	row.State, row.Reason = s.viewState()
	if k := l.links[number]; k != nil && k.known {
		row.Link, row.LinkAge, row.Losses = view.Down, max(l.now().Sub(k.since), time.Millisecond), k.losses
		if k.up {
			row.Link = view.Up
		}
	}
	return row
}

// count adds what the pipeline counted, as far as the target says it in time.
func (c *Controller) count(ctx context.Context, rows []view.Port) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	byNumber := map[uint16]*view.Port{}
	cells := []*p4v1.Entity{p4.PortIn.All(), p4.PortOut.All()}
	for i := range rows {
		byNumber[rows[i].Number] = &rows[i]
		for of := range p4.PolicedReasons {
			if rows[i].Kind == view.BridgePort {
				cells = append(cells, p4.PortDrops.Cell(of.Drop().Of(rows[i].Number)))
			}
		}
	}
	// What was read before an error is true, and zeros say nothing of forwarding.
	_ = c.in.Target.Read(ctx, cells, func(e *p4v1.Entity) error {
		if n, err := p4.DecodeCount(e); err == nil {
			countPort(byNumber, n)
		}
		return nil
	})
}

// countPort adds one cell to the row of its port, if there is one.
func countPort(byNumber map[uint16]*view.Port, n p4.Count) {
	number, why := uint16(n.Index), p4.DropNone
	if n.Counter == p4.PortDrops {
		number, why = p4.DropOf(n.Index)
	}
	row := byNumber[number]
	if row == nil {
		return
	}
	switch n.Counter {
	case p4.PortIn:
		row.PacketsIn, row.BytesIn = n.Packets, n.Bytes
	case p4.PortOut:
		row.PacketsOut, row.BytesOut = n.Packets, n.Bytes
	case p4.PortDrops:
		*map[p4.DropReason]*uint64{p4.DropSpoofed: &row.Spoofed, p4.DropStormBroadcast: &row.StormBroadcast,
			p4.DropStormMulticast: &row.StormMulticast, p4.DropStormUnknown: &row.StormUnknown}[why] = n.Packets
	}
}
