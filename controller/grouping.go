package controller

import (
	"time"

	"github.com/p4evpn/p4evpn/p4"
)

// grouping is how a target takes groups of an action selector.
type grouping struct {
	p4.Selector
	ids ids
	// refused: the target did not take an entry that groups want, though its P4Info says that
	// it would. What it has stays; there is no group more for a while.
	refused  bool
	doubtful map[p4.Key]struct{} // entries that it may have refused
	// without: somebody goes without a group though it has several ways. It asks for one once
	// more, since a full target has room some day: when, or when it did so last, and how long
	// that was put off.
	without bool
	again   time.Time
	pause   time.Duration
}

// The shortest and the longest pause until a group is asked for again, which costs a target
// that refuses it up to 66 writes.
const (
	groupPause     = 10 * time.Second
	groupPauseMost = 5 * time.Minute
)

func newGrouping(s p4.Selector) grouping {
	return grouping{Selector: s, ids: ids{first: 1, last: 65535}, doubtful: map[p4.Key]struct{}{}}
}

// offered reports whether the target has groups as we want them.
func (g *grouping) offered() bool {
	return g.Group >= p4.Slots && g.Members >= p4.Slots && g.Entries > 0
}

// mayAdd reports whether there may be one group more than there are, and one entry more that
// refers to one.
func (g *grouping) mayAdd(groups, entries int) bool {
	return !g.refused && g.offered() && (groups+1)*p4.Slots <= g.Members && entries < g.Entries
}

// goWithout is called for who goes without a group though it has several ways.
func (g *grouping) goWithout(now time.Time) {
	if g.without {
		return
	}
	if now.Sub(g.again) > g.pause { // it went well the last time
		g.pause = 0
	}
	g.without, g.pause = true, min(max(2*g.pause, groupPause), groupPauseMost)
	g.again = now.Add(g.pause)
}

// groupsDue has who goes without a group ask for one when it is time, and says when it is
// the next time, if it is to be called again.
func (l *loop) groupsDue() (in time.Duration, waiting bool) {
	uplinks, nextHops, now := &l.uplinkGroups.grouping, &l.nextHops.grouping, l.now()
	if uplinks.due(now) {
		l.askForUplinks()
	}
	if nextHops.due(now) {
		l.askForNextHops()
	}
	return min(uplinks.dueIn(now), nextHops.dueIn(now)), uplinks.without || nextHops.without
}

// due reports whether it is time to ask for groups again, and lets it be done.
func (g *grouping) due(now time.Time) bool {
	if !g.without || g.again.After(now) {
		return false
	}
	g.without, g.refused = false, false
	return true
}

// dueIn is how long it is until then; who has what it wants does not ask.
func (g *grouping) dueIn(now time.Time) time.Duration {
	if !g.without {
		return groupPauseMost
	}
	return g.again.Sub(now)
}

// flipped is called when the target begins or ceases to refuse an entry that groups want, and
// before it is known why.
func (g *grouping) flipped(k entry) { g.doubtful[k.Key()] = struct{}{} }

// doubts gives the wanted entries that the target refused, of which nobody has to know yet. That
// it keeps one which nobody wants says nothing.
func (l *loop) doubts(g *grouping, groups string) (refused []entry) {
	for key := range g.doubtful {
		f := l.target.Failure(key)
		if f == nil || !f.Refused() || l.Desired(f.What) == nil {
			continue
		}
		refused = append(refused, f.What)
		g.goWithout(l.now())
		if !g.refused {
			g.refused = true
			l.log.Warn("the target does not take one more group: there is one way where there was none, for now",
				"of", groups, "again_in", g.pause, "err", f.Err)
		}
	}
	clear(g.doubtful)
	return refused
}
