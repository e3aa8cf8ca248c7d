package main

import (
	"encoding/binary"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

// The switch of the packet figures has two access ports of one bridge, one of
// another bridge in the same VRF, and an uplink; each is a cable to a device of
// ours.
const (
	portA, portB, portUp, portHost, portC = 1, 2, 3, 4, 5

	devA, devB, devUp, devC = "stationA", "stationB", "underlay", "stationC"

	packetBridge = 1
	routedBridge = 2 // of station C
	packetVRF    = 1
	packetVNI    = 5000
	packetL3VNI  = 6000
	tunnelMTU    = 1500 - packet.VXLANOverhead // the largest tenant frame on a cable of 1500 bytes
)

var (
	macA = ether.MAC{2, 0, 0, 0, 0, 0xa} // that sends to the others
	macB = ether.MAC{2, 0, 0, 0, 0, 0xb}
	macR = ether.MAC{2, 0, 0, 0, 0, 0xc} // behind the remote VTEP

	gatewayMAC      = ether.MAC{2, 3, 0, 0, 0, 1} // of the SVIs, and our router MAC
	remoteRouterMAC = ether.MAC{2, 3, 0, 0, 0, 2}

	addressA = netip.MustParseAddr("10.0.0.1")
	addressB = netip.MustParseAddr("10.0.0.2")

	uplinkMAC  = ether.MAC{2, 1, 0, 0, 0, 1}
	nextHopMAC = ether.MAC{2, 2, 0, 0, 0, 1}
	remoteVTEP = vtep(0)
)

// packetEntries is what the switch is given, in the order of dependency.
func packetEntries() []p4.Entry {
	group := p4.Group{ID: packetBridge, Members: []p4.GroupMember{
		{Port: portA, Instance: p4.LocalInstance}, {Port: portB, Instance: p4.LocalInstance}}}
	// Frames choose among the slots, whatever is in them.
	entries := []p4.Entry{p4.Adjacency{ID: 1, Source: uplinkMAC, Destination: nextHopMAC}.Entry()}
	for i := range uint8(p4.Slots) {
		entries = append(entries, p4.UplinkSlot{Group: 1, Slot: i, Port: portUp, Adjacency: 1, MTU: tunnelMTU}.Entry())
	}
	for _, e := range []interface{ Entry() p4.Entry }{
		p4.BridgePort{Port: portA}, p4.BridgePort{Port: portB},
		p4.Uplink{Port: portUp, HostPort: portHost}, p4.HostPort{Port: portHost, Uplink: portUp},
		p4.Member{Port: portA, Bridge: packetBridge}, p4.Member{Port: portB, Bridge: packetBridge},
		p4.EgressVLAN{Port: portA, Bridge: packetBridge}, p4.EgressVLAN{Port: portB, Bridge: packetBridge},
		p4.LocalVTEP{Address: gatewayVTEP}, p4.RemoteVTEP{Prefix: netip.PrefixFrom(remoteVTEP, 32)},
		p4.VNI{Local: gatewayVTEP, VNI: packetVNI, Bridge: packetBridge},
		p4.UplinkGroup{ID: 1}, p4.Flows{VTEP: 1, Group: 1},
		p4.Tunnel{VTEP: 1, Source: gatewayVTEP, Destination: remoteVTEP, Adjacency: 1, MTU: tunnelMTU},
		group,
		p4.Source{Bridge: packetBridge, MAC: macA, Port: portA},
		p4.BridgePort{Port: portC}, p4.Member{Port: portC, Bridge: routedBridge}, p4.EgressVLAN{Port: portC,
			Bridge: routedBridge},
		p4.RouterMAC{Bridge: packetBridge, MAC: gatewayMAC, VRF: packetVRF}, p4.RouterInterface{Bridge: routedBridge,
			MAC: gatewayMAC},
	} {
		entries = append(entries, e.Entry())
	}
	return entries
}

// stationOf is the MAC address of the n-th station that frames are sent to. Its
// first two bytes are all stations' and nobody else's.
func stationOf(n int) ether.MAC {
	return ether.MAC{2, 4, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

// routedStation is the IP address of the n-th one that frames are routed to.
func routedStation(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{20, byte(n >> 16), byte(n >> 8), byte(n)})
}

// packetCase is one way through the pipeline. Frames go to many stations, each
// of which has entries of its own in the switch.
type packetCase struct {
	name     string
	from, to string                               // devices of ours
	frame    func(size, flow, station int) []byte // that is sent; size is the inner frame's
	arrives  func(station int) ether.MAC          // the destination with which it does
	grows    int                                  // bytes by which it is longer then
	routed   func(station int) hop                // what else a router changes; nil for none
	station  func(n int) []p4.Entry               // the entries of one
}

// hop is the inner Ethernet header of a frame that was routed.
type hop struct{ source, destination ether.MAC }

// inner is the inner frame that arrives for one that is sent. Its checksum is
// computed afresh, as RFC 1624 would have it.
func (c packetCase) inner(sent []byte, station int) []byte {
	if c.routed == nil {
		return sent
	}
	h := c.routed(station)
	f := append(make([]byte, 0, len(sent)), h.destination[:]...)
	f = append(append(f, h.source[:]...), sent[12:]...)
	f[14+8]--
	binary.BigEndian.PutUint16(f[14+10:], 0)
	binary.BigEndian.PutUint16(f[14+10:], packet.IPv4Checksum(f[14:34]))
	return f
}

// outerHeaders are those of Ethernet, IPv4, UDP and VXLAN.
const outerHeaders = packet.EthernetLength + packet.VXLANOverhead

// packetCases are local bridging, to and from a host behind the remote VTEP,
// local routing from one bridge to the other, and symmetric IRB, to a host
// behind the remote VTEP by the L3 VNI.
var packetCases = []packetCase{
	{name: "l2", from: devA, to: devB, arrives: stationOf,
		frame: func(size, flow, n int) []byte { return innerFrame(macA, stationOf(n), size, flow) },
		station: func(n int) []p4.Entry {
			return []p4.Entry{p4.FDB{Bridge: packetBridge, MAC: stationOf(n), Kind: p4.ToPort, Port: portB}.Entry()}
		}},
	{name: "encap", from: devA, to: devUp, arrives: toNextHop, grows: outerHeaders,
		frame: func(size, flow, n int) []byte { return innerFrame(macA, stationOf(n), size, flow) },
		station: func(n int) []p4.Entry {
			return []p4.Entry{p4.FDB{Bridge: packetBridge, MAC: stationOf(n), Kind: p4.ToVTEP, VTEP: 1, VNI: packetVNI}.Entry()}
		}},
	{name: "decap", from: devUp, to: devB, arrives: stationOf, grows: -outerHeaders,
		frame: func(size, flow, n int) []byte {
			return vxlanFrame(innerFrame(macR, stationOf(n), size, flow), flow)
		},
		station: func(n int) []p4.Entry {
			return []p4.Entry{p4.FDB{Bridge: packetBridge, MAC: stationOf(n), Kind: p4.ToPort, Port: portB}.Entry()}
		}},
	{name: "route", from: devA, to: devC, arrives: stationOf,
		routed: func(n int) hop { return hop{gatewayMAC, stationOf(n)} },
		frame: func(size, flow, n int) []byte {
			return innerPacket(macA, gatewayMAC, routedStation(n), size, flow)
		},
		station: func(n int) []p4.Entry {
			return []p4.Entry{
				p4.FDB{Bridge: routedBridge, MAC: stationOf(n), Kind: p4.ToPort, Port: portC}.Entry(),
				p4.Route{VRF: packetVRF, Prefix: netip.PrefixFrom(routedStation(n), 32), Kind: p4.RouteHost,
					Bridge: routedBridge, MAC: stationOf(n)}.Entry(),
			}
		}},
	{name: "symmetric", from: devA, to: devUp, arrives: toNextHop, grows: outerHeaders,
		routed: func(int) hop { return hop{gatewayMAC, remoteRouterMAC} },
		frame: func(size, flow, n int) []byte {
			return innerPacket(macA, gatewayMAC, routedStation(n), size, flow)
		},
		station: func(n int) []p4.Entry {
			return []p4.Entry{p4.Route{VRF: packetVRF, Prefix: netip.PrefixFrom(routedStation(n), 32), Kind: p4.RouteVTEP,
				VTEP: 1, VNI: packetL3VNI, Source: gatewayMAC, Destination: remoteRouterMAC}.Entry()}
		}},
}

func toNextHop(int) ether.MAC { return nextHopMAC }

// inner takes the outer headers off a frame that is longer for them.
func inner(frame []byte, size int) []byte { return frame[len(frame)-size:] }

// innerFrame is a tenant's UDP datagram in a frame of a size without FCS.
func innerFrame(source, destination ether.MAC, size, flow int) []byte {
	return innerPacket(source, destination, addressB, size, flow)
}

// innerPacket is innerFrame with an IP destination.
func innerPacket(source, destination ether.MAC, to netip.Addr, size, flow int) []byte {
	f := append(make([]byte, 0, size+outerHeaders), destination[:]...)
	f = append(f, source[:]...)
	f = append(f, 0x08, 0x00)
	f = ipv4UDP(f, addressA, to, 1024+uint16(flow), 9, size-14-28)
	return f[:size]
}

// vxlanFrame puts a frame into VXLAN from the remote VTEP to ours.
func vxlanFrame(frame []byte, flow int) []byte {
	f := append(make([]byte, 0, len(frame)+outerHeaders), uplinkMAC[:]...)
	f = append(f, nextHopMAC[:]...)
	f = append(f, 0x08, 0x00)
	f = ipv4UDP(f, remoteVTEP, gatewayVTEP, 49152+uint16(flow), 4789, 8+len(frame))
	f = binary.BigEndian.AppendUint32(f, 1<<27) // the VNI is valid
	f = binary.BigEndian.AppendUint32(f, packetVNI<<8)
	return append(f, frame...)
}

// ipv4UDP appends IPv4 and UDP headers for a payload of a length.
func ipv4UDP(b []byte, from, to netip.Addr, source, destination uint16, payload int) []byte {
	at := len(b)
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(28+payload))
	b = append(b, 0, 0, 0x40, 0, 64, 17, 0, 0)
	b = append(append(b, from.AsSlice()...), to.AsSlice()...)
	binary.BigEndian.PutUint16(b[at+10:], packet.IPv4Checksum(b[at:]))
	b = binary.BigEndian.AppendUint16(b, source)
	b = binary.BigEndian.AppendUint16(b, destination)
	b = binary.BigEndian.AppendUint16(b, uint16(8+payload))
	return append(b, 0, 0) // no checksum
}
