package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Action is what becomes of one object.
type Action string

// Actions.
const (
	Create Action = "create"
	Change Action = "change"
	Delete Action = "delete"
)

// Step is one change of a gateway.
type Step struct {
	Action Action
	Object Object // as it is wanted; of a Delete as it is
	before Object // of a Change
	after  Object // of a Create and a Change, as the API gives it back
}

// Plan is the steps that make a gateway hold what a file says, in an order in
// which each of them is possible.
type Plan struct{ Steps []Step }

// MakePlan compares wanted objects with those of a gateway and tries what is to
// be done on a model of it, an API of nobody that is in the memory of this
// process and has nothing yet. With prune, objects of the wanted kinds that are
// not wanted are deleted. A plan that cannot work is an error, which names the
// lines of its objects.
func MakePlan(ctx context.Context, gateway, model Client, wanted []Object, prune bool) (*Plan, error) {
	have := map[string]Object{}
	for _, k := range Kinds {
		if k.ReadOnly {
			continue
		}
		objects, err := gateway.List(ctx, k)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			if state, _ := o.state(); state == toBeDeleted {
				continue // the store has it no more
			}
			have[o.String()] = o
			copyInto(ctx, model, o)
		}
	}
	p := &planner{model: model, have: have, plan: &Plan{}}
	for _, o := range wanted {
		p.pending = append(p.pending, Step{Action: Change, Object: o})
	}
	slices.SortStableFunc(p.pending, func(a, b Step) int { return rank(a.Object.Kind) - rank(b.Object.Kind) })
	if prune {
		p.prune(wanted)
	}
	return p.run(ctx)
}

// toBeDeleted is the state of a deleted object of which the target has entries.
const toBeDeleted = "to_be_deleted"

// copyInto puts an object of the gateway into the model. One that breaks the
// rules there waits for what the configuration names and nobody made yet.
func copyInto(ctx context.Context, model Client, o Object) {
	o.message = proto.Clone(o.message)
	r := o.message.ProtoReflect()
	if st, ok := o.get("status"); ok {
		if f := st.Descriptor().Fields().ByName("has_password"); f != nil && st.Get(f).Bool() {
			spec := r.Mutable(r.Descriptor().Fields().ByName("spec")).Message()
			spec.Set(spec.Descriptor().Fields().ByName("password"), protoreflect.ValueOfString("not known"))
		}
	}
	_, _ = model.Create(ctx, o)
}

func rank(k *Kind) int { return slices.Index(Kinds, k) }

type planner struct {
	model   Client
	have    map[string]Object
	plan    *Plan
	pending []Step
}

