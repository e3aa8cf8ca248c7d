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

// chassisKey is the option of a port that says to which chassis it is bound.
const chassisKey = "l2gateway-chassis"

// attachment is that a bridge stretches a logical switch.
type attachment struct {
	bridge        string // id
	logicalSwitch string // name
	vni           uint32
	vlan          uint16
	behind        view.Behind
	share         share // whose its port is, of gateways that share it
}

// attachedName is the name of the port at a trunk.
func attachedName(vni uint32) string { return fmt.Sprintf("evpn_%d", vni) }

// ports are the rows that shall be there: one at the trunk, or one for each VTEP. Their
// names are unique in OVN.
func (c Config) ports(a attachment, chassis string) []logicalSwitchPort {
	if c.Tunnels {
		return c.tunnelPorts(a)
	}
	vlan := int(a.vlan)
	p := logicalSwitchPort{
		Name: attachedName(a.vni), Type: "l2gateway",
		Options:     map[string]string{"network_name": c.Network, chassisKey: chassis},
		Addresses:   []string{unknown},
		TagRequest:  &vlan,
		ExternalIDs: c.marks(a.vni),
	}
	if c.Shared {
		p.ExternalIDs[vtepMark] = a.behind.Local.String()
	}
	if c.Addresses {
		p.Addresses = addressesOf(a.behind.Stations, func(s view.Station) bool { return s.Reached })
	}
	return []logicalSwitchPort{p}
}

// unknown has a port take frames for whom no other has.
const unknown = "unknown"

// marks are those of a row of ours.
func (c Config) marks(vni uint32) map[string]string {
	return map[string]string{ownerMark: c.Owner, vniMark: strconv.FormatUint(uint64(vni), 10)}
}

