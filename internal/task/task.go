// Package task runs the parts of a program together. Each is a Task; all end when
// one fails, its error says which one it was, and one that does not end is named
// in the log. The package knows nothing of what the parts do.
package task

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Task is a part of a program.
type Task struct {
	Name string
	// Run works until ctx ends, and returns nil or ctx's error then. Another error
	// ends the program; nil before that only means that there is no more to do.
	Run func(ctx context.Context) error
	// Ready is closed when others can rely on the task; nil: they always can.
	Ready <-chan struct{}
}

// After makes a Run of one that may not begin before all of ready are closed. A nil
// one is nothing to wait for.
func After(run func(context.Context) error, ready ...<-chan struct{}) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, c := range ready {
			if c == nil {
				continue
			}
			select {
			case <-c:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return run(ctx)
	}
}

// Ready gives the Ready of all tasks, for what comes After them.
func Ready(tasks []Task) (all []<-chan struct{}) {
	for _, t := range tasks {
		all = append(all, t.Ready)
	}
	return all
}

// patience is what tasks get to end before those that have not are named, and
// named again.
const patience = 5 * time.Second

// ending tells how a task ended.
type ending struct {
	name string
	err  error
}

// Run runs tasks until ctx ends or one fails, and returns when all have ended: with
// the error of the first that failed, after its name, or nil. Errors of others go to
// the log. It differs from an errgroup.Group in that it knows who is left.
func Run(ctx context.Context, log *slog.Logger, tasks []Task) (first error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	endings := make(chan ending)
	var left []string
	for _, t := range tasks {
		left = append(left, t.Name)
		go func() { endings <- ending{t.Name, t.Run(ctx)} }()
	}
	over := ctx.Done()
	late := time.NewTicker(patience)
	late.Stop()
	defer late.Stop()
	for len(left) > 0 {
		select {
		case e := <-endings:
			at := slices.Index(left, e.name)
			left = slices.Delete(left, at, at+1)
			switch {
			case e.err == nil, ctx.Err() != nil && errors.Is(e.err, ctx.Err()):
			case first == nil:
				first = fmt.Errorf("%s: %w", e.name, e.err)
				stop()
			default:
				log.Error("a part failed too, while others ended", "part", e.name, "err", e.err)
			}
		case <-over:
			over = nil
			late.Reset(patience)
		case <-late.C:
			log.Warn("still waiting for parts to end", "parts", left)
		}
	}
	return first
}
