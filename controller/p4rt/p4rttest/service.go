package p4rttest

import (
	"context"
	"fmt"
	"maps"
	"slices"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/p4evpn/p4evpn/controller/p4rt"
)

// service is the RPCs of a Server.
type service struct {
	p4v1.UnimplementedP4RuntimeServer
	*Server
}

// interceptor and answerer give what ask needs, under the lock.
func (s *Server) interceptor() Interceptor { return s.intercept }
func (s *Server) answerer() Interceptor    { return s.answer }

func (s *Server) ask(ctx context.Context, which func() Interceptor, request proto.Message) error {
	s.mu.Lock()
	f := which()
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(ctx, request)
}

// authorise needs s.mu.
func (s *Server) authorise(device uint64, id *p4v1.Uint128) error {
	switch {
	case device != s.cfg.DeviceID:
		return status.Errorf(codes.NotFound, "no device %d", device)
	case s.primary == nil || s.primary.id != (p4rt.ElectionID{High: id.GetHigh(), Low: id.GetLow()}):
		return status.Error(codes.PermissionDenied, "Not primary")
	}
	return nil
}

var errNoPipeline = status.Error(codes.FailedPrecondition, "No forwarding pipeline config set for this device")

func (s *service) Capabilities(context.Context, *p4v1.CapabilitiesRequest) (*p4v1.CapabilitiesResponse, error) {
	rsp := &p4v1.CapabilitiesResponse{P4RuntimeApiVersion: "1.5.0"}
	var err error
	if s.cfg.Keeps { // as the embedded switch does
		rsp.Experimental, err = anypb.New(&structpb.Struct{Fields: map[string]*structpb.Value{
			"reconcile_keeps_what_fits": structpb.NewBoolValue(true),
		}})
	}
	return rsp, err
}

func (s *service) SetForwardingPipelineConfig(ctx context.Context,
	r *p4v1.SetForwardingPipelineConfigRequest) (*p4v1.SetForwardingPipelineConfigResponse, error) {
	if err := s.ask(ctx, s.interceptor, r); err != nil {
		return nil, err
	}
	if err := s.commit(r); err != nil {
		return nil, err
	}
	if err := s.ask(ctx, s.answerer, r); err != nil {
		return nil, err
	}
	return &p4v1.SetForwardingPipelineConfigResponse{}, nil
}

func (s *Server) commit(r *p4v1.SetForwardingPipelineConfigRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.authorise(r.GetDeviceId(), r.GetElectionId()); err != nil {
		return err
	}
	keep := s.cfg.Keeps && r.GetAction() == p4v1.SetForwardingPipelineConfigRequest_RECONCILE_AND_COMMIT
	if !keep && r.GetAction() != p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT {
		return status.Errorf(codes.Unimplemented, "p4rttest: %v", r.GetAction())
	}
	sch, err := newSchema(r.GetConfig().GetP4Info())
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "P4Info: %v", err)
	}
	before := s.state
	s.lose()
	s.config, s.schema = r.GetConfig(), sch
	if keep {
		s.keep(before)
	}
	s.counts.Pushes++
	s.change()
	return nil
}

// keep puts into the state what of another fits the schema. It needs s.mu.
func (s *Server) keep(before *State) {
	order := func(e *p4v1.Entity) int { // members before groups before what refers to them
		switch {
		case e.GetActionProfileMember() != nil:
			return 0
		case e.GetActionProfileGroup() != nil:
			return 1
		}
		return 2
	}
	all := slices.SortedFunc(maps.Values(before.entries), func(a, b *p4v1.Entity) int { return order(a) - order(b) })
	for _, e := range all {
		u := &p4v1.Update{Type: p4v1.Update_INSERT, Entity: e}
		if e.GetTableEntry().GetIsDefaultAction() {
			u.Type = p4v1.Update_MODIFY
		}
		if s.schema.check(u) == nil && s.state.check(u, s.schema) == nil {
			s.state.put(e)
		}
	}
}

func (s *service) GetForwardingPipelineConfig(ctx context.Context,
	r *p4v1.GetForwardingPipelineConfigRequest) (*p4v1.GetForwardingPipelineConfigResponse, error) {
	if err := s.ask(ctx, s.interceptor, r); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.config == nil {
		return nil, errNoPipeline
	}
	c := &p4v1.ForwardingPipelineConfig{Cookie: s.config.GetCookie()}
	switch r.GetResponseType() {
	case p4v1.GetForwardingPipelineConfigRequest_ALL:
		c = s.config
	case p4v1.GetForwardingPipelineConfigRequest_P4INFO_AND_COOKIE:
		c.P4Info = s.config.GetP4Info()
	case p4v1.GetForwardingPipelineConfigRequest_DEVICE_CONFIG_AND_COOKIE:
		c.P4DeviceConfig = s.config.GetP4DeviceConfig()
	}
	return &p4v1.GetForwardingPipelineConfigResponse{Config: c}, nil
}

func (s *service) Write(ctx context.Context, r *p4v1.WriteRequest) (*p4v1.WriteResponse, error) {
	if err := s.ask(ctx, s.interceptor, r); err != nil {
		return nil, err
	}
	errs, err := s.apply(r)
	if err != nil {
		return nil, err
	}
	if err := s.ask(ctx, s.answerer, r); err != nil {
		return nil, err
	}
	if err := answer(errs); err != nil {
		return nil, err
	}
	return &p4v1.WriteResponse{}, nil
}

