package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/api"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// dropping is a gateway that drops for two reasons.
func dropping() *controllertest.View {
	many := func(names ...string) (parts []view.DropsOf) {
		for i, n := range names {
			parts = append(parts, view.DropsOf{Name: n, Dropped: view.Dropped{Packets: uint64(10 - i), Rate: float64(10-i) / 5}})
		}
		return parts
	}
	return &controllertest.View{Rows: controllertest.Rows{Drops: []view.Drop{
		{Stage: "ingress", Reason: "hairpin", Means: "it goes back", Dropped: view.Dropped{Packets: 40, Rate: 8},
			Ports: many("port1", "port2", "port3", "port4", "port5", "port6"), Bridges: many("blue"),
			Sample: &view.DropSample{Port: "port1", Time: time.Unix(1000, 0), Frame: []byte{1, 0xff}}},
		{Stage: "egress", Reason: "mtu", Means: "too big", Dropped: view.Dropped{Packets: 3}},
	}}}
}

func TestWhyDropSaysReasonsPlacesAndTheTraceOfASample(t *testing.T) {
	v, f := dropping(), &fakeTracer{}
	address := serveStore(t, api.Config{Store: intent.NewMemory(), View: v, Tracer: f})
	out, err := command(t, "why", "drop", "--api", address, "--port", "port1", "--for", "30s")
	want := `hairpin: 40 frames, 8.0/s
  it goes back
  came by port1 (10 frames, 2.0/s), port2 (9 frames, 1.8/s), port3 (8 frames, 1.6/s), port4 (7 frames, 1.4/s), and 2 more
  in bridge blue (10 frames, 2.0/s)
  such as ` + time.Unix(1000, 0).Format("15:04:05.000") + `, by port1:
    a frame comes
    => dropped: fdb
    => leaves by port2
    p4evpn trace --port port1 --frame 01ff
mtu: 3 frames
  too big
  decided when it was about to leave
`
	if err != nil || out != want {
		t.Errorf("%v, got\n%swant\n%s", err, out, want)
	}
	if v.DropQuery != (view.DropQuery{Port: "port1", Over: 30 * time.Second}) || f.asked.Port != "port1" ||
		len(f.asked.Frame) != 2 {
		t.Errorf("asked for %+v and the trace of %+v", v.DropQuery, f.asked)
	}
	out, err = command(t, "why", "drop", "--api", address, "-o", "json")
	var rows []struct{ Reason string }
	jerr := json.Unmarshal([]byte(out), &rows)
	if err != nil || jerr != nil || len(rows) != 2 || rows[0].Reason != "hairpin" {
		t.Errorf("%v, %v in\n%s", err, jerr, out)
	}
	if v.DropQuery.Over != 5*time.Second {
		t.Errorf("it counts for %v unless it is told", v.DropQuery.Over)
	}
	v.Rows.Drops = nil
	if out, err := command(t, "why", "drop", "--api", address); err != nil || out != "nothing was dropped\n" {
		t.Errorf("%v, %q", err, out)
	}
	for args, want := range map[string]string{
		"--for 2m": "at most 1m0s", "--for -1s": "over", "-o xml": "want text or json", "--port a --bridge b": "port", "x": "unknown",
	} {
		args := append([]string{"why", "drop", "--api", address}, strings.Fields(args)...)
		if _, err := command(t, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q in it", args, err, want)
		}
	}
}

func TestASampleThatCannotBeTracedCostsItsLinesAlone(t *testing.T) {
	address := serveStore(t, api.Config{Store: intent.NewMemory(), View: dropping()}) // without a tracer
	out, err := command(t, "why", "drop", "--api", address)
	if err != nil || !strings.Contains(out, "it cannot be traced: ") || !strings.Contains(out, "mtu: 3 frames") {
		t.Errorf("%v, %s", err, out)
	}
}
