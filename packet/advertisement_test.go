package packet

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/p4evpn/p4evpn/ether"
)

func prefixes(all ...string) (out []netip.Prefix) {
	for _, s := range all {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func advertisement(t testing.TB, a RouterAdvertisement) []byte {
	t.Helper()
	f, err := a.Frame()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRouterAdvertisementByteByByte(t *testing.T) {
	a := RouterAdvertisement{MAC: gatewayMAC, MTU: 1450, Lifetime: 1800 * time.Second,
		Prefixes: prefixes("2001:db8:10::/64", "2001:db8:11::/96")}
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
	frame := advertisement(t, a)
	got := hex.EncodeToString(frame)
	at := strings.Index(want, "CCCC")
	if len(got) != len(want) || got[:at] != want[:at] || got[at+4:] != want[at+4:] {
		t.Errorf("frame\n%s, want\n%s", got, want)
	}
	// The checksum as another implementation computes it.
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	ip, icmp := p.NetworkLayer().(*layers.IPv6), p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	_ = icmp.SetNetworkLayerForChecksum(ip)
	again := frameOf(t, ethernet(gatewayMAC, ether.MAC(frame[:6]), layers.EthernetTypeIPv6),
		ip, icmp, gopacket.Payload(icmp.Payload))
	if !bytes.Equal(again, frame) {
		t.Errorf("frame\n%x, with its checksum computed elsewhere\n%x", frame, again)
	}
	if ICMPv6Checksum(frame[EthernetLength:]) != 0 {
		t.Error("our own check refuses it")
	}
	a.Lifetime = 3 * 1800 * time.Second * 2
	if b := advertisement(t, a); b[EthernetLength+ipv6Length+6] != 9000>>8 || b[EthernetLength+ipv6Length+7] != 9000&0xff {
		t.Error("the router lifetime is not bounded by 9000 s")
	}
}
