package p4rtserver

import (
	"testing"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
)

// selectorSubject makes updates of ingress.choices and ingress.by_choice.
type selectorSubject struct {
	n  *namer
	id uint32
}

func newSelectorSubject(n *namer) selectorSubject {
	return selectorSubject{n: n, id: n.ids["ingress.choices"]}
}

func (s selectorSubject) to(port byte) *p4v1.Action {
	return s.n.action("ingress.to", []byte{port}).GetAction()
}

func (s selectorSubject) member(id uint32, a *p4v1.Action) *p4v1.ActionProfileMember {
	return &p4v1.ActionProfileMember{ActionProfileId: s.id, MemberId: id, Action: a}
}

func (s selectorSubject) group(id uint32, members ...*p4v1.ActionProfileGroup_Member) *p4v1.ActionProfileGroup {
	return &p4v1.ActionProfileGroup{ActionProfileId: s.id, GroupId: id, Members: members}
}

func weighted(id uint32, weight int32) *p4v1.ActionProfileGroup_Member {
	return &p4v1.ActionProfileGroup_Member{MemberId: id, Weight: weight}
}

func watching(m *p4v1.ActionProfileGroup_Member, port byte) *p4v1.ActionProfileGroup_Member {
	m.WatchKind = &p4v1.ActionProfileGroup_Member_WatchPort{WatchPort: []byte{port}}
	return m
}

func (s selectorSubject) entry(op byte, a *p4v1.TableAction) *p4v1.TableEntry {
	return s.n.entry("ingress.by_choice", a, exact(op))
}

func byMember(id uint32) *p4v1.TableAction {
	return &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileMemberId{ActionProfileMemberId: id}}
}

func byGroup(id uint32) *p4v1.TableAction {
	return &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileGroupId{ActionProfileGroupId: id}}
}

func oneShot(actions ...*p4v1.ActionProfileAction) *p4v1.TableAction {
	return &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileActionSet{
		ActionProfileActionSet: &p4v1.ActionProfileActionSet{ActionProfileActions: actions}}}
}

func share(a *p4v1.Action, weight int32) *p4v1.ActionProfileAction {
	return &p4v1.ActionProfileAction{Action: a, Weight: weight}
}

// calcFrame is a frame of the features program; flow changes what the selector
// hashes.
func calcFrame(op byte, flow int) []byte {
	frame := make([]byte, 45+15)
	frame[0], frame[19], frame[20] = op, byte(flow>>8), byte(flow)
	return frame
}

// spread counts the ports that 400 flows leave at.
func (tg *target) spread() map[uint32]int {
	tg.t.Helper()
	seen := map[uint32]int{}
	for flow := range 400 {
		out := tg.frame(0, calcFrame(0x43, flow*7919))
		if len(out) != 1 {
			tg.t.Fatalf("flow %d: %d frames", flow, len(out))
		}
		seen[out[0].Port]++
	}
	return seen
}

func TestGroupSpreadsByWeightAndLeavesOutMembersWhosePortIsDown(t *testing.T) {
	tg, c := startFeatures(t)
	s := newSelectorSubject(tg.names)
	c.mustWrite(insert(s.member(1, s.to(2))), insert(s.member(2, s.to(3))), insert(s.member(3, s.to(4))))
	c.mustWrite(insert(s.group(7, watching(weighted(1, 1), 2), watching(weighted(2, 1), 3), weighted(3, 2))))
	c.mustWrite(insert(s.entry(0x43, byGroup(7))))
	if got := tg.spread(); len(got) != 3 || got[2] < 60 || got[3] < 60 || got[4] < 140 {
		t.Errorf("spread %v, want about 100, 100 and 200", got)
	}
	tg.setDown(2, true)
	eventually(t, "port 2 is left out", func() bool { return tg.spread()[2] == 0 })
	if got := tg.spread(); got[3] < 90 || got[4] < 200 {
		t.Errorf("spread without port 2: %v", got)
	}
	tg.setDown(2, false)
	eventually(t, "port 2 is back", func() bool { return tg.spread()[2] > 60 })
	// What it does changes below the group.
	c.mustWrite(modify(s.member(3, s.to(5))))
	if got := tg.spread(); got[4] != 0 || got[5] < 140 {
		t.Errorf("spread after a change of the member: %v", got)
	}
}

