package p4rtserver

import (
	"context"
	"fmt"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// Write applies the updates of a batch in their order (12): each whether or
// not others fail, or all or none, as the request's atomicity says.
func (s *Server) Write(_ context.Context, req *p4v1.WriteRequest) (*p4v1.WriteResponse, error) {
	return s.write(req, messages(req.Updates))
}

// updateList is those of a WriteRequest. What at gives is valid until it is
// called again.
type updateList interface {
	len() int
	at(i int) *p4v1.Update
	// check refuses an update with unknown fields.
	check(i int) error
}

type messages []*p4v1.Update

func (m messages) len() int              { return len(m) }
func (m messages) at(i int) *p4v1.Update { return m[i] }
func (m messages) check(i int) error     { return checkKnown(m[i]) }

// write does a request; the updates are not looked for in req.
func (s *Server) write(req *p4v1.WriteRequest, updates updateList) (*p4v1.WriteResponse, error) {
	s.state.Lock()
	defer s.state.Unlock()
	s.counters.writes.Add(1)
	if err := s.checkWriter(req.DeviceId, numericRole(req), req.Role, req.ElectionId); err != nil {
		return nil, err
	}
	if len(req.ProtoReflect().GetUnknown()) > 0 {
		return nil, errUnknownFields
	}
	f := s.control
	if f == nil {
		return nil, errNoPipeline
	}
	s.counters.updates.Add(uint64(updates.len()))
	var errs []error
	switch req.Atomicity {
	case p4v1.WriteRequest_CONTINUE_ON_ERROR:
		errs = s.applyEach(f, updates)
	case p4v1.WriteRequest_ROLLBACK_ON_ERROR:
		errs = s.applyAll(f, updates)
	case p4v1.WriteRequest_DATAPLANE_ATOMIC:
		s.gates.alone(func() { errs = s.applyAll(f, updates) })
	default:
		return nil, invalid("atomicity %v is not known", req.Atomicity)
	}
	if errs != nil {
		return nil, batchError("updates", errs)
	}
	return &p4v1.WriteResponse{}, nil
}

// applyEach makes each update whether or not others fail. It returns an error
// for each, or nil if none failed.
func (s *Server) applyEach(f *Forwarding, updates updateList) []error {
	var errs []error // made at the first failure
	var tr translator
	for i := range updates.len() {
		err := updates.check(i)
		if err == nil {
			err = f.apply(&tr, updates.at(i))
		}
		if err != nil {
			if errs == nil {
				errs = make([]error, updates.len())
			}
			errs[i] = err
			s.counters.failedUpdates.Add(1)
		}
	}
	return errs
}

var errNoPipeline = status.Error(codes.FailedPrecondition,
	"no forwarding pipeline is set: use SetForwardingPipelineConfig first")

// apply makes one update.
func (f *Forwarding) apply(tr *translator, u *p4v1.Update) error {
	switch u.Type {
	case p4v1.Update_INSERT, p4v1.Update_MODIFY, p4v1.Update_DELETE:
	default:
		return invalid("update type %v: must be INSERT, MODIFY or DELETE", u.Type)
	}
	switch e := u.GetEntity().GetEntity().(type) {
	case *p4v1.Entity_TableEntry:
		return f.writeTableEntry(tr, u.Type, e.TableEntry)
	case *p4v1.Entity_ActionProfileMember:
		return f.writeMember(tr, u.Type, e.ActionProfileMember)
	case *p4v1.Entity_ActionProfileGroup:
		return f.writeProfileGroup(u.Type, e.ActionProfileGroup)
	case *p4v1.Entity_PacketReplicationEngineEntry:
		return f.writeReplication(u.Type, e.PacketReplicationEngineEntry)
	case *p4v1.Entity_CounterEntry:
		return f.writeCounter(u.Type, e.CounterEntry)
	case *p4v1.Entity_DirectCounterEntry:
		return f.writeDirectCounter(tr, u.Type, e.DirectCounterEntry)
	case *p4v1.Entity_MeterEntry:
		return f.writeMeter(u.Type, e.MeterEntry)
	case *p4v1.Entity_DirectMeterEntry:
		return f.writeDirectMeter(tr, u.Type, e.DirectMeterEntry)
	case *p4v1.Entity_RegisterEntry:
		return f.writeRegister(u.Type, e.RegisterEntry)
	case *p4v1.Entity_ValueSetEntry:
		return f.writeValueSet(u.Type, e.ValueSetEntry)
	case *p4v1.Entity_DigestEntry:
		return f.writeDigest(u.Type, e.DigestEntry)
	case nil:
		return invalid("the update has no entity")
	default:
		return unsupportedEntity(e)
	}
}

func unsupportedEntity(e any) error {
	return status.Errorf(codes.Unimplemented, "entities of type %s are not supported",
		fmt.Sprintf("%T", e)[len("*v1.Entity_"):])
}

func (f *Forwarding) writeTableEntry(tr *translator, op p4v1.Update_Type, te *p4v1.TableEntry) error {
	t := f.byTable[te.GetTableId()]
	if t == nil {
		return invalid("no table has id %d", te.GetTableId())
	}
	var err error
	switch {
	case te.IsConst:
		err = invalid("is_const is set: constant entries cannot be written")
	case te.IsDefaultAction:
		err = t.writeDefault(tr, op, te)
	case op == p4v1.Update_DELETE:
		err = t.deleteEntry(tr, te)
	default:
		err = t.writeEntry(tr, op, te)
	}
	if err != nil {
		return within("table "+t.name, err)
	}
	return nil
}

func (t *table) deleteEntry(tr *translator, te *p4v1.TableEntry) error {
	if t.fixed {
		return errConstTable
	}
	e, err := tr.key(t, te)
	if err != nil {
		return err
	}
	return refuse(t.entries.Delete(e))
}

var errConstTable = status.Error(codes.PermissionDenied, "its entries are constant in the P4 program")

// writeEntry inserts or modifies an entry (9.1).
func (t *table) writeEntry(tr *translator, op p4v1.Update_Type, te *p4v1.TableEntry) error {
	if err := t.checkWritable(op, te); err != nil {
		return err
	}
	e, err := tr.key(t, te)
	if err != nil {
		return err
	}
	var semantics setSemantics
	if te.Action == nil {
		if op == p4v1.Update_INSERT {
			return invalid("the entry has no action")
		}
		old, err := t.entries.Get(e)
		if err != nil {
			return refuse(err)
		}
		if t.fixed { // only direct resources may change
			return t.setDirect(e, te)
		}
		e.Action, e.Params = old.Action, old.Params
		e.Member, e.Group, e.Actions, e.Random = old.Member, old.Group, old.Actions, old.Random
		semantics = semanticsIn(old.Metadata)
	} else if t.profile != nil {
		if err = t.profile.indirect(tr, e, te.Action); err != nil {
			return err
		}
		semantics = semanticsOf(te.Action.GetActionProfileActionSet())
	} else if e.Action, e.Params, err = tr.action(t, te.Action, false); err != nil {
		return err
	}
	e.TimeoutNs, e.Metadata = te.IdleTimeoutNs, packMetadata(te, semantics)
	e.Meter = meterConfig(te.MeterConfig)
	if op == p4v1.Update_INSERT {
		err = t.entries.Insert(e)
	} else {
		err = t.entries.Modify(e)
	}
	if err != nil {
		return refuse(err)
	}
	return t.setCounter(e, te.CounterData)
}

// checkWritable checks what does not depend on key and action.
func (t *table) checkWritable(op p4v1.Update_Type, te *p4v1.TableEntry) error {
	switch {
	case t.fixed && (op == p4v1.Update_INSERT || te.Action != nil):
		return errConstTable
	case len(t.fields) == 0:
		return invalid("it has no key: only its default entry can be written")
	case te.TimeSinceLastHit != nil:
		return invalid("time_since_last_hit cannot be written")
	case te.IdleTimeoutNs != 0 && !t.timeout:
		return invalid("it does not support idle timeouts")
	case te.IdleTimeoutNs < 0:
		return invalid("idle_timeout_ns %d is negative", te.IdleTimeoutNs)
	}
	return t.checkDirect(te)
}

// checkDirect checks the direct resources of an entry.
func (t *table) checkDirect(te *p4v1.TableEntry) error {
	switch {
	case !t.meter && (te.MeterConfig != nil || te.MeterCounterData != nil):
		return invalid("it has no direct meter")
	case te.MeterCounterData != nil:
		return errMeterCounters
	case te.CounterData != nil && !t.counter:
		return invalid("it has no direct counter")
	}
	if err := checkMeterConfig(t.meterKind, te.MeterConfig); err != nil {
		return err
	}
	return checkCounterData(te.CounterData)
}

// setDirect sets the direct resources of an entry, and nothing else.
func (t *table) setDirect(e *pipeline.Entry, te *p4v1.TableEntry) error {
	if t.meter {
		if err := t.entries.SetMeter(e, meterConfig(te.MeterConfig)); err != nil {
			return refuse(err)
		}
	}
	return t.setCounter(e, te.CounterData)
}

// setCounter sets an entry's direct counter, if there is data to set.
func (t *table) setCounter(e *pipeline.Entry, data *p4v1.CounterData) error {
	if data == nil {
		return nil
	}
	return refuse(t.entries.SetCounter(e, uint64(data.PacketCount), uint64(data.ByteCount)))
}

// writeDefault changes or resets the default entry (9.1.3).
func (t *table) writeDefault(tr *translator, op p4v1.Update_Type, te *p4v1.TableEntry) error {
	switch {
	case op != p4v1.Update_MODIFY:
		return invalid("the default entry can only be modified")
	case te.IdleTimeoutNs != 0 || te.TimeSinceLastHit != nil:
		return invalid("the default entry has no idle timeout")
	case t.constDefault:
		return status.Error(codes.PermissionDenied, "its default action is constant in the P4 program")
	case t.profile != nil:
		return status.Error(codes.PermissionDenied, "it has an action profile, so its default action is constant")
	}
	if err := checkDefaultKey(te); err != nil {
		return err
	}
	if err := t.checkDirect(te); err != nil {
		return err
	}
	if te.Action == nil {
		if te.CounterData != nil || te.MeterConfig != nil {
			return invalid("without an action the default entry is reset, and so are its direct resources: they cannot be " +
				"set too")
		}
		if err := t.entries.ResetDefault(); err != nil {
			return refuse(err)
		}
		t.defaultMetadata = nil
		return nil
	}
	name, params, err := tr.action(t, te.Action, true)
	if err != nil {
		return err
	}
	if err := t.entries.SetDefault(name, params); err != nil {
		return refuse(err)
	}
	t.defaultMetadata = packMetadata(te, setSemantics{})
	return t.setDirect(nil, te)
}
