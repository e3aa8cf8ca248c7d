package slowpath

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// remotes are the hosts behind VTEPs that are still to be installed or removed.
type remotes struct {
	dirty  map[neighbour]struct{}
	failed map[neighbour]struct{} // to try again
	at     time.Time              // when
	errs   map[uint16]error       // the last failure of each bridge
	swept  bool                   // what an earlier process installed is gone
}

// remotesAtOnce bounds how long installing keeps the loop from other work.
const remotesAtOnce = 512

// checkRemote compares an entry with what SetRemote asked for. The kernel drops
// entries when an interface goes down or gets another MAC address.
func (l *loop) checkRemote(n neighbour, e entry) {
	l.s.mu.Lock()
	mac, wanted := l.s.remotes[n.bridge][n.ip]
	l.s.mu.Unlock()
	installed := e.state != 0 && e.flags&unix.NTF_EXT_LEARNED != 0
	switch {
	case wanted && !(installed && e.mac == mac), installed && !wanted && l.remotes.swept:
		l.remotes.dirty[n] = struct{}{}
	}
}

// installRemotes works on some dirty hosts and gives the time to go on.
func (l *loop) installRemotes(now time.Time) time.Time {
	r := &l.remotes
	if len(r.failed) > 0 && !now.Before(r.at) {
		for n := range r.failed {
			r.dirty[n] = struct{}{}
		}
		clear(r.failed)
		l.clearErrs()
	}
	left := remotesAtOnce
	for n := range r.dirty {
		if left--; left < 0 {
			return now
		}
		delete(r.dirty, n)
		if err := l.installRemote(n); err != nil {
			if len(r.failed) == 0 {
				r.at = now.Add(4 * l.s.cfg.Retry)
				l.s.log.Warn("slowpath: a host behind a VTEP is not installed, trying again", "bridge", n.bridge, "address", n.ip, "err", err)
			}
			r.failed[n] = struct{}{}
			r.errs[n.bridge] = fmt.Errorf("host %s behind a VTEP: %w", n.ip, err)
			l.reportBridge(n.bridge)
		}
	}
	next := now.Add(time.Hour)
	if len(r.failed) > 0 {
		next = earliest(next, r.at)
	}
	return next
}

func (l *loop) clearErrs() {
	for bridge := range l.remotes.errs {
		delete(l.remotes.errs, bridge)
		l.reportBridge(bridge)
	}
}

func (l *loop) reportBridge(bridge uint16) {
	if t := l.at[bridge]; t != nil {
		l.report(t)
	}
}

// sweepRemotes removes, once, what an earlier process installed and nobody has
// asked for since.
func (l *loop) sweepRemotes() {
	l.remotes.swept = true
	for bridge, t := range l.at {
		l.resync(t, bridge)
	}
}

// installRemote installs or removes one host. That of an SVI which is not in
// place is looked at again when it is.
func (l *loop) installRemote(n neighbour) error {
	t := l.at[n.bridge]
	if t == nil {
		return nil
	}
	l.s.mu.Lock()
	mac, wanted := l.s.remotes[n.bridge][n.ip]
	l.s.mu.Unlock()
	h := host{t.live.links[n.bridge], n.ip}
	if wanted {
		return t.live.setRemote(h, mac)
	}
	return t.live.removeRemote(h)
}
