package rtnetlink

import (
	"net"
	"net/netip"
	"testing"
)

func TestPrefixesGoBothWays(t *testing.T) {
	for _, s := range []string{"10.0.0.1/24", "0.0.0.0/0", "10.0.0.1/32", "2001:db8::1/64", "::/0"} {
		if p := netip.MustParsePrefix(s); FromIPNet(ToIPNet(p)) != p {
			t.Errorf("%v came back as %v", p, FromIPNet(ToIPNet(p)))
		}
	}
	long := &net.IPNet{IP: net.ParseIP("10.0.0.1").To16(), Mask: net.CIDRMask(24, 32)}
	if got := FromIPNet(long); got != netip.MustParsePrefix("10.0.0.1/24") {
		t.Errorf("IPv4 in 16 bytes came as %v", got)
	}
	for _, bad := range []*net.IPNet{{}, {IP: net.IP{1, 2, 3}, Mask: net.CIDRMask(8, 32)},
		{IP: net.IP{10, 0, 0, 1}, Mask: net.IPMask{255, 0, 255, 0}}} {
		if got := FromIPNet(bad); got.IsValid() {
			t.Errorf("%v came as %v", bad, got)
		}
	}
}
