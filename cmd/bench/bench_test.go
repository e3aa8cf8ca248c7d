package main

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestAFigureIsChosenByAnyOfItsNames(t *testing.T) {
	all := []figure{{names: []string{"move_p50", "move_p99"}}, {names: []string{"write"}}}
	for pattern, want := range map[string]int{".": 2, "p99": 1, "^write$": 1, "none": 0} {
		if got := choose(all, regexp.MustCompile(pattern)); len(got) != want {
			t.Errorf("%q chooses %d figures, want %d", pattern, len(got), want)
		}
	}
}

func TestEveryFigureHasNamesOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range figures {
		if len(f.names) == 0 || f.measure == nil {
			t.Errorf("figure %v has no name or no function", f.names)
		}
		for _, n := range f.names {
			if seen[n] || strings.ContainsAny(n, " \t") {
				t.Errorf("name %q is there twice or has a space", n)
			}
			seen[n] = true
		}
	}
}

func measureAll(t *testing.T, all ...figure) (string, error) {
	t.Helper()
	var out strings.Builder
	r := &report{out: &out}
	for _, f := range all {
		r.measure(t.Context(), &bench{}, f)
	}
	r.table()
	return out.String(), r.failed()
}

func TestEachValueIsALineAndARowWithItsVerdict(t *testing.T) {
	out, err := measureAll(t, figure{names: []string{"a", "b"}, measure: func(context.Context, *bench) ([]value, error) {
		return []value{
			{name: "a", number: 1.2345, unit: "ratio", goal: atMost(1.25), against: "the other"},
			{name: "b", number: 99000.4, unit: "entries/s", goal: atLeast(100000)},
			{name: "c", number: 5, unit: "s"},
			{name: "d", number: 60, unit: "s", goal: atMost(1), over: true, against: "given up"},
		}, nil
	}})
	if err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		`(?m)^bench: a 1\.23 ratio$`, `(?m)^bench: b 99000 entries/s$`, `(?m)^bench: c 5 s$`, `(?m)^bench: d >60 s$`,
		`(?m)^a +1\.23 +ratio +<= 1\.25 +met +the other$`,
		`(?m)^b +99000 +entries/s +>= 100000 +missed *$`,
		`(?m)^c +5 +s *$`,
		`(?m)^d +>60 +s +<= 1 +missed +given up$`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("nothing matches %s in:\n%s", want, out)
		}
	}
}

func TestWhatIsAbsentIsSaidAndIsNoFailure(t *testing.T) {
	out, err := measureAll(t, figure{names: []string{"a"}, measure: func(context.Context, *bench) ([]value, error) {
		return nil, skip("it needs root")
	}})
	if err != nil {
		t.Errorf("a skip is a failure: %v", err)
	}
	if !strings.Contains(out, "bench: a SKIP it needs root\n") ||
		!regexp.MustCompile(`(?m)^a +SKIP +.*it needs root$`).MatchString(out) {
		t.Errorf("the skip is not shown:\n%s", out)
	}
}

func TestAFigureThatCouldNotBeMeasuredFailsTheRunAndNotTheOthers(t *testing.T) {
	broken := errors.New("the switch does not start")
	out, err := measureAll(t,
		figure{names: []string{"a"}, measure: func(context.Context, *bench) ([]value, error) {
			return []value{{name: "half", number: 1}}, broken
		}},
		figure{names: []string{"b"}, measure: func(context.Context, *bench) ([]value, error) {
			return []value{{name: "b", number: 2, unit: "s"}}, nil
		}})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "a could not be measured") {
		t.Errorf("the run ends with %v", err)
	}
	if !strings.Contains(out, "bench: half 1 ") || !strings.Contains(out, "bench: b 2 s") {
		t.Errorf("what was measured is lost:\n%s", out)
	}
}

func TestPercentilesAreSamplesOfTheirRank(t *testing.T) {
	var hundred []time.Duration
	for i := 100; i > 0; i-- {
		hundred = append(hundred, time.Duration(i))
	}
	for p, want := range map[float64]time.Duration{0: 1, 1: 1, 50: 50, 99: 99, 99.5: 100, 100: 100} {
		if got := percentile(hundred, p); got != want {
			t.Errorf("p%v of 1 to 100 is %d, want %d", p, got, want)
		}
	}
	if got := percentile(nil, 50); got != 0 {
		t.Errorf("p50 of nothing is %d", got)
	}
	if got := percentile([]time.Duration{7}, 99); got != 7 {
		t.Errorf("p99 of one sample is %d", got)
	}
}

func TestTheMedianIsInTheMiddle(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 3}} {
		if got := median(c.values); got != c.want {
			t.Errorf("the median of %v is %v, want %v", c.values, got, c.want)
		}
	}
}
