package testbed

import "testing"

func TestSymmetricIRBRoutesBothWaysBetweenGatewayAndLeaf(t *testing.T) {
	eachRouted(t, func(t *testing.T, r *routed) {
		for _, here := range []string{"east1", "west1"} {
			check(t, r.reachEachOther(t.Context(), here, "far1"))
		}
		check(t, r.reachEachOther(t.Context(), "twin1", "twinfar"))
	})
}

func TestGatewayRoutesBetweenItsOwnBridges(t *testing.T) {
	eachRouted(t, func(t *testing.T, r *routed) {
		check(t, r.reachEachOther(t.Context(), "east1", "west1"))
	})
}
