package front

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/internal/netnstest"
)

// nobody is the peer of events that are of none.
var nobody netip.Addr

// graceful is a configuration with graceful restart.
func (l *lab) graceful(neighbors ...bgp.Neighbor) bgp.Config {
	c := l.config(neighbors...)
	c.GracefulRestart.Enabled = true
	return c
}

// dialGraceful plays a neighbour that does graceful restart.
func (l *lab) dialGraceful(n byte, as uint32, restarted bool) *bgptest.Session {
	l.t.Helper()
	return l.dialAs(bgptest.Config{Local: l.addr(n), AS: as, RestartTime: 60 * time.Second, Restarted: restarted})
}

func (v *view) converged() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.history[nobody]) > 0
}

func TestConvergedComesWithTheLastEndOfRIB(t *testing.T) {
	l := newLab(t)
	v := run(t, l.graceful(l.raw(2, 65002), l.raw(3, 65003), l.raw(4, 65004)))
	must(t, l.dial(4, 65004), bgptest.Withdraw()) // it sends End-of-RIB all the same
	a, b := l.dialGraceful(2, 65002, false), l.dialGraceful(3, 65003, false)
	must(t, a, bgptest.Update(leafAttributes(), leafMAC(1)), bgptest.Withdraw())
	v.awaitLast(l.addr(2), "end of RIB")
	if v.converged() {
		t.Error("converged, and a neighbour has not sent End-of-RIB")
	}
	must(t, b, bgptest.Update(leafAttributes(), leafMAC(2)), bgptest.Withdraw())
	v.await(nobody, "converged", func(_ map[bgp.Key]bgp.Route, h []string) bool {
		return len(h) == 1 && h[0] == "converged"
	})
	v.awaitRoutes(l.addr(3), leafRoute(2)) // was there before
}

func TestANeighbourThatStaysDownDelaysConvergedNoLongerThanTheDeferral(t *testing.T) {
	l := newLab(t)
	cfg := l.graceful(l.raw(2, 65002), l.raw(3, 65003))
	cfg.GracefulRestart.Deferral = time.Second
	began := time.Now()
	v := run(t, cfg)
	s := l.dialGraceful(2, 65002, false)
	must(t, s, bgptest.Withdraw())
	v.awaitLast(nobody, "converged")
	if took := time.Since(began); took < cfg.GracefulRestart.Deferral {
		t.Errorf("converged after %v, before the neighbour's time of %v was over", took, cfg.GracefulRestart.Deferral)
	}
}

func TestANeighbourThatSendsNoEndOfRIBIsWaitedForUntilItIsSilent(t *testing.T) {
	l := newLab(t)
	v := run(t, l.graceful(l.raw(2, 65002)))
	if v.converged() {
		t.Error("converged before the neighbour was there")
	}
	s := l.dial(2, 65002)
	pace := time.NewTicker(silence / 10)
	defer pace.Stop()
	var last time.Time
	for n := byte(1); n <= 12; n++ {
		must(t, s, bgptest.Update(leafAttributes(), leafMAC(n)))
		last = <-pace.C
	}
	v.awaitLast(nobody, "converged")
	if silent := time.Since(last); silent < silence/2 {
		t.Errorf("converged %v after a route", silent)
	}
}

func TestARemovedNeighbourIsNotWaitedFor(t *testing.T) {
	l := newLab(t)
	v := run(t, l.graceful(l.raw(2, 65002)))
	if err := v.RemoveNeighbor(t.Context(), l.addr(2)); err != nil {
		t.Fatal(err)
	}
	v.awaitLast(nobody, "converged")
}

func TestANeighbourThatIsShutDownIsNotWaitedFor(t *testing.T) {
	l := newLab(t)
	n := l.raw(2, 65002)
	n.Shutdown = true
	v := run(t, l.graceful(n))
	v.awaitLast(nobody, "converged")
}

