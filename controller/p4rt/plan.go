package p4rt

import (
	"context"
	"maps"
	"slices"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
)

// Writer is what a Plan is written to; Client is one.
type Writer interface {
	Write(ctx context.Context, updates []Update) ([]error, error)
}

// Change is one update of a Plan.
type Change struct {
	// Key names the entry that is written, in the caller's own terms. A plan
	// has at most one change for a key.
	Key    string
	Update Update
	// Level is the entry's place in the order of dependency: an entry refers
	// to entries of lower levels only.
	Level int
	// Needs are the keys of what the entry refers to once it is written, nil
	// for a DELETE. Keys that the plan does not change are taken to be there.
	Needs []string
	// Releases are the keys of what the entry referred to before, nil for an
	// INSERT. What an entry that could not be changed may still refer to is
	// not deleted.
	Releases []string
}

// Plan is a set of changes, in any order. Writing it makes before it breaks:
// INSERT and MODIFY from the lowest level to the highest, then DELETE from the
// highest level to the lowest, each level acknowledged before the next is sent.
// Only the first deletes share a Write with the last INSERTs and MODIFYs, where
// nothing of a higher level changes that could have referred to them.
type Plan []Change

// Write writes the plan. Both results are as those of Client.Write, the first
// one in the order of p; a change that depends on one that failed is not
// written and gets a SkipError.
func (p Plan) Write(ctx context.Context, w Writer) ([]error, error) {
	errs := make([]error, len(p))
	// failed has the changes that were not acknowledged, held the keys that
	// one of them may still refer to, with the reason.
	failed, held := map[string]error{}, map[string]*SkipError{}
	stages := p.stages()
	for n, stage := range stages {
		write, updates := make([]int, 0, len(stage)), make([]Update, 0, len(stage))
		for _, i := range stage {
			if skip := p[i].blocked(failed, held); skip != nil {
				errs[i] = skip
				continue
			}
			write, updates = append(write, i), append(updates, p[i].Update)
		}
		var whole error
		if len(updates) > 0 {
			var got []error
			got, whole = w.Write(ctx, updates)
			for j, i := range write {
				errs[i] = got[j]
			}
		}
		if whole != nil {
			for _, rest := range stages[n+1:] {
				for _, i := range rest {
					errs[i] = ErrNotWritten
				}
			}
			return errs, whole
		}
		for _, i := range stage {
			if errs[i] == nil {
				continue
			}
			failed[p[i].Key] = errs[i]
			for _, key := range p[i].Releases {
				held[key] = &SkipError{Key: p[i].Key, Cause: errs[i]}
			}
		}
	}
	return errs, nil
}

// blocked says which failure keeps the change from being written, if any does.
func (c *Change) blocked(failed map[string]error, held map[string]*SkipError) *SkipError {
	if c.Update.GetType() == p4v1.Update_DELETE {
		return held[c.Key]
	}
	if len(failed) > 0 {
		for _, key := range c.Needs {
			if err, ok := failed[key]; ok {
				return &SkipError{Key: key, Cause: err}
			}
		}
	}
	return nil
}

// stages groups the changes, by index, into what one Write may hold, in the
// order of writing.
func (p Plan) stages() [][]int {
	upserts, deletes := map[int][]int{}, map[int][]int{}
	for i, c := range p {
		if c.Update.GetType() == p4v1.Update_DELETE {
			deletes[c.Level] = append(deletes[c.Level], i)
		} else {
			upserts[c.Level] = append(upserts[c.Level], i)
		}
	}
	var stages [][]int
	for _, level := range slices.Sorted(maps.Keys(upserts)) {
		stages = append(stages, upserts[level])
	}
	down := slices.Sorted(maps.Keys(deletes))
	slices.Reverse(down)
	if n := len(stages); n > 0 && len(down) > 0 && down[0] >= slices.Max(slices.Collect(maps.Keys(upserts))) {
		// What refers to the entries that are deleted first would be of a
		// higher level than anything else here: they need not wait.
		stages[n-1] = append(stages[n-1], deletes[down[0]]...)
		down = down[1:]
	}
	for _, level := range down {
		stages = append(stages, deletes[level])
	}
	return stages
}
