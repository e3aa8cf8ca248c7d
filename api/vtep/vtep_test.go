package vtep

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
)

var remote = netip.MustParseAddr("10.0.0.3")

// shown is a gateway with two bridge ports, an uplink, one neighbour that is up,
// and one station behind another VTEP.
var shown = &controllertest.View{Rows: controllertest.Rows{
	Neighbors: []view.Neighbor{{Address: remote, State: "established"}},
	Ports: []view.Port{
		{Name: "port1", Netdev: "vf1", Number: 1, Kind: view.BridgePort},
		{Name: "port2", Netdev: "vf2", Number: 2, Kind: view.BridgePort},
		{Name: "uplink1", Number: 10, Kind: view.Uplink},
	},
	FDB:    []view.FDBEntry{{Bridge: "vni-10", MAC: station, Kind: view.Remote, VTEP: remote}},
	Hosts:  []view.Host{{Bridge: "vni-10", IP: netip.MustParseAddr("192.168.222.12"), MAC: station}},
	VTEPs:  []view.VTEP{{Address: remote, Paths: []view.Path{{Uplink: "up1", Port: 10}}}},
	Routes: []view.Route{{Direction: view.Out, Type: 3, VNI: 20, RD: "10.0.0.1:20"}},
}}

var station = ether.MAC{0x02, 0xac, 0x10, 0xff, 0x00, 0x12}

// rest is a handler to ask.
type rest struct {
	t     *testing.T
	store *intent.Store
	mux   http.Handler
}

func newREST(t *testing.T, configured ...intent.Object) *rest {
	store := intent.NewMemory(configured...)
	return &rest{t, store, NewMux(&Handler{Store: store, View: shown, VTEP: netip.MustParseAddr("10.0.0.1")})}
}

// ask gives the status and the body of the answer to "METHOD PATH".
func (r *rest) ask(request, body string) (int, string) {
	r.t.Helper()
	method, path, _ := strings.Cut(request, " ")
	w := httptest.NewRecorder()
	r.mux.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	if ct := w.Header().Get("Content-Type"); ct != "application/json" {
		r.t.Errorf("%s: content type %q", request, ct)
	}
	return w.Code, w.Body.String()
}

// want asks and compares the answer, as JSON, with what it must be.
func (r *rest) want(request, body, want string) {
	r.t.Helper()
	code, got := r.ask(request, body)
	var a, b any
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		r.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(got), &a); err != nil || code != http.StatusOK || !reflect.DeepEqual(a, b) {
		r.t.Errorf("%s %s: %d\n got %s\nwant %s", request, body, code, got, want)
	}
}

// refused asks for what must fail, with this status, and change nothing.
func (r *rest) refused(request, body string, status int, says string) {
	r.t.Helper()
	before := r.store.Version()
	code, got := r.ask(request, body)
	var e struct {
		Error  string
		Status int
	}
	if err := json.Unmarshal([]byte(got), &e); err != nil || code != status || e.Status != status ||
		!strings.Contains(e.Error, says) {
		r.t.Errorf("%s %.200s: %d %s\nwant %d and an error that says %q", request, body, code, got, status, says)
	}
	if r.store.Version() != before {
		r.t.Errorf("%s %.200s was refused and changed something", request, body)
	}
}

// The first half of the example of two data centres.
func (r *rest) example() {
	r.t.Helper()
	r.want("POST /vtep/speakers", `{"dpid": 1, "as_number": 65000, "router_id": "10.0.0.1"}`,
		`{"10.0.0.1": {"EvpnSpeaker": {"as_number": 65000, "dpid": 1, "neighbors": {}, "router_id": "10.0.0.1"}}}`)
	r.want("POST /vtep/neighbors", `{"address": "10.0.0.3", "remote_as": 65000}`,
		`{"10.0.0.3": {"EvpnNeighbor": {"address": "10.0.0.3", "remote_as": 65000, "state": "down"}}}`)
	r.want("POST /vtep/networks", `{"vni": 10}`,
		`{"10": {"EvpnNetwork": {"clients": {}, "ethernet_tag_id": 0, "route_dist": "65000:10", "vni": 10}}}`)
	r.want("POST /vtep/networks/10/clients", `{"port": "vf1", "mac": "02:ac:10:ff:00:11", "ip": "192.168.222.11"}`,
		`{"10": {"EvpnClient": {"ip": "192.168.222.11", "mac": "02:ac:10:ff:00:11", "next_hop": "10.0.0.1", "port": 1}}}`)
}

