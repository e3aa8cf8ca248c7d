package underlay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/controller/internal/rtnetlink"
)

// vtep is the state of one tracked VTEP.
type vtep struct {
	hops      []hop  // next hops of its route
	reason    string // why there is no route
	current   Change
	published Change // last one received from Events; zero = none yet
	queued    bool   // stands in loop.queue
	flaps     flaps
}

// ask is when a hop in use is asked for next.
type ask struct {
	at    time.Time
	pause time.Duration // last back-off; 0 while the hop answers
}

// loop owns all state but what Resolver guards by its mutex.
type loop struct {
	r *Resolver
	k *kernel

	uplinks    map[int]uplink
	down       map[netip.Addr]string       // next hops that are not to be used, and why
	neighbours map[hop]rtnetlink.Neighbour // of uplinks only
	vteps      map[netip.Addr]*vtep
	asks       map[hop]ask              // one for each hop in use
	queue      []netip.Addr             // VTEPs whose current state may have to be published
	held       map[netip.Addr]time.Time // VTEPs that are reached and do not count yet, until when
	resync     bool                     // the last attempt to read everything failed: again
}

func newLoop(r *Resolver, k *kernel) *loop {
	return &loop{
		r: r, k: k,
		down:       map[netip.Addr]string{},
		neighbours: map[hop]rtnetlink.Neighbour{},
		vteps:      map[netip.Addr]*vtep{},
		asks:       map[hop]ask{},
		held:       map[netip.Addr]time.Time{},
		resync:     true,
	}
}

// run works until ctx ends (nil) or the netlink reader is lost (its error).
func (l *loop) run(ctx context.Context, lost <-chan error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		l.look()
		timer.Reset(time.Until(earlier(l.ask(time.Now()), l.release(time.Now()))))
		change, out := l.next()
		select {
		case <-ctx.Done():
			return nil
		case err := <-lost:
			return fmt.Errorf("underlay: %w", err)
		case <-l.r.wake:
		case <-timer.C:
		case out <- change:
			l.vteps[change.VTEP].published = change
		}
	}
}

// look takes what arrived since the last look and brings all state up to date.
func (l *loop) look() {
	l.r.mu.Lock()
	arrivals, news, hops := l.r.arrivals, l.r.news, l.r.hops
	l.r.arrivals, l.r.news, l.r.hops = map[netip.Addr]bool{}, rtnetlink.News{}, map[netip.Addr]string{}
	wanted := map[netip.Addr]bool{}
	for a := range arrivals {
		wanted[a] = l.r.tracked[a]
	}
	l.r.mu.Unlock()

	if l.resync || news.All || (news.Links && l.linksChanged()) {
		if l.readAll(); !l.resync {
			news = rtnetlink.News{} // older than what was just read
		}
	}
	dirty := l.arrive(arrivals, wanted)
	l.nextHopsChanged(hops, dirty)
	l.neighboursChanged(news.Neighbours, dirty)
	l.routesChanged(news.Routes, dirty)
	for a := range dirty {
		l.evaluate(a)
	}
	if len(dirty) > 0 {
		l.syncAsks()
	}
}

// arrive makes and forgets VTEPs as the caller wants; new ones are dirty.
func (l *loop) arrive(arrivals, wanted map[netip.Addr]bool) map[netip.Addr]bool {
	dirty := map[netip.Addr]bool{}
	for a, untracked := range arrivals {
		if untracked && l.vteps[a] != nil {
			delete(l.vteps, a)
			delete(l.held, a)
			dirty[a] = true
		}
		if wanted[a] && l.vteps[a] == nil {
			v := &vtep{}
			v.hops, v.reason = l.k.route(a, l.r.cfg.Routes)
			l.vteps[a] = v
			dirty[a] = true
		}
	}
	return dirty
}

// nextHopsChanged notes which next hops may be used, and marks the VTEPs that use one of them.
func (l *loop) nextHopsChanged(hops map[netip.Addr]string, dirty map[netip.Addr]bool) {
	if len(hops) == 0 {
		return
	}
	for address, why := range hops {
		if why == "" {
			delete(l.down, address)
		} else {
			l.down[address] = why
		}
	}
	l.markUsers(dirty, func(h hop) bool { _, changed := hops[h.IP]; return changed })
}

// markUsers marks the VTEPs with a next hop among some.
func (l *loop) markUsers(dirty map[netip.Addr]bool, of func(hop) bool) {
	for a, v := range l.vteps {
		if slices.ContainsFunc(v.hops, of) {
			dirty[a] = true
		}
	}
}

// linksChanged reports whether an uplink differs from what we know of it.
// Most link notifications are of other devices or of statistics.
func (l *loop) linksChanged() bool {
	now, err := l.k.uplinks(l.r.cfg.Uplinks)
	if err != nil || len(now) != len(l.uplinks) {
		return true
	}
	for i, u := range now {
		if l.uplinks[i] != u {
			return true
		}
	}
	return false
}

// readAll reads links, neighbours and the routes of all VTEPs anew. After an
// error the old state stands and the reading is repeated soon.
func (l *loop) readAll() {
	l.resync = true
	uplinks, err := l.k.uplinks(l.r.cfg.Uplinks)
	if err != nil {
		l.r.log.Warn("underlay: reading uplinks failed, trying again", "err", err)
		return
	}
	neighbours := map[hop]rtnetlink.Neighbour{}
	for i := range uplinks {
		list, err := l.k.Neighbours(i)
		if err != nil {
			if !errors.Is(err, netlink.ErrDumpInterrupted) {
				l.r.log.Warn("underlay: reading neighbours failed, trying again", "uplink", uplinks[i].name, "err", err)
			}
			return
		}
		maps.Copy(neighbours, list)
	}
	l.resync = false
	l.uplinks, l.neighbours = uplinks, neighbours
	for a, v := range l.vteps {
		v.hops, v.reason = l.k.route(a, l.r.cfg.Routes)
		l.evaluate(a)
	}
	l.syncAsks()
}