func TestActionSetOfAnEntrySpreadsByWeightAndPort(t *testing.T) {
	tg, c := startFeatures(t)
	s := newSelectorSubject(tg.names)
	one := share(s.to(2), 3)
	one.WatchKind = &p4v1.ActionProfileAction_WatchPort{WatchPort: []byte{9}}
	te := s.entry(0x43, oneShot(one, share(s.to(3), 1), share(s.to(3), 1)))
	te.Metadata = []byte{metadataEscape, 1}
	te.Action.GetActionProfileActionSet().ActionSelectionMode = p4v1.ActionProfileActionSet_HASH
	c.mustWrite(insert(te))
	if got := tg.spread(); len(got) != 2 || got[2] < 180 || got[3] < 110 {
		t.Errorf("spread %v, want about 240 and 160", got)
	}
	if d := diff([]*p4v1.Entity{entity(te)}, c.mustRead(entity(s.entry(0x43, nil)))); d != "" {
		t.Errorf("read back: %s", d)
	}
	tg.setDown(9, true)
	eventually(t, "port 9 is down", func() bool { return tg.spread()[2] == 0 })
	// A MODIFY of the metadata alone keeps the set, and what it watches.
	te.Metadata = []byte("m")
	c.mustWrite(modify(with(te, func(te *p4v1.TableEntry) { te.Action = nil })))
	if d := diff([]*p4v1.Entity{entity(te)}, c.mustRead(entity(s.entry(0x43, nil)))); d != "" {
		t.Errorf("read back after a change of the metadata: %s", d)
	}
	if got := tg.spread(); got[2] != 0 {
		t.Errorf("after a change of the metadata: %v", got)
	}
	c.mustWrite(remove(s.entry(0x43, nil)))
	c.mustWrite(insert(s.member(1, s.to(2)))) // no set is left to forbid it
}

func TestActionSetIsChosenFromByChanceWhereItAsksForIt(t *testing.T) {
	tg, c := startFeatures(t)
	s := newSelectorSubject(tg.names)
	te := s.entry(0x43, oneShot(share(s.to(2), 3), share(s.to(3), 1)))
	set := te.Action.GetActionProfileActionSet()
	set.ActionSelectionMode = p4v1.ActionProfileActionSet_RANDOM
	c.mustWrite(insert(te))
	oneFlow := func() map[uint32]int {
		seen := map[uint32]int{}
		for range 400 {
			seen[tg.frame(0, calcFrame(0x43, 1))[0].Port]++
		}
		return seen
	}
	if got := oneFlow(); got[2] < 250 || got[3] < 50 {
		t.Errorf("one flow: %v, want about 300 and 100", got)
	}
	if d := diff([]*p4v1.Entity{entity(te)}, c.mustRead(entity(s.entry(0x43, nil)))); d != "" {
		t.Errorf("read back: %s", d)
	}
	// A MODIFY of the metadata alone keeps the mode.
	c.mustWrite(modify(with(te, func(te *p4v1.TableEntry) { te.Action, te.Metadata = nil, []byte("m") })))
	if got := oneFlow(); len(got) != 2 {
		t.Errorf("one flow after a change of the metadata: %v", got)
	}
	set.ActionSelectionMode = p4v1.ActionProfileActionSet_HASH
	c.mustWrite(modify(te))
	if got := oneFlow(); len(got) != 1 {
		t.Errorf("one flow by hash: %v", got)
	}
}

