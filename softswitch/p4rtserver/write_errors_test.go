package p4rtserver

import (
	"slices"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// wrongUpdate is an update that must fail, and how.
type wrongUpdate struct {
	name string
	u    *p4v1.Update
	code codes.Code
}

// wrongSubject has the entries that exist when wrong updates come.
type wrongSubject struct {
	n                         *namer
	forward, drop             *p4v1.TableAction
	host, rule, source, fixed *p4v1.TableEntry
}

func newWrongSubject(n *namer) wrongSubject {
	forward := n.action("ingress.forward", []byte{1})
	return wrongSubject{
		n: n, forward: forward, drop: n.action("ingress.drop"),
		host:   n.entry("ingress.host", forward, exact(1)),
		rule:   withPriority(n.entry("ingress.rule", forward, ternary([]byte{1}, []byte{3})), 10),
		source: n.entry("ingress.source", n.action("NoAction"), exact(1), exact(2)),
		fixed:  n.entry("ingress.fixed", n.action("NoAction"), exact(0x88, 0xcc)),
	}
}

func (s wrongSubject) defaultEntry(table string, a *p4v1.TableAction) *p4v1.TableEntry {
	te := s.n.entry(table, a)
	te.IsDefaultAction = true
	return te
}

func TestEachWrongUpdateGetsItsCode(t *testing.T) {
	tg, c := startPrimary(t)
	s := newWrongSubject(tg.names)
	c.mustWrite(insert(s.host), insert(s.rule), insert(s.source), insert(group(7, replica(1, 1))))
	for _, x := range slices.Concat(s.wrongRequestsAndActions(), s.wrongMatches(), s.wrongEntries(), s.wrongOthers()) {
		c.expectRefused(t, x)
	}
}

// expectRefused sends an update that must fail and change nothing.
func (c *client) expectRefused(t *testing.T, x wrongUpdate) {
	t.Run(x.name, func(t *testing.T) {
		t.Helper()
		before := c.everything()
		errs := c.writeErrors(proto.Clone(x.u).(*p4v1.Update))
		if errs[0] == nil || codes.Code(errs[0].CanonicalCode) != x.code || errs[0].Message == "" {
			t.Errorf("got %v, want %v with a message", errs[0], x.code)
		}
		if d := diff(before, c.everything()); d != "" {
			t.Errorf("the update changed something: %s", d)
		}
	})
}

// wrongRequestsAndActions are updates without sense, and with wrong actions.
func (s wrongSubject) wrongRequestsAndActions() []wrongUpdate {
	return []wrongUpdate{
		{"no type", update(p4v1.Update_UNSPECIFIED, s.host), codes.InvalidArgument},
		{"unknown type", update(17, s.host), codes.InvalidArgument},
		{"no entity", &p4v1.Update{Type: p4v1.Update_INSERT}, codes.InvalidArgument},
		{"empty entity", insert(&p4v1.Entity{}), codes.InvalidArgument},
		{"extern", insert(&p4v1.Entity{Entity: &p4v1.Entity_ExternEntry{}}), codes.Unimplemented},
		{"unknown table", insert(&p4v1.TableEntry{TableId: 5, Action: s.forward}), codes.InvalidArgument},
		{"table 0", insert(&p4v1.TableEntry{}), codes.InvalidArgument},
		{"exists", insert(s.host), codes.AlreadyExists},
		{"exists, value with leading zeros", insert(s.n.entry("ingress.host", s.forward, exact(0, 0, 1))), codes.AlreadyExists},
		{"modify what is not there", modify(s.n.entry("ingress.host", s.forward, exact(99))), codes.NotFound},
		{"modify without action what is not there", modify(s.n.entry("ingress.host", nil, exact(99))), codes.NotFound},
		{"delete what is not there", remove(s.n.entry("ingress.host", nil, exact(99))), codes.NotFound},
		{"no action", insert(s.n.entry("ingress.host", nil, exact(99))), codes.InvalidArgument},
		{"empty action", insert(s.n.entry("ingress.host", &p4v1.TableAction{}, exact(99))), codes.InvalidArgument},
		{"member in a direct table", insert(s.n.entry("ingress.host", &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileMemberId{ActionProfileMemberId: 1}}, exact(99))), codes.InvalidArgument},
		{"action of another table", insert(s.n.entry("ingress.host", s.n.action("ingress.report"), exact(99))), codes.InvalidArgument},
		{"default-only action", insert(s.n.entry("ingress.host", s.n.action("NoAction"), exact(99))), codes.PermissionDenied},
		{"table-only action as default", modify(s.defaultEntry("ingress.host", s.n.action("ingress.copy", []byte{1}))), codes.PermissionDenied},
		{"parameter missing", insert(s.n.entry("ingress.host", s.n.action("ingress.forward"), exact(99))), codes.InvalidArgument},
		{"parameter empty", insert(s.n.entry("ingress.host", s.n.action("ingress.forward", []byte{}), exact(99))), codes.InvalidArgument},
		{"parameter too wide", insert(s.n.entry("ingress.host", s.n.action("ingress.forward", []byte{2, 0}), exact(99))), codes.InvalidArgument},
		{"parameter unknown", insert(s.n.entry("ingress.host", &p4v1.TableAction{Type: &p4v1.TableAction_Action{Action: &p4v1.Action{
			ActionId: s.n.actions["ingress.forward"].Preamble.Id,
			Params:   []*p4v1.Action_Param{{ParamId: 9, Value: []byte{1}}}}}}, exact(99))), codes.InvalidArgument},
		{"parameter twice", insert(s.n.entry("ingress.host", &p4v1.TableAction{Type: &p4v1.TableAction_Action{Action: &p4v1.Action{
			ActionId: s.n.actions["ingress.forward"].Preamble.Id, Params: []*p4v1.Action_Param{{ParamId: 1, Value: []byte{1}},
				{ParamId: 1, Value: []byte{1}}}}}}, exact(99))), codes.InvalidArgument},
	}
}

