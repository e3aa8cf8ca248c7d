package intent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// schemaVersion is the version of the file's layout that this program writes.
// Version 1 had no VRFs and SVIs, version 2 none of p4evpn.v1's kinds, version 3 no
// mac_ip_only, version 4 no ethernet_tag and nothing of allow_own_as, ttl_security and
// shutdown, version 5 no no_arp_nd, version 6 no logical_switch, version 7 no
// tagged_multicast, version 8 no max_macs and max_routes, version 9 no port_given, version 10
// no drop_unknown_unicast, version 11 no max_addresses, version 12 no bfd; such a file is brought
// to this one when it is opened. A program refuses a file of a version above its own: what it
// does not know of an object it would take for damage.
const schemaVersion = 13

// lockTimeout bounds the wait for a file that another process has open.
const lockTimeout = time.Second

// The layout: bucket "meta" holds "schema" (the version in decimal digits); one
// bucket a kind holds id -> value.
var (
	bucketMeta = []byte("meta")
	keySchema  = []byte("schema")
	buckets    = map[Kind][]byte{
		KindLogicalBridge: []byte("logical_bridges"),
		KindBridgePort:    []byte("bridge_ports"),
		KindVRF:           []byte("vrfs"),
		KindSVI:           []byte("svis"),
		KindInstance:      []byte("instances"),
		KindStaticMAC:     []byte("static_macs"),
		KindSpeaker:       []byte("speakers"),
		KindNeighbor:      []byte("neighbors"),
	}
	// since says which version of the layout brought a bucket, if not the first.
	since = map[Kind]int{KindVRF: 2, KindSVI: 2, KindInstance: 3, KindStaticMAC: 3, KindSpeaker: 3, KindNeighbor: 3}
)

// errDamaged and its kin say why a file cannot be used; such a file is left as
// it is.
var (
	errDamaged = errors.New("the file is damaged: move it away to start empty, or put a backup in its place")
	errNewer   = errors.New("the file was written by a newer p4evpn: use that version")
	errFailed  = errors.New("a change could not be written, and what the file holds is not sure: the store takes no " +
		"more changes until p4evpn is started again")
	errClosed = errors.New("it is closed")
	errLocked = errors.New("another process has the file open: stop it first")
)

// bolt is a backend in one file of bbolt.
type bolt struct {
	db *bbolt.DB
	// stuck says that bbolt panicked while it wrote, and holds its locks for ever.
	stuck atomic.Bool
	// version is the file's, which is below schemaVersion until migrate.
	version int
}

// Open opens the store in a file, which is made if it does not exist. The whole
// file is read and checked before anything may be written to it.
//
// Configured objects, which are Instances, Neighbors and a Speaker, are those of
// the configuration file: they are shown like all others and never stored or
// changed. One in the file that has the id of such an object is hidden by it.
func Open(path string, configured ...Object) (*Store, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("create store %s: %w", path, err)
		}
	}
	s, err := open(path, configured)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	return s, nil
}

// create makes an empty store beside path and then gives it that name, so that
// a crash meanwhile leaves no half-made file there.
func create(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if err := f.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(f.Name(), 0o600, nil)
	if err != nil {
		return err
	}
	err = db.Update(lay)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(path)
}

// lay makes the layout of an empty store.
func lay(tx *bbolt.Tx) error {
	for _, name := range buckets {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	meta, err := tx.CreateBucket(bucketMeta)
	if err != nil {
		return err
	}
	return meta.Put(keySchema, []byte(fmt.Sprint(schemaVersion)))
}

func open(path string, configured []Object) (*Store, error) {
	if _, err := check(path); err != nil {
		return nil, err
	}
	b, err := openBolt(path, false)
	if err != nil {
		return nil, err
	}
	// Another process may have written between the check and the lock.
	m, err := readModel(b)
	if err == nil {
		err = b.migrate()
	}
	var hidden []Ref
	if err == nil {
		m, hidden, err = m.with(configured)
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	for _, r := range hidden {
		slog.Warn("the configuration file stands in for a stored object, which is kept and not used", "object", r)
	}
	return newStore(b, path, m), nil
}

// check reads everything through a read-only handle.
func check(path string) (model, error) {
	// bbolt makes a new store of an empty file, which would hide a loss.
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		return model{}, err
	case !fi.Mode().IsRegular():
		return model{}, errors.New("no regular file")
	case fi.Size() > MaxFile:
		return model{}, fmt.Errorf("larger than %d bytes", int64(MaxFile))
	case fi.Size() == 0:
		return model{}, fmt.Errorf("%w (it is empty)", errDamaged)
	}
	b, err := openBolt(path, true)
	if err != nil {
		return model{}, err
	}
	m, err := readModel(b)
	return m, errors.Join(err, b.Close())
}

// guard turns panics and memory faults, bbolt's answer to damaged pages, into
// errors.
func guard(err *error) func() {
	old := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			*err = fmt.Errorf("%w (%v)", errDamaged, r)
		}
	}
}

func openBolt(path string, readOnly bool) (b *bolt, err error) {
	defer guard(&err)()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, ReadOnly: readOnly})
	var pathErr *fs.PathError
	switch {
	case err == nil:
		return &bolt{db: db}, nil
	case errors.As(err, &pathErr):
		return nil, err
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, errLocked
	}
	return nil, fmt.Errorf("%w (%w)", errDamaged, err)
}

