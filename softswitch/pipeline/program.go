package pipeline

import (
	"fmt"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// Program is a loaded P4 program: immutable, shared by any number of
// pipelines.
type Program struct {
	*layout
	std         stdFields
	parser      parser
	ingress     control
	egress      control
	deparser    deparser
	tables      []*tableSpec
	profiles    []*profileSpec
	counters    []bmv2json.Counter // indirect ones
	meters      []bmv2json.Meter
	registers   []bmv2json.Register
	valueSets   []bmv2json.ValueSet
	digests     []fieldList
	lists       []fieldList
	constants   []slotValue
	params      int // first slot of action parameters
	keyWords    int
	selectWords int
}

// slotValue is a constant that lives in the register file.
type slotValue struct {
	slot  int
	words []uint64
}

// stdFields are the fields of standard metadata that the target itself uses.
type stdFields struct {
	ingressPort, egressPort, egressSpec, packetLength, instanceType stdField
	mcastGrp, egressRid, parserError, checksumError                 stdField
	ingressTime, egressTime, enqTime, dequeTime                     stdField
}

// stdField is one of them; where the program lacks it, or for a clock never
// reads it, it is slot 0 with no bits, which belongs to nothing.
type stdField struct {
	slot int
	mask uint64
}

// fieldList is what a digest carries or a copy preserves.
type fieldList struct {
	id     int
	name   string
	fields []field
	words  int
}

// Load parses BMv2 JSON, checks every reference in it and compiles it. Errors
// name the element; what the engine does not support is such an error too
// (ErrUnsupported).
func Load(json []byte) (*Program, error) {
	spec, err := bmv2json.Parse(json)
	if err != nil {
		return nil, err
	}
	return compile(spec)
}

// Digests lists the program's digests.
func (p *Program) Digests() []DigestInfo {
	var out []DigestInfo
	for _, d := range p.digests {
		info := DigestInfo{ID: uint32(d.id), Name: d.name}
		for _, f := range d.fields {
			info.Bits = append(info.Bits, f.bits)
		}
		out = append(out, info)
	}
	return out
}

// compiler holds what is needed only while a program is compiled.
type compiler struct {
	spec         *bmv2json.Program
	prog         *Program
	l            *layout
	actionByID   map[int]*action
	calculations map[string]*calculation
	counterIndex map[string]int
	meterIndex   map[string]int
	profileIndex map[string]int // + 1
	digestIndex  map[int]int
	listIndex    map[int]int
	empty        int // index of the empty field list + 1
}

func compile(spec *bmv2json.Program) (*Program, error) {
	l, err := newLayout(spec)
	if err != nil {
		return nil, err
	}
	c := &compiler{spec: spec, l: l, prog: &Program{layout: l},
		actionByID: map[int]*action{}, calculations: map[string]*calculation{},
		counterIndex: map[string]int{}, meterIndex: map[string]int{}, profileIndex: map[string]int{},
		digestIndex: map[int]int{}, listIndex: map[int]int{}}
	if len(spec.Externs) > 0 {
		return nil, fmt.Errorf("extern_instances: %q of type %q: %w", spec.Externs[0].Name, spec.Externs[0].Type,
			ErrUnsupported)
	}
	for _, step := range []func() error{
		c.standardMetadata, c.arrays, c.fieldLists, c.compileCalculations, c.compileActions,
		c.compileProfiles, c.compileParser, c.compileControls, c.compileDeparser, c.compileChecksums, c.timestamps,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if l.slots > maxSlots {
		return nil, fmt.Errorf("the program needs %d words of registers; at most %d: %w", l.slots, maxSlots, ErrUnsupported)
	}
	return c.prog, nil
}

// standardMetadata finds the fields that the target itself reads and writes.
func (c *compiler) standardMetadata() error {
	s := &c.prog.std
	for _, f := range []struct {
		field    *stdField
		name     string
		required bool
	}{
		{&s.ingressPort, "standard_metadata.ingress_port", true},
		{&s.egressPort, "standard_metadata.egress_port", true},
		{&s.egressSpec, "standard_metadata.egress_spec", true},
		{&s.packetLength, "standard_metadata.packet_length", true},
		{&s.instanceType, "standard_metadata.instance_type", true},
		{&s.mcastGrp, "intrinsic_metadata.mcast_grp", false},
		{&s.egressRid, "intrinsic_metadata.egress_rid", false},
		{&s.parserError, "standard_metadata.parser_error", false},
		{&s.checksumError, "standard_metadata.checksum_error", false},
	} {
		fd := c.l.target(f.name)
		switch {
		case fd == nil && f.required:
			return fmt.Errorf("headers: no field %q, which the target needs", f.name)
		case fd == nil:
			continue
		case fd.words > 1 || fd.varbit || !fd.header.meta:
			return fmt.Errorf("headers: field %q is no metadata of at most 64 bits", f.name)
		}
		*f.field = stdField{fd.slot, fd.mask()}
	}
	return nil
}

// timestamps notes which clocks the program reads at all: reading the time
// costs more than most of what a packet needs.
func (c *compiler) timestamps() error {
	s := &c.prog.std
	for _, f := range []struct {
		field *stdField
		name  string
	}{
		{&s.ingressTime, "intrinsic_metadata.ingress_global_timestamp"},
		{&s.egressTime, "intrinsic_metadata.egress_global_timestamp"},
		{&s.enqTime, "queueing_metadata.enq_timestamp"},
		{&s.dequeTime, "queueing_metadata.deq_timedelta"},
	} {
		if fd := c.l.target(f.name); fd != nil && fd.words == 1 && c.l.used[fd.slot] {
			*f.field = stdField{fd.slot, fd.mask()}
		}
	}
	return nil
}

// arrays numbers the counters, meters and registers.
func (c *compiler) arrays() error {
	const most = 1 << 24 // words or cells in all
	cells := 0
	for _, s := range c.spec.Counters {
		if s.Direct {
			continue
		}
		if _, ok := c.counterIndex[s.Name]; ok || s.Size < 1 || s.Size > most {
			return fmt.Errorf("counter_arrays: %q: it is there twice, or its size %d is not in 1..%d", s.Name, s.Size, most)
		}
		cells += s.Size
		c.counterIndex[s.Name] = len(c.prog.counters)
		c.prog.counters = append(c.prog.counters, s)
	}
	for i, s := range c.spec.Meters {
		if s.RateCount != 2 {
			return fmt.Errorf("meter_arrays: %q: %d rates: %w", s.Name, s.RateCount, ErrUnsupported)
		}
		if _, ok := c.meterIndex[s.Name]; ok || !s.Direct && (s.Size < 1 || s.Size > most) {
			return fmt.Errorf("meter_arrays: %q: it is there twice, or its size %d is not in 1..%d", s.Name, s.Size, most)
		}
		cells += max(0, s.Size)
		c.meterIndex[s.Name] = i
	}
	c.prog.meters = c.spec.Meters
	for _, s := range c.spec.Registers {
		if s.Size < 1 || s.Bits < 1 || s.Bits > maxFieldBits || s.Size > most/((s.Bits+63)/64) {
			return fmt.Errorf("register_arrays: %q: %d cells of %d bits: %w", s.Name, s.Size, s.Bits, ErrUnsupported)
		}
		cells += s.Size * ((s.Bits + 63) / 64)
	}
	c.prog.registers = c.spec.Registers
	for _, s := range c.spec.ValueSets {
		if s.Size < 0 || s.Bits < 1 || s.Bits > maxFieldBits {
			return fmt.Errorf("parse_vsets: %q: %d members of %d bits: %w", s.Name, s.Size, s.Bits, ErrUnsupported)
		}
	}
	c.prog.valueSets = c.spec.ValueSets
	if cells > most {
		return fmt.Errorf("counter_arrays, meter_arrays and register_arrays: %d cells in all; at most %d: %w", cells, most,
			ErrUnsupported)
	}
	return nil
}

func (c *compiler) fieldLists() error {
	for i := range c.spec.LearnLists {
		l, err := c.fieldListOf(&c.spec.LearnLists[i])
		if err != nil {
			return fmt.Errorf("learn_lists: %q: %w", c.spec.LearnLists[i].Name, err)
		}
		c.digestIndex[l.id] = len(c.prog.digests)
		c.prog.digests = append(c.prog.digests, *l)
	}
	for i := range c.spec.FieldLists {
		l, err := c.fieldListOf(&c.spec.FieldLists[i])
		if err != nil {
			return fmt.Errorf("field_lists: %q: %w", c.spec.FieldLists[i].Name, err)
		}
		c.listIndex[l.id] = len(c.prog.lists)
		c.prog.lists = append(c.prog.lists, *l)
	}
	return nil
}

func (c *compiler) fieldListOf(s *bmv2json.FieldList) (*fieldList, error) {
	l := &fieldList{id: s.ID, name: s.Name}
	for i, v := range s.Elements {
		if v.Type != "field" {
			return nil, fmt.Errorf("element %d of type %q: %w", i, v.Type, ErrUnsupported)
		}
		f, err := c.l.field(v.Field)
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
		if f.varbit {
			return nil, fmt.Errorf("element %d: varbit field %q: %w", i, f.name, ErrUnsupported)
		}
		l.fields = append(l.fields, *f)
		l.words += f.words
	}
	return l, nil
}

// emptyList is the list that preserves nothing.
func (c *compiler) emptyList() int {
	if c.empty == 0 {
		c.prog.lists = append(c.prog.lists, fieldList{})
		c.empty = len(c.prog.lists)
	}
	return c.empty - 1
}
