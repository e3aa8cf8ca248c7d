package p4_test

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
	"github.com/p4evpn/p4evpn/ether"
)

// linuxHost is the victim: a Linux host in a namespace with a gateway that it
// knows, which tells by its tables whether it took a claim.
type linuxHost struct {
	*testing.T
	ns   *testbed.Namespace
	wire *testbed.RawSocket // the other end of its cable
	dev  int
	link *netlink.Handle
}

func newLinuxHost(t *testing.T) *linuxHost {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIP: a network namespace needs root")
	}
	lab, err := testbed.NewLab()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	h := &linuxHost{T: t}
	h.must(h.build(lab))
	t.Cleanup(func() {
		h.link.Close()
		_ = h.wire.Close()
	})
	h.reset()
	return h
}

func (h *linuxHost) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *linuxHost) build(lab *testbed.Lab) (err error) {
	if h.ns, err = lab.Namespace("victim"); err != nil {
		return err
	}
	far, err := lab.Namespace("cable")
	if err != nil {
		return err
	}
	if err := lab.Cable(testbed.End{NS: h.ns, Dev: "eth0"}, testbed.End{NS: far, Dev: "wire"}); err != nil {
		return err
	}
	if h.wire, err = far.OpenRaw("wire"); err != nil {
		return err
	}
	err = h.ns.Do(func() (err error) { h.link, err = netlink.NewHandle(unix.NETLINK_ROUTE); return err })
	if err != nil {
		return err
	}
	host := testbed.Host{NS: h.ns, Dev: "eth0", MAC: hostB, Address: netip.PrefixFrom(victim4, 24),
		Address6: netip.PrefixFrom(victim6, 64), Gateway: gateway4}
	if err := host.Configure(); err != nil {
		return err
	}
	l, err := h.link.LinkByName("eth0")
	if err != nil {
		return err
	}
	h.dev = l.Attrs().Index
	// What is not as Linux has it serves to see claims sooner: no lock time of ARP.
	for key, value := range map[string]string{
		"net.ipv6.conf.eth0.accept_ra": "1", "net.ipv6.conf.eth0.autoconf": "0",
		"net.ipv6.conf.eth0.accept_redirects": "1", "net.ipv4.conf.all.accept_redirects": "1",
		"net.ipv4.conf.eth0.accept_redirects": "1", "net.ipv4.neigh.eth0.locktime": "0",
	} {
		if err := h.ns.Sysctl(key, value); err != nil {
			return err
		}
	}
	return nil
}

// gateways are what the host believes of the gateway, and how it routes.
var gateways = []netip.Addr{gateway4, gateway6, gatewayLL}

// reset teaches the host its gateway again: neighbours, and routes by a router
// advertisement of the gateway's.
func (h *linuxHost) reset() {
	h.Helper()
	routes, err := h.link.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
	h.must(err)
	for _, r := range routes {
		h.must(h.link.RouteDel(&r))
	}
	for _, key := range []string{"net.ipv4.route.flush", "net.ipv6.route.flush"} {
		h.must(h.ns.Sysctl(key, "1"))
	}
	h.teach()
	ra := []byte{134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}
	s := ^sum(gatewayLL, allNodes, 58, ra)
	ra[2], ra[3] = byte(s>>8), byte(s)
	h.send(slices.Concat(allNodeMAC[:], gateway1[:], []byte{0x86, 0xdd}, plain6(gatewayLL, allNodes, 255, 58, ra)))
	h.flush()
	if what := h.believes(); what != "" {
		h.Fatalf("the host does not know its gateway: %s", what)
	}
}

// teach says where the gateway is. A host that asks it hears nothing here, and
// forgets in time.
func (h *linuxHost) teach() {
	h.Helper()
	for _, a := range gateways {
		h.must(h.link.NeighSet(&netlink.Neigh{LinkIndex: h.dev, State: netlink.NUD_REACHABLE, IP: a.AsSlice(),
			HardwareAddr: net.HardwareAddr(gateway1[:])}))
	}
}

