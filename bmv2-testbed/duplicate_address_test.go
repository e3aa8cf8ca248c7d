package testbed

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet/packettest"
)

// Two hosts that have one address and live (RFC 9161 section 3.7).
func (f *Fabric) duplicateAddress(t *testing.T) {
	ctx, g := t.Context(), f.Gateway
	one, two := f.Hosts["gw-owner"], f.Hosts["gw-other"]
	say := func(h *Host) error {
		return sendFrom(h, packettest.ARP(packettest.Request, h.MAC, vip, ether.MAC{}, vip))
	}
	check(t, one.Take(vip))
	check(t, two.Take(vip))
	check(t, Eventually(ctx, patience, "the duplicate is shown", func(ctx context.Context) error {
		if err := errors.Join(say(one), say(two)); err != nil {
			return err
		}
		return g.showsDuplicate(ctx, vip.String(), true)
	}))
	// It is held: what they say changes nothing any more, and costs BGP nothing.
	before := must(g.sequenceOf(ctx, one.MAC))(t)
	for range 20 {
		check(t, errors.Join(say(one), say(two)))
	}
	must(f.Hosts["gw-watcher"].Reach(ctx, f.Hosts["second-watcher"].Address.Addr(), patience))(t)
	if after := must(g.sequenceOf(ctx, one.MAC))(t); after != before {
		t.Errorf("the sequence of %s went from %d to %d while the address is held", one.MAC, before, after)
	}
	// Each of them is reached by the address that is its own.
	must(f.reached(ctx, one.Address.Addr()))(t)
	must(f.reached(ctx, two.Address.Addr()))(t)
	if n := strings.Count(g.controlLog(t), vip.String()); n == 0 || n > 5 {
		t.Errorf("the log has the address %d times, want it told, and once", n)
	}
	// The operator ends it where it is and lets it be used again.
	check(t, one.Leave(vip))
	must(g.command(ctx, "clear", "duplicate", blue, vip.String()))(t)
	check(t, g.showsDuplicate(ctx, vip.String(), false))
	// FRR 8.4 may take an announcement of a host elsewhere that its kernel heard for one of its
	// own: what it says of the address is no matter here.
	check(t, Eventually(ctx, patience, "the other host has it when it is cleared", func(ctx context.Context) error {
		return errors.Join(say(two), f.gatewayAgrees(ctx, f.Gateway, vip, two.MAC, f.placeOf(two)),
			f.gatewayAgrees(ctx, f.Second, vip, two.MAC, f.placeOf(two)))
	}))
	must(f.reached(ctx, vip))(t)
}

// sequenceOf gives the mobility sequence of a MAC at a gateway.
func (g *Gateway) sequenceOf(ctx context.Context, mac ether.MAC) (uint32, error) {
	fdb, err := g.FDB(ctx, blue)
	return fdb[mac.String()].GetSequence(), err
}
