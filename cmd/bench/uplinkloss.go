package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/p4"
)

const (
	spreadRoutes = 100_000
	spreadVTEPs  = 100
)

// measureUplinkLoss has 100,000 MACs behind 100 VTEPs, which two uplinks reach, and takes
// one of the uplinks away, as the kernel tells of it: VTEP by VTEP. It counts what is
// written until no slot leads by the lost uplink, and a second more.
func measureUplinkLoss(ctx context.Context, b *bench) ([]value, error) {
	speaker := controllertest.NewSpeaker()
	g, _, err := b.startBridges(ctx, speaker, 1)
	if err != nil {
		return nil, err
	}
	defer g.stop()
	if err := g.fill(ctx, speaker, spreadRoutes, spreadVTEPs); err != nil {
		return nil, err
	}
	slots := newSlotWatch(func(e p4.Typed) (uint16, bool) { s, is := e.(p4.UplinkSlot); return s.Port, is })
	g.target.watch(slots.observe)
	g.underlay.SetAll(path2) // so that all slots are seen
	if _, err := slots.await(ctx, leadBy(uplink2)); err != nil {
		return nil, err
	}
	g.underlay.SetAll(path1, path2)
	if err := sleep(ctx, 2*time.Second); err != nil { // groups have settled
		return nil, err
	}
	slots.reset()
	lost := time.Now()
	g.underlay.SetAll(path1)
	moved, err := slots.await(ctx, leadBy(uplink1))
	if err != nil {
		return nil, err
	}
	if err := sleep(ctx, 2*time.Second); err != nil {
		return nil, err
	}
	tables, members := slots.written()
	return []value{
		{name: "uplink_loss_writes", number: float64(tables), unit: "entries", goal: atMost(0),
			against: fmt.Sprintf("of tables (one is removed, the adjacency's), for %d MACs behind %d VTEPs", spreadRoutes,
				spreadVTEPs)},
		{name: "uplink_loss_members", number: float64(members), unit: "members", goal: atMost(p4.Slots),
			against: "of action selectors, for all VTEPs together"},
		{name: "uplink_loss_ms", number: float64(moved.Sub(lost).Microseconds()) / 1000, unit: "ms",
			against: "the first word of the kernel to the last slot acknowledged"},
	}, nil
}

// slotWatch knows where each slot leads that was written, and counts what was written.
type slotWatch struct {
	where   func(p4.Typed) (to uint16, is bool) // where a slot leads, false for other entries
	changed chan struct{}                       // one slot

	mu              sync.Mutex
	by              map[p4.Key]uint16
	tables, members int
	at              time.Time // of the last change
}

func newSlotWatch(where func(p4.Typed) (uint16, bool)) *slotWatch {
	return &slotWatch{where: where, by: map[p4.Key]uint16{}, changed: make(chan struct{}, 1)}
}

func (w *slotWatch) observe(at time.Time, updates []p4rt.Update, errs []error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, u := range updates {
		entity := u.GetEntity()
		if errs[i] != nil {
			continue
		}
		if entity.GetTableEntry() != nil && u.GetType() != p4v1.Update_DELETE { // the lost adjacency goes
			w.tables++
		}
		if entity.GetActionProfileMember() == nil {
			continue
		}
		w.members++
		if e, err := p4.FromEntity(entity); err == nil {
			if d, _ := p4.Decode(e); d != nil {
				if to, is := w.where(d); is {
					w.by[e.Key] = to
				}
			}
		}
		w.at = at
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *slotWatch) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tables, w.members = 0, 0
}

func (w *slotWatch) written() (tables, members int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tables, w.members
}

// leadBy counts the slots that do not lead by an uplink.
func leadBy(uplink uint16) func(map[p4.Key]uint16) int {
	return func(slots map[p4.Key]uint16) (others int) {
		for _, by := range slots {
			if by != uplink {
				others++
			}
		}
		return others
	}
}

// await waits until no slot leads elsewhere, and gives when the last one came to do.
func (w *slotWatch) await(ctx context.Context, elsewhere func(map[p4.Key]uint16) int) (time.Time, error) {
	for {
		w.mu.Lock()
		left, n, at := elsewhere(w.by), len(w.by), w.at
		w.mu.Unlock()
		if left == 0 && n > 0 {
			return at, nil
		}
		select {
		case <-w.changed:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("%d of %d slots lead elsewhere: %w", left, n, context.Cause(ctx))
		case <-time.After(30 * time.Second):
			return time.Time{}, fmt.Errorf("after 30 s %d of %d slots lead elsewhere", left, n)
		}
	}
}
