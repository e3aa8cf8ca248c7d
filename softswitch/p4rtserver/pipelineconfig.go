package p4rtserver

import (
	"context"
	"slices"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// SetForwardingPipelineConfig verifies, saves and commits pipelines (14).
func (s *Server) SetForwardingPipelineConfig(_ context.Context, req *p4v1.SetForwardingPipelineConfigRequest) (*p4v1.SetForwardingPipelineConfigResponse, error) {
	s.state.Lock()
	defer s.state.Unlock()
	if err := s.checkWriter(req.DeviceId, numericRole(req), req.Role, req.ElectionId); err != nil {
		return nil, err
	}
	var err error
	switch req.Action {
	case p4v1.SetForwardingPipelineConfigRequest_VERIFY:
		_, err = s.load(req.Config)
	case p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_SAVE:
		err = s.save(req.Config)
	case p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT:
		if err = s.save(req.Config); err == nil {
			s.commit()
		}
	case p4v1.SetForwardingPipelineConfigRequest_COMMIT:
		switch {
		case req.Config != nil:
			err = invalid("COMMIT takes no config")
		case s.control == s.Forwarding():
			err = status.Error(codes.NotFound, "there is no saved pipeline to commit: use VERIFY_AND_SAVE first")
		default:
			s.commit()
		}
	case p4v1.SetForwardingPipelineConfigRequest_RECONCILE_AND_COMMIT:
		err = s.reconcile(req.Config)
	default:
		err = invalid("action %v is not one of VERIFY, VERIFY_AND_SAVE, VERIFY_AND_COMMIT, COMMIT, RECONCILE_AND_COMMIT", req.Action)
	}
	if err != nil {
		return nil, err
	}
	return &p4v1.SetForwardingPipelineConfigResponse{}, nil
}

// Configure commits a pipeline without a client, as at the start of a switch.
func (s *Server) Configure(config *p4v1.ForwardingPipelineConfig) error {
	s.state.Lock()
	defer s.state.Unlock()
	if err := s.save(config); err != nil {
		return err
	}
	s.commit()
	return nil
}

// Apply makes updates without a client, in their order, each whether or not
// others fail. It returns an error for each, or nil if none failed.
func (s *Server) Apply(updates []*p4v1.Update) []error {
	s.state.Lock()
	defer s.state.Unlock()
	if s.control == nil {
		return slices.Repeat([]error{errNoPipeline}, len(updates))
	}
	return s.applyEach(s.control, messages(updates))
}

// save makes the configuration the one that Write and Read refer to. The
// caller holds the state.
func (s *Server) save(config *p4v1.ForwardingPipelineConfig) error {
	f, err := s.load(config)
	if err == nil {
		s.control = f
	}
	return err
}

// commit lets packets run through the saved pipeline. What was written to it
// since it was saved is in it already.
func (s *Server) commit() {
	s.committed.Store(s.control)
	s.counters.commits.Add(1)
	s.log.Info("forwarding pipeline committed",
		"name", s.control.config.GetP4Info().GetPkgInfo().GetName(),
		"cookie", s.control.config.GetCookie().GetCookie(), "tables", len(s.control.tables))
}

// reconcile commits a configuration with the state of the present one, or
// changes nothing if some of that does not fit.
func (s *Server) reconcile(config *p4v1.ForwardingPipelineConfig) error {
	f, err := s.load(config)
	if err != nil {
		return err
	}
	if old := s.control; old != nil {
		if err := f.copyState(old); err != nil {
			return invalid("the present state does not fit the new pipeline: %v", status.Convert(err).Message())
		}
	}
	s.control = f
	s.commit()
	return nil
}

// copyState writes all that is in old into f.
func (f *Forwarding) copyState(old *Forwarding) error {
	var tr translator
	var out reply
	if err := old.readMembers(&out, nil); err != nil {
		return err
	}
	if err := old.readProfileGroups(&out, nil); err != nil {
		return err
	}
	for _, t := range old.tables {
		if t.fixed {
			continue
		}
		if err := t.read(&tr, &out, withDirect()); err != nil {
			return err
		}
	}
	for _, query := range []*p4v1.PacketReplicationEngineEntry{
		{Type: &p4v1.PacketReplicationEngineEntry_MulticastGroupEntry{}},
		{Type: &p4v1.PacketReplicationEngineEntry_CloneSessionEntry{}},
	} {
		if err := old.readReplication(&out, query); err != nil {
			return err
		}
	}
	if err := old.readDigests(&out, nil); err != nil {
		return err
	}
	for _, t := range f.tables { // initial entries are among those of old
		if !t.fixed && len(t.fields) > 0 {
			if err := t.entries.Clear(); err != nil {
				return refuse(err)
			}
		}
	}
	for _, response := range out.responses {
		for _, e := range response.Entities {
			if err := f.apply(&tr, &p4v1.Update{Type: p4v1.Update_INSERT, Entity: e}); err != nil {
				return err
			}
		}
	}
	if err := f.copyDefaults(&tr, old); err != nil {
		return err
	}
	if err := f.copyArrays(&tr, old); err != nil {
		return err
	}
	return f.copyCounters(old)
}

// copyArrays copies what in meters, registers and value sets is not as it is
// at first.
func (f *Forwarding) copyArrays(tr *translator, old *Forwarding) error {
	var out reply
	for _, read := range []func() error{
		func() error { return old.readMeters(&out, nil) },
		func() error { return old.readRegisters(&out, nil) },
		func() error { return old.readValueSets(&out, nil) },
	} {
		if err := read(); err != nil {
			return err
		}
	}
	for _, response := range out.responses {
		for _, e := range response.Entities {
			if untouched(e) {
				continue
			}
			if err := f.apply(tr, &p4v1.Update{Type: p4v1.Update_MODIFY, Entity: e}); err != nil {
				return err
			}
		}
	}
	return nil
}

// untouched reports whether a meter, register or value set is as it is at first.
func untouched(e *p4v1.Entity) bool {
	switch e := e.Entity.(type) {
	case *p4v1.Entity_MeterEntry:
		return e.MeterEntry.Config == nil
	case *p4v1.Entity_RegisterEntry:
		return !e.RegisterEntry.Data.GetBool() && isZero(e.RegisterEntry.Data.GetBitstring())
	case *p4v1.Entity_ValueSetEntry:
		return len(e.ValueSetEntry.Members) == 0
	}
	return false
}

func (f *Forwarding) copyDefaults(tr *translator, old *Forwarding) error {
	for _, t := range old.tables {
		if te := t.defaultMessage(withDirect()); !te.IsConst && te.Action != nil {
			if err := f.apply(tr, &p4v1.Update{Type: p4v1.Update_MODIFY, Entity: entity(te)}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *Forwarding) copyCounters(old *Forwarding) error {
	for _, c := range old.counters {
		to := f.counter(c.id)
		if to == nil || to.cell.Size() < c.cell.Size() {
			return invalid("counter %s is gone or smaller", c.cell.Name())
		}
		for i := range c.cell.Size() {
			packets, octets := c.cell.Read(i)
			if err := to.cell.Write(i, packets, octets); err != nil {
				return refuse(err)
			}
		}
	}
	return nil
}

// GetForwardingPipelineConfig returns the configuration that packets run
// through (15): one that is saved and not committed must not pass for the
// target's.
func (s *Server) GetForwardingPipelineConfig(_ context.Context, req *p4v1.GetForwardingPipelineConfigRequest) (*p4v1.GetForwardingPipelineConfigResponse, error) {
	if err := s.checkDevice(req.DeviceId); err != nil {
		return nil, err
	}
	f := s.Forwarding()
	if f == nil {
		return &p4v1.GetForwardingPipelineConfigResponse{}, nil
	}
	config := f.config
	out := &p4v1.ForwardingPipelineConfig{Cookie: config.Cookie}
	switch req.ResponseType {
	case p4v1.GetForwardingPipelineConfigRequest_ALL:
		out.P4Info, out.P4DeviceConfig = config.P4Info, config.P4DeviceConfig
	case p4v1.GetForwardingPipelineConfigRequest_COOKIE_ONLY:
	case p4v1.GetForwardingPipelineConfigRequest_P4INFO_AND_COOKIE:
		out.P4Info = config.P4Info
	case p4v1.GetForwardingPipelineConfigRequest_DEVICE_CONFIG_AND_COOKIE:
		out.P4DeviceConfig = config.P4DeviceConfig
	default:
		return nil, invalid("response type %v is not known", req.ResponseType)
	}
	return &p4v1.GetForwardingPipelineConfigResponse{Config: out}, nil
}
