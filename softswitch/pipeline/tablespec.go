package pipeline

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// tableSpec is the immutable part of a table.
type tableSpec struct {
	name    string
	index   int
	keys    []keySpec
	words   int // of the packed key
	dataAt  int // the word where an entry's parameters begin
	pieces  []keyPiece
	match   matchKind
	ranges  []int
	prio    bool
	size    int
	fixedTo bool // without key and with a const default: always that action
	hidden  bool // made by the compiler for a bare action call
	count   bool
	timeout bool
	meter   int // direct meter, or -1
	meterTo *field
	actions []*boundAction
	byName  map[string]*boundAction
	profile int            // index, or -1
	bound   []*boundAction // by action index, for tables with a profile
	// missNext is the node after a miss without default action.
	missNext   int
	defaultAct *boundAction
	defaultArg []uint64
	defaultFix bool
	entries    []Entry // that the program gives
}

type matchKind uint8

const (
	matchNone matchKind = iota // no key
	matchExact
	matchTernary // lpm too: the prefix length is the priority
)

// keySpec is one key field: where it comes from and where its words go.
type keySpec struct {
	KeyField
	slot   int
	pieces []keyPiece
	mask   []uint64 // static mask, or all ones
}

// keyPiece is one word of a field in the packed key.
type keyPiece struct {
	slot  int    // in the register file
	part  int    // word of the field
	word  int    // word of the packed key
	shift uint8  // in that word
	mask  uint64 // static mask of the field, at the low end
	bits  int
}

func (k *keySpec) words() int { return (k.Bits + 63) / 64 }

var keyKinds = map[string]MatchKind{
	"exact": Exact, "valid": Exact, "lpm": LPM, "ternary": Ternary, "range": Range, "optional": Optional,
}

func (c *compiler) tableSpec(t *bmv2json.Table) (*tableSpec, error) {
	s := &tableSpec{name: t.Name, index: len(c.prog.tables), meter: -1, size: t.MaxSize,
		count: t.WithCounters, timeout: t.SupportTimeout, byName: map[string]*boundAction{}, missNext: -1}
	switch t.Type {
	case "simple":
		s.profile = -1
	case "indirect", "indirect_ws":
		s.profile = c.profileIndex[t.Profile] - 1
		if s.profile < 0 || (t.Type == "indirect_ws") != (c.prog.profiles[s.profile].hash != nil) {
			return nil, fmt.Errorf("type %q: no action profile %q of that kind", t.Type, t.Profile)
		}
	default:
		return nil, fmt.Errorf("type %q: %w", t.Type, ErrUnsupported)
	}
	if err := c.tableKeys(s, t); err != nil {
		return nil, err
	}
	if err := c.tableActions(s, t); err != nil {
		return nil, err
	}
	if t.DirectMeters != nil {
		i := slices.IndexFunc(c.spec.Meters, func(m bmv2json.Meter) bool { return m.Name == *t.DirectMeters })
		if i < 0 || c.spec.Meters[i].ResultTarget == nil {
			return nil, fmt.Errorf("no direct meter %q with a result target", *t.DirectMeters)
		}
		f, err := c.l.field(*c.spec.Meters[i].ResultTarget)
		if err != nil || f.words > 1 {
			return nil, fmt.Errorf("direct meter %q: result target: %w", *t.DirectMeters, orUnsupported(err))
		}
		s.meter, s.meterTo = i, f
	}
	s.fixedTo = len(s.keys) == 0 && s.defaultAct != nil && s.defaultFix && len(s.defaultArg) == 0
	s.hidden = s.fixedTo && len(t.ActionIDs) == 1 && strings.HasPrefix(t.Name, "tbl_")
	return s, c.constEntries(s, t.Entries)
}

// constEntries turns the entries that the program gives into the control
// plane's form and checks them by putting them into a table.
func (c *compiler) constEntries(s *tableSpec, entries []bmv2json.TableEntry) error {
	if len(entries) == 0 {
		return nil
	}
	if s.profile >= 0 {
		return fmt.Errorf("const entries of a table with an action profile: %w", ErrUnsupported)
	}
	s.size = max(s.size, len(entries))
	lowest := 0
	for i := range entries {
		lowest = max(lowest, entries[i].Priority)
	}
	for i := range entries {
		e, err := s.constEntry(&entries[i], lowest)
		if err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		s.entries = append(s.entries, e)
	}
	trial := &Pipeline{}
	for i := range c.prog.meters {
		trial.meters = append(trial.meters, &Meter{name: c.prog.meters[i].Name})
	}
	t := newTable(trial, s)
	for i := range s.entries {
		if t.m == nil {
			return fmt.Errorf("entry %d: the table has no key", i)
		}
		if err := t.insert(&s.entries[i]); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
	}
	return nil
}

const maxPriority = 1 << 30 // of an entry that the program gives