func TestForwardingBitIsSetOnlyIfForwardingWasPreserved(t *testing.T) {
	for _, preserved := range []bool{false, true} {
		t.Run(fmt.Sprintf("preserved %v", preserved), func(t *testing.T) {
			l := newLab(t)
			cfg := l.graceful(l.raw(2, 65002))
			cfg.GracefulRestart.RestartTime = 77 * time.Second
			s, err := New(Config{BGP: cfg, Logger: discard})
			if err != nil {
				t.Fatal(err)
			}
			if preserved {
				s.PreservedForwarding()
			}
			follow(t, s)
			restarted, restart, forwarding := l.dialGraceful(2, 65002, false).Restart()
			if restarted != preserved || (forwarding == 1) != preserved || restart != 77*time.Second {
				t.Errorf("R bit %v, F bit of %d families, restart time %v", restarted, forwarding, restart)
			}
		})
	}
}

func TestARestartedSpeakerSendsItsRoutesThoughANeighbourIsDown(t *testing.T) {
	l := newLab(t)
	s, err := New(Config{BGP: l.graceful(l.raw(2, 65002), l.raw(3, 65003)), Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	s.PreservedForwarding()
	if err := s.Originate([]bgp.Route{ourMAC(1), ourMAC(2)}, nil); err != nil {
		t.Fatal(err)
	}
	follow(t, s)
	peer := l.dialGraceful(2, 65002, false) // and sends no End-of-RIB
	began := time.Now()
	keys := 0
	for list := []bgp.Event{{}}; len(list) > 0; {
		list = changes(t, receive(t, peer))
		keys += len(list)
	}
	if keys != 2 {
		t.Errorf("%d routes before End-of-RIB, want 2", keys)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("End-of-RIB after %v", took)
	}
}

func TestDrainWithdrawsEverythingAndThenNobodyKeepsARoute(t *testing.T) {
	l := newLab(t)
	s, err := New(Config{BGP: l.graceful(l.raw(2, 65002)), Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Originate([]bgp.Route{ourMAC(1), ourMAC(2)}, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	peer := l.dialGraceful(2, 65002, false)
	held := map[bgp.Key]bool{}
	take := func(enough func() bool) {
		t.Helper()
		for !enough() {
			for _, c := range changes(t, receive(t, peer)) {
				k := c.Route.Key
				if held[k] = true; c.Kind == bgp.RouteWithdraw {
					delete(held, k)
				}
			}
		}
	}
	take(func() bool { return len(held) == 2 })
	s.Drain(t.Context())
	if err := s.Originate([]bgp.Route{ourMAC(3)}, nil); err != nil {
		t.Errorf("originating while draining: %v", err)
	}
	take(func() bool { return len(held) == 0 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	var ceased bgptest.NotificationError
	if !errors.As(peer.Err(), &ceased) || ceased.Code != 6 {
		t.Errorf("the session ended by %v, want a Cease", peer.Err())
	}
	for body := range peer.Updates() {
		t.Errorf("an UPDATE after Drain: % x", body)
	}
}

func TestStaleRoutesSurviveAnAttemptToConnectThatFails(t *testing.T) {
	l := newLab(t)
	v := run(t, l.graceful(l.raw(2, 65002)))
	s := l.dialGraceful(2, 65002, false)
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(1)), bgptest.Withdraw())
	v.awaitLast(l.addr(2), "end of RIB")
	s.Close()
	v.awaitLast(l.addr(2), "peer down graceful")
	// It starts to listen before it knows us: our OPEN is answered by a close.
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(l.addr(2), 0))}
	v.await(l.addr(2), "an OPEN to a connection that then breaks", func(map[bgp.Key]bgp.Route, []string) bool {
		conn, err := d.Dial("tcp", netip.AddrPortFrom(l.addr(1), l.port).String())
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		n, _ := conn.Read(make([]byte, 19))
		return n == 19
	})
	s = l.dialGraceful(2, 65002, true)
	v.awaitLast(l.addr(2), "peer up")
	v.awaitRoutes(l.addr(2), leafRoute(1))
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(1)), bgptest.Withdraw())
	v.awaitLast(l.addr(2), "end of RIB")
	v.await(l.addr(2), "nothing withdrawn", func(_ map[bgp.Key]bgp.Route, h []string) bool {
		for _, e := range h {
			if e == "withdraw "+leafRoute(1).Key.String() {
				t.Fatalf("history %v", h)
			}
		}
		return true
	})
	v.awaitRoutes(l.addr(2), leafRoute(1))
}

func TestAPeerThatComesBackWithoutGracefulRestartLosesItsStaleRoutes(t *testing.T) {
	l := newLab(t)
	v := run(t, l.graceful(l.raw(2, 65002)))
	s := l.dialGraceful(2, 65002, false)
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(1), leafMAC(2)), bgptest.Withdraw())
	v.awaitLast(l.addr(2), "end of RIB")
	s.Close()
	v.awaitLast(l.addr(2), "peer down graceful")
	s = l.dial(2, 65002)
	v.awaitRoutes(l.addr(2))
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(2)))
	v.awaitRoutes(l.addr(2), leafRoute(2))
	s.Close() // and now none is kept, whatever GoBGP remembers of the session before
	v.awaitLast(l.addr(2), "peer down")
	v.awaitRoutes(l.addr(2))
}

