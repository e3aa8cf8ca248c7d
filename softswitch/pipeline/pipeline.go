package pipeline

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Pipeline is a Program with its state. Configuration methods are safe for
// concurrent use, with each other and with workers.
type Pipeline struct {
	prog      *Program
	lim       Limits
	tables    []*Table
	byName    map[string]*Table
	counters  []*Counter
	meters    []*Meter
	profiles  []*Profile
	registers []*Register
	valueSets []*ValueSet
	clock     atomic.Int64
	start     time.Time
	mu        sync.Mutex // groups and sessions: serialises writers
	groups    idTable[[]Replica]
	sessions  idTable[Session]
	numGroups int
	replicas  int // over all groups and sessions
	numSess   int
}

// New makes the state of prog: const and default entries are in place, all
// else is empty.
func New(prog *Program, lim Limits) *Pipeline {
	p := &Pipeline{prog: prog, lim: lim.withDefaults(), byName: map[string]*Table{}, start: time.Now()}
	for i := range prog.meters {
		p.meters = append(p.meters, newMeter(p, &prog.meters[i]))
	}
	for _, c := range prog.counters {
		p.counters = append(p.counters, newCounter(c.Name, c.Size))
	}
	for i := range prog.registers {
		p.registers = append(p.registers, newRegister(&prog.registers[i]))
	}
	for i := range prog.valueSets {
		p.valueSets = append(p.valueSets, newValueSet(&prog.valueSets[i]))
	}
	for _, s := range prog.profiles {
		p.profiles = append(p.profiles, newProfile(s, max(s.size, p.lim.MinTableSize)))
	}
	for _, s := range prog.tables {
		t := newTable(p, s)
		for i := range s.entries {
			if err := t.insert(&s.entries[i]); err != nil {
				panic(err) // Load has tried each
			}
		}
		p.tables = append(p.tables, t)
		p.byName[s.name] = t
	}
	return p
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&l.Groups, maxID)
	set(&l.Replicas, 1<<22)
	set(&l.Sessions, maxSession)
	if l.DropPort == 0 {
		l.DropPort = 511
	}
	return l
}

// Program returns what the pipeline runs.
func (p *Pipeline) Program() *Program { return p.prog }

// Table returns the table of that (full) name, or nil.
func (p *Pipeline) Table(name string) *Table { return p.byName[name] }

// Tables lists the program's tables, in the order of the JSON, without those
// that the compiler made for bare action calls.
func (p *Pipeline) Tables() []*Table {
	return slices.DeleteFunc(slices.Clone(p.tables), func(t *Table) bool { return t.spec.hidden })
}

// Counter returns the indirect counter of that name, or nil.
func (p *Pipeline) Counter(name string) *Counter {
	for _, c := range p.counters {
		if c.name == name {
			return c
		}
	}
	return nil
}

// Profile returns the action profile of that name, or nil.
func (p *Pipeline) Profile(name string) *Profile {
	for _, f := range p.profiles {
		if f.spec.name == name {
			return f
		}
	}
	return nil
}

// Profiles lists the action profiles in the order of the JSON.
func (p *Pipeline) Profiles() []*Profile { return p.profiles }

// Counters lists the indirect counters in the order of the JSON.
func (p *Pipeline) Counters() []*Counter { return p.counters }

// Tick sets the coarse clock that idle timeouts use, in ns of any monotonic
// time base. The owner calls it every 10 to 100 ms.
func (p *Pipeline) Tick(nowNs int64) { p.clock.Store(nowNs) }

// micros is the time since the start in microseconds, BMv2's unit.
func (p *Pipeline) micros() uint64 { return uint64(time.Since(p.start).Microseconds()) }

// NewWorker makes a worker; sink may be nil. What the worker counts stays with
// the pipeline for good, so make one for each goroutine, not for each frame.
func (p *Pipeline) NewWorker(sink Sink) *Worker {
	w := &Worker{
		p: p, sink: sink,
		r:         make([]uint64, p.prog.slots),
		key:       make([]uint64, p.prog.keyWords),
		selectKey: make([]uint64, p.prog.selectWords),
		cells:     make([][]counterCell, len(p.counters)),
		rng:       rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	}
	for i, c := range p.counters {
		w.cells[i] = c.shard()
	}
	for _, k := range p.prog.constants {
		copy(w.r[k.slot:], k.words)
	}
	return w
}

const (
	maxID          = 1<<16 - 1
	maxSession     = 1<<15 - 1
	cloneRequested = 1 << 15 // tells session 0 from none
)

// idTable maps ids of 16 bits to values, in pages; readers need no lock.
type idTable[T any] struct {
	pages [256]atomic.Pointer[[256]atomic.Pointer[T]]
}

func (t *idTable[T]) get(id uint32) *T {
	if id > maxID {
		return nil
	}
	if page := t.pages[id>>8].Load(); page != nil {
		return page[id&255].Load()
	}
	return nil
}

