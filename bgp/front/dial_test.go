package front

import (
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
)

func TestATimeBetweenAttemptsGrowsAndIsLeftToChanceInPart(t *testing.T) {
	const first, most = time.Second, 10 * time.Second
	d := newDialer()
	var waits []time.Duration
	for range 6 {
		d.later(first, most)
		waits = append(waits, d.wait)
	}
	d.stop()
	for i, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		if waits[i] != want*time.Second {
			t.Errorf("the %d-th wait is %v, want %v", i, waits[i], want*time.Second)
		}
	}
}

func TestANeighbourThatIsNotThereYetIsConnectedToWhenItIs(t *testing.T) {
	l := newLab(t)
	cfg := l.config(bgp.Neighbor{
		Address: l.addr(2), AS: 65002, LocalAddress: l.addr(1), Port: l.port, ConnectRetry: time.Second,
	})
	cfg.ListenPort = -1
	v := run(t, cfg)
	v.awaitState(l.addr(2), stateActive)
	p := newPeer(t, l.accept(2))
	p.establish(hello(65002, lowID))
	v.awaitLast(l.addr(2), "peer up")
}
