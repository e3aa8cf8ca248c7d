package ovn

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
)

// fabric stands in for a controller.
type fabric struct {
	mu       sync.Mutex
	behind   map[string]view.Behind
	settled  bool
	changed  chan struct{}
	expected map[string]string // by bridge's id, as text
	told     int
	local    byte // the last of our VTEP's address
}

func newFabric() *fabric {
	return &fabric{behind: map[string]view.Behind{}, settled: true, changed: make(chan struct{}, 1),
		expected: map[string]string{}, local: 1}
}

func (f *fabric) Behind(_ context.Context, bridge string) (view.Behind, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.behind[bridge]
	b.Settled = f.settled
	return b, nil
}

func (f *fabric) Expect(_ context.Context, bridge, port string, stations []view.Station) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var words []string
	for _, s := range stations {
		words = append(words, fmt.Sprintf("%v%v", s.MAC, s.IPs))
	}
	f.expected[bridge] = port + ": " + strings.Join(words, " ")
	f.told++
	return nil
}

func (f *fabric) BehindChanged() <-chan struct{} { return f.changed }

// set replaces the stations of a bridge: each is a MAC's last byte, its VTEP's after @, and
// its addresses. A VTEP alone, as @15, has none.
func (f *fabric) set(settled bool, bridge string, stations ...string) {
	all, vteps := view.Behind{Local: netip.AddrFrom4([4]byte{10, 9, 0, f.local})}, map[netip.Addr]bool{}
	for _, text := range stations {
		words := strings.Fields(text)
		mac, at, _ := strings.Cut(words[0], "@")
		n, _ := strconv.ParseUint(at, 10, 8)
		vtep := netip.AddrFrom4([4]byte{10, 9, 0, byte(n)})
		vteps[vtep] = true
		if mac == "" {
			continue
		}
		last, err := strconv.ParseUint(mac, 16, 8)
		if err != nil {
			panic(err)
		}
		s := view.Station{MAC: ether.MAC{2, 0, 0, 0, 0, byte(last)}, VTEP: vtep, Reached: true}
		for _, w := range words[1:] {
			s.IPs = append(s.IPs, netip.MustParseAddr(w))
		}
		all.Stations = append(all.Stations, s)
	}
	all.VTEPs = slices.SortedFunc(maps.Keys(vteps), netip.Addr.Compare)
	f.mu.Lock()
	f.behind[bridge], f.settled = all, settled
	f.mu.Unlock()
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// listed waits until the port has these addresses.
func (s *server) listed(want ...string) {
	s.Helper()
	for i, w := range want {
		want[i] = "02:00:00:00:00:" + w
	}
	got := ""
	await(s.T, fmt.Sprintf("the port has %q", want), func() bool {
		got = s.nb("--format=json --columns=addresses find Logical_Switch_Port name=evpn_10")
		for _, w := range want {
			if !strings.Contains(got, `"`+w+`"`) {
				return false
			}
		}
		return strings.Count(got, "02:00:00:00:00:") == len(want) && !strings.Contains(got, "unknown")
	})
}

func TestOVNKnowsWhoIsBehindVTEPs(t *testing.T) {
	nb, store, f := serve(t, northboundSchema), intent.NewMemory(), newFabric()
	nb.nb("ls-add ls1")
	f.set(true, "vni-10", "0a 10.0.0.10 2001:db8::a", "0b")
	f.set(true, "vni-20", "0c 10.0.0.12") // another bridge's
	stretch(t, store, 10, "ls1")
	g := start(t, store, nb, nil, func(c *Config) { c.Fabric, c.Addresses = f, true })
	nb.listed("0a 10.0.0.10 2001:db8::a", "0b")
	f.set(true, "vni-10", "0a 10.0.0.10", "0d 10.0.0.13")
	nb.listed("0a 10.0.0.10", "0d 10.0.0.13")
	nb.nb("lsp-set-addresses evpn_10 unknown") // by somebody else
	nb.listed("0a 10.0.0.10", "0d 10.0.0.13")
	f.set(true, "vni-10")
	nb.listed()
	before := testutil.ToFloat64(g.stats.transactions)
	f.set(true, "vni-10") // nothing is new
	nb.nb("lsp-add ls1 vm1")
	f.set(true, "vni-10", "0a 10.0.0.10")
	nb.listed("0a 10.0.0.10")
	if n := testutil.ToFloat64(g.stats.transactions) - before; n != 1 {
		t.Errorf("%v transactions, want one", n)
	}
}

// OVN chooses one at random of two ports that have a MAC.
func TestAMACThatAnotherPortOfTheSwitchHasIsThatPorts(t *testing.T) {
	nb, store, f := serve(t, northboundSchema), intent.NewMemory(), newFabric()
	nb.nb("ls-add ls1 -- ls-add ls2 -- lsp-add ls1 vm1 -- lsp-add ls1 vm2 -- lsp-add ls2 vm3 -- " +
		"lsp-set-addresses vm1 02:00:00:00:00:0A -- " +
		`set Logical_Switch_Port vm2 addresses=dynamic dynamic_addresses="02:00:00:00:00:0b" -- ` +
		"lsp-set-addresses vm3 02:00:00:00:00:0c")
	f.set(true, "vni-10", "0a 10.0.0.10", "0b", "0c", "0d")
	stretch(t, store, 10, "ls1")
	start(t, store, nb, nil, func(c *Config) { c.Fabric, c.Addresses = f, true })
	nb.listed("0c", "0d")
	nb.nb("lsp-del vm1") // it moved behind a VTEP
	nb.listed("0a 10.0.0.10", "0c", "0d")
	nb.nb("lsp-add ls1 vm4 -- lsp-set-addresses vm4 02:00:00:00:00:0d") // and one came here
	nb.listed("0a 10.0.0.10", "0c")
	nb.nb("lsp-add ls1 vm5 -- lsp-set-addresses vm5 02:00:00:00:00:0d -- lsp-del vm4") // two had it, one has it yet
	nb.nb("lsp-del vm2")
	nb.listed("0a 10.0.0.10", "0b", "0c")
}

// After a restart nothing goes that a peer may yet repeat.
func TestAddressesThatBGPHasNotRepeatedYetStayUntilItConverged(t *testing.T) {
	nb, store, f := serve(t, northboundSchema), intent.NewMemory(), newFabric()
	nb.nb("ls-add ls1")
	f.set(true, "vni-10", "0a 10.0.0.10", "0b 10.0.0.11", "0c")
	stretch(t, store, 10, "ls1")
	addresses := func(c *Config) { c.Fabric, c.Addresses = f, true }
	first := start(t, store, nb, nil, addresses)
	nb.listed("0a 10.0.0.10", "0b 10.0.0.11", "0c")
	first.stop()
	f.set(false, "vni-10", "0b 10.0.0.99", "0d")
	start(t, store, nb, nil, addresses)
	nb.listed("0a 10.0.0.10", "0b 10.0.0.99", "0c", "0d")
	f.set(true, "vni-10", "0b 10.0.0.99", "0d")
	nb.listed("0b 10.0.0.99", "0d")
}
