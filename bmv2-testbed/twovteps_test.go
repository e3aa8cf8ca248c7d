package testbed

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
)

/*
twoVTEPs is a service whose address two leaves advertise by type 5, each of which has it.
Static routes lead to the leaves' VTEPs, and BFD watches their next hops; BGP has a hold time
of 30 s.

	h1 ─ gateway ─ uplink1 ─ leaf1 (FRR) ─ VRF tenant: service
	             └ uplink2 ─ leaf2 (FRR) ─ VRF tenant: service
*/
type twoVTEPs struct {
	gateway *Gateway
	leaves  [2]*Leaf
	h1      *Host
}

var (
	anycastService = netip.MustParseAddrPort("10.9.9.9:7777")
	anycastSubnet  = netip.MustParsePrefix("10.1.11.1/24")
	anycastSVI     = ether.MAC{2, 0xaa, 0, 0, 1, 11}
)

func buildTwoVTEPs(t *testing.T, target string) *twoVTEPs {
	t.Helper()
	needDemo(t, target)
	l, ctx, n := needLab(t), t.Context(), &twoVTEPs{}
	t.Cleanup(func() { logsOf(t, l) })
	gw := must(l.Namespace("gw"))(t)
	ports := []SwitchPort{{1, "port1"}}
	hops := "underlay:\n  next_hops:\n"
	file := gatewayFile{as: gatewayAS, ageing: "5m", uplinks: demoUplinks, ports: ports}
	for i, u := range demoUplinks {
		n.startLeaf(t, l, gw, i, u)
		ports = append(ports, SwitchPort{u.number, u.name}, SwitchPort{u.hostPort, u.hostPortDevice})
		hops += fmt.Sprintf("    - {address: %s, bfd: {interval: 50ms}}\n", u.peer)
		file.peers = append(file.peers, Peer{Address: netip.MustParseAddr(u.peer), AS: u.as})
	}
	n.h1 = &Host{Name: "h1", NS: must(l.Namespace("h1"))(t), Dev: "eth0", MAC: ether.MAC{2, 0, 0, 0, 1, 1},
		Address: netip.PrefixFrom(hostOf(anycastSubnet), anycastSubnet.Bits()), Gateway: anycastSubnet.Addr()}
	check(t, l.Cable(End{NS: n.h1.NS, Dev: "eth0"}, End{NS: gw, Dev: "port1", Switch: true}))
	check(t, n.h1.Configure())
	n.gateway = must(l.Gateway(gw, must(builtBinary())(t), target, gatewayVTEP, ports))(t)
	t.Cleanup(func() { viewOf(t, n.gateway, n.leaves[:]...) })
	n.gateway.BFD = true
	check(t, n.gateway.StartSwitch(ctx))
	file.gateway, file.more = n.gateway, hops+fmt.Sprintf("liveness: {address: %q}\n", n.gateway.livenessAddress())
	check(t, n.gateway.StartController(ctx, file.String()))
	check(t, n.gateway.CreateVRF(ctx, "tenant", tenantVNI, tenantLoopback))
	check(t, n.gateway.CreateBridge(ctx, "east", 11, 1011))
	check(t, n.gateway.CreateSVI(ctx, "east", "tenant", anycastSVI, anycastSubnet))
	check(t, n.gateway.CreatePort(ctx, "port1", ether.MAC{2, 0, 0, 0, 4, 1},
		opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS, "east"))
	check(t, n.gateway.AwaitRoutingUp(ctx))
	return n
}

// startLeaf cables a leaf by an uplink and starts it, with a VRF that has the service.
func (n *twoVTEPs) startLeaf(t *testing.T, l *Lab, gw *Namespace, i int, u demoUplink) {
	t.Helper()
	ctx, name := t.Context(), fmt.Sprintf("leaf%d", i+1)
	ns := must(l.Namespace(name))(t)
	check(t, l.Cable(End{NS: ns, Dev: "gw", MTU: underlayMTU}, End{NS: gw, Dev: u.name, Switch: true}))
	check(t, l.hostPort(gw, u))
	check(t, ns.farEnd("gw", u, gatewayVTEP))
	vrf := LeafVRF{Name: "tenant", NS: must(l.Namespace(name + "-tenant"))(t), VNI: tenantVNI,
		RouterMAC: ether.MAC{2, 0xbb, 0, 0, 0x50, byte(i)}}
	check(t, vrf.NS.AddAddress("lo", netip.PrefixFrom(anycastService.Addr(), 32)))
	leaf := must(l.NewLeaf(ns, name, u.as, u.vtep,
		[]Peer{{Address: netip.MustParseAddr(u.address), AS: gatewayAS, Passive: true, BFD: true}}, 1500, vrf))(t)
	check(t, leaf.Start(ctx))
	// BGP has no BFD; what watches the next hop has.
	check(t, leaf.Configure(ctx, fmt.Sprintf("router bgp %d", u.as), "no neighbor "+u.address+" bfd"))
	check(t, leaf.Configure(ctx, "bfd", "peer "+u.address, "receive-interval 50", "transmit-interval 50", "exit"))
	n.leaves[i] = leaf
	var service *net.UDPConn
	check(t, vrf.NS.Do(func() (err error) {
		service, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(anycastService))
		return err
	}))
	var answers sync.WaitGroup
	answers.Go(func() {
		eachPacket(service, func(packet []byte, from netip.AddrPort) {
			packet[8] = byte(i)
			_, _ = service.WriteToUDPAddrPort(packet, from)
		})
	})
	t.Cleanup(func() { _ = service.Close(); answers.Wait() })
}

