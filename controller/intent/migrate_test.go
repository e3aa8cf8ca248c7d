package intent

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"testing"

	"go.etcd.io/bbolt"
)

func createRouting(s *Store, v VRF, svis ...SVI) error {
	return s.Update(func(tx *Tx) error {
		_, err := tx.VRFs().Create(v)
		for _, o := range svis {
			_, e := tx.SVIs().Create(o)
			err = errors.Join(err, e)
		}
		return err
	})
}

func allRouting(t *testing.T, s *Store) (vrfs []VRF, svis []SVI) {
	t.Helper()
	err := s.View(func(tx *Tx) error {
		vrfs, svis = tx.VRFs().List("", 0), tx.SVIs().List("", 0)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return vrfs, svis
}

// older makes a closed store as version 1 left it: without VRFs and SVIs.
func older(t *testing.T, path string) {
	edit(t, path, func(tx *bbolt.Tx) error {
		var errs error
		for kind := range since {
			errs = errors.Join(errs, tx.DeleteBucket(buckets[kind]))
		}
		return errors.Join(errs, tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("1")))
	})
}

func TestVRFsAndSVIsAreBackAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := filled(t, path)
	err := errors.Join(createRouting(s, vrf("gone", 99)),
		createRouting(s, vrf("green", 100), svi("svi20", "green", "vlan20", "10.20.0.1/24", "2001:db8:20::1/64"),
			svi("svi30", "green", "vlan30", "10.30.0.1/24")),
		s.Update(func(tx *Tx) error { return tx.VRFs().Delete("gone") }))
	if err != nil {
		t.Fatal(err)
	}
	wantVRFs, wantSVIs := allRouting(t, s)
	if err := s.Close(); err != nil || len(wantVRFs) != 1 || wantVRFs[0].Index != 2 || len(wantSVIs) != 2 {
		t.Fatal(err, wantVRFs, wantSVIs)
	}
	if vrfs, svis := allRouting(t, mustOpen(t, path)); !reflect.DeepEqual(vrfs, wantVRFs) ||
		!reflect.DeepEqual(svis, wantSVIs) {
		t.Errorf("got %v %v, want %v %v", vrfs, svis, wantVRFs, wantSVIs)
	}
}

func TestAStoreOfAnOlderVersionIsReadAndCanTakeVRFs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	older(t, path)
	for _, vrfs := range []int{0, 1} {
		s := mustOpen(t, path)
		bridges, ports := all(t, s)
		if v, _ := allRouting(t, s); len(bridges) != 2 || len(ports) != 1 || len(v) != vrfs {
			t.Fatalf("%v %v %v, want 2 bridges, 1 port and %d VRFs", bridges, ports, v, vrfs)
		}
		if vrfs == 0 {
			if err := createRouting(s, vrf("green", 100), svi("svi10", "green", "vlan10", "10.10.0.1/24")); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADamagedStoreOfAnOlderVersionIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	older(t, path)
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(buckets[KindLogicalBridge]).Delete([]byte("vlan10")) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	refused(t, path, errDamaged)
}

func TestRoutingThatBreaksARuleIsDamage(t *testing.T) {
	put := func(o Object) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error {
			v, err := encode(o)
			return errors.Join(err, tx.Bucket(buckets[o.Ref().Kind]).Put([]byte(o.Ref().ID), v))
		}
	}
	green := vrf("green", 100)
	green.Index = 1
	for name, change := range map[string]func(*bbolt.Tx) error{
		"no list of VRFs":       func(tx *bbolt.Tx) error { return tx.DeleteBucket(buckets[KindVRF]) },
		"no list of SVIs":       func(tx *bbolt.Tx) error { return tx.DeleteBucket(buckets[KindSVI]) },
		"an SVI without a VRF":  put(svi("svi10", "green", "vlan10", "10.10.0.1/24")),
		"a VRF without index":   put(vrf("green", 100)),
		"the VNI of a bridge":   put(VRF{ID: "green", VNI: 10, Index: 1}),
		"an index out of range": put(VRF{ID: "green", Index: maxIndex + 1}),
		"subnets that overlap": func(tx *bbolt.Tx) error {
			return errors.Join(put(green)(tx), put(svi("svi10", "green", "vlan10", "10.10.0.1/24"))(tx),
				put(svi("svi20", "green", "vlan20", "10.10.0.2/24"))(tx))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			edit(t, path, change)
			refused(t, path, errDamaged)
		})
	}
}

func TestWatchersSeeVRFsAndSVIs(t *testing.T) {
	s := NewMemory()
	if err := createBridge(s, bridge("vlan10", 10, 10)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch := s.Watch(ctx)
	state := map[Ref]Object{}
	replay(t, state, <-watch)
	a, b := svi("svi10", "green", "vlan10", "10.10.0.1/24"), svi("svi10", "green", "vlan10", "10.10.0.2/24")
	err := errors.Join(createRouting(s, vrf("green", 100), a),
		s.Update(func(tx *Tx) error { _, err := tx.SVIs().Update(b); return err }),
		s.Update(func(tx *Tx) error { return errors.Join(tx.SVIs().Delete("svi10"), tx.VRFs().Delete("green")) }))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Object{a, b, nil} {
		replay(t, state, <-watch)
		if got := state[b.Ref()]; !reflect.DeepEqual(got, want) {
			t.Errorf("after transaction %d: %v, want %v", i, got, want)
		}
	}
}
