package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet/packettest"
)

func TestMalformedARPAndNDClaimNothingAndHarmNobody(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]FabricOptions{"without a gateway address": {LeafSVI: true},
		"with one": {LeafSVI: true, SVI: true}} {
		t.Run(name, func(t *testing.T) {
			eachFabric(t, o, func(t *testing.T, f *Fabric) {
				ctx := t.Context()
				mac := ether.MAC{2, 0, 0, 0xbb, 0, 1}
				list := append(packettest.Malformed(mac, numbered(222).Addr(), numbered6(222).Addr()),
					packettest.NotForHosts(mac)...)
				for _, from := range []string{"gw-owner", "leaf-owner", "second-owner"} { // also by VXLAN
					s := must(f.Hosts[from].NS.OpenRaw("eth0"))(t)
					for _, shape := range list {
						if err := s.Send(shape.Frame); err != nil {
							t.Fatalf("%s: %v", shape.Name, err)
						}
					}
					check(t, s.Close())
				}
				f.stillServes(t)
				// The leaf takes some for what they are, and advertises them until the MAC is
				// elsewhere: they come along, and end when nobody answers (RFC 9135 section 7.2).
				for _, g := range []*Gateway{f.Gateway, f.Second} {
					check(t, Eventually(ctx, patience/4, "nothing is claimed", func(ctx context.Context) error {
						out, err := g.Show(ctx, "hosts")
						for line := range strings.Lines(out) {
							if strings.Contains(line, mac.String()) {
								err = errors.Join(err, fmt.Errorf("%s took a claim for a host: %s", g.VTEP, line))
							}
						}
						return err
					}))
				}
			})
		})
	}
}

// stillServes checks that nothing has ended, that all reach each other, and that a host
// which speaks now is known and reached.
func (f *Fabric) stillServes(t *testing.T) {
	t.Helper()
	for _, g := range []*Gateway{f.Gateway, f.Second} {
		check(t, errors.Join(g.control.Running(), g.dataplane.Running()))
		if strings.Contains(g.controlLog(t), "panic") {
			t.Errorf("%s panicked:\n%s", g.VTEP, g.control.Tail(4000))
		}
	}
	for _, h := range f.watchers() {
		must(f.reached(t.Context(), h.Address.Addr()))(t)
		must(f.reached(t.Context(), h.Address6.Addr()))(t)
	}
	m := f.Hosts["mover"]
	check(t, m.Announce())
	f.awaitAgreement(t, "a host that speaks now", m.Address.Addr(), m, m.Announce)
}

// controlLog is what the controller has said.
func (g *Gateway) controlLog(t *testing.T) string {
	t.Helper()
	return string(must(os.ReadFile(g.control.Log))(t))
}
