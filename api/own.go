package api

import (
	"encoding/json"
	"fmt"
	"net/netip"

	pb "github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// What the services of p4evpn.v1 share.

// givenID is the id of an object that is not made up for the client.
func givenID(field, id, want string) (string, error) {
	if id == "" {
		return "", badField(field, "not set: want "+want)
	}
	return id, nil
}

// address reads an address that must pass a check.
func (f *fields) address(field, text string, check func(netip.Addr) error) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		f.bad(field, fmt.Sprintf("%.80q is not an IP address", text))
		return a, false
	}
	return a, f.check(field, check(a))
}

// stateOf says in one word whether an object works, and why not.
func stateOf(st intent.Status) (view.State, string) {
	state, reason := view.Up, ""
	if st.Oper != intent.StatusUp {
		state = view.Pending
	}
	for _, c := range st.Components {
		if c.Status == intent.ComponentError && st.Oper != intent.StatusUp {
			state = view.Down
		}
		if c.Status != intent.ComponentSuccess && reason == "" {
			reason = reasonIn(c.Details)
		}
	}
	return state, reason
}

// reasonIn reads a component's details.
func reasonIn(details string) string {
	var d struct{ Reason string }
	if details != "" && json.Unmarshal([]byte(details), &d) != nil {
		return utf8(details)
	}
	return utf8(d.Reason)
}

func writeStatus(st intent.Status, configured bool) *pb.Status {
	state, reason := stateOf(st)
	return &pb.Status{State: states[state], Reason: reason, Configured: configured}
}
