package controller

import (
	"context"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/p4"
)

// writer does what takes time with the target, one job after the other, while
// the loop goes on gathering.
type writer struct {
	target  Target
	jobs    chan job    // one slot: the loop gives one at a time
	results chan result // one slot, so that the writer never waits for the loop
}

// job is a set of changes to write or, if there are none, a read of all that
// the target holds.
type job struct {
	session uint64 // of targetState
	changes []change
	audit   bool // of a read: of a target that is written to
	began   time.Time
}

// change is one update. It is written as it is: no message is made of it.
type change struct {
	what     entry   // names the entry
	record   *record // the loop's
	entry    p4.Entry
	op       p4v1.Update_Type
	needs    []string
	releases []string
}

// GetType makes a change a p4rt.Update.
func (c *change) GetType() p4v1.Update_Type { return c.op }

// GetEntity makes a change a p4rt.Update.
func (c *change) GetEntity() *p4v1.Entity { return c.entry.Entity() }

// AppendEntity makes a change a p4rt.EntityAppender.
func (c *change) AppendEntity(b []byte) []byte { return c.entry.AppendEntity(b) }

// Key is for those who look at what is written.
func (c *change) Key() p4.Key { return c.entry.Key }

// result is what came of a job.
type result struct {
	job
	errs    []error    // one a change
	entries []p4.Entry // of a read
	foreign int        // entities read that the program cannot hold
	err     error      // the whole job failed
}

func newWriter(t Target) *writer {
	return &writer{target: t, jobs: make(chan job, 1), results: make(chan result, 1)}
}

func (w *writer) run(ctx context.Context) {
	for {
		select {
		case j := <-w.jobs:
			w.results <- w.do(ctx, j)
		case <-ctx.Done():
			return
		}
	}
}

func (w *writer) do(ctx context.Context, j job) result {
	r := result{job: j}
	if j.changes == nil {
		if r.err = configureMeters(ctx, w.target); r.err == nil {
			r.entries, r.foreign, r.err = readAll(ctx, w.target)
		}
	} else {
		r.errs, r.err = plan(j.changes).Write(ctx, w.target)
	}
	return r
}

// configureMeters bounds what the target sends us. A target that has no meters,
// or refuses them, goes without.
func configureMeters(ctx context.Context, t Target) error {
	held, ok := readMeters(ctx, t)
	if !ok {
		return nil
	}
	var updates []p4rt.Update
	for _, u := range p4.PuntMeterUpdates(held) {
		updates = append(updates, u)
	}
	_, err := t.Write(ctx, updates)
	return err
}

// readMeters gives no reason when it fails: what stands in the way of reading
// meters says so again when entries are read.
func readMeters(ctx context.Context, t Target) (held []*p4v1.MeterEntry, ok bool) {
	err := t.Read(ctx, []*p4v1.Entity{p4.PuntMeters()}, func(e *p4v1.Entity) error {
		held = append(held, e.GetMeterEntry())
		return nil
	})
	return held, err == nil
}

func plan(changes []change) p4rt.Plan {
	p := make(p4rt.Plan, len(changes))
	for i := range changes {
		c := &changes[i]
		p[i] = p4rt.Change{
			Key:      string(c.entry.Key),
			Update:   c,
			Level:    int(c.what.Level()),
			Needs:    c.needs,
			Releases: c.releases,
		}
	}
	return p
}

// readAll reads every table, group and clone session, one after the other: a
// big table stalls some targets.
func readAll(ctx context.Context, t Target) (entries []p4.Entry, foreign int, err error) {
	take := func(e *p4v1.Entity) error {
		if e.GetTableEntry().GetIsDefaultAction() {
			return nil
		}
		if got, err := p4.FromEntity(e); err == nil {
			entries = append(entries, got)
		} else {
			foreign++
		}
		return nil
	}
	for _, e := range wildcards() {
		if err := t.Read(ctx, []*p4v1.Entity{e}, take); err != nil {
			return nil, 0, err
		}
	}
	return entries, foreign, nil
}

// wildcards name everything that the program may hold.
func wildcards() []*p4v1.Entity {
	var all []*p4v1.Entity
	for _, t := range p4.P4Info().GetTables() {
		if t.GetIsConstTable() {
			continue
		}
		all = append(all, &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{TableId: t.GetPreamble().GetId()}}})
	}
	pre := func(e *p4v1.PacketReplicationEngineEntry) {
		all = append(all, &p4v1.Entity{Entity: &p4v1.Entity_PacketReplicationEngineEntry{PacketReplicationEngineEntry: e}})
	}
	pre(&p4v1.PacketReplicationEngineEntry{Type: &p4v1.PacketReplicationEngineEntry_MulticastGroupEntry{
		MulticastGroupEntry: &p4v1.MulticastGroupEntry{}}})
	pre(&p4v1.PacketReplicationEngineEntry{Type: &p4v1.PacketReplicationEngineEntry_CloneSessionEntry{
		CloneSessionEntry: &p4v1.CloneSessionEntry{}}})
	return all
}
