package intent

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// SchemaVersion is the version of the file's layout that this program writes.
// Version 1 had no VRFs and SVIs, version 2 none of p4evpn.v1's kinds; such a file
// is brought to this one when it is opened.
const SchemaVersion = 3

// lockTimeout bounds the wait for a file that another process has open.
const lockTimeout = time.Second

// The layout: bucket "meta" holds "schema" (the version in decimal digits); one
// bucket a kind holds id -> CRC-32C (big endian) of id and JSON, then the JSON.
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
	since      = map[Kind]int{KindVRF: 2, KindSVI: 2, KindInstance: 3, KindStaticMAC: 3, KindSpeaker: 3, KindNeighbor: 3}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// ErrDamaged and its kin say why a file cannot be used; such a file is left as
// it is.
var (
	ErrDamaged = errors.New("the file is damaged: move it away to start empty, or put a backup in its place")
	ErrNewer   = errors.New("the file was written by a newer p4evpn: use that version")
	ErrLocked  = errors.New("another process has the file open: stop it first")
)

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
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		meta, err := tx.CreateBucket(bucketMeta)
		if err != nil {
			return err
		}
		return meta.Put(keySchema, []byte(fmt.Sprint(SchemaVersion)))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func open(path string, configured []Object) (*Store, error) {
	// bbolt makes a new store of an empty file, which would hide a loss.
	if fi, err := os.Stat(path); err != nil {
		return nil, err
	} else if fi.Size() == 0 {
		return nil, fmt.Errorf("%w (it is empty)", ErrDamaged)
	}
	if err := check(path); err != nil {
		return nil, err
	}
	db, err := openBolt(path, false)
	if err != nil {
		return nil, err
	}
	// Another process may have written between the check and the lock.
	m, err := read(db)
	if err == nil {
		err = migrate(db)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	m, hidden, err := m.with(configured)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	for _, r := range hidden {
		slog.Warn("the configuration file stands in for a stored object, which is kept and not used", "object", r)
	}
	return newStore(db, path, m), nil
}

// check reads everything through a read-only handle.
func check(path string) error {
	db, err := openBolt(path, true)
	if err != nil {
		return err
	}
	_, err = read(db)
	return errors.Join(err, db.Close())
}

// guard turns panics and memory faults, bbolt's answer to damaged pages, into
// errors.
func guard(err *error) func() {
	old := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			*err = fmt.Errorf("%w (%v)", ErrDamaged, r)
		}
	}
}

func openBolt(path string, readOnly bool) (db *bbolt.DB, err error) {
	defer guard(&err)()
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, ReadOnly: readOnly})
	var pathErr *fs.PathError
	switch {
	case err == nil, errors.As(err, &pathErr):
		return db, err
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, ErrLocked
	}
	return nil, fmt.Errorf("%w (%w)", ErrDamaged, err)
}

// read reads and checks the whole model.
func read(db *bbolt.DB) (m model, err error) {
	defer guard(&err)()
	err = db.View(func(tx *bbolt.Tx) error {
		// Pages after the end of a truncated file would fault.
		if fi, err := os.Stat(db.Path()); err != nil {
			return err
		} else if fi.Size() < tx.Size() {
			return fmt.Errorf("%w (%d bytes are left of %d)", ErrDamaged, fi.Size(), tx.Size())
		}
		if err := checkPages(tx); err != nil {
			return err
		}
		version, err := readSchema(tx)
		if err != nil {
			return err
		}
		t := begin(model{})
		if err := errors.Join(load(tx, version, &t.bridges), load(tx, version, &t.ports),
			load(tx, version, &t.vrfs), load(tx, version, &t.svis),
			load(tx, version, &t.instances), load(tx, version, &t.statics),
			load(tx, version, &t.speakers), load(tx, version, &t.neighbors)); err != nil {
			return fmt.Errorf("%w (%w)", ErrDamaged, err)
		}
		m = t.model()
		return nil
	})
	return m, err
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
			return fmt.Errorf("%w (page %d goes on behind the end)", ErrDamaged, p.ID)
		}
	}
	return nil
}

func readSchema(tx *bbolt.Tx) (int, error) {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return 0, fmt.Errorf("%w (it has no schema version)", ErrDamaged)
	}
	var v int
	if _, err := fmt.Sscan(string(meta.Get(keySchema)), &v); err != nil || v < 1 {
		return 0, fmt.Errorf("%w (schema version %q)", ErrDamaged, meta.Get(keySchema))
	}
	if v > SchemaVersion {
		return 0, fmt.Errorf("%w (schema version %d, this one knows %d)", ErrNewer, v, SchemaVersion)
	}
	return v, nil
}

// migrate brings a file of an older version, which was read and found good, to
// this one in one transaction.
func migrate(db *bbolt.DB) (err error) {
	defer guard(&err)()
	var version int
	err = db.View(func(tx *bbolt.Tx) error {
		version, err = readSchema(tx)
		return err
	})
	if err != nil || version == SchemaVersion {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for kind, first := range since {
			if version < first {
				if _, err := tx.CreateBucket(buckets[kind]); err != nil {
					return err
				}
			}
		}
		return tx.Bucket(bucketMeta).Put(keySchema, []byte(fmt.Sprint(SchemaVersion)))
	})
	if err != nil {
		return fmt.Errorf("bring it from schema version %d to %d: %w", version, SchemaVersion, err)
	}
	return nil
}

// load reads one kind of objects, each by the same rules as when it was made.
func load[T Row[T]](tx *bbolt.Tx, version int, t *Table[T]) error {
	if version < since[t.kind] {
		return nil
	}
	b := tx.Bucket(buckets[t.kind])
	if b == nil {
		return fmt.Errorf("there is no list of %ss", t.kind)
	}
	return b.ForEach(func(k, v []byte) error {
		o, err := decode[T](string(k), v)
		if err != nil {
			return fmt.Errorf("%v: %w", Ref{t.kind, clip(string(k))}, err)
		}
		if err := o.Validate(); err != nil {
			return err
		}
		if _, err := o.admit(t.tx, &o); err != nil {
			return err
		}
		t.rows, t.own = append(t.rows, o), true // bbolt's order is ours
		return nil
	})
}

func checksum(id string, js []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(id), castagnoli), castagnoli, js)
}

func encode(o Object) ([]byte, error) {
	js, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint32(nil, checksum(o.Ref().ID, js)), js...), nil
}

func decode[T Object](id string, v []byte) (o T, err error) {
	if len(v) < 4 || binary.BigEndian.Uint32(v) != checksum(id, v[4:]) {
		return o, errors.New("wrong checksum")
	}
	d := json.NewDecoder(bytes.NewReader(v[4:]))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return o, err
	}
	if o.Ref().ID != id {
		return o, fmt.Errorf("it holds %v", o.Ref())
	}
	return o, nil
}

// persist writes the changes of one transaction; they are on the disk when it
// returns nil, and not there when it does not.
func persist(db *bbolt.DB, changes []Change) (err error) {
	defer guard(&err)() // the check at Open does not see bbolt's list of free pages
	return db.Update(func(tx *bbolt.Tx) error {
		for _, c := range changes {
			if c.New == nil {
				if err := tx.Bucket(buckets[c.Old.Ref().Kind]).Delete([]byte(c.Old.Ref().ID)); err != nil {
					return err
				}
				continue
			}
			v, err := encode(c.New)
			if err != nil {
				return err
			}
			if err := tx.Bucket(buckets[c.New.Ref().Kind]).Put([]byte(c.New.Ref().ID), v); err != nil {
				return err
			}
		}
		return nil
	})
}
