package controller

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/p4evpn/p4evpn/bfd"
	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// somePeers are one that is up and one that is not, with every field.
func somePeers() []bgp.PeerState {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	return []bgp.PeerState{
		{
			Address: peer1, AS: 65101, RouterID: leaf1, State: "established", Up: true, Since: time.Now().Add(-time.Hour),
			Routes: 7, Unicast: 3, EndOfRIB: true, Flaps: 2, LastDown: "hold timer expired", Graceful: true,
			Families: []bgp.Family{bgp.EVPN, bgp.IPv4Unicast}, Limit: 1000,
			BFD: bfd.Status{Peer: peer1, Discriminator: 1, RemoteDiscriminator: 2, State: bfd.Up, RemoteState: bfd.Init,
				LastDown: bfd.TimeExpired, RemoteDiagnostic: bfd.NeighborDown, Since: time.Now().Add(-time.Hour), Failures: 5,
				Independent: true, Transmission: time.Second, Detection: time.Minute},
			Faults: map[bgp.Reason]uint64{bgp.BadLabel: 4, bgp.BadRouteType: 1},
			Recent: []bgp.Fault{
				{Time: at, Reason: bgp.BadRouteType, Action: bgp.Discarded, What: "EVPN route type 6", Bytes: []byte{6, 1}},
				{Time: at, Reason: bgp.BadLabel, Action: bgp.Withdrawn, What: "label 0"},
				{Time: at, Reason: bgp.BadLabel, Action: bgp.SessionEnded, What: "no more of it"},
			},
		},
		{Address: peer2, AS: 65102, State: "idle", Shutdown: true, LastDown: "administrative shutdown", Limit: 250_000,
			BFD: bfd.Status{Peer: peer2, Trouble: "away"}},
	}
}

func TestANeighbourIsShownWithWhatItSentThatWasWrong(t *testing.T) {
	g := start(t, options{})
	g.bridge(10, 100) // so that there is something to advertise
	g.settle()
	g.speaker.SetPeers(somePeers()...)
	got, err := g.c.Neighbors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	want := []view.Neighbor{
		{
			Address: peer1, AS: 65101, RouterID: leaf1, State: "established", Uptime: time.Hour, Received: 7, Unicast: 3,
			Advertised: uint64(len(g.speaker.Routes())), EndOfRIB: true, Graceful: true, Losses: 2,
			LastLoss: "hold timer expired", Families: []string{"evpn", "ipv4"}, Limit: 1000,
			FaultCounts: []view.FaultCount{{Reason: "route_type", Count: 1}, {Reason: "label", Count: 4}},
			Faults: []view.Fault{
				{Time: at, Reason: "route_type", What: "EVPN route type 6", Action: view.Discarded, Bytes: []byte{6, 1}},
				{Time: at, Reason: "label", What: "label 0", Action: view.Withdrawn},
				{Time: at, Reason: "label", What: "no more of it", Action: view.SessionEnded},
			},
			BFD: &view.BFD{State: "up", RemoteState: "init", Uptime: time.Hour, Transmission: time.Second,
				Detection: time.Minute, LastDown: "detection time expired",
				RemoteDiagnostic: "neighbor signaled session down", Failures: 5, RemoteIndependent: true},
		},
		{
			Address: peer2, AS: 65102, State: "idle", Shutdown: true, LastLoss: "administrative shutdown", Limit: 250_000,
			Reason: "it is shut down here, by its setting shutdown; the last session: administrative shutdown",
			BFD:    &view.BFD{Trouble: "away"},
		},
	}
	for i := range got {
		got[i].Uptime = got[i].Uptime.Truncate(time.Minute)
		got[i].BFD.Uptime = got[i].BFD.Uptime.Truncate(time.Minute)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestTheStatusOfANeighbourThatIsShutDownSaysSo(t *testing.T) {
	g := start(t, options{})
	g.speaker.SetPeers(somePeers()...)
	st := g.c.Status(t.Context(), intent.Ref{Kind: intent.KindNeighbor, ID: peer1.String()},
		intent.Ref{Kind: intent.KindNeighbor, ID: peer2.String()})
	if st[0].Oper != intent.StatusUp || st[1].Oper != intent.StatusDown ||
		!strings.Contains(st[1].Components[0].Details, "it is shut down here") {
		t.Errorf("%+v", st)
	}
}

func TestNeighboursHaveMetricsOfTheirOwn(t *testing.T) {
	g := start(t, options{})
	g.speaker.SetPeers(somePeers()...)
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(g.c.Counters())
	const want = `
# HELP p4evpn_bgp_bfd_failures_total Losses of the path to a neighbour, by BFD, of the session that there is.
# TYPE p4evpn_bgp_bfd_failures_total counter
p4evpn_bgp_bfd_failures_total{neighbor="192.0.2.1"} 5
p4evpn_bgp_bfd_failures_total{neighbor="192.0.2.2"} 0
# HELP p4evpn_bgp_bfd_up 1 while BFD to a neighbour is up.
# TYPE p4evpn_bgp_bfd_up gauge
p4evpn_bgp_bfd_up{neighbor="192.0.2.1"} 1
p4evpn_bgp_bfd_up{neighbor="192.0.2.2"} 0
# HELP p4evpn_bgp_faults_total What neighbours sent that was not taken as it stood, by reason.
# TYPE p4evpn_bgp_faults_total counter
p4evpn_bgp_faults_total{neighbor="192.0.2.1",reason="label"} 4
p4evpn_bgp_faults_total{neighbor="192.0.2.1",reason="route_type"} 1
# HELP p4evpn_bgp_routes_limit Routes of a family above which a neighbour's session ends.
# TYPE p4evpn_bgp_routes_limit gauge
p4evpn_bgp_routes_limit{neighbor="192.0.2.1"} 1000
p4evpn_bgp_routes_limit{neighbor="192.0.2.2"} 250000
# HELP p4evpn_bgp_routes_received EVPN routes that a neighbour advertises now.
# TYPE p4evpn_bgp_routes_received gauge
p4evpn_bgp_routes_received{neighbor="192.0.2.1"} 7
p4evpn_bgp_routes_received{neighbor="192.0.2.2"} 0
# HELP p4evpn_bgp_session_up 1 while the session is established.
# TYPE p4evpn_bgp_session_up gauge
p4evpn_bgp_session_up{as="65101",neighbor="192.0.2.1"} 1
p4evpn_bgp_session_up{as="65102",neighbor="192.0.2.2"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "p4evpn_bgp_faults_total", "p4evpn_bgp_routes_limit",
		"p4evpn_bgp_routes_received", "p4evpn_bgp_session_up", "p4evpn_bgp_bfd_up", "p4evpn_bgp_bfd_failures_total"); err != nil {
		t.Error(err)
	}
}
