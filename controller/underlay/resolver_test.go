package underlay

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/internal/netnstest"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	netnstest.Alone()
	os.Exit(m.Run())
}

// lab is a gateway's namespace and a neighbour's, joined by veth pairs. Both
// are anonymous: the kernel removes them with everything in them when the
// test's handles are closed, also when the process dies.
type lab struct {
	t            *testing.T
	gw, peer     *netlink.Handle
	gwNS, peerNS netns.NsHandle
	gwMAC, peers map[string]ether.MAC
}

func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: the test makes network namespaces")
	}
	l := &lab{t: t, gwMAC: map[string]ether.MAC{}, peers: map[string]ether.MAC{}}
	l.gwNS, l.gw = newNamespace(t)
	l.peerNS, l.peer = newNamespace(t)
	return l
}

func newNamespace(t *testing.T) (netns.NsHandle, *netlink.Handle) {
	t.Helper()
	ns, h := netnstest.Namespace(t)
	lo, err := h.LinkByName("lo")
	must(t, err)
	must(t, h.LinkSetUp(lo))
	return ns, h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cable makes a veth pair of one name with an address at the gateway's end.
func (l *lab) cable(name, gwAddr string) {
	l.t.Helper()
	must(l.t, l.gw.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name, PeerNamespace: netlink.NsFd(l.peerNS),
	}))
	for _, side := range []struct {
		h    *netlink.Handle
		macs map[string]ether.MAC
	}{{l.gw, l.gwMAC}, {l.peer, l.peers}} {
		link, err := side.h.LinkByName(name)
		must(l.t, err)
		must(l.t, side.h.LinkSetUp(link))
		side.macs[name], err = ether.FromBytes(link.Attrs().HardwareAddr)
		must(l.t, err)
	}
	l.address(l.gw, name, gwAddr)
}

func (l *lab) link(h *netlink.Handle, name string) netlink.Link {
	l.t.Helper()
	link, err := h.LinkByName(name)
	must(l.t, err)
	return link
}

func (l *lab) address(h *netlink.Handle, name, cidr string) {
	l.t.Helper()
	a, err := netlink.ParseAddr(cidr)
	must(l.t, err)
	a.Flags = unix.IFA_F_NODAD
	must(l.t, h.AddrAdd(l.link(h, name), a))
}

// routeVia gives a route over next hops written "address@device".
func (l *lab) routeVia(dst string, hops ...string) *netlink.Route {
	l.t.Helper()
	_, prefix, err := net.ParseCIDR(dst)
	must(l.t, err)
	r := &netlink.Route{Dst: prefix}
	for _, s := range hops {
		addr, dev, _ := strings.Cut(s, "@")
		r.MultiPath = append(r.MultiPath, &netlink.NexthopInfo{LinkIndex: l.link(l.gw, dev).Attrs().Index,
			Gw: net.ParseIP(addr)})
	}
	return r
}

