package api

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	netpb "github.com/opiproject/opi-api/network/opinetcommon/v1alpha1/gen/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/p4evpn/p4evpn/controller/intent"
)

var (
	gateway4 = v4(10, 10, 0, 1, 24)
	gateway6 = v6([]byte{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 15: 1}, 64)
	mapped   = v6([]byte{10: 0xff, 11: 0xff, 12: 10, 15: 1}, 120)
)

// newRouter is a gateway with VRF green, whose SVI svi10 is on vlan10, and with
// vlan20, which has no SVI.
func newRouter(t testing.TB) *gateway {
	g := newGateway(t)
	g.createBridge(t, "vlan10", 10, 10)
	g.createBridge(t, "vlan20", 20, 20)
	g.createVRF(t, "green", 100)
	g.createSVI(t, "svi10", sviMsg("vrfs/green", "logicalBridges/vlan10", gateway4, gateway6))
	return g
}

func TestVRFsAndSVIsAreGivenBackInTheProtosForm(t *testing.T) {
	g := newGateway(t)
	g.createBridge(t, "vlan10", 10, 10)
	for _, loopback := range []*netpb.IPPrefix{v4(10, 100, 0, 1, 24), v4(10, 100, 0, 1, 32), gateway6} {
		for _, vtep := range []*netpb.IPPrefix{nil, v4(10, 0, 0, 2, 24), gateway6} {
			want := &pb.VrfSpec{Vni: proto.Uint32(100), LoopbackIpPrefix: loopback, VtepIpPrefix: vtep}
			v, err := g.vrfs.CreateVrf(t.Context(),
				&pb.CreateVrfRequest{VrfId: "green", Vrf: &pb.Vrf{Name: "ignored", Spec: want}})
			if err != nil {
				t.Fatal(err)
			}
			if v.Name != "vrfs/green" || !proto.Equal(v.Spec, want) ||
				v.Status.OperStatus != pb.VRFOperStatus_VRF_OPER_STATUS_DOWN {
				t.Errorf("%v, want the spec %v", v, want)
			}
			if _, err := g.vrfs.DeleteVrf(t.Context(), &pb.DeleteVrfRequest{Name: v.Name}); err != nil {
				t.Fatal(err)
			}
		}
	}
	g.createVRF(t, "green", 0)
	m := sviMsg("//network.opiproject.org/vrfs/green", "//network.opiproject.org/bridges/vlan10", gateway4, gateway6)
	m.Spec.EnableBgp, m.Spec.RemoteAs = true, 65000
	s := g.createSVI(t, "svi10", m)
	want := sviMsg("vrfs/green", "logicalBridges/vlan10", gateway4, gateway6).Spec
	want.EnableBgp, want.RemoteAs = true, 65000
	if s.Name != "svis/svi10" || !proto.Equal(s.Spec, want) ||
		s.Status.OperStatus != pb.SVIOperStatus_SVI_OPER_STATUS_DOWN {
		t.Errorf("%v, want the spec %v", s, want)
	}
	_ = g.store.View(func(tx *intent.Tx) error {
		if s, _ := tx.SVIs().Get("svi10"); s.VRF != "green" || s.Bridge != "vlan10" ||
			s.Gateways[0] != netip.MustParsePrefix("10.10.0.1/24") {
			t.Errorf("stored as %+v", s)
		}
		return nil
	})
}