func TestASpeakerThatIsKilledAndStartsAgainKeepsItsRoutesWithAnother(t *testing.T) {
	l := newLab(t)
	us := bgp.Neighbor{Address: l.addr(1), AS: 65000, LocalAddress: l.addr(2), Port: l.port, ConnectRetry: time.Second}
	peer := run(t, bgp.Config{AS: 65002, RouterID: leaf, ListenPort: -1, Neighbors: []bgp.Neighbor{us},
		GracefulRestart: bgp.GracefulRestart{Enabled: true}})
	received := func(n byte) bgp.Route { return fromAS(us.AS, ourMAC(n)) }
	first := l.process(childSpeaker{MACs: []byte{1, 2}})
	peer.awaitLast(us.Address, "end of RIB")
	peer.awaitRoutes(us.Address, received(1), received(2))
	first.Kill()
	peer.awaitLast(us.Address, "peer down graceful")
	peer.awaitRoutes(us.Address, received(1), received(2))
	peer.forget(us.Address)
	l.process(childSpeaker{MACs: []byte{2, 3}, Preserved: true})
	peer.awaitLast(us.Address, "end of RIB")
	peer.awaitRoutes(us.Address, received(2), received(3))
	peer.mu.Lock()
	defer peer.mu.Unlock()
	h := peer.history[us.Address]
	if gone := "withdraw " + ourMAC(1).Key.String(); len(h) != 4 || h[2] != gone {
		t.Errorf("history %v, want the update that is new, then %s and End-of-RIB", h, gone)
	}
}

// childSpeaker is a speaker that runs in a process of its own, to be killed:
// two GoBGP in one process share variables.
type childSpeaker struct {
	Config    bgp.Config
	MACs      []byte
	Preserved bool
}

const childVariable = "P4EVPN_BGP_TEST_SPEAKER"

func TestMain(m *testing.M) {
	for variable, run := range map[string]func(string) error{childVariable: serveChild, listenVariable: withoutFiles} {
		if text := os.Getenv(variable); text != "" {
			if err := run(text); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
	netnstest.Alone()
	os.Exit(m.Run())
}

func serveChild(text string) error {
	var c childSpeaker
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	s, err := New(Config{BGP: c.Config, Logger: slog.Default()})
	if err != nil {
		return err
	}
	if c.Preserved {
		s.PreservedForwarding()
	}
	for _, n := range c.MACs {
		if err := s.Originate([]bgp.Route{ourMAC(n)}, nil); err != nil {
			return err
		}
	}
	return s.Run(context.Background())
}

// process starts a speaker with one graceful neighbour, and kills it with the
// test.
func (l *lab) process(c childSpeaker) *os.Process {
	l.t.Helper()
	c.Config = l.graceful(l.raw(2, 65002))
	text, err := json.Marshal(c)
	if err != nil {
		l.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	cmd.Stderr = testLog{l.t}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process
}
