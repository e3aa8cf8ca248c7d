package controller

import (
	"github.com/p4evpn/p4evpn/p4"
)

// grouping is how a target takes groups of an action selector.
type grouping struct {
	p4.Selector
	ids ids
	// refused: the target did not take an entry that groups want, though its P4Info says that
	// it would. What it has stays; there is no group more.
	refused  bool
	doubtful map[p4.Key]struct{} // entries that it may have refused
}

func newGrouping(s p4.Selector) grouping {
	return grouping{Selector: s, ids: ids{first: 1, last: 65535}, doubtful: map[p4.Key]struct{}{}}
}

// mayAdd reports whether there may be one group more than there are, and one entry more that
// refers to one.
func (g *grouping) mayAdd(groups, entries int) bool {
	return !g.refused && g.Group >= p4.Slots && (groups+1)*p4.Slots <= g.Members && entries < g.Entries
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
		if !g.refused {
			g.refused = true
			l.log.Warn("the target does not take one more group: there is one way from now on where there was none",
				"of", groups, "err", f.Err)
		}
	}
	clear(g.doubtful)
	return refused
}