func (h *linuxHost) send(f []byte) {
	h.Helper()
	h.must(h.wire.Send(f))
}

// flush waits until the host has handled all that was sent: it answers a ping
// that is sent behind.
func (h *linuxHost) flush() {
	h.Helper()
	h.must(h.link.NeighSet(&netlink.Neigh{LinkIndex: h.dev, State: netlink.NUD_PERMANENT, IP: attacker4.AsSlice(),
		HardwareAddr: net.HardwareAddr(hostT[:])}))
	echo := []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0}
	h.send(slices.Concat(hostB[:], hostT[:], []byte{8, 0}, plain4(attacker4, victim4, 1, echo)))
	for deadline := time.Now().Add(10 * time.Second); ; {
		f, err := h.wire.Receive(make([]byte, 10000), deadline)
		h.must(err)
		if len(f) >= 42 && f[12] == 8 && f[23] == 1 && f[34] == 0 && slices.Equal(f[:6], hostT[:]) {
			return
		}
	}
}

// believes tells what the host believes wrongly, "" if nothing.
func (h *linuxHost) believes() string {
	h.Helper()
	neighbours, err := h.link.NeighList(h.dev, netlink.FAMILY_ALL)
	h.must(err)
	for _, n := range neighbours {
		ip, _ := netip.AddrFromSlice(n.IP)
		if known := len(n.HardwareAddr) == 6; known && slices.Contains(gateways, ip.Unmap()) &&
			ether.MAC(n.HardwareAddr) != gateway1 {
			return fmt.Sprintf("%v is at %v", ip, n.HardwareAddr)
		}
	}
	for far, want := range map[netip.Addr]netip.Addr{far4: gateway4, far6: gatewayLL} {
		routes, err := h.link.RouteGet(far.AsSlice())
		if err != nil && !errors.Is(err, unix.ENETUNREACH) {
			h.Fatal(err)
		}
		if len(routes) != 1 || !routes[0].Gw.Equal(want.AsSlice()) {
			return fmt.Sprintf("%v is reached by %v", far, routes)
		}
	}
	routes, err := h.link.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
	h.must(err)
	if len(routes) != 1 {
		return fmt.Sprintf("default routes: %v", routes)
	}
	return ""
}

// The forms are such that a Linux host takes them: else no test with them could
// fail.
func TestALinuxHostTakesClaims(t *testing.T) {
	h := newLinuxHost(t)
	f, taken := newForms(2), map[string]int{}
	for range 4000 {
		c := f.next()
		for _, frame := range c.frames {
			h.send(frame)
		}
		h.flush()
		if h.believes() != "" {
			taken[c.form]++
			h.reset()
		}
	}
	for _, form := range []string{
		"arp", "arp 8100:0", "arp 88a8:0", "ns", "na", "na hop-by-hop", "na 8100:0", "na destination", "ra", "redirect", "redirect4",
	} {
		if taken[form] == 0 {
			t.Errorf("no claim of form %q was taken; those were: %v", form, slices.Sorted(maps.Keys(taken)))
		}
	}
}

func TestALinuxHostBehindAPortKeepsItsGateway(t *testing.T) {
	h := newLinuxHost(t)
	g := guarded(newGatewayOf(t, newSoftswitch(t), withGateway))
	f := newForms(4)
	const batch = 500
	var sent []string // forms of what reached the host since it was looked at
	check := func() {
		h.flush()
		if what := h.believes(); what != "" {
			h.Fatalf("%s, by one of %q", what, sent)
		}
		h.teach()
		sent = sent[:0]
	}
	reached, n := 0, claimCount(t)
	for i := 0; i < n; {
		c := f.next()
		for _, frame := range c.frames {
			i++
			for _, out := range g.send(access1, frame)[access2] {
				h.send(out)
				reached++
				if sent = append(sent, c.form); len(sent) == batch {
					check()
				}
			}
		}
	}
	check()
	t.Logf("%d frames, of which %d reached the host", n, reached)
}
