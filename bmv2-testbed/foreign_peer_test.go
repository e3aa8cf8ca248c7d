package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
)

// What a foreign peer advertises in the tests below, and what we do.
const (
	peerMAC    = "02:ac:10:ff:00:51"
	peerIP     = "192.168.222.51"
	peerPrefix = "10.9.0.0/24"
	peerRouter = "02:bb:00:00:50:01" // router MAC of the type-5 route
)

// peeringWithObjects gives a gateway with a bridge, a VRF with an L3 VNI and one
// host, whose only neighbour is the foreign speaker.
func peeringWithObjects(t *testing.T) *peering {
	t.Helper()
	needDemo(t, Embedded)
	l := needLab(t)
	t.Cleanup(func() {
		if t.Failed() {
			showLogs(testWriter{t}, l)
		}
	})
	o := DemoOptions{Target: Embedded, Binary: must(builtBinary())(t), Out: testWriter{t}}
	ctx := t.Context()
	p := must(buildPeering(ctx, l, o, []byte{0x11}, gatewayFile{peers: []Peer{{Address: foreignVTEP, AS: gatewayAS}}}))(t)
	check(t, p.gateway.CreateBridge(ctx, blue, tagBlue, blueVNI))
	check(t, p.gateway.CreatePort(ctx, peeringPorts[0].Dev, ether.MAC{2, 0, 0, 0, 1, 1},
		opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS, blue))
	check(t, p.gateway.CreateVRF(ctx, "tenant", tenantVNI, tenantLoopback))
	check(t, p.gateway.AwaitPortsUp(ctx))
	check(t, p.gateway.AwaitRoutingUp(ctx))
	return p
}

// takes waits until the gateway uses the peer's routes of the three types, or
// has none of them.
func (p *peering) takes(t *testing.T, all bool) {
	t.Helper()
	check(t, Eventually(t.Context(), 2*patience, fmt.Sprintf("the gateway uses the peer's routes: %t", all),
		func(ctx context.Context) error {
			fdb, err := p.gateway.FDB(ctx, blue)
			if err != nil {
				return err
			}
			b, err := p.gateway.Bridge(ctx, blue)
			if err != nil {
				return err
			}
			prefixes, err := p.gateway.Show(ctx, "prefixes", "tenant")
			if err != nil {
				return err
			}
			e := fdb[peerMAC]
			there := map[string]bool{
				"type 2": e.GetVtep() == foreignVTEP.String() && e.GetVni() == blueVNI && e.GetState() == p4evpnv1.State_STATE_UP,
				"type 3": b.GetRemoteVteps() == 1,
				"type 5": strings.Contains(prefixes, peerPrefix) && strings.Contains(prefixes, foreignVTEP.String()) && strings.Contains(prefixes, peerRouter),
			}
			var errs []error
			for name, ok := range there {
				if ok != all {
					errs = append(errs, fmt.Errorf("%s: %t; the FDB has %v, the bridge is %v, prefixes:\n%s",
						name, ok, e, b, prefixes))
				}
			}
			return errors.Join(errs...)
		}))
}

// gives waits until what the peer shows of our routes has each of some parts,
// each in one line.
func (p *peering) gives(t *testing.T, show func(context.Context) (string, error), want map[string][]string) {
	t.Helper()
	check(t, p.hosts[0].Announce())
	check(t, Eventually(t.Context(), patience, "the peer has our routes", func(ctx context.Context) error {
		out, err := show(ctx)
		if err != nil {
			return err
		}
		for name, parts := range want {
			if !anyLine(out, parts) {
				return fmt.Errorf("%s: no line has all of %q in:\n%s", name, parts, out)
			}
		}
		return nil
	}))
}

func anyLine(text string, parts []string) bool {
	for line := range strings.Lines(text) {
		has := true
		for _, part := range parts {
			has = has && strings.Contains(line, part)
		}
		if has {
			return true
		}
	}
	return false
}

func needProgram(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("SKIP: %v (packages.sh installs it)", err)
		}
	}
}

// startGoBGP starts Debian's GoBGP 3.10 as the gateway's iBGP neighbour, with families as it
// names them.
func startGoBGP(t *testing.T, l *Lab, at *Namespace, families ...string) {
	t.Helper()
	config := fmt.Appendf(nil, `[global.config]
  as = %d
  router-id = %q
[[neighbors]]
  [neighbors.config]
    neighbor-address = %q
    peer-as = %[1]d
  [neighbors.timers.config]
    connect-retry = 1
`, gatewayAS, foreignVTEP, peeringVTEP)
	for _, f := range families {
		config = append(config, "  [[neighbors.afi-safis]]\n    [neighbors.afi-safis.config]\n"...)
		config = fmt.Appendf(config, "      afi-safi-name = %q\n", f)
	}
	file := filepath.Join(l.Dir, "gobgpd.toml")
	check(t, os.WriteFile(file, config, 0o644))
	must(l.Start(at, "gobgpd", "gobgpd", "-f", file, "-t", "toml"))(t)
}

