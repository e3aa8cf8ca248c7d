package testbed

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet/packettest"
)

// announcement is how a host says that an address is now its own. Hosts believe it at
// once if it overrides what they have; the others they may pass over (Linux does, of ARP,
// for a second after it heard of an address).
type announcement struct {
	name          string
	v6, overrides bool
	say           func(h *Host, address netip.Addr) error
}

var announcements = []announcement{
	{"a gratuitous ARP request", false, true, func(h *Host, a netip.Addr) error {
		return sendFrom(h, packettest.ARP(packettest.Request, h.MAC, a, ether.MAC{}, a))
	}},
	{"a gratuitous ARP reply", false, true, func(h *Host, a netip.Addr) error {
		return sendFrom(h, packettest.ARP(packettest.Reply, h.MAC, a, h.MAC, a))
	}},
	{"an ARP request for another", false, false, func(h *Host, a netip.Addr) error {
		return sendFrom(h, packettest.ARP(packettest.Request, h.MAC, a, ether.MAC{}, numbered(99).Addr()))
	}},
	{"an unsolicited NA", true, true, func(h *Host, a netip.Addr) error {
		return sendFrom(h, packettest.NeighborAdvertisement(h.MAC, a, packettest.Override))
	}},
	{"an NS for another", true, false, func(h *Host, a netip.Addr) error {
		return sendFrom(h, packettest.NeighborSolicitation(h.MAC, a, numbered6(99).Addr()))
	}},
}

// vips are the addresses that move, of either version.
var vip, vip6 = numbered(200).Addr(), numbered6(200).Addr()

func TestAVIPIsReachedWithinASecondOfItsAnnouncementWhicheverGatewayItGoesTo(t *testing.T) {
	eachFabric(t, leafKinds[usualLeaf], func(t *testing.T, f *Fabric) {
		for _, a := range announcements {
			t.Run(a.name, func(t *testing.T) {
				f.failOver(t, a, "gw-owner", "second-owner", "gw-owner", "gw-other", "second-owner", "gw-owner")
			})
		}
	})
}

// failOver takes a VIP from one live owner to the next: none of them goes away, and none
// says anything but what announces it.
func (f *Fabric) failOver(t *testing.T, a announcement, owners ...string) {
	t.Helper()
	address := vip
	if a.v6 {
		address = vip6
	}
	owner := f.Hosts[owners[0]]
	check(t, owner.Take(address))
	defer func() { check(t, owner.Leave(address)) }()
	say := func() error { return a.say(owner, address) }
	check(t, say())
	f.awaitAgreement(t, "at first", address, owner, say)
	for _, name := range owners[1:] {
		next := f.Hosts[name]
		what := a.name + ", from " + owner.Name + " to " + name
		move := func() error {
			if err := owner.Leave(address); err != nil {
				return err
			}
			owner = next
			if err := owner.Take(address); err != nil {
				return err
			}
			return say()
		}
		if a.overrides {
			f.withinASecond(t, what, address, move)
		} else {
			check(t, move())
		}
		f.awaitWhatIsSaid(t, what, address, owner, say, a.overrides)
		f.asksAnew(t, what, address, owner)
		if t.Failed() {
			t.FailNow() // what follows would be of no use
		}
	}
}

// asksAnew checks that each watcher which has forgotten an address is told its owner.
func (f *Fabric) asksAnew(t *testing.T, what string, address netip.Addr, owner *Host) {
	t.Helper()
	ctx := t.Context()
	for _, h := range f.watchers() {
		check(t, h.NS.ForgetNeighbour(h.Dev, address))
		if _, err := h.Reach(ctx, address, 10*time.Second); err != nil {
			t.Errorf("%s, asked anew: %v", what, err)
		}
		out := must(h.NS.Output(ctx, "ip", "neigh", "show", address.String(), "dev", h.Dev))(t)
		if !strings.Contains(out, owner.MAC.String()) {
			t.Errorf("%s: %s has %q, want %s", what, h.Name, out, owner.MAC)
		}
	}
}
