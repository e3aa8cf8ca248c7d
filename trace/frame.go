package trace

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

// maxFrame is the largest frame that is traced: what a link with jumbo frames carries.
const maxFrame = 9216 + 14

// arrival is a frame at a port.
type arrival struct {
	port  uint16
	frame []byte
	text  string
}

// arrive finds out what is asked for. It changes nothing of the request that it is given.
func arrive(h Held, asked *view.TraceRequest) (arrival, error) {
	r := *asked
	if err := fill(h, &r); err != nil {
		return arrival{}, err
	}
	frame := r.Frame
	if len(frame) == 0 {
		var err error
		if frame, err = makeFrame(&r.Headers); err != nil {
			return arrival{}, err
		}
	}
	switch {
	case len(frame) > maxFrame:
		return arrival{}, &view.TraceError{Field: "frame", Problem: fmt.Sprintf("%d bytes: want at most %d", len(frame),
			maxFrame)}
	case r.VTEP.IsValid() && r.Port != "":
		return arrival{}, &view.TraceError{Field: "vtep", Problem: "a frame comes by a port or from a VTEP: want one of them"}
	case r.VTEP.IsValid():
		return arriveByVXLAN(h, &r, frame)
	case r.Port == "":
		return arrival{}, &view.TraceError{Field: "port", Problem: "not set: want a port, a VTEP or the host that sends"}
	}
	port, ok := h.Port(r.Port)
	if !ok {
		return arrival{}, &view.TraceError{Field: "port",
			Problem: fmt.Sprintf("the target has no port %q: want one of `show ports`", r.Port)}
	}
	return arrival{port, frame, fmt.Sprintf("%d bytes come by %s: %s", len(frame), r.Port, Describe(frame))}, nil
}

// fill sets what hosts say.
func fill(h Held, r *view.TraceRequest) error {
	if r.From == "" {
		if r.To != "" {
			return &view.TraceError{Field: "to", Problem: "without a host that sends, the destination is a header's"}
		}
		return nil
	}
	from, err := place(h, "from", r.From, "")
	if err != nil {
		return err
	}
	if from.Port == 0 {
		r.VTEP, r.VNI = from.VTEP, from.VNI
	} else {
		r.Port, r.Headers.VLAN = h.PortName(from.Port), from.VLAN
	}
	r.Headers.SourceMAC = from.MAC
	if r.To == "" {
		return fillSource(r, from, r.Headers.Destination)
	}
	to, err := place(h, "to", r.To, from.Bridge)
	address, _ := netip.ParseAddr(hostOf(r.To))
	switch {
	case err == nil && to.Bridge == from.Bridge:
		r.Headers.DestinationMAC = to.MAC
		if !address.IsValid() {
			address = common(from.Addresses, to.Addresses, hostOf(r.From))
		}
	case err == nil && !address.IsValid() && len(to.Addresses) > 0: // routed, so by its address
		address = to.Addresses[0]
		fallthrough
	case address.IsValid():
		if from.Gateway.IsZero() {
			return &view.TraceError{Field: "to", Problem: fmt.Sprintf("%s is not in bridge %s, which has no SVI", r.To,
				from.Bridge)}
		}
		r.Headers.DestinationMAC = from.Gateway
	default:
		return err
	}
	r.Headers.Destination = address
	return fillSource(r, from, address)
}

// fillSource sets the sender's address, of the family of the one that it sends to.
func fillSource(r *view.TraceRequest, from view.Place, to netip.Addr) error {
	if !to.IsValid() {
		return nil
	}
	if given, err := netip.ParseAddr(hostOf(r.From)); err == nil {
		r.Headers.Source = given
	} else {
		r.Headers.Source = family(from.Addresses, to)
	}
	if !r.Headers.Source.IsValid() {
		return &view.TraceError{Field: "from", Problem: fmt.Sprintf("no address of %s is known that can send to %v", r.From,
			to)}
	}
	return nil
}

// common gives an address of to that one of from can send to, and that from itself if it is
// an address; invalid if there is none.
func common(from, to []netip.Addr, sender string) netip.Addr {
	if a, err := netip.ParseAddr(sender); err == nil {
		from = []netip.Addr{a}
	}
	for _, a := range from {
		if found := family(to, a); found.IsValid() && !a.IsLinkLocalUnicast() {
			return found
		}
	}
	return netip.Addr{}
}

// family gives the first address of the family of another, invalid if there is none.
func family(of []netip.Addr, like netip.Addr) netip.Addr {
	for _, a := range of {
		if a.Is4() == like.Is4() && !a.IsLinkLocalUnicast() {
			return a
		}
	}
	return netip.Addr{}
}

// hostOf is a host without its bridge: BRIDGE/HOST, or HOST.
func hostOf(text string) string { return text[strings.LastIndex(text, "/")+1:] }

