package api

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	netpb "github.com/opiproject/opi-api/network/opinetcommon/v1alpha1/gen/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/p4evpn/p4evpn/controller/intent"
)

func TestWhatIsCreatedIsGivenBackInTheProtosForm(t *testing.T) {
	g := newGateway(t)
	for _, vtep := range []*netpb.IPPrefix{nil, v4(10, 100, 0, 1, 24),
		v6([]byte{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 15: 1}, 64)} {
		m := bridgeMsg(10, 10)
		m.Name = "ignored by AIP-133"
		m.Status = &pb.LogicalBridgeStatus{OperStatus: pb.LBOperStatus_LB_OPER_STATUS_UP}
		m.Spec.VtepIpPrefix = vtep
		created, err := g.bridges.CreateLogicalBridge(t.Context(),
			&pb.CreateLogicalBridgeRequest{LogicalBridgeId: "vlan10", LogicalBridge: m})
		if err != nil {
			t.Fatal(err)
		}
		if created.Name != "logicalBridges/vlan10" || !proto.Equal(created.Spec, m.Spec) {
			t.Errorf("%v, want the spec %v", created, m.Spec)
		}
		if created.Status.OperStatus != pb.LBOperStatus_LB_OPER_STATUS_DOWN {
			t.Errorf("status %v before the controller saw it", created.Status)
		}
		if _, err := g.bridges.DeleteLogicalBridge(t.Context(),
			&pb.DeleteLogicalBridgeRequest{Name: created.Name}); err != nil {
			t.Fatal(err)
		}
	}
	g.createBridge(t, "vlan10", 10, 10)
	p := g.createPort(t, "port1", accessMsg("//network.opiproject.org/bridges/vlan10"))
	if want := accessMsg("logicalBridges/vlan10"); p.Name != "bridgePorts/port1" || !proto.Equal(p.Spec, want.Spec) {
		t.Errorf("%v, want the spec %v", p, want.Spec)
	}
}

func TestTheVTEPIsKeptAsTheAddressThatItIs(t *testing.T) {
	g := newGateway(t)
	g.createBridge(t, "vlan10", 10, 10)
	_ = g.store.View(func(tx *intent.Tx) error {
		if b, _ := tx.Bridges().Get("vlan10"); b.VTEP != netip.MustParsePrefix("10.0.0.2/32") {
			t.Errorf("VTEP %v", b.VTEP)
		}
		return nil
	})
}

func TestNamesAreAcceptedInEveryForm(t *testing.T) {
	g := newGateway(t)
	g.createBridge(t, "vlan10", 10, 10)
	g.createPort(t, "port1", trunkMsg())
	for _, name := range []string{"logicalBridges/vlan10", "//network.opiproject.org/logicalBridges/vlan10",
		"//network.opiproject.org/bridges/vlan10"} {
		m, err := g.bridges.GetLogicalBridge(t.Context(), &pb.GetLogicalBridgeRequest{Name: name})
		if err != nil || m.Name != "logicalBridges/vlan10" {
			t.Errorf("%s: %v %v", name, m, err)
		}
	}
	for _, name := range []string{"bridgePorts/port1", "//network.opiproject.org/bridgePorts/port1",
		"//network.opiproject.org/ports/port1"} {
		m, err := g.ports.GetBridgePort(t.Context(), &pb.GetBridgePortRequest{Name: name})
		if err != nil || m.Name != "bridgePorts/port1" {
			t.Errorf("%s: %v %v", name, m, err)
		}
	}
	for _, name := range []string{"", "vlan10", "logicalBridges/", "logicalBridges/vlan10/x", "/logicalBridges/vlan10",
		"vrfs/vlan10",
		"//other.org/logicalBridges/vlan10", "logicalBridges/VLAN10", "bridgePorts/vlan10"} {
		_, err := g.bridges.GetLogicalBridge(t.Context(), &pb.GetLogicalBridgeRequest{Name: name})
		wantCode(t, err, codes.InvalidArgument, "name")
		_, err = g.bridges.DeleteLogicalBridge(t.Context(), &pb.DeleteLogicalBridgeRequest{Name: name, AllowMissing: true})
		wantCode(t, err, codes.InvalidArgument, "name")
		m := bridgeMsg(11, 11)
		m.Name = name
		_, err = g.bridges.UpdateLogicalBridge(t.Context(),
			&pb.UpdateLogicalBridgeRequest{LogicalBridge: m, AllowMissing: true})
		wantCode(t, err, codes.InvalidArgument, "logical_bridge.name")
	}
	_, err := g.bridges.GetLogicalBridge(t.Context(), &pb.GetLogicalBridgeRequest{Name: "logicalBridges/vlan99"})
	wantCode(t, err, codes.NotFound)
}