func TestABadVRFIsRefusedByFieldAndChangesNothing(t *testing.T) {
	g := newRouter(t)
	before := frozen(t, g.store)
	for _, c := range []struct {
		name   string
		id     string
		change func(*pb.VrfSpec)
		code   codes.Code
		fields []string
	}{
		{"upper case", "Blue", nil, codes.InvalidArgument, []string{"vrf_id"}},
		{"short id", "abc", nil, codes.InvalidArgument, []string{"vrf_id"}},
		{"VNI 0", "blue", func(s *pb.VrfSpec) { s.Vni = proto.Uint32(0) }, codes.InvalidArgument, []string{"vrf.spec.vni"}},
		{"VNI of 25 bits", "blue", func(s *pb.VrfSpec) { s.Vni = proto.Uint32(1 << 24) }, codes.InvalidArgument, []string{"vrf.spec.vni"}},
		{"no loopback", "blue", func(s *pb.VrfSpec) { s.LoopbackIpPrefix = nil }, codes.InvalidArgument, []string{"vrf.spec.loopback_ip_prefix"}},
		{"empty loopback", "blue", func(s *pb.VrfSpec) { s.LoopbackIpPrefix = &netpb.IPPrefix{} }, codes.InvalidArgument, []string{"vrf.spec.loopback_ip_prefix.addr"}},
		{"multicast loopback", "blue", func(s *pb.VrfSpec) { s.LoopbackIpPrefix = v4(239, 0, 0, 1, 32) }, codes.InvalidArgument, []string{"vrf.spec.loopback_ip_prefix"}},
		{"mapped loopback", "blue", func(s *pb.VrfSpec) { s.LoopbackIpPrefix = mapped }, codes.InvalidArgument, []string{"vrf.spec.loopback_ip_prefix"}},
		{"loopback of length 33", "blue", func(s *pb.VrfSpec) { s.LoopbackIpPrefix = v4(10, 1, 1, 1, 33) }, codes.InvalidArgument, []string{"vrf.spec.loopback_ip_prefix.len"}},
		{"VTEP of length 129", "blue", func(s *pb.VrfSpec) { s.VtepIpPrefix = v6(make([]byte, 16), 129) }, codes.InvalidArgument, []string{"vrf.spec.vtep_ip_prefix.len"}},
		{"unspecified VTEP", "blue", func(s *pb.VrfSpec) { s.VtepIpPrefix = v4(0, 0, 0, 0, 32) }, codes.InvalidArgument, []string{"vrf.spec.vtep_ip_prefix"}},
		{"an id and two fields", "v", func(s *pb.VrfSpec) { s.Vni, s.LoopbackIpPrefix = proto.Uint32(0), nil }, codes.InvalidArgument,
			[]string{"vrf_id", "vrf.spec.vni", "vrf.spec.loopback_ip_prefix"}},
		{"VNI of another VRF", "blue", func(s *pb.VrfSpec) { s.Vni = proto.Uint32(100) }, codes.FailedPrecondition, []string{"vrf.spec.vni"}},
		{"VNI of a bridge", "blue", func(s *pb.VrfSpec) { s.Vni = proto.Uint32(10) }, codes.FailedPrecondition, []string{"vrf.spec.vni"}},
		{"id of another", "green", nil, codes.AlreadyExists, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := vrfMsg(101)
			if c.change != nil {
				c.change(m.Spec)
			}
			_, err := g.vrfs.CreateVrf(t.Context(), &pb.CreateVrfRequest{VrfId: c.id, Vrf: m})
			wantCode(t, err, c.code, c.fields...)
			if !reflect.DeepEqual(frozen(t, g.store), before) {
				t.Error("the refused call changed something")
			}
		})
	}
	_, err := g.vrfs.CreateVrf(t.Context(), &pb.CreateVrfRequest{VrfId: "blue"})
	wantCode(t, err, codes.InvalidArgument, "vrf")
	_, err = g.vrfs.CreateVrf(t.Context(), &pb.CreateVrfRequest{VrfId: "blue", Vrf: &pb.Vrf{}})
	wantCode(t, err, codes.InvalidArgument, "vrf.spec")
	_, err = g.bridges.CreateLogicalBridge(t.Context(),
		&pb.CreateLogicalBridgeRequest{LogicalBridgeId: "vlan30", LogicalBridge: bridgeMsg(30, 100)})
	wantCode(t, err, codes.FailedPrecondition, "logical_bridge.spec.vni")
	if subjects := subjectsOf(err); !slices.Equal(subjects, []string{"vrfs/green"}) {
		t.Errorf("a bridge with the VNI of a VRF: details name %q", subjects)
	}
}

