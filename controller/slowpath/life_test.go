package slowpath

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/p4evpn/p4evpn/controller/internal/rtnetlink"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/vishvananda/netns"
)

var tenEleven = netip.MustParseAddr("10.0.10.11")

// arrive lets a host show itself and waits for the event.
func (l *lab) arrive(vrf, bridge uint16, mac ether.MAC, ip, gateway string) {
	l.t.Helper()
	l.Deliver(Frame{VRF: vrf, Bridge: bridge, Data: arp(l.t, layers.ARPRequest, mac, ether.Broadcast, ip, gateway)})
	l.event(Neighbor{VRF: vrf, Bridge: bridge, IP: netip.MustParseAddr(ip), MAC: mac, Present: true})
}

func TestRestartAdoptsWhatIsThere(t *testing.T) {
	l := newLab(t)
	l.start()
	gone := VRF{ID: 2, Name: "gone", RouterMAC: routerMAC, SVIs: []SVI{{Bridge: 30, MAC: gatewayMAC}}}
	l.set(red(), gone)
	l.arrive(1, 10, hostMAC, "10.0.10.11", "10.0.10.1")
	l.SetRemote(10, netip.MustParseAddr("10.0.10.99"), otherMAC)
	l.until("remote host installed", func() bool { return len(installed(l, "red")) == 1 })
	index := func() string { return strings.SplitN(l.ip("red", "-o", "link", "show", "svi10"), ":", 2)[0] }
	before := index()
	l.stop()
	if out := l.ip("red", "address", "show", "svi10"); !strings.Contains(out, "10.0.10.1/24") {
		t.Fatalf("the address went with the process:\n%s", out)
	}

	l.start()
	v := red()
	v.SVIs = v.SVIs[:1]
	l.set(v)
	if after := index(); after != before {
		t.Errorf("svi10 was made anew: index %s, then %s", before, after)
	}
	// The host is known without a word from it.
	l.event(Neighbor{VRF: 1, Bridge: 10, IP: tenEleven, MAC: hostMAC, Present: true})
	l.Deliver(Frame{VRF: 1, Bridge: 10, Data: ping(t, hostMAC, gatewayMAC, "10.0.10.11", "10.0.10.1", 64, 56)})
	l.frame("echo reply", isICMP(1, 10, "10.0.10.1", "10.0.10.11", echoReply4, 0))
	if got := installed(l, "red"); len(got) != 1 {
		t.Errorf("remote hosts after a restart: %q", got)
	}
	if out := l.ip("red", "link"); strings.Contains(out, "svi20") {
		t.Errorf("the SVI that is not wanted any more stayed:\n%s", out)
	}
	l.until("the VRF that is not wanted any more goes", func() bool { return !isNamespace(l.prefix + "gone") })
}

func TestNothingIsTouchedBeforeSet(t *testing.T) {
	l := newLab(t)
	l.start()
	l.set(red())
	l.stop()
	l.start()
	l.SetRemote(10, tenEleven, hostMAC)
	l.Probe(10, tenEleven)
	l.Deliver(Frame{VRF: 1, Bridge: 10, Data: make([]byte, 60)})
	l.until("the loop looked",
		func() bool { l.Slowpath.mu.Lock(); defer l.Slowpath.mu.Unlock(); return len(l.probes) == 0 })
	l.stop()
	if out := l.ip("red", "address"); !strings.Contains(out, "10.0.20.1/24") {
		t.Errorf("addresses went:\n%s", out)
	}
	if c := l.Counters(); c.NoTap != 1 {
		t.Errorf("counters %+v", c)
	}
}

func TestRemovalLeavesNothing(t *testing.T) {
	l := newLab(t)
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	l.start()
	v := red()
	v.SVIs[0].Advertise = true
	l.set(v)
	l.arrive(1, 10, hostMAC, "10.0.10.11", "10.0.10.1")
	l.Set(nil)
	l.event(Neighbor{VRF: 1, Bridge: 10, IP: tenEleven}) // absent
	l.until("the namespace goes", func() bool { names, err := namespaces(l.prefix); return err == nil && len(names) == 0 })
	if s := l.Status(); len(s.VRFs)+len(s.SVIs) > 0 {
		t.Errorf("status %+v", s)
	}
	l.stop()
	l.until("goroutines and files go", func() bool {
		return runtime.NumGoroutine() <= goroutines &&
			openFiles(t) <= files
	})

	l.start()
	l.set(red())
	l.stop()
	l.must(RemoveAll(l.prefix))
	if names, _ := namespaces(l.prefix); len(names) > 0 {
		t.Errorf("RemoveAll left %q", names)
	}
	l.must(RemoveAll(l.prefix)) // nothing to do
}