func TestCreatingAnEqualObjectAgainGivesItBack(t *testing.T) {
	g := newGateway(t)
	first := g.createBridge(t, "vlan10", 10, 10)
	if again := g.createBridge(t, "vlan10", 10, 10); !proto.Equal(first, again) {
		t.Errorf("%v, then %v", first, again)
	}
	g.createBridge(t, "vlan20", 20, 20)
	g.createPort(t, "port1", trunkMsg("logicalBridges/vlan10", "logicalBridges/vlan20"))
	g.createPort(t, "port1", trunkMsg("//network.opiproject.org/bridges/vlan20", "logicalBridges/vlan10"))
	_, err := g.ports.CreateBridgePort(t.Context(),
		&pb.CreateBridgePortRequest{BridgePortId: "port1", BridgePort: trunkMsg("logicalBridges/vlan10")})
	wantCode(t, err, codes.AlreadyExists)
}

func TestAnEmptyIDIsMadeUp(t *testing.T) {
	g := newGateway(t)
	a, b := g.createBridge(t, "", 10, 10), g.createBridge(t, "", 20, 20)
	p := g.createPort(t, "", trunkMsg(a.Name, b.Name))
	if a.Name == b.Name {
		t.Errorf("both are %s", a.Name)
	}
	for _, name := range []string{a.Name, b.Name, p.Name} {
		if _, id, _ := strings.Cut(name, "/"); intent.CheckID(id) != nil {
			t.Errorf("%s: %v", name, intent.CheckID(id))
		}
	}
}

