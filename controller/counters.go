package controller

import (
	"context"
	"fmt"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/p4evpn/p4evpn/bfd"
	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/p4"
)

// scrapeTimeout bounds the reading of the pipeline's counters; a scrape goes
// without them when the target does not answer in time.
const scrapeTimeout = 2 * time.Second

var (
	descPortPackets  = pipelineDesc("port_packets_total", "Frames of a port.", "port", "direction")
	descPortBytes    = pipelineDesc("port_bytes_total", "Bytes of frames of a port.", "port", "direction")
	descDrops        = pipelineDesc("drops_total", "Frames dropped, by reason.", "stage", "reason")
	descPuntsLimited = pipelineDesc("punts_limited_total", "Frames and copies kept from the controller, by reason.",
		"reason")
	descPoliced = pipelineDesc("port_policed_total",
		"Frames of a bridge port that source guard (spoofed) or storm control dropped, by reason.", "port", "reason")
	descUnknownStation = pipelineDesc("bridge_unknown_unicast_dropped_total",
		"Frames to unknown stations that a bridge did not flood.", "bridge")
	descBridgePackets = pipelineDesc("bridge_vxlan_packets_total", "Frames of a bridge over VXLAN.", "bridge", "direction")
	descBridgeBytes   = pipelineDesc("bridge_vxlan_bytes_total", "Bytes of frames of a bridge over VXLAN.", "bridge",
		"direction")
	descVRFPackets = pipelineDesc("vrf_packets_total",
		"Packets of a VRF: routed, and of them those in and out by its L3 VNI.", "vrf", "direction")
	descVRFBytes = pipelineDesc("vrf_bytes_total", "Bytes of packets of a VRF.", "vrf", "direction")
	descRead     = pipelineDesc("up",
		"1 if this scrape read the pipeline's counters; else the target did not answer, and they are left out.")
	descSession = prometheus.NewDesc("p4evpn_bgp_session_up", "1 while the session is established.",
		[]string{"neighbor", "as"}, nil)
	descShutdown = prometheus.NewDesc("p4evpn_bgp_neighbor_shutdown",
		"1 if the neighbour is configured not to be spoken with.", []string{"neighbor"}, nil)
	descFaults = prometheus.NewDesc("p4evpn_bgp_faults_total",
		"What neighbours sent that was not taken as it stood, by reason.", []string{"neighbor", "reason"}, nil)
	descBFD = prometheus.NewDesc("p4evpn_bgp_bfd_up", "1 while BFD to a neighbour is up.", []string{"neighbor"}, nil)

	descBFDFailures = prometheus.NewDesc("p4evpn_bgp_bfd_failures_total",
		"Losses of the path to a neighbour, by BFD, of the session that there is.", []string{"neighbor"}, nil)
	descReceived = prometheus.NewDesc("p4evpn_bgp_routes_received", "EVPN routes that a neighbour advertises now.",
		[]string{"neighbor"}, nil)
	descLimit = prometheus.NewDesc("p4evpn_bgp_routes_limit",
		"Routes of a family above which a neighbour's session ends.", []string{"neighbor"}, nil)
)

func pipelineDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("p4evpn_pipeline_"+name, help, labels, nil)
}

// Counters is a prometheus.Collector of what the pipeline counts, read at each
// scrape, and of the BGP sessions.
type Counters struct {
	c       *Controller
	timeout time.Duration // of a scrape
}

// Counters gives the collector that belongs to the controller.
func (c *Controller) Counters() Counters { return Counters{c, scrapeTimeout} }

func (k Counters) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descPortPackets, descPortBytes, descDrops, descPuntsLimited, descPoliced,
		descUnknownStation, descBridgePackets,
		descBridgeBytes, descVRFPackets, descVRFBytes, descSession, descShutdown, descFaults, descReceived, descLimit,
		descBFD, descBFDFailures, descRead} {
		ch <- d
	}
}

func (k Counters) Collect(ch chan<- prometheus.Metric) {
	for _, p := range k.c.in.Speaker.Peers() {
		collectPeer(ch, &p)
	}
	ctx, cancel := context.WithTimeout(context.Background(), k.timeout)
	defer cancel()
	up := 0.0
	if labels, err := k.labels(ctx); err == nil {
		// What was read before an error is true, and the next scrape has the rest.
		err = k.c.in.Target.Read(ctx, labels.cells(), func(e *p4v1.Entity) error {
			if n, err := p4.DecodeCount(e); err == nil {
				labels.emit(ch, n)
			}
			return nil
		})
		if err == nil {
			up = 1
		}
	}
	ch <- prometheus.MustNewConstMetric(descRead, prometheus.GaugeValue, up)
}

// collectPeer gives the metrics of one neighbour. Reasons that never occurred with it are
// left out: there are many neighbours and many reasons.
func collectPeer(ch chan<- prometheus.Metric, p *bgp.PeerState) {
	up, shutdown := 0.0, 0.0
	if p.Up {
		up = 1
	}
	if p.Shutdown {
		shutdown = 1
	}
	address := p.Address.String()
	ch <- prometheus.MustNewConstMetric(descSession, prometheus.GaugeValue, up, address, fmt.Sprint(p.AS))
	ch <- prometheus.MustNewConstMetric(descShutdown, prometheus.GaugeValue, shutdown, address)
	ch <- prometheus.MustNewConstMetric(descReceived, prometheus.GaugeValue, float64(p.Routes), address)
	ch <- prometheus.MustNewConstMetric(descLimit, prometheus.GaugeValue, float64(p.Limit), address)
	if st := &p.BFD; *st != (bfd.Status{}) {
		up = 0
		if st.State == bfd.Up {
			up = 1
		}
		ch <- prometheus.MustNewConstMetric(descBFD, prometheus.GaugeValue, up, address)
		ch <- prometheus.MustNewConstMetric(descBFDFailures, prometheus.CounterValue, float64(st.Failures), address)
	}
	for reason, n := range p.Faults {
		ch <- prometheus.MustNewConstMetric(descFaults, prometheus.CounterValue, float64(n), address, reason.String())
	}
}

