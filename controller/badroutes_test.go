package controller

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/bgp/front"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/softswitch"
)

// whole is a gateway of real parts: a speaker with TCP sessions, a P4Runtime
// client and the embedded switch. It has two VRFs, blue (VNI 5000, bridge-10
// with VNI 100) and other (VNI 6000, bridge-20 with VNI 200), with the same
// addresses: 10.10.0.1/24 and 2001:db8:10::1/64.
type whole struct {
	*gateway
	speaker  *front.Speaker
	client   *p4rt.Client
	registry *prometheus.Registry
	listen   netip.AddrPort
	peers    int
	all      []*p4v1.Entity // that the switch can hold
}

const leafAS = 65002

// startWhole runs it until the test ends.
func startWhole(t *testing.T) *whole {
	t.Helper()
	w := &whole{gateway: &gateway{TB: t, cfg: testConfig(), store: intent.NewMemory(), underlay: newUnderlay()},
		all: p4.Wildcards()}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.listen = netip.MustParseAddrPort(ln.Addr().String())
	ln.Close()
	w.speaker, err = front.New(front.Config{Logger: quietly, BGP: bgp.Config{AS: w.cfg.AS, RouterID: w.cfg.RouterID,
		ListenAddresses: []netip.Addr{w.listen.Addr()}, ListenPort: int(w.listen.Port())}})
	if err != nil {
		t.Fatal(err)
	}
	socket := "unix:" + filepath.Join(t.TempDir(), "p4rt")
	sw, err := softswitch.New(softswitch.Config{CPUPort: p4.CPUPort, GRPCAddress: socket, Logger: quietly})
	if err != nil {
		t.Fatal(err)
	}
	w.client, err = p4rt.New(p4rt.Config{
		Target: socket, DeviceID: 1, ElectionID: p4rt.ElectionID{Low: 1}, P4Info: p4.P4Info(),
		DeviceConfig: p4.DeviceConfig(), Cookie: p4.Cookie(), Digests: []p4rt.DigestConfig{{ID: p4.DigestID()}},
		MinBackoff: time.Millisecond, MaxBackoff: 20 * time.Millisecond, Logger: quietly,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.c, err = New(w.cfg, Inputs{Intent: w.store, Speaker: w.speaker, Target: w.client, Underlay: w.underlay})
	if err != nil {
		t.Fatal(err)
	}
	w.registry = prometheus.NewPedanticRegistry()
	w.registry.MustRegister(w.c, w.speaker)
	ctx, cancel := context.WithCancel(context.Background())
	var owned sync.WaitGroup
	for name, run := range map[string]func(context.Context) error{"switch": sw.Run, "client": w.client.Run,
		"controller": w.c.Run, "speaker": w.speaker.Run} {
		owned.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	t.Cleanup(func() { cancel(); owned.Wait() })
	for n, vrf := range []string{"blue", "other"} {
		vlan := uint16(10 * (n + 1))
		w.bridge(vlan, uint32(100*(n+1)))
		w.vrf(vrf, uint32(5000+1000*n))
		w.svi(vrf, vlan, "10.10.0.1/24", "2001:db8:10::1/64")
	}
	w.settle()
	return w
}

// leaf is the session of a new neighbour.
func (w *whole) leaf(maxPrefixes uint32) (*bgptest.Session, netip.Addr) {
	w.Helper()
	w.peers++
	a := netip.AddrFrom4([4]byte{127, 0, 1, byte(w.peers)})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := w.speaker.AddNeighbor(ctx, bgp.Neighbor{Address: a, AS: leafAS, LocalAddress: w.listen.Addr(),
		Passive: true, MaxPrefixes: maxPrefixes}); err != nil {
		w.Fatal(err)
	}
	s, err := bgptest.Dial(ctx, bgptest.Config{Local: a, Remote: w.listen, AS: leafAS})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(s.Close)
	return s, a
}

// held is what the switch has, as facts.
func (w *whole) held() []string {
	w.Helper()
	var out []entry
	err := w.client.Read(context.Background(), w.all, func(e *p4v1.Entity) error {
		if e.GetTableEntry().GetIsDefaultAction() {
			return nil
		}
		got, err := p4.FromEntity(e)
		if err != nil {
			return err
		}
		d, err := p4.Decode(got)
		if err == nil {
			out = append(out, d)
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return facts(out)
}

// drops gives every counter of routes that were not used, by name and reason.
func (w *whole) drops() map[string]float64 {
	w.Helper()
	out := map[string]float64{}
	for of, name := range map[string]string{"bgp": "p4evpn_bgp_routes_dropped_total",
		"controller": "p4evpn_controller_routes_unusable_total"} {
		for reason, n := range w.metric(name, "reason") {
			out[of+" "+reason] = n
		}
	}
	return out
}

// metric gives the values of a counter by a label.
func (w *whole) metric(name, by string) map[string]float64 {
	w.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == by {
					out[l.GetValue()] = m.GetCounter().GetValue()
				}
			}
		}
	}
	return out
}

// leafRoutes say what the tests' leaf does: its VTEP, route target and router
// MAC are those of VRF blue and bridge-10 unless a test changes them.
type leafRoutes struct {
	nextHop   netip.Addr
	target    uint32
	routerMAC *ether.MAC
}

func (r leafRoutes) send(t *testing.T, s *bgptest.Session, nlri ...[]byte) {
	t.Helper()
	a := bgptest.Attributes{NextHop: leaf1, ASPath: []uint32{leafAS}}
	if r.nextHop.IsValid() {
		a.NextHop = r.nextHop
	}
	a.Communities = [][8]byte{bgptest.RouteTarget(leafAS, r.target), bgptest.VXLAN()}
	if r.routerMAC != nil {
		a.Communities = append(a.Communities, bgptest.RouterMAC(*r.routerMAC))
	}
	if err := s.Send(bgptest.Update(a, nlri...)); err != nil {
		t.Fatal(err)
	}
}

var (
	rdOfLeaf  = [8]byte{0, 1, 10, 0, 0, 11, 0, 5}
	leafMAC   = leaf1Route
	inBlue    = leafRoutes{target: 5000, routerMAC: &leafMAC}
	inBridge  = leafRoutes{target: 100}
	noGateway netip.Addr
)

// prefixNLRI is a type-5 route as it is on the wire, whatever its length says.
func prefixNLRI(address string, bits byte, gateway string, label uint32) []byte {
	a, gw := addr(address), noGateway
	if gateway != "" {
		gw = addr(gateway)
	}
	b := bgptest.PrefixRoute(rdOfLeaf, netip.PrefixFrom(a, a.BitLen()), gw, label)
	b[2+8+10+4] = bits
	return b
}

func hostNLRI(n int, address string, labels ...uint32) []byte {
	return bgptest.MACRoute(rdOfLeaf, 0, mac(n), addr(address), labels...)
}

// Each case is sent between two good routes of its session. What comes of it is
// what both good ones make, and a count by reason.
func TestABadRouteMakesNothingAndIsCounted(t *testing.T) {
	multicast := ether.MAC{1, 0, 0x5e, 0, 0, 1}
	short := bgptest.MACRoute(rdOfLeaf, 0, mac(9), netip.Addr{}, 100)
	short[2+8+10+4] = 47
	long := hostNLRI(9, "10.10.0.9", 100)
	long[2+8+10+4+7] = 33
	w := startWhole(t)
	good, _ := w.leaf(0)
	inBlue.send(t, good, prefixNLRI("10.50.0.0", 16, "", 5000))
	inBridge.send(t, good, hostNLRI(5, "10.10.0.5", 100))
	w.eventually("good routes", func() bool { return strings.Contains(strings.Join(w.held(), "\n"), "10.50.0.0/16") })
	for _, c := range []struct {
		name   string
		as     leafRoutes
		nlri   []byte
		reason string // "": it is used, for its MAC alone
	}{
		{"v4-mapped prefix", inBlue, prefixNLRI("::ffff:10.60.0.0", 112, "", 5000), "bgp prefix"},
		{"loopback prefix", inBlue, prefixNLRI("127.0.0.0", 8, "", 5000), "bgp prefix"},
		{"reserved prefix", inBlue, prefixNLRI("240.0.0.0", 8, "", 5000), "bgp prefix"},
		{"link-local prefix", inBlue, prefixNLRI("169.254.0.0", 16, "", 5000), "controller bad_prefix"},
		{"label 0", inBlue, prefixNLRI("10.60.0.0", 16, "", 0), "bgp label"},
		{"no router MAC", leafRoutes{target: 5000}, prefixNLRI("10.60.0.0", 16, "", 5000), "controller bad_router_mac"},
		{"multicast router MAC", leafRoutes{target: 5000, routerMAC: &multicast}, prefixNLRI("10.60.0.0", 16, "", 5000), "bgp router_mac"},
		{"zero router MAC", leafRoutes{target: 5000, routerMAC: &ether.MAC{}}, prefixNLRI("10.60.0.0", 16, "", 5000), "bgp router_mac"},
		{"gateway IP", leafRoutes{target: 5000}, prefixNLRI("10.60.0.0", 16, "10.10.0.5", 5000), "controller overlay_index"},
		{"gateway IP and router MAC", inBlue, prefixNLRI("10.60.0.0", 16, "10.10.0.5", 5000), "controller overlay_index"},
		{"gateway IP outside every subnet", inBlue, prefixNLRI("10.60.0.0", 16, "192.0.2.1", 5000), "controller overlay_index"},
		{"our own next hop", leafRoutes{target: 5000, routerMAC: &leafMAC, nextHop: vtep1}, prefixNLRI("10.60.0.0", 16, "", 5000), "controller own_next_hop"},
		{"next hop 0", leafRoutes{target: 5000, routerMAC: &leafMAC, nextHop: addr("0.0.0.0")}, prefixNLRI("10.60.0.0", 16, "", 5000), "bgp next_hop"},
		{"loopback next hop", leafRoutes{target: 5000, routerMAC: &leafMAC, nextHop: addr("127.0.0.9")}, prefixNLRI("10.60.0.0", 16, "", 5000), "bgp next_hop"},
		{"a route target of nobody's", leafRoutes{target: 7777, routerMAC: &leafMAC}, prefixNLRI("10.60.0.0", 16, "", 5000), "controller no_import"},
		{"v4-mapped host", inBridge, hostNLRI(9, "::ffff:10.10.0.9", 100), "bgp ip"},
		{"multicast host", inBridge, hostNLRI(9, "224.0.0.9", 100), "bgp ip"},
		{"multicast MAC", inBridge, bgptest.MACRoute(rdOfLeaf, 0, multicast, netip.Addr{}, 100), "bgp mac"},
		{"MAC of 47 bits", inBridge, short, "bgp mac"},
		{"host with VNI 0", inBridge, hostNLRI(9, "10.10.0.9", 0), "bgp label"},
		{"host with an L3 VNI and no router MAC", inBridge, hostNLRI(9, "10.10.0.9", 100, 5000), "controller bad_router_mac"},
		{"prefix of 33 bits", inBlue, prefixNLRI("10.60.0.0", 33, "", 5000), "bgp prefix"},
		{"prefix of 129 bits", inBlue, prefixNLRI("2001:db8:60::", 129, "", 5000), "bgp prefix"},
		{"host of 33 bits", inBridge, long, "bgp nlri"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.TB = t
			s, peer := w.leaf(0)
			before, drops := w.held(), w.drops()
			inBridge.send(t, s, hostNLRI(7, "10.10.0.7", 100))
			w.eventually("the route before", func() bool { return len(w.held()) > len(before) })
			c.as.send(t, s, c.nlri)
			inBridge.send(t, s, hostNLRI(8, "10.10.0.8", 100))
			w.eventually("the route after", func() bool {
				return strings.Contains(strings.Join(w.held(), "\n"), mac(8).String())
			})
			w.settle()
			want := slices.Clone(before)
			extra := strings.Join(slices.DeleteFunc(slices.Clone(w.held()), func(f string) bool {
				return slices.Contains(before, f) || strings.Contains(f, mac(7).String()) ||
					strings.Contains(f, mac(8).String()) ||
					strings.Contains(f, "10.10.0.7") || strings.Contains(f, "10.10.0.8")
			}), "\n")
			if alone := c.reason == "controller bad_router_mac" && strings.HasPrefix(c.name, "host"); alone == (extra == "") {
				t.Errorf("on the switch beside what the good routes make:\n%s", extra)
			}
			w.counted(drops, c.reason)
			if err := w.speaker.RemoveNeighbor(t.Context(), peer); err != nil {
				t.Fatal(err)
			}
			w.eventually("the leaf's routes are gone", func() bool { w.settle(); return slices.Equal(w.held(), want) })
		})
	}
}

// up reports whether a neighbour's session is established.
func (w *whole) up(peer netip.Addr) bool {
	return slices.ContainsFunc(w.speaker.Peers(), func(p bgp.PeerState) bool { return p.Address == peer && p.Up })
}

// counted checks that one counter rose, by one.
func (w *whole) counted(before map[string]float64, reason string) {
	w.Helper()
	after := w.drops()
	for name, n := range after {
		rose := n - before[name]
		if want := map[bool]float64{true: 1}[name == reason]; rose != want {
			w.Errorf("%s rose by %v, want %v", name, rose, want)
		}
	}
	if after[reason] == 0 {
		w.Errorf("nothing was counted as %s", reason)
	}
}

func TestAPeerOverItsLimitOfPrefixesIsCutAndTheOthersStand(t *testing.T) {
	w := startWhole(t)
	good, _ := w.leaf(0)
	inBlue.send(t, good, prefixNLRI("10.50.0.0", 16, "", 5000))
	w.eventually("a good route", func() bool { return strings.Contains(strings.Join(w.held(), "\n"), "10.50.0.0/16") })
	before := w.held()
	s, peer := w.leaf(1000)
	const routes, each = 10000, 50
	for i := 0; i < routes; i += each {
		var nlri [][]byte
		for n := i; n < i+each; n++ {
			nlri = append(nlri, prefixNLRI(fmt.Sprintf("10.%d.%d.0", 100+n/256, n%256), 24, "", 5000))
		}
		a := bgptest.Attributes{NextHop: leaf1, ASPath: []uint32{leafAS},
			Communities: [][8]byte{bgptest.RouteTarget(leafAS, 5000), bgptest.VXLAN(), bgptest.RouterMAC(leafMAC)}}
		if s.Send(bgptest.Update(a, nlri...)) != nil {
			break // it is cut while we speak
		}
	}
	w.eventually("the session's end", func() bool { return !w.up(peer) })
	w.eventually("the loss of one session is counted", func() bool {
		return w.metric("p4evpn_bgp_session_losses_total", "neighbor")[peer.String()] == 1
	})
	if want := (bgptest.NotificationError{Code: 6, Subcode: 1}); s.Err() != want {
		t.Errorf("the session ended by %v, want %v: Cease, maximum number of prefixes reached", s.Err(), want)
	}
	w.eventually("its routes are gone and the others stand",
		func() bool { w.settle(); return slices.Equal(w.held(), before) })
}
