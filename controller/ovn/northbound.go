package ovn

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/p4evpn/p4evpn/controller/view"
)

// Marks of our rows.
const (
	ownerMark = "p4evpn-owner"
	vniMark   = "p4evpn-vni"
)

// attachment is that a bridge stretches a logical switch.
type attachment struct {
	bridge        string // id
	logicalSwitch string // name
	vni           uint32
	vlan          uint16
	remote        []string // who is behind VTEPs, as OVN wants addresses; nil = it is not told
	settled       bool     // else some are missing in remote
}

// portName is the name of our port on the logical switch, which is unique in OVN.
func (a attachment) portName() string { return fmt.Sprintf("evpn_%d", a.vni) }

// port is the row that shall be there.
func (c Config) port(a attachment, chassis string) logicalSwitchPort {
	vlan := int(a.vlan)
	return logicalSwitchPort{
		Name: a.portName(), Type: "l2gateway",
		Options:     map[string]string{"network_name": c.Network, "l2gateway-chassis": chassis},
		Addresses:   a.addresses(),
		TagRequest:  &vlan,
		ExternalIDs: map[string]string{ownerMark: c.Owner, vniMark: strconv.FormatUint(uint64(a.vni), 10)},
	}
}

// addresses are those of the port.
func (a attachment) addresses() []string {
	if a.remote == nil {
		return []string{"unknown"}
	}
	return a.remote
}

// addressesOf is how OVN wants stations: "MAC IP IP".
func addressesOf(stations []view.Station) []string {
	all := make([]string, len(stations))
	for i, s := range stations {
		words := []string{s.MAC.String()}
		for _, ip := range s.IPs {
			words = append(words, ip.String())
		}
		all[i] = strings.Join(words, " ")
	}
	return all
}

// macOf is the MAC of one of a port's addresses, "" if it names none.
func macOf(address string) string {
	mac, _, _ := strings.Cut(strings.TrimSpace(address), " ")
	if !strings.Contains(mac, ":") {
		return ""
	}
	return strings.ToLower(mac)
}

// withoutOthers leaves out the MACs that other ports of a switch have: of a MAC that two
// ports have OVN chooses one at random. And it keeps those of a port that may be missing
// only because BGP has not said all yet.
func (n northbound) withoutOthers(a attachment, on logicalSwitch, have *logicalSwitchPort) attachment {
	if a.remote == nil {
		return a
	}
	taken, here := map[string]bool{}, map[string]bool{}
	for _, uuid := range on.Ports {
		here[uuid] = true
	}
	for i := range n.ports {
		p := &n.ports[i]
		if have != nil && p.UUID == have.UUID || !here[p.UUID] {
			continue
		}
		for _, address := range p.allAddresses() {
			taken[macOf(address)] = true
		}
	}
	delete(taken, "")
	told := map[string]bool{}
	kept := []string{}
	add := func(addresses []string) {
		for _, address := range addresses {
			if mac := macOf(address); mac != "" && !taken[mac] && !told[mac] {
				told[mac] = true
				kept = append(kept, address)
			}
		}
	}
	add(a.remote)
	if !a.settled && have != nil {
		add(have.Addresses)
	}
	slices.Sort(kept)
	a.remote = kept
	return a
}

// portChange is one transaction: a port that is made, changed, moved or, without want,
// taken away.
type portChange struct {
	bridge     string // "" if none has it any more
	have, want *logicalSwitchPort
	from       []string // logical switches that it is to leave, by UUID
	to         string   // that it is to join; "" = it is there
}

// northbound is what is there.
type northbound struct {
	switches []logicalSwitch
	ports    []logicalSwitchPort
	routers  []logicalRouterPort
}

func readNorthbound(ctx context.Context, c client.Client) (n northbound, err error) {
	for _, list := range []any{&n.switches, &n.ports, &n.routers} {
		if err := c.List(ctx, list); err != nil {
			return n, err
		}
	}
	return n, nil
}

// plan compares what is there with what shall be. What cannot be is a problem of its
// bridge.
func (n northbound) plan(cfg Config, chassis string, wanted []attachment) ([]portChange, map[string]string) {
	ports := map[string]*logicalSwitchPort{}
	for i := range n.ports {
		ports[n.ports[i].Name] = &n.ports[i]
	}
	var changes []portChange
	problems, kept := map[string]string{}, map[string]bool{}
	for _, a := range wanted {
		have := ports[a.portName()]
		if have != nil && have.ExternalIDs[ownerMark] != cfg.Owner {
			problems[a.bridge] = fmt.Sprintf("OVN's logical switch port %s is not ours (%s of its external_ids is %q, "+
				"want %q): delete it, or give one of the two another VNI",
				have.Name, ownerMark, have.ExternalIDs[ownerMark], cfg.Owner)
			continue
		}
		to, problem := n.find(a.logicalSwitch)
		if problem != "" {
			problems[a.bridge] = problem // a port that we have elsewhere goes
			continue
		}
		kept[a.portName()] = true
		a = n.withoutOthers(a, to, have)
		if change, needed := n.change(have, cfg.port(a, chassis), to.UUID); needed {
			change.bridge = a.bridge
			changes = append(changes, change)
		}
	}
	for i := range n.ports {
		if p := &n.ports[i]; p.ExternalIDs[ownerMark] == cfg.Owner && !kept[p.Name] {
			changes = append(changes, portChange{have: p, from: n.holders(p.UUID)})
		}
	}
	return changes, problems
}

