package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
)

/*
SpineLeaf is the fabric of data centres: each leaf has a cable to each spine, an AS of its
own, and a host. VTEPs and EVPN routes come by the same eBGP sessions.

	  spine1 (FRR)      spine2 (FRR)
	  │   │   │  └──────┐ │ │ │ │
	  │   │   └───────┐ │
	frr1 frr2        gw1 gw2        two leaves of FRR, two of p4evpn
	  │   │           │   │
	 h1   h2         h3   h4
*/
type SpineLeaf struct {
	Spines   [2]*FRR
	FRRs     [2]*Leaf
	Gateways [2]*Gateway
	Hosts    [4]*Host

	lab    *Lab
	spaces map[string]*Namespace
}

// spineLeaves are the leaves, in the order of their numbers: the first half is FRR's.
var spineLeaves = []string{"frr1", "frr2", "gw1", "gw2"}

const spinesAS = 65300 // of both, so that no route comes back by the other

func spineName(i int) string         { return fmt.Sprintf("spine%d", i+1) }
func spineLeafAS(i int) uint32       { return uint32(spinesAS + i + 1) }
func spineLeafVTEP(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(31 + i)}) }

// fabricLink gives the addresses of a cable between a spine and a leaf.
func fabricLink(spine, leaf int) (atSpine, atLeaf netip.Addr) {
	subnet := [4]byte{10, 4, byte(10*(leaf+1) + spine + 1), 1}
	atSpine = netip.AddrFrom4(subnet)
	return atSpine, atSpine.Next()
}

// fabricUplink is the cable of one of our leaves to a spine.
func fabricUplink(spine, leaf int) demoUplink {
	atSpine, atLeaf := fabricLink(spine, leaf)
	host := fmt.Sprintf("up%d", spine+1)
	return demoUplink{name: fmt.Sprintf("uplink%d", spine+1), number: 10 + 2*spine, host: host,
		address: atLeaf.String(), peer: atSpine.String(), as: spinesAS, hostPort: 11 + 2*spine, hostPortDevice: host + "-sw"}
}

// BuildSpineLeaf makes the fabric and starts everybody; the first of our two leaves has the
// target. See AwaitWhole.
func (l *Lab) BuildSpineLeaf(ctx context.Context, target, binary string) (*SpineLeaf, error) {
	f := &SpineLeaf{lab: l, spaces: map[string]*Namespace{}}
	for _, name := range append([]string{spineName(0), spineName(1), "h1", "h2", "h3", "h4"}, spineLeaves...) {
		n, err := l.Namespace(name)
		if err != nil {
			return nil, err
		}
		f.spaces[name] = n
	}
	if err := f.cable(); err != nil {
		return nil, err
	}
	return f, atOnce(
		func() error { return f.startSpine(ctx, 0) }, func() error { return f.startSpine(ctx, 1) },
		func() error { return f.startFRR(ctx, 0) }, func() error { return f.startFRR(ctx, 1) },
		func() error { return f.startGateway(ctx, 2, target, binary) },
		func() error { return f.startGateway(ctx, 3, Embedded, binary) })
}

// atOnce does all of it side by side.
func atOnce(all ...func() error) error {
	errs := make([]error, len(all))
	var owned sync.WaitGroup
	for i, do := range all {
		owned.Go(func() { errs[i] = do() })
	}
	owned.Wait()
	return errors.Join(errs...)
}

// cable lays all cables, and gives links and hosts their addresses.
func (f *SpineLeaf) cable() error {
	var errs []error
	for leaf, name := range spineLeaves {
		at := f.spaces[name]
		for i := range f.Spines {
			spine, dev := f.spaces[spineName(i)], spineName(i)
			atSpine, atLeaf := fabricLink(i, leaf)
			end := End{NS: at, Dev: dev}
			if leaf >= len(f.FRRs) {
				u := fabricUplink(i, leaf)
				dev, end = u.host, End{NS: at, Dev: u.name, Switch: true}
				errs = append(errs, f.lab.Cable(End{NS: at, Dev: u.host, MTU: underlayMTU},
					End{NS: at, Dev: u.hostPortDevice, Switch: true}))
			}
			errs = append(errs, f.lab.Cable(End{NS: spine, Dev: name, MTU: underlayMTU}, end),
				spine.AddAddress(name, netip.PrefixFrom(atSpine, 24)), at.AddAddress(dev, netip.PrefixFrom(atLeaf, 24)))
		}
		h := &Host{Name: fmt.Sprintf("h%d", leaf+1), Dev: "eth0", MAC: ether.MAC{2, 0, 0, 0, 0, byte(leaf + 1)},
			Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 10, byte(leaf + 1)}), 24)}
		h.NS = f.spaces[h.Name]
		f.Hosts[leaf] = h
		errs = append(errs, f.lab.Cable(End{NS: h.NS, Dev: h.Dev}, End{NS: at, Dev: "port1", Switch: leaf >= len(f.FRRs)}),
			h.Configure())
	}
	return errors.Join(errs...)
}

