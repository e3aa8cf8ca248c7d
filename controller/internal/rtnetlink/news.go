package rtnetlink

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/ether"
)

// NeighbourKey names an entry of the kernel's neighbour table: an address on a link.
type NeighbourKey struct {
	Link int // interface index
	IP   netip.Addr
}

// Neighbour is what the kernel knows of an address on a link, by ARP, ND or an
// operator. A zero Neighbour is no entry.
type Neighbour struct {
	MAC   ether.MAC // zero while there is none
	State int       // NUD_ bits
	Flags int       // NTF_ bits
}

// News is what the kernel has announced since it was looked at last. The zero News
// is none.
type News struct {
	Neighbours map[NeighbourKey]Neighbour // the newest state of each
	Routes     map[netip.Prefix]struct{}  // destinations of which a route, of any table, changed
	Links      bool                       // a link or one of its addresses changed
	// All is that anything may have changed, the above included. It comes after an
	// overrun, with a rule or a next-hop object, with what cannot be read, and in the
	// place of so many changes that one dump is cheaper.
	All bool
}

// maxNews bounds how many single changes are kept.
const maxNews = 16384

// Add adds what Watch has heard.
func (n *News) Add(messages []syscall.NetlinkMessage) {
	for _, m := range messages {
		if n.All {
			break
		}
		if err := n.add(m.Header.Type, m.Data); err != nil {
			n.All = true
		}
	}
	if n.All || len(n.Neighbours)+len(n.Routes) > maxNews {
		*n = News{All: true}
	}
}

// add adds one message; an error is why all may have changed.
func (n *News) add(kind uint16, data []byte) error {
	switch kind {
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		// Entries of other families, such as a bridge's FDB, come besides.
		if len(data) < unix.SizeofNdMsg || (data[0] != unix.AF_INET && data[0] != unix.AF_INET6) {
			return nil
		}
		entry, err := careful(netlink.NeighDeserialize, data)
		if err != nil {
			return err
		}
		key, neighbour := fromNeigh(entry)
		if kind == unix.RTM_DELNEIGH {
			neighbour = Neighbour{}
		}
		if n.Neighbours == nil {
			n.Neighbours = map[NeighbourKey]Neighbour{}
		}
		if key.IP.IsValid() {
			n.Neighbours[key] = neighbour
		}
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		p, err := destination(data)
		if err != nil {
			return err
		}
		if n.Routes == nil {
			n.Routes = map[netip.Prefix]struct{}{}
		}
		n.Routes[p] = struct{}{}
	case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_NEWADDR, unix.RTM_DELADDR:
		n.Links = true
	default:
		return errors.New("any route may mean something else now")
	}
	return nil
}

func fromNeigh(n *netlink.Neigh) (NeighbourKey, Neighbour) {
	ip, _ := netip.AddrFromSlice(n.IP)
	mac, _ := ether.FromBytes(n.HardwareAddr) // zero when absent
	return NeighbourKey{n.LinkIndex, ip.Unmap()}, Neighbour{mac, n.State, n.Flags}
}

// destination reads the destination of a route (struct rtmsg). netlink exports no
// parser of a route that was announced.
func destination(data []byte) (netip.Prefix, error) {
	if len(data) < unix.SizeofRtMsg {
		return netip.Prefix{}, errors.New("the message of a route is too short")
	}
	attributes, err := careful(nl.ParseRouteAttr, data[unix.SizeofRtMsg:])
	if err != nil {
		return netip.Prefix{}, err
	}
	ip := netip.IPv4Unspecified()
	if data[0] == unix.AF_INET6 {
		ip = netip.IPv6Unspecified()
	}
	for _, a := range attributes {
		if a.Attr.Type == unix.RTA_DST {
			ip, _ = netip.AddrFromSlice(a.Value)
		}
	}
	if !ip.IsValid() {
		return netip.Prefix{}, errors.New("the destination of a route is no address")
	}
	return ip.Prefix(int(data[1]))
}

// careful calls a parser of netlink 1.3.1. They trust attributes to be as long as
// the kernel makes them, and panic at shorter ones.
func careful[T any](parse func([]byte) (T, error), data []byte) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a netlink message that netlink cannot read: %v", p)
		}
	}()
	return parse(data)
}
