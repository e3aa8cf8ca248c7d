package api

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/p4evpn/p4evpn/controller/intent"
)

// choices are where a sequence takes its decisions from: bytes of a fuzzer, or
// chance.
type choices struct {
	bytes []byte
	rand  *rand.Rand // nil: the bytes alone
}

func (c *choices) done() bool { return c.rand == nil && len(c.bytes) == 0 }

// below gives a number below n.
func (c *choices) below(n int) int {
	if c.rand != nil {
		return c.rand.IntN(n)
	}
	if len(c.bytes) == 0 {
		return 0
	}
	b := c.bytes[0]
	c.bytes = c.bytes[1:]
	return int(b) % n
}

func pick[T any](c *choices, from ...T) T { return from[c.below(len(from))] }

// speaker calls the API: over REST or the way that gRPC does behind its wire.
type apiSpeaker struct {
	store    *intent.Store
	services *services
	gateway  http.Handler
}

func newAPISpeaker(t testing.TB, store *intent.Store) *apiSpeaker {
	t.Helper()
	srv, err := New(Config{Listen: []string{"127.0.0.1:0"}, Insecure: true, Store: store, Status: fakeStatus{},
		Logger: slog.New(slog.DiscardHandler),
		Limits: Limits{CallsPerSecond: 1e9, Burst: 1e9}})
	if err != nil {
		t.Fatal(err)
	}
	gateway, err := newREST(srv.services, defaultMessageBytes)
	if err != nil {
		t.Fatal(err)
	}
	return &apiSpeaker{store, srv.services, gateway}
}

// asOperator is the context of a request by one who may do everything.
func asOperator() context.Context {
	return context.WithValue(context.Background(), partyKey{}, party{role: RoleOperator})
}

// request makes a message of a method's input with some fields set.
func request(m protoreflect.MethodDescriptor, fields map[string]any) protoreflect.Message {
	t, err := protoregistry.GlobalTypes.FindMessageByName(m.Input().FullName())
	if err != nil {
		panic(err)
	}
	r := t.New()
	for name, v := range fields {
		f := m.Input().Fields().ByName(protoreflect.Name(name))
		switch v := v.(type) {
		case proto.Message:
			if v.ProtoReflect().IsValid() {
				r.Set(f, protoreflect.ValueOfMessage(v.ProtoReflect()))
			}
		default:
			r.Set(f, protoreflect.ValueOf(v))
		}
	}
	return r
}

// call makes a call over gRPC or REST.
func (a *apiSpeaker) call(t testing.TB, overREST bool, m protoreflect.MethodDescriptor,
	fields map[string]any) (proto.Message, error) {
	t.Helper()
	out, err := protoregistry.GlobalTypes.FindMessageByName(m.Output().FullName())
	if err != nil {
		t.Fatal(err)
	}
	answer := out.New().Interface()
	r := request(m, fields)
	if !overREST {
		return answer, a.services.Invoke(asOperator(), fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name()),
			r.Interface(), answer)
	}
	rec := httptest.NewRecorder()
	a.gateway.ServeHTTP(rec, restForm(t, m, r).WithContext(asOperator()))
	if rec.Code != http.StatusOK {
		code, message, _ := reply{rec.Code, rec.Header(), rec.Body.Bytes()}.problem(t)
		return nil, status.Error(code, message)
	}
	if err := protojson.Unmarshal(rec.Body.Bytes(), answer); err != nil {
		t.Fatalf("%s over REST: %v", m.Name(), err)
	}
	return answer, nil
}

var pathVariable = regexp.MustCompile(`\{([a-z_.]+)=[^}]*\}`)

