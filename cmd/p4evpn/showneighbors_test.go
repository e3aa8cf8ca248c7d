package main

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/view"
)

var shownNeighbor = view.Neighbor{
	Address: hop, AS: 65101, State: "established", Uptime: time.Hour, Received: 7, Advertised: 3, Limit: 250_000,
	RouterID: netip.MustParseAddr("10.0.0.3"), Families: []string{"evpn", "ipv4"}, Unicast: 2, EndOfRIB: true,
	Losses: 1, LastLoss: "hold timer expired",
	BFD: &view.BFD{State: "up", RemoteState: "up", Uptime: time.Minute, Transmission: 100 * time.Millisecond,
		Detection: 300 * time.Millisecond, LastDown: "detection time expired", Failures: 2, RemoteIndependent: true},
	FaultCounts: []view.FaultCount{{Reason: "community", Count: 12}, {Reason: "route_type", Count: 1}},
	Faults: []view.Fault{
		{Time: time.Date(2026, 5, 1, 12, 0, 0, 5e6, time.UTC), Reason: "route_type", What: "EVPN route type 6",
			Action: view.Discarded, Bytes: []byte{6, 0x1f}},
		{Time: time.Date(2026, 5, 1, 12, 0, 1, 0, time.UTC), Reason: "community", What: "attribute 16, community 06:7f",
			Action: view.Withdrawn},
	},
}

func TestShowOfOneNeighbourHasAllThatIsKnownOfIt(t *testing.T) {
	address := serve(t)
	out, err := command(t, "show", "neighbors", "10.1.1.1", "--api", address)
	if err != nil {
		t.Fatal(err)
	}
	const want = `neighbor          10.1.1.1
as                65101
router id         10.0.0.3
state             established
since             1h0m0s
reason            -
received/limit    evpn 7/250000, ipv4 2/250000
advertised        3
end of rib        yes
graceful restart  no
sessions lost     1
the last for      hold timer expired
bfd               up for 1m0s, lost 2 times
bfd timers        sent every 100ms, lost after 300ms
bfd of the peer   up, independent of its control plane, diagnostic -
bfd last down     detection time expired
faults            community 12, route_type 1

TIME                      REASON      WHAT                           DONE       FIRST BYTES
2026-05-01T12:00:00.005Z  route_type  EVPN route type 6              discarded  061f
2026-05-01T12:00:01Z      community   attribute 16, community 06:7f  withdrawn  -
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

func TestShowOfOneNeighbourIsOneRowOfJSON(t *testing.T) {
	address := serve(t)
	out, err := command(t, "show", "neighbors", "neighbors/10.1.1.1", "-o", "json", "--api", address)
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	if err := json.Unmarshal([]byte(out), &rows); err != nil || len(rows) != 1 {
		t.Fatalf("%v in\n%s", err, out)
	}
	fault := rows[0]["faults"].([]any)[0]
	want := map[string]any{"time": "2026-05-01T12:00:00.005Z", "reason": "route_type", "what": "EVPN route type 6",
		"action": "discarded", "bytes": "061f"}
	if !reflect.DeepEqual(fault, want) || rows[0]["limit"] != 250_000.0 ||
		!reflect.DeepEqual(rows[0]["families"], []any{"evpn", "ipv4"}) {
		t.Errorf("got %v\nwith the fault %v", rows[0], fault)
	}
}

func TestShowSaysWhyBFDIsNotKnown(t *testing.T) {
	for want, b := range map[string]*p4evpnv1.BfdSession{
		"bfd -":                           nil,
		"bfd unknown":                     {},
		"bfd trouble the process is away": {Trouble: "the process is away"},
		"bfd of the peer admin_down, shares fate with its control plane, diagnostic administratively down": {
			State: p4evpnv1.BfdState_BFD_STATE_DOWN, RemoteState: p4evpnv1.BfdState_BFD_STATE_ADMIN_DOWN,
			RemoteDiagnostic: "administratively down"},
	} {
		var lines []string
		for _, l := range showNeighbor(&p4evpnv1.Session{Bfd: b}).notes {
			lines = append(lines, strings.Join(strings.Fields(l), " "))
		}
		if !slices.Contains(lines, want) {
			t.Errorf("no %q in %q", want, lines)
		}
	}
}

func TestShowOfANeighbourThatIsNotThereSaysSo(t *testing.T) {
	address := serve(t)
	for asked, want := range map[string]string{
		"10.1.1.3": "neighbor 10.1.1.3",               // no object
		"10.1.1.2": "BGP does not have it yet",        // an object alone
		"leaf":     "want the neighbour's IP address", // neither
	} {
		_, err := command(t, "show", "neighbors", asked, "--api", address)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q in it", asked, err, want)
		}
	}
}
