package intent

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// backup makes a store with one of every kind and gives its objects and a copy.
func backup(t *testing.T) (objects []Object, copied []byte) {
	t.Helper()
	s := mustOpen(t, filepath.Join(t.TempDir(), "store.db"))
	ownKinds(t, s)
	var b bytes.Buffer
	if err := s.Backup(&b, false); err != nil {
		t.Fatal(err)
	}
	return snapshotOf(s), b.Bytes()
}

func TestABackupOfARunningStoreIsRestoredWhole(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "store.db"))
	ownKinds(t, s)
	want := snapshotOf(s)
	// Backups are whole while others write.
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := uint16(100); ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			err := s.Update(func(tx *Tx) error {
				if _, err := tx.Bridges().Create(bridge("come", 4000, 4000)); err != nil {
					return err
				}
				_, err := tx.Ports().Create(access("come", "come"))
				return err
			})
			err = errors.Join(err, s.Update(func(tx *Tx) error {
				return errors.Join(tx.Ports().Delete("come"),
					tx.Bridges().Delete("come"))
			}))
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 20 {
		var b bytes.Buffer
		if err := s.Backup(&b, false); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "restored.db")
		r, err := Restore(t.Context(), path, &b)
		if err != nil {
			t.Fatal(err)
		}
		got := slices.DeleteFunc(snapshotOf(mustOpen(t, path)), func(o Object) bool { return o.Ref().ID == "come" })
		if p, ok := got[len(got)-1].(BridgePort); ok {
			t.Errorf("%v is there without its bridge", p)
		}
		if !reflect.DeepEqual(got, want) || r.Kept != "" || r.Objects < len(want) {
			t.Errorf("restored %d: %v, want %v", r.Objects, got, want)
		}
	}
	close(stop)
	writer.Wait()
}

