package ovn

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/p4evpn/p4evpn/controller/intent"
)

func TestWritesGoOnWhenTheLeaderOfAClusterIsGone(t *testing.T) {
	const database = "OVN_Northbound"
	members, store := serveCluster(t, northboundSchema, database, 3), intent.NewMemory()
	lead := func() *server { t.Helper(); return leader(t, database, members) }
	lead().nb("ls-add ls1 -- ls-add ls2 -- ls-add ls3 -- ls-add ls4")
	g := start(t, store, members[0], nil, func(c *Config) {
		c.Northbound = nil
		for _, s := range members {
			c.Northbound = append(c.Northbound, s.address())
		}
	})
	well := func() bool { return testutil.ToFloat64(g.stats.problems) == 0 }
	stretch(t, store, 10, "ls1")
	lead().has(10, "ls1")
	for vni, name := range map[uint32]string{20: "ls2", 30: "ls3"} {
		gone := lead()
		gone.stop()
		stretch(t, store, vni, name)
		lead().has(int(vni), name)
		await(t, "all is well", well)
		gone.start()
	}
	// Without a majority nobody leads, and nothing is written.
	first := lead()
	first.stop()
	second := lead()
	second.stop()
	await(t, "the absence is counted", func() bool { return !well() })
	stretch(t, store, 40, "ls4")
	first.start()
	lead().has(40, "ls4")
	await(t, "all is well", well)
}
