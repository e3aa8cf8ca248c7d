package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/internal/journal"
	"github.com/p4evpn/p4evpn/liveness"
	"github.com/p4evpn/p4evpn/softswitch"
)

//go:generate go test -run TestTheTableOfMetricsIsOfTheCode . -update

var update = flag.Bool("update", false, "write docs/metrics.md anew")

const metricsPage = "../../docs/metrics.md"

// labelBounds says of each label what bounds the number of its values. A label that is not
// here is none of ours.
var labelBounds = map[string]string{
	"as":        "one for each neighbour",
	"bridge":    "the bridges that there are",
	"code":      "gRPC's 17 codes; of updates also `not_written` and `outcome_unknown`",
	"direction": "`in` and `out`; of VRFs `routed` too",
	"goversion": "one",
	"installed": "`yes` and `no`",
	"interface": "one for each port",
	"kind":      "fixed: kinds of events, of stream messages, of differences and of moves",
	"location":  "`local` and `remote`",
	"method":    "the methods of the API; `unknown` for all others that clients ask for",
	"neighbor":  "the neighbours that there are",
	"next_hop":  "those of `underlay.next_hops`",
	"of":        "`mac`, `port` and `bridge`",
	"port":      "the ports of the configuration; in the switch's metrics their numbers",
	"reason":    "fixed by the program for each metric",
	"result":    "fixed: six",
	"revision":  "one",
	"service":   "the services of the API, `vtep`, and `unknown`",
	"stage":     "`ingress` and `egress`",
	"state":     "the states of a BFD session",
	"table":     "the tables of the P4 program",
	"type":      "types of routes, of updates",
	"version":   "one",
	"vrf":       "the VRFs that there are",
	"watcher":   "fixed: what follows the kernel",
}

// described is a metric as its collector describes it.
type described struct {
	name, help string
	labels     []string
}

var descText = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "(.*)", unit: ".*", constLabels: \{(.*)\}, ` +
	`variableLabels: \{(.*)\}\}$`)

func describe(t *testing.T, collectors ...prometheus.Collector) (all []described) {
	t.Helper()
	seen := map[string]bool{}
	ch := make(chan *prometheus.Desc)
	go func() {
		defer close(ch)
		for _, c := range collectors {
			c.Describe(ch)
		}
	}()
	for d := range ch {
		m := descText.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("%v is described in another form", d)
		}
		if seen[m[1]] {
			continue
		}
		seen[m[1]] = true
		one := described{name: m[1], help: strings.ReplaceAll(m[2], `\"`, `"`)}
		for label := range strings.SplitSeq(m[3]+","+m[4], ",") {
			if label, _, _ = strings.Cut(label, "="); label != "" {
				one.labels = append(one.labels, label)
			}
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b described) int { return cmp.Compare(a.name, b.name) })
	return all
}

// everyPart are the collectors of each program that has metrics, with all that can be configured.
func everyPart(t *testing.T) map[string][]prometheus.Collector {
	t.Helper()
	f := gatewayFile(t, "unix:/nowhere")
	f.SlowPath.Disabled = false
	f.OVN = config.OVN{NB: []string{"tcp:127.0.0.1:6641"}, Port: "port1", Chassis: "here"}
	f.Telemetry.OTLP.Endpoint = "127.0.0.1:4317"
	g, err := wire(f, intent.NewMemory(), journal.New())
	if err != nil {
		t.Fatal(err)
	}
	sw, err := softswitch.New(softswitch.Config{GRPCAddress: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	e, err := liveness.New(liveness.Config{Address: "unix:/nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]prometheus.Collector{
		"gateway": append(g.collectors(), buildInfo()), "switch": {sw, e},
	}
}

// everyMetric are the names of all metrics of ours, with `_bucket` and the like of histograms.
func everyMetric(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, parts := range everyPart(t) {
		for _, d := range describe(t, parts...) {
			names[d.name] = true
			if strings.HasSuffix(d.name, "_seconds") && !strings.HasSuffix(d.name, "_timestamp_seconds") ||
				d.name == "p4evpn_p4rt_write_updates" || d.name == "p4evpn_controller_batch_entries" {
				for _, suffix := range []string{"_bucket", "_sum", "_count"} {
					names[d.name+suffix] = true
				}
			}
		}
	}
	return names
}

// docs/metrics.md is made of what the collectors say of themselves; go generate writes it.
func TestTheTableOfMetricsIsOfTheCode(t *testing.T) {
	parts := everyPart(t)
	used := map[string]bool{}
	var b strings.Builder
	b.WriteString(`# Metrics

