package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace of a lab. It is a named one, so that
// `ip netns exec` can look into a running demo.
type Namespace struct {
	Name string // as `ip netns` knows it

	lab    *Lab
	handle netns.NsHandle
	link   *netlink.Handle
}

// Namespace makes a network namespace with its loopback up and without IPv6
// addresses of the kernel's own making, whose chatter (ND, MLD) would disturb
// what the checks count.
func (l *Lab) Namespace(short string) (*Namespace, error) {
	n := &Namespace{Name: l.prefix + short, lab: l}
	if out, err := exec.Command("ip", "netns", "add", n.Name).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make namespace %s: %w: %s", n.Name, err, strings.TrimSpace(string(out)))
	}
	l.onClose(n.remove)
	var err error
	if n.handle, err = netns.GetFromName(n.Name); err != nil {
		return nil, fmt.Errorf("open namespace %s: %w", n.Name, err)
	}
	if n.link, err = netlink.NewHandleAt(n.handle, unix.NETLINK_ROUTE); err != nil {
		return nil, fmt.Errorf("netlink in namespace %s: %w", n.Name, err)
	}
	for _, key := range []string{"net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.default.disable_ipv6"} {
		if err := n.Sysctl(key, "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return n, n.Up("lo")
}

// remove ends what still runs in the namespace and deletes it.
func (n *Namespace) remove() error {
	killAllIn(n.Name)
	if n.link != nil {
		n.link.Close()
	}
	if n.handle.IsOpen() {
		_ = n.handle.Close()
	}
	return deleteNamespace(n.Name)
}

// Do runs f on a thread that is in the namespace. What f opens (sockets, tap
// devices) stays there; goroutines that f starts are not in it.
func (n *Namespace) Do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err == nil {
			defer func() { _ = home.Close() }()
			err = netns.Set(n.handle)
		}
		if err != nil {
			done <- fmt.Errorf("enter namespace %s: %w", n.Name, err)
			return // still locked: the thread is thrown away
		}
		err = f()
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// Command prepares a command in the namespace.
func (n *Namespace) Command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", n.Name}, args...)...)
}

// commandPatience is how long a command may take that ends by itself.
const commandPatience = 5 * time.Minute

// Output runs a command in the namespace and gives what it printed; the error
// holds it too.
func (n *Namespace) Output(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, commandPatience, fmt.Errorf("it had not ended after %v", commandPatience))
	defer cancel()
	out, err := n.Command(ctx, args...).CombinedOutput()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	text := strings.TrimSpace(string(out))
	if err != nil {
		return text, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, text)
	}
	return text, nil
}

// Sysctl sets a kernel parameter of the namespace, such as net.ipv4.ip_forward.
// A device's name must not hold a dot.
func (n *Namespace) Sysctl(key, value string) error {
	path := filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
	return n.Do(func() error {
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("set %s: %w", key, err)
		}
		return nil
	})
}