// restForm puts a request into a path, parameters and a body.
func restForm(t testing.TB, m protoreflect.MethodDescriptor, r protoreflect.Message) *http.Request {
	t.Helper()
	method, path := rule(m)
	inPath := ""
	path = pathVariable.ReplaceAllStringFunc(path, func(v string) string {
		inPath, _, _ = strings.Cut(pathVariable.FindStringSubmatch(v)[1], ".")
		if m := r.Get(r.Descriptor().Fields().ByName(protoreflect.Name(inPath))); inPath != "name" {
			return m.Message().Get(m.Message().Descriptor().Fields().ByName("name")).String()
		}
		return r.Get(r.Descriptor().Fields().ByName("name")).String()
	})
	h, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	body, query := "", url.Values{}
	r.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch name := string(f.Name()); {
		case name == h.GetBody():
			b, err := protojson.Marshal(v.Message().Interface())
			if err != nil {
				t.Fatal(err)
			}
			body = string(b)
		case name == inPath:
		case name == "update_mask":
			query.Set(name, strings.Join(v.Message().Interface().(*fieldmaskpb.FieldMask).Paths, ","))
		default:
			query.Set(name, fmt.Sprint(v.Interface()))
		}
		return true
	})
	target := (&url.URL{Path: "/" + strings.TrimPrefix(path, "/"), RawQuery: query.Encode()}).String()
	return httptest.NewRequest(method, target, strings.NewReader(body))
}

// sequence runs calls against a store and a model of it.
type sequence struct {
	testing.TB
	*choices
	api   *apiSpeaker
	model model
	log   []string
}

func (s *sequence) step() {
	k := pick(s.choices, modelKinds...)
	overREST := s.below(2) == 1
	before := frozen(s, s.api.store)
	var err error
	switch s.below(16) {
	case 0, 1, 2, 3, 4, 5:
		err = s.create(k, overREST)
	case 6, 7, 8, 9, 10:
		err = s.update(k, overREST)
	case 11, 12:
		err = s.remove(k, overREST)
	case 13:
		err = s.get(k, overREST)
	default:
		s.list(k, overREST)
	}
	if err != nil && !reflect.DeepEqual(frozen(s, s.api.store), before) {
		s.fail("the call failed with %v and changed something", err)
	}
}

func (s *sequence) fail(format string, args ...any) {
	s.Helper()
	s.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, args...), strings.Join(s.log[max(0, len(s.log)-20):], "\n"))
}

func (s *sequence) note(what string, k modelKind, overREST bool, fields map[string]any, want codes.Code) {
	s.log = append(s.log, fmt.Sprintf("%s %s REST %v %v, want %v", what, k.collection, overREST, fields, want))
}

// agree checks the code of a call, and what it answers.
func (s *sequence) agree(got proto.Message, err error, want codes.Code, object proto.Message) {
	s.Helper()
	if status.Code(err) != want {
		s.fail("%v, want %v", err, want)
	}
	if err != nil || object == nil {
		return
	}
	if diff := cmp.Diff(object, got, protocmp.Transform(), ignoreStatus); diff != "" {
		s.fail("answer (-want +got):\n%s", diff)
	}
}

// ignoreStatus leaves out what is the controller's to say.
var ignoreStatus = cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == `["status"]` }, cmp.Ignore())

func (s *sequence) create(k modelKind, overREST bool) error {
	id, sent := k.id(s.choices), k.object(s.choices)
	fields := map[string]any{k.field: sent, k.field + "_id": id}
	object := named(sent, k.name(id))
	old := s.model.get(k, id)
	var want codes.Code
	switch {
	case intent.CheckID(id) != nil || !k.valid(object):
		want = codes.InvalidArgument
	case old != nil && k.equal(old, object):
		object = old
	case old != nil:
		want = codes.AlreadyExists
	default:
		want = k.judge(s.model, object)
	}
	s.note("create", k, overREST, fields, want)
	got, err := s.api.call(s, overREST, k.method("Create"), fields)
	s.agree(got, err, want, object)
	if err == nil {
		s.model.set(k, id, object)
	}
	return err
}

func (s *sequence) update(k modelKind, overREST bool) error {
	id, sent := k.id(s.choices), k.object(s.choices)
	paths := pick(s.choices, k.masks()...)
	if paths == nil && overREST {
		paths = []string{"*"} // without a mask the gateway makes one of the body
	}
	allow := s.below(3) == 0
	object := named(sent, k.name(id))
	fields := map[string]any{k.field: object, "allow_missing": allow}
	if paths != nil {
		fields["update_mask"] = mask(paths...)
	}
	old := s.model.get(k, id)
	var want codes.Code
	switch badMask := slices.Contains(paths, "spec.colour"); {
	case intent.CheckID(id) != nil:
		want = codes.InvalidArgument
	case old == nil && allow:
		want = k.judge(s.model, object)
	case badMask:
		want = codes.InvalidArgument
	case old == nil:
		want = codes.NotFound
	default:
		object = patched(old, object, paths)
		if k.equal(old, object) {
			object = old
		}
		want = k.judge(s.model, object)
	}
	s.note("update", k, overREST, fields, want)
	got, err := s.api.call(s, overREST, k.method("Update"), fields)
	s.agree(got, err, want, object)
	if err == nil {
		s.model.set(k, id, object)
	}
	return err
}

