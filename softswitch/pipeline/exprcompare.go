package pipeline

import "fmt"

// compileCompare compiles a comparison of numbers: in one word where both
// sides are exact there in the same sense, else in as many as needed.
func (c *exprContext) compileCompare(n *boolNode) (boolFunc, error) {
	if f := compareFieldConst(n); f != nil {
		return f, nil
	}
	unsigned := n.l.fitsU() && n.r.fitsU()
	if !unsigned && !(n.l.fitsS() && n.r.fitsS()) {
		return c.compareWide(n)
	}
	l, err := c.narrow(n.l)
	if err != nil {
		return nil, err
	}
	r, err := c.narrow(n.r)
	if err != nil {
		return nil, err
	}
	switch n.op {
	case "==":
		return func(w *Worker) bool { return l(w) == r(w) }, nil
	case "!=":
		return func(w *Worker) bool { return l(w) != r(w) }, nil
	}
	if unsigned {
		switch n.op {
		case "<":
			return func(w *Worker) bool { return l(w) < r(w) }, nil
		case "<=":
			return func(w *Worker) bool { return l(w) <= r(w) }, nil
		case ">":
			return func(w *Worker) bool { return l(w) > r(w) }, nil
		case ">=":
			return func(w *Worker) bool { return l(w) >= r(w) }, nil
		}
	}
	switch n.op {
	case "<":
		return func(w *Worker) bool { return int64(l(w)) < int64(r(w)) }, nil
	case "<=":
		return func(w *Worker) bool { return int64(l(w)) <= int64(r(w)) }, nil
	case ">":
		return func(w *Worker) bool { return int64(l(w)) > int64(r(w)) }, nil
	case ">=":
		return func(w *Worker) bool { return int64(l(w)) >= int64(r(w)) }, nil
	}
	return nil, fmt.Errorf("expression: comparison %q: %w", n.op, ErrUnsupported)
}

// compareFieldConst is the commonest case, without a nested call.
func compareFieldConst(n *boolNode) boolFunc {
	if n.l.op != opField || n.r.op != opConst || !n.l.fitsU() || !n.r.fitsU() {
		return nil
	}
	slot, k := n.l.f.slot, n.r.k.Uint64()
	switch n.op {
	case "==":
		return func(w *Worker) bool { return w.r[slot] == k }
	case "!=":
		return func(w *Worker) bool { return w.r[slot] != k }
	case "<":
		return func(w *Worker) bool { return w.r[slot] < k }
	case "<=":
		return func(w *Worker) bool { return w.r[slot] <= k }
	case ">":
		return func(w *Worker) bool { return w.r[slot] > k }
	case ">=":
		return func(w *Worker) bool { return w.r[slot] >= k }
	}
	return nil
}

func (c *exprContext) compareWide(n *boolNode) (boolFunc, error) {
	if n.l.lo == nil || n.r.lo == nil {
		return nil, fmt.Errorf("expression: comparison of values without bound: %w", ErrUnsupported)
	}
	W := (max(n.l.needBits(), n.r.needBits()) + 63) / 64
	l, la, err := c.wide(n.l, W)
	if err != nil {
		return nil, err
	}
	r, ra, err := c.wide(n.r, W)
	if err != nil {
		return nil, err
	}
	var holds func(cmp int) bool
	switch n.op {
	case "==":
		holds = func(cmp int) bool { return cmp == 0 }
	case "!=":
		holds = func(cmp int) bool { return cmp != 0 }
	case "<":
		holds = func(cmp int) bool { return cmp < 0 }
	case "<=":
		holds = func(cmp int) bool { return cmp <= 0 }
	case ">":
		holds = func(cmp int) bool { return cmp > 0 }
	case ">=":
		holds = func(cmp int) bool { return cmp >= 0 }
	default:
		return nil, fmt.Errorf("expression: comparison %q: %w", n.op, ErrUnsupported)
	}
	return func(w *Worker) bool {
		l(w)
		r(w)
		return holds(compareWords(w.r[la:la+W], w.r[ra:ra+W]))
	}, nil
}
