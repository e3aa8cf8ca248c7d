package peering

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
)

// Each field of the one has the same name in the other.
func TestTheSpeakerGetsEverySettingOfANeighbour(t *testing.T) {
	n := intent.Neighbor{
		Address: netip.MustParseAddr("10.1.1.1"), AS: 65101, Port: 1790, LocalAddress: netip.MustParseAddr("10.1.1.2"),
		Password: "secret", Multihop: 2, TTLSecurity: 3, Passive: true, Shutdown: true, ShutdownMessage: "moved",
		HoldTime: 9 * time.Second, Keepalive: 3 * time.Second, ConnectRetry: time.Second, MaxPrefixes: 7, AllowOwnAS: 1,
		NoARPND:  true,
		Families: []bgp.Family{bgp.IPv4Unicast}, MACIPOnly: true,
	}
	given, got := reflect.ValueOf(n), reflect.ValueOf(Neighbor(n))
	for f := range reflect.TypeFor[bgp.Neighbor]().Fields() {
		want := given.FieldByName(f.Name)
		if !want.IsValid() || want.IsZero() {
			t.Errorf("the test does not set %s", f.Name)
		} else if is := got.FieldByName(f.Name); !reflect.DeepEqual(is.Interface(), want.Interface()) {
			t.Errorf("%s is %v, want %v", f.Name, is, want)
		}
	}
}
