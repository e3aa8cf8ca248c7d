package testbed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// RT constraint (RFC 4684) with Debian's GoBGP 3.10, which asks for the route targets of its
// VRFs. (It does not survive that one is deleted.)
func TestGoBGPIsToldTheRoutesOfTheRouteTargetsOfItsVRFs(t *testing.T) {
	t.Parallel()
	needProgram(t, "gobgpd", "gobgp")
	p := peeringWithObjects(t)
	ctx := t.Context()
	startGoBGP(t, p.lab, p.foreign, "l2vpn-evpn", "rtc")
	gobgp := func(ctx context.Context, args ...string) (string, error) {
		return p.foreign.Output(ctx, append([]string{"gobgp"}, args...)...)
	}
	has := func(what string, flood, prefix bool) {
		t.Helper()
		check(t, Eventually(ctx, patience, what, func(ctx context.Context) error {
			out, err := gobgp(ctx, "neighbor", peeringVTEP.String(), "adj-in", "-a", "evpn")
			if err != nil {
				return err
			}
			if strings.Contains(out, "[type:multicast]") != flood || strings.Contains(out, "[type:Prefix]") != prefix {
				return errors.New(out)
			}
			return nil
		}))
	}
	check(t, Eventually(ctx, patience, "gobgpd has a session", func(ctx context.Context) error {
		out, err := gobgp(ctx, "neighbor")
		if err == nil && !strings.Contains(out, "Establ") {
			err = errors.New(out)
		}
		return err
	}))
	add := func(vrf string, vni int) {
		t.Helper()
		must(gobgp(ctx, "vrf", "add", vrf, "rd", fmt.Sprintf("65000:%d", vni), "rt", "both", fmt.Sprintf("65000:%d", vni)))(t)
	}
	has("gobgpd asked for nothing", false, false)
	add("bridge", blueVNI)
	has("gobgpd asked for the bridge's route target", true, false)
	add("tenant", tenantVNI)
	has("gobgpd asked for the VRF's route target", true, true)
}
