package p4rt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Write sends updates, in as few RPCs as their number and size allow, and
// waits for the answers. The updates of one call may take effect in any order.
//
// The first result has an error for each update, nil where the target
// acknowledged it: an UpdateError where the target refused it,
// ErrUnknownOutcome or ErrNotWritten where an RPC failed as a whole. The second
// says why that was (ErrNotConnected, ErrNotPrimary, the context's error, a
// gRPC status) and is nil when every update got its own answer.
//
// Calls are served one after the other.
func (c *Client) Write(ctx context.Context, updates []Update) ([]error, error) {
	if len(updates) == 0 {
		return nil, nil
	}
	select {
	case c.writing <- struct{}{}:
		defer func() { <-c.writing }()
	case <-ctx.Done():
		return fill(make([]error, len(updates)), ErrNotWritten), fmt.Errorf("write of %d updates: %w", len(updates),
			ctx.Err())
	}
	s, err := c.writer()
	if err != nil {
		return fill(make([]error, len(updates)), ErrNotWritten), fmt.Errorf("write of %d updates: %w", len(updates), err)
	}
	s.kept.written(updates)
	errs, err := s.writeAll(ctx, updates)
	if err != nil {
		err = fmt.Errorf("write of %d updates: %w", len(updates), err)
	}
	return errs, err
}

// encoders keep their buffers from one Write to the next.
var encoders = sync.Pool{New: func() any { return new(encoder) }}

// writeAll does what Write promises.
func (s *session) writeAll(ctx context.Context, updates []Update) ([]error, error) {
	errs := make([]error, len(updates))
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	for done := 0; done < len(updates); {
		n, err := s.encode(e, updates[done:])
		if err != nil {
			fill(errs[done:], ErrNotWritten)
			return errs, err
		}
		got, err := s.writeRPC(ctx, updates[done:done+n], e.request)
		for i, e := range got {
			if u := (*UpdateError)(nil); errors.As(e, &u) {
				u.Index = done + i
			}
			errs[done+i] = e
		}
		done += n
		if err != nil {
			fill(errs[done:], ErrNotWritten)
			return errs, err
		}
	}
	return errs, nil
}

func fill(errs []error, err error) []error {
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// encode makes a request of as many updates as one RPC may carry, and says how
// many those are.
func (s *session) encode(e *encoder, updates []Update) (n int, err error) {
	err = e.begin(&p4v1.WriteRequest{
		DeviceId:   s.cfg.DeviceID,
		ElectionId: s.id.Load().proto(),
		Atomicity:  p4v1.WriteRequest_CONTINUE_ON_ERROR,
	})
	for err == nil && n < min(len(updates), s.cfg.MaxBatch) {
		before := len(e.request)
		if err = e.add(updates[n]); err == nil && len(e.request) > maxWriteBytes && n > 0 {
			e.request = e.request[:before]
			break
		}
		n++
	}
	return n, err
}

// writeRPC sends the request of a batch.
func (s *session) writeRPC(ctx context.Context, batch []Update, request []byte) ([]error, error) {
	began := time.Now()
	err := s.conn.Invoke(ctx, p4v1.P4Runtime_Write_FullMethodName, encoded(request), &p4v1.WriteResponse{}, sendEncoded)
	errs, whole := writeErrors(batch, err)
	if whole != nil {
		whole = s.rpcError(ctx, whole)
	}
	s.metrics.wrote(batch, errs, time.Since(began))
	return errs, whole
}

// writeErrors gives each update of a batch the error that the answer to the
// Write RPC has for it (P4Runtime 12.3): with at least one failed update the
// status is UNKNOWN, and its details are one p4.v1.Error for each update, in
// order. A status without details is about the request as a whole.
func writeErrors(batch []Update, err error) (errs []error, whole error) {
	errs = make([]error, len(batch))
	if err == nil {
		return errs, nil
	}
	st, ok := status.FromError(err)
	details := st.Proto().GetDetails()
	switch {
	case !ok || len(details) == 0:
		if ok && rejected(st.Code()) {
			return fill(errs, fmt.Errorf("%w: %w", ErrNotWritten, err)), err
		}
		return fill(errs, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)), err
	case len(details) != len(batch):
		err = fmt.Errorf("the target gave %d answers to %d updates: %w", len(details), len(batch), err)
		return fill(errs, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)), err
	}
	failed := false
	for i, d := range details {
		var e p4v1.Error
		switch {
		case d.UnmarshalTo(&e) != nil:
			errs[i] = fmt.Errorf("%w: the target's answer is no p4.v1.Error but %q", ErrUnknownOutcome, d.GetTypeUrl())
		case e.GetCanonicalCode() != int32(codes.OK):
			errs[i] = &UpdateError{
				Index: i, Update: batch[i], Code: canonical(e.GetCanonicalCode()),
				Message: e.GetMessage(), Space: e.GetSpace(), TargetCode: e.GetCode(),
			}
		}
		failed = failed || errs[i] != nil
	}
	if !failed {
		err = fmt.Errorf("the target failed the write, and no update of it: %w", err)
		return fill(errs, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)), err
	}
	return errs, nil
}

// rejected reports whether a server that answers code for a whole Write has not
// begun it. Others may come from the transport when all or part was done.
func rejected(code codes.Code) bool {
	switch code {
	case codes.InvalidArgument, codes.NotFound, codes.PermissionDenied,
		codes.FailedPrecondition, codes.Unimplemented, codes.Unauthenticated:
		return true
	}
	return false
}

// canonical maps what is no code of gRPC to Unknown.
func canonical(code int32) codes.Code {
	if code < 0 || code > int32(codes.Unauthenticated) {
		return codes.Unknown
	}
	return codes.Code(code)
}

// rpcError gives the failure of a whole RPC its sentinel, and has the
// connection made anew where the answer means that it should be.
func (s *session) rpcError(ctx context.Context, err error) error {
	if ctx.Err() != nil { // the caller's doing, which gRPC does not wrap
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	switch status.Code(err) {
	case codes.PermissionDenied:
		return fmt.Errorf("%w: %w", ErrNotPrimary, err)
	case codes.FailedPrecondition:
		if !s.up.Load() { // ours is on its way; ending the session would begin that anew
			return fmt.Errorf("%w: the target has no pipeline yet: %w", ErrNotConnected, err)
		}
		err = fmt.Errorf("%w: the target lost its pipeline: %w", ErrNotConnected, err)
		s.cancel(err)
		return err
	case codes.Unavailable, codes.Canceled: // Canceled: the session closed the connection
		return fmt.Errorf("%w: %w", ErrNotConnected, err)
	}
	return err
}