// place is where a host is: in the bridge that it says, else of several the preferred one.
func place(h Held, field, host, preferred string) (view.Place, error) {
	places, err := h.Places(hostOf(host))
	if err != nil {
		return view.Place{}, &view.TraceError{Field: field, Problem: err.Error()}
	}
	if bridge, _, said := strings.Cut(host, "/"); said {
		places = slices.DeleteFunc(places, func(p view.Place) bool { return p.Bridge != bridge })
	}
	if i := slices.IndexFunc(places, func(p view.Place) bool { return p.Bridge == preferred }); i >= 0 {
		return places[i], nil
	}
	switch len(places) {
	case 0:
		return view.Place{}, &view.TraceError{Field: field, Problem: fmt.Sprintf("no bridge has a host %s", host)}
	case 1:
		return places[0], nil
	}
	return view.Place{}, &view.TraceError{Field: field,
		Problem: fmt.Sprintf("bridges %s and %s have a host %s: want BRIDGE/%s", places[0].Bridge, places[1].Bridge, host,
			host)}
}

// arriveByVXLAN puts the outer headers before a frame that a VTEP sends.
func arriveByVXLAN(h Held, r *view.TraceRequest, frame []byte) (arrival, error) {
	local, uplink := netip.Addr{}, uint16(0)
	for e := range h.Entries() {
		switch d, _ := p4.Decode(e); d := d.(type) {
		case p4.VNI:
			if d.VNI == r.VNI && (!local.IsValid() || d.Local.Less(local)) {
				local = d.Local
			}
		case p4.L3VNI:
			if d.VNI == r.VNI && (!local.IsValid() || d.Local.Less(local)) {
				local = d.Local
			}
		case p4.LocalVTEP:
			// What has a VNI that is nobody's arrives too.
			if !local.IsValid() {
				local = d.Address
			}
		case p4.Uplink:
			if uplink == 0 || d.Port < uplink {
				uplink = d.Port
			}
		}
	}
	switch {
	case uplink == 0 || !local.IsValid():
		return arrival{}, &view.TraceError{Field: "vtep", Problem: "the target has no uplink or no VTEP address"}
	case !r.VTEP.Is4():
		return arrival{}, &view.TraceError{Field: "vtep", Problem: fmt.Sprintf("%v: want an IPv4 address", r.VTEP)}
	case r.VNI == 0 || r.VNI >= 1<<24:
		return arrival{}, &view.TraceError{Field: "vni", Problem: fmt.Sprintf("%d: want 1 to 16777215", r.VNI)}
	}
	outer := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: r.VTEP.AsSlice(),
		DstIP: local.AsSlice()}
	udp := &layers.UDP{SrcPort: 49152, DstPort: 4789}
	if err := udp.SetNetworkLayerForChecksum(outer); err != nil {
		return arrival{}, err
	}
	whole, err := serialize(ethernet(peerMAC, peerMAC, layers.EthernetTypeIPv4), outer, udp,
		&layers.VXLAN{ValidIDFlag: true, VNI: r.VNI}, gopacket.Payload(frame))
	return arrival{uplink, whole, fmt.Sprintf("%d bytes come by %s from VTEP %v with VNI %d: %s", len(frame),
		h.PortName(uplink),
		r.VTEP, r.VNI, Describe(frame))}, err
}

// peerMAC stands for the next hop that a frame from a VTEP comes from, and for us.
var peerMAC = ether.MAC{2, 0, 0, 0, 0, 0xfe}

func ethernet(source, destination ether.MAC, typ layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: source[:], DstMAC: destination[:], EthernetType: typ}
}

func serialize(all ...gopacket.SerializableLayer) ([]byte, error) {
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		all...); err != nil {
		return nil, fmt.Errorf("make the frame: %w", err)
	}
	return b.Bytes(), nil
}

// makeFrame makes a frame of what is said of it.
func makeFrame(q *view.TraceHeaders) ([]byte, error) {
	if q.SourceMAC.IsZero() {
		return nil, &view.TraceError{Field: "headers.source_mac", Problem: "not set"}
	}
	switch {
	case q.Target.IsValid() && q.Source.IsValid() && q.Source.Is4() != q.Target.Is4():
		return nil, &view.TraceError{Field: "headers.target", Problem: fmt.Sprintf("%v cannot ask for %v", q.Source,
			q.Target)}
	case q.Target.IsValid():
		return tag(packet.Query{MAC: q.SourceMAC, Target: q.Target, Sender: q.Source}.Frame(), q.VLAN), nil
	case q.DestinationMAC.IsZero():
		return nil, &view.TraceError{Field: "headers.destination_mac", Problem: "not set"}
	case q.Source.IsValid() != q.Destination.IsValid(), q.Source.IsValid() && q.Source.Is4() != q.Destination.Is4():
		return nil, &view.TraceError{Field: "headers.destination", Problem: "want a source and a destination of one family"}
	case !q.Source.IsValid():
		frame, err := serialize(ethernet(q.SourceMAC, q.DestinationMAC, 0x88b5), gopacket.Payload(make([]byte, 46)))
		return tag(frame, q.VLAN), err
	}
	return ipPacket(q)
}

