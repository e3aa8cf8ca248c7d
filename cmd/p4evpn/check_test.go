package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/api"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// fakeChecker notes what it is asked.
type fakeChecker struct {
	asked  view.CheckRequest
	answer view.Check
}

func (f *fakeChecker) Check(_ context.Context, r view.CheckRequest) (view.Check, error) {
	f.asked = r
	f.answer.Read = r.Read
	return f.answer, nil
}

func TestACheckIsPrintedAndFailsOnDifferences(t *testing.T) {
	f := &fakeChecker{answer: view.Check{Frames: 20, Entries: 30}}
	address := serveStore(t, api.Config{Store: intent.NewMemory(), View: shown, Checker: f})
	out, err := command(t, "check", "--api", address)
	if want := "20 frames tried with 30 entries that the target acknowledged, 0 differ\n"; err != nil || out != want {
		t.Errorf("%v, %q, want %q", err, out, want)
	}
	if f.asked != (view.CheckRequest{}) {
		t.Errorf("asked for %+v", f.asked)
	}
	f.answer.Differences = []view.CheckDifference{{Object: "MAC 1 of bridge blue", Arrives: "from port port1: a frame",
		Port: "port1", Frame: []byte{1, 2}, Expected: "leaves by port2", Rule: "it is there", Actual: "dropped: fdb",
		Steps: []view.CheckStep{{Text: "bridge.fdb mac=1", Why: "it was learned"}, {Text: "port.kind", Odd: "it is none"}}}}
	f.answer.More = 4
	out, err = command(t, "check", "--api", address, "--read", "blue")
	want := `MAC 1 of bridge blue
  from port port1: a frame
  must: leaves by port2
        it is there
  does: dropped: fdb
    bridge.fdb mac=1
        because it was learned
    port.kind
        it is none
  p4evpn trace --port port1 --frame 0102

and 4 more
20 frames tried with 30 entries read from the target, 5 differ
`
	if err == nil || err.Error() != "5 of 20 frames do not end where they must" || out != want {
		t.Errorf("%v, %q, want %q", err, out, want)
	}
	if f.asked != (view.CheckRequest{Bridge: "blue", VRF: "blue", Read: true}) {
		t.Errorf("asked for %+v", f.asked)
	}
	out, err = command(t, "check", "--api", address, "--all", "-o", "json")
	var read map[string]any
	if jsonErr := json.Unmarshal([]byte(out), &read); err == nil || jsonErr != nil || read["frames"] != "20" {
		t.Errorf("%v, %v, %q", err, jsonErr, out)
	}
	for _, args := range [][]string{{"--all", "blue"}, {"-o", "yaml"}, {"a", "b"}} {
		if _, err := command(t, append([]string{"check", "--api", address}, args...)...); err == nil ||
			strings.Contains(err.Error(), "frames") {
			t.Errorf("%v: %v", args, err)
		}
	}
}
