package controller

import (
	"log/slog"
	"testing"

	"github.com/p4evpn/p4evpn/internal/events"
	"github.com/p4evpn/p4evpn/internal/journal"
)

func TestAMACThatMovesIsAnEvent(t *testing.T) {
	l := journal.New()
	cfg := testConfig()
	cfg.Logger = slog.New(l.Handler(slog.DiscardHandler))
	g, _, b10, _ := routed(t, options{cfg: cfg})
	g.access("eth3", 10)
	g.learn(b10, 1, mac(1))
	g.learn(b10, 3, mac(1))
	remote := macRoute(leaf1, 100, mac(1))
	remote.Sequence = 9
	g.send(update(leaf0, remote))
	g.eventually("it is at the leaf", func() bool { return g.whereIs(b10, mac(1)) == leaf1.String()+" vni 100" })
	again := macRoute(leaf2, 100, mac(1))
	again.Sequence = 10
	g.send(update(leaf0, again))
	g.eventually("it is at the other leaf", func() bool { return g.whereIs(b10, mac(1)) == leaf2.String()+" vni 100" })
	g.learn(b10, 1, mac(1))
	want := []string{"port eth1 > port eth3", "port eth3 > VTEP " + leaf1.String(),
		"VTEP " + leaf1.String() + " > VTEP " + leaf2.String(), "VTEP " + leaf2.String() + " > port eth1"}
	g.eventually("all moves are told", func() bool {
		var got []string
		all, _ := l.After(0)
		for _, e := range all {
			if a := e.Attributes; e.Kind == events.Move && a["bridge"] == "bridge-10" && a["mac"] == mac(1).String() {
				got = append(got, a["from"]+" > "+a["to"])
			}
		}
		if len(got) == len(want) {
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("%q, want %q", got, want)
				}
			}
		}
		return len(got) == len(want)
	})
}