func TestTheExamplesRequestsGetTheOriginalsAnswers(t *testing.T) {
	r := newREST(t)
	r.example()
	r.want("GET /vtep/speakers", "", `{"10.0.0.1": {"EvpnSpeaker": {"as_number": 65000, "router_id": "10.0.0.1",
		"neighbors": {"10.0.0.3": {"EvpnNeighbor": {"address": "10.0.0.3", "remote_as": 65000, "state": "up"}}}}}}`)
	neighbor := `{"10.0.0.3": {"EvpnNeighbor": {"address": "10.0.0.3", "remote_as": 65000, "state": "up"}}}`
	r.want("GET /vtep/neighbors", "", neighbor)
	r.want("GET /vtep/neighbors/10.0.0.3", "", neighbor)
	network := `{"10": {"EvpnNetwork": {"ethernet_tag_id": 0, "route_dist": "65000:10", "vni": 10, "clients": {
		"02:ac:10:ff:00:11": {"EvpnClient": {"ip": "192.168.222.11", "mac": "02:ac:10:ff:00:11", "next_hop": "10.0.0.1", "port": 1}},
		"02:ac:10:ff:00:12": {"EvpnClient": {"ip": "192.168.222.12", "mac": "02:ac:10:ff:00:12", "next_hop": "10.0.0.3", "port": 10}}}}}}`
	r.want("GET /vtep/networks", "", network)
	r.want("GET /vtep/networks/10", "", network)
	r.want("DELETE /vtep/networks/10/clients/02:ac:10:ff:00:11", "",
		`{"10": {"EvpnClient": {"ip": "192.168.222.11", "mac": "02:ac:10:ff:00:11", "next_hop": "10.0.0.1", "port": 1}}}`)
	r.want("DELETE /vtep/neighbors/10.0.0.3", "", neighbor)
	r.want("GET /vtep/neighbors", "", `{}`)
}

