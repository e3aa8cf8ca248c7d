package controller

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/p4"
)

// targetChanged takes an event of the P4Runtime client.
func (l *loop) targetChanged(e p4rt.Event) {
	switch e := e.(type) {
	case p4rt.Up:
		l.target.emptied = l.target.emptied || e.Emptied
		l.target.replaced = l.target.replaced || e.Pushed
		l.targetUp()
	case p4rt.Down:
		l.target.refused = nil
		l.targetLost("the target is not connected: " + e.Err.Error())
	case p4rt.NotPrimary:
		l.targetLost("another controller is primary: " + e.Primary.String())
	case p4rt.RefusedPorts:
		l.target.refused = e.Reasons
	case p4rt.Digest:
		l.digestArrived(e)
	case p4rt.Idle:
		l.idleArrived(e)
	case p4rt.PacketIn:
		l.packetArrived(e)
	}
}

// targetLost stops writing. What the target holds is read when it is back.
func (l *loop) targetLost(reason string) {
	t := &l.target
	t.session++
	t.phase, t.reason = phaseDown, reason
	l.answerAudits(view.Audit{}, fmt.Errorf("%w: %s", errNoAudit, reason))
}

// targetUp starts over with a read-back, also of a target that was just given
// the pipeline: a job that was under way may have gone on with the new one.
func (l *loop) targetUp() {
	t := &l.target
	t.session++
	t.phase, t.reason, t.readAt = phaseReading, "its entries are being read", time.Time{}
}

// writeFailed is called when a Write failed as a whole: what it did is only
// known by reading.
func (l *loop) writeFailed(err error) {
	l.stats.errors.Add(1)
	if errors.Is(err, p4rt.ErrNotConnected) || errors.Is(err, p4rt.ErrNotPrimary) {
		l.targetLost(err.Error()) // an Up follows
		return
	}
	l.log.Warn("a write to the target failed, its entries are read again", "err", err)
	l.readAgain(err)
}

func (l *loop) readAgain(err error) {
	t := &l.target
	t.session++
	t.phase, t.reason = phaseReading, "its entries are read again: "+err.Error()
	t.readAt = l.now().Add(l.cfg.Retry)
}

// readBack takes what the target holds.
func (l *loop) readBack(r result) {
	if r.err != nil {
		l.stats.errors.Add(1)
		l.log.Warn("the target's entries could not be read, trying again", "err", r.err)
		l.readAgain(r.err)
		return
	}
	if r.foreign > 0 {
		l.log.Warn("the target holds entities that are not of this program, they are left alone", "entities", r.foreign)
	}
	l.log.Info("read the target's entries", "entries", len(r.entries), "took", l.now().Sub(r.began))
	a := view.Audit{Entries: len(r.entries)}
	if t := &l.target; t.reads > 0 && !t.replaced {
		a = l.compare(r.entries, func(p4.Entry, p4.Entry) {})
		l.reportAudit(a)
	}
	l.target.replaced = false
	l.audits.last = l.now()
	l.adopt(r.entries)
	l.answerAudits(a, nil)
}

// foreign is an entry that the types of package p4 do not cover. It is desired
// by none and goes.
type foreign struct{ entry p4.Entry }

func (f foreign) Key() p4.Key     { return f.entry.Key }
func (f foreign) Entry() p4.Entry { return f.entry }
func (f foreign) Type() p4.Type   { return p4.Types } // none of them
func (f foreign) Level() p4.Level { return p4.LevelBase }
func (f foreign) Refs() []p4.Key  { return nil }

// decoded is the typed value of an entry that the target holds.
func decoded(e p4.Entry) entry {
	if d, err := p4.Decode(e); err == nil {
		return d
	}
	return foreign{e}
}

