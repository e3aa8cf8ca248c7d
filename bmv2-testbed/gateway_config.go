package testbed

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// gatewayFile is a gateway's configuration file.
type gatewayFile struct {
	gateway   *Gateway
	as        uint32
	ownSwitch bool         // `p4evpn run` starts the switch
	target    string       // address of P4Runtime; empty: targetAddress
	ports     []SwitchPort // by the names that the API binds them by
	uplinks   []demoUplink
	peers     []Peer
	deferral  string // after a restart; empty: the default
	// restartTime is how long neighbors keep its routes, with deferral; empty: the default.
	restartTime string
	ageing      string // empty: demoAgeing
	moves       int    // that make a duplicate; 0: the default
	audit       string // interval; empty: never
	store       string // empty: storeFile
	vtepAPI     string // address of the REST API as of rest_vtep; empty: none
	more        string // of the file, as it is
}

func (f gatewayFile) String() string {
	g := f.gateway
	var b strings.Builder
	fmt.Fprintf(&b, "as: %d\nrouter_id: %[2]s\nvteps: [%[2]s]\nstore: %s\n", f.as, g.VTEP, cmp.Or(f.store, g.storeFile()))
	fmt.Fprintf(&b, "target: {address: %q, device_id: 1, election_id: %d, embedded: %t, audit_interval: %s}\n",
		cmp.Or(f.target, targetAddress), ownElectionID, f.ownSwitch, cmp.Or(f.audit, "0s"))
	fmt.Fprintf(&b, "api: {listen: %q", g.socket)
	if f.vtepAPI != "" { // else it is a file that older releases read too
		fmt.Fprintf(&b, ", vtep_listen: %q, insecure: true", f.vtepAPI)
	}
	fmt.Fprintf(&b, "}\nmetrics: {listen: %q}\nlearning: {ageing: %s", metricsAddress, cmp.Or(f.ageing, demoAgeing))
	if f.moves != 0 {
		fmt.Fprintf(&b, ", duplicates: {moves: %d}", f.moves)
	}
	b.WriteString("}\n")
	if slices.ContainsFunc(f.peers, func(p Peer) bool { return p.BFD }) {
		fmt.Fprintf(&b, "liveness: {address: %q}\n", g.livenessAddress())
	}
	fmt.Fprintf(&b, "slow_path: {namespaces: %s}\n", g.vrfNamespaces())
	b.WriteString("ports:\n")
	for _, p := range f.ports {
		fmt.Fprintf(&b, "  - {name: %s, number: %d, interface: %[1]s}\n", p.Dev, p.Number)
	}
	b.WriteString("uplinks:\n")
	for _, u := range f.uplinks {
		fmt.Fprintf(&b, "  - {name: %s, number: %d, interface: %[1]s, host: {number: %[3]d, interface: %[4]s, device: "+
			"%[5]s}}\n",
			u.name, u.number, u.hostPort, u.hostPortDevice, u.host)
	}
	b.WriteString("bgp:\n")
	if f.deferral != "" {
		fmt.Fprintf(&b, "  graceful_restart: {deferral: %s, restart_time: %s}\n", f.deferral, cmp.Or(f.restartTime, "120s"))
	}
	b.WriteString("  neighbors:\n")
	for _, p := range f.peers {
		fmt.Fprintf(&b, "    - {address: %s, as: %d, hold_time: 30s, keepalive: 10s, connect_retry: 1s", p.Address, p.AS)
		if p.Password != "" {
			fmt.Fprintf(&b, ", password: %q", p.Password)
		}
		if p.Passive {
			b.WriteString(", passive: true")
		}
		if p.Multihop {
			fmt.Fprintf(&b, ", local_address: %s, multihop: 2", g.VTEP)
		}
		if p.Underlay {
			b.WriteString(", families: [evpn, ipv4]")
		}
		if p.BFD {
			b.WriteString(", bfd: {multiplier: 10}")
		}
		b.WriteString("}\n")
	}
	return b.String() + f.more
}
