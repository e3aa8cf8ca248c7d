package slowpath

import (
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/p4evpn/p4evpn/ether"
)

func TestGatewayAnswersPing(t *testing.T) {
	l := newLab(t)
	l.start()
	l.set(red())
	for _, c := range []struct{ host, gateway string }{
		{"10.0.10.11", "10.0.10.1"},
		{"10.0.10.11", "10.0.20.1"}, // that of another bridge
		{"10.0.10.11", "10.255.0.1"},
	} {
		l.Deliver(Frame{VRF: 1, Bridge: 10, Data: arp(t, layers.ARPRequest, hostMAC, ether.Broadcast, c.host, "10.0.10.1")})
		destination(t, l.frame("ARP reply", isARP(1, 10, layers.ARPReply, c.host)), gatewayMAC, hostMAC)
		l.Deliver(Frame{VRF: 1, Bridge: 10, Data: ping(t, hostMAC, gatewayMAC, c.host, c.gateway, 64, 56)})
		destination(t, l.frame("echo reply", isICMP(1, 10, c.gateway, c.host, echoReply4, 0)), gatewayMAC, hostMAC)
	}
	l.Deliver(Frame{VRF: 1, Bridge: 10, Data: ping(t, hostMAC, gatewayMAC, "2001:db8:10::11", "2001:db8:10::1", 64, 56)})
	l.frame("solicitation of the host", isSolicit(1, 10, "2001:db8:10::11"))
	l.Deliver(Frame{VRF: 1, Bridge: 10, Data: advertisement(t, hostMAC, gatewayMAC, "2001:db8:10::11", "2001:db8:10::1")})
	destination(t, l.frame("echo reply", isICMP(1, 10, "2001:db8:10::1", "2001:db8:10::11", 0, echoReply6)), gatewayMAC,
		hostMAC)
	l.event(Neighbor{VRF: 1, Bridge: 10, IP: netip.MustParseAddr("10.0.10.11"), MAC: hostMAC, Present: true})
	l.event(Neighbor{VRF: 1, Bridge: 10, IP: netip.MustParseAddr("2001:db8:10::11"), MAC: hostMAC, Present: true})
}

func TestKernelResolvesSilentHost(t *testing.T) {
	l := newLab(t)
	l.start()
	l.set(red())
	// From the L3 VNI: the destination MAC is what the leaf put there.
	l.Deliver(Frame{VRF: 1, Data: ping(t, otherMAC, routerMAC, "172.16.0.1", "10.0.20.22", 64, 10)})
	ask := l.frame("ARP request", isARP(1, 20, layers.ARPRequest, "10.0.20.22"))
	a := ask.Layer(layers.LayerTypeARP).(*layers.ARP)
	if netip.AddrFrom4([4]byte(a.SourceProtAddress)).String() != "10.0.20.1" {
		t.Errorf("asked from %v, want the gateway of the host's subnet", a.SourceProtAddress)
	}
	l.Deliver(Frame{VRF: 1, Bridge: 20, Data: arp(t, layers.ARPReply, hostMAC, gatewayMAC, "10.0.20.22", "10.0.20.1")})
	l.frame("the packet itself", isICMP(1, 20, "172.16.0.1", "10.0.20.22", layers.ICMPv4TypeEchoRequest, 0))
	l.event(Neighbor{VRF: 1, Bridge: 20, IP: netip.MustParseAddr("10.0.20.22"), MAC: hostMAC, Present: true})

	l.Deliver(Frame{VRF: 1, Bridge: 10, Data: ping(t, hostMAC, gatewayMAC, "2001:db8:10::11", "2001:db8:20::22", 64, 10)})
	l.frame("solicitation", isSolicit(1, 20, "2001:db8:20::22"))
}

