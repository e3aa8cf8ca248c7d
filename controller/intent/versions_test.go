package intent

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
)

// stored unpacks a store that an older p4evpn wrote.
func stored(t *testing.T, name string) string {
	t.Helper()
	packed, err := os.Open(filepath.Join("testdata", name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = packed.Close() }()
	r, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// inVersion3 is what p4evpn of commit 54dbb8c wrote into testdata/version3.db: each
// kind, each field of it.
func inVersion3(t *testing.T) []Object {
	prefix, address := netip.MustParsePrefix, netip.MustParseAddr
	return []Object{
		LogicalBridge{ID: "blue", VLAN: 10, VNI: 100, VTEP: prefix("10.0.0.2/32"), Index: 1},
		LogicalBridge{ID: "local", VLAN: 20, Index: 2},
		BridgePort{ID: "port1", MAC: ether.MAC{2, 0, 0, 0, 0, 1}, Type: Access, Bridges: []string{"blue"}, Serial: 1},
		BridgePort{ID: "transparent", MAC: ether.MAC{2, 0, 0, 0, 0, 3}, Type: Trunk, Serial: 3},
		BridgePort{ID: "trunk", MAC: ether.MAC{2, 0, 0, 0, 0, 2}, Type: Trunk, Bridges: []string{"blue", "local"}, Serial: 2},
		VRF{ID: "tenant", VNI: 5000, Loopback: prefix("10.255.0.1/32"), VTEP: prefix("10.0.0.2/32"), Index: 1},
		SVI{
			ID: "gate", VRF: "tenant", Bridge: "blue", MAC: ether.MAC{2, 0, 0, 0, 1, 1}, EnableBGP: true, RemoteAS: 65010,
			Gateways: []netip.Prefix{prefix("10.10.10.1/24"), prefix("2001:db8:10::1/64")},
		},
		Instance{
			ID: "bridge.blue", RD: rd(t, "10.0.0.2:100"),
			Import: []bgp.RouteTarget{rt(t, "65000:100"), rt(t, "65000:101")}, Export: []bgp.RouteTarget{rt(t, "65000:100")},
		},
		Instance{ID: "vrf.tenant", Export: []bgp.RouteTarget{rt(t, "65000:5000")}},
		station("router", "blue", "port1", "02:00:00:00:09:09", "10.10.10.9", "2001:db8:10::9"),
		Speaker{AS: 65000, RouterID: address("10.0.0.2")},
		Neighbor{
			Address: address("10.2.1.2"), AS: 65201, Port: 1790, LocalAddress: address("10.2.1.1"), Password: "secret",
			Multihop: 2, Passive: true, HoldTime: 30 * time.Second, Keepalive: 10 * time.Second,
			ConnectRetry: time.Second, MaxPrefixes: 1000, Families: []bgp.Family{bgp.EVPN, bgp.IPv4Unicast},
		},
		Neighbor{Address: address("2001:db8:2::2"), AS: 65000},
	}
}

// objects are all of a store, in the order of kinds and ids.
func objects(t *testing.T, s *Store) (all []Object) {
	t.Helper()
	err := s.View(func(tx *Tx) error {
		all = slices.Concat(
			boxed(tx.Bridges().List("", 0)), boxed(tx.Ports().List("", 0)), boxed(tx.VRFs().List("",
				0)), boxed(tx.SVIs().List("", 0)),
			boxed(tx.Instances().List("", 0)), boxed(tx.StaticMACs().List("", 0)), boxed(tx.Speakers().List("", 0)),
			boxed(tx.Neighbors().List("", 0)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func boxed[T Object](rows []T) (all []Object) {
	for _, o := range rows {
		all = append(all, o)
	}
	return all
}

// inVersion4 is what p4evpn of commit 7016ffd wrote into testdata/version4.db: as
// inVersion3, with what that version brought.
func inVersion4(t *testing.T) []Object {
	all := inVersion3(t)
	for i, o := range all {
		switch o := o.(type) {
		case Instance:
			o.MACIPOnly = o.Of().Kind == KindLogicalBridge
			all[i] = o
		case Neighbor:
			o.MACIPOnly = true
			all[i] = o
		}
	}
	return all
}

// inVersion5 is what p4evpn of commit d01c094 writes into testdata/version5.db: as
// inVersion4, with what that version brought.
func inVersion5(t *testing.T) []Object {
	all := inVersion4(t)
	for i, o := range all {
		switch n := withNews(o).(type) {
		case Neighbor:
			n.NoARPND = false
			o = n
		case Instance:
			n.LogicalSwitch, n.TaggedMulticast, n.MaxMACs, n.MaxRoutes = "", false, 0, 0
			o = n
		}
		all[i] = o
	}
	return all
}

// inVersion6 is what p4evpn of commit 9f05228 writes into testdata/version6.db: as
// inVersion5, with what that version brought.
func inVersion6(t *testing.T) []Object {
	all := inVersion5(t)
	for i, o := range all {
		o = withNews(o)
		if n, ok := o.(Instance); ok {
			n.LogicalSwitch, n.TaggedMulticast, n.MaxMACs, n.MaxRoutes = "", false, 0, 0
			o = n
		}
		all[i] = o
	}
	return all
}

// inVersion7 is what p4evpn of commit 4bee620 writes into testdata/version7.db: as
// inVersion6, with what that version brought.
func inVersion7(t *testing.T) []Object {
	all := inVersion6(t)
	for i, o := range all {
		o = withNews(o)
		if n, ok := o.(Instance); ok {
			n.TaggedMulticast, n.MaxMACs, n.MaxRoutes = false, 0, 0
			o = n
		}
		all[i] = o
	}
	return all
}

// inVersion8 is what p4evpn of commit 64fa8a0 writes into testdata/version8.db: as
// inVersion7, with what that version brought.
func inVersion8(t *testing.T) []Object {
	all := inVersion7(t)
	for i, o := range all {
		o = withNews(o)
		if n, ok := o.(Instance); ok {
			n.MaxMACs, n.MaxRoutes = 0, 0
			o = n
		}
		all[i] = o
	}
	return all
}

// inVersion9 is what p4evpn of commit f98e8fb writes into testdata/version9.db: as
// inVersion8, with what that version brought.
func inVersion9(t *testing.T) []Object {
	all := inVersion8(t)
	for i, o := range all {
		all[i] = withNews(o)
	}
	return all
}

// inVersion10 is what p4evpn of commit 3992dc4 writes into testdata/version10.db: as
// inVersion9, with what that version brought.
func inVersion10(t *testing.T) []Object {
	all := inVersion9(t)
	for i, o := range all {
		all[i] = withPort(o)
	}
	return all
}

// inVersion11 is what p4evpn of commit 4eb1d6e writes into testdata/version11.db: as
// inVersion10, with what that version brought.
func inVersion11(t *testing.T) []Object {
	all := inVersion10(t)
	for i, o := range all {
		all[i] = withDrops(o)
	}
	return all
}

func TestAStoreOfAnOlderVersionOpensWithEveryKindOfObjectAndTakesWhatIsNew(t *testing.T) {
	for name, want := range map[string][]Object{"version3.db": inVersion3(t), "version4.db": inVersion4(t),
		"version5.db": inVersion5(t), "version6.db": inVersion6(t), "version7.db": inVersion7(t),
		"version8.db": inVersion8(t), "version9.db": inVersion9(t),
		"version10.db": inVersion10(t), "version11.db": inVersion11(t)} {
		t.Run(name, func(t *testing.T) {
			path := stored(t, name)
			s := mustOpen(t, path)
			holds(t, s, want)
			for i, o := range want {
				want[i] = withAddresses(withDrops(withPort(withNews(o))))
			}
			err := s.Update(func(tx *Tx) error {
				for _, o := range want {
					var err error
					switch o := o.(type) {
					case Instance:
						_, err = tx.Instances().Update(o)
					case Neighbor:
						_, err = tx.Neighbors().Update(o)
					case StaticMAC:
						_, err = tx.StaticMACs().Update(o)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
			holds(t, mustOpen(t, path), want)
		})
	}
}

// holds checks that a store has exactly these objects, and that they are of all kinds.
func holds(t *testing.T, s *Store, want []Object) {
	t.Helper()
	got, seen := objects(t, s), map[Kind]bool{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, o := range got {
		seen[o.Ref().Kind] = true
	}
	if len(seen) != len(kinds) {
		t.Errorf("%d kinds of objects, want each of %v", len(seen), kinds)
	}
}

// withNews sets what not all of those versions knew.
func withNews(o Object) Object {
	switch o := o.(type) {
	case Instance:
		if o.Of().Kind == KindLogicalBridge {
			o.MACIPOnly, o.EthernetTag, o.LogicalSwitch, o.TaggedMulticast = true, 4000, "grün", true
			o.MaxMACs = 100
		} else {
			o.MaxRoutes = 1000
		}
		return o
	case Neighbor:
		o.Multihop, o.TTLSecurity = 0, 3
		o.AllowOwnAS, o.Shutdown, o.ShutdownMessage, o.NoARPND = 2, true, "für heute", true
		return o
	}
	return o
}

// withPort sets what version 9 did not know either.
func withPort(o Object) Object {
	if s, ok := o.(StaticMAC); ok {
		s.PortGiven = "größer"
		return s
	}
	return o
}

// withDrops sets what version 10 did not know either.
func withDrops(o Object) Object {
	if i, ok := o.(Instance); ok {
		i.DropUnknownUnicast = i.Of().Kind == KindLogicalBridge
		return i
	}
	return o
}

// withAddresses sets what version 11 did not know either.
func withAddresses(o Object) Object {
	if i, ok := o.(Instance); ok && i.Of().Kind == KindLogicalBridge {
		i.MaxAddresses = 200
		return i
	}
	return o
}

// What the binary of the version before says of a store of this version is what this
// one says of the next.
func TestAStoreOfTheNextVersionIsRefusedWithBothVersionsAndLeftAlone(t *testing.T) {
	path := stored(t, "version5.db")
	s := mustOpen(t, path)
	err := file(s).Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(keySchema, []byte(fmt.Sprint(schemaVersion+1)))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, path, errNewer)
	_, err = Open(path)
	for _, want := range []string{
		"written by a newer p4evpn: use that version", fmt.Sprintf("schema version %d", schemaVersion+1), fmt.Sprintf("this one knows %d", schemaVersion),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
}

// An older program takes a field that it does not know for damage, unless the version
// says that the file is not its own.
func TestAFieldMoreRaisesTheSchemaVersion(t *testing.T) {
	var got strings.Builder
	fmt.Fprintf(&got, "version %d\n", schemaVersion)
	for _, o := range []Object{
		LogicalBridge{}, BridgePort{}, VRF{}, SVI{}, Instance{}, StaticMAC{}, Speaker{}, Neighbor{},
	} {
		var names []string
		for f := range reflect.TypeOf(o).Fields() {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "-" {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		fmt.Fprintf(&got, "%s: %s\n", o.Ref().Kind, strings.Join(names, " "))
	}
	want, err := os.ReadFile(filepath.Join("testdata", "fields.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the fields of objects are others than in testdata/fields.txt: raise schemaVersion, keep a store of the "+
			"version before"+
			" in testdata, and write there\n%s", got.String())
	}
}