func openFiles(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestForeignNamespaceIsLeftAlone(t *testing.T) {
	l := newLab(t)
	name := l.prefix + "foreign"
	ns, err := openNamespace(name)
	l.must(err)
	defer func() { l.must(netns.DeleteNamed(name)) }()
	defer ns.Close()
	l.ip("foreign", "link", "add", "va", "type", "veth", "peer", "name", "vb")
	l.ip("foreign", "link", "set", "va", "up")
	l.start()
	l.set(red())
	l.Set(nil)
	l.until("our own goes", func() bool { return !isNamespace(l.prefix + "red") })
	l.ip("foreign", "link", "show", "va")
}

func TestChangesAreFollowed(t *testing.T) {
	l := newLab(t)
	l.start()
	l.set(red())
	l.arrive(1, 10, hostMAC, "10.0.10.11", "10.0.10.1")
	v := red()
	v.RouterMAC = otherMAC
	v.Loopback = netip.MustParsePrefix("2001:db8:ff::1/64")
	v.SVIs[0].MAC = otherMAC
	v.SVIs[0].Addresses = prefixes("10.0.11.1/24", "10.0.11.2/24", "10.0.10.1/16")
	v.SVIs[1].Bridge = 21
	l.set(v)
	l.until("the change is made", func() bool {
		a, n, r := l.ip("red", "address"), l.ip("red", "neighbour"), l.ip("red", "-6", "route")
		return strings.Contains(a, "10.0.11.2/24") && strings.Contains(a, "10.0.10.1/16") &&
			!strings.Contains(a, "10.0.10.1/24") &&
			!strings.Contains(a, "svi20") && strings.Contains(a, "svi21") &&
			!strings.Contains(a, "fe80::ff:fe00:1/64 scope link nodad \n    svi10") &&
			!strings.Contains(a, "10.255.0.1") && strings.Contains(a, "2001:db8:ff::1/128") &&
			strings.Count(n, "02:00:00:00:01:02 PERMANENT") == 2 && strings.Contains(r, "src 2001:db8:ff::1")
	})
	// Another id in place of the old one, with the same namespace.
	v.ID = 9
	l.set(v)
	l.arrive(9, 10, hostMAC, "10.0.11.11", "10.0.11.1")
	// An SVI that changes its VRF.
	w := VRF{ID: 3, Name: "green", RouterMAC: routerMAC, SVIs: v.SVIs[1:]}
	v.SVIs = v.SVIs[:1]
	l.set(v, w)
	l.arrive(3, 21, hostMAC, "10.0.20.11", "10.0.20.1")
}

func TestDamageIsRepaired(t *testing.T) {
	l := newLab(t)
	l.start()
	l.set(red())
	remote := netip.MustParseAddr("10.0.10.99")
	l.SetRemote(10, remote, otherMAC)
	l.until("remote host installed", func() bool { return len(installed(l, "red")) == 1 })
	answers := func(what string) {
		t.Helper()
		l.until("after "+what, func() bool {
			l.Deliver(Frame{VRF: 1, Bridge: 10, Data: ping(t, otherMAC, gatewayMAC, "10.0.10.99", "10.0.10.1", 64, 10)})
			for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
				l.mu.Lock()
				found := slices.ContainsFunc(l.frames, func(f Frame) bool { return f.Bridge == 10 && len(f.Data) == 14+20+8+10 })
				l.frames = nil
				l.mu.Unlock()
				if found {
					return true
				}
			}
			return false
		})
	}
	answers("start")
	l.ip("red", "address", "del", "10.0.10.1/24", "dev", "svi10")
	answers("an address went")
	l.ip("red", "link", "set", "svi10", "down")
	answers("an interface went down")
	l.ip("red", "link", "del", "dev", "svi10")
	answers("an interface went")
	l.ip("red", "link", "del", "dev", "vrf")
	l.until("the default route is back", func() bool { return strings.Contains(l.ip("red", "route"), "default") })
	l.ip("red", "neighbour", "del", remote.String(), "dev", "svi10")
	answers("a remote host went")
}

