package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// RT constraint (RFC 4684) with Debian's GoBGP 3.10, which asks for the route targets of its
// VRFs. (It does not survive that one is deleted.)
func TestGoBGPIsToldTheRoutesOfTheRouteTargetsOfItsVRFs(t *testing.T) {
	needProgram(t, "gobgpd", "gobgp")
	p := peeringWithObjects(t)
	ctx := t.Context()
	file := filepath.Join(p.lab.Dir, "gobgpd.toml")
	check(t, os.WriteFile(file, []byte(fmt.Sprintf(`[global.config]
  as = %d
  router-id = %q
[[neighbors]]
  [neighbors.config]
    neighbor-address = %q
    peer-as = %[1]d
  [neighbors.timers.config]
    connect-retry = 1
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "l2vpn-evpn"
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "rtc"
`, gatewayAS, foreignVTEP, peeringVTEP)), 0o644))
	must(p.lab.Start(p.foreign, "gobgpd", "gobgpd", "-f", file, "-t", "toml"))(t)
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
