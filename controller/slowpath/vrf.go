package slowpath

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/p4evpn/p4evpn/controller/internal/rtnetlink"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// vrf is an open network namespace. Only the loop uses it, but for news and lost.
type vrf struct {
	s       *Slowpath
	id      uint16
	ns      netns.NsHandle
	conn    *rtnetlink.Conn
	news    rtnetlink.News // since the loop looked; the Slowpath's mutex guards it
	lost    atomic.Bool    // conn is: nothing is heard any more
	unwatch context.CancelFunc
	watcher sync.WaitGroup
	taps    map[uint16]*tap // by bridge; 0 = the VRF tap
	links   map[uint16]int  // interface index of each tap, once it is all in place
}

// openVRF makes or adopts the namespace and begins to watch it.
func (s *Slowpath) openVRF(id uint16, name string) (_ *vrf, err error) {
	v := &vrf{s: s, id: id, ns: netns.None(), taps: map[uint16]*tap{}, links: map[uint16]int{}}
	defer func() {
		if err != nil {
			v.close()
		}
	}()
	if v.ns, err = openNamespace(s.cfg.Prefix + name); err != nil {
		return nil, err
	}
	if err := inNamespace(v.ns, namespaceSettings); err != nil {
		return nil, err
	}
	if err := v.connect(); err != nil {
		return nil, err
	}
	return v, nil
}

// connect connects to the namespace's kernel, in the place of a connection that was
// lost, and begins to watch it.
func (v *vrf) connect() error {
	conn, err := rtnetlink.Open(v.ns,
		unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return err
	}
	v.disconnect()
	ctx, cancel := context.WithCancel(context.Background())
	v.conn, v.unwatch = conn, cancel
	v.lost.Store(false)
	v.watcher.Go(func() { v.watch(ctx) })
	return nil
}

func (v *vrf) disconnect() {
	if v.conn != nil {
		v.unwatch()
		v.watcher.Wait()
		v.conn.Close()
	}
}

// close ends all that runs for the namespace, which stays with all it has.
func (v *vrf) close() {
	for bridge := range v.taps {
		v.closeTap(bridge)
	}
	v.disconnect()
	if v.ns.IsOpen() {
		_ = v.ns.Close()
	}
}

func (v *vrf) closeTap(bridge uint16) {
	t := v.taps[bridge]
	if t == nil {
		return
	}
	v.s.setTap(t.place, nil)
	t.stop()
	delete(v.taps, bridge)
	delete(v.links, bridge)
}

// now is what the namespace holds, as read at the begin of a convergence.
type now struct {
	links     map[string]netlink.Link
	addresses map[int][]netip.Prefix // by interface index
}

func (v *vrf) read() (now, error) {
	n := now{map[string]netlink.Link{}, map[int][]netip.Prefix{}}
	links, err := v.conn.Handle.LinkList()
	if err != nil {
		return n, fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		n.links[l.Attrs().Name] = l
	}
	addresses, err := v.conn.Handle.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return n, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addresses {
		n.addresses[a.LinkIndex] = append(n.addresses[a.LinkIndex], rtnetlink.FromIPNet(a.IPNet))
	}
	return n, nil
}

// converge makes the namespace what the plan says, doing nothing where it is
// that already. Errors of SVIs are by bridge; they do not stop other SVIs.
func (v *vrf) converge(p plan) (errs map[uint16]error, err error) {
	n, err := v.read()
	if err != nil {
		return nil, err
	}
	errs = map[uint16]error{}
	err = cmp.Or(v.removeUnwanted(n, p), v.loopback(n, p.Loopback), v.uplink(n, p))
	for _, s := range p.SVIs {
		if e := v.svi(n, s); e != nil {
			errs[s.Bridge] = e
		}
	}
	return errs, err
}

