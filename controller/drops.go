package controller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/p4"
)

// dropCells bounds the cells of counters in one Read.
const dropCells = 4096

// Drops gives a row for each reason for which frames were dropped.
func (c *Controller) Drops(ctx context.Context, q view.DropQuery) ([]view.Drop, error) {
	of, err := c.dropsOf(ctx, q)
	if err != nil {
		return nil, err
	}
	before := dropCount{}
	began := time.Now()
	if q.Over > 0 {
		if before, err = of.read(ctx, c.in.Target); err != nil {
			return nil, err
		}
		wait := time.NewTimer(q.Over - time.Since(began))
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	ended := time.Now()
	after, err := of.read(ctx, c.in.Target)
	if err != nil {
		return nil, err
	}
	if q.Over > 0 {
		after.less(before)
		of.over = ended.Sub(began)
	}
	rows := of.rows(after)
	if of.totals {
		return rows, nil
	}
	return rows, c.ask(ctx, func(l *loop) { of.addSamples(l, rows) })
}

// dropNames are whose drops are meant.
type dropNames struct {
	ports, bridges map[uint16]string
	ofPort         bool // those of one port alone
	ofBridge       bool // those of one bridge alone
	totals         bool // without ports and bridges
	over           time.Duration
}

// dropsOf finds whose drops a query means.
func (c *Controller) dropsOf(ctx context.Context, q view.DropQuery) (of dropNames, err error) {
	labels, err := Counters{c: c}.labels(ctx)
	if err != nil {
		return of, err
	}
	of = dropNames{ports: labels.ports, bridges: labels.bridges, ofPort: q.Port != "", ofBridge: q.Bridge != "",
		totals: q.Totals}
	of.ports[p4.CPUPort] = "controller"
	if of.ofPort {
		number, known := uint16(0), false
		if err := c.ask(ctx, func(l *loop) { number, known = Inspection{l}.Port(q.Port) }); err != nil {
			return of, err
		}
		if !known {
			return of, fmt.Errorf("port %s: %w", q.Port, view.ErrUnknown)
		}
		of.ports = map[uint16]string{number: q.Port}
	}
	if of.ofBridge {
		maps.DeleteFunc(of.bridges, func(_ uint16, name string) bool { return name != q.Bridge })
		if len(of.bridges) == 0 {
			return of, fmt.Errorf("bridge %s: %w", q.Bridge, view.ErrUnknown)
		}
	}
	return of, nil
}

// dropCount is what cells of counters say, those that are not zero.
type dropCount map[dropCell]view.Dropped

type dropCell struct {
	counter p4.Counter
	index   uint32
}

// read reads how much was dropped: what of ports and bridges, for reasons that occurred alone.
func (of dropNames) read(ctx context.Context, t Target) (dropCount, error) {
	n := dropCount{}
	take := func(e *p4v1.Entity) error {
		c, err := p4.DecodeCount(e)
		if err == nil && c.Packets > 0 {
			n[dropCell{c.Counter, c.Index}] = view.Dropped{Packets: c.Packets, Bytes: c.Bytes}
		}
		return err
	}
	err := t.Read(ctx, []*p4v1.Entity{p4.IngressDrops.All(), p4.EgressDrops.All()}, take)
	for some := range slices.Chunk(of.cells(n), dropCells) {
		if err == nil {
			err = t.Read(ctx, some, take)
		}
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("read the target's counters of drops: %w", err)
	}
	return n, nil
}

// cells are those of ports and bridges for reasons that occurred.
func (of dropNames) cells(occurred dropCount) (cells []*p4v1.Entity) {
	if of.totals {
		return nil
	}
	for c := range occurred {
		why := p4.DropReason(c.index)
		add := func(by p4.Counter, who map[uint16]string) {
			for n := range who {
				cells = append(cells, by.Cell(why.Of(n)))
			}
		}
		switch {
		case c.counter == p4.EgressDrops:
			add(p4.PortEgressDrops, of.ports)
		case of.ofBridge:
			add(p4.BridgeDrops, of.bridges)
		case of.ofPort:
			add(p4.PortDrops, of.ports)
		default:
			add(p4.PortDrops, of.ports)
			add(p4.BridgeDrops, of.bridges)
		}
	}
	return cells
}

// less takes away what was counted before. A counter that is lower now began anew.
func (n dropCount) less(before dropCount) {
	for c, d := range n {
		was := before[c]
		if was.Packets > d.Packets {
			continue
		}
		if d.Packets -= was.Packets; d.Packets == 0 {
			delete(n, c)
			continue
		}
		d.Bytes -= min(was.Bytes, d.Bytes)
		n[c] = d
	}
}

// rows are what was counted, the most first.
func (of dropNames) rows(n dropCount) (rows []view.Drop) {
	for _, stage := range []struct {
		name                string
		all, ports, bridges p4.Counter
	}{
		{"ingress", p4.IngressDrops, p4.PortDrops, p4.BridgeDrops}, {"egress", p4.EgressDrops, p4.PortEgressDrops, 0},
	} {
		for why := p4.DropNone + 1; why < p4.DropReasons; why++ {
			row := view.Drop{Stage: stage.name, Reason: why.String(), Means: why.Means(),
				Ports: of.parts(n, stage.ports, why, of.ports)}
			if stage.bridges != 0 {
				row.Bridges = of.parts(n, stage.bridges, why, of.bridges)
			}
			switch {
			case of.ofPort && len(row.Ports) == 1:
				row.Dropped = row.Ports[0].Dropped
			case of.ofPort:
			case of.ofBridge && len(row.Bridges) == 1:
				row.Dropped, row.Ports = row.Bridges[0].Dropped, nil
			case of.ofBridge:
			default:
				row.Dropped = of.rated(n[dropCell{stage.all, uint32(why)}])
			}
			if row.Packets > 0 {
				rows = append(rows, row)
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b view.Drop) int { return cmp.Compare(b.Packets, a.Packets) })
	return rows
}

// parts are those of ports or bridges, the most first.
func (of dropNames) parts(n dropCount, by p4.Counter, why p4.DropReason, who map[uint16]string) (all []view.DropsOf) {
	for number, name := range who {
		if d := n[dropCell{by, why.Of(number)}]; d.Packets > 0 {
			all = append(all, view.DropsOf{Name: name, Dropped: of.rated(d)})
		}
	}
	slices.SortFunc(all, func(a, b view.DropsOf) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), cmp.Compare(a.Name, b.Name))
	})
	return all
}

func (of dropNames) rated(d view.Dropped) view.Dropped {
	if of.over > 0 {
		d.Rate = float64(d.Packets) / of.over.Seconds()
	}
	return d
}

// addSamples gives rows of ingress the last frame that was dropped so.
func (of dropNames) addSamples(l *loop, rows []view.Drop) {
	for i := range rows {
		if rows[i].Stage != "ingress" {
			continue
		}
		s, ok := l.samples.newest(func(s sample) bool {
			_, port := of.ports[s.port]
			_, bridge := of.bridges[s.bridge]
			return s.why.String() == rows[i].Reason && (port || !of.ofPort) && (bridge || !of.ofBridge)
		})
		if ok {
			rows[i].Sample = &view.DropSample{Port: l.targetPort(s.port), Time: s.at, Frame: s.frame}
		}
	}
}
