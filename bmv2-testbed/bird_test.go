package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Addresses of the link in the other version of IP.
var (
	foreignAddress6 = netip.MustParsePrefix("fd00:17::1/64")
	peeringAddress6 = netip.MustParsePrefix("fd00:17::2/64")
)

// bird is Debian's BIRD 2, which knows no EVPN, with one session for each version of IP.
type bird struct {
	*peering
	control string
}

const birdConfig = `router id %[1]s;
protocol device {}
protocol static four { ipv4; route 10.77.0.0/24 blackhole; route 10.78.0.0/16 blackhole; }
protocol static six { ipv6; route 2001:db8:77::/48 blackhole; route 2001:db8:78::/64 blackhole; }
template bgp peering { local as 65101; connect retry time 1; error wait time 1, 2; hold time 9; }
protocol bgp gateway4 from peering { neighbor %[2]s as %[3]d; ipv4 { import all; export all; }; }
protocol bgp gateway6 from peering { neighbor %[4]s as %[3]d; ipv6 { import all; export all; }; }
`

func startBIRD(t *testing.T) *bird {
	t.Helper()
	needDemo(t, Embedded)
	needProgram(t, "bird", "birdc")
	l := needLab(t)
	t.Cleanup(func() { logsOf(t, l) })
	six := fmt.Sprintf("    - {address: %s, as: 65101, families: [ipv6], hold_time: 9s, connect_retry: 1s}\n",
		foreignAddress6.Addr())
	o := DemoOptions{Target: Embedded, Binary: must(builtBinary())(t), Out: testWriter{t}}
	b := &bird{peering: must(buildPeering(t.Context(), l, o, nil, gatewayFile{
		peers: []Peer{{Address: foreignVTEP, AS: 65101, Underlay: true}}, more: six}))(t),
		control: filepath.Join(l.Dir, "bird.ctl")}
	for _, end := range []struct {
		ns      *Namespace
		address netip.Prefix
	}{{b.gateway.NS, peeringAddress6}, {b.foreign, foreignAddress6}} {
		check(t, end.ns.enableIPv6("up1"))
		check(t, end.ns.AddAddress("up1", end.address))
	}
	file := filepath.Join(l.Dir, "bird.conf")
	check(t, os.WriteFile(file, fmt.Appendf(nil, birdConfig, foreignVTEP, peeringVTEP, gatewayAS,
		peeringAddress6.Addr()), 0o644))
	must(l.Start(b.foreign, "bird", "bird", "-f", "-c", file, "-s", b.control, "-P", b.control+".pid"))(t)
	return b
}

func (b *bird) command(ctx context.Context, args ...string) (string, error) {
	return b.foreign.Output(ctx, append([]string{"birdc", "-s", b.control}, args...)...)
}

// learned waits until the gateway's kernel has just these routes of BIRD's.
func (b *bird) learned(t *testing.T, want ...string) {
	t.Helper()
	check(t, Eventually(t.Context(), 2*patience, fmt.Sprintf("the gateway has %q", want), func(ctx context.Context) error {
		four, err := b.gateway.NS.Output(ctx, "ip", "-4", "-o", "route", "show", "proto", learnedRoutes)
		if err != nil {
			return err
		}
		six, err := b.gateway.NS.Output(ctx, "ip", "-6", "-o", "route", "show", "proto", learnedRoutes)
		if err != nil {
			return err
		}
		got := strings.TrimSpace(four + "\n" + six)
		for _, route := range want {
			if !strings.Contains(got, route+" ") {
				return fmt.Errorf("there is no %s in:\n%s", route, got)
			}
		}
		if n := len(strings.Fields(got)); n > 0 && strings.Count(got, " via ") != len(want) || n == 0 && len(want) > 0 {
			return fmt.Errorf("it has:\n%s", got)
		}
		return nil
	}))
}

// shown waits until BIRD has a route of ours by a next hop.
func (b *bird) shown(t *testing.T, prefix, hop string) {
	t.Helper()
	check(t, Eventually(t.Context(), patience, "BIRD has "+prefix, func(ctx context.Context) error {
		out, err := b.command(ctx, "show", "route", "all", prefix)
		if err != nil {
			return err
		}
		if !anyLine(out, []string{"BGP.next_hop: " + hop}) || !anyLine(out, []string{"BGP.as_path: 65000"}) {
			return errors.New(out)
		}
		return nil
	}))
}

// BIRD for IPv4 and IPv6 unicast: routes both ways, each by the address of its session.
func TestUnicastRoutesAreExchangedWithBIRD(t *testing.T) {
	t.Parallel()
	b := startBIRD(t)
	four := []string{"10.77.0.0/24 via 172.17.0.1", "10.78.0.0/16 via 172.17.0.1"}
	six := []string{"2001:db8:77::/48 via fd00:17::1", "2001:db8:78::/64 via fd00:17::1"}
	b.learned(t, append(four, six...)...)
	b.shown(t, "172.17.0.2/32", "172.17.0.2")
	b.shown(t, "172.17.0.0/24", "172.17.0.2")
	b.shown(t, "fd00:17::/64", "fd00:17::2")
	for _, c := range []struct {
		command, protocol string
		left              []string
	}{
		{"disable", "four", six}, {"enable", "four", append(four, six...)}, {"disable", "six", four},
		{"disable", "gateway4", nil},
	} {
		must(b.command(t.Context(), c.command, c.protocol))(t)
		b.learned(t, c.left...)
	}
}