// wrongMatches are updates with wrong keys.
func (s wrongSubject) wrongMatches() []wrongUpdate {
	return []wrongUpdate{
		{"no match", insert(s.n.entry("ingress.host", s.forward)), codes.InvalidArgument},
		{"match empty", insert(s.n.entry("ingress.host", s.forward, exact())), codes.InvalidArgument},
		{"match too wide", insert(s.n.entry("ingress.host", s.forward, exact(1, 0, 0, 0, 0, 0, 0))), codes.InvalidArgument},
		{"match of another kind", insert(s.n.entry("ingress.host", s.forward, lpm(8, 1, 0, 0, 0, 0, 0))), codes.InvalidArgument},
		{"match without kind", insert(&p4v1.TableEntry{TableId: s.host.TableId, Action: s.forward, Match: []*p4v1.FieldMatch{{FieldId: 1}}}), codes.InvalidArgument},
		{"unknown field", insert(&p4v1.TableEntry{TableId: s.host.TableId, Action: s.forward, Match: []*p4v1.FieldMatch{{FieldId: 9, FieldMatchType: exact(1).FieldMatchType}}}), codes.InvalidArgument},
		{"field twice", insert(&p4v1.TableEntry{TableId: s.host.TableId, Action: s.forward, Match: []*p4v1.FieldMatch{s.host.Match[0], s.host.Match[0]}}), codes.InvalidArgument},
		{"second exact field missing", insert(s.n.entry("ingress.source", s.n.action("NoAction"), exact(1))), codes.InvalidArgument},
		{"priority without need", insert(withPriority(s.n.entry("ingress.host", s.forward, exact(99)), 1)), codes.InvalidArgument},
		{"no priority", insert(s.n.entry("ingress.rule", s.forward)), codes.InvalidArgument},
		{"negative priority", insert(withPriority(s.n.entry("ingress.rule", s.forward), -1)), codes.InvalidArgument},
		{"lpm of length 0", insert(s.n.entry("ingress.prefix", s.forward, lpm(0, 0))), codes.InvalidArgument},
		{"lpm too long", insert(s.n.entry("ingress.prefix", s.forward, lpm(49, 1))), codes.InvalidArgument},
		{"lpm with host bits", insert(s.n.entry("ingress.prefix", s.forward, lpm(8, 1, 0, 0, 0, 0, 1))), codes.InvalidArgument},
		{"ternary with a zero mask", insert(withPriority(s.n.entry("ingress.rule", s.forward, ternary([]byte{0}, []byte{0})), 1)), codes.InvalidArgument},
		{"ternary value outside the mask", insert(withPriority(s.n.entry("ingress.rule", s.forward, ternary([]byte{2}, []byte{1})), 1)), codes.InvalidArgument},
		{"ternary without mask", insert(withPriority(s.n.entry("ingress.rule", s.forward, ternary([]byte{2}, nil)), 1)), codes.InvalidArgument},
		{"range the wrong way", insert(withPriority(s.n.entry("ingress.rule", s.forward, nil, between([]byte{2}, []byte{1})), 1)), codes.InvalidArgument},
		{"range of everything", insert(withPriority(s.n.entry("ingress.rule", s.forward, nil, between([]byte{0}, []byte{0xff, 0xff})), 1)), codes.InvalidArgument},
		{"range without high", insert(withPriority(s.n.entry("ingress.rule", s.forward, nil, between([]byte{1}, nil)), 1)), codes.InvalidArgument},
		{"optional too wide", insert(withPriority(s.n.entry("ingress.rule", s.forward, nil, nil, optional(2, 0)), 1)), codes.InvalidArgument},
		{"same match, another priority is another entry", remove(withPriority(s.n.entry("ingress.rule", nil, ternary([]byte{1}, []byte{3})), 11)), codes.NotFound},
	}
}

