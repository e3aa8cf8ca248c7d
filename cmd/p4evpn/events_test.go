package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/api"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/internal/events"
	"github.com/p4evpn/p4evpn/internal/journal"
)

func TestEventsArePrintedALineEach(t *testing.T) {
	l := journal.New()
	log := slog.New(l.Handler(slog.DiscardHandler))
	log.Info("BGP session up", events.Key, events.Session, "neighbor", "10.0.0.1", "again", true)
	log.Warn("a limit", events.Key, events.Limit)
	address := serveStore(t, api.Config{Store: intent.NewMemory(), View: shown, Events: l})
	out, err := command(t, "events", "--api", address)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err != nil || len(lines) != 2 || !strings.HasSuffix(lines[0],
		"  session    BGP session up  again=true  neighbor=10.0.0.1") ||
		!strings.HasSuffix(lines[1], "  limit      a limit") || !strings.HasPrefix(lines[0],
		time.Now().Format("2006-01-02 15")) {
		t.Errorf("%v, %q", err, out)
	}
	for args, want := range map[string]int{
		"--kind limit": 1, "--kind limit,session": 2, "--after 1": 1, "--since 1h": 2, "--since 1ns": 0, "--kind move": 0,
	} {
		out, err := command(t, append([]string{"events", "--api", address, "-o", "json"}, strings.Fields(args)...)...)
		if n := strings.Count(out, `"text"`); err != nil || n != want {
			t.Errorf("%s: %d events, %v: %q", args, n, err, out)
		}
	}
	for args, want := range map[string]string{
		"--kind limits": "kinds[0]", "--since -1m": "a time that is past", "-o yaml": "want text or json",
		"more": "unknown command",
	} {
		if _, err := command(t, append([]string{"events", "--api", address}, strings.Fields(args)...)...); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", args, err, want)
		}
	}
}