// spineConfig has a spine pass on what each leaf says: VTEPs, and EVPN routes with the next
// hop that they had. It has no routes of its own.
func spineConfig(spine int) string {
	var b, activate strings.Builder
	fmt.Fprintf(&b, "router bgp %d\n bgp router-id 10.0.0.%d\n no bgp ebgp-requires-policy\n"+
		" no bgp default ipv4-unicast\n timers bgp 10 30\n", spinesAS, spine+1)
	for leaf := range spineLeaves {
		_, atLeaf := fabricLink(spine, leaf)
		fmt.Fprintf(&b, " neighbor %[1]s remote-as %[2]d\n neighbor %[1]s timers connect 1\n", atLeaf, spineLeafAS(leaf))
		fmt.Fprintf(&activate, "  neighbor %s activate\n", atLeaf)
	}
	for _, family := range []string{"ipv4 unicast", "l2vpn evpn"} {
		fmt.Fprintf(&b, " address-family %s\n%s exit-address-family\n", family, activate.String())
	}
	return b.String()
}

// spinePeers are the neighbours of a leaf.
func spinePeers(leaf int) (peers []Peer) {
	for spine := range 2 {
		atSpine, _ := fabricLink(spine, leaf)
		peers = append(peers, Peer{Address: atSpine, AS: spinesAS, Underlay: true})
	}
	return peers
}

func (f *SpineLeaf) startSpine(ctx context.Context, spine int) (err error) {
	n := f.spaces[spineName(spine)]
	if err := n.Sysctl("net.ipv4.ip_forward", "1"); err != nil {
		return err
	}
	f.Spines[spine], err = f.lab.StartFRR(ctx, n, spineName(spine), spineConfig(spine))
	return err
}

func (f *SpineLeaf) startFRR(ctx context.Context, leaf int) (err error) {
	name := spineLeaves[leaf]
	l, err := f.lab.Leaf(ctx, f.spaces[name], name, spineLeafAS(leaf), spineLeafVTEP(leaf), spinePeers(leaf))
	if err != nil {
		return err
	}
	f.FRRs[leaf] = l
	return errors.Join(l.AddVNI(blueVNI), l.Join("port1", blueVNI))
}

func (f *SpineLeaf) startGateway(ctx context.Context, leaf int, target, binary string) error {
	var uplinks []demoUplink
	name, ports := spineLeaves[leaf], []SwitchPort{{1, "port1"}}
	for spine := range f.Spines {
		u := fabricUplink(spine, leaf)
		uplinks = append(uplinks, u)
		ports = append(ports, SwitchPort{u.number, u.name}, SwitchPort{u.hostPort, u.hostPortDevice})
	}
	g, err := f.lab.SecondGateway(f.spaces[name], name, binary, target, spineLeafVTEP(leaf), ports)
	if err != nil {
		return err
	}
	f.Gateways[leaf-len(f.FRRs)] = g
	if err := g.StartSwitch(ctx); err != nil {
		return err
	}
	config := gatewayFile{gateway: g, as: spineLeafAS(leaf), ports: ports[:1], uplinks: uplinks, peers: spinePeers(leaf),
		ageing: "5m"}
	if err := g.StartController(ctx, config.String()); err != nil {
		return err
	}
	return errors.Join(g.CreateBridge(ctx, blue, tagBlue, blueVNI),
		g.CreatePort(ctx, "port1", ether.MAC{2, 0, 0, 0, 1, byte(leaf)}, opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS, blue))
}

// AwaitWhole waits until every leaf has a session with both spines, by which it gets the
// others' routes, and reaches each other leaf by both.
func (f *SpineLeaf) AwaitWhole(ctx context.Context) error {
	waits := []func() error{}
	for i, spine := range f.Spines {
		waits = append(waits, func() error {
			return Eventually(ctx, 2*patience, spineName(i)+" passes on the routes of all leaves", spine.passesOn)
		})
	}
	for leaf, name := range spineLeaves {
		waits = append(waits, func() error {
			return Eventually(ctx, 2*patience, name+" reaches all others by both spines", func(ctx context.Context) error {
				return f.reaches(ctx, leaf, 0, 1)
			})
		})
	}
	return atOnce(waits...)
}

