package ovn

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
)

// expect tells the fabric who is behind OVN in each bridge, where that changed, and how
// soon it is to be looked at again; 0 = when something changes. Who is behind OVN where its port
// is another gateway's is told by that one.
func (k *Keeper) expect(ctx context.Context, there northbound, wanted []attachment) (time.Duration, error) {
	if k.cfg.Port == "" {
		return 0, nil
	}
	want, next := map[string][]view.Station{}, time.Duration(0)
	for id := range k.bridges {
		want[id] = nil
	}
	seen := map[string]bool{}
	for _, a := range wanted {
		on, problem := there.find(a.logicalSwitch)
		if problem != "" || a.share != ours {
			continue
		}
		want[a.bridge] = there.stations(on, func(p *logicalSwitchPort) bool {
			seen[p.UUID] = true
			up, until := k.isUp(p)
			if until > 0 && (next == 0 || until < next) {
				next = until
			}
			return up
		})
	}
	maps.DeleteFunc(k.lastUp, func(port string, _ time.Time) bool { return !seen[port] })
	for id := range k.expected {
		if _, there := want[id]; !there {
			want[id] = nil
		}
	}
	for _, id := range slices.Sorted(maps.Keys(want)) {
		was, told := k.expected[id]
		if told && slices.EqualFunc(was, want[id], sameStation) {
			continue
		}
		if err := k.cfg.Fabric.Expect(ctx, id, k.cfg.Port, want[id]); err != nil {
			return next, fmt.Errorf("telling who is behind OVN: %w", err)
		}
		k.expected[id] = want[id]
		if _, there := k.bridges[id]; !there {
			delete(k.expected, id)
		}
	}
	return next, nil
}

// isUp reports whether a port is up, or was a moment ago: a VM that moves is on no chassis
// for a while. Until then it is taken for up.
func (k *Keeper) isUp(p *logicalSwitchPort) (up bool, until time.Duration) {
	now := time.Now()
	if p.Up != nil && *p.Up {
		k.lastUp[p.UUID] = now
		return true, 0
	}
	was, ever := k.lastUp[p.UUID]
	if until = k.cfg.Linger - now.Sub(was); !ever || until <= 0 {
		return false, 0
	}
	return true, until
}

func sameStation(a, b view.Station) bool { return a.MAC == b.MAC && slices.Equal(a.IPs, b.IPs) }

// stations are those behind OVN on a logical switch, in the order of their MACs: of ports
// of VMs that are up, and of routers. Ports of gateways as we are have none.
func (n northbound) stations(on logicalSwitch, up func(*logicalSwitchPort) bool) []view.Station {
	here := map[string]bool{}
	for _, uuid := range on.Ports {
		here[uuid] = true
	}
	found := map[ether.MAC][]netip.Addr{}
	take := func(words []string) {
		if mac, ips, ok := readStation(words); ok {
			found[mac] = append(found[mac], ips...)
		}
	}
	for i := range n.ports {
		p := &n.ports[i]
		_, ours := p.ExternalIDs[ownerMark]
		switch {
		case !here[p.UUID] || ours || p.Enabled != nil && !*p.Enabled:
		case p.Type == "router":
			if r := n.routerPort(p.Options["router-port"]); r != nil {
				take(append([]string{r.MAC}, r.Networks...))
			}
		case p.Type == "" && up(p):
			for _, address := range p.allAddresses() {
				take(strings.Fields(address))
			}
		}
	}
	all := make([]view.Station, 0, len(found))
	for mac, ips := range found {
		slices.SortFunc(ips, netip.Addr.Compare)
		all = append(all, view.Station{MAC: mac, IPs: slices.Compact(ips)})
	}
	slices.SortFunc(all, func(a, b view.Station) int { return a.MAC.Compare(b.MAC) })
	return all
}

func (n northbound) routerPort(name string) *logicalRouterPort {
	for i := range n.routers {
		if n.routers[i].Name == name {
			return &n.routers[i]
		}
	}
	return nil
}

// allAddresses are those that a port was given, and those that OVN gave it.
func (p *logicalSwitchPort) allAddresses() []string {
	if p.Dynamic == nil {
		return p.Addresses
	}
	return append(slices.Clone(p.Addresses), *p.Dynamic)
}

// readStation reads a MAC with addresses, or networks as a router has them; false if there
// is no MAC, as in "unknown" and "dynamic". What is no address is passed over.
func readStation(words []string) (mac ether.MAC, ips []netip.Addr, ok bool) {
	if len(words) == 0 {
		return mac, nil, false
	}
	mac, err := ether.ParseMAC(words[0])
	if err != nil || mac.IsZero() || mac.IsMulticast() {
		return mac, nil, false
	}
	for _, w := range words[1:] {
		text, _, _ := strings.Cut(w, "/")
		if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
			ips = append(ips, ip.Unmap())
		}
	}
	return mac, ips, true
}
