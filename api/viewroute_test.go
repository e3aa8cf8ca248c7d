package api

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
)

func (g *gateway) listHosts(t *testing.T, bridge string) ([]*p4evpnv1.Host, error) {
	s, err := g.view.ListHosts(t.Context(), &p4evpnv1.ListHostsRequest{Bridge: bridge})
	return collect(s, err, (*p4evpnv1.ListHostsResponse).GetHosts)
}

func (g *gateway) listPrefixes(t *testing.T, vrf string) ([]*p4evpnv1.Prefix, error) {
	s, err := g.view.ListPrefixes(t.Context(), &p4evpnv1.ListPrefixesRequest{Vrf: vrf})
	return collect(s, err, (*p4evpnv1.ListPrefixesResponse).GetPrefixes)
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestUnderlayRoutesAreListedByPrefix(t *testing.T) {
	for _, tc := range []struct {
		underlay view.Underlay
		want     []*p4evpnv1.UnderlayRoute
	}{
		{nil, nil},
		{controllertest.UnderlayRoutes{
			{Prefix: prefix("2001:db8::/32"), NextHops: []netip.Addr{leaf}, State: view.Down, Reason: "why"},
			{Prefix: prefix("10.0.0.4/32"), NextHops: []netip.Addr{leaf}, Neighbors: []netip.Addr{leaf}, State: view.Up},
		}, []*p4evpnv1.UnderlayRoute{
			{Prefix: "10.0.0.4/32", NextHops: []string{"10.0.0.3"}, Neighbors: []string{"10.0.0.3"}, State: p4evpnv1.State_STATE_UP},
			{Prefix: "2001:db8::/32", NextHops: []string{"10.0.0.3"}, State: p4evpnv1.State_STATE_DOWN, Reason: "why"},
		}},
	} {
		g := serveConfig(t, Config{Store: intent.NewMemory(), Status: fakeStatus{}, View: &controllertest.View{},
			Underlay: tc.underlay}, nil)
		s, err := g.view.ListUnderlayRoutes(t.Context(), &p4evpnv1.ListUnderlayRoutesRequest{})
		got, err := collect(s, err, (*p4evpnv1.ListUnderlayRoutesResponse).GetRoutes)
		if diff := cmp.Diff(tc.want, got, protocmp.Transform()); diff != "" || err != nil {
			t.Errorf("error %v (-want +got)\n%s", err, diff)
		}
	}
}

func TestEveryFieldOfARoutingRowIsShown(t *testing.T) {
	remote := view.Prefix{VRF: "green", Prefix: prefix("6.6.6.0/24"), Kind: view.PrefixRemote, VTEP: leaf, VNI: 100,
		RouterMAC: mac2,
		Selected:  true, State: view.Pending, Reason: "why", Uplinks: []string{"up1", "up2"}, Slots: 32}
	remotePB := &p4evpnv1.Prefix{Vrf: "green", Prefix: "6.6.6.0/24", Kind: p4evpnv1.PrefixKind_PREFIX_KIND_REMOTE,
		Vtep: "10.0.0.3", Vni: 100, RouterMac: "02:00:00:00:00:02",
		Selected: true, State: p4evpnv1.State_STATE_PENDING, Reason: "why", Uplinks: []string{"up1", "up2"}, Slots: 32}
	g := serve(t, intent.NewMemory(), fakeStatus{}, &controllertest.View{Rows: controllertest.Rows{
		VRFs: []view.VRF{{Name: "green", VNI: 100, Loopback: prefix("10.100.0.1/24"), VTEP: prefix("10.0.0.2/32"),
			RouterMAC: mac1,
			State:     view.Down, Reason: "why", SVIs: []string{"svi10"}, Hosts: 3, Prefixes: 4}},
		SVIs: []view.SVI{{Name: "svi10", VRF: "green", Bridge: "vlan10", MAC: mac1,
			Gateways: []netip.Prefix{prefix("10.10.0.1/24"), prefix("2001:db8::1/64")},
			Anycast:  true, Aliases: []ether.MAC{mac2}, State: view.Up, Reason: "why"}},
		Hosts: []view.Host{{Bridge: "vlan10", IP: netip.MustParseAddr("2001:db8::9"), MAC: mac1, Kind: view.HostRemote,
			VTEP: leaf, State: view.Up, Reason: "why"}},
		Prefixes: []view.Prefix{remote,
			{VRF: "green", Prefix: prefix("10.10.0.9/32"), Kind: view.PrefixHost, Bridge: "vlan10", MAC: mac1, NextHop: leaf}},
		Lookup: view.Lookup{Entry: "a -> b", Result: "what", Candidates: []view.Prefix{remote}},
	}})
	g.createVRF(t, "green", 100)
	ctx := t.Context()
	check := func(name string, want, got any, err error) {
		t.Helper()
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" || err != nil {
			t.Errorf("%s: error %v (-want +got)\n%s", name, err, diff)
		}
	}
	vs, err := g.view.ListVRFs(ctx, &p4evpnv1.ListVRFsRequest{})
	vrfs, err := collect(vs, err, (*p4evpnv1.ListVRFsResponse).GetVrfs)
	check("vrfs", []*p4evpnv1.VRF{{Name: "green", Vni: 100, Loopback: "10.100.0.1/24", Vtep: "10.0.0.2/32",
		RouterMac: "02:00:00:00:00:01",
		State:     p4evpnv1.State_STATE_DOWN, Reason: "why", Svis: []string{"svi10"}, Hosts: 3, Prefixes: 4}}, vrfs, err)
	ss, err := g.view.ListSVIs(ctx, &p4evpnv1.ListSVIsRequest{})
	svis, err := collect(ss, err, (*p4evpnv1.ListSVIsResponse).GetSvis)
	check("svis", []*p4evpnv1.SVI{{Name: "svi10", Vrf: "green", Bridge: "vlan10", Mac: "02:00:00:00:00:01",
		Gateways: []string{"10.10.0.1/24", "2001:db8::1/64"}, Anycast: true, State: p4evpnv1.State_STATE_UP, Reason: "why",
		Aliases: []string{"02:00:00:00:00:02"}}}, svis, err)
	hosts, err := g.listHosts(t, "")
	check("hosts", []*p4evpnv1.Host{{Bridge: "vlan10", Ip: "2001:db8::9", Mac: "02:00:00:00:00:01",
		Kind: p4evpnv1.HostKind_HOST_KIND_REMOTE, Vtep: "10.0.0.3", State: p4evpnv1.State_STATE_UP, Reason: "why"}}, hosts,
		err)
	prefixes, err := g.listPrefixes(t, "")
	check("prefixes", []*p4evpnv1.Prefix{remotePB,
		{Vrf: "green", Prefix: "10.10.0.9/32", Kind: p4evpnv1.PrefixKind_PREFIX_KIND_HOST, Bridge: "vlan10", Mac: "02:00:00:00:00:01", NextHop: "10.0.0.3"}}, prefixes, err)
	route, err := g.view.LookupRoute(ctx,
		&p4evpnv1.LookupRouteRequest{Vrf: "//network.opiproject.org/vrfs/green", Address: "6.6.6.6"})
	check("route", &p4evpnv1.LookupRouteResponse{Vrf: "green", Address: "6.6.6.6", Entry: "a -> b", Result: "what",
		Candidates: []*p4evpnv1.Prefix{remotePB}}, route, err)
}