// addressesOf is how OVN wants stations: "MAC IP IP".
func addressesOf(stations []view.Station, which func(view.Station) bool) []string {
	all := []string{}
	for _, s := range stations {
		if !which(s) {
			continue
		}
		words := []string{s.MAC.String()}
		for _, ip := range s.IPs {
			words = append(words, ip.String())
		}
		all = append(all, strings.Join(words, " "))
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

// withoutOthers leaves out of our ports the MACs that others of the switch have: of a MAC
// that two ports have OVN chooses one at random. And, unless all is known, it keeps those
// that our ports have.
func (n northbound) withoutOthers(ports []logicalSwitchPort, on logicalSwitch, have map[string]*logicalSwitchPort,
	settled bool) {
	taken, here, ours := map[string]bool{"": true}, map[string]bool{}, map[string]bool{}
	for _, uuid := range on.Ports {
		here[uuid] = true
	}
	for _, p := range ports {
		if h := have[p.Name]; h != nil {
			ours[h.UUID] = true
		}
	}
	for i := range n.ports {
		if p := &n.ports[i]; here[p.UUID] && !ours[p.UUID] {
			for _, address := range p.allAddresses() {
				taken[macOf(address)] = true
			}
		}
	}
	keep := func(to *[]string, addresses []string) {
		for _, address := range addresses {
			if mac := macOf(address); !taken[mac] {
				taken[mac] = true
				*to = append(*to, address)
			}
		}
	}
	for i := range ports {
		p := &ports[i]
		told := p.Addresses
		if p.Addresses = []string{}; slices.Contains(told, unknown) {
			p.Addresses = []string{unknown}
		}
		keep(&p.Addresses, told)
	}
	for i := range ports {
		p := &ports[i]
		if h := have[p.Name]; h != nil && !settled && !slices.Contains(p.Addresses, unknown) {
			keep(&p.Addresses, h.Addresses)
		}
		slices.Sort(p.Addresses)
	}
}

// portChange is a port that is made, changed, moved or, without want, taken away.
type portChange struct {
	have, want *logicalSwitchPort
	from       []string // logical switches that it is to leave, by UUID
	to         string   // that it is to join; "" = it is there
	shared     bool     // others may change it too
}

// change is one transaction: what of a bridge is to be done.
type change struct {
	bridge string // "" if none has it any more
	ports  []portChange
	group  *groupChange // nil = none
}

// northbound is what is there.
type northbound struct {
	switches []logicalSwitch
	ports    []logicalSwitchPort
	routers  []logicalRouterPort
	groups   []portGroup
	acls     []acl
}

func readNorthbound(ctx context.Context, c client.Client) (n northbound, err error) {
	for _, list := range []any{&n.switches, &n.ports, &n.routers, &n.groups, &n.acls} {
		if err := c.List(ctx, list); err != nil {
			return n, err
		}
	}
	return n, nil
}

// plan compares what is there with what shall be. What cannot be is a problem of its
// bridge.
func (n northbound) plan(cfg Config, chassis string, wanted []attachment) ([]change, map[string]string) {
	ports := map[string]*logicalSwitchPort{}
	for i := range n.ports {
		ports[n.ports[i].Name] = &n.ports[i]
	}
	var changes []change
	problems, kept := map[string]string{}, map[string]bool{}
	for _, a := range wanted {
		want := cfg.ports(a, chassis)
		if a.share == another {
			kept[want[0].Name] = true
			continue
		}
		if problem := cfg.taken(want, ports); problem != "" {
			problems[a.bridge] = problem
			for _, p := range want {
				kept[p.Name] = true
			}
			continue
		}
		to, problem := n.find(a.logicalSwitch)
		if problem != "" {
			problems[a.bridge] = problem // a port that we have elsewhere goes
			continue
		}
		for _, p := range want {
			kept[p.Name] = true
		}
		if !a.behind.Settled && cfg.Tunnels {
			want = append(want, cfg.stillThere(a, n.ports, kept)...)
		}
		n.withoutOthers(want, to, ports, a.behind.Settled)
		c := change{bridge: a.bridge}
		for i := range want {
			if p, needed := n.change(ports[want[i].Name], want[i], to.UUID); needed {
				p.shared = cfg.Shared
				c.ports = append(c.ports, p)
			}
		}
		if cfg.Tunnels {
			c.group, problem = n.groupChange(cfg, a, want, ports)
			if problem != "" {
				problems[a.bridge] = problem
				continue
			}
		}
		if len(c.ports) > 0 || c.group != nil {
			changes = append(changes, c)
		}
	}
	return append(changes, n.unwanted(cfg, chassis, wanted, kept)...), problems
}

// port gives the port with a name, nil if there is none.
func (n northbound) port(name string) *logicalSwitchPort {
	for i := range n.ports {
		if n.ports[i].Name == name {
			return &n.ports[i]
		}
	}
	return nil
}

// taken says that a port which shall be there is somebody else's.
func (c Config) taken(want []logicalSwitchPort, ports map[string]*logicalSwitchPort) string {
	for _, p := range want {
		if have := ports[p.Name]; have != nil && have.ExternalIDs[ownerMark] != c.Owner {
			return fmt.Sprintf("OVN's logical switch port %s is not ours (%s of its external_ids is %q, want %q): "+
				"delete it, or give one of the two another VNI", have.Name, ownerMark, have.ExternalIDs[ownerMark], c.Owner)
		}
	}
	return ""
}

// unwanted takes away our ports and groups that nobody wants, each on its own. Who shares them
// does so with those at its own chassis.
func (n northbound) unwanted(cfg Config, chassis string, wanted []attachment, kept map[string]bool) (changes []change) {
	for i := range n.ports {
		p := &n.ports[i]
		elsewhere := cfg.Shared && p.Options[chassisKey] != chassis
		if p.ExternalIDs[ownerMark] == cfg.Owner && !kept[p.Name] && !elsewhere {
			changes = append(changes, change{ports: []portChange{{have: p, from: n.holders(p.UUID), shared: cfg.Shared}}})
		}
	}
	groups := map[string]bool{}
	for _, a := range wanted {
		groups[a.groupName()] = cfg.Tunnels
	}
	for i := range n.groups {
		if g := &n.groups[i]; g.ExternalIDs[ownerMark] == cfg.Owner && !groups[g.Name] {
			changes = append(changes, change{group: &groupChange{have: g}})
		}
	}
	return changes
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
		sameTag(have.TagRequest, want.TagRequest) && maps.Equal(have.ExternalIDs, merged)
	return c, !same || c.to != "" || len(c.from) > 0
}

func sameTag(a, b *int) bool { return a == b || a != nil && b != nil && *a == *b }

// operations are the change's transaction.
func (w change) operations(c client.Client) ([]ovsdb.Operation, error) {
	var parts []part
	for _, p := range w.ports {
		parts = append(parts, made(p.operations(c)))
	}
	if w.group != nil {
		parts = append(parts, made(w.group.operations(c)))
	}
	return joined(parts...)
}

// named stands in a transaction for the UUID of a row that it makes.
func named(name string) string {
	return "row_" + strings.Map(func(r rune) rune {
		if r == '.' || r == ':' {
			return '_'
		}
		return r
	}, name)
}

// operations are the change's part of a transaction.
func (p portChange) operations(c client.Client) ([]ovsdb.Operation, error) {
	var parts []part
	if p.shared && p.have != nil {
		parts = append(parts, made(asSeen(c, p.have)))
	}
	mutate := func(uuid string, how ovsdb.Mutator, port string) {
		s := &logicalSwitch{UUID: uuid}
		parts = append(parts, made(c.Where(s).Mutate(s,
			model.Mutation{Field: &s.Ports, Mutator: how, Value: []string{port}})))
	}
	for _, uuid := range p.from {
		mutate(uuid, ovsdb.MutateOperationDelete, p.have.UUID) // one that no switch has is no more
	}
	port := ""
	switch {
	case p.want == nil:
	case p.have == nil:
		row := *p.want
		row.UUID = named(row.Name)
		port = row.UUID
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

func (w change) String() string {
	var words []string
	for _, p := range w.ports {
		words = append(words, p.String())
	}
	if w.group != nil {
		words = append(words, w.group.String())
	}
	return strings.Join(words, ", ")
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
	g, a := &portGroup{}, &acl{}
	return c.NewMonitor(client.WithTable(s, &s.Name, &s.Ports),
		client.WithTable(p, &p.Name, &p.Type, &p.Options, &p.Addresses, &p.Dynamic, &p.TagRequest, &p.Up,
			&p.Enabled, &p.ExternalIDs),
		client.WithTable(r, &r.Name, &r.MAC, &r.Networks),
		client.WithTable(g, &g.Name, &g.Ports, &g.ACLs, &g.ExternalIDs),
		client.WithTable(a, &a.Direction, &a.Priority, &a.Match, &a.Action, &a.ExternalIDs))
}
