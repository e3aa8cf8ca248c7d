package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
	"github.com/p4evpn/p4evpn/ether"
)

// protocol marks our routes in the kernel.
const protocol = 201

// entry names something in the kernel; what it says is its value in a map.
// Zero fields are not its key's.
type entry struct {
	kind   kind
	vni    uint32
	mac    ether.MAC
	vtep   netip.Addr
	prefix netip.Prefix
}

type kind uint8

const (
	flood     kind = iota + 1 // vni, vtep
	station                   // vni, mac → vtep
	neighbour                 // vtep → router MAC
	prefix                    // prefix → vtep
)

type value struct {
	vtep netip.Addr
	mac  ether.MAC
}

// kernel is what the kernel shall hold by the routes, and what it does hold.
type kernel struct {
	own    netip.Addr
	l3     uint32
	vnis   map[uint32]device
	routes map[string]map[entry]value // by NLRI
	held   map[entry]value
	swept  bool // what no route says may go
}

type device struct{ vxlan, bridge int }

func openKernel(c testbed.GoBGPConfig) (*kernel, error) {
	k := &kernel{own: c.VTEP, l3: c.L3.VNI, vnis: map[uint32]device{}, routes: map[string]map[entry]value{},
		held: map[entry]value{}}
	for _, m := range c.MACs {
		if err := k.open(m.VNI); err != nil {
			return nil, err
		}
	}
	if k.l3 == 0 {
		return k, nil
	}
	if err := k.open(k.l3); err != nil {
		return nil, err
	}
	return k, k.readL3()
}

// open takes over what is in the devices of a VNI.
func (k *kernel) open(vni uint32) error {
	vx, err := netlink.LinkByName(fmt.Sprintf("vx%d", vni))
	if err != nil {
		return fmt.Errorf("VXLAN device of VNI %d: %w", vni, err)
	}
	br, err := netlink.LinkByName(fmt.Sprintf("br%d", vni))
	if err != nil {
		return fmt.Errorf("bridge of VNI %d: %w", vni, err)
	}
	k.vnis[vni] = device{vx.Attrs().Index, br.Attrs().Index}
	list, err := netlink.NeighList(vx.Attrs().Index, unix.AF_BRIDGE)
	if err != nil {
		return fmt.Errorf("FDB of VNI %d: %w", vni, err)
	}
	for _, n := range list {
		vtep, ok := netip.AddrFromSlice(n.IP)
		mac, err := ether.FromBytes(n.HardwareAddr)
		if !ok || err != nil {
			continue // the bridge's half of an entry
		}
		if mac.IsZero() {
			k.held[entry{kind: flood, vni: vni, vtep: vtep.Unmap()}] = value{}
		} else {
			k.held[entry{kind: station, vni: vni, mac: mac}] = value{vtep: vtep.Unmap()}
		}
	}
	return nil
}

// readL3 takes over our routes and their neighbours.
func (k *kernel) readL3() error {
	br := k.vnis[k.l3].bridge
	neighbours, err := netlink.NeighList(br, unix.AF_INET)
	if err != nil {
		return fmt.Errorf("neighbours of VNI %d: %w", k.l3, err)
	}
	for _, n := range neighbours {
		vtep, ok := netip.AddrFromSlice(n.IP)
		if mac, err := ether.FromBytes(n.HardwareAddr); ok && err == nil && n.State&netlink.NUD_PERMANENT != 0 {
			k.held[entry{kind: neighbour, vtep: vtep.Unmap()}] = value{mac: mac}
		}
	}
	routes, err := netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Protocol: protocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("routes: %w", err)
	}
	for _, r := range routes {
		ones, _ := r.Dst.Mask.Size()
		to, _ := netip.AddrFromSlice(r.Dst.IP)
		via, ok := netip.AddrFromSlice(r.Gw)
		if ok {
			k.held[entry{kind: prefix, prefix: netip.PrefixFrom(to.Unmap(), ones)}] = value{vtep: via.Unmap()}
		}
	}
	return nil
}

// learn takes a best path or its end.
func (k *kernel) learn(p *apiutil.Path) {
	n, ok := p.Nlri.(*bgp.EVPNNLRI)
	if !ok {
		return
	}
	delete(k.routes, n.String())
	if p.Withdrawal {
		return
	}
	wanted := map[entry]value{}
	var nextHop netip.Addr
	var router ether.MAC
	var vnis []uint32
	for _, a := range p.Attrs {
		switch a := a.(type) {
		case *bgp.PathAttributeMpReachNLRI:
			nextHop = a.Nexthop.Unmap()
		case *bgp.PathAttributeExtendedCommunities:
			for _, c := range a.Value {
				switch c := c.(type) {
				case *bgp.TwoOctetAsSpecificExtended:
					vnis = append(vnis, c.LocalAdmin)
				case *bgp.RouterMacExtended:
					router, _ = ether.FromBytes(c.Mac)
				}
			}
		}
	}
	if !nextHop.IsValid() || nextHop == k.own {
		return
	}
	for _, vni := range vnis {
		if _, ours := k.vnis[vni]; ours {
			k.want(wanted, n, vni, nextHop, router)
		}
	}
	k.routes[n.String()] = wanted
}

