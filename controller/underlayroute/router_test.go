package underlayroute

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

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/internal/rtnetlink"
	"github.com/p4evpn/p4evpn/internal/netnstest"
)

func TestMain(m *testing.M) {
	netnstest.Alone()
	os.Exit(m.Run())
}

const patience = 10 * time.Second

// lab is a gateway's anonymous namespace with two uplinks, up1 and up2, whose
// far ends are up too.
type lab struct {
	t       *testing.T
	ns      netns.NsHandle
	handle  *netlink.Handle
	speaker *controllertest.Speaker
	router  *Router // the last one started
}

var (
	peer1, peer2 = netip.MustParseAddr("10.1.1.2"), netip.MustParseAddr("10.1.2.2")
	leaf         = netip.MustParsePrefix("10.0.0.11/32")
	leaf6        = netip.MustParsePrefix("2001:db8:11::/48")
	vtep         = netip.MustParseAddr("10.0.0.1")
)

func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: the test makes network namespaces")
	}
	ns, h := netnstest.Namespace(t)
	l := &lab{t: t, ns: ns, handle: h, speaker: controllertest.NewSpeaker()}
	l.up("lo")
	l.address("lo", "10.0.0.1/32")
	for i, name := range []string{"up1", "up2"} {
		must(t, h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "x"}))
		l.up(name)
		l.up(name + "x")
		l.address(name, fmt.Sprintf("10.1.%d.1/24", i+1))
		l.address(name, fmt.Sprintf("2001:db8:0:%d::1/64", i+1))
	}
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (l *lab) link(name string) netlink.Link {
	l.t.Helper()
	link, err := l.handle.LinkByName(name)
	must(l.t, err)
	return link
}

func (l *lab) up(name string) { l.t.Helper(); must(l.t, l.handle.LinkSetUp(l.link(name))) }

func (l *lab) address(name, cidr string) {
	l.t.Helper()
	a, err := netlink.ParseAddr(cidr)
	must(l.t, err)
	a.Flags = unix.IFA_F_NODAD
	must(l.t, l.handle.AddrAdd(l.link(name), a))
}

// start runs a Router; stop ends it.
func (l *lab) start(change ...func(*Config)) (stop func()) {
	l.t.Helper()
	cfg := Config{
		Speaker: l.speaker, Devices: []string{"up1", "up2"},
		VTEPs: []netip.Addr{vtep}, Namespace: &l.ns,
	}
	for _, c := range change {
		c(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	l.router = New(cfg)
	go func(r *Router) { ended <- r.Run(ctx) }(l.router)
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			l.t.Errorf("Run: %v", err)
		}
	})
	l.t.Cleanup(stop)
	return stop
}

func (l *lab) send(events ...bgp.UnicastEvent) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	if err := l.speaker.SendUnicast(ctx, events...); err != nil {
		l.t.Fatal("the router does not take events")
	}
}

func update(peer netip.Addr, p netip.Prefix, hop string) bgp.UnicastEvent {
	return bgp.UnicastEvent{Peer: peer, Kind: bgp.RouteUpdate, Route: bgp.UnicastRoute{
		Prefix: p, NextHop: netip.MustParseAddr(hop), LocalPref: 100, PathLength: 1,
	}}
}

func withdraw(peer netip.Addr, p netip.Prefix) bgp.UnicastEvent {
	return bgp.UnicastEvent{Peer: peer, Kind: bgp.RouteWithdraw, Route: bgp.UnicastRoute{Prefix: p}}
}

var converged = bgp.UnicastEvent{Kind: bgp.Converged}

// routes reads the routes of a protocol as "prefix address@device ...".
func (l *lab) routes(protocol int) []string {
	l.t.Helper()
	var out []string
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := l.handle.RouteListFiltered(family, &netlink.Route{Protocol: netlink.RouteProtocol(protocol)},
			netlink.RT_FILTER_PROTOCOL)
		must(l.t, err)
		for _, r := range list {
			via := r.MultiPath
			if len(via) == 0 {
				via = []*netlink.NexthopInfo{{LinkIndex: r.LinkIndex, Gw: r.Gw}}
			}
			var hops []string
			for _, n := range via {
				link, err := l.handle.LinkByIndex(n.LinkIndex)
				must(l.t, err)
				hops = append(hops, fmt.Sprintf("%v@%s", n.Gw, link.Attrs().Name))
			}
			slices.Sort(hops)
			out = append(out, r.Dst.String()+" "+strings.Join(hops, " "))
		}
	}
	slices.Sort(out)
	return out
}