func TestOneBadObjectDoesNotStopOthers(t *testing.T) {
	l := newLab(t)
	l.start()
	v := red()
	v.SVIs[1].MAC = ether.Broadcast
	twice := VRF{ID: 1, Name: "twice", RouterMAC: routerMAC}
	slash := VRF{ID: 4, Name: "a/b", RouterMAC: routerMAC}
	other := VRF{ID: 5, Name: "other", RouterMAC: routerMAC, SVIs: []SVI{
		{Bridge: 10, Name: "second", MAC: gatewayMAC},
		{Bridge: 50, MAC: gatewayMAC, Addresses: prefixes("::ffff:10.0.0.1/120")},
		{Bridge: 60, MAC: gatewayMAC, Addresses: prefixes("10.0.10.1/24")},
		{Bridge: 70, MAC: gatewayMAC, Addresses: prefixes("255.255.255.255/32")},
	}}
	l.Set([]VRF{v, twice, slash, other})
	want := map[uint16]string{10: "", 20: "MAC ff:ff:ff:ff:ff:ff is not that of a station", 60: "",
		50: "gateway ::ffff:10.0.0.1/120 is not an address that a host can have",
		70: "gateway 255.255.255.255/32 is not an address that a host can have"}
	l.until("good ones in place, bad ones said", func() bool {
		s := l.Status()
		for bridge, text := range want {
			if got, ok := s.SVIs[bridge]; !ok || got != text {
				return false
			}
		}
		other, ok := s.VRFs[5]
		return ok && other == "" && strings.Contains(s.VRFs[4], "network namespace")
	})
}

func TestTapInUseElsewhereIsTriedAgain(t *testing.T) {
	first, l := newLab(t), newLab(t)
	l.prefix = first.prefix
	first.start()
	first.set(red())
	l.start()
	l.Set([]VRF{red()})
	l.until("a tap that another process has is an error", func() bool {
		return strings.Contains(l.Status().VRFs[1], "another process has it open") &&
			strings.Contains(l.Status().SVIs[10], "another process has it open")
	})
	if err := RemoveAll(l.prefix); !errors.Is(err, errForeign) {
		t.Errorf("RemoveAll while they are in use: %v", err)
	}
	first.stop()
	l.placed(red())
}

func TestManyNeighboursDoNotOverflow(t *testing.T) {
	l := newLab(t)
	l.start()
	const vrfs, each = 10, 250 // of each kind: 5,000 in all
	var all []VRF
	for i := range uint16(vrfs) {
		all = append(all, VRF{ID: i + 1, Name: fmt.Sprint("v", i), RouterMAC: routerMAC, SVIs: []SVI{
			{Bridge: i + 1, MAC: gatewayMAC, Addresses: prefixes("10.0.0.1/16")},
		}})
	}
	l.set(all...)
	if limits, err := rtnetlink.NeighbourLimits(); err != nil || !enough(limits) {
		t.Skipf("SKIP: the machine's neighbour tables are too small and cannot be raised from here: %v, %v", limits, err)
	}
	ip := func(kind, n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(kind), byte(n + 2)}) }
	mac := func(n int) ether.MAC { return ether.MAC{2, 0, 1, 0, byte(n >> 8), byte(n)} }
	for v := range uint16(vrfs) {
		for n := range each {
			l.SetRemote(v+1, ip(1, n), mac(n))
			l.Deliver(Frame{VRF: v + 1, Bridge: v + 1,
				Data: arp(t, layers.ARPRequest, mac(n), ether.Broadcast, ip(2, n).String(), "10.0.0.1")})
		}
	}
	got := map[Neighbor]bool{}
	for deadline := time.After(timeout); len(got) < vrfs*each; {
		select {
		case n := <-l.Events():
			if n.IP.As4()[2] != 2 {
				t.Fatalf("a remote host came back as a local one: %+v", n)
			}
			got[n] = true
		case <-deadline:
			t.Fatalf("%d local hosts of %d", len(got), vrfs*each)
		}
	}
	for v := range uint16(vrfs) {
		for n := range each {
			if want := (Neighbor{VRF: v + 1, Bridge: v + 1, IP: ip(2, n), MAC: mac(n), Present: true}); !got[want] {
				t.Fatalf("no event %+v", want)
			}
		}
		l.until("all remote hosts", func() bool { return len(installed(l, fmt.Sprint("v", v))) == each })
	}
}

func TestRemoteHostsOfAnEarlierProcessStayUntilBGPHasConverged(t *testing.T) {
	l := newLab(t)
	l.start()
	l.set(red())
	stays, goes := netip.MustParseAddr("10.0.10.98"), netip.MustParseAddr("10.0.10.99")
	l.SetRemote(10, stays, otherMAC)
	l.SetRemote(10, goes, otherMAC)
	l.until("both installed", func() bool { return len(installed(l, "red")) == 2 })
	l.stop()
	l.start()
	l.set(red())
	l.SetRemote(10, stays, otherMAC)
	l.arrive(1, 10, hostMAC, "10.0.10.11", "10.0.10.1") // the loop has looked
	if got := installed(l, "red"); len(got) != 2 {
		t.Errorf("before BGP has converged: %q", got)
	}
	l.Converged()
	l.until("the one that nobody set again goes", func() bool {
		got := installed(l, "red")
		return len(got) == 1 && strings.Contains(got[0], stays.String())
	})
}
