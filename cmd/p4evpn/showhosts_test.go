package main

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/api"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
)

// claimed has an address and a MAC of which two say something.
var claimed = &controllertest.View{Rows: controllertest.Rows{
	Hosts: []view.Host{
		{Bridge: "blue", IP: netip.MustParseAddr("2001:db8::9"), MAC: mac, Kind: view.HostLocal, Port: "port1", State: view.Up,
			Claims: []view.Claim{
				{MAC: mac, Sources: []view.ClaimSource{view.SourceHost, view.SourceRestart}, Port: "port1", Sequence: 1,
					Age: 61 * time.Second, FlagsKnown: true, Router: true, State: view.ClaimActive, Reason: "it spoke last"},
				{MAC: ether.MAC{2, 0, 0, 0, 0, 2}, Sources: []view.ClaimSource{view.SourceRoute}, VTEP: leaf, Immutable: true,
					State: view.ClaimInactive, Reason: "a claim here is better"},
			}},
		{Bridge: "blue", IP: netip.MustParseAddr("10.10.10.1"), MAC: mac, Kind: view.HostGateway, State: view.Up},
	},
	MACs: []view.MAC{{
		FDBEntry: view.FDBEntry{Bridge: "blue", MAC: mac, Kind: view.Local, Port: "port1", State: view.Up, Reason: "frozen"},
		Claims: []view.Claim{{MAC: mac, Sources: []view.ClaimSource{view.SourceHost}, Port: "port1", State: view.ClaimActive,
			Reason: "nobody else says so"}},
		Addresses: []netip.Addr{netip.MustParseAddr("10.10.10.7")},
	}},
}}

func TestShowHostsAndFDBSayWhoClaimsAnAddressOrMAC(t *testing.T) {
	store := intent.NewMemory()
	t.Cleanup(func() { _ = store.Close() })
	address := serveStore(t, api.Config{Store: store, View: claimed})
	for what, want := range map[string]string{
		"hosts": `BRIDGE  ADDRESS      MAC                KIND     WHERE     STATE  CLAIM     LEARNED       SEQ  AGE   FLAGS               REASON
blue    10.10.10.1   02:00:00:00:00:01  gateway  -         up     -         -             -    -     -                   -
blue    2001:db8::9  02:00:00:00:00:01  local    port1     up     active    host,restart  1    1m1s  router,no-override  it spoke last
blue    2001:db8::9  02:00:00:00:00:02  -        10.0.0.3  -      inactive  route         0    -     unknown,immutable   a claim here is better
`,
		"hosts 10.10.10.1": `BRIDGE  ADDRESS     MAC                KIND     WHERE  STATE  CLAIM  LEARNED  SEQ  AGE  FLAGS  REASON
blue    10.10.10.1  02:00:00:00:00:01  gateway  -      up     -      -        -    -    -      -
`,
		"fdb 02:00:00:00:00:01": `02:00:00:00:00:01 in bridge blue: local, up: frozen
addresses: 10.10.10.7

BRIDGE  WHERE  LEARNED  SEQ  STICKY  AGE  CLAIM   REASON
blue    port1  host     0    no      -    active  nobody else says so
`,
	} {
		args := append(append([]string{"show"}, strings.Fields(what)...), "--api", address)
		out, err := command(t, args...)
		if err != nil || out != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", what, err, out, want)
		}
		out, err = command(t, append(args, "-o", "json")...)
		var rows []map[string]any
		if err != nil || json.Unmarshal([]byte(out), &rows) != nil || len(rows) == 0 {
			t.Errorf("%s in JSON: %v\n%s", what, err, out)
		}
	}
}
