package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/ether"
)

// The capabilities that docs/operations.md names, and its units have.
var (
	switchCapabilities   = []string{"net_admin", "net_raw", "bpf"}
	runCapabilities      = []string{"net_admin", "net_bind_service"}
	slowPathCapabilities = []string{"net_admin", "net_bind_service", "sys_admin", "dac_override"}
)

const unprivileged = 65534

// as starts a command as a user without rights but for some capabilities.
func as(capabilities []string) []string {
	list := "-all"
	for _, c := range capabilities {
		list += ",+" + c
	}
	user := fmt.Sprint(unprivileged)
	return []string{"setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--no-new-privs",
		"--inh-caps=" + list, "--ambient-caps=" + list, "--bounding-set=" + list}
}

func without(capabilities []string, one string) []string {
	return slices.DeleteFunc(slices.Clone(capabilities), func(c string) bool { return c == one })
}

// smallGateway is a gateway with two tenants in one bridge, not started.
type smallGateway struct {
	*Gateway
	h1, h2 *Host
}

func newSmallGateway(t *testing.T) *smallGateway {
	t.Helper()
	if err := needs(Embedded); err != nil {
		t.Skip(err)
	}
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skip("SKIP: setpriv is not on PATH")
	}
	binary := must(builtBinary())(t)
	check(t, os.Chmod(binaryFolder, 0o755))
	l := needLab(t)
	t.Cleanup(func() {
		if t.Failed() {
			showLogs(testWriter{t}, l)
		}
	})
	ns := must(l.Namespace("gw"))(t)
	s := &smallGateway{}
	var ports []SwitchPort
	for i, h := range []**Host{&s.h1, &s.h2} {
		number := byte(i + 1)
		*h = &Host{
			Name: fmt.Sprintf("h%d", number), NS: must(l.Namespace(fmt.Sprintf("h%d", number)))(t), Dev: "eth0",
			MAC:     ether.MAC{2, 0, 0, 0, 0, number},
			Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 10, 10 + number}), 24),
		}
		ports = append(ports, SwitchPort{Number: i + 1, Dev: fmt.Sprintf("port%d", number)})
		check(t, l.Cable(End{NS: ns, Dev: ports[i].Dev, Switch: true}, End{NS: (*h).NS, Dev: "eth0"}))
		check(t, (*h).Configure())
	}
	s.Gateway = must(l.Gateway(ns, binary, Embedded, gatewayVTEP, ports))(t)
	check(t, os.Chown(l.Dir, unprivileged, unprivileged))
	return s
}

func (s *smallGateway) startController(t *testing.T, slowPath bool) error {
	t.Helper()
	file := gatewayFile{gateway: s.Gateway, as: gatewayAS, ports: s.ports}.String()
	if !slowPath {
		file = strings.Replace(file, "slow_path: {", "slow_path: {disabled: true, ", 1)
	}
	return s.StartController(t.Context(), file)
}

// awaitLog waits until a process has said something.
func awaitLog(t *testing.T, p *Process, what string) {
	t.Helper()
	check(t, Eventually(t.Context(), patience, "the log says "+what, func(context.Context) error {
		if strings.Contains(p.Tail(1<<20), what) {
			return nil
		}
		return errors.New("it does not")
	}))
}

func (s *smallGateway) bridge(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	check(t, s.CreateBridge(ctx, blue, 10, 0))
	for i, p := range s.ports {
		mac := ether.MAC{2, 0, 0, 0, 1, byte(i)}
		check(t, s.CreatePort(ctx, p.Dev, mac, opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS, blue))
	}
	check(t, s.AwaitPortsUp(ctx))
}