func TestRoutingRowsAreFilteredAndSorted(t *testing.T) {
	g := serve(t, intent.NewMemory(), fakeStatus{}, &controllertest.View{Rows: controllertest.Rows{
		VRFs: []view.VRF{{Name: "yellow"}, {Name: "green"}},
		SVIs: []view.SVI{{VRF: "yellow", Name: "svi1"}, {VRF: "green", Name: "svi3"}, {VRF: "green", Name: "svi2"}},
		Hosts: []view.Host{{Bridge: "vlan20", IP: netip.MustParseAddr("10.0.0.1")},
			{Bridge: "vlan10", IP: netip.MustParseAddr("2001:db8::1")},
			{Bridge: "vlan10", IP: netip.MustParseAddr("10.0.0.10")}, {Bridge: "vlan10", IP: netip.MustParseAddr("10.0.0.9")}},
		Prefixes: []view.Prefix{{VRF: "yellow", Prefix: prefix("0.0.0.0/0")},
			{VRF: "green", Prefix: prefix("10.0.0.0/24"), VTEP: leaf},
			{VRF: "green", Prefix: prefix("10.0.0.0/24"), Selected: true}, {VRF: "green", Prefix: prefix("9.0.0.0/8")}},
	}})
	g.createVRF(t, "green", 100)
	g.createBridge(t, "vlan10", 10, 10)
	vs, err := g.view.ListVRFs(t.Context(), &p4evpnv1.ListVRFsRequest{})
	vrfs, err := collect(vs, err, (*p4evpnv1.ListVRFsResponse).GetVrfs)
	if err != nil || len(vrfs) != 2 || vrfs[0].Name != "green" {
		t.Errorf("%v %v", vrfs, err)
	}
	ss, err := g.view.ListSVIs(t.Context(), &p4evpnv1.ListSVIsRequest{})
	svis, err := collect(ss, err, (*p4evpnv1.ListSVIsResponse).GetSvis)
	if err != nil || len(svis) != 3 || svis[0].Name != "svi2" || svis[2].Name != "svi1" {
		t.Errorf("%v %v", svis, err)
	}
	for bridge, want := range map[string]string{"": "10.0.0.9 10.0.0.10 2001:db8::1 10.0.0.1",
		"vlan10": "10.0.0.9 10.0.0.10 2001:db8::1",
		"//network.opiproject.org/bridges/vlan10": "10.0.0.9 10.0.0.10 2001:db8::1"} {
		rows, err := g.listHosts(t, bridge)
		var got []string
		for _, h := range rows {
			got = append(got, h.Ip)
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("hosts of %q: %v (%v), want %s", bridge, got, err, want)
		}
	}
	for vrf, want := range map[string]string{"": "9.0.0.0/8 10.0.0.0/24 10.0.0.0/24 0.0.0.0/0",
		"green": "9.0.0.0/8 10.0.0.0/24 10.0.0.0/24", "vrfs/green": "9.0.0.0/8 10.0.0.0/24 10.0.0.0/24"} {
		rows, err := g.listPrefixes(t, vrf)
		var got []string
		for _, p := range rows {
			got = append(got, p.Prefix)
		}
		if err != nil || strings.Join(got, " ") != want || !rows[1].Selected {
			t.Errorf("prefixes of %q: %v (%v), want %s, the selected one first", vrf, got, err, want)
		}
	}
}

