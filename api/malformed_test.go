package api

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
)

// wholeConfig is an API with every service, and objects of each kind.
func wholeConfig(t testing.TB) Config {
	t.Helper()
	store := intent.NewMemory()
	err := store.Update(func(tx *intent.Tx) error {
		_, bridge := tx.Bridges().Create(intent.LogicalBridge{ID: "vlan10", VLAN: 10, VNI: 10})
		_, port := tx.Ports().Create(intent.BridgePort{ID: "port1", MAC: mac1, Type: intent.Access,
			Bridges: []string{"vlan10"}})
		_, vrf := tx.VRFs().Create(intent.VRF{ID: "green", VNI: 100, Loopback: netip.MustParsePrefix("10.100.0.1/32")})
		_, svi := tx.SVIs().Create(intent.SVI{ID: "svi10", VRF: "green", Bridge: "vlan10", MAC: mac1,
			Gateways: []netip.Prefix{netip.MustParsePrefix("10.10.0.1/24")}})
		_, speaker := tx.Speakers().Create(intent.Speaker{AS: 65000, RouterID: netip.MustParseAddr("10.0.0.1")})
		_, neighbor := tx.Neighbors().Create(intent.Neighbor{Address: netip.MustParseAddr("2001:db8::1"), AS: 65001})
		_, instance := tx.Instances().Create(intent.Instance{ID: "bridge.vlan10",
			RD: bgp.RouterRD(netip.MustParseAddr("10.0.0.1"), 9)})
		_, static := tx.StaticMACs().Create(intent.StaticMAC{ID: "static-mac-1", Bridge: "vlan10", Port: "port1",
			MAC: ether.MAC{2, 0, 0, 0, 0, 9}})
		return errors.Join(bridge, port, vrf, svi, speaker, neighbor, instance, static)
	})
	if err != nil {
		t.Fatal(err)
	}
	return Config{Store: store, Status: fakeStatus{}, Auditor: oneDifference{}, Duplicates: &frozenOnes{},
		View: &controllertest.View{Rows: controllertest.Rows{
			Ports:   []view.Port{{Name: "port1", Number: 1, Kind: view.BridgePort}},
			Bridges: []view.Bridge{{Name: "vlan10", VLAN: 10, Ports: []string{"port1"}}}}}}
}

// wholeREST is the REST of that API without a connection, and its routes.
func wholeREST(t testing.TB) (*intent.Store, http.Handler, []httpRoute) {
	t.Helper()
	cfg := wholeConfig(t)
	cfg.Listen, cfg.Insecure, cfg.Logger = []string{"127.0.0.1:0"}, true, slog.New(slog.DiscardHandler)
	cfg.Limits = Limits{CallsPerSecond: 1e9, Burst: 1e9}
	srv, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := newREST(srv.services, defaultMessageBytes)
	if err != nil {
		t.Fatal(err)
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { rest.ServeHTTP(w, r.WithContext(asOperator())) })
	var names []string
	for name := range srv.services.GetServiceInfo() {
		names = append(names, name)
	}
	return cfg.Store, h, routesOf(names)
}

// example is the path of a route, of an object that is there if it is of one.
func (r httpRoute) example() string {
	path, _ := r.path()
	before, after, _ := strings.Cut(path, "{id}")
	return before + existingIDs[before] + after
}

// malformed are bodies of every kind that is no request's.
var malformed = []string{"{", "}", "[", "[]", "[{}]", "null", "true", "1", "-1", "1e999", `"x"`, "\xff", "\x00", "{}x", "{}{}",
	`{"spec"}`, `{"spec":}`, `{"spec":{},}`, `{'spec':{}}`, `{spec:{}}`, `{"spec":[]}`, `{"spec":1}`, `{"spec":"x"}`,
	`{"spec":{"colour":1}}`, `{"colour":1}`, `{"\ud800":1}`, `{"spec":{},"spec":{}}`, `{"name":1}`,
	strings.Repeat("[", 20000), strings.Repeat(`{"spec":`, 20000), strings.Repeat(`{"spec":`, 20000) + "1" +
		strings.Repeat("}", 20000), "spec=1", "<spec/>", "\ufeff{}"}

// The routes are the gateway's own list: a handler that is new is among them.
func TestABodyThatIsMalformedIsRefusedByEveryHandlerAndChangesNothing(t *testing.T) {
	store, h, routes := wholeREST(t)
	before, bodies := frozen(t, store), 0
	for _, route := range routes {
		if route.body != "" {
			bodies++
		}
		for _, body := range malformed {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(route.verb, route.example(), strings.NewReader(body)))
			code, message, fields := reply{w.Code, w.Header(), w.Body.Bytes()}.problem(t)
			if w.Code != http.StatusBadRequest || code != codes.InvalidArgument || message == "" || len(fields) == 0 {
				t.Errorf("%s %s %.60q: HTTP %d %s", route.verb, route.example(), body, w.Code, w.Body)
			}
		}
		if !reflect.DeepEqual(frozen(t, store), before) {
			t.Fatalf("%s %s: one of them changed something", route.verb, route.example())
		}
	}
	if bodies < 18 || len(routes) < 50 {
		t.Errorf("only %d routes, %d of them with a body", len(routes), bodies)
	}
}

func FuzzREST(f *testing.F) {
	_, _, routes := wholeREST(f)
	for _, route := range routes {
		f.Add(route.verb, route.example(), "")
		if route.body != "" {
			f.Add(route.verb, route.example()+"?update_mask=spec", `{"spec":{}}`)
		}
	}
	for _, k := range ownKinds {
		f.Add("POST", ownPrefix+k.collection+"?"+k.field+"_id="+k.id, k.create)
		f.Add("PATCH", ownPrefix+k.collection+"/"+k.there+"?allow_missing=true", k.patch)
	}
	for _, k := range restKinds() {
		f.Add("POST", k.path()+"?"+k.field+"_id="+k.id, k.body(f))
		f.Add("PATCH", k.object(), k.patch)
	}
	f.Add("POST", ownPrefix+"duplicates:clear", `{"logicalBridge":"logicalBridges/vlan10","macAddress":"02:00:00:00:00:09"}`)
	f.Add("GET", ownPrefix+"view/lookup?vrf=green&address=10.10.0.1", "")
	f.Add("HEAD", "/v1/vrfs?page_size=1&page_token=x", "")
	f.Fuzz(func(t *testing.T, verb, target, body string) {
		r, err := http.NewRequest(verb, target, strings.NewReader(body))
		if err != nil || r.URL.Host != "" || !strings.HasPrefix(target, "/") {
			t.Skip()
		}
		store, h, _ := wholeREST(t)
		before := frozen(t, store)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %q %q: HTTP %d %s", verb, target, body, w.Code, w.Body)
		}
		writes := slices.Contains([]string{"POST", "PATCH", "DELETE"}, r.Method)
		if (w.Code >= 400 || !writes) && !reflect.DeepEqual(frozen(t, store), before) {
			t.Errorf("%s %q %q: HTTP %d, and something is changed", verb, target, body, w.Code)
		}
	})
}
