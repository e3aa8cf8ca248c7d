package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
)

const (
	gatewayBGP = "127.0.0.1:179"
	// bgpMost is how many routes each attacking neighbour may have, and bgpExcess what one of
	// them sends.
	bgpMost, bgpExcess = 1000, 10 * bgpMost
	// bgpStrangers connect, each from its own address.
	bgpStrangers = 12
	bgpTick      = 10 * time.Millisecond // in which each attacker does what follows
	bgpConnects  = 2
	bgpBroken    = 50 // UPDATEs
	bgpAttack    = 20 * time.Second
)

// The attacking neighbours: one whose routes come and go, one that has too many, and one
// whose UPDATEs are broken.
var bgpAttackers = [...]netip.Addr{
	netip.MustParseAddr("127.0.0.3"), netip.MustParseAddr("127.0.0.4"), netip.MustParseAddr("127.0.0.5"),
}

// bgpCounts are what the attackers did.
type bgpCounts struct{ connections, routes, excesses, broken atomic.Int64 }

// measureBGPAttack has strangers connect and neighbours send all that they may not, while
// another neighbour's session and routes stand.
func measureBGPAttack(ctx context.Context, b *bench) ([]value, error) {
	binary := func(ctx context.Context) (string, error) { return b.program(ctx, embedded) }
	return withLiveOf(ctx, liveOptions{binary: binary, neighbors: bgpNeighbors()}, func(g *liveGateway) ([]value, error) {
		if err := g.speak(ctx, liveRoutes); err != nil {
			return nil, err
		}
		victim := g.flowing(ctx)
		quiet, err := g.see(victim, func() error { return sleep(ctx, quietFor) })
		if err != nil {
			return nil, err
		}
		var counts bgpCounts
		under, err := g.see(victim, func() error {
			during, cancel := context.WithTimeout(ctx, bgpAttack)
			defer cancel()
			var owned sync.WaitGroup
			defer owned.Wait()
			for i := range bgpStrangers {
				owned.Go(func() { g.knock(during, fmt.Sprintf("127.1.0.%d", i+1), &counts) })
			}
			for i, send := range [...]func(context.Context, *bgptest.Session, *bgpCounts) error{churn, exceed, garble} {
				owned.Go(func() {
					g.beNeighbor(during, bgpAttackers[i], func(s *bgptest.Session) error {
						return send(during, s, &counts)
					})
				})
			}
			<-during.Done()
			return ctx.Err()
		})
		if err != nil {
			return nil, err
		}
		if err := g.victimStands(ctx); err != nil {
			return nil, err
		}
		how := fmt.Sprintf("strangers connected %d times to BGP, one neighbour announced and withdrew %d routes, one sent "+
			"%d where it may have %d, %d times, and one %d broken UPDATEs; the session of another one with %d routes stood",
			counts.connections.Load(), counts.routes.Load(), bgpExcess, bgpMost, counts.excesses.Load(),
			counts.broken.Load(), liveRoutes)
		return attackValues("bgp", quiet, under, how), nil
	})
}

// bgpNeighbors are those that attack, as the configuration has neighbours.
func bgpNeighbors() (list string) {
	for _, a := range bgpAttackers {
		list += fmt.Sprintf("    - {address: %v, as: %d, passive: true, max_prefixes: %d}\n", a, leafAS, bgpMost)
	}
	return list
}

// victimStands checks that the leaf's session is the one that it was, and its routes are
// there.
func (g *liveGateway) victimStands(ctx context.Context) error {
	select {
	case <-g.leaf.Done():
		return fmt.Errorf("under attack the session of another neighbour ended: %w", g.leaf.Err())
	default:
	}
	return testbed.Eventually(ctx, time.Minute, "the other neighbour's routes are there", func(ctx context.Context) error {
		m, err := g.Metrics(ctx)
		if n := m[routesMetric]; err == nil && n < liveRoutes {
			err = fmt.Errorf("%.0f of %d are", n, liveRoutes)
		}
		return err
	})
}

// knock connects again and again from an address that is no neighbour's.
func (g *liveGateway) knock(ctx context.Context, from string, counts *bgpCounts) {
	for sleep(ctx, bgpTick) == nil {
		for range bgpConnects {
			if conn, err := g.dialFrom(ctx, from, gatewayBGP); err == nil {
				_ = conn.Close()
				counts.connections.Add(1)
			}
		}
	}
}

// beNeighbor has sessions, one after the other, by which something is sent until that fails.
func (g *liveGateway) beNeighbor(ctx context.Context, local netip.Addr, send func(*bgptest.Session) error) {
	var owned sync.WaitGroup
	defer owned.Wait()
	for sleep(ctx, bgpTick) == nil {
		var s *bgptest.Session
		err := g.NS.Do(func() (err error) {
			s, err = bgptest.Dial(ctx, bgptest.Config{Local: local, Remote: netip.MustParseAddrPort(gatewayBGP), AS: leafAS})
			return err
		})
		if err != nil {
			return // the time is over
		}
		owned.Go(func() {
			for range s.Updates() { // nobody waits
			}
		})
		for err = nil; err == nil; {
			if err = send(s); err == nil {
				err = sleep(ctx, bgpTick)
			}
		}
		s.Close()
	}
}

// churn announces as many routes as the neighbour may have, and withdraws them.
func churn(_ context.Context, s *bgptest.Session, counts *bgpCounts) error {
	const first = 1 << 20 // no other neighbour's
	messages := append(bgptest.MACUpdates(leafAS, vtep(0), firstVNI, first, bgpMost, perUpdate),
		bgptest.MACWithdrawals(vtep(0), firstVNI, first, bgpMost, perUpdate)...)
	counts.routes.Add(bgpMost)
	return s.Send(bytes.Join(messages, nil))
}

// exceed announces more than the neighbour may have, and waits for the end of the session.
func exceed(ctx context.Context, s *bgptest.Session, counts *bgpCounts) error {
	const first = 2 << 20
	counts.excesses.Add(1)
	messages := bgptest.MACUpdates(leafAS, vtep(0), firstVNI, first, bgpExcess, perUpdate)
	if err := s.Send(bytes.Join(messages, nil)); err != nil {
		return err
	}
	select {
	case <-s.Done():
		return s.Err()
	case <-ctx.Done():
		return errors.New("a neighbour may have too many routes")
	}
}

// garble sends UPDATEs that are broken anywhere.
func garble(_ context.Context, s *bgptest.Session, counts *bgpCounts) error {
	const first, headerLength, most = 3 << 20, 19, 4096 - 19
	m := bgptest.NewMutator(uint64(counts.broken.Load()), most,
		bgptest.MACUpdates(leafAS, vtep(0), firstVNI, first, 1, perUpdate)[0][headerLength:])
	for range bgpBroken {
		if err := s.Send(bgptest.Message(bgptest.UpdateType, m.Next())); err != nil {
			return err
		}
		counts.broken.Add(1)
	}
	return nil
}
