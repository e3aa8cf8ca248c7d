package controller

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/p4"
)

// port is a configured bridge port and what is attached to it.
type port struct {
	Port
	bound    []*bridgePort          // the API's objects for it, oldest first
	attached map[uint16]*attachment // by VLAN; 0 = untagged
	learned  int                    // MACs learned on it
	full     bool                   // it was said that it has its MACs
	declined int                    // sources declined on it
	// leases of DHCP that stations behind it have, and questions that wait for an answer.
	leases, questions int

	addresses int  // that MACs on it claim
	crowded   bool // it was said that it has its addresses
}

// attachment is a VLAN of a port in a bridge.
type attachment struct {
	bridge uint16
	by     *bridgePort
}

// bridgePort is one of the API and what became of it.
type bridgePort struct {
	intent.BridgePort
	port    *port  // nil if it is bound to none
	reason  string // why it is down, "" if it is attached
	members []member
}

// member is a place in a bridge, by a VLAN, that a bridge port wants.
type member struct{ vlan, bridge uint16 }

// everywhere is the serial of a bridge port that no object of the API is, after all others.
const everywhere = math.MaxUint64

func (l *loop) configurePort(p Port) {
	kind := func(e entry) { l.portKinds[e.Key()] = e }
	switch p.Kind {
	case KindBridge:
		l.ports[p.Number] = &port{Port: p, attached: map[uint16]*attachment{}}
		kind(p4.BridgePort{Port: p.Number})
		if p.Everywhere { // what objects of the API leave
			l.bridgePortChanged(intent.BridgePort{ID: p.Name, Type: intent.Trunk, Serial: everywhere}, false)
		}
	case KindUplink:
		l.uplinks[cmp.Or(p.HostDevice, p.Name)] = p.Number
		kind(p4.Uplink{Port: p.Number, HostPort: p.HostPort})
		kind(p4.HostPort{Port: p.HostPort, Uplink: p.Number})
	}
}

// bridgePortChanged takes a bridge port of the API as it is now.
func (l *loop) bridgePortChanged(o intent.BridgePort, deleted bool) {
	bp := l.bridgePorts[o.ID]
	if bp == nil && deleted {
		return
	}
	if bp == nil {
		bp = &bridgePort{}
		l.bridgePorts[o.ID] = bp
	}
	l.unbind(bp)
	if deleted {
		delete(l.bridgePorts, o.ID)
		return
	}
	bp.BridgePort = o
	l.bind(bp)
}

// bind finds the configured port: the one with the object's id as its name,
// else the only one with its MAC. Clients do give two ports one MAC.
func (l *loop) bind(bp *bridgePort) {
	var byMAC []*port
	var byMade *port // by the id that is made of its name
	for _, p := range l.ports {
		if p.Name == bp.ID {
			bp.port = p
		} else if intent.BridgePortID(p.Name) == bp.ID {
			byMade = p
		}
		if p.MAC == bp.MAC && !bp.MAC.IsZero() {
			byMAC = append(byMAC, p)
		}
	}
	switch {
	case bp.port != nil:
	case byMade != nil:
		bp.port = byMade
	case len(byMAC) == 1:
		bp.port = byMAC[0]
	case len(byMAC) == 0:
		bp.reason = fmt.Sprintf("no bridge port named %q and none with MAC %v is configured", bp.ID, bp.MAC)
		return
	default:
		names := make([]string, len(byMAC))
		for i, p := range byMAC {
			names[i] = p.Name
		}
		slices.Sort(names)
		bp.reason = fmt.Sprintf("no bridge port named %q is configured and several have MAC %v: %v", bp.ID, bp.MAC, names)
		return
	}
	p := bp.port
	p.bound = append(p.bound, bp)
	slices.SortFunc(p.bound, func(a, b *bridgePort) int {
		return cmp.Or(cmp.Compare(a.Serial, b.Serial), cmp.Compare(a.ID, b.ID))
	})
	l.dirtyPorts[p.Number] = struct{}{}
}

func (l *loop) unbind(bp *bridgePort) {
	bp.reason = ""
	if p := bp.port; p != nil {
		p.bound = slices.DeleteFunc(p.bound, func(o *bridgePort) bool { return o == bp })
		l.dirtyPorts[p.Number] = struct{}{}
		bp.port = nil
	}
}

// markAttachments has the ports that name the bridge, or carry all, attached
// anew.
func (l *loop) markAttachments(b *bridge) {
	for _, p := range l.ports {
		for _, bp := range p.bound {
			if bp.Transparent() || slices.Contains(bp.Bridges, b.ID) {
				l.dirtyPorts[p.Number] = struct{}{}
			}
		}
	}
}

