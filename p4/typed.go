package p4

import (
	"fmt"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
)

// Typed is an entry as one of this package's structs, by value. With only the
// fields of its key set it names the entry.
type Typed interface {
	Key() Key
	Entry() Entry
	Type() Type
	// Level is the entry's place in the order of dependency.
	Level() Level
	// Refs are the keys of the entries that it refers to itself, all of lower
	// levels.
	Refs() []Key
}

// Type says which struct a Typed is. Those of lower levels come first.
type Type uint8

// The types of entries. Some tables have several, by action, and some types are
// of two tables, by the family of their address.
const (
	TypeBridgePort Type = iota
	TypeUplink
	TypeHostPort
	TypeLocalVTEP
	TypeRemoteVTEP
	TypeAdjacency
	TypeEgressVLAN
	TypeRouterInterface
	TypeCloneSession
	TypeUplinkSlot
	TypeUplinkGroup
	TypeTunnel
	TypePath
	TypeFlows
	TypeReplica
	TypeNextHopSlot
	TypeGroup
	TypeNextHopGroup
	TypeMultipath
	TypeVNI
	TypeL3VNI
	TypeMember
	TypeSource
	TypeFDB
	TypeTrap
	TypeRouterMAC
	TypeRoute
	TypeARPHost
	TypeNDHost
	TypeGateway
	TypeGatewayTarget
	TypeGatewayMAC
	TypeBoundSource
	TypeNoFlood
	TypeSnooped
	Types // how many there are
)

var typeNames = [Types]string{
	TypeBridgePort: "port.kind of a bridge port", TypeUplink: "port.kind of an uplink",
	TypeHostPort:  "port.kind of a host port",
	TypeLocalVTEP: "vxlan.local", TypeRemoteVTEP: "vxlan.peer", TypeAdjacency: "underlay.adjacency",
	TypeEgressVLAN: "bridge.egress_vlan", TypeRouterInterface: "router.interface", TypeCloneSession: "clone_session",
	TypeUplinkSlot:  "action_profile_member of underlay.uplinks",
	TypeUplinkGroup: "action_selector_group of underlay.uplinks",
	TypeTunnel:      "vxlan.tunnel", TypePath: "underlay.path", TypeFlows: "underlay.flows",
	TypeReplica: "flood.replica", TypeGroup: "multicast_group",
	TypeNextHopSlot:  "action_profile_member of router.next_hops",
	TypeNextHopGroup: "action_selector_group of router.next_hops", TypeMultipath: "router.multipath",
	TypeVNI: "vxlan.vni of a bridge", TypeL3VNI: "vxlan.vni of a VRF",
	TypeMember: "bridge.vlan", TypeSource: "bridge.source", TypeFDB: "bridge.fdb", TypeTrap: "punt.trap",
	TypeRouterMAC: "router.mac", TypeRoute: "router.ipv4, router.ipv6", TypeARPHost: "arp.host", TypeNDHost: "nd.host",
	TypeGateway: "gateway.ipv4, gateway.ipv6", TypeGatewayTarget: "gateway.ipv6_target", TypeGatewayMAC: "gateway.mac",
	TypeBoundSource: "source.ipv4, source.ipv6", TypeNoFlood: "bridge.unknown", TypeSnooped: "snoop.bridge",
}

// String names the tables whose entries have the type.
func (t Type) String() string { return typeNames[t] }

// Level is a place in the order of dependency: an entry refers to entries of lower
// levels only. A level is written and acknowledged before the next one; removals
// go the other way.
type Level uint8

// The levels. To what is of the last one nothing refers.
const (
	LevelBase      Level = iota // refers to nothing
	LevelSlot                   // slots of groups: refer to adjacencies
	LevelSelector               // refer to slots
	LevelTunnel                 // tunnels and paths: refer to adjacencies and groups of slots
	LevelReplica                // replicas and next hops: refer to tunnels
	LevelGroup                  // refer to replicas and egress VLANs, or to next hops
	LevelMultipath              // refer to groups of next hops
	LevelLeaf                   // refer to any of them
	Levels                      // how many there are
)

