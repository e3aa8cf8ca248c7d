package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
)

var twoDCChecks = []claim[*twoDC]{
	{"the example's REST calls join two data centres, and their clients reach each other", example},
	{"what one data centre's REST API made is seen in the OPI API, and the other's clients in show", sameObjects},
	{"a second client on either side is reached from everywhere", secondClients},
	{"a client of two addresses that loses one is reached at the other", loseAddress},
	{"a client that is deleted is withdrawn, and comes back", withdrawClients},
	{"a network that is deleted takes its clients and its floods with it, and comes back", withdrawNetwork},
	{"data centre A starts again from nothing, and the same REST calls bring it back", restartA},
	{"data centre B starts again, and has everything as it was", restartB},
	{"a network that advertises more is shared all the same with a neighbor of mac_ip_only", limitedNeighbor},
	{"a network that becomes routed, with type-5 routes and a router MAC, ends nothing", routedNetwork},
	{"everything is deleted, and nothing is left on either side", deleteAll},
}

// speakerUp does the example's first two steps.
func (s site) speakerUp(ctx context.Context) error {
	_, err := s.curl(ctx, http.MethodPost, "/vtep/speakers",
		fmt.Sprintf(`{"dpid": 1, "as_number": %d, "router_id": %q}`, gatewayAS, s.address))
	if err != nil {
		return err
	}
	_, err = s.curl(ctx, http.MethodPost, "/vtep/neighbors",
		fmt.Sprintf(`{"address": %q, "remote_as": %d}`, s.other, gatewayAS))
	return err
}

// networkUp does the third.
func (s site) networkUp(ctx context.Context) error {
	n, err := need[restNetworks](s.curl(ctx, http.MethodPost, "/vtep/networks", fmt.Sprintf(`{"vni": %d}`, twoDCVNI)))
	if got := n["10"].EvpnNetwork.RD; err == nil && got != "65000:10" {
		err = fmt.Errorf("the network's route_dist is %q, want 65000:10", got)
	}
	return err
}

// clientUp does the fourth, for the client at a port.
func (s site) clientUp(ctx context.Context, i int) error {
	h := s.clients[i]
	body := fmt.Sprintf(`{"port": %q, "mac": %q, "ip": %q}`, peeringPorts[i].Dev, h.MAC, h.Address.Addr())
	_, err := s.curl(ctx, http.MethodPost, "/vtep/networks/10/clients", body)
	return err
}

func (s site) clientDown(ctx context.Context, i int) error {
	_, err := s.curl(ctx, http.MethodDelete, "/vtep/networks/10/clients/"+s.clients[i].MAC.String(), "")
	return err
}

// allUp does the whole example at a site, with one client.
func (s site) allUp(ctx context.Context) error {
	for _, step := range []func(context.Context) error{s.speakerUp, s.networkUp} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return s.clientUp(ctx, 0)
}

// reach pings between two clients, both ways, and narrates it.
func (d *twoDC) reach(ctx context.Context, a, b *Host) error {
	for _, way := range [][2]*Host{{a, b}, {b, a}} {
		d.options.say("(%s)$ ping %s", way[0].Name, way[1].Address.Addr())
		if _, err := way[0].Reach(ctx, way[1].Address.Addr(), patience); err != nil {
			return err
		}
	}
	return nil
}

// exchanged waits until both sites have sessions and the other's first client.
func (d *twoDC) exchanged(ctx context.Context) (notes string, err error) {
	took, err := d.a.awaitUp(ctx)
	if err != nil {
		return "", err
	}
	more, err := d.b.awaitUp(ctx)
	return fmt.Sprintf("the session was up %.1f s after the last call", (took + more).Seconds()),
		errors.Join(err, d.a.awaitClient(ctx, d.b.clients[0], true), d.b.awaitClient(ctx, d.a.clients[0], true))
}

func example(ctx context.Context, d *twoDC) (string, error) {
	for _, step := range []func(site, context.Context) error{
		site.speakerUp, site.networkUp, func(s site, ctx context.Context) error { return s.clientUp(ctx, 0) },
	} {
		for _, s := range []site{d.a, d.b} {
			if err := step(s, ctx); err != nil {
				return "", err
			}
		}
	}
	notes, err := d.exchanged(ctx)
	if err != nil {
		return "", err
	}
	for _, s := range []site{d.a, d.b} {
		if _, err := s.curl(ctx, http.MethodGet, "/vtep/networks", ""); err != nil {
			return "", err
		}
	}
	return notes, d.reach(ctx, d.a.clients[0], d.b.clients[0])
}