func newResolver(t testing.TB, cfg Config) *Resolver {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs a Resolver in the gateway's namespace until the test ends.
func (l *lab) start(uplinks ...string) *Resolver {
	l.t.Helper()
	r := newResolver(l.t, Config{Uplinks: uplinks, Namespace: &l.gwNS, Retry: 20 * time.Millisecond})
	run(l.t, r)
	return r
}

func run(t *testing.T, r *Resolver) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// await reads changes until one is as wanted.
func await(t *testing.T, r *Resolver, what string, ok func(Change) bool) Change {
	t.Helper()
	deadline := time.After(10 * time.Second)
	var last Change
	for {
		select {
		case c, open := <-r.Events():
			if !open {
				t.Fatalf("waiting for %s: Run ended", what)
			}
			if last = c; ok(c) {
				return c
			}
		case <-deadline:
			t.Fatalf("waiting for %s: last change was %+v", what, last)
		}
	}
}

func paths(want ...Path) func(Change) bool {
	slices.SortFunc(want, Path.Compare)
	return func(c Change) bool { return slices.Equal(c.Paths, want) && (c.Reason == "") == (len(want) > 0) }
}

func reason(part string) func(Change) bool {
	return func(c Change) bool { return len(c.Paths) == 0 && strings.Contains(c.Reason, part) }
}

func (l *lab) path(name string) Path { return Path{name, l.gwMAC[name], l.peers[name], 1500} }

func TestVTEPOnTheLinkIsResolved(t *testing.T) {
	for _, family := range []struct{ name, gw, peer string }{
		{"v4", "10.1.0.1/24", "10.1.0.2/24"}, {"v6", "2001:db8::1/64", "2001:db8::2/64"},
	} {
		t.Run(family.name, func(t *testing.T) {
			l := newLab(t)
			l.cable("up1", family.gw)
			l.address(l.peer, "up1", family.peer)
			r := l.start("up1")
			vtep := netip.MustParsePrefix(family.peer).Addr()
			r.Track(vtep)
			if c := await(t, r, "the path", paths(l.path("up1"))); c.VTEP != vtep {
				t.Errorf("change of %s, want of %s", c.VTEP, vtep)
			}
		})
	}
}

// twoWays joins the two by two cables and gives a route over both.
func (l *lab) twoWays() {
	l.t.Helper()
	for i, name := range []string{"up1", "up2"} {
		l.cable(name, fmt.Sprintf("10.%d.0.1/24", i+1))
		l.address(l.peer, name, fmt.Sprintf("10.%d.0.2/24", i+1))
	}
	must(l.t, l.gw.RouteAdd(l.routeVia("10.0.0.0/24", "10.1.0.2@up1", "10.2.0.2@up2")))
}

func TestMultipathRouteGivesEveryLiveNextHop(t *testing.T) {
	l := newLab(t)
	l.twoWays()
	r := l.start("up1", "up2")
	r.Track(netip.MustParseAddr("10.0.0.2"))
	await(t, r, "both paths", paths(l.path("up1"), l.path("up2")))

	must(t, l.peer.LinkSetDown(l.link(l.peer, "up1"))) // carrier lost at our end
	await(t, r, "the other path alone", paths(l.path("up2")))
	must(t, l.peer.LinkSetUp(l.link(l.peer, "up1")))
	await(t, r, "both paths again", paths(l.path("up1"), l.path("up2")))

	must(t, l.gw.RouteDel(l.routeVia("10.0.0.0/24", "10.1.0.2@up1", "10.2.0.2@up2")))
	await(t, r, "loss of the route", reason("no route to 10.0.0.2"))
}

// RFC 5882 section 5: who watches a next hop knows more than the kernel.
func TestANextHopThatIsSaidToBeDownLeadsNowhere(t *testing.T) {
	l := newLab(t)
	l.twoWays()
	r := l.start("up1", "up2")
	first, second := netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("10.2.0.2")
	r.SetNextHop(first, "lost") // before anybody asks for a VTEP
	r.Track(netip.MustParseAddr("10.0.0.2"))
	await(t, r, "the path by the other next hop alone", paths(l.path("up2")))
	r.SetNextHop(first, "")
	await(t, r, "both paths", paths(l.path("up1"), l.path("up2")))
	r.SetNextHop(second, "lost")
	await(t, r, "the first path alone", paths(l.path("up1")))
	r.SetNextHop(first, "gone")
	await(t, r, "no path, and why", reason("next hop 10.1.0.2 on up1: gone"))
	r.SetNextHop(second, "")
	want := "# HELP p4evpn_underlay_next_hop_up 1 while a next hop of underlay.next_hops is used, 0 while BFD says that " +
		"it is down.\n# TYPE p4evpn_underlay_next_hop_up gauge\n" +
		"p4evpn_underlay_next_hop_up{next_hop=\"10.1.0.2\"} 0\np4evpn_underlay_next_hop_up{next_hop=\"10.2.0.2\"} 1\n"
	if err := testutil.CollectAndCompare(r, strings.NewReader(want), "p4evpn_underlay_next_hop_up"); err != nil {
		t.Error(err)
	}
}

func TestLongestPrefixWins(t *testing.T) {
	l := newLab(t)
	l.cable("up1", "10.1.0.1/24")
	l.cable("up2", "10.2.0.1/24")
	l.address(l.peer, "up1", "10.1.0.2/24")
	l.address(l.peer, "up2", "10.2.0.2/24")
	must(t, l.gw.RouteAdd(l.routeVia("0.0.0.0/0", "10.1.0.2@up1")))
	for _, c := range []struct {
		routes              Routes
		byDefault, bySubnet string // why not, "" if they lead there
	}{
		{AllRoutes, "", ""},
		{NotDefault, "only a default route leads to 10.0.0.2", ""},
		{HostRoutes, "only a route of length /0 leads to 10.0.0.2", "only a route of length /24 leads to 10.0.0.2"},
	} {
		r := newResolver(t, Config{Uplinks: []string{"up1", "up2"}, Namespace: &l.gwNS, Retry: 20 * time.Millisecond,
			Routes: c.routes})
		run(t, r)
		r.Track(netip.MustParseAddr("10.0.0.2"))
		is := func(what, why string) {
			t.Helper()
			if want := reason(why); why != "" {
				await(t, r, what, want)
			} else {
				await(t, r, what, paths(l.path("up1")))
			}
		}
		is("the default route's path", c.byDefault)
		must(t, l.gw.RouteAdd(l.routeVia("10.0.0.2/32", "10.2.0.2@up2")))
		await(t, r, "the host route's path", paths(l.path("up2")))
		must(t, l.gw.RouteAdd(l.routeVia("10.0.0.0/24", "10.1.0.2@up1")))
		must(t, l.gw.RouteDel(l.routeVia("10.0.0.2/32", "10.2.0.2@up2")))
		is("the subnet's path", c.bySubnet)
		must(t, l.gw.RouteAdd(l.routeVia("10.0.0.2/32", "10.2.0.2@up2")))
		await(t, r, "the host route's path", paths(l.path("up2")))
		must(t, l.gw.RouteDel(l.routeVia("10.0.0.0/24", "10.1.0.2@up1")))
		must(t, l.gw.RouteDel(l.routeVia("10.0.0.2/32", "10.2.0.2@up2")))
		is("the default route's path again", c.byDefault)
	}
}

func TestSilentNextHopIsAskedUntilItAnswers(t *testing.T) {
	l := newLab(t)
	l.cable("up1", "10.1.0.1/24")
	r := l.start("up1")
	r.Track(netip.MustParseAddr("10.1.0.2"))
	await(t, r, "the reason", reason("next hop 10.1.0.2 on up1 is not resolved"))
	l.address(l.peer, "up1", "10.1.0.2/24")
	await(t, r, "the path", paths(l.path("up1")))
}

func TestChangedMACAddressesAreFollowed(t *testing.T) {
	l := newLab(t)
	l.cable("up1", "10.1.0.1/24")
	l.address(l.peer, "up1", "10.1.0.2/24")
	r := l.start("up1")
	r.Track(netip.MustParseAddr("10.1.0.2"))
	await(t, r, "the path", paths(l.path("up1")))

	other := ether.MAC{2, 0, 0, 0, 0, 9}
	link := l.link(l.gw, "up1")
	must(t, l.gw.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, IP: net.IPv4(10, 1, 0, 2), HardwareAddr: other[:],
		State: unix.NUD_STALE}))
	await(t, r, "the next hop's new MAC", paths(Path{"up1", l.gwMAC["up1"], other, 1500}))

	ours := ether.MAC{2, 0, 0, 0, 0, 8}
	must(t, l.gw.LinkSetHardwareAddr(link, ours[:]))
	await(t, r, "our new MAC", func(c Change) bool { return len(c.Paths) == 1 && c.Paths[0].Source == ours })
}

