package slowpath

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/p4evpn/p4evpn/controller/internal/rtnetlink"
)

// target is a namespace and what is to become of it.
type target struct {
	name    string // of the VRF
	plan    plan
	gone    bool // not wanted any more
	live    *vrf // nil = not open
	dirty   bool
	changed bool          // the plan was not tried yet
	reread  time.Time     // when to read the neighbours again; zero = no need
	at      time.Time     // not before
	pause   time.Duration // last back-off; 0 = the last attempt worked
	said    string        // error text of the last attempt
	err     error         // of the VRF in the last attempt
	svis    map[uint16]error
	subnets map[uint16][]netip.Prefix // by bridge
}

// loop owns all state but what Slowpath guards by its mutexes.
type loop struct {
	s       *Slowpath
	targets map[string]*target // by VRF name
	at      map[uint16]*target // by bridge, of SVIs in place
	hosts   map[place]map[netip.Addr]*known
	queue   []*known // hosts whose state may have to be published
	remotes remotes
	probes  map[host]struct{} // of SVIs that are not in place yet
	first   bool              // Set was not seen yet
}

// run works until ctx ends.
func (l *loop) run(ctx context.Context) {
	defer func() {
		for _, t := range l.targets {
			l.close(t)
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(time.Until(l.look()))
		event, out := l.next()
		select {
		case <-ctx.Done():
			return
		case <-l.s.wake:
		case <-timer.C:
		case out <- event:
			l.published(event)
		}
	}
}

func newLoop(s *Slowpath) *loop {
	return &loop{
		s: s, first: true,
		targets: map[string]*target{},
		at:      map[uint16]*target{},
		hosts:   map[place]map[netip.Addr]*known{},
		probes:  map[host]struct{}{},
		remotes: remotes{
			dirty:  map[host]struct{}{},
			failed: map[host]struct{}{},
			errs:   map[uint16]error{},
		},
	}
}

// look takes what arrived, does at most one piece of the long work, so that
// events are not late, and gives the time to look again.
func (l *loop) look() time.Time {
	s := l.s
	s.mu.Lock()
	news, wanted, probes, forgotten, converged := s.news, s.wanted, s.probes, s.forgotten, s.converged
	s.news, s.probes, s.forgotten = false, map[host]struct{}{}, map[host]struct{}{}
	maps.Copy(l.remotes.dirty, s.dirty)
	clear(s.dirty)
	s.mu.Unlock()

	if news {
		l.want(wanted)
	}
	for _, t := range l.targets {
		if t.live != nil {
			l.take(t, t.live.takeNews())
		}
	}
	now := time.Now()
	if t := l.due(now); t != nil {
		l.converge(t, now)
	}
	for h := range forgotten {
		l.forgetHost(h)
	}
	maps.Copy(l.probes, probes)
	for h := range l.probes {
		if l.at[h.bridge] != nil || !l.planned(h.bridge) {
			l.probe(h)
			delete(l.probes, h)
		}
	}
	if converged && !l.remotes.swept {
		l.sweepRemotes()
	}
	next := l.installRemotes(now)
	for _, t := range l.targets {
		if t.dirty {
			next = earliest(next, t.at)
		}
		if !t.reread.IsZero() {
			next = earliest(next, l.reread(t, now))
		}
	}
	return next
}

// planned reports whether a bridge is to have an SVI.
func (l *loop) planned(bridge uint16) bool {
	for _, t := range l.targets {
		if !t.gone && slices.ContainsFunc(t.plan.SVIs, func(s SVI) bool { return s.Bridge == bridge }) {
			return true
		}
	}
	return false
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// due gives a target that has work to do, those that are to go first: their
// names, bridges and ids may be wanted elsewhere.
func (l *loop) due(now time.Time) *target {
	var found *target
	for _, t := range l.targets {
		if !t.dirty || t.at.After(now) {
			continue
		}
		if t.gone {
			return t
		}
		if found == nil || t.name < found.name {
			found = t
		}
	}
	return found
}

// want takes over what Set gave.
func (l *loop) want(wanted map[string]plan) {
	for name, p := range wanted {
		t := l.targets[name]
		if t == nil {
			t = &target{name: name}
			l.targets[name] = t
		} else if !t.gone && reflect.DeepEqual(t.plan, p) {
			continue
		}
		if t.live != nil && t.live.id != p.ID {
			l.close(t)
		}
		t.plan, t.gone = p, false
		t.again()
	}
	for name, t := range l.targets {
		if _, ok := wanted[name]; !ok && !t.gone {
			t.gone = true
			t.again()
		}
	}
	if l.first {
		l.first = false
		l.leftovers()
	}
	for _, t := range l.targets {
		l.report(t)
	}
}

// again asks for a convergence now, whatever failed before.
func (t *target) again() { t.dirty, t.changed, t.at, t.pause = true, true, time.Time{}, 0 }

// leftovers finds the namespaces of earlier processes that nobody wants.
func (l *loop) leftovers() {
	prefix := l.s.cfg.Prefix
	names, err := namespaces(prefix)
	if err != nil {
		l.s.log.Warn("slowpath: namespaces that an earlier process left are not removed", "err", err)
	}
	for _, name := range names {
		if name = name[len(prefix):]; l.targets[name] == nil {
			l.targets[name] = &target{name: name, gone: true, dirty: true}
		}
	}
}

// take takes over what a namespace's kernel announced.
func (l *loop) take(t *target, n rtnetlink.News) {
	if n.Links || n.All {
		t.dirty = true
	}
	if n.All {
		l.s.log.Debug("slowpath: too much is new in a VRF, reading all of it", "vrf", t.name)
		t.reread = time.Now()
	}
	if len(n.Neighbours) == 0 {
		return
	}
	bridges := map[int]uint16{}
	for bridge, link := range t.live.links {
		bridges[link] = bridge
	}
	for key, e := range n.Neighbours {
		if bridge := bridges[key.Link]; bridge != 0 {
			l.observe(t, host{bridge, key.IP}, e)
		}
	}
}

// converge makes one target what it should be, or prepares another attempt.
func (l *loop) converge(t *target, now time.Time) {
	t.dirty = false
	switch {
	case t.gone:
		t.err = l.remove(t)
	case t.plan.err == nil:
		l.build(t)
	}
	t.changed = false
	said := t.failure()
	if said != "" {
		t.pause = min(max(l.s.cfg.Retry, 2*t.pause), 64*l.s.cfg.Retry)
		t.dirty, t.at = true, now.Add(t.pause)
	} else {
		t.pause, t.at = 0, time.Time{}
	}
	if said != "" && said != t.said {
		l.s.log.Warn("slowpath: a VRF is not as it should be, trying again", "vrf", t.name, "err", said)
	} else if said == "" && t.said != "" {
		l.s.log.Info("slowpath: a VRF is as it should be again", "vrf", t.name)
	}
	t.said = said
	if t.gone && (t.err == nil || errors.Is(t.err, errForeign)) {
		delete(l.targets, t.name)
	}
	l.report(t)
}

// failure is what is wrong after an attempt, in one text.
func (t *target) failure() string {
	err := t.err
	for _, s := range t.plan.SVIs {
		if e := t.svis[s.Bridge]; e != nil {
			err = errors.Join(err, fmt.Errorf("SVI %s of bridge %d: %w", s.Name, s.Bridge, e))
		}
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

// errLost makes another attempt, since things may have happened unheard.
var errLost = errors.New("the connection to the kernel was lost and is made anew")

// build opens the target's namespace and converges it.
func (l *loop) build(t *target) {
	t.err, t.svis = nil, nil
	if t.live == nil {
		if t.live, t.err = l.s.openVRF(t.plan.ID, t.plan.Name); t.err != nil {
			return
		}
	}
	if t.live.lost.Load() {
		t.err = cmp.Or(t.live.connect(), errLost)
		t.reread = time.Now()
		return
	}
	before := maps.Clone(t.live.links)
	t.svis, t.err = t.live.converge(t.plan)
	for bridge, link := range before {
		if t.live.links[bridge] != link {
			l.left(t, bridge)
		}
	}
	t.subnets = map[uint16][]netip.Prefix{}
	for _, s := range t.plan.SVIs {
		t.subnets[s.Bridge] = s.Addresses
	}
	for bridge, link := range t.live.links {
		if bridge != 0 && (t.changed || before[bridge] != link) {
			l.at[bridge] = t
			l.resync(t, bridge)
		}
	}
}

// left forgets the neighbours of an SVI that is not in place any more.
func (l *loop) left(t *target, bridge uint16) {
	if l.at[bridge] == t {
		delete(l.at, bridge)
	}
	l.forget(place{t.live.id, bridge})
}

// close lets go of a target's namespace, which stays.
func (l *loop) close(t *target) {
	if t.live == nil {
		return
	}
	for bridge := range t.live.links {
		l.left(t, bridge)
	}
	t.live.close()
	t.live, t.reread = nil, time.Time{}
}

// remove removes a target's namespace.
func (l *loop) remove(t *target) error {
	l.close(t)
	err := removeNamespace(l.s.cfg.Prefix + t.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// report publishes the status of one target, unless Set has just given another
// plan: then that is looked at first.
func (l *loop) report(t *target) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if t.gone || l.s.news {
		return
	}
	l.s.status[t.name] = t.plan.status(func(bridge uint16) error {
		err := cmp.Or(t.err, t.svis[bridge], l.remotes.errs[bridge])
		if bridge == 0 {
			err = t.err
		}
		if err == nil && !t.placed(bridge) {
			err = errPending
		}
		return err
	})
}

// placed reports whether a tap is as the plan wants it.
func (t *target) placed(bridge uint16) bool {
	if t.live == nil || t.changed {
		return false
	}
	_, ok := t.live.links[bridge]
	return ok
}
