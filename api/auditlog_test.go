package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/metadata"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// audited reads an audit log.
func audited(t *testing.T, path string) (lines []map[string]any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		m := map[string]any{}
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		lines = append(lines, m)
	}
	return lines
}

func TestTheAuditLogSaysWhoChangedWhatAndHow(t *testing.T) {
	cfg, ca := secure(t)
	cfg.AuditLog = filepath.Join(t.TempDir(), "audit.log")
	cfg.Duplicates = &frozenOnes{bridge: "blue", all: []view.Duplicate{{MAC: mac1}}}
	g := serveConfig(t, cfg, ca.sign(t, alice, nil).client(ca))
	neighbors := p4evpnv1.NewNeighborServiceClient(g.conn)
	ctx := metadata.AppendToOutgoingContext(t.Context(), requestIDHeader, "mine")
	n := &p4evpnv1.Neighbor{Spec: &p4evpnv1.NeighborSpec{RemoteAs: 65101, Password: "hush"}}
	_, err := neighbors.CreateNeighbor(ctx, &p4evpnv1.CreateNeighborRequest{NeighborId: "10.1.1.1", Neighbor: n})
	if err != nil {
		t.Fatal(err)
	}
	g.createBridge(t, "blue", 10, 0)
	for _, c := range []struct {
		method, path, body string
		code               int
	}{
		{"PATCH", "/p4evpn/v1/neighbors/10.1.1.1", `{"spec": {"password": "whisper"}}`, 200},
		{"PATCH", "/v1/logicalBridges/blue", `{"spec": {"vni": 100}}`, 200},
		{"PATCH", "/v1/logicalBridges/blue", `{"spec": {"vlanId": 5000}}`, 400}, // changes nothing
		{"GET", "/v1/logicalBridges/blue", "", 200},
		{"DELETE", "/p4evpn/v1/neighbors/10.1.1.1", "", 200},
		{"POST", "/p4evpn/v1/duplicates:clear", `{"logicalBridge": "logicalBridges/blue"}`, 200},
	} {
		if r := g.do(t, c.method, c.path, c.body); r.code != c.code {
			t.Errorf("%s %s: HTTP %d %s", c.method, c.path, r.code, r.body)
		}
	}
	lines := audited(t, cfg.AuditLog)
	var got []string
	for i, l := range lines {
		got = append(got, fmt.Sprint(l["change"], " ", l["object"], " ", l["via"], " ", l["version"], " ",
			field(l, "before", "password"), "/", field(l, "after", "password"), " ", field(l, "before", "vni"), "/",
			field(l, "after", "vni")))
		who, _ := l["client"].(map[string]any)
		if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(l["time"])); err != nil || time.Since(at) > time.Hour ||
			who["subject"] != "CN=alice,O=Example" || who["role"] != "operator" || who["address"] == "" ||
			(i == 0) != (l["request"] == "mine") || l["request"] == "" || l["code"] != "OK" ||
			!strings.HasPrefix(fmt.Sprint(l["method"]), "/") {
			t.Errorf("%v (%v)", l, err)
		}
	}
	want := []string{
		"create neighbors/10.1.1.1 grpc 1 <nil>/(secret) <nil>/<nil>",
		"create logicalBridges/blue grpc 2 <nil>/<nil> <nil>/<nil>",
		"update neighbors/10.1.1.1 rest 3 (secret)/(another secret) <nil>/<nil>",
		"update logicalBridges/blue rest 4 <nil>/<nil> <nil>/100",
		"delete neighbors/10.1.1.1 rest 5 (secret)/<nil> <nil>/<nil>",
		"call <nil> rest <nil> <nil>/<nil> <nil>/<nil>",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	b, err := os.ReadFile(cfg.AuditLog)
	if err != nil || bytes.Contains(b, []byte("hush")) || bytes.Contains(b, []byte("whisper")) {
		t.Errorf("a password is in it (%v)", err)
	}
	if fi, err := os.Stat(cfg.AuditLog); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", fi, err)
	}
}

func field(line map[string]any, object, name string) any {
	m, _ := line[object].(map[string]any)
	return m[name]
}

func TestTheAuditLogNamesTheUserOfAUnixSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "api.sock")
	srv, err := New(Config{Listen: []string{"unix:" + path}, VTEPListen: "unix:" + path + "-vtep",
		View:  &controllertest.View{},
		Store: intent.NewMemory(), Status: fakeStatus{}, Logger: slog.New(slog.DiscardHandler),
		AuditLog: filepath.Join(dir, "audit.log")})
	if err != nil {
		t.Fatal(err)
	}
	stop := runServer(t, srv)
	<-srv.Ready()
	if code := overSocket(t, path+"-vtep", "POST", "/vtep/speakers", `{"as_number": 65000, "router_id": "10.0.0.1"}`); code != 200 {
		t.Errorf("HTTP %d", code)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	lines := audited(t, filepath.Join(dir, "audit.log"))
	if len(lines) != 1 || lines[0]["change"] != "create" || lines[0]["object"] != "speakers/default" {
		t.Fatalf("%v", lines)
	}
	who, _ := lines[0]["client"].(map[string]any)
	if who["uid"] != float64(os.Geteuid()) || who["gid"] != float64(os.Getegid()) || who["pid"] != float64(os.Getpid()) {
		t.Errorf("%v", who)
	}
}

func TestTheAuditLogGoesOnInANewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	m := newMetrics()
	a, err := newAuditLog(path, m, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	has := func(path string, want ...string) {
		t.Helper()
		var got []string
		for _, l := range audited(t, path) {
			got = append(got, fmt.Sprint(l["object"]))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s has %q, want %q", filepath.Base(path), got, want)
		}
	}
	a.write(auditLine{Object: "first"})
	if err := os.Rename(path, path+"-moved"); err != nil { // as logrotate does
		t.Fatal(err)
	}
	a.write(auditLine{Object: "second"})
	has(path+"-moved", "first")
	has(path, "second")
	if err := errors.Join(os.WriteFile(path+auditSuffix, nil, 0o600), os.Truncate(path, maxAuditLog)); err != nil {
		t.Fatal(err)
	}
	a.write(auditLine{Object: "third"})
	has(path, "third")
	if fi, err := os.Stat(path + auditSuffix); err != nil || fi.Size() != maxAuditLog {
		t.Errorf("%v %v: the full file is lost", fi, err)
	}
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	a.write(auditLine{Object: "lost"})
	a.write(auditLine{Object: "lost"})
	if n := testutil.ToFloat64(m.lost); n != 2 {
		t.Errorf("%v lines are counted as lost, want 2", n)
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	a.write(auditLine{Object: "found"})
	has(path, "found")
}

func TestAnAuditLogIsARegularFile(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, "/dev/null", t.TempDir(), "/not/there/audit.log"} {
		_, err := New(Config{Listen: []string{"unix:/a"}, Store: intent.NewMemory(), Status: fakeStatus{}, AuditLog: path})
		if err == nil || !strings.Contains(err.Error(), "audit log") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
