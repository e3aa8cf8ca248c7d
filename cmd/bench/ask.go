package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

const (
	askEvery = 100 * time.Millisecond
	askLimit = 30 * time.Second // after which a call counts as that long
)

// question is a call that is made again and again.
type question struct {
	name string
	ask  func(ctx context.Context, n int) error // for the nth time
	undo func(ctx context.Context, n int) error // what is not measured; nil for nothing

	took   []time.Duration
	failed int
	err    error // the last one
}

// questions of one gateway: what an operator looks at, what a monitor scrapes, what
// a client makes.
func (g *liveGateway) questions() []*question {
	const vlans = 1000 // no object is like the one before: that may be leaving yet
	id := func(n int) string { return fmt.Sprintf("asked-%d", n) }
	return []*question{
		{name: "show neighbors", ask: g.showNeighbors},
		{name: "/metrics", ask: func(ctx context.Context, _ int) error { _, err := g.Metrics(ctx); return err }},
		{name: "create of a bridge",
			ask: func(ctx context.Context, n int) error {
				return g.CreateBridge(ctx, id(n), uint16(2000+n%vlans), uint32(firstVNI+20_000+n%vlans))
			},
			undo: func(ctx context.Context, n int) error { return g.DeleteBridge(ctx, id(n)) }},
	}
}

// showNeighbors asks what `p4evpn show neighbors` does.
func (g *liveGateway) showNeighbors(ctx context.Context, _ int) error {
	stream, err := p4evpnv1.NewViewClient(g.Conn()).ListSessions(ctx, &p4evpnv1.ListSessionsRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// askAll asks all of them, each again and again, until what it returns is called.
func askAll(ctx context.Context, all []*question) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var owned sync.WaitGroup
	for _, q := range all {
		owned.Go(func() { q.run(ctx) })
	}
	return func() { cancel(); owned.Wait() }
}

func (q *question) run(ctx context.Context) {
	for n := 0; sleep(ctx, askEvery) == nil; n++ {
		start := time.Now()
		asked, cancel := context.WithTimeout(ctx, askLimit)
		err := q.ask(asked, n)
		cancel()
		took := time.Since(start) // what the end interrupts took at least that long
		if err != nil && ctx.Err() == nil {
			took = askLimit // no answer at all is no better than a late one
			q.failed++
			q.err = err
		}
		q.took = append(q.took, took)
		if q.undo != nil {
			asked, cancel := context.WithTimeout(ctx, askLimit)
			_ = q.undo(asked, n) // the next one is another
			cancel()
		}
	}
}

// answers gives the worst 99th percentile, and what each took.
func answers(all []*question) (worst time.Duration, how string) {
	var parts []string
	for _, q := range all {
		p99 := percentile(q.took, 99)
		worst = max(worst, p99)
		if len(q.took) == 0 {
			continue
		}
		part := fmt.Sprintf("%s %.0f ms, at most %.0f, of %d", q.name, milliseconds(p99), milliseconds(slices.Max(q.took)),
			len(q.took))
		if q.failed > 0 {
			part += fmt.Sprintf(", %d failed, such as: %v", q.failed, q.err)
		}
		parts = append(parts, part)
	}
	return worst, strings.Join(parts, "; ")
}
