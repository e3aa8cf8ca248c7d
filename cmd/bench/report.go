package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
)

// report gathers values and prints them.
type report struct {
	out    io.Writer
	values []value
	errs   []error
}

// measure runs one figure, with a line for each value at once.
func (r *report) measure(ctx context.Context, b *bench, f figure) {
	ctx, cancel := context.WithTimeoutCause(ctx, figureTimeout, errors.New("it took too long"))
	defer cancel()
	values, err := f.measure(ctx, b)
	if reason, ok := skipped(err); ok {
		for _, n := range f.names {
			values = append(values, value{name: n, missing: reason})
		}
	} else if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	for _, v := range values {
		r.line(v)
	}
	r.values = append(r.values, values...)
	if _, ok := skipped(err); err != nil && !ok {
		r.errs = append(r.errs, fmt.Errorf("%s could not be measured: %w", f.title(), err))
	}
}

func (r *report) line(v value) {
	if v.missing != "" {
		printf(r.out, "bench: %s SKIP %s\n", v.name, v.missing)
		return
	}
	printf(r.out, "bench: %s %s %s\n", v.name, v.shown(), v.unit)
}

// table prints all values, one line each.
func (r *report) table() {
	if len(r.values) == 0 {
		return
	}
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	printf(w, "\nFIGURE\tVALUE\tUNIT\tGOAL\t\tMEASURED AGAINST, HOW\n")
	for _, v := range r.values {
		shown, goal, verdict, against := v.shown(), "", v.verdict(), v.against
		if v.goal.bound != 0 {
			goal = "<= " + number(v.goal.bound)
			if v.goal.atLeast {
				goal = ">= " + number(v.goal.bound)
			}
		}
		if v.missing != "" {
			shown, goal, verdict, against = "SKIP", "", "", v.missing
		}
		printf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", v.name, shown, v.unit, goal, verdict, against)
	}
	_ = w.Flush()
}

// printf prints; what cannot be printed cannot be complained about either.
func printf(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

func (r *report) failed() error { return errors.Join(r.errs...) }

// number has three digits that matter, and all those before the point.
func number(x float64) string {
	if x >= 100 || x <= -100 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}