// membersOf gives the VLANs that a bridge port wants, or why it can have none.
func (l *loop) membersOf(bp *bridgePort) ([]member, string) {
	if bp.Transparent() {
		out := make([]member, 0, len(l.bridges))
		for _, b := range l.bridges {
			out = append(out, member{b.VLAN, b.Index})
		}
		return out, ""
	}
	var out []member
	for _, id := range bp.Bridges {
		b := l.byID[id]
		if b == nil {
			return nil, fmt.Sprintf("there is no logical bridge %s", id)
		}
		vlan := b.VLAN
		if bp.Type == intent.Access {
			vlan = 0
		}
		out = append(out, member{vlan, b.Index})
	}
	return out, ""
}

// attach gives the port's VLANs to its objects, the oldest first: one that
// wants what an older one has gets nothing.
func (l *loop) attach(p *port) {
	want := map[uint16]*attachment{}
	owner := map[uint16]*bridgePort{} // of each bridge
	for _, bp := range p.bound {
		bp.members, bp.reason = l.membersOf(bp)
		if bp.Serial == everywhere {
			bp.members = slices.DeleteFunc(bp.members, func(m member) bool {
				return want[m.vlan] != nil || owner[m.bridge] != nil
			})
		}
		for _, m := range bp.members {
			if a := want[m.vlan]; a != nil {
				bp.reason = fmt.Sprintf("VLAN %d of port %s belongs to bridge port %s", m.vlan, p.Name, a.by.ID)
			} else if o := owner[m.bridge]; o != nil {
				bp.reason = fmt.Sprintf("bridge port %s attaches port %s to the same bridge", o.ID, p.Name)
			}
		}
		if bp.reason != "" {
			bp.members = nil
		}
		for _, m := range bp.members {
			want[m.vlan] = &attachment{m.bridge, bp}
			owner[m.bridge] = bp
		}
	}
	old := p.attached
	p.attached = want
	for vlan, a := range old {
		if w := want[vlan]; w == nil || *w != *a {
			l.dirtyStaticMACs[a.bridge] = struct{}{}
		}
		if w := want[vlan]; w == nil || w.bridge != a.bridge {
			l.mark(p4.Member{Port: p.Number, VLAN: vlan})
			l.detachBridge(p, a.bridge, want)
		}
	}
	for vlan, a := range want {
		if o := old[vlan]; o == nil || o.bridge != a.bridge {
			l.mark(p4.Member{Port: p.Number, VLAN: vlan})
		}
		if o := old[vlan]; o == nil || *o != *a {
			l.dirtyStaticMACs[a.bridge] = struct{}{}
		}
		l.attachBridge(p, a.bridge, vlan)
	}
}

// attachBridge makes a port a member of a bridge; its frames leave with the tag.
func (l *loop) attachBridge(p *port, index, vlan uint16) {
	b := l.bridges[index]
	if old, ok := b.ports[p.Number]; ok && old == vlan {
		return
	}
	b.ports[p.Number] = vlan
	l.mark(p4.Snooped{Bridge: index})
	l.mark(p4.EgressVLAN{Port: p.Number, Bridge: index})
	l.mark(p4.Group{ID: index})
}

// detachBridge takes a port out of a bridge unless want still has it, and
// forgets what was learned there.
func (l *loop) detachBridge(p *port, index uint16, want map[uint16]*attachment) {
	for _, a := range want {
		if a.bridge == index {
			return
		}
	}
	l.mark(p4.EgressVLAN{Port: p.Number, Bridge: index})
	l.mark(p4.Group{ID: index})
	l.mark(p4.Snooped{Bridge: index})
	b := l.bridges[index]
	if b == nil {
		return
	}
	delete(b.ports, p.Number)
	l.leavePort(b, p.Number)
}

// bridgesOf yields the bridges that a port is in.
func (l *loop) bridgesOf(p *port) iter.Seq[uint16] {
	return func(yield func(uint16) bool) {
		for _, a := range p.attached {
			if l.bridges[a.bridge] != nil && !yield(a.bridge) {
				return
			}
		}
	}
}

// stacked reports whether the port carries frames with a tag of their own inside
// that of a VLAN; 0 is untagged.
func (p *port) stacked(vlan uint16) bool { return p.StackedTags && vlan != 0 }

func (l *loop) desiredMember(number, vlan uint16) entry {
	p := l.ports[number]
	if p == nil || p.attached[vlan] == nil {
		return nil
	}
	a := p.attached[vlan]
	b := l.bridges[a.bridge]
	trunk := vlan != 0
	return p4.Member{
		Port: number, VLAN: vlan, Bridge: a.bridge,
		Gateway: b != nil && b.svi != nil,
		Trusted: p.Trust == Trusted || p.Trust == TrustByType && trunk,
		Stacked: p.stacked(vlan),
		Guarded: p.SourceGuard,
	}
}

func (l *loop) desiredEgressVLAN(number, index uint16) entry {
	b := l.bridges[index]
	if b == nil {
		return nil
	}
	vlan, ok := b.ports[number]
	if !ok {
		return nil
	}
	return p4.EgressVLAN{Port: number, Bridge: index, VLAN: vlan, Stacked: l.ports[number].stacked(vlan)}
}
