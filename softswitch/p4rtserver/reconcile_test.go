package p4rtserver

import (
	"slices"
	"strings"
	"sync"
	"testing"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
)

// state is all that a client sees, but default actions of tables whose name is none
// of those.
func (c *client) state(defaults ...string) []*p4v1.Entity {
	c.t.Helper()
	var ids []uint32
	for _, name := range defaults {
		ids = append(ids, c.tg.names.tables[name].Preamble.Id)
	}
	return slices.DeleteFunc(c.everything(), func(e *p4v1.Entity) bool {
		te := e.GetTableEntry()
		return te.GetIsDefaultAction() && !slices.Contains(ids, te.TableId)
	})
}

// keeping is what a form of change leaves of an entity: itself, another form of it,
// or nil.
type keeping func(n *namer, e *p4v1.Entity) *p4v1.Entity

// but keeps all except what is found.
func but(gone func(n *namer, e *p4v1.Entity) bool) keeping {
	return func(n *namer, e *p4v1.Entity) *p4v1.Entity {
		if gone(n, e) {
			return nil
		}
		return e
	}
}

func butTable(names ...string) keeping {
	return but(func(n *namer, e *p4v1.Entity) bool {
		te := e.GetTableEntry()
		return !te.GetIsDefaultAction() &&
			slices.ContainsFunc(names, func(name string) bool { return te.GetTableId() == n.tables[name].Preamble.Id })
	})
}

func butAction(name string) keeping {
	return but(func(n *namer, e *p4v1.Entity) bool {
		return e.GetTableEntry().GetAction().GetAction().GetActionId() == n.actions[name].Preamble.Id
	})
}

func all(_ *namer, e *p4v1.Entity) *p4v1.Entity { return e }

// form is a form of a change of a program, with what it must leave.
type form struct {
	name   string
	change func(changed)
	keep   keeping
}

// proveForms makes each change, and then the opposite one, which must leave what the
// first one left as it was.
func proveForms(
	t *testing.T, config *p4v1.ForwardingPipelineConfig, fill func(*namer) []*p4v1.Update,
	defaults []string, forms []form,
) {
	for _, x := range forms {
		t.Run(x.name, func(t *testing.T) {
			tg, c := startWith(t, config)
			c.mustWrite(fill(tg.names)...)
			var want []*p4v1.Entity
			before := c.state(defaults...)
			for _, e := range before {
				if e = x.keep(tg.names, proto.Clone(e).(*p4v1.Entity)); e != nil {
					want = append(want, e)
				}
			}
			after := changeable(t, config)
			x.change(after)
			if err := c.setPipeline(reconcile, after.config()); err != nil {
				t.Fatal(err)
			}
			between := c.state(defaults...)
			if d := diff(want, between); d != "" {
				t.Errorf("not what should stay (-want +got): %s", d)
			}
			if err := c.setPipeline(reconcile, config); err != nil {
				t.Fatal(err)
			}
			back := c.state(defaults...)
			for _, e := range between {
				if contains(before, e) && !contains(back, e) {
					t.Errorf("lost by the opposite change: %v", e)
				}
			}
		})
	}
}

func someRate() *p4v1.MeterConfig { return &p4v1.MeterConfig{Cir: 5, Cburst: 6, Pir: 7, Pburst: 8} }

func contains(all []*p4v1.Entity, e *p4v1.Entity) bool {
	return slices.ContainsFunc(all, func(one *p4v1.Entity) bool { return proto.Equal(one, e) })
}

