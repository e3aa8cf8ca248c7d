package testbed

import (
	"context"
	"strings"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
)

// quietRate is that of a tenant who must lose nothing, in packets/s.
const quietRate = 1000

func TestATenantThatKeepsTheControllerBusyCostsTheOthersNothing(t *testing.T) {
	eachOwnRouted(t, func(t *testing.T, r *routed) {
		for _, name := range []string{"punt.rate", "punt.port_rate", "punt.bridge_rate", "punt.vrf_rate"} {
			if must(r.gateway.raw(t).bounds(t.Context(), name))(t) == 0 {
				t.Errorf("no cell of %s has a rate", name)
			}
		}
		// Of a share that is all tenants' some packets are lost each time, of a machine that is
		// busy otherwise now and then.
		var i Isolation
		for turn := 0; turn < 3 && (turn == 0 || i.Lost() > 0); turn++ {
			i = must(MeasureIsolation(t.Context(), r.hosts["twin1"],
				Flow{Name: "routed", From: r.hosts["east1"], To: r.hosts["west1"], Rate: quietRate}))(t)
			t.Log(i)
			if enough := 3 * i.Rate; i.Flow.Sent < enough || i.Pings < enough || float64(i.Punted) < i.Carried/2 {
				t.Errorf("too little was sent to tell")
			}
		}
		if i.Lost() > 0 {
			t.Errorf("%d packets were lost, want none", i.Lost())
		}
		if i.Carried/2*floodWait.Seconds() < floodedBefore {
			t.Skip("the machine is too busy: the target carries no flood")
		}
		const full = "1024 MACs are learned on port"
		for turn, said := 0, ""; turn < 5 && !strings.Contains(said, full); turn++ { // a slow target reports few at a time
			f := must(MeasureMACFlood(t.Context(), r.hosts["twin1"], i.Carried/2, r.hosts["west1"], r.hosts["east1"]))(t)
			t.Log(f)
			said = must(r.gateway.command(t.Context(), "list", "switch-port"))(t)
		}
		wantOf(t, r, "shadow", full)
		wantOf(t, r, "west", "")
	})
}

// wantOf checks what the ports of a bridge say of limits: that they have their MACs, or
// nothing.
func wantOf(t *testing.T, r *routed, bridge, want string) {
	t.Helper()
	b := must(r.gateway.Bridge(t.Context(), bridge))(t)
	said := must(r.gateway.command(t.Context(), "list", "switch-port"))(t)
	found := false
	for line := range strings.Lines(said) {
		for _, port := range b.GetPorts() {
			if strings.Contains(line, port) {
				found = true
				if !strings.Contains(line, want) || strings.Contains(line, "are learned") != (want != "") {
					t.Errorf("want %q of %s", want, line)
				}
			}
		}
	}
	if !found {
		t.Errorf("nothing is said of the ports %v of bridge %s:\n%s", b.GetPorts(), bridge, said)
	}
}

// bounds is how many cells of a meter have a rate; a target need not answer others at all.
func (r *rawTarget) bounds(ctx context.Context, name string) (n int, err error) {
	meter := &p4v1.MeterEntry{}
	for _, m := range r.info.GetMeters() {
		if m.GetPreamble().GetName() == name {
			meter.MeterId = m.GetPreamble().GetId()
		}
	}
	cells, err := r.read(ctx, &p4v1.ReadRequest{DeviceId: rawDevice,
		Entities: []*p4v1.Entity{{Entity: &p4v1.Entity_MeterEntry{MeterEntry: meter}}}})
	for _, e := range cells {
		if e.GetMeterEntry().GetConfig().GetCir() > 0 {
			n++
		}
	}
	return n, err
}