// flows are flows from the host to the service, which are answered by whom they reach.
type flows struct {
	conns []*net.UDPConn
	start time.Time
	stop  chan struct{}
	owned sync.WaitGroup

	mu    sync.Mutex
	sent  []time.Duration // by number, since the start
	by    []int           // that answered, by number; -1: nobody
	count int             // of answers
}

// startFlows sends so many packets a second, by so many flows in turn.
func (n *twoVTEPs) startFlows(t *testing.T, many, rate int) *flows {
	t.Helper()
	f := &flows{start: time.Now(), stop: make(chan struct{})}
	for range many {
		c := must(n.h1.udp())(t)
		f.conns = append(f.conns, c)
		f.owned.Go(func() {
			eachPacket(c, func(packet []byte, _ netip.AddrPort) {
				f.mu.Lock()
				defer f.mu.Unlock()
				if i := binary.BigEndian.Uint64(packet); len(packet) > 8 && i < uint64(len(f.by)) {
					f.by[i] = int(packet[8])
					f.count++
				}
			})
		})
	}
	f.owned.Go(func() { f.send(rate) })
	return f
}

// send sends what is due; what it was too late for it does not send.
func (f *flows) send(rate int) {
	tick := time.NewTicker(meterPause)
	defer tick.Stop()
	packet, period := make([]byte, 64), time.Second/time.Duration(rate)
	for due := time.Duration(0); ; {
		select {
		case <-f.stop:
			return
		case <-tick.C:
		}
		now := time.Since(f.start)
		for due = max(due, now-meterBurst); due <= now; due += period {
			f.mu.Lock()
			i := len(f.sent)
			f.sent, f.by = append(f.sent, time.Since(f.start)), append(f.by, -1)
			f.mu.Unlock()
			binary.BigEndian.PutUint64(packet, uint64(i))
			_, _ = f.conns[i%len(f.conns)].WriteToUDPAddrPort(packet, anycastService)
		}
	}
}

// end stops the flows when what is under way has come.
func (f *flows) end() {
	close(f.stop)
	time.Sleep(meterSettle / 4)
	for _, c := range f.conns {
		_ = c.Close()
	}
	f.owned.Wait()
}

// takenBy gives of each flow which leaf answered it last, -1 for none, of packets since a
// number.
func (f *flows) takenBy(since int) (taken []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range f.conns {
		taken = append(taken, -1)
	}
	for i := since; i < len(f.by); i++ {
		if f.by[i] >= 0 {
			taken[i%len(f.conns)] = f.by[i]
		}
	}
	return taken
}

func (f *flows) now() int { f.mu.Lock(); defer f.mu.Unlock(); return len(f.sent) }

// awaitAnswers waits until each flow that was sent from now on is answered, by any leaf or by
// one; it gives who has answered each.
func (f *flows) awaitAnswers(t *testing.T, what string, done func(taken []int) error) []int {
	t.Helper()
	var taken []int
	check(t, Eventually(t.Context(), 2*patience, what, func(context.Context) error {
		since := f.now()
		time.Sleep(200 * time.Millisecond)
		taken = f.takenBy(since)
		for i, by := range taken {
			if by < 0 {
				return fmt.Errorf("flow %d is not answered", i)
			}
		}
		return done(taken)
	}))
	return taken
}

// shares counts the flows of each leaf.
func shares(taken []int) (n [2]int) {
	for _, by := range taken {
		n[by]++
	}
	return n
}

func bothAnswer(taken []int) error {
	if n := shares(taken); n[0] == 0 || n[1] == 0 {
		return fmt.Errorf("the leaves have %v flows", n)
	}
	return nil
}

