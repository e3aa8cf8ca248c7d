package p4rtserver

import (
	"fmt"
	"slices"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// Forwarding is one pipeline with what ties it to its P4Info. It is also the
// [pipeline.Sink] of the workers that run the pipeline.
type Forwarding struct {
	Pipeline *pipeline.Pipeline

	server    *Server
	config    *p4v1.ForwardingPipelineConfig
	tables    []*table // ascending by id
	counters  []*counter
	meters    []*meter
	profiles  []*profile
	registers []*register
	valueSets []*valueSet
	digests   []*digest
	byTable   map[uint32]*table
	byName    map[string]*digest // by the name in the JSON

	packetIn, packetOut *packetHeader // nil: packets have no controller header

	ports    portStates
	sdnNames map[string]*sdnNames // by type

	// What the pipeline does not keep for the control plane; guarded by
	// Server.state.
	groups   map[uint32]groupNote
	sessions map[uint32]sessionNote
}

// counter ties an indirect counter to its P4Info id.
type counter struct {
	id   uint32
	cell *pipeline.Counter
}

// load compiles a configuration and checks its P4Info against it. The error is
// for the client.
func (s *Server) load(config *p4v1.ForwardingPipelineConfig) (*Forwarding, error) {
	info := config.GetP4Info()
	if info == nil || len(config.GetP4DeviceConfig()) == 0 {
		return nil, invalid("the configuration needs p4info and p4_device_config (BMv2 JSON)")
	}
	program, err := pipeline.Load(config.P4DeviceConfig)
	if err != nil {
		return nil, invalid("p4_device_config: %v", err)
	}
	f := &Forwarding{
		Pipeline: pipeline.New(program, s.cfg.Limits), server: s, config: config,
		byTable: map[uint32]*table{}, byName: map[string]*digest{},
		sdnNames: map[string]*sdnNames{},
		ports:    portStates{up: map[uint32]bool{}},
		groups:   map[uint32]groupNote{}, sessions: map[uint32]sessionNote{},
	}
	f.Pipeline.Tick(monotonic())
	for _, bind := range []func(*p4configv1.P4Info) error{
		f.bindProfiles, f.bindTables, f.bindCounters, f.bindMeters, f.bindRegisters, f.bindValueSets, f.bindDigests,
		f.bindPackets,
	} {
		if err := bind(info); err != nil {
			return nil, invalid("p4info and p4_device_config do not agree: %v", err)
		}
	}
	return f, nil
}

func (f *Forwarding) bindTables(info *p4configv1.P4Info) error {
	actions := make(map[uint32]*p4configv1.Action, len(info.Actions))
	for _, a := range info.Actions {
		actions[a.GetPreamble().GetId()] = a
	}
	for _, ti := range info.Tables {
		t, err := f.bindTable(ti, info.GetTypeInfo(), actions)
		if err != nil {
			return fmt.Errorf("table %s: %w", ti.GetPreamble().GetName(), err)
		}
		if err := f.bindProfile(t, ti.ImplementationId); err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
		if f.byTable[t.id] != nil || t.id == 0 {
			return fmt.Errorf("table %s: id %d is 0 or used twice", t.name, t.id)
		}
		f.byTable[t.id] = t
		f.tables = append(f.tables, t)
	}
	slices.SortFunc(f.tables, func(a, b *table) int { return int(int64(a.id) - int64(b.id)) })
	return nil
}

func (f *Forwarding) bindCounters(info *p4configv1.P4Info) error {
	for _, ci := range info.Counters {
		name := ci.GetPreamble().GetName()
		c := f.Pipeline.Counter(name)
		if c == nil {
			return fmt.Errorf("counter %s is not in the JSON", name)
		}
		if int64(c.Size()) != ci.Size {
			return fmt.Errorf("counter %s has %d cells, in the JSON %d", name, ci.Size, c.Size())
		}
		f.counters = append(f.counters, &counter{id: ci.GetPreamble().GetId(), cell: c})
	}
	return nil
}

// counter returns the indirect counter of that id, or nil.
func (f *Forwarding) counter(id uint32) *counter {
	for _, c := range f.counters {
		if c.id == id {
			return c
		}
	}
	return nil
}
