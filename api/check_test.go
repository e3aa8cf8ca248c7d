package api

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// checkerOf notes what it is asked.
type checkerOf struct {
	asked  view.CheckRequest
	answer view.Check
	err    error
}

func (c *checkerOf) Check(_ context.Context, r view.CheckRequest) (view.Check, error) {
	c.asked = r
	return c.answer, c.err
}

func TestACheckIsAskedForAndAnsweredAsItIs(t *testing.T) {
	f := &checkerOf{answer: view.Check{Frames: 7, Entries: 8, Read: true, More: 9, Took: 1500 * time.Millisecond,
		Differences: []view.CheckDifference{{Object: "o", Bridge: "b", VRF: "v", Port: "p", Frame: []byte{1}, Arrives: "a",
			Expected: "e", Rule: "r", Actual: "x", Steps: []view.CheckStep{{Text: "t", Entry: "n", Why: "w", Odd: "d"}}}}}}
	g := serveConfig(t, Config{Store: intent.NewMemory(), Status: fakeStatus{}, Checker: f}, nil)
	c := p4evpnv1.NewCheckingClient(g.conn)
	want := &p4evpnv1.CheckTargetResponse{Frames: 7, Entries: 8, Read: true, More: 9, Seconds: 1.5,
		Differences: []*p4evpnv1.CheckDifference{{Object: "o", Bridge: "b", Vrf: "v", Port: "p", Frame: []byte{1},
			Arrives: "a", Expected: "e", Rule: "r", Actual: "x",
			Steps: []*p4evpnv1.CheckStep{{Text: "t", Entry: "n", Why: "w", Odd: "d"}}}}}
	for _, read := range []bool{false, true} {
		call := c.CheckTarget
		if read {
			call = c.CheckTargetRead
		}
		got, err := call(t.Context(), &p4evpnv1.CheckTargetRequest{Bridge: "blue", Vrf: "red"})
		if err != nil || !proto.Equal(got, want) {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
		if f.asked != (view.CheckRequest{Bridge: "blue", VRF: "red", Read: read}) {
			t.Errorf("asked for %+v", f.asked)
		}
	}
	for err, code := range map[error]codes.Code{&view.CheckError{Problem: "there is no VRF red"}: codes.NotFound,
		errors.New("the target is away"): codes.Unavailable} {
		f.err = err
		_, got := c.CheckTarget(t.Context(), &p4evpnv1.CheckTargetRequest{})
		wantCode(t, got, code)
	}
}

func TestOnlyAnOperatorHasTheTargetRead(t *testing.T) {
	for method, want := range map[string]bool{p4evpnv1.Checking_CheckTarget_FullMethodName: true,
		p4evpnv1.Checking_CheckTargetRead_FullMethodName: false} {
		if reads(method) != want {
			t.Errorf("%s is a viewer's: %v", method, !want)
		}
	}
}