// TestAGatewayRunsWithTheCapabilitiesOfTheManual alone.
func TestAGatewayRunsWithTheCapabilitiesOfTheManual(t *testing.T) {
	for _, c := range []struct {
		name string
		run  []string
		slow bool
	}{
		{"without the slow path", runCapabilities, false},
		{"with the slow path", slowPathCapabilities, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSmallGateway(t)
			ctx := t.Context()
			s.switchAs, s.runAs = as(switchCapabilities), as(c.run)
			check(t, s.StartSwitch(ctx))
			check(t, s.startController(t, c.slow))
			s.bridge(t)
			must(s.h1.Reach(ctx, s.h2.Address.Addr(), 10*time.Second))(t)
			if !c.slow {
				return
			}
			gateway := netip.MustParsePrefix("192.168.10.1/24")
			check(t, s.CreateVRF(ctx, "main", 0, netip.MustParsePrefix("10.100.0.1/32")))
			check(t, s.CreateSVI(ctx, blue, "main", ether.MAC{2, 0, 0, 0, 2, 1}, gateway))
			check(t, s.AwaitRoutingUp(ctx))
			must(s.h1.Reach(ctx, gateway.Addr(), 10*time.Second))(t)
		})
	}
}

// The gateway's unit has a /run/netns of its own.
func TestTheManualAndTheUnitsNameTheCapabilities(t *testing.T) {
	names := func(capabilities []string) string {
		return "CAP_" + strings.ToUpper(strings.Join(capabilities, " CAP_"))
	}
	manual := string(must(os.ReadFile("../docs/operations.md"))(t))
	for _, capabilities := range [][]string{switchCapabilities, slowPathCapabilities, runCapabilities} {
		for _, name := range capabilities {
			if name := names([]string{name}); !strings.Contains(manual, name) {
				t.Errorf("docs/operations.md does not have %s", name)
			}
		}
	}
	for unit, capabilities := range map[string][]string{
		"p4evpn-switch": switchCapabilities, "p4evpn": without(slowPathCapabilities, "dac_override"),
	} {
		text := string(must(os.ReadFile("../packaging/systemd/" + unit + ".service"))(t))
		for _, key := range []string{"AmbientCapabilities=", "CapabilityBoundingSet="} {
			if want := "\n" + key + names(capabilities) + "\n"; !strings.Contains(text, want) {
				t.Errorf("%s.service does not have %q", unit, want)
			}
		}
	}
}

func TestAMissingCapabilityIsNamed(t *testing.T) {
	for _, c := range []struct {
		of, missing string
		flags       []string
		want        string
	}{
		{"switch", "net_raw", nil, "CAP_NET_RAW"},
		{"switch", "net_admin", nil, "lacks CAP_NET_ADMIN"},
		{"switch", "bpf", []string{"--claim", "tcx"}, "lacks CAP_BPF"},
		{"switch", "bpf", []string{"--claim", "clsact"}, "lacks CAP_BPF"},
		{"run", "net_bind_service", nil, "CAP_NET_BIND_SERVICE"},
		{"run", "sys_admin", nil, "CAP_SYS_ADMIN"},
	} {
		t.Run(strings.Join(append([]string{c.of, "without", c.missing}, c.flags...), " "), func(t *testing.T) {
			s := newSmallGateway(t)
			ctx := t.Context()
			if c.of == "switch" {
				s.switchAs, s.switchFlags = as(without(switchCapabilities, c.missing)), c.flags
				check(t, s.StartSwitch(ctx))
				awaitLog(t, s.dataplane, c.want)
				return
			}
			check(t, s.StartSwitch(ctx))
			s.runAs = as(without(slowPathCapabilities, c.missing))
			if err := s.startController(t, true); err == nil && c.missing == "sys_admin" { // else it says so and ends
				check(t, s.CreateVRF(ctx, "main", 0, netip.MustParsePrefix("10.100.0.1/32")))
			}
			awaitLog(t, s.control, c.want)
		})
	}
}

// TestASwitchWithoutBPFClaimsByNftables since that asks for no program.
func TestASwitchWithoutBPFClaimsByNftables(t *testing.T) {
	s := newSmallGateway(t)
	s.switchAs = as(without(switchCapabilities, "bpf"))
	check(t, s.StartSwitch(t.Context()))
	awaitLog(t, s.dataplane, "claim=nft")
}
