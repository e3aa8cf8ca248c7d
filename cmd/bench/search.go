package main

import "math"

// trial is what came of offering frames at a rate.
type trial struct {
	offered  float64 // frames
	received float64 // frames
	rate     float64 // received a second, until the last one arrived
	cpu      float64 // seconds of processor time that the switch took
}

func (t trial) loss() float64 {
	if t.offered == 0 {
		return 1
	}
	return 1 - t.received/t.offered
}

const (
	lossAllowed = 0.001
	resolution  = 1.06 // the search ends when the bounds are that close
	maxTrials   = 16
	maxTries    = 3    // of a rate that loses
	smallLoss   = 0.15 // but no more than this
)

// speed is the result of a search, in frames/s.
type speed struct {
	rate float64
	all  bool    // the generator sends no more: it may be higher
	cpu  float64 // seconds of processor time a frame, at that rate
}

// see keeps the better one of what was found and a trial that lost nothing.
func (s *speed) see(t trial) {
	if t.rate > s.rate {
		s.rate, s.cpu = t.rate, t.cpu/t.received
	}
}

// searchRate finds the highest rate that arrives with the loss allowed. offer
// tries a rate in frames/s, 0 being as fast as the generator can.
func searchRate(offer func(rate float64) (trial, error)) (best speed, err error) {
	flood, err := offerAgain(offer, 0)
	if err != nil || flood.received == 0 || flood.loss() <= lossAllowed {
		if flood.received > 0 {
			best.all = true
			best.see(flood)
		}
		return best, err
	}
	// What comes through a flood comes through without it too, nearly always.
	low, high := 0.0, flood.rate/(1-flood.loss())
	limit, next := high, flood.rate
	for range maxTrials {
		t, err := offerAgain(offer, next)
		if err != nil {
			return best, err
		}
		if t.loss() <= lossAllowed {
			low = next
			best.see(t)
		} else {
			high = next
		}
		if low > 0 && high/low < resolution {
			// Was it the switch that lost at the upper bound, or a machine that
			// was busy with something else?
			if t, err = offer(high); err != nil || t.loss() > lossAllowed {
				return best, err
			}
			low, high = high, limit
			best.see(t)
			if high/low < resolution {
				break
			}
		}
		if next = math.Sqrt(low * high); low == 0 {
			next = high / 2
		}
	}
	return best, nil
}

// offerAgain offers a rate once more where little is lost: that may be the
// fault of something else on the machine.
func offerAgain(offer func(float64) (trial, error), rate float64) (t trial, err error) {
	for range maxTries {
		t, err = offer(rate)
		if err != nil || t.loss() <= lossAllowed || t.loss() > smallLoss {
			break
		}
	}
	return t, err
}