func fillKinds(n *namer) []*p4v1.Update {
	to := func(port byte) *p4v1.TableAction { return n.action("ingress.forward", []byte{port}) }
	counted := n.entry("ingress.host", to(1), exact(1))
	counted.CounterData, counted.Metadata = &p4v1.CounterData{PacketCount: 7, ByteCount: 700}, []byte("kept")
	def := n.entry("ingress.host", n.action("ingress.drop"))
	def.IsDefaultAction = true
	ages := n.entry("ingress.source", n.action("NoAction"), exact(1), exact(1))
	ages.IdleTimeoutNs = 1e12
	return []*p4v1.Update{
		insert(counted), insert(n.entry("ingress.host", n.action("ingress.drop"), exact(2))),
		insert(n.entry("ingress.host", n.action("ingress.flood", []byte{3}), exact(3))),
		insert(n.entry("ingress.host", n.action("ingress.to_cpu", []byte{4}), exact(4))), modify(def),
		insert(ages), insert(n.entry("ingress.source", n.action("NoAction"), exact(2), exact(2))),
		insert(n.entry("ingress.prefix", to(2), lpm(48, 1))),
		insert(n.entry("ingress.prefix", n.action("ingress.drop"), lpm(8, 1, 0, 0, 0, 0, 0))),
		insert(withPriority(n.entry("ingress.rule", n.action("ingress.drop"), nil, nil, optional(3)), 4)),
		insert(withPriority(n.entry("ingress.rule", to(3), ternary([]byte{1}, []byte{1}), between([]byte{1}, []byte{9})), 5)),
		insert(group(3, replica(1, 1), replica(2, 1))),
		insert(&p4v1.CloneSessionEntry{SessionId: 4, Replicas: []*p4v1.Replica{replica(1, 1)}}),
		insert(&p4v1.DigestEntry{DigestId: n.ids["seen_t"], Config: &p4v1.DigestEntry_Config{MaxListSize: 1}}),
		modify(&p4v1.CounterEntry{CounterId: n.ids["ingress.by_port"], Index: at(2), Data: counterData(2, 0)}),
		modify(&p4v1.CounterEntry{CounterId: n.ids["ingress.by_port"], Index: at(9), Data: counterData(9, 0)}),
		modify(&p4v1.MeterEntry{MeterId: n.ids["ingress.police"], Index: at(2), Config: someRate()}),
	}
}

