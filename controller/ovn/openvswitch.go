package ovn

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"
)

// Keys of Open_vSwitch's external_ids, which ovn-controller reads.
const (
	mappingsKey = "ovn-bridge-mappings"
	systemKey   = "system-id"
)

// chassis is what is there of a chassis' Open vSwitch.
type chassis struct {
	root       openVSwitch
	bridges    []bridgeRow
	ports      []portRow
	interfaces []interfaceRow
}

func readChassis(ctx context.Context, c client.Client) (s chassis, err error) {
	var roots []openVSwitch
	for _, list := range []any{&roots, &s.bridges, &s.ports, &s.interfaces} {
		if err := c.List(ctx, list); err != nil {
			return s, err
		}
	}
	if len(roots) != 1 {
		return s, fmt.Errorf("%d rows in table Open_vSwitch: want one", len(roots))
	}
	s.root = roots[0]
	return s, nil
}

// name is the chassis' in OVN.
func (s chassis) name() (string, error) {
	if id := s.root.ExternalIDs[systemKey]; id != "" {
		return id, nil
	}
	return "", fmt.Errorf("external_ids:%s of Open_vSwitch is not set: want the chassis' name, or ovn.chassis", systemKey)
}

func (s chassis) bridge(name string) *bridgeRow {
	for i := range s.bridges {
		if s.bridges[i].Name == name {
			return &s.bridges[i]
		}
	}
	return nil
}

// attach gives the transaction that joins the target's trunk to OVN by the provider
// bridge, where it carries these VLANs; none if that is done. What stands in the way is an
// error. None are all; nil has a trunk that is there keep its own.
func (s chassis) attach(c client.Client, cfg Config, vlans []int) ([]ovsdb.Operation, error) {
	bridge := s.bridge(cfg.Bridge)
	var joins part
	switch {
	case bridge != nil && bridge.ExternalIDs[ownerMark] != cfg.Owner:
		return nil, fmt.Errorf("bridge %s is not ours (%s of its external_ids is %q, want %q): name another as ovn.bridge, "+
			"or leave out ovn.ovs and give it %s and the mapping by hand",
			cfg.Bridge, ownerMark, bridge.ExternalIDs[ownerMark], cfg.Owner, cfg.Interface)
	case bridge != nil:
		joins = made(s.addPort(c, cfg, vlans, bridge))
	case s.port(cfg.Interface) != nil:
		return nil, fmt.Errorf("%s is a port of another bridge: take it away there", cfg.Interface)
	default:
		joins = made(s.create(c, cfg, vlans))
	}
	return joined(joins, made(s.mapNetwork(c, cfg)))
}

func (s chassis) port(name string) *portRow {
	for i := range s.ports {
		if s.ports[i].Name == name {
			return &s.ports[i]
		}
	}
	return nil
}

// create makes the bridge, as ovs-vsctl add-br does, with the trunk's end.
func (s chassis) create(c client.Client, cfg Config, vlans []int) ([]ovsdb.Operation, error) {
	marks := map[string]string{ownerMark: cfg.Owner}
	standalone := "standalone"
	b := &bridgeRow{UUID: "br", Name: cfg.Bridge, Ports: []string{"local_port", "trunk_port"}, FailMode: &standalone,
		ExternalIDs: marks}
	if integration := s.bridge("br-int"); integration != nil {
		b.DatapathType = integration.DatapathType // patch ports join no others
	}
	root := &openVSwitch{UUID: s.root.UUID}
	return joined(
		made(c.Create(&interfaceRow{UUID: "local", Name: cfg.Bridge, Type: "internal", ExternalIDs: marks})),
		made(c.Create(&portRow{UUID: "local_port", Name: cfg.Bridge, Interfaces: []string{"local"}, ExternalIDs: marks})),
		trunk(c, cfg, vlans),
		made(c.Create(b)),
		made(c.Where(root).Mutate(root,
			model.Mutation{Field: &root.Bridges, Mutator: ovsdb.MutateOperationInsert, Value: []string{"br"}})),
	)
}

