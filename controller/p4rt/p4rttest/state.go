package p4rttest

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// State is the entities of a target, by identity.
type State struct {
	entries map[string]*p4v1.Entity
	tables  map[uint32]int // entries by table
	members map[uint32]int // by action profile
}

// Get gives the entity with the identity of e, nil if there is none.
func (s *State) Get(e *p4v1.Entity) *p4v1.Entity { return s.entries[Identity(e)] }

// All gives the table entries, members and groups of action profiles, multicast groups and
// clone sessions in no order.
// Default entries and digest configurations are not among them.
func (s *State) All() iter.Seq[*p4v1.Entity] {
	return func(yield func(*p4v1.Entity) bool) {
		for _, e := range s.entries {
			if e.GetDigestEntry() == nil && !e.GetTableEntry().GetIsDefaultAction() && !yield(e) {
				return
			}
		}
	}
}

// Len is how many entities All gives.
func (s *State) Len() int {
	n := 0
	for range s.All() {
		n++
	}
	return n
}

// Identity gives what P4Runtime identifies an entity by, as text: two entities
// with the same one cannot both be on a target.
func Identity(e *p4v1.Entity) string {
	switch e := e.GetEntity().(type) {
	case *p4v1.Entity_TableEntry:
		return tableIdentity(e.TableEntry)
	case *p4v1.Entity_PacketReplicationEngineEntry:
		switch r := e.PacketReplicationEngineEntry.GetType().(type) {
		case *p4v1.PacketReplicationEngineEntry_MulticastGroupEntry:
			return fmt.Sprintf("group %08x", r.MulticastGroupEntry.GetMulticastGroupId())
		case *p4v1.PacketReplicationEngineEntry_CloneSessionEntry:
			return fmt.Sprintf("session %08x", r.CloneSessionEntry.GetSessionId())
		}
	case *p4v1.Entity_ActionProfileMember:
		m := e.ActionProfileMember
		return fmt.Sprintf("member %08x %08x", m.GetActionProfileId(), m.GetMemberId())
	case *p4v1.Entity_ActionProfileGroup:
		g := e.ActionProfileGroup
		return fmt.Sprintf("selector %08x %08x", g.GetActionProfileId(), g.GetGroupId())
	case *p4v1.Entity_DigestEntry:
		return fmt.Sprintf("digest %08x", e.DigestEntry.GetDigestId())
	}
	return fmt.Sprintf("other %v", e)
}

func tableIdentity(t *p4v1.TableEntry) string {
	var b strings.Builder
	fmt.Fprintf(&b, "table %08x", t.GetTableId())
	if t.GetIsDefaultAction() {
		b.WriteString(" default")
		return b.String()
	}
	match := slices.SortedFunc(slices.Values(t.GetMatch()), func(a, b *p4v1.FieldMatch) int {
		return int(a.GetFieldId()) - int(b.GetFieldId())
	})
	for _, m := range match {
		fmt.Fprintf(&b, " %d:", m.GetFieldId())
		switch m := m.GetFieldMatchType().(type) {
		case *p4v1.FieldMatch_Exact_:
			fmt.Fprintf(&b, "%x", m.Exact.GetValue())
		case *p4v1.FieldMatch_Lpm:
			fmt.Fprintf(&b, "%x/%d", m.Lpm.GetValue(), m.Lpm.GetPrefixLen())
		case *p4v1.FieldMatch_Ternary_:
			fmt.Fprintf(&b, "%x&%x", m.Ternary.GetValue(), m.Ternary.GetMask())
		case *p4v1.FieldMatch_Range_:
			fmt.Fprintf(&b, "%x..%x", m.Range.GetLow(), m.Range.GetHigh())
		case *p4v1.FieldMatch_Optional_:
			fmt.Fprintf(&b, "=%x", m.Optional.GetValue())
		}
	}
	fmt.Fprintf(&b, " @%d", t.GetPriority())
	return b.String()
}

func compare(a, b string) int { return strings.Compare(a, b) }

