package testbed

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

/*
A gateway and a BGP speaker that is not ours, on one link. Each has one address,
which is its router id and its VTEP too.

	hosts ─ port1, port2 ─ gateway = P4 switch ─ uplink1 ─ speaker
*/

const (
	foreignDevice = "up1" // of the foreign speaker, towards the gateway
)

var (
	foreignVTEP = netip.MustParseAddr("172.17.0.1")
	peeringVTEP = netip.MustParseAddr("172.17.0.2") // the gateway's

	peeringUplinks = []demoUplink{{"uplink1", 10, "up1", peeringVTEP.String(), foreignVTEP.String(), gatewayAS,
		foreignVTEP, 11, "up1-sw", ""}}
	peeringPorts = []SwitchPort{{1, "port1"}, {2, "port2"}, {3, "port3"}, {4, "port4"}}
)

// peering is the gateway's side of that network, and the foreign namespace.
type peering struct {
	options DemoOptions
	lab     *Lab
	gateway *Gateway
	foreign *Namespace
	hosts   []*Host // by the gateway's ports
	config  gatewayFile
}

// buildPeering makes the network and starts the gateway. Objects, neighbours but
// those of the configuration, and the foreign speaker are the caller's.
func buildPeering(ctx context.Context, l *Lab, o DemoOptions, numbers []byte, config gatewayFile) (*peering, error) {
	p := &peering{options: o, lab: l}
	gw, err := l.Namespace("gw")
	if err != nil {
		return nil, err
	}
	if p.foreign, err = l.Namespace("foreign"); err != nil {
		return nil, err
	}
	u := peeringUplinks[0]
	for _, c := range [][2]End{
		{{NS: p.foreign, Dev: foreignDevice, MTU: underlayMTU}, {NS: gw, Dev: u.name, Switch: true}},
		{{NS: gw, Dev: u.host, MTU: underlayMTU}, {NS: gw, Dev: u.hostPortDevice, Switch: true}},
	} {
		if err := l.Cable(c[0], c[1]); err != nil {
			return nil, err
		}
	}
	if err := gw.AddAddress(u.host, netip.PrefixFrom(peeringVTEP, 24)); err != nil {
		return nil, err
	}
	if err := p.foreign.AddAddress(foreignDevice, netip.PrefixFrom(foreignVTEP, 24)); err != nil {
		return nil, err
	}
	ports := []SwitchPort{{u.number, u.name}, {u.hostPort, u.hostPortDevice}}
	for i, number := range numbers {
		port := peeringPorts[i]
		h, err := l.clientHost(number, End{NS: gw, Dev: port.Dev, Switch: true})
		if err != nil {
			return nil, err
		}
		p.hosts, ports = append(p.hosts, h), append(ports, port)
	}
	if p.gateway, err = l.Gateway(gw, o.Binary, o.Target, peeringVTEP, ports); err != nil {
		return nil, err
	}
	if err := p.gateway.StartSwitch(ctx); err != nil {
		return nil, err
	}
	p.config = config
	p.config.gateway, p.config.as, p.config.uplinks = p.gateway, gatewayAS, peeringUplinks
	p.config.ports = peeringPorts[:len(numbers)]
	return p, p.gateway.StartController(ctx, p.config.String())
}

// clientHost makes a host with a number, as the example of rest_vtep has them,
// on a cable whose other end is given.
func (l *Lab) clientHost(number byte, other End) (*Host, error) {
	name := fmt.Sprintf("client%x", number)
	n, err := l.Namespace(name)
	if err != nil {
		return nil, err
	}
	h := &Host{
		Name: name, NS: n, Dev: "eth0", MAC: ether.MAC{0x02, 0xac, 0x10, 0xff, 0x00, number},
		// 11, 12: what the MAC has in hexadecimal the address has in decimal.
		Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 222, number/16*10 + number%16}), 24),
	}
	if err := l.Cable(End{NS: n, Dev: h.Dev}, other); err != nil {
		return nil, err
	}
	return h, h.Configure()
}