// trunk makes the port trunk_port of the netdev.
func trunk(c client.Client, cfg Config, vlans []int) part {
	marks := map[string]string{ownerMark: cfg.Owner}
	ops, err := joined(
		made(c.Create(&interfaceRow{UUID: "trunk", Name: cfg.Interface, ExternalIDs: marks})),
		made(c.Create(&portRow{UUID: "trunk_port", Name: cfg.Interface, Interfaces: []string{"trunk"}, Trunks: vlans,
			ExternalIDs: marks})))
	return part{ops, err}
}

// addPort has the trunk's end be on the bridge.
func (s chassis) addPort(c client.Client, cfg Config, vlans []int, b *bridgeRow) ([]ovsdb.Operation, error) {
	if p := s.port(cfg.Interface); p != nil {
		if !slices.Contains(b.Ports, p.UUID) {
			return nil, fmt.Errorf("%s is a port of another bridge than %s: take it away there", cfg.Interface, cfg.Bridge)
		}
		if vlans == nil || slices.Equal(slices.Sorted(slices.Values(p.Trunks)), vlans) {
			return nil, nil
		}
		// ovs-vswitchd 3.1 takes VLANs that change alone to heart when it hears more.
		row, root := &portRow{UUID: p.UUID, Trunks: vlans}, &openVSwitch{UUID: s.root.UUID}
		return joined(made(c.Where(row).Update(row, &row.Trunks)), made(c.Where(root).Mutate(root,
			model.Mutation{Field: &root.NextConfig, Mutator: ovsdb.MutateOperationAdd, Value: 1})))
	}
	row := &bridgeRow{UUID: b.UUID}
	return joined(trunk(c, cfg, vlans), made(c.Where(row).Mutate(row,
		model.Mutation{Field: &row.Ports, Mutator: ovsdb.MutateOperationInsert, Value: []string{"trunk_port"}})))
}

// mapNetwork adds our network to the mappings, which others share.
func (s chassis) mapNetwork(c client.Client, cfg Config) ([]ovsdb.Operation, error) {
	text, bridge := s.root.ExternalIDs[mappingsKey], ""
	for entry := range strings.SplitSeq(text, ",") {
		if network, to, _ := strings.Cut(strings.TrimSpace(entry), ":"); network == cfg.Network {
			bridge = cmp.Or(bridge, to)
		}
	}
	switch {
	case bridge == cfg.Bridge:
		return nil, nil
	case bridge != "":
		return nil, fmt.Errorf("%s maps network %s to bridge %s: name another as ovn.network", mappingsKey, cfg.Network,
			bridge)
	}
	entry := cfg.Network + ":" + cfg.Bridge
	if text != "" {
		entry = text + "," + entry
	}
	root := &openVSwitch{UUID: s.root.UUID}
	return c.Where(root).Mutate(root,
		model.Mutation{Field: &root.ExternalIDs, Mutator: ovsdb.MutateOperationDelete, Value: []string{mappingsKey}},
		model.Mutation{Field: &root.ExternalIDs, Mutator: ovsdb.MutateOperationInsert,
			Value: map[string]string{mappingsKey: entry}})
}

// fault is what Open vSwitch says of the trunk's end.
func (s chassis) fault(cfg Config) string {
	for _, i := range s.interfaces {
		if i.Name == cfg.Interface && i.Error != nil {
			return *i.Error
		}
	}
	return ""
}

func monitorOpenVSwitch(c client.Client) *client.Monitor {
	o, b, p, i := &openVSwitch{}, &bridgeRow{}, &portRow{}, &interfaceRow{}
	return c.NewMonitor(client.WithTable(o, &o.Bridges, &o.ExternalIDs),
		client.WithTable(b, &b.Name, &b.Ports, &b.DatapathType, &b.FailMode, &b.ExternalIDs),
		client.WithTable(p, &p.Name, &p.Interfaces, &p.Trunks, &p.ExternalIDs),
		client.WithTable(i, &i.Name, &i.Type, &i.Options, &i.Error, &i.ExternalIDs))
}
