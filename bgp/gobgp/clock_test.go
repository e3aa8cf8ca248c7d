package gobgp

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
)

func TestASessionThatAClockSetBackMadeDeafIsResetAndComesBack(t *testing.T) {
	l := newLab(t)
	s, err := New(l.config(l.raw(2, 65002)), slog.New(slog.NewTextHandler(testLog{t}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	var back atomic.Int64
	s.clock = func() time.Time { return time.Now().Add(-time.Duration(back.Load())) }
	v := follow(t, s)
	must(t, l.dial(2, 65002), bgptest.Update(leafAttributes(), leafMAC(1)))
	v.awaitRoutes(l.addr(2), leafRoute(1))
	back.Store(int64(clockPatience / 2))
	if got := s.deaf(); got != nil {
		t.Errorf("%v are to be reset, which would take longer than to wait", got)
	}
	back.Store(int64(time.Hour))
	v.awaitLast(l.addr(2), "peer down")
	must(t, l.dial(2, 65002), bgptest.Update(leafAttributes(), leafMAC(2)))
	v.awaitRoutes(l.addr(2), leafRoute(2))
	if got := s.deaf(); got != nil {
		t.Errorf("%v are to be reset once more", got)
	}
}