// Load checks the file as a whole first.
func (b *bolt) Load(give func(value) error) (err error) {
	defer guard(&err)()
	return b.db.View(func(tx *bbolt.Tx) error {
		// Pages after the end of a truncated file would fault.
		if fi, err := os.Stat(b.db.Path()); err != nil {
			return err
		} else if fi.Size() < tx.Size() {
			return fmt.Errorf("%w (%d bytes are left of %d)", errDamaged, fi.Size(), tx.Size())
		}
		data, err := os.ReadFile(b.db.Path())
		if err == nil {
			err = errors.Join(checkPages(tx), checkTree(tx, data))
		}
		if err != nil {
			return err
		}
		if b.version, err = readSchema(tx); err != nil {
			return err
		}
		for _, kind := range kinds {
			if b.version < since[kind] {
				continue
			}
			bucket := tx.Bucket(buckets[kind])
			if bucket == nil {
				return fmt.Errorf("%w (there is no list of %ss)", errDamaged, kind)
			}
			err := bucket.ForEach(func(id, data []byte) error { return give(value{kind, string(id), data}) })
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bolt) Commit(values []value) (err error) {
	back := false
	defer func() {
		if !back {
			b.stuck.Store(true)
		}
	}()
	defer guard(&err)() // the check at Open does not see bbolt's list of free pages
	err = b.commit(values)
	back = true
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return errClosed
	}
	return err
}

func (b *bolt) commit(values []value) error {
	return b.db.Update(func(tx *bbolt.Tx) error {
		for _, v := range values {
			bucket, id := tx.Bucket(buckets[v.Kind]), []byte(v.ID)
			var err error
			if v.Data == nil {
				err = bucket.Delete(id)
			} else {
				err = bucket.Put(id, v.Data)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bolt) Copy(w io.Writer, withoutSecrets bool) (err error) {
	if b.stuck.Load() {
		return errFailed
	}
	defer guard(&err)()
	if withoutSecrets {
		return b.copyWithoutSecrets(w)
	}
	return b.db.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
}

// copyWithoutSecrets makes a new file: the pages of the old one keep what was once in them.
func (b *bolt) copyWithoutSecrets(w io.Writer) error {
	f, err := os.CreateTemp(filepath.Dir(b.db.Path()), filepath.Base(b.db.Path())+".backup-")
	if err != nil {
		return err
	}
	defer func() { _ = errors.Join(f.Close(), os.Remove(f.Name())) }()
	db, err := bbolt.Open(f.Name(), 0o600, &bbolt.Options{Timeout: lockTimeout})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if err := lay(tx); err != nil {
			return err
		}
		return b.Load(func(v value) error {
			v, err := v.withoutSecrets()
			if err != nil {
				return err
			}
			return tx.Bucket(buckets[v.Kind]).Put([]byte(v.ID), v.Data)
		})
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	_, err = io.Copy(w, f) // which was opened before and is the same file
	return err
}

// Close leaves to the end of the process what would wait for a lock.
func (b *bolt) Close() error {
	if b.stuck.Load() {
		return nil
	}
	return b.db.Close()
}

// checkPages checks that no page says it goes on behind the last one: freeing
// such a one would keep bbolt busy for minutes. A read-only handle knows too
// little for that, and frees none.
func checkPages(tx *bbolt.Tx) error {
	if tx.DB().IsReadOnly() {
		return nil
	}
	count := int(tx.Size()) / tx.DB().Info().PageSize
	for id := 0; id < count; id++ {
		p, err := tx.Page(id)
		if err != nil {
			return err
		}
		if p.Type == "free" {
			continue
		}
		if id += p.OverflowCount; id >= count {
			return fmt.Errorf("%w (page %d goes on behind the end)", errDamaged, p.ID)
		}
	}
	return nil
}

func readSchema(tx *bbolt.Tx) (int, error) {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return 0, fmt.Errorf("%w (it has no schema version)", errDamaged)
	}
	var v int
	if _, err := fmt.Sscan(string(meta.Get(keySchema)), &v); err != nil || v < 1 {
		return 0, fmt.Errorf("%w (schema version %q)", errDamaged, meta.Get(keySchema))
	}
	if v > schemaVersion {
		return 0, fmt.Errorf("%w (schema version %d, this one knows %d)", errNewer, v, schemaVersion)
	}
	return v, nil
}

// migrate brings a file of an older version, which was read and found good, to
// this one in one transaction.
func (b *bolt) migrate() (err error) {
	defer guard(&err)()
	if b.version == schemaVersion {
		return nil
	}
	err = b.db.Update(func(tx *bbolt.Tx) error {
		for kind, first := range since {
			if b.version < first {
				if _, err := tx.CreateBucket(buckets[kind]); err != nil {
					return err
				}
			}
		}
		return tx.Bucket(bucketMeta).Put(keySchema, []byte(fmt.Sprint(schemaVersion)))
	})
	if err != nil {
		return fmt.Errorf("bring it from schema version %d to %d: %w", b.version, schemaVersion, err)
	}
	return nil
}
