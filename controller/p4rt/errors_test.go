package p4rt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

func detail(code codes.Code, message string) *anypb.Any {
	a, err := anypb.New(&p4v1.Error{CanonicalCode: int32(code), Message: message})
	if err != nil {
		panic(err)
	}
	return a
}

func TestWriteErrorsSaysOfEachUpdateOnlyWhatIsKnown(t *testing.T) {
	ok := detail(codes.OK, "")
	for name, c := range map[string]struct {
		err   error
		want  []error // by errors.Is, nil for acknowledged
		whole bool
	}{
		"success": {nil, []error{nil, nil, nil}, false},
		"one refused": {
			status.FromProto(&spb.Status{Code: 2, Details: []*anypb.Any{ok, detail(codes.AlreadyExists, "there"), ok}}).Err(),
			[]error{nil, ErrAlreadyExists, nil}, false,
		},
		"all refused": {
			status.FromProto(&spb.Status{Code: 2, Details: []*anypb.Any{
				detail(codes.NotFound, ""), detail(codes.ResourceExhausted, "full"), detail(codes.Unimplemented, ""),
			}}).Err(),
			[]error{ErrNotFound, ErrResourceExhausted, ErrUnimplemented}, false,
		},
		"a code that gRPC does not have": {
			status.FromProto(&spb.Status{Code: 2, Details: []*anypb.Any{ok, detail(99, ""), ok}}).Err(),
			[]error{nil, codeError(codes.Unknown), nil}, false,
		},
		"a detail of another kind": {
			status.FromProto(&spb.Status{Code: 2,
				Details: []*anypb.Any{ok, {TypeUrl: "type.googleapis.com/x.Y"}, detail(codes.NotFound, "")}}).Err(),
			[]error{nil, ErrUnknownOutcome, ErrNotFound}, false,
		},
		"details cut short": {
			status.FromProto(&spb.Status{Code: 2, Details: []*anypb.Any{ok, detail(codes.NotFound, "")}}).Err(),
			[]error{ErrUnknownOutcome, ErrUnknownOutcome, ErrUnknownOutcome}, true,
		},
		"too many details": {
			status.FromProto(&spb.Status{Code: 2, Details: []*anypb.Any{ok, ok, ok, detail(codes.NotFound, "")}}).Err(),
			[]error{ErrUnknownOutcome, ErrUnknownOutcome, ErrUnknownOutcome}, true,
		},
		"a failure in which nothing failed": {
			status.FromProto(&spb.Status{Code: 2, Details: []*anypb.Any{ok, ok, ok}}).Err(),
			[]error{ErrUnknownOutcome, ErrUnknownOutcome, ErrUnknownOutcome}, true,
		},
		"request refused": {
			status.Error(codes.PermissionDenied, "Not primary"),
			[]error{ErrNotWritten, ErrNotWritten, ErrNotWritten}, true,
		},
		"connection broken": {
			status.Error(codes.Unavailable, "reset"),
			[]error{ErrUnknownOutcome, ErrUnknownOutcome, ErrUnknownOutcome}, true,
		},
		"errors lost on the way": {
			status.Error(codes.ResourceExhausted, "received trailing metadata size exceeds limit"),
			[]error{ErrUnknownOutcome, ErrUnknownOutcome, ErrUnknownOutcome}, true,
		},
		"an error that is no status": {
			io.ErrUnexpectedEOF,
			[]error{ErrUnknownOutcome, io.ErrUnexpectedEOF, ErrUnknownOutcome}, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			batch := []Update{&p4v1.Update{}, &p4v1.Update{}, &p4v1.Update{}}
			errs, whole := writeErrors(batch, c.err)
			if (whole != nil) != c.whole {
				t.Errorf("the whole failed with %v, want that to be %v", whole, c.whole)
			}
			for i, want := range c.want {
				if !errors.Is(errs[i], want) {
					t.Errorf("update %d: %v, want %v", i, errs[i], want)
				}
			}
		})
	}
}