// wrongEntries are updates that their table forbids.
func (s wrongSubject) wrongEntries() []wrongUpdate {
	return []wrongUpdate{
		{"constant table, insert", insert(s.n.entry("ingress.fixed", s.n.action("NoAction"), exact(1))), codes.PermissionDenied},
		{"constant table, modify", modify(s.fixed), codes.PermissionDenied},
		{"constant table, delete", remove(s.fixed), codes.PermissionDenied},
		{"is_const", insert(with(s.n.entry("ingress.host", s.forward, exact(99)), func(te *p4v1.TableEntry) { te.IsConst = true })), codes.InvalidArgument},
		{"table without key", insert(s.n.entry("ingress.nokey", s.drop)), codes.InvalidArgument},
		{"idle timeout not supported", insert(with(s.n.entry("ingress.host", s.forward, exact(99)), func(te *p4v1.TableEntry) { te.IdleTimeoutNs = 1 })), codes.InvalidArgument},
		{"negative idle timeout", modify(with(s.source, func(te *p4v1.TableEntry) { te.IdleTimeoutNs = -1 })), codes.InvalidArgument},
		{"time since last hit", modify(with(s.source, func(te *p4v1.TableEntry) { te.TimeSinceLastHit = &p4v1.TableEntry_IdleTimeout{} })), codes.InvalidArgument},
		{"counter data without counter", modify(with(s.source, func(te *p4v1.TableEntry) { te.CounterData = &p4v1.CounterData{} })), codes.InvalidArgument},
		{"negative counter data", modify(with(s.host, func(te *p4v1.TableEntry) { te.CounterData = &p4v1.CounterData{ByteCount: -1} })), codes.InvalidArgument},
		{"meter without meter", modify(with(s.host, func(te *p4v1.TableEntry) { te.MeterConfig = &p4v1.MeterConfig{} })), codes.InvalidArgument},
		{"default entry, insert", insert(s.defaultEntry("ingress.host", s.drop)), codes.InvalidArgument},
		{"default entry, delete", remove(s.defaultEntry("ingress.host", s.drop)), codes.InvalidArgument},
		{"default entry with match", modify(with(s.host, func(te *p4v1.TableEntry) { te.IsDefaultAction = true })), codes.InvalidArgument},
		{"default entry with priority", modify(withPriority(s.defaultEntry("ingress.rule", s.drop), 1)), codes.InvalidArgument},
		{"default entry with timeout", modify(with(s.defaultEntry("ingress.source", s.n.action("NoAction")), func(te *p4v1.TableEntry) { te.IdleTimeoutNs = 1 })), codes.InvalidArgument},
		{"constant default", modify(s.defaultEntry("ingress.prefix", s.drop)), codes.PermissionDenied},
	}
}

