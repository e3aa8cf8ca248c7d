package slowpath

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestRemoteHostIsNeitherAskedForNorOverwritten(t *testing.T) {
	l := newLab(t)
	l.start()
	l.SetRemote(10, tenEleven, otherMAC) // before the SVI is there
	l.set(red())
	l.until("installed", func() bool { return len(installed(l, "red")) == 1 })
	// The host's own ARP, or a forged one, changes nothing and makes no event.
	l.Deliver(Frame{VRF: 1, Bridge: 10,
		Data: arp(t, layers.ARPRequest, hostMAC, ether.Broadcast, "10.0.10.11", "10.0.10.1")})
	l.frame("ARP reply", isARP(1, 10, layers.ARPReply, "10.0.10.11"))
	l.Deliver(Frame{VRF: 1, Bridge: 20, Data: ping(t, hostMAC, gatewayMAC, "10.0.20.7", "10.0.10.11", 64, 10)})
	destination(t, l.frame("the packet, at once",
		isICMP(1, 10, "10.0.20.7", "10.0.10.11", layers.ICMPv4TypeEchoRequest, 0)), gatewayMAC, otherMAC)
	if got := installed(l, "red"); len(got) != 1 || !strings.Contains(got[0], otherMAC.String()) {
		t.Errorf("installed: %q", got)
	}
	// It moves to another VTEP's host, and then to a port of ours.
	l.SetRemote(10, tenEleven, gatewayMAC)
	l.until("changed", func() bool { return strings.Contains(strings.Join(installed(l, "red"), ""), gatewayMAC.String()) })
	l.RemoveRemote(10, tenEleven)
	l.until("removed", func() bool { return len(installed(l, "red")) == 0 })
	l.arrive(1, 10, hostMAC, "10.0.10.11", "10.0.10.1")
	// And away again.
	l.SetRemote(10, tenEleven, otherMAC)
	l.event(Neighbor{VRF: 1, Bridge: 10, IP: tenEleven})
	l.RemoveRemote(20, tenEleven) // of another bridge
	l.RemoveRemote(10, netip.MustParseAddr("10.0.10.12"))
	l.Probe(10, tenEleven)
	if got := installed(l, "red"); len(got) != 1 {
		t.Errorf("installed: %q", got)
	}
}

func TestProbeTellsTheSilentFromTheGone(t *testing.T) {
	t.Parallel() // waits for the kernel's timers
	l := newLab(t)
	l.start()
	l.set(red())
	six := netip.MustParseAddr("2001:db8:10::11")
	l.arrive(1, 10, hostMAC, "10.0.10.11", "10.0.10.1")
	l.Probe(10, tenEleven)
	ask := l.frame("question", isARP(1, 10, layers.ARPRequest, "10.0.10.11"))
	destination(t, ask, gatewayMAC, hostMAC) // to the host alone
	l.Deliver(Frame{VRF: 1, Bridge: 10, Data: arp(t, layers.ARPReply, hostMAC, gatewayMAC, "10.0.10.11", "10.0.10.1")})
	l.until("reachable", func() bool {
		return strings.Contains(l.ip("red", "neighbour", "show", "10.0.10.11"),
			"REACHABLE")
	})

	l.Probe(10, six) // one that the kernel never heard of
	l.frame("solicitation", isSolicit(1, 10, six.String()))
	l.Deliver(Frame{VRF: 1, Bridge: 10, Data: advertisement(t, hostMAC, gatewayMAC, six.String(), "2001:db8:10::1")})
	l.event(Neighbor{VRF: 1, Bridge: 10, IP: six, MAC: hostMAC, Present: true})

	l.Probe(10, six)
	l.Probe(10, tenEleven) // no answers now
	start := time.Now()
	l.event(Neighbor{VRF: 1, Bridge: 10, IP: tenEleven})
	t.Logf("gone after %v", time.Since(start))
	l.Probe(30, six) // no such SVI
}

