package main

import (
	"encoding/binary"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// The switch of the packet figures has two access ports of one bridge and an
// uplink; each is a cable to a device of ours.
const (
	portA, portB, portUp, portHost = 1, 2, 3, 4

	devA, devB, devUp = "stationA", "stationB", "underlay"

	packetBridge = 1
	packetVNI    = 5000
	packetFlows  = 2 * burst
)

var (
	macA = ether.MAC{2, 0, 0, 0, 0, 0xa}
	macB = ether.MAC{2, 0, 0, 0, 0, 0xb}
	macR = ether.MAC{2, 0, 0, 0, 0, 0xc} // behind the remote VTEP

	uplinkMAC  = ether.MAC{2, 1, 0, 0, 0, 1}
	nextHopMAC = ether.MAC{2, 2, 0, 0, 0, 1}
	remoteVTEP = vtep(0)
)

// packetEntries is what the switch is given, in the order of dependency.
func packetEntries() []p4.Entry {
	group := p4.Group{ID: packetBridge, Members: []p4.GroupMember{
		{Port: portA, Instance: p4.LocalInstance}, {Port: portB, Instance: p4.LocalInstance}}}
	var entries []p4.Entry
	for _, e := range []interface{ Entry() p4.Entry }{
		p4.BridgePort{Port: portA}, p4.BridgePort{Port: portB},
		p4.Uplink{Port: portUp, HostPort: portHost}, p4.HostPort{Port: portHost, Uplink: portUp},
		p4.Member{Port: portA, Bridge: packetBridge}, p4.Member{Port: portB, Bridge: packetBridge},
		p4.EgressVLAN{Port: portA, Bridge: packetBridge}, p4.EgressVLAN{Port: portB, Bridge: packetBridge},
		p4.LocalVTEP{Address: gatewayVTEP}, p4.Peer{Prefix: netip.PrefixFrom(remoteVTEP, 32)},
		p4.VNI{Local: gatewayVTEP, VNI: packetVNI, Bridge: packetBridge},
		p4.Adjacency{ID: 1, Source: uplinkMAC, Destination: nextHopMAC},
		p4.Tunnel{VTEP: 1, Source: gatewayVTEP, Destination: remoteVTEP, Adjacency: 1}, p4.Path{VTEP: 1, Port: portUp},
		group,
		p4.Source{Bridge: packetBridge, MAC: macA, Port: portA}, p4.Source{Bridge: packetBridge, MAC: macB, Port: portB},
		p4.FDB{Bridge: packetBridge, MAC: macA, Kind: p4.ToPort, Port: portA},
		p4.FDB{Bridge: packetBridge, MAC: macB, Kind: p4.ToPort, Port: portB},
		p4.FDB{Bridge: packetBridge, MAC: macR, Kind: p4.ToVTEP, VTEP: 1, VNI: packetVNI},
	} {
		entries = append(entries, e.Entry())
	}
	return entries
}

// packetCase is one way through the pipeline.
type packetCase struct {
	name        string
	from, to    string                      // devices of ours
	frame       func(size, flow int) []byte // that is sent; size is the inner frame's
	destination ether.MAC                   // of the frame that arrives
	grows       int                         // bytes by which that is longer
}

// vxlanOverhead is the outer Ethernet, IPv4, UDP and VXLAN headers.
const vxlanOverhead = 14 + 20 + 8 + 8

var packetCases = []packetCase{
	{name: "l2", from: devA, to: devB, destination: macB,
		frame: func(size, flow int) []byte { return innerFrame(macA, macB, size, flow) }},
	{name: "encap", from: devA, to: devUp, destination: nextHopMAC, grows: vxlanOverhead,
		frame: func(size, flow int) []byte { return innerFrame(macA, macR, size, flow) }},
	{name: "decap", from: devUp, to: devA, destination: macA, grows: -vxlanOverhead,
		frame: func(size, flow int) []byte { return vxlanFrame(innerFrame(macR, macA, size, flow), flow) }},
}

// inner takes the outer headers off a frame that is longer for them.
func inner(frame []byte, size int) []byte { return frame[len(frame)-size:] }

// innerFrame is a tenant's UDP datagram in a frame of a size without FCS.
func innerFrame(source, destination ether.MAC, size, flow int) []byte {
	f := append(make([]byte, 0, size+vxlanOverhead), destination[:]...)
	f = append(f, source[:]...)
	f = append(f, 0x08, 0x00)
	f = ipv4UDP(f, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), 1024+uint16(flow), 9, size-14-28)
	return f[:size]
}

// vxlanFrame puts a frame into VXLAN from the remote VTEP to ours.
func vxlanFrame(frame []byte, flow int) []byte {
	f := append(make([]byte, 0, len(frame)+vxlanOverhead), uplinkMAC[:]...)
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
	var sum uint32
	for i := at; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(b[at+10:], ^uint16(sum>>16+sum))
	b = binary.BigEndian.AppendUint16(b, source)
	b = binary.BigEndian.AppendUint16(b, destination)
	b = binary.BigEndian.AppendUint16(b, uint16(8+payload))
	return append(b, 0, 0) // no checksum
}