func TestMembersAndGroupsReadAsWritten(t *testing.T) {
	tg, c := startFeatures(t)
	s := newSelectorSubject(tg.names)
	m1, m2 := s.member(1, s.to(2)), s.member(2, s.n.action("ingress.nothing").GetAction())
	g := s.group(7, watching(weighted(1, 1), 2), weighted(2, 100))
	g.MaxSize = 200
	c.mustWrite(insert(m1), insert(m2))
	c.mustWrite(insert(g), insert(s.group(8)))
	wild, groups := &p4v1.ActionProfileMember{}, &p4v1.ActionProfileGroup{}
	want := []*p4v1.Entity{entityOf(m1), entityOf(m2)}
	for _, q := range []*p4v1.ActionProfileMember{wild, {ActionProfileId: s.id}} {
		if d := diff(want, c.mustRead(entityOf(q))); d != "" {
			t.Errorf("members by %v: %s", q, d)
		}
	}
	if d := diff(want[:1], c.mustRead(entityOf(&p4v1.ActionProfileMember{ActionProfileId: s.id, MemberId: 1}))); d != "" {
		t.Errorf("member 1: %s", d)
	}
	want = []*p4v1.Entity{entityOf(g), entityOf(s.group(8))}
	for _, q := range []*p4v1.ActionProfileGroup{groups, {ActionProfileId: s.id}} {
		if d := diff(want, c.mustRead(entityOf(q))); d != "" {
			t.Errorf("groups by %v: %s", q, d)
		}
	}
	for _, q := range []any{
		&p4v1.ActionProfileMember{ActionProfileId: s.id, MemberId: 3}, &p4v1.ActionProfileGroup{ActionProfileId: s.id,
			GroupId: 3},
		&p4v1.ActionProfileMember{ActionProfileId: 1}, &p4v1.ActionProfileGroup{GroupId: 7},
	} {
		if out, err := c.read(entityOf(q)); err == nil {
			t.Errorf("%v: got %v, want an error", q, out)
		}
	}
}

func TestEachWrongUpdateOfActionProfilesGetsItsCode(t *testing.T) {
	tg, c := startFeatures(t)
	s := newSelectorSubject(tg.names)
	c.mustWrite(insert(s.member(1, s.to(2))), insert(s.member(2, s.to(3))), insert(s.member(5, s.to(3))))
	c.mustWrite(insert(s.group(7, weighted(1, 1))))
	c.mustWrite(insert(s.entry(1, byGroup(7))), insert(s.entry(2, byMember(2))))
	sized := func(id uint32, size int32, m ...*p4v1.ActionProfileGroup_Member) *p4v1.ActionProfileGroup {
		g := s.group(id, m...)
		g.MaxSize = size
		return g
	}
	for _, x := range []wrongUpdate{
		{"unknown profile", insert(&p4v1.ActionProfileMember{ActionProfileId: 1, MemberId: 9, Action: s.to(1)}), codes.InvalidArgument},
		{"unknown profile of a group", insert(&p4v1.ActionProfileGroup{ActionProfileId: 1, GroupId: 9}), codes.InvalidArgument},
		{"member 0", insert(s.member(0, s.to(1))), codes.InvalidArgument},
		{"member exists", insert(s.member(1, s.to(1))), codes.AlreadyExists},
		{"member without action", insert(s.member(9, nil)), codes.InvalidArgument},
		{"member to modify without action", modify(s.member(1, nil)), codes.InvalidArgument},
		{"member with a foreign action", insert(s.member(9, s.n.action("ingress.metered_to", []byte{1}).GetAction())), codes.InvalidArgument},
		{"member with a wide parameter", insert(s.member(9, s.n.action("ingress.to", []byte{2, 0}).GetAction())), codes.InvalidArgument},
		{"member to modify is not there", modify(s.member(9, s.to(1))), codes.NotFound},
		{"member to delete is not there", remove(s.member(9, nil)), codes.NotFound},
		{"member of a group deleted", remove(s.member(1, nil)), codes.FailedPrecondition},
		{"member of an entry deleted", remove(s.member(2, nil)), codes.FailedPrecondition},
		{"group 0", insert(s.group(0)), codes.InvalidArgument},
		{"group exists", insert(s.group(7)), codes.AlreadyExists},
		{"group to modify is not there", modify(s.group(8)), codes.NotFound},
		{"group to delete is not there", remove(s.group(8)), codes.NotFound},
		{"group of an entry deleted", remove(s.group(7)), codes.FailedPrecondition},
		{"group with an unknown member", insert(s.group(8, weighted(9, 1))), codes.NotFound},
		{"group with a member twice", insert(s.group(8, weighted(1, 1), weighted(1, 2))), codes.InvalidArgument},
		{"group with weight 0", insert(s.group(8, weighted(1, 0))), codes.InvalidArgument},
		{"group with a negative weight", insert(s.group(8, weighted(1, -1))), codes.InvalidArgument},
		{"group with weights beyond reason", insert(s.group(8, weighted(1, 1<<30), weighted(2, 1<<30))), codes.ResourceExhausted},
		{"group larger than it says", insert(sized(8, 2, weighted(1, 1), weighted(2, 2))), codes.ResourceExhausted},
		{"group with a negative size", insert(sized(8, -1)), codes.InvalidArgument},
		{"group's size changed", modify(sized(7, 2, weighted(1, 1))), codes.InvalidArgument},
		{"watch port not there", insert(s.group(8, watching(weighted(1, 1), 99))), codes.InvalidArgument},
		{"watch port too wide", insert(s.group(8, &p4v1.ActionProfileGroup_Member{MemberId: 1, Weight: 1, WatchKind: &p4v1.ActionProfileGroup_Member_WatchPort{WatchPort: []byte{1, 0, 0, 0, 0}}})), codes.InvalidArgument},
		{"watch as a number", insert(s.group(8, &p4v1.ActionProfileGroup_Member{MemberId: 1, Weight: 1, WatchKind: &p4v1.ActionProfileGroup_Member_Watch{Watch: 1}})), codes.Unimplemented},
		{"entry with an action", insert(s.entry(9, s.n.action("ingress.to", []byte{1}))), codes.InvalidArgument},
		{"entry with an unknown member", insert(s.entry(9, byMember(9))), codes.NotFound},
		{"entry with an unknown group", insert(s.entry(9, byGroup(9))), codes.NotFound},
		{"entry with member 0", insert(s.entry(9, byMember(0))), codes.InvalidArgument},
		{"entry with group 0", insert(s.entry(9, byGroup(0))), codes.InvalidArgument},
		{"entry with an action set beside members", insert(s.entry(9, oneShot(share(s.to(1), 1)))), codes.InvalidArgument},
		{"entry without action", insert(s.entry(9, nil)), codes.InvalidArgument},
		{"default entry", modify(&p4v1.TableEntry{TableId: s.entry(9, nil).TableId, IsDefaultAction: true, Action: s.n.action("ingress.nothing")}), codes.PermissionDenied},
	} {
		c.expectRefused(t, x)
	}
}

