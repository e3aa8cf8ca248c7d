package p4rtserver

import (
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// maxIdleEntries bounds one notification, so that it stays well below the 4 MB
// that gRPC clients accept.
const maxIdleEntries = 4096

// idleScan remembers the last look for idle entries.
type idleScan struct {
	forwarding *Forwarding
	at         time.Time
}

// scanIdle notifies the entries whose idle timeout passed since the last scan,
// and every idleRepeat after that (9.1.8, 16.4). An entry that was hit since
// starts afresh.
func (s *Server) scanIdle(last *idleScan, f *Forwarding, now time.Time) {
	if last.forwarding != f {
		*last = idleScan{forwarding: f, at: now}
		return
	}
	step := now.Sub(last.at)
	if step < idleScanInterval {
		return
	}
	last.at = now
	for _, t := range f.tables {
		if t.timeout {
			s.scanTable(t, step, now)
		}
	}
}

func (s *Server) scanTable(t *table, step time.Duration, now time.Time) {
	var idle []*p4v1.TableEntry
	t.entries.Expired(func(e pipeline.Entry) bool {
		if !notificationDue(time.Duration(e.SinceHitNs), time.Duration(e.TimeoutNs), step) {
			return true
		}
		te := t.keyMessage(&e)
		te.IdleTimeoutNs = e.TimeoutNs
		unpackMetadata(te, e.Metadata)
		if idle = append(idle, te); len(idle) == maxIdleEntries {
			s.notifyIdle(idle, now)
			idle = nil
		}
		return true
	})
	if len(idle) > 0 {
		s.notifyIdle(idle, now)
	}
}

// notificationDue reports whether an entry that was idle for since reached its
// timeout, or a repetition of it, within the last step.
func notificationDue(since, timeout, step time.Duration) bool {
	over := since - timeout
	if over < 0 {
		return false
	}
	before := over - step
	return before < 0 || over/idleRepeat != before/idleRepeat
}

func (s *Server) notifyIdle(entries []*p4v1.TableEntry, now time.Time) {
	m := &p4v1.IdleTimeoutNotification{TableEntry: entries, Timestamp: now.UnixNano()}
	if s.arbiter.toPrimaries(&p4v1.StreamMessageResponse{
		Update: &p4v1.StreamMessageResponse_IdleTimeoutNotification{IdleTimeoutNotification: m},
	}, messageSize*len(entries)) {
		s.counters.idle.Add(uint64(len(entries)))
	} else {
		s.counters.idleDropped.Add(uint64(len(entries)))
	}
}
