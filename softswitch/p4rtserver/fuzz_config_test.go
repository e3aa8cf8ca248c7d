package p4rtserver

import (
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// disturb changes one scalar or drops one element somewhere in a message.
func disturb(rng *rand.Rand, m protoreflect.Message) {
	var fields []protoreflect.FieldDescriptor
	m.Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		fields = append(fields, fd)
		return true
	})
	if len(fields) == 0 {
		return
	}
	fd := fields[rng.IntN(len(fields))]
	switch {
	case fd.IsMap():
		m.Clear(fd)
	case fd.IsList():
		list := m.Mutable(fd).List()
		i := rng.IntN(list.Len())
		switch {
		case rng.IntN(6) == 0:
			list.Append(list.Get(rng.IntN(list.Len())))
		case rng.IntN(6) == 0:
			list.Truncate(i)
		case fd.Message() != nil:
			disturb(rng, list.Get(i).Message())
		}
	case fd.Message() != nil:
		if rng.IntN(8) == 0 {
			m.Clear(fd)
			return
		}
		disturb(rng, m.Mutable(fd).Message())
	default:
		m.Set(fd, odd(rng, fd, m.Get(fd)))
	}
}

// odd is a value that the field should not have.
func odd(rng *rand.Rand, fd protoreflect.FieldDescriptor, old protoreflect.Value) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString([]string{"", "nothing", old.String() + "x"}[rng.IntN(3)])
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32([]uint32{0, 1, uint32(old.Uint()) + 1, 1<<32 - 1}[rng.IntN(4)])
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32([]int32{0, -1, int32(old.Int()) + 1, 10000, 1<<31 - 1}[rng.IntN(5)])
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64([]int64{0, -1, old.Int() + 1, 1 << 40}[rng.IntN(4)])
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(!old.Bool())
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum([]protoreflect.EnumNumber{0, 1, 2, 99}[rng.IntN(4)])
	}
	return old
}