// want adds what a route means in one of its VNIs.
func (k *kernel) want(wanted map[entry]value, n *bgp.EVPNNLRI, vni uint32, vtep netip.Addr, router ether.MAC) {
	var p netip.Prefix
	switch r := n.RouteTypeData.(type) {
	case *bgp.EVPNMulticastEthernetTagRoute:
		wanted[entry{kind: flood, vni: vni, vtep: vtep}] = value{}
		return
	case *bgp.EVPNMacIPAdvertisementRoute:
		mac, err := ether.FromBytes(r.MacAddress)
		if err != nil {
			return
		}
		if vni != k.l3 {
			wanted[entry{kind: station, vni: vni, mac: mac}] = value{vtep: vtep}
			return
		}
		if !r.IPAddress.Is4() {
			return
		}
		p = netip.PrefixFrom(r.IPAddress, 32)
	case *bgp.EVPNIPPrefixRoute:
		if !r.IPPrefix.Is4() {
			return
		}
		p = netip.PrefixFrom(r.IPPrefix, int(r.IPPrefixLength))
	}
	if vni != k.l3 || !p.IsValid() || router.IsZero() {
		return
	}
	wanted[entry{kind: station, vni: vni, mac: router}] = value{vtep: vtep}
	wanted[entry{kind: neighbour, vtep: vtep}] = value{mac: router}
	wanted[entry{kind: prefix, prefix: p}] = value{vtep: vtep}
}

// write makes the kernel hold what the routes say.
func (k *kernel) write() {
	wanted := map[entry]value{}
	for _, entries := range k.routes {
		for e, v := range entries {
			wanted[e] = v
		}
	}
	for _, kind := range []kind{flood, station, neighbour, prefix} { // a route's next hop first
		for e, v := range wanted {
			if old, ok := k.held[e]; e.kind != kind || ok && old == v {
				continue
			}
			k.do("set", e, v, k.set(e, v))
			k.held[e] = v
		}
	}
	if !k.swept {
		return
	}
	for _, kind := range []kind{prefix, neighbour, station, flood} {
		for e, v := range k.held {
			if _, ok := wanted[e]; e.kind != kind || ok {
				continue
			}
			k.do("remove", e, v, k.remove(e, v))
			delete(k.held, e)
		}
	}
}

// do notes a change and what came of it.
func (k *kernel) do(what string, e entry, v value, err error) {
	slog.Info(what, "kind", e.kind, "vni", e.vni, "mac", e.mac, "vtep", e.vtep, "prefix", e.prefix, "to", v.vtep,
		"router", v.mac)
	if err != nil {
		slog.Error(what, "kind", e.kind, "err", err)
	}
}

func (k *kernel) set(e entry, v value) error {
	switch e.kind {
	case flood:
		return netlink.NeighAppend(k.fdb(e.vni, ether.MAC{}, e.vtep, netlink.NTF_SELF))
	case station:
		return netlink.NeighSet(k.fdb(e.vni, e.mac, v.vtep, netlink.NTF_SELF|netlink.NTF_MASTER))
	case neighbour:
		return netlink.NeighSet(k.router(e.vtep, v.mac))
	}
	return netlink.RouteReplace(k.route(e.prefix, v.vtep))
}

func (k *kernel) remove(e entry, v value) error {
	switch e.kind {
	case flood:
		return netlink.NeighDel(k.fdb(e.vni, ether.MAC{}, e.vtep, netlink.NTF_SELF))
	case station:
		return errors.Join(
			netlink.NeighDel(k.fdb(e.vni, e.mac, v.vtep, netlink.NTF_SELF)),
			netlink.NeighDel(k.fdb(e.vni, e.mac, netip.Addr{}, netlink.NTF_MASTER)))
	case neighbour:
		return netlink.NeighDel(k.router(e.vtep, v.mac))
	}
	return netlink.RouteDel(k.route(e.prefix, v.vtep))
}

// fdb is an entry of a VXLAN device (self) and of the bridge that it is in
// (master), which takes a permanent one for its own address.
func (k *kernel) fdb(vni uint32, mac ether.MAC, vtep netip.Addr, flags int) *netlink.Neigh {
	return &netlink.Neigh{
		LinkIndex: k.vnis[vni].vxlan, Family: unix.AF_BRIDGE, State: netlink.NUD_NOARP | netlink.NUD_REACHABLE,
		Flags: flags, IP: vtep.AsSlice(), HardwareAddr: net.HardwareAddr(mac[:]),
	}
}

func (k *kernel) router(vtep netip.Addr, mac ether.MAC) *netlink.Neigh {
	return &netlink.Neigh{
		LinkIndex: k.vnis[k.l3].bridge, Family: unix.AF_INET, State: netlink.NUD_PERMANENT,
		IP: vtep.AsSlice(), HardwareAddr: net.HardwareAddr(mac[:]),
	}
}

func (k *kernel) route(p netip.Prefix, vtep netip.Addr) *netlink.Route {
	return &netlink.Route{
		LinkIndex: k.vnis[k.l3].bridge, Protocol: protocol, Flags: int(netlink.FLAG_ONLINK), Gw: vtep.AsSlice(),
		Dst: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)},
	}
}