func TestUpdateMasks(t *testing.T) {
	full := func() *pb.LogicalBridge { return bridgeMsg(10, 10) }
	spec := func(change func(*pb.LogicalBridgeSpec)) *pb.LogicalBridge {
		m := &pb.LogicalBridge{Spec: &pb.LogicalBridgeSpec{}}
		change(m.Spec)
		return m
	}
	patched := func(change func(*pb.LogicalBridgeSpec)) *pb.LogicalBridgeSpec {
		m := full()
		change(m.Spec)
		return m.Spec
	}
	up := &pb.LogicalBridgeStatus{OperStatus: pb.LBOperStatus_LB_OPER_STATUS_UP}
	for _, c := range []struct {
		name  string
		mask  []string
		sent  *pb.LogicalBridge
		want  *pb.LogicalBridgeSpec // nil: refused
		field string
	}{
		{"one field", []string{"spec.vlan_id"}, spec(func(s *pb.LogicalBridgeSpec) { s.VlanId, s.Vni = 11, proto.Uint32(99) }),
			patched(func(s *pb.LogicalBridgeSpec) { s.VlanId = 11 }), ""},
		{"two fields", []string{"spec.vlan_id", "spec.vni"}, spec(func(s *pb.LogicalBridgeSpec) { s.VlanId, s.Vni = 11, proto.Uint32(99) }),
			patched(func(s *pb.LogicalBridgeSpec) { s.VlanId, s.Vni = 11, proto.Uint32(99) }), ""},
		{"an optional field is cleared", []string{"spec.vni"}, spec(func(*pb.LogicalBridgeSpec) {}),
			patched(func(s *pb.LogicalBridgeSpec) { s.Vni = nil }), ""},
		{"an optional message is cleared, without a spec sent", []string{"spec.vtep_ip_prefix"}, &pb.LogicalBridge{},
			patched(func(s *pb.LogicalBridgeSpec) { s.VtepIpPrefix = nil }), ""},
		{"deep paths", []string{"spec.vtep_ip_prefix.len"}, spec(func(s *pb.LogicalBridgeSpec) { s.VtepIpPrefix = v4(9, 9, 9, 9, 24) }),
			patched(func(s *pb.LogicalBridgeSpec) { s.VtepIpPrefix = v4(10, 0, 0, 2, 24) }), ""},
		{"deepest path", []string{"spec.vtep_ip_prefix.addr.v4_addr"}, spec(func(s *pb.LogicalBridgeSpec) { s.VtepIpPrefix = v4(9, 9, 9, 9, 24) }),
			patched(func(s *pb.LogicalBridgeSpec) { s.VtepIpPrefix = v4(9, 9, 9, 9, 32) }), ""},
		{"the other family", []string{"spec.vtep_ip_prefix.addr"}, spec(func(s *pb.LogicalBridgeSpec) { s.VtepIpPrefix = v6([]byte{0: 0x20, 15: 9}, 1) }),
			patched(func(s *pb.LogicalBridgeSpec) { s.VtepIpPrefix = v6([]byte{0: 0x20, 15: 9}, 32) }), ""},
		{"the whole spec", []string{"spec"}, spec(func(s *pb.LogicalBridgeSpec) { s.VlanId = 11 }), &pb.LogicalBridgeSpec{VlanId: 11}, ""},
		{"star is a full replacement", []string{"*"}, spec(func(s *pb.LogicalBridgeSpec) { s.VlanId = 11 }), &pb.LogicalBridgeSpec{VlanId: 11}, ""},
		{"no mask: what is set", nil, spec(func(s *pb.LogicalBridgeSpec) { s.VlanId = 11 }), patched(func(s *pb.LogicalBridgeSpec) { s.VlanId = 11 }), ""},
		{"no mask: parts of messages", nil, spec(func(s *pb.LogicalBridgeSpec) { s.VtepIpPrefix = &netpb.IPPrefix{Len: 16} }),
			patched(func(s *pb.LogicalBridgeSpec) { s.VtepIpPrefix = v4(10, 0, 0, 2, 16) }), ""},
		{"no mask, nothing set", nil, &pb.LogicalBridge{}, full().Spec, ""},
		{"output only alone", []string{"status", "status.oper_status"}, &pb.LogicalBridge{Spec: &pb.LogicalBridgeSpec{VlanId: 11}, Status: up}, full().Spec, ""},
		{"output only beside others", []string{"status", "spec.vlan_id"}, &pb.LogicalBridge{Spec: &pb.LogicalBridgeSpec{VlanId: 11}, Status: up},
			patched(func(s *pb.LogicalBridgeSpec) { s.VlanId = 11 }), ""},
		{"the name", []string{"name"}, spec(func(s *pb.LogicalBridgeSpec) { s.VlanId = 11 }), full().Spec, ""},
		{"unknown path", []string{"spec.vlan"}, full(), nil, "update_mask"},
		{"unknown path at the top", []string{"vlan_id"}, full(), nil, "update_mask"},
		{"unknown path below a known one", []string{"spec.vlan_id.x"}, full(), nil, "update_mask"},
		{"empty path", []string{""}, full(), nil, "update_mask"},
		{"star and another", []string{"*", "spec"}, full(), nil, "update_mask"},
		{"a good path and an unknown one", []string{"spec.vlan_id", "spec.x"}, spec(func(s *pb.LogicalBridgeSpec) { s.VlanId = 11 }), nil, "update_mask"},
		{"a required field is cleared", []string{"spec.vlan_id"}, &pb.LogicalBridge{}, nil, "logical_bridge.spec.vlan_id"},
		{"the spec is cleared", []string{"spec"}, &pb.LogicalBridge{}, nil, "logical_bridge.spec"},
		{"star without a spec", []string{"*"}, &pb.LogicalBridge{}, nil, "logical_bridge.spec"},
		{"a wrong value", []string{"spec.vlan_id"}, spec(func(s *pb.LogicalBridgeSpec) { s.VlanId = 5000 }), nil, "logical_bridge.spec.vlan_id"},
		{"an address of another family than said", []string{"spec.vtep_ip_prefix.addr.v6_addr"}, spec(func(s *pb.LogicalBridgeSpec) { s.VtepIpPrefix = v6(make([]byte, 16), 1) }), nil, "logical_bridge.spec.vtep_ip_prefix.addr.af"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGateway(t)
			created := g.createBridge(t, "vlan10", 10, 10)
			g.createBridge(t, "other", 20, 20)
			before := frozen(t, g.store)
			c.sent.Name = "logicalBridges/vlan10"
			got, err := g.bridges.UpdateLogicalBridge(t.Context(),
				&pb.UpdateLogicalBridgeRequest{LogicalBridge: c.sent, UpdateMask: mask(c.mask...)})
			if c.want == nil {
				if c.field == "logical_bridge.spec.vtep_ip_prefix.addr.af" { // the unspecified address is wrong, too
					wantCode(t, err, codes.InvalidArgument, c.field, "logical_bridge.spec.vtep_ip_prefix")
				} else {
					wantCode(t, err, codes.InvalidArgument, c.field)
				}
				if !reflect.DeepEqual(frozen(t, g.store), before) {
					t.Error("the refused call changed something")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.Spec, protocmp.Transform()); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			if got.Name != created.Name || got.Status.OperStatus == pb.LBOperStatus_LB_OPER_STATUS_UP {
				t.Errorf("name or status taken from the request: %v", got)
			}
			read, err := g.bridges.GetLogicalBridge(t.Context(), &pb.GetLogicalBridgeRequest{Name: created.Name})
			if err != nil || !proto.Equal(read, got) {
				t.Errorf("update answered %v, but get %v (%v)", got, read, err)
			}
		})
	}
}

