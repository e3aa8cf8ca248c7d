package front

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
)

// attackerMost is how many routes the attacking neighbour may have.
const attackerMost = 100

// attack is something that an address does until ctx ends or its connection does, and that
// counts how often it did.
type attack func(ctx context.Context, at bgptest.Config, attempts *atomic.Int64) error

var attacks = map[string]struct {
	stranger bool
	once     attack
}{
	"connections of strangers": {true, func(ctx context.Context, at bgptest.Config, _ *atomic.Int64) error {
		conn, err := bgptest.Connect(ctx, at)
		if err == nil {
			_, _ = conn.Read(make([]byte, 1)) // until it is closed
			err = conn.Close()
		}
		return err
	}},
	"connections of a neighbour that says nothing": {false, func(ctx context.Context, at bgptest.Config, _ *atomic.Int64) error {
		conn, err := bgptest.Connect(ctx, at)
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		return nil
	}},
	"routes that come and go": {false, inSession(func(s *bgptest.Session) error {
		return s.Send(bytes.Join(append(bgptest.MACUpdates(65003, leaf, 100, 0, attackerMost, 16),
			bgptest.MACWithdrawals(leaf, 100, 0, attackerMost, 16)...), nil))
	})},
	"more routes than it may have": {false, inSession(func(s *bgptest.Session) error {
		if err := s.Send(bytes.Join(bgptest.MACUpdates(65003, leaf, 100, 0, 10*attackerMost, 16), nil)); err != nil {
			return err
		}
		return s.Err()
	})},
	"UPDATEs that are broken": {false, func() attack {
		m := bgptest.NewMutator(1, 4000, bgptest.MACUpdates(65003, leaf, 100, 0, 1, 1)[0][19:])
		return inSession(func(s *bgptest.Session) error { return s.Send(bgptest.Message(bgptest.UpdateType, m.Next())) })
	}()},
}

// inSession does something in a session again and again until one of the two ends.
func inSession(do func(*bgptest.Session) error) attack {
	return func(ctx context.Context, at bgptest.Config, attempts *atomic.Int64) error {
		conn, err := bgptest.Connect(ctx, at)
		if err != nil {
			return err
		}
		s, err := bgptest.Answer(ctx, conn, at)
		if err != nil {
			return err
		}
		defer context.AfterFunc(ctx, s.Close)()
		defer s.Close()
		for err == nil && ctx.Err() == nil {
			attempts.Add(1)
			err = do(s)
		}
		return err
	}
}

func TestANeighbourStandsAndIsHeardWhateverOthersSend(t *testing.T) {
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			attacker := l.raw(3, 65003)
			attacker.MaxPrefixes = attackerMost
			v := run(t, l.config(l.raw(2, 65002), attacker))
			victim := l.connect(2).establish(hello(65002, lowID))
			v.awaitLast(l.addr(2), "peer up")
			at := bgptest.Config{Local: l.addr(3), Remote: netip.AddrPortFrom(l.addr(1), l.port), AS: 65003}
			if attack.stranger {
				at.Local = l.addr(9)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var attempts atomic.Int64
			var owned sync.WaitGroup
			owned.Go(func() {
				for ctx.Err() == nil {
					attempts.Add(1)
					_ = attack.once(ctx, at, &attempts) // that it fails is what is wanted
				}
			})
			defer owned.Wait()
			defer cancel()
			var want []bgp.Route
			for n := range byte(5) {
				before := attempts.Load()
				v.await(l.addr(3), "attacking", func(map[bgp.Key]bgp.Route, []string) bool {
					return attempts.Load() >= before+3
				})
				victim.send(bgptest.Update(leafAttributes(), leafMAC(n)))
				want = append(want, leafRoute(n))
				v.awaitRoutes(l.addr(2), want...)
				v.await(l.addr(3), "bounded", func(routes map[bgp.Key]bgp.Route, _ []string) bool {
					return len(routes) <= attackerMost
				})
			}
			v.await(l.addr(2), "up all the time", func(_ map[bgp.Key]bgp.Route, h []string) bool {
				return !slices.Contains(h, "peer down")
			})
		})
	}
}
