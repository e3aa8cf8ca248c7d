package pipeline

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Table is a match-action table with its entries.
type Table struct {
	spec *tableSpec
	p    *Pipeline
	size int
	mu   sync.Mutex // serialises writers
	m    matcher    // nil for a table without key
	def  atomic.Pointer[entry]
	// fixed: the entries are those that the program gives.
	fixed bool
	len   atomic.Int64
	enc   encoder
}

func newTable(p *Pipeline, s *tableSpec) *Table {
	t := &Table{spec: s, p: p, m: s.newMatcher(), enc: newEncoder(s), fixed: len(s.entries) > 0}
	t.size = max(s.size, p.lim.MinTableSize)
	if n, ok := p.lim.TableSize[s.name]; ok {
		t.size = max(n, len(s.entries))
	}
	t.def.Store(t.firstDefault())
	return t
}

// firstDefault is the default that the program gives, or nil.
func (t *Table) firstDefault() *entry {
	s := t.spec
	if s.defaultAct == nil {
		return nil
	}
	e := newEntry(len(s.defaultArg))
	copy(e.words(), s.defaultArg)
	e.settle()
	e.act = s.defaultAct
	if s.count || s.meter >= 0 {
		t.begetState(e, nil, 0)
	}
	return e
}

// begetState gives a new entry what it counts and meters with.
func (t *Table) begetState(e *entry, meter *MeterConfig, timeout int64) {
	e.st = &entryState{timeout: timeout}
	e.st.hit.Store(t.p.clock.Load())
	if t.spec.meter >= 0 {
		e.rest().meter = t.p.meters[t.spec.meter].direct()
		e.meter().set(meter)
	}
}

// Name is the JSON's full name, as in P4Info.
func (t *Table) Name() string { return t.spec.name }

// Size is the number of entries the table holds at most.
func (t *Table) Size() int { return t.size }

// Len is the number of entries it holds.
func (t *Table) Len() int { return int(t.len.Load()) }

// Keys describes the key fields in order.
func (t *Table) Keys() []KeyField {
	var out []KeyField
	for _, k := range t.spec.keys {
		out = append(out, k.KeyField)
	}
	return out
}

// Actions lists the table's actions.
func (t *Table) Actions() []ActionInfo {
	var out []ActionInfo
	for _, a := range t.spec.actions {
		out = append(out, ActionInfo{Name: a.name, Params: a.params})
	}
	return out
}

// SupportsTimeout reports whether entries may carry an idle timeout.
func (t *Table) SupportsTimeout() bool { return t.spec.timeout }

// HasPriority reports whether entries need a priority.
func (t *Table) HasPriority() bool { return t.spec.prio }

// HasCounter reports whether the table has a direct counter.
func (t *Table) HasCounter() bool { return t.spec.count }

// IsConst reports whether the program fixes the entries.
func (t *Table) IsConst() bool { return t.fixed }

// Preinitialize lets the entries that the program gives be changed, and others
// be added, size in all: the JSON does not say whether they are const. It is
// for before the table is used.
func (t *Table) Preinitialize(size int) {
	t.fixed = false
	t.size = max(t.size, size)
}

func (t *Table) errorf(base error, format string, args ...any) error {
	return fmt.Errorf("table %s: %s: %w", t.spec.name, fmt.Sprintf(format, args...), base)
}

// IsPreinitialized reports whether the program gives entries that may change.
func (t *Table) IsPreinitialized() bool { return !t.fixed && len(t.spec.entries) > 0 }

// begin checks that the table's entries may change.
func (t *Table) begin() error {
	if t.fixed {
		return t.errorf(ErrConst, "its entries are const")
	}
	if t.m == nil {
		return t.errorf(ErrInvalid, "it has no key")
	}
	return nil
}

