package api

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// changing is a View whose one bridge has another reason each time.
type changing struct {
	controllertest.View
	n atomic.Uint64
}

func (c *changing) Bridges(context.Context) ([]view.Bridge, error) {
	return []view.Bridge{{Name: "blue", Reason: strings.Repeat("x", int(c.n.Load()))}}, nil
}

func TestAStreamOverHTTP1OutlivesTheTimeThatABodyMayTake(t *testing.T) {
	dir := t.TempDir()
	rows := &changing{}
	s, err := New(Config{Store: intent.NewMemory(), Status: fakeStatus{}, View: rows,
		WebListen: []string{"unix:" + filepath.Join(dir, "page")}, TokenKey: filepath.Join(dir, "key"), Changed: rows.n.Load,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.guard.body = 20 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	<-s.Ready()
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "page"))
	}}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/live/bridges", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	pages := 0
	for start := time.Now(); pages < 2 || time.Since(start) < 10*s.guard.body; {
		if !lines.Scan() {
			t.Fatalf("it ended after %d pages: %v", pages, lines.Err())
		}
		if strings.HasPrefix(lines.Text(), "event: page") {
			pages++
			rows.n.Add(1)
		}
	}
}
