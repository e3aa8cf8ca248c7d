package check

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/softswitch/pipeline"
	"github.com/p4evpn/p4evpn/softswitch/shadow"
)

// Snapshot is what is asked for, and what the target acknowledged, at one moment.
type Snapshot struct {
	State
	Acknowledged []p4.Entry
}

// Config says what a Checker checks.
type Config struct {
	Program *p4v1.ForwardingPipelineConfig
	// Snapshot gives what is asked for and what the target acknowledged.
	Snapshot func(context.Context) (Snapshot, error)
	// Read reads entities of the target itself.
	Read func(ctx context.Context, of []*p4v1.Entity, each func(*p4v1.Entity) error) error
	// Why says what entries come from, those that the gateway wants.
	Why func(context.Context, []p4.Entry) ([]string, error)
	// Again is how long after a difference it is looked at once more; 0 = 300 ms.
	Again time.Duration
	most  int // entries; 0 = any number
}

// maxDifferences bounds those that are given.
const maxDifferences = 100

// Checker checks a gateway. It is safe for concurrent use.
type Checker struct {
	cfg   Config
	mu    sync.Mutex     // one check at a time
	empty *shadow.Shadow // to be filled by the next pass; nil = to be made
}

var _ view.Checker = (*Checker)(nil)

// New makes a Checker.
func New(cfg Config) *Checker {
	if cfg.Again == 0 {
		cfg.Again = 300 * time.Millisecond
	}
	return &Checker{cfg: cfg}
}

// patience is how long what is under way is waited for.
const patience = 20 * time.Second

// pacer is called again and again, and waits if there is to be a pause.
type pacer func(context.Context) error

// Check checks once. What differs is looked at a second time, so that what was under way is
// no difference.
func (c *Checker) Check(ctx context.Context, r view.CheckRequest) (view.Check, error) {
	return c.check(ctx, r, func(ctx context.Context) error { return ctx.Err() })
}