// removeUnwanted removes the taps of SVIs that are not in the plan; those
// of refused ones stay as they are.
func (v *vrf) removeUnwanted(n now, p plan) error {
	for name, link := range n.links {
		bridge, ours := bridgeOfTap(link)
		wanted := bridge == 0 || slices.ContainsFunc(p.SVIs, func(s SVI) bool { return s.Bridge == bridge })
		_, refused := p.refused[bridge]
		if !ours || wanted || refused {
			continue
		}
		v.closeTap(bridge)
		if err := v.conn.Handle.LinkDel(link); err != nil && !errors.As(err, &netlink.LinkNotFoundError{}) {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	return nil
}

// loopback gives the VRF its loopback address. On lo a whole subnet would be
// local, so that only the address goes there.
func (v *vrf) loopback(n now, wanted netip.Prefix) error {
	lo := n.links["lo"]
	if lo == nil {
		return errors.New("the namespace has no lo")
	}
	if lo.Attrs().Flags&net.FlagUp == 0 {
		if err := v.conn.Handle.LinkSetUp(lo); err != nil {
			return fmt.Errorf("set lo up: %w", err)
		}
	}
	addresses := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")}
	if wanted.IsValid() {
		addresses = append(addresses, netip.PrefixFrom(wanted.Addr(), wanted.Addr().BitLen()))
	}
	return v.addresses(lo, n.addresses[lo.Attrs().Index], addresses)
}

// uplink is the VRF tap, by which everything leaves that is in no subnet of an
// SVI: the default routes lead to a next hop that needs no resolving.
func (v *vrf) uplink(n now, p plan) error {
	link, err := v.tap(n, 0, ether.MAC{})
	if err != nil {
		return err
	}
	index := link.Attrs().Index
	if err := v.addresses(link, n.addresses[index], nil); err != nil {
		return err
	}
	mac, err := ether.FromBytes(link.Attrs().HardwareAddr)
	if err != nil {
		return err
	}
	v.taps[0].mac.Store(&mac)
	for _, hop := range []string{"169.254.0.1", "fe80::1"} {
		hop := netip.MustParseAddr(hop)
		if err := v.conn.Handle.NeighSet(&netlink.Neigh{
			LinkIndex: index, IP: hop.AsSlice(), HardwareAddr: p.RouterMAC[:], State: unix.NUD_PERMANENT,
		}); err != nil {
			return fmt.Errorf("set next hop %s: %w", hop, err)
		}
		route := netlink.Route{LinkIndex: index, Gw: hop.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
			Protocol: unix.RTPROT_STATIC}
		if source := p.Loopback.Addr(); source.IsValid() && source.Is4() == hop.Is4() {
			route.Src = source.AsSlice()
		}
		if err := v.conn.Handle.RouteReplace(&route); err != nil {
			return fmt.Errorf("set default route by %s: %w", hop, err)
		}
	}
	v.placed(0, index)
	return nil
}

// svi brings one SVI's tap into place.
func (v *vrf) svi(n now, s SVI) error {
	link, err := v.tap(n, s.Bridge, s.MAC)
	if err != nil {
		return err
	}
	// Without duplicate-address detection: other gateways have them too.
	wanted := append([]netip.Prefix{netip.PrefixFrom(packet.LinkLocal(s.MAC), 64)}, s.Addresses...)
	if err := v.addresses(link, n.addresses[link.Attrs().Index], wanted); err != nil {
		return err
	}
	v.placed(s.Bridge, link.Attrs().Index)
	return v.advertise(s)
}

// placed opens a tap for Deliver once all is in place.
func (v *vrf) placed(bridge uint16, index int) {
	v.links[bridge] = index
	v.s.setTap(v.taps[bridge].place, v.taps[bridge])
}

// tap opens a tap and sets what differs; a zero MAC is any.
func (v *vrf) tap(n now, bridge uint16, mac ether.MAC) (netlink.Link, error) {
	name := tapName(bridge)
	if t := v.taps[bridge]; t != nil && (t.dead.Load() || n.links[name] == nil) {
		v.closeTap(bridge) // somebody removed the interface
	}
	if v.taps[bridge] == nil {
		if err := v.openTap(bridge, name); err != nil {
			return nil, err
		}
		delete(n.links, name) // it may be new
	}
	link := n.links[name]
	if link == nil {
		var err error
		if link, err = v.conn.Handle.LinkByName(name); err != nil {
			return nil, fmt.Errorf("find %s: %w", name, err)
		}
	}
	a := link.Attrs()
	if !mac.IsZero() && a.HardwareAddr.String() != mac.String() {
		if err := v.conn.Handle.LinkSetHardwareAddr(link, mac[:]); err != nil {
			return nil, fmt.Errorf("set MAC address %s of %s: %w", mac, name, err)
		}
	}
	if mtu := int(v.s.cfg.MTU); a.MTU != mtu {
		if err := v.conn.Handle.LinkSetMTU(link, mtu); err != nil {
			return nil, fmt.Errorf("set MTU %d of %s: %w", mtu, name, err)
		}
	}
	if a.Flags&net.FlagUp == 0 {
		if err := v.conn.Handle.LinkSetUp(link); err != nil {
			return nil, fmt.Errorf("set %s up: %w", name, err)
		}
	}
	return link, nil
}

func (v *vrf) openTap(bridge uint16, name string) error {
	file, err := openTap(v.ns, name)
	if err != nil {
		return err
	}
	t, err := v.s.startTap(place{v.id, bridge}, file, func(t *tap, err error) {
		v.s.log.Warn("slowpath: a tap went away, making it again", "vrf", v.id, "tap", name, "err", err)
		t.dead.Store(true)
		v.note(func(n *rtnetlink.News) { n.Links = true })
	})
	if err != nil {
		_ = file.Close()
		return fmt.Errorf("read tap %s: %w", name, err)
	}
	v.taps[bridge] = t
	return nil
}

// addresses adds and removes until an interface has just the wanted ones. With
// the last v4 address the kernel would drop all neighbours: adding comes first.
func (v *vrf) addresses(link netlink.Link, have, wanted []netip.Prefix) error {
	for _, p := range wanted {
		if slices.Contains(have, p) {
			continue
		}
		a := &netlink.Addr{IPNet: rtnetlink.ToIPNet(p)}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := v.conn.Handle.AddrReplace(link, a); err != nil {
			return fmt.Errorf("add address %s to %s: %w", p, link.Attrs().Name, err)
		}
		if err := v.settle(link, p.Addr()); err != nil {
			return err
		}
	}
	for _, p := range have {
		if slices.Contains(wanted, p) {
			continue
		}
		err := v.conn.Handle.AddrDel(link, &netlink.Addr{IPNet: rtnetlink.ToIPNet(p)})
		if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("remove address %s of %s: %w", p, link.Attrs().Name, err)
		}
	}
	return nil
}

// settle waits, a moment, until the kernel takes packets to a new v6 address as
// its own: a work queue of its makes that so.
func (v *vrf) settle(link netlink.Link, a netip.Addr) error {
	if a.Is4() {
		return nil
	}
	for range 100 {
		r, err := v.conn.Handle.RouteGetWithOptions(a.AsSlice(), &netlink.RouteGetOptions{Oif: link.Attrs().Name})
		if err == nil && len(r) > 0 && r[0].Type == unix.RTN_LOCAL {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("the kernel does not use address %s of %s yet", a, link.Attrs().Name)
}

// advertise starts, changes or ends the router advertisements of an SVI.
func (v *vrf) advertise(s SVI) error {
	t := v.taps[s.Bridge]
	a := routerAdvert{far: s.AdvertiseFar}
	a.MAC, a.MTU, a.Lifetime = s.MAC, v.s.cfg.MTU, 3*v.s.cfg.AdvertiseInterval
	for _, p := range s.Addresses {
		if p.Addr().Is6() && !p.Addr().IsLinkLocalUnicast() && p.Bits() < 128 && !slices.Contains(a.Prefixes, p.Masked()) {
			a.Prefixes = append(a.Prefixes, p.Masked())
		}
	}
	switch wanted := s.Advertise && len(a.Prefixes) > 0; {
	case !wanted:
		t.advertise(nil)
	case t.advertiser == nil || !t.advertiser.advert.equal(a):
		known := func() []Asker { return v.s.askersOf(s.Bridge) }
		started, err := startAdvertiser(a, v.s.cfg.AdvertiseInterval, known, func(frame []byte, localOnly bool) {
			v.s.inject(Frame{VRF: v.id, Bridge: s.Bridge, Data: frame, LocalOnly: localOnly})
		})
		if err != nil {
			return err
		}
		t.advertise(started)
	}
	return nil
}
