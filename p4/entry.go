package p4

import (
	"encoding/binary"
	"errors"
	"fmt"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
)

// Key says which entity of the target an Entry is: packed, comparable, usable
// as a map key. Its first four bytes are the table's P4Info id, or one of the
// kinds below; the rest is the match fields, each in its full width.
type Key string

// Value is what the entity holds: the action's id and its parameters, then for
// tables that age the idle timeout, then the metadata of P4Runtime section
// 9.1; or the members of a multicast group.
type Value string

// Entry is one entity of the target, desired or read back: a plain comparable
// value.
type Entry struct {
	Key   Key
	Value Value
}

// Kinds of keys that are no table's; their top byte is no P4Info prefix that
// tables have.
const (
	kindGroup        = 0xf0000001
	kindCloneSession = 0xf0000002
	// kindSelectorGroup is followed by the id of the action profile.
	kindSelectorGroup = 0xf0000003
)

// What stands in a Value for the action's id where a table has an action profile: the id of
// a member, or of a group, follows. No P4Info id has their top byte.
const (
	refersToMember = 0xf1000001
	refersToGroup  = 0xf1000002
)

// errForeign says that an entity is not one that this program can hold.
var errForeign = errors.New("not an entity of this program")

// ID is the P4Info id of the key's table, or a number that is none.
func (k Key) ID() uint32 {
	if len(k) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32([]byte(k[:4]))
}

// action is the id of a table entry's action.
func (v Value) action() uint32 { return binary.BigEndian.Uint32([]byte(v[:4])) }

// Table is the P4Info name of the key's table, such as "bridge.fdb", or
// "multicast_group" or "clone_session".
func (k Key) Table() string {
	switch id := k.ID(); id {
	case kindGroup:
		return "multicast_group"
	case kindCloneSession:
		return "clone_session"
	case kindSelectorGroup:
		return "action_selector_group"
	default:
		if program().profiles[id] != "" {
			return "action_profile_member"
		}
		if t := program().tables[id]; t != nil {
			return t.name
		}
		return fmt.Sprintf("table_%#x", id)
	}
}

// Entity makes the P4Runtime message. It panics on an Entry that was made
// neither by this package's types nor by FromEntity: that is a programming
// error.
func (e Entry) Entity() *p4v1.Entity {
	switch e.Key.ID() {
	case kindGroup:
		return e.groupEntity()
	case kindCloneSession:
		return e.cloneEntity()
	case kindSelectorGroup:
		return e.selectorGroupEntity()
	case profileUplinks, profileNextHops:
		return e.memberEntity()
	default:
		return e.tableEntity()
	}
}

func (e Entry) tableEntity() *p4v1.Entity {
	ent := &p4v1.Entity{}
	if err := proto.Unmarshal(e.AppendEntity(nil), ent); err != nil {
		panic(fmt.Sprintf("p4: entry %x %x: %v", string(e.Key), string(e.Value), err))
	}
	return ent
}

// FromEntity reads an entity that a target answered. What the program cannot
// hold is errForeign.
func FromEntity(ent *p4v1.Entity) (Entry, error) {
	switch v := ent.GetEntity().(type) {
	case *p4v1.Entity_TableEntry:
		return fromTableEntry(v.TableEntry)
	case *p4v1.Entity_ActionProfileMember:
		return fromMember(v.ActionProfileMember)
	case *p4v1.Entity_ActionProfileGroup:
		return fromSelectorGroup(v.ActionProfileGroup)
	case *p4v1.Entity_PacketReplicationEngineEntry:
		switch r := v.PacketReplicationEngineEntry.GetType().(type) {
		case *p4v1.PacketReplicationEngineEntry_MulticastGroupEntry:
			return fromGroup(r.MulticastGroupEntry)
		case *p4v1.PacketReplicationEngineEntry_CloneSessionEntry:
			return fromCloneSession(r.CloneSessionEntry)
		}
	}
	return Entry{}, fmt.Errorf("entity of type %T: %w", ent.GetEntity(), errForeign)
}

