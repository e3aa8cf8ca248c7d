package intent

import (
	"net/netip"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/p4evpn/p4evpn/ether"
)

func lease(bridge, ip string, n byte) Lease {
	return Lease{Bridge: bridge, Port: "port1", MAC: ether.MAC{2, 0, 0, 0, 0, n}, Address: netip.MustParseAddr(ip),
		Until: time.Unix(2e9, 0).UTC()}
}

func keptLeases(t *testing.T, s *Store, unreadable int) []Lease {
	t.Helper()
	got, n, err := s.Leases()
	if err != nil || n != unreadable {
		t.Fatalf("%d are unreadable, %v; want %d", n, err, unreadable)
	}
	return got
}

func TestLeasesOutliveTheProcessAndAreNoObjects(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	if got := keptLeases(t, s, 0); len(got) != 0 {
		t.Errorf("a new store has %v", got)
	}
	gone, stays, forever := lease("blue", "10.0.0.1", 1), lease("blue", "2001:db8::1", 2), lease("green", "10.0.0.1", 3)
	forever.Until = time.Time{}
	if err := s.KeepLeases([]Lease{gone, stays, forever}, nil); err != nil {
		t.Fatal(err)
	}
	moved := stays
	moved.Port = "port2"
	if err := s.KeepLeases([]Lease{moved}, []Lease{gone, lease("blue", "10.0.0.9", 9)}); err != nil {
		t.Fatal(err)
	}
	version := s.Version()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, path)
	if got, want := keptLeases(t, s, 0), []Lease{moved, forever}; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if version != 0 {
		t.Errorf("%d transactions of objects, want none", version)
	}
}

func TestADamagedLeaseCostsItselfAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	good := lease("blue", "10.0.0.1", 1)
	if err := s.KeepLeases([]Lease{good, lease("blue", "10.0.0.2", 2)}, nil); err != nil {
		t.Fatal(err)
	}
	err := file(s).Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(bucketLeases)
		return bucket.Put(lease("blue", "10.0.0.2", 2).key(), []byte(`{"bridge":"green"}`))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := keptLeases(t, s, 1); !reflect.DeepEqual(got, []Lease{good}) {
		t.Errorf("%+v, want %+v", got, good)
	}
}
