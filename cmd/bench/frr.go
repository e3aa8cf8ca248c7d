package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
)

// FRR is at one end of a veth pair, the injector at the other. What is configured
// is in docs/route-speed.md too.
const (
	frrDevice, leafDevice = "up0", "leaf0"

	frrBridge, frrVXLAN     = "br10001", "vx10001" // of firstVNI
	frrL3Bridge, frrL3VXLAN = "br9999", "vx9999"   // of l3VNI

	frrHoldTime = 90 * time.Second
	frrPatience = time.Minute
)

var (
	frrAddress  = netip.MustParsePrefix("192.0.2.1/24")
	leafAddress = netip.MustParsePrefix("192.0.2.2/24")
)

// frr is FRR with kernel VXLAN in a namespace, and a session from an injector.
type frr struct {
	*testbed.FRR
	ns      *testbed.Namespace
	session *bgptest.Session
	heard   chan struct{} // closed when the session's UPDATEs have ended
}

// frrConfig is bgpd's.
func frrConfig() string {
	return fmt.Sprintf(`router bgp %d
 bgp router-id %s
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 neighbor %[3]s remote-as %d
 neighbor %[3]s passive
 address-family l2vpn evpn
  neighbor %[3]s activate
  advertise-all-vni
 exit-address-family
`, gatewayAS, gatewayVTEP, leafAddress.Addr(), leafAS)
}

// frrLinks are the devices of a leaf as ip -batch takes them: a bridge and a VXLAN
// device for the bridge's VNI and one of each for the L3 VNI. The bridge has the
// SVI's address.
func frrLinks() string {
	lines := []string{
		fmt.Sprintf("address add %s/32 dev lo", gatewayVTEP),
		fmt.Sprintf("address add %s dev %s", frrAddress, frrDevice),
		fmt.Sprintf("route add %s/32 via %s", vtep(0), leafAddress.Addr()),
	}
	for _, l := range []struct {
		bridge, vxlan string
		vni           uint32
	}{{frrBridge, frrVXLAN, firstVNI}, {frrL3Bridge, frrL3VXLAN, l3VNI}} {
		lines = append(lines,
			fmt.Sprintf("link add name %s type bridge mcast_snooping 0", l.bridge),
			fmt.Sprintf("link add name %s type vxlan id %d local %s dstport 4789 nolearning", l.vxlan, l.vni, gatewayVTEP),
			fmt.Sprintf("link set %s master %s", l.vxlan, l.bridge),
			fmt.Sprintf("link set %s type bridge_slave learning off", l.vxlan),
			fmt.Sprintf("link set %s up", l.bridge), fmt.Sprintf("link set %s up", l.vxlan))
	}
	return strings.Join(append(lines, fmt.Sprintf("address add %s dev %s", tenantGateway, frrBridge)), "\n") + "\n"
}

// withFRR measures something with an FRR of its own, whose session stands.
func withFRR(ctx context.Context, measure func(*frr) error) (err error) {
	if _, err := frrVersion(ctx); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return skip("FRR runs in network namespaces: run it as root")
	}
	lab, err := testbed.NewLab()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	f, err := startFRR(ctx, lab)
	defer f.close()
	if err != nil {
		return fmt.Errorf("start FRR: %w", err)
	}
	return measure(f)
}

// frrVersion is what bgpd says of itself; a skip where it is not here.
func frrVersion(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "/usr/lib/frr/bgpd", "--version").Output()
	if errors.Is(err, os.ErrNotExist) {
		return "", skip("FRR is not here: install Debian's package frr")
	}
	if err != nil {
		return "", fmt.Errorf("ask FRR for its version: %w", err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimPrefix(line, "bgpd version "), nil
}

func startFRR(ctx context.Context, lab *testbed.Lab) (*frr, error) {
	f := &frr{}
	var leaf *testbed.Namespace
	var err error
	if f.ns, err = lab.Namespace("frr"); err != nil {
		return f, err
	}
	if leaf, err = lab.Namespace("leaf"); err != nil {
		return f, err
	}
	err = errors.Join(lab.Cable(testbed.End{NS: f.ns, Dev: frrDevice}, testbed.End{NS: leaf, Dev: leafDevice}),
		leaf.AddAddress(leafDevice, leafAddress), f.ns.Sysctl("net.ipv4.ip_forward", "1"))
	if err != nil {
		return f, err
	}
	links := f.ns.Command(ctx, "ip", "-batch", "-")
	links.Stdin = strings.NewReader(frrLinks())
	if out, err := links.CombinedOutput(); err != nil {
		return f, fmt.Errorf("make its devices: %w: %s", err, out)
	}
	if f.FRR, err = lab.StartFRR(ctx, f.ns, "frr", frrConfig()); err != nil {
		return f, err
	}
	if err := f.Configure(ctx, fmt.Sprintf("vni %d", l3VNI)); err != nil {
		return f, err
	}
	if err := f.awaitVNIs(ctx); err != nil {
		return f, err
	}
	return f, f.connect(ctx, leaf)
}

// awaitVNIs waits until bgpd has both VNIs from zebra.
func (f *frr) awaitVNIs(ctx context.Context) error {
	return testbed.Eventually(ctx, frrPatience, "bgpd knows the VNIs", func(ctx context.Context) error {
		var known map[string]any
		if err := f.JSON(ctx, "show bgp l2vpn evpn vni", &known); err != nil {
			return err
		}
		for _, vni := range []uint32{firstVNI, l3VNI} {
			if known[fmt.Sprint(vni)] == nil {
				return fmt.Errorf("VNI %d is not among %v", vni, known)
			}
		}
		return nil
	})
}

// connect establishes the session from the other namespace.
func (f *frr) connect(ctx context.Context, leaf *testbed.Namespace) error {
	err := leaf.Do(func() (err error) {
		ctx, cancel := context.WithTimeout(ctx, frrPatience)
		defer cancel()
		f.session, err = bgptest.Dial(ctx, bgptest.Config{Local: leafAddress.Addr(),
			Remote: netip.AddrPortFrom(frrAddress.Addr(), 179), AS: leafAS, HoldTime: frrHoldTime})
		return err
	})
	if err != nil {
		return err
	}
	f.heard = make(chan struct{})
	go func() {
		defer close(f.heard)
		for range f.session.Updates() {
		}
	}()
	return nil
}

// close ends the session; the lab ends the rest.
func (f *frr) close() {
	if f.session != nil {
		f.session.Close()
		<-f.heard
	}
}

// resident is what bgpd and zebra have in memory, in bytes.
func (f *frr) resident() (sum float64, err error) {
	for _, daemon := range []string{"bgpd", "zebra"} {
		text, err := os.ReadFile(filepath.Join(f.Folder, daemon+".pid"))
		if err != nil {
			return 0, fmt.Errorf("find %s: %w", daemon, err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return 0, fmt.Errorf("find %s: %w", daemon, err)
		}
		now, _, err := resident(pid)
		if err != nil {
			return 0, err
		}
		sum += now
	}
	return sum, nil
}
