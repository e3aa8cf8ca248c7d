// Package dhcptest makes frames of DHCP for tests.
package dhcptest

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/p4evpn/p4evpn/ether"
)

// Message is a message of RFC 2131. Its fields that are zero are left out.
type Message struct {
	Kind        layers.DHCPMsgType
	Transaction uint32
	Source      ether.MAC // of the frame; zero: Client
	Client      ether.MAC
	Current     netip.Addr // ciaddr, of a client
	Requested   netip.Addr // the option
	Given       netip.Addr // yiaddr, of a server
	Lease       time.Duration
}

// Frame is the message as it is sent to everybody.
func (m Message) Frame() []byte {
	d := &layers.DHCPv4{Operation: layers.DHCPOpRequest, HardwareType: layers.LinkTypeEthernet, HardwareLen: 6,
		Xid: m.Transaction, ClientHWAddr: m.Client[:], ClientIP: slice(m.Current), YourClientIP: slice(m.Given)}
	ports := [2]layers.UDPPort{68, 67}
	switch m.Kind {
	case layers.DHCPMsgTypeOffer, layers.DHCPMsgTypeAck, layers.DHCPMsgTypeNak:
		d.Operation, ports = layers.DHCPOpReply, [2]layers.UDPPort{67, 68}
	}
	if m.Kind != layers.DHCPMsgTypeUnspecified {
		d.Options = append(d.Options, layers.NewDHCPOption(layers.DHCPOptMessageType, []byte{byte(m.Kind)}))
	}
	if m.Requested.IsValid() {
		d.Options = append(d.Options, layers.NewDHCPOption(layers.DHCPOptRequestIP, m.Requested.AsSlice()))
	}
	if m.Lease != 0 {
		d.Options = append(d.Options, layers.NewDHCPOption(layers.DHCPOptLeaseTime,
			binary.BigEndian.AppendUint32(nil, uint32(m.Lease/time.Second))))
	}
	if m.Source.IsZero() {
		m.Source = m.Client
	}
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: slice(m.Current),
		DstIP: []byte{255, 255, 255, 255}}
	udp := &layers.UDP{SrcPort: ports[0], DstPort: ports[1]}
	_ = udp.SetNetworkLayerForChecksum(ip)
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: m.Source[:], DstMAC: ether.Broadcast[:], EthernetType: layers.EthernetTypeIPv4}, ip, udp,
		d); err != nil {
		panic(err) // of a test's own making
	}
	return buf.Bytes()
}

func slice(a netip.Addr) []byte {
	if !a.IsValid() {
		return make([]byte, 4)
	}
	return a.AsSlice()
}
