package p4rttest

import (
	"errors"
	"fmt"
	"math/bits"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// schema is what a P4Info says about entries.
type schema struct {
	tables   map[uint32]*table
	actions  map[uint32]map[uint32]int32 // widths of the parameters by id
	digests  map[uint32]bool
	counters map[uint32]int64 // sizes
	profiles map[uint32]*profile
}

type table struct {
	name         string
	fields       map[uint32]field
	needPriority bool
	actions      map[uint32]p4configv1.ActionRef_Scope
	constDefault bool
	ages         bool
	size         int64
	profile      uint32 // id of its action profile, 0 = it has none
}

type field struct {
	name  string
	width int32
	kind  p4configv1.MatchField_MatchType
}

func newSchema(info *p4configv1.P4Info) (*schema, error) {
	if len(info.GetTables()) == 0 {
		return nil, errors.New("it has no tables")
	}
	s := &schema{
		tables: map[uint32]*table{}, actions: map[uint32]map[uint32]int32{},
		digests: map[uint32]bool{}, counters: map[uint32]int64{},
	}
	for _, a := range info.GetActions() {
		params := map[uint32]int32{}
		for _, p := range a.GetParams() {
			params[p.GetId()] = p.GetBitwidth()
		}
		s.actions[a.GetPreamble().GetId()] = params
	}
	for _, t := range info.GetTables() {
		s.tables[t.GetPreamble().GetId()] = newTable(t)
	}
	s.profiles = newProfiles(info, s.tables)
	for _, d := range info.GetDigests() {
		s.digests[d.GetPreamble().GetId()] = true
	}
	for _, c := range info.GetCounters() {
		s.counters[c.GetPreamble().GetId()] = c.GetSize()
	}
	return s, nil
}

func newTable(t *p4configv1.Table) *table {
	n := &table{
		name: t.GetPreamble().GetName(), fields: map[uint32]field{}, actions: map[uint32]p4configv1.ActionRef_Scope{},
		constDefault: t.GetConstDefaultActionId() != 0, size: t.GetSize(),
		ages: t.GetIdleTimeoutBehavior() == p4configv1.Table_NOTIFY_CONTROL,
	}
	for _, f := range t.GetMatchFields() {
		n.fields[f.GetId()] = field{f.GetName(), f.GetBitwidth(), f.GetMatchType()}
		switch f.GetMatchType() {
		case p4configv1.MatchField_TERNARY, p4configv1.MatchField_RANGE, p4configv1.MatchField_OPTIONAL:
			n.needPriority = true
		}
	}
	for _, a := range t.GetActionRefs() {
		n.actions[a.GetId()] = a.GetScope()
	}
	return n
}

func invalid(format string, args ...any) error {
	return status.Error(codes.InvalidArgument, fmt.Sprintf(format, args...))
}

// check reports whether an update is valid in itself.
func (s *schema) check(u *p4v1.Update) error {
	switch u.GetType() {
	case p4v1.Update_INSERT, p4v1.Update_MODIFY, p4v1.Update_DELETE:
	default:
		return invalid("Update type is not set")
	}
	switch e := u.GetEntity().GetEntity().(type) {
	case *p4v1.Entity_TableEntry:
		return s.checkTableEntry(u.GetType(), e.TableEntry)
	case *p4v1.Entity_PacketReplicationEngineEntry:
		switch r := e.PacketReplicationEngineEntry.GetType().(type) {
		case *p4v1.PacketReplicationEngineEntry_MulticastGroupEntry:
			return checkGroup(r.MulticastGroupEntry)
		case *p4v1.PacketReplicationEngineEntry_CloneSessionEntry:
			return checkSession(r.CloneSessionEntry)
		}
		return invalid("Invalid PRE operation")
	case *p4v1.Entity_ActionProfileMember:
		return s.checkMember(u.GetType(), e.ActionProfileMember)
	case *p4v1.Entity_ActionProfileGroup:
		return s.checkSelectorGroup(u.GetType(), e.ActionProfileGroup)
	case *p4v1.Entity_DigestEntry:
		return s.checkDigest(u.GetType(), e.DigestEntry)
	default:
		return status.Errorf(codes.Unimplemented, "p4rttest: update of %T", e)
	}
}

func (s *schema) checkTableEntry(typ p4v1.Update_Type, e *p4v1.TableEntry) error {
	t := s.tables[e.GetTableId()]
	if t == nil {
		return invalid("no table %#x in the P4Info", e.GetTableId())
	}
	if err := t.checkKey(typ, e); err != nil {
		return err
	}
	if typ == p4v1.Update_DELETE {
		return nil
	}
	switch {
	case e.GetIdleTimeoutNs() < 0:
		return invalid("%s: idle_timeout_ns must be a positive value", t.name)
	case e.GetIdleTimeoutNs() > 0 && !t.ages:
		return invalid("%s: idle_timeout_ns must be set to 0 for tables which do not support idle timeout", t.name)
	case e.GetTimeSinceLastHit() != nil:
		return invalid("%s: time_since_last_hit in a write", t.name)
	case e.GetAction() == nil && e.GetIsDefaultAction():
		return nil // resets it
	case e.GetAction() == nil:
		return invalid("%s: 'action' field must be set", t.name)
	}
	if t.profile != 0 {
		return s.checkReference(t, e.GetAction())
	}
	a := e.GetAction().GetAction()
	if a == nil {
		return status.Errorf(codes.Unimplemented, "p4rttest: %s: %T", t.name, e.GetAction().GetType())
	}
	return s.checkAction(t, a, e.GetIsDefaultAction())
}

func (t *table) checkKey(typ p4v1.Update_Type, e *p4v1.TableEntry) error {
	if e.GetIsDefaultAction() {
		switch {
		case typ != p4v1.Update_MODIFY:
			return invalid("%s: Cannot use %v for default entry", t.name, typ)
		case len(e.GetMatch()) > 0 || e.GetPriority() != 0:
			return invalid("%s: Non-empty key for default entry", t.name)
		case t.constDefault:
			return status.Errorf(codes.PermissionDenied, "%s: Cannot set / reset default action", t.name)
		}
		return nil
	}
	seen := map[uint32]bool{}
	for _, m := range e.GetMatch() {
		f, ok := t.fields[m.GetFieldId()]
		if !ok {
			return invalid("%s: Unknown field %d in match key", t.name, m.GetFieldId())
		}
		if seen[m.GetFieldId()] {
			return invalid("%s: field %s given twice", t.name, f.name)
		}
		seen[m.GetFieldId()] = true
		if err := f.check(m); err != nil {
			return invalid("%s: field %s: %v", t.name, f.name, err)
		}
	}
	for id, f := range t.fields {
		if f.kind == p4configv1.MatchField_EXACT && !seen[id] {
			return invalid("%s: Missing non-ternary field %s in match key", t.name, f.name)
		}
	}
	if t.needPriority != (e.GetPriority() > 0) {
		return invalid("%s: priority %d: it must be positive exactly when a key is ternary, range or optional", t.name,
			e.GetPriority())
	}
	return nil
}

func (s *schema) checkAction(t *table, a *p4v1.Action, isDefault bool) error {
	scope, ok := t.actions[a.GetActionId()]
	if !ok {
		return invalid("%s: Invalid action %#x for table", t.name, a.GetActionId())
	}
	if scope == p4configv1.ActionRef_TABLE_ONLY && isDefault || scope == p4configv1.ActionRef_DEFAULT_ONLY && !isDefault {
		return status.Errorf(codes.PermissionDenied, "%s: Cannot use %v action %#x here", t.name, scope, a.GetActionId())
	}
	params := s.actions[a.GetActionId()]
	seen := map[uint32]bool{}
	for _, p := range a.GetParams() {
		width, ok := params[p.GetParamId()]
		if !ok || seen[p.GetParamId()] {
			return invalid("%s: action %#x: parameter %d unknown or given twice", t.name, a.GetActionId(), p.GetParamId())
		}
		seen[p.GetParamId()] = true
		if err := canonical(p.GetValue(), width); err != nil {
			return invalid("%s: action %#x: parameter %d: %v", t.name, a.GetActionId(), p.GetParamId(), err)
		}
	}
	if len(seen) != len(params) {
		return invalid("%s: action %#x: %d parameters of %d given", t.name, a.GetActionId(), len(seen), len(params))
	}
	return nil
}

// check reports whether m is a match that the field can have.
func (f field) check(m *p4v1.FieldMatch) error {
	switch v := m.GetFieldMatchType().(type) {
	case *p4v1.FieldMatch_Exact_:
		if f.kind == p4configv1.MatchField_EXACT {
			return canonical(v.Exact.GetValue(), f.width)
		}
	case *p4v1.FieldMatch_Lpm:
		if f.kind == p4configv1.MatchField_LPM {
			return f.checkLPM(v.Lpm)
		}
	case *p4v1.FieldMatch_Ternary_:
		if f.kind == p4configv1.MatchField_TERNARY {
			return f.checkTernary(v.Ternary)
		}
	case *p4v1.FieldMatch_Range_:
		if f.kind == p4configv1.MatchField_RANGE {
			return errors.Join(canonical(v.Range.GetLow(), f.width), canonical(v.Range.GetHigh(), f.width))
		}
	case *p4v1.FieldMatch_Optional_:
		if f.kind == p4configv1.MatchField_OPTIONAL {
			return canonical(v.Optional.GetValue(), f.width)
		}
	}
	return fmt.Errorf("a match of kind %T for a field of kind %v", m.GetFieldMatchType(), f.kind)
}

func (f field) checkLPM(m *p4v1.FieldMatch_LPM) error {
	switch {
	case m.GetPrefixLen() <= 0:
		return fmt.Errorf("prefix length %d: leave the field out for 'don't care'", m.GetPrefixLen())
	case m.GetPrefixLen() > f.width:
		return fmt.Errorf("prefix length %d of %d bits", m.GetPrefixLen(), f.width)
	case trailingZeros(m.GetValue(), f.width) < f.width-m.GetPrefixLen():
		return fmt.Errorf("value %x has bits beyond its prefix of %d", m.GetValue(), m.GetPrefixLen())
	}
	return canonical(m.GetValue(), f.width)
}

func (f field) checkTernary(m *p4v1.FieldMatch_Ternary) error {
	if err := errors.Join(canonical(m.GetValue(), f.width), canonical(m.GetMask(), f.width)); err != nil {
		return err
	}
	if len(m.GetMask()) == 1 && m.GetMask()[0] == 0 {
		return errors.New("mask 0: leave the field out for 'don't care'")
	}
	v, mask := m.GetValue(), m.GetMask()
	for i := 1; i <= len(v); i++ {
		b := byte(0)
		if i <= len(mask) {
			b = mask[len(mask)-i]
		}
		if v[len(v)-i]&^b != 0 {
			return fmt.Errorf("value %x has bits outside its mask %x", v, mask)
		}
	}
	return nil
}

// trailingZeros counts them in a value of width bits.
func trailingZeros(v []byte, width int32) int32 {
	n := int32(0)
	for i := len(v) - 1; i >= 0; i-- {
		if v[i] != 0 {
			return n + int32(bits.TrailingZeros8(v[i]))
		}
		n += 8
	}
	return width
}

// canonical reports whether v is the shortest form of a value of width bits
// (P4Runtime 8.4).
func canonical(v []byte, width int32) error {
	switch {
	case len(v) == 0:
		return errors.New("empty value")
	case len(v) > 1 && v[0] == 0:
		return fmt.Errorf("value %x is not in canonical form", v)
	case int32(8*(len(v)-1)+bits.Len8(v[0])) > width:
		return fmt.Errorf("value %x has more than %d bits", v, width)
	}
	return nil
}

func checkGroup(g *p4v1.MulticastGroupEntry) error {
	switch id := g.GetMulticastGroupId(); {
	case id == 0:
		return invalid("0 is not a valid group id")
	case id > 32767:
		return status.Error(codes.OutOfRange, "Group id value is too high")
	}
	return checkReplicas(g.GetReplicas())
}

func checkSession(c *p4v1.CloneSessionEntry) error {
	switch {
	case c.GetSessionId() == 0:
		return invalid("0 is not a valid session id")
	case c.GetSessionId() > 32767:
		return status.Error(codes.OutOfRange, "Session id value is too high")
	case c.GetPacketLengthBytes() < 0:
		return invalid("negative packet length")
	}
	return checkReplicas(c.GetReplicas())
}

// checkReplicas refuses what BMv2 refuses, and what it accepts and then loses.
func checkReplicas(replicas []*p4v1.Replica) error {
	type copyTo struct{ port, instance uint32 }
	seen := map[copyTo]bool{}
	for _, r := range replicas {
		var c copyTo
		switch p := r.GetPortKind().(type) {
		case *p4v1.Replica_Port:
			if err := canonical(p.Port, 32); err != nil {
				return invalid("replica's port: %v", err)
			}
			for _, b := range p.Port {
				c.port = c.port<<8 | uint32(b)
			}
		case nil:
			return invalid("Missing port in multicast group replica")
		default:
			//lint:ignore SA1019 PI takes and answers it too
			c.port = r.GetEgressPort()
		}
		c.instance = r.GetInstance()
		switch {
		case c.port == 0 || c.port >= 511:
			return invalid("replica to port %d: BMv2 would lose it", c.port)
		case c.instance > 65535:
			return invalid("replica of instance %d: BMv2 would take its lower 16 bits", c.instance)
		case seen[c]:
			return invalid("Duplicate replica in multicast group")
		}
		seen[c] = true
	}
	return nil
}

func (s *schema) checkDigest(typ p4v1.Update_Type, d *p4v1.DigestEntry) error {
	c := d.GetConfig()
	switch {
	case !s.digests[d.GetDigestId()]:
		return invalid("no digest %#x in the P4Info", d.GetDigestId())
	case typ == p4v1.Update_DELETE:
		return nil
	case typ == p4v1.Update_MODIFY:
		return invalid("digest %#x: a MODIFY may crash BMv2", d.GetDigestId())
	case c.GetAckTimeoutNs() <= 0:
		return invalid("digest %#x: without an ack timeout BMv2 sends one for every packet", d.GetDigestId())
	case c.GetMaxListSize() < 1 || (c.GetMaxTimeoutNs() == 0) != (c.GetMaxListSize() == 1):
		return invalid("digest %#x: a list of %d with a timeout of %d ns leaves late or never", d.GetDigestId(),
			c.GetMaxListSize(), c.GetMaxTimeoutNs())
	}
	return nil
}
