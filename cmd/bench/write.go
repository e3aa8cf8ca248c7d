package main

import (
	"context"
	"fmt"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

const (
	writeBatch   = 1000
	writeEntries = 100_000
	writeSingles = 1000
)

// measureWrites times P4Runtime Writes of bridge.fdb entries to the embedded
// switch, and then to BMv2 where it is. Of each the best of several rounds counts,
// each with a new switch: what else runs on the machine only makes it longer.
func measureWrites(ctx context.Context, b *bench) ([]value, error) {
	ours, err := bestWrites(ctx, b, embedded)
	if err != nil {
		return nil, err
	}
	how := fmt.Sprintf("%d INSERTs in Writes as the controller makes them, one after the other, over TCP, best of %d "+
		"rounds; see write_batch1000_bmv2", writeEntries, rounds)
	values := []value{
		{name: "write_batch1000", number: ours.rate, unit: "entries/s", goal: atLeast(500_000), against: how},
		{name: "write_single", number: milliseconds(ours.p50), unit: "ms", goal: atMost(0.15),
			against: fmt.Sprintf("p50 of %d; see write_single_bmv2", writeSingles)},
		{name: "write_single_p99", number: milliseconds(ours.p99), unit: "ms"},
	}
	theirs, err := bestWrites(ctx, b, bmv2)
	if reason, ok := skipped(err); ok {
		return append(values, value{name: "write_batch1000_bmv2", missing: reason},
			value{name: "write_single_bmv2", missing: reason}), nil
	}
	if err != nil {
		return values, err
	}
	return append(values,
		value{name: "write_batch1000_bmv2", number: theirs.rate, unit: "entries/s",
			against: "the same Writes: " + bmv2Program()},
		value{name: "write_single_bmv2", number: milliseconds(theirs.p50), unit: "ms",
			against: "the same Writes: " + bmv2Program()}), nil
}

type writeSpeed struct {
	rate     float64 // entries a second in batches
	p50, p99 time.Duration
}

func bestWrites(ctx context.Context, b *bench, kind switchKind) (writeSpeed, error) {
	var best writeSpeed
	for round := range rounds {
		w, err := measureWritesTo(ctx, b, kind)
		if err != nil {
			return writeSpeed{}, err
		}
		if round == 0 {
			best = w
		}
		best = writeSpeed{rate: max(best.rate, w.rate), p50: min(best.p50, w.p50), p99: min(best.p99, w.p99)}
	}
	return best, nil
}

func measureWritesTo(ctx context.Context, b *bench, kind switchKind) (writeSpeed, error) {
	o, err := overLoopback(kind)
	if err != nil {
		return writeSpeed{}, err
	}
	sw, err := b.startProgrammed(ctx, o, writeBatch)
	if err != nil {
		return writeSpeed{}, err
	}
	defer sw.stop()
	batches := fdbInserts(1, writeEntries, writeBatch)
	singles := fdbInserts(2, writeSingles+100, 1)
	if kind == embedded {
		defer b.profile("write")()
	}
	start := time.Now()
	for _, batch := range batches {
		if err := sw.write(ctx, batch); err != nil {
			return writeSpeed{}, fmt.Errorf("write of %d entries to %s: %w", writeBatch, kind, err)
		}
	}
	rate := writeEntries / time.Since(start).Seconds()
	var took []time.Duration
	for i, single := range singles {
		start := time.Now()
		if err := sw.write(ctx, single); err != nil {
			return writeSpeed{}, fmt.Errorf("write of one entry to %s: %w", kind, err)
		}
		if i >= len(singles)-writeSingles { // the first ones warm up
			took = append(took, time.Since(start))
		}
	}
	return writeSpeed{rate: rate, p50: percentile(took, 50), p99: percentile(took, 99)}, nil
}

// insert is an update as the controller makes them: it is encoded from the packed
// entry, without a message.
type insert struct{ p4.Entry }

// GetType makes it a p4rt.Update.
func (insert) GetType() p4v1.Update_Type { return p4v1.Update_INSERT }

// GetEntity makes it a p4rt.Update.
func (i insert) GetEntity() *p4v1.Entity { return i.Entity() }

// fdbInserts are n entries of a bridge, in batches.
func fdbInserts(bridge uint16, n, per int) [][]p4rt.Update {
	var batches [][]p4rt.Update
	for i := 0; i < n; i += per {
		batch := make([]p4rt.Update, 0, per)
		for j := i; j < min(i+per, n); j++ {
			e := p4.FDB{Bridge: bridge, MAC: stationMAC(uint32(j)), Kind: p4.ToVTEP, VTEP: 1, VNI: 100}
			batch = append(batch, insert{e.Entry()})
		}
		batches = append(batches, batch)
	}
	return batches
}

// stationMAC is the n-th MAC address, as bgptest.MACUpdates numbers them.
func stationMAC(n uint32) ether.MAC {
	return ether.MAC{2, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}
