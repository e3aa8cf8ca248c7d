package p4rt

import "testing"

// A session passes messages on from when it is up. Whoever has been told that it is
// must not miss the next one.
func TestAStateIsToldOnceWhatItSaysIsSo(t *testing.T) {
	q := newQueue(1, newMetrics())
	isUp := false
	q.state(Up{}, func() {
		if len(q.waiting) > 0 {
			t.Error("Up can be taken before it is so")
		}
		isUp = true
	})
	if e, ok := q.take(); !ok || e != (Up{}) || !isUp {
		t.Errorf("got %v, %v, and it is so: %v", e, ok, isUp)
	}
}
