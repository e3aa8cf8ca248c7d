package testbed

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet/packettest"
)

// claims gives how many addresses a tenant claims, and by how many MACs. P4EVPN_SOAK is
// set, as by `make soak`, for a million.
func claims() (number, claimers int) {
	if os.Getenv("P4EVPN_SOAK") != "" {
		return 1_000_000, 1000
	}
	return 20_000, 5
}

// separate puts the watchers behind the gateways into a bridge of their own: another
// tenant's.
func (f *Fabric) separate(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for g, port := range map[*Gateway]string{f.Gateway: "port3", f.Second: "port2"} {
		check(t, g.DeletePort(ctx, port))
		check(t, g.CreateBridge(ctx, green, tagGreen, greenVNI))
		check(t, g.CreatePort(ctx, port, ether.MAC{2, 0, 0, 1, 9, port[4]}, opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS,
			green))
		check(t, g.AwaitPortsUp(ctx))
	}
}

func TestClaimsOfOneTenantAreBoundedAndHarmNoOther(t *testing.T) {
	eachFabric(t, FabricOptions{LeafSVI: true}, func(t *testing.T, f *Fabric) {
		ctx := t.Context()
		f.separate(t)
		here, there := f.Hosts["gw-watcher"], f.Hosts["second-watcher"]
		must(here.Reach(ctx, there.Address.Addr(), patience))(t)
		usual := must(here.Reach(ctx, there.Address.Addr(), patience))(t)
		before := must(resident(f.Gateway.ControllerPID()))(t)
		number, claimers := claims()
		most, pause := 5*time.Second+busyMachine*usual, time.Duration(0)
		if f.options.Target == BMv2 { // has one queue for what comes in from all, and carries a fiftieth
			number, claimers, most, pause = 2000, 5, patience, 2*time.Millisecond
		}
		done := make(chan error, 1)
		go func() { done <- f.Hosts["gw-owner"].claim(ctx, 0, number, claimers, pause) }()
		// Meanwhile the other tenant has new addresses all the time, and they are reached.
		for n, sent := byte(0), error(nil); sent == nil; n = (n + 1) % 100 {
			fresh := numbered(100 + n).Addr()
			check(t, here.Take(fresh))
			if _, err := there.Reach(ctx, fresh, most); err != nil {
				t.Errorf("while a tenant claims addresses: %v", err)
			}
			check(t, here.Leave(fresh))
			select {
			case sent = <-done:
				check(t, sent)
				sent = errEnded
			default:
			}
		}
		// What a tenant can make us hold is bounded. Its meter lets through what it may claim in
		// a time: it goes on until it has that.
		rows, held := 0, claimers*addressesPerMAC
		check(t, Eventually(ctx, patience, "the bound is reached", func(ctx context.Context) error {
			out, err := f.Gateway.Show(ctx, "hosts", blue)
			if rows = strings.Count(out, "\n"); err != nil || rows >= held || number/claimers <= 5*addressesPerMAC {
				return err
			}
			err = f.Hosts["gw-owner"].claim(ctx, number, number/100, claimers, time.Millisecond)
			number += number / 100
			return errors.Join(fmt.Errorf("a tenant has %d addresses", rows), err)
		}))
		grown := must(resident(f.Gateway.ControllerPID()))(t) - before
		t.Logf("%d claims by %d MACs: %d hosts, %d MB more memory", number, claimers, rows, grown>>20)
		if limit := held + 100; rows > limit {
			t.Errorf("a tenant has %d addresses, want at most %d", rows, limit)
		}
		if grown > 512<<20 {
			t.Errorf("a tenant costs %d MB", grown>>20)
		}
		must(here.Reach(ctx, there.Address.Addr(), patience))(t)
	})
}

// addressesPerMAC is how many addresses a MAC has by default.
const addressesPerMAC = 64

// claim announces so many random addresses, from one of them on, by turns from each of some
// MACs, half by ARP and half by neighbour discovery, as fast as it can but for a pause before
// each.
func (h *Host) claim(ctx context.Context, first, number, claimers int, pause time.Duration) error {
	s, err := h.NS.OpenRaw(h.Dev)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	for n := uint32(first); n < uint32(first+number); n++ {
		if n%1000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		mac := ether.MAC{2, 0xcc, 0, 0}
		binary.BigEndian.PutUint16(mac[4:], uint16(int(n)%claimers))
		at := n * 2654435761 // all different, and nothing that is counted up
		var frame []byte
		if n%2 == 0 {
			a := netip.AddrFrom4([4]byte{10, byte(at >> 16), byte(at >> 8), byte(at)})
			frame = packettest.ARP(packettest.Request, mac, a, ether.MAC{}, a)
		} else {
			a := fabricSubnet6.Addr().As16()
			binary.BigEndian.PutUint32(a[12:], at)
			frame = packettest.NeighborAdvertisement(mac, netip.AddrFrom16(a), packettest.Override)
		}
		for time.Sleep(pause); s.Send(frame) != nil; { // the device's queue is full
			time.Sleep(time.Millisecond)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}

// resident is the memory of a process, in bytes (proc_pid_status(5)).
func resident(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of %d: %w", pid, err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, is := strings.CutPrefix(line, "VmRSS:"); is {
			kB, err := strconv.Atoi(strings.Fields(rest)[0])
			return kB << 10, err
		}
	}
	return 0, fmt.Errorf("no memory of %d is known", pid)
}
