package underlay

import (
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// MTU is the largest IP packet that fits every uplink, in bytes; 0 if none of them
// can be asked.
func (c Config) MTU() int {
	ns := netns.None() // the process's own
	if c.Namespace != nil {
		ns = *c.Namespace
	}
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return 0
	}
	defer h.Close()
	least := 0
	for _, name := range c.Uplinks {
		link, err := h.LinkByName(name)
		if err != nil {
			continue
		}
		if mtu := link.Attrs().MTU; least == 0 || mtu < least {
			least = mtu
		}
	}
	return least
}
