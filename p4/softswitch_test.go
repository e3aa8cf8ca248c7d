package p4_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// softswitch is a target in memory: the embedded switch's pipeline without
// ports and without P4Runtime.
type softswitch struct {
	pipeline *pipeline.Pipeline
	worker   *pipeline.Worker
	reports  []p4.Learn
	failed   error // of a digest
}

// loaded is the program, which takes longer to load than most tests to run.
var loaded = sync.OnceValues(func() (*pipeline.Program, error) { return pipeline.Load(p4.DeviceConfig()) })

func newSoftswitch(t *testing.T) target {
	t.Helper()
	prog, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	s := &softswitch{pipeline: pipeline.New(prog, pipeline.Limits{})}
	s.worker = s.pipeline.NewWorker(s)
	return s
}

// Digest is for pipeline.Sink.
func (s *softswitch) Digest(_ uint32, _ string, fields [][]byte) {
	var members []*p4v1.P4Data
	for _, f := range fields {
		members = append(members, &p4v1.P4Data{Data: &p4v1.P4Data_Bitstring{Bitstring: slices.Clone(f)}})
	}
	l, err := p4.DecodeLearn(&p4v1.P4Data{Data: &p4v1.P4Data_Struct{Struct: &p4v1.P4StructLike{Members: members}}})
	if err != nil {
		s.failed = err
	}
	s.reports = append(s.reports, l)
}

func (s *softswitch) learned() ([]p4.Learn, error) {
	l := s.reports
	s.reports = nil
	return l, s.failed
}

func (s *softswitch) count(counter string, index uint32) (counted, error) {
	c := s.pipeline.Counter(counter)
	if c == nil {
		return counted{}, fmt.Errorf("no counter %s", counter)
	}
	packets, bytes := c.Read(int(index))
	return counted{packets, bytes}, nil
}

func (s *softswitch) meter(e *p4v1.MeterEntry) error {
	for _, m := range p4.P4Info().GetMeters() {
		if m.GetPreamble().GetId() != e.GetMeterId() {
			continue
		}
		var config *pipeline.MeterConfig
		if c := e.GetConfig(); c != nil {
			config = &pipeline.MeterConfig{CIR: c.GetCir(), CBurst: c.GetCburst(), PIR: c.GetPir(), PBurst: c.GetPburst()}
		}
		return s.pipeline.Meter(m.GetPreamble().GetName()).SetConfig(int(e.GetIndex().GetIndex()), config)
	}
	return fmt.Errorf("no meter %#x", e.GetMeterId())
}

func (s *softswitch) countEntry(e p4.Entry) (counted, error) {
	table, te := tableEntry(e.Entity().GetTableEntry())
	got, err := s.pipeline.Table(table).Get(te)
	return counted{got.Packets, got.Bytes}, err
}

func (s *softswitch) process(port uint32, frame []byte) (out, error) {
	s.worker.Reset()
	s.worker.Process(port, frame)
	o := out{}
	for _, p := range s.worker.Out {
		o[p.Port] = append(o[p.Port], slices.Clone(p.Data))
	}
	return o, nil
}

func (s *softswitch) insert(entries ...p4.Entry) error {
	for _, e := range entries {
		if err := s.insertOne(e); err != nil {
			return fmt.Errorf("%v: %w", e, err)
		}
	}
	return nil
}

func (s *softswitch) insertOne(e p4.Entry) error {
	v, err := p4.Decode(e)
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case p4.Group:
		return s.pipeline.SetGroup(uint32(v.ID), replicas(v.Members...))
	case p4.UplinkSlot, p4.NextHopSlot:
		m := e.Entity().GetActionProfileMember()
		name, params := named(m.GetAction())
		return s.profile(m.GetActionProfileId()).InsertMember(m.GetMemberId(), name, params)
	case p4.UplinkGroup, p4.NextHopGroup:
		g := e.Entity().GetActionProfileGroup()
		var members []pipeline.GroupMember
		for _, m := range g.GetMembers() {
			members = append(members, pipeline.GroupMember{Member: m.GetMemberId(), Weight: int(m.GetWeight())})
		}
		return s.profile(g.GetActionProfileId()).SetGroup(g.GetGroupId(), members, true)
	case p4.CloneSession:
		return s.pipeline.SetSession(v.ID, pipeline.Session{Replicas: replicas(p4.GroupMember{Port: v.Port,
			Instance: p4.LocalInstance})})
	}
	table, te := tableEntry(e.Entity().GetTableEntry())
	return s.pipeline.Table(table).Insert(te)
}

func (s *softswitch) modify(entries ...p4.Entry) error {
	for _, e := range entries {
		var err error
		if m := e.Entity().GetActionProfileMember(); m != nil {
			name, params := named(m.GetAction())
			err = s.profile(m.GetActionProfileId()).ModifyMember(m.GetMemberId(), name, params)
		} else {
			table, te := tableEntry(e.Entity().GetTableEntry())
			err = s.pipeline.Table(table).Modify(te)
		}
		if err != nil {
			return fmt.Errorf("%v: %w", e, err)
		}
	}
	return nil
}

func replicas(members ...p4.GroupMember) []pipeline.Replica {
	var out []pipeline.Replica
	for _, m := range members {
		out = append(out, pipeline.Replica{Port: uint32(m.Port), Instance: m.Instance})
	}
	return out
}

// tableEntry gives an entry the names of P4Info, which the JSON has too.
func tableEntry(te *p4v1.TableEntry) (string, *pipeline.Entry) {
	info := p4.P4Info()
	i := slices.IndexFunc(info.GetTables(),
		func(t *p4configv1.Table) bool { return t.GetPreamble().GetId() == te.GetTableId() })
	e := &pipeline.Entry{
		Priority: te.GetPriority(), TimeoutNs: te.GetIdleTimeoutNs(),
		Member: te.GetAction().GetActionProfileMemberId(), Group: te.GetAction().GetActionProfileGroupId(),
	}
	if a := te.GetAction().GetAction(); a != nil {
		e.Action, e.Params = named(a)
	}
	for _, f := range info.GetTables()[i].GetMatchFields() {
		m := pipeline.Match{Any: true}
		for _, c := range te.GetMatch() {
			if c.GetFieldId() != f.GetId() {
				continue
			}
			switch {
			case c.GetExact() != nil:
				m = pipeline.Match{Value: c.GetExact().GetValue()}
			case c.GetLpm() != nil:
				m = pipeline.Match{Value: c.GetLpm().GetValue(), PrefixLen: int(c.GetLpm().GetPrefixLen())}
			case c.GetTernary() != nil:
				m = pipeline.Match{Value: c.GetTernary().GetValue(), Mask: c.GetTernary().GetMask()}
			}
		}
		e.Match = append(e.Match, m)
	}
	return info.GetTables()[i].GetPreamble().GetName(), e
}

// named gives an action's name and parameters.
func named(a *p4v1.Action) (name string, params [][]byte) {
	all := p4.P4Info().GetActions()
	i := slices.IndexFunc(all, func(o *p4configv1.Action) bool { return o.GetPreamble().GetId() == a.GetActionId() })
	for _, p := range a.GetParams() {
		params = append(params, p.GetValue())
	}
	return all[i].GetPreamble().GetName(), params
}

// profile is an action profile, by its id in P4Info.
func (s *softswitch) profile(id uint32) *pipeline.Profile {
	for _, p := range p4.P4Info().GetActionProfiles() {
		if p.GetPreamble().GetId() == id {
			return s.pipeline.Profile(p.GetPreamble().GetName())
		}
	}
	return nil
}
