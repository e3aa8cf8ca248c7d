package slowpath

import (
	"net/netip"
	"slices"
	"time"

	"github.com/p4evpn/p4evpn/controller/internal/rtnetlink"
	"github.com/p4evpn/p4evpn/ether"
)

// known is a host that was present at some time, as it is and as it was
// published.
type known struct {
	current, published Neighbor
	queued             bool // stands in loop.queue
}

// observe takes the newest state of an entry.
func (l *loop) observe(t *target, h host, e rtnetlink.Neighbour) {
	l.checkRemote(h, e)
	now := Neighbor{VRF: t.live.id, Bridge: h.bridge, IP: h.ip}
	if learned(e) && t.attached(h) {
		now.MAC, now.Present = e.MAC, true
	}
	l.update(now)
}

// attached reports whether an address is of the SVI's subnets, or link-local. The
// kernel also believes hosts that claim others, and remembers those of a subnet
// that was there before.
func (t *target) attached(h host) bool {
	return h.ip.IsLinkLocalUnicast() && h.ip.Is6() ||
		slices.ContainsFunc(t.subnets[h.bridge], func(p netip.Prefix) bool { return p.Contains(h.ip) })
}

// update queues a host's state when it is another one.
func (l *loop) update(now Neighbor) {
	at := place{now.VRF, now.Bridge}
	k := l.hosts[at][now.IP]
	if k == nil {
		if !now.Present {
			return
		}
		if l.hosts[at] == nil {
			l.hosts[at] = map[netip.Addr]*known{}
		}
		absent := Neighbor{VRF: now.VRF, Bridge: now.Bridge, IP: now.IP}
		k = &known{current: absent, published: absent}
		l.hosts[at][now.IP] = k
	}
	k.current = now
	if !k.queued {
		k.queued = true
		l.queue = append(l.queue, k)
	}
}

// next gives the first queued state that differs from the published one, and
// the channel for it, or a nil channel when there is none.
func (l *loop) next() (Neighbor, chan<- Neighbor) {
	for ; len(l.queue) > 0; l.dequeue() {
		if k := l.queue[0]; k.current != k.published {
			return k.current, l.s.events
		}
	}
	return Neighbor{}, nil
}

func (l *loop) published(n Neighbor) {
	l.queue[0].published = n
	l.dequeue()
}

// dequeue drops the head of the queue, and the host when it is gone.
func (l *loop) dequeue() {
	k := l.queue[0]
	l.queue = l.queue[1:]
	k.queued = false
	if at := (place{k.current.VRF, k.current.Bridge}); !k.current.Present && !k.published.Present {
		delete(l.hosts[at], k.current.IP)
		if len(l.hosts[at]) == 0 {
			delete(l.hosts, at)
		}
	}
}

// forget makes all hosts of an SVI absent.
func (l *loop) forget(at place) {
	for ip := range l.hosts[at] {
		l.update(Neighbor{VRF: at.vrf, Bridge: at.bridge, IP: ip})
	}
}

// resync reads all entries of an SVI. An error, such as that of a dump that a
// change interrupted, makes another attempt.
func (l *loop) resync(t *target, bridge uint16) {
	link := t.live.links[bridge]
	entries, err := t.live.conn.Neighbours(link)
	if err != nil {
		l.s.log.Debug("slowpath: reading neighbours failed, trying again", "vrf", t.name, "bridge", bridge, "err", err)
		t.reread = time.Now().Add(rtnetlink.DumpPause)
		return
	}
	for key, e := range entries {
		l.observe(t, host{bridge, key.IP}, e)
	}
	for ip := range l.hosts[place{t.live.id, bridge}] {
		if _, there := entries[rtnetlink.NeighbourKey{Link: link, IP: ip}]; !there {
			l.update(Neighbor{VRF: t.live.id, Bridge: bridge, IP: ip})
		}
	}
	l.s.mu.Lock()
	for ip := range l.s.remotes[bridge] {
		if _, there := entries[rtnetlink.NeighbourKey{Link: link, IP: ip}]; !there {
			l.remotes.dirty[host{bridge, ip}] = struct{}{}
		}
	}
	l.s.mu.Unlock()
}

// reread reads all entries of a namespace when it is time to, and gives the time
// to look again.
func (l *loop) reread(t *target, now time.Time) time.Time {
	if now.Before(t.reread) {
		return t.reread
	}
	t.reread = time.Time{}
	for bridge := range t.live.links {
		if bridge != 0 {
			l.resync(t, bridge)
		}
	}
	return now
}

// probe asks a host.
func (l *loop) probe(h host) {
	t := l.at[h.bridge]
	if t == nil {
		return
	}
	l.s.mu.Lock()
	_, remote := l.s.remotes[h.bridge][h.ip]
	l.s.mu.Unlock()
	if remote {
		return
	}
	var mac ether.MAC
	if k := l.hosts[place{t.live.id, h.bridge}][h.ip]; k != nil {
		mac = k.current.MAC
	}
	if err := t.live.probe(rtnetlink.NeighbourKey{Link: t.live.links[h.bridge], IP: h.ip}, mac); err != nil {
		l.s.log.Warn("slowpath: kernel does not ask a host", "vrf", t.name, "bridge", h.bridge, "address", h.ip, "err", err)
	}
}

// forgetHost removes what the kernel learned of a host.
func (l *loop) forgetHost(h host) {
	t := l.at[h.bridge]
	if t == nil || l.hosts[place{t.live.id, h.bridge}][h.ip] == nil {
		return // it knows nothing
	}
	l.s.mu.Lock()
	_, remote := l.s.remotes[h.bridge][h.ip]
	l.s.mu.Unlock()
	if remote {
		return
	}
	if err := t.live.removeRemote(rtnetlink.NeighbourKey{Link: t.live.links[h.bridge], IP: h.ip}); err != nil {
		l.s.log.Warn("slowpath: kernel does not forget a host",
			"vrf", t.name, "bridge", h.bridge, "address", h.ip, "err", err)
	}
}