func TestReconcileKeepsWhatFitsEachFormOfChange(t *testing.T) {
	nothing := func(changed) {}
	proveForms(t, testConfig(t), fillKinds, []string{"ingress.host", "ingress.rule"}, []form{
		{"nothing", nothing, all},
		{"a table goes", func(c changed) {
			c.without("ingress.prefix")
		}, butTable("ingress.prefix")},
		{"a table has another id", func(c changed) {
			ti, _ := c.table("ingress.prefix")
			ti.Preamble.Id++
		}, butTable("ingress.prefix")},
		{"a table has the id of another", func(c changed) {
			a, _ := c.table("ingress.prefix")
			b, _ := c.table("ingress.source")
			a.Preamble.Id, b.Preamble.Id = b.Preamble.Id, a.Preamble.Id
		}, butTable("ingress.prefix", "ingress.source")},
		{"a field is wider", func(c changed) {
			c.wider("ethernet_t", "type", 24)
			rule, _ := c.key("ingress.rule", 1)
			fixed, _ := c.key("ingress.fixed", 0)
			rule.Bitwidth, fixed.Bitwidth = 24, 24
		}, butTable("ingress.rule")},
		{"a field has another id", func(c changed) {
			f, _ := c.key("ingress.prefix", 0)
			f.Id = 9
		}, butTable("ingress.prefix")},
		{"two fields change ids", func(c changed) {
			a, _ := c.key("ingress.source", 0)
			b, _ := c.key("ingress.source", 1)
			a.Id, b.Id = b.Id, a.Id
		}, butTable("ingress.source")},
		{"a field has another name", func(c changed) {
			f, key := c.key("ingress.prefix", 0)
			f.Name, key["name"] = "other", "other"
		}, butTable("ingress.prefix")},
		{"a field is matched in another way", func(c changed) {
			f, key := c.key("ingress.prefix", 0)
			_, table := c.table("ingress.prefix")
			f.Match = &p4configv1.MatchField_MatchType_{MatchType: p4configv1.MatchField_EXACT}
			key["match_type"], table["match_type"] = "exact", "exact"
		}, butTable("ingress.prefix")},
		{"a table lacks a field", func(c changed) {
			ti, table := c.table("ingress.source")
			ti.MatchFields, table["key"] = ti.MatchFields[:1], table["key"].([]any)[:1]
		}, butTable("ingress.source")},
		{"an action takes one parameter more", func(c changed) {
			c.action("ingress.forward", func(a *p4configv1.Action) {
				a.Params = append(a.Params, &p4configv1.Action_Param{Id: 2, Name: "more", Bitwidth: 8})
			}, func(a map[string]any) {
				a["runtime_data"] = append(a["runtime_data"].([]any), map[string]any{"name": "more", "bitwidth": 8})
			})
		}, butAction("ingress.forward")},
		{"a parameter is wider", func(c changed) { c.widerParam("ingress.forward", 16) }, butAction("ingress.forward")},
		{"a parameter has another id", func(c changed) {
			c.action("ingress.forward", func(a *p4configv1.Action) { a.Params[0].Id = 2 }, nil)
		}, butAction("ingress.forward")},
		{"a parameter has another name", func(c changed) {
			c.action("ingress.forward", func(a *p4configv1.Action) { a.Params[0].Name = "other" },
				func(a map[string]any) { a["runtime_data"].([]any)[0].(map[string]any)["name"] = "other" })
		}, butAction("ingress.forward")},
		{"an action has another id", func(c changed) {
			old := infoAction(c.info, "ingress.forward").Preamble.Id
			for _, ti := range c.info.Tables {
				for _, ref := range ti.ActionRefs {
					if ref.Id == old {
						ref.Id++
					}
				}
			}
			infoAction(c.info, "ingress.forward").Preamble.Id++
		}, butAction("ingress.forward")},
		{"a table lacks an action", func(c changed) {
			ti, _ := c.table("ingress.host")
			flood := infoAction(c.info, "ingress.flood").Preamble.Id
			ti.ActionRefs = slices.DeleteFunc(ti.ActionRefs, func(r *p4configv1.ActionRef) bool { return r.Id == flood })
		}, butAction("ingress.flood")},
		{"an action is for default alone",
			func(c changed) { c.scope("ingress.host", "ingress.drop", p4configv1.ActionRef_DEFAULT_ONLY) },
			but(func(n *namer, e *p4v1.Entity) bool {
				te := e.GetTableEntry()
				return te.GetTableId() == n.tables["ingress.host"].Preamble.Id && !te.IsDefaultAction &&
					te.GetAction().GetAction().GetActionId() == n.actions["ingress.drop"].Preamble.Id
			})},
		{"an action is for entries alone",
			func(c changed) { c.scope("ingress.host", "ingress.drop", p4configv1.ActionRef_TABLE_ONLY) },
			func(n *namer, e *p4v1.Entity) *p4v1.Entity {
				if te := e.GetTableEntry(); te.GetIsDefaultAction() && te.TableId == n.tables["ingress.host"].Preamble.Id {
					te.Action = n.action("NoAction") // the program's
				}
				return e
			}},
		{"the program's default is another", func(c changed) {
			_, rule := c.table("ingress.rule")
			rule["default_entry"].(map[string]any)["action_id"] = c.actionOf(rule, "ingress.drop")
		}, func(n *namer, e *p4v1.Entity) *p4v1.Entity {
			if te := e.GetTableEntry(); te.GetIsDefaultAction() && te.TableId == n.tables["ingress.rule"].Preamble.Id {
				te.Action = n.action("ingress.drop") // no client had set it
			}
			return e
		}},
		{"a table ages no more", func(c changed) {
			ti, table := c.table("ingress.source")
			ti.IdleTimeoutBehavior, table["support_timeout"] = p4configv1.Table_NO_TIMEOUT, false
		}, but(func(_ *namer, e *p4v1.Entity) bool { return e.GetTableEntry().GetIdleTimeoutNs() != 0 })},
		{"a table counts no more", func(c changed) {
			ti, table := c.table("ingress.host")
			ti.DirectResourceIds, c.info.DirectCounters, table["with_counters"] = nil, nil, false
			c.json["counter_arrays"] = c.json["counter_arrays"].([]any)[:1]
		}, func(_ *namer, e *p4v1.Entity) *p4v1.Entity {
			if te := e.GetTableEntry(); te != nil {
				te.CounterData = nil
			}
			return e
		}},
		{"a counter has fewer cells", func(c changed) {
			c.info.Counters[0].Size, c.array("counter_arrays", "ingress.by_port")["size"] = 4, 4
		}, but(func(_ *namer, e *p4v1.Entity) bool { return e.GetCounterEntry().GetIndex().GetIndex() >= 4 })},
		{"a counter goes", func(c changed) { c.info.Counters = nil },
			but(func(_ *namer, e *p4v1.Entity) bool { return e.GetCounterEntry() != nil })},
		{"a meter counts bytes", func(c changed) {
			c.info.Meters[0].Spec.Unit = p4configv1.MeterSpec_BYTES
			c.array("meter_arrays", "ingress.police")["type"] = "bytes"
		}, func(_ *namer, e *p4v1.Entity) *p4v1.Entity {
			if me := e.GetMeterEntry(); me != nil {
				me.Config = nil
			}
			return e
		}},
		{"a meter has fewer cells", func(c changed) {
			c.info.Meters[0].Size, c.array("meter_arrays", "ingress.police")["size"] = 2, 2
		}, but(func(_ *namer, e *p4v1.Entity) bool { return e.GetMeterEntry().GetIndex().GetIndex() >= 2 })},
		{"a digest goes", func(c changed) { c.info.Digests = nil },
			but(func(_ *namer, e *p4v1.Entity) bool { return e.GetDigestEntry() != nil })},
	})
}

