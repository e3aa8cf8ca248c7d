package main

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/liveness"
)

// started runs a command until the test ends.
func started(t *testing.T, args ...string) {
	t.Helper()
	cmd := newRoot()
	cmd.SetArgs(args)
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	ctx, cancel := context.WithCancel(t.Context())
	var owned sync.WaitGroup
	owned.Go(func() {
		if err := cmd.ExecuteContext(ctx); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	})
	t.Cleanup(func() { cancel(); owned.Wait() })
}

func TestSwitchAndLivenessRunBFDForTheGateway(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "gateway.yaml")
	target := "unix:" + filepath.Join(folder, "switch.sock")
	text := "vteps: [10.0.0.1]\ntarget: {embedded: false, address: \"" + target + "\"}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	of, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	alone := "unix:" + filepath.Join(folder, "alone.sock")
	for address, args := range map[string][]string{
		of.Liveness.Address: {"switch", "-c", file},
		alone:               {"liveness", "--address", alone},
	} {
		t.Run(args[0], func(t *testing.T) {
			started(t, args...)
			client := liveness.NewClient(address, slog.New(slog.DiscardHandler))
			peer := netip.MustParseAddr("127.0.4.1")
			client.Want([]liveness.Peer{{Address: peer, Hops: 1, Interval: time.Second, Multiplier: 3}})
			ctx, cancel := context.WithCancel(t.Context())
			var owned sync.WaitGroup
			owned.Go(func() { _ = client.Run(ctx) })
			defer owned.Wait()
			defer cancel()
			for e := range client.Events() {
				if len(e.Sessions) > 0 && e.Sessions[0].Peer == peer {
					cancel()
				}
			}
		})
	}
	for args, want := range map[string]string{
		"liveness -c " + file + " --address " + alone: "--address",
		"liveness --address 127.0.0.1:1":              "want unix:PATH",
		"liveness -c /nowhere":                        "/nowhere",
	} {
		cmd := newRoot()
		cmd.SetArgs(strings.Fields(args))
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", args, err, want)
		}
	}
}
