package testbed

import "testing"

func TestATenantThatKeepsTheControllerBusyCostsTheOthersNothing(t *testing.T) {
	eachOwnRouted(t, func(t *testing.T, r *routed) {
		i := must(MeasureIsolation(t.Context(), r.hosts["twin1"],
			Flow{Name: "routed", From: r.hosts["east1"], To: r.hosts["west1"], Rate: 1000}))(t)
		t.Log(i)
		if i.Lost() > 0 {
			t.Errorf("%d packets were lost, want none", i.Lost())
		}
		if i.Flow.Sent < 3000 || i.Pings < 3000 || float64(i.Punted) < i.Carried/2 {
			t.Errorf("too little was sent to tell")
		}
	})
}
