package controller

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/reconcile"
	"github.com/p4evpn/p4evpn/p4"
)

// move is a kind of MAC move.
type move uint8

// The kinds of MAC move.
const (
	localToLocal move = iota
	localToRemote
	remoteToLocal
	remoteToRemote
	moveKinds
)

var moveNames = [moveKinds]string{"local_to_local", "local_to_remote", "remote_to_local", "remote_to_remote"}

// stats are what the loop counts; others read them at any time.
type stats struct {
	routes          [bgp.TypePrefix + 1]atomic.Int64 // in use or not, by type
	unusable        [unusableReasons]atomic.Int64
	moves           [moveKinds]atomic.Int64
	declined        [declineReasons]atomic.Int64
	undeclinable    atomic.Int64
	learned         atomic.Int64 // now
	frozen          atomic.Int64 // now
	frozenAddresses atomic.Int64 // now
	addressMoves    atomic.Int64
	staticConflicts atomic.Int64
	aged            atomic.Int64
	badInput        atomic.Int64
	hosts           atomic.Int64 // addresses known now
	hostsLocal      atomic.Int64 // of them those behind ports
	hostsRefused    [addressLimits]atomic.Int64
	unsought        atomic.Int64
	noHosts         [noHostReasons]atomic.Int64
	hostsDisplaced  atomic.Int64
	probes          atomic.Int64
	unanswered      atomic.Int64
	punts           [p4.PuntReasons]atomic.Int64
	refusedRoutes   atomic.Int64
	leases          atomic.Int64 // of DHCP, now
	leasesRefused   atomic.Int64
	originated      atomic.Int64 // routes of ours now
	target          reconcile.Stats
	batch           prometheus.Histogram
	latency         prometheus.Histogram
}

func newStats() *stats {
	return &stats{
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "p4evpn_controller_batch_entries", Help: "Entries that one flush of the controller changed.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "p4evpn_controller_batch_seconds", Help: "Time from the start of a flush to its last acknowledgement.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		}),
	}
}

func (s *stats) written(entries int, took time.Duration) {
	s.batch.Observe(float64(entries))
	s.latency.Observe(took.Seconds())
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("p4evpn_controller_"+name, help, labels, nil)
}

var (
	descRoutes   = desc("routes", "EVPN routes received, by type.", "type")
	descUnusable = desc("routes_unusable_total",
		"EVPN routes that could not be used when they came, by reason.", "reason")
	descEntries         = desc("entries", "Entries that the target acknowledged, by table.", "table")
	descFailing         = desc("entries_failing", "Entries that the target refused or that wait for one that it refused.")
	descWaiting         = desc("entries_waiting", "Entries for which their table has no room, by table.", "table")
	descNoRoom          = desc("entries_declined_total", "Entries that had to wait for room in their table.")
	descVTEPsWaiting    = desc("vteps_waiting", "Remote VTEPs that wait, since as many are in use as may be.")
	descErrors          = desc("write_errors_total", "Updates and Writes that the target refused.")
	descDepth           = desc("queue_depth", "Keys of entries that wait to be computed.")
	descLearned         = desc("learned_macs", "MACs learned on bridge ports.")
	descAged            = desc("aged_macs_total", "Learned MACs that went silent.")
	descMoves           = desc("mac_moves_total", "MAC moves, by kind.", "kind")
	descFrozen          = desc("frozen_macs", "MACs frozen as duplicates.")
	descFrozenAddresses = desc("frozen_addresses", "Addresses frozen as duplicates.")
	descAddressMoves    = desc("address_moves_total", "Times that a local host took an address from another MAC.")
	descStatic          = desc("static_conflicts_total",
		"Times that a peer or another host was found to claim a static MAC or its address.")
	descDeclined = desc("declined_macs_total", "Source MACs that were not learned, by reason.", "reason")
	descIgnored  = desc("declined_macs_overflow_total",
		"Source MACs declined without an entry, since their port has too many.")
	descOwn      = desc("own_routes", "Routes that we advertise.")
	descBad      = desc("bad_input_total", "Digests, idle timeouts and punted frames that made no sense.")
	descRefused  = desc("own_routes_refused_total", "Routes of ours that the speaker did not take.")
	descHosts    = desc("hosts", "Addresses of hosts known, by where they are.", "location")
	descUnsought = desc("hosts_unsought_total",
		"Times that an address was not looked for, since too many of its bridge were.")
	descTooMany = desc("hosts_refused_total",
		"Addresses of local hosts that were not taken, by what has too many.", "of")
	descNoHost = desc("addresses_refused_total",
		"Addresses claimed by ARP and ND that can be no host's on their bridge, by reason.", "reason")
	descDisplaced = desc("hosts_displaced_total",
		"Addresses of local hosts that made room for others, since their MAC has too many.")
	descProbes     = desc("probes_total", "Questions to hosts whether they still have an address.")
	descUnanswered = desc("probes_unanswered_total",
		"Addresses that a host had no more, since it was asked and did not answer.")
	descLeases        = desc("leases", "Addresses that DHCP gave stations behind guarded ports.")
	descLeasesRefused = desc("leases_refused_total",
		"Addresses that DHCP gave stations behind guarded ports and that were not bound to them.")
	descPunts    = desc("punts_total", "Frames that the pipeline sent to the controller, by reason.", "reason")
	descPrefixes = desc("vrf_routes", "Routes imported into a VRF, by type.", "vrf", "type")
	descAudits   = desc("audits_total", "Times that the target's entries were compared with those it acknowledged.")
	descDiffers  = desc("audit_differences_total",
		"Entries that somebody else deleted, added or changed on the target, by kind.", "kind")
	descHeld = desc("held_entries",
		"Entries of before a restart that nothing has confirmed, and that wait for BGP to converge.")
	descUp     = desc("target_up", "1 while the target is written to.")
	descLink   = desc("port_carrier", "1 while a port, but a host port, has carrier that counts.", "port")
	descLosses = desc("port_carrier_losses_total", "Times that a port lost carrier.", "port")
)