func (s *sequence) remove(k modelKind, overREST bool) error {
	id, allow := k.id(s.choices), s.below(3) == 0
	fields := map[string]any{"name": k.name(id), "allow_missing": allow}
	var want codes.Code
	switch {
	case intent.CheckID(id) != nil:
		want = codes.InvalidArgument
	case s.model.get(k, id) == nil && !allow:
		want = codes.NotFound
	case s.model.refersTo(k.name(id)):
		want = codes.FailedPrecondition
	}
	s.note("delete", k, overREST, fields, want)
	_, err := s.api.call(s, overREST, k.method("Delete"), fields)
	s.agree(nil, err, want, nil)
	if err == nil {
		delete(s.model[k.collection], id)
	}
	return err
}

func (s *sequence) get(k modelKind, overREST bool) error {
	id := k.id(s.choices)
	fields := map[string]any{"name": k.name(id)}
	object := s.model.get(k, id)
	var want codes.Code
	switch {
	case intent.CheckID(id) != nil:
		want = codes.InvalidArgument
	case object == nil:
		want = codes.NotFound
	}
	s.note("get", k, overREST, fields, want)
	got, err := s.api.call(s, overREST, k.method("Get"), fields)
	s.agree(got, err, want, object)
	return err
}

// list walks all pages.
func (s *sequence) list(k modelKind, overREST bool) {
	size, token := int32(1+s.below(3)), ""
	var got []proto.Message
	for first := true; first || token != ""; first = false {
		fields := map[string]any{"page_size": size, "page_token": token}
		s.note("list", k, overREST, fields, codes.OK)
		r, err := s.api.call(s, overREST, k.method("List"), fields)
		s.agree(nil, err, codes.OK, nil)
		m := r.ProtoReflect()
		rows := m.Get(m.Descriptor().Fields().Get(0)).List()
		for i := range rows.Len() {
			got = append(got, rows.Get(i).Message().Interface())
		}
		token = m.Get(m.Descriptor().Fields().ByName("next_page_token")).String()
	}
	var want []proto.Message
	for _, id := range slices.Sorted(maps.Keys(s.model[k.collection])) {
		want = append(want, s.model[k.collection][id])
	}
	if diff := cmp.Diff(want, got, protocmp.Transform(), ignoreStatus); diff != "" {
		s.fail("list of %s (-want +got):\n%s", k.collection, diff)
	}
}

// check compares everything.
func (s *sequence) check() {
	for _, k := range modelKinds {
		s.list(k, false)
	}
}

func TestRandomCallsAgreeWithAModelAndSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := &sequence{TB: t, choices: &choices{rand: rand.New(rand.NewPCG(1, 2))}, model: model{}}
	for range 4 {
		store, err := intent.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		s.api = newAPISpeaker(t, store)
		s.check()
		for range 400 {
			s.step()
		}
		s.check()
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for _, objects := range s.model {
		n += len(objects)
	}
	if n == 0 {
		t.Error("no object is left: the calls were all too wrong")
	}
}

// FuzzSequences takes bytes for the decisions of a sequence of calls. Run it with
// -fuzzminimizetime 10x: a sequence covers a little more each time, and minimising
// one for a minute finds nothing.
func FuzzSequences(f *testing.F) {
	for seed := range uint64(4) {
		r, b := rand.New(rand.NewPCG(seed, 1)), make([]byte, 300)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &sequence{TB: t, choices: &choices{bytes: b}, model: model{}, api: newAPISpeaker(t, intent.NewMemory())}
		for n := 0; !s.done() && n < 200; n++ {
			s.step()
		}
		s.check()
	})
}
