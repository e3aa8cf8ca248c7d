package web_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/p4evpn/p4evpn/api"
	"github.com/p4evpn/p4evpn/api/web"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/internal/certtest"
	"github.com/p4evpn/p4evpn/internal/events"
	"github.com/p4evpn/p4evpn/internal/journal"
)

// gateway serves the page of rows that a test changes.
type gateway struct {
	rows    *rows
	changed *atomic.Uint64
	events  *slog.Logger
	address string // of the page, over TLS
	plain   string // the same without
	unix    string
	token   string
	http    *http.Client // over TLS, without a certificate
}

// rows are a View whose rows may change while it is asked.
type rows struct {
	view.View
	mu sync.RWMutex
}

// guarded is a View that is not changed meanwhile; what the page asks is asked of it.
func (r *rows) Hosts(ctx context.Context, bridge string) ([]view.Host, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.View.Hosts(ctx, bridge)
}

func (r *rows) Bridges(ctx context.Context) ([]view.Bridge, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.View.Bridges(ctx)
}

func (r *rows) Ports(ctx context.Context) ([]view.Port, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.View.Ports(ctx)
}

// change changes the rows, as a controller does.
func (g *gateway) change(do func(*controllertest.Rows)) {
	g.rows.mu.Lock()
	do(&g.rows.View.(*controllertest.View).Rows)
	g.rows.mu.Unlock()
	g.changed.Add(1)
}

type tracer struct{}

// Trace answers as the real one does, in short.
func (tracer) Trace(_ context.Context, r view.TraceRequest) (view.Trace, error) {
	if r.From == "" && r.Port == "" {
		return view.Trace{}, &view.TraceError{Field: "port", Problem: "want a port, a VTEP or a host"}
	}
	return view.Trace{
		Arrives: "802.1Q VLAN 10, 02:00:00:00:00:01 > 02:00:00:00:00:02, UDP 10.10.10.11 > 10.10.10.12 arrives at port1",
		Port:    "port1",
		Steps: []view.TraceStep{
			{Kind: "packet", Text: "ingress"}, {Kind: "parser state", Name: "start"}, {Kind: "parsed", Result: "ok"},
			{Kind: "table", Name: "bridge.vlan", Result: "hit", Entry: "bridge.vlan port=1 vlan=10 -> bridge 1",
				Why: "bridge port port1 of logical bridge blue", Changes: []string{"meta.bridge 0 -> 1"}},
			{Kind: "table", Name: "punt.trap", Result: "miss", Text: "table punt.trap: miss"},
			{Kind: "table", Name: "bridge.fdb", Result: "hit", Entry: "bridge.fdb bridge=1 mac=02:00:00:00:00:02 -> VTEP 3",
				Why: "type-2 route of 10.1.1.1, next hop 10.0.0.3"},
			{Kind: "egress", Text: "egress for uplink1"}, {Kind: "send", Text: "sent by uplink1"},
		},
		Results: []string{"leaves by uplink1 to VTEP 10.0.0.3 with VNI 100", "dropped: spoofed source"},
	}, nil
}

type checker struct{}

// Check finds that one frame goes astray.
func (checker) Check(_ context.Context, r view.CheckRequest) (view.Check, error) {
	if r.Bridge == "none" {
		return view.Check{}, &view.CheckError{Problem: "there is no bridge none"}
	}
	return view.Check{Frames: 1234, Entries: 567, Took: 1500 * time.Millisecond, Differences: []view.CheckDifference{{
		Object: "MAC 02:00:00:00:00:02 of bridge blue", Bridge: "blue", Port: "port1", Frame: make([]byte, 64),
		Arrives: "02:00:00:00:00:01 > 02:00:00:00:00:02 arrives at port1", Expected: "to VTEP 10.0.0.3 with VNI 100",
		Rule: "RFC 7432 section 9.2.2", Actual: "leaves by port2 untagged",
		Steps: []view.CheckStep{{Text: "bridge.vlan", Entry: "bridge.vlan port=1 vlan=10 -> bridge 1",
			Why: "bridge port port1"},
			{Text: "bridge.fdb", Entry: "bridge.fdb bridge=1 mac=02:00:00:00:00:02 -> port 2",
				Odd: "bridge.fdb bridge=1 mac=02:00:00:00:00:02 -> VTEP 3"}}}}}, nil
}

