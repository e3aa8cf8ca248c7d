package check

import (
	"context"
	"encoding/hex"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/internal/events"
)

// Watch checks a gateway again and again.
type Watch struct {
	checker *Checker
	cfg     WatchConfig

	mu    sync.Mutex
	found uint64 // differences of the last check
	runs  uint64
	last  time.Time // when it ended
	told  map[string]bool
}

// WatchConfig says how.
type WatchConfig struct {
	Share  float64       // of a core that it takes, above 0 and up to 1
	Read   bool          // the target is read: that costs it no frame
	Pause  time.Duration // between two checks at least; 0 = 10 s
	Logger *slog.Logger
}

// MostEntries bounds what is checked without being asked for: a check holds a second copy of
// the entries for as long as it takes.
const MostEntries = 200_000

// maxTold bounds the differences that are told of one check.
const maxTold = 10

// NewWatch makes a Watch, which has a shadow of its own.
func NewWatch(cfg Config, how WatchConfig) *Watch {
	if how.Pause == 0 {
		how.Pause = 10 * time.Second
	}
	cfg.most = MostEntries
	return &Watch{checker: New(cfg), cfg: how, told: map[string]bool{}}
}

// Run checks until ctx ends. It never fails: what keeps it from checking is no fault.
func (w *Watch) Run(ctx context.Context) error {
	said := ""
	for {
		began := time.Now()
		t := &throttle{share: w.cfg.Share, since: began}
		c, err := w.checker.check(ctx, view.CheckRequest{Read: w.cfg.Read}, t.pace)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			w.note(c)
			said = ""
		case err.Error() != said:
			said = err.Error()
			w.cfg.Logger.Debug("the target is not checked now", "why", err)
		}
		if pause(ctx, max(w.cfg.Pause, t.rest())) != nil {
			return ctx.Err()
		}
	}
}

// throttle has work take its share of the time.
type throttle struct {
	share float64
	since time.Time // it works
	owed  time.Duration
}

// pace pauses for as long as the work since it was called last has to be paid for.
func (t *throttle) pace(ctx context.Context) error {
	const least = 20 * time.Millisecond // timers are not that precise
	if t.rest() < least {
		return ctx.Err()
	}
	err := pause(ctx, t.owed)
	t.since, t.owed = time.Now(), 0
	return err
}

// rest is the pause that is owed.
func (t *throttle) rest() time.Duration {
	now := time.Now()
	t.owed += time.Duration(float64(now.Sub(t.since)) * (1/t.share - 1))
	t.since = now
	return t.owed
}

// note takes what a check found, and tells of what is new.
func (w *Watch) note(c view.Check) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.found, w.last = uint64(len(c.Differences)+c.More), time.Now()
	w.runs++
	now, told := map[string]bool{}, 0
	for _, d := range c.Differences {
		key := d.Object + d.Expected + d.Actual
		now[key] = true
		if w.told[key] || told == maxTold {
			continue
		}
		told++
		w.cfg.Logger.Warn("the target does not do what is asked for: see `p4evpn check`", events.Key, events.Check,
			"object", d.Object, "arrives", d.Arrives, "expected", d.Expected, "rule", d.Rule, "actual", d.Actual,
			"port", d.Port, "frame", hex.EncodeToString(d.Frame), "differences", w.found)
	}
	if len(w.told) > 0 && len(now) == 0 {
		w.cfg.Logger.Info("the target does what is asked for again", events.Key, events.Check)
	}
	w.told = now
}

var (
	descDifferences = prometheus.NewDesc("p4evpn_check_differences",
		"Frames that did not end where objects, configuration and routes want them, in the last check of the target.",
		nil, nil)
	descRuns = prometheus.NewDesc("p4evpn_check_runs_total", "Checks of the target that were done.", nil, nil)
	descLast = prometheus.NewDesc("p4evpn_check_last_timestamp_seconds", "When the last check of the target ended.", nil,
		nil)
)

// Describe is of prometheus.Collector.
func (w *Watch) Describe(ch chan<- *prometheus.Desc) {
	ch <- descDifferences
	ch <- descRuns
	ch <- descLast
}

// Collect is of prometheus.Collector.
func (w *Watch) Collect(ch chan<- prometheus.Metric) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(descDifferences, prometheus.GaugeValue, float64(w.found))
	ch <- prometheus.MustNewConstMetric(descRuns, prometheus.CounterValue, float64(w.runs))
	if !w.last.IsZero() {
		ch <- prometheus.MustNewConstMetric(descLast, prometheus.GaugeValue, float64(w.last.UnixMilli())/1000)
	}
}