func TestABadSVIIsRefusedByFieldAndChangesNothing(t *testing.T) {
	g := newRouter(t)
	before := frozen(t, g.store)
	many := make([]*netpb.IPPrefix, intent.MaxGateways+1)
	for i := range many {
		many[i] = v4(10, 99, byte(i), 1, 24)
	}
	for _, c := range []struct {
		name   string
		id     string
		change func(*pb.SviSpec)
		code   codes.Code
		fields []string
	}{
		{"bad id", "SVI20", nil, codes.InvalidArgument, []string{"svi_id"}},
		{"no VRF", "svi20", func(s *pb.SviSpec) { s.Vrf = "" }, codes.InvalidArgument, []string{"svi.spec.vrf"}},
		{"a VRF's name without collection", "svi20", func(s *pb.SviSpec) { s.Vrf = "green" }, codes.InvalidArgument, []string{"svi.spec.vrf"}},
		{"a VRF's name of another kind", "svi20", func(s *pb.SviSpec) { s.Vrf = "logicalBridges/vlan20" }, codes.InvalidArgument, []string{"svi.spec.vrf"}},
		{"no bridge", "svi20", func(s *pb.SviSpec) { s.LogicalBridge = "" }, codes.InvalidArgument, []string{"svi.spec.logical_bridge"}},
		{"no MAC", "svi20", func(s *pb.SviSpec) { s.MacAddress = nil }, codes.InvalidArgument, []string{"svi.spec.mac_address"}},
		{"MAC of 5 bytes", "svi20", func(s *pb.SviSpec) { s.MacAddress = stationMAC[:5] }, codes.InvalidArgument, []string{"svi.spec.mac_address"}},
		{"zero MAC", "svi20", func(s *pb.SviSpec) { s.MacAddress = make([]byte, 6) }, codes.InvalidArgument, []string{"svi.spec.mac_address"}},
		{"multicast MAC", "svi20", func(s *pb.SviSpec) { s.MacAddress = []byte{1, 0, 0x5e, 0, 0, 1} }, codes.InvalidArgument, []string{"svi.spec.mac_address"}},
		{"no gateway", "svi20", func(s *pb.SviSpec) { s.GwIpPrefix = nil }, codes.InvalidArgument, []string{"svi.spec.gw_ip_prefix"}},
		{"an empty gateway", "svi20", func(s *pb.SviSpec) { s.GwIpPrefix = append(s.GwIpPrefix, &netpb.IPPrefix{}) }, codes.InvalidArgument, []string{"svi.spec.gw_ip_prefix[1].addr"}},
		{"too many gateways", "svi20", func(s *pb.SviSpec) { s.GwIpPrefix = many }, codes.InvalidArgument, []string{"svi.spec.gw_ip_prefix"}},
		{"mapped gateway", "svi20", func(s *pb.SviSpec) { s.GwIpPrefix[0] = mapped }, codes.InvalidArgument, []string{"svi.spec.gw_ip_prefix[0]"}},
		{"multicast gateway", "svi20", func(s *pb.SviSpec) { s.GwIpPrefix[0] = v4(224, 0, 0, 5, 24) }, codes.InvalidArgument, []string{"svi.spec.gw_ip_prefix[0]"}},
		{"unspecified gateway", "svi20", func(s *pb.SviSpec) { s.GwIpPrefix[0] = v4(0, 0, 0, 0, 24) }, codes.InvalidArgument, []string{"svi.spec.gw_ip_prefix[0]"}},
		{"link-local gateway", "svi20", func(s *pb.SviSpec) { s.GwIpPrefix[0] = v6([]byte{0: 0xfe, 1: 0x80, 15: 1}, 64) }, codes.InvalidArgument, []string{"svi.spec.gw_ip_prefix[0]"}},
		{"a subnet as gateway", "svi20", func(s *pb.SviSpec) { s.GwIpPrefix[0] = v4(10, 20, 0, 0, 24) }, codes.InvalidArgument, []string{"svi.spec.gw_ip_prefix[0]"}},
		{"gateway of length 0", "svi20", func(s *pb.SviSpec) { s.GwIpPrefix[0] = v4(10, 20, 0, 1, 0) }, codes.InvalidArgument, []string{"svi.spec.gw_ip_prefix[0].len"}},
		{"gateway of another family than said", "svi20", func(s *pb.SviSpec) { s.GwIpPrefix[0].Addr.Af = netpb.IpAf_IP_AF_INET6 }, codes.InvalidArgument, []string{"svi.spec.gw_ip_prefix[0].addr.af"}},
		{"two gateways that overlap", "svi20", func(s *pb.SviSpec) { s.GwIpPrefix = append(s.GwIpPrefix, v4(10, 20, 0, 9, 16)) }, codes.InvalidArgument, []string{"svi.spec.gw_ip_prefix[1]"}},
		{"BGP without an AS", "svi20", func(s *pb.SviSpec) { s.EnableBgp = true }, codes.InvalidArgument, []string{"svi.spec.remote_as"}},
		{"AS of 17 bits", "svi20", func(s *pb.SviSpec) { s.EnableBgp, s.RemoteAs = true, 65536 }, codes.InvalidArgument, []string{"svi.spec.remote_as"}},
		{"no such VRF", "svi20", func(s *pb.SviSpec) { s.Vrf = "vrfs/black" }, codes.NotFound, []string{"svi.spec.vrf"}},
		{"no such bridge", "svi20", func(s *pb.SviSpec) { s.LogicalBridge = "logicalBridges/vlan99" }, codes.NotFound, []string{"svi.spec.logical_bridge"}},
		{"a bridge that has one", "svi20", func(s *pb.SviSpec) { s.LogicalBridge = "logicalBridges/vlan10" }, codes.FailedPrecondition, []string{"svi.spec.logical_bridge"}},
		{"a subnet that another has", "svi20", func(s *pb.SviSpec) { s.GwIpPrefix[0] = v4(10, 10, 0, 9, 24) }, codes.FailedPrecondition, []string{"svi.spec.gw_ip_prefix[0]"}},
		{"an AS without BGP", "svi20", func(s *pb.SviSpec) { s.RemoteAs = 65000 }, codes.InvalidArgument, []string{"svi.spec.remote_as"}},
		{"id of another", "svi10", nil, codes.AlreadyExists, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := sviMsg("vrfs/green", "logicalBridges/vlan20", v4(10, 20, 0, 1, 24))
			if c.change != nil {
				c.change(m.Spec)
			}
			_, err := g.svis.CreateSvi(t.Context(), &pb.CreateSviRequest{SviId: c.id, Svi: m})
			wantCode(t, err, c.code, c.fields...)
			if !reflect.DeepEqual(frozen(t, g.store), before) {
				t.Error("the refused call changed something")
			}
		})
	}
	_, err := g.svis.CreateSvi(t.Context(), &pb.CreateSviRequest{SviId: "svi20"})
	wantCode(t, err, codes.InvalidArgument, "svi")
	_, err = g.svis.CreateSvi(t.Context(), &pb.CreateSviRequest{SviId: "svi20", Svi: &pb.Svi{}})
	wantCode(t, err, codes.InvalidArgument, "svi.spec")
}

