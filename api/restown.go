package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// serveOwn serves a method of p4evpn.v1, as the generated handlers do those of the OPI API.
// The parts of a streamed answer become one.
func (h *rest) serveOwn(s *services, route httpRoute) runtime.HandlerFunc {
	_, inPath := route.path()
	var filter [][]string // what is no query parameter
	for _, field := range []string{inPath, route.body} {
		if field != "" && field != "*" {
			filter = append(filter, strings.Split(field, "."))
		}
	}
	taken := utilities.NewDoubleArray(filter)
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		in, err := readOwn(route, r, params, taken)
		var out proto.Message
		if err == nil {
			out, err = s.call(r.Context(), route, in)
		}
		if err != nil {
			h.refuse(w, r, err)
			return
		}
		runtime.ForwardResponseMessage(r.Context(), h.mux, marshaler, w, r, out)
	}
}

// readOwn makes the request of a method from one over HTTP.
func readOwn(route httpRoute, r *http.Request, params map[string]string, taken *utilities.DoubleArray) (proto.Message,
	error) {
	in, err := newMessage(route.method.Input())
	if err == nil {
		err = readBody(route, r, in)
	}
	if err != nil {
		return nil, err
	}
	for field, value := range params {
		if err := runtime.PopulateFieldFromPath(in, field, value); err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if route.body == "*" && len(query) > 0 {
		return nil, badField("request", "it takes no query parameters: its fields are in the body")
	}
	if err := (queryParser{}).Parse(in, query, taken); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return in, nil
}

// readBody fills in what the body is, and for an update which fields it has.
func readBody(route httpRoute, r *http.Request, in proto.Message) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if route.body == "" || len(body) == 0 {
		return nil
	}
	into := in.ProtoReflect()
	if route.body != "*" {
		into = into.Mutable(into.Descriptor().Fields().ByName(protoreflect.Name(route.body))).Message()
	}
	if err := marshaler.Unmarshal(body, into.Interface()); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if route.verb != http.MethodPatch {
		return nil
	}
	mask, err := runtime.FieldMaskFromRequestBody(strings.NewReader(string(body)), into.Interface())
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	in.ProtoReflect().Set(in.ProtoReflect().Descriptor().Fields().ByName("update_mask"),
		protoreflect.ValueOfMessage(mask.ProtoReflect()))
	return nil
}

func newMessage(d protoreflect.MessageDescriptor) (proto.Message, error) {
	t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return t.New().Interface(), nil
}

// call runs a method from within the process.
func (s *services) call(ctx context.Context, route httpRoute, in proto.Message) (proto.Message, error) {
	out, err := newMessage(route.method.Output())
	if err != nil {
		return nil, err
	}
	if !route.method.IsStreamingServer() {
		return out, s.Invoke(ctx, route.full(), in, out)
	}
	run, ok := s.streamed[route.full()]
	if !ok {
		return nil, status.Errorf(codes.Unimplemented, "there is no method %s", route.full())
	}
	return out, run(&gathered{ctx: ctx, in: in, out: out})
}

// gathered is a stream whose parts become one message.
type gathered struct {
	ctx     context.Context
	in, out proto.Message
}

func (g *gathered) Context() context.Context { return g.ctx }

// RecvMsg gives the request; see codec.
func (g *gathered) RecvMsg(m any) error {
	proto.Merge(m.(*incoming).message.(proto.Message), g.in)
	return nil
}

func (g *gathered) SendMsg(m any) error {
	proto.Merge(g.out, m.(proto.Message))
	return g.ctx.Err()
}

func (*gathered) SetHeader(metadata.MD) error  { return nil }
func (*gathered) SendHeader(metadata.MD) error { return nil }
func (*gathered) SetTrailer(metadata.MD)       {}
