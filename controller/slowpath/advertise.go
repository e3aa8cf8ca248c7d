package slowpath

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/p4evpn/p4evpn/packet"
)

// Constants of RFC 4861, section 10.
const (
	maxInitialAdvertInterval = 16 * time.Second
	maxInitialAdverts        = 3
	minDelayBetweenAdverts   = 3 * time.Second
	maxAdvertDelay           = 500 * time.Millisecond
)

// What bounds the answers to hosts behind VTEPs, which are each for one host.
const (
	maxAsking  = 256 // hosts that wait for an answer
	askerPause = 5 * time.Millisecond
)

// routerAdvert is what an advertiser says, and to whom.
type routerAdvert struct {
	packet.RouterAdvertisement
	far bool // to all hosts behind VTEPs, too
}

func (a routerAdvert) equal(b routerAdvert) bool {
	return a.far == b.far && a.RouterAdvertisement.Equal(b.RouterAdvertisement)
}

// advertiser sends the router advertisements of one SVI (RFC 4861, section 6.2). Those to
// all hosts do not reach the ones behind VTEPs, unless it is to be so: what a leaf is a
// gateway for is not ours. Hosts there that ask, and those that are known, get their own.
type advertiser struct {
	advert    routerAdvert
	cancel    context.CancelFunc
	done      sync.WaitGroup
	solicited chan struct{} // one slot
	round     chan struct{} // one slot; those that are known are to be told
	asked     chan Asker
	known     func() []Asker // the hosts behind VTEPs that get their own
	send      func(frame []byte, localOnly bool)
}

// startAdvertiser sends until stop, at random times of at most interval.
func startAdvertiser(
	a routerAdvert, interval time.Duration, known func() []Asker, send func(frame []byte, localOnly bool),
) (*advertiser, error) {
	frame, err := a.Frame()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	v := &advertiser{advert: a, cancel: cancel, known: known, send: send,
		solicited: make(chan struct{}, 1), round: make(chan struct{}, 1), asked: make(chan Asker, maxAsking)}
	v.done.Go(func() { v.run(ctx, frame, interval) })
	if !a.far {
		v.done.Go(func() { v.answer(ctx) })
		v.done.Go(func() { v.tell(ctx) })
	}
	return v, nil
}

func (v *advertiser) stop() {
	v.cancel()
	v.done.Wait()
}

// solicit asks for an advertisement soon; it does not wait.
func (v *advertiser) solicit() {
	select {
	case v.solicited <- struct{}{}:
	default:
	}
}

// ask asks for one to a host behind a VTEP. Those that are too many are not answered.
func (v *advertiser) ask(a Asker) {
	select {
	case v.asked <- a:
	default:
	}
}

func (v *advertiser) run(ctx context.Context, frame []byte, interval time.Duration) {
	var last time.Time
	next := time.Now() // the first one at once: hosts wait for it
	timer := time.NewTimer(0)
	defer timer.Stop()
	for sent := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-v.solicited:
			// Answered for all hosts at once, which also bounds what they can
			// make us send (section 6.2.6).
			at := time.Now().Add(rand.N(maxAdvertDelay))
			if soonest := last.Add(minDelayBetweenAdverts); at.Before(soonest) {
				at = soonest
			}
			if at.Before(next) {
				next = at
			}
		case <-timer.C:
			v.send(slices.Clone(frame), !v.advert.far)
			last = time.Now()
			sent++
			next = last.Add(pause(interval, sent))
			select {
			case v.round <- struct{}{}:
			default: // the last round is not over
			}
		}
		timer.Reset(time.Until(next))
	}
}

// tell advertises, once a round, to each host behind a VTEP that is known: the lifetime of
// what it was told ends (RFC 4861 section 6.3.5), and hosts do not ask again.
func (v *advertiser) tell(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.round:
		}
		for _, a := range v.known() {
			if !sleep(ctx, askerPause) {
				return
			}
			v.sendTo(a)
		}
	}
}

// answer answers hosts that ask, each once for what it asks meanwhile.
func (v *advertiser) answer(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-v.asked:
			asking := map[Asker]struct{}{a: {}}
			if !sleep(ctx, rand.N(maxAdvertDelay)) {
				return
			}
			for len(v.asked) > 0 {
				asking[<-v.asked] = struct{}{}
			}
			for a := range asking {
				v.sendTo(a)
			}
		}
	}
}

// sendTo advertises to one host.
func (v *advertiser) sendTo(a Asker) {
	if frame, err := v.advert.FrameTo(a.MAC, a.IP); err == nil {
		v.send(frame, false)
	}
}

// sleep reports whether ctx did not end meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// pause is the time to the next unsolicited advertisement (section 6.2.4).
func pause(interval time.Duration, sent int) time.Duration {
	least := interval / 3 // MinRtrAdvInterval, section 6.2.1
	if interval < 9*time.Second {
		least = interval * 3 / 4
	}
	d := least + rand.N(interval-least+1)
	if sent < maxInitialAdverts {
		d = min(d, maxInitialAdvertInterval)
	}
	return d
}
