package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/ether"
)

// rawPeer makes the session of a peer whose every byte is ours, from an address of the
// foreign namespace.
func (p *peering) rawPeer(t *testing.T, cfg bgptest.Config) *bgptest.Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cfg.Remote = netip.AddrPortFrom(peeringVTEP, 179)
	var session *bgptest.Session
	check(t, p.foreign.Do(func() (err error) {
		session, err = bgptest.Dial(ctx, cfg)
		return err
	}))
	t.Cleanup(session.Close)
	return session
}

// oneTarget makes a gateway with two bridges that import one and the same route target, as
// those of a VLAN-aware bundle (RFC 7432 section 6.3), and a host at each.
func oneTarget(t *testing.T) *peering {
	t.Helper()
	needDemo(t, Embedded)
	l, ctx := needLab(t), t.Context()
	t.Cleanup(func() { logsOf(t, l) })
	o := DemoOptions{Target: Embedded, Binary: must(builtBinary())(t), Out: testWriter{t}}
	p := must(buildPeering(ctx, l, o, []byte{0x11, 0x12}, gatewayFile{ageing: "5m",
		peers: []Peer{{Address: foreignVTEP, AS: gatewayAS}}}))(t)
	for i, bridge := range []string{blue, green} {
		check(t, p.gateway.CreateBridge(ctx, bridge, uint16(10+10*i), bundleVNIs[i]))
		must(p.gateway.command(ctx, "create", "instance", "bridge."+bridge, "--import-route-targets", "65000:1000"))(t)
		check(t, p.gateway.CreatePort(ctx, peeringPorts[i].Dev, ether.MAC{2, 0, 0, 0, 1, byte(i)},
			opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS, bridge))
	}
	check(t, p.gateway.AwaitPortsUp(ctx))
	return p
}

var bundleVNIs = [2]uint32{blueVNI, greenVNI}

// bundled is a station and the flood of a VLAN of the bundle, whose tag is the VNI (RFC
// 8365 section 5.1.3), or what else somebody takes.
func bundled(tag, vni uint32) [][]byte {
	rd := [8]byte{0, 1, 172, 17, 0, 1, 3, 232}
	a := bgptest.Attributes{NextHop: foreignVTEP, LocalPref: true,
		Communities: [][8]byte{bgptest.RouteTarget(gatewayAS, 1000), bgptest.VXLAN()}}
	updates := [][]byte{bgptest.Update(a, bgptest.MACRoute(rd, tag, bundledMAC(tag, vni), netip.Addr{}, vni))}
	if slices.Contains(bundleVNIs[:], tag) && tag != vni {
		return updates // the flood's VNI is one
	}
	a.PMSI = bgptest.IngressReplication(vni, foreignVTEP)
	return append(updates, bgptest.Update(a, bgptest.MulticastRoute(rd, tag, foreignVTEP)))
}

func bundledMAC(tag, vni uint32) ether.MAC {
	return ether.MAC{2, 0xbb, byte(tag >> 8), byte(tag), byte(vni >> 8), byte(vni)}
}

// RFC 7432 section 6.3: the Ethernet tag says which broadcast domain a route is of.
func TestARouteOfAVLANAwareBundleIsOfTheBridgeThatItsTagNames(t *testing.T) {
	t.Parallel()
	p := oneTarget(t)
	s := p.rawPeer(t, bgptest.Config{Local: foreignVTEP, AS: gatewayAS, HoldTime: 30 * time.Second})
	send := func(updates ...[]byte) {
		for _, u := range updates {
			check(t, s.Send(u))
		}
	}
	const elsewhere = 3000
	tags := []uint32{blueVNI, greenVNI, elsewhere, 10, 20, 0xffffffff}
	for _, tag := range tags {
		for _, vni := range bundleVNIs {
			send(bundled(tag, vni)...)
		}
	}
	last := bgptest.Attributes{NextHop: foreignVTEP, LocalPref: true,
		Communities: [][8]byte{bgptest.RouteTarget(gatewayAS, 1000), bgptest.VXLAN()}}
	rd := [8]byte{0, 1, 172, 17, 0, 1, 3, 233}
	send(bgptest.Update(last, bgptest.MACRoute(rd, 0, bundledMAC(0, 0), netip.Addr{}, 1)))
	for i, bridge := range []string{blue, green} {
		check(t, Eventually(t.Context(), patience, bridge+" has its stations and no others", func(ctx context.Context) error {
			fdb, err := p.gateway.FDB(ctx, bridge)
			if err != nil {
				return err
			}
			var errs []error
			for _, tag := range tags {
				for _, vni := range bundleVNIs {
					_, there := fdb[bundledMAC(tag, vni).String()]
					if want := tag == bundleVNIs[i]; there != want {
						errs = append(errs, fmt.Errorf("tag %d VNI %d: %t", tag, vni, there))
					}
				}
			}
			if _, there := fdb[bundledMAC(0, 0).String()]; !there {
				errs = append(errs, errors.New("no station of the last route"))
			}
			return errors.Join(errs...)
		}))
	}
	p.floodsInItsOwn(t)
}

// floodsInItsOwn checks that the broadcasts of each bridge leave in its VNI and no other.
func (p *peering) floodsInItsOwn(t *testing.T) {
	t.Helper()
	raw := must(p.foreign.OpenRaw(foreignDevice))(t)
	t.Cleanup(func() { _ = raw.Close() })
	seen := map[string]map[uint32]int{}
	buffer := make([]byte, 2048)
	for late := time.Now().Add(patience); ; {
		for _, h := range p.hosts {
			check(t, h.Announce())
		}
		for until := time.Now().Add(50 * time.Millisecond); ; {
			f, err := raw.Receive(buffer, until)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			check(t, err)
			// VXLAN over IPv4 without options (RFC 7348 section 5).
			if len(f) < 64 || f[12] != 8 || f[13] != 0 || f[23] != 17 || f[36] != 4789>>8 || f[37] != 4789&0xff {
				continue
			}
			source := ether.MAC(f[56:62]).String()
			if seen[source] == nil {
				seen[source] = map[uint32]int{}
			}
			seen[source][uint32(f[46])<<16|uint32(f[47])<<8|uint32(f[48])]++
		}
		enough := true
		for i, h := range p.hosts {
			enough = enough && seen[h.MAC.String()][bundleVNIs[i]] >= 3
		}
		if enough || time.Now().After(late) {
			break
		}
	}
	for i, h := range p.hosts {
		if got := seen[h.MAC.String()]; len(got) != 1 || got[bundleVNIs[i]] < 3 {
			t.Errorf("broadcasts of %s left %v times by VNI, want %d alone", h.Name, got, bundleVNIs[i])
		}
	}
}
