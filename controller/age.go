package controller

import (
	"math/rand/v2"
	"time"

	"github.com/p4evpn/p4evpn/ether"
)

const (
	// turnSlots is how many slots a round has. Its last slots are those that a turn of the
	// longest round is put into.
	turnSlots = 4096
	// leastSlot is how long a slot lasts at least.
	leastSlot = 50 * time.Millisecond
	// slotsAhead is how far the next turn is looked for.
	slotsAhead = 64
)

// rounds is a timing wheel of the MACs that have addresses here: each has its turn once a
// round, when some of its addresses are asked for.
type rounds struct {
	length time.Duration // of the longest round
	width  time.Duration // of a slot
	now    func() time.Time
	slots  [][]*turn
	began  time.Time // slot 0
	next   int64     // the first slot that was not looked at; of all that ever were
	count  int       // MACs that have a turn
}

// turn is that of a MAC.
type turn struct {
	bridge uint16
	mac    ether.MAC
	slot   uint16 // 1 + its slot's place in the wheel; 0 = it has no turn
	at     uint32 // its place in the slot
}

func newRounds(length time.Duration, now func() time.Time) *rounds {
	r := &rounds{length: length, now: now, began: now(), slots: make([][]*turn, turnSlots)}
	r.width = max(leastSlot, length/(turnSlots-slotsAhead))
	return r
}

// enter gives a MAC its first turn, any time in the coming round but for its beginning:
// MACs that came together are not asked together.
func (r *rounds) enter(t *turn) { r.schedule(t, r.now(), 0.2, 1) }

// again gives a MAC the turn of the next round, which began then for it.
func (r *rounds) again(t *turn, then time.Time) { r.schedule(t, then, 0.75, 1) }

// schedule gives a MAC a turn between two parts of a round from now, in the emptier of two
// slots.
func (r *rounds) schedule(t *turn, now time.Time, from, to float64) {
	r.leave(t)
	pick := func() int64 {
		at := now.Add(time.Duration(float64(r.length) * (from + rand.Float64()*(to-from))))
		return max(int64(at.Sub(r.began)/r.width), r.next)
	}
	n := pick()
	if other := pick(); len(r.slots[other%turnSlots]) < len(r.slots[n%turnSlots]) {
		n = other
	}
	at := n % turnSlots
	t.slot, t.at = uint16(at)+1, uint32(len(r.slots[at]))
	r.slots[at] = append(r.slots[at], t)
	r.count++
}

// leave takes the turn of a MAC.
func (r *rounds) leave(t *turn) {
	if t.slot == 0 {
		return
	}
	slot := &r.slots[t.slot-1]
	last := len(*slot) - 1
	moved := (*slot)[last]
	(*slot)[t.at], moved.at = moved, t.at
	(*slot)[last] = nil
	*slot = (*slot)[:last]
	t.slot = 0
	r.count--
}

// take gives a MAC whose turn it is, which has none any more; nil if there is none.
func (r *rounds) take(now time.Time) *turn {
	if r.count == 0 {
		r.next = max(r.next, int64(now.Sub(r.began)/r.width))
		return nil
	}
	for ; !r.start(r.next).After(now); r.next++ {
		slot := &r.slots[r.next%turnSlots]
		if len(*slot) > 0 {
			t := (*slot)[len(*slot)-1]
			r.leave(t)
			return t
		}
		*slot = nil
	}
	return nil
}

// start is when the turns of a slot are.
func (r *rounds) start(slot int64) time.Time { return r.began.Add(time.Duration(slot) * r.width) }

// due is how long nobody has a turn, as far as is looked for.
func (r *rounds) due(now time.Time) time.Duration {
	if r.count == 0 {
		return idleTick
	}
	n := r.next
	for n < r.next+slotsAhead && len(r.slots[n%turnSlots]) == 0 {
		n++
	}
	return max(0, r.start(n).Sub(now))
}
