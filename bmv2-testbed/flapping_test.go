package testbed

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
	"github.com/p4evpn/p4evpn/packet/packettest"
)

const (
	flaps    = 3000
	flapRate = 1000 // a second
)

// The gateways hold what moves too often, as by default (RFC 7432 section 15.1, RFC 9161
// section 3.7). It is the controller that does so: one target is enough.
func TestWhatIsSaidInTwoWaysIsHeldAndHarmsNobody(t *testing.T) {
	t.Parallel()
	f := buildFabric(t, FabricOptions{Target: Embedded, LeafSVI: true, Ageing: "5m", Moves: 5})
	t.Run("two hosts have one address until it is cleared", f.duplicateAddress)
	t.Run("a MAC flaps a thousand times a second", f.macFlaps)
	t.Run("an address flaps a thousand times a second between MACs", f.addressFlaps)
	t.Run("of contradictory flags the last ones hold", f.flagsFlap)
}

func (f *Fabric) macFlaps(t *testing.T) {
	ctx := t.Context()
	mac, address := ether.MAC{2, 0, 0, 0xcc, 0, 1}, numbered(210).Addr()
	frame := packettest.ARP(packettest.Request, mac, address, ether.MAC{}, address)
	f.flap(t, "gw-owner", "gw-other", func(int) []byte { return frame })
	f.stillServes(t)
	fdb := must(f.Gateway.Show(ctx, "fdb", blue))(t)
	for line := range strings.Lines(fdb) {
		if strings.Contains(line, mac.String()) && !strings.Contains(line, "duplicate") && !strings.Contains(line, "frozen") {
			t.Errorf("it is not held: %s", line)
		}
	}
	if n := strings.Count(f.Gateway.controlLog(t), mac.String()); n == 0 || n > 5 {
		t.Errorf("the log has it %d times, want it told, and once", n)
	}
	must(f.Gateway.command(ctx, "clear", "duplicate", blue, mac.String()))(t)
}

func (f *Fabric) addressFlaps(t *testing.T) {
	address := numbered(211).Addr()
	f.flap(t, "gw-owner", "gw-other", func(n int) []byte {
		mac := ether.MAC{2, 0, 0, 0xcc, 1, byte(n % 2)}
		return packettest.ARP(packettest.Request, mac, address, ether.MAC{}, address)
	})
	f.stillServes(t)
	check(t, f.Gateway.showsDuplicate(t.Context(), address.String(), true))
}

func (f *Fabric) flagsFlap(t *testing.T) {
	h := f.Hosts["gw-owner"]
	router := packet.LinkLocal(h.MAC)
	f.flap(t, h.Name, h.Name, func(n int) []byte {
		flags := []byte{0, packettest.Router, packettest.Override, packettest.Router | packettest.Override}
		return packettest.NeighborAdvertisement(h.MAC, router, flags[n%4])
	})
	f.stillServes(t)
	f.keepRouter(t, f.route(t, h))
}

// flap sends a frame by turns from two hosts, a thousand times a second.
func (f *Fabric) flap(t *testing.T, one, two string, frame func(n int) []byte) {
	t.Helper()
	var sockets []*RawSocket
	for _, name := range []string{one, two} {
		s := must(f.Hosts[name].NS.OpenRaw(f.Hosts[name].Dev))(t)
		defer func() { _ = s.Close() }()
		sockets = append(sockets, s)
	}
	tick := time.NewTicker(time.Second / flapRate)
	defer tick.Stop()
	for n := range flaps {
		<-tick.C
		check(t, sockets[n%2].Send(frame(n)))
	}
}

// showsDuplicate checks whether an address is shown as a duplicate.
func (g *Gateway) showsDuplicate(ctx context.Context, address string, want bool) error {
	out, err := g.Show(ctx, "hosts", blue)
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, address) && strings.Contains(line, "duplicate") != want {
			return fmt.Errorf("shown is %q, want it as a duplicate: %t", line, want)
		}
	}
	if want && !strings.Contains(out, address) {
		return fmt.Errorf("%s is not shown:\n%s", address, out)
	}
	return nil
}