func TestAnUpdateIsCheckedAsACreateIs(t *testing.T) {
	g := newGateway(t)
	g.createBridge(t, "vlan10", 10, 10)
	g.createBridge(t, "vlan20", 20, 20)
	g.createPort(t, "port1", accessMsg("logicalBridges/vlan10"))
	before := frozen(t, g.store)
	m := bridgeMsg(10, 10)
	m.Name = "logicalBridges/vlan20"
	_, err := g.bridges.UpdateLogicalBridge(t.Context(), &pb.UpdateLogicalBridgeRequest{LogicalBridge: m})
	wantCode(t, err, codes.FailedPrecondition, "logical_bridge.spec.vlan_id", "logical_bridge.spec.vni")
	p := accessMsg("logicalBridges/vlan99")
	p.Name = "bridgePorts/port1"
	_, err = g.ports.UpdateBridgePort(t.Context(), &pb.UpdateBridgePortRequest{BridgePort: p})
	wantCode(t, err, codes.NotFound, "bridge_port.spec.logical_bridges[0]")
	p.Spec = &pb.BridgePortSpec{}
	_, err = g.ports.UpdateBridgePort(t.Context(),
		&pb.UpdateBridgePortRequest{BridgePort: p, UpdateMask: mask("spec.logical_bridges")})
	wantCode(t, err, codes.InvalidArgument, "bridge_port.spec.logical_bridges")
	_, err = g.ports.UpdateBridgePort(t.Context(), &pb.UpdateBridgePortRequest{})
	wantCode(t, err, codes.InvalidArgument, "bridge_port")
	if !reflect.DeepEqual(frozen(t, g.store), before) {
		t.Error("a refused call changed something")
	}
	p.Spec = &pb.BridgePortSpec{LogicalBridges: []string{"logicalBridges/vlan20"}}
	got, err := g.ports.UpdateBridgePort(t.Context(),
		&pb.UpdateBridgePortRequest{BridgePort: p, UpdateMask: mask("spec.logical_bridges")})
	if want := accessMsg("logicalBridges/vlan20"); err != nil || !proto.Equal(got.Spec, want.Spec) {
		t.Errorf("%v %v, want %v", got, err, want.Spec)
	}
}