// FuzzConfigure pushes P4Info that does not agree with the JSON, and JSON that
// is cut short. What is refused says why and changes nothing; what is taken can
// be written, read and run.
func FuzzConfigure(f *testing.F) {
	programs := []*p4v1.ForwardingPipelineConfig{
		testConfig(f), configOf(f, "../pipeline/testdata/features"), configOf(f, "testdata/translated"),
	}
	f.Add(uint64(1), uint8(1), uint16(0))
	f.Add(uint64(2), uint8(6), uint16(0))
	f.Add(uint64(3), uint8(0), uint16(900))
	f.Fuzz(func(t *testing.T, seed uint64, changes uint8, cut uint16) {
		good := programs[seed%3]
		s, err := New(Config{DeviceID: testDevice, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Configure(good); err != nil {
			t.Fatal(err)
		}
		before := s.Forwarding()
		config := proto.Clone(good).(*p4v1.ForwardingPipelineConfig)
		rng := rand.New(rand.NewPCG(seed, 1))
		for range changes % 8 {
			disturb(rng, config.P4Info.ProtoReflect())
		}
		if n := int(cut); n > 0 && n < len(config.P4DeviceConfig) {
			config.P4DeviceConfig = config.P4DeviceConfig[:n]
		}
		if err := s.Configure(config); err != nil {
			if s.Forwarding() != before {
				t.Error("a refused configuration runs")
			}
			return
		}
		exercise(t, s, config.P4Info)
	})
}

// exercise writes an entry to each table, reads all back and sends frames.
func exercise(t *testing.T, s *Server, info *p4configv1.P4Info) {
	var updates []*p4v1.Update
	for _, ti := range info.Tables {
		te := &p4v1.TableEntry{TableId: ti.GetPreamble().GetId(), Priority: 1}
		for _, m := range ti.MatchFields {
			te.Match = append(te.Match, &p4v1.FieldMatch{FieldId: m.Id,
				FieldMatchType: &p4v1.FieldMatch_Exact_{Exact: &p4v1.FieldMatch_Exact{Value: []byte{1}}}})
		}
		for _, ref := range ti.ActionRefs {
			te.Action = &p4v1.TableAction{Type: &p4v1.TableAction_Action{Action: &p4v1.Action{ActionId: ref.Id}}}
		}
		updates = append(updates, insert(te))
	}
	for _, err := range s.Apply(updates) {
		if err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
	}
	var tr translator
	var out reply
	fw := s.Forwarding()
	for _, e := range []*p4v1.Entity{
		entity(&p4v1.TableEntry{CounterData: &p4v1.CounterData{}}),
		{Entity: &p4v1.Entity_CounterEntry{CounterEntry: &p4v1.CounterEntry{}}},
		{Entity: &p4v1.Entity_MeterEntry{MeterEntry: &p4v1.MeterEntry{}}},
	} {
		_ = fw.read(&tr, &out, e)
	}
	w := fw.Pipeline.NewWorker(fw)
	for _, frame := range [][]byte{{}, ethernet(1, 2, 0x800, "payload"), ethernet(1, 2, 0x88cc, "")} {
		for _, port := range []uint32{1, testCPUPort} {
			w.Process(port, frame)
		}
		for _, p := range w.Out {
			fw.PacketIn(p.Data)
		}
		w.Reset()
	}
}

func TestAConfigurationWhoseHalvesDisagreeIsRefusedWithTheReason(t *testing.T) {
	for name, c := range map[string]struct {
		change func(i *p4configv1.P4Info)
		word   string
	}{
		"a table that the JSON lacks":      {func(i *p4configv1.P4Info) { i.Tables[0].Preamble.Name = "ghosts" }, "table ghosts: it is not in the JSON"},
		"two tables with an id":            {func(i *p4configv1.P4Info) { i.Tables[1].Preamble.Id = i.Tables[0].Preamble.Id }, "used twice"},
		"a match field of another width":   {func(i *p4configv1.P4Info) { i.Tables[0].MatchFields[0].Bitwidth = 10000 }, "10000 bits"},
		"a match field too few":            {func(i *p4configv1.P4Info) { i.Tables[0].MatchFields = i.Tables[0].MatchFields[:1] }, "match fields"},
		"an action that P4Info lacks":      {func(i *p4configv1.P4Info) { i.Tables[0].ActionRefs[0].Id = 99 }, "action id 99 is not in the P4Info"},
		"a counter of another size":        {func(i *p4configv1.P4Info) { i.Counters[0].Size = 1 << 40 }, "cells"},
		"a parameter of another width":     {func(i *p4configv1.P4Info) { infoAction(i, "ingress.forward").Params[0].Bitwidth = 0 }, "parameter port"},
		"a digest that the JSON lacks":     {func(i *p4configv1.P4Info) { i.Digests[0].Preamble.Name = "ghosts" }, "ghosts"},
		"controller metadata without bits": {func(i *p4configv1.P4Info) { i.ControllerPacketMetadata[0].Metadata[0].Bitwidth = -1 }, "-1 bits"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := New(Config{DeviceID: testDevice, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			config := testConfig(t)
			c.change(config.P4Info)
			if err := s.Configure(config); err == nil || !strings.Contains(err.Error(), c.word) || s.Forwarding() != nil {
				t.Errorf("%v; want a word of %q", err, c.word)
			}
		})
	}
}

func TestOtherObjectsThatDisagreeAreRefusedWithTheReason(t *testing.T) {
	for name, c := range map[string]struct {
		change func(i *p4configv1.P4Info)
		word   string
	}{
		"a selector without its profile":        {func(i *p4configv1.P4Info) { i.ActionProfiles = nil }, "implementation_id"},
		"a profile that the JSON lacks":         {func(i *p4configv1.P4Info) { i.ActionProfiles[0].Preamble.Name = "ghosts" }, "ghosts"},
		"a selector that is a profile":          {func(i *p4configv1.P4Info) { i.ActionProfiles[0].WithSelector = false }, "with_selector"},
		"a profile of another size":             {func(i *p4configv1.P4Info) { i.ActionProfiles[0].Size = 1 }, "in the JSON 16"},
		"a register that the JSON lacks":        {func(i *p4configv1.P4Info) { i.Registers[0].Preamble.Name = "ghosts" }, "ghosts"},
		"a register of another size":            {func(i *p4configv1.P4Info) { i.Registers[0].Size = 99 }, "99 cells"},
		"a register without a type":             {func(i *p4configv1.P4Info) { i.Registers[0].TypeSpec = nil }, "not supported"},
		"a value set that the JSON lacks":       {func(i *p4configv1.P4Info) { i.ValueSets[0].Preamble.Name = "ghosts" }, "ghosts"},
		"a value set of another width":          {func(i *p4configv1.P4Info) { i.ValueSets[0].Match[0].Bitwidth = 9 }, "9 bits"},
		"a direct meter of a table without one": {func(i *p4configv1.P4Info) { i.DirectMeters[0].DirectTableId = 1 }, "direct meter"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := New(Config{DeviceID: testDevice, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			config := configOf(t, "../pipeline/testdata/features")
			c.change(config.P4Info)
			if err := s.Configure(config); err == nil || !strings.Contains(err.Error(), c.word) || s.Forwarding() != nil {
				t.Errorf("%v; want a word of %q", err, c.word)
			}
		})
	}
}

func infoAction(i *p4configv1.P4Info, name string) *p4configv1.Action {
	for _, a := range i.Actions {
		if a.Preamble.Name == name {
			return a
		}
	}
	panic(name)
}
