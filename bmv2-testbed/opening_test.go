package testbed

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

const (
	openings      = 20
	openingWithin = 3 * time.Second
)

// Two gateways connect to each other at the same time, again and again: of the two
// connections one stays (RFC 4271 section 6.8), at once.
func TestTwoGatewaysThatOpenAtTheSameTimeAreEstablishedWithinThreeSeconds(t *testing.T) {
	needDemo(t, Embedded)
	l, ctx := needLab(t), t.Context()
	t.Cleanup(func() { logsOf(t, l) })
	binary := must(builtBinary())(t)
	o := DemoOptions{Target: Embedded, Binary: binary, Out: testWriter{t}}
	p := must(buildPeering(ctx, l, o, nil, gatewayFile{}))(t)
	second := must(l.SecondGateway(p.foreign, "second", binary, Embedded, foreignVTEP, nil))(t)
	check(t, second.StartSwitch(ctx))
	check(t, second.StartController(ctx, gatewayFile{gateway: second, as: gatewayAS}.String()))
	ends := []struct {
		at   *Gateway
		peer string
	}{{p.gateway, foreignVTEP.String()}, {second, peeringVTEP.String()}}
	// both does something at both ends at the same time.
	both := func(do func(g *Gateway, peer string) error) {
		t.Helper()
		errs := make([]error, len(ends))
		var owned sync.WaitGroup
		for i, end := range ends {
			owned.Go(func() { errs[i] = do(end.at, end.peer) })
		}
		owned.Wait()
		for _, err := range errs {
			check(t, err)
		}
	}
	var longest time.Duration
	for i := range openings {
		start := time.Now()
		both(func(g *Gateway, peer string) error {
			_, err := g.command(ctx, "create", "neighbor", peer, "--remote-as", fmt.Sprint(gatewayAS), "--connect-retry", "1s")
			return err
		})
		both(func(g *Gateway, peer string) error { return g.awaitSession(ctx, peer, true) })
		took := time.Since(start)
		longest = max(longest, took)
		if took > openingWithin {
			t.Errorf("opening %d took %v", i, took)
		}
		both(func(g *Gateway, peer string) error {
			_, err := g.command(ctx, "delete", "neighbor", peer)
			return err
		})
		both(func(g *Gateway, peer string) error { return g.awaitSession(ctx, peer, false) })
	}
	t.Logf("the longest of %d openings took %v", openings, longest)
}

// awaitSession waits until the session with a peer is established, or is none.
func (g *Gateway) awaitSession(ctx context.Context, peer string, up bool) error {
	what := fmt.Sprintf("the session with %s is up: %t", peer, up)
	return Eventually(ctx, patience, what, func(ctx context.Context) error {
		all, err := g.Sessions(ctx)
		if err != nil {
			return err
		}
		s := all[peer]
		if is := s.GetState() == p4evpnv1.SessionState_SESSION_STATE_ESTABLISHED; is != up {
			return fmt.Errorf("it is %v", s)
		}
		return nil
	})
}
