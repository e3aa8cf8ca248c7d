package client

import (
	"fmt"
	"slices"
	"strings"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

// Kind is one kind of objects.
type Kind struct {
	Name    string // as people write it: "bridge"
	Aliases []string
	Short   string // what it is, for help
	// Example is flags of a create that works.
	Example string
	// ReadOnly kinds are shown and never made.
	ReadOnly bool

	collection string // in resource names
	service    string // full name
	resource   string // the message's name, as in the methods: "LogicalBridge"
	message    proto.Message
}

// Kinds in the order in which they refer to each other: an object refers only to
// kinds before its own.
var Kinds = []*Kind{
	{Name: "bridge", Aliases: []string{"logicalbridge"}, Short: "logical bridge: a VLAN and, with a VNI, a VXLAN segment",
		Example:    "--vlan-id 10 --vni 100",
		collection: "logicalBridges", service: opi.LogicalBridgeService_ServiceDesc.ServiceName, resource: "LogicalBridge",
		message: &opi.LogicalBridge{}},
	{Name: "port", Aliases: []string{"bridgeport"}, Short: "bridge port: attaches a port of the target to bridges",
		Example:    "--mac-address 02:00:00:00:00:01 --ptype access --logical-bridges blue",
		collection: "bridgePorts", service: opi.BridgePortService_ServiceDesc.ServiceName, resource: "BridgePort",
		message: &opi.BridgePort{}},
	{Name: "vrf", Short: "VRF: routes between bridges",
		Example:    "--vni 5000 --loopback-ip-prefix 10.100.0.1/32",
		collection: "vrfs", service: opi.VrfService_ServiceDesc.ServiceName, resource: "Vrf", message: &opi.Vrf{}},
	{Name: "svi", Short: "SVI: the gateway of a bridge in a VRF",
		Example:    "--vrf red1 --logical-bridge blue --mac-address 02:00:5e:00:00:01 --gw-ip-prefix 10.10.0.1/24",
		collection: "svis", service: opi.SviService_ServiceDesc.ServiceName, resource: "Svi", message: &opi.Svi{}},
	{Name: "instance", Short: "route distinguisher and route targets of a bridge (bridge.ID) or VRF (vrf.ID)",
		Example:    "--import-route-targets 65000:100,65001:100",
		collection: "instances", service: p4evpnv1.InstanceService_ServiceDesc.ServiceName, resource: "Instance",
		message: &p4evpnv1.Instance{}},
	{Name: "static-mac", Aliases: []string{"staticmac"},
		Short:      "MAC, with or without addresses, that never leaves its port",
		Example:    "--logical-bridge blue --bridge-port port1 --mac-address 02:00:00:00:00:0a --ip-addresses 10.10.0.10",
		collection: "staticMacs", service: p4evpnv1.StaticMacService_ServiceDesc.ServiceName, resource: "StaticMac",
		message: &p4evpnv1.StaticMac{}},
	{Name: "speaker", Short: "BGP instance: our AS and router id; its id is default",
		Example:    "--as-number 65000 --router-id 10.0.0.1",
		collection: "speakers", service: p4evpnv1.SpeakerService_ServiceDesc.ServiceName, resource: "Speaker",
		message: &p4evpnv1.Speaker{}},
	{Name: "neighbor", Short: "BGP neighbour; its id is its address",
		Example:    "--remote-as 65101",
		collection: "neighbors", service: p4evpnv1.NeighborService_ServiceDesc.ServiceName, resource: "Neighbor",
		message: &p4evpnv1.Neighbor{}},
	{Name: "switch-port", Aliases: []string{"switchport"}, Short: "port of the target, as the configuration names it",
		ReadOnly:   true,
		collection: "ports", service: p4evpnv1.PortService_ServiceDesc.ServiceName, resource: "Port",
		message: &p4evpnv1.Port{}},
}

// plural is the name of many.
func (k *Kind) plural() string { return k.Name + "s" }

// called reports whether a word is one of the kind's names.
func (k *Kind) called(word string) bool {
	return word == k.Name || word == k.plural() || slices.Contains(k.Aliases, strings.TrimSuffix(word, "s"))
}

// ParseKind reads a kind's name.
func ParseKind(word string) (*Kind, error) {
	for _, k := range Kinds {
		if k.called(word) {
			return k, nil
		}
	}
	return nil, fmt.Errorf("there is no kind %q: want one of %s", clip(word), strings.Join(kindNames(), ", "))
}

func kindNames() []string {
	var out []string
	for _, k := range Kinds {
		out = append(out, k.Name)
	}
	return out
}

func (k *Kind) descriptor() protoreflect.MessageDescriptor {
	return k.message.ProtoReflect().Descriptor()
}

// spec is what an object of the kind asks for; nil for a kind that asks nothing.
func (k *Kind) spec() protoreflect.MessageDescriptor {
	if f := k.descriptor().Fields().ByName("spec"); f != nil {
		return f.Message()
	}
	return nil
}

func (k *Kind) name(id string) string { return k.collection + "/" + id }

// id gives the last part of a resource's name.
func id(name string) string { return name[strings.LastIndex(name, "/")+1:] }

// references are the fields that name other objects, with the collection that
// those are in.
var references = map[protoreflect.Name]string{
	"logical_bridge": "logicalBridges", "logical_bridges": "logicalBridges", "vrf": "vrfs",
	"bridge_port": "bridgePorts", "bridge_ports": "bridgePorts",
}

// clip keeps messages readable whatever a file says.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