func TestAHostThatIsForgottenIsHeardAnew(t *testing.T) {
	l := newLab(t)
	l.start()
	l.set(red())
	says := func() {
		l.Deliver(Frame{VRF: 1, Bridge: 10,
			Data: arp(t, layers.ARPRequest, hostMAC, ether.Broadcast, "10.0.10.11", "10.0.10.1")})
		l.event(Neighbor{VRF: 1, Bridge: 10, IP: tenEleven, MAC: hostMAC, Present: true})
	}
	says()
	l.Forget(10, tenEleven)
	l.event(Neighbor{VRF: 1, Bridge: 10, IP: tenEleven})
	says()
	l.SetRemote(10, tenEleven, otherMAC) // not learned: it stays
	l.event(Neighbor{VRF: 1, Bridge: 10, IP: tenEleven})
	l.Forget(10, tenEleven)
	l.Forget(10, netip.MustParseAddr("10.0.10.12")) // nobody
	l.Probe(10, netip.MustParseAddr("10.0.10.13"))
	l.frame("a later question", isARP(1, 10, layers.ARPRequest, "10.0.10.13"))
	if got := l.ip("red", "neighbour", "show", "10.0.10.11"); !strings.Contains(got, otherMAC.String()) {
		t.Errorf("the kernel has %q, want %v", got, otherMAC)
	}
}

func TestAProbeWaitsForItsSVI(t *testing.T) {
	l := newLab(t)
	l.start()
	l.Set([]VRF{red()})
	l.Probe(10, tenEleven)
	l.Probe(30, tenEleven) // there will be no such SVI
	l.frame("question", isARP(1, 10, layers.ARPRequest, "10.0.10.11"))
}

func TestOnlyHostsOfTheSubnetsAreHosts(t *testing.T) {
	l := newLab(t)
	l.start()
	v := red()
	l.set(v)
	for _, claimed := range []string{"10.0.20.11", "172.16.0.1"} {
		l.Deliver(Frame{VRF: 1, Bridge: 10, Data: arp(t, layers.ARPRequest, hostMAC, ether.Broadcast, claimed, "10.0.10.1")})
		l.until("the kernel believes it", func() bool { return strings.Contains(l.ip("red", "neighbour"), claimed) })
	}
	l.Deliver(Frame{VRF: 1, Bridge: 10,
		Data: arp(t, layers.ARPRequest, hostMAC, ether.Broadcast, "10.0.10.11", "10.0.10.1")})
	next := func(want Neighbor) {
		t.Helper()
		select {
		case n := <-l.Events():
			if n != want {
				t.Errorf("event %+v, want %+v", n, want)
			}
		case <-time.After(timeout):
			t.Errorf("no event %+v", want)
		}
	}
	next(Neighbor{VRF: 1, Bridge: 10, IP: tenEleven, MAC: hostMAC, Present: true})
	// Another subnet makes one host of the bridge of another.
	v.SVIs[0].Addresses = prefixes("172.16.0.2/24")
	l.Set([]VRF{v})
	got := map[Neighbor]bool{}
	for deadline := time.After(timeout); len(got) < 2; {
		select {
		case n := <-l.Events():
			got[n] = true
		case <-deadline:
			t.Fatalf("only events %+v", got)
		}
	}
	if !got[Neighbor{VRF: 1, Bridge: 10, IP: tenEleven}] ||
		!got[Neighbor{VRF: 1, Bridge: 10, IP: netip.MustParseAddr("172.16.0.1"), MAC: hostMAC, Present: true}] {
		t.Errorf("events %+v", got)
	}
}

func TestMovedMACIsAnEvent(t *testing.T) {
	l := newLab(t)
	l.start()
	l.set(red())
	l.arrive(1, 10, hostMAC, "10.0.10.11", "10.0.10.1")
	l.arrive(1, 10, otherMAC, "10.0.10.11", "10.0.10.1")
	l.ip("red", "neighbour", "change", "10.0.10.11", "dev", "svi10", "lladdr", otherMAC.String(), "nud", "stale")
	l.ip("red", "neighbour", "add", "10.0.10.50", "dev", "svi10", "lladdr", otherMAC.String(), "nud", "permanent")
	l.ip("red", "neighbour", "del", "10.0.10.11", "dev", "svi10")
	select { // stale is present, and an operator's entry is no host
	case n := <-l.Events():
		if want := (Neighbor{VRF: 1, Bridge: 10, IP: tenEleven}); n != want {
			t.Errorf("event %+v, want %+v", n, want)
		}
	case <-time.After(timeout):
		t.Error("no event of the host that went")
	}
}

// looped is a loop that the test runs itself, and in whose knowledge it can look.
func looped(l *lab) *loop {
	l.Slowpath = newSlowpath(l.t, Config{Prefix: l.prefix, Inject: l.inject, MTU: 1450, Retry: 20 * time.Millisecond})
	lp := newLoop(l.Slowpath)
	l.t.Cleanup(func() {
		for _, t := range lp.targets {
			lp.close(t)
		}
	})
	return lp
}

