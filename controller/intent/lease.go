package intent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"go.etcd.io/bbolt"

	"github.com/p4evpn/p4evpn/ether"
)

// Lease is an address that DHCP gave a station behind a guarded port. It is nobody's intent,
// but must outlive a restart of everything: the station asks for it no more until half of it
// has passed. So it is kept beside the objects, and is none.
type Lease struct {
	// Bridge is a logical bridge's id and Port the name of a port of the configuration, which
	// need not be there any more.
	Bridge  string     `json:"bridge"`
	Port    string     `json:"port"`
	MAC     ether.MAC  `json:"mac"`
	Address netip.Addr `json:"address"` // of one lease in the bridge
	Until   time.Time  `json:"until"`   // zero: for ever
}

// key is that in the bucket of leases.
func (l Lease) key() []byte { return append(append([]byte(l.Bridge), 0), l.Address.String()...) }

// bucketLeases is made with the first lease: a program that knows of none leaves it alone.
var bucketLeases = []byte("leases")

// Leases gives those that are kept. What cannot be read of them is left out, and counted: a
// station without its lease asks for one again.
func (s *Store) Leases() (leases []Lease, unreadable int, err error) {
	b, ok := s.backend.(*bolt)
	if !ok {
		return nil, 0, nil
	}
	defer guard(&err)()
	err = b.db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(bucketLeases)
		if bucket == nil {
			return nil
		}
		return bucket.ForEach(func(key, data []byte) error {
			if l, ok := readLease(key, data); ok {
				leases = append(leases, l)
			} else {
				unreadable++
			}
			return nil
		})
	})
	if err != nil {
		err = fmt.Errorf("store %s: leases: %w", s.name, err)
	}
	return leases, unreadable, err
}

func readLease(key, data []byte) (l Lease, ok bool) {
	err := json.Unmarshal(data, &l)
	return l, err == nil && bytes.Equal(l.key(), key)
}

// KeepLeases adds leases, or replaces those of the same bridge and address, and forgets others
// by these two, in one transaction. A store in memory forgets all of them with the rest.
func (s *Store) KeepLeases(keep, forget []Lease) (err error) {
	b, ok := s.backend.(*bolt)
	if !ok {
		return nil
	}
	s.mu.Lock() // a transaction of objects is not to wait in bbolt
	defer s.mu.Unlock()
	if err := s.Failed(); err != nil {
		return fmt.Errorf("store %s: leases: %w", s.name, err)
	}
	defer guard(&err)()
	err = b.db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists(bucketLeases)
		if err != nil {
			return err
		}
		for _, l := range forget {
			err = errors.Join(err, bucket.Delete(l.key()))
		}
		for _, l := range keep {
			data, wrong := json.Marshal(l)
			if wrong == nil {
				wrong = bucket.Put(l.key(), data)
			}
			err = errors.Join(err, wrong)
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("store %s: leases: %w", s.name, err)
	}
	return err
}