func TestMissingObjectsAreAllowedOnlyWhenAsked(t *testing.T) {
	g := newGateway(t)
	m := bridgeMsg(10, 10)
	m.Name = "logicalBridges/vlan10"
	_, err := g.bridges.UpdateLogicalBridge(t.Context(), &pb.UpdateLogicalBridgeRequest{LogicalBridge: m})
	wantCode(t, err, codes.NotFound)
	_, err = g.bridges.DeleteLogicalBridge(t.Context(), &pb.DeleteLogicalBridgeRequest{Name: m.Name})
	wantCode(t, err, codes.NotFound)
	if _, err = g.bridges.DeleteLogicalBridge(t.Context(),
		&pb.DeleteLogicalBridgeRequest{Name: m.Name, AllowMissing: true}); err != nil {
		t.Error(err)
	}
	// The mask does not count when the object is made.
	got, err := g.bridges.UpdateLogicalBridge(t.Context(),
		&pb.UpdateLogicalBridgeRequest{LogicalBridge: m, AllowMissing: true,
			UpdateMask: mask("spec.vni", "nonsense")})
	if err != nil || !proto.Equal(got.Spec, m.Spec) {
		t.Errorf("%v %v, want it created as sent", got, err)
	}
	m.Name, m.Spec.VlanId = "logicalBridges/vlan20", 10
	_, err = g.bridges.UpdateLogicalBridge(t.Context(),
		&pb.UpdateLogicalBridgeRequest{LogicalBridge: m, AllowMissing: true})
	wantCode(t, err, codes.FailedPrecondition, "logical_bridge.spec.vlan_id", "logical_bridge.spec.vni")
	if _, err = g.bridges.DeleteLogicalBridge(t.Context(),
		&pb.DeleteLogicalBridgeRequest{Name: "logicalBridges/vlan10", AllowMissing: true}); err != nil {
		t.Error(err)
	}
	_, err = g.bridges.GetLogicalBridge(t.Context(), &pb.GetLogicalBridgeRequest{Name: "logicalBridges/vlan10"})
	wantCode(t, err, codes.NotFound)
}

func TestAListOfNothingIsEmpty(t *testing.T) {
	g := newGateway(t)
	r, err := g.bridges.ListLogicalBridges(t.Context(), &pb.ListLogicalBridgesRequest{})
	if err != nil || len(r.LogicalBridges) != 0 || r.NextPageToken != "" {
		t.Errorf("%v %v", r, err)
	}
}

func TestPageSizes(t *testing.T) {
	g := newGateway(t)
	for i := uint32(1); i <= 300; i++ {
		g.createBridge(t, fmt.Sprintf("vlan%d", i), i, 0)
	}
	for size, want := range map[int32]int{0: 50, 1: 1, 49: 49, 250: 250, 251: 250, 1<<31 - 1: 250} {
		r, err := g.bridges.ListLogicalBridges(t.Context(), &pb.ListLogicalBridgesRequest{PageSize: size})
		if err != nil || len(r.LogicalBridges) != want || r.NextPageToken == "" {
			t.Errorf("size %d: %d objects, error %v, want %d and a token", size, len(r.LogicalBridges), err, want)
		}
	}
	for _, size := range []int32{-1, -1 << 31} {
		_, err := g.bridges.ListLogicalBridges(t.Context(), &pb.ListLogicalBridgesRequest{PageSize: size})
		wantCode(t, err, codes.InvalidArgument, "page_size")
	}
}

