package pipeline

import (
	"fmt"
	"math/bits"
	"slices"
)

// encoder turns an Entry into packed words. It belongs to one table's writer
// lock.
type encoder struct {
	value, mask []uint64 // of one field
	low, high   []uint64 // range bounds, in the order of spec.ranges
	plen        int
	like        *entry // reused for lookups
}

func newEncoder(s *tableSpec) encoder {
	most := 1
	for i := range s.keys {
		most = max(most, s.keys[i].words())
	}
	return encoder{value: make([]uint64, most), mask: make([]uint64, most),
		low: make([]uint64, len(s.ranges)), high: make([]uint64, len(s.ranges)),
		like: newEntry(s.matchWords())}
}

// matchWords is the number of words that say what an entry matches.
func (s *tableSpec) matchWords() int {
	if s.match == matchTernary {
		return 2*s.words + 2*len(s.ranges)
	}
	return s.words
}

// action resolves an action of the table.
func (t *Table) action(name string) (*boundAction, error) {
	if act := t.spec.byName[name]; act != nil {
		return act, nil
	}
	return nil, t.errorf(ErrInvalid, "it has no action %q", name)
}

// entry makes a new entry of e. Where the table has an action profile, the
// entry counts as a user of its member or group until it is dropped.
func (c *encoder) entry(t *Table, e *Entry) (*entry, error) {
	s := t.spec
	var act *boundAction
	dataWords := 0
	if s.profile < 0 {
		if e.Member != 0 || e.Group != 0 || e.Actions != nil {
			return nil, t.errorf(ErrInvalid, "it has no action profile")
		}
		var err error
		if act, err = t.action(e.Action); err != nil {
			return nil, err
		}
		dataWords = act.words
	}
	if e.TimeoutNs < 0 || e.TimeoutNs > 0 && !s.timeout {
		return nil, t.errorf(ErrInvalid, "idle timeout %d ns: the table does not age, or it is negative", e.TimeoutNs)
	}
	if e.Meter != nil && s.meter < 0 {
		return nil, t.errorf(ErrInvalid, "it has no direct meter")
	}
	if err := e.Meter.Check(); err != nil {
		return nil, t.errorf(err, "direct meter")
	}
	keyWords := s.dataAt
	n := newEntry(keyWords + dataWords)
	if s.prio {
		n.rest() // others may be chained to it once it is published
	}
	if err := c.fill(t, n, e); err != nil {
		return nil, err
	}
	if dataWords > 0 {
		if err := putParams(n.words()[keyWords:], act.action, e.Params); err != nil {
			return nil, t.errorf(err, "entry")
		}
	}
	n.settle()
	n.act = act
	if s.profile >= 0 {
		if err := t.p.profiles[s.profile].refer(n.rest(), e); err != nil {
			return nil, t.errorf(err, "entry")
		}
	}
	if len(e.Metadata) > 0 {
		n.rest().metadata = string(e.Metadata)
	}
	return n, nil
}

// key makes an entry for lookups, good until the next call.
func (c *encoder) key(t *Table, e *Entry) (*entry, error) {
	clear(c.like.words())
	err := c.fill(t, c.like, e)
	c.like.settle()
	return c.like, err
}

