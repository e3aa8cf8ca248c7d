package pipeline

// Program is a loaded P4 program: immutable, shared by any number of
// pipelines.
type Program struct{}

// Load parses BMv2 JSON, checks every reference in it and compiles it. Errors
// name the element; what the engine does not support is such an error too.
func Load(json []byte) (*Program, error) { return nil, ErrInvalid }

// Digests lists the program's digests.
func (p *Program) Digests() []DigestInfo { return nil }

// Pipeline is a Program with its state. Configuration methods are safe for
// concurrent use, with each other and with workers.
type Pipeline struct{}

// New makes the state of prog: const and default entries are in place, all
// else is empty.
func New(prog *Program, lim Limits) *Pipeline { return nil }

// Program returns what the pipeline runs.
func (p *Pipeline) Program() *Program { return nil }

// Table returns the table of that (full) name, or nil.
func (p *Pipeline) Table(name string) *Table { return nil }

// Tables lists the program's tables, in the order of the JSON, without those
// that the compiler made for bare action calls.
func (p *Pipeline) Tables() []*Table { return nil }

// Counter returns the indirect counter of that name, or nil.
func (p *Pipeline) Counter(name string) *Counter { return nil }

// Counters lists the indirect counters in the order of the JSON.
func (p *Pipeline) Counters() []*Counter { return nil }

// Tick sets the coarse clock that idle timeouts use, in ns of any monotonic
// time base. The owner calls it every 10 to 100 ms.
func (p *Pipeline) Tick(nowNs int64) {}

// SetGroup creates or replaces a multicast group (1..65535). Replicas are
// made in the order given. Errors: ErrInvalid, ErrFull.
func (p *Pipeline) SetGroup(id uint32, replicas []Replica) error { return ErrInvalid }

// DeleteGroup: ErrNotFound if there is none.
func (p *Pipeline) DeleteGroup(id uint32) error { return ErrInvalid }

// Group returns the replicas of a group; do not change them.
func (p *Pipeline) Group(id uint32) ([]Replica, bool) { return nil, false }

// EachGroup calls f for each group in ascending order until f returns false.
func (p *Pipeline) EachGroup(f func(id uint32, replicas []Replica) bool) {}

// SetSession creates or replaces a clone session (1..32767).
func (p *Pipeline) SetSession(id uint32, s Session) error { return ErrInvalid }

// DeleteSession: ErrNotFound if there is none.
func (p *Pipeline) DeleteSession(id uint32) error { return ErrInvalid }

// Session returns a clone session; do not change its replicas.
func (p *Pipeline) Session(id uint32) (Session, bool) { return Session{}, false }

// EachSession calls f for each session in ascending order until f returns
// false.
func (p *Pipeline) EachSession(f func(id uint32, s Session) bool) {}

// NewWorker makes a worker; sink may be nil.
func (p *Pipeline) NewWorker(sink Sink) *Worker { return nil }

// Worker carries frames through the pipeline, one at a time. It is for one
// goroutine.
type Worker struct {
	// Out collects the frames to send, in order, until Reset.
	Out []Packet
}

// Process runs one frame that arrived on port. The frame is not kept and not
// changed; it may be reused at once.
func (w *Worker) Process(port uint32, frame []byte) {}

// Reset forgets Out and the bytes behind it. Call it once a batch.
func (w *Worker) Reset() {}

// Table is a match-action table with its entries.
type Table struct{}

// Name is the JSON's full name, as in P4Info.
func (t *Table) Name() string { return "" }

// Size is the number of entries the table holds at most.
func (t *Table) Size() int { return 0 }

// Len is the number of entries it holds.
func (t *Table) Len() int { return 0 }

// Keys describes the key fields in order.
func (t *Table) Keys() []KeyField { return nil }

// Actions lists the table's actions.
func (t *Table) Actions() []ActionInfo { return nil }

// SupportsTimeout says whether entries may carry an idle timeout.
func (t *Table) SupportsTimeout() bool { return false }

// HasPriority says whether entries need a priority.
func (t *Table) HasPriority() bool { return false }

// HasCounter says whether the table has a direct counter.
func (t *Table) HasCounter() bool { return false }

// IsConst says whether the program fixes the entries.
func (t *Table) IsConst() bool { return false }

// Insert adds an entry. Errors: ErrInvalid, ErrExists, ErrFull, ErrConst.
func (t *Table) Insert(e *Entry) error { return ErrInvalid }

// Modify replaces action, parameters, timeout and metadata of the entry with
// this key (and priority). Its direct counter stays, its idle time starts
// again. Errors: ErrInvalid, ErrNotFound, ErrConst.
func (t *Table) Modify(e *Entry) error { return ErrInvalid }

// Delete removes the entry with this key (and priority); the rest of e is not
// looked at. Errors: ErrInvalid, ErrNotFound, ErrConst.
func (t *Table) Delete(e *Entry) error { return ErrInvalid }

// Get finds the entry with this key (and priority).
func (t *Table) Get(e *Entry) (Entry, error) { return Entry{}, ErrInvalid }

// Each calls f for every entry, in no particular order, until f returns
// false. It does not stop writers; entries that come or go meanwhile may be
// seen or not.
func (t *Table) Each(f func(Entry) bool) {}

// Expired calls f, as Each, for the entries whose idle timeout is over.
func (t *Table) Expired(f func(Entry) bool) {}

// Clear removes all entries that are not const.
func (t *Table) Clear() error { return nil }

// Default returns the default action; Action is empty if there is none.
func (t *Table) Default() Entry { return Entry{} }

// SetDefault sets the default action. Errors: ErrInvalid, ErrConst.
func (t *Table) SetDefault(action string, params [][]byte) error { return ErrInvalid }

// ResetDefault restores the program's default action. Errors: ErrConst.
func (t *Table) ResetDefault() error { return ErrInvalid }

// SetCounter sets the direct counter of the entry with e's key (and priority).
func (t *Table) SetCounter(e *Entry, packets, bytes uint64) error { return ErrInvalid }

// Counter is an indirect counter: an array of cells that count packets and
// bytes.
type Counter struct{}

// Name is the JSON's full name, as in P4Info.
func (c *Counter) Name() string { return "" }

// Size is the number of cells.
func (c *Counter) Size() int { return 0 }

// Read returns a cell; both are zero for an index outside the array.
func (c *Counter) Read(index int) (packets, bytes uint64) { return 0, 0 }

// Write sets a cell. Errors: ErrInvalid for an index outside the array.
func (c *Counter) Write(index int, packets, bytes uint64) error { return ErrInvalid }
