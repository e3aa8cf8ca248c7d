package p4

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/ether"
)

// Slots is how many slots a group of an action selector has. Targets choose the slot by
// a hash of the flow and the number of slots: so that a flow stays where it is, a group has
// all its slots for as long as it lives, and only what is in them changes.
const Slots = 64

// UplinkSlot is one way to VTEPs: a member of the action profile underlay.uplinks. The
// flows that choose the slot leave by Port, towards Adjacency. MTU is the largest tenant
// frame that fits, its Ethernet header included, in bytes.
type UplinkSlot struct {
	Group uint16
	Slot  uint8 // below Slots

	Port, Adjacency, MTU uint16
}

// Entry packs the entry.
func (s UplinkSlot) Entry() Entry {
	return Entry{s.Key(), pack(actionHop).u16(s.Port).u16(s.Adjacency).u16(s.MTU).value()}
}

// Key packs the key alone.
func (s UplinkSlot) Key() Key { return pack(profileUplinks).u32(slotID(s.Group, s.Slot)).key() }

// UplinkGroup has flows choose among its slots, all Slots of them (underlay.uplinks).
type UplinkGroup struct{ ID uint16 }

// Entry packs the entry.
func (g UplinkGroup) Entry() Entry {
	return Entry{g.Key(), groupOfSlots(g.ID)}
}

// Key packs the key alone.
func (g UplinkGroup) Key() Key {
	return pack(kindSelectorGroup).u32(profileUplinks).u32(uint32(g.ID)).key()
}

// NextHopSlot is one router that packets of some prefixes are sent to: a member of the action
// profile router.next_hops. The flows that choose the slot go to the router behind VTEP, by
// an L3 VNI; our router MAC is Source, its own Destination.
type NextHopSlot struct {
	Group uint16
	Slot  uint8 // below Slots

	VTEP                uint16
	VNI                 uint32
	Source, Destination ether.MAC
}

// Entry packs the entry.
func (s NextHopSlot) Entry() Entry {
	return Entry{s.Key(), pack(actionRouteVTEP).u16(s.VTEP).vni(s.VNI).mac(s.Source).mac(s.Destination).value()}
}

// Key packs the key alone.
func (s NextHopSlot) Key() Key { return pack(profileNextHops).u32(slotID(s.Group, s.Slot)).key() }

// NextHopGroup has flows choose among its slots, all Slots of them (router.next_hops).
type NextHopGroup struct{ ID uint16 }

// Entry packs the entry.
func (g NextHopGroup) Entry() Entry { return Entry{g.Key(), groupOfSlots(g.ID)} }

// Key packs the key alone.
func (g NextHopGroup) Key() Key {
	return pack(kindSelectorGroup).u32(profileNextHops).u32(uint32(g.ID)).key()
}

// slotID is the member id of a slot. Groups begin at 1.
func slotID(group uint16, slot uint8) uint32 { return uint32(group)*Slots + uint32(slot) }

func slotOf(member uint32) (group uint16, slot uint8) {
	return uint16(member / Slots), uint8(member % Slots)
}

// groupOfSlots is the value of a group that has its slots: the most members that it may
// have, then each with its weight.
func groupOfSlots(id uint16) Value {
	v := pack(Slots)
	for slot := range uint8(Slots) {
		v = v.u32(slotID(id, slot)).u32(1)
	}
	return v.value()
}

// Selector is what a program's P4Info says of an action selector.
type Selector struct {
	Members int // that its groups have together
	Group   int // members of one group; 0 = there are no groups
	Entries int // of the table that may refer to groups
}

// Uplinks is the selector of the uplinks of VTEPs in a program: one without groups if
// there is only an action profile.
func Uplinks(info *p4configv1.P4Info) Selector { return selectorOf(info, profileUplinks) }

// NextHops is the selector of the next hops of routes, as Uplinks is that of VTEPs.
func NextHops(info *p4configv1.P4Info) Selector { return selectorOf(info, profileNextHops) }