func TestKernelAnswersForTheGatewayInThePath(t *testing.T) {
	l := newLab(t)
	l.start()
	v := red()
	v.Loopback = netip.Prefix{}
	l.set(v)
	l.SetRemote(10, netip.MustParseAddr("10.0.10.11"), hostMAC) // spares the test an ARP dialogue
	l.SetRemote(10, netip.MustParseAddr("2001:db8:10::11"), hostMAC)
	l.until("remote hosts installed", func() bool { return len(installed(l, "red")) == 2 })

	send := func(bridge uint16, src, dst string, ttl uint8, size int) {
		l.Deliver(Frame{VRF: 1, Bridge: bridge, Data: ping(t, hostMAC, gatewayMAC, src, dst, ttl, size)})
	}
	send(10, "10.0.10.11", "172.16.0.1", 1, 10)
	destination(t, l.frame("time exceeded", isICMP(1, 10, "10.0.10.1", "10.0.10.11", timeExceeded4, 0)), gatewayMAC,
		hostMAC)
	send(10, "2001:db8:10::11", "2001:db8:99::1", 1, 10)
	l.frame("hop limit exceeded", isICMP(1, 10, "2001:db8:10::1", "2001:db8:10::11", 0, timeExceeded6))

	send(10, "10.0.10.11", "172.16.0.1", 64, 1450)
	icmp := l.frame("fragmentation needed",
		isICMP(1, 10, "10.0.10.1", "10.0.10.11", unreachable4, 0)).Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	if icmp.TypeCode.Code() != layers.ICMPv4CodeFragmentationNeeded || icmp.Seq != 1450 {
		t.Errorf("code %v, MTU %d; want fragmentation needed, 1450", icmp.TypeCode, icmp.Seq)
	}
	send(10, "2001:db8:10::11", "2001:db8:99::1", 64, 1450)
	l.frame("packet too big", isICMP(1, 10, "2001:db8:10::1", "2001:db8:10::11", 0, tooBig6))

	// Towards a host behind another VTEP, answers leave by the VRF tap.
	send(0, "172.16.0.1", "10.0.10.1", 64, 10)
	destination(t, l.frame("echo reply by the VRF tap", isICMP(1, 0, "10.0.10.1", "172.16.0.1", echoReply4, 0)),
		ether.MAC{}, routerMAC)
	send(0, "2001:db8:99::1", "2001:db8:10::1", 64, 10)
	destination(t, l.frame("echo reply by the VRF tap", isICMP(1, 0, "2001:db8:10::1", "2001:db8:99::1", 0, echoReply6)),
		ether.MAC{}, routerMAC)
	send(0, "172.16.0.1", "10.0.10.11", 1, 10)
	l.frame("time exceeded by the VRF tap", func(f Frame, p gopacket.Packet) bool {
		i, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
		return ok && f.Bridge == 0 && i.TypeCode.Type() == timeExceeded4
	})
}

func TestAddressesOfTwoVRFsOverlap(t *testing.T) {
	l := newLab(t)
	l.start()
	one, two := red(), red()
	two.ID, two.Name = 2, "blue"
	two.SVIs[0].Bridge, two.SVIs[1].Bridge = 30, 40
	l.set(one, two)
	ip := netip.MustParseAddr("10.0.10.11")
	for _, c := range []struct {
		vrf, bridge uint16
		mac         ether.MAC
	}{{1, 10, hostMAC}, {2, 30, otherMAC}} {
		l.Deliver(Frame{VRF: c.vrf, Bridge: c.bridge,
			Data: arp(t, layers.ARPRequest, c.mac, ether.Broadcast, "10.0.10.11", "10.0.10.1")})
		destination(t, l.frame("ARP reply", isARP(c.vrf, c.bridge, layers.ARPReply, "10.0.10.11")), gatewayMAC, c.mac)
		l.event(Neighbor{VRF: c.vrf, Bridge: c.bridge, IP: ip, MAC: c.mac, Present: true})
	}
	for _, c := range []struct {
		vrf, bridge uint16
		mac         ether.MAC
	}{{1, 10, hostMAC}, {2, 30, otherMAC}} {
		l.Deliver(Frame{VRF: c.vrf, Bridge: c.bridge, Data: ping(t, c.mac, gatewayMAC, "10.0.10.11", "10.0.20.1", 64, 10)})
		destination(t, l.frame("echo reply", isICMP(c.vrf, c.bridge, "10.0.20.1", "10.0.10.11", echoReply4, 0)), gatewayMAC,
			c.mac)
	}
}
