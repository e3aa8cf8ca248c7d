package p4rt

import (
	"context"
	"sync"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
)

// kept are the entries of tables that a target keeps for a pipeline that replaces
// another, as they were read before. What is read between the replacement and the
// first writes holds up what the new pipeline lacks; nobody else writes meanwhile.
// Each table is given once, and none that was written to.
type kept struct {
	mu     sync.Mutex
	tables map[uint32][]*p4v1.Entity
}

func wholeTable(id uint32) *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{TableId: id}}}
}

// readKept reads the tables that are just the same in the pipeline that runs.
func (s *session) readKept(ctx context.Context) (map[uint32][]*p4v1.Entity, error) {
	rsp, err := s.rpc.GetForwardingPipelineConfig(ctx, &p4v1.GetForwardingPipelineConfigRequest{
		DeviceId: s.cfg.DeviceID, ResponseType: p4v1.GetForwardingPipelineConfigRequest_P4INFO_AND_COOKIE,
	})
	if err != nil {
		return nil, err
	}
	tables := map[uint32][]*p4v1.Entity{}
	for _, id := range sameTables(rsp.GetConfig().GetP4Info(), s.cfg.P4Info) {
		entries := []*p4v1.Entity{}
		err := s.readEntities(ctx, []*p4v1.Entity{wholeTable(id)}, func(e *p4v1.Entity) error {
			entries = append(entries, e)
			return nil
		})
		if err != nil {
			return nil, err
		}
		tables[id] = entries
	}
	return tables, nil
}

// sameTables are the ids of the tables that two pipelines have in common with all that
// an entry of them may hold. A table with an action profile is none, nor is one with
// types that have names: their entries say nothing without what stands elsewhere.
func sameTables(a, b *p4configv1.P4Info) (ids []uint32) {
	actions := func(info *p4configv1.P4Info) map[uint32]*p4configv1.Action {
		byID := map[uint32]*p4configv1.Action{}
		for _, action := range info.GetActions() {
			byID[action.GetPreamble().GetId()] = action
		}
		return byID
	}
	tables := map[uint32]*p4configv1.Table{}
	for _, t := range a.GetTables() {
		tables[t.GetPreamble().GetId()] = t
	}
	before, after := actions(a), actions(b)
	for _, t := range b.GetTables() {
		id := t.GetPreamble().GetId()
		if t.GetImplementationId() != 0 || !proto.Equal(tables[id], t) || named(t.GetMatchFields()) {
			continue
		}
		same := true
		for _, ref := range t.GetActionRefs() {
			action := after[ref.GetId()]
			same = same && proto.Equal(before[ref.GetId()], action) && !named(action.GetParams())
		}
		if same {
			ids = append(ids, id)
		}
	}
	return ids
}

func named[T interface {
	GetTypeName() *p4configv1.P4NamedType
}](all []T) bool {
	for _, one := range all {
		if one.GetTypeName() != nil {
			return true
		}
	}
	return false
}

// set takes what was read.
func (k *kept) set(tables map[uint32][]*p4v1.Entity) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tables = tables
}

// take gives the entries that one query for a whole table asks for.
func (k *kept) take(query []*p4v1.Entity) (entries []*p4v1.Entity, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.tables) == 0 || len(query) != 1 {
		return nil, false
	}
	id := query[0].GetTableEntry().GetTableId()
	entries, ok = k.tables[id]
	if !ok || !proto.Equal(query[0], wholeTable(id)) {
		return nil, false
	}
	delete(k.tables, id)
	return entries, true
}

// written forgets the tables of updates.
func (k *kept) written(updates []Update) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.tables) == 0 {
		return
	}
	for _, u := range updates {
		if te := u.GetEntity().GetTableEntry(); te != nil {
			delete(k.tables, te.GetTableId())
		}
	}
}
