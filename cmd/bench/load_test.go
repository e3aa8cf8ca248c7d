package main

import (
	"bytes"
	"testing"
)

func TestEachRouteOfALoadIsSentOnce(t *testing.T) {
	for name, updates := range map[string][][]byte{"MAC and IP": macIPUpdates(20, 16), "prefixes": prefixUpdates(20, 16)} {
		if len(updates) != 2 || len(updates[0]) <= len(updates[1]) {
			t.Errorf("%s: %d UPDATEs", name, len(updates))
		}
	}
	wire := bytes.Join(macIPUpdates(20, 16), nil)
	for n := range 20 {
		mac, ip := stationMAC(uint32(n)), tenantAddress(n).AsSlice()
		if got := bytes.Count(wire, append(append(mac[:], 32), ip...)); got != 1 {
			t.Errorf("host %d is there %d times", n, got)
		}
		if !tenantGateway.Contains(tenantAddress(n)) || tenantAddress(n) == tenantGateway.Addr() {
			t.Errorf("host %d has address %v", n, tenantAddress(n))
		}
	}
	if last := tenantAddress(benchRoutes); !tenantGateway.Contains(last) {
		t.Errorf("address %v is outside of the subnet", last)
	}
}
