package p4rt

import (
	"context"
	"errors"
	"fmt"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
)

// pipeline sees to it that the target runs our pipeline and sends our digests,
// and says what had to be done for it.
func (s *session) pipeline() (up Up, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.PushTimeout)
	defer cancel()
	defer func() { err = s.explain(err, s.cfg.PushTimeout) }()
	cookie, running, err := s.cookie(ctx)
	if err != nil {
		return up, fmt.Errorf("asking for the pipeline's cookie: %w", err)
	}
	if !running || cookie != s.cfg.Cookie {
		kept, err := s.replace(ctx, running, cookie)
		if err != nil {
			return up, err
		}
		up = Up{Pushed: true, Emptied: !kept}
	}
	for _, d := range s.cfg.Digests {
		if err := s.enable(ctx, d); err != nil {
			return up, fmt.Errorf("enabling digest %d: %w", d.ID, err)
		}
	}
	return up, nil
}

// replace pushes our pipeline, and reports whether the target kept what fits it of
// what it held. The specification lets a target refuse to keep a part, and PI, which
// promises nothing, is left half way when something does not fit; so only a target
// that says that it keeps what it can is asked to.
func (s *session) replace(ctx context.Context, running bool, cookie uint64) (kept bool, err error) {
	if running {
		s.cfg.Logger.Info("replacing the target's pipeline", "cookie", cookie)
		if s.keepsWhatFits(ctx) {
			tables, err := s.readKept(ctx)
			if err != nil {
				return false, fmt.Errorf("reading what the target may keep: %w", err)
			}
			err = s.push(ctx, p4v1.SetForwardingPipelineConfigRequest_RECONCILE_AND_COMMIT)
			if err == nil {
				s.kept.set(tables)
			}
			if err == nil || !errors.Is(err, ErrRefused) {
				return err == nil, err
			}
			s.cfg.Logger.Warn("the target does not keep its entries for another pipeline, it starts empty", "err", err)
		}
		s.clearReplication(ctx)
	}
	return false, s.push(ctx, p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT)
}

// keepsWhatFits reports whether RECONCILE_AND_COMMIT keeps what of the state fits the
// new pipeline. The embedded switch says so among its experimental capabilities.
func (s *session) keepsWhatFits(ctx context.Context) bool {
	rsp, err := s.rpc.Capabilities(ctx, &p4v1.CapabilitiesRequest{})
	more := &structpb.Struct{}
	if err != nil || rsp.GetExperimental().UnmarshalTo(more) != nil {
		return false
	}
	return more.GetFields()["reconcile_keeps_what_fits"].GetBoolValue()
}

// cookie asks which pipeline runs. A target without one answers with an empty
// message or FAILED_PRECONDITION.
func (s *session) cookie(ctx context.Context) (cookie uint64, running bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ProbeInterval)
	defer cancel()
	defer func() { err = s.explain(err, s.cfg.ProbeInterval) }()
	rsp, err := s.rpc.GetForwardingPipelineConfig(ctx, &p4v1.GetForwardingPipelineConfigRequest{
		DeviceId: s.cfg.DeviceID, ResponseType: p4v1.GetForwardingPipelineConfigRequest_COOKIE_ONLY,
	})
	if status.Code(err) == codes.FailedPrecondition {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	if c := rsp.GetConfig().GetCookie(); c != nil {
		return c.GetCookie(), true, nil
	}
	// Nothing runs, or something that was pushed without a cookie.
	rsp, err = s.rpc.GetForwardingPipelineConfig(ctx, &p4v1.GetForwardingPipelineConfigRequest{
		DeviceId: s.cfg.DeviceID, ResponseType: p4v1.GetForwardingPipelineConfigRequest_P4INFO_AND_COOKIE,
	})
	return 0, err == nil && len(rsp.GetConfig().GetP4Info().GetTables()) > 0, nil
}

// explain says why an RPC failed whose error is but a consequence: the session
// ended, or the target did not answer in time.
func (s *session) explain(err error, timeout time.Duration) error {
	switch {
	case err == nil || errors.Is(err, ErrNotConnected):
		return err
	case s.ctx.Err() != nil:
		return context.Cause(s.ctx)
	case status.Code(err) == codes.DeadlineExceeded:
		return fmt.Errorf("%w: no answer within %v", ErrNotConnected, timeout)
	}
	return err
}

