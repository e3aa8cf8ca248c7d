package web

import (
	"sync"
	"time"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

// counting is how often pages with rates are shown anew.
const counting = 2 * time.Second

// Rates are between two moments that are between apart at least, so that they say something,
// and at most recent, so that they are of now.
const (
	between = time.Second
	recent  = time.Minute
)

// rates remembers what counters were at two moments, by their names.
type rates struct {
	mu           sync.Mutex
	old, now     map[string]uint64
	oldAt, nowAt time.Time
}

// take notes what counters are, and gives what each counts in a second, where that is known.
func (r *rates) take(counters map[string]uint64, at time.Time) map[string]float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at.Sub(r.nowAt) >= between {
		r.old, r.oldAt, r.now, r.nowAt = r.now, r.nowAt, counters, at
	}
	out := map[string]float64{}
	seconds := r.nowAt.Sub(r.oldAt).Seconds()
	if r.old == nil || seconds > recent.Seconds() { // nobody looked for long
		return out
	}
	for name, now := range r.now {
		if old, ok := r.old[name]; ok && now >= old { // else the target began anew
			out[name] = float64(now-old) / seconds
		}
	}
	return out
}

// flow is how many bits pass a port in a second.
type flow struct {
	known   bool
	in, out float64
}

// flows gives those of ports, by their names.
func (q *query) flows(ports []*p4evpnv1.Port) map[string]flow {
	counters := map[string]uint64{}
	for _, p := range ports {
		counters["in "+p.GetName()] = 8 * p.GetCounters().GetBytesIn()
		counters["out "+p.GetName()] = 8 * p.GetCounters().GetBytesOut()
	}
	of := q.pages.passed.take(counters, time.Now())
	flows := map[string]flow{}
	for _, p := range ports {
		in, known := of["in "+p.GetName()]
		out, also := of["out "+p.GetName()]
		flows[p.GetName()] = flow{known: known && also, in: in, out: out}
	}
	return flows
}

// line says a flow in a few words.
func (f flow) line() string {
	if !f.known {
		return ""
	}
	return "in " + rate(f.in, "b/s") + "  out " + rate(f.out, "b/s")
}