func TestUplinkThatAppearsLaterIsUsed(t *testing.T) {
	l := newLab(t)
	r := l.start("up1")
	r.Track(netip.MustParseAddr("10.1.0.2"))
	await(t, r, "the reason", reason("no route to 10.1.0.2"))
	l.cable("up1", "10.1.0.1/24")
	l.address(l.peer, "up1", "10.1.0.2/24")
	await(t, r, "the path", paths(l.path("up1")))
	must(t, l.gw.LinkDel(l.link(l.gw, "up1")))
	await(t, r, "the loss", reason("no route to 10.1.0.2"))
}

func TestRoutesThatCannotBeUsedSayWhy(t *testing.T) {
	l := newLab(t)
	l.cable("up1", "10.1.0.1/24")
	l.cable("mgmt", "10.9.0.1/24")
	_, blackhole, _ := net.ParseCIDR("10.0.0.4/32")
	must(t, l.gw.RouteAdd(&netlink.Route{Dst: blackhole, Type: unix.RTN_BLACKHOLE}))
	for vtep, want := range map[string]string{
		"10.9.0.2": "leaves by a device that is not an uplink",
		"10.1.0.1": "is an address of this machine",
		"10.0.0.3": "no route to 10.0.0.3",
		"10.0.0.4": "route to 10.0.0.4",
	} {
		t.Run(want, func(t *testing.T) {
			r := l.start("up1")
			r.Track(netip.MustParseAddr(vtep))
			await(t, r, want, reason(want))
		})
	}
}

func TestSlowReaderGetsTheNewestStateOnly(t *testing.T) {
	l := newLab(t)
	l.cable("up1", "10.1.0.1/24")
	l.address(l.peer, "up1", "10.1.0.2/24")
	r := l.start("up1")
	r.Track(netip.MustParseAddr("10.1.0.2"))
	await(t, r, "the path", paths(l.path("up1")))

	link := l.link(l.gw, "up1")
	mac := ether.MAC{2}
	for i := range 200 {
		mac[5] = byte(i)
		must(t, l.gw.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, IP: net.IPv4(10, 1, 0, 2), HardwareAddr: mac[:],
			State: unix.NUD_PERMANENT}))
	}
	n := 0
	await(t, r, "the newest MAC", func(c Change) bool { n++; return len(c.Paths) == 1 && c.Paths[0].Destination == mac })
	if n > 100 {
		t.Errorf("%d changes reached a reader that slept through 200, want few", n)
	}
}