// check reports whether the target can execute an update that is valid in itself.
func (s *State) check(u *p4v1.Update, sch *schema) error {
	t := u.GetEntity().GetTableEntry()
	if t.GetIsDefaultAction() {
		return nil // schema.check allows MODIFY only
	}
	have := s.Get(u.GetEntity()) != nil
	switch {
	case u.GetType() == p4v1.Update_INSERT && have:
		return status.Error(codes.AlreadyExists, "Match entry exists, use MODIFY if you wish to change action")
	case u.GetType() != p4v1.Update_INSERT && !have:
		return status.Error(codes.NotFound, "Cannot find match entry")
	case u.GetType() == p4v1.Update_INSERT && t != nil && s.tables[t.GetTableId()] >= int(sch.tables[t.GetTableId()].size):
		return status.Error(codes.Unknown, "Error when adding match entry to target") // BMv2's way to say full
	}
	return s.checkProfiles(u, sch)
}

func (s *State) apply(u *p4v1.Update) {
	e := u.GetEntity()
	if u.GetType() == p4v1.Update_DELETE || e.GetTableEntry().GetIsDefaultAction() &&
		e.GetTableEntry().GetAction() == nil {
		s.remove(e)
		return
	}
	s.put(e)
}

func (s *State) put(e *p4v1.Entity) {
	key := Identity(e)
	if t := e.GetTableEntry(); t != nil && !t.GetIsDefaultAction() && s.entries[key] == nil {
		s.tables[t.GetTableId()]++
	}
	if m := e.GetActionProfileMember(); m != nil && s.entries[key] == nil {
		s.members[m.GetActionProfileId()]++
	}
	s.entries[key] = e
}

func (s *State) remove(e *p4v1.Entity) {
	key := Identity(e)
	if t := e.GetTableEntry(); t != nil && !t.GetIsDefaultAction() && s.entries[key] != nil {
		s.tables[t.GetTableId()]--
	}
	if m := e.GetActionProfileMember(); m != nil && s.entries[key] != nil {
		s.members[m.GetActionProfileId()]--
	}
	delete(s.entries, key)
}

// read gives what matches want: P4Runtime 11.1.
func (s *State) read(want *p4v1.Entity) ([]*p4v1.Entity, error) {
	var same func(e *p4v1.Entity) bool
	one := false // want is one entity, not a wildcard
	switch w := want.GetEntity().(type) {
	case *p4v1.Entity_TableEntry:
		id := w.TableEntry.GetTableId()
		one = len(w.TableEntry.GetMatch()) > 0 || w.TableEntry.GetIsDefaultAction()
		same = func(e *p4v1.Entity) bool {
			t := e.GetTableEntry()
			return t != nil && !t.GetIsDefaultAction() && (id == 0 || t.GetTableId() == id)
		}
	case *p4v1.Entity_PacketReplicationEngineEntry:
		switch r := w.PacketReplicationEngineEntry.GetType().(type) {
		case *p4v1.PacketReplicationEngineEntry_MulticastGroupEntry:
			one = r.MulticastGroupEntry.GetMulticastGroupId() != 0
			same = func(e *p4v1.Entity) bool {
				return e.GetPacketReplicationEngineEntry().GetMulticastGroupEntry() != nil
			}
		case *p4v1.PacketReplicationEngineEntry_CloneSessionEntry:
			one = r.CloneSessionEntry.GetSessionId() != 0
			same = func(e *p4v1.Entity) bool {
				return e.GetPacketReplicationEngineEntry().GetCloneSessionEntry() != nil
			}
		}
	case *p4v1.Entity_ActionProfileMember:
		id := w.ActionProfileMember.GetActionProfileId()
		one = w.ActionProfileMember.GetMemberId() != 0
		same = func(e *p4v1.Entity) bool {
			m := e.GetActionProfileMember()
			return m != nil && (id == 0 || m.GetActionProfileId() == id)
		}
	case *p4v1.Entity_ActionProfileGroup:
		id := w.ActionProfileGroup.GetActionProfileId()
		one = w.ActionProfileGroup.GetGroupId() != 0
		same = func(e *p4v1.Entity) bool {
			g := e.GetActionProfileGroup()
			return g != nil && (id == 0 || g.GetActionProfileId() == id)
		}
	case *p4v1.Entity_DigestEntry:
		one = w.DigestEntry.GetDigestId() != 0
		same = func(e *p4v1.Entity) bool { return e.GetDigestEntry() != nil }
	}
	if same == nil {
		return nil, status.Errorf(codes.Unimplemented, "p4rttest: read of %v", want)
	}
	if one {
		if e := s.Get(want); e != nil {
			return []*p4v1.Entity{e}, nil
		}
		return nil, nil
	}
	var found []*p4v1.Entity
	for _, e := range s.entries {
		if same(e) {
			found = append(found, e)
		}
	}
	return found, nil
}