// cellNames gives the cells of counters their names.
type cellNames struct {
	ports, bridges, vrfs map[uint16]string
	tenants              []uint16 // ports
}

// cells are what a scrape reads. Of the counters that have many cells, it is those of ports,
// bridges and VRFs that there are: to read them all takes the target and us many
// milliseconds each time.
func (names cellNames) cells() []*p4v1.Entity {
	out := []*p4v1.Entity{p4.IngressDrops.All(), p4.EgressDrops.All(), p4.PuntsLimited.All()}
	for index := range names.ports {
		out = append(out, p4.PortIn.Cell(uint32(index)), p4.PortOut.Cell(uint32(index)))
	}
	for _, port := range names.tenants {
		for of := range p4.PolicedReasons {
			out = append(out, p4.PortDrops.Cell(of.Drop().Of(port)))
		}
	}
	for index := range names.bridges {
		out = append(out, p4.BridgeDrops.Cell(p4.DropUnknownStation.Of(index)), p4.BridgeVXLANIn.Cell(uint32(index)),
			p4.BridgeVXLANOut.Cell(uint32(index)))
	}
	for index := range names.vrfs {
		out = append(out, p4.VRFRouted.Cell(uint32(index)), p4.VRFVXLANIn.Cell(uint32(index)),
			p4.VRFVXLANOut.Cell(uint32(index)))
	}
	return out
}

func (k Counters) labels(ctx context.Context) (cellNames, error) {
	names := cellNames{ports: map[uint16]string{}, bridges: map[uint16]string{}, vrfs: map[uint16]string{}}
	err := k.c.ask(ctx, func(l *loop) {
		for _, p := range l.cfg.Ports {
			names.ports[p.Number] = p.Name
			switch p.Kind {
			case KindBridge:
				names.tenants = append(names.tenants, p.Number)
			case KindUplink:
				names.ports[p.HostPort] = hostPortName(p)
			}
		}
		for index, b := range l.bridges {
			names.bridges[index] = b.ID
		}
		for index, v := range l.vrfs {
			names.vrfs[index] = v.ID
		}
	})
	return names, err
}

// counterLabels says which metrics a counter of the pipeline is, and the value of
// their last label.
var counterLabels = map[p4.Counter]struct {
	packets, bytes *prometheus.Desc
	label          string
}{
	p4.PortIn:         {descPortPackets, descPortBytes, "in"},
	p4.PortOut:        {descPortPackets, descPortBytes, "out"},
	p4.BridgeVXLANIn:  {descBridgePackets, descBridgeBytes, "in"},
	p4.BridgeVXLANOut: {descBridgePackets, descBridgeBytes, "out"},
	p4.VRFRouted:      {descVRFPackets, descVRFBytes, "routed"},
	p4.VRFVXLANIn:     {descVRFPackets, descVRFBytes, "in"},
	p4.VRFVXLANOut:    {descVRFPackets, descVRFBytes, "out"},
}

// name is that of what a cell counts, false if it is nothing that we know.
func (names cellNames) name(n p4.Count) (name string, ok bool) {
	switch n.Counter {
	case p4.PortIn, p4.PortOut:
		name, ok = names.ports[uint16(n.Index)]
	case p4.BridgeVXLANIn, p4.BridgeVXLANOut:
		name, ok = names.bridges[uint16(n.Index)]
	case p4.VRFRouted, p4.VRFVXLANIn, p4.VRFVXLANOut:
		name, ok = names.vrfs[uint16(n.Index)]
	}
	return name, ok
}

// emit makes the metrics of one cell. Cells of nothing that we know are left out. What
// never happened is 0: who asks for a rate sees the first time too.
func (names cellNames) emit(ch chan<- prometheus.Metric, n p4.Count) {
	send := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	switch n.Counter {
	case p4.IngressDrops, p4.EgressDrops:
		if n.Index == uint32(p4.DropNone) || n.Index >= uint32(p4.DropReasons) {
			return
		}
		stage := "ingress"
		if n.Counter == p4.EgressDrops {
			stage = "egress"
		}
		send(descDrops, n.Packets, stage, p4.DropReason(n.Index).String())
		return
	case p4.PuntsLimited:
		if reason := p4.PuntReason(n.Index); reason >= p4.PuntARP && reason < p4.PuntReasons {
			send(descPuntsLimited, n.Packets, reason.String())
		}
		return
	case p4.PortDrops:
		port, why := p4.DropOf(n.Index)
		if name, ok := names.ports[port]; ok {
			send(descPoliced, n.Packets, name, why.String())
		}
		return
	case p4.BridgeDrops:
		bridge, _ := p4.DropOf(n.Index)
		if name, ok := names.bridges[bridge]; ok {
			send(descUnknownStation, n.Packets, name)
		}
		return
	}
	if name, ok := names.name(n); ok {
		c := counterLabels[n.Counter]
		send(c.packets, n.Packets, name, c.label)
		send(c.bytes, n.Bytes, name, c.label)
	}
}
