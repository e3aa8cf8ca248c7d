package p4

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// Decode gives an entry its Go type. Entries come from FromEntity or from those
// types, so that only an action that the type does not cover is an error.
func Decode(e Entry) (Typed, error) {
	id := e.Key.ID()
	decode := decoders[id]
	if id == kindSelectorGroup {
		decode = groupDecoders[profileOf(e.Key)]
	}
	if decode == nil {
		return nil, fmt.Errorf("entry of %s: %w", e.Key.Table(), errForeign)
	}
	k, v := unpacker(e.Key[4:]), unpacker(e.Value)
	if id == kindGroup || id == kindCloneSession || id == kindSelectorGroup {
		return decode(k, 0, v)
	}
	action := v.u32()
	return decode(k, action, v)
}

// decoder gives a Go type to an entry: its match fields, the id of its action and
// what follows that.
type decoder func(k unpacker, action uint32, v unpacker) (Typed, error)

// decoders are the ways back, by the table's id.
var decoders = map[uint32]decoder{
	kindGroup: func(k unpacker, _ uint32, v unpacker) (Typed, error) {
		return Group{ID: uint16(k.u32()), Members: groupMembers(v)}, nil
	},
	kindCloneSession: func(k unpacker, _ uint32, v unpacker) (Typed, error) {
		return CloneSession{ID: k.u32(), Port: v.u16()}, nil
	},
	tablePort: decodePort,
	tableLocal: func(k unpacker, _ uint32, _ unpacker) (Typed, error) {
		return LocalVTEP{Address: k.ipv4()}, nil
	},
	tablePeer: func(k unpacker, _ uint32, _ unpacker) (Typed, error) {
		return RemoteVTEP{Prefix: netip.PrefixFrom(k.ipv4(), int(k.u8()))}, nil
	},
	tableVNI: decodeVNI,
	profileUplinks: func(k unpacker, _ uint32, v unpacker) (Typed, error) {
		group, slot := slotOf(k.u32())
		return UplinkSlot{Group: group, Slot: slot, Port: v.u16(), Adjacency: v.u16(), MTU: v.u16()}, nil
	},
	tablePath: func(k unpacker, _ uint32, v unpacker) (Typed, error) {
		return Path{VTEP: k.u16(), Port: v.u16(), MTU: v.u16()}, nil
	},
	tableFlows: func(k unpacker, action uint32, v unpacker) (Typed, error) {
		if action != refersToGroup {
			return nil, fmt.Errorf("underlay.flows of VTEP %d: no group: %w", k.u16(), errForeign)
		}
		return Flows{VTEP: k.u16(), Group: uint16(v.u32())}, nil
	},
	tableTunnel: func(k unpacker, _ uint32, v unpacker) (Typed, error) {
		return Tunnel{VTEP: k.u16(), Source: v.ipv4(), Destination: v.ipv4(), Adjacency: v.u16(), MTU: v.u16()}, nil
	},
	tableAdjacency: func(k unpacker, _ uint32, v unpacker) (Typed, error) {
		return Adjacency{ID: k.u16(), Source: v.mac(), Destination: v.mac()}, nil
	},
	tableVLAN: func(k unpacker, action uint32, v unpacker) (Typed, error) {
		return Member{
			Port: k.u16(), VLAN: k.u16(), Bridge: v.u16(), Gateway: v.bit(), Trusted: v.bit(), Stacked: v.bit(),
			Guarded: action == actionGuardedMember,
		}, nil
	},
	tableSource:     decodeSource,
	tableFDB:        decodeFDB,
	tableEgressVLAN: decodeEgressVLAN,
	tableReplica: func(k unpacker, _ uint32, v unpacker) (Typed, error) {
		return Replica{Bridge: k.u16(), Instance: k.u16(), VTEP: v.u16(), VNI: v.vni()}, nil
	},
	tableTrap: decodeTrap,
	tableRouterMAC: func(k unpacker, _ uint32, v unpacker) (Typed, error) {
		return RouterMAC{Bridge: k.u16(), MAC: k.mac(), VRF: v.u16()}, nil
	},
	tableIPv4: func(k unpacker, action uint32, v unpacker) (Typed, error) {
		return decodeRoute(k.u16(), netip.PrefixFrom(k.ipv4(), int(k.u8())), action, v)
	},
	tableIPv6: func(k unpacker, action uint32, v unpacker) (Typed, error) {
		return decodeRoute(k.u16(), netip.PrefixFrom(k.ipv6(), int(k.u8())), action, v)
	},
	profileNextHops: func(k unpacker, _ uint32, v unpacker) (Typed, error) {
		group, slot := slotOf(k.u32())
		return NextHopSlot{
			Group: group, Slot: slot, VTEP: v.u16(), VNI: v.vni(), Source: v.mac(), Destination: v.mac(),
		}, nil
	},
	tableMultipath: func(k unpacker, action uint32, v unpacker) (Typed, error) {
		m := Multipath{Group: k.u16()}
		if group := v.u32(); action != refersToGroup || group != uint32(m.Group) {
			return nil, fmt.Errorf("router.multipath of group %d: leads to another one: %w", m.Group, errForeign)
		}
		return m, nil
	},
	tableInterface: func(k unpacker, _ uint32, v unpacker) (Typed, error) {
		return RouterInterface{Bridge: k.u16(), MAC: v.mac()}, nil
	},
	tableARPHost: decodeARPHost,
	tableNDHost:  decodeNDHost,
	tableGateway4: func(k unpacker, _ uint32, _ unpacker) (Typed, error) {
		return Gateway{Bridge: k.u16(), Address: k.ipv4()}, nil
	},
	tableGateway6: func(k unpacker, _ uint32, _ unpacker) (Typed, error) {
		return Gateway{Bridge: k.u16(), Address: k.ipv6()}, nil
	},
	tableGatewayTarget: func(k unpacker, _ uint32, _ unpacker) (Typed, error) {
		return GatewayTarget{Bridge: k.u16(), Address: k.ipv6()}, nil
	},
	tableGatewayMAC: func(k unpacker, _ uint32, _ unpacker) (Typed, error) {
		return GatewayMAC{Bridge: k.u16(), MAC: k.mac()}, nil
	},
	tableSource4: func(k unpacker, _ uint32, _ unpacker) (Typed, error) {
		return BoundSource{Bridge: k.u16(), Port: k.u16(), MAC: k.mac(), Address: k.ipv4()}, nil
	},
	tableSource6: func(k unpacker, _ uint32, _ unpacker) (Typed, error) {
		return BoundSource{Bridge: k.u16(), Port: k.u16(), MAC: k.mac(), Address: k.ipv6()}, nil
	},
	tableNoFlood: func(k unpacker, _ uint32, _ unpacker) (Typed, error) { return NoFlood{Bridge: k.u16()}, nil },
	tableSnooped: func(k unpacker, _ uint32, _ unpacker) (Typed, error) { return Snooped{Bridge: k.u16()}, nil },
}

