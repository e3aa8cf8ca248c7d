package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
)

const (
	quietFor = 5 * time.Second // that a victim is measured for without an attack
	// attackP99 and attackMemory are how many times as much as before a victim's packets,
	// and our processes, may take under attack.
	attackP99, attackMemory = 3, 2
)

// attacking is this process.
const attacking = "attacker and victim"

// attackNames are the figures of an attack.
func attackNames(attack string) []string {
	return []string{"attack_" + attack + "_lost", "attack_" + attack + "_p99_ratio", "attack_" + attack + "_memory_ratio"}
}

// seen is what a victim saw, and what our processes had in memory at most meanwhile.
type seen struct {
	sent, lost int
	loss       string // when, if some were lost
	p99        time.Duration
	peaks      map[string]float64 // bytes, by process
	busy       map[string]float64 // processors, by process
}

// victim starts something that suffers, and gives what ends it.
type victim func() (stop func() seen, err error)

// see measures a victim while something happens. A process that is restarted meanwhile
// has no peak.
func (g *liveGateway) see(v victim, meanwhile func() error) (s seen, err error) {
	pids := map[string]int{"the controller": g.ControllerPID(), "the switch": g.SwitchPID(), attacking: os.Getpid()}
	before := map[string]float64{}
	for name, pid := range pids {
		// The peak begins anew (proc(5)).
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
			return s, fmt.Errorf("forget the peak of a process's memory: %w", err)
		}
		if before[name], err = processorTime(pid); err != nil {
			return s, err
		}
	}
	stop, err := v()
	if err != nil {
		return s, err
	}
	start := time.Now()
	err = meanwhile()
	took := time.Since(start).Seconds()
	s = stop()
	s.peaks, s.busy = map[string]float64{}, map[string]float64{}
	for name, pid := range pids {
		if _, peak, err := resident(pid); err == nil {
			s.peaks[name] = peak
		}
		if now, err := processorTime(pid); err == nil {
			s.busy[name] = (now - before[name]) / took
		}
	}
	return s, err
}

// flowing is a victim whose packets are routed and answered, a thousand a second.
func (g *liveGateway) flowing(ctx context.Context) victim {
	f := testbed.Flow{Name: "routed", From: g.hosts["r1"], To: g.hosts["r2"], Rate: 1000}
	return func() (func() seen, error) {
		if _, err := f.From.Reach(ctx, f.To.Address.Addr(), 20*time.Second); err != nil {
			return nil, err
		}
		m, err := testbed.StartMeter(f)
		if err != nil {
			return nil, err
		}
		return func() seen {
			r := m.Stop()[0]
			s := seen{sent: r.Sent, lost: r.Lost, p99: r.P99}
			if r.Lost > 0 {
				s.loss = " (" + r.String() + ")"
			}
			return s
		}, nil
	}
}

// attackValues are the figures of an attack.
func attackValues(attack string, quiet, under seen, how string) []value {
	ratio, peaks, busy := 0.0, []string{}, []string{}
	for _, name := range []string{"the controller", "the switch", attacking} {
		before, after := quiet.peaks[name], under.peaks[name]
		if b, known := under.busy[name]; known {
			busy = append(busy, fmt.Sprintf("%s %.1f", name, b))
		}
		if name == attacking {
			continue
		}
		if before == 0 || after == 0 {
			continue
		}
		ratio = max(ratio, after/before)
		peaks = append(peaks, fmt.Sprintf("%s %.0f MB after %.0f", name, after/1e6, before/1e6))
	}
	names := attackNames(attack)
	return []value{
		{name: names[0], number: float64(under.lost), unit: "lost",
			against: fmt.Sprintf("of %d%s, while %s; 0 is wanted; %d of %d were lost without it%s", under.sent, under.loss, how,
				quiet.lost, quiet.sent, quiet.loss)},
		{name: names[1], number: float64(under.p99) / float64(quiet.p99), unit: "x", goal: atMost(attackP99),
			against: fmt.Sprintf("%.2f ms after %.2f; of %d processors %s", milliseconds(under.p99), milliseconds(quiet.p99),
				runtime.NumCPU(), strings.Join(busy, ", "))},
		{name: names[2], number: ratio, unit: "x", goal: atMost(attackMemory),
			against: "the most that was resident: " + strings.Join(peaks, ", ")},
	}
}