func sameObjects(ctx context.Context, d *twoDC) (string, error) {
	b, err := d.gateway.Bridge(ctx, "vni-10")
	if err != nil {
		return "", err
	}
	if b.GetVni() != twoDCVNI || b.GetRemoteVteps() != 1 {
		return "", fmt.Errorf("the bridge is %v, want VNI 10 and one remote VTEP", b)
	}
	fdb, err := d.gateway.FDB(ctx, "vni-10")
	if err != nil {
		return "", err
	}
	if e := fdb[d.a.clients[0].MAC.String()]; e.GetVtep() != foreignVTEP.String() {
		return "", fmt.Errorf("the FDB has %v for client11, want it by %v", e, foreignVTEP)
	}
	// As rest_vtep has it the port of a client elsewhere is the one towards it.
	n, err := need[restNetworks](d.b.ask(ctx, http.MethodGet, "/vtep/networks/10", ""))
	if err != nil {
		return "", err
	}
	c := n["10"].EvpnNetwork.Clients[d.a.clients[0].MAC.String()].EvpnClient
	if want := float64(peeringUplinks[0].number); c.Port != want {
		return "", fmt.Errorf("client11 is at port %v in data centre B, want %v, the uplink", c.Port, want)
	}
	// rest_vtep's own has it so, and 0 in type 2.
	const tagged = "type 3 of VNI 10 has tag 10"
	if out := d.speaker.Tail(1 << 20); !strings.Contains(out, tagged) {
		return "", fmt.Errorf("data centre A heard no %q: %s", tagged, out)
	}
	return "", d.gateway.AwaitPortsUp(ctx)
}

func secondClients(ctx context.Context, d *twoDC) (string, error) {
	for _, s := range []site{d.a, d.b} {
		if err := s.clientUp(ctx, 1); err != nil {
			return "", err
		}
	}
	if err := errors.Join(d.a.awaitClient(ctx, d.b.clients[1], true),
		d.b.awaitClient(ctx, d.a.clients[1], true)); err != nil {
		return "", err
	}
	for _, a := range d.a.clients {
		for _, b := range d.b.clients {
			if err := d.reach(ctx, a, b); err != nil {
				return "", err
			}
		}
	}
	return "", errors.Join(d.reach(ctx, d.a.clients[0], d.a.clients[1]), d.reach(ctx, d.b.clients[0], d.b.clients[1]))
}

// loseAddress gives data centre B's second client another address for a while. rest_vtep
// forgets a MAC when any route of it is withdrawn.
func loseAddress(ctx context.Context, d *twoDC) (string, error) {
	h, other := d.b.clients[1], netip.MustParseAddr("192.168.222.200")
	addresses := func(there bool, ips ...string) error {
		_, err := p4evpnv1.NewStaticMacServiceClient(d.gateway.conn).UpdateStaticMac(ctx, &p4evpnv1.UpdateStaticMacRequest{
			StaticMac: &p4evpnv1.StaticMac{
				Name: "staticMacs/vtep-10-" + strings.ReplaceAll(h.MAC.String(), ":", ""),
				Spec: &p4evpnv1.StaticMacSpec{IpAddresses: ips},
			},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"spec.ip_addresses"}},
		})
		if err != nil {
			return fmt.Errorf("give %s the addresses %v: %w", h.Name, ips, err)
		}
		what := fmt.Sprintf("data centre A answers for %v: %t", other, there)
		return Eventually(ctx, patience, what, func(ctx context.Context) error {
			out, err := d.foreign.Output(ctx, "ip", "neigh", "show", "dev", "vx10")
			if err == nil && strings.Contains(out, other.String()) != there {
				err = fmt.Errorf("its neighbours are %s", out)
			}
			return err
		})
	}
	own := h.Address.Addr().String()
	if err := addresses(true, own, other.String()); err != nil {
		return "", err
	}
	if err := addresses(false, own); err != nil {
		return "", err
	}
	if err := d.a.awaitClient(ctx, h, true); err != nil {
		return "", err
	}
	return "", d.reach(ctx, d.a.clients[0], h)
}