func TestEachWrongActionSetGetsItsCode(t *testing.T) {
	config := configOf(t, "../pipeline/testdata/features")
	config.P4Info.ActionProfiles[0].MaxGroupSize = 4
	tg, c := startWith(t, config)
	s := newSelectorSubject(tg.names)
	c.mustWrite(insert(s.entry(1, oneShot(share(s.to(1), 4)))))
	set := func(change func(*p4v1.ActionProfileActionSet)) *p4v1.Update {
		a := oneShot(share(s.to(1), 1))
		change(a.GetActionProfileActionSet())
		return insert(s.entry(9, a))
	}
	for _, x := range []wrongUpdate{
		{"empty", insert(s.entry(9, oneShot())), codes.InvalidArgument},
		{"no action", insert(s.entry(9, oneShot(&p4v1.ActionProfileAction{Weight: 1}))), codes.InvalidArgument},
		{"weight 0", insert(s.entry(9, oneShot(share(s.to(1), 0)))), codes.InvalidArgument},
		{"larger than the largest group", insert(s.entry(9, oneShot(share(s.to(1), 4), share(s.to(2), 1)))), codes.InvalidArgument},
		{"parameter missing", insert(s.entry(9, oneShot(share(s.n.action("ingress.to").GetAction(), 1)))), codes.InvalidArgument},
		{"another mode", set(func(a *p4v1.ActionProfileActionSet) { a.ActionSelectionMode = 9 }), codes.InvalidArgument},
		{"another size", set(func(a *p4v1.ActionProfileActionSet) { a.SizeSemantics = p4v1.ActionProfileActionSet_SUM_OF_MEMBERS }), codes.Unimplemented},
		{"a member beside action sets", insert(s.member(1, s.to(1))), codes.InvalidArgument},
		{"a group beside action sets", insert(s.group(1)), codes.InvalidArgument},
	} {
		c.expectRefused(t, x)
	}
}