func (c changed) scope(table, action string, scope p4configv1.ActionRef_Scope) {
	ti, _ := c.table(table)
	for _, ref := range ti.ActionRefs {
		if ref.Id == infoAction(c.info, action).Preamble.Id {
			ref.Scope = scope
		}
	}
}

// actionOf is the id in the JSON of a table's action.
func (c changed) actionOf(table map[string]any, name string) any {
	c.t.Helper()
	i := slices.Index(table["actions"].([]any), any(name))
	if i < 0 {
		c.t.Fatalf("no action %s", name)
	}
	return table["action_ids"].([]any)[i]
}

func fillFeatures(n *namer) []*p4v1.Update {
	s := newSelectorSubject(n)
	nothing := n.action("ingress.nothing").GetAction()
	metered := n.entry("ingress.by_rate", n.action("ingress.metered_to", []byte{3}), exact(1))
	metered.MeterConfig = someRate()
	return []*p4v1.Update{
		insert(s.member(1, s.to(1))), insert(s.member(2, nothing)), insert(s.member(3, s.to(3))),
		insert(s.group(1, weighted(1, 1), weighted(2, 2))), insert(s.group(2, weighted(1, 1), weighted(3, 1))),
		insert(s.group(3)),
		insert(s.entry(1, byMember(1))), insert(s.entry(2, byMember(2))),
		insert(s.entry(3, byGroup(1))), insert(s.entry(4, byGroup(2))), insert(s.entry(5, byGroup(3))),
		insert(metered),
		modify(&p4v1.RegisterEntry{RegisterId: n.ids["ingress.cells"], Index: at(3), Data: bitData(3)}),
		modify(&p4v1.RegisterEntry{RegisterId: n.ids["ingress.wide_cells"], Index: at(1), Data: bitData(4)}),
		modify(&p4v1.ValueSetEntry{
			ValueSetId: n.ids["p.nobody"], Members: []*p4v1.ValueSetMember{valueSetMember(1), valueSetMember(2)},
		}),
	}
}

func isProfiled(n *namer, e *p4v1.Entity) bool {
	return e.GetActionProfileMember() != nil || e.GetActionProfileGroup() != nil ||
		e.GetTableEntry().GetTableId() == n.tables["ingress.by_choice"].Preamble.Id
}