// fill writes key, mask and ranges of e into n.
func (c *encoder) fill(t *Table, n *entry, e *Entry) error {
	s := t.spec
	if len(e.Match) != len(s.keys) {
		return t.errorf(ErrInvalid, "the key has %d fields, not %d", len(s.keys), len(e.Match))
	}
	if s.prio != (e.Priority != 0) || e.Priority < 0 {
		if s.prio {
			return t.errorf(ErrInvalid, "priority %d: the table needs one above 0", e.Priority)
		}
		return t.errorf(ErrInvalid, "priority %d: the table has none", e.Priority)
	}
	n.prio, n.plen, c.plen = e.Priority, 0, 0
	ranges, words := 0, n.words()
	for i := range s.keys {
		if err := c.field(t, &s.keys[i], &e.Match[i], &ranges); err != nil {
			return err
		}
		for j := range s.keys[i].pieces {
			p := &s.keys[i].pieces[j]
			words[p.word] |= c.value[p.part] & p.mask << p.shift
			if s.match == matchTernary {
				words[s.words+p.word] |= c.mask[p.part] & p.mask << p.shift
			}
		}
	}
	for i := range s.ranges {
		words[2*s.words+2*i], words[2*s.words+2*i+1] = c.low[i], c.high[i]
	}
	n.plen = int32(c.plen)
	if s.match == matchTernary && !s.prio {
		n.prio = n.plen
	}
	return nil
}

// field sets value and mask (and plen or the range) of one key field.
func (c *encoder) field(t *Table, k *keySpec, m *Match, ranges *int) error {
	value, mask := c.value[:k.words()], c.mask[:k.words()]
	clear(value)
	clear(mask)
	if m.Any {
		return c.any(t, k, ranges)
	}
	if !putBytes(value, m.Value, k.Bits) {
		return t.errorf(ErrInvalid, "key %s: value %x does not fit %d bits", k.Name, m.Value, k.Bits)
	}
	switch k.Kind {
	case Exact, Optional:
		copy(mask, k.mask)
	case LPM:
		if m.PrefixLen < 0 || m.PrefixLen > k.Bits {
			return t.errorf(ErrInvalid, "key %s: prefix length %d is not in 0..%d", k.Name, m.PrefixLen, k.Bits)
		}
		setPrefix(mask, k.Bits, m.PrefixLen)
		c.plen = m.PrefixLen
	case Ternary:
		if !putBytes(mask, m.Mask, k.Bits) {
			return t.errorf(ErrInvalid, "key %s: mask %x does not fit %d bits", k.Name, m.Mask, k.Bits)
		}
	case Range:
		var high [1]uint64
		if !putBytes(high[:], m.High, k.Bits) || value[0] > high[0] {
			return t.errorf(ErrInvalid, "key %s: range %x..%x is empty or does not fit %d bits", k.Name, m.Value, m.High, k.Bits)
		}
		c.low[*ranges], c.high[*ranges] = value[0], high[0]
		*ranges++
		value[0] = 0
	}
	for i := range value {
		if value[i]&^mask[i] != 0 && k.Kind != Exact {
			return t.errorf(ErrInvalid, "key %s: value %x has bits outside its mask or prefix", k.Name, m.Value)
		}
	}
	return nil
}

func (c *encoder) any(t *Table, k *keySpec, ranges *int) error {
	switch k.Kind {
	case Exact:
		return t.errorf(ErrInvalid, "key %s: an exact field needs a value", k.Name)
	case Range:
		c.low[*ranges], c.high[*ranges] = 0, topMask(k.Bits)
		*ranges++
	}
	return nil
}

func setPrefix(mask []uint64, width, plen int) {
	for i := range mask {
		low := 64 * i // first bit of this word
		from := max(width-plen, low)
		to := min(width, low+64)
		if from < to {
			mask[i] = ^uint64(0) << (from - low)
			if to < low+64 {
				mask[i] &= 1<<(to-low) - 1
			}
		}
	}
}

// putBytes reads a big-endian value into words, least significant first; false
// if it is empty or does not fit the width.
func putBytes(dst []uint64, b []byte, width int) bool {
	if len(b) == 0 {
		return false
	}
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	if len(b)*8 > width+7 || len(b) > 0 && (len(b)-1)*8+bits.Len8(b[0]) > width {
		return false
	}
	clear(dst)
	for i := range b {
		at := len(b) - 1 - i // byte number from the low end
		dst[at/8] |= uint64(b[i]) << (8 * (at % 8))
	}
	return true
}

