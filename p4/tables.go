package p4

import (
	"net/netip"
	"time"

	"github.com/p4evpn/p4evpn/ether"
)

// BridgePort makes a port a tenant's (port.kind).
type BridgePort struct{ Port uint16 }

// Entry packs the entry.
func (b BridgePort) Entry() Entry {
	return Entry{b.Key(), pack(actionBridgePort).value()}
}

// Key packs the key alone.
func (b BridgePort) Key() Key { return pack(tablePort).u16(b.Port).key() }

// Uplink makes a port an uplink whose Linux side is HostPort (port.kind).
type Uplink struct{ Port, HostPort uint16 }

// Entry packs the entry.
func (u Uplink) Entry() Entry {
	return Entry{u.Key(), pack(actionUplink).u16(u.HostPort).value()}
}

// Key packs the key alone.
func (u Uplink) Key() Key { return pack(tablePort).u16(u.Port).key() }

// HostPort makes a port the Linux side of Uplink (port.kind).
type HostPort struct{ Port, Uplink uint16 }

// Entry packs the entry.
func (h HostPort) Entry() Entry {
	return Entry{h.Key(), pack(actionHost).u16(h.Uplink).value()}
}

// Key packs the key alone.
func (h HostPort) Key() Key { return pack(tablePort).u16(h.Port).key() }

// Member says which bridge the frames of a port and VLAN are for
// (bridge.vlan); VLAN 0 stands for untagged and priority-tagged frames.
type Member struct {
	Port, VLAN, Bridge uint16
	// Gateway: the bridge has one, and nobody behind the port may claim to be it.
	// Trusted: they may be routers and DHCP servers all the same.
	Gateway, Trusted bool
	// Stacked: the port carries frames with a tag of their own inside the VLAN's.
	Stacked bool
	// Guarded: stations behind the port send from their BoundSource addresses alone.
	Guarded bool
}

// Entry packs the entry.
func (m Member) Entry() Entry {
	action := uint32(actionMember)
	if m.Guarded {
		action = actionGuardedMember
	}
	return Entry{m.Key(), pack(action).u16(m.Bridge).bit(m.Gateway).bit(m.Trusted).bit(m.Stacked).value()}
}

// Key packs the key alone.
func (m Member) Key() Key { return pack(tableVLAN).u16(m.Port).u16(m.VLAN).key() }

// EgressVLAN says how a bridge's frames leave by a port (bridge.egress_vlan):
// tagged with VLAN, or untagged where that is 0. Frames with a tag of their own
// leave only by a VLAN that is Stacked.
type EgressVLAN struct {
	Port, Bridge, VLAN uint16
	Stacked            bool
}

// Entry packs the entry.
func (v EgressVLAN) Entry() Entry {
	if v.VLAN == 0 {
		return Entry{v.Key(), pack(actionUntagged).value()}
	}
	return Entry{v.Key(), pack(actionTagged).u16(v.VLAN).bit(v.Stacked).value()}
}

// Key packs the key alone.
func (v EgressVLAN) Key() Key { return pack(tableEgressVLAN).u16(v.Port).u16(v.Bridge).key() }

// RemoteVTEP lets VTEPs of an IPv4 prefix send to us (vxlan.peer); length 0 lets in
// all.
type RemoteVTEP struct{ Prefix netip.Prefix }

// Entry packs the entry.
func (p RemoteVTEP) Entry() Entry {
	return Entry{p.Key(), pack(actionAcceptPeer).value()}
}

// Key packs the key alone.
func (p RemoteVTEP) Key() Key {
	m := p.Prefix.Masked()
	return pack(tablePeer).ipv4(m.Addr()).u8(uint8(m.Bits())).key()
}

// LocalVTEP is one of our own IPv4 VTEP addresses (vxlan.local).
type LocalVTEP struct{ Address netip.Addr }

// Entry packs the entry.
func (l LocalVTEP) Entry() Entry {
	return Entry{l.Key(), pack(actionTerminate).value()}
}

// Key packs the key alone.
func (l LocalVTEP) Key() Key { return pack(tableLocal).ipv4(l.Address).key() }

// VNI says which bridge a VNI at one of our VTEP addresses is (vxlan.vni).
type VNI struct {
	Local  netip.Addr
	VNI    uint32
	Bridge uint16
}

// Entry packs the entry.
func (v VNI) Entry() Entry {
	return Entry{v.Key(), pack(actionToBridge).u16(v.Bridge).value()}
}

// Key packs the key alone.
func (v VNI) Key() Key { return pack(tableVNI).ipv4(v.Local).vni(v.VNI).key() }

// Verdict is what becomes of the frames of a source MAC.
type Verdict uint8

// Verdicts of bridge.source. What has no entry is forwarded and reported.
const (
	Known   Verdict = iota // forwarded
	Ignore                 // declined: forwarded, not reported again
	Discard                // declined: dropped
)

var verdictActions = [...]uint32{Known: actionKnown, Ignore: actionIgnore, Discard: actionDiscard}

// Source is a source MAC of a bridge port (bridge.source). It ages when
// IdleTimeout is not 0. Metadata is the controller's, kept by the target and
// answered on read-back.
type Source struct {
	Bridge      uint16
	MAC         ether.MAC
	Port        uint16
	Verdict     Verdict
	IdleTimeout time.Duration
	Metadata    string
}

// Entry packs the entry.
func (s Source) Entry() Entry {
	v := pack(verdictActions[s.Verdict]).u64(uint64(s.IdleTimeout))
	return Entry{s.Key(), Value(append(v, s.Metadata...))}
}