func fromTableEntry(te *p4v1.TableEntry) (Entry, error) {
	t := program().tables[te.GetTableId()]
	if t == nil {
		return Entry{}, fmt.Errorf("table id %#x: %w", te.GetTableId(), errForeign)
	}
	if te.GetIsDefaultAction() {
		return Entry{}, fmt.Errorf("table %s: default entry: %w", t.name, errForeign)
	}
	key, err := t.packKey(te)
	if err != nil {
		return Entry{}, fmt.Errorf("table %s: %w", t.name, err)
	}
	val, err := t.packValue(te)
	if err != nil {
		return Entry{}, fmt.Errorf("table %s: %w", t.name, err)
	}
	return Entry{Key(key), Value(val)}, nil
}

func (t *tableLayout) packKey(te *p4v1.TableEntry) ([]byte, error) {
	key := binary.BigEndian.AppendUint32(make([]byte, 0, t.keySize()), t.id)
	for _, f := range t.fields {
		var m *p4v1.FieldMatch
		for _, c := range te.GetMatch() {
			if c.GetFieldId() == f.id {
				m = c
			}
		}
		var err error
		if key, err = f.pack(key, m); err != nil {
			return nil, err
		}
	}
	if t.ternary {
		key = binary.BigEndian.AppendUint32(key, uint32(te.GetPriority()))
	}
	return key, nil
}

// pack appends the match m of field f, nil for "don't care", to key.
func (f field) pack(key []byte, m *p4v1.FieldMatch) ([]byte, error) {
	switch f.match {
	case p4configv1.MatchField_LPM:
		n := m.GetLpm().GetPrefixLen()
		if n < 0 || int(n) > f.bits {
			return nil, fmt.Errorf("field %s: prefix length %d of %d bits", f.name, n, f.bits)
		}
		key, err := f.widen(key, m.GetLpm().GetValue())
		for i, host := len(key)-1, f.bits-int(n); err == nil && host > 0; i, host = i-1, host-8 {
			key[i] &= 0xff << min(host, 8) // what is behind the prefix says nothing
		}
		return append(key, byte(n)), err
	case p4configv1.MatchField_TERNARY:
		at := len(key)
		key, err := f.widen(key, m.GetTernary().GetValue())
		if err != nil {
			return nil, err
		}
		size := len(key) - at
		if key, err = f.widen(key, m.GetTernary().GetMask()); err != nil {
			return nil, err
		}
		for i := range size { // what is masked out says nothing
			key[at+i] &= key[at+size+i]
		}
		return key, nil
	}
	if m.GetExact() == nil {
		return nil, fmt.Errorf("field %s: no exact match: %w", f.name, errForeign)
	}
	return f.widen(key, m.GetExact().GetValue())
}

func (t *tableLayout) packValue(te *p4v1.TableEntry) ([]byte, error) {
	var val []byte
	switch a := te.GetAction().GetType().(type) {
	case *p4v1.TableAction_ActionProfileMemberId:
		val = pack(refersToMember).u32(a.ActionProfileMemberId)
	case *p4v1.TableAction_ActionProfileGroupId:
		val = pack(refersToGroup).u32(a.ActionProfileGroupId)
	default:
		var err error
		if val, err = packAction(te.GetAction().GetAction()); err != nil {
			return nil, err
		}
	}
	if t.ageing {
		val = binary.BigEndian.AppendUint64(val, uint64(te.GetIdleTimeoutNs()))
	}
	return append(val, te.GetMetadata()...), nil
}

// packAction packs an action's id and its parameters.
func packAction(action *p4v1.Action) ([]byte, error) {
	a := program().actions[action.GetActionId()]
	if a == nil {
		return nil, fmt.Errorf("action id %#x: %w", action.GetActionId(), errForeign)
	}
	val := binary.BigEndian.AppendUint32(make([]byte, 0, 16), a.id)
	if len(action.GetParams()) != len(a.params) {
		return nil, fmt.Errorf("action %s with %d parameters: %w", a.name, len(action.GetParams()), errForeign)
	}
	for _, f := range a.params {
		var v []byte
		for _, p := range action.GetParams() {
			if p.GetParamId() == f.id {
				v = p.GetValue()
			}
		}
		var err error
		if val, err = f.widen(val, v); err != nil {
			return nil, fmt.Errorf("action %s: %w", a.name, err)
		}
	}
	return val, nil
}
