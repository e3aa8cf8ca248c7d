package controller

import (
	"context"
	"slices"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/reconcile"
	"github.com/p4evpn/p4evpn/p4"
)

// meterBatch bounds the cells of meters in one Read or Write.
const meterBatch = 512

// meters bound what the target sends us: all frames of each reason, and of them a share
// for each port, bridge and VRF that there is, so that no tenant has the controller to
// himself; and what each port has flooded.
type meters struct {
	// absent: the target has none of what it sends us. The writer's goroutine alone looks at it.
	absent bool
}

// meterAll configures the meters of a target that was reached.
func (l *loop) meterAll() reconcile.Setup {
	all := append(p4.PuntMeters(), p4.SampleMeters(int64(max(l.cfg.DropSamples, 1)))...)
	var storms []p4.Meter
	for number, p := range l.ports {
		all = append(all, p4.PortMeters(number)...)
		storms = append(storms, l.stormMeters(p)...)
	}
	for index := range l.bridges {
		all = append(all, p4.BridgeMeters(index)...)
	}
	for index := range l.vrfs {
		all = append(all, p4.VRFMeters(index)...)
	}
	return func(ctx context.Context, t reconcile.Target) (err error) {
		if l.meters.absent, err = correctMeters(ctx, t, all); err != nil {
			return err
		}
		without, err := correctMeters(ctx, t, storms)
		if without && !l.meters.absent {
			l.log.Warn("the target has no meters of what ports have flooded: nobody is kept from storms")
		}
		return err
	}
}

// correctMeters configures those of the cells that the target has otherwise; absent says
// that it has no such meters.
func correctMeters(ctx context.Context, t reconcile.Target, cells []p4.Meter) (absent bool, err error) {
	for some := range slices.Chunk(cells, meterBatch) {
		differ, err := readMeters(ctx, t, some)
		// What stands in the way of reading meters, but that there are none, says
		// so again when entries are read.
		if err != nil {
			return true, nil
		}
		if err := writeMeters(ctx, t, differ); err != nil {
			return false, err
		}
	}
	return false, nil
}

// meterMore configures the meters of what was made since. That what is gone has a share
// left does no harm.
func (l *loop) meterMore(cells []p4.Meter) {
	l.target.SetUp(func(ctx context.Context, t reconcile.Target) error {
		if l.meters.absent {
			return nil
		}
		return writeMeters(ctx, t, cells)
	})
}

// readMeters gives those of the cells that the target has otherwise.
func readMeters(ctx context.Context, t reconcile.Target, cells []p4.Meter) (differ []p4.Meter, err error) {
	query := make([]*p4v1.Entity, len(cells))
	for i, m := range cells {
		query[i] = m.Cell()
	}
	type cell struct {
		meter uint32
		index int64
	}
	of := func(e *p4v1.MeterEntry) cell { return cell{e.GetMeterId(), e.GetIndex().GetIndex()} }
	held := map[cell]*p4v1.MeterEntry{}
	if err := t.Read(ctx, query, func(e *p4v1.Entity) error {
		held[of(e.GetMeterEntry())] = e.GetMeterEntry()
		return nil
	}); err != nil {
		return nil, err
	}
	for i, m := range cells {
		if !m.Is(held[of(query[i].GetMeterEntry())]) {
			differ = append(differ, m)
		}
	}
	return differ, nil
}

// writeMeters configures cells. A target that refuses one goes without.
func writeMeters(ctx context.Context, t reconcile.Target, cells []p4.Meter) error {
	if len(cells) == 0 {
		return nil
	}
	updates := make([]p4rt.Update, len(cells))
	for i, m := range cells {
		updates[i] = m.Update()
	}
	_, err := t.Write(ctx, updates)
	return err
}