// apply executes the updates in a shuffled order and gives each its error.
func (s *Server) apply(r *p4v1.WriteRequest) ([]error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.authorise(r.GetDeviceId(), r.GetElectionId()); err != nil {
		return nil, err
	}
	if s.schema == nil {
		return nil, errNoPipeline
	}
	if r.GetAtomicity() != p4v1.WriteRequest_CONTINUE_ON_ERROR {
		return nil, status.Error(codes.Unimplemented, "Support for atomic write modes has not been implemented yet")
	}
	s.counts.Writes++
	s.counts.Updates += len(r.GetUpdates())
	errs := make([]error, len(r.GetUpdates()))
	for _, i := range s.rand.Perm(len(errs)) {
		if errs[i] = s.update(r.GetUpdates()[i]); errs[i] != nil {
			s.counts.Failed++
		}
	}
	s.change()
	return errs, nil
}

func (s *Server) update(u *p4v1.Update) error {
	if s.failUpdate != nil {
		if err := s.failUpdate(u); err != nil {
			return err
		}
	}
	if err := s.schema.check(u); err != nil {
		return err
	}
	if err := s.state.check(u, s.schema); err != nil {
		return err
	}
	if s.cfg.Check != nil {
		if err := s.cfg.Check(u, s.state); err != nil {
			if !s.cfg.MayFail {
				s.tb.Errorf("p4rttest: %v of %v: %v", u.GetType(), u.GetEntity(), err)
			}
			return status.Error(codes.FailedPrecondition, err.Error())
		}
	}
	s.state.apply(u)
	return nil
}

// answer makes the error of a Write RPC of those of its updates, as PI does:
// nil if none failed, else UNKNOWN with one p4.v1.Error for each update.
func answer(errs []error) error {
	details := make([]protoadapt.MessageV1, len(errs))
	failed := false
	for i, err := range errs {
		e := &p4v1.Error{}
		if err != nil {
			st := status.Convert(err)
			e.CanonicalCode, e.Message, e.Space = int32(st.Code()), st.Message(), "ALL-sswitch-p4org"
			failed = true
		}
		details[i] = protoadapt.MessageV1Of(e)
	}
	if !failed {
		return nil
	}
	st, err := status.New(codes.Unknown, "").WithDetails(details...)
	if err != nil {
		return fmt.Errorf("p4rttest: %w", err)
	}
	return st.Err()
}

// readChunk is how many entities one message of the answer holds.
const readChunk = 1000

func (s *service) Read(r *p4v1.ReadRequest, g p4v1.P4Runtime_ReadServer) error {
	if err := s.ask(g.Context(), s.interceptor, r); err != nil {
		return err
	}
	found, err := s.read(r)
	if err != nil {
		return err
	}
	for len(found) > 0 {
		n := min(len(found), readChunk)
		if err := g.Send(&p4v1.ReadResponse{Entities: found[:n]}); err != nil {
			return err
		}
		found = found[n:]
	}
	return nil
}

func (s *Server) read(r *p4v1.ReadRequest) ([]*p4v1.Entity, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.GetDeviceId() != s.cfg.DeviceID {
		return nil, status.Errorf(codes.NotFound, "no device %d", r.GetDeviceId())
	}
	if s.schema == nil {
		return nil, errNoPipeline
	}
	s.counts.Reads++
	var found []*p4v1.Entity
	for _, want := range r.GetEntities() {
		if c := want.GetCounterEntry(); c != nil {
			cells, err := s.readCounter(c)
			if err != nil {
				return nil, err
			}
			found = append(found, cells...)
			continue
		}
		got, err := s.state.read(want)
		if err != nil {
			return nil, err
		}
		found = append(found, got...)
	}
	return found, nil
}

type counterCell struct {
	id    uint32
	index int64
}

// readCounter gives one cell of a counter, or all of them without an index.
func (s *Server) readCounter(c *p4v1.CounterEntry) ([]*p4v1.Entity, error) {
	size, ok := s.schema.counters[c.GetCounterId()]
	if !ok {
		return nil, status.Errorf(codes.InvalidArgument, "no counter %#x in the P4Info", c.GetCounterId())
	}
	first, last := int64(0), size-1
	if c.GetIndex() != nil {
		first, last = c.GetIndex().GetIndex(), c.GetIndex().GetIndex()
	}
	if first < 0 || last >= size {
		return nil, status.Errorf(codes.InvalidArgument, "index %d of counter %#x is not below %d", first, c.GetCounterId(),
			size)
	}
	var cells []*p4v1.Entity
	for i := first; i <= last; i++ {
		v := s.counters[counterCell{c.GetCounterId(), i}]
		if v == nil {
			v = &p4v1.CounterData{}
		}
		cells = append(cells, &p4v1.Entity{Entity: &p4v1.Entity_CounterEntry{CounterEntry: &p4v1.CounterEntry{
			CounterId: c.GetCounterId(), Index: &p4v1.Index{Index: i}, Data: v,
		}}})
	}
	return cells, nil
}