// tag puts a VLAN's tag into a frame, none for VLAN 0.
func tag(frame []byte, vlan uint16) []byte {
	if vlan == 0 || len(frame) < 12 {
		return frame
	}
	return slices.Concat(frame[:12], []byte{0x81, 0, byte(vlan >> 8), byte(vlan)}, frame[12:])
}

// ipPacket makes a packet with a few bytes in it.
func ipPacket(q *view.TraceHeaders) ([]byte, error) {
	ttl := q.TTL
	if ttl == 0 {
		ttl = 64
	}
	var network gopacket.NetworkLayer
	var ip gopacket.SerializableLayer
	typ, icmp := layers.EthernetTypeIPv4, layers.IPProtocolICMPv4
	if q.Source.Is4() {
		v4 := &layers.IPv4{Version: 4, TTL: ttl, SrcIP: q.Source.AsSlice(), DstIP: q.Destination.AsSlice()}
		network, ip = v4, v4
	} else {
		v6 := &layers.IPv6{Version: 6, HopLimit: ttl, SrcIP: q.Source.AsSlice(), DstIP: q.Destination.AsSlice()}
		network, ip, typ, icmp = v6, v6, layers.EthernetTypeIPv6, layers.IPProtocolICMPv6
	}
	transport, protocol, err := transportOf(q, network, icmp)
	if err != nil {
		return nil, err
	}
	switch ip := ip.(type) {
	case *layers.IPv4:
		ip.Protocol = protocol
	case *layers.IPv6:
		ip.NextHeader = protocol
	}
	all := append([]gopacket.SerializableLayer{ethernet(q.SourceMAC, q.DestinationMAC, typ), ip}, transport...)
	frame, err := serialize(append(all, gopacket.Payload(make([]byte, 18)))...)
	return tag(frame, q.VLAN), err
}

// transportOf makes what is above IP.
func transportOf(q *view.TraceHeaders, network gopacket.NetworkLayer, icmp layers.IPProtocol) (
	[]gopacket.SerializableLayer, layers.IPProtocol, error) {
	source, destination := q.SourcePort, q.DestinationPort
	if source == 0 {
		source = 49152
	}
	if destination == 0 {
		destination = 9 // discard
	}
	switch q.Protocol {
	case "udp", "":
		u := &layers.UDP{SrcPort: layers.UDPPort(source), DstPort: layers.UDPPort(destination)}
		return []gopacket.SerializableLayer{u}, layers.IPProtocolUDP, u.SetNetworkLayerForChecksum(network)
	case "tcp":
		s := &layers.TCP{SrcPort: layers.TCPPort(source), DstPort: layers.TCPPort(destination), SYN: true, Window: 65535}
		return []gopacket.SerializableLayer{s}, layers.IPProtocolTCP, s.SetNetworkLayerForChecksum(network)
	case "icmp":
		if icmp == layers.IPProtocolICMPv4 {
			echo := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 1, Seq: 1}
			return []gopacket.SerializableLayer{echo}, icmp, nil
		}
		echo := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)}
		return []gopacket.SerializableLayer{echo, &layers.ICMPv6Echo{Identifier: 1, SeqNumber: 1}}, icmp,
			echo.SetNetworkLayerForChecksum(network)
	}
	return nil, 0, &view.TraceError{Field: "headers.protocol", Problem: fmt.Sprintf("%q: want udp, tcp or icmp",
		q.Protocol)}
}

// Describe says in a line what a frame is.
func Describe(frame []byte) string {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	e, is := p.LinkLayer().(*layers.Ethernet)
	if !is {
		return "no whole Ethernet frame"
	}
	text := fmt.Sprintf("%v > %v", e.SrcMAC, e.DstMAC)
	for _, l := range p.Layers()[1:] {
		switch l := l.(type) {
		case *layers.Dot1Q:
			text += fmt.Sprintf(", VLAN %d", l.VLANIdentifier)
		case *layers.ARP:
			text += fmt.Sprintf(", ARP %s for %v from %v", arpKind(l), net.IP(l.DstProtAddress), net.IP(l.SourceProtAddress))
		case *layers.IPv4:
			text += fmt.Sprintf(", %v > %v, %v, TTL %d", l.SrcIP, l.DstIP, l.Protocol, l.TTL)
		case *layers.IPv6:
			text += fmt.Sprintf(", %v > %v, %v, hop limit %d", l.SrcIP, l.DstIP, l.NextHeader, l.HopLimit)
		case *layers.ICMPv6NeighborSolicitation:
			text += fmt.Sprintf(", solicitation of %v", l.TargetAddress)
		case *layers.ICMPv6NeighborAdvertisement:
			text += fmt.Sprintf(", advertisement of %v", l.TargetAddress)
		}
	}
	return text
}

func arpKind(a *layers.ARP) string {
	if a.Operation == layers.ARPReply {
		return "reply"
	}
	return "request"
}
