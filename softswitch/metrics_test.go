package softswitch

import (
	"context"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netlink"

	"github.com/p4evpn/p4evpn/softswitch/claim"
)

// TestARefusedPortIsInTheMetricsAndForwardsNothing puts in the way of the claim
// what only one way minds.
func TestARefusedPortIsInTheMetricsAndForwardsNothing(t *testing.T) {
	needRoot(t)
	addVeth(t, "sw1", "h1")
	addVeth(t, "sw2", "h2")
	link(t, "sw1", func(l netlink.Link) error {
		return netlink.QdiscAdd(&netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS,
		}})
	})
	sw, err := New(Config{
		Ports: []Port{{1, "sw1"}, {2, "sw2"}}, Ways: []claim.Way{claim.Clsact}, GRPCAddress: "127.0.0.1:0", Logger: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = sw.Run(ctx) })
	defer running.Wait()
	defer cancel()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(sw); err != nil {
		t.Fatal(err)
	}
	value := func(name, port string) float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "p4evpn_switch_"+name && m.GetLabel()[1].GetValue() == port {
					return m.GetGauge().GetValue()
				}
			}
		}
		t.Fatalf("no metric %s of port %s", name, port)
		return 0
	}
	eventually(t, "one port is up, one refused", func() bool {
		return value("port_up", "2") == 1 && value("port_claimed", "2") == 1 && value("port_refused", "1") == 1
	})
	if value("port_up", "1") != 0 || value("port_claimed", "1") != 0 || value("port_refused", "2") != 0 {
		t.Error("the refused port is up or claimed, or the other one refused")
	}
}