func selectorOf(info *p4configv1.P4Info, id uint32) Selector {
	for _, p := range info.GetActionProfiles() {
		if p.GetPreamble().GetId() != id {
			continue
		}
		s := Selector{Members: int(p.GetSize()), Group: int(p.GetMaxGroupSize())}
		switch {
		case !p.GetWithSelector():
			s.Group = 0
		case s.Group == 0: // no bound (P4Info, ActionProfile.max_group_size)
			s.Group = s.Members
		}
		for _, t := range info.GetTables() {
			if t.GetImplementationId() == id {
				s.Entries += int(t.GetSize())
			}
		}
		return s
	}
	return Selector{}
}

// memberEntity makes the message of a slot.
func (e Entry) memberEntity() *p4v1.Entity {
	a := program().actions[e.Value.action()]
	action := &p4v1.Action{ActionId: a.id}
	val := []byte(e.Value[4:])
	for _, f := range a.params {
		action.Params = append(action.Params, &p4v1.Action_Param{ParamId: f.id, Value: canonical(val[:f.bytes])})
		val = val[f.bytes:]
	}
	return &p4v1.Entity{Entity: &p4v1.Entity_ActionProfileMember{ActionProfileMember: &p4v1.ActionProfileMember{
		ActionProfileId: e.Key.ID(), MemberId: binary.BigEndian.Uint32([]byte(e.Key[4:])), Action: action,
	}}}
}

// selectorGroupEntity makes the message of a selector's group.
func (e Entry) selectorGroupEntity() *p4v1.Entity {
	g := &p4v1.ActionProfileGroup{
		ActionProfileId: binary.BigEndian.Uint32([]byte(e.Key[4:8])), GroupId: binary.BigEndian.Uint32([]byte(e.Key[8:])),
	}
	v := unpacker(e.Value)
	for g.MaxSize = int32(v.u32()); len(v) >= 8; {
		g.Members = append(g.Members, &p4v1.ActionProfileGroup_Member{MemberId: v.u32(), Weight: int32(v.u32())})
	}
	return &p4v1.Entity{Entity: &p4v1.Entity_ActionProfileGroup{ActionProfileGroup: g}}
}

func fromMember(m *p4v1.ActionProfileMember) (Entry, error) {
	id := m.GetActionProfileId()
	if program().profiles[id] == "" || m.GetMemberId() >= Slots<<16 {
		return Entry{}, fmt.Errorf("member %d of action profile id %#x: %w", m.GetMemberId(), id, errForeign)
	}
	val, err := packAction(m.GetAction())
	if err != nil {
		return Entry{}, fmt.Errorf("member %d of action profile id %#x: %w", m.GetMemberId(), id, err)
	}
	return Entry{pack(id).u32(m.GetMemberId()).key(), Value(val)}, nil
}

func fromSelectorGroup(g *p4v1.ActionProfileGroup) (Entry, error) {
	id := g.GetActionProfileId()
	if program().profiles[id] == "" || g.GetGroupId() > 0xffff {
		return Entry{}, fmt.Errorf("group %d of action profile id %#x: %w", g.GetGroupId(), id, errForeign)
	}
	members := slices.SortedFunc(slices.Values(g.GetMembers()), func(a, b *p4v1.ActionProfileGroup_Member) int {
		return cmp.Compare(a.GetMemberId(), b.GetMemberId())
	})
	v := pack(uint32(g.GetMaxSize()))
	for _, m := range members {
		v = v.u32(m.GetMemberId()).u32(uint32(m.GetWeight()))
	}
	return Entry{pack(kindSelectorGroup).u32(id).u32(g.GetGroupId()).key(), v.value()}, nil
}

// writeMembers writes the members of a selector's group, a run of them in short.
func writeMembers(b interface{ WriteString(string) (int, error) }, v unpacker) {
	v.u32()
	for len(v) >= 8 {
		first, weight := v.u32(), v.u32()
		last := first
		for next := v; len(next) >= 8 && next.u32() == last+1 && next.u32() == weight; v = next {
			last++
		}
		_, _ = b.WriteString(fmt.Sprintf(" %d", first))
		if last > first {
			_, _ = b.WriteString(fmt.Sprintf("..%d", last))
		}
		if weight != 1 {
			_, _ = b.WriteString(fmt.Sprintf("*%d", weight))
		}
	}
}
