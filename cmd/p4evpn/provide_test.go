package main

import (
	"context"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// started makes a keeper whose switch is a process that listens nowhere.
func started(t *testing.T) *keeper {
	k := &keeper{
		address: "unix:" + filepath.Join(t.TempDir(), "switch.sock"), command: []string{"sleep", "1000"},
		log: filepath.Join(t.TempDir(), "switch.log"), pause: time.Millisecond,
	}
	if err := k.provide(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(k.pid, syscall.SIGKILL)
		_, _ = unix.Wait4(k.pid, nil, 0, nil)
	})
	return k
}

func TestASwitchThatDiesIsStartedAgainAndOutlivesItsKeeper(t *testing.T) {
	k := started(t)
	first := k.pid
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var owned sync.WaitGroup
	owned.Go(func() {
		if err := k.run(ctx); err != nil {
			t.Error(err)
		}
	})
	// The first is reaped when it is noticed, and run then starts another
	// before it looks at ctx again.
	for syscall.Kill(first, 0) == nil && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	cancel()
	owned.Wait()
	if k.pid == first || k.gone() {
		t.Errorf("switch %d, first %d: none runs after the keeper's end", k.pid, first)
	}
}

func TestASwitchThatCannotBeStartedIsAnErrorThatSaysSo(t *testing.T) {
	k := &keeper{address: "unix:" + filepath.Join(t.TempDir(), "none"), command: []string{"/does/not/exist"}, log: filepath.Join(t.TempDir(), "log")}
	if err := k.provide(); err == nil {
		t.Error("started " + strconv.Itoa(k.pid))
	}
}
