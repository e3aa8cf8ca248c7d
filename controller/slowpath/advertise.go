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

// advertiser sends the router advertisements of one SVI (RFC 4861, section 6.2).
type advertiser struct {
	advert    packet.RouterAdvertisement
	cancel    context.CancelFunc
	done      sync.WaitGroup
	solicited chan struct{} // one slot
}

// startAdvertiser sends until stop, at random times of at most interval.
func startAdvertiser(
	a packet.RouterAdvertisement, interval time.Duration, send func(frame []byte),
) (*advertiser, error) {
	frame, err := a.Frame()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	v := &advertiser{advert: a, cancel: cancel, solicited: make(chan struct{}, 1)}
	v.done.Go(func() { v.run(ctx, frame, interval, send) })
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

func (v *advertiser) run(ctx context.Context, frame []byte, interval time.Duration, send func([]byte)) {
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
			send(slices.Clone(frame))
			last = time.Now()
			sent++
			next = last.Add(pause(interval, sent))
		}
		timer.Reset(time.Until(next))
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