// putParams packs an action's parameters.
func putParams(dst []uint64, act *action, params [][]byte) error {
	if len(params) != len(act.params) {
		return fmt.Errorf("action %s takes %d parameters, not %d: %w", act.name, len(act.params), len(params), ErrInvalid)
	}
	for i := range params {
		n := act.fields[i].words
		if !putBytes(dst[:n], params[i], act.params[i].Bits) {
			return fmt.Errorf("action %s: parameter %s: value %x does not fit %d bits: %w",
				act.name, act.params[i].Name, params[i], act.params[i].Bits, ErrInvalid)
		}
		dst = dst[n:]
	}
	return nil
}

// appendBytes appends the canonical big-endian form of words.
func appendBytes(b []byte, v []uint64) []byte {
	first := true
	for i := len(v) - 1; i >= 0; i-- {
		for s := 56; s >= 0; s -= 8 {
			x := byte(v[i] >> s)
			if first && x == 0 && (i > 0 || s > 0) {
				continue
			}
			first = false
			b = append(b, x)
		}
	}
	return b
}

func decodeParams(act *action, data []uint64) [][]byte {
	out := make([][]byte, len(act.params))
	for i := range out {
		n := act.fields[i].words
		out[i] = appendBytes(nil, data[:n])
		data = data[n:]
	}
	return out
}

// decode makes an Entry of what is in the table.
func (t *Table) decode(e *entry) Entry {
	s := t.spec
	out := Entry{Match: make([]Match, len(s.keys))}
	if e.act != nil {
		out.Action, out.Params = e.act.name, decodeParams(e.act.action, e.data(s.dataAt))
	} else {
		out.Member, out.Group = e.more.memberID, e.more.groupID
		if g := e.more.group; g != nil {
			out.Actions, out.Random = g.oneOff, g.random
		}
	}
	if s.prio {
		out.Priority = e.prio
	}
	if m := e.metadata(); m != "" {
		out.Metadata = []byte(m)
	}
	ranges := 0
	for i := range s.keys {
		out.Match[i] = s.decodeField(&s.keys[i], e, &ranges)
	}
	t.decodeState(e, &out)
	return out
}

func (t *Table) decodeState(e *entry, out *Entry) {
	if e.st == nil {
		return
	}
	out.Packets, out.Bytes = e.st.packets.Load(), e.st.bytes.Load()
	out.TimeoutNs = e.st.timeout
	if t.spec.meter >= 0 {
		if config, ok := e.meter().config(); ok {
			out.Meter = &config
		}
	}
	out.SinceHitNs = max(0, t.p.clock.Load()-e.st.hit.Load())
}

func (s *tableSpec) decodeField(k *keySpec, e *entry, ranges *int) Match {
	value, mask, words := make([]uint64, k.words()), make([]uint64, k.words()), e.words()
	for i := range k.pieces {
		p := &k.pieces[i]
		value[p.part] = words[p.word] >> p.shift & topMask(p.bits)
		if s.match == matchTernary {
			mask[p.part] = words[s.words+p.word] >> p.shift & topMask(p.bits)
		}
	}
	zero := !slices.ContainsFunc(mask, func(w uint64) bool { return w != 0 })
	m := Match{Value: appendBytes(nil, value)}
	switch k.Kind {
	case LPM:
		m.PrefixLen = int(e.plen)
		if m.PrefixLen == 0 {
			return Match{Any: true}
		}
	case Ternary:
		m.Mask = appendBytes(nil, mask)
		if zero {
			return Match{Any: true}
		}
	case Optional:
		if zero {
			return Match{Any: true}
		}
	case Range:
		low, high := words[2*s.words+2**ranges], words[2*s.words+2**ranges+1]
		*ranges++
		if low == 0 && high == topMask(k.Bits) {
			return Match{Any: true}
		}
		m.Value, m.High = appendBytes(nil, []uint64{low}), appendBytes(nil, []uint64{high})
	}
	return m
}