func TestWhatARestoreReplacesIsKept(t *testing.T) {
	want, copied := backup(t)
	path := filepath.Join(t.TempDir(), "store.db")
	for i, old := range []string{"damaged", "damaged again"} {
		if err := os.Remove(path); err != nil && i > 0 {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Restore(t.Context(), path, bytes.NewReader(copied))
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := os.ReadFile(r.Kept); err != nil || string(kept) != old {
			t.Errorf("kept %q %v", kept, err)
		}
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := snapshotOf(s); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 3 {
		t.Errorf("left behind: %v", left)
	}
}

func TestABackupThatIsNotWholeChangesNothing(t *testing.T) {
	_, copied := backup(t)
	flipped := slices.Clone(copied)
	at := bytes.Index(flipped, []byte("10.1.1.1"))
	flipped[at] ^= 1
	for name, tc := range map[string]struct {
		content []byte
		want    error
	}{"empty": {nil, errDamaged}, "half": {copied[:len(copied)/2], errDamaged}, "text": {[]byte("hello"),
		errDamaged}, "flipped": {flipped, errDamaged}} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			s := mustOpen(t, path)
			if err := errors.Join(createBridge(s, bridge("blue", 10, 10)), s.Close()); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(path)
			_, err := Restore(t.Context(), path, bytes.NewReader(tc.content))
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), "the backup") {
				t.Errorf("got %v", err)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the store was changed")
			}
			if left, _ := filepath.Glob(path + "*"); len(left) != 1 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestAStoreInUseIsNotReplaced(t *testing.T) {
	_, copied := backup(t)
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	if _, err := Restore(t.Context(), path, bytes.NewReader(copied)); !errors.Is(err, errLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
	if err := createBridge(s, bridge("blue", 10, 10)); err != nil {
		t.Error(err)
	}
}

// Each byte of the file is flipped in turn (of the used part, every third of
// them): the store is refused, or it opens with what it held or with the state
// before its last transaction, as bbolt does by design. Nothing else, no panic.
func TestAFlippedByteIsNeverTakenForContents(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	s := mustOpen(t, path)
	if err := createBridge(s, bridge("blue", 10, 100)); err != nil {
		t.Fatal(err)
	}
	before := snapshotOf(s)
	if err := createPort(s, access("port1", "blue")); err != nil {
		t.Fatal(err)
	}
	after := snapshotOf(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad, refused := filepath.Join(dir, "bad.db"), 0
	for at := 0; at < len(whole); at += 3 {
		if whole[at] == 0 && at%30 != 0 {
			continue // the unused part of a page, mostly
		}
		damaged := slices.Clone(whole)
		damaged[at] ^= 0xff
		if err := os.WriteFile(bad, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := check(bad)
		if err != nil {
			refused++
			continue
		}
		var got []Object
		for _, c := range m.snapshot().Changes {
			got = append(got, c.New)
		}
		if !reflect.DeepEqual(got, before) && !reflect.DeepEqual(got, after) {
			t.Errorf("byte %d: took %v for what was stored", at, got)
		}
	}
	if refused < 50 {
		t.Errorf("only %d files were refused", refused)
	}
}

// onTmpfs mounts a small file system and gives it.
func onTmpfs(t *testing.T, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIP: mounting a tmpfs needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("p4evpn-test", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("SKIP: cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestAFullDiskRefusesTheChangeAndLosesNothing(t *testing.T) {
	dir := onTmpfs(t, "size=256k")
	path := filepath.Join(dir, "store.db")
	s := mustOpen(t, path)
	ownKinds(t, s)
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	made := 0
	for err = nil; err == nil && made < 4000; made++ {
		err = createBridge(s, bridge("more-"+strings.Repeat("x", 50)+string(rune('a'+made%26))+string(rune('a'+made/26)),
			uint16(100+made), uint32(1000+made)))
	}
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "nothing was changed") ||
		!strings.Contains(err.Error(), path) {
		t.Fatalf("after %d bridges: %v, want no space left", made, err)
	}
	want := snapshotOf(s)
	other := filepath.Join(dir, "other.db")
	if _, err := Restore(t.Context(), other, bytes.NewReader(make([]byte, 1<<20))); !errors.Is(err,
		unix.ENOSPC) {
		t.Errorf("restoring to a full disk: %v", err)
	}
	if err := errors.Join(filler.Close(), os.Remove(filler.Name())); err != nil {
		t.Fatal(err)
	}
	if err := createBridge(s, bridge("again", 4001, 4001)); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if err := s.Update(func(tx *Tx) error { return tx.Bridges().Delete("again") }); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := snapshotOf(mustOpen(t, path)); !reflect.DeepEqual(got, want) {
		t.Errorf("%d objects are left of %d", len(got), len(want))
	}
}

func TestAReadOnlyDiskIsSaidSoAndNothingIsLost(t *testing.T) {
	dir := onTmpfs(t, "size=1m")
	path := filepath.Join(dir, "store.db")
	s := mustOpen(t, path)
	ownKinds(t, s)
	want := snapshotOf(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), path) {
		t.Errorf("opened on a read-only disk: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "new.db")); !errors.Is(err, unix.EROFS) {
		t.Errorf("made on a read-only disk: %v", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	if got := snapshotOf(mustOpen(t, path)); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// FuzzValue reads anything as a stored value of each kind: it is refused, or it
// is an object that keeps the rules and comes back the same.
func FuzzValue(f *testing.F) {
	for _, o := range []Object{
		LogicalBridge{ID: "blue", VLAN: 10, VNI: 100, Index: 1}, VRF{ID: "red1", Index: 1}, Speaker{AS: 1},
		neighbor("10.1.1.1", 1), Instance{ID: "bridge.blue"}, station("host1", "blue", "port1", "02:00:00:00:01:01",
			"10.0.0.5"),
	} {
		v, err := encode(o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(o.Ref().ID, v[4:])
	}
	f.Fuzz(func(t *testing.T, id string, js []byte) {
		for _, kind := range kinds {
			data := append([]byte{0, 0, 0, 0}, js...)
			sum := checksum(id, js)
			data[0], data[1], data[2], data[3] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
			tx := begin(model{})
			if tx.load(value{kind, id, data}) != nil {
				continue
			}
			o := tx.model().snapshot().Changes[0].New
			again, err := encode(o)
			if err != nil {
				t.Fatal(err)
			}
			second := begin(model{})
			if err := second.load(value{kind, id, again}); err != nil {
				t.Errorf("%+v does not come back: %v", o, err)
			}
		}
	})
}

func TestABackupWithoutSecretsHasNoTraceOfThem(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "store.db"))
	secret, former := "correct horse battery", "a password of before"
	n := Neighbor{Address: netip.MustParseAddr("10.1.1.1"), AS: 65101, Password: former}
	for _, do := range []func(tx *Tx) error{
		func(tx *Tx) error { _, err := tx.Neighbors().Create(n); return err },
		func(tx *Tx) error { n.Password = secret; _, err := tx.Neighbors().Update(n); return err },
		func(tx *Tx) error { _, err := tx.Bridges().Create(bridge("vlan10", 10, 10)); return err },
	} {
		if err := s.Update(do); err != nil {
			t.Fatal(err)
		}
	}
	var with, without bytes.Buffer
	if err := errors.Join(s.Backup(&with, false), s.Backup(&without, true)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(with.Bytes(), []byte(secret)) {
		t.Error("a whole backup lacks the password: this test proves nothing")
	}
	for _, text := range []string{secret, former} {
		if bytes.Contains(without.Bytes(), []byte(text)) {
			t.Errorf("%q is in it", text)
		}
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(s.name), "*")); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
	path := filepath.Join(t.TempDir(), "restored.db")
	if r, err := Restore(t.Context(), path, &without); err != nil || r.Objects != 2 {
		t.Fatalf("%+v %v", r, err)
	}
	err := mustOpen(t, path).View(func(tx *Tx) error {
		got, err := tx.Neighbors().Get("10.1.1.1")
		if got.AS != 65101 || got.Password != "" {
			t.Errorf("%+v", got)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// zeros have no end.
type zeros struct{ then func() }

func (z zeros) Read(b []byte) (int, error) {
	clear(b)
	z.then()
	return len(b), nil
}

func TestARestoreEndsWithItsContextAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	if err := os.WriteFile(path, []byte("what was there"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Restore(ctx, path, zeros{then: cancel}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was ended", err)
	}
	files, err := os.ReadDir(dir)
	if b, _ := os.ReadFile(path); err != nil || len(files) != 1 || string(b) != "what was there" {
		t.Errorf("%v %v, the store holds %q", files, err, b)
	}
}

func TestAStoreIsARegularFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, "/dev/zero", "/dev/null"} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "regular file") {
			t.Errorf("%s: opened, or %v", path, err)
		}
	}
	if _, err := setAside(path); err == nil {
		t.Error("a FIFO is put aside")
	}
}
