package slowpath

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// started is an advertiser at work that knows no host behind a VTEP.
func started(t *testing.T, a packet.RouterAdvertisement, interval time.Duration, send func([]byte)) *advertiser {
	t.Helper()
	return startedWith(t, routerAdvert{RouterAdvertisement: a}, interval, func() []Asker { return nil },
		func(f []byte, _ bool) { send(f) })
}

func startedWith(t *testing.T, a routerAdvert, interval time.Duration, known func() []Asker,
	send func([]byte, bool)) *advertiser {
	t.Helper()
	v, err := startAdvertiser(a, interval, known, send)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAdvertisementsAreRandomAndBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var at []time.Duration
		a := started(t, packet.RouterAdvertisement{MAC: gatewayMAC}, 600*time.Second,
			func([]byte) { at = append(at, time.Since(begin)) })
		time.Sleep(2 * time.Hour)
		a.stop()
		if len(at) < 4 || at[0] != 0 {
			t.Fatalf("sent at %v", at)
		}
		distinct := map[time.Duration]bool{}
		for i := 1; i < len(at); i++ {
			d := at[i] - at[i-1]
			distinct[d] = true
			least, most := 200*time.Second, 600*time.Second
			if i < maxInitialAdverts {
				least, most = maxInitialAdvertInterval, maxInitialAdvertInterval
			}
			if d < least || d > most {
				t.Errorf("pause %d of %v, want %v to %v", i, d, least, most)
			}
		}
		if len(distinct) < len(at)/2 {
			t.Errorf("pauses repeat: %v", at)
		}
	})
}

func TestSolicitationIsAnsweredSoonButNotOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		a := started(t, packet.RouterAdvertisement{MAC: gatewayMAC}, 1800*time.Second,
			func([]byte) { at = append(at, time.Now()) })
		defer a.stop()
		time.Sleep(time.Hour)
		synctest.Wait()
		at = nil
		asked := time.Now()
		a.solicit()
		time.Sleep(maxAdvertDelay)
		synctest.Wait()
		if len(at) != 1 {
			t.Fatalf("%d answers within %v", len(at), maxAdvertDelay)
		}
		for range 1000 { // a host that asks all the time
			a.solicit()
			time.Sleep(30 * time.Millisecond)
		}
		synctest.Wait()
		if most := int(time.Since(asked)/minDelayBetweenAdverts) + 1; len(at) < most/2 || len(at) > most {
			t.Errorf("%d advertisements in %v", len(at), time.Since(asked))
		}
		for i := 1; i < len(at); i++ {
			if d := at[i].Sub(at[i-1]); d < minDelayBetweenAdverts {
				t.Errorf("only %v between two advertisements", d)
			}
		}
	})
}

// isTo reports whether a frame is an advertisement to one host, from which it does not
// follow that it stays on our ports.
func isTo(frame []byte, localOnly bool, a Asker) bool {
	ip := a.IP
	if !ip.IsValid() {
		ip = netip.IPv6LinkLocalAllNodes()
	}
	return !localOnly && ether.MAC(frame[:6]) == a.MAC && netip.AddrFrom16([16]byte(frame[38:54])) == ip &&
		packet.ICMPv6Type(frame) == packet.ICMPv6RouterAdvertisement
}

// RFC 4861 section 6.2.6: a router may answer a host alone. Leaves may have gateways of
// their own: what is for all hosts stays on our ports.
func TestAHostBehindAVTEPThatAsksIsAnsweredAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := 0, map[Asker]int{}
		askers := []Asker{{netip.MustParseAddr("fe80::1"), hostMAC}, {MAC: otherMAC}}
		v := startedWith(t, routerAdvert{RouterAdvertisement: packet.RouterAdvertisement{MAC: gatewayMAC}},
			1800*time.Second, func() []Asker { return nil }, func(f []byte, localOnly bool) {
				if localOnly {
					near++
				}
				for _, a := range askers {
					if isTo(f, localOnly, a) {
						far[a]++
					}
				}
			})
		defer v.stop()
		time.Sleep(time.Hour)
		synctest.Wait()
		before := near
		for range 10 * maxAsking {
			v.ask(askers[0])
		}
		v.ask(askers[1]) // lost: too many ask at once
		time.Sleep(maxAdvertDelay)
		synctest.Wait()
		v.ask(askers[1])
		time.Sleep(maxAdvertDelay)
		synctest.Wait()
		if near != before || far[askers[0]] != 1 || far[askers[1]] != 1 {
			t.Errorf("%d advertisements to all more, to askers %v, want one each", near-before, far)
		}
	})
}

