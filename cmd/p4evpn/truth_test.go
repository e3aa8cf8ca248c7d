package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/softswitch"
	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// runSwitch runs an embedded switch without ports that has room for one VNI.
func runSwitch(t *testing.T, address string) (stop func()) {
	t.Helper()
	s, err := softswitch.New(softswitch.Config{GRPCAddress: address, DeviceID: 1, CPUPort: p4.CPUPort,
		DropPort: p4.DropPort,
		Limits:   pipeline.Limits{TableSize: map[string]int{"vxlan.vni": 1}}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// askFunc calls a gateway's API of bridges over REST.
type askFunc func(method, path, body string) (int, string)

// gatewayFile is a small configuration for that switch, with the API on a Unix
// socket.
func gatewayFile(t *testing.T, target string) *config.File {
	t.Helper()
	dir := t.TempDir()
	f, err := config.Parse(fmt.Appendf(nil, `
as: 65000
router_id: 10.0.0.1
vteps: [10.0.0.1]
store: %s/store.db
target: {address: "%s", embedded: false}
api: {listen: "unix:%s/api.sock"}
bgp: {port: -1}
slow_path: {disabled: true}
`, dir, target, dir))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// runGateway runs a gateway for that switch and gives the way to ask its API.
func runGateway(t *testing.T, target string) askFunc {
	t.Helper()
	f := gatewayFile(t, target)
	runFile(t, f)
	return asker(t, f)
}

// runFile runs a gateway by its configuration.
func runFile(t *testing.T, f *config.File) {
	t.Helper()
	// As main does: slog's own default cannot stand behind the journal.
	if err := setLogger("error"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, f, false, false) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func asker(t *testing.T, f *config.File) askFunc {
	ask := asks(t, f)
	return func(method, path, body string) (int, string) { return ask(method, "/v1/logicalBridges"+path, body) }
}

// asks calls a gateway's API over REST, with a header.
func asks(t *testing.T, f *config.File, header ...string) askFunc {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn,
		error) {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(f.API.Listen[0], "unix:"))
	}}}
	t.Cleanup(client.CloseIdleConnections)
	return func(method, path, body string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+path,
			strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := client.Do(r)
		if err != nil {
			return 0, err.Error() // it does not listen yet
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
}

func TestStatusTellsTheTruthOfARealSwitch(t *testing.T) {
	target := "unix:" + filepath.Join(t.TempDir(), "switch.sock")
	stopSwitch := runSwitch(t, target)
	defer func() { stopSwitch() }()
	ask := runGateway(t, target)
	await := func(method, path, body string, code int, holds ...string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			got, answer := ask(method, path, body)
			ok := got == code
			for _, h := range holds {
				ok = ok && strings.Contains(answer, h)
			}
			if ok {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s %s: HTTP %d %s, want %d with %q", method, path, got, answer, code, holds)
			}
		}
	}
	await("POST", "?logical_bridge_id=blue", `{"spec":{"vlanId":10,"vni":100}}`, 200)
	await("GET", "/blue", "", 200, "STATUS_UP")
	await("POST", "?logical_bridge_id=red1", `{"spec":{"vlanId":20,"vni":200}}`, 200)
	await("GET", "/red1", "", 200, "STATUS_DOWN", "COMP_STATUS_ERROR", "vni=200", "ResourceExhausted")
	await("GET", "/blue", "", 200, "STATUS_UP")

	stopSwitch()
	await("GET", "/blue", "", 200, "STATUS_DOWN", "not connected")
	await("DELETE", "/blue", "", 200)
	for range 3 {
		if code, answer := ask("GET", "", ""); code != 200 || strings.Count(answer, "TO_BE_DELETED") != 1 {
			t.Errorf("HTTP %d %s, want blue to be deleted", code, answer)
		}
	}

	stopSwitch = runSwitch(t, target)
	await("GET", "/blue", "", 404)
	await("GET", "/red1", "", 200, "STATUS_UP") // there is room now
}