func (t *idTable[T]) set(id uint32, v *T) {
	page := t.pages[id>>8].Load()
	if page == nil {
		page = new([256]atomic.Pointer[T])
		t.pages[id>>8].Store(page)
	}
	page[id&255].Store(v)
}

func (t *idTable[T]) each(f func(id uint32, v *T) bool) {
	for i := range t.pages {
		page := t.pages[i].Load()
		if page == nil {
			continue
		}
		for j := range page {
			if v := page[j].Load(); v != nil && !f(uint32(i<<8|j), v) {
				return
			}
		}
	}
}

// CheckReplicas refuses ports that the program's port fields cannot name, and
// duplicates. Errors: ErrInvalid.
func (p *Pipeline) CheckReplicas(replicas []Replica) error {
	limit := p.prog.std.egressPort.mask
	seen := make(map[Replica]struct{}, len(replicas))
	for _, r := range replicas {
		if uint64(r.Port) > limit || r.Port == p.lim.DropPort {
			return fmt.Errorf("port %d is beyond %d or the drop port: %w", r.Port, limit, ErrInvalid)
		}
		if _, ok := seen[r]; ok {
			return fmt.Errorf("port %d with instance %d is there twice: %w", r.Port, r.Instance, ErrInvalid)
		}
		seen[r] = struct{}{}
	}
	return nil
}

// SetGroup creates or replaces a multicast group (1..65535). Replicas are
// made in the order given. Errors: ErrInvalid, ErrFull.
func (p *Pipeline) SetGroup(id uint32, replicas []Replica) error {
	if id == 0 || id > maxID {
		return fmt.Errorf("multicast group %d is not in 1..%d: %w", id, maxID, ErrInvalid)
	}
	if err := p.CheckReplicas(replicas); err != nil {
		return fmt.Errorf("multicast group %d: %w", id, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.groups.get(id)
	more := len(replicas)
	if old != nil {
		more -= len(*old)
	} else if p.numGroups >= p.lim.Groups {
		return fmt.Errorf("multicast group %d: there are %d groups: %w", id, p.numGroups, ErrFull)
	}
	if p.replicas+more > p.lim.Replicas {
		return fmt.Errorf("multicast group %d: there are %d replicas: %w", id, p.replicas, ErrFull)
	}
	own := append([]Replica(nil), replicas...)
	p.groups.set(id, &own)
	p.replicas += more
	if old == nil {
		p.numGroups++
	}
	return nil
}

// DeleteGroup removes a multicast group: ErrNotFound if there is none.
func (p *Pipeline) DeleteGroup(id uint32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.groups.get(id)
	if old == nil {
		return fmt.Errorf("multicast group %d: %w", id, ErrNotFound)
	}
	p.groups.set(id, nil)
	p.replicas -= len(*old)
	p.numGroups--
	return nil
}

// Group returns the replicas of a group; do not change them.
func (p *Pipeline) Group(id uint32) ([]Replica, bool) {
	if g := p.groups.get(id); g != nil {
		return *g, true
	}
	return nil, false
}

// EachGroup calls f for each group in ascending order until f returns false.
func (p *Pipeline) EachGroup(f func(id uint32, replicas []Replica) bool) {
	p.groups.each(func(id uint32, g *[]Replica) bool { return f(id, *g) })
}

// SetSession creates or replaces a clone session (1..32767).
func (p *Pipeline) SetSession(id uint32, s Session) error {
	if id == 0 || id > maxSession {
		return fmt.Errorf("clone session %d is not in 1..%d: %w", id, maxSession, ErrInvalid)
	}
	if s.Truncate < 0 || s.Truncate > math.MaxInt32 {
		return fmt.Errorf("clone session %d: truncation to %d bytes: %w", id, s.Truncate, ErrInvalid)
	}
	if err := p.CheckReplicas(s.Replicas); err != nil {
		return fmt.Errorf("clone session %d: %w", id, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sessions.get(id) == nil {
		if p.numSess >= p.lim.Sessions {
			return fmt.Errorf("clone session %d: there are %d sessions: %w", id, p.numSess, ErrFull)
		}
		p.numSess++
	}
	s.Replicas = append([]Replica(nil), s.Replicas...)
	p.sessions.set(id, &s)
	return nil
}

// DeleteSession removes a clone session: ErrNotFound if there is none.
func (p *Pipeline) DeleteSession(id uint32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sessions.get(id) == nil {
		return fmt.Errorf("clone session %d: %w", id, ErrNotFound)
	}
	p.sessions.set(id, nil)
	p.numSess--
	return nil
}

// Session returns a clone session; do not change its replicas.
func (p *Pipeline) Session(id uint32) (Session, bool) {
	if s := p.sessions.get(id); s != nil {
		return *s, true
	}
	return Session{}, false
}

// EachSession calls f for each session in ascending order until f returns
// false.
func (p *Pipeline) EachSession(f func(id uint32, s Session) bool) {
	p.sessions.each(func(id uint32, s *Session) bool { return f(id, *s) })
}