// adopt starts from what the target holds: ids and learned MACs are taken from
// it, and everything is compared with what is desired.
func (l *loop) adopt(entries []p4.Entry) {
	t := &l.target
	t.phase, t.reason = phaseUp, ""
	t.reads++
	t.holdUntil = time.Time{}
	l.droppedAll()
	clear(t.failed)
	clear(t.waiting)
	l.settle()
	var held [p4.Types + 1][]entry // the last are foreign
	for _, e := range entries {
		l.holdsNow(e.Key, l.record(e.Key), e.Value)
		k := decoded(e)
		held[k.Type()] = append(held[k.Type()], k)
	}
	l.hold.inherit(entries)
	for i := range l.tables { // lower levels first, and hosts after their MACs
		l.tables[i].adopt(l, held[i])
	}
	for _, of := range held {
		for _, k := range of {
			l.mark(k)
		}
	}
	l.markAll()
	l.markAllAdverts()
	l.dirtyKernel = true
}

// adoptTunnels gives tunnels the ids that they have on the target. Those that
// it does not hold keep theirs where that is still free.
func (l *loop) adoptTunnels(held iter.Seq[p4.Tunnel]) {
	l.tunnelIDs = ids{first: l.tunnelIDs.first, last: l.tunnelIDs.last}
	clear(l.tunnelByID)
	for e := range held {
		t := l.tunnel(tunnelKey{e.Source, e.Destination})
		if l.tunnelByID[t.id] != t && l.tunnelIDs.reserve(e.VTEP) {
			t.id = e.VTEP
			l.tunnelByID[t.id] = t
		}
	}
	for _, t := range l.tunnels {
		if l.tunnelByID[t.id] == t {
			continue
		}
		if l.tunnelIDs.reserve(t.id) {
			l.tunnelByID[t.id] = t
		} else {
			l.numberTunnel(t)
		}
	}
}

func (l *loop) adoptAdjacencies(held iter.Seq[p4.Adjacency]) {
	l.adjacencyIDs = ids{first: l.adjacencyIDs.first, last: l.adjacencyIDs.last}
	clear(l.adjacencyByID)
	for e := range held {
		a := l.adjacency(adjacencyKey{e.Source, e.Destination})
		if l.adjacencyByID[a.id] != a && l.adjacencyIDs.reserve(e.ID) {
			a.id = e.ID
			l.adjacencyByID[a.id] = a
		}
	}
	for _, a := range l.adjacencies {
		if l.adjacencyByID[a.id] == a {
			continue
		}
		if !l.adjacencyIDs.reserve(a.id) {
			a.id, _ = l.adjacencyIDs.take()
		}
		l.adjacencyByID[a.id] = a
	}
}

func (l *loop) adoptReplicas(held iter.Seq[p4.Replica]) {
	for _, b := range l.bridges {
		b.ids = ids{first: b.ids.first, last: b.ids.last}
		clear(b.instances)
	}
	for e := range held {
		b, t := l.bridges[e.Bridge], l.tunnelByID[e.VTEP]
		if b == nil || t == nil {
			continue
		}
		rep := b.replica(t.remote)
		if b.instances[rep.instance] != rep && b.ids.reserve(e.Instance) {
			rep.instance = e.Instance
			b.instances[rep.instance] = rep
		}
	}
	for _, b := range l.bridges {
		for _, rep := range b.flood {
			if b.instances[rep.instance] == rep {
				continue
			}
			if !b.ids.reserve(rep.instance) {
				rep.instance, _ = b.ids.take()
			}
			b.instances[rep.instance] = rep
		}
	}
}

// adoptSource takes over a MAC that was learned before we started, unless it
// is known better by now.
func (l *loop) adoptSource(e p4.Source) {
	b, p := l.bridges[e.Bridge], l.ports[e.Port]
	sequence, ok := metadataSequence(e.Metadata)
	if b == nil || p == nil || !ok || e.Verdict != p4.Known || e.IdleTimeout == 0 {
		return
	}
	if _, attached := b.ports[e.Port]; !attached {
		return
	}
	if b.svi != nil && e.MAC == b.svi.mac {
		return
	}
	if s := b.macs[e.MAC]; s == nil || s.local == nil && s.static == 0 {
		l.setLocal(b, p, e.MAC, &local{port: e.Port, sequence: sequence})
	}
}
