package p4rtserver

import (
	"bytes"
	"errors"
	"sync"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

const (
	// batchSize is how many entities a Read hands on at a time, so that they are sent
	// while the next ones are gathered.
	batchSize = 512
	// responseSize is where a ReadResponse is closed and the next begun, in bytes:
	// well below the 4 MB that gRPC clients accept by default.
	responseSize = 1 << 20
)

// reply gathers what a Read found.
type reply struct {
	found []*p4v1.Entity
	full  func([]*p4v1.Entity) // takes each batch; nil: all stays in found
}

func (r *reply) add(e *p4v1.Entity) {
	r.found = append(r.found, e)
	if r.full != nil && len(r.found) >= batchSize {
		r.full(r.found)
		r.found = make([]*p4v1.Entity, 0, batchSize)
	}
}

// Read answers each query of the batch (13). What it returns was all true at
// one moment; forwarding goes on meanwhile, and a client that reads slowly
// holds up nobody.
func (s *Server) Read(req *p4v1.ReadRequest, stream p4v1.P4Runtime_ReadServer) error {
	if err := s.checkDevice(req.DeviceId); err != nil {
		return err
	}
	done, err := s.admitRead(stream.Context())
	if err != nil {
		return err
	}
	defer done()
	s.counters.reads.Add(1)
	q := newBatches()
	var gathering sync.WaitGroup
	defer gathering.Wait()
	gathering.Go(func() {
		out := reply{full: q.put}
		err = s.collect(req, &out)
		if len(out.found) > 0 {
			q.put(out.found)
		}
		q.put(nil)
	})
	var sent error
	for batch := q.take(); batch != nil; batch = q.take() {
		if sent == nil {
			sent = send(stream, batch)
		}
	}
	if sent != nil {
		return sent
	}
	return err
}

// batches is a queue that whoever fills it never waits for. Nil is its end.
type batches struct {
	mu      sync.Mutex
	changed sync.Cond
	waiting [][]*p4v1.Entity
}

func newBatches() *batches {
	q := &batches{}
	q.changed.L = &q.mu
	return q
}

func (q *batches) put(batch []*p4v1.Entity) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, batch)
	q.changed.Signal()
}

func (q *batches) take() []*p4v1.Entity {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 {
		q.changed.Wait()
	}
	batch := q.waiting[0]
	q.waiting[0] = nil
	q.waiting = q.waiting[1:]
	return batch
}

// send sends entities in as few messages as may be.
func send(stream p4v1.P4Runtime_ReadServer, batch []*p4v1.Entity) error {
	for first, size, i := 0, 0, 0; i < len(batch); i++ {
		size += roughSize(batch[i])
		if i+1 < len(batch) && size < responseSize {
			continue
		}
		if err := stream.Send(&p4v1.ReadResponse{Entities: batch[first : i+1]}); err != nil {
			return err
		}
		first, size = i+1, 0
	}
	return nil
}

// roughSize is about how many bytes an entity takes in a message. To know that of a
// table entry would take as long as to send it, and few are longer than this.
func roughSize(e *p4v1.Entity) int {
	if te := e.GetTableEntry(); te != nil && te.GetAction().GetActionProfileActionSet() == nil {
		return 512 + len(te.Metadata)
	}
	return proto.Size(e) + 8
}

func (s *Server) collect(req *p4v1.ReadRequest, out *reply) error {
	s.state.RLock()
	defer s.state.RUnlock()
	f := s.control
	if f == nil {
		return errNoPipeline
	}
	var errs []error // made at the first failure
	var tr translator
	for i, query := range req.Entities {
		err := checkKnown(query)
		if err == nil {
			err = f.read(&tr, out, query)
		}
		if err != nil {
			if errs == nil {
				errs = make([]error, len(req.Entities))
			}
			errs[i] = err
		}
	}
	if errs != nil {
		return batchError("queries", errs)
	}
	return nil
}