// neighboursChanged applies news of neighbours and marks the VTEPs that use
// one of them.
func (l *loop) neighboursChanged(news map[hop]rtnetlink.Neighbour, dirty map[netip.Addr]bool) {
	changed := map[hop]bool{}
	for h, n := range news {
		if _, ours := l.uplinks[h.Link]; !ours || l.neighbours[h] == n {
			continue
		}
		if n.State == 0 {
			delete(l.neighbours, h)
		} else {
			l.neighbours[h] = n
		}
		changed[h] = true
	}
	if len(changed) == 0 {
		return
	}
	l.markUsers(dirty, func(h hop) bool { return changed[h] })
}

// routesChanged looks up again the VTEPs that a changed prefix covers.
func (l *loop) routesChanged(prefixes map[netip.Prefix]struct{}, dirty map[netip.Addr]bool) {
	if len(prefixes) == 0 {
		return
	}
	for a, v := range l.vteps {
		for n := 0; n <= a.BitLen(); n++ {
			p, _ := a.Prefix(n)
			if _, covers := prefixes[p]; covers {
				v.hops, v.reason = l.k.route(a, l.r.cfg.Routes)
				dirty[a] = true
				break
			}
		}
	}
}

// evaluate computes a VTEP's state and queues it.
func (l *loop) evaluate(a netip.Addr) {
	v := l.vteps[a]
	if v == nil {
		return
	}
	c := Change{VTEP: a, Reason: v.reason}
	for _, h := range v.hops {
		u, ours := l.uplinks[h.Link]
		n := l.neighbours[h]
		switch {
		case !ours:
			c.Reason = cmp.Or(c.Reason, fmt.Sprintf("route to %s leaves by a device that is not an uplink", a))
		case !u.up:
			c.Reason = cmp.Or(c.Reason, fmt.Sprintf("uplink %s is down", u.name))
		case l.down[h.IP] != "":
			c.Reason = cmp.Or(c.Reason, fmt.Sprintf("next hop %s on %s: %s", h.IP, u.name, l.down[h.IP]))
		case !usable(n):
			c.Reason = cmp.Or(c.Reason, fmt.Sprintf("next hop %s on %s is not resolved", h.IP, u.name))
		default:
			c.Paths = append(c.Paths, Path{Uplink: u.name, Source: u.mac, Destination: n.MAC, MTU: u.mtu})
		}
	}
	if len(c.Paths) > 0 {
		c.Reason = ""
		slices.SortFunc(c.Paths, Path.Compare)
		c.Paths = slices.Compact(c.Paths)
	} else {
		c.Reason = cmp.Or(c.Reason, fmt.Sprintf("no live next hop to %s", a))
	}
	if until := v.flaps.take(time.Now(), len(c.Paths) > 0); until.IsZero() {
		delete(l.held, a)
	} else {
		l.held[a] = until
		c = Change{VTEP: a, Reason: fmt.Sprintf("%s is reached again, and was lost %d times within %v: it has to stay for %v",
			a, losses, window, stay)}
	}
	v.current = c
	if !v.queued {
		v.queued = true
		l.queue = append(l.queue, a)
	}
}

// next gives the first queued state that differs from the published one, and
// the channel for it, or a nil channel when there is none.
func (l *loop) next() (Change, chan<- Change) {
	for ; len(l.queue) > 0; l.queue = l.queue[1:] {
		v := l.vteps[l.queue[0]]
		if v == nil {
			continue
		}
		if !v.current.Equal(v.published) {
			return v.current, l.r.events
		}
		v.queued = false
	}
	return Change{}, nil
}

// syncAsks keeps one ask for each hop in use. A hop that stopped answering is
// asked at once.
func (l *loop) syncAsks() {
	used := map[hop]bool{}
	for _, v := range l.vteps {
		for _, h := range v.hops {
			if u, ours := l.uplinks[h.Link]; ours && u.up {
				used[h] = true
			}
		}
	}
	for h := range l.asks {
		if !used[h] {
			delete(l.asks, h)
		}
	}
	now := time.Now()
	for h := range used {
		n, a := l.neighbours[h], l.asks[h]
		switch {
		case usable(n) && (a.at.IsZero() || a.pause > 0):
			l.asks[h] = ask{at: now.Add(l.r.cfg.Probe)}
		case !usable(n) && a.pause == 0:
			l.asks[h] = ask{at: now, pause: l.r.cfg.Retry / 2}
		}
	}
}

// ask asks for the hops whose time has come and gives the next such time.
func (l *loop) ask(now time.Time) time.Time {
	next := now.Add(time.Hour)
	if l.resync {
		next = now.Add(rtnetlink.DumpPause)
	}
	for h, a := range l.asks {
		if !a.at.After(now) {
			n := l.neighbours[h]
			if n.State&(nudFixed|unix.NUD_INCOMPLETE) == 0 {
				if err := l.k.use(h); err != nil {
					l.r.log.Warn("underlay: kernel does not resolve a next hop", "uplink", l.uplinks[h.Link].name, "address", h.IP,
						"err", err)
				}
			}
			if usable(n) {
				a.at = now.Add(l.r.cfg.Probe)
			} else {
				a.pause = min(2*a.pause, 16*l.r.cfg.Retry)
				a.at = now.Add(a.pause)
			}
			l.asks[h] = a
		}
		if a.at.Before(next) {
			next = a.at
		}
	}
	return next
}
