package controller

import (
	"time"

	"github.com/p4evpn/p4evpn/p4"
)

// maxSamples bounds how many dropped frames are kept.
const maxSamples = 256

// sample is a frame that was dropped, as it came by a port.
type sample struct {
	port   uint16
	bridge uint16 // that it was in; 0 = it came to none
	why    p4.DropReason
	frame  []byte
	at     time.Time
}

// sampleKey is of what the last sample is kept.
type sampleKey struct {
	port uint16
	why  p4.DropReason
}

// samples are the last of each port and reason, and of all of them the newest.
type samples map[sampleKey]sample

func (all samples) take(s sample) {
	key := sampleKey{s.port, s.why}
	if _, again := all[key]; !again && len(all) >= maxSamples {
		oldest := key
		for k, other := range all {
			if oldest == key || other.at.Before(all[oldest].at) {
				oldest = k
			}
		}
		delete(all, oldest)
	}
	all[key] = s
}

// newest gives the last of those that are meant.
func (all samples) newest(meant func(sample) bool) (newest sample, ok bool) {
	for _, s := range all {
		if meant(s) && (!ok || s.at.After(newest.at)) {
			newest, ok = s, true
		}
	}
	return newest, ok
}
