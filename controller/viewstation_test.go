package controller

import (
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/controller/view"
)

func TestStationsBehindVTEPsAreToldWhenTheyChange(t *testing.T) {
	g, _, b, _ := routed(t, options{deferring: true})
	want := func(settled bool, want ...view.Station) {
		t.Helper()
		g.eventually("the stations are told", func() bool {
			select {
			case <-g.c.StationsChanged():
			default:
				return false
			}
			got, is, err := g.c.Stations(t.Context(), "bridge-10")
			return err == nil && is == settled && slices.EqualFunc(got, want, func(a, b view.Station) bool {
				return a.MAC == b.MAC && slices.Equal(a.IPs, b.IPs)
			})
		})
	}
	first, second := hostRoute(leaf1, 100, mac(7), "10.10.0.7", 5000), macRoute(leaf1, 100, mac(6))
	g.send(update(peer1, first), update(peer1, second))
	six := view.Station{MAC: mac(6)}
	seven := view.Station{MAC: mac(7)}
	seven.IPs = append(seven.IPs, addr("10.10.0.7"))
	want(false, six, seven)
	g.converge()
	want(true, six, seven)
	g.send(withdraw(peer1, second))
	want(true, seven)
	g.learn(b, 1, mac(7)) // it came here
	want(true)
	g.send(update(peer1, second))
	want(true, six)
	if got, _, err := g.c.Stations(t.Context(), "no-bridge"); err != nil || len(got) > 0 {
		t.Errorf("of a bridge that is not there: %v, %v", got, err)
	}
}