func TestABadQueryOfRoutingIsRefusedByField(t *testing.T) {
	g := newGateway(t)
	g.createVRF(t, "green", 100)
	lookup := func(vrf, address string) error {
		_, err := g.view.LookupRoute(t.Context(), &p4evpnv1.LookupRouteRequest{Vrf: vrf, Address: address})
		return err
	}
	for _, address := range []string{"", "x", "10.0.0.1/24", "10.0.0", "fe80::1%eth0", "::ffff:10.0.0.1"} {
		wantCode(t, lookup("green", address), codes.InvalidArgument, "address")
	}
	for _, vrf := range []string{"", "G", "logicalBridges/green", "vrfs/"} {
		wantCode(t, lookup(vrf, "10.0.0.1"), codes.InvalidArgument, "vrf")
	}
	wantCode(t, lookup("black", "10.0.0.1"), codes.NotFound)
	wantCode(t, lookup("green", "2001:db8::1"), codes.OK)
	_, err := g.listPrefixes(t, "black")
	wantCode(t, err, codes.NotFound)
	_, err = g.listPrefixes(t, "svis/green")
	wantCode(t, err, codes.InvalidArgument, "vrf")
	_, err = g.listHosts(t, "vlan99")
	wantCode(t, err, codes.NotFound)
}

func TestAControllerThatCannotAnswerOfRoutingIsUnavailable(t *testing.T) {
	g := serve(t, intent.NewMemory(), fakeStatus{}, &controllertest.View{Err: errNotReady})
	g.createVRF(t, "green", 100)
	vs, err := g.view.ListVRFs(t.Context(), &p4evpnv1.ListVRFsRequest{})
	_, vrfs := collect(vs, err, (*p4evpnv1.ListVRFsResponse).GetVrfs)
	ss, err := g.view.ListSVIs(t.Context(), &p4evpnv1.ListSVIsRequest{})
	_, svis := collect(ss, err, (*p4evpnv1.ListSVIsResponse).GetSvis)
	_, hosts := g.listHosts(t, "")
	_, prefixes := g.listPrefixes(t, "")
	_, route := g.view.LookupRoute(t.Context(), &p4evpnv1.LookupRouteRequest{Vrf: "green", Address: "10.0.0.1"})
	for what, err := range map[string]error{"vrfs": vrfs, "svis": svis, "hosts": hosts, "prefixes": prefixes,
		"route": route} {
		wantCode(t, err, codes.Unavailable)
		if err == nil || !strings.Contains(err.Error(), errNotReady.Error()) {
			t.Errorf("%s: %v does not say why", what, err)
		}
	}
}
