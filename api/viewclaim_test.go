package api

import (
	"net/netip"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

var (
	heldClaim = view.Claim{MAC: mac1, Sources: []view.ClaimSource{view.SourceHost, view.SourceResolved}, Port: "port1",
		Sequence: 3, Age: time.Minute, FlagsKnown: true, Router: true, Override: true,
		State: view.ClaimActive, Reason: "last"}
	lostClaim = view.Claim{MAC: mac2, Sources: []view.ClaimSource{view.SourceRoute}, VTEP: leaf, Sticky: true,
		Immutable: true, State: view.ClaimInactive, Reason: "lost"}
	claimsPB = []*p4evpnv1.Claim{
		{Mac: "02:00:00:00:00:01", Sources: []p4evpnv1.ClaimSource{p4evpnv1.ClaimSource_CLAIM_SOURCE_HOST,
			p4evpnv1.ClaimSource_CLAIM_SOURCE_RESOLVED}, Port: "port1", Sequence: 3, Age: durationpb.New(time.Minute),
			FlagsKnown: true, Router: true, Override: true, State: p4evpnv1.ClaimState_CLAIM_STATE_ACTIVE, Reason: "last"},
		{Mac: "02:00:00:00:00:02", Sources: []p4evpnv1.ClaimSource{p4evpnv1.ClaimSource_CLAIM_SOURCE_ROUTE}, Vtep: "10.0.0.3",
			Sticky: true, Immutable: true, State: p4evpnv1.ClaimState_CLAIM_STATE_INACTIVE, Reason: "lost"},
	}
)

// claimed serves an address and a MAC that two bridges have.
func claimed(t *testing.T) *gateway {
	ip, claims := netip.MustParseAddr("2001:db8::9"), []view.Claim{heldClaim, lostClaim}
	g := serve(t, intent.NewMemory(), fakeStatus{}, &controllertest.View{Rows: controllertest.Rows{
		Hosts: []view.Host{{Bridge: "vlan20", IP: ip}, {Bridge: "vlan10", IP: netip.MustParseAddr("10.0.0.1")},
			{Bridge: "vlan10", IP: ip, MAC: mac1, Kind: view.HostLocal, Port: "port1", State: view.Up, Claims: claims}},
		MACs: []view.MAC{{FDBEntry: view.FDBEntry{Bridge: "vlan20", MAC: mac1}},
			{FDBEntry: view.FDBEntry{Bridge: "vlan10", MAC: mac2}},
			{FDBEntry: view.FDBEntry{Bridge: "vlan10", MAC: mac1, Kind: view.Local, Port: "port1", State: view.Up}, Claims: claims,
				Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.10"), netip.MustParseAddr("10.0.0.9")}}},
	}})
	g.createBridge(t, "vlan10", 10, 10)
	return g
}

func TestOneAddressIsListedInEveryBridgeWithItsClaims(t *testing.T) {
	g := claimed(t)
	list := func(r *p4evpnv1.ListHostsRequest) ([]*p4evpnv1.Host, error) {
		s, err := g.view.ListHosts(t.Context(), r)
		return collect(s, err, (*p4evpnv1.ListHostsResponse).GetHosts)
	}
	rows, err := list(&p4evpnv1.ListHostsRequest{Address: "2001:db8::9"})
	want := &p4evpnv1.Host{Bridge: "vlan10", Ip: "2001:db8::9", Mac: "02:00:00:00:00:01", Port: "port1",
		Kind: p4evpnv1.HostKind_HOST_KIND_LOCAL, State: p4evpnv1.State_STATE_UP, Claims: claimsPB}
	if err != nil || len(rows) != 2 || !proto.Equal(rows[0], want) || rows[1].Bridge != "vlan20" {
		t.Errorf("%v, %v; want %v first", rows, err, want)
	}
	rows, err = list(&p4evpnv1.ListHostsRequest{Address: "2001:0db8::0009", Bridge: "vlan10"})
	if err != nil || len(rows) != 1 || rows[0].Bridge != "vlan10" {
		t.Errorf("of one bridge: %v, %v", rows, err)
	}
	for _, bad := range []string{"10.0.0.0/24", "fe80::1%eth0", "::ffff:10.0.0.1", "vlan10"} {
		_, err = list(&p4evpnv1.ListHostsRequest{Address: bad})
		wantCode(t, err, codes.InvalidArgument, "address")
	}
}

func TestOneMACIsListedInEveryBridgeWithItsClaimsAndAddresses(t *testing.T) {
	g := claimed(t)
	list := func(r *p4evpnv1.ListFDBRequest) ([]*p4evpnv1.FDBEntry, error) {
		s, err := g.view.ListFDB(t.Context(), r)
		return collect(s, err, (*p4evpnv1.ListFDBResponse).GetEntries)
	}
	rows, err := list(&p4evpnv1.ListFDBRequest{MacAddress: "02:00:00:00:00:01"})
	want := &p4evpnv1.FDBEntry{Bridge: "vlan10", Mac: "02:00:00:00:00:01", Kind: p4evpnv1.FDBKind_FDB_KIND_LOCAL,
		Port: "port1", State: p4evpnv1.State_STATE_UP, Claims: claimsPB, Addresses: []string{"10.0.0.9", "10.0.0.10"}}
	if err != nil || len(rows) != 2 || !proto.Equal(rows[0], want) || rows[1].Bridge != "vlan20" {
		t.Errorf("%v, %v; want %v first", rows, err, want)
	}
	rows, err = list(&p4evpnv1.ListFDBRequest{MacAddress: "02:00:00:00:00:01", Bridge: "logicalBridges/vlan10"})
	if err != nil || len(rows) != 1 || rows[0].Bridge != "vlan10" {
		t.Errorf("of one bridge: %v, %v", rows, err)
	}
	_, err = list(&p4evpnv1.ListFDBRequest{MacAddress: "02:00"})
	wantCode(t, err, codes.InvalidArgument, "mac_address")
}

func TestWhatABridgeRefusedIsListedByReason(t *testing.T) {
	g := serve(t, intent.NewMemory(), fakeStatus{}, &controllertest.View{Rows: controllertest.Rows{
		Bridges: []view.Bridge{{Name: "vlan10", Refusals: []view.Refusal{{Reason: "subnet", Count: 2},
			{Reason: "outside", Count: 7, Address: netip.MustParseAddr("8.8.8.8"), MAC: mac1}}}},
	}})
	s, err := g.view.ListBridges(t.Context(), &p4evpnv1.ListBridgesRequest{})
	rows, err := collect(s, err, (*p4evpnv1.ListBridgesResponse).GetBridges)
	want := &p4evpnv1.Bridge{Name: "vlan10", Refusals: []*p4evpnv1.RefusalCount{
		{Reason: "outside", Count: 7, Address: "8.8.8.8", Mac: "02:00:00:00:00:01"}, {Reason: "subnet", Count: 2},
	}}
	if err != nil || len(rows) != 1 || !proto.Equal(rows[0], want) {
		t.Errorf("%v, %v; want %v", rows, err, want)
	}
}
