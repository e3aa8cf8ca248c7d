package controller

import (
	"context"
	"maps"
	"slices"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/reconcile"
	"github.com/p4evpn/p4evpn/p4"
)

// meterTarget is a target that has meters and nothing else, or not even those.
type meterTarget struct {
	cells  map[string]*p4v1.MeterEntry
	writes int
	none   bool
}

func (m *meterTarget) Read(_ context.Context, wanted []*p4v1.Entity, take func(*p4v1.Entity) error) error {
	if m.none {
		return status.Error(codes.Unimplemented, "it has no meters")
	}
	for _, w := range slices.Backward(wanted) { // in any order: P4Runtime says none
		e := proto.CloneOf(w)
		e.GetMeterEntry().Config = m.cells[w.String()].GetConfig()
		if err := take(e); err != nil {
			return err
		}
	}
	return nil
}

func (m *meterTarget) Write(_ context.Context, updates []p4rt.Update) ([]error, error) {
	for _, u := range updates {
		m.writes++
		e := u.GetEntity().GetMeterEntry()
		m.cells[(&p4v1.Entity{Entity: &p4v1.Entity_MeterEntry{MeterEntry: &p4v1.MeterEntry{
			MeterId: e.GetMeterId(), Index: e.GetIndex()}}}).String()] = e
	}
	return make([]error, len(updates)), nil
}

func TestEachPortBridgeAndVRFHasItsMeters(t *testing.T) {
	g := start(t, options{})
	b := g.bridge(10, 100)
	v := g.vrf("blue", 5000)
	g.settle()
	ctx := context.Background()
	all := func() (s reconcile.Setup) {
		g.peek(func(l *loop) { s = l.meterAll() })
		return s
	}
	target := &meterTarget{cells: map[string]*p4v1.MeterEntry{}}
	if err := all()(ctx, target); err != nil {
		t.Fatal(err)
	}
	want := map[string]*p4v1.MeterEntry{}
	for _, m := range slices.Concat(p4.PuntMeters(), p4.PortMeters(1), p4.PortMeters(2), p4.PortMeters(3),
		p4.BridgeMeters(b), p4.VRFMeters(v), p4.SampleMeters(1)) {
		want[m.Cell().String()] = m.Update().GetEntity().GetMeterEntry()
	}
	for port := range uint16(3) {
		for _, of := range []p4.Policed{p4.PolicedBroadcast, p4.PolicedMulticast, p4.PolicedUnknown} {
			m := p4.StormMeter(port+1, of, 10_000, 10_000)
			want[m.Cell().String()] = m.Update().GetEntity().GetMeterEntry()
		}
	}
	if !maps.EqualFunc(target.cells, want, func(a, b *p4v1.MeterEntry) bool { return proto.Equal(a, b) }) {
		t.Errorf("configured:\n%v\nwant:\n%v", target.cells, want)
	}
	// What is as it should be is left alone, and what somebody changed is put right.
	before := target.writes
	if err := all()(ctx, target); err != nil || target.writes != before {
		t.Errorf("%d cells were written again, %v", target.writes-before, err)
	}
	for _, m := range p4.VRFMeters(v)[:1] {
		target.cells[m.Cell().String()].Config = nil
	}
	if err := all()(ctx, target); err != nil || target.writes != before+1 {
		t.Errorf("%d cells were written for one that was changed, %v", target.writes-before, err)
	}
	none := &meterTarget{none: true}
	if err := all()(ctx, none); err != nil || none.writes != 0 {
		t.Errorf("a target without meters: %d writes, %v", none.writes, err)
	}
}
