package main

import (
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/config"
)

func TestWhatTheHostLacksIsNamedByItsKey(t *testing.T) {
	f, err := config.Parse([]byte(`
as: 1
router_id: 10.0.0.1
vteps: [127.0.0.1, 203.0.113.77]
ports: [{name: port1, number: 1, interface: lo}, {name: port2, number: 2, interface: none-2}]
uplinks: [{name: up, number: 10, interface: none-10, host: {number: 11, interface: none-11, device: none-12}}]
`))
	if err != nil {
		t.Fatal(err)
	}
	keys := func() []string {
		var list []string
		for _, l := range lacking(f) {
			list = append(list, l.key)
		}
		return list
	}
	want := []string{"ports[1].interface", "uplinks[0].interface", "uplinks[0].host.interface", "uplinks[0].host.device",
		"vteps[1]"}
	if got := keys(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	f.Target.Embedded = false
	if got, want := keys(), []string{"uplinks[0].host.device", "vteps[1]"}; !slices.Equal(got, want) {
		t.Errorf("with another target got %q, want %q", got, want)
	}
}