// CheckTables reports the tables of a program whose entries have no Go type here.
func CheckTables(info *p4configv1.P4Info) error {
	for _, t := range info.GetTables() {
		if t.GetIsConstTable() {
			continue
		}
		if p := t.GetPreamble(); decoders[p.GetId()] == nil {
			return fmt.Errorf("table %s of the P4 program has no Go type", p.GetName())
		}
	}
	return nil
}

// reaches are the keys of what the encapsulation to a VTEP takes.
func reaches(vtep uint16) []Key {
	return []Key{Tunnel{VTEP: vtep}.Key(), Path{VTEP: vtep}.Key(), Flows{VTEP: vtep}.Key()}
}

func (BridgePort) Type() Type { return TypeBridgePort }

func (BridgePort) Level() Level { return LevelBase }

func (BridgePort) Refs() []Key { return nil }

func (Uplink) Type() Type { return TypeUplink }

func (Uplink) Level() Level { return LevelBase }

func (Uplink) Refs() []Key { return nil }

func (HostPort) Type() Type { return TypeHostPort }

func (HostPort) Level() Level { return LevelBase }

func (HostPort) Refs() []Key { return nil }

func (LocalVTEP) Type() Type { return TypeLocalVTEP }

func (LocalVTEP) Level() Level { return LevelBase }

func (LocalVTEP) Refs() []Key { return nil }

func (RemoteVTEP) Type() Type { return TypeRemoteVTEP }

func (RemoteVTEP) Level() Level { return LevelBase }

func (RemoteVTEP) Refs() []Key { return nil }

func (Adjacency) Type() Type { return TypeAdjacency }

func (Adjacency) Level() Level { return LevelBase }

func (Adjacency) Refs() []Key { return nil }

func (EgressVLAN) Type() Type { return TypeEgressVLAN }

func (EgressVLAN) Level() Level { return LevelBase }

func (EgressVLAN) Refs() []Key { return nil }

func (RouterInterface) Type() Type { return TypeRouterInterface }

func (RouterInterface) Level() Level { return LevelBase }

func (RouterInterface) Refs() []Key { return nil }

func (CloneSession) Type() Type { return TypeCloneSession }

func (CloneSession) Level() Level { return LevelBase }

func (CloneSession) Refs() []Key { return nil }

func (UplinkSlot) Type() Type { return TypeUplinkSlot }

func (UplinkSlot) Level() Level { return LevelSlot }

func (s UplinkSlot) Refs() []Key { return []Key{Adjacency{ID: s.Adjacency}.Key()} }

func (UplinkGroup) Type() Type { return TypeUplinkGroup }

func (UplinkGroup) Level() Level { return LevelSelector }

func (g UplinkGroup) Refs() []Key {
	keys := make([]Key, Slots)
	for i := range keys {
		keys[i] = UplinkSlot{Group: g.ID, Slot: uint8(i)}.Key()
	}
	return keys
}

func (Tunnel) Type() Type { return TypeTunnel }

func (Tunnel) Level() Level { return LevelTunnel }

func (t Tunnel) Refs() []Key {
	if t.Adjacency == 0 {
		return nil
	}
	return []Key{Adjacency{ID: t.Adjacency}.Key()}
}

func (Path) Type() Type { return TypePath }

func (Path) Level() Level { return LevelTunnel }

func (Path) Refs() []Key { return nil }

func (Flows) Type() Type { return TypeFlows }

func (Flows) Level() Level { return LevelTunnel }

func (f Flows) Refs() []Key { return []Key{UplinkGroup{ID: f.Group}.Key()} }

func (Replica) Type() Type { return TypeReplica }

func (Replica) Level() Level { return LevelReplica }

func (r Replica) Refs() []Key { return reaches(r.VTEP) }

func (Group) Type() Type { return TypeGroup }

func (Group) Level() Level { return LevelGroup }

