package controller

import (
	"cmp"
	"fmt"

	"github.com/p4evpn/p4evpn/controller/intent"
)

// bgpStatus is the status of what only BGP has a part in.
func bgpStatus(up bool, reason string) intent.Status {
	if up {
		return intent.Status{Oper: intent.StatusUp,
			Components: []intent.Component{{Name: "bgp", Status: intent.ComponentSuccess}}}
	}
	return intent.Status{Oper: intent.StatusDown, Components: []intent.Component{
		{Name: "bgp", Status: intent.ComponentPending, Details: details(reason)},
	}}
}

// sessions gives the status of each neighbour by its id, if any of refs is one.
func (c *Controller) sessions(refs []intent.Ref) map[string]intent.Status {
	asked := false
	for _, r := range refs {
		asked = asked || r.Kind == intent.KindNeighbor
	}
	if !asked {
		return nil
	}
	out := map[string]intent.Status{}
	for _, p := range c.in.Speaker.Peers() {
		out[p.Address.String()] = bgpStatus(p.Up, cmp.Or(whyDown(&p), "the session is "+p.State))
	}
	return out
}

func (l *loop) speakerStatus() intent.Status {
	return bgpStatus(l.as != 0, fmt.Sprintf("there is no %v", intent.KindSpeaker))
}
