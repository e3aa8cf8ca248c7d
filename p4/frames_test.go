package p4_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// assemble builds a frame, checksums and lengths included.
func assemble(ls ...gopacket.SerializableLayer) []byte {
	for _, l := range ls {
		if transport, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			for _, n := range ls {
				if ip, ok := n.(gopacket.NetworkLayer); ok {
					_ = transport.SetNetworkLayerForChecksum(ip)
				}
			}
		}
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		ls...); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// frame is an untagged IPv4/UDP frame of a tenant.
func frame(src, dst ether.MAC) []byte {
	return assemble(
		&layers.Ethernet{SrcMAC: src[:], DstMAC: dst[:], EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 64, TOS: 0xb9, Protocol: layers.IPProtocolUDP, SrcIP: net.IP{192, 168, 0, 1},
			DstIP: net.IP{192, 168, 0, 2}},
		&layers.UDP{SrcPort: 5000, DstPort: 6000},
		gopacket.Payload("what a tenant says is the tenant's"))
}

// tagged puts a VLAN tag into a frame.
func tagged(f []byte, vlan uint16) []byte {
	return slices.Concat(f[:12], []byte{0x81, 0, byte(vlan >> 8), byte(vlan)}, f[12:])
}

// punted is a frame with packet_in, as it leaves by the CPU port.
func punted(reason p4.PuntReason, port, bridge, vrf uint16, f []byte) []byte {
	return puntedFrom(netip.IPv4Unspecified(), reason, port, bridge, vrf, f)
}

// puntedFrom is what is punted of a frame that came from a VTEP.
func puntedFrom(vtep netip.Addr, reason p4.PuntReason, port, bridge, vrf uint16, f []byte) []byte {
	h := []byte{byte(reason)}
	for _, v := range []uint16{port, bridge, vrf} {
		h = binary.BigEndian.AppendUint16(h, v)
	}
	return slices.Concat(h, vtep.AsSlice(), f)
}

// injected is a frame with packet_out, as it enters by the CPU port.
func injected(mode uint8, port, bridge, vrf uint16, f []byte) []byte {
	return slices.Concat([]byte{mode, byte(port >> 8), byte(port), byte(bridge >> 8), byte(bridge),
		byte(vrf >> 8), byte(vrf)}, f)
}

// splitHeader makes a controller header at the start of a frame the metadata
// that P4Runtime has in its place.
func splitHeader(header string, f []byte) (metadata []*p4v1.PacketMetadata, payload []byte) {
	for _, m := range headerFields(header) {
		n := int(m.GetBitwidth()+7) / 8
		v := bytes.TrimLeft(f[:n-1], "\x00") // the shortest form has one byte at least
		metadata = append(metadata, &p4v1.PacketMetadata{MetadataId: m.GetId(), Value: slices.Concat(v, f[n-1:n])})
		f = f[n:]
	}
	return metadata, f
}

// joinHeader undoes splitHeader.
func joinHeader(header string, metadata []*p4v1.PacketMetadata, payload []byte) (f []byte) {
	for _, m := range headerFields(header) {
		field := make([]byte, (m.GetBitwidth()+7)/8)
		for _, md := range metadata {
			if md.GetMetadataId() == m.GetId() {
				copy(field[max(0, len(field)-len(md.GetValue())):], md.GetValue())
			}
		}
		f = append(f, field...)
	}
	return append(f, payload...)
}

func headerFields(header string) []*p4configv1.ControllerPacketMetadata_Metadata {
	for _, h := range p4.P4Info().GetControllerPacketMetadata() {
		if h.GetPreamble().GetName() == header {
			return h.GetMetadata()
		}
	}
	panic("no controller header " + header)
}

// dump shows a frame as hex and layer by layer. What left by the CPU port starts
// with packet_in.
func dump(port uint32, f []byte) string {
	layered := f
	if port == p4.CPUPort {
		layered = f[min(len(f), len(punted(0, 0, 0, 0, nil))):]
	}
	text := fmt.Sprintf("%x", f)
	for _, l := range gopacket.NewPacket(layered, layers.LayerTypeEthernet, gopacket.NoCopy).Layers() {
		text += "\n     " + gopacket.LayerString(l)
	}
	return text
}

// firstDifference gives the index of the first byte that differs.
func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// tunnelled is a frame from a VTEP to one of our addresses.
func tunnelled(from, to netip.Addr, vni uint32, inner []byte) []byte {
	return assemble(
		&layers.Ethernet{SrcMAC: routerMAC[:], DstMAC: uplinkMAC[:], EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 63, Protocol: layers.IPProtocolUDP, SrcIP: from.AsSlice(), DstIP: to.AsSlice()},
		&layers.UDP{SrcPort: 50000, DstPort: 4789},
		&layers.VXLAN{ValidIDFlag: true, VNI: vni},
		gopacket.Payload(inner))
}