// Debian's GoBGP 3.10, by its own command line.
func TestRoutesAreExchangedWithGoBGP3(t *testing.T) {
	t.Parallel()
	needProgram(t, "gobgpd", "gobgp")
	p := peeringWithObjects(t)
	ctx := t.Context()
	startGoBGP(t, p.lab, p.foreign, "l2vpn-evpn")
	rib := func(ctx context.Context, args ...string) (string, error) {
		return p.foreign.Output(ctx, append([]string{"gobgp", "global", "rib", "-a", "evpn"}, args...)...)
	}
	check(t, Eventually(ctx, patience, "gobgpd answers",
		func(ctx context.Context) error { _, err := rib(ctx); return err }))
	routes := [][]string{
		{"macadv", peerMAC, peerIP, "etag", "0", "label", fmt.Sprint(blueVNI), "rd", "172.17.0.1:1010", "rt", "65000:1010", "encap", "vxlan"},
		{"multicast", foreignVTEP.String(), "etag", "0", "rd", "172.17.0.1:1010", "rt", "65000:1010", "encap", "vxlan", "pmsi", "ingress-repl", fmt.Sprint(blueVNI), foreignVTEP.String()},
		{"prefix", peerPrefix, "etag", "0", "label", fmt.Sprint(tenantVNI), "rd", "172.17.0.1:5001", "rt", "65000:5001", "encap", "vxlan", "router-mac", peerRouter},
	}
	for _, r := range routes {
		must(rib(ctx, append([]string{"add"}, r...)...))(t)
	}
	p.takes(t, true)
	p.gives(t, func(ctx context.Context) (string, error) { return rib(ctx) }, map[string][]string{
		"type 2": {"[type:macadv]", "[mac:" + p.hosts[0].MAC.String() + "]", "172.17.0.2", "[1010]", "65000:1010", "[VXLAN]"},
		"type 3": {"[type:multicast]", "[ip:172.17.0.2]", "65000:1010", "label: 1010"},
		"type 5": {"[type:Prefix]", "[prefix:" + tenantLoopback.String() + "]", "172.17.0.2", "[5001]", "65000:5001", "router's mac"},
	})
	for _, r := range routes {
		must(rib(ctx, append([]string{"del"}, r...)...))(t)
	}
	p.takes(t, false)
}

// Debian's ExaBGP 4.2, with the command that exabgp_evpn.py gives it.
func TestRoutesAreExchangedWithExaBGP(t *testing.T) {
	t.Parallel()
	needPython(t, "exabgp")
	p := peeringWithObjects(t)
	in := func(name string) string { return filepath.Join(p.lab.Dir, name) }
	script := must(filepath.Abs("exabgp_evpn.py"))(t)
	check(t, os.WriteFile(in("commands"), []byte(strings.Join([]string{
		fmt.Sprintf("announce evpn mac 172.17.0.1:1010 65000:1010 %s %d %s %s", foreignVTEP, blueVNI, peerMAC, peerIP),
		fmt.Sprintf("announce evpn multicast 172.17.0.1:1010 65000:1010 %s %d", foreignVTEP, blueVNI),
		fmt.Sprintf("announce evpn prefix 172.17.0.1:5001 65000:5001 %s %d %s %s\n", foreignVTEP, tenantVNI, peerPrefix,
			peerRouter),
	}, "\n")), 0o644))
	check(t, os.WriteFile(in("exabgp.conf"), []byte(fmt.Sprintf(`process routes {
	run %s -B %s process %s %s;
	encoder json;
}
neighbor %s {
	router-id %s;
	local-address %[6]s;
	local-as %[7]d;
	peer-as %[7]d;
	family { l2vpn evpn; }
	api { processes [ routes ]; receive { parsed; update; } }
}
`, debianPython, script, in("commands"), in("updates"), peeringVTEP, foreignVTEP, gatewayAS)), 0o644))
	// It becomes another user otherwise, who cannot write here.
	exabgp := must(p.lab.Start(p.foreign, "exabgp", "env", "exabgp.daemon.user=root", "exabgp.api.ack=false",
		debianPython, "-B", script, "run", in("exabgp.conf")))(t)
	p.takes(t, true)
	p.gives(t, func(context.Context) (string, error) {
		out, err := os.ReadFile(in("updates"))
		return string(out), err
	}, map[string][]string{
		"type 2": {`"code": 2`, strings.ToUpper(p.hosts[0].MAC.String()), "172.17.0.2", "target:65000:1010", "encap:VXLAN"},
		"type 3": {`"code": 3`, `"ip": "172.17.0.2"`, "target:65000:1010", "pmsi"},
		"type 5": {`"code": 5`, tenantLoopback.Addr().String(), "172.17.0.2", "target:65000:5001"},
	})
	check(t, exabgp.Kill())
	p.takes(t, false)
}
