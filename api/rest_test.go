package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/p4evpn/p4evpn/controller/intent"
)

// reply is an answer over REST.
type reply struct {
	code   int
	header http.Header
	body   []byte
}

// problem reads the status that a failed request is answered with.
func (r reply) problem(t testing.TB) (code codes.Code, message string, fields []string) {
	t.Helper()
	var st struct {
		Code    codes.Code
		Message string
		Details []struct {
			FieldViolations []struct{ Field string }
		}
	}
	if err := json.Unmarshal(r.body, &st); err != nil {
		t.Errorf("HTTP %d with %.200q, want a status: %v", r.code, r.body, err)
	}
	for _, d := range st.Details {
		for _, v := range d.FieldViolations {
			fields = append(fields, v.Field)
		}
	}
	return st.Code, st.Message, fields
}

// do makes a request over REST.
func (g *gateway) do(t testing.TB, method, path, body string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return g.send(t, r)
}

func (g *gateway) send(t testing.TB, r *http.Request) reply {
	t.Helper()
	resp, err := g.http.Do(r)
	if err != nil {
		t.Fatalf("%s %.200s: %v", r.Method, r.URL.Path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, b}
}

// records keeps what is logged.
type records struct {
	mu    sync.Mutex
	lines []map[string]any
}

func (r *records) Write(b []byte) (int, error) {
	line := map[string]any{}
	err := json.Unmarshal(b, &line)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
	return len(b), err
}

func (r *records) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// calls takes what the access log gained.
func (r *records) calls() (calls []map[string]any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lines {
		if strings.HasPrefix(l["msg"].(string), "API call") || strings.HasPrefix(l["msg"].(string), "API request") {
			calls = append(calls, l)
		}
	}
	r.lines = nil
	return calls
}

// opiServices are the services of the OPI EVPN GW API.
func opiServices() (all []protoreflect.ServiceDescriptor) {
	for _, f := range []protoreflect.FileDescriptor{pb.File_l2_xpu_infra_mgr_proto, pb.File_l3_xpu_infra_mgr_proto} {
		for i := range f.Services().Len() {
			all = append(all, f.Services().Get(i))
		}
	}
	return all
}

// rule gives the HTTP method and path that the annotation of an RPC says.
func rule(m protoreflect.MethodDescriptor) (method, path string) {
	r, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	switch {
	case r.GetGet() != "":
		return http.MethodGet, r.GetGet()
	case r.GetPost() != "":
		return http.MethodPost, r.GetPost()
	case r.GetPatch() != "":
		return http.MethodPatch, r.GetPatch()
	case r.GetDelete() != "":
		return http.MethodDelete, r.GetDelete()
	}
	return "", ""
}

func TestEveryRPCAnswersAtThePathOfItsAnnotation(t *testing.T) {
	var log records
	g := serveConfig(t, Config{Store: intent.NewMemory(), Status: fakeStatus{}, Logger: log.logger()}, nil)
	variable := regexp.MustCompile(`\{[a-z_.]+=(\w+)/\*\}`)
	n := 0
	for _, s := range opiServices() {
		for i := range s.Methods().Len() {
			m := s.Methods().Get(i)
			method, path := rule(m)
			log.calls()
			r := g.do(t, method, variable.ReplaceAllString(path, "$1/name"), "")
			calls := log.calls()
			if want := fmt.Sprintf("/%s/%s", s.FullName(), m.Name()); len(calls) != 1 || calls[0]["method"] != want ||
				calls[0]["via"] != "rest" {
				t.Errorf("%s %s: HTTP %d, log %v, want a call of %s", method, path, r.code, calls, want)
			}
			n++
		}
	}
	if n != 20 {
		t.Errorf("%d RPCs, want 20", n)
	}
}

// restKind is how one kind of objects is used over REST, in a gateway that
// newRouter made: create adds an object, there names one.
type restKind struct {
	naming
	id     string
	create proto.Message
	there  string
	patch  string // a body that changes it
}

func restKinds() []restKind {
	return []restKind{
		{bridgeNaming, "vlan30", bridgeMsg(30, 30), "vlan20", `{"spec":{"vni":31}}`},
		{portNaming, "port2", trunkMsg("logicalBridges/vlan10"), "port1", `{"spec":{"logicalBridges":["logicalBridges/vlan20"]}}`},
		{vrfNaming, "blue", vrfMsg(101), "green", `{"spec":{"vni":102}}`},
		{sviNaming, "svi20", sviMsg("vrfs/green", "logicalBridges/vlan20", v4(10, 20, 0, 1, 24)), "svi10",
			`{"spec":{"macAddress":"AgAAAAAJ"}}`},
	}
}

func (k restKind) path() string   { return "/v1/" + k.collection }
func (k restKind) object() string { return "/v1/" + k.name(k.there) }

func (k restKind) body(t testing.TB) string {
	b, err := protojson.Marshal(k.create)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// newRESTRouter is newRouter with a port.
func newRESTRouter(t testing.TB) *gateway {
	g := newRouter(t)
	g.createPort(t, "port1", accessMsg("logicalBridges/vlan10"))
	return g
}

func TestObjectsLiveOverREST(t *testing.T) {
	for _, k := range restKinds() {
		t.Run(k.collection, func(t *testing.T) {
			g := newRESTRouter(t)
			object := "/v1/" + k.name(k.id)
			for _, step := range []struct {
				method, path, body string
				code               int
				holds              string
			}{
				{"GET", object, "", 404, ""},
				{"POST", k.path() + "?" + k.field + "_id=" + k.id, k.body(t), 200, `"name":"` + k.name(k.id) + `"`},
				{"POST", k.path() + "?" + k.field + "_id=" + k.id, k.body(t), 200, `"name":"` + k.name(k.id) + `"`}, // an equal one
				{"GET", object, "", 200, `"operStatus":"`},
				{"GET", k.path() + "?page_size=1", "", 200, `"nextPageToken":"`},
				{"GET", k.path() + "?pageSize=1", "", 200, `"nextPageToken":"`},
				{"PATCH", object, k.patch, 200, strings.Trim(k.patch[len(`{"spec":`):], "{}")},
				{"PATCH", object + "?update_mask=status", k.patch, 200, ""},
				{"POST", k.path() + "?" + k.field + "_id=" + k.id, k.body(t), 409, ""}, // another one by now
				{"DELETE", object, "", 200, "{}"},
				{"DELETE", object, "", 404, ""},
				{"DELETE", object + "?allow_missing=true", "", 200, "{}"},
				{"PATCH", object, k.patch, 404, ""},
				{"PATCH", object + "?allow_missing=true", k.body(t), 200, `"name":"` + k.name(k.id) + `"`},
			} {
				r := g.do(t, step.method, step.path, step.body)
				// protojson puts spaces where it likes.
				if got := strings.ReplaceAll(string(r.body), " ", ""); r.code != step.code || !strings.Contains(got, step.holds) {
					t.Fatalf("%s %s %s: HTTP %d %s, want %d with %s", step.method, step.path, step.body, r.code, r.body, step.code,
						step.holds)
				}
			}
		})
	}
}

func TestAnUnsetOptionalIsClearedOverREST(t *testing.T) {
	g := newRESTRouter(t)
	for _, request := range []struct{ query, body string }{{"", `{"spec":{"vni":null}}`},
		{"?update_mask=spec.vtep_ip_prefix", `{}`}} {
		if r := g.do(t, "PATCH", "/v1/logicalBridges/vlan20"+request.query, request.body); r.code != 200 {
			t.Errorf("%v: HTTP %d %s", request, r.code, r.body)
		}
	}
	m, err := g.bridges.GetLogicalBridge(t.Context(), &pb.GetLogicalBridgeRequest{Name: "logicalBridges/vlan20"})
	if err != nil || m.Spec.Vni != nil || m.Spec.VtepIpPrefix != nil || m.Spec.VlanId != 20 {
		t.Errorf("%v %v", m, err)
	}
}

func TestABadRESTRequestIsRefusedAndChangesNothing(t *testing.T) {
	g := newRESTRouter(t)
	before := frozen(t, g.store)
	bad := func(method, path, body string, http int, code codes.Code, holds string) {
		t.Helper()
		r := g.do(t, method, path, body)
		got, message, fields := r.problem(t)
		if code == codes.InvalidArgument && (len(fields) == 0 || slices.Contains(fields, "")) {
			t.Errorf("%s %.100s %.100s: the details name no field: %.500s", method, path, body, r.body)
		}
		if r.code != http || got != code || !strings.Contains(message, holds) {
			t.Errorf("%s %.100s %.100s: HTTP %d, %v: %s; want %d, %v with %q", method, path, body, r.code, got, message, http,
				code, holds)
		}
		if !reflect.DeepEqual(frozen(t, g.store), before) {
			t.Fatalf("%s %.100s %.100s changed something", method, path, body)
		}
	}
	for _, k := range restKinds() {
		create, valid := k.path()+"?"+k.field+"_id="+k.id, k.body(t)
		for _, target := range []struct{ method, path string }{{"POST", create}, {"PATCH", k.object()}} {
			for _, c := range []struct{ body, holds string }{
				{valid[:len(valid)-1], "JSON"},
				{valid + "x", "JSON"},
				{valid + valid, "JSON"},
				{"{", "JSON"},
				{"spec", "JSON"},
				{"\xff", "JSON"},
				{strings.Repeat("[", 20000), "JSON"},
				{strings.Repeat(`{"spec":`, 7000) + "1" + strings.Repeat("}", 7000), ""},
				{"[]", ""},
				{`"spec"`, ""},
				{"1", ""},
				{`{"colour":"red"}`, "colour"},
				{`{"spec":{"colour":"red"}}`, "colour"},
				{`{"status":{"colour":"red"}}`, "colour"},
				{`{"spec":[]}`, ""},
				{`{"spec":{},"spec":{}}`, "spec"},
				{`{"name":1}`, ""},
			} {
				bad(target.method, target.path, c.body, 400, codes.InvalidArgument, c.holds)
			}
			bad(target.method, target.path, `{"name":"`+strings.Repeat("x", defaultBodyBytes)+`"}`, 413,
				codes.ResourceExhausted, "larger than")
			bad(target.method, target.path+"&colour=red", valid, 400, codes.InvalidArgument, "")
		}
		bad("POST", create, "", 400, codes.InvalidArgument, k.field)
		bad("POST", create, "null", 400, codes.InvalidArgument, "null")
		bad("POST", create, "{}", 400, codes.InvalidArgument, k.field+".spec")
		bad("POST", create+"&"+k.field+"_id=other", valid, 400, codes.InvalidArgument, k.field+"_id")
		bad("POST", k.path()+"?"+k.field+"_id=A", valid, 400, codes.InvalidArgument, k.field+"_id")
		bad("POST", k.path()+"?"+k.field+"_id="+k.there, valid, 409, codes.AlreadyExists, k.there)
		bad("POST", create+"&"+k.field+".name=x", valid, 400, codes.InvalidArgument, "body")
		bad("POST", create+"&allow_missing=true", valid, 400, codes.InvalidArgument, "allow_missing")
		bad("POST", k.object(), valid, 405, codes.Unimplemented, "POST")
		bad("PUT", k.object(), valid, 405, codes.Unimplemented, "PUT")
		bad("PATCH", k.object(), `{"name":"`+k.name("other")+`"}`, 400, codes.InvalidArgument, k.field+".name")
		bad("PATCH", k.object()+"?update_mask=spec.colour", k.patch, 400, codes.InvalidArgument, "update_mask")
		bad("PATCH", k.object()+"?update_mask=*,spec", k.patch, 400, codes.InvalidArgument, "update_mask")
		bad("PATCH", k.object()+"?update_mask=", k.patch, 400, codes.InvalidArgument, "update_mask")
		bad("PATCH", k.object()+"?update_mask=spec", "", 400, codes.InvalidArgument, k.field+".spec")
		bad("PATCH", k.object()+"?allow_missing=perhaps", k.patch, 400, codes.InvalidArgument, "perhaps")
		bad("PATCH", k.object()+"?"+k.field+".name=x", k.patch, 400, codes.InvalidArgument, "path")
		bad("GET", k.path()+"?page_size=many", "", 400, codes.InvalidArgument, "many")
		bad("GET", k.path()+"?page_size=-1", "", 400, codes.InvalidArgument, "page_size")
		bad("GET", k.path()+"?page_size=99999999999999", "", 400, codes.InvalidArgument, "page_size")
		bad("GET", k.path()+"?page_size=1&page_size=2", "", 400, codes.InvalidArgument, "page_size")
		bad("GET", k.path()+"?page_token=x", "", 400, codes.InvalidArgument, "page_token")
		bad("GET", k.path()+"?colour=red", "", 400, codes.InvalidArgument, "colour")
		bad("GET", k.path(), "{}", 400, codes.InvalidArgument, "no body")
		bad("GET", k.object()+"?colour=red", "", 400, codes.InvalidArgument, "query")
		bad("DELETE", k.object(), `{"allowMissing":true}`, 400, codes.InvalidArgument, "no body")
		bad("DELETE", k.object()+"?colour=red", "", 400, codes.InvalidArgument, "colour")
		bad("DELETE", k.object()+"?name="+k.name("other"), "", 400, codes.InvalidArgument, "path")
		for _, name := range []string{"", "A", "no such", "%ff", "..", strings.Repeat("x", 20000)} {
			for _, method := range []string{"GET", "DELETE", "PATCH"} {
				bad(method, k.path()+"/"+url.PathEscape(name), "", 400, codes.InvalidArgument, "name")
			}
		}
		bad("GET", k.path()+"/some/where", "", 404, codes.NotFound, "nothing")
		bad("GET", k.path()+"/missing", "", 404, codes.NotFound, "missing")
	}
	bad("GET", "/", "", 404, codes.NotFound, "nothing")
	bad("GET", "/v1", "", 404, codes.NotFound, "nothing")
	bad("GET", "/v2/vrfs", "", 404, codes.NotFound, "nothing")
	bad("DELETE", "/v1/vrfs/green", "", 400, codes.FailedPrecondition, "svi10")
	bad("DELETE", "/v1/logicalBridges/vlan10?allow_missing=true", "", 400, codes.FailedPrecondition, "port1")
}

// wrongJSON is put in the place of every value of every request.
var wrongJSON = []string{`null`, `true`, `0`, `-1`, `1.5`, `1e99`, `4294967296`, `18446744073709551616`, `""`, `"x"`,
	`"AAAA"`, `"-1"`, `[]`, `[null]`, `[{}]`, `[1]`, `{}`,
	`{"x":1}`, `"` + strings.Repeat("A", 100000) + `"`, `[` + strings.Repeat(`"logicalBridges/vlan10",`, 5000) + `"x"]`}

// spoilt yields JSON with one value after the other replaced by each wrong one.
func spoilt(t testing.TB, body string, yield func(path, body string)) {
	var root any
	if err := json.Unmarshal([]byte(body), &root); err != nil {
		t.Fatal(err)
	}
	var visit func(path string, value any, set func(any))
	visit = func(path string, value any, set func(any)) {
		for _, w := range wrongJSON {
			set(json.RawMessage(w))
			b, err := json.Marshal(root)
			if err != nil {
				t.Fatal(err)
			}
			yield(fmt.Sprintf("%s = %.40s", path, w), string(b))
		}
		set(value)
		switch v := value.(type) {
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(v)) {
				visit(path+"."+key, v[key], func(x any) { v[key] = x })
			}
		case []any:
			for i := range v {
				visit(fmt.Sprintf("%s[%d]", path, i), v[i], func(x any) { v[i] = x })
			}
		}
	}
	visit("", root, func(x any) { root = x })
}

func TestAWrongValueAnywhereInABodyIsTheClientsMistake(t *testing.T) {
	for _, k := range restKinds() {
		g := newRESTRouter(t)
		before := frozen(t, g.store)
		n := 0
		for _, target := range []struct{ method, path string }{{"POST", k.path() + "?" + k.field + "_id=" + k.id},
			{"PATCH", k.object()}} {
			spoilt(t, k.body(t), func(path, body string) {
				n++
				r := g.do(t, target.method, target.path, body)
				if r.code == 200 {
					g = newRESTRouter(t) // it was right in its place
					return
				}
				code, message, _ := r.problem(t)
				if !slices.Contains(clientMistakes, code) || r.code >= 500 || message == "" {
					t.Errorf("%s %s with %s: HTTP %d, %v: %.200s", target.method, target.path, path, r.code, code, message)
				}
				if !reflect.DeepEqual(frozen(t, g.store), before) {
					t.Fatalf("%s %s with %s was refused and changed something", target.method, target.path, path)
				}
			})
		}
		t.Logf("%s: %d requests", k.collection, n)
	}
}

func TestErrorsOfJSONNameTheField(t *testing.T) {
	g := newGateway(t)
	for body, want := range map[string]string{
		`{"spec":{"vlanId":"x"}}`:                             "vlanId",
		`{"spec":{"colour":"x"}}`:                             "colour",
		`{"spec":{"vtepIpPrefix":{"addr":{"v6Addr":"!"}}}}`:   "v6Addr",
		`{"spec":{"vtepIpPrefix":{"addr":{"af":"IP_AF_X"}}}}`: "af",
		`{"spec":`: "request",
	} {
		r := g.do(t, "POST", "/v1/logicalBridges", body)
		if _, _, fields := r.problem(t); r.code != 400 || !slices.Equal(fields, []string{want}) {
			t.Errorf("%s: HTTP %d %s, want a violation of %q", body, r.code, r.body, want)
		}
	}
}

func TestHealthOverREST(t *testing.T) {
	g := newGateway(t)
	for service, code := range map[string]int{"": 200, bridgeServiceName: 200, "nonsense": 404} {
		if r := g.do(t, "GET", "/healthz?service="+service, ""); r.code != code || code == 200 &&
			!bytes.Contains(r.body, []byte("SERVING")) {
			t.Errorf("%q: HTTP %d %s", service, r.code, r.body)
		}
	}
}