// RFC 4861 section 6.3.5: what a host was told times out. It is told again, while it is
// known.
func TestHostsBehindVTEPsThatAreKnownAreToldAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, n := Asker{netip.MustParseAddr("fe80::1"), hostMAC}, 0
		v := startedWith(t, routerAdvert{RouterAdvertisement: packet.RouterAdvertisement{MAC: gatewayMAC}},
			600*time.Second, func() []Asker { return []Asker{a} }, func(f []byte, localOnly bool) {
				if isTo(f, localOnly, a) {
					n++
				}
			})
		time.Sleep(2 * time.Hour)
		v.stop()
		if n < 12 || n > 40 {
			t.Errorf("told %d times in two hours, want once in 200 s to 600 s", n)
		}
	})
}

func TestWhereLeavesHaveNoGatewayAdvertisementsGoToAllHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var local []bool
		v := startedWith(t, routerAdvert{packet.RouterAdvertisement{MAC: gatewayMAC}, true},
			600*time.Second, func() []Asker { return []Asker{{netip.MustParseAddr("fe80::1"), hostMAC}} },
			func(f []byte, localOnly bool) { local = append(local, localOnly || f[0] != 0x33) })
		time.Sleep(time.Hour)
		v.stop()
		if len(local) < 6 || slices.Contains(local, true) {
			t.Errorf("%v: want advertisements to all, behind VTEPs too", local)
		}
	})
}

// solicitation is a router solicitation as hosts send it.
func solicitation(t *testing.T, src string, options layers.ICMPv6Options) []byte {
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: address(src),
		DstIP: address("ff02::2")}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeRouterSolicitation, 0)}
	_ = icmp.SetNetworkLayerForChecksum(ip)
	return frameOf(t, ethernet(hostMAC, ether.MAC{0x33, 0x33, 0, 0, 0, 2}, layers.EthernetTypeIPv6), ip, icmp,
		&layers.ICMPv6RouterSolicitation{Options: options})
}

func TestSVIAdvertisesItselfToHosts(t *testing.T) {
	t.Parallel() // waits for the time between two advertisements
	l := newLab(t)
	l.start()
	v := red()
	v.SVIs[0].Advertise = true
	l.set(v)
	isAdvert := func(f Frame, p gopacket.Packet) bool {
		return f.LocalOnly && f.VRF == 1 && f.Bridge == 10 && p.Layer(layers.LayerTypeICMPv6RouterAdvertisement) != nil
	}
	destination(t, l.frame("first advertisement", isAdvert), gatewayMAC, ether.MAC{0x33, 0x33, 0, 0, 0, 1})
	l.Deliver(Frame{VRF: 1, Bridge: 10,
		Data: solicitation(t, "fe80::1:1", layers.ICMPv6Options{{Type: layers.ICMPv6OptSourceAddress, Data: hostMAC[:]}})})
	l.frame("answer", isAdvert)
	// The kernel, too, learns the host by its solicitation.
	l.event(Neighbor{VRF: 1, Bridge: 10, IP: netip.MustParseAddr("fe80::1:1"), MAC: hostMAC, Present: true})
	// Other addresses are another advertisement, at once.
	v.SVIs[0].Addresses = prefixes("2001:db8:77::1/64")
	l.set(v)
	p := l.frame("changed advertisement", isAdvert)
	if !strings.Contains(hex.EncodeToString(p.Data()), "20010db8007700000000000000000000") {
		t.Errorf("old prefix in\n%v", p)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.frames {
		if f.LocalOnly && f.Bridge != 10 {
			t.Errorf("an SVI that should not advertises: %+v", f)
		}
	}
}
