package p4rtserver

import (
	"cmp"
	"slices"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
)

// sameness says what the P4Info of two pipelines describes in the same way. Its
// maps say by id why something of the first one does not fit the second one, with an
// empty text where it does.
type sameness struct {
	from, to                  *p4configv1.P4Info
	tables, profiles, actions map[uint32]string
	directMeters              map[uint32]bool // the tables whose meter means the same
}

// Why something does not fit.
const (
	isGone       = "the new program does not have it"
	otherKey     = "the new program matches other fields"
	otherAction  = "the new program has not the same action"
	otherProfile = "the new program has another action profile for it"
	otherType    = "it is of another type in the new program"
)

func compare(from, to *p4configv1.P4Info) *sameness {
	s := &sameness{
		from: from, to: to,
		tables: map[uint32]string{}, profiles: map[uint32]string{}, actions: map[uint32]string{},
		directMeters: map[uint32]bool{},
	}
	for _, a := range from.ActionProfiles {
		s.profiles[a.GetPreamble().GetId()] = compareProfiles(a, counterpart(a, to.ActionProfiles))
	}
	for _, a := range from.Actions {
		s.actions[a.GetPreamble().GetId()] = s.compareActions(a, counterpart(a, to.Actions))
	}
	for _, a := range from.Tables {
		s.tables[a.GetPreamble().GetId()] = s.compareTables(a, counterpart(a, to.Tables))
	}
	for _, a := range from.DirectMeters {
		b := counterpart(a, to.DirectMeters)
		s.directMeters[a.DirectTableId] = b != nil && b.DirectTableId == a.DirectTableId && proto.Equal(a.Spec, b.Spec)
	}
	return s
}

// object is what P4Info has a preamble for.
type object interface {
	comparable
	GetPreamble() *p4configv1.Preamble
}

// counterpart returns the one of all with the id and name of a, or nil.
func counterpart[T object](a T, all []T) T {
	for _, b := range all {
		if b.GetPreamble().GetId() == a.GetPreamble().GetId() && b.GetPreamble().GetName() == a.GetPreamble().GetName() {
			return b
		}
	}
	var none T
	return none
}

// withID returns the one of all with an id, or nil.
func withID[T object](id uint32, all []T) T {
	for _, b := range all {
		if b.GetPreamble().GetId() == id {
			return b
		}
	}
	var none T
	return none
}

func compareProfiles(a, b *p4configv1.ActionProfile) string {
	switch {
	case b == nil:
		return isGone
	case a.WithSelector != b.WithSelector:
		return otherType
	}
	return ""
}

func (s *sameness) compareActions(a, b *p4configv1.Action) string {
	same := b != nil && sameElements(a.Params, b.Params, func(x, y *p4configv1.Action_Param) bool {
		return x.Name == y.Name && x.Bitwidth == y.Bitwidth && s.sameType(x.TypeName, y.TypeName)
	})
	if !same {
		return otherAction
	}
	return ""
}

func (s *sameness) compareTables(a, b *p4configv1.Table) string {
	switch {
	case b == nil:
		return isGone
	case !s.sameFields(a.MatchFields, b.MatchFields):
		return otherKey
	case a.ImplementationId != b.ImplementationId || s.profiles[a.ImplementationId] != "":
		return otherProfile
	}
	return ""
}

func (s *sameness) sameFields(a, b []*p4configv1.MatchField) bool {
	return sameElements(a, b, func(x, y *p4configv1.MatchField) bool {
		return x.Name == y.Name && x.Bitwidth == y.Bitwidth && x.GetMatchType() == y.GetMatchType() &&
			s.sameType(x.TypeName, y.TypeName)
	})
}

// sameType reports whether two types that have names are the same: values are
// translated by them.
func (s *sameness) sameType(a, b *p4configv1.P4NamedType) bool {
	if !proto.Equal(a, b) {
		return false
	}
	return a == nil || proto.Equal(s.from.GetTypeInfo().GetNewTypes()[a.Name].GetTranslatedType(),
		s.to.GetTypeInfo().GetNewTypes()[b.Name].GetTranslatedType())
}

// sameElements compares what has ids, in any order.
func sameElements[T interface{ GetId() uint32 }](a, b []T, same func(x, y T) bool) bool {
	byID := func(x, y T) int { return cmp.Compare(x.GetId(), y.GetId()) }
	a, b = slices.SortedFunc(slices.Values(a), byID), slices.SortedFunc(slices.Values(b), byID)
	return slices.EqualFunc(a, b, func(x, y T) bool { return x.GetId() == y.GetId() && same(x, y) })
}

// action says why what an entry does does not fit. Members and groups are named by
// their ids, of which the update says whether they are there.
func (s *sameness) action(a *p4v1.TableAction) string {
	if direct := a.GetAction(); direct != nil {
		return s.actions[direct.ActionId]
	}
	for _, one := range a.GetActionProfileActionSet().GetActionProfileActions() {
		if why := s.actions[one.GetAction().GetActionId()]; why != "" {
			return why
		}
	}
	return ""
}

// array names the meter, register or value set of an entity, and says why that does
// not fit. Where only its size differs, the update says whether there is room.
func (s *sameness) array(e *p4v1.Entity) (name, why string) {
	switch e := e.Entity.(type) {
	case *p4v1.Entity_MeterEntry:
		a := withID(e.MeterEntry.MeterId, s.from.Meters)
		b := counterpart(a, s.to.Meters)
		return "meter " + a.Preamble.Name, fits(b != nil, proto.Equal(a.Spec, b.GetSpec()))
	case *p4v1.Entity_RegisterEntry:
		a := withID(e.RegisterEntry.RegisterId, s.from.Registers)
		b := counterpart(a, s.to.Registers)
		return "register " + a.Preamble.Name, fits(b != nil, proto.Equal(a.TypeSpec, b.GetTypeSpec()))
	case *p4v1.Entity_ValueSetEntry:
		a := withID(e.ValueSetEntry.ValueSetId, s.from.ValueSets)
		b := counterpart(a, s.to.ValueSets)
		return "value set " + a.Preamble.Name, fits(b != nil, s.sameFields(a.Match, b.GetMatch()))
	}
	return "", isGone
}

func fits(there, sameType bool) string {
	switch {
	case !there:
		return isGone
	case !sameType:
		return otherType
	}
	return ""
}