func (c *Checker) check(ctx context.Context, r view.CheckRequest, pace pacer) (view.Check, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	began := time.Now()
	first, err := c.pass(ctx, r, pace, nil)
	if err == nil && len(first.keys) > 0 {
		if err = pause(ctx, c.cfg.Again); err == nil {
			first, err = c.pass(ctx, r, pace, first.keys)
		}
	}
	if err != nil {
		return view.Check{}, err
	}
	out := first.Check
	out.Took = time.Since(began)
	return out, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pass is one look at everything that is asked for.
type pass struct {
	view.Check
	oracle   *oracle
	shadow   *shadow.Shadow
	inserted []p4.Entry          // into it
	foreign  []*p4v1.Entity      // the same, of no type of ours
	drops    []*pipeline.Counter // of it, by reason
	ack      map[p4.Key]p4.Entry // what the target acknowledged
	held     map[p4.Key]p4.Entry // what the shadow has
	seed     maphash.Seed
	tried    map[uint64]bool
	before   map[string]bool // keys of the pass before; nil = it is the first
	keys     map[string]bool // of what differs
	scope    view.CheckRequest
	because  []because
}

// pass looks at everything once, and gives what differed before too if that is not nil.
func (c *Checker) pass(ctx context.Context, r view.CheckRequest, pace pacer, before map[string]bool) (*pass, error) {
	snap, err := c.settled(ctx)
	if err != nil {
		return nil, err
	}
	p := &pass{oracle: newOracle(snap.State), ack: make(map[p4.Key]p4.Entry, len(snap.Acknowledged)),
		seed: maphash.MakeSeed(), tried: map[uint64]bool{}, before: before, keys: map[string]bool{}, scope: r}
	p.Read = r.Read
	if err := p.known(); err != nil {
		return nil, err
	}
	for _, e := range snap.Acknowledged {
		p.ack[e.Key] = e
	}
	p.held = p.ack
	if n := len(snap.Acknowledged); c.cfg.most > 0 && n > c.cfg.most {
		return nil, fmt.Errorf("%d entries: up to %d are checked without being asked for", n, c.cfg.most)
	}
	entries := snap.Acknowledged
	var foreign []*p4v1.Entity
	if r.Read {
		if entries, foreign, err = c.read(ctx); err != nil {
			return nil, fmt.Errorf("read the target: %w", err)
		}
		p.held = make(map[p4.Key]p4.Entry, len(entries))
		for _, e := range entries {
			p.held[e.Key] = e
		}
	}
	if p.shadow, c.empty = c.empty, nil; p.shadow == nil {
		if p.shadow, err = shadow.New(c.cfg.Program); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"ingress_drops", "egress_drops"} {
		drops := p.shadow.Counter(name)
		if drops == nil {
			return nil, fmt.Errorf("the P4 program has no counter %s", name)
		}
		p.drops = append(p.drops, drops)
	}
	p.Entries = len(entries)
	slices.SortFunc(entries, func(a, b p4.Entry) int { return strings.Compare(string(a.Key), string(b.Key)) })
	if err = p.fill(ctx, entries, foreign, pace); err != nil {
		return nil, err
	}
	err = p.run(ctx, entries, pace)
	if p.clear(ctx, pace) == nil {
		c.empty = p.shadow
	}
	if err != nil {
		return nil, err
	}
	return p, c.explain(ctx, p)
}

// known says that a bridge or VRF which is to be checked is not there.
func (p *pass) known() error {
	if p.scope.Bridge == "" && p.scope.VRF == "" {
		return nil
	}
	for _, b := range p.oracle.bridges {
		if b.ID == p.scope.Bridge {
			return nil
		}
	}
	for _, v := range p.oracle.vrfs {
		if v.ID == p.scope.VRF {
			return nil
		}
	}
	switch {
	case p.scope.VRF == "":
		return &view.CheckError{Problem: fmt.Sprintf("there is no logical bridge %s", p.scope.Bridge)}
	case p.scope.Bridge == "":
		return &view.CheckError{Problem: fmt.Sprintf("there is no VRF %s", p.scope.VRF)}
	}
	return &view.CheckError{Problem: fmt.Sprintf("there is no logical bridge %s, and no VRF %s", p.scope.Bridge,
		p.scope.VRF)}
}

// settled gives a snapshot while nothing is under way.
func (c *Checker) settled(ctx context.Context) (Snapshot, error) {
	for end := time.Now().Add(patience); ; {
		s, err := c.cfg.Snapshot(ctx)
		if err != nil || s.Known.Busy == "" {
			return s, err
		}
		if time.Now().After(end) {
			return s, fmt.Errorf("nothing can be said of the target now: %s", s.Known.Busy)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return s, err
		}
	}
}

// read gives what the target itself holds. What has no meaning here is apart.
func (c *Checker) read(ctx context.Context) (entries []p4.Entry, foreign []*p4v1.Entity, err error) {
	err = c.cfg.Read(ctx, p4.Wildcards(), func(e *p4v1.Entity) error {
		entry, err := p4.FromEntity(e)
		if err == nil {
			_, err = p4.Decode(entry)
		}
		if err != nil {
			foreign = append(foreign, e)
		} else {
			entries = append(entries, entry)
		}
		return nil
	})
	return entries, foreign, err
}

// some is how many entries or frames there are between two looks at the pace.
const some = 64

// fill has the shadow hold entries, those that are referred to first.
func (p *pass) fill(ctx context.Context, entries []p4.Entry, foreign []*p4v1.Entity, pace pacer) error {
	var levels [p4.Levels][]p4.Entry
	for _, e := range entries {
		level := p4.LevelBase // of what has no meaning here
		if d, err := p4.Decode(e); err == nil {
			level = d.Level()
		}
		levels[level] = append(levels[level], e)
	}
	for part := range slices.Chunk(slices.Concat(levels[:]...), some) {
		if err := p.shadow.Insert(entities(part)...); err != nil {
			return fmt.Errorf("the shadow of the target does not take its entries: %w", err)
		}
		p.inserted = append(p.inserted, part...)
		if err := pace(ctx); err != nil {
			return err
		}
	}
	if err := p.shadow.Insert(foreign...); err != nil {
		return fmt.Errorf("the shadow of the target does not take its entries: %w", err)
	}
	p.foreign = foreign
	return nil
}

func entities(of []p4.Entry) []*p4v1.Entity {
	out := make([]*p4v1.Entity, len(of))
	for i, e := range of {
		out[i] = e.Entity()
	}
	return out
}

// clear takes out of the shadow what was put into it.
func (p *pass) clear(ctx context.Context, pace pacer) error {
	if err := p.shadow.Delete(p.foreign...); err != nil {
		return err
	}
	slices.Reverse(p.inserted)
	for part := range slices.Chunk(p.inserted, some) {
		if err := p.shadow.Delete(entities(part)...); err != nil {
			return err
		}
		if err := pace(ctx); err != nil {
			return err
		}
	}
	return nil
}

// run tries all frames.
func (p *pass) run(ctx context.Context, entries []p4.Entry, pace pacer) (err error) {
	take := func(pr probe) bool {
		if !p.wants(&pr) {
			return true
		}
		p.try(&pr)
		if p.Frames%some == 0 {
			err = pace(ctx)
		}
		return err == nil
	}
	if !p.oracle.probes(take) {
		return err
	}
	of := &prober{o: p.oracle, take: take}
	for _, e := range entries {
		if of.ofEntry(e); of.done {
			return err
		}
	}
	return nil
}

func (p *pass) wants(pr *probe) bool {
	switch {
	case p.scope.Bridge != "" && p.scope.VRF != "":
		return pr.bridge == p.scope.Bridge || pr.vrf == p.scope.VRF
	case p.scope.Bridge != "":
		return pr.bridge == p.scope.Bridge
	case p.scope.VRF != "":
		return pr.vrf == p.scope.VRF
	}
	return true
}
