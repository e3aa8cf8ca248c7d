package controller

import (
	"time"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/p4"
)

// targetChanged takes an event of the P4Runtime client.
func (l *loop) targetChanged(e p4rt.Event) {
	switch e := e.(type) {
	case p4rt.Up:
		l.target.Up(e)
	case p4rt.Down:
		l.refusedPorts = nil // what it said of ports that are down is the best that is known
		l.target.Lost("the target is not connected: " + e.Err.Error())
	case p4rt.NotPrimary:
		l.target.Lost("another controller is primary: " + e.Primary.String())
	case p4rt.PortStates:
		l.refusedPorts = e.Refused
		l.downPortsChanged(e.Down)
	case p4rt.Digest:
		l.digestArrived(e)
	case p4rt.Idle:
		l.idleArrived(e)
	case p4rt.PacketIn:
		l.packetArrived(e)
	}
}

// mark says that the entry which k names may have to change.
func (l *loop) mark(k entry) {
	key := l.target.Mark(k)
	l.noteBehind(k)
	if l.deleting != nil {
		l.deleting.keys[key] = k
	}
}

// idleTick is how often the loop looks at what only time changes.
const idleTick = 10 * time.Second

// flush brings what changed on its way, if it can go now, and says when it wants
// to be called again at the latest.
func (l *loop) flush() time.Duration {
	next := min(l.carrierDue(), l.tendAges()) // first: what they end is to be written too
	l.doubtUplinks()
	l.doubtNextHops()
	if in, waiting := l.regroupDue(); waiting {
		next = min(next, in)
	}
	if in, waiting := l.groupsDue(); waiting {
		next = min(next, in)
	}
	next = min(next, l.target.Flush(), idleTick)
	if len(l.nextHops.dirty) > 0 {
		next = 0 // slots went first
	}
	l.sweepLeaving()
	if in, waiting := l.deferralDue(); waiting {
		next = min(next, max(in, time.Millisecond))
	}
	return next
}

// Settle is of reconcile.Model.
func (l *loop) Settle() {
	l.settle()
	l.settleKernel()
	l.flushAdverts()
	l.endDeferral()
}

// settle computes what lies between inputs and entries: SVIs, attachments, static
// MACs, the VTEPs to follow.
func (l *loop) settle() {
	l.settleSVIs()
	for n := range l.dirtyPorts {
		l.attach(l.ports[n])
	}
	clear(l.dirtyPorts)
	for index := range l.dirtyStaticMACs {
		if b := l.bridges[index]; b != nil {
			l.placeStaticMACs(b)
			l.markExpected(b)
		}
	}
	clear(l.dirtyStaticMACs)
	l.numberWaiting()
	l.settleExpected()
	l.settleRemoteVTEPs()
	l.settleVacant()
	l.settleExpected() // those for whom there is room now
	l.settleNextHops()
}

// Desired is of reconcile.Model. It computes the entry that k names from the loop's
// state, nil if there shall be none.
func (l *loop) Desired(k entry) entry { return l.tables[k.Type()].desired(l, k) }

// All is of reconcile.Model: what a target that lost its entries needs.
func (l *loop) All() {
	for i := range l.tables {
		l.tables[i].all(l)
	}
	l.markAllAdverts()
	l.dirtyKernel = true
}

// Gone is of reconcile.Model: ids that only the entry kept are free.
func (l *loop) Gone(k entry) { l.tables[k.Type()].gone(l, k) }

// Flipped is of reconcile.Model.
func (l *loop) Flipped(k entry) { l.tables[k.Type()].flipped(l, k) }

// held reports whether the target holds the entry that k names.
func (l *loop) held(k entry) bool {
	_, ok := l.target.Value(k.Key())
	return ok
}

// markFloods marks the groups that use a tunnel if the target takes it.
func (l *loop) markFloods(tunnel uint16) {
	if t := l.tunnelByID[tunnel]; t != nil {
		for b := range t.floods {
			l.mark(p4.Group{ID: b.Index})
		}
	}
}
