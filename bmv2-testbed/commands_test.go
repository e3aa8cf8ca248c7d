package testbed

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/ether"
)

// command runs p4evpn against the gateway as an operator does.
func (g *Gateway) command(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, g.binary, append(args, "--api", g.socket)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("p4evpn %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// silentMAC is a station on the cable of h2 that never says anything.
var silentMAC = ether.MAC{2, 0, 0, 0, 0, 0x77}

const silentObject = `
kind: static-mac
id: silent
spec: {logical_bridge: blue, bridge_port: port2, mac_address: 02:00:00:00:00:77, ip_addresses: [192.168.10.77]}
`

func TestANeighbourAndAStaticMACComeAndGoByCommand(t *testing.T) {
	d := buildNetwork(t, DemoOptions{Target: Embedded})
	ctx := t.Context()
	far := d.l1a.Address.Addr()
	apart := func(ctx context.Context) error {
		if d.h1.Ping(ctx, far, 300*time.Millisecond) == nil {
			return errors.New("h1 reaches l1a")
		}
		return nil
	}
	run := func(stdin string, args ...string) string {
		t.Helper()
		return must(d.gateway.command(ctx, stdin, args...))(t)
	}
	check(t, d.gateway.KillController())
	alone := d.gatewayFile()
	alone.peers = nil
	check(t, d.gateway.StartController(ctx, alone.String()))
	check(t, Eventually(ctx, patience, "a gateway without neighbours is alone", apart))

	run("", "create", "neighbor", leaf1Up, "--remote-as", fmt.Sprint(leaf1AS), "--connect-retry", "1s")
	took, err := d.h1.Reach(ctx, far, 2*patience)
	check(t, err)
	t.Logf("h1 reaches l1a %v after its leaf was made a neighbour", took)
	if out := run("", "get", "neighbor", leaf1Up, "-o", "yaml"); !strings.Contains(out, "session: established") {
		t.Errorf("the neighbour is shown as\n%s", out)
	}

	if out := run(silentObject, "apply", "-f", "-"); !strings.Contains(out, "1 created") {
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
		short, cancel := context.WithTimeout(ctx, 2*time.Second) // the first frame is what the gateway learns it from
		defer cancel()
		return d.expectFrame(short, d.h1, silentMAC, ether.Broadcast, nil)
	}))
	if e := must(d.gateway.FDB(ctx, blue))(t)[silentMAC.String()]; e.GetKind() != "static" || e.GetPort() != "port2" || !e.GetSticky() {
		t.Errorf("the gateway has it as %v", e)
	}
	if out := run(silentObject, "apply", "-f", "-"); !strings.Contains(out, "nothing to change") {
		t.Errorf("apply again says %s", out)
	}

	run("", "delete", "static-mac", "silent")
	check(t, Eventually(ctx, patience, "leaf1 has it no more", func(ctx context.Context) error {
		macs, err := d.leaf1.MACs(ctx, blueVNI)
		if _, there := macs[silentMAC.String()]; err == nil && there {
			err = fmt.Errorf("it knows %v", macs)
		}
		return err
	}))
	run("", "delete", "neighbor", leaf1Up)
	check(t, Eventually(ctx, patience, "the gateway is alone again", apart))
}
