package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/api/vtep"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
)

// askVTEP gives the status of an answer, which must be JSON, and what it says is
// wrong.
func askVTEP(t *testing.T, h http.Handler, subject, method, path, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	who := party{subject: "CN=" + subject, role: map[string]Role{"alice": RoleOperator, "grafana": RoleViewer}[subject]}
	r = r.WithContext(context.WithValue(r.Context(), partyKey{}, who))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var e struct{ Error string }
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		t.Errorf("%s %s: %q is no JSON: %v", method, path, w.Body, err)
	}
	if w.Header().Get(requestIDHeader) == "" {
		t.Errorf("%s %s: the answer has no request id", method, path)
	}
	return w.Code, e.Error
}

func TestRolesAndLimitsHoldForVTEPsToo(t *testing.T) {
	var log records
	g := &guard{log: log.logger(), limit: newLimiter(Limits{}.withDefaults()), flight: newFlight(), metrics: newMetrics(),
		body: bodyTimeout, origin: http.NewCrossOriginProtection()}
	h := newVTEP(g, 200, &vtep.Handler{Store: intent.NewMemory(), View: &controllertest.View{}})
	const speaker = `{"as_number": 65000, "router_id": "10.0.0.1"}`
	for _, c := range []struct {
		subject, method, body string
		code                  int
		says                  string
	}{
		{"grafana", "POST", speaker, 403, "viewer"},
		{"mallory", "GET", "", 403, "no role"},
		{"", "GET", "", 403, "no role"},
		{"grafana", "GET", "", 404, "BGPSpeaker"}, // it may look
		{"alice", "POST", speaker, 200, ""},
		{"grafana", "GET", "", 200, ""},
		{"grafana", "DELETE", "", 403, "viewer"},
		{"alice", "POST", speaker + strings.Repeat(" ", 200), 413, "larger than 200"},
		{"alice", "POST", "{", 400, "JSON"},
	} {
		if code, says := askVTEP(t, h, c.subject, c.method, "/vtep/speakers", c.body); code != c.code ||
			!strings.Contains(says, c.says) {
			t.Errorf("%s by %q: %d %q, want %d %q", c.method, c.subject, code, says, c.code, c.says)
		}
	}
	if calls := log.calls(); len(calls) != 9 {
		t.Errorf("the access log has %d requests, want 9: %v", len(calls), calls)
	}
	g.limit = newLimiter(Limits{CallsPerSecond: 0.001, Burst: 1})
	askVTEP(t, h, "alice", "GET", "/vtep/speakers", "")
	if code, says := askVTEP(t, h, "alice", "GET", "/vtep/speakers", ""); code != http.StatusTooManyRequests {
		t.Errorf("%d %q, want too many requests", code, says)
	}
}

func TestVTEPsHaveAnAddressOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "vtep.sock")
	srv, err := New(Config{Listen: []string{"unix:" + filepath.Join(dir, "api.sock")}, VTEPListen: "unix:" + socket,
		Store: intent.NewMemory(), Status: fakeStatus{}, View: &controllertest.View{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	<-srv.Ready()
	if code := overSocket(t, socket, "GET", "/vtep/networks", ""); code != http.StatusNotFound { // there is no speaker
		t.Errorf("HTTP %d", code)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// overSocket gives the status of a request to a Unix socket.
func overSocket(t *testing.T, path, method, target, body string) int {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}}}
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