func (f *Forwarding) read(tr *translator, out *reply, query *p4v1.Entity) error {
	switch q := query.GetEntity().(type) {
	case *p4v1.Entity_TableEntry:
		return f.readTableEntries(tr, out, q.TableEntry)
	case *p4v1.Entity_ActionProfileMember:
		return f.readMembers(out, q.ActionProfileMember)
	case *p4v1.Entity_ActionProfileGroup:
		return f.readProfileGroups(out, q.ActionProfileGroup)
	case *p4v1.Entity_PacketReplicationEngineEntry:
		return f.readReplication(out, q.PacketReplicationEngineEntry)
	case *p4v1.Entity_CounterEntry:
		return f.readCounters(out, q.CounterEntry)
	case *p4v1.Entity_DirectCounterEntry:
		return f.readDirectCounters(tr, out, q.DirectCounterEntry)
	case *p4v1.Entity_MeterEntry:
		return f.readMeters(out, q.MeterEntry)
	case *p4v1.Entity_DirectMeterEntry:
		return f.readDirectMeters(tr, out, q.DirectMeterEntry)
	case *p4v1.Entity_RegisterEntry:
		return f.readRegisters(out, q.RegisterEntry)
	case *p4v1.Entity_ValueSetEntry:
		return f.readValueSets(out, q.ValueSetEntry)
	case *p4v1.Entity_DigestEntry:
		return f.readDigests(out, q.DigestEntry)
	case *p4v1.Entity_ExternEntry:
		if q.ExternEntry.GetExternTypeId() == 0 { // all there are: none
			return nil
		}
		return unsupportedEntity(q)
	case nil:
		return invalid("the query has no entity")
	default:
		return unsupportedEntity(q)
	}
}

// readTableEntries finds table entries (9.1.6).
func (f *Forwarding) readTableEntries(tr *translator, out *reply, q *p4v1.TableEntry) error {
	if q.GetTableId() == 0 {
		if len(q.GetMatch()) != 0 || q.GetAction() != nil || q.GetPriority() != 0 {
			return invalid("a query for all tables cannot filter by match, action or priority")
		}
		for _, t := range f.tables {
			if err := t.read(tr, out, q); err != nil {
				return err
			}
		}
		return nil
	}
	t := f.byTable[q.TableId]
	if t == nil {
		return invalid("no table has id %d", q.TableId)
	}
	if q.TimeSinceLastHit != nil && !t.timeout {
		return invalid("table %s: it does not support idle timeouts, so there is no time_since_last_hit", t.name)
	}
	if err := t.read(tr, out, q); err != nil {
		return within("table "+t.name, err)
	}
	return nil
}

func (t *table) read(tr *translator, out *reply, q *p4v1.TableEntry) error {
	if q.IsDefaultAction {
		if len(q.Match) != 0 || q.Priority != 0 {
			return invalid("the default entry has neither match nor priority")
		}
		if q.TimeSinceLastHit != nil {
			return invalid("the default entry has no time_since_last_hit")
		}
		out.add(entity(t.defaultMessage(q)))
		return nil
	}
	keep, err := t.filter(q)
	if err != nil {
		return err
	}
	add := func(e pipeline.Entry) bool {
		if te := t.message(&e, q); keep(&e, te) {
			out.add(entity(te))
		}
		return true
	}
	if len(q.Match) == 0 {
		t.entries.Each(add)
		return nil
	}
	if t.priority && q.Priority == 0 { // one match, any priority
		anyPriority := proto.Clone(q).(*p4v1.TableEntry)
		anyPriority.Priority = 1
		key, err := tr.key(t, anyPriority)
		if err != nil {
			return err
		}
		t.entries.Each(func(e pipeline.Entry) bool { return !sameMatch(e.Match, key.Match) || add(e) })
		return nil
	}
	key, err := tr.key(t, q)
	if err != nil {
		return err
	}
	e, err := t.entries.Get(key)
	if errors.Is(err, pipeline.ErrNotFound) {
		return nil
	}
	if err != nil {
		return refuse(err)
	}
	add(e)
	return nil
}

// filter returns the conditions of a query besides match.
func (t *table) filter(q *p4v1.TableEntry) (func(*pipeline.Entry, *p4v1.TableEntry) bool, error) {
	name := ""
	if set, ok := q.GetAction().GetType().(*p4v1.TableAction_Action); ok {
		a := t.action(set.Action.GetActionId())
		if a == nil {
			return nil, invalid("action id %d is not one of the table's", set.Action.GetActionId())
		}
		name = a.name
	} else if q.Action != nil {
		return nil, invalid("a query can only filter by an action's id")
	}
	cookie := controllerMetadata(q)
	return func(e *pipeline.Entry, te *p4v1.TableEntry) bool {
		return (name == "" || e.Action == name) &&
			(q.Priority == 0 || e.Priority == q.Priority) &&
			(cookie == 0 || controllerMetadata(te) == cookie) &&
			(len(q.Metadata) == 0 || bytes.Equal(te.Metadata, q.Metadata))
	}, nil
}

// sameMatch reports whether two keys have the same values.
func sameMatch(a, b []pipeline.Match) bool {
	for i := range a {
		if a[i].Any != b[i].Any || a[i].PrefixLen != b[i].PrefixLen || !sameValue(a[i].Value, b[i].Value) ||
			!sameValue(a[i].Mask, b[i].Mask) || !sameValue(a[i].High, b[i].High) {
			return false
		}
	}
	return true
}