func TestReconcileKeepsMembersGroupsAndArraysThatFit(t *testing.T) {
	emptyRegister := func(name string) keeping {
		return func(n *namer, e *p4v1.Entity) *p4v1.Entity {
			if re := e.GetRegisterEntry(); re.GetRegisterId() == n.ids[name] {
				re.Data = bitData(0)
			}
			return e
		}
	}
	emptySet := func(_ *namer, e *p4v1.Entity) *p4v1.Entity {
		if v := e.GetValueSetEntry(); v != nil {
			v.Members = nil
		}
		return e
	}
	proveForms(t, configOf(t, "../pipeline/testdata/features"), fillFeatures, nil, []form{
		{"nothing", func(changed) {}, all},
		// Members 1 and 3 go, and with them group 2, which has no others.
		{"an action of members takes a wider parameter", func(c changed) { c.widerParam("ingress.to", 16) },
			func(n *namer, e *p4v1.Entity) *p4v1.Entity {
				te, m := e.GetTableEntry(), e.GetActionProfileMember()
				switch {
				case m != nil && m.MemberId != 2, e.GetActionProfileGroup().GetGroupId() == 2,
					te.GetAction().GetActionProfileMemberId() == 1, te.GetAction().GetActionProfileGroupId() == 2:
					return nil
				}
				if g := e.GetActionProfileGroup(); g.GetGroupId() == 1 {
					g.Members = g.Members[1:]
				}
				return e
			}},
		{"an action profile has another id", func(c changed) {
			ti, _ := c.table("ingress.by_choice")
			ti.ImplementationId++
			c.info.ActionProfiles[0].Preamble.Id++
		}, but(isProfiled)},
		{"a selector becomes a profile", func(c changed) {
			_, table := c.table("ingress.by_choice")
			c.info.ActionProfiles[0].WithSelector, table["type"] = false, "indirect"
			for _, p := range c.json["pipelines"].([]any) {
				for _, one := range p.(map[string]any)["action_profiles"].([]any) {
					delete(one.(map[string]any), "selector")
				}
			}
		}, but(isProfiled)},
		{"a table has no action profile any more", func(c changed) {
			ti, table := c.table("ingress.by_choice")
			ti.ImplementationId, table["type"], c.info.ActionProfiles = 0, "simple", nil
			delete(table, "action_profile")
			table["default_entry"] = map[string]any{
				"action_id": c.actionOf(table, "ingress.nothing"), "action_data": []any{},
				"action_const": false, "action_entry_const": false,
			}
		}, but(isProfiled)},
		{"a direct meter counts bytes", func(c changed) {
			c.info.DirectMeters[0].Spec.Unit = p4configv1.MeterSpec_BYTES
			c.array("meter_arrays", "ingress.own_rate")["type"] = "bytes"
		}, func(_ *namer, e *p4v1.Entity) *p4v1.Entity {
			if te := e.GetTableEntry(); te != nil {
				te.MeterConfig = nil
			}
			return e
		}},
		{"a register's cells are wider", func(c changed) {
			c.info.Registers[0].TypeSpec.GetBitstring().GetBit().Bitwidth = 63
			c.array("register_arrays", "ingress.cells")["bitwidth"] = 63
		}, emptyRegister("ingress.cells")},
		{"a register has fewer cells", func(c changed) {
			c.info.Registers[1].Size, c.array("register_arrays", "ingress.wide_cells")["size"] = 1, 1
		}, but(func(n *namer, e *p4v1.Entity) bool {
			re := e.GetRegisterEntry()
			return re.GetRegisterId() == n.ids["ingress.wide_cells"] && re.Index.GetIndex() == 1
		})},
		{"a value set holds fewer", func(c changed) {
			c.info.ValueSets[0].Size, c.array("parse_vsets", "p.nobody")["max_size"] = 1, 1
		}, emptySet},
		{"a value set goes", func(c changed) { c.info.ValueSets = nil },
			but(func(_ *namer, e *p4v1.Entity) bool { return e.GetValueSetEntry() != nil })},
	})
}

// A table that became smaller keeps as many of its entries as it has room for, and
// what did not fit is counted.
func TestReconcileFillsATableThatIsSmallerNow(t *testing.T) {
	tg, c := startPrimary(t)
	c.mustWrite(fillKinds(tg.names)...)
	before := c.mustRead(entity(tg.names.entry("ingress.host", nil)))
	after := changeable(t, testConfig(t))
	ti, table := after.table("ingress.host")
	ti.Size, table["max_size"] = 3, 3
	if err := c.setPipeline(reconcile, after.config()); err != nil {
		t.Fatal(err)
	}
	got := c.mustRead(entity(tg.names.entry("ingress.host", nil)))
	if len(got) != 3 {
		t.Errorf("%d of %d entries stay, want the 3 that there is room for", len(got), len(before))
	}
	for _, e := range got {
		if !contains(before, e) {
			t.Errorf("there was no %v", e)
		}
	}
	if n := tg.server.Stats().ReconcileDropped; n != 1 {
		t.Errorf("%d dropped, want 1", n)
	}
}

