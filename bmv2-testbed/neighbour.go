package testbed

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ForgetNeighbour deletes a device's neighbour entry for an address, as
// `ip neigh del` does. To flush a device is no way to do it: traffic makes the
// entries anew meanwhile, and ip gives up after ten rounds.
func (n *Namespace) ForgetNeighbour(dev string, address netip.Addr) error {
	return n.change("delete the neighbour entry of "+address.String()+" at", dev, func(l netlink.Link) error {
		return n.forget(netlink.Neigh{LinkIndex: l.Attrs().Index, IP: address.AsSlice()})
	})
}

// ForgetNeighbours deletes each neighbour entry of a device, as of a host that
// just came up.
func (n *Namespace) ForgetNeighbours(dev string) error {
	return n.change("delete the neighbour entries at", dev, func(l netlink.Link) error {
		list, err := n.link.NeighList(l.Attrs().Index, netlink.FAMILY_ALL)
		if err != nil {
			return err
		}
		for _, entry := range list {
			if entry.State&(netlink.NUD_PERMANENT|netlink.NUD_NOARP) != 0 || entry.Family == unix.AF_BRIDGE {
				continue // not learned
			}
			if err := n.forget(netlink.Neigh{LinkIndex: entry.LinkIndex, IP: entry.IP}); err != nil {
				return fmt.Errorf("%v: %w", entry.IP, err)
			}
		}
		return nil
	})
}

// forget deletes one entry, if it is there.
func (n *Namespace) forget(entry netlink.Neigh) error {
	if err := n.link.NeighDel(&entry); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}