// limitNetwork has the network's routes be only those with an IPv4 address, or all.
func (d *twoDC) limitNetwork(ctx context.Context, only bool) error {
	_, err := p4evpnv1.NewInstanceServiceClient(d.gateway.conn).UpdateInstance(ctx, &p4evpnv1.UpdateInstanceRequest{
		Instance: &p4evpnv1.Instance{
			Name: "instances/bridge.vni-10", Spec: &p4evpnv1.InstanceSpec{MacIpOnly: only},
		},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"spec.mac_ip_only"}},
	})
	if err != nil {
		return fmt.Errorf("set mac_ip_only of the network to %t: %w", only, err)
	}
	return nil
}

// limitedNeighbor leaves it to the neighbour's setting what data centre A is told,
// while clients come and go.
func limitedNeighbor(ctx context.Context, d *twoDC) (string, error) {
	if _, err := d.b.curl(ctx, http.MethodDelete, "/vtep/neighbors/"+d.b.other, ""); err != nil {
		return "", err
	}
	_, err := p4evpnv1.NewNeighborServiceClient(d.gateway.conn).CreateNeighbor(ctx, &p4evpnv1.CreateNeighborRequest{
		NeighborId: d.b.other,
		Neighbor:   &p4evpnv1.Neighbor{Spec: &p4evpnv1.NeighborSpec{RemoteAs: gatewayAS, MacIpOnly: true}},
	})
	if err != nil {
		return "", fmt.Errorf("make a neighbor with mac_ip_only: %w", err)
	}
	if _, err := d.exchanged(ctx); err != nil {
		return "", err
	}
	if err := errors.Join(d.limitNetwork(ctx, false), d.a.clientUp(ctx, 1)); err != nil {
		return "", err
	}
	// os-ken withdraws nothing whose UPDATE is still in its queue (info_base/base.py, sent_routes),
	// and sends that UPDATE afterwards: what is deleted next must have arrived.
	if err := d.b.awaitClient(ctx, d.a.clients[1], true); err != nil {
		return "", err
	}
	if notes, err := withdrawClients(ctx, d); err != nil {
		return notes, err
	}
	return "", d.reach(ctx, d.a.clients[0], d.b.clients[0])
}

// routedNetwork gives data centre B a gateway for the network, in a VRF with a VNI.
func routedNetwork(ctx context.Context, d *twoDC) (string, error) {
	gateways := []netip.Prefix{netip.MustParsePrefix("192.168.222.1/24"), netip.MustParsePrefix("2001:db8:222::1/64")}
	err := d.gateway.CreateVRF(ctx, "tenant", 5000, netip.MustParsePrefix("10.255.0.1/32"))
	if err == nil {
		err = d.gateway.CreateSVI(ctx, "vni-10", "tenant", ether.MAC{2, 0, 0, 0, 0, 1}, gateways...)
	}
	if err == nil {
		err = d.gateway.AwaitRoutingUp(ctx)
	}
	if err == nil {
		_, err = withdrawClients(ctx, d)
	}
	if err != nil {
		return "", err
	}
	out, err := d.gateway.Show(ctx, "routes", "out")
	if err == nil && (!strings.Contains(out, "[5]:[0]:[24]") || !strings.Contains(out, "[5]:[0]:[64]")) {
		err = fmt.Errorf("it advertises no subnets: %s", out)
	}
	return "", errors.Join(err, d.gateway.DeleteSVI(ctx, "vni-10"), d.gateway.DeleteVRF(ctx, "tenant"))
}

// withdrawClients deletes the second client of each site. Its cable is pulled
// first: a client that goes on talking is learned, and advertised again.
func withdrawClients(ctx context.Context, d *twoDC) (string, error) {
	for _, pair := range [][2]site{{d.a, d.b}, {d.b, d.a}} {
		s, other := pair[0], pair[1]
		h := s.clients[1]
		if err := h.NS.Down(h.Dev); err != nil {
			return "", err
		}
		if err := s.clientDown(ctx, 1); err != nil {
			return "", err
		}
		if err := other.awaitClient(ctx, h, false); err != nil {
			return "", err
		}
		if err := h.NS.Up(h.Dev); err != nil {
			return "", err
		}
		if err := s.clientUp(ctx, 1); err != nil {
			return "", err
		}
		if err := other.awaitClient(ctx, h, true); err != nil {
			return "", err
		}
	}
	return "", d.reach(ctx, d.a.clients[1], d.b.clients[1])
}