// await waits until the kernel has exactly these routes of ours.
func (l *lab) await(want ...string) {
	l.t.Helper()
	slices.Sort(want)
	var got []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if got = l.routes(protocol); slices.Equal(got, want) {
			return
		}
	}
	l.t.Fatalf("the kernel has %q\nwant %q", got, want)
}

func TestBGPHearsWhichSubnetsAreOnLinksWithCarrier(t *testing.T) {
	l := newLab(t)
	l.start()
	await := func(want ...string) {
		t.Helper()
		var got []string
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
			got = nil
			for _, p := range l.speaker.Links() {
				got = append(got, p.String())
			}
			if slices.Sort(got); slices.Equal(got, want) {
				return
			}
		}
		t.Fatalf("it heard of %q, want %q", got, want)
	}
	await("10.1.1.0/24", "10.1.2.0/24", "2001:db8:0:1::/64", "2001:db8:0:2::/64")
	must(t, l.handle.LinkSetDown(l.link("up1x")))
	await("10.1.2.0/24", "2001:db8:0:2::/64")
	l.up("up1x")
	await("10.1.1.0/24", "10.1.2.0/24", "2001:db8:0:1::/64", "2001:db8:0:2::/64")
	must(t, l.handle.LinkDel(l.link("up2")))
	await("10.1.1.0/24", "2001:db8:0:1::/64")
}

func TestLearnedRoutesAreInstalledWithMultipathAndRemoved(t *testing.T) {
	for _, f := range []struct {
		prefix     netip.Prefix
		hop1, hop2 string
	}{
		{leaf, "10.1.1.2", "10.1.2.2"},
		{leaf6, "2001:db8:0:1::2", "2001:db8:0:2::2"},
		{netip.MustParsePrefix("0.0.0.0/0"), "10.1.1.2", "10.1.2.2"},
		{netip.MustParsePrefix("::/0"), "2001:db8:0:1::2", "2001:db8:0:2::2"},
		{netip.MustParsePrefix("10.0.0.0/8"), "10.1.1.2", "10.1.2.2"}, // holds the subnets of the uplinks
	} {
		t.Run(f.prefix.String(), func(t *testing.T) {
			l := newLab(t)
			l.start()
			one, other := f.hop1+"@up1", f.hop2+"@up2"
			l.send(update(peer1, f.prefix, f.hop1))
			l.await(f.prefix.String() + " " + one)
			l.send(update(peer2, f.prefix, f.hop2))
			l.await(f.prefix.String() + " " + one + " " + other)
			l.send(withdraw(peer1, f.prefix))
			l.await(f.prefix.String() + " " + other)
			l.send(update(peer1, f.prefix, f.hop1))
			l.await(f.prefix.String() + " " + one + " " + other)
			l.send(withdraw(peer1, f.prefix), withdraw(peer2, f.prefix))
			l.await()
		})
	}
}

func TestWhatIsOursOrCannotBeReachedIsNotInstalled(t *testing.T) {
	l := newLab(t)
	l.start()
	var events []bgp.UnicastEvent
	for _, p := range []string{
		"10.1.1.0/24", "10.1.2.128/25", "10.1.1.2/32", "10.0.0.1/32", "2001:db8:0:1::/64", "2001:db8:0:2::2/128", "127.0.0.0/16",
	} {
		hop := "10.1.1.2"
		if strings.Contains(p, "::") {
			hop = "2001:db8:0:1::2"
		}
		events = append(events, update(peer1, netip.MustParsePrefix(p), hop))
	}
	for i, hop := range []string{"10.9.9.9", "10.1.1.1", "10.0.0.1", "10.0.0.11"} { // off the link, ours, by another route
		events = append(events, update(peer1, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 7, byte(i), 0}), 24), hop))
	}
	l.send(append(events, update(peer1, leaf, "10.1.1.2"))...)
	l.await("10.0.0.11/32 10.1.1.2@up1")
}

func TestABetterRouteIsUsedAlone(t *testing.T) {
	base := bgp.UnicastRoute{LocalPref: 100, PathLength: 2, MED: 5}
	for name, worsen := range map[string]func(*bgp.UnicastRoute){
		"local preference": func(r *bgp.UnicastRoute) { r.LocalPref, r.PathLength = 99, 1 },
		"AS path":          func(r *bgp.UnicastRoute) { r.PathLength, r.MED = 3, 0 },
		"origin":           func(r *bgp.UnicastRoute) { r.Origin, r.MED = 2, 0 },
		"MED":              func(r *bgp.UnicastRoute) { r.MED = 6 },
		"iBGP":             func(r *bgp.UnicastRoute) { r.Internal = true },
	} {
		t.Run(name, func(t *testing.T) {
			worse := base
			worsen(&worse)
			if compare(base, worse) >= 0 || compare(worse, base) <= 0 || compare(base, base) != 0 {
				t.Errorf("%+v and %+v: %d, %d", base, worse, compare(base, worse), compare(worse, base))
			}
		})
	}
	// Better, but out of reach.
	l := newLab(t)
	l.start()
	far, near := update(peer1, leaf, "10.9.9.9"), update(peer2, leaf, "10.1.2.2")
	far.Route.LocalPref = 200
	l.send(far, near)
	l.await("10.0.0.11/32 10.1.2.2@up2")
}