// In both originals a client that is there is replaced, whatever is new of it.
func TestAClientThatIsMadeAgainIsReplaced(t *testing.T) {
	r := newREST(t)
	r.example()
	for _, c := range []struct{ given, ip, port string }{
		{`"port1"`, "192.168.222.11", "1"}, {`2`, "192.168.222.11", "2"}, {`"vf2"`, "192.168.222.99", "2"},
		{`"vf1"`, "192.168.222.11", "1"},
	} {
		body := `{"EvpnClient": {"ip": "` + c.ip + `", "mac": "02:ac:10:ff:00:11", "next_hop": "10.0.0.1", "port": ` + c.port + `}}`
		r.want("POST /vtep/networks/10/clients", `{"port": `+c.given+`, "mac": "02:ac:10:ff:00:11", "ip": "`+c.ip+`"}`, `{"10": `+body+`}`)
		r.want("GET /vtep/networks", "", `{"10": {"EvpnNetwork": {"ethernet_tag_id": 0, "route_dist": "65000:10", "vni": 10, "clients": {
			"02:ac:10:ff:00:11": `+body+`,
			"02:ac:10:ff:00:12": {"EvpnClient": {"ip": "192.168.222.12", "mac": "02:ac:10:ff:00:12", "next_hop": "10.0.0.3", "port": 10}}}}}}`)
	}
	err := r.store.Update(func(tx *intent.Tx) error {
		_, err := tx.StaticMACs().Create(intent.StaticMAC{ID: "host1", Bridge: "vni-10", Port: "port1",
			MAC: ether.MAC{2, 5: 9}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r.refused("POST /vtep/networks/10/clients", `{"port": "port1", "mac": "02:00:00:00:00:09", "ip": "192.168.222.9"}`, 409, "host1")
}

// In both originals a network's own clients go before it does.
func TestADeletedNetworkAnswersWithItsClientsElsewhereAlone(t *testing.T) {
	r := newREST(t)
	r.example()
	r.want("DELETE /vtep/networks/10", "", `{"10": {"EvpnNetwork": {"ethernet_tag_id": 0, "route_dist": "65000:10", "vni": 10,
		"clients": {"02:ac:10:ff:00:12": {"EvpnClient": {"ip": "192.168.222.12", "mac": "02:ac:10:ff:00:12", "next_hop": "10.0.0.3",
		"port": 10}}}}}}`)
}

// nothingLeft holds that the store has no object.
func (r *rest) nothingLeft() {
	r.t.Helper()
	_ = r.store.View(func(tx *intent.Tx) error {
		if n := len(tx.Bridges().List("", 0)) + len(tx.Instances().List("", 0)) + len(tx.StaticMACs().List("", 0)) +
			len(tx.Neighbors().List("", 0)) + len(tx.Speakers().List("", 0)); n > 0 {
			r.t.Errorf("%d objects are left", n)
		}
		return nil
	})
}

// evpn-for-ovn's README: a client is on port "vm1", by its interface or by name.
func TestTheExampleOfEVPNForOVNGetsItsAnswers(t *testing.T) {
	v := &controllertest.View{Rows: shown.Rows}
	v.Rows.Ports = []view.Port{{Name: "vm1", Netdev: "tap7", Number: 1, Kind: view.BridgePort},
		{Name: "port2", Netdev: "vm2", Number: 2, Kind: view.BridgePort}}
	r := newREST(t)
	r.mux = NewMux(&Handler{Store: r.store, View: v, VTEP: netip.MustParseAddr("10.0.0.1")})
	r.want("POST /vtep/speakers", `{"as_number": 65000, "router_id": "10.0.0.1"}`,
		`{"10.0.0.1": {"EvpnSpeaker": {"as_number": 65000, "neighbors": {}, "router_id": "10.0.0.1"}}}`)
	r.want("POST /vtep/networks", `{"vni": 10, "logical_switch": "ls1"}`,
		`{"10": {"EvpnNetwork": {"clients": {}, "ethernet_tag_id": 0, "logical_switch": "ls1", "route_dist": "65000:10", "vni": 10}}}`)
	clients := `"02:ac:10:ff:00:12": {"EvpnClient": {"ip": "192.168.222.12", "mac": "02:ac:10:ff:00:12", "next_hop": "10.0.0.3",
		"port": "vxlan_10.0.0.3_10"}}`
	for mac, port := range map[string]string{"02:ac:10:ff:00:21": `"vm1"`, "02:ac:10:ff:00:22": `"vm2"`,
		"02:ac:10:ff:00:23": `"1"`, "02:ac:10:ff:00:24": `"port2"`} {
		ip := "192.168.222.1" + mac[len(mac)-2:]
		body := `{"EvpnClient": {"ip": "` + ip + `", "mac": "` + mac + `", "next_hop": "10.0.0.1", "port": ` + port + `}}`
		for range 2 { // the same again is no mistake
			r.want("POST /vtep/networks/10/clients", `{"port": `+port+`, "mac": "`+mac+`", "ip": "`+ip+`"}`, `{"10": `+body+`}`)
		}
		clients += `, "` + mac + `": ` + body
	}
	network := `{"10": {"EvpnNetwork": {"ethernet_tag_id": 0, "logical_switch": "ls1", "route_dist": "65000:10", "vni": 10,
		"clients": {` + clients + `}}}}`
	r.want("GET /vtep/networks/10", "", network)
	r.want("GET /vtep/networks", "", network)
	r.want("DELETE /vtep/speakers", "",
		`{"10.0.0.1": {"EvpnSpeaker": {"as_number": 65000, "neighbors": {}, "router_id": "10.0.0.1"}}}`)
	r.nothingLeft()
}

// The port of evpn-for-ovn's clients is one of OVN's, which is none of ours.
func TestAClientOfALogicalSwitchIsAtAnyPortOfOVNs(t *testing.T) {
	speaker := func(r *rest) *rest {
		r.t.Helper()
		r.want("POST /vtep/speakers", `{"as_number": 65000, "router_id": "10.0.0.1"}`,
			`{"10.0.0.1": {"EvpnSpeaker": {"as_number": 65000, "neighbors": {}, "router_id": "10.0.0.1"}}}`)
		for vni, name := range map[string]string{"10": "ls1", "20": "ls2", "30": ""} {
			if code, body := r.ask("POST /vtep/networks", `{"vni": `+vni+`, "logical_switch": "`+name+`"}`); code != http.StatusOK {
				r.t.Fatal(body)
			}
		}
		return r
	}
	client := func(port string) string {
		return `{"port": ` + port + `, "mac": "02:ac:10:ff:00:21", "ip": "192.168.222.21"}`
	}
	behind := func(ovn string) *rest {
		r := newREST(t)
		r.mux = NewMux(&Handler{Store: r.store, View: shown, VTEP: netip.MustParseAddr("10.0.0.1"), OVN: ovn})
		return speaker(r)
	}
	r := behind("port2")
	long := `"` + strings.Repeat("x", 255) + `"`
	for _, port := range []string{`"vm1"`, `"tenant_pod-0.ns"`, `"größer"`, long, `"99"`} {
		answer := `{"EvpnClient": {"ip": "192.168.222.21", "mac": "02:ac:10:ff:00:21", "next_hop": "10.0.0.1", "port": ` + port + `}}`
		for _, vni := range []string{"10", "20"} {
			r.want("POST /vtep/networks/"+vni+"/clients", client(port), `{"`+vni+`": `+answer+`}`)
			if code, body := r.ask("GET /vtep/networks/"+vni, ""); code != http.StatusOK || !strings.Contains(body, `"port":`+port) {
				t.Errorf("network %s: %d %s, want port %s in it", vni, code, body, port)
			}
		}
	}
	trunk := func(want ...string) {
		t.Helper()
		_ = r.store.View(func(tx *intent.Tx) error {
			p, err := tx.Ports().Get("port2")
			if want == nil && err == nil || want != nil && (p.Type != intent.Trunk || !slices.Equal(p.Bridges, want)) {
				t.Errorf("bridge port %+v, want a trunk of %v", p, want)
			}
			return nil
		})
	}
	trunk("vni-10", "vni-20")
	r.refused("POST /vtep/networks/30/clients", client(`"vm1"`), 404, "No such OFPort: vm1")
	r.refused("POST /vtep/networks/10/clients", client(`""`), 404, "No such OFPort")
	r.refused("POST /vtep/networks/10/clients", client(`"\u0000"`), 400, "port")
	r.refused("POST /vtep/networks/10/clients", client(`"x`+strings.Trim(long, `"`)+`"`), 400, "255")
	if code, body := r.ask("DELETE /vtep/networks/10", ""); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	trunk("vni-20")
	if code, body := r.ask("DELETE /vtep/speakers", ""); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	trunk()
	r.nothingLeft()

	behind("").refused("POST /vtep/networks/10/clients", client(`"vm1"`), 404, "ovn.port")
}

// What the OPI API made, and what the configuration file gives, is not the speaker's.
func TestASpeakerLeavesWhatOthersMade(t *testing.T) {
	r := newREST(t, intent.Neighbor{Address: remote, AS: 65000})
	r.want("POST /vtep/speakers", `{"as_number": 65000, "router_id": "10.0.0.1"}`, `{"10.0.0.1": {"EvpnSpeaker": {"as_number": 65000,
		"router_id": "10.0.0.1", "neighbors": {"10.0.0.3": {"EvpnNeighbor": {"address": "10.0.0.3", "remote_as": 65000, "state": "up"}}}}}}`)
	err := r.store.Update(func(tx *intent.Tx) error {
		_, err := tx.Bridges().Create(intent.LogicalBridge{ID: "blue", VLAN: 7, VNI: 20})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if code, body := r.ask("DELETE /vtep/speakers", ""); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	_ = r.store.View(func(tx *intent.Tx) error {
		if len(tx.Bridges().List("", 0)) != 1 || len(tx.Neighbors().List("", 0)) != 1 || len(tx.Speakers().List("", 0)) != 0 {
			t.Error("the speaker stayed, or took what it had not made")
		}
		return nil
	})
}

func TestAHEADIsAGETAndAnotherMethodIsToldWhichThereAre(t *testing.T) {
	r := newREST(t)
	r.example()
	for path, methods := range paths {
		path = strings.NewReplacer("{address}", "10.0.0.3", "{vni}", "10", "{mac}", "02:ac:10:ff:00:11").Replace(path)
		w := httptest.NewRecorder()
		r.mux.ServeHTTP(w, httptest.NewRequest("PUT", path, nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != allow(methods) ||
			strings.Contains(allow(methods), "HEAD") != strings.Contains(allow(methods), "GET") {
			t.Errorf("PUT %s: %d, Allow %q", path, w.Code, w.Header().Get("Allow"))
		}
		if code, body := r.ask("HEAD "+path, ""); (code == http.StatusOK) != (methods["GET"] != nil) {
			t.Errorf("HEAD %s: %d %s", path, code, body)
		}
	}
}

func TestWhatIsMadeHereShowsAmongTheObjects(t *testing.T) {
	r := newREST(t)
	r.example()
	err := r.store.View(func(tx *intent.Tx) error {
		b, err := tx.Bridges().Get("vni-10")
		if err != nil || b.VNI != 10 || b.VLAN != 10 {
			t.Errorf("bridge %+v, %v", b, err)
		}
		i, err := tx.Instances().Get("bridge.vni-10")
		if err != nil || i.RD.String() != "65000:10" || len(i.Import) != 1 || i.Import[0].String() != "65000:10" ||
			len(i.Export) != 1 ||
			!i.MACIPOnly || !i.TaggedMulticast {
			t.Errorf("instance %+v, %v", i, err)
		}
		p, err := tx.Ports().Get("port1")
		if err != nil || p.Type != intent.Access || len(p.Bridges) != 1 || p.Bridges[0] != "vni-10" {
			t.Errorf("port %+v, %v", p, err)
		}
		statics := tx.StaticMACs().List("", 0)
		if len(statics) != 1 || statics[0].Port != "port1" || statics[0].IPs[0] != netip.MustParseAddr("192.168.222.11") {
			t.Errorf("static MACs %+v", statics)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatTheOtherAPIsMadeShowsHere(t *testing.T) {
	r := newREST(t, intent.Speaker{AS: 65000, RouterID: netip.MustParseAddr("10.0.0.1")})
	err := r.store.Update(func(tx *intent.Tx) error {
		_, err := tx.Bridges().Create(intent.LogicalBridge{ID: "blue", VLAN: 7, VNI: 20,
			VTEP: netip.MustParsePrefix("10.0.0.9/32")})
		if err == nil {
			_, err = tx.Bridges().Create(intent.LogicalBridge{ID: "local", VLAN: 8})
		}
		if err == nil {
			_, err = tx.Ports().Create(intent.BridgePort{ID: "port2", MAC: ether.MAC{2, 2}, Type: intent.Trunk})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r.want("GET /vtep/networks", "",
		`{"20": {"EvpnNetwork": {"clients": {}, "ethernet_tag_id": 0, "route_dist": "10.0.0.1:20", "vni": 20}}}`)
	// The transparent trunk carries it.
	r.want("POST /vtep/networks/20/clients", `{"port": 2, "mac": "02:00:00:00:00:01", "ip": "2001:db8::1"}`,
		`{"20": {"EvpnClient": {"ip": "2001:db8::1", "mac": "02:00:00:00:00:01", "next_hop": "10.0.0.9", "port": 2}}}`)
	// A VLAN that is taken is not asked for twice.
	r.want("POST /vtep/networks", `{"vni": 7}`,
		`{"7": {"EvpnNetwork": {"clients": {}, "ethernet_tag_id": 0, "route_dist": "65000:7", "vni": 7}}}`)
	r.want("POST /vtep/networks", `{"vni": "0x5000"}`,
		`{"20480": {"EvpnNetwork": {"clients": {}, "ethernet_tag_id": 0, "route_dist": "65000:20480", "vni": 20480}}}`)
}

func TestDeletingWorksInAnyOrder(t *testing.T) {
	deletions := []string{"/vtep/speakers", "/vtep/neighbors/10.0.0.3", "/vtep/networks/10",
		"/vtep/networks/10/clients/02:ac:10:ff:00:11"}
	var orders func(rest, done []string)
	orders = func(rest, done []string) {
		if len(rest) == 0 {
			r := newREST(t)
			r.example()
			for _, path := range done {
				code, body := r.ask("DELETE "+path, "")
				// A speaker, and a network, took along what was there.
				if gone := code == http.StatusNotFound && path != "/vtep/speakers"; code != http.StatusOK && !gone {
					t.Errorf("in the order %v: %s: %d %s", done, path, code, body)
				}
			}
			r.refused("GET /vtep/speakers", "", 404, "BGPSpeaker could not be found")
			r.refused("GET /vtep/networks", "", 404, "BGPSpeaker could not be found")
			r.nothingLeft()
			r.example() // nothing stands in the way of the next ones
			return
		}
		for i := range rest {
			others := append(append([]string{}, rest[:i]...), rest[i+1:]...)
			orders(others, append(append([]string{}, done...), rest[i]))
		}
	}
	orders(deletions, nil)
}

func TestBadRequestsGetAClearErrorAndChangeNothing(t *testing.T) {
	r := newREST(t)
	r.refused("GET /vtep/speakers", "", 404, "BGPSpeaker could not be found")
	r.refused("POST /vtep/neighbors", `{"address": "10.0.0.3", "remote_as": 65000}`, 400, "BGPSpeaker could not be found")
	r.refused("POST /vtep/networks", `{"vni": 10}`, 404, "BGPSpeaker could not be found")
	r.example()
	client := func(port, mac, ip string) string {
		return `{"port": ` + port + `, "mac": ` + mac + `, "ip": ` + ip + `}`
	}
	const mac, ip = `"02:00:00:00:00:09"`, `"192.168.222.9"`
	for _, c := range []struct {
		request, body string
		status        int
		says          string
	}{
		{"POST /vtep/speakers", ``, 400, "no body"},
		{"POST /vtep/speakers", `{`, 400, "body"},
		{"POST /vtep/speakers", `[]`, 400, "body"},
		{"POST /vtep/speakers", `{} {}`, 400, "more than one"},
		{"POST /vtep/speakers", `{}`, 400, "as_number, router_id not specified"},
		{"POST /vtep/speakers", `{"as_number": "x", "router_id": "10.0.0.1"}`, 400, `"x"`},
		{"POST /vtep/speakers", `{"as_number": 1.5, "router_id": "10.0.0.1"}`, 400, "1.5"},
		{"POST /vtep/speakers", `{"as_number": 4294967296, "router_id": "10.0.0.1"}`, 400, "4294967296"},
		{"POST /vtep/speakers", `{"as_number": 65000, "router_id": 5}`, 400, "router_id"},
		{"POST /vtep/speakers", `{"as_number": 65000, "router_id": "fe80::1"}`, 409, "AS 65000"},
		{"POST /vtep/speakers", `{"as_number": 65001, "router_id": "10.0.0.1"}`, 409, "there is a speaker"},
		{"POST /vtep/speakers", `{"as_number": 65000, "router_id": "10.0.0.1", "colour": 1}`, 400, "colour"},
		{"PUT /vtep/speakers", `{}`, 405, "PUT"},
		{"POST /vtep/neighbors", `{"address": "10.0.0.3", "remote_as": 65000}`, 409, "already"},
		{"POST /vtep/neighbors", `{"address": "10.0.0.3"}`, 400, "remote_as"},
		{"POST /vtep/neighbors", `{"address": "ten", "remote_as": 1}`, 400, "ten"},
		{"POST /vtep/neighbors", `{"address": "224.0.0.1", "remote_as": 1}`, 400, "224.0.0.1"},
		{"POST /vtep/neighbors", `{"address": "10.0.0.4", "remote_as": 0}`, 400, "remote_as"},
		{"GET /vtep/neighbors/10.0.0.4", ``, 404, "10.0.0.4"},
		{"GET /vtep/neighbors/ten", ``, 404, "ten"},
		{"DELETE /vtep/neighbors/10.0.0.4", ``, 404, "10.0.0.4"},
		{"POST /vtep/networks", `{"vni": 10}`, 409, "already"},
		{"POST /vtep/networks", `{"vni": 0}`, 400, "vni"},
		{"POST /vtep/networks", `{"vni": 16777216}`, 400, "vni"},
		{"POST /vtep/networks", `{"vni": -1}`, 400, "-1"},
		{"POST /vtep/networks", `{"vni": null}`, 400, "vni"},
		{"GET /vtep/networks/11", ``, 404, "No such VNI: 11"},
		{"GET /vtep/networks/0", ``, 404, "No such VNI: 0"},
		{"GET /vtep/networks/ten", ``, 400, "ten"},
		{"DELETE /vtep/networks/11", ``, 404, "No such VNI: 11"},
		{"POST /vtep/networks/11/clients", client(`"port2"`, mac, ip), 404, "No such VNI: 11"},
		{"POST /vtep/networks/10/clients", client(`"port9"`, mac, ip), 404, "No such OFPort"},
		{"POST /vtep/networks/10/clients", client(`"uplink1"`, mac, ip), 404, "No such OFPort"},
		{"POST /vtep/networks/10/clients", client(`true`, mac, ip), 400, "port"},
		{"POST /vtep/networks/10/clients", client(`"port1"`, `"02:00"`, ip), 400, "02:00"},
		{"POST /vtep/networks/10/clients", client(`"port1"`, `"01:00:00:00:00:09"`, ip), 400, "mac"},
		{"POST /vtep/networks/10/clients", client(`"port1"`, mac, `"192.168.222.300"`), 400, "192.168.222.300"},
		{"POST /vtep/networks/10/clients", client(`"port1"`, mac, `"2001:db8::9"`), 400, "no IPv4 address"},
		{"POST /vtep/networks/10/clients", client(`"port1"`, mac, `"192.168.222.11"`), 409, "192.168.222.11"},
		{"GET /vtep/networks/10/clients", ``, 405, "GET"},
		{"DELETE /vtep/networks/10/clients/02:ac:10:ff:00:12", ``, 404, "not local"},
		{"DELETE /vtep/networks/10/clients/x", ``, 400, "mac"},
		{"GET /vtep", ``, 404, "/vtep/speakers"},
		{"GET /", ``, 404, "/vtep/speakers"},
	} {
		r.refused(c.request, c.body, c.status, c.says)
	}
	r.want("POST /vtep/networks", `{"vni": 20}`,
		`{"20": {"EvpnNetwork": {"clients": {}, "ethernet_tag_id": 0, "route_dist": "65000:20", "vni": 20}}}`)
	r.refused("POST /vtep/networks/20/clients", client(`"port1"`, mac, ip), 409, "does not carry VNI 20")
}

func TestTheConfigurationFilesSpeakerStays(t *testing.T) {
	r := newREST(t, intent.Speaker{AS: 65000, RouterID: netip.MustParseAddr("10.0.0.1")},
		intent.Neighbor{Address: remote, AS: 65000, HoldTime: 9 * time.Second})
	r.refused("DELETE /vtep/speakers", "", 409, "configuration")
	r.refused("DELETE /vtep/neighbors/10.0.0.3", "", 409, "configuration")
	r.want("POST /vtep/speakers", `{"as_number": 65000, "router_id": "10.0.0.1"}`, `{"10.0.0.1": {"EvpnSpeaker": {"as_number": 65000,
		"router_id": "10.0.0.1", "neighbors": {"10.0.0.3": {"EvpnNeighbor": {"address": "10.0.0.3", "remote_as": 65000, "state": "up"}}}}}}`)
}

// malformed are bodies of every kind that is none.
var malformed = []string{"", " ", "{", "}", "[", "[]", "null", "1", "-1", "1e999", "true", `"x"`, "\xff", "\x00", "{}x", "{}{}",
	`{"vni"}`, `{"vni":}`, `{"vni":10,}`, `{'vni':10}`, `{vni:10}`, `{"vni":[10]}`, `{"vni":{}}`, `{"vni":true}`, `{"vni":"ten"}`,
	`{"vni":1.5}`, `{"vni":1e1}`, `{"vni":""}`, `{"vni":"0x"}`, `{"vni":-10}`, `{"vni":99999999999999999999}`, `{"\ud800":1}`,
	`{"vni":10,"logical_switch":1}`, `{"vni":10,"logical_switch":["ls1"]}`, `{"vni":10,"colour":1}`,
	`{"vni":10,"logical_switch":"` + strings.Repeat("x", 300) + `"}`,
	strings.Repeat("[", 20000), strings.Repeat(`{"vni":`, 20000), "vni=10", "<vni>10</vni>", "\ufeff{}"}

func TestABodyThatIsMalformedIsTheClientsMistake(t *testing.T) {
	r := newREST(t)
	r.example()
	for _, path := range []string{"/vtep/speakers", "/vtep/neighbors", "/vtep/networks", "/vtep/networks/10/clients"} {
		for _, body := range malformed {
			r.refused("POST "+path, body, http.StatusBadRequest, "")
		}
	}
}

// Each field of each request is in turn each of what it cannot be.
func TestAFieldThatIsMalformedIsTheClientsMistake(t *testing.T) {
	r := newREST(t)
	r.example()
	whole := []string{`true`, `[]`, `{}`, `[1]`, `-1`, `1.5`, `1e1`, `1e999`, `18446744073709551616`, `""`, `"x"`, `"-1"`, `" 1"`,
		`"1 "`, `"0x"`, `"\u0000"`, `"` + strings.Repeat("1", 300) + `"`}
	text := []string{`true`, `[]`, `{}`, `["x"]`, `1.5`, `-1`, `""`, `"\u0000"`, `"\ud800"`, `"` + strings.Repeat("x", 300) + `"`}
	for path, fields := range map[string]map[string][]string{
		"/vtep/speakers":            {"dpid": whole, "as_number": whole, "router_id": append(text, `1`, `"10.0.0"`)},
		"/vtep/neighbors":           {"address": append(text, `1`, `"10.0.0"`, `"10.0.0.0/8"`), "remote_as": whole},
		"/vtep/networks":            {"vni": append(whole, `0`, `16777216`), "logical_switch": {`1`, `true`, `[]`, `{}`, `"\u0000"`}},
		"/vtep/networks/10/clients": {"port": {`true`, `[]`, `{}`, `1.5`, `-1`, `65536`}, "mac": append(text, `1`), "ip": append(text, `1`)},
	} {
		valid := map[string]string{"dpid": `1`, "as_number": `65000`, "router_id": `"10.0.0.1"`, "address": `"10.0.0.9"`,
			"remote_as": `65000`, "vni": `20`, "logical_switch": `"ls1"`, "port": `"vf1"`, "mac": `"02:00:00:00:00:09"`,
			"ip": `"192.168.222.9"`}
		for field, wrong := range fields {
			for _, value := range append(wrong, `nul`, `"`, `'x'`) {
				var members []string
				for name := range fields {
					v := valid[name]
					if name == field {
						v = value
					}
					members = append(members, strconv.Quote(name)+":"+v)
				}
				r.refused("POST "+path, "{"+strings.Join(members, ",")+"}", http.StatusBadRequest, "")
			}
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("POST", "/vtep/speakers", `{"as_number": 65000, "router_id": "10.0.0.1"}`)
	f.Add("POST", "/vtep/networks", `{"vni": "0x14", "logical_switch": "ls1"}`)
	f.Add("POST", "/vtep/neighbors", `{"address": "2001:db8::1", "remote_as": "65000"}`)
	f.Add("POST", "/vtep/networks/10/clients", `{"port": 1, "mac": "02:ac:10:ff:00:31", "ip": "192.168.222.31"}`)
	f.Add("POST", "/vtep/networks/10/clients", `{"port": "vf1", "mac": "02:ac:10:ff:00:11", "ip": "192.168.222.11"}`)
	f.Add("DELETE", "/vtep/networks/0x0a", "")
	f.Add("GET", "/vtep/neighbors/::ffff:10.0.0.3", "")
	f.Fuzz(func(t *testing.T, method, path, body string) {
		request, err := http.NewRequest(method, path, strings.NewReader(body))
		if err != nil || request.URL.Host != "" || !strings.HasPrefix(path, "/") {
			t.Skip()
		}
		r := newREST(t)
		r.example()
		before := r.store.Version()
		w := httptest.NewRecorder()
		r.mux.ServeHTTP(w, request)
		if w.Code >= 500 || w.Code == http.StatusOK && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %q %q: %d %s", method, path, body, w.Code, w.Body)
		}
		if r.store.Version() != before && (w.Code != http.StatusOK || method != "POST" && method != "DELETE") {
			t.Errorf("%s %q %q: %d, and something is changed", method, path, body, w.Code)
		}
	})
}
