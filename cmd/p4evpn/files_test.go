package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestFilesThatAreNamedMustBeRegular(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{fifo, "/dev/zero", dir} {
		for _, args := range [][]string{
			{"restore", file, "--store", filepath.Join(dir, "store.db")},
			{"restore", filepath.Join(dir, "none"), "-c", file},
			{"apply", "-f", file},
			{"run", "-c", file, "--check"},
			{"list", "bridge", "--ca", file, "--cert", file, "--key", file},
			{"switch", file, "--p4info", file},
			{"switch", "trace", "--p4info", file, "--entries", file, file, "00"},
		} {
			root := newRoot()
			root.SetArgs(args)
			root.SetOut(io.Discard)
			if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
				t.Errorf("p4evpn %s: %v", strings.Join(args, " "), err)
			}
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "store.db*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestApplyEndsWhileStandardInputSaysNothing(t *testing.T) {
	in, out := io.Pipe()
	defer func() { _ = out.Close() }()
	root := newRoot()
	root.SetArgs([]string{"apply", "-f", "-"})
	root.SetIn(in)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- root.ExecuteContext(ctx) }()
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on waiting")
	}
}