// Entries that the program brings are the new program's, unless the client changed
// or removed them.
func TestReconcileMergesInitialEntries(t *testing.T) {
	before := preinitialized(t, 8) // 88cc: 2, 8809: 3
	tg, c := startWith(t, before)
	n := tg.names
	toCPU := func(reason byte) *p4v1.TableAction { return n.action("ingress.to_cpu", []byte{reason}) }
	push := func(change func(entries []any) []any) map[string]string {
		t.Helper()
		after := changeable(t, before)
		_, table := after.table("ingress.fixed")
		table["entries"] = change(table["entries"].([]any))
		if err := c.setPipeline(reconcile, after.config()); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, e := range c.mustRead(entity(n.entry("ingress.fixed", nil))) {
			te := e.GetTableEntry()
			got[string(te.Match[0].GetExact().Value)] = string(te.Action.GetAction().Params[0].Value)
		}
		return got
	}
	set := func(entry any, reason string) {
		entry.(map[string]any)["action_entry"].(map[string]any)["action_data"] = []any{reason}
	}
	expect := func(what string, got, want map[string]string) {
		t.Helper()
		if d := diff(want, got); d != "" {
			t.Errorf("%s (-want +got): %s", what, d)
		}
	}
	expect("the program changes one and drops one", push(func(entries []any) []any {
		set(entries[0], "0x9")
		return entries[:1]
	}), map[string]string{"\x88\xcc": "\x09"})
	c.commit(before)
	c.mustWrite(modify(n.entry("ingress.fixed", toCPU(7), exact(0x88, 0xcc))),
		remove(n.entry("ingress.fixed", nil, exact(0x88, 0x09))),
		insert(n.entry("ingress.fixed", toCPU(5), exact(0x12, 0x34))))
	expect("what the client did stays", push(func(entries []any) []any {
		set(entries[0], "0x9")
		set(entries[1], "0xa")
		return entries
	}), map[string]string{"\x88\xcc": "\x07", "\x12\x34": "\x05"})
}

// While a pipeline is replaced each frame is forwarded by the entries of the one or
// of the other, never by a part of them.
func TestReconcileForwardsEachFrame(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	updates := []*p4v1.Update{insert(n.entry("ingress.host", n.action("ingress.forward", []byte{5}), exact(9)))}
	for i := range byte(63) {
		updates = append(updates, insert(n.entry("ingress.prefix", n.action("NoAction"), lpm(48, i+1))))
	}
	c.mustWrite(updates...)
	stop := make(chan struct{})
	var running sync.WaitGroup
	var sent, lost int
	running.Go(func() {
		for frame := ethernet(9, 99, 0x9000, ""); ; sent++ {
			select {
			case <-stop:
				return
			default:
			}
			if out := tg.frame(1, frame); len(out) != 1 || out[0].Port != 5 {
				lost++
			}
		}
	})
	other := changeable(t, testConfig(t))
	other.without("ingress.rule")
	for range 10 {
		for _, config := range []*p4v1.ForwardingPipelineConfig{other.config(), testConfig(t)} {
			if err := c.setPipeline(reconcile, config); err != nil {
				t.Error(err)
			}
		}
	}
	close(stop)
	running.Wait()
	if lost > 0 || sent == 0 {
		t.Errorf("%d of %d frames lost", lost, sent)
	}
}

func TestCapabilitiesSayThatReconcileKeepsWhatFits(t *testing.T) {
	tg := startTarget(t)
	rsp, err := tg.rpc.Capabilities(t.Context(), &p4v1.CapabilitiesRequest{})
	if err != nil || !strings.Contains(rsp.GetExperimental().String(), keepsWhatFits) {
		t.Errorf("%v, %v", rsp, err)
	}
}
