package underlayroute

import (
	"net/netip"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Route is one prefix that neighbours advertise, or that an earlier run left.
type Route struct {
	Prefix    netip.Prefix
	Neighbors []netip.Addr // that advertise it
	NextHops  []netip.Addr // in use, or advertised where it is not installed
	Reason    string       // why it is not installed, "" if it is
}

// Routes gives what is known now, in no order. It may be called from any
// goroutine, and the result belongs to the caller.
func (r *Router) Routes() []Route {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.table)
}

// show makes the table that Routes gives, after an attempt to install what is
// wanted.
func (r *Router) show(want map[netip.Prefix]hops, err error) {
	table := make([]Route, 0, len(r.rib))
	for p, routes := range r.rib {
		row := Route{Prefix: p, Reason: r.noted[p]}
		for neighbor, route := range routes {
			row.Neighbors = append(row.Neighbors, neighbor)
			if want[p] == nil {
				row.NextHops = append(row.NextHops, route.NextHop)
			}
		}
		table = append(table, row.with(want[p], err))
	}
	for p, h := range want {
		if r.rib[p] == nil { // of an earlier run
			table = append(table, Route{Prefix: p}.with(h, err))
		}
	}
	r.mu.Lock()
	r.table = table
	r.mu.Unlock()
}

func (row Route) with(h hops, err error) Route {
	for _, one := range h.sorted() {
		row.NextHops = append(row.NextHops, one.address)
	}
	if err != nil && row.Reason == "" {
		row.Reason = err.Error()
	}
	slices.SortFunc(row.Neighbors, netip.Addr.Compare)
	slices.SortFunc(row.NextHops, netip.Addr.Compare)
	return row
}

var descRoutes = prometheus.NewDesc("p4evpn_underlay_routes",
	"Underlay routes learned by BGP, by whether the kernel has them.", []string{"installed"}, nil)

func (r *Router) Describe(ch chan<- *prometheus.Desc) {
	ch <- descRoutes
	r.overruns.Describe(ch)
}

func (r *Router) Collect(ch chan<- prometheus.Metric) {
	r.overruns.Collect(ch)
	count := map[string]int{"yes": 0, "no": 0}
	for _, row := range r.Routes() {
		if row.Reason == "" {
			count["yes"]++
		} else {
			count["no"]++
		}
	}
	for installed, n := range count {
		ch <- prometheus.MustNewConstMetric(descRoutes, prometheus.GaugeValue, float64(n), installed)
	}
}
