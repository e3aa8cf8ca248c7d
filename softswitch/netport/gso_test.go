package netport

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// unsegmented makes a frame as a sender with segmentation offload leaves it,
// and its virtio_net_hdr.
func unsegmented(t testing.TB, ipv6, udp bool, payload []byte, size int) (frame, vnet []byte) {
	t.Helper()
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2},
		EthernetType: layers.EthernetTypeIPv4}
	ip4 := &layers.IPv4{Version: 4, TTL: 64, Id: 65535, SrcIP: net.IPv4(192, 0, 2, 1), DstIP: net.IPv4(192, 0, 2, 2),
		Protocol: layers.IPProtocolTCP}
	ip6 := &layers.IPv6{Version: 6, HopLimit: 64, SrcIP: net.ParseIP("2001:db8::1"), DstIP: net.ParseIP("2001:db8::2"),
		NextHeader: layers.IPProtocolTCP}
	tcp := &layers.TCP{SrcPort: 1, DstPort: 2, Seq: 0xffffff00, ACK: true, PSH: true, FIN: true, CWR: true,
		Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindNop}}}
	dgram := &layers.UDP{SrcPort: 1, DstPort: 2}
	var network gopacket.SerializableLayer = ip4
	vnet = make([]byte, vnetHdrLen)
	l4 := 34
	vnet[vnetFlags], vnet[vnetGSOType] = vnetNeedsChecksum, gsoTCPv4
	if ipv6 {
		network, l4, eth.EthernetType, vnet[vnetGSOType] = ip6, 54, layers.EthernetTypeIPv6, gsoTCPv6
	}
	var transport gopacket.SerializableLayer = tcp
	if udp {
		transport, ip4.Protocol, ip6.NextHeader, vnet[vnetGSOType] = dgram, layers.IPProtocolUDP, layers.IPProtocolUDP, gsoUDP
	}
	binary.NativeEndian.PutUint16(vnet[vnetCsumStart:], uint16(l4))
	binary.NativeEndian.PutUint16(vnet[vnetGSOSize:], uint16(size))
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true}, eth, network, transport,
		gopacket.Payload(payload)); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), vnet
}

func TestSegmentsAreWhatHardwareWouldSend(t *testing.T) {
	payload := make([]byte, 10000)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	for _, x := range []struct {
		name      string
		ipv6, udp bool
	}{{"TCP over IPv4", false, false}, {"TCP over IPv6", true, false}, {"UDP over IPv4", false, true}, {"UDP over IPv6",
		true, true}} {
		t.Run(x.name, func(t *testing.T) {
			frame, vnet := unsegmented(t, x.ipv6, x.udp, payload, 1400)
			s, ok := newSegmenter(frame, vnet)
			if !ok {
				t.Fatal("refused")
			}
			var got []byte
			for i := 0; ; i++ {
				segment := s.next(make([]byte, 2048))
				if segment == nil {
					break
				}
				got = append(got, checkSegment(t, segment, i, len(got) == 9800, x.udp)...)
			}
			if !bytes.Equal(got, payload) {
				t.Errorf("the payload of the segments has %d bytes and differs", len(got))
			}
		})
	}
}

// checkSegment decodes segment i and checks its headers and checksums.
func checkSegment(t *testing.T, segment []byte, i int, last, udp bool) []byte {
	t.Helper()
	p := gopacket.NewPacket(segment, layers.LayerTypeEthernet, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("segment %d: %v", i, e.Error())
	}
	switch l4 := p.TransportLayer().(type) {
	case *layers.TCP:
		l4.SetNetworkLayerForChecksum(p.NetworkLayer())
	case *layers.UDP:
		l4.SetNetworkLayerForChecksum(p.NetworkLayer())
	}
	if err, bad := p.VerifyChecksums(); err != nil || len(bad) > 0 {
		t.Errorf("segment %d: wrong checksums %v %v", i, bad, err)
	}
	if ip, ok := p.NetworkLayer().(*layers.IPv4); ok && (int(ip.Length) != len(segment)-14 || ip.Id != uint16(65535+i)) {
		t.Errorf("segment %d: length %d, id %d", i, ip.Length, ip.Id)
	}
	if ip, ok := p.NetworkLayer().(*layers.IPv6); ok && int(ip.Length) != len(segment)-54 {
		t.Errorf("segment %d: length %d", i, ip.Length)
	}
	if udp {
		if d := p.TransportLayer().(*layers.UDP); int(d.Length) != 8+len(d.Payload) {
			t.Errorf("segment %d: UDP length %d", i, d.Length)
		}
	} else if tcp := p.TransportLayer().(*layers.TCP); tcp.Seq != uint32(0xffffff00+i*1400) || tcp.FIN != last ||
		tcp.PSH != last || tcp.CWR != (i == 0) || !tcp.ACK {
		t.Errorf("segment %d: seq %x, FIN %v, PSH %v, CWR %v", i, tcp.Seq, tcp.FIN, tcp.PSH, tcp.CWR)
	}
	return p.TransportLayer().LayerPayload()
}