// Key packs the key alone.
func (s Source) Key() Key {
	return pack(tableSource).u16(s.Bridge).mac(s.MAC).u16(s.Port).key()
}

// FDBKind says what an FDB entry does with frames.
type FDBKind uint8

// Kinds of FDB entries.
const (
	ToPort FDBKind = iota
	ToVTEP
	Drop
)

// FDB says where a MAC of a bridge is (bridge.fdb): behind Port, or behind
// VTEP with the VNI that it asked for, by Kind.
type FDB struct {
	Bridge uint16
	MAC    ether.MAC
	Kind   FDBKind
	Port   uint16
	VTEP   uint16
	VNI    uint32
}

// Entry packs the entry.
func (f FDB) Entry() Entry {
	k := f.Key()
	switch f.Kind {
	case ToPort:
		return Entry{k, pack(actionToPort).u16(f.Port).value()}
	case ToVTEP:
		return Entry{k, pack(actionToVTEP).u16(f.VTEP).vni(f.VNI).value()}
	default:
		return Entry{k, pack(actionDrop).value()}
	}
}

// Key packs the key alone.
func (f FDB) Key() Key { return pack(tableFDB).u16(f.Bridge).mac(f.MAC).key() }

// Path is the uplink by which a VTEP is reached that one leads to, with the adjacency of
// its Tunnel (underlay.path). MTU is the largest tenant frame that fits, its Ethernet header
// included, in bytes.
type Path struct{ VTEP, Port, MTU uint16 }

// Entry packs the entry.
func (p Path) Entry() Entry {
	return Entry{p.Key(), pack(actionPath).u16(p.Port).u16(p.MTU).value()}
}

// Key packs the key alone.
func (p Path) Key() Key { return pack(tablePath).u16(p.VTEP).key() }

// Flows says by which group of uplinks a VTEP is reached that several lead to
// (underlay.flows). It comes before a Path.
type Flows struct{ VTEP, Group uint16 }

// Entry packs the entry.
func (f Flows) Entry() Entry {
	return Entry{f.Key(), pack(refersToGroup).u32(uint32(f.Group)).value()}
}

// Key packs the key alone.
func (f Flows) Key() Key { return pack(tableFlows).u16(f.VTEP).key() }

// Tunnel is the encapsulation towards a VTEP: outer IPv4 addresses (vxlan.tunnel).
// Adjacency and MTU are for replicas, and for all where there is a Path: the underlay
// hop, and the largest tenant frame that fits. 0 = there are none.
type Tunnel struct {
	VTEP                uint16
	Source, Destination netip.Addr
	Adjacency           uint16
	MTU                 uint16
}

// Entry packs the entry.
func (t Tunnel) Entry() Entry {
	return Entry{t.Key(), pack(actionEncap).ipv4(t.Source).ipv4(t.Destination).u16(t.Adjacency).u16(t.MTU).value()}
}

// Key packs the key alone.
func (t Tunnel) Key() Key { return pack(tableTunnel).u16(t.VTEP).key() }

// Adjacency holds the outer MACs of an underlay hop (underlay.adjacency).
type Adjacency struct {
	ID                  uint16
	Source, Destination ether.MAC
}

// Entry packs the entry.
func (a Adjacency) Entry() Entry {
	return Entry{a.Key(), pack(actionRewrite).mac(a.Source).mac(a.Destination).value()}
}

// Key packs the key alone.
func (a Adjacency) Key() Key { return pack(tableAdjacency).u16(a.ID).key() }

// Replica says which VTEP an instance of a bridge's group is for, and the VNI
// that it asked for (flood.replica).
type Replica struct {
	Bridge, Instance, VTEP uint16
	VNI                    uint32
}

// Entry packs the entry.
func (r Replica) Entry() Entry {
	return Entry{r.Key(), pack(actionReplica).u16(r.VTEP).vni(r.VNI).value()}
}

// Key packs the key alone.
func (r Replica) Key() Key { return pack(tableReplica).u16(r.Bridge).u16(r.Instance).key() }

// Origins that a Trap can tell apart.
const (
	OriginBridge = 1 // came by a bridge port
	OriginVXLAN  = 2 // came from a VTEP
)

// Trap sends frames of bridges to the controller (punt.trap): a copy, or the
// frame itself where Divert is set. A field that is zero matches anything.
type Trap struct {
	Bridge     uint16
	EtherType  uint16
	MAC        ether.MAC
	ICMPv6Type uint8
	Origin     uint8
	Priority   int32 // above 0; the highest wins
	Divert     bool
	Reason     PuntReason // answered in PacketIn
}

// Entry packs the entry.
func (t Trap) Entry() Entry {
	a := uint32(actionCopy)
	if t.Divert {
		a = actionDivert
	}
	return Entry{t.Key(), pack(a).u8(uint8(t.Reason)).value()}
}

// Key packs the key alone.
func (t Trap) Key() Key {
	k := pack(tableTrap).ternary(t.Bridge, maskUnlessZero(t.Bridge)).ternary(t.EtherType,
		maskUnlessZero(t.EtherType)).mac(t.MAC)
	if t.MAC.IsZero() {
		k = k.mac(ether.MAC{})
	} else {
		k = k.mac(ether.Broadcast)
	}
	k = k.u8(t.ICMPv6Type).u8(byte(maskUnlessZero(uint16(t.ICMPv6Type))))
	k = k.u8(t.Origin).u8(byte(maskUnlessZero(uint16(t.Origin)) & 7))
	return k.u32(uint32(t.Priority)).key()
}

func maskUnlessZero(v uint16) uint16 {
	if v == 0 {
		return 0
	}
	return 0xffff
}
