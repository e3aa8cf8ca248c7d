package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"

	"github.com/p4evpn/p4evpn/controller/dhcp/dhcptest"
)

// A station behind a guarded port speaks from the address that DHCP gave it, also after
// everything was restarted, and from no other.
func TestAGuardedStationHasTheAddressThatDHCPGaveIt(t *testing.T) {
	s := newSmallGateway(t)
	ctx := t.Context()
	file := gatewayFile{gateway: s.Gateway, as: gatewayAS, ports: s.ports}.String()
	file = strings.Replace(file, "slow_path: {", "slow_path: {disabled: true, ", 1)
	file = strings.Replace(file, "interface: port1}", "interface: port1, source_guard: true}", 1)
	file = strings.Replace(file, "interface: port2}", "interface: port2, trusted: true}", 1)
	check(t, s.StartSwitch(ctx))
	check(t, s.StartController(ctx, file))
	s.bridge(t)

	dropped := func(from netip.Addr) {
		t.Helper()
		const name = `p4evpn_pipeline_port_policed_total{port="port1",reason="spoofed"}`
		before := must(s.Metrics(ctx))(t)[name]
		check(t, Eventually(ctx, patience, fmt.Sprintf("what is from %s is dropped", from), func(ctx context.Context) error {
			if _, err := s.h1.NS.Output(ctx, "ping", "-n", "-q", "-c", "1", "-W", "1", "-I", from.String(),
				s.h2.Address.Addr().String()); err == nil {
				return fmt.Errorf("it reaches %s", s.h2.Name)
			}
			now, err := s.Metrics(ctx)
			if err == nil && now[name] == before {
				err = errors.New("nothing was counted")
			}
			return err
		}))
	}
	own := s.h1.Address.Addr()
	dropped(own)

	// What client and server say.
	ask := dhcptest.Message{Kind: layers.DHCPMsgTypeRequest, Client: s.h1.MAC, Transaction: 7, Requested: own}
	answer := dhcptest.Message{Kind: layers.DHCPMsgTypeAck, Source: s.h2.MAC, Client: s.h1.MAC, Transaction: 7, Given: own,
		Lease: time.Hour}
	check(t, Eventually(ctx, patience, "the lease is bound", func(ctx context.Context) error {
		if err := errors.Join(sendFrom(s.h1, ask.Frame()), sendFrom(s.h2, answer.Frame())); err != nil {
			return err
		}
		held, err := s.Held(ctx, "source.ipv4")
		if err == nil && len(held) != 1 {
			err = fmt.Errorf("the target holds %v", held)
		}
		return err
	}))
	must(s.h1.Reach(ctx, s.h2.Address.Addr(), patience))(t)

	check(t, errors.Join(s.KillController(), s.KillSwitch()))
	check(t, s.StartSwitch(ctx))
	check(t, s.StartController(ctx, file))
	must(s.h1.Reach(ctx, s.h2.Address.Addr(), patience))(t)

	other := netip.MustParseAddr("192.168.10.77")
	check(t, s.h1.Take(other))
	dropped(other)
}
