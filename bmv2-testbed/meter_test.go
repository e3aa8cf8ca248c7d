package testbed

import (
	"net/netip"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/ether"
)

func TestMeterCountsWhatIsLostAndNothingElse(t *testing.T) {
	l, ctx := needLab(t), t.Context()
	hosts := map[string]*Host{}
	for i, name := range []string{"a", "b"} {
		hosts[name] = &Host{
			Name: name, NS: must(l.Namespace(name))(t), Dev: "eth0", MAC: ether.MAC{2, 0, 0, 0, 0, byte(i + 1)},
			Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, 0, byte(i + 1)}), 24),
		}
	}
	a, b := hosts["a"], hosts["b"]
	check(t, l.Cable(End{NS: a.NS, Dev: "eth0"}, End{NS: b.NS, Dev: "eth0"}))
	check(t, a.Configure())
	check(t, b.Configure())
	must(a.Reach(ctx, b.Address.Addr(), patience))(t)
	run := func(while func()) Reading {
		m := must(StartMeter(Flow{"a to b", a, b, 1000}))(t)
		while()
		readings := m.Stop()
		if len(readings) != 1 {
			t.Fatalf("readings of one flow: %v", readings)
		}
		t.Log(readings[0])
		return readings[0]
	}
	pass := func(d time.Duration) { <-time.After(d) } // time is what is measured here

	r := run(func() { pass(300 * time.Millisecond) })
	if r.Lost != 0 || r.Duplicated != 0 || r.Sent < 100 || r.Sent > 600 || r.P99 <= 0 {
		t.Errorf("over a whole cable for 0.3 s: %v", r)
	}
	r = run(func() {
		pass(100 * time.Millisecond)
		for _, verb := range []string{"add", "del"} { // b has no way back
			must(b.NS.Output(ctx, "ip", "route", verb, "blackhole", a.Address.Addr().String()))(t)
			pass(300 * time.Millisecond)
		}
		pass(100 * time.Millisecond)
	})
	if r.Lost < 100 || r.Lost >= r.Sent || r.Gap < 300*time.Millisecond || r.FirstLost <= 0 || r.Again <= r.FirstLost {
		t.Errorf("with no way back for 0.3 s: %v", r)
	}
}