func TestSizesAndWeightsFollowTheP4Info(t *testing.T) {
	for name, x := range map[string]struct {
		change func(*p4v1.ForwardingPipelineConfig)
		group  func(selectorSubject) *p4v1.ActionProfileGroup
		code   codes.Code
	}{
		"no max_size": {maxGroup(4, 0, false), func(s selectorSubject) *p4v1.ActionProfileGroup { return s.group(1) }, codes.InvalidArgument},
		"max_size above max_group_size": {maxGroup(4, 0, false), func(s selectorSubject) *p4v1.ActionProfileGroup {
			return &p4v1.ActionProfileGroup{ActionProfileId: s.id, GroupId: 1, MaxSize: 5}
		}, codes.InvalidArgument},
		"members count, not weights": {maxGroup(4, 9, false), func(s selectorSubject) *p4v1.ActionProfileGroup {
			return &p4v1.ActionProfileGroup{ActionProfileId: s.id, GroupId: 1, MaxSize: 2,
				Members: []*p4v1.ActionProfileGroup_Member{weighted(1, 9), weighted(2, 9)}}
		}, codes.OK},
		"weight above max_member_weight": {maxGroup(0, 9, false), func(s selectorSubject) *p4v1.ActionProfileGroup { return s.group(1, weighted(1, 10)) }, codes.InvalidArgument},
		"weights disallowed, set":        {maxGroup(0, 0, true), func(s selectorSubject) *p4v1.ActionProfileGroup { return s.group(1, weighted(1, 1)) }, codes.InvalidArgument},
		"weights disallowed, not set":    {maxGroup(0, 0, true), func(s selectorSubject) *p4v1.ActionProfileGroup { return s.group(1, weighted(1, 0), weighted(2, 0)) }, codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			config := configOf(t, "../pipeline/testdata/features")
			x.change(config)
			tg, c := startWith(t, config)
			s := newSelectorSubject(tg.names)
			c.mustWrite(insert(s.member(1, s.to(2))), insert(s.member(2, s.to(3))))
			g := x.group(s)
			if got := codes.Code(c.writeErrors(insert(g))[0].GetCanonicalCode()); got != x.code {
				t.Errorf("got %v, want %v", got, x.code)
			}
			if x.code == codes.OK {
				if d := diff([]*p4v1.Entity{entityOf(g)}, c.mustRead(entityOf(&p4v1.ActionProfileGroup{}))); d != "" {
					t.Error(d)
				}
			}
		})
	}
}

// maxGroup changes the P4Info of the selector; memberWeight above 0 makes
// sizes count members.
func maxGroup(size, memberWeight int32, noWeights bool) func(*p4v1.ForwardingPipelineConfig) {
	return func(config *p4v1.ForwardingPipelineConfig) {
		p := config.P4Info.ActionProfiles[0]
		p.MaxGroupSize, p.WeightsDisallowed = size, noWeights
		if memberWeight > 0 {
			p.SelectorSizeSemantics = &p4configv1.ActionProfile_SumOfMembers_{
				SumOfMembers: &p4configv1.ActionProfile_SumOfMembers{MaxMemberWeight: memberWeight}}
		}
	}
}

