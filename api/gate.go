package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// How long a client may take, once the header of its request is there.
const (
	bodyTimeout   = 30 * time.Second // to send the body
	streamTimeout = 10 * time.Minute // to send all messages of a stream of its own
	answerTimeout = 2 * time.Minute  // to take what is written of an answer at once
	// refusedTimeout is what one who was refused has to send the rest.
	refusedTimeout = time.Second
)

// gate is what every request over HTTP passes: it gets an id and its caller, is counted
// and has its body read, and is logged if no call was.
type gate struct {
	guard   *guard
	maxBody int
	refuse  func(http.ResponseWriter, *http.Request, error)
	next    http.Handler
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	request := &arrival{id: requestID(r.Header.Values(requestIDHeader)...), via: "rest", headers: r.Header}
	w.Header().Set(requestIDHeader, request.id)
	r = r.WithContext(request.context(r.Context()))
	answer := &recorder{ResponseWriter: w, code: http.StatusOK}
	p, err := g.guard.enter(r, r.Method+" "+r.URL.Path, r.Method == http.MethodGet || r.Method == http.MethodHead)
	if err == nil {
		defer p.end()
		err = g.admit(answer, r, p)
	}
	if err != nil {
		turnAway(answer)
		g.refuse(answer, r, err)
	} else {
		g.next.ServeHTTP(answer, r)
	}
	if !request.recorded {
		level := slog.LevelInfo
		if status.Code(err) == codes.ResourceExhausted {
			level = slog.LevelDebug
		}
		attrs := append(g.guard.identify(r.Context()).attrs(), slog.String("via", "rest"),
			slog.String("request", clip(r.Method+" "+r.URL.Path)), slog.Int("status", answer.code), slog.Duration("took",
				time.Since(start)))
		g.guard.log.LogAttrs(r.Context(), level, "API request that calls no method", attrs...)
	}
}

// turnAway has a connection end with the answer that is written next: who may not ask
// keeps nothing, and a body that nobody reads is not waited for.
func turnAway(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(refusedTimeout))
}

// recorder notes the status of an answer, and does not wait for ever for who takes it.
type recorder struct {
	http.ResponseWriter
	code int
}

func (r *recorder) WriteHeader(code int) {
	r.code = code
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(b []byte) (int, error) {
	_ = http.NewResponseController(r.ResponseWriter).SetWriteDeadline(time.Now().Add(answerTimeout))
	return r.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// admit reads the request's body, which must be one JSON value.
func (g *gate) admit(w http.ResponseWriter, r *http.Request, p *passage) error {
	tooLarge := &runtime.HTTPStatusError{HTTPStatus: http.StatusRequestEntityTooLarge,
		Err: status.Errorf(codes.ResourceExhausted, "the request's body is larger than %d bytes: use gRPC, send less, or "+
			"raise api.limits.body_bytes of the configuration", g.maxBody)}
	if r.ContentLength > int64(g.maxBody) {
		g.guard.metrics.request(refusedBody)
		return tooLarge
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(g.guard.body))
	body, err := io.ReadAll(&counted{ReadCloser: r.Body, passage: p, left: g.maxBody, over: tooLarge})
	_ = control.SetReadDeadline(time.Time{})
	switch _, refused := status.FromError(err); {
	case err == nil:
	case refused && !errors.Is(err, tooLarge): // of what is in flight
		g.guard.metrics.request(refusedBytes)
		return err
	default:
		g.guard.metrics.request(refusedBody)
		if errors.Is(err, tooLarge) {
			return tooLarge
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return status.Errorf(codes.InvalidArgument, "the request's body did not come within %v", g.guard.body)
		}
		return status.Errorf(codes.InvalidArgument, "the request's body cannot be read: %v", err)
	}
	if body = bytes.TrimSpace(body); len(body) > 0 {
		if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodDelete {
			return status.Errorf(codes.InvalidArgument, "%s takes no body: its fields are query parameters", r.Method)
		}
		var value json.RawMessage
		if err := json.Unmarshal(body, &value); err != nil {
			return status.Errorf(codes.InvalidArgument, "the request's body is not one JSON value: %v", err)
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// callGate is the same for gRPC: what it refuses never reaches gRPC's server, which reads
// all that comes, whether or not it has use for it.
type callGate struct {
	guard      *guard
	maxMessage int
	services   *services
}

// messagePrefix is what a message has before it over gRPC, in bytes.
const messagePrefix = 5

func (g *callGate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	request := &arrival{id: requestID(r.Header.Values(requestIDHeader)...), via: "grpc", headers: r.Header}
	ctx := request.context(r.Context())
	r = r.WithContext(ctx)
	method := r.URL.Path
	p, err := g.guard.enter(r, method, reads(method))
	if err != nil {
		w.Header().Set(requestIDHeader, request.id)
		if g.guard.identify(ctx).role == "" {
			turnAway(w)
		}
		refuseCall(w, err)
		g.guard.record(g.guard.identify(ctx), method, start, err)
		return
	}
	defer p.end()
	timeout := g.guard.body
	if g.services.fromClient[method] {
		timeout = streamTimeout
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout))
	r.Body = &counted{ReadCloser: r.Body, passage: p, left: g.maxMessage + messagePrefix,
		over: status.Errorf(codes.ResourceExhausted, "more than %d bytes of messages in one call", g.maxMessage)}
	g.services.grpc.ServeHTTP(patient{w}, r)
}

// patient waits for who takes an answer, but not for ever; between two parts of a stream
// there may be any time.
type patient struct{ http.ResponseWriter }

func (p patient) Write(b []byte) (n int, err error) {
	p.wait(func() { n, err = p.ResponseWriter.Write(b) })
	return n, err
}

// Flush is http.Flusher's, which gRPC wants.
func (p patient) Flush() { p.wait(func() { _ = http.NewResponseController(p.ResponseWriter).Flush() }) }

func (p patient) wait(do func()) {
	control := http.NewResponseController(p.ResponseWriter)
	_ = control.SetWriteDeadline(time.Now().Add(answerTimeout))
	do()
	_ = control.SetWriteDeadline(time.Time{})
}

// refuseCall answers a call over gRPC that no method is asked for (Trailers-Only).
func refuseCall(w http.ResponseWriter, err error) {
	st := status.Convert(err)
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", strconv.Itoa(int(st.Code())))
	h.Set("Grpc-Message", strings.ReplaceAll(url.PathEscape(st.Message()), "+", "%2B"))
	if len(st.Proto().GetDetails()) > 0 {
		if b, err := proto.Marshal(st.Proto()); err == nil {
			h.Set("Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(b))
		}
	}
	w.WriteHeader(http.StatusOK)
}
