package gobgp

import "github.com/p4evpn/p4evpn/bgp"

// Drain withdraws all that we advertise, and gives how many EVPN routes that were. What
// is originated from then on is not advertised.
func (e *Engine) Drain() (routes int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	keys := make([]bgp.Key, 0, len(e.local))
	for k := range e.local {
		keys = append(keys, k)
	}
	if err := e.advertise(nil, keys); err != nil {
		e.log.Warn("withdrawing our routes", "err", err)
	}
	if e.life != nil {
		if err := e.advertiseUnicast(nil); err != nil {
			e.log.Warn("withdrawing our prefixes", "err", err)
		}
	} else {
		clear(e.prefixes)
	}
	e.draining = true
	return len(keys)
}