// inPlace reports whether a VRF is as it should be.
func inPlace(t *target) bool {
	return t.live != nil && !t.live.lost.Load() && !t.dirty && t.failure() == ""
}

func TestOverrunIsCuredByDump(t *testing.T) {
	l := newLab(t)
	lp := looped(l)
	until := func(what string, holds func() bool) {
		t.Helper()
		l.until(what, func() bool { lp.look(); return holds() })
	}
	l.Set([]VRF{{ID: 1, Name: "red", RouterMAC: routerMAC,
		SVIs: []SVI{{Bridge: 10, MAC: gatewayMAC, Addresses: prefixes("10.0.0.1/16")}}}})
	until("in place", func() bool { return inPlace(lp.targets["red"]) })
	l.SetRemote(10, netip.MustParseAddr("10.0.0.9"), otherMAC)
	until("installed", func() bool { return len(installed(l, "red")) == 1 })
	// A buffer for a few of the kernel's announcements, and nobody who reads them. The
	// hosts are fewer than the 512 of all namespaces beyond which the kernel of a machine
	// whose limits nobody raised begins to forget.
	l.must(lp.targets["red"].live.conn.Socket.SetReceiveBufferSize(4096, true))
	const hosts = 200
	ip := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 1, byte(n)}) }
	l.Slowpath.mu.Lock()
	unlock := sync.OnceFunc(l.Slowpath.mu.Unlock)
	defer unlock()                                    // who gives up lets others end
	l.until("the kernel has all hosts", func() bool { // which drops frames when it is busy
		known := map[string]bool{}
		for line := range strings.Lines(l.ip("red", "neighbour")) {
			known[strings.Fields(line)[0]] = true
		}
		all := true
		for n := range hosts {
			if a := ip(n).String(); !known[a] {
				all = false
				l.Deliver(Frame{VRF: 1, Bridge: 10,
					Data: arp(t, layers.ARPRequest, hostMAC, ether.Broadcast, a, "10.0.0.1")})
			}
		}
		return all
	})
	l.ip("red", "neighbour", "del", "10.0.0.9", "dev", "svi10")
	unlock()
	until("all hosts are known", func() bool {
		for n := range hosts {
			want := Neighbor{VRF: 1, Bridge: 10, IP: ip(n), MAC: hostMAC, Present: true}
			if k := lp.hosts[place{1, 10}][ip(n)]; k == nil || k.current != want {
				return false
			}
		}
		return true
	})
	if testutil.ToFloat64(l.overruns) == 0 {
		t.Error("there was no overrun: the test proves nothing")
	}
	until("the remote host is back", func() bool { return len(installed(l, "red")) == 1 })
}

func TestALostConnectionToTheKernelIsMadeAnew(t *testing.T) {
	l := newLab(t)
	lp := looped(l)
	l.Set([]VRF{red()})
	until := func(what string, holds func(t *target) bool) {
		t.Helper()
		l.until(what, func() bool { lp.look(); return holds(lp.targets["red"]) })
	}
	until("in place", inPlace)
	red := lp.targets["red"]
	present := func(ip netip.Addr) bool {
		k := lp.hosts[place{1, 10}][ip]
		return k != nil && k.current.Present
	}
	l.Deliver(Frame{VRF: 1, Bridge: 10,
		Data: arp(t, layers.ARPRequest, hostMAC, ether.Broadcast, "10.0.10.11", "10.0.10.1")})
	until("a host is known", func(*target) bool { return present(tenEleven) })

	live, conn := red.live, red.live.conn
	conn.Socket.Close()
	until("lost", func(*target) bool { return live.lost.Load() || live.conn != conn })
	twelve := netip.MustParseAddr("10.0.10.12") // perhaps while nobody listens
	l.Deliver(Frame{VRF: 1, Bridge: 10,
		Data: arp(t, layers.ARPRequest, hostMAC, ether.Broadcast, "10.0.10.12", "10.0.10.1")})
	until("in place again", inPlace)
	until("another host is known", func(*target) bool { return present(twelve) })
	if !present(tenEleven) || red.live != live {
		t.Error("what was known was forgotten")
	}
	thirteen := netip.MustParseAddr("10.0.10.13")
	l.Deliver(Frame{VRF: 1, Bridge: 10,
		Data: arp(t, layers.ARPRequest, hostMAC, ether.Broadcast, "10.0.10.13", "10.0.10.1")})
	until("news are heard", func(*target) bool { return present(thirteen) })
}
