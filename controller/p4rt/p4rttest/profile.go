package p4rttest

import (
	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// profile is an action profile of the P4Info (P4Runtime 9.2).
type profile struct {
	name     string
	selector bool
	size     int64
	maxGroup int32
	actions  map[uint32]p4configv1.ActionRef_Scope // of its tables
}

func newProfiles(info *p4configv1.P4Info, tables map[uint32]*table) map[uint32]*profile {
	profiles := map[uint32]*profile{}
	for _, p := range info.GetActionProfiles() {
		n := &profile{
			name: p.GetPreamble().GetName(), selector: p.GetWithSelector(), size: p.GetSize(),
			maxGroup: p.GetMaxGroupSize(), actions: map[uint32]p4configv1.ActionRef_Scope{},
		}
		for _, id := range p.GetTableIds() {
			if t := tables[id]; t != nil {
				t.profile, n.actions = p.GetPreamble().GetId(), t.actions
			}
		}
		profiles[p.GetPreamble().GetId()] = n
	}
	return profiles
}

func (s *schema) checkMember(typ p4v1.Update_Type, m *p4v1.ActionProfileMember) error {
	p := s.profiles[m.GetActionProfileId()]
	switch {
	case p == nil:
		return invalid("no action profile %#x in the P4Info", m.GetActionProfileId())
	case m.GetMemberId() == 0:
		return invalid("%s: 0 is not a valid member id", p.name)
	case typ == p4v1.Update_DELETE:
		return nil
	case m.GetAction() == nil:
		return invalid("%s: member %d has no action", p.name, m.GetMemberId())
	}
	return s.checkAction(&table{name: p.name, actions: p.actions}, m.GetAction(), false)
}

func (s *schema) checkSelectorGroup(typ p4v1.Update_Type, g *p4v1.ActionProfileGroup) error {
	p := s.profiles[g.GetActionProfileId()]
	switch {
	case p == nil || !p.selector:
		return invalid("no action selector %#x in the P4Info", g.GetActionProfileId())
	case g.GetGroupId() == 0:
		return invalid("%s: 0 is not a valid group id", p.name)
	case typ == p4v1.Update_DELETE:
		return nil
	case g.GetMaxSize() < 0 || p.maxGroup > 0 && (g.GetMaxSize() == 0 || g.GetMaxSize() > p.maxGroup):
		return invalid("%s: max_size %d, where max_group_size is %d", p.name, g.GetMaxSize(), p.maxGroup)
	}
	seen, size := map[uint32]bool{}, int32(0)
	for _, m := range g.GetMembers() {
		switch {
		case seen[m.GetMemberId()]:
			return invalid("%s: member %d is twice in a group", p.name, m.GetMemberId())
		case m.GetWeight() < 1:
			return invalid("%s: weight %d", p.name, m.GetWeight())
		case m.GetWatchKind() != nil:
			return status.Errorf(codes.Internal, "%s: BMv2 does not take a watch port", p.name)
		}
		seen[m.GetMemberId()] = true
		size += m.GetWeight()
	}
	if g.GetMaxSize() > 0 && size > g.GetMaxSize() {
		return status.Errorf(codes.ResourceExhausted, "%s: a group of %d, max_size %d", p.name, size, g.GetMaxSize())
	}
	return nil
}

// checkReference checks the action of an entry of a table with an action profile.
func (s *schema) checkReference(t *table, a *p4v1.TableAction) error {
	switch a := a.GetType().(type) {
	case *p4v1.TableAction_ActionProfileMemberId:
		if a.ActionProfileMemberId != 0 {
			return nil
		}
	case *p4v1.TableAction_ActionProfileGroupId:
		if a.ActionProfileGroupId != 0 && s.profiles[t.profile].selector {
			return nil
		}
	}
	return invalid("%s: it has an action profile: want a member or a group, have %v", t.name, a)
}

// member and group name what others refer to.
func member(profile, id uint32) *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_ActionProfileMember{
		ActionProfileMember: &p4v1.ActionProfileMember{ActionProfileId: profile, MemberId: id},
	}}
}

func selectorGroup(profile, id uint32) *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_ActionProfileGroup{
		ActionProfileGroup: &p4v1.ActionProfileGroup{ActionProfileId: profile, GroupId: id},
	}}
}

// references gives what an entity refers to in its action profile.
func (s *schema) references(e *p4v1.Entity) (refs []*p4v1.Entity) {
	if t := e.GetTableEntry(); t != nil && s.tables[t.GetTableId()] != nil {
		profile := s.tables[t.GetTableId()].profile
		switch a := t.GetAction().GetType().(type) {
		case *p4v1.TableAction_ActionProfileMemberId:
			refs = append(refs, member(profile, a.ActionProfileMemberId))
		case *p4v1.TableAction_ActionProfileGroupId:
			refs = append(refs, selectorGroup(profile, a.ActionProfileGroupId))
		}
	}
	if g := e.GetActionProfileGroup(); g != nil {
		for _, m := range g.GetMembers() {
			refs = append(refs, member(g.GetActionProfileId(), m.GetMemberId()))
		}
	}
	return refs
}

// checkProfiles reports whether what an update refers to is there, whether nothing refers
// to what it deletes, and whether there is room.
func (s *State) checkProfiles(u *p4v1.Update, sch *schema) error {
	e := u.GetEntity()
	if u.GetType() != p4v1.Update_DELETE {
		for _, ref := range sch.references(e) {
			if s.Get(ref) == nil {
				return status.Errorf(codes.NotFound, "it refers to %s, which is not there", Identity(ref))
			}
		}
		id := e.GetActionProfileMember().GetActionProfileId()
		if u.GetType() == p4v1.Update_INSERT && id != 0 && int64(s.members[id]) >= sch.profiles[id].size {
			return status.Error(codes.ResourceExhausted, "the action profile is full")
		}
		return nil
	}
	if e.GetActionProfileMember() == nil && e.GetActionProfileGroup() == nil {
		return nil
	}
	name := Identity(e)
	for other := range s.All() {
		for _, ref := range sch.references(other) {
			if Identity(ref) == name {
				return status.Errorf(codes.FailedPrecondition, "%s refers to %s", Identity(other), name)
			}
		}
	}
	return nil
}
