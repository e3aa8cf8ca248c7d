package netport

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkVeth sends batches from one end of a veth pair to the other and
// reports the frames that arrived.
func BenchmarkVeth(b *testing.B) {
	needRoot(b)
	for _, size := range []int{64, 1400} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			addVeth(b, "va", "vb", 1500)
			var received atomic.Int64
			tx := startPort(b, "va", func([][]byte) {})
			rx := startPort(b, "vb", func(f [][]byte) { received.Add(int64(len(f))) })
			eventually(b, "ports up", func() bool { return tx.Up() && rx.Up() })
			s, batch := NewSender(), make([][]byte, 64)
			for i := range batch {
				batch[i] = testFrame(size, byte(i))
			}
			b.ReportAllocs()
			b.ResetTimer()
			start := time.Now()
			for sent := 0; sent < b.N; sent += len(batch) {
				s.Send(tx, batch)
			}
			b.ReportMetric(float64(received.Load())/time.Since(start).Seconds(), "frames/s")
		})
	}
}

// BenchmarkForward forwards from veth to veth, as a switch without a pipeline.
func BenchmarkForward(b *testing.B) {
	needRoot(b)
	for _, size := range []int{64, 1400} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			addVeth(b, "va", "vb", 1500)
			addVeth(b, "vc", "vd", 1500)
			var received atomic.Int64
			gen := startPort(b, "va", func([][]byte) {})
			out := startPort(b, "vc", func([][]byte) {})
			forward := NewSender()
			in := startPort(b, "vb", func(f [][]byte) { forward.Send(out, f) })
			sink := startPort(b, "vd", func(f [][]byte) { received.Add(int64(len(f))) })
			eventually(b, "ports up", func() bool { return gen.Up() && out.Up() && in.Up() && sink.Up() })
			s, batch := NewSender(), make([][]byte, 64)
			for i := range batch {
				batch[i] = testFrame(size, byte(i))
			}
			b.ResetTimer()
			start := time.Now()
			for sent := 0; sent < b.N; sent += len(batch) {
				s.Send(gen, batch)
			}
			b.ReportMetric(float64(received.Load())/time.Since(start).Seconds(), "frames/s")
		})
	}
}