func (g Group) Refs() []Key {
	keys := make([]Key, len(g.Members))
	for i, m := range g.Members {
		if m.Instance == LocalInstance {
			keys[i] = EgressVLAN{Port: m.Port, Bridge: g.ID}.Key()
		} else {
			keys[i] = Replica{Bridge: g.ID, Instance: m.Instance}.Key()
		}
	}
	return keys
}

func (NextHopSlot) Type() Type { return TypeNextHopSlot }

func (NextHopSlot) Level() Level { return LevelReplica }

func (s NextHopSlot) Refs() []Key { return reaches(s.VTEP) }

func (NextHopGroup) Type() Type { return TypeNextHopGroup }

func (NextHopGroup) Level() Level { return LevelGroup }

func (g NextHopGroup) Refs() []Key {
	keys := make([]Key, Slots)
	for i := range keys {
		keys[i] = NextHopSlot{Group: g.ID, Slot: uint8(i)}.Key()
	}
	return keys
}

func (Multipath) Type() Type { return TypeMultipath }

func (Multipath) Level() Level { return LevelMultipath }

func (m Multipath) Refs() []Key { return []Key{NextHopGroup{ID: m.Group}.Key()} }

func (VNI) Type() Type { return TypeVNI }

func (VNI) Level() Level { return LevelLeaf }

func (VNI) Refs() []Key { return nil }

func (L3VNI) Type() Type { return TypeL3VNI }

func (L3VNI) Level() Level { return LevelLeaf }

func (L3VNI) Refs() []Key { return nil }

func (Member) Type() Type { return TypeMember }

func (Member) Level() Level { return LevelLeaf }

func (m Member) Refs() []Key { return []Key{EgressVLAN{Port: m.Port, Bridge: m.Bridge}.Key()} }

func (Source) Type() Type { return TypeSource }

func (Source) Level() Level { return LevelLeaf }

func (Source) Refs() []Key { return nil }

func (FDB) Type() Type { return TypeFDB }

func (FDB) Level() Level { return LevelLeaf }

func (f FDB) Refs() []Key {
	if f.Kind == ToVTEP {
		return reaches(f.VTEP)
	}
	return nil
}

func (Trap) Type() Type { return TypeTrap }

func (Trap) Level() Level { return LevelLeaf }

func (Trap) Refs() []Key { return []Key{CloneSession{ID: CPUCloneSession}.Key()} }

func (RouterMAC) Type() Type { return TypeRouterMAC }

func (RouterMAC) Level() Level { return LevelLeaf }

func (r RouterMAC) Refs() []Key { return []Key{RouterInterface{Bridge: r.Bridge}.Key()} }

func (Route) Type() Type { return TypeRoute }

func (Route) Level() Level { return LevelLeaf }

func (r Route) Refs() []Key {
	switch r.Kind {
	case RouteHost:
		return []Key{RouterInterface{Bridge: r.Bridge}.Key()}
	case RouteVTEP:
		return reaches(r.VTEP)
	case RouteVTEPs:
		return []Key{Multipath{Group: r.Group}.Key()}
	}
	return nil
}

func (ARPHost) Type() Type { return TypeARPHost }

func (ARPHost) Level() Level { return LevelLeaf }

func (ARPHost) Refs() []Key { return nil }

func (NDHost) Type() Type { return TypeNDHost }

func (NDHost) Level() Level { return LevelLeaf }

func (NDHost) Refs() []Key { return nil }

func (Gateway) Type() Type { return TypeGateway }

func (Gateway) Level() Level { return LevelLeaf }

func (Gateway) Refs() []Key { return nil }

func (GatewayTarget) Type() Type { return TypeGatewayTarget }

func (GatewayTarget) Level() Level { return LevelLeaf }

func (GatewayTarget) Refs() []Key { return nil }

func (GatewayMAC) Type() Type { return TypeGatewayMAC }

func (GatewayMAC) Level() Level { return LevelLeaf }

func (GatewayMAC) Refs() []Key { return nil }
