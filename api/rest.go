package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// rest serves the paths that the annotations of the API give its methods, those of
// p4evpn.v1, /healthz and /openapi.json. A request ends in a call to services, with the peer
// that sent it.
type rest struct {
	mux    *runtime.ServeMux
	routes []httpRoute
}

func newREST(s *services, maxBody int) (http.Handler, error) {
	h := &rest{routes: routesOf(slices.Collect(maps.Keys(s.GetServiceInfo())))}
	none := func(string) (string, bool) { return "", false }
	h.mux = runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, marshaler),
		runtime.WithIncomingHeaderMatcher(none), // what the guard needs is in the context
		runtime.WithOutgoingHeaderMatcher(none),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.SetQueryParameterParser(queryParser{}),
		runtime.WithRoutingErrorHandler(h.noSuchPath),
		runtime.WithErrorHandler(nameField),
		runtime.WithHealthzEndpoint(healthpb.NewHealthClient(s)),
		runtime.WithMiddlewares(h.withoutContradiction),
	)
	document, err := json.Marshal(openAPI(h.routes))
	errs := []error{err, h.mux.HandlePath("GET", openAPIPath, serveJSON(document))}
	for _, route := range h.routes {
		if route.own {
			errs = append(errs, h.mux.HandlePath(route.verb, route.pattern, h.serveOwn(s, route)))
		}
	}
	ctx := context.Background() // the handlers of a client do not use it
	return &gate{guard: s.guard, maxBody: maxBody, refuse: h.refuse, next: headAsGet(h.mux)}, errors.Join(append(errs,
		pb.RegisterLogicalBridgeServiceHandlerClient(ctx, h.mux, pb.NewLogicalBridgeServiceClient(s)),
		pb.RegisterBridgePortServiceHandlerClient(ctx, h.mux, pb.NewBridgePortServiceClient(s)),
		pb.RegisterVrfServiceHandlerClient(ctx, h.mux, pb.NewVrfServiceClient(s)),
		pb.RegisterSviServiceHandlerClient(ctx, h.mux, pb.NewSviServiceClient(s)),
	)...)
}

// headAsGet answers a HEAD as a GET; net/http leaves the body out.
func headAsGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			get := *r
			get.Method = http.MethodGet
			r = &get
		}
		next.ServeHTTP(w, r)
	})
}

func serveJSON(document []byte) runtime.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request, _ map[string]string) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document) // the client went
	}
}

func (h *rest) refuse(w http.ResponseWriter, r *http.Request, err error) {
	runtime.HTTPError(r.Context(), h.mux, marshaler, w, r, err)
}

// marshaler shows fields that are not set too, and refuses those that are not
// there.
var marshaler = &runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{EmitUnpopulated: true}}

// noSuchPath says what there is.
func (h *rest) noSuchPath(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter,
	r *http.Request, code int) {
	err := status.Errorf(codes.InvalidArgument, "%.80q is no path", r.URL.Path)
	switch code {
	case http.StatusNotFound:
		err = status.Errorf(codes.NotFound, "there is nothing at %.80q: want /v1/%s, ..., or /v1/%s; %s has all", r.URL.Path,
			bridgeNaming.collection, bridgeNaming.name("{id}"), openAPIPath)
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", cmp.Or(allowed(h.routes, r.URL.Path), "GET, HEAD"))
		err = status.Errorf(codes.Unimplemented, "%.20q cannot be used at %.80q", r.Method, r.URL.Path)
	}
	runtime.HTTPError(ctx, mux, m, w, r, &runtime.HTTPStatusError{HTTPStatus: code, Err: err})
}

// fieldInText finds the field that queryParser, protojson and the gateway name in their
// errors.
var fieldInText = regexp.MustCompile(`^"([^"]{1,80})" is no |(?:field|parameter:?) "?([A-Za-z0-9_.\[\]]+)"?`)

// nameField gives the errors of the gateway itself the details that those of the
// methods have.
func nameField(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request,
	err error) {
	if st := status.Convert(err); st.Code() == codes.InvalidArgument && len(st.Details()) == 0 {
		field := "request"
		if found := fieldInText.FindStringSubmatch(st.Message()); found != nil {
			field = cmp.Or(found[1], found[2])
		}
		err = withDetails(st.Code(), st.Message(), &errdetails.BadRequest{
			FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: clip(st.Message())}}})
	}
	runtime.DefaultHTTPErrorHandler(ctx, mux, m, w, r, err)
}

// queryParser refuses parameters that name no field, which the library's own
// passes over, and those that the path or the body has.
type queryParser struct{ runtime.DefaultQueryParser }

// Parse fills in a message.
func (p queryParser) Parse(m proto.Message, values url.Values, filter *utilities.DoubleArray) error {
	for key := range values {
		fields := m.ProtoReflect().Descriptor().Fields()
		name, _, _ := strings.Cut(key, ".")
		f := fields.ByTextName(name)
		if f == nil {
			f = fields.ByJSONName(name)
		}
		if f == nil {
			return fmt.Errorf("%.80q is no parameter of this request", key)
		}
		if filter.HasCommonPrefix([]string{string(f.Name())}) {
			return fmt.Errorf("%.80q is no query parameter: it is in the path or the body", key)
		}
	}
	return p.DefaultQueryParser.Parse(m, values, filter)
}

// withoutContradiction refuses what generated handlers pass over: parameters
// where there are none, and a body that names another object than the path.
func (h *rest) withoutContradiction(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		if err := contradiction(r, params); err != nil {
			h.refuse(w, r, err)
			return
		}
		next(w, r, params)
	}
}

func contradiction(r *http.Request, params map[string]string) error {
	if _, named := params["name"]; named && r.Method == http.MethodGet && r.URL.RawQuery != "" {
		return badField("name", "a get takes no query parameters")
	}
	if r.Method != http.MethodPatch {
		return nil
	}
	for field, name := range params { // there is one
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var sent struct{ Name string }
		if json.Unmarshal(body, &sent) != nil || sent.Name == "" {
			continue // the generated handler says what is wrong
		}
		if !sameName(sent.Name, name) {
			return badField(field, fmt.Sprintf("the body names %.80q, the path %.80q: want one", sent.Name, name))
		}
	}
	return nil
}

// sameName reports whether two names are forms of the same.
func sameName(a, b string) bool {
	for _, n := range namings {
		if x, err := n.id(a); err == nil {
			y, err := n.id(b)
			return err == nil && x == y
		}
	}
	return a == b
}