// passesOn checks that a spine has EVPN routes of all leaves, and has told each of the others'.
func (f *FRR) passesOn(ctx context.Context) error {
	var summary struct {
		Peers map[string]struct {
			State    string `json:"state"`
			Received int    `json:"pfxRcd"`
			Sent     int    `json:"pfxSnt"`
		} `json:"peers"`
	}
	out, err := f.Show(ctx, "show bgp l2vpn evpn summary json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &summary)
	}
	for peer, s := range summary.Peers {
		if s.State != "Established" || s.Received == 0 || s.Sent < len(spineLeaves)-1 {
			return fmt.Errorf("%s is %+v", peer, s)
		}
	}
	if err == nil && len(summary.Peers) != len(spineLeaves) {
		err = errors.New(out)
	}
	return err
}

// AwaitBy waits until a leaf reaches all others by one spine alone.
func (f *SpineLeaf) AwaitBy(ctx context.Context, leaf, spine int) error {
	return Eventually(ctx, patience, spineLeaves[leaf]+" reaches all others by "+spineName(spine)+" alone",
		func(ctx context.Context) error { return f.reaches(ctx, leaf, spine) })
}

// reaches checks the ways from a leaf to all others, which are those by some spines: its
// kernel's, and of our leaves the target's.
func (f *SpineLeaf) reaches(ctx context.Context, leaf int, spines ...int) error {
	routes, err := f.spaces[spineLeaves[leaf]].Output(ctx, "ip", "-o", "route", "show")
	var vteps map[string]*p4evpnv1.VTEP
	if i := leaf - len(f.FRRs); err == nil && i >= 0 {
		vteps, err = f.Gateways[i].VTEPs(ctx)
	}
	for other := range spineLeaves {
		if other == leaf || err != nil {
			continue
		}
		vtep := spineLeafVTEP(other).String()
		line := lineOf(routes, vtep+" ")
		for spine := range f.Spines {
			by, _ := fabricLink(spine, leaf)
			if is := strings.Contains(line, "via "+by.String()+" "); is != slices.Contains(spines, spine) {
				return fmt.Errorf("a route of %s by %s is %t: %q", spineLeaves[leaf], by, is, line)
			}
		}
		if vteps != nil && len(vteps[vtep].GetPaths()) != len(spines) {
			return fmt.Errorf("%s has the paths %v to %s", spineLeaves[leaf], vteps[vtep].GetPaths(), vtep)
		}
	}
	return err
}

// EveryPairPings has each host reach each other one.
func (f *SpineLeaf) EveryPairPings(ctx context.Context) error {
	var pings []func() error
	for i, from := range f.Hosts {
		for _, to := range f.Hosts[i+1:] {
			pings = append(pings, func() error {
				_, err := from.Reach(ctx, to.Address.Addr(), patience)
				return err
			})
		}
	}
	return atOnce(pings...)
}

// Pull takes the carrier of the cable between a spine and a leaf, Return gives it back.
func (f *SpineLeaf) Pull(spine, leaf int) error {
	return f.spaces[spineName(spine)].Down(spineLeaves[leaf])
}

// Return undoes Pull.
func (f *SpineLeaf) Return(spine, leaf int) error {
	return f.spaces[spineName(spine)].Up(spineLeaves[leaf])
}

// AwaitBySpine waits until a flow between our leaves takes a spine both ways.
func (f *SpineLeaf) AwaitBySpine(ctx context.Context, spine int) error {
	n, devices := f.spaces[spineName(spine)], spineLeaves[len(f.FRRs):]
	before, err := n.received(ctx)
	if err != nil {
		return err
	}
	return Eventually(ctx, patience, "traffic takes "+spineName(spine), func(ctx context.Context) error {
		now, err := n.received(ctx)
		for _, dev := range devices {
			if came := now[dev] - before[dev]; err == nil && came < 100 {
				err = fmt.Errorf("%d frames came from %s", came, dev)
			}
		}
		return err
	})
}

// KillSpine has a spine lose its power: the carrier of all its cables, and its daemons.
func (f *SpineLeaf) KillSpine(spine int) error {
	var errs []error
	for leaf := range spineLeaves {
		errs = append(errs, f.Pull(spine, leaf))
	}
	return errors.Join(errors.Join(errs...), f.Spines[spine].Kill())
}

// StartSpine gives it its power back.
func (f *SpineLeaf) StartSpine(ctx context.Context, spine int) error {
	var errs []error
	for leaf := range spineLeaves {
		errs = append(errs, f.Return(spine, leaf))
	}
	return errors.Join(errors.Join(errs...), f.Spines[spine].Start(ctx))
}

// lineOf is the first line that begins with a text.
func lineOf(text, prefix string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			return line
		}
	}
	return ""
}
