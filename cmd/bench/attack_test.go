package main

import (
	"net/netip"
	"testing"

	"github.com/p4evpn/p4evpn/ether"
)

func TestRandomStationsDoNotRepeatAndAreHostsOfTheAttackersSubnets(t *testing.T) {
	macs, addresses := map[ether.MAC]bool{}, map[netip.Addr]bool{}
	for n := range attackSize {
		mac := randomMAC(n)
		if mac[0]&1 != 0 {
			t.Fatalf("%v is a group's", mac)
		}
		v4, v6 := randomAddresses(n)
		if !attackedNet.Contains(v4) || !attackedNet6.Contains(v6) {
			t.Fatalf("%v or %v is of another subnet", v4, v6)
		}
		macs[mac], addresses[v4], addresses[v6] = true, true, true
	}
	if len(macs) != attackSize || len(addresses) != 2*attackSize {
		t.Errorf("%d MACs and %d addresses, want %d and %d", len(macs), len(addresses), attackSize, 2*attackSize)
	}
}