type statuses struct{}

func (statuses) Status(_ context.Context, refs ...intent.Ref) []intent.Status {
	return make([]intent.Status, len(refs))
}
func (statuses) Leaving(context.Context, intent.Kind) []intent.Leaving { return nil }

// serve serves the page until the test ends.
func serve(t testing.TB, rs controllertest.Rows) *gateway {
	t.Helper()
	dir := t.TempDir()
	cert, key := certtest.SelfSigned(t, "gateway", "localhost")
	g := &gateway{rows: &rows{View: &controllertest.View{Rows: rs}}, changed: new(atomic.Uint64),
		address: free(t), plain: free(t), unix: filepath.Join(dir, "page.sock")}
	log := journal.New()
	g.events = slog.New(log.Handler(slog.DiscardHandler))
	start := func(cfg api.Config) *api.Server {
		cfg.Store, cfg.Status, cfg.View, cfg.Tracer, cfg.Events = store(t), statuses{}, g.rows, tracer{}, log
		cfg.Checker = checker{}
		cfg.TokenKey, cfg.Changed, cfg.Logger = filepath.Join(dir, "token.key"), g.changed.Load, slog.New(slog.DiscardHandler)
		cfg.Underlay = controllertest.UnderlayRoutes{}
		cfg.Limits = api.Limits{Connections: 4096, ConnectionsPerClient: 4096}
		s, err := api.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		select {
		case <-s.Ready():
		case err := <-done:
			t.Fatal(err)
		}
		return s
	}
	start(api.Config{WebListen: []string{g.address, "unix:" + g.unix},
		Listen: []string{"unix:" + filepath.Join(dir, "api")},
		TLS:    &api.TLS{Certificate: cert, Key: key, ClientCA: cert},
		Roles:  map[string]api.Role{"CN=x": api.RoleViewer}})
	start(api.Config{WebListen: []string{g.plain}, Listen: []string{"unix:" + filepath.Join(dir, "api2")}})
	g.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: true}, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(g.http.CloseIdleConnections)
	g.token = createToken(t, filepath.Join(dir, "api"), time.Hour)
	return g
}

