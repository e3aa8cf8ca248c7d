package front

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/wire"
	"github.com/p4evpn/p4evpn/internal/netnstest"
)

// cable is one between two network namespaces: the speaker's end is fe80::1 and
// 2001:db8::1, the other one fe80::2.
type cable struct {
	ours, theirs func(func() error) error // as Config.Namespace
	index        int                      // of their end
}

func newCable(t *testing.T) cable {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIP: not root: cannot make network namespaces")
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a, ha := netnstest.Namespace(t)
	b, hb := netnstest.Namespace(t)
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "up0"}, PeerName: "up0", PeerNamespace: netlink.NsFd(int(b))}
	must(ha.LinkAdd(veth))
	var c cable
	for _, end := range []struct {
		h         *netlink.Handle
		addresses []string
	}{{ha, []string{"fe80::1/64", "2001:db8::1/64", "192.0.2.1/24"}}, {hb, []string{"fe80::2/64", "192.0.2.2/24"}}} {
		link, err := end.h.LinkByName("up0")
		must(err)
		for _, text := range end.addresses {
			address, err := netlink.ParseAddr(text)
			must(err)
			if address.IP.To4() == nil {
				address.Flags = syscall.IFA_F_NODAD
			}
			must(end.h.AddrAdd(link, address))
		}
		must(end.h.LinkSetUp(link))
		c.index = link.Attrs().Index
	}
	in := func(ns netns.NsHandle) func(func() error) error {
		return InNamespace(fmt.Sprintf("/proc/self/fd/%d", int(ns)))
	}
	c.ours, c.theirs = in(a), in(b)
	return c
}

// dial connects from their end, signed with a password if there is one.
func (c *cable) dial(t *testing.T, to netip.AddrPort, password string) *peer {
	t.Helper()
	d := net.Dialer{Timeout: patience, Control: func(_, _ string, raw syscall.RawConn) error {
		return control(raw, func(fd int) error { return sign(fd, to.Addr(), password) })
	}}
	var conn net.Conn
	for {
		err := c.theirs(func() (err error) {
			conn, err = d.DialContext(t.Context(), "tcp", to.String())
			return err
		})
		if err == nil {
			return newPeer(t, conn)
		}
		if !isRefused(err) {
			t.Fatal(err)
		}
	}
}

func TestSessionsAreHeldInTheNamespaceGiven(t *testing.T) {
	c := newCable(t)
	s, err := New(Config{Namespace: c.ours, Logger: testLogger(t), BGP: bgp.Config{
		AS: 65000, RouterID: ours,
		Neighbors: []bgp.Neighbor{{Address: netip.MustParseAddr("192.0.2.2"), AS: 65002, Password: "x"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	v := follow(t, s) // which dials too, and is refused
	c.dial(t, netip.MustParseAddrPort("192.0.2.1:179"), "x").establish(hello(65002, lowID))
	v.awaitLast(netip.MustParseAddr("192.0.2.2"), "peer up")
}

// RFC 2545 section 3, RFC 2385 and RFC 5082 with addresses of a link.
func TestANeighbourOnALinkLocalAddressHasASignedSessionAndOurAddressesAsNextHop(t *testing.T) {
	c := newCable(t)
	neighbor := netip.MustParseAddr("fe80::2%up0")
	s, err := New(Config{Namespace: c.ours, Logger: testLogger(t), BGP: bgp.Config{
		AS: 65000, RouterID: ours, Neighbors: []bgp.Neighbor{{
			Address: neighbor, AS: 65002, Password: "secret", Families: []bgp.Family{bgp.EVPN, bgp.IPv6Unicast},
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AdvertiseUnicast([]netip.Prefix{netip.MustParsePrefix("2001:db8:2::2/128")}); err != nil {
		t.Fatal(err)
	}
	v := follow(t, s)
	to := netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone(fmt.Sprint(c.index)), 179)
	p := c.dial(t, to, "secret").establish(hello(65002, lowID, func(o *wire.Open) {
		o.Families = append(o.Families, wire.IPv6Unicast)
	}))
	v.awaitLast(neighbor, "peer up")
	hops := append(netip.MustParseAddr("2001:db8::1").AsSlice(), netip.MustParseAddr("fe80::1").AsSlice()...)
	if got, want := mpReach(p.updates()), reach(2, 1, hops, nil); !bytes.HasPrefix(got, want) {
		t.Errorf("MP_REACH_NLRI % x, want it to begin with % x", got, want)
	}
}

// The speaker connects by itself too.
func TestANeighbourOnALinkLocalAddressIsConnectedTo(t *testing.T) {
	c := newCable(t)
	neighbor := netip.MustParseAddr("fe80::2%up0")
	var ln net.Listener
	near := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return control(raw, func(fd int) error { return setHops(fd, neighbor, hopLimits{send: maxHops}) })
	}}
	err := c.theirs(func() (err error) {
		ln, err = near.Listen(t.Context(), "tcp6", "[::]:179")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	s, err := New(Config{Namespace: c.ours, Logger: testLogger(t), BGP: bgp.Config{
		AS: 65000, RouterID: ours, ListenPort: -1, Neighbors: []bgp.Neighbor{{Address: neighbor, AS: 65002, TTLSecurity: 1}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	v := follow(t, s)
	_ = ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	newPeer(t, conn).establish(hello(65002, lowID))
	v.awaitLast(neighbor, "peer up")
}
