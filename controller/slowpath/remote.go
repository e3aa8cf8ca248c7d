package slowpath

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/controller/internal/rtnetlink"
)

// remotes are the hosts behind VTEPs that are still to be installed or removed.
type remotes struct {
	dirty  map[host]struct{}
	failed map[host]struct{} // to try again
	at     time.Time         // when
	errs   map[uint16]error  // the last failure of each bridge
	swept  bool              // what an earlier process installed is gone
}

// remotesAtOnce bounds how long installing keeps the loop from other work.
const remotesAtOnce = 512

// checkRemote compares an entry with what SetRemote asked for. The kernel drops
// entries when an interface goes down or gets another MAC address.
func (l *loop) checkRemote(h host, e rtnetlink.Neighbour) {
	l.s.mu.Lock()
	mac, wanted := l.s.remotes[h.bridge][h.ip]
	l.s.mu.Unlock()
	installed := e.State != 0 && e.Flags&unix.NTF_EXT_LEARNED != 0
	switch {
	case wanted && !(installed && e.MAC == mac), installed && !wanted && l.remotes.swept:
		l.remotes.dirty[h] = struct{}{}
	}
}

// installRemotes works on some dirty hosts and gives the time to go on.
func (l *loop) installRemotes(now time.Time) time.Time {
	r := &l.remotes
	if len(r.failed) > 0 && !now.Before(r.at) {
		for h := range r.failed {
			r.dirty[h] = struct{}{}
		}
		clear(r.failed)
		l.clearErrs()
	}
	left := remotesAtOnce
	for h := range r.dirty {
		if left--; left < 0 {
			return now
		}
		delete(r.dirty, h)
		if err := l.installRemote(h); err != nil {
			if len(r.failed) == 0 {
				r.at = now.Add(4 * l.s.cfg.Retry)
				l.s.log.Warn("slowpath: a host behind a VTEP is not installed, trying again", "bridge", h.bridge, "address", h.ip,
					"err", err)
			}
			r.failed[h] = struct{}{}
			r.errs[h.bridge] = fmt.Errorf("host %s behind a VTEP: %w", h.ip, err)
			l.reportBridge(h.bridge)
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
func (l *loop) installRemote(h host) error {
	t := l.at[h.bridge]
	if t == nil {
		return nil
	}
	l.s.mu.Lock()
	mac, wanted := l.s.remotes[h.bridge][h.ip]
	l.s.mu.Unlock()
	key := rtnetlink.NeighbourKey{Link: t.live.links[h.bridge], IP: h.ip}
	if wanted {
		return t.live.setRemote(key, mac)
	}
	return t.live.removeRemote(key)
}