// constMatch reads a key field of such an entry; bits outside a mask or
// prefix do not count.
func constMatch(k *keySpec, e *bmv2json.EntryKey) (Match, error) {
	read := func(text string) (*big.Int, error) {
		v, err := parseHex(text)
		if err == nil && v.Sign() < 0 {
			err = fmt.Errorf("%q is negative", text)
		}
		return v, err
	}
	pack := func(v *big.Int) []byte { return v.FillBytes(make([]byte, max(1, (v.BitLen()+7)/8))) }
	value, err := read(e.Key + e.Start)
	if err != nil {
		return Match{}, err
	}
	m := Match{PrefixLen: e.PrefixLen}
	switch k.Kind {
	case LPM:
		if m.PrefixLen >= 0 && m.PrefixLen <= k.Bits {
			value.And(value, bigOf(prefixMask(k.Bits, m.PrefixLen)))
		}
	case Ternary, Optional:
		mask, err := read(e.Mask)
		if err != nil {
			return m, err
		}
		m.Mask, m.Any = pack(mask), mask.Sign() == 0
		value.And(value, mask)
	case Range:
		high, err := read(e.End)
		if err != nil {
			return m, err
		}
		m.High = pack(high)
	}
	m.Value = pack(value)
	return m, nil
}

// constEntry turns BMv2's priority, where the lowest number wins, into
// P4Runtime's, where the highest does: of n entries the first has n (P4Runtime
// 1.5, 9.1.4). The last one's number is given.
func (s *tableSpec) constEntry(e *bmv2json.TableEntry, last int) (Entry, error) {
	var out Entry
	act, args, err := s.entryAction(&e.Action)
	if err != nil {
		return out, err
	}
	out.Action = act.name
	for i := range act.params {
		n := act.fields[i].words
		out.Params = append(out.Params, appendBytes(nil, args[:n]))
		args = args[n:]
	}
	if s.prio {
		if e.Priority < 0 || last >= maxPriority {
			return out, fmt.Errorf("priorities %d and %d are not in 0..%d", e.Priority, last, maxPriority-1)
		}
		out.Priority = int32(last + 1 - e.Priority)
	}
	if len(e.Key) != len(s.keys) {
		return out, fmt.Errorf("%d key fields where the table has %d", len(e.Key), len(s.keys))
	}
	for i := range e.Key {
		m, err := constMatch(&s.keys[i], &e.Key[i])
		if err != nil {
			return out, fmt.Errorf("key %s: %w", s.keys[i].Name, err)
		}
		out.Match = append(out.Match, m)
	}
	return out, nil
}

func orUnsupported(err error) error {
	if err == nil {
		return ErrUnsupported
	}
	return err
}

// tableKeys resolves the key and packs it: fields of up to 64 bits go where
// they fit first, words of wider fields likewise, so that no piece crosses a
// word. Range fields come last, in words of their own.
func (c *compiler) tableKeys(s *tableSpec, t *bmv2json.Table) error {
	for i := range t.Key {
		k := &t.Key[i]
		kind, ok := keyKinds[k.MatchType]
		if !ok {
			return fmt.Errorf("key %q: match type %q: %w", k.Name, k.MatchType, ErrUnsupported)
		}
		ref := k.Field
		if k.MatchType == "valid" {
			ref = [2]string{k.Header, "$valid$"}
		}
		f, err := c.l.field(ref)
		if err != nil {
			return fmt.Errorf("key %q: %w", k.Name, err)
		}
		if f.varbit {
			return fmt.Errorf("key %q: a varbit field cannot be a key", k.Name)
		}
		name := k.Name
		if name == "" {
			name = ref[0] + "." + ref[1]
		}
		ks := keySpec{KeyField: KeyField{Name: name, Kind: kind, Bits: f.bits}, slot: f.slot}
		ks.mask = words(sub1(pow2(f.bits)), f.words)
		if k.Mask != nil {
			m, err := parseHex(*k.Mask)
			if err != nil {
				return fmt.Errorf("key %q: mask: %w", name, err)
			}
			for j, w := range words(m, f.words) {
				ks.mask[j] &= w
			}
		}
		s.keys = append(s.keys, ks)
	}
	if err := s.classify(); err != nil {
		return err
	}
	s.pack()
	if s.match == matchTernary && s.words > maxTernaryWords {
		return fmt.Errorf("ternary key of %d words; at most %d: %w", s.words, maxTernaryWords, ErrUnsupported)
	}
	c.prog.keyWords = max(c.prog.keyWords, s.words)
	return nil
}

func (s *tableSpec) classify() error {
	if len(s.keys) > 0 {
		s.match = matchExact
	}
	prefixes := 0
	for _, k := range s.keys {
		switch k.Kind {
		case LPM:
			s.match = matchTernary
			if prefixes++; prefixes > 1 {
				return fmt.Errorf("key %q: a second lpm field", k.Name)
			}
		case Ternary, Optional:
			s.match, s.prio = matchTernary, true
		case Range:
			if k.Bits > 64 {
				return fmt.Errorf("key %q: range of %d bits: %w", k.Name, k.Bits, ErrUnsupported)
			}
			s.match, s.prio = matchTernary, true
		}
	}
	return nil
}

