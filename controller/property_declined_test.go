package controller

import (
	"testing"

	"github.com/p4evpn/p4evpn/p4"
)

// declinedSources are those that the controller declines.
func declinedSources(l *loop) map[p4.Source]bool {
	out := map[p4.Source]bool{}
	for _, b := range l.bridges {
		for m, ports := range b.declined {
			for port := range ports {
				out[p4.Source{Bridge: b.Index, MAC: m, Port: port}] = true
			}
		}
	}
	return out
}

// wantDeclinedKnown checks that a declined source on the target is one that the
// controller declines.
func (h *story) wantDeclinedKnown(t *testing.T, held []entry) {
	h.peek(func(l *loop) {
		known := declinedSources(l)
		for _, k := range held {
			if s, ok := k.(p4.Source); ok && s.Verdict != p4.Known &&
				!known[p4.Source{Bridge: s.Bridge, MAC: s.MAC, Port: s.Port}] {
				t.Errorf("on the target and declined by nobody: %v", s.Entry())
			}
		}
	})
}
