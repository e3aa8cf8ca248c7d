package claim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Quiet switches the kernel's IPv6 and ARP off on a device, which needs
// CAP_NET_ADMIN and a /proc/sys that can be written. A claim holds without; this
// is what is left if somebody removes it.
func Quiet(d Device) error {
	return errors.Join(setNoARP(d, true), setIPv6(d, "1"))
}

// unquiet gives the device what a new one of its kind has.
func unquiet(d Device) error {
	value, err := os.ReadFile(ipv6Setting("default"))
	if errors.Is(err, fs.ErrNotExist) {
		return setNoARP(d, false)
	}
	return errors.Join(err, setNoARP(d, false), setIPv6(d, strings.TrimSpace(string(value))))
}

// setNoARP sets the flag IFF_NOARP.
func setNoARP(d Device, off bool) error {
	l, err := netlink.LinkByIndex(d.Index)
	if err != nil {
		return fmt.Errorf("device %s: %w", d.Name, err)
	}
	if (l.Attrs().RawFlags&unix.IFF_NOARP != 0) == off {
		return nil
	}
	set := netlink.LinkSetARPOn
	if off {
		set = netlink.LinkSetARPOff
	}
	if err := set(l); err != nil {
		return fmt.Errorf("change ARP of device %s: %w", d.Name, err)
	}
	return nil
}

func ipv6Setting(device string) string { return "/proc/sys/net/ipv6/conf/" + device + "/disable_ipv6" }

// setIPv6 does nothing where the kernel has no IPv6.
func setIPv6(d Device, disabled string) error {
	now, err := os.ReadFile(ipv6Setting(d.Name))
	if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(now)) == disabled {
		return nil
	}
	if err == nil {
		err = os.WriteFile(ipv6Setting(d.Name), []byte(disabled), 0)
	}
	if err != nil {
		return fmt.Errorf("change IPv6 of device %s: %w", d.Name, err)
	}
	return nil
}
