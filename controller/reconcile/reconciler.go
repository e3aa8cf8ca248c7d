package reconcile

import (
	"log/slog"
	"maps"
	"time"

	"github.com/p4evpn/p4evpn/internal/keyed"
	"github.com/p4evpn/p4evpn/p4"
)

// Reconciler is what is known of a target, and brings it to what the model wants.
type Reconciler struct {
	cfg    Config
	log    *slog.Logger
	model  Model
	writer *writer

	records *keyed.Set[p4.Key, record]
	marked  [p4.Levels][]marked // those that are marked
	counts  map[string]int      // of what the target holds, by table

	phase   phase
	reason  string // why it is not up
	session uint64 // counts connections: results of an older one mean nothing
	jobs    int    // that the writer has: one under way, and at most one prepared
	// leaves: the jobs that the writer has are of leaves alone.
	leaves bool
	spare  []change  // empty, for the next job
	began  time.Time // of the job under way
	reads  int       // read-backs that succeeded
	// emptied: a pipeline was pushed since the start, and nothing was kept.
	emptied bool
	// replaced: one was pushed since the last read-back, so entries may be gone.
	replaced bool
	readAt   time.Time

	failed map[p4.Key]*Failure
	// waiting are the entries that wait for one that failed.
	waiting map[p4.Key]map[p4.Key]p4.Typed
	// retryAt is when the first failure is due, zero if none is.
	retryAt time.Time
	// gatherUntil lets marks gather after a large batch, until there are enough for
	// another.
	gatherUntil time.Time
	// causes want to know of what is marked.
	causes []cause
	// setups are to be done once the writer is free.
	setups []Setup
	rooms  map[uint32]*room // of the tables, by id
	waits  int              // entries that wait for room
	follow follower         // while changes are computed

	deferral deferral
	audits   auditor
}

type phase uint8

// The phases of a target: only one that is up is written to.
const (
	phaseDown phase = iota
	phaseReading
	phaseUp
)

// New makes a Reconciler of a target that was not reached yet.
func New(cfg Config, target Target, model Model) *Reconciler {
	return &Reconciler{
		cfg: cfg, log: cfg.Logger, model: model, writer: newWriter(target),
		records: keyed.New((*record).key), counts: map[string]int{},
		reason: "the target was not reached yet",
		failed: map[p4.Key]*Failure{}, waiting: map[p4.Key]map[p4.Key]p4.Typed{},
		rooms:  newRooms(cfg.Sizes),
		audits: auditor{unsure: map[p4.Key]struct{}{}},
	}
}

// Ready reports whether the target is up: what it holds is known, and written to.
func (r *Reconciler) Ready() bool { return r.phase == phaseUp }

// Reason says why the target is not up, "" if it is.
func (r *Reconciler) Reason() string { return r.reason }

// Full reports whether a target that is written to has enough to do: a job is prepared, or
// as much is marked as the next one can take. What is marked then waits for two jobs.
func (r *Reconciler) Full() bool {
	return r.phase == phaseUp && (r.jobs == maxJobs || r.Depth() >= maxBatch)
}

// Report is Reason once that is news: false while a first attempt is still under
// way, or a read-back that follows a success.
func (r *Reconciler) Report() (reason string, known bool) {
	failed := r.phase == phaseDown && r.session > 0 || r.phase == phaseReading && !r.readAt.IsZero()
	return r.reason, r.phase == phaseUp || failed
}

// Adopted reports whether what the target holds was taken over once.
func (r *Reconciler) Adopted() bool { return r.reads > 0 }

// Emptied reports whether the target was given its pipeline since the start and
// kept nothing.
func (r *Reconciler) Emptied() bool { return r.emptied }

// Settled reports whether the target is up and there is nothing to do: nothing is
// marked, being written or refused.
func (r *Reconciler) Settled() bool {
	return r.phase == phaseUp && r.jobs == 0 && r.Depth() == 0 && len(r.failed) == 0 && len(r.setups) == 0
}

// Idle reports whether the target is up and nothing is on its way: what it refuses may be
// tried again.
func (r *Reconciler) Idle() bool {
	return r.phase == phaseUp && r.jobs == 0 && r.Depth() == 0 && len(r.setups) == 0
}

// Counts gives how many entries the target holds, by table.
func (r *Reconciler) Counts() map[string]int { return maps.Clone(r.counts) }