func TestUpdateErrorNamesUpdateCodeAndReason(t *testing.T) {
	u := &p4v1.Update{Type: p4v1.Update_INSERT,
		Entity: &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{TableId: 77}}}}
	errs, _ := writeErrors([]Update{&p4v1.Update{}, u}, status.FromProto(&spb.Status{Code: 2, Details: []*anypb.Any{
		detail(codes.OK, ""), detail(codes.AlreadyExists, "match entry exists"),
	}}).Err())
	err := fmt.Errorf("bridge b1: %w", errs[1])
	for _, want := range []string{"INSERT", "77", "AlreadyExists", "match entry exists"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	var ue *UpdateError
	if !errors.As(err, &ue) || ue.Index != 1 || ue.Update != u {
		t.Errorf("as UpdateError: %+v", ue)
	}
	if got := status.Code(err); got != codes.AlreadyExists {
		t.Errorf("status.Code is %v", got)
	}
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrUnknownOutcome) {
		t.Error("it is also another error")
	}
}

func TestSessionErrorTellsRefusedFromUnreachable(t *testing.T) {
	for _, c := range []struct{ err, want error }{
		{io.EOF, ErrNotConnected},
		{context.Canceled, ErrNotConnected},
		{status.Error(codes.Unavailable, ""), ErrNotConnected},
		{status.Error(codes.Internal, "stream terminated by RST_STREAM"), ErrNotConnected},
		{errors.New("no answer"), ErrNotConnected},
		{status.Error(codes.InvalidArgument, "Election id already exists"), ErrRefused},
		{status.Error(codes.ResourceExhausted, "Too many connections"), ErrRefused},
		{status.Error(codes.NotFound, "no device 7"), ErrRefused},
		{status.Error(codes.Unimplemented, "unknown service p4.v1.P4Runtime"), ErrRefused},
		{fmt.Errorf("%w: pipeline", ErrRefused), ErrRefused},
	} {
		if got := sessionError(c.err); !errors.Is(got, c.want) || !errors.Is(got, c.err) {
			t.Errorf("%v became %v, want %v", c.err, got, c.want)
		}
	}
}

func TestElectionIDsAreOrderedAndPrintedAs128Bits(t *testing.T) {
	ids := []ElectionID{{0, 1}, {0, 1<<64 - 1}, {1, 0}, {1, 5}, {1<<64 - 1, 1<<64 - 1}}
	for i, a := range ids {
		for j, b := range ids {
			if got, want := a.Compare(b), cmpInt(i, j); got != want {
				t.Errorf("%v.Compare(%v) is %d, want %d", a, b, got, want)
			}
		}
	}
	for i, want := range []ElectionID{{0, 2}, {1, 0}, {1, 1}, {1, 6}, {1<<64 - 1, 1<<64 - 1}} {
		if got := ids[i].next(); got != want {
			t.Errorf("next of %v is %v, want %v", ids[i], got, want)
		}
	}
	if got := ids[3].String(); got != "0x10000000000000005" {
		t.Errorf("String gives %s", got)
	}
}

func cmpInt(a, b int) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// FuzzWriteErrors gives statuses of any content for writes of any length.
func FuzzWriteErrors(f *testing.F) {
	for _, st := range []*spb.Status{
		{Code: 2},
		{Code: 7, Message: "Not primary"},
		{Code: 2, Details: []*anypb.Any{detail(codes.OK, ""), detail(codes.NotFound, "x")}},
		{Code: 2, Details: []*anypb.Any{{TypeUrl: "type.googleapis.com/p4.v1.Error", Value: []byte{0xff, 0xff}}}},
		{Code: -1, Details: []*anypb.Any{detail(1000, "odd")}},
	} {
		b, err := proto.Marshal(st)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint8(2))
	}
	f.Fuzz(func(t *testing.T, b []byte, n uint8) {
		st := &spb.Status{}
		if proto.Unmarshal(b, st) != nil {
			return
		}
		batch := make([]Update, n)
		for i := range batch {
			batch[i] = &p4v1.Update{}
		}
		err := status.FromProto(st).Err()
		errs, whole := writeErrors(batch, err)
		if len(errs) != len(batch) {
			t.Fatalf("%d errors for %d updates", len(errs), len(batch))
		}
		failed := 0
		for _, err := range errs {
			if err != nil {
				failed++
				_ = err.Error()
			}
		}
		switch {
		case err == nil && (failed > 0 || whole != nil):
			t.Fatal("a success has errors")
		case whole != nil && failed != len(batch):
			t.Fatal("the whole failed, and an update looks acknowledged")
		case err != nil && whole == nil && failed == 0:
			t.Fatal("a failure is lost")
		}
	})
}