func TestOnlyDifferencesArePublished(t *testing.T) {
	l := newLab(t)
	l.cable("up1", "10.1.0.1/24")
	l.address(l.peer, "up1", "10.1.0.2/24")
	r := l.start("up1")
	vtep, other := netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("10.1.0.1")
	r.Track(vtep)
	await(t, r, "the path", paths(l.path("up1")))

	link := l.link(l.gw, "up1")
	mac := l.peers["up1"]
	for _, state := range []int{unix.NUD_STALE, unix.NUD_REACHABLE, unix.NUD_STALE, unix.NUD_PERMANENT} {
		must(t, l.gw.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, IP: net.IPv4(10, 1, 0, 2), HardwareAddr: mac[:],
			State: state}))
	}
	r.Track(vtep)  // nothing new
	r.Track(other) // a marker: what comes before it would be a repetition
	c := <-r.Events()
	if c.VTEP != other {
		t.Errorf("got %+v, want the first state of %s", c, other)
	}
}

func TestUntrackedVTEPIsForgotten(t *testing.T) {
	l := newLab(t)
	l.cable("up1", "10.1.0.1/24")
	l.address(l.peer, "up1", "10.1.0.2/24")
	r := l.start("up1")
	vtep, marker := netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("10.1.0.1")
	r.Track(vtep)
	await(t, r, "the path", paths(l.path("up1")))
	r.Untrack(vtep)
	must(t, l.gw.LinkSetDown(l.link(l.gw, "up1")))
	r.Track(marker)
	if c := await(t, r, "the marker", func(c Change) bool { return true }); c.VTEP != marker {
		t.Errorf("got %+v of an untracked VTEP", c)
	}
	must(t, l.gw.LinkSetUp(l.link(l.gw, "up1")))
	r.Track(vtep)
	await(t, r, "the path, published anew", func(c Change) bool { return c.VTEP == vtep && len(c.Paths) == 1 })
}

func TestOverrunIsCuredByAResync(t *testing.T) {
	l := newLab(t)
	l.cable("up1", "10.1.0.1/24")
	r := newResolver(t, Config{Uplinks: []string{"up1"}, Namespace: &l.gwNS, Retry: time.Hour})
	k, err := openKernel(&l.gwNS)
	must(t, err)
	must(t, k.Socket.SetReceiveBufferSize(4096, true))
	defer k.Close()

	// The socket overflows while nobody reads it; the last news is lost.
	link := l.link(l.gw, "up1").Attrs().Index
	for i := range 500 {
		must(t, l.gw.NeighSet(&netlink.Neigh{LinkIndex: link, IP: net.IPv4(10, 1, byte(i/200), byte(2+i%200)),
			HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 1, byte(i)}, State: unix.NUD_PERMANENT}))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var reader sync.WaitGroup
	reader.Go(func() { _ = k.Watch(ctx, r.overruns, r.heard) })
	deadline := time.Now().Add(5 * time.Second)
	for {
		r.mu.Lock()
		all := r.news.All
		r.mu.Unlock()
		if all {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the overrun did not ask for a resync")
		}
		time.Sleep(time.Millisecond)
	}
	lp := newLoop(r, k)
	lp.resync = false
	r.Track(netip.MustParseAddr("10.1.0.101"))
	lp.look()
	if c := lp.vteps[netip.MustParseAddr("10.1.0.101")].current; len(c.Paths) != 1 {
		t.Errorf("after the resync: %+v, want one path", c)
	}
	cancel()
	reader.Wait()
}

func TestStaleNextHopInUseIsProbed(t *testing.T) {
	l := newLab(t)
	l.cable("up1", "10.1.0.1/24")
	l.address(l.peer, "up1", "10.1.0.2/24")
	r := newResolver(t, Config{Uplinks: []string{"up1"}, Namespace: &l.gwNS, Probe: 20 * time.Millisecond})
	run(t, r)
	r.Track(netip.MustParseAddr("10.1.0.2"))
	await(t, r, "the path", paths(l.path("up1")))

	link, mac := l.link(l.gw, "up1").Attrs().Index, l.peers["up1"]
	must(t, l.gw.NeighSet(&netlink.Neigh{LinkIndex: link, IP: net.IPv4(10, 1, 0, 2), HardwareAddr: mac[:],
		State: unix.NUD_STALE}))
	deadline := time.Now().Add(5 * time.Second)
	for {
		list, err := l.gw.NeighList(link, netlink.FAMILY_V4)
		must(t, err)
		if len(list) == 1 && list[0].State&(unix.NUD_DELAY|unix.NUD_PROBE) != 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("neighbours %+v, want one being probed", list)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
