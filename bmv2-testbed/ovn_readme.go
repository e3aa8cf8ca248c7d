package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// This file is the usage example of evpn-for-ovn's README, call by call: rest_vtep of host
// ryu, and our gateway in the place of evpn-for-ovn. Addresses and names of hosts differ.

// ryuPort is the port of README's host behind rest_vtep.
const ryuPort = "s1-eth1"

// readme are the README's calls at one site: with a logical switch those of evpn-for-ovn.
type readme struct {
	site
	neighbors     []Peer
	logicalSwitch string
	ports         []string // of the site's clients
}

// do makes a step's calls: 0 to 3.
func (r readme) do(ctx context.Context, step int) error {
	call := func(path, body string, args ...any) error {
		_, err := r.curl(ctx, http.MethodPost, "/vtep/"+path, fmt.Sprintf(body, args...))
		return err
	}
	datapath, on := `"dpid": 1, `, ""
	if r.logicalSwitch != "" {
		datapath, on = "", fmt.Sprintf(`, "logical_switch": %q`, r.logicalSwitch)
	}
	switch step {
	case 0:
		return call("speakers", `{%s"as_number": %d, "router_id": %q}`, datapath, gatewayAS, r.address)
	case 1:
		var errs []error
		for _, n := range r.neighbors {
			errs = append(errs, call("neighbors", `{"address": %q, "remote_as": %d}`, n.Address, n.AS))
		}
		return errors.Join(errs...)
	case 2:
		return call("networks", `{"vni": %d%s}`, ovnVNI, on)
	}
	var errs []error
	for i, h := range r.clients {
		errs = append(errs, call(fmt.Sprintf("networks/%d/clients", ovnVNI), `{"port": %q, "mac": %q, "ip": %q}`,
			r.ports[i], h.MAC, h.Address.Addr()))
	}
	return errors.Join(errs...)
}

// readmeSteps makes all calls, step by step at each site.
func readmeSteps(ctx context.Context, sites ...readme) error {
	for step := range 4 {
		for _, s := range sites {
			if err := s.do(ctx, step); err != nil {
				return fmt.Errorf("step %d of evpn-for-ovn's README: %w", step+1, err)
			}
		}
	}
	return nil
}

// importFrom has the network take routes of leaves, whose AS are not README's.
func (g *Gateway) importFrom(ctx context.Context, leaves ...Peer) error {
	targets := []string{fmt.Sprintf("%d:%d", gatewayAS, ovnVNI)}
	for _, l := range leaves {
		targets = append(targets, fmt.Sprintf("%d:%d", l.AS, ovnVNI))
	}
	_, err := g.command(ctx, "update", "instance", fmt.Sprintf("bridge.vni-%d", ovnVNI), "--import-route-targets",
		strings.Join(targets, ","))
	return err
}

// tunnelREADME has a gateway whose file has neither bridge nor neighbor be told of all by REST.
func tunnelREADME(ctx context.Context, o *OVNTunnels) (string, error) {
	if err := errors.Join(o.gateway.DeleteBridge(ctx, blue), o.gateway.KillController()); err != nil {
		return "", err
	}
	leaves := o.peers
	o.peers, o.rest = nil, restAddress
	if err := o.gateway.StartController(ctx, o.config()); err != nil {
		return "", err
	}
	ryu := Peer{Address: ryuVTEP, AS: gatewayAS}
	cluster := site{name: "ovncluster", address: edgeVTEP.Addr().String(), ns: o.edge.NS, clients: o.vms[:],
		options: DemoOptions{Out: o.out}}
	err := readmeSteps(ctx,
		readme{site: o.ryu, neighbors: []Peer{{Address: edgeVTEP.Addr(), AS: gatewayAS}}, ports: []string{ryuPort}},
		readme{site: cluster, neighbors: append([]Peer{ryu}, leaves...), logicalSwitch: logicalSwitch,
			ports: []string{"vm1", "vm2"}})
	if err != nil {
		return "", err
	}
	if err := o.gateway.importFrom(ctx, leaves...); err != nil {
		return "", err
	}
	return "two leaves beside the README's two sites", o.reachAlso(ctx, o.ryu.clients[0])
}

// ovnREADME does the same with a trunk; the leaf is the other side.
func ovnREADME(ctx context.Context, o *ovnNet) (string, error) {
	if err := errors.Join(o.gateway.DeletePort(ctx, trunkPort), o.gateway.DeleteBridge(ctx, blue)); err != nil {
		return "", err
	}
	leaves := o.config.peers
	o.config.peers, o.config.vtepAPI = nil, restAddress
	_, o.config.more, _ = strings.Cut(o.config.more, "\n") // all but the bridge
	if err := o.restartGateway(ctx); err != nil {
		return "", err
	}
	cluster := site{name: "ovncluster", address: gatewayVTEP.String(), ns: o.gw, clients: o.vms[:],
		options: DemoOptions{Out: o.out}}
	err := readmeSteps(ctx,
		readme{site: cluster, neighbors: leaves, logicalSwitch: logicalSwitch, ports: []string{"vm1", "vm2"}})
	if err != nil {
		return "", err
	}
	return "", errors.Join(o.gateway.importFrom(ctx, leaves...), o.reach(ctx))
}
