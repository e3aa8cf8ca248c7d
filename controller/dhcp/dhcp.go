// Package dhcp reads what DHCP clients and servers say of addresses (RFC 2131). It knows
// frames, not who sent them nor who may.
package dhcp

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// Kind is what a message says.
type Kind uint8

// What is told apart; any other message says nothing of addresses.
const (
	Asks    Kind = iota + 1 // the client asks for a lease, or to prolong it
	Returns                 // the client has Address no more
	Grants                  // the server gives the client Address for Lease
)

// Forever is a lease without end (RFC 2131 section 3.3).
const Forever time.Duration = 1<<63 - 1

// Message is one of these.
type Message struct {
	Kind Kind
	// Transaction is the client's number for the exchange, and Client its MAC: an answer
	// has those of the question.
	Transaction uint32
	Client      ether.MAC
	Address     netip.Addr    // of what is returned or granted
	Lease       time.Duration // of what is granted, more than 0
}

// ReadV4 reads an untagged frame of DHCP over IPv4; false if it is none, is damaged, or says
// nothing of addresses. What a client says is believed only of its own MAC.
func ReadV4(frame []byte) (Message, bool) {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	eth, ok := p.LinkLayer().(*layers.Ethernet)
	if !ok {
		return Message{}, false
	}
	d, ok := p.Layer(layers.LayerTypeDHCPv4).(*layers.DHCPv4)
	if !ok || d.HardwareType != layers.LinkTypeEthernet || len(d.ClientHWAddr) != len(ether.MAC{}) {
		return Message{}, false
	}
	m := Message{Transaction: d.Xid, Client: ether.MAC(d.ClientHWAddr)}
	if m.Client.IsZero() || m.Client.IsMulticast() {
		return Message{}, false
	}
	options := map[layers.DHCPOpt][]byte{}
	for _, o := range d.Options {
		if _, again := options[o.Type]; !again {
			options[o.Type] = o.Data
		}
	}
	kind := options[layers.DHCPOptMessageType]
	if len(kind) != 1 {
		return Message{}, false // BOOTP has no leases
	}
	if d.Operation == layers.DHCPOpRequest && m.Client == ether.MAC(eth.SrcMAC) {
		return m.asked(layers.DHCPMsgType(kind[0]), d.ClientIP, options[layers.DHCPOptRequestIP])
	}
	if d.Operation == layers.DHCPOpReply && layers.DHCPMsgType(kind[0]) == layers.DHCPMsgTypeAck {
		return m.granted(d.YourClientIP, options[layers.DHCPOptLeaseTime])
	}
	return Message{}, false
}

// MayBeAnswer reports whether an untagged frame is to a DHCPv4 client, by what costs nothing
// to see.
func MayBeAnswer(frame []byte) bool {
	const ports = 14 + 20 // of UDP behind Ethernet and IPv4 without options
	return len(frame) >= ports+4 && frame[12] == 8 && frame[13] == 0 && frame[14] == 0x45 && frame[23] == 17 &&
		frame[ports+2] == 0 && frame[ports+3] == 68
}

// asked completes what a client says.
func (m Message) asked(kind layers.DHCPMsgType, current, requested []byte) (Message, bool) {
	switch kind {
	case layers.DHCPMsgTypeDiscover, layers.DHCPMsgTypeRequest: // the first with rapid commit (RFC 4039)
		m.Kind = Asks
		return m, true
	case layers.DHCPMsgTypeRelease:
		return m.returned(current)
	case layers.DHCPMsgTypeDecline:
		return m.returned(requested)
	}
	return Message{}, false
}

func (m Message) returned(address []byte) (Message, bool) {
	var ok bool
	m.Kind = Returns
	m.Address, ok = netip.AddrFromSlice(address)
	return m, ok && m.Address.Is4()
}

// granted completes what a server gives. An answer to DHCPINFORM gives no address.
func (m Message) granted(address, lease []byte) (Message, bool) {
	m.Kind = Grants
	m.Address, _ = netip.AddrFromSlice(address)
	if !packet.IsHost(m.Address) || len(lease) != 4 {
		return Message{}, false
	}
	switch seconds := binary.BigEndian.Uint32(lease); seconds {
	case 0:
		return Message{}, false
	case 0xffffffff:
		m.Lease = Forever
	default:
		m.Lease = time.Duration(seconds) * time.Second
	}
	return m, true
}
