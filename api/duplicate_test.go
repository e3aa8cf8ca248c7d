package api

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// frozenOnes are the duplicates of a bridge that are frozen.
type frozenOnes struct {
	bridge string
	all    []view.Duplicate
	err    error
}

func (f *frozenOnes) ClearDuplicates(_ context.Context, bridge string, which view.Duplicate) (int, error) {
	was := len(f.all)
	f.all = slices.DeleteFunc(f.all, func(d view.Duplicate) bool {
		return bridge == f.bridge && (d == which || which == view.Duplicate{})
	})
	return was - len(f.all), f.err
}

func TestADuplicateIsClearedOnce(t *testing.T) {
	f := &frozenOnes{bridge: "blue", all: []view.Duplicate{
		{MAC: mac1}, {MAC: mac2}, {Address: netip.MustParseAddr("10.0.0.5")},
		{Address: netip.MustParseAddr("2001:db8::5")}}}
	g := serveConfig(t, Config{Store: intent.NewMemory(), Status: fakeStatus{}, Duplicates: f}, nil)
	g.createBridge(t, "blue", 10, 100)
	g.createBridge(t, "green", 20, 200)
	c := p4evpnv1.NewDuplicatesClient(g.conn)
	for _, tc := range []struct {
		bridge, mac, address string
		want                 codes.Code
		field                string
		cleared              uint32
	}{
		{"", "02:00:00:00:00:01", "", codes.InvalidArgument, "logical_bridge", 0},
		{"vrfs/blue", "02:00:00:00:00:01", "", codes.InvalidArgument, "logical_bridge", 0},
		{"black", "02:00:00:00:00:01", "", codes.NotFound, "", 0},
		{"blue", "02:00:00:00:00:01:02", "", codes.InvalidArgument, "mac_address", 0},
		{"blue", "00:00:00:00:00:00", "", codes.InvalidArgument, "mac_address", 0}, // which stands for all
		{"blue", "", "10.0.0.5/24", codes.InvalidArgument, "address", 0},
		{"blue", "", "fe80::1%eth0", codes.InvalidArgument, "address", 0},
		{"blue", "02:00:00:00:00:01", "10.0.0.5", codes.InvalidArgument, "address", 0},
		{"green", "02:00:00:00:00:09", "", codes.FailedPrecondition, "", 0},
		{"green", "", "10.0.0.5", codes.FailedPrecondition, "", 0},
		{"green", "", "", codes.FailedPrecondition, "", 0},
		{"blue", "02:00:00:00:00:01", "", codes.OK, "", 1},
		{"blue", "02:00:00:00:00:01", "", codes.FailedPrecondition, "", 0},
		{"blue", "", "10.0.0.5", codes.OK, "", 1},
		{"logicalBridges/blue", "", "", codes.OK, "", 2},
	} {
		answer, err := c.ClearDuplicate(t.Context(),
			&p4evpnv1.ClearDuplicateRequest{LogicalBridge: tc.bridge, MacAddress: tc.mac, Address: tc.address})
		var fields []string
		if tc.field != "" {
			fields = []string{tc.field}
		}
		wantCode(t, err, tc.want, fields...)
		if answer.GetCleared() != tc.cleared {
			t.Errorf("%+v: %d cleared", tc, answer.GetCleared())
		}
	}
	f.err = errNotReady
	_, err := c.ClearDuplicate(t.Context(),
		&p4evpnv1.ClearDuplicateRequest{LogicalBridge: "blue", MacAddress: "02:00:00:00:00:01"})
	wantCode(t, err, codes.Unavailable)
}

func TestClearingADuplicateTakesAnOperator(t *testing.T) {
	if reads(p4evpnv1.Duplicates_ClearDuplicate_FullMethodName) {
		t.Error("a viewer may clear duplicates")
	}
}
