package softswitch

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkSwitch floods one port with frames for another and reports the
// frames that crossed; generator and receiver share the cores.
func BenchmarkSwitch(b *testing.B) {
	for _, size := range []int{64, 1400} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			sw := start(b, 2, Config{})
			sw.connect()
			sw.commit(kinds(b))
			sw.forward(7, 2)
			batch := make([][]byte, 64)
			for i := range batch {
				batch[i] = frame(7, 0x9000, string(make([]byte, size-14)))
			}
			before := sw.sw.Stats().Ports[1].TxFrames
			b.ResetTimer()
			start := time.Now()
			for sent := 0; sent < b.N; sent += len(batch) {
				sw.hosts[1].send(batch...)
			}
			crossed := sw.sw.Stats().Ports[1].TxFrames - before
			b.ReportMetric(float64(crossed)/time.Since(start).Seconds(), "frames/s")
		})
	}
}

// BenchmarkLane is the path from a received frame to the sent one without
// interfaces: what the pipeline and the dispatch cost.
func BenchmarkLane(b *testing.B) {
	sw := start(b, 2, Config{})
	sw.connect()
	sw.commit(kinds(b))
	sw.forward(9, 99) // no such port: counted, not sent
	l := newLane(sw.sw, 1)
	batch := make([][]byte, 64)
	for i := range batch {
		batch[i] = frame(9, 0x9000, string(make([]byte, 50)))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += len(batch) {
		if err := l.carry(batch); err != nil {
			b.Fatal(err)
		}
	}
}
