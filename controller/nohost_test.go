package controller

import (
	"net/netip"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
)

// countsOf are the addresses refused, by bridge and reason.
func countsOf(g *gateway) map[string]uint64 {
	g.Helper()
	out := map[string]uint64{}
	g.peek(func(l *loop) {
		for _, b := range l.bridges {
			for why, r := range b.refusals {
				if r.count > 0 {
					out[b.ID+" "+noHostNames[why]] = r.count
				}
			}
		}
	})
	return out
}

func TestWhatIsNoHostIsNeitherAnsweredNorAdvertisedAndIsCounted(t *testing.T) {
	for _, c := range []struct{ name, ip, reason string }{
		{"this network", "0.1.2.3", "form"}, // RFC 1122 section 3.2.1.3
		{"loopback", "127.0.0.1", "form"},
		{"reserved", "240.0.0.1", "form"}, // RFC 1112 section 4
		{"limited broadcast", "255.255.255.255", "form"},
		{"multicast", "224.0.0.5", "form"},
		{"the gateway's", "10.10.0.1", "gateway"},
		{"the gateway's link-local one", "fe80::aff:fe00:1", "gateway"},
		{"the subnet's own", "10.10.0.0", "subnet"},
		{"the subnet's broadcast", "10.10.0.255", "subnet"},
		{"of another subnet", "10.11.0.9", "outside"},
		{"of another IPv6 subnet", "2001:db8:99::9", "outside"},
		{"link-local of IPv4", "169.254.7.7", "outside"},
		{"of the subnet", "10.10.0.9", ""},
		{"of the IPv6 subnet", "2001:db8:10::9", ""},
		{"link-local", "fe80::9", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, _, b, _ := routed(t, options{})
			g.hears(b, 1, mac(5), c.ip)
			want := map[string]uint64{"bridge-10 " + c.reason: 1}
			if c.reason == "" {
				g.wantAnswer(b, c.ip, mac(5).String())
				clear(want)
			} else if c.reason != "gateway" {
				g.wantAnswer(b, c.ip, "nobody")
				g.wantOwn(bgp.TypeMACIP)
			}
			if got := countsOf(g); len(got) != len(want) || len(want) > 0 && got["bridge-10 "+c.reason] != 1 {
				t.Errorf("counted %v, want %v", got, want)
			}
		})
	}
}

func TestWithoutAGatewayOfItsFamilyABridgeHasAddressesOfAnySubnet(t *testing.T) {
	g, _, _, b20 := routed(t, options{}) // which routes IPv4 alone
	g.hears(b20, 2, mac(5), "2001:db8:99::9")
	g.wantAnswer(b20, "2001:db8:99::9", mac(5).String())
	g.hears(b20, 2, mac(5), "10.99.0.9")
	g.wantAnswer(b20, "10.99.0.9", "nobody")
}

// RFC 7432 section 10.1: what comes with the Default Gateway community is a gateway's.
func TestAnAddressOfAnotherGatewayIsNoHosts(t *testing.T) {
	for name, begin := range map[string]func(*testing.T) (*gateway, uint16){
		"with an SVI":    func(t *testing.T) (*gateway, uint16) { g, _, b, _ := routed(t, options{}); return g, b },
		"without an SVI": func(t *testing.T) (*gateway, uint16) { return twoPorts(t, options{}) },
	} {
		t.Run(name, func(t *testing.T) {
			g, b := begin(t)
			const ip = "10.10.0.254"
			r := hostRoute(leaf1, 100, mac(9), ip, 0)
			r.DefaultGateway = true
			g.hears(b, 1, mac(5), ip)
			g.wantAnswer(b, ip, mac(5).String()) // until the leaf says so
			g.send(update(peer1, r))
			g.settle()
			g.wantAnswer(b, ip, "nobody")
			g.hears(b, 1, mac(6), ip)
			g.wantAnswer(b, ip, "nobody")
			g.wantOwn(bgp.TypeMACIP)
			g.wantFDB(b, mac(9), "10.0.0.11 vni 100")
			if got := countsOf(g); got["bridge-10 other_gateway"] != 1 {
				t.Errorf("counted %v", got)
			}
			g.send(withdraw(peer1, r))
			g.settle()
			g.hears(b, 1, mac(6), ip)
			g.wantAnswer(b, ip, mac(6).String())
		})
	}
}

func TestAStaticMACKeepsAnAddressThatItWasGiven(t *testing.T) {
	g, _, b, _ := routed(t, options{})
	g.update(func(tx *intent.Tx) error {
		_, err := tx.StaticMACs().Create(intent.StaticMAC{
			ID: "static-7", Bridge: "bridge-10", MAC: mac(7), Port: "eth1", IPs: []netip.Addr{addr("10.99.0.7")},
		})
		return err
	})
	g.settle()
	g.wantAnswer(b, "10.99.0.7", mac(7).String())
	r := hostRoute(leaf1, 100, mac(9), "10.99.0.7", 0)
	r.DefaultGateway = true
	g.send(update(peer1, r))
	g.settle()
	g.wantAnswer(b, "10.99.0.7", mac(7).String())
}
