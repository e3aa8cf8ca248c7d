package p4rtserver

import (
	"errors"
	"fmt"
	"strings"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// refuse gives an engine error its P4Runtime code.
func refuse(err error) error {
	code := codes.Internal
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pipeline.ErrInvalid):
		code = codes.InvalidArgument
	case errors.Is(err, pipeline.ErrExists):
		code = codes.AlreadyExists
	case errors.Is(err, pipeline.ErrNotFound):
		code = codes.NotFound
	case errors.Is(err, pipeline.ErrFull):
		code = codes.ResourceExhausted
	case errors.Is(err, pipeline.ErrInUse):
		code = codes.FailedPrecondition
	case errors.Is(err, pipeline.ErrConst):
		code = codes.PermissionDenied
	}
	return grpcstatus.Error(code, strings.TrimSuffix(err.Error(), ": "+pipeline.ErrInvalid.Error()))
}

func invalid(format string, args ...any) error {
	return grpcstatus.Errorf(codes.InvalidArgument, format, args...)
}

// within puts the object in front of the message, if it is not there, and
// keeps the code.
func within(object string, err error) error {
	st := grpcstatus.Convert(err)
	if strings.HasPrefix(st.Message(), object) {
		return err
	}
	return grpcstatus.Error(st.Code(), object+": "+st.Message())
}

// batchError is the status of a batch in which something failed: UNKNOWN with
// one p4.v1.Error for each element, in order (10, 12.3). errs has one element
// for each, nil for success.
func batchError(what string, errs []error) error {
	st := &status.Status{Code: int32(codes.Unknown), Details: make([]*anypb.Any, len(errs))}
	failed := 0
	var ok *anypb.Any
	for i, err := range errs {
		detail := &p4v1.Error{}
		if err != nil {
			failed++
			s := grpcstatus.Convert(err)
			detail.CanonicalCode, detail.Message = int32(s.Code()), s.Message()
		} else if ok != nil {
			st.Details[i] = ok
			continue
		}
		packed, packErr := anypb.New(detail)
		if packErr != nil {
			return grpcstatus.Errorf(codes.Internal, "report the error of element %d: %v", i, packErr)
		}
		st.Details[i] = packed
		if err == nil {
			ok = packed
		}
	}
	st.Message = fmt.Sprintf("%d of %d %s failed", failed, len(errs), what)
	return grpcstatus.ErrorProto(st)
}