// lost says what is lost of the packets since a number, and until when, since a time.
func (f *flows) lost(since int, from time.Duration) (n int, last time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := since; i < len(f.by); i++ {
		if f.by[i] < 0 {
			n++
			last = f.sent[i] - from
		}
	}
	return n, last
}

// A leaf is lost in silence: BFD says so, and BGP keeps its routes. The flows that it had go to
// the other leaf, and those of the other one stay.
func TestALostVTEPsFlowsGoToTheOtherOneBeforeBGPKnows(t *testing.T) {
	for _, target := range []string{Embedded, BMv2} {
		t.Run(target, func(t *testing.T) {
			n, ctx, rate := buildTwoVTEPs(t, target), t.Context(), 1000
			_, err := n.h1.Reach(ctx, anycastService.Addr(), 2*patience)
			check(t, err)
			check(t, n.shared(ctx)) // one leaf may be reached before the other
			f := n.startFlows(t, 50, rate)
			defer f.end()
			before := f.awaitAnswers(t, "both leaves have flows", bothAnswer)
			n.tracePredicts(t, f, before)

			since, at := f.now(), time.Since(f.start)
			check(t, n.leaves[0].NS.Silence(ctx, "gw"))
			after := f.awaitAnswers(t, "the other leaf has all flows", func(taken []int) error {
				if n := shares(taken); n[0] != 0 {
					return fmt.Errorf("the leaves have %v flows", n)
				}
				return nil
			})
			lost, last := f.lost(since, at)
			t.Logf("%d of %d flows were behind the leaf that fell silent, at %d packets/s in all: %d lost, the last one sent "+
				"%.0f ms after it", shares(before)[0], len(before), rate, lost, last.Seconds()*1000)
			if last > afterHoldTime {
				t.Errorf("packets were lost for %v, want what BFD tells, and not BGP", last)
			}
			for i := range before {
				if before[i] == 1 && after[i] != 1 {
					t.Errorf("flow %d moved from the leaf that is there", i)
				}
			}
			if s := must(n.gateway.Session(ctx, demoUplinks[0].peer))(t); s.GetState() !=
				p4evpnv1.SessionState_SESSION_STATE_ESTABLISHED {
				t.Errorf("BGP ended before the flows were looked at: %v", s)
			}
			shown := must(n.gateway.Show(ctx, "route", "tenant", anycastService.Addr().String()))(t)
			if !strings.Contains(shown, "each flow to one of VTEP "+leaf2VTEP.String()) ||
				!strings.Contains(shown, "(64 of 64)") || !strings.Contains(shown, "VTEP "+leaf1VTEP.String()+":") {
				t.Errorf("show route:\n%s", shown)
			}

			since, at = f.now(), time.Since(f.start)
			check(t, n.leaves[0].NS.Speak(ctx))
			f.awaitAnswers(t, "both leaves have flows again", bothAnswer)
			lost, _ = f.lost(since, at)
			t.Logf("back after %.0f ms, %d lost", (time.Since(f.start)-at).Seconds()*1000, lost)
		})
	}
}

// shared waits until either leaf has half of the slots of the service.
func (n *twoVTEPs) shared(ctx context.Context) error {
	return Eventually(ctx, 2*patience, "either leaf has half of the slots", func(ctx context.Context) error {
		shown, err := n.gateway.Show(ctx, "route", "tenant", anycastService.Addr().String())
		if err == nil && strings.Count(shown, "(32 of 64)") != len(n.leaves) {
			err = fmt.Errorf("show route:\n%s", shown)
		}
		return err
	})
}

// tracePredicts checks that a trace says of flows which leaf they take.
func (n *twoVTEPs) tracePredicts(t *testing.T, f *flows, taken []int) {
	t.Helper()
	for i, c := range f.conns[:20] {
		a, err := p4evpnv1.NewTracingClient(n.gateway.Conn()).TraceFrame(t.Context(), &p4evpnv1.TraceFrameRequest{
			Port: "port1", Headers: &p4evpnv1.TraceHeaders{
				SourceMac: n.h1.MAC.String(), DestinationMac: anycastSVI.String(), Source: n.h1.Address.Addr().String(),
				Destination: anycastService.Addr().String(), SourcePort: uint32(c.LocalAddr().(*net.UDPAddr).Port),
				DestinationPort: uint32(anycastService.Port()),
			},
		})
		check(t, err)
		want := "to VTEP " + [2]netip.Addr{leaf1VTEP, leaf2VTEP}[taken[i]].String()
		if said := fmt.Sprint(a.GetResults()); !strings.Contains(said, want) {
			t.Error(errors.New(said), "want", want)
		}
	}
}
