package controller

import (
	"container/heap"
	"net/netip"
	"time"

	"github.com/p4evpn/p4evpn/ether"
)

// A host is asked this often before it counts as gone, with a pause after each time: as
// RFC 4861 section 10 has it for hosts (MAX_UNICAST_SOLICIT, RETRANS_TIMER).
const (
	probeCount = 3
	probePause = time.Second
	probeTime  = probeCount * probePause
)

const (
	// probeTick is how long probes gather that are not urgent.
	probeTick = 100 * time.Millisecond
	// leastProbes is how many hosts may be asked in a second where few are to be.
	leastProbes = 400
	// maxWaiting bounds the hosts that are to be asked soon.
	maxWaiting = 1 << 16
)

// probed is whom a probe asks, and for what.
type probed struct {
	bridge uint16
	ip     netip.Addr
	mac    ether.MAC
}

// prober asks hosts whether they still have an address. What is urgent is asked at once;
// all else waits so that no more than rate begin in a second. It is the loop's, and knows
// neither frames nor what an answer means.
type prober struct {
	// send asks once, and reports whether that is under way: if not, it does not count.
	send func(probed) bool
	// failed is told of who was asked three times and did not answer.
	failed func(probed)
	rate   float64 // hosts a second

	all     map[probed]*probe
	begun   probeHeap // that were sent once at least
	waiting []*probe  // the others, in order; some may have ended
	tokens  float64   // that may begin now; below 0 after what was urgent
	filled  time.Time // when tokens were counted
}

// probe is a host that is being asked.
type probe struct {
	probed
	sent  int
	due   time.Time // when it is asked again or has failed
	late  bool      // it had more time than it should
	idly  bool      // nothing follows if it does not answer
	place int       // in begun; -1 = it is not there
}

func newProber(send func(probed) bool, failed func(probed)) *prober {
	return &prober{send: send, failed: failed, rate: leastProbes, all: map[probed]*probe{}}
}

// asks reports whether a host is being asked, or will be soon.
func (p *prober) asks(who probed) bool { return p.all[who] != nil }

// ask asks a host at once, unless it is being asked.
func (p *prober) ask(who probed, now time.Time) {
	a := p.all[who]
	if a == nil {
		a = p.add(who)
	}
	a.idly = false
	if a.place < 0 {
		p.fill(now)
		heap.Push(&p.begun, a)
		p.sendTo(a, now)
	}
}

// askSoon asks a host when its turn comes, and reports whether it has one.
func (p *prober) askSoon(who probed) bool {
	a := p.all[who]
	if a == nil {
		if len(p.waiting) >= maxWaiting {
			return false
		}
		a = p.add(who)
		p.waiting = append(p.waiting, a)
	}
	a.idly = false
	return true
}

// askIdly is askSoon for what a host says beside: nothing follows if it does not answer.
func (p *prober) askIdly(who probed) {
	if !p.asks(who) && p.askSoon(who) {
		p.all[who].idly = true
	}
}

func (p *prober) add(who probed) *probe {
	a := &probe{probed: who, place: -1}
	p.all[who] = a
	return a
}

// end forgets a host: it answered, or nobody wants to know.
func (p *prober) end(who probed) {
	a := p.all[who]
	if a == nil {
		return
	}
	delete(p.all, who)
	if a.place >= 0 {
		heap.Remove(&p.begun, a.place)
	}
}

// free reports whether one more may begin now.
func (p *prober) free(now time.Time) bool { p.fill(now); return p.tokens >= 1 }

// fill counts what time gave.
func (p *prober) fill(now time.Time) {
	p.tokens = min(p.tokens+p.rate*now.Sub(p.filled).Seconds(), max(1, p.rate*probeTick.Seconds()))
	p.filled = now
}

// sendTo asks once more. What cannot be sent is tried again soon.
func (p *prober) sendTo(a *probe, now time.Time) {
	a.due = now.Add(probeTick)
	if p.send(a.probed) {
		p.wasSent(a, now)
	}
	heap.Fix(&p.begun, a.place)
}

func (p *prober) wasSent(a *probe, now time.Time) {
	a.sent++
	a.due = now.Add(probePause)
	p.tokens = max(p.tokens-1, -p.rate)
}

// tick does what is due.
func (p *prober) tick(now time.Time) {
	p.fill(now)
	for len(p.begun) > 0 && !p.begun[0].due.After(now) {
		a := p.begun[0]
		switch {
		case a.sent < probeCount:
			p.sendTo(a, now)
		case !a.late && now.Sub(a.due) > probePause/2:
			// We were busy: the answer may lie before us.
			a.late, a.due = true, now.Add(probePause/2)
			heap.Fix(&p.begun, 0)
		default:
			p.end(a.probed)
			if !a.idly {
				p.failed(a.probed)
			}
		}
	}
	p.beginWaiting(now)
}

// beginWaiting asks those who wait, as many as may be.
func (p *prober) beginWaiting(now time.Time) {
	for len(p.waiting) > 0 && p.tokens >= 1 {
		a := p.waiting[0]
		if p.all[a.probed] == a && a.place < 0 {
			if !p.send(a.probed) {
				return
			}
			p.wasSent(a, now)
			heap.Push(&p.begun, a)
		}
		p.waiting[0] = nil
		p.waiting = p.waiting[1:]
	}
	if len(p.waiting) == 0 {
		p.waiting = nil
	}
}

// next is how long nothing is due.
func (p *prober) next(now time.Time) time.Duration {
	next := idleTick
	if len(p.waiting) > 0 {
		next = probeTick
	}
	if len(p.begun) > 0 {
		next = min(next, p.begun[0].due.Sub(now))
	}
	return max(next, 0)
}

// again asks all anew who are being asked, as after a time when nobody could be.
func (p *prober) again() {
	p.begun, p.waiting = nil, nil
	for _, a := range p.all {
		*a = probe{probed: a.probed, idly: a.idly, place: -1}
		p.waiting = append(p.waiting, a)
	}
}

// probeHeap has on top what is due first.
type probeHeap []*probe

func (h probeHeap) Len() int           { return len(h) }
func (h probeHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }

func (h probeHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *probeHeap) Push(x any) {
	a := x.(*probe)
	a.place = len(*h)
	*h = append(*h, a)
}

func (h *probeHeap) Pop() any {
	old := *h
	a := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	a.place = -1
	return a
}
