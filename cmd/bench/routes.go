package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/p4"
)

const (
	benchRoutes = 100_000
	perUpdate   = 16
	rounds      = 3
)

// routeLoad is routes, encoded beforehand, and what they become.
type routeLoad struct {
	name    string // of the figures
	routes  int
	blocks  iter.Seq[[]byte] // the UPDATEs
	entries map[string]int64 // how many of each table
	million bool             // there is to be room for a million
	kernel  kernelEntries    // how many of each kind FRR makes of them
	what    string
	memory  goal // bytes a route
	against string
}

// encoded is a load's UPDATEs in one piece.
func encoded(updates [][]byte) iter.Seq[[]byte] {
	return slices.Values([][]byte{bytes.Join(updates, nil)})
}

func type2Load() routeLoad {
	return routeLoad{
		name: "type2_100k", routes: benchRoutes,
		blocks:  encoded(bgptest.MACUpdates(leafAS, vtep(0), firstVNI, 0, benchRoutes, perUpdate)),
		entries: map[string]int64{"bridge.fdb": benchRoutes},
		kernel:  kernelEntries{macs: benchRoutes},
		what:    "type-2 routes, MAC alone: one entry each",
		memory:  atMost(2600), against: "FRR's 2.6 kB; ",
	}
}

func macIPLoad() routeLoad {
	return routeLoad{
		name: "macip_100k", routes: benchRoutes, blocks: encoded(macIPUpdates(benchRoutes, perUpdate)),
		entries: map[string]int64{"bridge.fdb": benchRoutes, "arp.host": benchRoutes, "router.ipv4": benchRoutes},
		kernel:  kernelEntries{macs: benchRoutes, neighbours: benchRoutes},
		what:    "type-2 routes, MAC+IP of an SVI's subnet, with an L3 VNI: three entries each",
	}
}

func type5Load() routeLoad {
	return routeLoad{
		name: "type5_100k", routes: benchRoutes, blocks: encoded(prefixUpdates(benchRoutes, perUpdate)),
		entries: map[string]int64{"router.ipv4": benchRoutes},
		kernel:  kernelEntries{routes: benchRoutes},
		what:    "type-5 routes: one entry each",
	}
}

func measureType2(ctx context.Context, b *bench) ([]value, error) {
	return measureRoutes(ctx, b, type2Load())
}

func measureMACIP(ctx context.Context, b *bench) ([]value, error) {
	return measureRoutes(ctx, b, macIPLoad())
}

func measureType5(ctx context.Context, b *bench) ([]value, error) {
	return measureRoutes(ctx, b, type5Load())
}

// measureRoutes times 100,000 routes from an injector that has encoded every
// UPDATE beforehand: to the last acknowledged entry of the embedded switch, and
// to the last route that GoBGP alone gives to a watcher of the Adj-RIB-In: as it
// comes, and the way the gateway has it, without the work of best paths. The
// faster one counts. All sides take turns, and of each the best round counts:
// what else runs on the machine only makes it longer.
//
// Memory is that of the whole controller side, GoBGP's included: speaker,
// controller and P4Runtime client are in this process, the switch is not.
func measureRoutes(ctx context.Context, b *bench, load routeLoad) ([]value, error) {
	var plain, rejecting, ours, heap []float64
	for range rounds {
		p, err := routesToWatcher(ctx, b, load, false)
		if err != nil {
			return nil, fmt.Errorf("GoBGP alone: %w", err)
		}
		r, err := routesToWatcher(ctx, b, load, true)
		if err != nil {
			return nil, fmt.Errorf("GoBGP alone: %w", err)
		}
		o, err := routesToEntries(ctx, b, load, time.Minute)
		if err != nil {
			return nil, err
		}
		plain, rejecting, ours = append(plain, p.Seconds()), append(rejecting, r.Seconds()), append(ours, o.took.Seconds())
		heap = append(heap, o.heap/benchRoutes)
	}
	best := slices.Min(ours)
	return []value{
		{name: load.name + "_vs_gobgp", number: best / min(slices.Min(plain), slices.Min(rejecting)), unit: "ratio",
			goal:    atMost(1.25),
			against: fmt.Sprintf("%s to the faster of both ways of GoBGP, the best of %d rounds each", load.name, rounds)},
		{name: load.name + "_bytes_per_route", number: median(heap), unit: "B", goal: load.memory,
			against: load.against + "heap growth of speaker, GoBGP, controller and client after GC"},
		{name: load.name, number: best, unit: "s",
			against: load.what + ", UPDATEs on the wire to the last acknowledged entry"},
		{name: load.name + "_gobgp", number: slices.Min(plain), unit: "s",
			against: "GoBGP v4 alone, the same bytes to a watcher of the Adj-RIB-In"},
		{name: load.name + "_gobgp_rejecting", number: slices.Min(rejecting), unit: "s",
			against: "the same without the work of best paths: imports rejected"},
	}, nil
}

