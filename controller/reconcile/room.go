package reconcile

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"iter"

	"github.com/p4evpn/p4evpn/p4"
)

// room is how the bridges or VRFs that have entries of a table share it. None may have more
// than what is left for the others, so that there always is something left: one takes half of
// the table at most, two a third each. A part of the table is kept for what the operator asks
// for, which is never declined here.
type room struct {
	table  string
	size   int
	shares map[p4.Owner]*share
	owned  bool // its entries are of bridges or VRFs
	taken  int  // of all shares
	waits  int  // the same
	level  p4.Level
	// freed: there may be room for what waits.
	freed bool
}

// share is what one bridge or VRF has of a table, or all where entries are of none.
type share struct {
	taken   int // entries that the target holds, and those that are being inserted
	waiting map[p4.Key]*declined
	order   keyHeap // of waiting, and of some that wait no more
	told    int     // what was taken when it was said that more waits; 0 = it was not said
}

// declined is an entry that waits for room.
type declined struct {
	what   p4.Typed // names it
	called bool     // it is marked, since there may be room
}

// keptOf is the part of a table that is kept for what the operator asks for: one in so many.
const keptOf = 16

func newRooms(sizes map[uint32]int) map[uint32]*room {
	rooms := map[uint32]*room{}
	for id, size := range sizes {
		rooms[id] = &room{size: size, shares: map[p4.Owner]*share{}}
	}
	return rooms
}

// share gives what the owner of an entry has of the table, and the table; nil if that has no
// size.
func (r *Reconciler) share(key p4.Key) (*room, *share) {
	rm := r.rooms[key.ID()]
	if rm == nil {
		return nil, nil
	}
	owner, owned := key.Owner()
	s := rm.shares[owner]
	if s == nil {
		s = &share{}
		rm.shares[owner], rm.owned, rm.table = s, owned, key.Table()
	}
	return rm, s
}

// take counts an entry that takes room from now on, or by -1 one that does no more.
func (r *Reconciler) take(key p4.Key, n int) {
	rm, s := r.share(key)
	if rm == nil {
		return
	}
	rm.taken += n
	s.taken += n
	rm.freed = rm.freed || n < 0
	if s.taken*8 < s.told*7 && len(s.waiting) == 0 {
		s.told = 0
	}
}

// takeNone has nothing take room but what is being inserted, and nothing wait: what the
// target holds is read anew.
func (r *Reconciler) takeNone() {
	for _, rm := range r.rooms {
		rm.waits = 0
		for _, s := range rm.shares {
			s.waiting, s.order = nil, nil
		}
	}
	r.waits = 0
}

// left is how many entries more there may be, but for what the operator asks for.
func (rm *room) left() int { return rm.size - max(1, rm.size/keptOf) - rm.taken }

// admits reports whether there is room for an entry that the target does not hold.
func (r *Reconciler) admits(want p4.Typed, key p4.Key) bool {
	rm, s := r.share(key)
	return rm == nil || rm.admits(s.taken, rm.left(), r.model.Most(want)) || r.model.Given(want)
}

// admits reports whether an owner who has taken so many entries may have one more, where so
// many are left; most is what the model says, 0 for nothing.
func (rm *room) admits(taken, left, most int) bool {
	return left > 0 && (taken < left || !rm.owned) && (taken < most || most == 0)
}

// decline has an entry wait for room.
func (r *Reconciler) decline(key p4.Key, k p4.Typed) {
	rm, s := r.share(key)
	rm.level = k.Level()
	d := s.waiting[key]
	switch {
	case d == nil:
		if s.waiting == nil {
			s.waiting = map[p4.Key]*declined{}
		}
		s.waiting[key] = &declined{what: k}
		rm.waits++
		r.waits++
		r.cfg.Stats.Declined.Add(1)
		if r.failed[key] == nil {
			r.flipped(k) // go on without it
		}
		delete(r.failed, key)
	case d.called:
		d.called = false
	default:
		return // it is in the order
	}
	heap.Push(&s.order, key)
	if s.told == 0 {
		s.told = s.taken
		r.model.Declined(k, s.why(rm))
	}
}

// waitsForRoom reports whether an entry waits for room.
func (r *Reconciler) waitsForRoom(key p4.Key) bool {
	if r.waits == 0 {
		return false
	}
	rm, s := r.share(key)
	return rm != nil && s.waiting[key] != nil
}

// waitNoMore takes an entry out of those that wait, and reports whether it was one.
func (r *Reconciler) waitNoMore(key p4.Key) bool {
	if !r.waitsForRoom(key) {
		return false
	}
	rm, s := r.share(key)
	delete(s.waiting, key)
	rm.waits--
	r.waits--
	if len(s.order) > 2*len(s.waiting)+64 {
		s.order = s.order[:0]
		for key, d := range s.waiting {
			if !d.called {
				s.order = append(s.order, key)
			}
		}
		heap.Init(&s.order)
	}
	return true
}

