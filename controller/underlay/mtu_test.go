package underlay

import (
	"testing"

	"github.com/vishvananda/netlink"
)

func TestMTUIsTheLeastOfTheUplinksThatAreThere(t *testing.T) {
	l := newLab(t)
	for name, mtu := range map[string]int{"up1": 9000, "up2": 1550, "up3": 1500} {
		must(t, l.gw.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: name, MTU: mtu}, PeerName: name, PeerNamespace: netlink.NsFd(l.peerNS),
		}))
	}
	for _, c := range []struct {
		uplinks []string
		want    int
	}{
		{[]string{"up1", "up2"}, 1550},
		{[]string{"up2", "up1"}, 1550},
		{[]string{"none", "up1"}, 9000},
		{[]string{"none"}, 0},
		{nil, 0},
	} {
		if got := (Config{Uplinks: c.uplinks, Namespace: &l.gwNS}).MTU(); got != c.want {
			t.Errorf("uplinks %v: %d, want %d", c.uplinks, got, c.want)
		}
	}
	if got := (Config{Uplinks: []string{"lo"}}).MTU(); got == 0 {
		t.Error("the process's own namespace has no lo")
	}
}
