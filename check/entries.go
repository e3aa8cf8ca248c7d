package check

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// ofEntry gives a frame that meets an entry of the target, whoever wants that; none for one
// that others lead to.
func (p *prober) ofEntry(e p4.Entry) {
	d, err := p4.Decode(e)
	if err != nil {
		return
	}
	at := "entry " + e.Key.String()
	switch d := d.(type) {
	case p4.BridgePort:
		p.add(nil, nil, arrival{port: d.Port}, frame{source: stranger, destination: ether.Broadcast}, "%s", at)
	case p4.Uplink:
		p.add(nil, nil, arrival{port: d.Port}, frame{source: stranger, destination: ether.Broadcast}, "%s", at)
	case p4.HostPort:
		p.add(nil, nil, arrival{port: d.Port}, frame{source: stranger, destination: ether.Broadcast}, "%s", at)
	case p4.LocalVTEP:
		p.fromVTEP(netip.AddrFrom4([4]byte{192, 0, 2, 254}), d.Address, 1<<24-2, stranger, at)
	case p4.RemoteVTEP:
		for _, local := range p.o.VTEPs {
			p.fromVTEP(d.Prefix.Addr(), local, 1<<24-2, stranger, at)
		}
	case p4.VNI:
		p.fromVTEPs(d.Local, d.VNI, at)
	case p4.L3VNI:
		p.fromVTEPs(d.Local, d.VNI, at)
	case p4.Member:
		p.add(p.o.bridges[d.Bridge], nil, arrival{port: d.Port, tag: d.VLAN},
			frame{source: stranger, destination: ether.Broadcast}, "%s", at)
	case p4.Trap:
		p.trapped(d, at)
	default:
		p.inBridge(d, at)
	}
}

func (p *prober) fromVTEP(vtep, local netip.Addr, vni uint32, to ether.MAC, at string) {
	if up := p.uplink(); up != 0 {
		p.add(nil, nil, arrival{port: up, vtep: vtep, local: local, vni: vni}, frame{source: far, destination: to}, "%s", at)
	}
}

func (p *prober) fromVTEPs(local netip.Addr, vni uint32, at string) {
	for _, vtep := range p.someVTEPs() {
		p.fromVTEP(vtep, local, vni, ether.Broadcast, at)
	}
}

// trapped meets a trap, in a bridge of its own or in any.
func (p *prober) trapped(d p4.Trap, at string) {
	for _, index := range slices.Sorted(maps.Keys(p.o.bridges)) {
		b := p.o.bridges[index]
		if d.Bridge != 0 && d.Bridge != b.Index {
			continue
		}
		ports, vteps := p.places(b)
		from := ports
		if d.Origin == p4.OriginVXLAN {
			from = vteps
		}
		if len(from) == 0 {
			continue
		}
		mac := p.sender(b, from[0])
		f := question(mac, netip.Addr{}, netip.AddrFrom4([4]byte{198, 51, 100, 81}))
		if d.EtherType != 0x0806 {
			f = question(mac, netip.Addr{}, netip.MustParseAddr("2001:db8:ffff::81"))
		}
		if !d.MAC.IsZero() {
			f.destination = d.MAC
		}
		p.add(b, nil, from[0], f, "%s", at)
		return
	}
}

// inBridge is ofEntry for what a bridge or VRF has.
func (p *prober) inBridge(d p4.Typed, at string) {
	switch d := d.(type) {
	case p4.FDB:
		p.met(d.Bridge, 0, frame{destination: d.MAC}, at)
	case p4.Source:
		p.met(d.Bridge, d.Port, frame{source: d.MAC, destination: d.MAC}, at)
	case p4.EgressVLAN:
		p.met(d.Bridge, 0, frame{destination: ether.Broadcast}, at)
	case p4.Replica:
		p.met(d.Bridge, 0, frame{destination: ether.Broadcast}, at)
	case p4.Group:
		p.met(d.ID, 0, frame{destination: ether.Broadcast}, at)
	case p4.NoFlood:
		p.met(d.Bridge, 0, frame{destination: ether.MAC{2, 0x70, 0x34, 0xee, 1, 9}}, at)
	case p4.RouterMAC:
		p.met(d.Bridge, 0, frame{destination: d.MAC}, at)
	case p4.GatewayMAC:
		p.met(d.Bridge, 0, frame{source: d.MAC, destination: ether.Broadcast}, at)
	case p4.ARPHost:
		p.asked(d.Bridge, d.Address, at)
	case p4.NDHost:
		p.asked(d.Bridge, d.Address, at)
	case p4.Gateway:
		p.claimed(d.Bridge, d.Address, d.Address, at)
	case p4.GatewayTarget:
		p.claimed(d.Bridge, netip.Addr{}, d.Address, at)
	case p4.BoundSource:
		p.met(d.Bridge, d.Port, packetOf(d.MAC, ether.Broadcast, d.Address, d.Address.Next()), at)
	case p4.Route:
		if v := p.o.vrfs[d.VRF]; v != nil {
			if ip, ok := v.inside(d.Prefix); ok {
				for _, e := range p.entrances(v) {
					p.add(e.bridge, v, e.arrival, e.packet(ip), "%s", at)
					break
				}
			}
		}
	}
}

// met sends a frame into a bridge: by a port, or by any; from whom it is not from.
func (p *prober) met(index, port uint16, f frame, at string) {
	b := p.o.bridges[index]
	if b == nil {
		return // nothing leads into it
	}
	ports, vteps := p.places(b)
	for _, a := range append(ports, vteps...) {
		if port != 0 && a.port != port {
			continue
		}
		if f.source.IsZero() {
			f.source = p.sender(b, a)
		}
		p.add(b, nil, a, f, "%s", at)
		return
	}
}

func (p *prober) asked(index uint16, ip netip.Addr, at string) {
	b := p.o.bridges[index]
	if b == nil {
		return
	}
	ports, vteps := p.places(b)
	for _, a := range append(ports, vteps...) {
		mac := p.sender(b, a)
		p.add(b, nil, a, question(mac, p.addressOf(b, a, mac, ip), ip), "%s", at)
		return
	}
}

// claimed has a tenant say that it has an address: as the sender, or as what it speaks of.
func (p *prober) claimed(index uint16, from, of netip.Addr, at string) {
	b := p.o.bridges[index]
	if b == nil {
		return
	}
	ports, _ := p.places(b)
	if len(ports) == 0 {
		return
	}
	mac := p.sender(b, ports[0])
	f := frame{source: mac, destination: ether.Broadcast, kind: arp, reply: true, mac: mac, from: of, to: of}
	if of.Is6() {
		if !from.IsValid() {
			from = netip.MustParseAddr("fe80::7034:eeff:fe00:1")
		}
		f = frame{source: mac, destination: ether.MAC{0x33, 0x33, 0, 0, 0, 1}, kind: advertisement, mac: mac, from: from,
			to: netip.MustParseAddr("ff02::1"), target: of, flags: 0x20}
	}
	p.add(b, nil, ports[0], f, "%s", at)
}
