package p4rtserver

import (
	"context"
	"slices"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// SetForwardingPipelineConfig verifies, saves and commits pipelines (14).
func (s *Server) SetForwardingPipelineConfig(_ context.Context,
	req *p4v1.SetForwardingPipelineConfigRequest) (*p4v1.SetForwardingPipelineConfigResponse, error) {
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
		err = invalid("action %v is not one of VERIFY, VERIFY_AND_SAVE, VERIFY_AND_COMMIT, COMMIT, RECONCILE_AND_COMMIT",
			req.Action)
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

// GetForwardingPipelineConfig returns the configuration that packets run
// through (15): one that is saved and not committed must not pass for the
// target's.
func (s *Server) GetForwardingPipelineConfig(_ context.Context,
	req *p4v1.GetForwardingPipelineConfigRequest) (*p4v1.GetForwardingPipelineConfigResponse, error) {
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