func TestAPageTokenThatIsNotOursIsRefused(t *testing.T) {
	g := newGateway(t)
	g.createPort(t, "port1", trunkMsg())
	g.createPort(t, "port2", trunkMsg())
	r, err := g.ports.ListBridgePorts(t.Context(), &pb.ListBridgePortsRequest{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"x", "port1", "!!!", r.NextPageToken, r.NextPageToken + "A",
		strings.Repeat("A", 100000)} {
		_, err := g.bridges.ListLogicalBridges(t.Context(), &pb.ListLogicalBridgesRequest{PageToken: token})
		wantCode(t, err, codes.InvalidArgument, "page_token")
	}
}

func TestPagesSurviveARestartAndChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	open := func() *gateway {
		store, err := intent.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		return serve(t, store, fakeStatus{}, nil)
	}
	g := open()
	var want []string
	for i := range 20 {
		id := fmt.Sprintf("port%02d", i)
		want = append(want, "bridgePorts/"+id)
		g.createPort(t, id, trunkMsg())
	}
	var got []string
	token := ""
	for page := 0; page == 0 || token != ""; page++ {
		r, err := g.ports.ListBridgePorts(t.Context(), &pb.ListBridgePortsRequest{PageSize: 6, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range r.BridgePorts {
			got = append(got, p.Name)
		}
		token = r.NextPageToken
		// What was shown last goes, and something new comes before it.
		if _, err := g.ports.DeleteBridgePort(t.Context(), &pb.DeleteBridgePortRequest{Name: got[len(got)-1]}); err != nil {
			t.Fatal(err)
		}
		g.createPort(t, fmt.Sprintf("aaaa%d", page), trunkMsg())
		if err := g.store.Close(); err != nil {
			t.Fatal(err)
		}
		g = open()
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestStatusIsWhatTheControllerSays(t *testing.T) {
	details := `{"reason":"no port is named port1 and none has this MAC alone"}`
	g := serve(t, intent.NewMemory(), fakeStatus{
		{Kind: intent.KindLogicalBridge, ID: "vlan10"}: {Oper: intent.StatusUp, Components: []intent.Component{
			{Name: "bgp", Status: intent.ComponentSuccess, Details: "{}"}}},
		{Kind: intent.KindBridgePort, ID: "port1"}: {Oper: intent.StatusDown, Components: []intent.Component{
			{Name: "pipeline", Status: intent.ComponentError, Details: details}}},
	}, nil)
	b := g.createBridge(t, "vlan10", 10, 10)
	if diff := cmp.Diff(&pb.LogicalBridgeStatus{OperStatus: pb.LBOperStatus_LB_OPER_STATUS_UP, Components: []*pb.Component{
		{Name: "bgp", Status: pb.CompStatus_COMP_STATUS_SUCCESS, Details: "{}"}}}, b.Status, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	b.Spec.Vni = proto.Uint32(11)
	got, err := g.bridges.UpdateLogicalBridge(t.Context(), &pb.UpdateLogicalBridgeRequest{LogicalBridge: b})
	if err != nil || got.Status.OperStatus != pb.LBOperStatus_LB_OPER_STATUS_UP {
		t.Errorf("%v %v", got, err)
	}
	g.createPort(t, "port1", accessMsg(b.Name))
	r, err := g.ports.ListBridgePorts(t.Context(), &pb.ListBridgePortsRequest{})
	if err != nil || len(r.BridgePorts) != 1 {
		t.Fatal(r, err)
	}
	if diff := cmp.Diff(&pb.BridgePortStatus{OperStatus: pb.BPOperStatus_BP_OPER_STATUS_DOWN, Components: []*pb.Component{
		{Name: "pipeline", Status: pb.CompStatus_COMP_STATUS_ERROR, Details: details}}}, r.BridgePorts[0].Status, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	g.createPort(t, "port2", trunkMsg())
	p, err := g.ports.GetBridgePort(t.Context(), &pb.GetBridgePortRequest{Name: "bridgePorts/port2"})
	if err != nil || p.Status.OperStatus != pb.BPOperStatus_BP_OPER_STATUS_DOWN || len(p.Status.Components) != 1 ||
		p.Status.Components[0].Status != pb.CompStatus_COMP_STATUS_PENDING {
		t.Errorf("%v %v, want down and pending", p, err)
	}
}

// leavingStatus says that objects were deleted and are still on the target.
type leavingStatus struct {
	fakeStatus
	objects []intent.Object
}

func (f leavingStatus) Leaving(_ context.Context, kind intent.Kind) (all []intent.Leaving) {
	for _, o := range f.objects {
		if o.Ref().Kind == kind {
			all = append(all, intent.Leaving{Object: o, Status: intent.Status{Oper: intent.StatusToBeDeleted,
				Components: []intent.Component{{Name: "pipeline", Status: intent.ComponentPending,
					Details: `{"reason":"the target is not connected"}`}}}})
		}
	}
	return all
}

func TestADeletedObjectIsShownUntilTheTargetHasNoneOfIt(t *testing.T) {
	gone := intent.LogicalBridge{ID: "vlan15", VLAN: 15, VNI: 15}
	g := serve(t, intent.NewMemory(), leavingStatus{objects: []intent.Object{gone, intent.VRF{ID: "green", VNI: 100}}},
		nil)
	for _, vlan := range []uint32{10, 20, 30} {
		g.createBridge(t, fmt.Sprintf("vlan%d", vlan), vlan, vlan)
	}
	m, err := g.bridges.GetLogicalBridge(t.Context(), &pb.GetLogicalBridgeRequest{Name: "logicalBridges/vlan15"})
	if err != nil || m.Spec.VlanId != 15 || m.Status.OperStatus != pb.LBOperStatus_LB_OPER_STATUS_TO_BE_DELETED ||
		m.Status.Components[0].Status != pb.CompStatus_COMP_STATUS_PENDING {
		t.Errorf("%v %v", m, err)
	}
	var names []string
	for token, first := "", true; first || token != ""; first = false {
		r, err := g.bridges.ListLogicalBridges(t.Context(), &pb.ListLogicalBridgesRequest{PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range r.LogicalBridges {
			names = append(names, b.Name)
		}
		token = r.NextPageToken
	}
	if want := []string{"logicalBridges/vlan10", "logicalBridges/vlan15", "logicalBridges/vlan20",
		"logicalBridges/vlan30"}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
	before := frozen(t, g.store)
	m.Spec.Vni = proto.Uint32(16)
	_, err = g.bridges.UpdateLogicalBridge(t.Context(), &pb.UpdateLogicalBridgeRequest{LogicalBridge: m})
	wantCode(t, err, codes.FailedPrecondition)
	p := accessMsg(m.Name)
	_, err = g.ports.CreateBridgePort(t.Context(), &pb.CreateBridgePortRequest{BridgePort: p})
	wantCode(t, err, codes.NotFound, "bridge_port.spec.logical_bridges[0]")
	for _, allow := range []bool{false, true} { // it is being deleted, as asked
		if _, err := g.bridges.DeleteLogicalBridge(t.Context(),
			&pb.DeleteLogicalBridgeRequest{Name: m.Name, AllowMissing: allow}); err != nil {
			t.Error(err)
		}
	}
	if !reflect.DeepEqual(frozen(t, g.store), before) {
		t.Error("something changed")
	}
	// Its VLAN and VNI are free, and so is its id.
	g.createBridge(t, "vlan16", 15, 15)
	if m := g.createBridge(t, "vlan15", 16, 16); m.Status.OperStatus == pb.LBOperStatus_LB_OPER_STATUS_TO_BE_DELETED {
		t.Errorf("%v", m)
	}
	r, err := g.bridges.ListLogicalBridges(t.Context(), &pb.ListLogicalBridgesRequest{})
	if err != nil || len(r.LogicalBridges) != 5 || r.LogicalBridges[1].Spec.VlanId != 16 {
		t.Errorf("%v %v, want the new one in the place of the deleted one", r, err)
	}
}