// prune adds the deletion of what is there and not wanted, what refers to others
// first.
func (p *planner) prune(wanted []Object) {
	kinds, keep := map[*Kind]bool{}, map[string]bool{}
	for _, o := range wanted {
		kinds[o.Kind], keep[o.String()] = true, true
	}
	var steps []Step
	for name, o := range p.have {
		if kinds[o.Kind] && !keep[name] && !o.configured() {
			steps = append(steps, Step{Action: Delete, Object: o})
		}
	}
	slices.SortFunc(steps, func(a, b Step) int {
		if d := rank(b.Object.Kind) - rank(a.Object.Kind); d != 0 {
			return d
		}
		return compare(a.Object.ID, b.Object.ID)
	})
	p.pending = append(p.pending, steps...)
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// run tries the pending steps until none is left. When none works any more, as
// when two objects swap what only one may have, one that nobody refers to is
// deleted first and made again.
func (p *planner) run(ctx context.Context) (*Plan, error) {
	var stuck error
	for len(p.pending) > 0 {
		var left []Step
		var errs []error
		for _, s := range p.pending {
			if err := p.try(ctx, s); err != nil {
				left, errs = append(left, s), append(errs, atLine(s, err))
			}
		}
		if len(left) < len(p.pending) {
			p.pending = left
			continue
		}
		if stuck == nil {
			stuck = errors.Join(errs[:min(len(errs), maxFaults)]...)
		}
		if !p.makeRoom(ctx) {
			return nil, stuck
		}
	}
	return p.plan, nil
}

// makeRoom deletes one object that is pending, and reports whether it could. It is
// made again since it stays pending.
func (p *planner) makeRoom(ctx context.Context) bool {
	for i := len(p.pending) - 1; i >= 0; i-- {
		o := p.pending[i].Object
		have, ok := p.have[o.String()]
		if !ok || have.configured() || p.pending[i].Action == Delete || p.model.Delete(ctx, o.Kind, o.ID) != nil {
			continue
		}
		delete(p.have, o.String())
		p.plan.Steps = append(p.plan.Steps, Step{Action: Delete, Object: have})
		return true
	}
	return false
}

func atLine(s Step, err error) error {
	text := status.Convert(err).Message()
	if s.Object.line == 0 {
		return fmt.Errorf("%s %v: %s", s.Action, s.Object, text)
	}
	return fmt.Errorf("line %d: %s", s.Object.line, text)
}

// try makes one step on the model and, if it worked and changed something, adds
// it to the plan.
func (p *planner) try(ctx context.Context, s Step) error {
	if s.Action == Delete {
		if err := p.model.Delete(ctx, s.Object.Kind, s.Object.ID); err != nil {
			return err
		}
		p.plan.Steps = append(p.plan.Steps, s)
		return nil
	}
	before, err := p.model.Get(ctx, s.Object.Kind, s.Object.ID)
	switch {
	case status.Code(err) == codes.NotFound:
		s.Action = Create
		s.after, err = p.model.Create(ctx, s.Object)
	case err == nil:
		s.before = before
		s.after, err = p.model.Update(ctx, s.Object, "*")
	}
	if err != nil {
		return err
	}
	if s.Action == Change && !s.changes() {
		return nil
	}
	if have, ok := p.have[s.Object.String()]; ok && have.configured() {
		return status.Errorf(codes.FailedPrecondition, "%v is in the configuration file: change it there and restart",
			s.Object)
	}
	p.plan.Steps = append(p.plan.Steps, s)
	return nil
}

// changes reports whether a Change does. What is set of a password nobody knows.
func (s Step) changes() bool {
	before, _ := s.before.get("spec")
	after, _ := s.after.get("spec")
	wanted, _ := s.Object.get("spec")
	f := wanted.Descriptor().Fields().ByName("password")
	return !proto.Equal(before.Interface(), after.Interface()) || f != nil && (wanted.Has(f) || hasPassword(s.before))
}

func hasPassword(o Object) bool {
	st, _ := o.get("status")
	f := st.Descriptor().Fields().ByName("has_password")
	return f != nil && st.Get(f).Bool()
}

// Write shows the plan: what is made with +, changed with ~ and deleted with -.
func (p *Plan) Write(w io.Writer) {
	for _, s := range p.Steps {
		switch s.Action {
		case Create:
			_, _ = fmt.Fprintf(w, "+ %v\n", s.Object)
			s.eachField(func(name, _, after string) { _, _ = fmt.Fprintf(w, "    %s: %s\n", name, after) })
		case Change:
			_, _ = fmt.Fprintf(w, "~ %v\n", s.Object)
			s.eachField(func(name, before, after string) {
				_, _ = fmt.Fprintf(w, "    %s: %s -> %s\n", name, orNone(before), orNone(after))
			})
		case Delete:
			_, _ = fmt.Fprintf(w, "- %v\n", s.Object)
		}
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// eachField gives the fields that a step changes.
func (s Step) eachField(show func(name, before, after string)) {
	after, _ := s.after.get("spec")
	fields := after.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		before, now := "", text(after, f)
		if s.Action == Change {
			spec, _ := s.before.get("spec")
			before = text(spec, f)
		}
		if f.Name() == "password" { // never given back
			wanted, _ := s.Object.get("spec")
			before, now = "", ""
			if s.Action == Change && hasPassword(s.before) {
				before = "(set)"
			}
			if wanted.Has(f) {
				now = "(set anew)"
			}
		}
		if before != now {
			show(string(f.Name()), before, now)
		}
	}
}

// Counts says how many steps of each kind there are.
func (p *Plan) Counts() (create, change, remove int) {
	for _, s := range p.Steps {
		switch s.Action {
		case Create:
			create++
		case Change:
			change++
		case Delete:
			remove++
		}
	}
	return create, change, remove
}

// Apply makes the steps on the gateway and tells each that is done. An error says
// which one failed; those before it stand, and applying again goes on from there.
func (p *Plan) Apply(ctx context.Context, gateway Client, done func(Step)) error {
	for i, s := range p.Steps {
		var err error
		switch s.Action {
		case Create:
			_, err = gateway.Create(ctx, s.Object)
		case Change:
			_, err = gateway.Update(ctx, s.Object, "*")
		case Delete:
			err = gateway.Delete(ctx, s.Object.Kind, s.Object.ID)
		}
		if err != nil {
			return fmt.Errorf("%w (%d of %d changes were made: apply again to go on)", atLine(s, err), i, len(p.Steps))
		}
		done(s)
	}
	return nil
}