func TestDirectMeterBelongsToItsEntry(t *testing.T) {
	tg, c := startFeatures(t)
	n := tg.names
	config := &p4v1.MeterConfig{Cir: 1, Cburst: 1, Pir: 1, Pburst: 2}
	te := n.entry("ingress.by_rate", n.action("ingress.metered_to", []byte{3}), exact(7))
	te.MeterConfig = config
	c.mustWrite(insert(te))
	colours := func() (seen [3]int) {
		for range 4 {
			frame := calcFrame(0x45, 0)
			frame[1] = 7
			seen[tg.frame(0, frame)[0].Data[2]]++
		}
		return seen
	}
	if got := colours(); got != [3]int{1, 1, 2} {
		t.Errorf("colours %v, want one green, one yellow, two red", got)
	}
	query := n.entry("ingress.by_rate", nil, exact(7))
	if got := c.mustRead(entity(query))[0].GetTableEntry().MeterConfig; got != nil {
		t.Errorf("meter_config %v, not asked for", got)
	}
	if got := c.mustRead(entity(with(query,
		func(te *p4v1.TableEntry) { te.MeterConfig = &p4v1.MeterConfig{} }))); diff([]*p4v1.Entity{entity(te)}, got) != "" {
		t.Errorf("entry with its meter: %v", got)
	}
	direct := &p4v1.DirectMeterEntry{TableEntry: query, Config: config}
	for _, q := range []*p4v1.DirectMeterEntry{{TableEntry: query}, {TableEntry: &p4v1.TableEntry{}},
		{TableEntry: &p4v1.TableEntry{TableId: query.TableId}}} {
		if d := diff([]*p4v1.Entity{entityOf(direct)}, c.mustRead(entityOf(q))); d != "" {
			t.Errorf("direct meter by %v: %s", q, d)
		}
	}
	c.mustWrite(modify(&p4v1.DirectMeterEntry{TableEntry: query})) // green again
	if got := colours(); got != [3]int{4, 0, 0} {
		t.Errorf("colours %v without a configuration", got)
	}
	c.mustWrite(modify(direct))
	if got := colours(); got[0] == 4 {
		t.Errorf("colours %v with the configuration again", got)
	}
	c.mustWrite(modify(with(te, func(te *p4v1.TableEntry) { te.MeterConfig, te.Action = nil, nil })))
	if got := colours(); got != [3]int{4, 0, 0} {
		t.Errorf("colours %v after a MODIFY without meter_config", got)
	}
}

func TestEachWrongUpdateOfMetersGetsItsCode(t *testing.T) {
	tg, c := startFeatures(t)
	n := tg.names
	te := n.entry("ingress.by_rate", n.action("ingress.metered_to", []byte{3}), exact(7))
	c.mustWrite(insert(te))
	bad := func(config *p4v1.MeterConfig) *p4v1.Update {
		return modify(&p4v1.DirectMeterEntry{TableEntry: te, Config: config})
	}
	for _, x := range []wrongUpdate{
		{"insert", insert(&p4v1.DirectMeterEntry{TableEntry: te}), codes.InvalidArgument},
		{"delete", remove(&p4v1.DirectMeterEntry{TableEntry: te}), codes.InvalidArgument},
		{"no entry", modify(&p4v1.DirectMeterEntry{}), codes.InvalidArgument},
		{"unknown table", modify(&p4v1.DirectMeterEntry{TableEntry: &p4v1.TableEntry{TableId: 1}}), codes.InvalidArgument},
		{"table without", modify(&p4v1.DirectMeterEntry{TableEntry: n.entry("ingress.by_choice", nil, exact(1))}), codes.InvalidArgument},
		{"entry not there", modify(&p4v1.DirectMeterEntry{TableEntry: n.entry("ingress.by_rate", nil, exact(8))}), codes.NotFound},
		{"counters", modify(&p4v1.DirectMeterEntry{TableEntry: te, CounterData: &p4v1.MeterCounterData{}}), codes.Unimplemented},
		{"counters in the entry", modify(with(te, func(te *p4v1.TableEntry) { te.MeterCounterData = &p4v1.MeterCounterData{} })), codes.Unimplemented},
		{"counters of an indirect meter", modify(&p4v1.MeterEntry{MeterId: n.ids["ingress.rate"], CounterData: &p4v1.MeterCounterData{}}), codes.Unimplemented},
		{"negative", bad(&p4v1.MeterConfig{Cir: -1, Pir: 1}), codes.InvalidArgument},
		{"peak below committed", bad(&p4v1.MeterConfig{Cir: 2, Pir: 1}), codes.InvalidArgument},
		{"excess burst", bad(&p4v1.MeterConfig{Cir: 1, Pir: 1, Eburst: 1}), codes.InvalidArgument},
		{"excess burst in the entry", modify(with(te, func(te *p4v1.TableEntry) { te.MeterConfig = &p4v1.MeterConfig{Eburst: 1} })), codes.InvalidArgument},
		{"excess burst of an indirect meter", modify(&p4v1.MeterEntry{MeterId: n.ids["ingress.rate"], Config: &p4v1.MeterConfig{Eburst: 1}}), codes.InvalidArgument},
	} {
		c.expectRefused(t, x)
	}
}
