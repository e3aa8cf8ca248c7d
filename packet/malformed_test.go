package packet

import (
	"net/netip"
	"testing"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet/packettest"
)

var (
	claimed4 = netip.MustParseAddr("192.0.2.5")
	claimed6 = netip.MustParseAddr("2001:db8::5")
)

func TestAMalformedFrameClaimsNoAddress(t *testing.T) {
	for _, s := range packettest.Malformed(hostMAC, claimed4, claimed6) {
		if got, ok := ReadSighting(s.Frame); ok && got.IP.IsValid() {
			t.Errorf("%s: %x claims %v", s.Name, s.Frame, got)
		}
	}
}

// What such a frame says is read, so that it can be counted whose it was.
func TestAnAddressThatNoHostCanHaveIsToldApart(t *testing.T) {
	for _, s := range packettest.NotForHosts(hostMAC) {
		if got, ok := ReadSighting(s.Frame); ok && got.IP.IsValid() && IsHost(got.IP) {
			t.Errorf("%s: %x claims %v", s.Name, s.Frame, got)
		}
	}
}

func TestWhatHostsSendClaimsTheirAddress(t *testing.T) {
	router := netip.MustParseAddr("fe80::99")
	for name, c := range map[string]struct {
		frame []byte
		want  netip.Addr
	}{
		"announcement":          {packettest.ARP(packettest.Request, hostMAC, claimed4, ether.MAC{}, claimed4), claimed4},
		"announcement as reply": {packettest.ARP(packettest.Reply, hostMAC, claimed4, hostMAC, claimed4), claimed4},
		"advertisement":         {packettest.NeighborAdvertisement(hostMAC, claimed6, packettest.Override), claimed6},
		"router's":              {packettest.NeighborAdvertisement(hostMAC, claimed6, packettest.Router), claimed6},
		"solicitation":          {packettest.NeighborSolicitation(hostMAC, claimed6, router), claimed6},
		"router advertisement":  {packettest.RouterAdvertisement(hostMAC, router), router},
		"router solicitation":   {packettest.RouterSolicitation(hostMAC, claimed6), claimed6},
	} {
		if got, ok := ReadSighting(c.frame); !ok || got.IP != c.want || got.MAC != hostMAC {
			t.Errorf("%s: %x claims %v (%t), want %v at %v", name, c.frame, got, ok, c.want, hostMAC)
		}
	}
	for name, frame := range map[string][]byte{
		"duplicate address detection": packettest.DADSolicitation(hostMAC, claimed6),
		"RARP":                        packettest.RARP(hostMAC),
		"data":                        packettest.Data(hostMAC, ether.Broadcast),
	} {
		if got, ok := ReadSighting(frame); ok && got.IP.IsValid() {
			t.Errorf("%s claims %v", name, got)
		}
	}
}

// seedMalformed adds what must claim nothing to the seeds of a fuzz test.
func seedMalformed(f *testing.F) {
	for _, s := range packettest.Malformed(hostMAC, claimed4, claimed6) {
		f.Add(s.Frame)
	}
	for _, s := range packettest.NotForHosts(hostMAC) {
		f.Add(s.Frame)
	}
}
