// Package trace says what a P4 target does with a frame, and why: each step with the entry
// that decided it and what that comes from, and in a sentence each what leaves.
//
// The frame runs through a shadow of the target (package softswitch/shadow), which has the
// entries that the frame meets and no others: what they are, and why they are there, is
// asked of who wrote them, at one moment. So a trace costs by the length of the pipeline and
// not by the number of entries.
//
// The package knows P4Runtime's entries by package p4, and frames. What a bridge or a route
// is, it is told in words.
package trace

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/softswitch/pipeline"
	"github.com/p4evpn/p4evpn/softswitch/shadow"
)

// Held is what the target holds, as far as it acknowledged that, at one moment.
type Held interface {
	Entry(p4.Key) (p4.Entry, bool)
	Entries() iter.Seq[p4.Entry]
	// Why says what an entry comes from.
	Why(p4.Entry) string
	// Port finds a port of the target, by its name or by that of a bridge port on it.
	Port(name string) (number uint16, ok bool)
	// PortName is the name of a port, "" of one that is unknown.
	PortName(number uint16) string
	// Places are where a host is, by its MAC or by an address of it.
	Places(host string) ([]view.Place, error)
}

// Config says what a Tracer traces.
type Config struct {
	Program *p4v1.ForwardingPipelineConfig
	// Inspect calls do with what is held while that does not change.
	Inspect func(ctx context.Context, do func(Held)) error
	// Read reads entities of the target itself.
	Read func(ctx context.Context, of []*p4v1.Entity, each func(*p4v1.Entity) error) error
}

// Tracer traces frames. It is safe for concurrent use.
type Tracer struct {
	cfg Config

	mu    sync.Mutex     // one trace at a time
	empty *shadow.Shadow // to be filled by the next one; nil = to be made
}

var _ view.Tracer = (*Tracer)(nil)

// New makes a Tracer.
func New(cfg Config) *Tracer { return &Tracer{cfg: cfg} }

// Trace says what becomes of a frame.
func (t *Tracer) Trace(ctx context.Context, r view.TraceRequest) (out view.Trace, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.empty
	if t.empty = nil; s == nil {
		if s, err = shadow.New(t.cfg.Program); err != nil {
			return view.Trace{}, err
		}
	}
	of := &run{shadow: s, known: map[p4.Key]bool{}, all: map[string]bool{}, whole: r.Read}
	if r.Read {
		if of.inserted, err = t.read(ctx); err != nil {
			return view.Trace{}, fmt.Errorf("read the target: %w", err)
		}
		if err = s.Insert(of.inserted...); err != nil {
			return view.Trace{}, fmt.Errorf("what the target says to hold does not fit this gateway's program: either "+
				"it runs another, or it told a part alone: %w", err)
		}
	}
	var traced error
	err = t.cfg.Inspect(ctx, func(h Held) {
		var in arrival
		if in, traced = arrive(h, &r); traced != nil {
			return
		}
		of.held = h
		if traced = of.trace(in); traced == nil {
			out = of.account()
		}
	})
	if slices.Reverse(of.inserted); !r.Read && s.Delete(of.inserted...) == nil {
		t.empty = s
	}
	return out, errors.Join(err, traced)
}

// read gives what the target itself holds.
func (t *Tracer) read(ctx context.Context) (all []*p4v1.Entity, err error) {
	room := t.room()
	err = t.cfg.Read(ctx, p4.Wildcards(), func(e *p4v1.Entity) error {
		if len(all) == room {
			return fmt.Errorf("it tells more than the %d entries that there is room for", room)
		}
		all = append(all, e)
		return nil
	})
	return all, err
}

// room is above what a target holds of the program.
func (t *Tracer) room() int {
	room := 1 << 17 // multicast groups and clone sessions
	for _, table := range t.cfg.Program.GetP4Info().GetTables() {
		room += int(table.GetSize())
	}
	for _, profile := range t.cfg.Program.GetP4Info().GetActionProfiles() {
		room += 2 * int(profile.GetSize()) // members and groups
	}
	return room
}

// run is one frame on its way.
type run struct {
	held     Held
	shadow   *shadow.Shadow
	inserted []*p4v1.Entity  // into it
	known    map[p4.Key]bool // what it was asked to have, whether that is held or not
	all      map[string]bool // tables that it has the whole of: any entry may match
	whole    bool            // it has all
	arrival  arrival
	steps    *pipeline.Account
}

