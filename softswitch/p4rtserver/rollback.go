package p4rtserver

import (
	"slices"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// applyAll makes all updates or none (12.2): at the first that fails, those
// before it are undone in reverse. It returns nil, or an error for each update:
// ABORTED for all but the one that failed.
func (s *Server) applyAll(f *Forwarding, updates updateList) []error {
	var tr translator
	var undo []*p4v1.Update
	for i := range updates.len() {
		u := updates.at(i)
		before := f.inverse(&tr, u)
		err := updates.check(i)
		if err == nil {
			err = f.apply(&tr, u)
		}
		if err == nil {
			undo = append(undo, before...)
			continue
		}
		f.undo(&tr, undo)
		s.counters.failedUpdates.Add(1)
		errs := slices.Repeat([]error{status.Errorf(codes.Aborted, "update %d failed, so nothing was changed", i)},
			updates.len())
		errs[i] = err
		return errs
	}
	return nil
}

func (f *Forwarding) undo(tr *translator, updates []*p4v1.Update) {
	for _, u := range slices.Backward(updates) {
		if err := f.apply(tr, u); err != nil {
			f.server.log.Error("undoing an update failed", "update", u, "err", err)
		}
	}
}

// inverse returns updates that undo u, as things are now; nothing where u
// must fail. It shares no memory with u.
func (f *Forwarding) inverse(tr *translator, u *p4v1.Update) []*p4v1.Update {
	switch e := u.GetEntity().GetEntity().(type) {
	case *p4v1.Entity_TableEntry:
		return f.inverseEntry(tr, u.Type, e.TableEntry)
	case *p4v1.Entity_DirectCounterEntry:
		te, _ := f.present(tr, e.DirectCounterEntry.GetTableEntry())
		if te == nil {
			return nil
		}
		return modifies(&p4v1.Entity{Entity: &p4v1.Entity_DirectCounterEntry{
			DirectCounterEntry: &p4v1.DirectCounterEntry{TableEntry: te, Data: te.CounterData}}})
	case *p4v1.Entity_DirectMeterEntry:
		te, _ := f.present(tr, e.DirectMeterEntry.GetTableEntry())
		if te == nil {
			return nil
		}
		return modifies(&p4v1.Entity{Entity: &p4v1.Entity_DirectMeterEntry{
			DirectMeterEntry: &p4v1.DirectMeterEntry{TableEntry: te, Config: te.MeterConfig}}})
	case nil:
		return nil
	default:
		if !namesOne(u.Entity) {
			return nil
		}
		return f.inverseOther(tr, u)
	}
}

// namesOne reports whether an entity has the ids of what it is, so that a query
// for it is not one for all.
func namesOne(e *p4v1.Entity) bool {
	switch e := e.Entity.(type) {
	case *p4v1.Entity_ActionProfileMember:
		return e.ActionProfileMember.GetMemberId() != 0
	case *p4v1.Entity_ActionProfileGroup:
		return e.ActionProfileGroup.GetGroupId() != 0
	case *p4v1.Entity_PacketReplicationEngineEntry:
		return e.PacketReplicationEngineEntry.GetMulticastGroupEntry().GetMulticastGroupId() != 0 ||
			e.PacketReplicationEngineEntry.GetCloneSessionEntry().GetSessionId() != 0
	case *p4v1.Entity_CounterEntry:
		return e.CounterEntry.GetCounterId() != 0
	case *p4v1.Entity_MeterEntry:
		return e.MeterEntry.GetMeterId() != 0
	case *p4v1.Entity_RegisterEntry:
		return e.RegisterEntry.GetRegisterId() != 0
	case *p4v1.Entity_ValueSetEntry:
		return e.ValueSetEntry.GetValueSetId() != 0
	case *p4v1.Entity_DigestEntry:
		return e.DigestEntry.GetDigestId() != 0
	}
	return false
}

// inverseOther asks for the entity as any query would.
func (f *Forwarding) inverseOther(tr *translator, u *p4v1.Update) []*p4v1.Update {
	var out reply
	if err := f.read(tr, &out, u.Entity); err != nil && status.Code(err) != codes.NotFound {
		return nil
	}
	var found []*p4v1.Entity
	for _, e := range out.found {
		found = append(found, proto.Clone(e).(*p4v1.Entity))
	}
	switch {
	case u.Type == p4v1.Update_INSERT && len(found) == 0:
		return []*p4v1.Update{{Type: p4v1.Update_DELETE, Entity: proto.Clone(u.Entity).(*p4v1.Entity)}}
	case u.Type == p4v1.Update_MODIFY:
		return modifies(found...)
	case u.Type == p4v1.Update_DELETE && len(found) == 1:
		return []*p4v1.Update{{Type: p4v1.Update_INSERT, Entity: found[0]}}
	}
	return nil
}

func modifies(entities ...*p4v1.Entity) []*p4v1.Update {
	out := make([]*p4v1.Update, len(entities))
	for i, e := range entities {
		out[i] = &p4v1.Update{Type: p4v1.Update_MODIFY, Entity: e}
	}
	return out
}

// present returns the entry with te's key as it is, direct resources included,
// and its table; nil if there is none.
func (f *Forwarding) present(tr *translator, te *p4v1.TableEntry) (*p4v1.TableEntry, *table) {
	t := f.byTable[te.GetTableId()]
	if t == nil {
		return nil, nil
	}
	if te.IsDefaultAction {
		old := t.defaultMessage(withDirect())
		old.IsConst = false
		return old, t
	}
	key, err := tr.key(t, te)
	if err != nil {
		return nil, t
	}
	e, err := t.entries.Get(key)
	if err != nil {
		return nil, t
	}
	old := t.message(&e, withDirect())
	old.IsConst = false
	return old, t
}

func (f *Forwarding) inverseEntry(tr *translator, op p4v1.Update_Type, te *p4v1.TableEntry) []*p4v1.Update {
	old, t := f.present(tr, te)
	switch {
	case t == nil:
		return nil
	case te.IsDefaultAction && old.Action == nil: // there was none, so it is reset
		return modifies(entity(&p4v1.TableEntry{TableId: te.TableId, IsDefaultAction: true}))
	case old == nil && op == p4v1.Update_INSERT:
		key := &p4v1.TableEntry{TableId: te.TableId, Priority: te.Priority, Match: te.Match}
		return []*p4v1.Update{{Type: p4v1.Update_DELETE, Entity: proto.Clone(entity(key)).(*p4v1.Entity)}}
	case old == nil:
		return nil
	case op == p4v1.Update_DELETE:
		return []*p4v1.Update{{Type: p4v1.Update_INSERT, Entity: entity(old)}}
	}
	if t.fixed { // only direct resources may be modified
		old.Action = nil
	}
	resets := te.IsDefaultAction && te.Action == nil
	if te.CounterData == nil && !resets { // what is counted meanwhile stays
		old.CounterData = nil
	}
	return modifies(entity(old))
}