// wrongOthers are updates of replication, counters and digests.
func (s wrongSubject) wrongOthers() []wrongUpdate {
	return []wrongUpdate{
		{"replication entry of nothing", insert(&p4v1.PacketReplicationEngineEntry{}), codes.InvalidArgument},
		{"group 0", insert(group(0, replica(1, 1))), codes.InvalidArgument},
		{"group id too large", insert(group(1<<17, replica(1, 1))), codes.InvalidArgument},
		{"group exists", insert(group(7, replica(1, 1))), codes.AlreadyExists},
		{"group to modify is not there", modify(group(8, replica(1, 1))), codes.NotFound},
		{"group to delete is not there", remove(group(8)), codes.NotFound},
		{"replica twice", modify(group(7, replica(1, 1), replica(2, 1), replica(1, 1))), codes.InvalidArgument},
		{"replica without port", modify(group(7, &p4v1.Replica{Instance: 1})), codes.InvalidArgument},
		{"replica with an empty port", modify(group(7, &p4v1.Replica{PortKind: &p4v1.Replica_Port{}})), codes.InvalidArgument},
		{"replica with a wide port", modify(group(7, &p4v1.Replica{PortKind: &p4v1.Replica_Port{Port: []byte{1, 0, 0, 0, 0}}})), codes.InvalidArgument},
		{"replica instance too large", modify(group(7, replica(1, 1<<16))), codes.InvalidArgument},
		{"backup without port", modify(group(7, backed(replica(1, 1), &p4v1.BackupReplica{}))), codes.InvalidArgument},
		{"backup at the replica's port", modify(group(7, backed(replica(1, 1), &p4v1.BackupReplica{Port: []byte{1}, Instance: 2}))), codes.InvalidArgument},
		{"backup at another backup's port", modify(group(7, backed(replica(1, 1), &p4v1.BackupReplica{Port: []byte{2}, Instance: 2}, &p4v1.BackupReplica{Port: []byte{2}, Instance: 3}))), codes.InvalidArgument},
		{"backup as another replica", modify(group(7, backed(replica(1, 1), &p4v1.BackupReplica{Port: []byte{2}, Instance: 2}), replica(2, 2))), codes.InvalidArgument},
		{"backup instance too large", modify(group(7, backed(replica(1, 1), &p4v1.BackupReplica{Port: []byte{2}, Instance: 1 << 16}))), codes.InvalidArgument},
		{"backup at the drop port", modify(group(7, backed(replica(1, 1), &p4v1.BackupReplica{Port: []byte{1, 0xff}}))), codes.InvalidArgument},
		{"backup in a session", insert(&p4v1.CloneSessionEntry{SessionId: 3, Replicas: []*p4v1.Replica{backed(replica(1, 1), &p4v1.BackupReplica{Port: []byte{2}})}}), codes.Unimplemented},
		{"session 0", insert(&p4v1.CloneSessionEntry{Replicas: []*p4v1.Replica{replica(1, 1)}}), codes.InvalidArgument},
		{"session to modify is not there", modify(&p4v1.CloneSessionEntry{SessionId: 3}), codes.NotFound},
		{"session to delete is not there", remove(&p4v1.CloneSessionEntry{SessionId: 3}), codes.NotFound},
		{"session with negative length", insert(&p4v1.CloneSessionEntry{SessionId: 3, PacketLengthBytes: -1}), codes.InvalidArgument},
		{"meter insert", insert(&p4v1.MeterEntry{MeterId: s.n.ids["ingress.police"]}), codes.InvalidArgument},
		{"meter unknown", modify(&p4v1.MeterEntry{MeterId: 5}), codes.InvalidArgument},
		{"meter index too large", modify(&p4v1.MeterEntry{MeterId: s.n.ids["ingress.police"], Index: &p4v1.Index{Index: 16}}), codes.OutOfRange},
		{"meter rate negative", modify(&p4v1.MeterEntry{MeterId: s.n.ids["ingress.police"], Config: &p4v1.MeterConfig{Cir: -1}}), codes.InvalidArgument},
		{"counter insert", insert(&p4v1.CounterEntry{CounterId: s.n.ids["ingress.by_port"]}), codes.InvalidArgument},
		{"unknown counter", modify(&p4v1.CounterEntry{CounterId: 4}), codes.InvalidArgument},
		{"counter index negative", modify(&p4v1.CounterEntry{CounterId: s.n.ids["ingress.by_port"], Index: &p4v1.Index{Index: -1}}), codes.InvalidArgument},
		{"counter index too large", modify(&p4v1.CounterEntry{CounterId: s.n.ids["ingress.by_port"], Index: &p4v1.Index{Index: 16}}), codes.OutOfRange},
		{"direct counter insert", insert(&p4v1.DirectCounterEntry{TableEntry: s.host}), codes.InvalidArgument},
		{"direct counter without entry", modify(&p4v1.DirectCounterEntry{}), codes.InvalidArgument},
		{"direct counter of a table without", modify(&p4v1.DirectCounterEntry{TableEntry: s.source, Data: &p4v1.CounterData{}}), codes.InvalidArgument},
		{"direct counter of no entry", modify(&p4v1.DirectCounterEntry{TableEntry: s.n.entry("ingress.host", nil, exact(99)), Data: &p4v1.CounterData{}}), codes.NotFound},
		{"unknown digest", insert(&p4v1.DigestEntry{DigestId: 4}), codes.InvalidArgument},
		{"digest without config", insert(&p4v1.DigestEntry{DigestId: s.n.ids["seen_t"]}), codes.InvalidArgument},
		{"digest with negative timeout", insert(&p4v1.DigestEntry{DigestId: s.n.ids["seen_t"], Config: &p4v1.DigestEntry_Config{MaxTimeoutNs: -1}}), codes.InvalidArgument},
		{"digest to modify is not configured", modify(&p4v1.DigestEntry{DigestId: s.n.ids["seen_t"], Config: &p4v1.DigestEntry_Config{}}), codes.NotFound},
		{"digest to delete is not configured", remove(&p4v1.DigestEntry{DigestId: s.n.ids["seen_t"]}), codes.NotFound},
	}
}
