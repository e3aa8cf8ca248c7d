// Package journal keeps what happened, for who asks later or watches: the lines of the log
// that have a kind (package events), the last ones also over a restart.
package journal

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/p4evpn/p4evpn/internal/events"
)

// Kept is how many events are kept.
const Kept = 10_000

// perSecond bounds the events of one kind: what is more is counted, and not kept.
const perSecond = 100

// Event is one thing that happened.
type Event struct {
	ID         uint64            `json:"id"` // greater than those before, also of earlier runs
	Time       time.Time         `json:"time"`
	Kind       events.Kind       `json:"kind"`
	Level      string            `json:"level"`
	Text       string            `json:"text"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// Log keeps events. It is safe for concurrent use.
type Log struct {
	suppressed *prometheus.CounterVec
	failed     prometheus.Gauge

	mu      sync.Mutex
	ring    []Event // the last ones
	next    uint64
	changed chan struct{} // closed by the next event
	second  int64
	counts  map[events.Kind]int // in that second
	file    *onDisk             // nil: they are kept in memory alone
}

// New makes a Log that keeps events in memory alone.
func New() *Log {
	return &Log{
		next: 1, changed: make(chan struct{}), counts: map[events.Kind]int{},
		suppressed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "p4evpn_events_suppressed_total",
			Help: "Events that were not kept since there were too many of their kind, by kind.",
		}, []string{"kind"}),
		failed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "p4evpn_events_file_failed",
			Help: "1 while events are kept in memory alone, since their file cannot be written.",
		}),
	}
}

// Describe and Collect make a Log a prometheus.Collector.
func (l *Log) Describe(ch chan<- *prometheus.Desc) {
	l.suppressed.Describe(ch)
	l.failed.Describe(ch)
}

// Collect gives what was not kept, and whether the file is written.
func (l *Log) Collect(ch chan<- prometheus.Metric) {
	l.suppressed.Collect(ch)
	l.failed.Collect(ch)
}

// add keeps an event, whose ID it gives.
func (l *Log) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := e.Time.Unix(); now != l.second {
		l.second = now
		clear(l.counts)
	}
	if l.counts[e.Kind]++; l.counts[e.Kind] > perSecond {
		l.suppressed.WithLabelValues(string(e.Kind)).Inc()
		return
	}
	e.ID = l.next
	l.next++
	l.keep(e)
	if l.file != nil {
		l.file.add(e)
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// keep puts an event behind the others. Twice as many as are asked for are there before
// the old ones are moved away.
func (l *Log) keep(e Event) {
	if len(l.ring) == 2*Kept {
		l.ring = slices.Clone(l.ring[Kept:])
	}
	l.ring = append(l.ring, e)
}

// After gives the events after one, oldest first, of those that are kept, and what is closed
// when there are more. Which are gone already can be seen by the first one's ID.
func (l *Log) After(id uint64) (events []Event, more <-chan struct{}) { return l.Some(id, Kept) }

// Some is After for the first ones alone, so many at most: there may be more already.
func (l *Log) Some(id uint64, most int) (events []Event, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.ring[max(0, len(l.ring)-Kept):]
	i, _ := slices.BinarySearchFunc(kept, id, func(e Event, id uint64) int {
		if e.ID <= id {
			return -1
		}
		return 1
	})
	return slices.Clone(kept[i:min(len(kept), i+most)]), l.changed
}

// Last is the ID of the last event, 0 = there was none.
func (l *Log) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next - 1
}

// Handler gives what is logged to another handler, and keeps what is an event.
func (l *Log) Handler(next slog.Handler) slog.Handler { return &handler{log: l, next: next} }

type handler struct {
	log   *Log
	next  slog.Handler
	attrs []slog.Attr // that the logger was given
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || level == events.Level || h.next.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if kind, is := h.kind(&r); is {
		h.log.add(h.event(kind, &r))
	}
	if h.next.Enabled(ctx, r.Level) {
		return h.next.Handle(ctx, r)
	}
	return nil
}

// kind is that of the event that a line is, if it is one: most are none.
func (h *handler) kind(r *slog.Record) (kind events.Kind, is bool) {
	h.all(r, func(a slog.Attr) {
		if a.Key == events.Key {
			kind, is = events.Kind(a.Value.String()), true
		}
	})
	return kind, is
}

// all calls do with each attribute of a line.
func (h *handler) all(r *slog.Record, do func(slog.Attr)) {
	for _, a := range h.attrs {
		do(a)
	}
	r.Attrs(func(a slog.Attr) bool { do(a); return true })
}

func (h *handler) event(kind events.Kind, r *slog.Record) Event {
	e := Event{
		Time: r.Time.UTC(), Kind: kind, Level: r.Level.String(), Text: r.Message, Attributes: map[string]string{},
	}
	if r.Level == events.Level {
		e.Level = slog.LevelInfo.String()
	}
	h.all(r, func(a slog.Attr) {
		if a.Key != events.Key {
			e.Attributes[a.Key] = a.Value.Resolve().String()
		}
	})
	return e
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{log: h.log, next: h.next.WithAttrs(attrs), attrs: append(slices.Clip(h.attrs), attrs...)}
}

// WithGroup has attributes of a group keep their own names in events.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{log: h.log, next: h.next.WithGroup(name), attrs: h.attrs}
}
