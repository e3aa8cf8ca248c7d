package ovn

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/p4evpn/p4evpn/controller/view"
)

// This file is what of tunnels stands in OVN: a port for each VTEP of a bridge, and a group
// of them, between which nothing passes (split horizon).

// tunnelName is the name of a VTEP's port, in OVN and in Open vSwitch.
func tunnelName(vtep netip.Addr, vni uint32) string { return fmt.Sprintf("vxlan_%v_%d", vtep, vni) }

// tunnelPorts are the rows of a bridge's VTEPs, each with the stations behind it.
func (c Config) tunnelPorts(a attachment) (all []logicalSwitchPort) {
	for _, vtep := range a.behind.VTEPs {
		all = append(all, c.tunnelPort(tunnelName(vtep, a.vni), a.vni,
			addressesOf(a.behind.Stations, func(s view.Station) bool { return s.VTEP == vtep })))
	}
	return all
}

func (c Config) tunnelPort(name string, vni uint32, addresses []string) logicalSwitchPort {
	return logicalSwitchPort{Name: name, Options: map[string]string{}, Addresses: addresses, ExternalIDs: c.marks(vni)}
}

// stillThere are the ports of a bridge of which BGP may yet say that they are wanted.
func (c Config) stillThere(a attachment, ports []logicalSwitchPort, kept map[string]bool) (all []logicalSwitchPort) {
	marks := c.marks(a.vni)
	for _, p := range ports {
		if !kept[p.Name] && p.ExternalIDs[ownerMark] == c.Owner && p.ExternalIDs[vniMark] == marks[vniMark] && p.Type == "" {
			kept[p.Name] = true
			all = append(all, c.tunnelPort(p.Name, a.vni, nil))
		}
	}
	return all
}

// groupName is the name of the group of a bridge's tunnels.
func (a attachment) groupName() string { return fmt.Sprintf("p4evpn_%d", a.vni) }

// groupChange is a group that is made, changed or, without want, taken away.
type groupChange struct {
	have *portGroup
	want *portGroup // its ports by UUID, or as named
	rule *acl       // that it lacks, nil = none
}

// splitHorizon drops what goes from one tunnel to another. What OVN answers itself leaves by
// the port that it came from.
func (c Config) splitHorizon(a attachment) acl {
	g := a.groupName()
	return acl{Direction: "to-lport", Priority: 32767, Action: "drop", ExternalIDs: c.marks(a.vni),
		Match: fmt.Sprintf("inport == @%s && outport == @%[1]s && !flags.loopback", g)}
}

// groupChange is what makes a bridge's group right, nil if it is.
func (n northbound) groupChange(cfg Config, a attachment, want []logicalSwitchPort,
	ports map[string]*logicalSwitchPort) (*groupChange, string) {
	rule := cfg.splitHorizon(a)
	c := &groupChange{want: &portGroup{Name: a.groupName(), ExternalIDs: cfg.marks(a.vni)}, rule: &rule}
	for _, p := range want {
		uuid := named(p.Name)
		if have := ports[p.Name]; have != nil {
			uuid = have.UUID
		}
		c.want.Ports = append(c.want.Ports, uuid)
	}
	i := slices.IndexFunc(n.groups, func(g portGroup) bool { return g.Name == a.groupName() })
	switch {
	case i < 0 && len(want) == 0:
		return nil, ""
	case i < 0:
		return c, ""
	}
	c.have = &n.groups[i]
	if owner := c.have.ExternalIDs[ownerMark]; owner != cfg.Owner {
		return nil, fmt.Sprintf("OVN's port group %s is not ours (%s of its external_ids is %q, want %q): delete it",
			c.have.Name, ownerMark, owner, cfg.Owner)
	}
	if len(want) == 0 {
		return &groupChange{have: c.have}, ""
	}
	for _, r := range n.acls {
		if slices.Contains(c.have.ACLs, r.UUID) && r.Direction == rule.Direction && r.Priority == rule.Priority &&
			r.Match == rule.Match && r.Action == rule.Action {
			c.rule = nil
		}
	}
	if c.rule == nil && sameAddresses(c.have.Ports, c.want.Ports) {
		return nil, ""
	}
	return c, ""
}

func (g groupChange) String() string {
	if g.want == nil {
		return "taking away port group " + g.have.Name
	}
	return "changing port group " + g.want.Name
}