// find gives the logical switch with a name.
func (n northbound) find(name string) (found logicalSwitch, problem string) {
	for _, s := range n.switches {
		if s.Name != name {
			continue
		}
		if found.UUID != "" {
			return found, fmt.Sprintf("OVN has several logical switches %q: rename all but one", name)
		}
		found = s
	}
	if found.UUID == "" {
		return found, fmt.Sprintf("OVN has no logical switch %q yet", name)
	}
	return found, ""
}

// holders are the logical switches that a port is on.
func (n northbound) holders(port string) (all []string) {
	for _, s := range n.switches {
		if slices.Contains(s.Ports, port) {
			all = append(all, s.UUID)
		}
	}
	return all
}

// change is what makes have the port that is wanted on a switch, and whether anything is
// to be done. A port of another type is taken away, and made anew when that is seen to be
// done: ovn-controller 23.03 goes on with flows of a type that was.
func (n northbound) change(have *logicalSwitchPort, want logicalSwitchPort, to string) (portChange, bool) {
	c := portChange{have: have, to: to, want: &want}
	if have == nil {
		return c, true
	}
	if have.Type != want.Type {
		return portChange{have: have, from: n.holders(have.UUID)}, true
	}
	for _, s := range n.holders(have.UUID) {
		if s == to {
			c.to = ""
		} else {
			c.from = append(c.from, s)
		}
	}
	merged := maps.Clone(have.ExternalIDs)
	maps.Copy(merged, want.ExternalIDs)
	want.ExternalIDs = merged
	same := maps.Equal(have.Options, want.Options) && sameAddresses(have.Addresses, want.Addresses) &&
		have.TagRequest != nil && *have.TagRequest == *want.TagRequest && maps.Equal(have.ExternalIDs, merged)
	return c, !same || c.to != "" || len(c.from) > 0
}

// operations are the change's transaction.
func (p portChange) operations(c client.Client) ([]ovsdb.Operation, error) {
	const created = "port" // stands for the UUID of what the transaction makes
	var parts []part
	mutate := func(uuid string, how ovsdb.Mutator, port string) {
		s := &logicalSwitch{UUID: uuid}
		parts = append(parts, made(c.Where(s).Mutate(s,
			model.Mutation{Field: &s.Ports, Mutator: how, Value: []string{port}})))
	}
	for _, uuid := range p.from {
		mutate(uuid, ovsdb.MutateOperationDelete, p.have.UUID) // one that no switch has is no more
	}
	port := created
	switch {
	case p.want == nil:
	case p.have == nil:
		row := *p.want
		row.UUID = created
		parts = append(parts, made(c.Create(&row)))
	default:
		row := *p.want
		row.UUID, port = p.have.UUID, p.have.UUID
		parts = append(parts, made(c.Where(&logicalSwitchPort{UUID: port}).Update(&row, &row.Options,
			&row.TagRequest, &row.ExternalIDs)), p.readdress(c))
	}
	if p.to != "" {
		mutate(p.to, ovsdb.MutateOperationInsert, port)
	}
	return joined(parts...)
}

// readdress changes the addresses that differ, which may be few of many.
func (p portChange) readdress(c client.Client) part {
	row := &logicalSwitchPort{UUID: p.have.UUID}
	var changes []model.Mutation
	for how, addresses := range map[ovsdb.Mutator][]string{
		ovsdb.MutateOperationDelete: missingIn(p.want.Addresses, p.have.Addresses),
		ovsdb.MutateOperationInsert: missingIn(p.have.Addresses, p.want.Addresses),
	} {
		if len(addresses) > 0 {
			changes = append(changes, model.Mutation{Field: &row.Addresses, Mutator: how, Value: addresses})
		}
	}
	if len(changes) == 0 {
		return part{}
	}
	return made(c.Where(row).Mutate(row, changes...))
}

// missingIn are those of all that a set has not.
func missingIn(set, all []string) (missing []string) {
	has := make(map[string]bool, len(set))
	for _, s := range set {
		has[s] = true
	}
	for _, s := range all {
		if !has[s] {
			missing = append(missing, s)
		}
	}
	return missing
}

func sameAddresses(a, b []string) bool {
	return len(a) == len(b) && len(missingIn(a, b)) == 0
}

func (p portChange) String() string {
	switch {
	case p.have == nil:
		return "making logical switch port " + p.want.Name
	case p.want == nil:
		return "taking away logical switch port " + p.have.Name
	}
	return "changing logical switch port " + p.want.Name
}

// monitorNorthbound names every column: one that the model has not would have its row's
// changes dropped.
func monitorNorthbound(c client.Client) *client.Monitor {
	s, p, r := &logicalSwitch{}, &logicalSwitchPort{}, &logicalRouterPort{}
	return c.NewMonitor(client.WithTable(s, &s.Name, &s.Ports),
		client.WithTable(p, &p.Name, &p.Type, &p.Options, &p.Addresses, &p.Dynamic, &p.TagRequest, &p.Up,
			&p.Enabled, &p.ExternalIDs),
		client.WithTable(r, &r.Name, &r.MAC, &r.Networks))
}
