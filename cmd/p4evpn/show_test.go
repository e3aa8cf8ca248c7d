package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/api"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
)

var (
	mac  = ether.MAC{2, 0, 0, 0, 0, 1}
	leaf = netip.MustParseAddr("10.0.0.3")
	hop  = netip.MustParseAddr("10.1.1.1")
)

// shown is a gateway with one of everything.
var shown = &controllertest.View{Rows: controllertest.Rows{
	Bridges: []view.Bridge{{Name: "blue", VLAN: 10, VNI: 100, State: view.Up, Ports: []string{"port1", "port2"}, MACs: 3,
		RemoteVTEPs: 2}},
	FDB: []view.FDBEntry{
		{Bridge: "blue", MAC: mac, Kind: view.Local, Port: "port1", State: view.Up, Age: 61 * time.Second},
		{Bridge: "blue", MAC: ether.MAC{2, 0, 0, 0, 0, 2}, Kind: view.Remote, VTEP: leaf, VNI: 100, Sequence: 4, State: view.Up},
	},
	VTEPs: []view.VTEP{{Address: leaf, State: view.Up, Paths: []view.Path{{Uplink: "up1", NextHopMAC: mac}},
		Bridges: []string{"blue"}}},
	Routes: []view.Route{{Direction: view.Out, Type: 2, RD: "10.0.0.1:100", Key: "[2]:[0]:[48]:[02:00:00:00:00:01]",
		NextHop: netip.MustParseAddr("10.0.0.1"), VNI: 100, Selected: true}},
	Neighbors: []view.Neighbor{shownNeighbor},
	Ports: []view.Port{{Name: "port1", Kind: view.BridgePort, Number: 1, Netdev: "vf1", Link: view.Up, State: view.Up,
		PacketsIn: 12, LinkAge: 61 * time.Second, Losses: 17, ErrorsIn: 23, ErrorsOut: 29}},
	Entries: []view.Entry{{Table: "bridge.fdb",
		Text: "bridge.fdb bridge=1 mac=02:00:00:00:00:01 -> bridge.to_port port=1", Level: 3, Acked: true}},
	VRFs: []view.VRF{{Name: "green", VNI: 5000, Loopback: netip.MustParsePrefix("10.100.0.1/32"), RouterMAC: mac,
		State: view.Up,
		SVIs:  []string{"svi-blue"}, Hosts: 4, Prefixes: 9}},
	SVIs: []view.SVI{{Name: "svi-blue", VRF: "green", Bridge: "blue", MAC: mac, Anycast: true, State: view.Up,
		Aliases:  []ether.MAC{{2, 0, 0, 0, 0, 0x71}},
		Gateways: []netip.Prefix{netip.MustParsePrefix("10.10.10.1/24"), netip.MustParsePrefix("2001:db8::1/64")}}},
	Hosts: []view.Host{{Bridge: "blue", IP: netip.MustParseAddr("10.10.10.11"), MAC: mac, Kind: view.HostRemote,
		VTEP: leaf, State: view.Up}},
	Prefixes: []view.Prefix{
		{VRF: "green", Prefix: netip.MustParsePrefix("10.10.10.0/24"), Kind: view.PrefixConnected, Bridge: "blue", Selected: true, State: view.Up},
		toLeaf,
	},
	Drops: []view.Drop{{Stage: "ingress", Reason: "hairpin", Means: "it goes back", Dropped: view.Dropped{Packets: 31},
		Ports: []view.DropsOf{{Name: "port1", Dropped: view.Dropped{Packets: 30}}}}},
	Lookup: view.Lookup{Entry: "router.ipv4 vrf=1 destination=6.6.6.0/24 -> router.to_vtep vtep=1",
		Result: "to VTEP 10.0.0.3", Candidates: []view.Prefix{toLeaf}},
}}

var toLeaf = view.Prefix{VRF: "green", Prefix: netip.MustParsePrefix("6.6.6.0/24"), Kind: view.PrefixRemote,
	VTEP: leaf, VNI: 5000,
	RouterMAC: mac, Selected: true, State: view.Up, Uplinks: []string{"eth8", "eth9"}, Slots: 22}

var shownUnderlay = controllertest.UnderlayRoutes{{Prefix: netip.MustParsePrefix("10.0.0.4/32"),
	NextHops: []netip.Addr{hop}, Neighbors: []netip.Addr{hop}, State: view.Up}}

// serve runs an API with what is shown on a Unix socket and gives its address.
func serve(t *testing.T) string {
	t.Helper()
	return serveWith(t, nil)
}

func serveWith(t *testing.T, auditor view.Auditor) string {
	t.Helper()
	store := intent.NewMemory(intent.Neighbor{Address: hop, AS: 65101},
		intent.Neighbor{Address: netip.MustParseAddr("10.1.1.2"), AS: 65102})
	t.Cleanup(func() { _ = store.Close() })
	err := store.Update(func(tx *intent.Tx) error { _, err := tx.VRFs().Create(intent.VRF{ID: "green"}); return err })
	if err != nil {
		t.Fatal(err)
	}
	return serveStore(t, api.Config{Store: store, View: shown, Underlay: shownUnderlay, Auditor: auditor})
}

// serveStore runs an API on a Unix socket and gives its address.
func serveStore(t *testing.T, cfg api.Config) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "api.sock")
	cfg.Listen, cfg.Logger = []string{"unix://" + path}, slog.New(slog.DiscardHandler)
	srv, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, lis) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "unix://" + path
}

