package controller

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/p4"
)

func TestAScrapeGivesThePipelinesCountersTheirNames(t *testing.T) {
	g := start(t, options{})
	index := g.bridge(10, 100)
	v := g.vrf("blue", 5001)
	g.settle()
	set := func(c p4.Counter, index uint16, packets, bytes int64) {
		g.target.SetCounter(uint32(c), int64(index), &p4v1.CounterData{PacketCount: packets, ByteCount: bytes})
	}
	set(p4.PortIn, 1, 7, 700)
	set(p4.PortOut, 21, 3, 300)
	set(p4.PortIn, 400, 9, 900) // no port of ours
	set(p4.IngressDrops, uint16(p4.DropHairpin), 2, 200)
	set(p4.EgressDrops, uint16(p4.DropMTU), 1, 9000)
	set(p4.BridgeVXLANOut, index, 5, 500)
	set(p4.VRFRouted, v, 11, 1100)
	set(p4.VRFVXLANIn, v, 4, 400)
	set(p4.VRFVXLANOut, v, 6, 600)
	set(p4.VRFRouted, v+1, 1, 1) // no VRF of ours
	reg := prometheus.NewPedanticRegistry()
	counters := g.c.Counters()
	counters.timeout = time.Minute // the race detector on a busy machine takes its time
	reg.MustRegister(counters)
	const want = `
# HELP p4evpn_pipeline_bridge_vxlan_packets_total Frames of a bridge over VXLAN.
# TYPE p4evpn_pipeline_bridge_vxlan_packets_total counter
p4evpn_pipeline_bridge_vxlan_packets_total{bridge="bridge-10",direction="in"} 0
p4evpn_pipeline_bridge_vxlan_packets_total{bridge="bridge-10",direction="out"} 5
# HELP p4evpn_pipeline_up 1 if this scrape read the pipeline's counters; else the target did not answer, and they are left out.
# TYPE p4evpn_pipeline_up gauge
p4evpn_pipeline_up 1
# HELP p4evpn_pipeline_vrf_bytes_total Bytes of packets of a VRF.
# TYPE p4evpn_pipeline_vrf_bytes_total counter
p4evpn_pipeline_vrf_bytes_total{direction="in",vrf="blue"} 400
p4evpn_pipeline_vrf_bytes_total{direction="out",vrf="blue"} 600
p4evpn_pipeline_vrf_bytes_total{direction="routed",vrf="blue"} 1100
# HELP p4evpn_pipeline_vrf_packets_total Packets of a VRF: routed, and of them those in and out by its L3 VNI.
# TYPE p4evpn_pipeline_vrf_packets_total counter
p4evpn_pipeline_vrf_packets_total{direction="in",vrf="blue"} 4
p4evpn_pipeline_vrf_packets_total{direction="out",vrf="blue"} 6
p4evpn_pipeline_vrf_packets_total{direction="routed",vrf="blue"} 11
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want),
		"p4evpn_pipeline_up", "p4evpn_pipeline_bridge_vxlan_packets_total",
		"p4evpn_pipeline_vrf_packets_total", "p4evpn_pipeline_vrf_bytes_total"); err != nil {
		t.Error(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	ports, drops := map[string]float64{}, map[string]float64{}
	for _, f := range families {
		if f.GetName() == "p4evpn_pipeline_drops_total" {
			for _, m := range f.GetMetric() {
				drops[m.GetLabel()[1].GetValue()+" "+m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
		if f.GetName() != "p4evpn_pipeline_port_packets_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			ports[m.GetLabel()[1].GetValue()+" "+m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
		}
	}
	if ports["eth1 in"] != 7 || ports["up1-host out"] != 3 || len(ports) != 2*7 {
		t.Errorf("ports: %v", ports)
	}
	// Those that never happened are there too: a rate is to see the first one.
	if len(drops) != 2*int(p4.DropReasons-1) || drops["ingress hairpin"] != 2 || drops["egress mtu"] != 1 ||
		drops["ingress mtu"] != 0 {
		t.Errorf("drops: %v", drops)
	}
}

func TestAScrapeReadsNoCellsOfBridgesAndVRFsThatThereAreNot(t *testing.T) {
	g := start(t, options{})
	index := g.bridge(10, 100)
	v := g.vrf("blue", 5001)
	g.settle()
	read := make(chan *p4v1.ReadRequest, 1)
	g.target.Intercept(func(_ context.Context, m proto.Message) error {
		if req, ok := m.(*p4v1.ReadRequest); ok {
			read <- req
		}
		return nil
	})
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(g.c.Counters())
	if _, err := reg.Gather(); err != nil {
		t.Fatal(err)
	}
	g.target.Intercept(nil)
	got := map[p4.Counter][]int64{}
	for _, e := range (<-read).GetEntities() {
		c := e.GetCounterEntry()
		cell := int64(-1) // all
		if c.GetIndex() != nil {
			cell = c.GetIndex().GetIndex()
		}
		got[p4.Counter(c.GetCounterId())] = append(got[p4.Counter(c.GetCounterId())], cell)
	}
	for c, want := range map[p4.Counter]uint16{p4.BridgeVXLANIn: index, p4.BridgeVXLANOut: index,
		p4.VRFRouted: v, p4.VRFVXLANIn: v, p4.VRFVXLANOut: v} {
		if !slices.Equal(got[c], []int64{int64(want)}) {
			t.Errorf("of counter %#x the cells %v are read, want %d alone", uint32(c), got[c], want)
		}
	}
}