func (c *Controller) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descRoutes, descUnusable, descEntries, descFailing, descErrors, descDepth,
		descWaiting, descNoRoom, descVTEPsWaiting,
		descLearned, descHeld, descAudits, descDiffers,
		descAged, descMoves, descFrozen, descFrozenAddresses, descAddressMoves, descStatic, descDeclined, descIgnored,
		descOwn, descBad, descRefused, descLeases, descLeasesRefused, descUp,
		descHosts, descTooMany, descUnsought, descDisplaced, descProbes, descUnanswered, descNoHost, descPunts,
		descPrefixes, descLink, descLosses} {
		ch <- d
	}
	c.stats.batch.Describe(ch)
	c.stats.latency.Describe(ch)
}

func (c *Controller) Collect(ch chan<- prometheus.Metric) {
	s := c.stats
	gauge := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	counter := func(d *prometheus.Desc, v *atomic.Int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v.Load()), labels...)
	}
	gauge(descRoutes, s.routes[bgp.TypeMACIP].Load(), "2")
	gauge(descRoutes, s.routes[bgp.TypeMulticast].Load(), "3")
	gauge(descRoutes, s.routes[bgp.TypePrefix].Load(), "5")
	for i := range s.unusable {
		counter(descUnusable, &s.unusable[i], unusableReason(i).String())
	}
	for i := range s.moves {
		counter(descMoves, &s.moves[i], moveNames[i])
	}
	for i := range s.declined {
		counter(descDeclined, &s.declined[i], declineReason(i).String())
	}
	local := s.hostsLocal.Load()
	gauge(descHosts, local, "local")
	gauge(descHosts, max(0, s.hosts.Load()-local), "remote")
	for i := range s.hostsRefused {
		counter(descTooMany, &s.hostsRefused[i], addressLimit(i).String())
	}
	counter(descUnsought, &s.unsought)
	counter(descDisplaced, &s.hostsDisplaced)
	counter(descProbes, &s.probes)
	counter(descUnanswered, &s.unanswered)
	for i := p4.PuntARP; i < p4.PuntReasons; i++ {
		counter(descPunts, &s.punts[i], i.String())
	}
	counter(descIgnored, &s.undeclinable)
	counter(descAged, &s.aged)
	gauge(descOwn, s.originated.Load())
	counter(descBad, &s.badInput)
	counter(descLeasesRefused, &s.leasesRefused)
	counter(descErrors, &s.target.Errors)
	counter(descRefused, &s.refusedRoutes)
	gauge(descLearned, s.learned.Load())
	gauge(descLeases, s.leases.Load())
	gauge(descFrozen, s.frozen.Load())
	gauge(descFrozenAddresses, s.frozenAddresses.Load())
	counter(descAddressMoves, &s.addressMoves)
	counter(descStatic, &s.staticConflicts)
	gauge(descDepth, s.target.Depth.Load())
	counter(descNoRoom, &s.target.Declined)
	counter(descAudits, &s.target.Audits)
	counter(descDiffers, &s.target.Missing, string(reconcile.Missing))
	counter(descDiffers, &s.target.Unexpected, string(reconcile.Unexpected))
	counter(descDiffers, &s.target.Changed, string(reconcile.Changed))
	c.collectTarget(ch, gauge)
	s.batch.Collect(ch)
	s.latency.Collect(ch)
}

// collectTarget asks the loop for what only it knows; a scrape goes without it
// when the loop does not answer soon.
func (c *Controller) collectTarget(ch chan<- prometheus.Metric, gauge func(*prometheus.Desc, int64, ...string)) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var counts map[string]int
	var failing, held, up, vteps int64
	waiting := map[string]int64{}
	prefixes := map[[2]string]int64{}
	links := map[string]link{}
	if c.ask(ctx, func(l *loop) {
		counts = l.target.Counts()
		failing, held = int64(l.target.FailureCount()), int64(l.target.Deferred())
		vteps = int64(len(l.unnumbered))
		for w := range l.target.Waiting() {
			waiting[w.Table] += int64(w.Entries)
		}
		for _, v := range l.vrfs {
			prefixes[[2]string{v.ID, "2"}] = v.imported[bgp.TypeMACIP]
			prefixes[[2]string{v.ID, "5"}] = v.imported[bgp.TypePrefix]
		}
		if l.target.Ready() {
			up = 1
		}
		for _, p := range c.cfg.Ports {
			links[p.Name] = *l.links[p.Number]
		}
	}) != nil {
		return
	}
	for table, n := range counts {
		gauge(descEntries, int64(n), table)
	}
	for k, n := range prefixes {
		gauge(descPrefixes, n, k[0], k[1])
	}
	for table, n := range waiting {
		gauge(descWaiting, n, table)
	}
	for name, k := range links {
		var has int64
		if k.up {
			has = 1
		}
		gauge(descLink, has, name)
		ch <- prometheus.MustNewConstMetric(descLosses, prometheus.CounterValue, float64(k.losses), name)
	}
	gauge(descVTEPsWaiting, vteps)
	gauge(descFailing, failing)
	gauge(descHeld, held)
	gauge(descUp, up)
}