func TestNamesOfVRFsAndSVIsAreAcceptedInEveryForm(t *testing.T) {
	g := newRouter(t)
	for _, prefix := range []string{"", "//network.opiproject.org/"} {
		v, err := g.vrfs.GetVrf(t.Context(), &pb.GetVrfRequest{Name: prefix + "vrfs/green"})
		if err != nil || v.Name != "vrfs/green" {
			t.Errorf("%v %v", v, err)
		}
		s, err := g.svis.GetSvi(t.Context(), &pb.GetSviRequest{Name: prefix + "svis/svi10"})
		if err != nil || s.Name != "svis/svi10" {
			t.Errorf("%v %v", s, err)
		}
	}
	for _, name := range []string{"", "green", "/green", "vrfs/", "svis/", "vrfs/green/x", "svis/svi10/x",
		"bridges/green", "//other.org/vrfs/green", "vrfs/GREEN"} {
		_, err := g.vrfs.GetVrf(t.Context(), &pb.GetVrfRequest{Name: name})
		wantCode(t, err, codes.InvalidArgument, "name")
		_, err = g.vrfs.DeleteVrf(t.Context(), &pb.DeleteVrfRequest{Name: name, AllowMissing: true})
		wantCode(t, err, codes.InvalidArgument, "name")
		_, err = g.svis.GetSvi(t.Context(), &pb.GetSviRequest{Name: name})
		wantCode(t, err, codes.InvalidArgument, "name")
		m := sviMsg("vrfs/green", "logicalBridges/vlan20", gateway4)
		m.Name = name
		_, err = g.svis.UpdateSvi(t.Context(), &pb.UpdateSviRequest{Svi: m, AllowMissing: true})
		wantCode(t, err, codes.InvalidArgument, "svi.name")
	}
	_, err := g.vrfs.GetVrf(t.Context(), &pb.GetVrfRequest{Name: "vrfs/black"})
	wantCode(t, err, codes.NotFound)
	_, err = g.svis.GetSvi(t.Context(), &pb.GetSviRequest{Name: "svis/svi99"})
	wantCode(t, err, codes.NotFound)
	for _, name := range []string{g.createVRF(t, "", 0).Name,
		g.createSVI(t, "", sviMsg("vrfs/green", "logicalBridges/vlan20", v4(10, 20, 0, 1, 24))).Name} {
		if _, id, _ := strings.Cut(name, "/"); intent.CheckID(id) != nil {
			t.Errorf("%s: %v", name, intent.CheckID(id))
		}
	}
}