// Insert adds an entry. Errors: ErrInvalid, ErrExists, ErrFull, ErrConst.
func (t *Table) Insert(e *Entry) error {
	if err := t.begin(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.insert(e)
}

func (t *Table) insert(e *Entry) error {
	n, err := t.enc.entry(t, e)
	if err != nil {
		return err
	}
	if t.m.find(n) != nil {
		t.drop(n)
		return t.errorf(ErrExists, "entry")
	}
	if t.Len() >= t.size {
		t.drop(n)
		return t.errorf(ErrFull, "it holds %d entries", t.size)
	}
	if t.spec.hasState() {
		t.begetState(n, e.Meter, e.TimeoutNs)
	}
	t.m.insert(n)
	t.len.Add(1)
	return nil
}

func (s *tableSpec) hasState() bool { return s.count || s.timeout || s.meter >= 0 }

// Modify replaces action, parameters, timeout, meter configuration and metadata
// of the entry with this key (and priority). Its direct counter stays, its idle time starts
// again. Errors: ErrInvalid, ErrNotFound, ErrConst.
func (t *Table) Modify(e *Entry) error {
	if err := t.begin(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.enc.entry(t, e)
	if err != nil {
		return err
	}
	old := t.m.find(n)
	if old == nil {
		t.drop(n)
		return t.errorf(ErrNotFound, "entry")
	}
	t.drop(old)
	if n.st = old.st; n.st != nil {
		if n.st.timeout != e.TimeoutNs {
			// A new state: readers may still count on the old one; what they
			// add there in this moment is lost.
			st := &entryState{timeout: e.TimeoutNs}
			st.packets.Store(old.st.packets.Load())
			st.bytes.Store(old.st.bytes.Load())
			n.st = st
		}
		n.st.hit.Store(t.p.clock.Load())
		if t.spec.meter >= 0 {
			n.rest().meter = old.meter()
			n.meter().set(e.Meter)
		}
	}
	t.m.swap(old, n)
	return nil
}

// Delete removes the entry with this key (and priority); the rest of e is not
// looked at. Errors: ErrInvalid, ErrNotFound, ErrConst.
func (t *Table) Delete(e *Entry) error {
	if err := t.begin(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old, err := t.find(e)
	if err != nil {
		return err
	}
	t.m.swap(old, nil)
	t.drop(old)
	t.len.Add(-1)
	return nil
}

// drop ends an entry's use of its action profile.
func (t *Table) drop(e *entry) {
	if t.spec.profile >= 0 {
		t.p.profiles[t.spec.profile].release(e.more)
	}
}

// ProfileName is the table's action profile, or "".
func (t *Table) ProfileName() string {
	if t.spec.profile < 0 {
		return ""
	}
	return t.p.profiles[t.spec.profile].spec.name
}

// find locates the entry with e's key, or the default entry where e is nil.
func (t *Table) find(e *Entry) (*entry, error) {
	if e == nil {
		if d := t.def.Load(); d != nil {
			return d, nil
		}
		return nil, t.errorf(ErrNotFound, "default action")
	}
	if t.m == nil {
		return nil, t.errorf(ErrInvalid, "it has no key")
	}
	like, err := t.enc.key(t, e)
	if err != nil {
		return nil, err
	}
	found := t.m.find(like)
	if found == nil {
		return nil, t.errorf(ErrNotFound, "entry")
	}
	return found, nil
}

// Get finds the entry with this key (and priority).
func (t *Table) Get(e *Entry) (Entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, err := t.find(e)
	if err != nil {
		return Entry{}, err
	}
	return t.decode(found), nil
}

// Each calls f for every entry, in no particular order, until f returns
// false. It does not stop writers; entries that come or go meanwhile may be
// seen or not.
func (t *Table) Each(f func(Entry) bool) {
	if t.m != nil {
		t.m.each(func(e *entry) bool { return f(t.decode(e)) })
	}
}

// Expired calls f, as Each, for the entries whose idle timeout is over.
func (t *Table) Expired(f func(Entry) bool) {
	if t.m == nil || !t.spec.timeout {
		return
	}
	now := t.p.clock.Load()
	t.m.each(func(e *entry) bool {
		if e.st == nil || e.st.timeout == 0 || now-e.st.hit.Load() < e.st.timeout {
			return true
		}
		return f(t.decode(e))
	})
}

// Clear removes all entries that are not const.
func (t *Table) Clear() error {
	if err := t.begin(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*entry
	t.m.each(func(e *entry) bool {
		all = append(all, e)
		return true
	})
	for _, e := range all {
		t.m.swap(e, nil)
		t.drop(e)
	}
	t.len.Store(0)
	return nil
}

// Default returns the default action; Action is empty if there is none.
func (t *Table) Default() Entry {
	e := t.def.Load()
	if e == nil {
		return Entry{}
	}
	out := Entry{Action: e.act.name, Params: decodeParams(e.act.action, e.data(0))}
	t.decodeState(e, &out)
	return out
}

// SetDefault sets the default action. Its direct counter and meter stay. Errors:
// ErrInvalid, ErrConst.
func (t *Table) SetDefault(action string, params [][]byte) error {
	if t.spec.defaultFix {
		return t.errorf(ErrConst, "its default action is const")
	}
	act, err := t.action(action)
	if err != nil {
		return err
	}
	n := newEntry(act.words)
	n.act = act
	if err := putParams(n.words(), act.action, params); err != nil {
		return t.errorf(err, "default action")
	}
	n.settle()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch old := t.def.Load(); {
	case !t.spec.count && t.spec.meter < 0:
	case old == nil:
		t.begetState(n, nil, 0)
	default:
		n.st = old.st
		if t.spec.meter >= 0 {
			n.rest().meter = old.meter()
		}
	}
	t.def.Store(n)
	return nil
}

// ResetDefault restores the program's default action, and its direct counter
// and meter. Errors: ErrConst.
func (t *Table) ResetDefault() error {
	if t.spec.defaultFix {
		return t.errorf(ErrConst, "its default action is const")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.def.Store(t.firstDefault())
	return nil
}

// SetCounter sets the direct counter of the entry with e's key (and priority),
// or of the default entry where e is nil.
func (t *Table) SetCounter(e *Entry, packets, bytes uint64) error {
	if !t.spec.count {
		return t.errorf(ErrInvalid, "it has no direct counter")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	found, err := t.find(e)
	if err != nil {
		return err
	}
	found.st.packets.Store(packets)
	found.st.bytes.Store(bytes)
	return nil
}

// HasMeter reports whether the table has a direct meter.
func (t *Table) HasMeter() bool { return t.spec.meter >= 0 }

// SetMeter configures the direct meter of the entry with e's key (and
// priority), or of the default entry where e is nil; without a configuration
// everything is green again.
func (t *Table) SetMeter(e *Entry, config *MeterConfig) error {
	cell, err := t.meterCell(e)
	if err != nil {
		return err
	}
	if err := cell.configure(config); err != nil {
		return t.errorf(err, "direct meter")
	}
	return nil
}

// MeterConfig returns the configuration of the direct meter of the entry with
// e's key (and priority); false if it has none.
func (t *Table) MeterConfig(e *Entry) (MeterConfig, bool, error) {
	cell, err := t.meterCell(e)
	if err != nil {
		return MeterConfig{}, false, err
	}
	config, ok := cell.config()
	return config, ok, nil
}

func (t *Table) meterCell(e *Entry) (*meterCell, error) {
	if !t.HasMeter() {
		return nil, t.errorf(ErrInvalid, "it has no direct meter")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	found, err := t.find(e)
	if err != nil {
		return nil, err
	}
	return found.meter(), nil
}

// apply looks the packet up and runs the action; it returns the next node.
func (t *Table) apply(w *Worker) int {
	s := t.spec
	var e *entry
	if s.match != matchNone {
		key := w.key[:s.words]
		s.packKey(w.r, key)
		switch m := t.m.(type) {
		case exactMatcher:
			e = m.hashTable.find(key)
		default:
			e = m.lookup(key)
		}
	}
	if e == nil {
		d := t.def.Load()
		if d == nil {
			return s.missNext
		}
		if d.st != nil {
			t.account(w, d)
		}
		w.runEntry(d, 0)
		return d.act.missNext
	}
	if e.st != nil {
		t.account(w, e)
	}
	if e.act == nil {
		return t.applyMember(w, e)
	}
	w.runEntry(e, s.dataAt)
	return e.act.hitNext
}

// account counts, ages and meters by the entry that matched.
func (t *Table) account(w *Worker, e *entry) {
	s, st := t.spec, e.st
	if s.count {
		st.packets.Add(1)
		st.bytes.Add(w.ingressLength)
	}
	if now := w.now; st.hit.Load() != now {
		st.hit.Store(now)
	}
	if s.meter >= 0 {
		w.r[s.meterTo.slot] = t.p.meters[s.meter].color(w, e.meter()) & s.meterTo.mask()
	}
}

// applyMember runs what the entry's member or group says. An empty group is
// as a miss.
func (t *Table) applyMember(w *Worker, e *entry) int {
	do := t.p.profiles[t.spec.profile].pick(w, e.more)
	if do == nil {
		return t.spec.missNext
	}
	if w.trace != nil {
		w.trace.picked(do)
	}
	copy(w.r[w.p.prog.params:], do.data)
	w.run(do.ops)
	return t.spec.bound[do.index].hitNext
}

// runEntry runs the entry's action; its parameters begin at word at.
func (w *Worker) runEntry(e *entry, at int) {
	if e.act.words > 0 {
		params := w.r[w.p.prog.params:]
		for i, v := range e.data(at) {
			params[i] = v
		}
	}
	w.run(e.act.ops)
}