Every metric of ours, made from the code by ` + "`go generate ./cmd/p4evpn`" + `. What ends in ` + "`_total`" + ` is a
counter; ` + "`_seconds` (but timestamps), `_batch_entries` and `_write_updates`" + ` are histograms; the rest gauges. Those of
Go and of the process (` + "`go_`, `process_`" + `) are client_golang's. [operations.md](operations.md#metrics) says
where they are served and what to watch first, ` + "`monitoring/`" + ` has alerts and a dashboard.
`)
	for _, of := range []struct{ part, title, about string }{
		{"gateway", "The gateway", "`metrics.listen` of the configuration."},
		{"switch", "The embedded switch", "`metrics.switch`; `p4evpn liveness` has those of BFD at `metrics.liveness`. " +
			"`p4evpn_build_info` is there too."},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| metric | labels | |\n| --- | --- | --- |\n", of.title, of.about)
		for _, d := range describe(t, parts[of.part]...) {
			labels := ""
			if len(d.labels) > 0 {
				labels = "`" + strings.Join(d.labels, "`, `") + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", d.name, labels, d.help)
			for _, l := range d.labels {
				used[l] = true
				if labelBounds[l] == "" {
					t.Errorf("%s has the label %s: say in labelBounds what bounds its values", d.name, l)
				}
			}
		}
	}
	b.WriteString("\n## Labels\n\nNo label has values that a peer, a tenant or a client can make up.\n\n" +
		"| label | values |\n| --- | --- |\n")
	for _, l := range slices.Sorted(func(yield func(string) bool) {
		for l := range labelBounds {
			if !yield(l) {
				return
			}
		}
	}) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", l, labelBounds[l])
		if !used[l] {
			t.Errorf("no metric has the label %s", l)
		}
	}
	if *update {
		if err := os.WriteFile(metricsPage, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if is, err := os.ReadFile(metricsPage); err != nil || string(is) != b.String() {
		t.Errorf("%s is of other code (%v): run go generate ./cmd/p4evpn", metricsPage, err)
	}
}

// freeAddress is one of loopback that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// scrape asks as Prometheus does; nil: nobody answers yet.
func scrape(t *testing.T, address string) (families map[string]*dto.MetricFamily, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second) // Prometheus has 10
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		return nil, ""
	}
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("HTTP %d %s, %v", answer.StatusCode, b, err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	if families, err = parser.TextToMetricFamilies(strings.NewReader(string(b))); err != nil {
		t.Fatalf("%v of\n%s", err, b)
	}
	return families, string(b)
}

// value is the only one of a metric, -1 if it is not there.
func value(families map[string]*dto.MetricFamily, name string) float64 {
	f := families[name]
	if len(f.GetMetric()) != 1 {
		return -1
	}
	m := f.GetMetric()[0]
	return m.GetGauge().GetValue() + m.GetCounter().GetValue()
}

// awaitScrape scrapes until what is read is as it is wanted.
func awaitScrape(t *testing.T, address, what string, want func(map[string]*dto.MetricFamily) bool) string {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		families, text := scrape(t, address)
		if families != nil && want(families) {
			return text
		}
		if time.Now().After(end) {
			t.Fatalf("not so: %s:\n%s", what, text)
		}
	}
}

