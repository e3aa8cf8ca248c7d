package task

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errBroken = errors.New("it is broken")

// logger writes to a buffer, without times.
func logger() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})), &b
}

// obedient ends with its context, with an error or without.
func obedient(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
func silent(ctx context.Context) error   { <-ctx.Done(); return nil }
func broken(context.Context) error       { return errBroken }

func TestATaskThatFailsEndsTheOthersAndIsNamed(t *testing.T) {
	log, said := logger()
	err := Run(t.Context(), log, []Task{{Name: "one", Run: obedient}, {Name: "two", Run: broken},
		{Name: "three", Run: silent}})
	if !errors.Is(err, errBroken) || err.Error() != "two: it is broken" {
		t.Errorf("got %v", err)
	}
	if said.Len() > 0 {
		t.Errorf("the log has %s", said)
	}
}

func TestAnErrorThatComesWhileOthersEndIsNotLost(t *testing.T) {
	late := func(ctx context.Context) error { <-ctx.Done(); return errors.New("cannot be closed") }
	log, said := logger()
	err := Run(t.Context(), log, []Task{{Name: "one", Run: late}, {Name: "two", Run: broken}})
	if !errors.Is(err, errBroken) {
		t.Errorf("got %v, want the first error", err)
	}
	if want := `part=one err="cannot be closed"`; !strings.Contains(said.String(), want) {
		t.Errorf("the log has %q, want %q", said, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, log, []Task{{Name: "one", Run: late}}); err == nil || err.Error() != "one: cannot be closed" {
		t.Errorf("got %v after the end was asked for", err)
	}
}

func TestTheEndThatWasAskedForIsNoError(t *testing.T) {
	for name, end := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"cancelled": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		},
		"timed out": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 0)
		},
	} {
		ctx, cancel := end(t.Context())
		log, said := logger()
		if err := Run(ctx, log, []Task{{Name: "one", Run: obedient}, {Name: "two", Run: silent}}); err != nil ||
			said.Len() > 0 {
			t.Errorf("%s: got %v, log %s", name, err, said)
		}
		cancel()
	}
}

func TestACancellationThatNobodyAskedForIsAnError(t *testing.T) {
	log, _ := logger()
	err := Run(t.Context(), log, []Task{{Name: "one", Run: func(context.Context) error { return context.Canceled }}})
	if err == nil || err.Error() != "one: context canceled" {
		t.Errorf("got %v", err)
	}
}

func TestATaskThatHasNoMoreToDoEndsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		log, _ := logger()
		start := time.Now()
		err := Run(ctx, log, []Task{{Name: "one", Run: func(context.Context) error { return nil }},
			{Name: "two", Run: silent}})
		if took := time.Since(start); err != nil || took != time.Hour {
			t.Errorf("got %v after %v", err, took)
		}
	})
}

func TestTasksThatDoNotEndAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hanging := func(ctx context.Context) error { <-ctx.Done(); time.Sleep(12 * time.Second); return nil }
		slow := func(ctx context.Context) error { <-ctx.Done(); time.Sleep(7 * time.Second); return nil }
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		log, said := logger()
		err := Run(ctx, log, []Task{{Name: "one", Run: obedient}, {Name: "two", Run: hanging}, {Name: "three", Run: slow}})
		want := `level=WARN msg="still waiting for parts to end" parts="[two three]"
level=WARN msg="still waiting for parts to end" parts=[two]
`
		if err != nil || said.String() != want {
			t.Errorf("got %v, log:\n%s\nwant:\n%s", err, said, want)
		}
	})
}

func TestWhatComesAfterOthersWaitsForEachOfThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := make(chan struct{}), make(chan struct{})
		run := After(broken, Ready([]Task{{Name: "one", Ready: one}, {Name: "always"}, {Name: "two", Ready: two}})...)
		ended := make(chan error, 1)
		go func() { ended <- run(t.Context()) }()
		for _, c := range []chan struct{}{two, one} {
			synctest.Wait()
			if len(ended) > 0 {
				t.Error("it began before all are ready")
			}
			close(c)
		}
		if err := <-ended; !errors.Is(err, errBroken) {
			t.Errorf("got %v, want the error of the run", err)
		}
	})
}

func TestWhatComesAfterOthersEndsWhileItWaits(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := After(broken, make(chan struct{}))(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v before it may begin", err)
	}
}