// profileOf is the id of the action profile of a selector's group.
func profileOf(k Key) uint32 { return binary.BigEndian.Uint32([]byte(k[4:8])) }

// groupDecoders are the ways back of groups of action selectors, by the profile's id.
var groupDecoders = map[uint32]decoder{
	profileUplinks: func(k unpacker, _ uint32, _ unpacker) (Typed, error) {
		k.u32()
		return UplinkGroup{ID: uint16(k.u32())}, nil
	},
	profileNextHops: func(k unpacker, _ uint32, _ unpacker) (Typed, error) {
		k.u32()
		return NextHopGroup{ID: uint16(k.u32())}, nil
	},
}

func decodeVNI(k unpacker, action uint32, v unpacker) (Typed, error) {
	if action == actionToVRF {
		return L3VNI{Local: k.ipv4(), VNI: k.vni(), VRF: v.u16(), RouterMAC: v.mac()}, nil
	}
	return VNI{Local: k.ipv4(), VNI: k.vni(), Bridge: v.u16()}, nil
}

func decodeEgressVLAN(k unpacker, action uint32, v unpacker) (Typed, error) {
	d := EgressVLAN{Port: k.u16(), Bridge: k.u16()}
	if action == actionTagged {
		d.VLAN, d.Stacked = v.u16(), v.bit()
	}
	return d, nil
}

