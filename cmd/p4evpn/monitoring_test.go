package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/liveness"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/softswitch"
)

// What is in monitoring/, tested here, where a whole gateway can be run.
const (
	rulesFile     = "../../monitoring/rules/p4evpn.yml"
	ruleTests     = "../../monitoring/rules/p4evpn_test.yml"
	dashboardFile = "../../monitoring/dashboards/p4evpn.json"
)

// alerts are the rules of rulesFile.
func alerts(t *testing.T) (all []struct {
	Alert, Expr string
	Labels      map[string]string
	Annotations map[string]string
}) {
	t.Helper()
	var f struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(read(t, rulesFile), &f); err != nil {
		t.Fatal(err)
	}
	for _, g := range f.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// queries are those of the dashboard's panels, by the panel's title.
func queries(t *testing.T) (all [][2]string) {
	t.Helper()
	var d struct {
		Panels []struct {
			Type, Title string
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(read(t, dashboardFile), &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("the panel %q has no query", p.Title)
		}
		for _, q := range p.Targets {
			all = append(all, [2]string{p.Title, q.Expr})
		}
	}
	return all
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// program finds one of Debian's package prometheus, or the test is skipped.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("SKIP: no %s on PATH: apt-get install prometheus", name)
	}
	return path
}

func TestAlertsFireWhenTheyShouldAndAreSilentWhenAllIsWell(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", rulesFile}, {"test", "rules", ruleTests}} {
		out, err := exec.CommandContext(t.Context(), program(t, "promtool"), args...).CombinedOutput()
		if err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

func TestEachAlertSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	tests, page := string(read(t, ruleTests)), string(read(t, "../../docs/operations.md"))
	all := alerts(t)
	if len(all) < 20 {
		t.Fatalf("only %d alerts: this test looks at the wrong file", len(all))
	}
	for _, a := range all {
		if strings.Count(tests, `alertname="`+a.Alert+`"`) == 0 {
			t.Errorf("no test has %s fire", a.Alert)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" ||
			a.Labels["severity"] != "critical" && a.Labels["severity"] != "warning" {
			t.Errorf("%s has not all of severity, summary and description", a.Alert)
		}
		if want := "docs/operations.md#" + strings.ToLower(a.Alert); !strings.HasSuffix(a.Annotations["runbook_url"], want) ||
			!strings.Contains(page, "\n### "+a.Alert+"\n") {
			t.Errorf("%s: its runbook is %q, want %s, where it is a heading", a.Alert, a.Annotations["runbook_url"], want)
		}
	}
}

var metricName = regexp.MustCompile(`\bp4evpn_[a-z0-9_]+`)

func TestAlertsAndTheDashboardNameMetricsThatThereAre(t *testing.T) {
	there := everyMetric(t)
	check := func(where, expr string) {
		for _, name := range metricName.FindAllString(expr, -1) {
			if !there[name] {
				t.Errorf("%s: there is no metric %s", where, name)
			}
		}
	}
	for _, a := range alerts(t) {
		check(a.Alert, a.Expr)
	}
	for _, q := range queries(t) {
		check(q[0], q[1])
	}
}

// scrapeEvery is Prometheus' interval here, and rateOver is long enough for rates.
const (
	scrapeEvery = 200 * time.Millisecond
	rateOver    = "2s"
)

// A gateway with a neighbour, a bridge and a VRF, and its switch: nothing speaks with it, and each
// panel has something to show all the same.
func TestPrometheusHasDataForEachPanelAndEvaluatesEachAlert(t *testing.T) {
	prometheus := program(t, "prometheus")
	target := "unix:" + filepath.Join(t.TempDir(), "switch.sock")
	f := gatewayFile(t, target)
	f.Metrics.Listen, f.Metrics.Switch = freeAddress(t), freeAddress(t)
	f.Ports = []config.Port{{Name: "port1", Number: 1}}
	f.BGP.Neighbors = []config.Neighbor{{Address: config.Addr{Addr: netip.MustParseAddr("127.0.0.9")}, AS: 65009}}
	runMeasuredSwitch(t, target, f.Metrics.Switch)
	runFile(t, f)
	ask := asks(t, f)
	p := startPrometheus(t, prometheus, f.Metrics.Listen, f.Metrics.Switch)
	made := map[string]string{
		"/v1/logicalBridges?logical_bridge_id=crimson": `{"spec":{"vlanId":10,"vni":100}}`,
		"/v1/vrfs?vrf_id=blue":                         `{"spec":{"vni":5000,"loopback_ip_prefix":{"addr":{"v4_addr":167772162},"len":32}}}`,
	}
	left := queries(t)
	if len(left) < 30 {
		t.Fatalf("only %d queries: this test looks at the wrong file", len(left))
	}
	vlan := 100
	for end := time.Now().Add(30 * time.Second); len(left) > 0; time.Sleep(scrapeEvery) {
		for path, body := range made {
			if code, answer := ask("POST", path, body); code == 200 {
				delete(made, path)
			} else if code != 0 {
				t.Fatalf("%s: HTTP %d %s", path, code, answer)
			}
		}
		// What is counted goes on.
		vlan++
		ask("POST", fmt.Sprintf("/v1/logicalBridges?logical_bridge_id=vlan%d", vlan), fmt.Sprintf(`{"spec":{"vlanId":%d}}`, vlan))
		var empty [][2]string
		for _, q := range left {
			if !p.hasData(t, q[1]) {
				empty = append(empty, q)
			}
		}
		if left = empty; time.Now().After(end) {
			for _, q := range left {
				t.Errorf("no data: %s: %s", q[0], q[1])
			}
			break
		}
	}
	p.rulesAreWell(t)
}

// runMeasuredSwitch runs an embedded switch with a port that has no interface, BFD, and metrics.
func runMeasuredSwitch(t *testing.T, address, metricsAddress string) {
	t.Helper()
	s, err := softswitch.New(softswitch.Config{GRPCAddress: address, DeviceID: 1, CPUPort: p4.CPUPort,
		DropPort: p4.DropPort, Ports: []softswitch.Port{{Number: 1, Interface: "nothere1"}},
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	e, err := liveness.New(liveness.Config{Address: "unix:/nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := listenMetrics(t.Context(), metricsAddress, s, e)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- s.Run(ctx) }()
	go func() { done <- m.serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// prometheusServer is where a real one answers.
type prometheusServer string

func startPrometheus(t *testing.T, program string, targets ...string) prometheusServer {
	t.Helper()
	rules, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	dir, address := t.TempDir(), freeAddress(t)
	file := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: %v, scrape_timeout: %[1]v, evaluation_interval: %[1]v}\n"+
		"rule_files: [%q]\nscrape_configs: [{job_name: p4evpn, static_configs: [{targets: %q}]}]\n",
		scrapeEvery, rules, targets)
	text = strings.ReplaceAll(text, `" "`, `", "`)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if t.Failed() {
			t.Logf("Prometheus says:\n%s", read(t, log.Name()))
		}
	})
	return prometheusServer(address)
}

// get reads the data of an answer; false: it is not there yet.
func (p prometheusServer) get(t *testing.T, path string, data any) bool {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+string(p)+"/api/v1/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode == http.StatusServiceUnavailable {
		return false
	}
	answer := struct{ Data any }{data}
	if err := json.Unmarshal(b, &answer); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: HTTP %d, %v: %s", path, resp.StatusCode, err, b)
	}
	return true
}

// hasData asks as Grafana does, with its variables replaced, and reports whether there is a number.
func (p prometheusServer) hasData(t *testing.T, expr string) bool {
	t.Helper()
	expr = strings.NewReplacer("$job", ".*", "$instance", ".*", "$__rate_interval", rateOver).Replace(expr)
	var data struct{ Result []struct{ Value [2]any } }
	if !p.get(t, "query?query="+url.QueryEscape(expr), &data) {
		return false
	}
	for _, r := range data.Result {
		if r.Value[1] != "NaN" {
			return true
		}
	}
	return false
}

// rulesAreWell checks that each alert was evaluated without an error.
func (p prometheusServer) rulesAreWell(t *testing.T) {
	t.Helper()
	type rule struct{ Name, Health, LastError string }
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(scrapeEvery) {
		var data struct{ Groups []struct{ Rules []rule } }
		waiting := 0
		if p.get(t, "rules", &data) && len(data.Groups) > 0 {
			for _, r := range data.Groups[0].Rules {
				switch r.Health {
				case "ok":
				case "unknown":
					waiting++
				default:
					t.Errorf("%s: %s", r.Name, r.LastError)
				}
			}
			if n := len(data.Groups[0].Rules); waiting == 0 && n == len(alerts(t)) {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatalf("the rules were not evaluated: %+v", data)
		}
	}
}