// floods waits until data centre B floods to as many VTEPs.
func (d *twoDC) floods(ctx context.Context, want uint32) error {
	return Eventually(ctx, patience, fmt.Sprintf("data centre B floods to %d VTEPs", want),
		func(ctx context.Context) error {
			b, err := d.gateway.Bridge(ctx, "vni-10")
			if err == nil && b.GetRemoteVteps() != want {
				err = fmt.Errorf("it floods to %d", b.GetRemoteVteps())
			}
			return err
		})
}

func withdrawNetwork(ctx context.Context, d *twoDC) (string, error) {
	if _, err := d.a.curl(ctx, http.MethodDelete, "/vtep/networks/10", ""); err != nil {
		return "", err
	}
	if err := errors.Join(d.floods(ctx, 0), d.b.awaitClient(ctx, d.a.clients[0], false)); err != nil {
		return "", err
	}
	if err := d.a.networkUp(ctx); err != nil {
		return "", err
	}
	if err := d.a.clientUp(ctx, 0); err != nil {
		return "", err
	}
	if _, err := d.exchanged(ctx); err != nil {
		return "", err
	}
	return "", errors.Join(d.floods(ctx, 1), d.reach(ctx, d.a.clients[0], d.b.clients[0]))
}

func restartA(ctx context.Context, d *twoDC) (string, error) {
	d.options.say("Killing data centre A's speaker.")
	if err := d.speaker.Kill(); err != nil {
		return "", err
	}
	if err := errors.Join(d.floods(ctx, 0), d.b.awaitClient(ctx, d.a.clients[0], false)); err != nil {
		return "", err
	}
	if err := errors.Join(d.startA(ctx), d.a.allUp(ctx)); err != nil {
		return "", err
	}
	notes, err := d.exchanged(ctx)
	if err != nil {
		return "", err
	}
	return notes, d.reach(ctx, d.a.clients[0], d.b.clients[0])
}

func restartB(ctx context.Context, d *twoDC) (string, error) {
	d.options.say("Killing data centre B's controller.")
	before, err := d.b.ask(ctx, http.MethodGet, "/vtep/networks/10", "")
	if err != nil {
		return "", err
	}
	start := time.Now()
	if err := d.gateway.KillController(); err != nil {
		return "", err
	}
	if _, err := d.b.clients[0].Reach(ctx, d.b.clients[1].Address.Addr(), patience); err != nil {
		return "", fmt.Errorf("while the controller is down: %w", err)
	}
	if err := d.gateway.StartController(ctx, d.config.String()); err != nil {
		return "", err
	}
	if _, err := d.exchanged(ctx); err != nil {
		return "", fmt.Errorf("%w; before it had %s", err, before)
	}
	notes := fmt.Sprintf("the other's clients were back %.1f s after the kill", time.Since(start).Seconds())
	return notes, d.reach(ctx, d.a.clients[0], d.b.clients[0])
}

// deleteAll goes in different orders on either side.
func deleteAll(ctx context.Context, d *twoDC) (string, error) {
	for _, c := range []struct {
		s    site
		path string
	}{
		{d.a, "/vtep/speakers"}, // with everything below it
		{d.b, "/vtep/networks/10"},
		{d.b, "/vtep/neighbors/" + d.b.other},
	} {
		if _, err := c.s.curl(ctx, http.MethodDelete, c.path, ""); err != nil {
			return "", err
		}
	}
	n, err := need[map[string]any](d.b.curl(ctx, http.MethodGet, "/vtep/networks", ""))
	if err == nil && len(n) > 0 {
		err = fmt.Errorf("data centre B still has networks: %v", n)
	}
	if err != nil {
		return "", err
	}
	if out, err := d.foreign.Output(ctx, "ip", "link", "show", "br10"); err == nil {
		return "", fmt.Errorf("data centre A still has %s", out)
	}
	return "", nil
}

// end shows nothing: everything is deleted.
func (d *twoDC) end(context.Context) {}
