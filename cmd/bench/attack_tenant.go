package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
	"github.com/p4evpn/p4evpn/packet/packettest"
)

const (
	attackSize  = 1_000_000 // random MACs or addresses
	attackLeast = 10 * time.Second
	attackMost  = 40 * time.Second
	// claimants is how many MACs claim addresses: fewer than a port may have.
	claimants = 512
	// randomly is odd, so that its multiples modulo a power of two are a permutation.
	randomly = 2_654_435_761
	// offerTime is for how long a rate is tried.
	offerTime = time.Second
)

var (
	// The attacker's subnets.
	attackedNet  = netip.MustParsePrefix("100.64.0.1/10")
	attackedNet6 = netip.MustParsePrefix("2001:db8:a::1/64")
	nobodyMAC    = ether.MAC{2, 0xff, 0, 0, 0, 1}
)

func measureMACs(ctx context.Context, b *bench) ([]value, error) {
	return b.attackOf(ctx, "macs", "frames to nobody by as many random MACs, of which a port may have 1,024", attackSize,
		func(n int) []byte { return packettest.Data(randomMAC(n), nobodyMAC) })
}

func measureAddresses(ctx context.Context, b *bench) ([]value, error) {
	how := fmt.Sprintf("gratuitous ARP and unsolicited advertisements of random addresses by %d MACs, which may have 64 "+
		"each", claimants)
	return b.attackOf(ctx, "addresses", how, attackSize, func(n int) []byte {
		mac := randomMAC(n % claimants)
		v4, v6 := randomAddresses(n)
		if n/claimants%2 == 0 { // each by both
			return packettest.ARP(packettest.Request, mac, v4, ether.MAC{}, v4)
		}
		return packettest.NeighborAdvertisement(mac, v6, packettest.Override)
	})
}

func measureStorm(ctx context.Context, b *bench) ([]value, error) {
	return b.attackOf(ctx, "storm", "broadcasts and frames to unknown stations in turn", 0, func(n int) []byte {
		return packettest.Data(attackerMAC, [...]ether.MAC{ether.Broadcast, nobodyMAC}[n%2])
	})
}

func measureRequests(ctx context.Context, b *bench) ([]value, error) {
	how := "requests by ARP and ND for the gateway and for hosts that are not there"
	return b.attackOf(ctx, "arp", how, 0, func(n int) []byte {
		v4, v6 := randomAddresses(n)
		switch n % 4 {
		case 0:
			return packet.ARPRequest(attackerMAC, attackerAddress, attackedNet.Addr())
		case 1:
			return packettest.NeighborSolicitation(attackerMAC, attackerAddress6, attackedNet6.Addr())
		case 2:
			return packet.ARPRequest(attackerMAC, attackerAddress, v4)
		}
		return packettest.NeighborSolicitation(attackerMAC, attackerAddress6, v6)
	})
}

// The attacker is host a.
var (
	attackerMAC      = ether.MAC{2, 0x0c, 0, 0, 3, 1}
	attackerAddress  = netip.MustParseAddr("100.64.0.2")
	attackerAddress6 = netip.MustParseAddr("2001:db8:a::2")
)

// randomMAC is the nth of many that follow no order and do not repeat.
func randomMAC(n int) ether.MAC {
	m := ether.MAC{0x0a, 0}
	binary.BigEndian.PutUint32(m[2:], uint32(n)*randomly)
	return m
}

// randomAddresses are the nth of many in the attacker's subnets.
func randomAddresses(n int) (v4, v6 netip.Addr) {
	const room = 1 << 22 // of a /10
	v4 = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 100<<24|64<<16|uint32(n)*randomly%room)))
	sixteen := attackedNet6.Addr().As16()
	binary.BigEndian.PutUint32(sixteen[12:], uint32(n)*randomly)
	return v4, netip.AddrFrom16(sixteen)
}

// attackOf has a tenant send frames at half of the rate that the switch routes without
// loss, so many or for a while, while another tenant's packets are routed.
func (b *bench) attackOf(ctx context.Context, name, what string, size int, frame func(int) []byte) ([]value, error) {
	return b.withLive(ctx, func(g *liveGateway) ([]value, error) {
		if err := errors.Join(
			g.CreateVRF(ctx, "noisy", 0, netip.MustParsePrefix("10.255.1.2/32")),
			g.CreateSVI(ctx, "blue", "noisy", ether.MAC{2, 0xaa, 0, 0, 1, 9}, attackedNet, attackedNet6),
			g.AwaitRoutingUp(ctx),
		); err != nil {
			return nil, err
		}
		// So that both are known.
		if _, err := g.hosts["a"].Reach(ctx, g.hosts["b"].Address.Addr(), 20*time.Second); err != nil {
			return nil, err
		}
		victim := g.flowing(ctx)
		quiet, err := g.see(victim, func() error { return sleep(ctx, quietFor) })
		if err != nil {
			return nil, err
		}
		lossless, err := g.lossless(ctx)
		if err != nil {
			return nil, err
		}
		d := attackLeast
		if size > 0 {
			d = min(attackMost, time.Duration(float64(size)/(lossless/2)*float64(time.Second)))
		}
		sent := 0
		send := func(frame func(int) []byte, d time.Duration) func() error {
			return func() (err error) {
				sent, err = g.hosts["a"].Attack(ctx, frame, lossless/2, d)
				return err
			}
		}
		ordinary, err := g.see(victim, send(g.ordinary(), quietFor))
		if err != nil {
			return nil, err
		}
		under, err := g.see(victim, send(frame, d))
		if err != nil {
			return nil, err
		}
		how := fmt.Sprintf("another tenant sent %d %s, in %.0f s: %.0f/s, of %.0f/s that the switch routed without loss",
			sent, what, d.Seconds(), float64(sent)/d.Seconds(), lossless)
		values := attackValues(name, quiet, under, how)
		values[1].against += fmt.Sprintf("; %.2f beside ordinary frames at the same rate", milliseconds(ordinary.p99))
		return values, nil
	})
}

// ordinary are frames that the attacker's bridge forwards to one station.
func (g *liveGateway) ordinary() func(int) []byte {
	frame := packettest.Data(attackerMAC, g.hosts["b"].MAC)
	return func(int) []byte { return frame }
}

// lossless is the highest rate at which the switch routes a tenant's packets, in frames/s.
func (g *liveGateway) lossless(ctx context.Context) (float64, error) {
	f := testbed.Flow{Name: "routed", From: g.hosts["r1"], To: g.hosts["r2"]}
	best, err := searchRate(func(rate float64) (trial, error) {
		sent, arrived, err := f.Offer(ctx, rate, offerTime)
		return trial{offered: float64(sent), received: float64(arrived), rate: float64(arrived) / offerTime.Seconds()}, err
	})
	if err == nil && best.rate == 0 {
		err = errors.New("no rate arrives without loss")
	}
	return best.rate, err
}