func (s *session) push(ctx context.Context, action p4v1.SetForwardingPipelineConfigRequest_Action) error {
	_, err := s.rpc.SetForwardingPipelineConfig(ctx, &p4v1.SetForwardingPipelineConfigRequest{
		DeviceId:   s.cfg.DeviceID,
		ElectionId: s.id.Load().proto(),
		Action:     action,
		Config: &p4v1.ForwardingPipelineConfig{
			P4Info:         s.cfg.P4Info,
			P4DeviceConfig: s.cfg.DeviceConfig,
			Cookie:         &p4v1.ForwardingPipelineConfig_Cookie{Cookie: s.cfg.Cookie},
		},
	})
	switch status.Code(err) {
	case codes.OK:
		s.metrics.pushes.Inc()
		return nil
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded:
		return err
	case codes.PermissionDenied: // somebody became primary meanwhile
		return fmt.Errorf("%w: pushing the pipeline: %w", ErrNotPrimary, err)
	default:
		return fmt.Errorf("%w: pushing the pipeline: %w", ErrRefused, err)
	}
}

// enable makes the target send a digest. It never modifies a digest that is
// enabled already, which BMv2 may not survive.
func (s *session) enable(ctx context.Context, d DigestConfig) error {
	found := false
	err := s.readEntities(ctx, []*p4v1.Entity{{Entity: &p4v1.Entity_DigestEntry{
		DigestEntry: &p4v1.DigestEntry{DigestId: d.ID},
	}}}, func(e *p4v1.Entity) error {
		found = found || e.GetDigestEntry().GetDigestId() == d.ID
		return nil
	})
	if code := status.Code(err); err != nil && code != codes.NotFound && code != codes.Unimplemented {
		return err
	}
	if found {
		return nil
	}
	errs, err := s.writeAll(ctx, []Update{&p4v1.Update{Type: p4v1.Update_INSERT, Entity: d.entity()}})
	switch {
	case err != nil:
		return err
	case errs[0] == nil || errors.Is(errs[0], ErrAlreadyExists):
		return nil
	}
	return fmt.Errorf("%w: %w", ErrRefused, errs[0])
}

// clearReplication deletes the multicast groups and clone sessions of a
// pipeline that is about to be replaced: PI forgets them then, while BMv2 keeps
// their replicas and sends each copy twice when they are made anew
// (behavioral-model issue 891). What cannot be deleted is left to the push.
func (s *session) clearReplication(ctx context.Context) {
	var deletes []Update
	for _, e := range []*p4v1.PacketReplicationEngineEntry{
		{Type: &p4v1.PacketReplicationEngineEntry_MulticastGroupEntry{MulticastGroupEntry: &p4v1.MulticastGroupEntry{}}},
		{Type: &p4v1.PacketReplicationEngineEntry_CloneSessionEntry{CloneSessionEntry: &p4v1.CloneSessionEntry{}}},
	} {
		all := &p4v1.Entity{Entity: &p4v1.Entity_PacketReplicationEngineEntry{PacketReplicationEngineEntry: e}}
		err := s.readEntities(ctx, []*p4v1.Entity{all}, func(e *p4v1.Entity) error {
			deletes = append(deletes, &p4v1.Update{Type: p4v1.Update_DELETE, Entity: e})
			return nil
		})
		if err != nil {
			s.cfg.Logger.Warn("reading the replication entries of the pipeline to be replaced", "err", err)
		}
	}
	errs, err := s.writeAll(ctx, deletes)
	if err = errors.Join(append(errs, err)...); err != nil {
		s.cfg.Logger.Warn("deleting the replication entries of the pipeline to be replaced", "err", err)
	}
}

// probe asks the target for its cookie, to notice one that hangs or whose
// pipeline was lost or replaced.
func (s *session) probe(primary bool) error {
	cookie, running, err := s.cookie(s.ctx)
	switch {
	case err != nil:
		return err
	case primary && (!running || cookie != s.cfg.Cookie):
		return fmt.Errorf("%w: the target lost its pipeline", ErrNotConnected)
	}
	return nil
}
