package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"github.com/vishvananda/netlink"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
)

/*
A fabric of one AS, in which all learn of each other by two route reflectors alone.

	            ┌─ reflector1 (GoBGP)
	gateway ────┼─ reflector2 (GoBGP)
	  client    └─ leaf (FRR, kernel VXLAN) ─ station
*/
type reflected struct {
	*peering
	leaf             *Leaf
	station          *Host
	spaces           [2]*Namespace // of the reflectors
	reflectors       [2]*Process
	reflectorConfigs [2]string // files
}

var reflectorAddresses = [2]netip.Addr{netip.MustParseAddr("172.17.0.3"), netip.MustParseAddr("172.17.0.4")}

func buildReflected(t *testing.T) *reflected {
	t.Helper()
	needDemo(t, Embedded)
	needProgram(t, "gobgpd")
	l, ctx := needLab(t), t.Context()
	t.Cleanup(func() { logsOf(t, l) })
	var peers []Peer
	for _, a := range reflectorAddresses {
		peers = append(peers, Peer{Address: a, AS: gatewayAS})
	}
	o := DemoOptions{Target: Embedded, Binary: must(builtBinary())(t), Out: testWriter{t}}
	r := &reflected{peering: must(buildPeering(ctx, l, o, []byte{0x11}, gatewayFile{peers: peers, ageing: "5m"}))(t)}
	r.fabric(t)
	for i := range r.reflectors {
		r.reflectorConfigs[i] = filepath.Join(l.Dir, fmt.Sprintf("reflector%d.toml", i+1))
		check(t, os.WriteFile(r.reflectorConfigs[i], []byte(reflectorConfig(reflectorAddresses[i])), 0o644))
		r.reflect(t, i)
	}
	check(t, r.gateway.CreateBridge(ctx, blue, tagBlue, blueVNI))
	check(t, r.gateway.CreatePort(ctx, peeringPorts[0].Dev, ether.MAC{2, 0, 0, 0, 1, 1},
		opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS, blue))
	check(t, r.gateway.AwaitPortsUp(ctx))
	return r
}

// fabric makes a switch of the foreign namespace, and joins all to it.
func (r *reflected) fabric(t *testing.T) {
	t.Helper()
	l, ctx := r.lab, t.Context()
	check(t, r.foreign.DeleteAddress(foreignDevice, netip.PrefixFrom(foreignVTEP, 24)))
	check(t, r.foreign.link.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeOf(0), MTU: underlayMTU}}))
	check(t, r.foreign.Up(bridgeOf(0)))
	check(t, join(r.foreign, foreignDevice, 0))
	space := func(name string, address netip.Addr) *Namespace {
		n := must(l.Namespace(name))(t)
		check(t, l.Cable(End{NS: n, Dev: "eth0", MTU: underlayMTU}, End{NS: r.foreign, Dev: name, MTU: underlayMTU}))
		check(t, join(r.foreign, name, 0))
		check(t, n.AddAddress("eth0", netip.PrefixFrom(address, 24)))
		return n
	}
	var peers []Peer
	for i, a := range reflectorAddresses {
		r.spaces[i] = space(fmt.Sprintf("reflector%d", i+1), a)
		peers = append(peers, Peer{Address: a, AS: gatewayAS})
	}
	leaf := space("leaf", foreignVTEP)
	r.leaf = must(l.Leaf(ctx, leaf, "leaf", gatewayAS, foreignVTEP, peers))(t)
	check(t, r.leaf.AddVNI(blueVNI))
	r.station = must(l.clientHost(0x51, End{NS: leaf, Dev: "station"}))(t)
	check(t, r.leaf.Join("station", blueVNI))
}