func (s *tableSpec) pack() {
	var free []int // free bits of each word so far
	place := func(k *keySpec, own bool) {
		for part := range k.words() {
			bits := 64
			if part == k.words()-1 && k.Bits%64 != 0 {
				bits = k.Bits % 64
			}
			word := -1
			if !own {
				word = slices.IndexFunc(free, func(f int) bool { return f >= bits })
			}
			if word < 0 {
				word = len(free)
				free = append(free, 64)
			}
			shift := 64 - free[word]
			free[word] -= bits
			if own {
				free[word] = 0
			}
			k.pieces = append(k.pieces, keyPiece{slot: k.slot + part, part: part, word: word,
				shift: uint8(shift), mask: k.mask[part], bits: bits})
		}
	}
	for _, late := range []bool{false, true} {
		for i := range s.keys {
			if k := &s.keys[i]; (k.Kind == Range) == late {
				place(k, late)
			}
			if late && s.keys[i].Kind == Range {
				s.ranges = append(s.ranges, s.keys[i].pieces[0].word)
			}
		}
	}
	s.words = len(free)
	s.dataAt = s.matchWords()
	for i := range s.keys {
		s.pieces = append(s.pieces, s.keys[i].pieces...)
	}
}

func (s *tableSpec) newMatcher() matcher {
	switch s.match {
	case matchNone:
		return nil
	case matchTernary:
		return newTernaryMatcher(s.words, s.ranges)
	}
	return exactMatcher{newHashTable(s.words)}
}

// packKey builds the packed key of the packet.
func (s *tableSpec) packKey(r, key []uint64) {
	clear(key)
	for i := range s.pieces {
		p := &s.pieces[i]
		key[p.word] |= r[p.slot] & p.mask << p.shift
	}
}

func (c *compiler) tableActions(s *tableSpec, t *bmv2json.Table) error {
	if t.ActionIDs == nil { // before version 2.1 or so actions went by name
		for _, name := range t.Actions {
			i := slices.IndexFunc(c.spec.Actions, func(a bmv2json.Action) bool { return a.Name == name })
			if i < 0 {
				return fmt.Errorf("no action %q", name)
			}
			t.ActionIDs = append(t.ActionIDs, c.spec.Actions[i].ID)
		}
	}
	if len(t.Actions) != len(t.ActionIDs) {
		return fmt.Errorf("%d actions and %d action ids", len(t.Actions), len(t.ActionIDs))
	}
	for i, id := range t.ActionIDs {
		act := c.actionByID[id]
		if act == nil || act.name != t.Actions[i] {
			return fmt.Errorf("no action %q with id %d", t.Actions[i], id)
		}
		if s.byName[act.name] != nil {
			return fmt.Errorf("action %q is there twice", act.name)
		}
		b := &boundAction{action: act, hitNext: -1, missNext: -1}
		s.actions = append(s.actions, b)
		s.byName[act.name] = b
	}
	c.bindProfile(s)
	if t.DefaultEntry == nil {
		return nil
	}
	d, args, err := s.entryAction(t.DefaultEntry)
	if err != nil {
		return fmt.Errorf("default entry: %w", err)
	}
	s.defaultAct, s.defaultArg = d, args
	s.defaultFix = t.DefaultEntry.ActionConst || t.DefaultEntry.EntryConst
	return nil
}

// bindProfile lets the table's action profile use the table's actions.
func (c *compiler) bindProfile(s *tableSpec) {
	if s.profile < 0 {
		return
	}
	s.bound = make([]*boundAction, len(c.spec.Actions))
	for i := range s.bound {
		s.bound[i] = &boundAction{hitNext: -1, missNext: -1}
	}
	for _, b := range s.actions {
		s.bound[b.index] = b
		c.prog.profiles[s.profile].actions[b.name] = b.action
	}
}

// entryAction resolves an action of an entry that the program gives.
func (s *tableSpec) entryAction(d *bmv2json.DefaultEntry) (*boundAction, []uint64, error) {
	i := slices.IndexFunc(s.actions, func(b *boundAction) bool { return b.id == d.ActionID })
	if i < 0 {
		return nil, nil, fmt.Errorf("action id %d is none of the table's", d.ActionID)
	}
	b := s.actions[i]
	if len(d.Data) != len(b.params) {
		return nil, nil, fmt.Errorf("action %q: %d parameters where it takes %d", b.name, len(d.Data), len(b.params))
	}
	var args []uint64
	for j, text := range d.Data {
		v, err := parseHex(text)
		if err != nil || v.Sign() < 0 || v.BitLen() > b.params[j].Bits {
			return nil, nil, fmt.Errorf("action %q: parameter %q: %q does not fit %d bits", b.name, b.params[j].Name, text,
				b.params[j].Bits)
		}
		args = append(args, words(v, b.fields[j].words)...)
	}
	return b, args, nil
}
