package p4rtserver

import (
	"cmp"
	"maps"
	"slices"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// reconcile commits a configuration with what fits it of the present state (14).
// Packets run through the present pipeline until the new one has all of that.
func (s *Server) reconcile(config *p4v1.ForwardingPipelineConfig) error {
	f, err := s.load(config)
	if err != nil {
		return err
	}
	c, err := s.carry(s.control, f)
	if err != nil {
		return err
	}
	s.control = f
	s.commit()
	c.report()
	return nil
}

// carry fills a pipeline with what fits it of another's state; from may be nil.
func (s *Server) carry(from, to *Forwarding) (*carrier, error) {
	c := &carrier{server: s, from: from, to: to, losses: map[string]*loss{}, members: map[[2]uint32]bool{}}
	if from == nil {
		return c, nil
	}
	c.same = compare(from.config.P4Info, to.config.P4Info)
	var err error
	if c.first, err = s.load(from.config); err != nil {
		return nil, err
	}
	for _, step := range []func() error{c.carryProfiles, c.carryTables, c.carryReplication, c.carryArrays} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	c.carryCounters()
	return c, nil
}

// carrier takes state over from one pipeline to another. What P4Info describes in
// the same way in both is taken: by id, name and width, and for an entry the key
// and the action too. The rest stays behind.
type carrier struct {
	server   *Server
	from, to *Forwarding
	// first is from as it was when it was set. What did not change since then is
	// the program's, and the new program has its own.
	first   *Forwarding
	same    *sameness
	tr      translator
	kept    int
	losses  map[string]*loss   // by the object
	members map[[2]uint32]bool // that were taken, by action profile and id
}

// loss is what stays behind of a table or another object.
type loss struct {
	count int
	why   string // of the first
}

// drop notes that something stays behind.
func (c *carrier) drop(object, why string, count int) {
	l := c.losses[object]
	if l == nil {
		l = &loss{why: why}
		c.losses[object] = l
	}
	l.count += count
}

// write makes an update of the new pipeline.
func (c *carrier) write(object string, op p4v1.Update_Type, e *p4v1.Entity) bool {
	if err := c.to.apply(&c.tr, &p4v1.Update{Type: op, Entity: e}); err != nil {
		c.drop(object, status.Convert(err).Message(), 1)
		return false
	}
	c.kept++
	return true
}

func (c *carrier) report() {
	if c.from == nil {
		return
	}
	dropped := 0
	for _, object := range slices.Sorted(maps.Keys(c.losses)) {
		l := c.losses[object]
		c.server.log.Warn("state does not fit the new pipeline and is gone", "of", object, "count", l.count, "why", l.why)
		dropped += l.count
	}
	c.server.counters.dropped.Add(uint64(dropped))
	c.server.log.Info("state taken over from the pipeline before", "kept", c.kept, "dropped", dropped)
}

// carryProfiles takes members and groups of action profiles. A group keeps those of
// its members that are taken; one that would have none left is not taken.
func (c *carrier) carryProfiles() error {
	var members, groups reply
	if err := c.from.readMembers(&members, nil); err != nil {
		return err
	}
	if err := c.from.readProfileGroups(&groups, nil); err != nil {
		return err
	}
	for _, e := range members.found {
		m := e.GetActionProfileMember()
		object := "members of action profile " + c.from.profile(m.ActionProfileId).name
		switch why := cmp.Or(c.same.profiles[m.ActionProfileId], c.same.actions[m.GetAction().GetActionId()]); {
		case why != "":
			c.drop(object, why, 1)
		case c.write(object, p4v1.Update_INSERT, e):
			c.members[[2]uint32{m.ActionProfileId, m.MemberId}] = true
		}
	}
	for _, e := range groups.found {
		c.carryGroup(e.GetActionProfileGroup())
	}
	return nil
}

func (c *carrier) carryGroup(g *p4v1.ActionProfileGroup) {
	object := "groups of action profile " + c.from.profile(g.ActionProfileId).name
	if why := c.same.profiles[g.ActionProfileId]; why != "" {
		c.drop(object, why, 1)
		return
	}
	left := proto.Clone(g).(*p4v1.ActionProfileGroup)
	left.Members = slices.DeleteFunc(left.Members, func(m *p4v1.ActionProfileGroup_Member) bool {
		return !c.members[[2]uint32{g.ActionProfileId, m.MemberId}]
	})
	if len(left.Members) == 0 && len(g.Members) > 0 {
		c.drop(object, "none of its members fits", 1)
		return
	}
	c.write(object, p4v1.Update_INSERT, profileGroupEntity(left))
}

func (c *carrier) carryTables() error {
	for _, t := range c.from.tables {
		if t.fixed {
			continue
		}
		if why := c.same.tables[t.id]; why != "" {
			if n := t.entries.Len() - c.first.byTable[t.id].entries.Len(); n > 0 {
				c.drop("table "+t.name, why, n)
			}
			continue
		}
		if err := c.carryTable(t, c.first.byTable[t.id], c.to.byTable[t.id]); err != nil {
			return err
		}
	}
	for _, t := range c.from.tables {
		c.carryDefault(t)
	}
	return nil
}

// carryTable takes the entries of a table, and takes out what the client removed
// of those that the program brings.
func (c *carrier) carryTable(from, first, to *table) error {
	brought, err := first.byKey()
	if err != nil {
		return err
	}
	fresh, err := to.byKey()
	if err != nil {
		return err
	}
	var out reply
	if err := from.read(&c.tr, &out, withDirect()); err != nil {
		return err
	}
	for _, e := range out.found {
		te := e.GetTableEntry()
		if len(brought)+len(fresh) == 0 {
			c.carryEntry(from, to, p4v1.Update_INSERT, te)
			continue
		}
		key, err := keyText(te)
		if err != nil {
			return err
		}
		was, is := brought[key], fresh[key]
		delete(brought, key)
		switch untouched := was != nil && sameEntry(was, te); {
		case untouched && (is == nil || !sameEntry(is, te)): // the new program has another
		case is != nil:
			c.carryEntry(from, to, p4v1.Update_MODIFY, te)
		default:
			c.carryEntry(from, to, p4v1.Update_INSERT, te)
		}
	}
	for key := range brought {
		if is := fresh[key]; is != nil {
			c.write("table "+to.name, p4v1.Update_DELETE, entity(is))
		}
	}
	return nil
}

// carryEntry takes an entry with those of its direct resources that the new table
// has.
func (c *carrier) carryEntry(from, to *table, op p4v1.Update_Type, te *p4v1.TableEntry) {
	object := "table " + from.name
	if why := c.same.action(te.Action); why != "" {
		c.drop(object, why, 1)
		return
	}
	c.keepDirect(to, te)
	c.write(object, op, entity(te))
}

// keepDirect takes out of an entry the direct resources that its new table lacks or
// understands in another way.
func (c *carrier) keepDirect(to *table, te *p4v1.TableEntry) {
	if !to.counter {
		te.CounterData = nil
	}
	if !c.same.directMeters[to.id] {
		te.MeterConfig = nil
	}
}

// carryDefault takes a default action that the client set.
func (c *carrier) carryDefault(t *table) {
	to := c.to.byTable[t.id]
	te := t.defaultMessage(withDirect())
	if te.IsConst || te.Action == nil || c.same.tables[t.id] != "" || to.constDefault || t.profile != nil {
		return
	}
	brought, fresh := c.first.byTable[t.id].defaultMessage(withDirect()), to.defaultMessage(withDirect())
	if sameEntry(brought, te) && !sameEntry(fresh, te) { // the new program has another
		return
	}
	c.carryEntry(t, to, p4v1.Update_MODIFY, te)
}

// carryReplication takes multicast groups, clone sessions and what is configured of
// digests.
func (c *carrier) carryReplication() error {
	for object, query := range map[string]*p4v1.PacketReplicationEngineEntry{
		"multicast groups": {Type: &p4v1.PacketReplicationEngineEntry_MulticastGroupEntry{}},
		"clone sessions":   {Type: &p4v1.PacketReplicationEngineEntry_CloneSessionEntry{}},
	} {
		var out reply
		if err := c.from.readReplication(&out, query); err != nil {
			return err
		}
		for _, e := range out.found {
			c.write(object, p4v1.Update_INSERT, e)
		}
	}
	var out reply
	if err := c.from.readDigests(&out, nil); err != nil {
		return err
	}
	for _, e := range out.found {
		d := c.from.digest(e.GetDigestEntry().DigestId)
		if to := c.to.digest(d.id); to == nil || to.name != d.name {
			c.drop("digest "+d.name, isGone, 1)
			continue
		}
		c.write("digest "+d.name, p4v1.Update_INSERT, e)
	}
	return nil
}

// carryArrays takes what in meters, registers and value sets is not as it is at
// first.
func (c *carrier) carryArrays() error {
	var out reply
	for _, read := range []func() error{
		func() error { return c.from.readMeters(&out, nil) },
		func() error { return c.from.readRegisters(&out, nil) },
		func() error { return c.from.readValueSets(&out, nil) },
	} {
		if err := read(); err != nil {
			return err
		}
	}
	for _, e := range out.found {
		if untouched(e) {
			continue
		}
		if object, why := c.same.array(e); why != "" {
			c.drop(object, why, 1)
		} else {
			c.write(object, p4v1.Update_MODIFY, e)
		}
	}
	return nil
}

// untouched reports whether a meter, register or value set is as it is at first.
func untouched(e *p4v1.Entity) bool {
	switch e := e.Entity.(type) {
	case *p4v1.Entity_MeterEntry:
		return e.MeterEntry.Config == nil
	case *p4v1.Entity_RegisterEntry:
		return !e.RegisterEntry.Data.GetBool() && isZero(e.RegisterEntry.Data.GetBitstring())
	case *p4v1.Entity_ValueSetEntry:
		return len(e.ValueSetEntry.Members) == 0
	}
	return false
}

// carryCounters takes the cells of indirect counters that both have. What is counted
// between this and the commit is lost.
func (c *carrier) carryCounters() {
	for _, from := range c.from.counters {
		to := c.to.counter(from.id)
		if to == nil || to.cell.Name() != from.cell.Name() {
			continue
		}
		for i := range min(from.cell.Size(), to.cell.Size()) {
			packets, octets := from.cell.Read(i)
			_ = to.cell.Write(i, packets, octets) // it has the cell
		}
	}
}

// byKey are the entries of a table, of which there are few, by key.
func (t *table) byKey() (map[string]*p4v1.TableEntry, error) {
	if t.entries.Len() == 0 {
		return nil, nil
	}
	var out reply
	if err := t.read(&translator{}, &out, withDirect()); err != nil {
		return nil, err
	}
	entries := map[string]*p4v1.TableEntry{}
	for _, e := range out.found {
		te := e.GetTableEntry()
		key, err := keyText(te)
		if err != nil {
			return nil, err
		}
		entries[key] = te
	}
	return entries, nil
}

// keyText is the key of an entry as it was read, for maps.
func keyText(te *p4v1.TableEntry) (string, error) {
	key := &p4v1.TableEntry{Match: te.Match, Priority: te.Priority}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(key)
	return string(text), err
}

// sameEntry reports whether two entries are the same but for what is counted.
func sameEntry(a, b *p4v1.TableEntry) bool {
	strip := func(te *p4v1.TableEntry) *p4v1.TableEntry {
		te = proto.Clone(te).(*p4v1.TableEntry)
		te.CounterData = nil
		return te
	}
	return proto.Equal(strip(a), strip(b))
}