func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&out)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := root.ExecuteContext(ctx)
	return out.String(), err
}

func TestShowPrintsOneLineForEachRow(t *testing.T) {
	address := serve(t)
	for what, want := range map[string][]string{
		"bridges":             {"BRIDGE", "blue", "port1,port2"},
		"fdb":                 {"MAC", "02:00:00:00:00:01", "port1", "1m1s", "10.0.0.3 vni 100"},
		"vteps":               {"VTEP", "10.0.0.3", "up1 via 02:00:00:00:00:01"},
		"routes":              {"ROUTE", "[2]:[0]:[48]:[02:00:00:00:00:01]", "10.0.0.1:100"},
		"neighbors":           {"NEIGHBOR", "10.1.1.1", "established", "1h0m0s", "RECEIVED/LIMIT", "7/250000"},
		"entries":             {"ENTRY", "bridge.to_port port=1", "yes"},
		"vrfs":                {"VRF", "green", "5000", "10.100.0.1/32", "svi-blue"},
		"svis":                {"SVI", "svi-blue", "green", "10.10.10.1/24,2001:db8::1/64", "yes", "02:00:00:00:00:71"},
		"hosts":               {"ADDRESS", "10.10.10.11", "02:00:00:00:00:01", "remote", "10.0.0.3"},
		"ports":               {"CARRIER", "port1", "vf1", "up", "1m1s", "17", "23", "29"},
		"drops":               {"REASON", "hairpin", "31", "port1 30", "it goes back"},
		"underlay":            {"PREFIX", "10.0.0.4/32", "10.1.1.1", "up"},
		"prefixes":            {"PREFIX", "10.10.10.0/24", "bridge blue", "6.6.6.0/24", "10.0.0.3 vni 5000 router mac 02:00:00:00:00:01 by eth8,eth9 (22 of 64 slots)"},
		"route green 6.6.6.6": {"6.6.6.6 in VRF green: to VTEP 10.0.0.3", "entry: router.ipv4 vrf=1", "CANDIDATE", "6.6.6.0/24"},
	} {
		t.Run(what, func(t *testing.T) {
			args := append(append([]string{"show"}, strings.Fields(what)...), "--api", address)
			out, err := command(t, args...)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range want {
				if !strings.Contains(out, w) {
					t.Errorf("no %q in\n%s", w, out)
				}
			}
			out, err = command(t, append(args, "-o", "json")...)
			if err != nil {
				t.Fatal(err)
			}
			var rows []map[string]any
			if err := json.Unmarshal([]byte(out), &rows); err != nil || len(rows) == 0 {
				t.Errorf("JSON: %v in\n%s", err, out)
			}
		})
	}
}

func TestShowHasTheSameWordsInTableAndJSON(t *testing.T) {
	address := serve(t)
	for what, fields := range map[string]map[string]string{
		"bridges": {"state": "up"}, "fdb": {"kind": "local", "state": "up"}, "vteps": {"state": "up"}, "routes": {"direction": "out"},
		"routes out": {"direction": "out"}, "neighbors": {"state": "established"}, "vrfs": {"state": "up"}, "svis": {"state": "up"},
		"hosts": {"kind": "remote", "state": "up"}, "underlay": {"state": "up"}, "prefixes": {"kind": "remote", "state": "up"},
	} {
		t.Run(what, func(t *testing.T) {
			args := append(append([]string{"show"}, strings.Fields(what)...), "--api", address)
			text, err := command(t, args...)
			if err != nil {
				t.Fatal(err)
			}
			out, err := command(t, append(args, "-o", "json")...)
			if err != nil {
				t.Fatal(err)
			}
			var rows []map[string]any
			if err := json.Unmarshal([]byte(out), &rows); err != nil {
				t.Fatal(err)
			}
			for field, want := range fields {
				if rows[0][field] != want {
					t.Errorf("JSON has %q as %v, want %s", field, rows[0][field], want)
				}
				if !slices.Contains(strings.Fields(text), want) {
					t.Errorf("no %s in\n%s", want, text)
				}
			}
		})
	}
}

func TestShowSaysWhatToDoWhenNoGatewayAnswers(t *testing.T) {
	_, err := command(t, "show", "bridges", "--api", "unix:"+filepath.Join(t.TempDir(), "none"), "--timeout", "5s")
	if err == nil || !strings.Contains(err.Error(), "no gateway answers at") {
		t.Errorf("got %v", err)
	}
}

func TestWrongFlagsAreNamed(t *testing.T) {
	for want, args := range map[string][]string{
		"--output":         {"show", "bridges", "-o", "xml"},
		"--log-level":      {"show", "bridges", "--log-level", "loud"},
		"PORT@INTERFACE":   {"switch", "-i", "veth1"},
		"P4Info":           {"switch", "program.json"},
		"reading the conf": {"run", "-c", "/does/not/exist.yaml"},
		`"config"`:         {"run"},
		"unknown command":  {"shwo"},
		`"fbd" for`:        {"show", "fbd"},
		"accepts 2 arg":    {"show", "route", "green"},
		"want in, out":     {"show", "routes", "inn"},
		"at most 1 arg":    {"show", "neighbors", "10.1.1.1", "10.1.1.2"},
	} {
		if _, err := command(t, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v; want it to hold %q", args, err, want)
		}
	}
}