func TestMetricsAreAsPrometheusWantsThem(t *testing.T) {
	target := "unix:" + filepath.Join(t.TempDir(), "switch.sock")
	defer runSwitch(t, target)()
	f := gatewayFile(t, target)
	f.Metrics.Listen = freeAddress(t)
	runFile(t, f)
	ask := asker(t, f)
	text := awaitScrape(t, f.Metrics.Listen, "the target is written to, and a call was made",
		func(m map[string]*dto.MetricFamily) bool {
			code, _ := ask("GET", "", "")
			return code == 200 && value(m, "p4evpn_controller_target_up") == 1 && value(m, "p4evpn_pipeline_up") == 1 &&
				m["p4evpn_api_call_duration_seconds"] != nil
		})
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
	families, _ := scrape(t, f.Metrics.Listen)
	documented := everyMetric(t)
	ours := 0
	for name, m := range families {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		if ours++; !documented[name] {
			t.Errorf("%s is not in %s", name, metricsPage)
		}
		// OpenMetrics names a counter without its end.
		base, total := strings.CutSuffix(name, "_total")
		if total != (m.GetType() == dto.MetricType_COUNTER) {
			t.Errorf("%s is a %v", name, m.GetType())
		}
		if total && families[base] != nil {
			t.Errorf("%s and %s are one family in OpenMetrics", base, name)
		}
		if (m.GetType() == dto.MetricType_HISTOGRAM) != documented[name+"_bucket"] {
			t.Errorf("%s is a %v, and the page says something else", name, m.GetType())
		}
	}
	if ours < 60 {
		t.Errorf("only %d metrics of ours are served", ours)
	}
}

// cable is what a gateway and its target talk over; one that is cut takes bytes and brings none.
type cable struct {
	cut chan struct{}
}

// A target that is cut off answers nothing, and does not say so: a scrape waits for it for a
// moment, and is never without an answer.
func TestMetricsAnswerWhileTheTargetIsCutOff(t *testing.T) {
	dir := t.TempDir()
	target := "unix:" + filepath.Join(dir, "switch.sock")
	defer runSwitch(t, target)()
	c := startCable(t, filepath.Join(dir, "cable.sock"), filepath.Join(dir, "switch.sock"))
	f := gatewayFile(t, "unix:"+filepath.Join(dir, "cable.sock"))
	f.Metrics.Listen = freeAddress(t)
	runFile(t, f)
	counted := func(m map[string]*dto.MetricFamily) bool {
		return m["p4evpn_pipeline_port_packets_total"] != nil ||
			m["p4evpn_pipeline_drops_total"] != nil
	}
	awaitScrape(t, f.Metrics.Listen, "all is well", func(m map[string]*dto.MetricFamily) bool {
		return value(m, "p4evpn_pipeline_up") == 1 && value(m, "p4evpn_controller_target_up") == 1 && counted(m)
	})
	close(c.cut)
	// What is not known is left out, and Prometheus makes it stale.
	awaitScrape(t, f.Metrics.Listen, "the target does not answer", func(m map[string]*dto.MetricFamily) bool {
		return value(m, "p4evpn_pipeline_up") == 0 && !counted(m) && m["p4evpn_controller_entries"] != nil &&
			m["p4evpn_bgp_strangers_total"] != nil
	})
}

// startCable listens at one Unix socket and passes on to another until it is cut.
func startCable(t *testing.T, at, to string) *cable {
	t.Helper()
	c := &cable{cut: make(chan struct{})}
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			t.Cleanup(func() { _, _ = near.Close(), far.Close() })
			go c.pass(near, far)
			go c.pass(far, near)
		}
	}()
	return c
}

func (c *cable) pass(to, from net.Conn) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			_ = to.Close()
			return
		}
		select {
		case <-c.cut:
			continue
		default:
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}
