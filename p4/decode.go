package p4

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// Decode gives an entry its Go type: one of the structs of this package, by
// value. Entries come from FromEntity or from those structs, so that only an
// action that the type does not cover is an error.
func Decode(e Entry) (any, error) {
	switch e.Key.ID() {
	case kindGroup:
		return Group{ID: uint16(binary.BigEndian.Uint32([]byte(e.Key[4:]))), Members: e.groupMembers()}, nil
	case kindCloneSession:
		return CloneSession{ID: binary.BigEndian.Uint32([]byte(e.Key[4:])), Port: binary.BigEndian.Uint16([]byte(e.Value))}, nil
	}
	k, v := unpacker(e.Key[4:]), unpacker(e.Value)
	action := v.u32()
	switch id := e.Key.ID(); id {
	case tablePort:
		return decodePort(k, action, v)
	case tableLocal:
		return LocalVTEP{Address: k.ipv4()}, nil
	case tablePeer:
		return Peer{Prefix: netip.PrefixFrom(k.ipv4(), int(k.u8()))}, nil
	case tableVNI:
		if action == actionToVRF {
			return L3VNI{Local: k.ipv4(), VNI: k.vni(), VRF: v.u16(), RouterMAC: v.mac()}, nil
		}
		return VNI{Local: k.ipv4(), VNI: k.vni(), Bridge: v.u16()}, nil
	case tablePath:
		return Path{VTEP: k.u16(), Port: v.u16(), MTU: v.u16()}, nil
	case tableTunnel:
		return Tunnel{VTEP: k.u16(), Source: v.ipv4(), Destination: v.ipv4(), Adjacency: v.u16(), MTU: v.u16()}, nil
	case tableAdjacency:
		return Adjacency{ID: k.u16(), Source: v.mac(), Destination: v.mac()}, nil
	case tableVLAN:
		return Member{
			Port: k.u16(), VLAN: k.u16(), Bridge: v.u16(), Gateway: v.bit(), Trusted: v.bit(), Stacked: v.bit(),
		}, nil
	case tableSource:
		return decodeSource(k, action, v)
	case tableFDB:
		return decodeFDB(k, action, v)
	case tableEgressVLAN:
		d := EgressVLAN{Port: k.u16(), Bridge: k.u16()}
		if action == actionTagged {
			d.VLAN, d.Stacked = v.u16(), v.bit()
		}
		return d, nil
	case tableReplica:
		return Replica{Bridge: k.u16(), Instance: k.u16(), VTEP: v.u16(), VNI: v.vni()}, nil
	case tableTrap:
		return decodeTrap(k, action, v), nil
	}
	return decodeRouting(e, k, action, v)
}

func decodeRouting(e Entry, k unpacker, action uint32, v unpacker) (any, error) {
	switch e.Key.ID() {
	case tableRouterMAC:
		return RouterMAC{Bridge: k.u16(), MAC: k.mac(), VRF: v.u16()}, nil
	case tableIPv4:
		return decodeRoute(k.u16(), netip.PrefixFrom(k.ipv4(), int(k.u8())), action, v)
	case tableIPv6:
		return decodeRoute(k.u16(), netip.PrefixFrom(k.ipv6(), int(k.u8())), action, v)
	case tableInterface:
		return RouterInterface{Bridge: k.u16(), MAC: v.mac()}, nil
	case tableARPHost:
		return ARPHost{Bridge: k.u16(), Address: k.ipv4(), MAC: v.mac(), Metadata: string(v)}, nil
	case tableGateway4:
		return Gateway{Bridge: k.u16(), Address: k.ipv4()}, nil
	case tableGateway6:
		return Gateway{Bridge: k.u16(), Address: k.ipv6()}, nil
	case tableGatewayTarget:
		return GatewayTarget{Bridge: k.u16(), Address: k.ipv6()}, nil
	case tableGatewayMAC:
		return GatewayMAC{Bridge: k.u16(), MAC: k.mac()}, nil
	case tableNDHost:
		return NDHost{Bridge: k.u16(), Address: k.ipv6(), MAC: v.mac(), Router: v.bit(), Metadata: string(v)}, nil
	}
	return nil, fmt.Errorf("entry of %s: %w", e.Key.Table(), ErrForeign)
}

func decodePort(k unpacker, action uint32, v unpacker) (any, error) {
	port := k.u16()
	switch action {
	case actionBridgePort:
		return BridgePort{port}, nil
	case actionUplink:
		return Uplink{port, v.u16()}, nil
	case actionHost:
		return HostPort{port, v.u16()}, nil
	}
	return nil, fmt.Errorf("port.kind of port %d: action id %#x: %w", port, action, ErrForeign)
}

func decodeSource(k unpacker, action uint32, v unpacker) (any, error) {
	s := Source{Bridge: k.u16(), MAC: k.mac(), Port: k.u16(), IdleTimeout: time.Duration(v.u64()), Metadata: string(v)}
	for verdict, a := range verdictActions {
		if a == action {
			s.Verdict = Verdict(verdict)
			return s, nil
		}
	}
	return nil, fmt.Errorf("bridge.source of bridge %d, MAC %v: action id %#x: %w", s.Bridge, s.MAC, action, ErrForeign)
}

func decodeFDB(k unpacker, action uint32, v unpacker) (any, error) {
	f := FDB{Bridge: k.u16(), MAC: k.mac()}
	switch action {
	case actionToPort:
		f.Kind, f.Port = ToPort, v.u16()
	case actionToVTEP:
		f.Kind, f.VTEP, f.VNI = ToVTEP, v.u16(), v.vni()
	case actionDrop:
		f.Kind = Drop
	default:
		return nil, fmt.Errorf("bridge.fdb of bridge %d, MAC %v: action id %#x: %w", f.Bridge, f.MAC, action, ErrForeign)
	}
	return f, nil
}

func decodeRoute(vrf uint16, prefix netip.Prefix, action uint32, v unpacker) (any, error) {
	r := Route{VRF: vrf, Prefix: prefix}
	switch action {
	case actionRouteHost:
		r.Kind, r.Bridge, r.MAC = RouteHost, v.u16(), v.mac()
	case actionRouteVTEP:
		r.Kind, r.VTEP, r.VNI, r.Source, r.Destination = RouteVTEP, v.u16(), v.vni(), v.mac(), v.mac()
	case actionGlean:
		r.Kind = RouteGlean
	case actionLocal:
		r.Kind = RouteLocal
	case actionRouteDrop:
		r.Kind = RouteDrop
	default:
		return nil, fmt.Errorf("route of VRF %d to %v: action id %#x: %w", vrf, prefix, action, ErrForeign)
	}
	return r, nil
}

func decodeTrap(k unpacker, action uint32, v unpacker) Trap {
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
	return t
}
