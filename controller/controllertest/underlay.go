package controllertest

import (
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/p4evpn/p4evpn/controller/underlay"
)

// queue is how many changes wait before Track and Set wait for the controller.
const queue = 100_000

// Underlay is an underlay without a kernel: it reports for the VTEPs that are
// tracked what a test sets. All methods may be called from any goroutine.
type Underlay struct {
	events chan underlay.Change

	mu      sync.Mutex
	all     []underlay.Path // to a VTEP that is not in known
	tracked map[netip.Addr]bool
	known   map[netip.Addr]underlay.Change
}

// NewUnderlay makes an Underlay that reaches every VTEP by some paths; without any
// it says nothing of a VTEP before Set or Foresee.
func NewUnderlay(paths ...underlay.Path) *Underlay {
	return &Underlay{events: make(chan underlay.Change, queue), all: paths,
		tracked: map[netip.Addr]bool{}, known: map[netip.Addr]underlay.Change{}}
}

func (u *Underlay) Events() <-chan underlay.Change { return u.events }

// Pending gives the number of changes that were reported and not taken.
func (u *Underlay) Pending() int { return len(u.events) }

func (u *Underlay) Track(vtep netip.Addr) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tracked[vtep] = true
	u.report(vtep)
}

func (u *Underlay) Untrack(vtep netip.Addr) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.tracked, vtep)
}

// report hands over what is known of a VTEP.
func (u *Underlay) report(vtep netip.Addr) {
	if c, ok := u.known[vtep]; ok {
		u.events <- c
	} else if len(u.all) > 0 {
		u.events <- underlay.Change{VTEP: vtep, Paths: u.all}
	}
}

// Tracked gives the VTEPs that are tracked, in order.
func (u *Underlay) Tracked() []netip.Addr {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.SortedFunc(maps.Keys(u.tracked), netip.Addr.Compare)
}

// Set changes the paths to a VTEP, or gives the reason why there are none, and
// reports that if the VTEP is tracked.
func (u *Underlay) Set(vtep netip.Addr, reason string, paths ...underlay.Path) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.known[vtep] = underlay.Change{VTEP: vtep, Paths: paths, Reason: reason}
	if u.tracked[vtep] {
		u.report(vtep)
	}
}

// SetAll changes the paths to every VTEP, and reports that for those tracked.
func (u *Underlay) SetAll(paths ...underlay.Path) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all = paths
	clear(u.known)
	for vtep := range u.tracked {
		u.report(vtep)
	}
}

// Foresee changes the paths to a VTEP for when it is tracked; none make it one of
// which nothing is known yet.
func (u *Underlay) Foresee(vtep netip.Addr, paths ...underlay.Path) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(paths) == 0 {
		delete(u.known, vtep)
		return
	}
	u.known[vtep] = underlay.Change{VTEP: vtep, Paths: paths}
}

// Known gives what was set of each VTEP. The map is the caller's.
func (u *Underlay) Known() map[netip.Addr]underlay.Change {
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.known)
}