// enableIPv6 lets devices have IPv6 addresses: the named ones, and all that are
// made later. They do without duplicate-address detection, which takes a second,
// and without what routers advertise.
func (n *Namespace) enableIPv6(devices ...string) error {
	for _, scope := range append([]string{"all", "default"}, devices...) {
		for key, value := range map[string]string{"accept_dad": "0", "dad_transmits": "0", "accept_ra": "0",
			"disable_ipv6": "0"} {
			if err := n.Sysctl("net.ipv6.conf."+scope+"."+key, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// forwarding makes a router of a namespace, for both versions of IP.
func (n *Namespace) forwarding() error {
	if err := n.enableIPv6(); err != nil {
		return err
	}
	for _, key := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding",
		"net.ipv6.conf.default.forwarding"} {
		if err := n.Sysctl(key, "1"); err != nil {
			return err
		}
	}
	return nil
}

// change applies f to a device by name.
func (n *Namespace) change(what, dev string, f func(netlink.Link) error) error {
	link, err := n.link.LinkByName(dev)
	if err == nil {
		err = f(link)
	}
	if err != nil {
		return fmt.Errorf("%s %s in %s: %w", what, dev, n.Name, err)
	}
	return nil
}

// Up sets a device up.
func (n *Namespace) Up(dev string) error { return n.change("set up", dev, n.link.LinkSetUp) }

// Down sets a device down.
func (n *Namespace) Down(dev string) error { return n.change("set down", dev, n.link.LinkSetDown) }

// SetMAC gives a device its MAC address.
func (n *Namespace) SetMAC(dev string, mac ether.MAC) error {
	return n.change("set the MAC address of", dev, func(l netlink.Link) error {
		return n.link.LinkSetHardwareAddr(l, net.HardwareAddr(mac[:]))
	})
}

// MAC reads a device's MAC address.
func (n *Namespace) MAC(dev string) (mac ether.MAC, err error) {
	err = n.change("read the MAC address of", dev, func(l netlink.Link) error {
		mac, err = ether.FromBytes(l.Attrs().HardwareAddr)
		return err
	})
	return mac, err
}

// AddAddress gives a device an address with its prefix length.
func (n *Namespace) AddAddress(dev string, p netip.Prefix) error {
	return n.change("add "+p.String()+" to", dev, func(l netlink.Link) error {
		return n.link.AddrAdd(l, &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NODAD})
	})
}

// DeleteAddress takes an address from a device.
func (n *Namespace) DeleteAddress(dev string, p netip.Prefix) error {
	return n.change("delete "+p.String()+" from", dev, func(l netlink.Link) error {
		return n.link.AddrDel(l, &netlink.Addr{IPNet: ipNet(p)})
	})
}

// AddRoute adds a route by a next hop.
func (n *Namespace) AddRoute(to netip.Prefix, via netip.Addr) error {
	if err := n.link.RouteAdd(&netlink.Route{Dst: ipNet(to), Gw: via.AsSlice()}); err != nil {
		return fmt.Errorf("add route %s via %s in %s: %w", to, via, n.Name, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// End is one end of a cable: a device in a namespace.
type End struct {
	NS  *Namespace
	Dev string
	// Switch: the device belongs to the switch. The kernel is kept from
	// answering ARP on it, which it would do for any of its addresses and past
	// the pipeline.
	Switch bool
	MTU    int // of the cable, at either end; 0: 1500
}

// Cable joins two devices by a veth pair and sets both up. Offloads are off at
// both ends: a frame read by AF_PACKET would otherwise carry a partial checksum
// or be 64 KB long.
func (l *Lab) Cable(a, b End) error {
	err := a.NS.link.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: a.Dev, TxQLen: 1000, MTU: max(a.MTU, b.MTU)}, PeerName: b.Dev,
		PeerNamespace: netlink.NsFd(b.NS.handle),
	})
	if err != nil {
		return fmt.Errorf("cable %s in %s to %s in %s: %w", a.Dev, a.NS.Name, b.Dev, b.NS.Name, err)
	}
	for _, end := range []End{a, b} {
		if err := end.NS.offloadsOff(end.Dev); err != nil {
			return err
		}
		if end.Switch {
			if err := end.NS.change("switch ARP off on", end.Dev, end.NS.link.LinkSetARPOff); err != nil {
				return err
			}
		}
	}
	return errors.Join(a.NS.Up(a.Dev), b.NS.Up(b.Dev))
}

// offloads, as the kernel names the features. They differ between kernels:
// what a device lacks is passed over.
var offloads = []string{
	"rx-checksum", "rx-gro", "tx-checksum-ip-generic", "tx-checksum-sctp", "tx-generic-segmentation",
	"tx-tcp-segmentation", "tx-tcp6-segmentation", "tx-tcp-ecn-segmentation", "tx-tcp-mangleid-segmentation",
	"tx-udp-segmentation", "tx-scatter-gather", "tx-scatter-gather-fraglist",
}

func (n *Namespace) offloadsOff(dev string) error {
	return n.Do(func() error {
		e, err := ethtool.NewEthtool()
		if err != nil {
			return fmt.Errorf("ethtool: %w", err)
		}
		defer e.Close()
		features, err := e.Features(dev)
		if err != nil {
			return fmt.Errorf("read offloads of %s: %w", dev, err)
		}
		off := map[string]bool{}
		for _, name := range offloads {
			if features[name] {
				off[name] = false
			}
		}
		if err := e.Change(dev, off); err != nil {
			return fmt.Errorf("switch offloads of %s off: %w", dev, err)
		}
		return nil
	})
}
