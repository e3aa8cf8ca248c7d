// Package footprint keeps the memory of a process near what it uses: it paces Go's garbage
// collector by how much stays, and gives back what a burst of work needed once that is
// over. It knows nothing of what the memory is for.
package footprint

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// tick is how often the process is looked at.
	tick = time.Second

	// garbage is how much may gather between two collections, in bytes. What a collection
	// costs grows with what stays, and how often there is one follows from this.
	garbage = 256 << 20
	// A small heap may grow to four times what stays, since a table that arrives marks the
	// same objects again and again otherwise; a large one to one and a half times that.
	mostPercent, leastPercent = 300, 50

	// A process that has allocated no more than this in each of so many ticks is quiet.
	little     = 4 << 20
	quietTicks = 10
	// worthwhile is how much must have been allocated since memory was given back the last
	// time, and half of what stays; pauseTicks is how long ago that must be. It costs a
	// collection, and a process that does a little all the time would do little else. Go
	// itself collects every two minutes: as seldom as that it costs nothing more.
	worthwhile = 16 << 20
	pauseTicks = 120
)

// Tend does so until ctx ends.
func Tend(ctx context.Context) error {
	var k keeper
	every := time.NewTicker(tick)
	defer every.Stop()
	for {
		allocated, live := read()
		percent, giveBack := k.look(allocated, live)
		if percent != 0 {
			debug.SetGCPercent(percent)
		}
		if giveBack {
			debug.FreeOSMemory()
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// read gives what was ever allocated, and what stayed at the last collection, in bytes.
func read() (allocated, live uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64()
}

// keeper decides. The zero value has seen nothing.
type keeper struct {
	percent  int
	seen     uint64 // allocated at the last look
	returned uint64 // allocated when memory was given back
	quiet    int    // looks for which the process has been so
	pause    int    // looks for which no memory may be given back
}

// look takes what was ever allocated and what stays. It gives the percentage for the
// garbage collector, 0 if that is as it was, and whether it is time to give memory back.
func (k *keeper) look(allocated, live uint64) (percent int, giveBack bool) {
	want := mostPercent
	if live > 0 {
		want = min(max(int(garbage*100/live), leastPercent), mostPercent)
	}
	// A little more or less is not worth that the process is stopped for it.
	if want != k.percent && (want == mostPercent || want == leastPercent || 10*abs(want-k.percent) > k.percent) {
		k.percent, percent = want, want
	}
	if allocated-k.seen > little {
		k.quiet = 0
	} else {
		k.quiet++
	}
	k.seen, k.pause = allocated, max(0, k.pause-1)
	giveBack = k.quiet >= quietTicks && k.pause == 0 && allocated-k.returned > max(worthwhile, live/2)
	if giveBack {
		k.returned, k.quiet, k.pause = allocated, 0, pauseTicks
	}
	return percent, giveBack
}

func abs(n int) int { return max(n, -n) }
