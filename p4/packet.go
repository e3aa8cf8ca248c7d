package p4

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/ether"
)

// Learn is one report of the digest learn_t: a source MAC that has no entry for
// the port it was seen on.
type Learn struct {
	Bridge uint16
	MAC    ether.MAC
	Port   uint16
}

// DigestID is the P4Info id of learn_t.
func DigestID() uint32 { return P4Info().GetDigests()[0].GetPreamble().GetId() }

// DecodeLearn reads one member of a digest list.
func DecodeLearn(d *p4v1.P4Data) (Learn, error) {
	m := d.GetStruct().GetMembers()
	if len(m) != 3 {
		return Learn{}, fmt.Errorf("learn_t of %d members: want 3", len(m))
	}
	bridge, err := number(m[0].GetBitstring(), 2)
	if err != nil {
		return Learn{}, fmt.Errorf("learn_t: bridge: %w", err)
	}
	mac, err := number(m[1].GetBitstring(), 6)
	if err != nil {
		return Learn{}, fmt.Errorf("learn_t: MAC: %w", err)
	}
	port, err := number(m[2].GetBitstring(), 2)
	if err != nil {
		return Learn{}, fmt.Errorf("learn_t: port: %w", err)
	}
	l := Learn{Bridge: uint16(bridge), Port: uint16(port)}
	for i := range l.MAC {
		l.MAC[i] = byte(mac >> (40 - 8*i))
	}
	return l, nil
}

// number reads a P4Runtime byte string of at most size bytes, leading zeros
// aside.
func number(b []byte, size int) (uint64, error) {
	b = canonical(b)
	if len(b) == 0 || len(b) > size {
		return 0, fmt.Errorf("%#x: want 1 to %d bytes", b, size)
	}
	var n uint64
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n, nil
}

// PacketIn is a frame that the pipeline sent to the controller, without tag and
// outer headers.
type PacketIn struct {
	Reason PuntReason
	Port   uint16     // it came by: the uplink for one that came by VXLAN
	Bridge uint16     // it came in; 0 if it came by an L3 VNI
	VRF    uint16     // it is routed in; 0 if it is not
	VTEP   netip.Addr // it came from by VXLAN; invalid if it came by a bridge port
	Frame  []byte
}

// DecodePacketIn reads the message; Frame is its payload, not a copy.
func DecodePacketIn(m *p4v1.PacketIn) (PacketIn, error) {
	p := PacketIn{Frame: m.GetPayload()}
	for _, md := range m.GetMetadata() {
		size := 2
		switch md.GetMetadataId() {
		case 1:
			size = 1
		case 5:
			size = 4
		}
		v, err := number(md.GetValue(), size)
		if err != nil {
			return PacketIn{}, fmt.Errorf("packet-in: metadata %d: %w", md.GetMetadataId(), err)
		}
		switch md.GetMetadataId() {
		case 1:
			p.Reason = PuntReason(v)
		case 2:
			p.Port = uint16(v)
		case 3:
			p.Bridge = uint16(v)
		case 4:
			p.VRF = uint16(v)
		case 5:
			if v != 0 {
				p.VTEP = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(v))))
			}
		}
	}
	return p, nil
}

// packetInSize is the length of the header that a frame to CPUPort has (headers.p4).
const packetInSize = 1 + 2 + 2 + 2 + 4

// CutPacketIn reads a frame as it leaves by CPUPort, where a target puts the header of a
// PacketIn before it; Frame is not a copy.
func CutPacketIn(b []byte) (PacketIn, error) {
	if len(b) < packetInSize {
		return PacketIn{}, fmt.Errorf("frame to the CPU of %d bytes: want a header of %d", len(b), packetInSize)
	}
	u := unpacker(b)
	p := PacketIn{Reason: PuntReason(u.u8()), Port: u.u16(), Bridge: u.u16(), VRF: u.u16(), Frame: b[packetInSize:]}
	if a := u.ipv4(); !a.IsUnspecified() {
		p.VTEP = a
	}
	return p, nil
}

// PacketOut is a frame from the controller: into Bridge, to be forwarded there
// (LocalOnly: to no VTEP); or to be routed in VRF, whatever its MAC addresses
// are; or where both are 0 out of Port as it is.
type PacketOut struct {
	Port      uint16
	Bridge    uint16
	VRF       uint16
	LocalOnly bool
	Frame     []byte
}

// Modes of packet_out.
const (
	modeRaw    = 0
	modeBridge = 1
	modeLocal  = 2
	modeVRF    = 3
)

// Message makes the P4Runtime message.
func (p PacketOut) Message() *p4v1.PacketOut {
	mode := byte(modeRaw)
	switch {
	case p.Bridge != 0 && p.LocalOnly:
		mode = modeLocal
	case p.Bridge != 0:
		mode = modeBridge
	case p.VRF != 0:
		mode = modeVRF
	}
	return &p4v1.PacketOut{Payload: p.Frame, Metadata: []*p4v1.PacketMetadata{
		{MetadataId: 1, Value: []byte{mode}},
		{MetadataId: 2, Value: canonical([]byte{byte(p.Port >> 8), byte(p.Port)})},
		{MetadataId: 3, Value: canonical([]byte{byte(p.Bridge >> 8), byte(p.Bridge)})},
		{MetadataId: 4, Value: canonical([]byte{byte(p.VRF >> 8), byte(p.VRF)})},
	}}
}
