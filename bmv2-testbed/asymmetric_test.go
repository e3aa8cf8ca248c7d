package testbed

import "testing"

func TestAsymmetricIRBRoutesBothWaysWithoutAnL3VNI(t *testing.T) {
	eachRouted(t, func(t *testing.T, r *routed) {
		check(t, r.reachEachOther(t.Context(), "near1", "near2"))
	})
}