func routesToWatcher(ctx context.Context, b *bench, load routeLoad, reject bool) (time.Duration, error) {
	var n atomic.Int64
	done := make(chan struct{})
	g, err := startGoBGP(ctx, reject, func(more int) {
		if n.Add(int64(more)) == benchRoutes {
			close(done)
		}
	})
	if err != nil {
		return 0, err
	}
	defer g.stop()
	runtime.GC()
	defer b.profile("gobgp")()
	start := time.Now()
	if err := sendBlocks(g.session, load.blocks); err != nil {
		return 0, err
	}
	err = await(ctx, done, func() string { return fmt.Sprintf("%d of %d routes delivered", n.Load(), benchRoutes) })
	return time.Since(start), err
}

// cost is what routes took.
type cost struct {
	took      time.Duration
	part      float64 // of the entries that were acknowledged: 1, or less beside a late error
	heap, rss float64 // bytes of growth
}

// routesToEntries gives a gateway a load and waits until all of its entries are
// acknowledged.
func routesToEntries(ctx context.Context, b *bench, load routeLoad, limit time.Duration) (cost, error) {
	g, err := b.startBGPGateway(ctx, setup{injectors: 1, routed: true, million: load.million})
	if err != nil {
		return cost{}, err
	}
	var sender sync.WaitGroup
	defer sender.Wait() // the end of the sessions ends it
	defer g.stop()
	if err := g.settle(ctx, load.routes, 1); err != nil { // what the SVI asks for is there then, too
		return cost{}, err
	}
	acked := g.target.countAcked(load.entries)
	wanted := float64(acked.left.Load())
	heap, rss := memory()
	stopProfile := b.profile(load.name)
	start := time.Now()
	sent := make(chan error, 1)
	sender.Go(func() { sent <- sendBlocks(g.sessions[0], load.blocks) })
	err = awaitFor(ctx, limit, acked.done, acked.progress)
	took, part := time.Since(start), 1-float64(acked.left.Load())/wanted
	stopProfile()
	if over, other := gaveUp(err); other != nil {
		return cost{}, other
	} else if !over {
		err = <-sent
	}
	heapAfter, rssAfter := memory()
	runtime.KeepAlive(load.blocks)
	return cost{took, part, heapAfter - heap, rssAfter - rss}, err
}

// acks are the acknowledgements of new entries that are waited for.
type acks struct {
	done          chan struct{} // closed when none is left
	left, refused atomic.Int64
}

func (a *acks) progress() string {
	return fmt.Sprintf("%d entries are not acknowledged, %d refusals", a.left.Load(), a.refused.Load())
}

// countAcked waits for so many new entries of each table.
func (t *target) countAcked(tables map[string]int64) *acks {
	a := &acks{done: make(chan struct{})}
	missing := map[uint32]*atomic.Int64{}
	for name, n := range tables {
		left := &atomic.Int64{}
		left.Store(n)
		a.left.Add(n)
		missing[tableID(name)] = left
	}
	t.watch(func(_ time.Time, updates []p4rt.Update, errs []error) {
		for i, u := range updates {
			left := missing[table(u)]
			switch {
			case left == nil || u.GetType() != p4v1.Update_INSERT:
			case errs[i] != nil:
				a.refused.Add(1)
			case left.Add(-1) >= 0 && a.left.Add(-1) == 0:
				close(a.done)
			}
		}
	})
	return a
}

func tableID(name string) uint32 {
	for _, t := range p4.P4Info().GetTables() {
		if t.GetPreamble().GetName() == name {
			return t.GetPreamble().GetId()
		}
	}
	return 0
}

// late is the error of what did not happen within its time.
type late struct {
	limit    time.Duration
	progress string // how far it came
}

func (l late) Error() string { return fmt.Sprintf("not within %v: %s", l.limit, l.progress) }

// gaveUp reports whether an error is only that it took too long.
func gaveUp(err error) (over bool, other error) {
	var l late
	if errors.As(err, &l) {
		return true, nil
	}
	return false, err
}

// await waits until done is closed; the error says how far it came.
func await(ctx context.Context, done <-chan struct{}, progress func() string) error {
	return awaitFor(ctx, time.Minute, done, progress)
}

func awaitFor(ctx context.Context, limit time.Duration, done <-chan struct{}, progress func() string) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.New(progress())
	case <-time.After(limit):
		return late{limit, progress()}
	}
}

// memory gives the live heap and the resident memory in bytes, both after
// garbage is gone.
func memory() (heap, rss float64) {
	debug.FreeOSMemory()
	debug.FreeOSMemory() // what the first run's finalizers let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	status, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return float64(m.HeapAlloc), 0
	}
	if fields := strings.Fields(string(status)); len(fields) > 1 {
		pages, _ := strconv.ParseFloat(fields[1], 64) // 0 pages if the kernel writes nonsense
		rss = pages * float64(os.Getpagesize())
	}
	return float64(m.HeapAlloc), rss
}
