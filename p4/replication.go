package p4

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
)

// Group is the multicast group of a bridge, whose id it has.
type Group struct {
	ID      uint16
	Members []GroupMember
}

// GroupMember is one replica: the port it leaves by and its instance.
type GroupMember struct {
	Port, Instance uint16
}

// Entry packs the group; the order of its members makes no difference.
func (g Group) Entry() Entry {
	members := slices.Clone(g.Members)
	slices.SortFunc(members, func(a, b GroupMember) int {
		return cmp.Or(cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Port, b.Port))
	})
	val := make([]byte, 0, 4*len(members))
	for _, m := range members {
		val = binary.BigEndian.AppendUint16(val, m.Port)
		val = binary.BigEndian.AppendUint16(val, m.Instance)
	}
	return Entry{g.Key(), Value(val)}
}

// Key packs the key alone.
func (g Group) Key() Key { return replicationKey(kindGroup, uint32(g.ID)) }

// CloneSession sends what the pipeline clones to session ID out of Port.
type CloneSession struct {
	ID   uint32
	Port uint16
}

// Entry packs the session.
func (c CloneSession) Entry() Entry {
	return Entry{c.Key(), Value(binary.BigEndian.AppendUint16(nil, c.Port))}
}

// Key packs the key alone.
func (c CloneSession) Key() Key { return replicationKey(kindCloneSession, c.ID) }

func replicationKey(kind, id uint32) Key {
	return Key(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(make([]byte, 0, 8), kind), id))
}

func groupMembers(v []byte) []GroupMember {
	members := make([]GroupMember, 0, len(v)/4)
	for ; len(v) >= 4; v = v[4:] {
		members = append(members, GroupMember{binary.BigEndian.Uint16(v), binary.BigEndian.Uint16(v[2:])})
	}
	return members
}

func (e Entry) groupEntity() *p4v1.Entity {
	g := &p4v1.MulticastGroupEntry{MulticastGroupId: binary.BigEndian.Uint32([]byte(e.Key[4:]))}
	for _, m := range groupMembers([]byte(e.Value)) {
		g.Replicas = append(g.Replicas, replica(m.Port, m.Instance))
	}
	return preEntity(&p4v1.PacketReplicationEngineEntry{
		Type: &p4v1.PacketReplicationEngineEntry_MulticastGroupEntry{MulticastGroupEntry: g},
	})
}

func (e Entry) cloneEntity() *p4v1.Entity {
	port := binary.BigEndian.Uint16([]byte(e.Value))
	return preEntity(&p4v1.PacketReplicationEngineEntry{
		Type: &p4v1.PacketReplicationEngineEntry_CloneSessionEntry{CloneSessionEntry: &p4v1.CloneSessionEntry{
			SessionId: binary.BigEndian.Uint32([]byte(e.Key[4:])),
			Replicas:  []*p4v1.Replica{replica(port, LocalInstance)},
		}},
	})
}

func preEntity(p *p4v1.PacketReplicationEngineEntry) *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_PacketReplicationEngineEntry{PacketReplicationEngineEntry: p}}
}

// replica names the port by the number that P4Runtime had before its byte
// string form, since only late versions of PI know the other.
func replica(port, instance uint16) *p4v1.Replica {
	return &p4v1.Replica{PortKind: &p4v1.Replica_EgressPort{EgressPort: uint32(port)}, Instance: uint32(instance)}
}

func replicaPort(r *p4v1.Replica) (uint16, error) {
	//lint:ignore SA1019 PI answers it
	port := uint64(r.GetEgressPort())
	if b := canonical(r.GetPort()); len(b) > 2 {
		return 0, fmt.Errorf("replica port %#x: %w", b, errForeign)
	} else if len(b) > 0 {
		for _, c := range b {
			port = port<<8 | uint64(c)
		}
	}
	if port > 0xffff || r.GetInstance() > 0xffff {
		return 0, fmt.Errorf("replica of port %d, instance %d: %w", port, r.GetInstance(), errForeign)
	}
	return uint16(port), nil
}

func fromGroup(g *p4v1.MulticastGroupEntry) (Entry, error) {
	if g.GetMulticastGroupId() > 0xffff {
		return Entry{}, fmt.Errorf("multicast group %d: %w", g.GetMulticastGroupId(), errForeign)
	}
	group := Group{ID: uint16(g.GetMulticastGroupId())}
	for _, r := range g.GetReplicas() {
		port, err := replicaPort(r)
		if err != nil {
			return Entry{}, fmt.Errorf("multicast group %d: %w", group.ID, err)
		}
		group.Members = append(group.Members, GroupMember{port, uint16(r.GetInstance())})
	}
	return group.Entry(), nil
}

func fromCloneSession(c *p4v1.CloneSessionEntry) (Entry, error) {
	if len(c.GetReplicas()) != 1 {
		return Entry{}, fmt.Errorf("clone session %d with %d replicas: %w", c.GetSessionId(), len(c.GetReplicas()),
			errForeign)
	}
	port, err := replicaPort(c.GetReplicas()[0])
	if err != nil {
		return Entry{}, fmt.Errorf("clone session %d: %w", c.GetSessionId(), err)
	}
	return CloneSession{ID: c.GetSessionId(), Port: port}.Entry(), nil
}