// trace sends the frame until it meets nothing new.
func (r *run) trace(in arrival) error {
	r.arrival = in
	for {
		r.steps = r.shadow.Trace(uint32(in.port), in.frame)
		if r.whole {
			return nil
		}
		found, err := r.met()
		if err != nil || len(found) == 0 {
			return err
		}
		r.inserted = append(r.inserted, found...)
		if err := r.shadow.Insert(found...); err != nil {
			return err
		}
	}
}

// met gives the entities that the frame met or may have met, and that the shadow lacks.
func (r *run) met() (found []*p4v1.Entity, err error) {
	for i := range r.steps.Steps {
		keys, err := r.keys(&r.steps.Steps[i])
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			found = r.take(found, k)
		}
	}
	return found, nil
}

// take adds the entity of a key, if it is held and new, after those that it refers to.
func (r *run) take(found []*p4v1.Entity, k p4.Key) []*p4v1.Entity {
	if r.known[k] {
		return found
	}
	r.known[k] = true
	e, held := r.held.Entry(k)
	if !held {
		return found
	}
	if d, err := p4.Decode(e); err == nil {
		for _, ref := range d.Refs() {
			found = r.take(found, ref)
		}
	}
	return append(found, e.Entity())
}

// keys are those of the entries that a step may meet.
func (r *run) keys(s *pipeline.Step) ([]p4.Key, error) {
	switch {
	case s.Kind == pipeline.StepReplicate && s.Name == "multicast":
		return []p4.Key{p4.Group{ID: uint16(s.Group)}.Key()}, nil
	case s.Kind == pipeline.StepReplicate:
		return []p4.Key{p4.CloneSession{ID: s.Group}.Key()}, nil
	case s.Kind != pipeline.StepTable || len(s.Key) == 0:
		return nil, nil
	}
	values, err := valuesOf(s.Key)
	if err != nil {
		return nil, err
	}
	keys, few, err := p4.Lookups(s.Name, values)
	if few || err != nil || r.all[s.Name] {
		return keys, err
	}
	r.all[s.Name] = true
	for e := range r.held.Entries() {
		if e.Key.Table() == s.Name {
			keys = append(keys, e.Key)
		}
	}
	return keys, nil
}

// valuesOf are fields of an account as bytes.
func valuesOf(fields []pipeline.Field) (map[string][]byte, error) {
	values := map[string][]byte{}
	for _, f := range fields {
		digits := strings.TrimPrefix(f.Value, "0x")
		if len(digits)%2 == 1 {
			digits = "0" + digits
		}
		v, err := hex.DecodeString(digits)
		if err != nil {
			return nil, fmt.Errorf("field %s of an account: %w", f.Name, err)
		}
		values[f.Name] = v
	}
	return values, nil
}

// hit is the entry that a step hit, and why it is there; both empty if it hit none. What is
// constant is the program's own.
func (r *run) hit(s *pipeline.Step) (entry, why string) {
	hit := r.shadow.Hit(s)
	switch e, err := p4.FromEntity(hit); {
	case hit == nil:
		return "", ""
	case hit.GetTableEntry().GetIsConst():
		return "", "the P4 program has it so"
	case err != nil:
		return "", "nothing of this gateway: " + err.Error()
	default:
		text := e.String() + chosen(s)
		if held, ok := r.held.Entry(e.Key); !ok || held != e {
			return text, "nothing of this gateway: it was not told so by it"
		}
		return text, r.held.Why(e)
	}
}

// chosen is what the flow takes of the group that an entry refers to, as text behind it.
func chosen(s *pipeline.Step) string {
	if s.Entry.Group == 0 {
		return ""
	}
	values, err := valuesOf(s.Params)
	if err != nil {
		return ""
	}
	return ": this flow takes " + p4.ActionText(s.Action, values)
}

// account is the whole for people.
func (r *run) account() view.Trace {
	out := view.Trace{Port: r.held.PortName(r.arrival.port), Frame: r.arrival.frame, Arrives: r.arrival.text}
	for i := range r.steps.Steps {
		s := &r.steps.Steps[i]
		step := view.TraceStep{Kind: string(s.Kind), Name: s.Name, Text: s.String(), Result: s.Result}
		for _, c := range s.Changes {
			step.Changes = append(step.Changes, c.String())
		}
		step.Entry, step.Why = r.hit(s)
		out.Steps = append(out.Steps, step)
	}
	out.Results = r.results()
	for _, sent := range r.steps.Out {
		out.Out = append(out.Out, view.TraceFrame{
			Port: r.held.PortName(uint16(sent.Port)), Number: sent.Port, Frame: slices.Clone(sent.Data),
		})
	}
	return out
}
