package api

import (
	"context"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// oneDifference is what an audit finds.
type oneDifference struct{}

func (oneDifference) Audit(context.Context) (view.Audit, error) {
	return view.Audit{Entries: 3, Differences: []view.Difference{{Kind: "missing", Table: "bridge.fdb", Was: "x"}}}, nil
}

// ownKinds are collections of p4evpn.v1: the object that newWholeGateway made there, what
// makes another and what changes the first.
var ownKinds = []struct{ collection, there, field, id, create, patch string }{
	{"speakers", "default", "speaker", "default", `{"spec":{"asNumber":65009,"routerId":"10.0.0.9"}}`,
		`{"spec":{"routerId":"10.0.0.7"}}`},
	{"neighbors", "2001:db8::1", "neighbor", "10.1.1.1", `{"spec":{"remoteAs":65101,"holdTime":"9s","families":["FAMILY_EVPN"]}}`,
		`{"spec":{"remoteAs":65102}}`},
	{"instances", "bridge.vlan10", "instance", "vrf.green", `{"spec":{"routeDistinguisher":"10.0.0.1:8","importRouteTargets":["65000:8"]}}`,
		`{"spec":{"routeDistinguisher":"10.0.0.1:7"}}`},
	{"staticMacs", "static-mac-1", "static_mac", "static-mac-2", `{"spec":{"logicalBridge":"logicalBridges/vlan10","bridgePort":"bridgePorts/port1","macAddress":"02:00:00:00:00:08","ipAddresses":["10.10.0.8"]}}`,
		`{"spec":{"ipAddresses":["10.10.0.9"]}}`},
}

func TestObjectsOfOurOwnAPILiveOverREST(t *testing.T) {
	for _, k := range ownKinds {
		g := newWholeGateway(t)
		at, one := ownPrefix+k.collection, ownPrefix+k.collection+"/"+k.id
		for _, step := range []struct {
			method, path, body string
			code               int
			holds              string
		}{
			{"PATCH", at + "/" + k.there, k.patch, 200, strings.Trim(k.patch[len(`{"spec":`):], "{}")},
			{"DELETE", at + "/" + k.there, "", 200, "{}"},
			{"GET", at + "/" + k.there, "", 404, ""},
			{"POST", at + "?" + k.field + "_id=" + k.id, k.create, 200, `"name":"` + k.collection + "/" + k.id + `"`},
			{"POST", at + "?" + k.field + "_id=" + k.id, k.create, 200, ""}, // an equal one
			{"POST", at + "?" + k.field + "_id=" + k.id, k.patch, 0, `"code":`},
			{"GET", one, "", 200, `"status":{`},
			{"HEAD", one, "", 200, ""},
			{"GET", at + "?page_size=1", "", 200, `"nextPageToken":""`},
			{"PATCH", one + "?update_mask=status", k.patch, 200, strings.Trim(k.create[len(`{"spec":`):], "{}")[:8]},
			{"DELETE", one, "", 200, "{}"},
			{"DELETE", one, "", 404, ""},
			{"DELETE", one + "?allow_missing=true", "", 200, "{}"},
			{"PATCH", one, k.patch, 404, ""},
			{"PATCH", one + "?allow_missing=true", k.create, 200, ""},
		} {
			r := g.do(t, step.method, step.path, step.body)
			got := strings.ReplaceAll(string(r.body), " ", "")
			if step.code != 0 && r.code != step.code || step.code == 0 && r.code < 400 || !strings.Contains(got, step.holds) {
				t.Fatalf("%s %s %s: HTTP %d %s, want %d with %s", step.method, step.path, step.body, r.code, r.body, step.code,
					step.holds)
			}
		}
	}
}

func TestABadRequestToOurOwnAPIIsRefusedAndChangesNothing(t *testing.T) {
	g := newWholeGateway(t)
	before := frozen(t, g.store)
	bad := func(method, path, body string, http int, code codes.Code, field string) {
		t.Helper()
		r := g.do(t, method, path, body)
		got, message, fields := r.problem(t)
		if r.code != http || got != code || message == "" || field != "" && !slices.Contains(fields, field) {
			t.Errorf("%s %.100s %.100s: HTTP %d, %v: %s %q; want %d, %v of %q", method, path, body, r.code, got, message, fields,
				http, code, field)
		}
		if !reflect.DeepEqual(frozen(t, g.store), before) {
			t.Fatalf("%s %.100s %.100s changed something", method, path, body)
		}
	}
	for _, k := range ownKinds {
		at := ownPrefix + k.collection
		create, one := at+"?"+k.field+"_id="+k.id, at+"/"+k.there
		for _, target := range []struct{ method, path string }{{"POST", create}, {"PATCH", one}} {
			for _, body := range []string{"{", "spec", "\xff", "[]", `"spec"`, "1", k.create + "x", k.create + k.create,
				strings.Repeat("[", 20000), strings.Repeat(`{"spec":`, 7000) + "1" + strings.Repeat("}", 7000),
				`{"spec":[]}`, `{"spec":"x"}`, `{"spec":{},"spec":{}}`, `{"name":1}`} {
				bad(target.method, target.path, body, 400, codes.InvalidArgument, "")
			}
			bad(target.method, target.path, `{"spec":{"colour":1}}`, 400, codes.InvalidArgument, "colour")
			bad(target.method, target.path+sep(target.path)+"colour=1", k.create, 400, codes.InvalidArgument, "colour")
			bad(target.method, target.path+sep(target.path)+k.field+"=1", k.create, 400, codes.InvalidArgument, k.field)
			bad(target.method, target.path+sep(target.path)+"%zz=1", k.create, 400, codes.InvalidArgument, "")
			spoilt(t, k.create, func(path, body string) {
				if r := g.do(t, target.method, target.path, body); r.code >= 500 {
					t.Errorf("%s %s with %s: HTTP %d %s", target.method, target.path, path, r.code, r.body)
				}
				if !reflect.DeepEqual(frozen(t, g.store), before) { // it was right in its place
					g = newWholeGateway(t)
				}
			})
			before = frozen(t, g.store)
		}
		bad("POST", create, "", 400, codes.InvalidArgument, k.field)
		bad("POST", create, "{}", 400, codes.InvalidArgument, k.field+".spec")
		bad("PATCH", one+"?update_mask=spec.colour", k.patch, 400, codes.InvalidArgument, "update_mask")
		bad("PATCH", one, `{"name":"`+k.collection+`/other"}`, 400, codes.InvalidArgument, k.field+".name")
		bad("GET", one, "{}", 400, codes.InvalidArgument, "")
		bad("GET", one+"?x=1", "", 400, codes.InvalidArgument, "name")
		bad("GET", at+"?page_size=x", "", 400, codes.InvalidArgument, "page_size")
		bad("GET", at+"?page_token=x", "", 400, codes.InvalidArgument, "page_token")
		bad("PUT", one, k.create, 405, codes.Unimplemented, "")
		bad("GET", at+"/a/b", "", 404, codes.NotFound, "")
	}
	bad("POST", ownPrefix+"duplicates:clear?address=10.0.0.1", "", 400, codes.InvalidArgument, "request")
	bad("POST", ownPrefix+"duplicates:clear", `{"logicalBridge":1}`, 400, codes.InvalidArgument, "logicalBridge")
	bad("GET", ownPrefix+"view/hosts?address=x", "", 400, codes.InvalidArgument, "address")
	bad("GET", ownPrefix+"view/hosts?of=x", "", 400, codes.InvalidArgument, "of")
	bad("GET", ownPrefix+"view/nothing", "", 404, codes.NotFound, "")
}

// The parts of a stream become one answer.
func TestWhatAStreamHasIsOneAnswerOverREST(t *testing.T) {
	rows := make([]view.Host, 3*maxRows+1)
	for i := range rows {
		rows[i] = view.Host{Bridge: "vlan10", IP: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), MAC: mac1}
	}
	g := serveConfig(t, Config{Store: intent.NewMemory(), Status: fakeStatus{}, Auditor: oneDifference{},
		View: &controllertest.View{Rows: controllertest.Rows{Hosts: rows}}}, nil)
	g.createBridge(t, "vlan10", 10, 10)
	if r := g.do(t, "GET", ownPrefix+"view/hosts?bridge=vlan10", ""); r.code != 200 ||
		strings.Count(string(r.body), `"ip"`)+strings.Count(string(r.body), `"address"`) < len(rows) {
		t.Errorf("HTTP %d, %d bytes: %.200s", r.code, len(r.body), r.body)
	}
	r := g.do(t, "POST", ownPrefix+"target:audit", "")
	if r.code != 200 || !strings.Contains(string(r.body), "bridge.fdb") {
		t.Errorf("HTTP %d %s", r.code, r.body)
	}
}

func TestTheGuardKnowsWhatOfOurOwnAPIOnlyReads(t *testing.T) {
	if reads("/p4evpn.v1.Target/Audit") || reads("/p4evpn.v1.Duplicates/ClearDuplicate") ||
		!reads("/p4evpn.v1.View/ListHosts") {
		t.Error("the guard takes a change for a look, or the other way round")
	}
}
