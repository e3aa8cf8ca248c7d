package intent

import (
	"errors"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
)

func rt(t *testing.T, s string) bgp.RouteTarget {
	t.Helper()
	v, err := bgp.ParseRouteTarget(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func rd(t *testing.T, s string) bgp.RD {
	t.Helper()
	v, err := bgp.ParseRD(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func station(id, bridge, port, mac string, ips ...string) StaticMAC {
	m, _ := ether.ParseMAC(mac)
	s := StaticMAC{ID: id, Bridge: bridge, Port: port, MAC: m}
	for _, ip := range ips {
		s.IPs = append(s.IPs, netip.MustParseAddr(ip))
	}
	return s
}

func neighbor(address string, as uint32) Neighbor {
	return Neighbor{Address: netip.MustParseAddr(address), AS: as}
}

// createAny creates one object of whatever kind.
func createAny(s *Store, o Object) error {
	return s.Update(func(tx *Tx) error {
		var err error
		switch o := o.(type) {
		case LogicalBridge:
			_, err = tx.Bridges().Create(o)
		case BridgePort:
			_, err = tx.Ports().Create(o)
		case VRF:
			_, err = tx.VRFs().Create(o)
		case SVI:
			_, err = tx.SVIs().Create(o)
		case Instance:
			_, err = tx.Instances().Create(o)
		case StaticMAC:
			_, err = tx.StaticMACs().Create(o)
		case Speaker:
			_, err = tx.Speakers().Create(o)
		case Neighbor:
			_, err = tx.Neighbors().Create(o)
		}
		return err
	})
}

// ownKinds has a bridge of each relation: blue on port1 and the trunk, green on
// none, with a VRF and its SVI.
func ownKinds(t *testing.T, s *Store) {
	t.Helper()
	for _, o := range []Object{
		bridge("blue", 10, 100), bridge("green", 20, 200), access("port1", "blue"),
		BridgePort{ID: "trunk", MAC: ether.MAC{2, 0, 0, 0, 0, 9}, Type: Trunk},
		vrf("red1", 5000), svi("gate", "red1", "blue", "10.10.0.1/24"),
		Instance{ID: "bridge.blue", RD: rd(t, "65000:100"), LogicalSwitch: "ls1", Import: []bgp.RouteTarget{rt(t, "65000:1")},
			EthernetTag: 1<<32 - 1, TaggedMulticast: true},
		Instance{ID: "vrf.red1", Export: []bgp.RouteTarget{rt(t, "65000:2")}},
		station("host1", "blue", "port1", "02:00:00:00:01:01", "10.10.0.5"),
		Speaker{AS: 65000, RouterID: netip.MustParseAddr("10.0.0.1")},
		Neighbor{Address: netip.MustParseAddr("10.1.1.1"), AS: 65101, Password: "secret", HoldTime: 9 * time.Second,
			Families: []bgp.Family{bgp.EVPN, bgp.IPv4Unicast}, AllowOwnAS: 10, TTLSecurity: 254, Shutdown: true,
			ShutdownMessage: "moved", BFD: BFD{On: true, Interval: 50 * time.Millisecond, Multiplier: 5, Hops: 2}},
	} {
		if err := createAny(s, o); err != nil {
			t.Fatal(err)
		}
	}
}

func snapshotOf(s *Store) []Object {
	var out []Object
	for _, c := range s.head.Load().model.snapshot().Changes {
		out = append(out, c.New)
	}
	return out
}

func TestEveryKindIsBackAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	ownKinds(t, s)
	want := snapshotOf(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := snapshotOf(mustOpen(t, path)); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestRulesOfTheKindsThatTheOPIAPILacks(t *testing.T) {
	for name, tc := range map[string]struct {
		o      Object
		reason Reason
		want   string
	}{
		"instance of no kind":              {Instance{ID: "blue"}, Invalid, "bridge.blue"},
		"instance of a bridge not there":   {Instance{ID: "bridge.none"}, NotFound, "logical bridge none"},
		"instance of a VRF not there":      {Instance{ID: "vrf.blue"}, NotFound, "VRF blue"},
		"instance with another's RD":       {Instance{ID: "bridge.green", RD: rd(t, "65000:100")}, Conflict, "bridge.blue"},
		"instance with a target twice":     {Instance{ID: "bridge.green", Import: []bgp.RouteTarget{rt(t, "1:1"), rt(t, "1:1")}}, Invalid, "import_route_targets[1]"},
		"instance with too many targets":   {Instance{ID: "bridge.green", Export: make([]bgp.RouteTarget, 33)}, Invalid, "at most 32"},
		"instance that is there":           {Instance{ID: "bridge.blue"}, Exists, "different"},
		"static MAC in no bridge":          {station("host2", "none", "port1", "02:00:00:00:01:02"), NotFound, "logical_bridge"},
		"static MAC on no port":            {station("host2", "blue", "none", "02:00:00:00:01:02"), NotFound, "bridge_port"},
		"static MAC on another's port":     {station("host2", "green", "port1", "02:00:00:00:01:02"), Conflict, "does not carry"},
		"static MAC twice in a bridge":     {station("host2", "blue", "trunk", "02:00:00:00:01:01"), Conflict, "host1"},
		"static MAC with another's IP":     {station("host2", "blue", "trunk", "02:00:00:00:01:02", "10.10.0.5"), Conflict, "ip_addresses[0]"},
		"static MAC with the gateway's IP": {station("host2", "blue", "trunk", "02:00:00:00:01:02", "10.10.0.1"), Conflict, "SVI gate"},
		"static MAC with an IP twice":      {station("host2", "blue", "trunk", "02:00:00:00:01:02", "10.10.0.9", "10.10.0.9"), Invalid, "twice"},
		"static MAC with a group's IP":     {station("host2", "blue", "trunk", "02:00:00:00:01:02", "224.0.0.1"), Invalid, "no station"},
		"static MAC that is a group's":     {station("host2", "blue", "trunk", "03:00:00:00:00:02"), Invalid, "multicast"},
		"static MAC without one":           {StaticMAC{ID: "host2", Bridge: "blue", Port: "trunk"}, Invalid, "mac_address"},
		"speaker without an AS":            {Speaker{RouterID: netip.MustParseAddr("10.0.0.1")}, Invalid, "as_number"},
		"speaker with an IPv6 router id":   {Speaker{AS: 1, RouterID: netip.MustParseAddr("2001:db8::1")}, Invalid, "router_id"},
		"second speaker":                   {Speaker{AS: 1, RouterID: netip.MustParseAddr("10.0.0.1")}, Exists, "BGP speaker"},
		"neighbor without an address":      {Neighbor{AS: 1}, Invalid, "id: not an IP address"},
		"neighbor that is a group":         {neighbor("224.0.0.5", 1), Invalid, "no station"},
		"neighbor without an AS":           {neighbor("10.1.1.2", 0), Invalid, "remote_as"},
		"neighbor of two IP versions":      {Neighbor{Address: netip.MustParseAddr("10.1.1.2"), AS: 1, LocalAddress: netip.MustParseAddr("2001:db8::1")}, Invalid, "local_address"},
		"neighbor with a long password":    {Neighbor{Address: netip.MustParseAddr("10.1.1.2"), AS: 1, Password: strings.Repeat("x", 81)}, Invalid, "password"},
		"neighbor with half a second":      {Neighbor{Address: netip.MustParseAddr("10.1.1.2"), AS: 1, HoldTime: 3500 * time.Millisecond}, Invalid, "hold_time"},
		"neighbor that never keeps alive":  {Neighbor{Address: netip.MustParseAddr("10.1.1.2"), AS: 1, HoldTime: 9 * time.Second, Keepalive: 9 * time.Second}, Invalid, "keepalive"},
		"neighbor with a foreign family":   {Neighbor{Address: netip.MustParseAddr("10.1.1.2"), AS: 1, Families: []bgp.Family{bgp.IPv6Unicast}}, Invalid, "families[0]"},
		"neighbor with our AS too often":   {Neighbor{Address: netip.MustParseAddr("10.1.1.2"), AS: 1, AllowOwnAS: 11}, Invalid, "allow_own_as: 11"},
		"neighbor too far away":            {Neighbor{Address: netip.MustParseAddr("10.1.1.2"), AS: 1, TTLSecurity: 255}, Invalid, "ttl_security: 255"},
		"neighbor at two distances":        {Neighbor{Address: netip.MustParseAddr("10.1.1.2"), AS: 1, TTLSecurity: 1, Multihop: 1}, Invalid, "ttl_security: multihop is set too"},
		"neighbor with a long farewell":    {Neighbor{Address: netip.MustParseAddr("10.1.1.2"), AS: 1, ShutdownMessage: strings.Repeat("x", 256)}, Invalid, "shutdown_message: 256 bytes"},
		"neighbor that is asked too often": {Neighbor{Address: netip.MustParseAddr("10.1.1.2"), AS: 1, BFD: BFD{Interval: time.Millisecond}}, Invalid, "bfd_interval: 1ms"},
		"VRF with learned MACs":            {Instance{ID: "vrf.red1", MaxMACs: 1}, Invalid, "max_macs"},
		"VRF with addresses of hosts":      {Instance{ID: "vrf.red1", MaxAddresses: 1}, Invalid, "max_addresses"},
		"bridge with routes":               {Instance{ID: "bridge.blue", MaxRoutes: 1}, Invalid, "max_routes"},
		"VRF with a logical switch":        {Instance{ID: "vrf.red1", LogicalSwitch: "ls1"}, Invalid, "logical_switch"},
		"instance with another's switch":   {Instance{ID: "bridge.green", LogicalSwitch: "ls1"}, Conflict, "bridge.blue"},
		"VRF with an Ethernet tag":         {Instance{ID: "vrf.red1", EthernetTag: 10}, Invalid, "ethernet_tag"},
		"VRF with a tagged type-3 route":   {Instance{ID: "vrf.red1", TaggedMulticast: true}, Invalid, "tagged_multicast"},
		"neighbor that is there":           {neighbor("10.1.1.1", 65101), Exists, "different"},
		"gateway with a station's IP":      {svi("gate2", "red1", "green", "10.10.0.5/32"), Conflict, "overlaps"},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewMemory()
			ownKinds(t, s)
			before := snapshotOf(s)
			err := createAny(s, tc.o)
			if !errors.Is(err, tc.reason) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %v naming %q", err, tc.reason, tc.want)
			}
			if !reflect.DeepEqual(snapshotOf(s), before) {
				t.Error("the failed call changed something")
			}
		})
	}
}

func TestWhatOthersReferToStays(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(*Tx) error
		want string
	}{
		"bridge of an instance":     {func(tx *Tx) error { return tx.Bridges().Delete("blue") }, "bridge.blue"},
		"bridge of a static MAC":    {func(tx *Tx) error { return tx.Bridges().Delete("blue") }, "host1"},
		"VRF of an instance":        {func(tx *Tx) error { return tx.VRFs().Delete("red1") }, "vrf.red1"},
		"port of a static MAC":      {func(tx *Tx) error { return tx.Ports().Delete("port1") }, "host1"},
		"port that leaves a bridge": {func(tx *Tx) error { _, err := tx.Ports().Update(access("port1", "green")); return err }, "host1"},
		"gateway on a host": {func(tx *Tx) error {
			_, err := tx.SVIs().Update(svi("gate", "red1", "blue", "10.10.0.5/24"))
			return err
		}, "host1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewMemory()
			ownKinds(t, s)
			if err := s.Update(tc.do); !errors.Is(err, Conflict) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want a conflict that names %s", err, tc.want)
			}
		})
	}
}