// admitted is called when an entry is to be inserted: what waits for it may come too.
func (r *Reconciler) admitted(key p4.Key, k p4.Typed) {
	r.take(key, 1)
	if r.waitNoMore(key) {
		r.flipped(k)
		r.wake(key)
	}
}

// Reconsider has all looked at again that waits for room: the model lets some owner have more.
func (r *Reconciler) Reconsider() {
	for _, rm := range r.rooms {
		rm.freed = true
	}
}

// callWaiting marks what waits and has room now, in the order of keys; those come first whose
// owner has the least. A job that is prepared is of leaves alone.
func (r *Reconciler) callWaiting() {
	if r.waits == 0 {
		return
	}
	for _, rm := range r.rooms {
		if rm.waits > 0 && rm.freed && (r.jobs == 0 || rm.level == p4.LevelLeaf) {
			rm.freed = r.callFor(rm)
		}
	}
}

// callFor is callWaiting for one table, and reports whether there is more to call.
func (r *Reconciler) callFor(rm *room) bool {
	called := map[*share]int{} // of those of which something waits
	for _, s := range rm.shares {
		if _, waits := s.first(); waits {
			called[s] = 0
		}
	}
	for n := range maxBatch {
		var next *share
		var lowest p4.Key
		for s := range called {
			key, ok := s.first()
			if !ok || !rm.admits(s.taken+called[s], rm.left()-n, r.model.Most(s.waiting[key].what)) {
				continue
			}
			if next == nil || cmp.Or(s.taken+called[s]-next.taken-called[next], cmp.Compare(key, lowest)) < 0 {
				next, lowest = s, key
			}
		}
		if next == nil {
			return false
		}
		heap.Pop(&next.order)
		d := next.waiting[lowest]
		d.called = true
		called[next]++
		r.Mark(d.what)
	}
	return true
}

// first is the first key that waits and is not called, false if there is none.
func (s *share) first() (p4.Key, bool) {
	for len(s.order) > 0 {
		key := s.order[0]
		if d := s.waiting[key]; d != nil && !d.called {
			return key, true
		}
		heap.Pop(&s.order)
	}
	return "", false
}

// why says why entries of a share wait.
func (s *share) why(rm *room) string {
	return fmt.Sprintf("waits for room: it has %d entries of %s, where all have %d of %d", s.taken, rm.table, rm.taken,
		rm.size)
}

// waitingFor is what stands in the way of an entry that waits for room, nil if it does not.
func (r *Reconciler) waitingFor(key p4.Key) *Failure {
	if !r.waitsForRoom(key) {
		return nil
	}
	rm, s := r.share(key)
	return &Failure{What: s.waiting[key].what, Err: errors.New(s.why(rm))}
}

// Waiting is entries of a table that wait, all of one bridge or VRF.
type Waiting struct {
	Example p4.Typed
	Entries int
	Taken   int // entries that it has there
	Table   string
}

// Waiting yields of what entries wait for room, and how many, by owner and table.
func (r *Reconciler) Waiting() iter.Seq[Waiting] {
	return func(yield func(Waiting) bool) {
		for _, rm := range r.rooms {
			for _, s := range rm.shares {
				for _, d := range s.waiting {
					if !yield(Waiting{d.what, len(s.waiting), s.taken, rm.table}) {
						return
					}
					break
				}
			}
		}
	}
}

// WaitingEntries yields all entries that wait for room.
func (r *Reconciler) WaitingEntries() iter.Seq2[p4.Key, *Failure] {
	return func(yield func(p4.Key, *Failure) bool) {
		for _, rm := range r.rooms {
			for _, s := range rm.shares {
				err := errors.New(s.why(rm))
				for key, d := range s.waiting {
					if !yield(key, &Failure{What: d.what, Err: err}) {
						return
					}
				}
			}
		}
	}
}

// keyHeap is of container/heap, the lowest key first.
type keyHeap []p4.Key

func (k keyHeap) Len() int           { return len(k) }
func (k keyHeap) Less(i, j int) bool { return k[i] < k[j] }
func (k keyHeap) Swap(i, j int)      { k[i], k[j] = k[j], k[i] }
func (k *keyHeap) Push(x any)        { *k = append(*k, x.(p4.Key)) }
func (k *keyHeap) Pop() any {
	last := len(*k) - 1
	x := (*k)[last]
	(*k)[last] = ""
	*k = (*k)[:last]
	return x
}