// TestKernelSegmentationIsUndone sends a large TCP write of the kernel's own
// into a port: veth leaves segmentation to the receiver.
func TestKernelSegmentationIsUndone(t *testing.T) {
	needRoot(t)
	addVeth(t, "va", "vb", 1500)
	var got recorder
	b := startPort(t, "vb", got.handle)
	eventually(t, "port up", b.Up)
	payload := make([]byte, 40000)
	frame, vnet := unsegmented(t, false, false, payload, 1400)
	binary.NativeEndian.PutUint16(vnet[2:], 34+22) // hdr_len
	binary.NativeEndian.PutUint16(vnet[vnetCsumOffset:], 16)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		t.Fatal(err)
	}
	to := &unix.SockaddrLinklayer{Ifindex: linkNamed(t, "va").Attrs().Index, Protocol: htons(unix.ETH_P_IP)}
	if err := unix.Sendto(fd, append(vnet, frame...), 0, to); err != nil {
		t.Fatal(err)
	}
	eventually(t, "29 segments arrive", func() bool { return got.len() == 29 })
	octets := 0
	for i, f := range got.frames {
		octets += len(checkSegment(t, f, i, i == 28, false))
	}
	if s := b.Stats(); octets != len(payload) || s.RxSegmented != 1 || s.RxTooLong != 0 || s.RxFrames != 29 {
		t.Errorf("%d bytes of payload, counters %+v", octets, s)
	}
}

// slotOf puts a frame into a ring's slot as the kernel does.
func slotOf(frame, vnet []byte, wire int) []byte {
	const mac = 76
	slot := make([]byte, 8192)
	host := binary.NativeEndian
	host.PutUint32(slot[slotLen:], uint32(wire))
	host.PutUint32(slot[slotSnaplen:], uint32(len(frame)))
	host.PutUint16(slot[slotMac:], mac)
	copy(slot[mac-vnetHdrLen:], vnet)
	copy(slot[mac:], frame)
	return slot
}

func TestFrameThatCannotBeSegmentedIsCountedAndDropped(t *testing.T) {
	frame, vnet := unsegmented(t, false, false, make([]byte, 3000), 1400)
	unknown := bytes.Clone(vnet)
	unknown[vnetGSOType] = 9
	big := bytes.Clone(vnet)
	binary.NativeEndian.PutUint16(big[vnetGSOSize:], 1600)
	for name, slot := range map[string][]byte{
		"unknown kind":                 slotOf(frame, unknown, len(frame)),
		"segments longer than MTU":     slotOf(frame, big, len(frame)),
		"truncated, and no copy of it": slotOf(frame, vnet, 60000),
	} {
		r := &ring{mtu: 1500, slotLen: 2048, count: &counters{}}
		delivered := 0
		if f := r.frame(slot, unix.TP_STATUS_USER, func(f [][]byte) { delivered += len(f) }); f != nil || delivered > 0 {
			t.Errorf("%s: got a frame", name)
		}
		if n := r.count.rxTooLong.Load(); n != 1 {
			t.Errorf("%s: counted %d, want 1", name, n)
		}
	}
}