// free is an address of loopback at which nobody listens.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func store(t testing.TB) *intent.Store {
	t.Helper()
	s := intent.NewMemory()
	err := s.Update(func(tx *intent.Tx) error {
		for i, id := range []string{"blue", "green"} {
			b := intent.LogicalBridge{ID: id, VLAN: uint16(10 * (i + 1)), VNI: uint32(100 * (i + 1))}
			if _, err := tx.Bridges().Create(b); err != nil {
				return err
			}
		}
		if _, err := tx.Ports().Create(intent.BridgePort{ID: "port1", MAC: ether.MAC{2, 0, 0, 0, 0, 9}, Type: intent.Access,
			Bridges: []string{"blue"}}); err != nil {
			return err
		}
		if _, err := tx.VRFs().Create(intent.VRF{ID: "tenant", VNI: 5000}); err != nil {
			return err
		}
		_, err := tx.SVIs().Create(intent.SVI{ID: "svi-blue", VRF: "tenant", Bridge: "blue",
			Gateways: []netip.Prefix{netip.MustParsePrefix("10.10.10.1/24")}})
		if err != nil {
			return err
		}
		for i, address := range []string{"10.1.1.1", "10.1.2.1"} {
			n := intent.Neighbor{Address: netip.MustParseAddr(address), AS: uint32(65101 + i)}
			if _, err = tx.Neighbors().Create(n); err != nil {
				break
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// get asks for a page as who has the token.
func (g *gateway) get(t testing.TB, path string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+g.address+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+g.token)
	code, _, body := g.send(t, r)
	return code, body
}

func (g *gateway) send(t testing.TB, r *http.Request) (int, http.Header, string) {
	t.Helper()
	resp, err := g.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// rowsOf are what a test changes.
type rowsOf = controllertest.Rows

// sample are rows of each kind; hosts of them are as many as are asked for.
func sample(hosts int) controllertest.Rows {
	mac := func(n int) ether.MAC { return ether.MAC{2, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)} }
	leaf, spine := netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("10.1.1.1")
	rs := controllertest.Rows{
		Bridges: []view.Bridge{
			{Name: "blue", VLAN: 10, VNI: 100, VTEP: netip.MustParsePrefix("10.0.0.2/32"), State: view.Up,
				Ports: []string{"port1"}, MACs: 12, RemoteVTEPs: 2,
				Refusals: []view.Refusal{{Reason: "multicast", Count: 3, Address: netip.MustParseAddr("224.0.0.1"), MAC: mac(3)}}},
			{Name: "green", VLAN: 20, VNI: 200, State: view.Pending, Reason: "the target has not acknowledged all yet"},
		},
		VTEPs: []view.VTEP{
			{Address: leaf, State: view.Up, Bridges: []string{"blue"},
				Paths: []view.Path{{Uplink: "up1", NextHopMAC: mac(77)}, {Uplink: "up2", NextHopMAC: mac(78)}}},
			{Address: netip.MustParseAddr("10.0.0.4"), State: view.Down, Bridges: []string{"blue", "green"},
				Reason: "no route leads to it"},
		},
		Neighbors: []view.Neighbor{
			{Address: spine, AS: 65101, State: "established", Uptime: 26 * time.Hour, Received: 20480, Advertised: 12,
				Limit: 250000, RouterID: leaf, Families: []string{"evpn"}, EndOfRIB: true, Graceful: true,
				FaultCounts: []view.FaultCount{{Reason: "unknown_route_type", Count: 4}},
				Faults: []view.Fault{{Time: time.Unix(1767225600, 0), Reason: "unknown_route_type", What: "EVPN route type 6",
					Action: view.Discarded, Bytes: []byte{6, 3, 1}}},
				BFD: &view.BFD{State: "up", RemoteState: "up", Transmission: 100 * time.Millisecond,
					Detection: 300 * time.Millisecond}},
			{Address: netip.MustParseAddr("10.1.2.1"), AS: 65102, State: "active", Losses: 2, Reason: "the hold timer expired"},
		},
		Ports: []view.Port{
			{Name: "port1", Kind: view.BridgePort, Number: 1, Netdev: "vf1", Link: view.Up, LinkAge: time.Hour, State: view.Up,
				BridgePorts: []string{"port1"}, MACs: 4, PacketsIn: 1234567, BytesIn: 987654321, Spoofed: 17},
			{Name: "port2", Kind: view.BridgePort, Number: 2, Netdev: "vf2", Link: view.Down, LinkAge: time.Minute,
				State: view.Down, Reason: "it has no carrier"},
			{Name: "uplink1", Kind: view.Uplink, Number: 10, Netdev: "eth1", Link: view.Up, State: view.Up, PacketsIn: 55},
			{Name: "uplink1-host", Kind: view.HostPort, Number: 11, Netdev: "up1", Link: view.Up, State: view.Up},
			{Name: "uplink2", Kind: view.Uplink, Number: 12, Netdev: "eth2", Link: view.Up, State: view.Up},
			{Name: "uplink2-host", Kind: view.HostPort, Number: 13, Netdev: "up2", Link: view.Up, State: view.Up},
		},
		Routes: []view.Route{
			{Direction: view.In, Type: 2, RD: "10.0.0.3:10", RouteTargets: []string{"65000:100"}, VNI: 100, Peer: spine,
				Key: "[2]:[0]:[48]:[02:00:00:00:00:02]:[32]:[10.10.10.12]", NextHop: leaf, Sequence: 1, Selected: true,
				LocalPref: 100, NeighborAS: 65101, PathLength: 2, Origin: "IGP", Step: "AS path length",
				RouterMAC: mac(99), L3VNI: 5000},
			{Direction: view.In, Type: 2, RD: "10.0.0.4:10", RouteTargets: []string{"65000:100"}, VNI: 100, Peer: spine,
				Key: "[2]:[0]:[48]:[02:00:00:00:00:02]:[32]:[10.10.10.12]", NextHop: netip.MustParseAddr("10.0.0.4"),
				Reason: "another route is better: sequence number of MAC mobility"},
			{Direction: view.In, Type: 3, RD: "10.0.0.3:10", Key: "[3]:[0]:[32]:[10.0.0.3]", NextHop: leaf, VNI: 100,
				Peer: spine, Selected: true},
			{Direction: view.In, Type: 5, RD: "10.0.0.3:1", Key: "[5]:[0]:[24]:[10.20.0.0]", NextHop: leaf, VNI: 5000,
				Peer: spine, Selected: true},
			{Direction: view.Out, Type: 2, RD: "10.0.0.2:10", Key: "[2]:[0]:[48]:[02:00:00:00:00:01]", VNI: 100, Selected: true,
				Sticky: true, ARPND: "router, override"},
		},
		Entries: []view.Entry{
			{Table: "bridge.fdb", Text: "bridge.fdb bridge=1 mac=02:00:00:00:00:02 -> to VTEP 3", Level: 3, Acked: true},
			{Table: "router.ipv4", Text: "router.ipv4 vrf=1 10.20.0.0/24 -> VTEP 3", Level: 4, Error: "RESOURCE_EXHAUSTED: table is full"},
		},
		VRFs: []view.VRF{{Name: "tenant", VNI: 5000, State: view.Up, SVIs: []string{"svi-blue"}, Hosts: uint32(hosts),
			Prefixes: uint32(hosts) + 3, RouterMAC: mac(1), Loopback: netip.MustParsePrefix("10.100.0.1/32")}},
		SVIs: []view.SVI{{Name: "svi-blue", VRF: "tenant", Bridge: "blue", MAC: mac(254), Anycast: true, State: view.Up,
			Gateways: []netip.Prefix{netip.MustParsePrefix("10.10.10.1/24")}}},
		Prefixes: []view.Prefix{
			{VRF: "tenant", Prefix: netip.MustParsePrefix("10.10.10.0/24"), Kind: view.PrefixConnected, Bridge: "blue",
				Selected: true, State: view.Up},
			{VRF: "tenant", Prefix: netip.MustParsePrefix("10.10.10.12/32"), Kind: view.PrefixHost, Bridge: "blue", MAC: mac(2),
				Selected: true, State: view.Up},
			{VRF: "tenant", Prefix: netip.MustParsePrefix("10.20.0.0/24"), Kind: view.PrefixRemote, VTEP: leaf, VNI: 5000,
				RouterMAC: mac(99), Selected: true, State: view.Down, Reason: "the target refused it: table is full"},
		},
		Drops: []view.Drop{{Stage: "ingress", Reason: "spoofed", Means: "the source address is not the station's",
			Dropped: view.Dropped{Packets: 17, Bytes: 1700},
			Ports:   []view.DropsOf{{Name: "port1", Dropped: view.Dropped{Packets: 17}}},
			Bridges: []view.DropsOf{{Name: "blue", Dropped: view.Dropped{Packets: 17}}},
			Sample:  &view.DropSample{Port: "port1", Time: time.Unix(1767225600, 0), Frame: make([]byte, 64)}}},
		Lookup: view.Lookup{Entry: "router.ipv4 vrf=1 10.20.0.0/24 -> VTEP 3",
			Result: "it is sent to VTEP 10.0.0.3 with VNI 5000",
			Candidates: []view.Prefix{{VRF: "tenant", Prefix: netip.MustParsePrefix("10.20.0.0/24"), Kind: view.PrefixRemote,
				VTEP: leaf, VNI: 5000, Selected: true, State: view.Up}}},
	}
	claim := view.Claim{MAC: mac(2), Sources: []view.ClaimSource{view.SourceRoute}, VTEP: leaf, Sequence: 1,
		State: view.ClaimActive, Reason: "it has the highest sequence number"}
	lost := view.Claim{MAC: mac(5), Sources: []view.ClaimSource{view.SourceHost}, Port: "port1", Age: time.Minute,
		State: view.ClaimDuplicate, Reason: "it moved too often"}
	rs.MACs = []view.MAC{{FDBEntry: view.FDBEntry{Bridge: "blue", MAC: mac(2), Kind: view.Remote, VTEP: leaf, VNI: 100,
		Sequence: 1, State: view.Up}, Claims: []view.Claim{claim},
		Addresses: []netip.Addr{netip.MustParseAddr("10.10.10.12")}}}
	rs.Hosts = []view.Host{{Bridge: "blue", IP: netip.MustParseAddr("10.10.10.12"), MAC: mac(2), Kind: view.HostRemote,
		VTEP: leaf, State: view.Up, Claims: []view.Claim{claim, lost}}}
	rs.FDB = []view.FDBEntry{rs.MACs[0].FDBEntry, {Bridge: "blue", MAC: mac(1), Kind: view.Local, Port: "port1",
		Age: 3 * time.Minute, State: view.Up}, {Bridge: "blue", MAC: mac(5), Kind: view.Local, Port: "port1",
		State: view.Pending, Reason: "frozen: it moved too often"}}
	for i := range hosts {
		ip := netip.AddrFrom4([4]byte{10, 30, byte(i >> 8), byte(i)})
		rs.Hosts = append(rs.Hosts, view.Host{Bridge: "blue", IP: ip, MAC: mac(0x10000 + i), Kind: view.HostLocal,
			Port: "port1", State: view.Up})
	}
	return rs
}

// happen has events that a gateway would have.
func (g *gateway) happen() {
	g.events.Info("a BGP session is up", events.Key, events.Session, "neighbor", "10.1.1.1", "families", "evpn")
	g.events.Warn("a MAC moved too often", events.Key, events.Duplicate, "bridge", "blue", "mac", "02:00:00:00:00:05")
	g.events.Error("the target went", events.Key, events.Target, "err", "connection refused")
}

// createToken asks the API for a token.
func createToken(t testing.TB, socket string, lifetime time.Duration) string {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer c.CloseIdleConnections()
	body := fmt.Sprintf(`{"role": "viewer", "lifetime": "%ds", "holder": "alice"}`, int(lifetime.Seconds()))
	resp, err := c.Post("http://localhost/p4evpn/v1/tokens", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	_, rest, ok := strings.Cut(string(b), `"token":"`)
	token, _, _ := strings.Cut(rest, `"`)
	if err != nil || !ok {
		t.Fatalf("%v: %s", err, b)
	}
	return token
}

// bare are pages whose API has nothing to say.
func bare(testing.TB) *web.Pages {
	return web.New(web.Config{API: silent{}, Changed: func() uint64 { return 0 }, Logger: slog.New(slog.DiscardHandler)})
}

// silent answers each call by nothing.
type silent struct{}

func (silent) Invoke(context.Context, string, any, any, ...grpc.CallOption) error { return nil }

func (silent) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nothing{}, nil
}

type nothing struct{ grpc.ClientStream }

func (nothing) SendMsg(any) error { return nil }
func (nothing) CloseSend() error  { return nil }
func (nothing) RecvMsg(any) error { return io.EOF }