func TestCreatingAnEqualVRFOrSVIAgainGivesItBack(t *testing.T) {
	g := newRouter(t)
	if first, again := g.createVRF(t, "blue", 101), g.createVRF(t, "blue", 101); !proto.Equal(first, again) {
		t.Errorf("%v, then %v", first, again)
	}
	again := g.createSVI(t, "svi10", sviMsg("//network.opiproject.org/vrfs/green",
		"//network.opiproject.org/bridges/vlan10", gateway6, gateway4))
	if !proto.Equal(again.Spec, sviMsg("vrfs/green", "logicalBridges/vlan10", gateway4, gateway6).Spec) {
		t.Errorf("%v, want it as it was", again)
	}
	_, err := g.svis.CreateSvi(t.Context(),
		&pb.CreateSviRequest{SviId: "svi10", Svi: sviMsg("vrfs/green", "logicalBridges/vlan10", gateway4)})
	wantCode(t, err, codes.AlreadyExists)
}

func TestUpdateMasksOfVRFs(t *testing.T) {
	spec := func(change func(*pb.VrfSpec)) *pb.VrfSpec {
		s := vrfMsg(100).Spec
		change(s)
		return s
	}
	sent := &pb.VrfSpec{Vni: proto.Uint32(101), LoopbackIpPrefix: v4(9, 9, 9, 9, 32)}
	for _, c := range []struct {
		name  string
		mask  []string
		sent  *pb.VrfSpec
		want  *pb.VrfSpec // nil: refused
		code  codes.Code
		field string
	}{
		{"VNI", []string{"spec.vni"}, sent, spec(func(s *pb.VrfSpec) { s.Vni = proto.Uint32(101) }), 0, ""},
		{"the VNI is cleared", []string{"spec.vni"}, &pb.VrfSpec{}, spec(func(s *pb.VrfSpec) { s.Vni = nil }), 0, ""},
		{"the VTEP is cleared", []string{"spec.vtep_ip_prefix"}, sent, spec(func(s *pb.VrfSpec) { s.VtepIpPrefix = nil }), 0, ""},
		{"length alone", []string{"spec.loopback_ip_prefix.len"}, sent, spec(func(s *pb.VrfSpec) { s.LoopbackIpPrefix.Len = 32 }), 0, ""},
		{"star", []string{"*"}, sent, sent, 0, ""},
		{"no mask", nil, &pb.VrfSpec{Vni: proto.Uint32(101)}, spec(func(s *pb.VrfSpec) { s.Vni = proto.Uint32(101) }), 0, ""},
		{"output only", []string{"status"}, sent, vrfMsg(100).Spec, 0, ""},
		{"the loopback is cleared", []string{"spec.loopback_ip_prefix"}, &pb.VrfSpec{}, nil, codes.InvalidArgument, "vrf.spec.loopback_ip_prefix"},
		{"unknown path", []string{"spec.vlan_id"}, sent, nil, codes.InvalidArgument, "update_mask"},
		{"the VNI of a bridge", []string{"spec.vni"}, &pb.VrfSpec{Vni: proto.Uint32(10)}, nil, codes.FailedPrecondition, "vrf.spec.vni"},
		{"the address of an SVI", []string{"spec.loopback_ip_prefix"}, &pb.VrfSpec{LoopbackIpPrefix: gateway4}, spec(func(s *pb.VrfSpec) { s.LoopbackIpPrefix = gateway4 }), 0, ""},
		{"the VTEP is none", []string{"spec.vtep_ip_prefix"}, &pb.VrfSpec{VtepIpPrefix: v4(0, 0, 0, 0, 0)}, spec(func(s *pb.VrfSpec) { s.VtepIpPrefix = nil }), 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRouter(t)
			before := frozen(t, g.store)
			got, err := g.vrfs.UpdateVrf(t.Context(),
				&pb.UpdateVrfRequest{Vrf: &pb.Vrf{Name: "vrfs/green", Spec: c.sent}, UpdateMask: mask(c.mask...)})
			if c.want == nil {
				wantCode(t, err, c.code, c.field)
				if !reflect.DeepEqual(frozen(t, g.store), before) {
					t.Error("the refused call changed something")
				}
				return
			}
			if diff := cmp.Diff(c.want, got.GetSpec(), protocmp.Transform()); diff != "" || err != nil {
				t.Errorf("error %v, spec (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestUpdateMasksOfSVIs(t *testing.T) {
	spec := func(change func(*pb.SviSpec)) *pb.SviSpec {
		s := sviMsg("vrfs/green", "logicalBridges/vlan10", gateway4, gateway6).Spec
		change(s)
		return s
	}
	sent := &pb.SviSpec{Vrf: "vrfs/blue", LogicalBridge: "//network.opiproject.org/bridges/vlan20",
		MacAddress: []byte{2, 0, 0, 0, 0, 9},
		GwIpPrefix: []*netpb.IPPrefix{v4(10, 10, 0, 9, 24)}, EnableBgp: true, RemoteAs: 65009}
	all := proto.CloneOf(sent)
	all.LogicalBridge = "logicalBridges/vlan20"
	for _, c := range []struct {
		name  string
		mask  []string
		sent  *pb.SviSpec
		want  *pb.SviSpec // nil: refused
		code  codes.Code
		field string
	}{
		{"the list of gateways is replaced", []string{"spec.gw_ip_prefix"}, sent, spec(func(s *pb.SviSpec) { s.GwIpPrefix = sent.GwIpPrefix }), 0, ""},
		{"no mask: a list that is set replaces the other", nil, &pb.SviSpec{GwIpPrefix: sent.GwIpPrefix}, spec(func(s *pb.SviSpec) { s.GwIpPrefix = sent.GwIpPrefix }), 0, ""},
		{"VRF", []string{"spec.vrf"}, sent, spec(func(s *pb.SviSpec) { s.Vrf = "vrfs/blue" }), 0, ""},
		{"bridge", []string{"spec.logical_bridge"}, sent, spec(func(s *pb.SviSpec) { s.LogicalBridge = "logicalBridges/vlan20" }), 0, ""},
		{"MAC", []string{"spec.mac_address"}, sent, spec(func(s *pb.SviSpec) { s.MacAddress = sent.MacAddress }), 0, ""},
		{"BGP and its AS", []string{"spec.enable_bgp", "spec.remote_as"}, sent, spec(func(s *pb.SviSpec) { s.EnableBgp, s.RemoteAs = true, 65009 }), 0, ""},
		{"star", []string{"*"}, sent, all, 0, ""},
		{"no mask, nothing set", nil, &pb.SviSpec{}, spec(func(*pb.SviSpec) {}), 0, ""},
		{"an AS without its BGP", []string{"spec.remote_as"}, sent, nil, codes.InvalidArgument, "svi.spec.remote_as"},
		{"BGP without its AS", []string{"spec.enable_bgp"}, sent, nil, codes.InvalidArgument, "svi.spec.remote_as"},
		{"no gateways", []string{"spec.gw_ip_prefix"}, &pb.SviSpec{}, nil, codes.InvalidArgument, "svi.spec.gw_ip_prefix"},
		{"no VRF", []string{"spec.vrf"}, &pb.SviSpec{}, nil, codes.InvalidArgument, "svi.spec.vrf"},
		{"no MAC", []string{"spec.mac_address"}, &pb.SviSpec{}, nil, codes.InvalidArgument, "svi.spec.mac_address"},
		{"a path into the list", []string{"spec.gw_ip_prefix.len"}, sent, nil, codes.InvalidArgument, "update_mask"},
		{"a bridge that is not there", []string{"spec.logical_bridge"}, &pb.SviSpec{LogicalBridge: "logicalBridges/vlan99"}, nil, codes.NotFound, "svi.spec.logical_bridge"},
		{"a VRF that is not there", []string{"spec.vrf"}, &pb.SviSpec{Vrf: "vrfs/black"}, nil, codes.NotFound, "svi.spec.vrf"},
		{"a VRF that has the subnet", []string{"spec.vrf"}, &pb.SviSpec{Vrf: "vrfs/yellow"}, nil, codes.FailedPrecondition, "svi.spec.gw_ip_prefix[0]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRouter(t)
			g.createVRF(t, "blue", 0)
			g.createVRF(t, "yellow", 0)
			g.createBridge(t, "vlan30", 30, 0)
			g.createSVI(t, "svi30", sviMsg("vrfs/yellow", "logicalBridges/vlan30", gateway4))
			before := frozen(t, g.store)
			got, err := g.svis.UpdateSvi(t.Context(),
				&pb.UpdateSviRequest{Svi: &pb.Svi{Name: "svis/svi10", Spec: c.sent}, UpdateMask: mask(c.mask...)})
			if c.want == nil {
				wantCode(t, err, c.code, c.field)
				if !reflect.DeepEqual(frozen(t, g.store), before) {
					t.Error("the refused call changed something")
				}
				return
			}
			if diff := cmp.Diff(c.want, got.GetSpec(), protocmp.Transform()); diff != "" || err != nil {
				t.Errorf("error %v, spec (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestMissingVRFsAndSVIsAreAllowedOnlyWhenAsked(t *testing.T) {
	g := newRouter(t)
	v, s := vrfMsg(101), sviMsg("vrfs/blue", "logicalBridges/vlan20", gateway4)
	v.Name, s.Name = "vrfs/blue", "svis/svi20"
	_, err := g.vrfs.UpdateVrf(t.Context(), &pb.UpdateVrfRequest{Vrf: v})
	wantCode(t, err, codes.NotFound)
	_, err = g.vrfs.DeleteVrf(t.Context(), &pb.DeleteVrfRequest{Name: v.Name})
	wantCode(t, err, codes.NotFound)
	_, err = g.svis.DeleteSvi(t.Context(), &pb.DeleteSviRequest{Name: s.Name})
	wantCode(t, err, codes.NotFound)
	_, err = g.svis.UpdateSvi(t.Context(), &pb.UpdateSviRequest{Svi: s, AllowMissing: true})
	wantCode(t, err, codes.NotFound, "svi.spec.vrf") // of what it refers to
	if got, err := g.vrfs.UpdateVrf(t.Context(), &pb.UpdateVrfRequest{Vrf: v, AllowMissing: true}); err != nil ||
		!proto.Equal(got.Spec, v.Spec) {
		t.Errorf("%v %v, want it created as sent", got, err)
	}
	if got, err := g.svis.UpdateSvi(t.Context(), &pb.UpdateSviRequest{Svi: s, AllowMissing: true}); err != nil ||
		!proto.Equal(got.Spec, s.Spec) {
		t.Errorf("%v %v, want it created as sent", got, err)
	}
	for range 2 {
		if _, err := g.svis.DeleteSvi(t.Context(), &pb.DeleteSviRequest{Name: s.Name, AllowMissing: true}); err != nil {
			t.Error(err)
		}
		if _, err := g.vrfs.DeleteVrf(t.Context(), &pb.DeleteVrfRequest{Name: v.Name, AllowMissing: true}); err != nil {
			t.Error(err)
		}
	}
}

func TestVRFsAndBridgesInUseAreNotDeletedAndTheUsersAreListed(t *testing.T) {
	g := newRouter(t)
	g.createSVI(t, "svi20", sviMsg("vrfs/green", "logicalBridges/vlan20", v4(10, 20, 0, 1, 24)))
	g.createPort(t, "port1", accessMsg("logicalBridges/vlan10"))
	before := frozen(t, g.store)
	_, vrf := g.vrfs.DeleteVrf(t.Context(), &pb.DeleteVrfRequest{Name: "vrfs/green", AllowMissing: true})
	_, bridge := g.bridges.DeleteLogicalBridge(t.Context(), &pb.DeleteLogicalBridgeRequest{Name: "logicalBridges/vlan10"})
	for err, want := range map[error][]string{vrf: {"svis/svi10", "svis/svi20"},
		bridge: {"bridgePorts/port1", "svis/svi10"}} {
		wantCode(t, err, codes.FailedPrecondition)
		if subjects := subjectsOf(err); !slices.Equal(subjects, want) {
			t.Errorf("details list %q, want %q", subjects, want)
		}
		for _, name := range want {
			if _, id, _ := strings.Cut(name, "/"); !strings.Contains(status.Convert(err).Message(), id) {
				t.Errorf("%v does not list %s", err, id)
			}
		}
	}
	if !reflect.DeepEqual(frozen(t, g.store), before) {
		t.Error("a refused call changed something")
	}
	for _, name := range []string{"svis/svi10", "svis/svi20"} {
		if _, err := g.svis.DeleteSvi(t.Context(), &pb.DeleteSviRequest{Name: name}); err != nil {
			t.Error(err)
		}
	}
	if _, err := g.vrfs.DeleteVrf(t.Context(), &pb.DeleteVrfRequest{Name: "vrfs/green"}); err != nil {
		t.Error(err)
	}
}

func TestVRFsAndSVIsComeInPages(t *testing.T) {
	g := newGateway(t)
	g.createVRF(t, "green", 0)
	for i := range 7 {
		g.createVRF(t, fmt.Sprintf("vrf%d", i), uint32(100+i))
		b := g.createBridge(t, fmt.Sprintf("vlan%d", i), uint32(i+1), 0)
		g.createSVI(t, fmt.Sprintf("svi%d", i), sviMsg("vrfs/green", b.Name, v4(10, byte(i), 0, 1, 24)))
	}
	var got []string
	for token, first := "", true; first || token != ""; first = false {
		r, err := g.vrfs.ListVrfs(t.Context(), &pb.ListVrfsRequest{PageSize: 3, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range r.Vrfs {
			got = append(got, v.Name)
		}
		token = r.NextPageToken
	}
	if want := []string{"vrfs/green", "vrfs/vrf0", "vrfs/vrf1", "vrfs/vrf2", "vrfs/vrf3", "vrfs/vrf4", "vrfs/vrf5",
		"vrfs/vrf6"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	r, err := g.svis.ListSvis(t.Context(), &pb.ListSvisRequest{PageSize: 6})
	if err != nil || len(r.Svis) != 6 || r.NextPageToken == "" {
		t.Fatal(r, err)
	}
	_, err = g.vrfs.ListVrfs(t.Context(), &pb.ListVrfsRequest{PageToken: r.NextPageToken})
	wantCode(t, err, codes.InvalidArgument, "page_token")
	_, err = g.svis.ListSvis(t.Context(), &pb.ListSvisRequest{PageSize: -1})
	wantCode(t, err, codes.InvalidArgument, "page_size")
	if r, err := g.svis.ListSvis(t.Context(), &pb.ListSvisRequest{PageToken: r.NextPageToken}); err != nil ||
		len(r.Svis) != 1 || r.NextPageToken != "" {
		t.Errorf("%v %v, want the last one", r, err)
	}
}

func TestStatusOfVRFsAndSVIsIsWhatTheControllerSays(t *testing.T) {
	details := `{"reason":"no namespace could be made"}`
	g := serve(t, intent.NewMemory(), fakeStatus{
		{Kind: intent.KindVRF, ID: "green"}: {Oper: intent.StatusUp, Components: []intent.Component{{Name: "pipeline", Status: intent.ComponentSuccess}}},
		{Kind: intent.KindSVI, ID: "svi10"}: {Oper: intent.StatusToBeDeleted, Components: []intent.Component{
			{Name: "slowpath", Status: intent.ComponentError, Details: details}}},
	}, nil)
	g.createBridge(t, "vlan10", 10, 10)
	v := g.createVRF(t, "green", 100)
	if diff := cmp.Diff(&pb.VrfStatus{OperStatus: pb.VRFOperStatus_VRF_OPER_STATUS_UP, Components: []*pb.Component{
		{Name: "pipeline", Status: pb.CompStatus_COMP_STATUS_SUCCESS}}}, v.Status, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	s := g.createSVI(t, "svi10", sviMsg("vrfs/green", "logicalBridges/vlan10", gateway4))
	if diff := cmp.Diff(&pb.SviStatus{OperStatus: pb.SVIOperStatus_SVI_OPER_STATUS_TO_BE_DELETED,
		Components: []*pb.Component{
			{Name: "slowpath", Status: pb.CompStatus_COMP_STATUS_ERROR, Details: details}}}, s.Status, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if v := g.createVRF(t, "blue", 101); v.Status.OperStatus != pb.VRFOperStatus_VRF_OPER_STATUS_DOWN ||
		v.Status.Components[0].Status != pb.CompStatus_COMP_STATUS_PENDING {
		t.Errorf("%v before the controller saw it, want down and pending", v.Status)
	}
}