func (g groupChange) operations(c client.Client) ([]ovsdb.Operation, error) {
	const rule = "split_horizon"
	switch {
	case g.want == nil:
		return c.Where(&portGroup{UUID: g.have.UUID}).Delete()
	case g.have == nil:
		row := *g.want
		row.UUID, row.ACLs = "tunnels", []string{rule}
		r := *g.rule
		r.UUID = rule
		return joined(made(c.Create(&r)), made(c.Create(&row)))
	}
	var parts []part
	row := &portGroup{UUID: g.have.UUID}
	mutate := func(field *[]string, how ovsdb.Mutator, value []string) {
		if len(value) > 0 {
			parts = append(parts, made(c.Where(row).Mutate(row, model.Mutation{Field: field, Mutator: how, Value: value})))
		}
	}
	if g.rule != nil {
		r := *g.rule
		r.UUID = rule
		// An answer that was late may have been that it is there.
		now, seen := 0, &portGroup{UUID: g.have.UUID, ACLs: g.have.ACLs}
		parts = append(parts, made(c.Where(seen).Wait(ovsdb.WaitConditionEqual, &now, seen, &seen.ACLs)),
			made(c.Create(&r)))
		mutate(&row.ACLs, ovsdb.MutateOperationInsert, []string{rule})
	}
	mutate(&row.Ports, ovsdb.MutateOperationDelete, missingIn(g.want.Ports, g.have.Ports))
	mutate(&row.Ports, ovsdb.MutateOperationInsert, missingIn(g.have.Ports, g.want.Ports))
	return joined(parts...)
}

// The other side is in Open vSwitch: a port of br-int of the same name, which
// ovn-controller binds to OVN's.

// tunnelInterfaces are the interfaces of all bridges' VTEPs, by name.
func (c Config) tunnelInterfaces(wanted []attachment) map[string]interfaceRow {
	all := map[string]interfaceRow{}
	for _, a := range wanted {
		for _, vtep := range a.behind.VTEPs {
			name, marks := tunnelName(vtep, a.vni), c.marks(a.vni)
			marks["iface-id"] = name
			all[name] = interfaceRow{Name: name, Type: "vxlan", ExternalIDs: marks, Options: map[string]string{
				"remote_ip": vtep.String(), "local_ip": a.behind.Local.String(), "key": strconv.FormatUint(uint64(a.vni), 10),
				"dst_port": "4789"}}
		}
	}
	return all
}

// makeTunnels gives a transaction that has these interfaces be on the integration bridge;
// those whose name is taken are problems, by name.
func (s chassis) makeTunnels(c client.Client, cfg Config, want map[string]interfaceRow) ([]ovsdb.Operation,
	map[string]string, error) {
	br := s.bridge(cfg.Bridge)
	if br == nil {
		return nil, nil, fmt.Errorf("there is no bridge %s: want OVN's integration bridge", cfg.Bridge)
	}
	var parts []part
	var created []string
	problems := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		row := want[name]
		switch p, have := s.port(name), s.iface(name); {
		case p == nil && have == nil:
			row.UUID = named(name)
			created = append(created, row.UUID+"_port")
			parts = append(parts, made(c.Create(&row)), made(c.Create(&portRow{UUID: row.UUID + "_port", Name: name,
				Interfaces: []string{row.UUID}, ExternalIDs: cfg.marksOf(row)})))
		case have == nil || have.ExternalIDs[ownerMark] != cfg.Owner:
			problems[name] = fmt.Sprintf("interface %s of Open vSwitch is not ours: delete it", name)
		case have.Error != nil:
			problems[name] = fmt.Sprintf("interface %s of Open vSwitch: %s", name, *have.Error)
		case have.Type != row.Type || !maps.Equal(have.Options, row.Options) ||
			have.ExternalIDs["iface-id"] != name:
			ids := maps.Clone(have.ExternalIDs)
			maps.Copy(ids, row.ExternalIDs)
			row.UUID, row.ExternalIDs = have.UUID, ids
			parts = append(parts, made(c.Where(&interfaceRow{UUID: have.UUID}).Update(&row, &row.Type, &row.Options,
				&row.ExternalIDs)))
		}
	}
	if len(created) > 0 {
		parts = append(parts, made(s.mutatePorts(c, br, ovsdb.MutateOperationInsert, created)))
	}
	ops, err := joined(parts...)
	return ops, problems, err
}

// endTunnels gives a transaction that takes away our tunnels which are in none of these.
func (s chassis) endTunnels(c client.Client, cfg Config, kept map[string]bool) ([]ovsdb.Operation, error) {
	var gone []string
	for _, p := range s.ports {
		if p.ExternalIDs[ownerMark] == cfg.Owner && p.ExternalIDs[vniMark] != "" && !kept[p.Name] {
			gone = append(gone, p.UUID)
		}
	}
	br := s.bridge(cfg.Bridge)
	if len(gone) == 0 || br == nil {
		return nil, nil
	}
	return s.mutatePorts(c, br, ovsdb.MutateOperationDelete, gone)
}

func (s chassis) mutatePorts(c client.Client, br *bridgeRow, how ovsdb.Mutator, ports []string) ([]ovsdb.Operation,
	error) {
	row := &bridgeRow{UUID: br.UUID}
	return c.Where(row).Mutate(row, model.Mutation{Field: &row.Ports, Mutator: how, Value: ports})
}

// marksOf are the marks of an interface's port.
func (c Config) marksOf(row interfaceRow) map[string]string {
	return map[string]string{ownerMark: c.Owner, vniMark: row.ExternalIDs[vniMark]}
}

func (s chassis) iface(name string) *interfaceRow {
	for i := range s.interfaces {
		if s.interfaces[i].Name == name {
			return &s.interfaces[i]
		}
	}
	return nil
}