func entity(te *p4v1.TableEntry) *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: te}}
}

// message renders an entry; the query says whether with counter and idle time.
func (t *table) message(e *pipeline.Entry, q *p4v1.TableEntry) *p4v1.TableEntry {
	te := t.keyMessage(e)
	if t.profile == nil {
		te.Action = t.actionMessage(e)
	} else {
		te.Action = t.indirectMessage(e)
	}
	te.IdleTimeoutNs = e.TimeoutNs
	te.IsConst = t.fixed
	unpackMetadata(te, e.Metadata)
	t.addDirect(te, e, q)
	if q.TimeSinceLastHit != nil && t.timeout {
		te.TimeSinceLastHit = &p4v1.TableEntry_IdleTimeout{ElapsedNs: e.SinceHitNs}
	}
	return te
}

// Entry renders an entry of a table of the P4Info as a Read answers it, without what it
// counted; nil if there is no such table.
func (f *Forwarding) Entry(table string, e *pipeline.Entry) *p4v1.TableEntry {
	for _, t := range f.tables {
		if t.name == table {
			return t.message(e, &p4v1.TableEntry{})
		}
	}
	return nil
}

// withDirect is a query for entries with their direct resources.
func withDirect() *p4v1.TableEntry {
	return &p4v1.TableEntry{CounterData: &p4v1.CounterData{}, MeterConfig: &p4v1.MeterConfig{}}
}

// addDirect adds the direct resources that the query asks for.
func (t *table) addDirect(te *p4v1.TableEntry, e *pipeline.Entry, q *p4v1.TableEntry) {
	if q.MeterConfig != nil {
		te.MeterConfig = meterConfigMessage(e.Meter)
	}
	if q.CounterData != nil && t.counter {
		te.CounterData = counterData(e.Packets, e.Bytes)
	}
}

// keyMessage renders what identifies an entry.
func (t *table) keyMessage(e *pipeline.Entry) *p4v1.TableEntry {
	te := &p4v1.TableEntry{TableId: t.id, Priority: e.Priority, Match: make([]*p4v1.FieldMatch, 0, len(t.fields))}
	for i, m := range e.Match {
		if m.Any {
			continue
		}
		fm := &p4v1.FieldMatch{FieldId: t.fields[i].id}
		switch t.fields[i].kind {
		case pipeline.Exact:
			fm.FieldMatchType = &p4v1.FieldMatch_Exact_{Exact: &p4v1.FieldMatch_Exact{Value: t.fields[i].names.show(m.Value)}}
		case pipeline.LPM:
			fm.FieldMatchType = &p4v1.FieldMatch_Lpm{Lpm: &p4v1.FieldMatch_LPM{Value: canonical(m.Value),
				PrefixLen: int32(m.PrefixLen)}}
		case pipeline.Ternary:
			fm.FieldMatchType = &p4v1.FieldMatch_Ternary_{Ternary: &p4v1.FieldMatch_Ternary{Value: canonical(m.Value),
				Mask: canonical(m.Mask)}}
		case pipeline.Range:
			fm.FieldMatchType = &p4v1.FieldMatch_Range_{Range: &p4v1.FieldMatch_Range{Low: canonical(m.Value),
				High: canonical(m.High)}}
		case pipeline.Optional:
			fm.FieldMatchType = &p4v1.FieldMatch_Optional_{
				Optional: &p4v1.FieldMatch_Optional{Value: t.fields[i].names.show(m.Value)}}
		}
		te.Match = append(te.Match, fm)
	}
	return te
}

// actionMessage renders the action of an entry; nil for one that the P4Info
// does not have, such as a table without a default action.
func (t *table) actionMessage(e *pipeline.Entry) *p4v1.TableAction {
	a := t.actionNamed(e.Action)
	if a == nil {
		return nil
	}
	return &p4v1.TableAction{Type: &p4v1.TableAction_Action{Action: a.message(e.Params)}}
}

func (a *action) message(params [][]byte) *p4v1.Action {
	m := &p4v1.Action{ActionId: a.id}
	for i, value := range params {
		m.Params = append(m.Params, &p4v1.Action_Param{ParamId: a.params[i].id, Value: a.params[i].names.show(value)})
	}
	return m
}

// defaultMessage renders the default entry; the query says whether with its
// direct resources.
func (t *table) defaultMessage(q *p4v1.TableEntry) *p4v1.TableEntry {
	e := t.entries.Default()
	te := &p4v1.TableEntry{TableId: t.id, IsDefaultAction: true, IsConst: t.constDefault, Action: t.actionMessage(&e)}
	unpackMetadata(te, t.defaultMetadata)
	t.addDirect(te, &e, q)
	return te
}