// FuzzSlot feeds the ring's decoder slots that a kernel would never write.
func FuzzSlot(f *testing.F) {
	frame, vnet := unsegmented(f, true, false, make([]byte, 300), 100)
	f.Add(slotOf(frame, vnet, len(frame))[:512], uint32(unix.TP_STATUS_USER))
	frame, vnet = unsegmented(f, false, true, make([]byte, 300), 100)
	f.Add(slotOf(frame, vnet, len(frame))[:512], uint32(unix.TP_STATUS_USER|unix.TP_STATUS_VLAN_VALID))
	f.Add(slotOf(frame, make([]byte, vnetHdrLen), len(frame))[:512], uint32(unix.TP_STATUS_USER|unix.TP_STATUS_VLAN_VALID))
	f.Fuzz(func(t *testing.T, b []byte, status uint32) {
		slot := make([]byte, 2048)
		copy(slot, b)
		r := &ring{fd: -1, mtu: 1500, slotLen: 2048, count: &counters{}}
		check := func(frame []byte) {
			if len(frame) > 2048 {
				t.Errorf("frame of %d bytes out of a slot of 2048", len(frame))
			}
		}
		check(r.frame(slot, status, func(frames [][]byte) {
			for _, frame := range frames {
				check(frame)
			}
		}))
	})
}

// TestTunnelledSegmentationIsUndone lets the kernel's VXLAN device send
// datagrams that it has not segmented.
func TestTunnelledSegmentationIsUndone(t *testing.T) {
	needRoot(t)
	addVeth(t, "va", "vb", 1600)
	setAddress(t, "va", "192.0.2.1/24", net.IPv4(192, 0, 2, 9))
	la := netlink.NewLinkAttrs()
	la.Name = "vx"
	if err := netlink.LinkAdd(&netlink.Vxlan{LinkAttrs: la, VxlanId: 5, Group: net.IPv4(192, 0, 2, 9),
		SrcAddr: net.IPv4(192, 0, 2, 1), Port: 4789}); err != nil {
		t.Skipf("SKIP: the kernel has no VXLAN device: %v", err)
	}
	t.Cleanup(func() { delLink("vx") })
	setUp(t, "vx")
	setAddress(t, "vx", "198.51.100.1/24", net.IPv4(198, 51, 100, 9))
	var got recorder
	b := startPort(t, "vb", got.handle)
	eventually(t, "port up", b.Up)

	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT, 1000); err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendto(fd, make([]byte, 9500), 0,
		&unix.SockaddrInet4{Port: 9, Addr: [4]byte{198, 51, 100, 9}}); err != nil {
		t.Fatal(err)
	}
	segments := func() (out [][]byte) { // without the kernel's multicast reports
		got.mu.Lock()
		defer got.mu.Unlock()
		for _, frame := range got.frames {
			if len(frame) > 500 {
				out = append(out, frame)
			}
		}
		return out
	}
	eventually(t, "ten segments arrive", func() bool { return len(segments()) == 10 })
	octets := 0
	for i, frame := range segments() {
		p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
		if p.ErrorLayer() != nil || p.Layer(layers.LayerTypeVXLAN) == nil {
			t.Fatalf("frame %d is not VXLAN: %x", i, frame)
		}
		var network gopacket.NetworkLayer
		for _, l := range p.Layers() {
			switch l := l.(type) {
			case *layers.IPv4:
				network = l
			case *layers.UDP:
				l.SetNetworkLayerForChecksum(network)
				if int(l.Length) != 8+len(l.Payload) {
					t.Errorf("frame %d: UDP length %d, payload %d", i, l.Length, len(l.Payload))
				}
			}
		}
		if err, bad := p.VerifyChecksums(); err != nil || len(bad) > 0 {
			t.Errorf("frame %d: wrong checksums %v %v", i, bad, err)
		}
		octets += len(p.ApplicationLayer().Payload())
	}
	if octets != 9500 {
		t.Errorf("%d bytes of payload arrived, want 9500; counters %+v", octets, b.Stats())
	}
}

// setAddress gives an interface an address and a permanent neighbour.
func setAddress(t *testing.T, name, address string, neighbour net.IP) {
	t.Helper()
	addr, err := netlink.ParseAddr(address)
	if err != nil {
		t.Fatal(err)
	}
	l := linkNamed(t, name)
	if err := netlink.AddrAdd(l, addr); err != nil {
		t.Fatal(err)
	}
	if err := netlink.NeighSet(&netlink.Neigh{
		LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT,
		IP: neighbour, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9},
	}); err != nil {
		t.Fatal(err)
	}
}
