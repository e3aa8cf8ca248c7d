package api

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/ether"
)

// frozenMACs are the MACs of a bridge that are.
type frozenMACs struct {
	bridge string
	macs   map[ether.MAC]bool
	err    error
}

func (f *frozenMACs) ClearDuplicate(_ context.Context, bridge string, mac ether.MAC) (bool, error) {
	was := bridge == f.bridge && f.macs[mac]
	delete(f.macs, mac)
	return was, f.err
}

func TestAFrozenMACIsClearedOnce(t *testing.T) {
	f := &frozenMACs{bridge: "blue", macs: map[ether.MAC]bool{mac1: true, mac2: true}}
	g := serveConfig(t, Config{Store: intent.NewMemory(), Status: fakeStatus{}, Duplicates: f}, nil)
	g.createBridge(t, "blue", 10, 100)
	g.createBridge(t, "green", 20, 200)
	c := p4evpnv1.NewDuplicatesClient(g.conn)
	for _, tc := range []struct {
		bridge, mac string
		want        codes.Code
		fields      []string
	}{
		{"", "02:00:00:00:00:01", codes.InvalidArgument, []string{"logical_bridge"}},
		{"vrfs/blue", "02:00:00:00:00:01", codes.InvalidArgument, []string{"logical_bridge"}},
		{"black", "02:00:00:00:00:01", codes.NotFound, nil},
		{"blue", "", codes.InvalidArgument, []string{"mac_address"}},
		{"blue", "02:00:00:00:00:01:02", codes.InvalidArgument, []string{"mac_address"}},
		{"green", "02:00:00:00:00:09", codes.FailedPrecondition, nil},
		{"blue", "02:00:00:00:00:01", codes.OK, nil},
		{"blue", "02:00:00:00:00:01", codes.FailedPrecondition, nil},
		{"logicalBridges/blue", "02:00:00:00:00:02", codes.OK, nil},
	} {
		_, err := c.ClearDuplicate(t.Context(),
			&p4evpnv1.ClearDuplicateRequest{LogicalBridge: tc.bridge, MacAddress: tc.mac})
		wantCode(t, err, tc.want, tc.fields...)
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
