package slowpath

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/p4evpn/p4evpn/ether"
)

func TestRouterAdvertisementByteByByte(t *testing.T) {
	a := advert{MAC: gatewayMAC, MTU: 1450, Lifetime: 1800 * time.Second, Prefixes: prefixes("2001:db8:10::/64", "2001:db8:11::/96")}
	want := strings.Join([]string{
		"333300000001", "020000000001", "86dd", // Ethernet
		"60000000", "0060", "3a", "ff", // IPv6: 96 bytes of ICMPv6, hop limit 255
		"fe80000000000000000000fffe000001", "ff020000000000000000000000000001",
		"86", "00", "CCCC", // type 134, code, checksum
		"40", "00", "0708", "00000000", "00000000", // hop limit, flags, router lifetime, timers
		"01", "01", "020000000001", // source link-layer address
		"05", "01", "0000", "000005aa", // MTU
		"03", "04", "40", "c0", "00278d00", "00093a80", "00000000", "20010db8001000000000000000000000",
		"03", "04", "60", "80", "00278d00", "00093a80", "00000000", "20010db8001100000000000000000000",
	}, "")
	frame := a.frame()
	got := hex.EncodeToString(frame)
	at := strings.Index(want, "CCCC")
	if len(got) != len(want) || got[:at] != want[:at] || got[at+4:] != want[at+4:] {
		t.Errorf("frame\n%s, want\n%s", got, want)
	}
	// The checksum as another implementation computes it.
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	ip, icmp := p.NetworkLayer().(*layers.IPv6), p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	_ = icmp.SetNetworkLayerForChecksum(ip)
	again := frameOf(t, ethernet(gatewayMAC, ether.MAC(frame[:6]), layers.EthernetTypeIPv6), ip, icmp, gopacket.Payload(icmp.Payload))
	if !bytes.Equal(again, frame) {
		t.Errorf("frame\n%x, with its checksum computed elsewhere\n%x", frame, again)
	}
	if checksum(frame[ethernetHeader:]) != 0xffff {
		t.Error("our own check refuses it")
	}
	a.Lifetime = 3 * 1800 * time.Second * 2
	if b := a.frame(); b[ethernetHeader+ipv6Header+6] != 9000>>8 || b[ethernetHeader+ipv6Header+7] != 9000&0xff {
		t.Error("the router lifetime is not bounded by 9000 s")
	}
}

func TestAdvertisementsAreRandomAndBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var at []time.Duration
		a := startAdvertiser(advert{MAC: gatewayMAC}, 600*time.Second, func([]byte) { at = append(at, time.Since(begin)) })
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
		a := startAdvertiser(advert{MAC: gatewayMAC}, 1800*time.Second, func([]byte) { at = append(at, time.Now()) })
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

// solicitation is a router solicitation as hosts send it.
func solicitation(t *testing.T, src string, options layers.ICMPv6Options) []byte {
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: address(src), DstIP: address("ff02::2")}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeRouterSolicitation, 0)}
	_ = icmp.SetNetworkLayerForChecksum(ip)
	return frameOf(t, ethernet(hostMAC, ether.MAC{0x33, 0x33, 0, 0, 0, 2}, layers.EthernetTypeIPv6), ip, icmp, &layers.ICMPv6RouterSolicitation{Options: options})
}

func TestOnlyValidSolicitationsCount(t *testing.T) {
	option := layers.ICMPv6Options{{Type: layers.ICMPv6OptSourceAddress, Data: hostMAC[:]}}
	good := solicitation(t, "fe80::1:1", option)
	edit := func(at int, value byte) []byte {
		b := append([]byte(nil), good...)
		b[at] = value
		return b
	}
	const icmp = ethernetHeader + ipv6Header
	for _, c := range []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"plain", solicitation(t, "fe80::1:1", nil), true},
		{"with the host's MAC", good, true},
		{"padded", append(append([]byte(nil), good...), 0, 0, 0), true},
		{"from an unspecified address", solicitation(t, "::", nil), true},
		{"from an unspecified address, with a MAC", solicitation(t, "::", option), false},
		{"forwarded", edit(ethernetHeader+7, 254), false},
		{"checksum wrong", edit(icmp+2, good[icmp+2]^1), false},
		{"code not zero", edit(icmp+1, 1), false},
		{"option of length zero", edit(icmp+9, 0), false},
		{"option too long", edit(icmp+9, 2), false},
		{"another message", edit(icmp, 135), false},
		{"cut short", good[:len(good)-1], false},
		{"not IPv6", edit(12, 8), false},
		{"nothing", nil, false},
	} {
		if got := isSolicitation(c.frame); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func FuzzFramesFromTenants(f *testing.F) {
	f.Add([]byte{})
	f.Add(advert{MAC: gatewayMAC, Prefixes: prefixes("2001:db8::/64")}.frame())
	f.Fuzz(func(t *testing.T, frame []byte) {
		if isSolicitation(frame) && icmpv6Type(frame) != icmpv6RouterSolicitation {
			t.Error("a solicitation of another type")
		}
	})
}

func FuzzNeighbourMessages(f *testing.F) {
	f.Add([]byte{2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 8, 0, 1, 0, 10, 0, 0, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		if h, _, ok := parseNeighbour(data); ok && !h.ip.IsValid() {
			t.Error("an entry without address")
		}
	})
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
	l.Deliver(Frame{VRF: 1, Bridge: 10, Data: solicitation(t, "fe80::1:1", layers.ICMPv6Options{{Type: layers.ICMPv6OptSourceAddress, Data: hostMAC[:]}})})
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