func TestWhatTheConfigurationFileGivesIsSeenAndNeitherStoredNorChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	stored, other := neighbor("10.1.1.1", 1), neighbor("10.1.1.9", 9)
	if err := errors.Join(createAny(s, stored), createAny(s, other), s.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path, neighbor("10.1.1.2", 2), neighbor("10.1.1.1", 3), Instance{ID: "bridge.later"})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(func(tx *Tx) error {
		if n, err := tx.Neighbors().Get("10.1.1.1"); err != nil || n.AS != 3 || !n.Configured {
			t.Errorf("got %+v %v, want the file's", n, err)
		}
		if n, err := tx.Neighbors().Get("10.1.1.9"); err != nil || n.Configured {
			t.Errorf("got %+v %v, want the stored one", n, err)
		}
		if got := tx.Neighbors().List("", 0); len(got) != 3 || got[1].Ref().ID != "10.1.1.2" {
			t.Errorf("got %v, want three in order", got)
		}
		_, update := tx.Neighbors().Update(neighbor("10.1.1.1", 4))
		_, create := tx.Neighbors().Create(neighbor("10.1.1.2", 4))
		for _, err := range []error{update, create, tx.Neighbors().Delete("10.1.1.2"),
			tx.Instances().Delete("bridge.later")} {
			if !errors.Is(err, Conflict) || !strings.Contains(err.Error(), "configuration file") {
				t.Errorf("got %v, want a conflict with the configuration file", err)
			}
		}
		_, err := tx.Bridges().Create(bridge("later", 7, 7))
		return errors.Join(err, tx.Bridges().Delete("later"))
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if got := snapshotOf(mustOpen(t, path)); !reflect.DeepEqual(got, []Object{stored, other}) {
		t.Errorf("without the configuration there are %+v, want what was stored", got)
	}
}

func TestIDsThatAreMadeOfOtherThingsHaveOneForm(t *testing.T) {
	for id, ok := range map[string]bool{
		"10.0.0.1": true, "2001:db8::1": true, "2001:DB8::1": false, "010.0.0.1": false, "fe80::1%eth0": false, "": false, "leaf": false,
	} {
		if _, err := NeighborAddress(id); (err == nil) != ok {
			t.Errorf("neighbor %q: %v", id, err)
		}
	}
	for _, of := range []Ref{{KindLogicalBridge, "vrf-1"}, {KindVRF, "bridge"}} {
		if got := (Instance{ID: InstanceID(of)}).Of(); got != of {
			t.Errorf("%v came back as %v", of, got)
		}
	}
}

func TestAConfigurationThatBreaksTheRulesIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if _, err := Open(path, neighbor("10.1.1.1", 0)); err == nil ||
		!strings.Contains(err.Error(), "configuration: neighbor 10.1.1.1: remote_as") {
		t.Errorf("got %v", err)
	}
}