func decodePort(k unpacker, action uint32, v unpacker) (Typed, error) {
	port := k.u16()
	switch action {
	case actionBridgePort:
		return BridgePort{port}, nil
	case actionUplink:
		return Uplink{port, v.u16()}, nil
	case actionHost:
		return HostPort{port, v.u16()}, nil
	}
	return nil, fmt.Errorf("port.kind of port %d: action id %#x: %w", port, action, errForeign)
}

func decodeSource(k unpacker, action uint32, v unpacker) (Typed, error) {
	s := Source{Bridge: k.u16(), MAC: k.mac(), Port: k.u16(), IdleTimeout: time.Duration(v.u64()), Metadata: string(v)}
	for verdict, a := range verdictActions {
		if a == action {
			s.Verdict = Verdict(verdict)
			return s, nil
		}
	}
	return nil, fmt.Errorf("bridge.source of bridge %d, MAC %v: action id %#x: %w", s.Bridge, s.MAC, action, errForeign)
}

func decodeFDB(k unpacker, action uint32, v unpacker) (Typed, error) {
	f := FDB{Bridge: k.u16(), MAC: k.mac()}
	switch action {
	case actionToPort:
		f.Kind, f.Port = ToPort, v.u16()
	case actionToVTEP:
		f.Kind, f.VTEP, f.VNI = ToVTEP, v.u16(), v.vni()
	case actionDrop:
		f.Kind = Drop
	default:
		return nil, fmt.Errorf("bridge.fdb of bridge %d, MAC %v: action id %#x: %w", f.Bridge, f.MAC, action, errForeign)
	}
	return f, nil
}

func decodeRoute(vrf uint16, prefix netip.Prefix, action uint32, v unpacker) (Typed, error) {
	r := Route{VRF: vrf, Prefix: prefix}
	switch action {
	case actionRouteHost:
		r.Kind, r.Bridge, r.MAC = RouteHost, v.u16(), v.mac()
	case actionRouteVTEP:
		r.Kind, r.VTEP, r.VNI, r.Source, r.Destination = RouteVTEP, v.u16(), v.vni(), v.mac(), v.mac()
	case actionRouteVTEPs:
		r.Kind, r.Group = RouteVTEPs, v.u16()
	case actionGlean:
		r.Kind = RouteGlean
	case actionLocal:
		r.Kind = RouteLocal
	case actionRouteDrop:
		r.Kind = RouteDrop
	default:
		return nil, fmt.Errorf("route of VRF %d to %v: action id %#x: %w", vrf, prefix, action, errForeign)
	}
	return r, nil
}

func decodeARPHost(k unpacker, action uint32, v unpacker) (Typed, error) {
	a := ARPHost{Bridge: k.u16(), Address: k.ipv4(), MAC: v.mac()}
	if action == actionARPReplyExcept {
		a.Port, a.VXLAN = v.u16(), v.bit()
	}
	a.Metadata = string(v)
	return a, nil
}

func decodeNDHost(k unpacker, action uint32, v unpacker) (Typed, error) {
	n := NDHost{Bridge: k.u16(), Address: k.ipv6(), MAC: v.mac()}
	switch action {
	case actionNDHold:
		n.Unanswered = true
	case actionNDReplyExcept:
		n.Port, n.VXLAN, n.Router, n.Override = v.u16(), v.bit(), v.bit(), v.bit()
	default:
		n.Router, n.Override = v.bit(), true
	}
	n.Metadata = string(v)
	return n, nil
}

func decodeTrap(k unpacker, action uint32, v unpacker) (Typed, error) {
	t := Trap{Divert: action == actionDivert, Reason: PuntReason(v.u8())}
	t.Bridge = k.u16()
	k.u16()
	t.EtherType = k.u16()
	k.u16()
	t.MAC = k.mac()
	k.mac()
	t.ICMPv6Type = k.u8()
	k.u8()
	t.Origin = k.u8()
	k.u8()
	t.Priority = int32(k.u32())
	return t, nil
}
