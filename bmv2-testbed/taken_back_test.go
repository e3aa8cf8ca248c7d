package testbed

import (
	"testing"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet/packettest"
)

func TestAnAddressThatAnotherTookForASecondComesBackToItsLiveHost(t *testing.T) {
	t.Parallel()
	o := leafKinds[usualLeaf]
	eachFabric(t, o, func(t *testing.T, f *Fabric) {
		ctx, h := t.Context(), f.Hosts["gw-owner"]
		address := h.Address.Addr()
		must(f.reached(ctx, address))(t)
		silent := func() error { return nil }
		f.awaitAgreement(t, "at first", address, h, silent)
		// It goes on sending, and never says its address by itself.
		h.aside(t, "ping", "-n", "-q", "-i", "0.2", f.Hosts["gw-other"].Address.Addr().String())
		for _, thief := range []string{"second-owner", "leaf-owner", "gw-other"} {
			for _, c := range []struct {
				what string
				mac  ether.MAC
			}{
				{thief + " announces it as its own", f.Hosts[thief].MAC},
				{"its MAC is said to be at " + thief + ", as of a migration that is rolled back", h.MAC},
			} {
				t.Run(c.what, func(t *testing.T) {
					frame := packettest.ARP(packettest.Request, c.mac, address, ether.MAC{}, address)
					check(t, sendFrom(f.Hosts[thief], frame))
					f.awaitAgreement(t, c.what, address, h, silent)
					must(f.reached(ctx, address))(t)
				})
			}
		}
	})
}
