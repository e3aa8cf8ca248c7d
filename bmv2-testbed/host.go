package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// Host is a station: a namespace with one device that is in use.
type Host struct {
	Name    string
	NS      *Namespace
	Dev     string
	MAC     ether.MAC
	Address netip.Prefix

	// Of hosts that are routed to; invalid: none.
	Address6          netip.Prefix
	Gateway, Gateway6 netip.Addr
}

// Configure gives the host's device its MAC address and its IP addresses, and
// the host its default routes.
func (h *Host) Configure() error {
	if err := h.NS.SetMAC(h.Dev, h.MAC); err != nil {
		return err
	}
	if h.Address6.IsValid() {
		if err := h.NS.enableIPv6(h.Dev); err != nil {
			return err
		}
	}
	for _, a := range []netip.Prefix{h.Address, h.Address6} {
		if !a.IsValid() {
			continue
		}
		if err := h.NS.AddAddress(h.Dev, a); err != nil {
			return err
		}
	}
	for to, via := range map[string]netip.Addr{"0.0.0.0/0": h.Gateway, "::/0": h.Gateway6} {
		if !via.IsValid() {
			continue
		}
		if err := h.NS.AddRoute(netip.MustParsePrefix(to), via); err != nil {
			return err
		}
	}
	return nil
}

// Ping sends one echo request and waits for its answer.
func (h *Host) Ping(ctx context.Context, to netip.Addr, wait time.Duration) error {
	_, err := h.NS.Output(ctx, "ping", "-n", "-q", "-c", "1", "-W", fmt.Sprintf("%.2f", wait.Seconds()), to.String())
	if err != nil {
		return fmt.Errorf("%s does not reach %s", h.Name, to)
	}
	return nil
}

// Reach sends an echo request every 20 ms until one is answered, and gives the
// time that took. Errors that come back (no route yet) do not end it.
func (h *Host) Reach(ctx context.Context, to netip.Addr, within time.Duration) (time.Duration, error) {
	start := time.Now()
	for left := within; left > 0; left = within - time.Since(start) {
		seconds := strconv.Itoa(max(1, int(left/time.Second)))
		if _, err := h.NS.Output(ctx, "ping", "-n", "-q", "-i", "0.02", "-c", "1", "-w", seconds, to.String()); err == nil {
			return time.Since(start), nil
		}
		select { // ping ends with the first error that comes back
		case <-ctx.Done():
			return time.Since(start), ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return time.Since(start), fmt.Errorf("%s does not reach %s within %v", h.Name, to, within)
}

// Announce broadcasts a gratuitous ARP, as a hypervisor does for a machine that
// it moved here.
func (h *Host) Announce() error {
	return sendFrom(h, packet.ARPRequest(h.MAC, h.Address.Addr(), h.Address.Addr()))
}

// hostOf gives the tenth address after a gateway's.
func hostOf(gateway netip.Prefix) netip.Addr {
	a := gateway.Addr()
	for range 9 {
		a = a.Next()
	}
	return a
}

// Take gives a host one more address, which it does not use by itself.
func (h *Host) Take(address netip.Addr) error {
	return h.NS.AddAddress(h.Dev, netip.PrefixFrom(address, address.BitLen()))
}

// Leave takes the address from it.
func (h *Host) Leave(address netip.Addr) error {
	return h.NS.DeleteAddress(h.Dev, netip.PrefixFrom(address, address.BitLen()))
}
