package p4rtserver

import (
	"encoding/binary"
	"log/slog"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
)

// benchmarkWrite inserts entries in batches over loopback TCP.
func benchmarkWrite(b *testing.B, batch int) {
	tg := startTarget(b)
	tg.server.cfg.Limits.MinTableSize = 1 << 24
	c := tg.client(b)
	c.arbitrate(0, 1)
	c.mustRecv()
	c.commit(testConfig(b))
	updates := make([]*p4v1.Update, 0, b.N)
	for i := range b.N {
		te := tg.names.entry("ingress.source", tg.names.action("NoAction"),
			exact(canonical(binary.BigEndian.AppendUint64(nil, uint64(i)))...), exact(1))
		updates = append(updates, insert(te))
	}
	b.ResetTimer()
	for len(updates) > 0 {
		n := min(batch, len(updates))
		c.mustWrite(updates[:n]...)
		updates = updates[n:]
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkWriteBatch1000(b *testing.B) { benchmarkWrite(b, 1000) }

func BenchmarkWriteSingle(b *testing.B) { benchmarkWrite(b, 1) }

// BenchmarkApply is the server's part of a Write without gRPC.
func BenchmarkApply(b *testing.B) {
	s, err := New(Config{DeviceID: testDevice, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	s.cfg.Limits.MinTableSize = 1 << 24
	config := testConfig(b)
	if err := s.Configure(config); err != nil {
		b.Fatal(err)
	}
	n, f := newNamer(b, config.P4Info), s.Forwarding()
	updates := make([]*p4v1.Update, 0, b.N)
	for i := range b.N {
		te := n.entry("ingress.source", n.action("NoAction"),
			exact(canonical(binary.BigEndian.AppendUint64(nil, uint64(i)))...), exact(1))
		updates = append(updates, insert(te))
	}
	var tr translator
	b.ReportAllocs()
	b.ResetTimer()
	for _, u := range updates {
		if err := f.apply(&tr, u); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead reads back 100,000 entries.
func BenchmarkRead(b *testing.B) {
	tg := startTarget(b)
	tg.server.cfg.Limits.MinTableSize = 1 << 20
	c := tg.client(b)
	c.arbitrate(0, 1)
	c.mustRecv()
	c.commit(testConfig(b))
	const entries = 100000
	var updates []*p4v1.Update
	for i := range entries {
		te := tg.names.entry("ingress.source", tg.names.action("NoAction"),
			exact(canonical(binary.BigEndian.AppendUint64(nil, uint64(i)))...), exact(1))
		if updates = append(updates, insert(te)); len(updates) == 1000 {
			c.mustWrite(updates...)
			updates = nil
		}
	}
	b.ResetTimer()
	for range b.N {
		if got := len(c.mustRead(entity(tg.names.entry("ingress.source", nil)))); got != entries {
			b.Fatalf("read %d entries", got)
		}
	}
	b.ReportMetric(float64(entries*b.N)/b.Elapsed().Seconds(), "entries/s")
}
