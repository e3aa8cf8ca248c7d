package testbed

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet/packettest"
)

// announcement is how a host says that an address is now its own. Hosts believe it at
// once if it overrides what they have; the others they may pass over (Linux does, of ARP,
// for a second after it heard of an address).
type announcement struct {
	name          string
	v6, overrides bool
	frame         func(h *Host, address netip.Addr) []byte
}

var announcements = []announcement{
	{"a gratuitous ARP request", false, true, func(h *Host, a netip.Addr) []byte {
		return packettest.ARP(packettest.Request, h.MAC, a, ether.MAC{}, a)
	}},
	{"a gratuitous ARP reply", false, true, func(h *Host, a netip.Addr) []byte {
		return packettest.ARP(packettest.Reply, h.MAC, a, h.MAC, a)
	}},
	{"an ARP request for another", false, false, func(h *Host, a netip.Addr) []byte {
		return packettest.ARP(packettest.Request, h.MAC, a, ether.MAC{}, numbered(99).Addr())
	}},
	{"an unsolicited NA", true, true, func(h *Host, a netip.Addr) []byte {
		return packettest.NeighborAdvertisement(h.MAC, a, packettest.Override)
	}},
	{"an NS for another", true, false, func(h *Host, a netip.Addr) []byte {
		return packettest.NeighborSolicitation(h.MAC, a, numbered6(99).Addr())
	}},
}

func (a announcement) say(h *Host, address netip.Addr) error { return sendFrom(h, a.frame(h, address)) }

// vip is an address that no host has by itself.
var vip = numbered(200).Addr()

// FRR's kernel takes no announcement of an address that is a route's. It learns that a
// host of its own has one when the gateway whose it was has asked the old owner, got no
// answer, and withdrawn it.
func TestAVIPIsReachedWithinASecondOfItsAnnouncementWhoeverGetsIt(t *testing.T) {
	eachFabric(t, leafKinds[usualLeaf], func(t *testing.T, f *Fabric) {
		// From each of the three to each other one, and between two ports of one.
		f.failOver(t, "gw-owner", "second-owner", "leaf-owner", "gw-owner", "gw-other", "leaf-owner", "second-owner",
			"gw-owner")
	})
}

// failOver takes a VIP for each kind of announcement from one live owner to the next: none
// of them goes away, and none says anything but what announces it.
func (f *Fabric) failOver(t *testing.T, owners ...string) {
	t.Helper()
	owner := f.Hosts[owners[0]]
	for n, a := range announcements {
		check(t, owner.Take(a.vip(n)))
		check(t, a.say(owner, a.vip(n)))
	}
	for n, a := range announcements {
		f.awaitAgreement(t, "at first", a.vip(n), owner, func() error { return a.say(owner, a.vip(n)) })
	}
	for _, name := range owners[1:] {
		before, next := owner, f.Hosts[name]
		what := func(a announcement) string { return a.name + ", from " + before.Name + " to " + next.Name }
		for n, a := range announcements {
			move := func() error { return errors.Join(before.Leave(a.vip(n)), next.Take(a.vip(n))) }
			if a.overrides {
				f.withinASecond(t, what(a), a.vip(n), next, a.frame(next, a.vip(n)), move)
			} else {
				check(t, errors.Join(move(), a.say(next, a.vip(n))))
			}
		}
		// The old owners are asked three times, all at the same time.
		for n, a := range announcements {
			say := func() error { return a.say(next, a.vip(n)) }
			f.awaitWhatIsSaid(t, what(a), a.vip(n), next, say, a.overrides)
			f.asksAnew(t, what(a), a.vip(n), next)
		}
		if owner = next; t.Failed() {
			t.FailNow() // what follows would be of no use
		}
	}
}

// vip is the address that is moved by the n-th announcement.
func (a announcement) vip(n int) netip.Addr {
	if a.v6 {
		return numbered6(byte(200 + n)).Addr()
	}
	return numbered(byte(200 + n)).Addr()
}

// asksAnew checks that each watcher which has forgotten an address is told its owner.
func (f *Fabric) asksAnew(t *testing.T, what string, address netip.Addr, owner *Host) {
	t.Helper()
	ctx := t.Context()
	for _, h := range f.watchers() {
		check(t, h.NS.ForgetNeighbour(h.Dev, address))
	}
	if _, err := f.reached(ctx, address); err != nil {
		t.Errorf("%s, asked anew: %v", what, err)
	}
	for _, h := range f.watchers() {
		out := must(h.NS.Output(ctx, "ip", "neigh", "show", address.String(), "dev", h.Dev))(t)
		if !strings.Contains(out, owner.MAC.String()) {
			t.Errorf("%s: %s has %q, want %s", what, h.Name, out, owner.MAC)
		}
	}
}
