package api

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

func (g *gateway) neighbors() pb.NeighborServiceClient   { return pb.NewNeighborServiceClient(g.conn) }
func (g *gateway) instances() pb.InstanceServiceClient   { return pb.NewInstanceServiceClient(g.conn) }
func (g *gateway) staticMACs() pb.StaticMacServiceClient { return pb.NewStaticMacServiceClient(g.conn) }
func (g *gateway) speakers() pb.SpeakerServiceClient     { return pb.NewSpeakerServiceClient(g.conn) }
func (g *gateway) targetPorts() pb.PortServiceClient     { return pb.NewPortServiceClient(g.conn) }
func neighborMsg(as uint32) *pb.Neighbor                 { return &pb.Neighbor{Spec: &pb.NeighborSpec{RemoteAs: as}} }
func staticMsg(bridge, port, mac string, ips ...string) *pb.StaticMac {
	return &pb.StaticMac{Spec: &pb.StaticMacSpec{LogicalBridge: bridge, BridgePort: port, MacAddress: mac,
		IpAddresses: ips}}
}

func (g *gateway) createNeighbor(t testing.TB, id string, m *pb.Neighbor) *pb.Neighbor {
	t.Helper()
	n, err := g.neighbors().CreateNeighbor(t.Context(), &pb.CreateNeighborRequest{NeighborId: id, Neighbor: m})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestANeighbourIsShownWithItsSessionAndWithoutItsPassword(t *testing.T) {
	v := &controllertest.View{Rows: controllertest.Rows{Neighbors: []view.Neighbor{{Address: netip.MustParseAddr(
		"10.1.1.1"), AS: 65101, State: "established", Uptime: time.Minute, Received: 7, Advertised: 3}}}}
	up := intent.Status{Oper: intent.StatusUp}
	g := serve(t, intent.NewMemory(intent.Neighbor{Address: netip.MustParseAddr("10.1.1.9"), AS: 9}),
		fakeStatus{{Kind: intent.KindNeighbor, ID: "10.1.1.1"}: up}, v)
	want := neighborMsg(65101)
	want.Spec.Port, want.Spec.LocalAddress, want.Spec.TtlSecurity, want.Spec.Passive = 1179, "10.1.1.0", 254, true
	want.Spec.AllowOwnAs, want.Spec.Shutdown, want.Spec.ShutdownMessage = 10, true, "moved"
	want.Spec.HoldTime, want.Spec.Keepalive, want.Spec.ConnectRetry = durationpb.New(9*time.Second),
		durationpb.New(3*time.Second), durationpb.New(time.Second)
	want.Spec.MacIpOnly = true
	want.Spec.Bfd, want.Spec.BfdInterval = true, durationpb.New(50*time.Millisecond)
	want.Spec.BfdMultiplier, want.Spec.BfdHops = 5, 2
	want.Spec.MaxPrefixes, want.Spec.Families = 100, []pb.Family{pb.Family_FAMILY_EVPN, pb.Family_FAMILY_IPV4}
	sent := proto.CloneOf(want)
	sent.Spec.Password = "secret"
	for range 2 { // an equal one again is the same one
		n := g.createNeighbor(t, "10.1.1.1", sent)
		if !proto.Equal(n.Spec, want.Spec) || n.Name != "neighbors/10.1.1.1" || !n.Status.HasPassword {
			t.Errorf("got %v", n)
		}
	}
	list, err := g.neighbors().ListNeighbors(t.Context(), &pb.ListNeighborsRequest{})
	if err != nil || len(list.Neighbors) != 2 {
		t.Fatalf("%v %v", list, err)
	}
	first, file := list.Neighbors[0].Status, list.Neighbors[1].Status
	if first.State != pb.State_STATE_UP || first.Session != pb.SessionState_SESSION_STATE_ESTABLISHED ||
		first.Received != 7 || first.Advertised != 3 || first.Uptime.AsDuration() != time.Minute || first.Configured {
		t.Errorf("the neighbour's status is %v", first)
	}
	if !file.Configured {
		t.Errorf("the configured neighbour's status is %v", file)
	}
	// A change of one field keeps the rest, the password too.
	n, err := g.neighbors().UpdateNeighbor(t.Context(), &pb.UpdateNeighborRequest{
		Neighbor:   &pb.Neighbor{Name: "neighbors/10.1.1.1", Spec: &pb.NeighborSpec{}},
		UpdateMask: mask("spec.hold_time", "spec.keepalive", "spec.families")})
	if err != nil || n.Spec.HoldTime != nil || len(n.Spec.Families) != 0 || n.Spec.Port != 1179 || !n.Status.HasPassword {
		t.Errorf("updated: %v %v", n, err)
	}
	_ = g.store.View(func(tx *intent.Tx) error {
		if n, _ := tx.Neighbors().Get("10.1.1.1"); n.Password != "secret" {
			t.Errorf("stored: %+v", n)
		}
		return nil
	})
	_, err = g.neighbors().DeleteNeighbor(t.Context(), &pb.DeleteNeighborRequest{Name: "neighbors/10.1.1.9"})
	wantCode(t, err, codes.FailedPrecondition)
	if _, err := g.neighbors().DeleteNeighbor(t.Context(),
		&pb.DeleteNeighborRequest{Name: "neighbors/10.1.1.1"}); err != nil {
		t.Error(err)
	}
}

func TestASettingOfANeighbourIsChangedAndUnsetAlone(t *testing.T) {
	g := newGateway(t)
	n := neighborMsg(65101)
	n.Spec.Multihop, n.Spec.Shutdown, n.Spec.ShutdownMessage = 4, true, "moved"
	g.createNeighbor(t, "10.1.1.1", n)
	update := func(change *pb.NeighborSpec, paths ...string) (*pb.Neighbor, error) {
		return g.neighbors().UpdateNeighbor(t.Context(), &pb.UpdateNeighborRequest{
			Neighbor: &pb.Neighbor{Name: "neighbors/10.1.1.1", Spec: change}, UpdateMask: mask(paths...)})
	}
	_, err := update(&pb.NeighborSpec{TtlSecurity: 4}, "spec.ttl_security")
	wantCode(t, err, codes.InvalidArgument, "neighbor.spec.ttl_security") // beside the multihop that it has
	got, err := update(&pb.NeighborSpec{TtlSecurity: 4}, "spec.ttl_security", "spec.multihop", "spec.shutdown")
	want := neighborMsg(65101)
	want.Spec.TtlSecurity, want.Spec.ShutdownMessage = 4, "moved"
	if err != nil || !proto.Equal(got.Spec, want.Spec) {
		t.Errorf("%v %v, want %v", got, err, want.Spec)
	}
}

func TestInstancesAndStaticMACsAreGivenBackAsTheyWereGiven(t *testing.T) {
	g := newGateway(t)
	g.createBridge(t, "blue", 10, 100)
	g.createPort(t, "port1", trunkMsg())
	spec := &pb.InstanceSpec{RouteDistinguisher: "65000:10", ImportRouteTargets: []string{"65000:10", "10.0.0.1:7"},
		ExportRouteTargets: []string{"4200000000:1"}, MacIpOnly: true, EthernetTag: 4294967295,
		TaggedMulticast: true}
	i, err := g.instances().CreateInstance(t.Context(),
		&pb.CreateInstanceRequest{InstanceId: "bridge.blue", Instance: &pb.Instance{Spec: spec}})
	if err != nil || !proto.Equal(i.Spec, spec) || i.Name != "instances/bridge.blue" {
		t.Errorf("%v %v", i, err)
	}
	i, err = g.instances().UpdateInstance(t.Context(),
		&pb.UpdateInstanceRequest{Instance: &pb.Instance{Name: i.Name}, UpdateMask: mask("spec.route_distinguisher")})
	if err != nil || i.Spec.RouteDistinguisher != "" || len(i.Spec.ImportRouteTargets) != 2 {
		t.Errorf("%v %v", i, err)
	}
	m, err := g.staticMACs().CreateStaticMac(t.Context(), &pb.CreateStaticMacRequest{
		StaticMac: staticMsg("//network.opiproject.org/bridges/blue", "bridgePorts/port1", "02:00:00:00:01:0A", "10.0.0.5",
			"2001:DB8::5")})
	want := staticMsg("logicalBridges/blue", "bridgePorts/port1", "02:00:00:00:01:0a", "10.0.0.5", "2001:db8::5")
	if err != nil || !proto.Equal(m.Spec, want.Spec) || !strings.HasPrefix(m.Name, "staticMacs/mac-") {
		t.Errorf("%v %v", m, err)
	}
	_, err = g.bridges.DeleteLogicalBridge(t.Context(), &opi.DeleteLogicalBridgeRequest{Name: "logicalBridges/blue"})
	wantCode(t, err, codes.FailedPrecondition)
	s, err := g.speakers().CreateSpeaker(t.Context(),
		&pb.CreateSpeakerRequest{Speaker: &pb.Speaker{Spec: &pb.SpeakerSpec{AsNumber: 65000, RouterId: "10.0.0.1"}}})
	if err != nil || s.Name != "speakers/default" || s.Spec.RouterId != "10.0.0.1" {
		t.Errorf("%v %v", s, err)
	}
}

func TestBadRequestsOfTheOwnServicesNameTheFieldAndChangeNothing(t *testing.T) {
	g := newGateway(t)
	g.createBridge(t, "blue", 10, 100)
	g.createPort(t, "port1", accessMsg("logicalBridges/blue"))
	neighbor := func(id string, change func(*pb.NeighborSpec)) func() error {
		return func() error {
			m := neighborMsg(65000)
			change(m.Spec)
			_, err := g.neighbors().CreateNeighbor(t.Context(), &pb.CreateNeighborRequest{NeighborId: id, Neighbor: m})
			return err
		}
	}
	instance := func(id string, spec *pb.InstanceSpec) func() error {
		return func() error {
			_, err := g.instances().CreateInstance(t.Context(),
				&pb.CreateInstanceRequest{InstanceId: id, Instance: &pb.Instance{Spec: spec}})
			return err
		}
	}
	static := func(m *pb.StaticMac) func() error {
		return func() error {
			_, err := g.staticMACs().CreateStaticMac(t.Context(), &pb.CreateStaticMacRequest{StaticMacId: "host1", StaticMac: m})
			return err
		}
	}
	keep := func(*pb.NeighborSpec) {}
	const a = "10.1.1.1"
	for name, tc := range map[string]struct {
		do     func() error
		code   codes.Code
		fields []string
	}{
		"no address":            {neighbor("", keep), codes.InvalidArgument, []string{"neighbor_id"}},
		"a name for an address": {neighbor("leaf", keep), codes.InvalidArgument, []string{"neighbor_id"}},
		"address in capitals":   {neighbor("2001:DB8::1", keep), codes.InvalidArgument, []string{"neighbor_id"}},
		"no AS":                 {neighbor(a, func(s *pb.NeighborSpec) { s.RemoteAs = 0 }), codes.InvalidArgument, []string{"neighbor.spec.remote_as"}},
		"port":                  {neighbor(a, func(s *pb.NeighborSpec) { s.Port = 65536 }), codes.InvalidArgument, []string{"neighbor.spec.port"}},
		"multihop":              {neighbor(a, func(s *pb.NeighborSpec) { s.Multihop = 256 }), codes.InvalidArgument, []string{"neighbor.spec.multihop"}},
		"own AS":                {neighbor(a, func(s *pb.NeighborSpec) { s.AllowOwnAs = 257 }), codes.InvalidArgument, []string{"neighbor.spec.allow_own_as"}},
		"hops":                  {neighbor(a, func(s *pb.NeighborSpec) { s.TtlSecurity = 257 }), codes.InvalidArgument, []string{"neighbor.spec.ttl_security"}},
		"hops said twice":       {neighbor(a, func(s *pb.NeighborSpec) { s.TtlSecurity, s.Multihop = 1, 1 }), codes.InvalidArgument, []string{"neighbor.spec.ttl_security"}},
		"farewell":              {neighbor(a, func(s *pb.NeighborSpec) { s.ShutdownMessage = strings.Repeat("x", 256) }), codes.InvalidArgument, []string{"neighbor.spec.shutdown_message"}},
		"BFD's interval":        {neighbor(a, func(s *pb.NeighborSpec) { s.BfdInterval = durationpb.New(time.Hour) }), codes.InvalidArgument, []string{"neighbor.spec.bfd_interval"}},
		"BFD's multiplier":      {neighbor(a, func(s *pb.NeighborSpec) { s.BfdMultiplier = 256 }), codes.InvalidArgument, []string{"neighbor.spec.bfd_multiplier"}},
		"BFD's hops":            {neighbor(a, func(s *pb.NeighborSpec) { s.BfdHops = 256 }), codes.InvalidArgument, []string{"neighbor.spec.bfd_hops"}},
		"tag of a VRF":          {instance("vrf.blue", &pb.InstanceSpec{EthernetTag: 1}), codes.InvalidArgument, []string{"instance.spec.ethernet_tag"}},
		"switch of a VRF":       {instance("vrf.blue", &pb.InstanceSpec{LogicalSwitch: "ls1"}), codes.InvalidArgument, []string{"instance.spec.logical_switch"}},
		"learned in a VRF":      {instance("vrf.blue", &pb.InstanceSpec{MaxMacs: 1}), codes.InvalidArgument, []string{"instance.spec.max_macs"}},
		"addresses in a VRF":    {instance("vrf.blue", &pb.InstanceSpec{MaxAddresses: 1}), codes.InvalidArgument, []string{"instance.spec.max_addresses"}},
		"routes of a bridge":    {instance("bridge.blue", &pb.InstanceSpec{MaxRoutes: 1}), codes.InvalidArgument, []string{"instance.spec.max_routes"}},
		"switch of no name":     {instance("bridge.blue", &pb.InstanceSpec{LogicalSwitch: "a\nb"}), codes.InvalidArgument, []string{"instance.spec.logical_switch"}},
		"local address":         {neighbor(a, func(s *pb.NeighborSpec) { s.LocalAddress = "here" }), codes.InvalidArgument, []string{"neighbor.spec.local_address"}},
		"family":                {neighbor(a, func(s *pb.NeighborSpec) { s.Families = []pb.Family{pb.Family_FAMILY_EVPN, 99} }), codes.InvalidArgument, []string{"neighbor.spec.families[1]"}},
		"endless hold time":     {neighbor(a, func(s *pb.NeighborSpec) { s.HoldTime = &durationpb.Duration{Seconds: 1 << 60} }), codes.InvalidArgument, []string{"neighbor.spec.hold_time"}},
		"half a second":         {neighbor(a, func(s *pb.NeighborSpec) { s.ConnectRetry = durationpb.New(time.Second / 2) }), codes.InvalidArgument, []string{"neighbor.spec.connect_retry"}},
		"instance of nothing":   {instance("", &pb.InstanceSpec{}), codes.InvalidArgument, []string{"instance_id"}},
		"instance without kind": {instance("blue", &pb.InstanceSpec{}), codes.InvalidArgument, []string{"instance_id"}},
		"instance of none":      {instance("vrf.blue", &pb.InstanceSpec{}), codes.NotFound, []string{"instance_id"}},
		"RD":                    {instance("bridge.blue", &pb.InstanceSpec{RouteDistinguisher: "x:1"}), codes.InvalidArgument, []string{"instance.spec.route_distinguisher"}},
		"MACs of a VRF":         {instance("vrf.blue", &pb.InstanceSpec{MacIpOnly: true}), codes.InvalidArgument, []string{"instance.spec.mac_ip_only"}},
		"type 3 of a VRF":       {instance("vrf.blue", &pb.InstanceSpec{TaggedMulticast: true}), codes.InvalidArgument, []string{"instance.spec.tagged_multicast"}},
		"no RD at all":          {instance("bridge.blue", &pb.InstanceSpec{RouteDistinguisher: "0:0"}), codes.InvalidArgument, []string{"instance.spec.route_distinguisher"}},
		"route target":          {instance("bridge.blue", &pb.InstanceSpec{ImportRouteTargets: []string{"1:1", "65536:65536"}}), codes.InvalidArgument, []string{"instance.spec.import_route_targets[1]"}},
		"static without spec":   {static(&pb.StaticMac{}), codes.InvalidArgument, []string{"static_mac.spec"}},
		"static of nothing":     {static(staticMsg("", "", "")), codes.InvalidArgument, []string{"static_mac.spec.logical_bridge", "static_mac.spec.bridge_port", "static_mac.spec.mac_address"}},
		"static on no port":     {static(staticMsg("logicalBridges/blue", "bridgePorts/none", "02:00:00:00:01:01")), codes.NotFound, []string{"static_mac.spec.bridge_port"}},
		"static group":          {static(staticMsg("logicalBridges/blue", "bridgePorts/port1", "03:00:00:00:01:01")), codes.InvalidArgument, []string{"static_mac.spec.mac_address"}},
		"static address":        {static(staticMsg("logicalBridges/blue", "bridgePorts/port1", "02:00:00:00:01:01", "10.0.0.0/8")), codes.InvalidArgument, []string{"static_mac.spec.ip_addresses[0]"}},
		"speaker of another name": {func() error {
			_, err := g.speakers().CreateSpeaker(t.Context(), &pb.CreateSpeakerRequest{SpeakerId: "second",
				Speaker: &pb.Speaker{Spec: &pb.SpeakerSpec{AsNumber: 1, RouterId: "10.0.0.1"}}})
			return err
		}, codes.InvalidArgument, []string{"speaker_id"}},
		"speaker without anything": {func() error {
			_, err := g.speakers().CreateSpeaker(t.Context(),
				&pb.CreateSpeakerRequest{Speaker: &pb.Speaker{Spec: &pb.SpeakerSpec{}}})
			return err
		}, codes.InvalidArgument, []string{"speaker.spec.router_id"}},
		"unknown path": {func() error {
			_, err := g.neighbors().UpdateNeighbor(t.Context(),
				&pb.UpdateNeighborRequest{Neighbor: &pb.Neighbor{Name: "neighbors/10.1.1.1"}, UpdateMask: mask("spec.color")})
			return err
		}, codes.InvalidArgument, []string{"update_mask"}},
		"get nothing": {func() error {
			_, err := g.neighbors().GetNeighbor(t.Context(), &pb.GetNeighborRequest{Name: "neighbors/10.1.1.1"})
			return err
		}, codes.NotFound, nil},
	} {
		t.Run(name, func(t *testing.T) {
			before := frozen(t, g.store)
			wantCode(t, tc.do(), tc.code, tc.fields...)
			if after := frozen(t, g.store); !reflect.DeepEqual(after, before) {
				t.Errorf("the failed call changed %v to %v", before, after)
			}
		})
	}
}

func TestPortsOfTheTargetAreListedInPages(t *testing.T) {
	g := serve(t, intent.NewMemory(), fakeStatus{}, &controllertest.View{Rows: controllertest.Rows{Ports: []view.Port{
		{Name: "up1-host", Kind: view.HostPort, Number: 11}, {Name: "eth1", Kind: view.BridgePort, Number: 1, Netdev: "vf1", Link: view.Up,
			State: view.Up, BridgePorts: []string{"port1"}, MACs: 3, PacketsIn: 1, BytesIn: 2, PacketsOut: 3, BytesOut: 4,
			Spoofed: 5, StormUnknown: 6, SourceGuard: true, Leases: 7, Storm: view.Storm{Multicast: 8}},
		{Name: "up1", Kind: view.Uplink, Number: 10, State: view.Down, Reason: "x\xff"},
	}}})
	var names []string
	for token := ""; ; {
		page, err := g.targetPorts().ListPorts(t.Context(), &pb.ListPortsRequest{PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.Ports {
			names = append(names, p.Name)
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	if !slices.Equal(names, []string{"ports/eth1", "ports/up1", "ports/up1-host"}) {
		t.Errorf("%v", names)
	}
	p, err := g.targetPorts().GetPort(t.Context(), &pb.GetPortRequest{Name: "ports/eth1"})
	if err != nil || p.Kind != pb.PortKind_PORT_KIND_BRIDGE || p.Link != pb.State_STATE_UP || p.Macs != 3 ||
		p.Counters.BytesOut != 4 || p.Counters.Spoofed != 5 || p.Counters.StormUnknownUnicast != 6 ||
		!p.SourceGuard || p.Leases != 7 || p.Storm.Multicast != 8 || p.BridgePorts[0] != "bridgePorts/port1" {
		t.Errorf("%v %v", p, err)
	}
	_, err = g.targetPorts().GetPort(t.Context(), &pb.GetPortRequest{Name: "ports/eth7"})
	wantCode(t, err, codes.NotFound)
	_, err = g.targetPorts().GetPort(t.Context(), &pb.GetPortRequest{Name: "ports/"})
	wantCode(t, err, codes.InvalidArgument, "name")
	_, err = g.targetPorts().ListPorts(t.Context(), &pb.ListPortsRequest{PageSize: -1})
	wantCode(t, err, codes.InvalidArgument, "page_size")
	_, err = g.targetPorts().ListPorts(t.Context(), &pb.ListPortsRequest{PageToken: "x"})
	wantCode(t, err, codes.InvalidArgument, "page_token")
}
