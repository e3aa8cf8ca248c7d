package differential

import (
	"math/big"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
)

// groups and sessions are there in each run, so that actions which name one
// often name one that exists.
const (
	groups   = 4
	sessions = 2
)

// config makes random entries for each table, and what they may refer to.
func (p *Pool) config(info *p4configv1.P4Info, ports []uint32) []*p4v1.Entity {
	var out []*p4v1.Entity
	for id := range uint32(groups) {
		g := &p4v1.MulticastGroupEntry{MulticastGroupId: id + 1}
		g.Replicas = p.replicas(ports)
		out = append(out, replication(&p4v1.PacketReplicationEngineEntry{
			Type: &p4v1.PacketReplicationEngineEntry_MulticastGroupEntry{MulticastGroupEntry: g}}))
	}
	for id := range uint32(sessions) {
		c := &p4v1.CloneSessionEntry{SessionId: id + 1, Replicas: p.replicas(ports)}
		out = append(out, replication(&p4v1.PacketReplicationEngineEntry{
			Type: &p4v1.PacketReplicationEngineEntry_CloneSessionEntry{CloneSessionEntry: c}}))
	}
	for _, d := range info.Digests {
		out = append(out, &p4v1.Entity{Entity: &p4v1.Entity_DigestEntry{DigestEntry: &p4v1.DigestEntry{
			DigestId: d.Preamble.Id, Config: &p4v1.DigestEntry_Config{MaxListSize: 1}}}})
	}
	actions := map[uint32]*p4configv1.Action{}
	for _, a := range info.Actions {
		actions[a.Preamble.Id] = a
	}
	for _, t := range info.Tables {
		if t.IsConstTable || t.ImplementationId != 0 {
			continue
		}
		for range min(int(t.Size), 4+8*len(t.MatchFields)) {
			if len(t.MatchFields) > 0 {
				out = append(out, p.entry(t, actions, ports))
			}
		}
		if t.ConstDefaultActionId == 0 && p.rng.IntN(3) == 0 {
			out = append(out, p.defaultEntry(t, actions, ports))
		}
	}
	return out
}

func replication(e *p4v1.PacketReplicationEngineEntry) *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_PacketReplicationEngineEntry{PacketReplicationEngineEntry: e}}
}

func (p *Pool) replicas(ports []uint32) []*p4v1.Replica {
	var out []*p4v1.Replica
	for i := range 1 + p.rng.IntN(4) {
		port := ports[p.rng.IntN(len(ports))]
		out = append(out, &p4v1.Replica{Instance: uint32(i + 1),
			PortKind: &p4v1.Replica_Port{Port: big.NewInt(int64(port)).Bytes()}})
	}
	return out
}

func (p *Pool) entry(t *p4configv1.Table, actions map[uint32]*p4configv1.Action, ports []uint32) *p4v1.Entity {
	te := &p4v1.TableEntry{TableId: t.Preamble.Id}
	for _, f := range t.MatchFields {
		m, priority := p.match(f, ports)
		if priority {
			te.Priority = int32(1 + p.rng.IntN(1000))
		}
		if m != nil {
			te.Match = append(te.Match, m)
		}
	}
	te.Action = p.action(t, p4configv1.ActionRef_DEFAULT_ONLY, actions, ports)
	return &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: te}}
}

func (p *Pool) defaultEntry(t *p4configv1.Table, actions map[uint32]*p4configv1.Action, ports []uint32) *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{
		TableId: t.Preamble.Id, IsDefaultAction: true, Action: p.action(t, p4configv1.ActionRef_TABLE_ONLY, actions, ports)}}}
}

// action is one of the table's but those of a scope.
func (p *Pool) action(t *p4configv1.Table, not p4configv1.ActionRef_Scope, actions map[uint32]*p4configv1.Action,
	ports []uint32) *p4v1.TableAction {
	var refs []*p4configv1.ActionRef
	for _, r := range t.ActionRefs {
		if r.Scope != not {
			refs = append(refs, r)
		}
	}
	a := actions[refs[p.rng.IntN(len(refs))].Id]
	act := &p4v1.Action{ActionId: a.Preamble.Id}
	for _, param := range a.Params {
		act.Params = append(act.Params, &p4v1.Action_Param{ParamId: param.Id,
			Value: canonical(p.portOr(int(param.Bitwidth), ports))})
	}
	return &p4v1.TableAction{Type: &p4v1.TableAction_Action{Action: act}}
}

// portOr is most often a port of the switch where the width is a port's.
func (p *Pool) portOr(bits int, ports []uint32) *big.Int {
	if bits == 9 && p.rng.IntN(8) > 0 {
		return big.NewInt(int64(ports[p.rng.IntN(len(ports))]))
	}
	return p.value(bits)
}

func canonical(v *big.Int) []byte {
	if v.Sign() == 0 {
		return []byte{0}
	}
	return v.Bytes()
}

// match is a random match of the field, nil for anything; the table has
// priorities if one of its fields says so.
func (p *Pool) match(f *p4configv1.MatchField, ports []uint32) (m *p4v1.FieldMatch, priority bool) {
	bits := int(f.Bitwidth)
	m = &p4v1.FieldMatch{FieldId: f.Id}
	wildcard := p.rng.IntN(4) == 0
	switch f.GetMatchType() {
	case p4configv1.MatchField_EXACT:
		m.FieldMatchType = &p4v1.FieldMatch_Exact_{Exact: &p4v1.FieldMatch_Exact{Value: canonical(p.portOr(bits, ports))}}
		return m, false
	case p4configv1.MatchField_LPM:
		n := 1 + p.rng.IntN(bits)
		v := p.value(bits)
		v = new(big.Int).Lsh(new(big.Int).Rsh(v, uint(bits-n)), uint(bits-n))
		m.FieldMatchType = &p4v1.FieldMatch_Lpm{Lpm: &p4v1.FieldMatch_LPM{Value: canonical(v), PrefixLen: int32(n)}}
	case p4configv1.MatchField_TERNARY:
		mask := p.random(bits)
		if p.rng.IntN(2) == 0 {
			mask = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(bits)), big.NewInt(1))
		}
		if wildcard = wildcard || mask.Sign() == 0; !wildcard {
			v := new(big.Int).And(p.value(bits), mask)
			m.FieldMatchType = &p4v1.FieldMatch_Ternary_{Ternary: &p4v1.FieldMatch_Ternary{Value: canonical(v),
				Mask: canonical(mask)}}
		}
		priority = true
	case p4configv1.MatchField_RANGE:
		low, high := p.value(bits), p.value(bits)
		if low.Cmp(high) > 0 {
			low, high = high, low
		}
		full := low.Sign() == 0 && high.BitLen() == bits && new(big.Int).Add(high, big.NewInt(1)).BitLen() > bits
		wildcard = wildcard || full
		m.FieldMatchType = &p4v1.FieldMatch_Range_{Range: &p4v1.FieldMatch_Range{Low: canonical(low), High: canonical(high)}}
		priority = true
	case p4configv1.MatchField_OPTIONAL:
		m.FieldMatchType = &p4v1.FieldMatch_Optional_{Optional: &p4v1.FieldMatch_Optional{Value: canonical(p.value(bits))}}
		priority = true
	}
	if wildcard {
		return nil, priority
	}
	return m, priority
}