func reflectorConfig(own netip.Addr) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[global.config]\n  as = %d\n  router-id = %q\n", gatewayAS, own)
	for _, client := range []netip.Addr{foreignVTEP, peeringVTEP} {
		fmt.Fprintf(&b, `[[neighbors]]
  [neighbors.config]
    neighbor-address = %q
    peer-as = %d
  [neighbors.timers.config]
    connect-retry = 1
    idle-hold-time-after-reset = 1
  [neighbors.route-reflector.config]
    route-reflector-client = true
    route-reflector-cluster-id = %q
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "l2vpn-evpn"
`, client, gatewayAS, own)
	}
	return b.String()
}

// reflect starts a reflector.
func (r *reflected) reflect(t *testing.T, i int) {
	t.Helper()
	name := fmt.Sprintf("reflector%d", i+1)
	r.reflectors[i] = must(r.lab.Start(r.spaces[i], name, "gobgpd", "-f", r.reflectorConfigs[i], "-t", "toml"))(t)
}

// awaitBy waits until the gateway has the leaf's routes, of a station and of the flood, by
// just these reflectors, and the leaf the gateway's.
func (r *reflected) awaitBy(t *testing.T, want ...int) {
	t.Helper()
	check(t, Eventually(t.Context(), 2*patience, fmt.Sprintf("routes come by the reflectors %v", want),
		func(ctx context.Context) error {
			received, err := r.gateway.received(ctx)
			if err != nil {
				return err
			}
			for i, a := range reflectorAddresses {
				if by := received[a.String()] >= 2; by != slices.Contains(want, i) {
					return fmt.Errorf("by %v: %t, received %v", a, by, received)
				}
			}
			leaf, err := r.leaf.Show(ctx, "show bgp l2vpn evpn route type multicast")
			if err == nil && !strings.Contains(leaf, "[3]:[0]:[32]:["+peeringVTEP.String()+"]") {
				err = errors.New(leaf)
			}
			return err
		}))
}

// received counts the routes of each neighbour whose session is up.
func (g *Gateway) received(ctx context.Context) (map[string]uint64, error) {
	all, err := g.Sessions(ctx)
	found := map[string]uint64{}
	for peer, s := range all {
		if s.GetState() == p4evpnv1.SessionState_SESSION_STATE_ESTABLISHED {
			found[peer] = s.GetReceived()
		}
	}
	return found, err
}

// Of two reflectors either may die and return: what the switch has is never touched, and no
// packet is lost.
func TestNothingIsLostWhileOneOfTwoReflectorsDiesNorWhenItReturns(t *testing.T) {
	r, ctx := buildReflected(t), t.Context()
	client := r.hosts[0]
	must(client.Reach(ctx, r.station.Address.Addr(), 2*patience))(t)
	r.awaitBy(t, 0, 1)
	r.reflectedOnce(t)
	writes := must(r.gateway.Updates(ctx))(t)
	m := must(StartMeter(Flow{Name: "client to station", From: client, To: r.station, Rate: 250}))(t)
	t.Cleanup(func() { m.Stop() })
	for i := range r.reflectors {
		check(t, r.reflectors[i].Kill())
		r.awaitBy(t, 1-i)
		r.reflect(t, i)
		r.awaitBy(t, 0, 1)
	}
	for _, reading := range m.Stop() {
		t.Log(reading)
		if reading.Lost > 0 {
			t.Errorf("%d packets were lost", reading.Lost)
		}
	}
	if now := must(r.gateway.Updates(ctx))(t); now != writes {
		t.Errorf("%d updates were written to the switch, want none", now-writes)
	}
}

// reflectedOnce checks that the leaf has our route as a reflector gives it: RFC 4456
// section 8.
func (r *reflected) reflectedOnce(t *testing.T) {
	t.Helper()
	out := must(r.leaf.Show(t.Context(), "show bgp l2vpn evpn route detail"))(t)
	for _, a := range reflectorAddresses {
		if !anyLine(out, []string{"Originator: " + peeringVTEP.String(), "Cluster list: " + a.String()}) {
			t.Errorf("the leaf has no route of ours that %v reflected:\n%s", a, out)
		}
	}
}
