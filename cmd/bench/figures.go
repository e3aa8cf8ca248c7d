package main

import (
	"context"
	"errors"
	"regexp"
	"strings"
)

// figure measures one or several values that come out of one experiment.
type figure struct {
	names   []string // under which it is asked for; what it gives may be more
	measure func(context.Context, *bench) ([]value, error)
}

// title names the figure for a message.
func (f figure) title() string {
	const most = 4
	if len(f.names) > most {
		return strings.Join(f.names[:most-1], ", ") + ", ..."
	}
	return strings.Join(f.names, ", ")
}

// figures are measured in this order. To add one, add a line.
var figures = append([]figure{
	{[]string{"type2_100k_vs_gobgp", "type2_100k_bytes_per_route"}, measureType2},
	{[]string{"macip_100k_vs_gobgp", "macip_100k_bytes_per_route"}, measureMACIP},
	{[]string{"type5_100k_vs_gobgp", "type5_100k_bytes_per_route"}, measureType5},
	{[]string{"type2_100k_vs_frr"}, measureType2AgainstFRR},
	{[]string{"macip_100k_vs_frr"}, measureMACIPAgainstFRR},
	{[]string{"type5_100k_vs_frr"}, measureType5AgainstFRR},
	{[]string{"type2_100k_rss_per_route"}, measureResident},
	{[]string{"type2_scale_time", "type2_scale_memory"}, measureScale},
	{[]string{"million_rss", "million_api_p99", "million_withdraw", "million_memory_back"}, measureMillion},
	{[]string{"same_host_8000"}, measureSameHost},
	{[]string{"mac_move_p50", "mac_move_p99"}, measureMoves},
	{[]string{"mac_move_busy_p99"}, measureBusyMoves},
	{[]string{"moves_1000"}, measureMovesAtOnce},
	{[]string{"probe_cpu", "probe_pps"}, measureProbes},
	{[]string{"vip_failover_ms"}, measureFailOver},
	{[]string{"uplink_pull_lost"}, measureUplinkPull},
	{[]string{"uplink_bfd_lost"}, measureUplinkBFD},
	{[]string{"found_host_vs_known"}, measureFound},
	{[]string{"arp_to_route_p50", "arp_to_route_p99"}, measureARP},
	{[]string{"write_batch1000", "write_single"}, measureWrites},
	{[]string{"flood_100k_replicas", "flood_uplink_loss"}, measureFlood},
	{[]string{"uplink_loss_writes", "uplink_loss_members", "uplink_loss_ms"}, measureUplinkLoss},
	{[]string{"vtep_loss_ms", "vtep_loss_writes", "vtep_loss_members"}, measureVTEPLoss},
	{[]string{"refill_100k"}, measureRefill},
	{[]string{"resync_100k", "resync_100k_writes"}, measureResync},
	{[]string{"trace_ms"}, measureTrace},
	{[]string{"scrape_ms"}, measureScrape},
	{[]string{"page_10k_ms"}, measurePaint},
	{[]string{"page_watch_cpu_pct", "page_watch_cpu_quiet_pct"}, measureWatch},
	{[]string{"check_10k_s", "check_cpu_pct"}, measureCheck},
	{[]string{"switch_bytes_per_entry", "switch_bytes_per_source", "switch_bytes_per_route"}, measureMemory},
	{[]string{"controller_kill_lost"}, measureKill},
	{[]string{"punt_isolation_lost"}, measureIsolation},
	{[]string{"ovn_1000_ratio"}, ovnRatio(1000)},
	{[]string{"ovn_10000_ratio"}, ovnRatio(10_000)},
	{[]string{"ovn_move_ms"}, measureOVNMove},
	{[]string{"attack_api_memory_ratio"}, measureAttack},
	{attackNames("macs"), measureMACs},
	{attackNames("addresses"), measureAddresses},
	{attackNames("storm"), measureStorm},
	{attackNames("arp"), measureRequests},
	{[]string{"attack_api_lost", "attack_api_p99_ratio", apiMemory}, measureStrangers},
	{attackNames("bgp"), measureBGPAttack},
	{append(attackNames("streams"), "attack_streams_restart_ratio"), measureStreams},
	{[]string{"api_create", "create_to_up_p50", "create_to_up_p99"}, measureCreates},
}, packetFigures()...)

// value is one measured number.
type value struct {
	name    string
	number  float64
	unit    string
	goal    goal
	against string // what it is measured against, and how
	missing string // why there is no number here: SKIP
	over    bool   // it was given up there: the number is more than that
}

// goal is a bound; the zero value is none.
type goal struct {
	bound   float64
	atLeast bool
}

func atMost(x float64) goal  { return goal{bound: x} }
func atLeast(x float64) goal { return goal{bound: x, atLeast: true} }

func (g goal) met(x float64) bool {
	if g.atLeast {
		return x >= g.bound
	}
	return x <= g.bound
}

// verdict says whether the goal is met; empty without one. Nothing is given up
// before its bound.
func (v value) verdict() string {
	switch {
	case v.goal.bound == 0:
		return ""
	case v.over || !v.goal.met(v.number):
		return "missed"
	}
	return "met"
}

// shown is the number as the table and the line have it.
func (v value) shown() string {
	if v.over {
		return ">" + number(v.number)
	}
	return number(v.number)
}

// skip is the error of a figure that needs what this machine does not have.
type skip string

func (s skip) Error() string { return string(s) }

func choose(all []figure, names *regexp.Regexp) []figure {
	var chosen []figure
	for _, f := range all {
		for _, n := range f.names {
			if names.MatchString(n) {
				chosen = append(chosen, f)
				break
			}
		}
	}
	return chosen
}

func allNames(all []figure) []string {
	var names []string
	for _, f := range all {
		names = append(names, f.names...)
	}
	return names
}

// skipped gives the reason if err is a skip.
func skipped(err error) (string, bool) {
	var s skip
	ok := errors.As(err, &s)
	return string(s), ok
}
