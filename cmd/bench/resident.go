package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// residentBound is what a type-2 route may take of the gateway, in bytes.
	residentBound = 900
	// quietBefore is how long a process is left alone before its first reading.
	quietBefore = 5 * time.Second
	// quietAfter is how long it is left alone before its second: Go collects the
	// garbage of an idle process every two minutes and gives it back then.
	quietAfter = 150 * time.Second
)

// resident gives what a process has in memory now, as ps says it, and what it has
// had at most, in bytes (proc_pid_status(5)).
func resident(pid int) (now, peak float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("read the memory of a process: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		key, rest, _ := strings.Cut(line, ":")
		kilobytes, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
		switch {
		case err != nil:
		case key == "VmRSS":
			now = kilobytes * 1024
		case key == "VmHWM":
			peak = kilobytes * 1024
		}
	}
	return now, peak, nil
}

// measureResident gives what 100,000 type-2 routes add to a gateway that runs as
// users run it, when it has been idle for a while, and to FRR.
func measureResident(ctx context.Context, b *bench) ([]value, error) {
	values, err := b.withLive(ctx, func(g *liveGateway) ([]value, error) {
		growth, err := growthOf(ctx, func() (float64, error) {
			now, _, err := resident(g.ControllerPID())
			return now, err
		}, quietAfter, func() error { return g.speak(ctx, benchRoutes) })
		return []value{{name: "type2_100k_rss_per_route", number: growth / benchRoutes, unit: "B",
			goal: atMost(residentBound),
			against: fmt.Sprintf("resident memory of p4evpn run, %v after the last route against before the first; FRR: see "+
				"type2_100k_frr_rss_per_route", quietAfter)}}, err
	})
	if err != nil {
		return nil, err
	}
	theirs := value{name: "type2_100k_frr_rss_per_route", unit: "B",
		against: "FRR's bgpd and zebra together, the same routes"}
	err = withFRR(ctx, func(f *frr) error {
		if err := f.settle(ctx, benchRoutes); err != nil {
			return err
		}
		growth, err := growthOf(ctx, f.resident, quietBefore, func() error {
			_, err := f.load(ctx, type2Load())
			return err
		})
		theirs.number = growth / benchRoutes
		return err
	})
	if reason, ok := skipped(err); ok {
		theirs.missing = reason
	} else if err != nil {
		return values, err
	}
	return append(values, theirs), nil
}

// growthOf gives by how much something has grown when it has been quiet for a while
// after an action.
func growthOf(ctx context.Context, read func() (float64, error), after time.Duration, act func() error) (float64,
	error) {
	if err := sleep(ctx, quietBefore); err != nil {
		return 0, err
	}
	first, err := read()
	if err != nil {
		return 0, err
	}
	if err := act(); err != nil {
		return 0, err
	}
	if err := sleep(ctx, after); err != nil {
		return 0, err
	}
	second, err := read()
	return second - first, err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