func TestRoutesOfOtherProtocolsAreLeftAlone(t *testing.T) {
	l := newLab(t)
	other := netip.MustParsePrefix("10.0.0.12/32")
	static := []*netlink.Route{
		{Dst: rtnetlink.ToIPNet(leaf), Gw: net.IPv4(10, 1, 2, 9), Protocol: unix.RTPROT_STATIC, Priority: metric},
		{Dst: rtnetlink.ToIPNet(other), Gw: net.IPv4(10, 1, 2, 9), Protocol: unix.RTPROT_BGP},
		{Dst: rtnetlink.ToIPNet(leaf6), Gw: net.ParseIP("2001:db8:0:2::9"), Protocol: unix.RTPROT_STATIC, Priority: metric},
	}
	for _, r := range static {
		must(t, l.handle.RouteAdd(r))
	}
	l.start()
	l.send(update(peer1, leaf, "10.1.1.2"), update(peer1, other, "10.1.1.2"), update(peer1, leaf6, "2001:db8:0:1::2"))
	l.await("10.0.0.12/32 10.1.1.2@up1") // beside the other, with our metric
	l.send(withdraw(peer1, leaf), withdraw(peer1, other), withdraw(peer1, leaf6), converged)
	l.await()
	if got := l.routes(unix.RTPROT_STATIC); len(got) != 2 {
		t.Errorf("static routes %q, want both", got)
	}
	if got := l.routes(unix.RTPROT_BGP); len(got) != 1 {
		t.Errorf("another daemon's routes %q, want its one", got)
	}
}

func TestRouteComesWhenTheOneInItsPlaceGoes(t *testing.T) {
	l := newLab(t)
	static := &netlink.Route{Dst: rtnetlink.ToIPNet(leaf), Gw: net.IPv4(10, 1, 2, 9), Protocol: unix.RTPROT_STATIC,
		Priority: metric}
	must(t, l.handle.RouteAdd(static))
	l.start()
	l.send(update(peer1, leaf, "10.1.1.2"))
	must(t, l.handle.RouteDel(static))
	l.await("10.0.0.11/32 10.1.1.2@up1")
	must(t, l.handle.RouteDel(&netlink.Route{Dst: rtnetlink.ToIPNet(leaf)})) // by hand
	l.await("10.0.0.11/32 10.1.1.2@up1")
}

func TestRoutesFollowTheUplinks(t *testing.T) {
	l := newLab(t)
	l.start()
	both := []string{"10.0.0.11/32 10.1.1.2@up1 10.1.2.2@up2", "2001:db8:11::/48 2001:db8:0:1::2@up1"}
	l.send(update(peer1, leaf, "10.1.1.2"), update(peer2, leaf, "10.1.2.2"), update(peer1, leaf6, "2001:db8:0:1::2"))
	l.await(both...)
	must(t, l.handle.LinkSetDown(l.link("up1")))
	l.await("10.0.0.11/32 10.1.2.2@up2")
	l.up("up1")
	l.address("up1", "2001:db8:0:1::1/64") // went with the link
	l.await(both...)
}

func TestRestartKeepsRoutesUntilBGPHasSaidAll(t *testing.T) {
	gone := netip.MustParsePrefix("10.0.0.13/32")
	l := newLab(t)
	stop := l.start()
	all := []string{"10.0.0.11/32 10.1.1.2@up1 10.1.2.2@up2", "10.0.0.13/32 10.1.2.2@up2"}
	l.send(update(peer1, leaf, "10.1.1.2"), update(peer2, leaf, "10.1.2.2"), update(peer2, gone, "10.1.2.2"), converged)
	l.await(all...)
	stop()
	l.await(all...)
	l.start()
	l.send(update(peer1, leaf, "10.1.1.2"), bgp.UnicastEvent{Peer: peer1, Kind: bgp.EndOfRIB})
	l.send() // taken only when the one before is done
	if got := l.routes(protocol); !slices.Equal(got, all) {
		t.Errorf("before BGP converged the kernel has %q, want %q", got, all)
	}
	l.send(converged)
	l.await("10.0.0.11/32 10.1.1.2@up1")
}

