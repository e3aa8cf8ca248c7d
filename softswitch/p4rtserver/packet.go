package p4rtserver

import (
	"bytes"
	"fmt"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxPacketOut bounds a packet-out with its header, in bytes.
const maxPacketOut = 65535

// packetHeader is the controller header of packet-ins or packet-outs (6.4.6).
type packetHeader struct {
	fields []packetField
	octets int // length in the frame
}

type packetField struct {
	id    uint32
	name  string
	width int
}

func (f *Forwarding) bindPackets(info *p4configv1.P4Info) error {
	for _, mi := range info.ControllerPacketMetadata {
		h, bits := &packetHeader{}, 0
		name := mi.GetPreamble().GetName()
		for _, m := range mi.Metadata {
			// P4Info does not say how many bits such a field has in the frame.
			if info.GetTypeInfo().GetNewTypes()[m.TypeName.GetName()].GetTranslatedType() != nil {
				return fmt.Errorf("%s: field %s has a translated type, which is not supported there", name, m.Name)
			}
			if m.Bitwidth <= 0 || m.Bitwidth > 2048 {
				return fmt.Errorf("%s: field %s has %d bits; only fixed widths up to 2048 are supported", name, m.Name, m.Bitwidth)
			}
			bits += int(m.Bitwidth)
			h.fields = append(h.fields, packetField{id: m.Id, name: m.Name, width: int(m.Bitwidth)})
		}
		h.octets = (bits + 7) / 8
		switch name {
		case "packet_in":
			f.packetIn = h
		case "packet_out":
			f.packetOut = h
		default:
			return fmt.Errorf("controller header %s: only packet_in and packet_out are known", name)
		}
	}
	return nil
}

// PacketIn sends a frame that left at the CPU port to the primary client. It
// copies the frame and does not wait.
func (f *Forwarding) PacketIn(frame []byte) {
	h, c := f.packetIn, &f.server.counters
	m := &p4v1.PacketIn{}
	if h != nil {
		if len(frame) < h.octets {
			c.packetInsDropped.Add(1)
			return
		}
		offset := 0
		for i := range h.fields {
			m.Metadata = append(m.Metadata, &p4v1.PacketMetadata{
				MetadataId: h.fields[i].id, Value: readBits(frame, offset, h.fields[i].width),
			})
			offset += h.fields[i].width
		}
		frame = frame[h.octets:]
	}
	m.Payload = bytes.Clone(frame)
	if f.server.arbiter.toPrimaries(&p4v1.StreamMessageResponse{Update: &p4v1.StreamMessageResponse_Packet{Packet: m}},
		messageSize+len(frame)) {
		c.packetIns.Add(1)
	} else {
		c.packetInsDropped.Add(1)
	}
}

// packetOut sends a client's packet into the pipeline (16.1).
func (s *Server) packetOut(st *stream, m *p4v1.PacketOut) error {
	if err := s.requirePrimary(st, "packet-out"); err != nil {
		return err
	}
	f := s.Forwarding()
	if f == nil {
		return errNoPipeline
	}
	if s.cfg.Inject == nil {
		return status.Error(codes.Unimplemented, "packet-out: the switch has no CPU port")
	}
	frame, err := f.packetOut.frame(m)
	if err != nil {
		return err
	}
	if err := s.cfg.Inject(frame); err != nil {
		return status.Errorf(codes.Unavailable, "packet-out: %v", err)
	}
	s.counters.packetOuts.Add(1)
	return nil
}

// frame puts the header before the payload; h may be nil.
func (h *packetHeader) frame(m *p4v1.PacketOut) ([]byte, error) {
	if h == nil {
		h = &packetHeader{}
	}
	if h.octets+len(m.GetPayload()) > maxPacketOut {
		return nil, invalid("packet-out of %d bytes: %d are allowed", len(m.GetPayload()), maxPacketOut-h.octets)
	}
	for _, md := range m.GetMetadata() {
		if !h.has(md.MetadataId) {
			return nil, invalid("packet-out: no metadata has id %d in the P4Info", md.MetadataId)
		}
	}
	w := bitWriter{buf: make([]byte, 0, h.octets+len(m.GetPayload()))}
	for _, field := range h.fields {
		value, found := []byte(nil), 0
		for _, md := range m.GetMetadata() {
			if md.MetadataId == field.id {
				value = md.Value
				found++
			}
		}
		if found != 1 {
			return nil, invalid("packet-out: metadata %s (id %d) is there %d times, it must be there once", field.name,
				field.id, found)
		}
		if err := checkValue(value, field.width); err != nil {
			return nil, within("packet-out: metadata "+field.name, err)
		}
		w.write(value, field.width)
	}
	return append(w.buf, m.GetPayload()...), nil
}

func (h *packetHeader) has(id uint32) bool {
	for i := range h.fields {
		if h.fields[i].id == id {
			return true
		}
	}
	return false
}
