package testbed

import (
	"strings"
	"testing"
)

// FRR 8.4 keeps ipv4 unicast routes over a graceful restart, and EVPN routes
// not.
func TestUnderlayRoutesOutliveTheSpeakersAtBothEnds(t *testing.T) {
	t.Parallel()
	n, ctx := buildTwoUplinks(t, Embedded), t.Context()
	both := "10.0.0.11 10.1.1.2 10.1.2.2"
	n.awaitLearned(t, both)
	check(t, n.leaf.awaitSessions(ctx, 2))
	kept := func(what string, of *Namespace, prefix string, restart func()) {
		t.Helper()
		seen := n.watchRoutesOf(t, of)
		restart()
		check(t, n.leaf.awaitSessions(ctx, 2))
		n.awaitLearned(t, both)
		n.awaitPaths(t, 2)
		if log := seen(); strings.Contains(log, "Deleted "+prefix) {
			t.Errorf("%s, and the route to %s went:\n%s", what, prefix, log)
		}
		n.reach(t)
	}
	kept("our controller was killed", n.leaf.NS, "10.0.0.1 ", func() {
		check(t, n.gateway.KillController())
		check(t, n.gateway.StartController(ctx, n.config))
	})
	kept("the leaf's bgpd was killed", n.gateway.NS, "10.0.0.11 ", func() {
		check(t, n.leaf.KillBGP())
		check(t, n.leaf.StartBGP(ctx))
	})
}