func TestAWithdrawalAfterARestartCountsAtOnce(t *testing.T) {
	l := newLab(t)
	stop := l.start()
	l.send(update(peer1, leaf, "10.1.1.2"))
	l.await("10.0.0.11/32 10.1.1.2@up1")
	stop()
	l.start()
	l.send(update(peer1, leaf, "10.1.1.2"))
	l.send(withdraw(peer1, leaf))
	l.await()
}

// awaitAdvertised waits until BGP was told exactly these prefixes.
func (l *lab) awaitAdvertised(want ...string) {
	l.t.Helper()
	var got []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		got = nil
		for _, p := range l.speaker.Prefixes() {
			got = append(got, p.String())
		}
		if slices.Equal(got, want) {
			return
		}
	}
	l.t.Fatalf("advertised %q, want %q", got, want)
}

func TestVTEPsAndUplinksAreAdvertisedAsTheyAre(t *testing.T) {
	l := newLab(t)
	stop := l.start()
	l.awaitAdvertised("10.0.0.1/32", "10.1.1.0/24", "10.1.2.0/24", "2001:db8:0:1::/64", "2001:db8:0:2::/64")
	must(t, l.handle.LinkSetDown(l.link("up2")))
	l.awaitAdvertised("10.0.0.1/32", "10.1.1.0/24", "2001:db8:0:1::/64")
	l.address("up1", "10.1.3.1/24")
	l.awaitAdvertised("10.0.0.1/32", "10.1.1.0/24", "10.1.3.0/24", "2001:db8:0:1::/64")
	stop()
	l.start(func(c *Config) { c.Advertise = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")} })
	l.awaitAdvertised("10.0.0.0/24")
}

func TestOverrunOfTheSocketIsCuredByReadingAnew(t *testing.T) {
	l := newLab(t)
	stop := l.start()
	l.send(update(peer1, leaf, "10.1.1.2"))
	l.await("10.0.0.11/32 10.1.1.2@up1")
	stop()
	k, err := openKernel(&l.ns)
	must(t, err)
	must(t, k.Socket.SetReceiveBufferSize(4096, true))
	defer k.Handle.Close()
	// Nobody reads: the removal of our route is lost among those of others.
	for i := range 500 {
		other := &netlink.Route{Dst: rtnetlink.ToIPNet(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 200, byte(i / 250),
			byte(i % 250)}), 32)),
			Gw: net.IPv4(10, 1, 2, 9), Protocol: unix.RTPROT_STATIC}
		must(t, l.handle.RouteAdd(other))
	}
	must(t, l.handle.RouteDel(&netlink.Route{Dst: rtnetlink.ToIPNet(leaf)}))
	r := New(Config{Speaker: l.speaker, Devices: []string{"up1", "up2"}, Namespace: &l.ns})
	r.adopted = map[netip.Prefix]hops{}
	r.apply([]bgp.UnicastEvent{update(peer1, leaf, "10.1.1.2")})
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- k.Watch(ctx, r.overruns, r.heard) }()
	woken := func(after string) {
		t.Helper()
		select {
		case <-r.wake:
		case err := <-ended:
			t.Fatalf("after %s the reader ended: %v", after, err)
		case <-time.After(patience):
			t.Fatalf("%s did not wake the loop", after)
		}
	}
	woken("the overrun")
	if testutil.ToFloat64(r.overruns) == 0 {
		t.Error("there was no overrun: the test proves nothing")
	}
	must(t, r.reconcile(k))
	l.await("10.0.0.11/32 10.1.1.2@up1")
	must(t, l.handle.RouteDel(&netlink.Route{Dst: rtnetlink.ToIPNet(leaf)})) // it reads on
	woken("the removal of a route")
	cancel()
	<-ended
}

func TestRoutesLeaveADeviceWithoutCarrier(t *testing.T) {
	l := newLab(t)
	l.start()
	worse := update(peer2, leaf, "10.1.2.2")
	worse.Route.PathLength = 9
	l.send(update(peer1, leaf, "10.1.1.2"), worse)
	l.await("10.0.0.11/32 10.1.1.2@up1")
	must(t, l.handle.LinkSetDown(l.link("up1x")))
	l.await("10.0.0.11/32 10.1.2.2@up2")
	l.awaitAdvertised("10.0.0.1/32", "10.1.2.0/24", "2001:db8:0:2::/64")
	l.up("up1x")
	l.await("10.0.0.11/32 10.1.1.2@up1")
}
