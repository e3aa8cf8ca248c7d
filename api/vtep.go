package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/api/vtep"
)

// newVTEP puts the gate and the guard before the REST API of package vtep.
func newVTEP(g *guard, maxBody int, h *vtep.Handler) http.Handler {
	mux := vtep.NewMux(h)
	for _, verb := range []string{"Get", "post", "put", "delete"} { // as vtepMethod says
		g.metrics.serves("vtep", verb)
	}
	refuse := func(w http.ResponseWriter, _ *http.Request, err error) {
		code := runtime.HTTPStatusFromCode(status.Code(err))
		if with, ok := errors.AsType[*runtime.HTTPStatusError](err); ok {
			code, err = with.HTTPStatus, with.Err
		}
		vtep.WriteError(w, code, status.Convert(err).Message())
	}
	return &gate{guard: g, maxBody: maxBody, refuse: refuse,
		next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked := false
			err := g.call(r.Context(), vtepMethod(r), func(ctx context.Context) error {
				asked = true
				mux.ServeHTTP(w, r.WithContext(ctx))
				return answered(w)
			})
			if err != nil && !asked {
				refuse(w, r, err)
			}
		})}
}

// vtepMethod names a request as the guard knows methods: GET only reads.
func vtepMethod(r *http.Request) string {
	verb := strings.ToLower(clip(r.Method))
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		verb = "Get"
	}
	return "/vtep/" + verb + " " + clip(r.URL.Path)
}

// answered says for the access log what came of a request.
func answered(w http.ResponseWriter) error {
	r, ok := w.(*recorder)
	if !ok || r.code < http.StatusBadRequest {
		return nil
	}
	code, known := map[int]codes.Code{
		http.StatusBadRequest: codes.InvalidArgument, http.StatusNotFound: codes.NotFound,
		http.StatusConflict: codes.FailedPrecondition, http.StatusMethodNotAllowed: codes.Unimplemented,
	}[r.code]
	if !known {
		code = codes.Internal
	}
	return status.Errorf(code, "HTTP %d", r.code)
}
