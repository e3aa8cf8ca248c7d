package testbed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
)

// silentMAC is a station on the cable of h2 that never says anything.
var silentMAC = ether.MAC{2, 0, 0, 0, 0, 0x77}

const silentObject = `
kind: static-mac
id: silent
spec: {logical_bridge: blue, bridge_port: port2, mac_address: 02:00:00:00:00:77, ip_addresses: [192.168.10.77]}
`

func TestANeighbourAndAStaticMACComeAndGoByCommand(t *testing.T) {
	t.Parallel()
	d := buildNetwork(t, DemoOptions{Target: Embedded})
	ctx := t.Context()
	far := d.l1a.Address.Addr()
	apart := func(ctx context.Context) error { return d.h1.Misses(ctx, far, d.h1, d.h2.Address.Addr()) }
	silent := filepath.Join(t.TempDir(), "silent.yaml")
	check(t, os.WriteFile(silent, []byte(silentObject), 0o600))
	run := func(args ...string) string {
		t.Helper()
		return must(d.gateway.command(ctx, args...))(t)
	}
	check(t, d.gateway.KillController())
	alone := d.gatewayFile()
	alone.peers = nil
	check(t, d.gateway.StartController(ctx, alone.String()))
	check(t, Eventually(ctx, patience, "a gateway without neighbours is alone", apart))

	run("create", "neighbor", leaf1Up, "--remote-as", fmt.Sprint(leaf1AS), "--connect-retry", "1s")
	took, err := d.h1.Reach(ctx, far, 2*patience)
	check(t, err)
	t.Logf("h1 reaches l1a %v after its leaf was made a neighbour", took)
	if out := run("get", "neighbor", leaf1Up, "-o", "yaml"); !strings.Contains(out, "session: established") {
		t.Errorf("the neighbour is shown as\n%s", out)
	}

	if out := run("apply", "-f", silent); !strings.Contains(out, "1 created") {
		t.Errorf("apply says %s", out)
	}
	check(t, Eventually(ctx, patience, "leaf1 has the static MAC", func(ctx context.Context) error {
		macs, err := d.leaf1.MACs(ctx, blueVNI)
		if err == nil && macs[silentMAC.String()].VTEP != gatewayVTEP.String() {
			err = fmt.Errorf("it knows %v", macs)
		}
		return err
	}))
	// From a leaf it is reached and not flooded to, and nobody else can be it.
	check(t, d.expectFrame(ctx, d.l1a, d.l1a.MAC, silentMAC, map[string]int{d.h2.Name: 1}))
	check(t, Eventually(ctx, patience, "h1 cannot speak for it", func(ctx context.Context) error {
		return d.expectFrame(ctx, d.h1, silentMAC, ether.Broadcast, nil) // the first frame is what the gateway learns it from
	}))
	if e := must(d.gateway.FDB(ctx, blue))(t)[silentMAC.String()]; e.GetKind() != p4evpnv1.FDBKind_FDB_KIND_STATIC ||
		e.GetPort() != "port2" || !e.GetSticky() {
		t.Errorf("the gateway has it as %v", e)
	}
	if out := run("apply", "-f", silent); !strings.Contains(out, "nothing to change") {
		t.Errorf("apply again says %s", out)
	}

	run("delete", "static-mac", "silent")
	check(t, Eventually(ctx, patience, "leaf1 has it no more", func(ctx context.Context) error {
		macs, err := d.leaf1.MACs(ctx, blueVNI)
		if _, there := macs[silentMAC.String()]; err == nil && there {
			err = fmt.Errorf("it knows %v", macs)
		}
		return err
	}))
	run("delete", "neighbor", leaf1Up)
	check(t, Eventually(ctx, patience, "the gateway is alone again", apart))
}
