package controller

import (
	"net/netip"
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
			case <-g.c.BehindChanged():
			default:
				return false
			}
			r, err := g.c.Behind(t.Context(), "bridge-10")
			return err == nil && r.Settled == settled && slices.EqualFunc(r.Stations, want, func(a, b view.Station) bool {
				return a.MAC == b.MAC && slices.Equal(a.IPs, b.IPs) && a.VTEP == b.VTEP && a.Reached == b.Reached
			})
		})
	}
	first, second := hostRoute(leaf1, 100, mac(7), "10.10.0.7", 5000), macRoute(leaf1, 100, mac(6))
	g.send(update(peer1, first), update(peer1, second))
	six := view.Station{MAC: mac(6), VTEP: leaf1, Reached: true}
	seven := view.Station{MAC: mac(7), VTEP: leaf1, Reached: true}
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
	if got, err := g.c.Behind(t.Context(), "no-bridge"); err != nil || len(got.Stations) > 0 || len(got.VTEPs) > 0 {
		t.Errorf("of a bridge that is not there: %v, %v", got, err)
	}
}

// As on a gateway whose target has no uplinks.
func TestWhatNobodyHasAWayToIsToldOfAllTheSame(t *testing.T) {
	g := start(t, options{})
	g.bridge(10, 100)
	g.underlay.Set(leaf1, "no route")
	g.send(update(peer1, hostRoute(leaf1, 100, mac(7), "10.10.0.7", 0)), update(peer1, floodRoute(leaf2, 100)))
	g.settle()
	r, err := g.c.Behind(t.Context(), "bridge-10")
	if err != nil || r.Local != vtep1 || !slices.Equal(r.VTEPs, []netip.Addr{leaf1, leaf2}) || len(r.Stations) != 1 {
		t.Fatalf("got %+v, %v", r, err)
	}
	s := r.Stations[0]
	if s.MAC != mac(7) || s.VTEP != leaf1 || s.Reached || !slices.Equal(s.IPs, []netip.Addr{addr("10.10.0.7")}) {
		t.Errorf("got %+v", s)
	}
}
