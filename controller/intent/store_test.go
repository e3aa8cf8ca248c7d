package intent

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

func mustOpen(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// file is what a store writes to.
func file(s *Store) *bbolt.DB { return s.backend.(*bolt).db }

func createBridge(s *Store, b LogicalBridge) error {
	return s.Update(func(tx *Tx) error { _, err := tx.Bridges().Create(b); return err })
}

func createPort(s *Store, p BridgePort) error {
	return s.Update(func(tx *Tx) error { _, err := tx.Ports().Create(p); return err })
}

func all(t *testing.T, s *Store) (bridges []LogicalBridge, ports []BridgePort) {
	t.Helper()
	err := s.View(func(tx *Tx) error {
		bridges, ports = tx.Bridges().List("", 0), tx.Ports().List("", 0)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return bridges, ports
}

// filled makes a store of 40 bridges and 40 ports with some history.
func filled(t *testing.T, path string) *Store {
	t.Helper()
	s := mustOpen(t, path)
	for i := 1; i <= 50; i++ {
		br := fmt.Sprintf("vlan%d", i)
		if err := errors.Join(createBridge(s, bridge(br, uint16(i), uint32(i))),
			createPort(s, access(fmt.Sprintf("port%d", i), br))); err != nil {
			t.Fatal(err)
		}
	}
	for i := 1; i <= 10; i++ {
		err := s.Update(func(tx *Tx) error {
			if err := tx.Ports().Delete(fmt.Sprintf("port%d", i)); err != nil {
				return err
			}
			return tx.Bridges().Delete(fmt.Sprintf("vlan%d", i))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestEverythingIsBackAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := filled(t, path)
	wantBridges, wantPorts := all(t, s)
	if len(wantBridges) != 40 || len(wantPorts) != 40 {
		t.Fatalf("%d bridges and %d ports", len(wantBridges), len(wantPorts))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	bridges, ports := all(t, mustOpen(t, path))
	if !reflect.DeepEqual(bridges, wantBridges) || !reflect.DeepEqual(ports, wantPorts) {
		t.Errorf("got %v %v, want %v %v", bridges, ports, wantBridges, wantPorts)
	}
}

func TestATransactionIsAllOrNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	err := s.Update(func(tx *Tx) error {
		if _, err := tx.Bridges().Create(bridge("vlan10", 10, 10)); err != nil {
			return err
		}
		_, err := tx.Bridges().Create(bridge("vlan11", 10, 11))
		return err
	})
	if !errors.Is(err, Conflict) {
		t.Fatalf("%v, want a conflict", err)
	}
	for _, again := range []bool{false, true} {
		if again {
			_ = s.Close()
			s = mustOpen(t, path)
		}
		if bridges, _ := all(t, s); len(bridges) != 0 {
			t.Errorf("reopened %v: %v was kept of a transaction that failed", again, bridges)
		}
	}
}

func TestWhatTheDiskRefusesIsNotShown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := createBridge(s, bridge("vlan10", 10, 10)); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v, want an error that names the store", err)
	}
	if bridges, _ := all(t, s); len(bridges) != 0 {
		t.Errorf("%v is shown though it was not stored", bridges)
	}
}

func TestDamageFoundWhileWritingIsAnErrorAndNoCrash(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "store.db"))
	if err := file(s).Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket(buckets[KindLogicalBridge]) }); err != nil {
		t.Fatal(err)
	}
	if err := createBridge(s, bridge("vlan10", 10, 10)); !errors.Is(err, errDamaged) {
		t.Errorf("%v, want ErrDamaged", err)
	}
	if bridges, _ := all(t, s); len(bridges) != 0 {
		t.Errorf("%v is shown though it was not stored", bridges)
	}
	if err := createPort(s, trunk("port1")); !errors.Is(err, errFailed) || !errors.Is(err, errDamaged) {
		t.Errorf("%v, want that it takes no more changes, and why", err)
	}
	if err := s.Backup(io.Discard, false); !errors.Is(err, errFailed) {
		t.Errorf("a backup of it: %v", err)
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("it cannot be closed")
	}
}

func TestPagesNeverRepeatOrSkipWhileOthersChange(t *testing.T) {
	s := NewMemory()
	var want []string
	for i := range 100 {
		id := fmt.Sprintf("stay%03d", i)
		want = append(want, id)
		if err := createBridge(s, bridge(id, uint16(i+1), 0)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	after := ""
	for i := 0; ; i++ {
		var page []LogicalBridge
		_ = s.View(func(tx *Tx) error { page = tx.Bridges().List(after, 7); return nil })
		if len(page) == 0 {
			break
		}
		for _, b := range page {
			if strings.HasPrefix(b.ID, "stay") {
				got = append(got, b.ID)
			}
		}
		after = page[len(page)-1].ID
		// One more at either end, and the last of this page goes if it is new.
		for j, id := range []string{fmt.Sprintf("aaaa%d", i), fmt.Sprintf("stay%03d-x", i*7)} {
			if err := createBridge(s, bridge(id, uint16(1000+2*i+j), 0)); err != nil {
				t.Fatal(err)
			}
		}
		if !strings.HasPrefix(after, "stay") || strings.HasSuffix(after, "-x") {
			if err := s.Update(func(tx *Tx) error { return tx.Bridges().Delete(after) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("pages gave %v", got)
	}
}

// replay applies batches to nothing, checking that they fit.
func replay(t *testing.T, state map[Ref]Object, b Batch) {
	t.Helper()
	for _, c := range b.Changes {
		switch {
		case c.New == nil:
			if !reflect.DeepEqual(state[c.Old.Ref()], c.Old) {
				t.Fatalf("deleted %v, but the state before was %v", c.Old, state[c.Old.Ref()])
			}
			delete(state, c.Old.Ref())
		default:
			if was, had := state[c.New.Ref()]; had != (c.Old != nil) || had && !reflect.DeepEqual(was, c.Old) {
				t.Fatalf("change %v -> %v, but the state before was %v", c.Old, c.New, was)
			}
			state[c.New.Ref()] = c.New
		}
	}
}

func TestASlowWatcherSeesEveryChangeInOrder(t *testing.T) {
	s := NewMemory()
	for i := range 10 {
		if err := createBridge(s, bridge(fmt.Sprintf("init%d", i), uint16(i+1), 0)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watch := s.Watch(ctx)
	first := <-watch
	if !first.Snapshot || len(first.Changes) != 10 {
		t.Fatalf("first batch %+v, want the snapshot", first)
	}
	state := map[Ref]Object{}
	replay(t, state, first)

	// 500 transactions from several writers while nobody reads.
	var wg sync.WaitGroup
	committed := make(chan struct{}, 500)
	for w := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for n := 0; n < 125; {
				id := fmt.Sprintf("work%d-%d", w, r.IntN(5))
				err := s.Update(func(tx *Tx) error {
					if _, err := tx.Bridges().Get(id); err != nil {
						_, err := tx.Bridges().Create(bridge(id, uint16(1000+100*w+r.IntN(90)), 0))
						return err
					}
					if r.IntN(2) == 0 {
						return tx.Bridges().Delete(id)
					}
					_, err := tx.Bridges().Update(bridge(id, uint16(1000+100*w+r.IntN(90)), uint32(5000+100*w+r.IntN(90))))
					return err
				})
				if err == nil {
					n++
					committed <- struct{}{}
				}
			}
		})
	}
	wg.Wait()
	if err := s.Update(func(tx *Tx) error {
		_,
			err := tx.Bridges().Create(bridge("last", 4000, 0))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for batch := range watch {
		if batch.Snapshot {
			t.Fatal("a second snapshot")
		}
		replay(t, state, batch)
		if _, done := state[Ref{KindLogicalBridge, "last"}]; done {
			break
		}
	}
	want := map[Ref]Object{}
	bridges, _ := all(t, s)
	for _, b := range bridges {
		want[b.Ref()] = b
	}
	if !reflect.DeepEqual(state, want) {
		t.Errorf("watcher has %v, store has %v", state, want)
	}
}

func TestAWatchEndsWithItsContext(t *testing.T) {
	s := NewMemory()
	ctx, cancel := context.WithCancel(context.Background())
	unread, read := s.Watch(ctx), s.Watch(ctx)
	<-read
	cancel()
	for _, w := range []<-chan Batch{unread, read} {
		timeout := time.After(10 * time.Second)
		for open := true; open; {
			select {
			case _, open = <-w:
			case <-timeout:
				t.Fatal("the channel stays open")
			}
		}
	}
}

func TestASnapshotComesInOrderOfReference(t *testing.T) {
	s := NewMemory()
	if err := errors.Join(createBridge(s, bridge("vlan10", 10, 10)), createPort(s, access("aaaa", "vlan10")),
		createRouting(s, vrf("green", 100), svi("aaaa", "green", "vlan10", "10.10.0.1/24"))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var got []Kind
	for _, c := range (<-s.Watch(ctx)).Changes {
		got = append(got, c.New.Ref().Kind)
	}
	if want := []Kind{KindLogicalBridge, KindBridgePort, KindVRF, KindSVI}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestALockedStoreIsSaidSoWithinSeconds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	mustOpen(t, path)
	start := time.Now()
	_, err := Open(path)
	if !errors.Is(err, errLocked) || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %v, want ErrLocked", err, time.Since(start))
	}
}

// refused says that a file cannot be opened for the wanted reason, and that
// trying left it as it was.
func refused(t *testing.T, path string, want error) {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err == nil {
		_ = s.Close()
		t.Errorf("a store of %d bytes was opened", len(before))
	} else if !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v, want %v with the path", err, want)
	}
	if after, err := os.ReadFile(path); err != nil || !slices.Equal(before, after) {
		t.Errorf("the file was changed (%v)", err)
	}
}

func TestATruncatedStoreIsRefusedAndLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := filled(t, path)
	var used int64
	if err := file(s).View(func(tx *bbolt.Tx) error { used = tx.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.db")
	for n := int64(0); n < used; n += 512 {
		if err := os.WriteFile(cut, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, cut, errDamaged)
	}
}

func TestAnythingElseThanAStoreIsRefused(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "text": "hello", "zeros": strings.Repeat("\x00", 65536),
		"noise": strings.Repeat("noise", 20000)} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, path, errDamaged)
	}
}

func TestANewerStoreIsRefusedAndLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	edit(t, path, func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(keySchema, []byte(fmt.Sprint(schemaVersion+1)))
	})
	refused(t, path, errNewer)
}

// edit makes a store with two bridges and a port and changes the file behind
// its back.
func edit(t *testing.T, path string, change func(*bbolt.Tx) error) {
	t.Helper()
	s := mustOpen(t, path)
	err := errors.Join(createBridge(s, bridge("vlan10", 10, 10)), createBridge(s, bridge("vlan20", 20, 20)),
		createPort(s, access("port1", "vlan10")))
	if err := errors.Join(err, file(s).Update(change), s.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestAStoreWithDamagedContentsIsRefusedAndLeftAlone(t *testing.T) {
	bridges, ports := buckets[KindLogicalBridge], buckets[KindBridgePort]
	put := func(bucket []byte, o Object) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error {
			v, err := encode(o)
			return errors.Join(err, tx.Bucket(bucket).Put([]byte(o.Ref().ID), v))
		}
	}
	second := bridge("vlan30", 30, 30)
	second.Index = 1
	for name, change := range map[string]func(*bbolt.Tx) error{
		"no meta":     func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketMeta) },
		"no version":  func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Delete(keySchema) },
		"bad version": func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(keySchema, []byte("one")) },
		"no bucket":   func(tx *bbolt.Tx) error { return tx.DeleteBucket(ports) },
		"short value": func(tx *bbolt.Tx) error { return tx.Bucket(bridges).Put([]byte("vlan10"), []byte("x")) },
		"other id": func(tx *bbolt.Tx) error {
			return tx.Bucket(bridges).Put([]byte("vlan11"), tx.Bucket(bridges).Get([]byte("vlan10")))
		},
		"lost bridge":    func(tx *bbolt.Tx) error { return tx.Bucket(bridges).Delete([]byte("vlan10")) },
		"index twice":    put(bridges, second),
		"no index":       put(bridges, bridge("vlan30", 30, 30)),
		"VLAN twice":     put(bridges, bridge("vlan30", 20, 30)),
		"invalid object": put(bridges, LogicalBridge{ID: "vlan30", VLAN: 9999, Index: 3}),
		"flipped bit": func(tx *bbolt.Tx) error {
			v := slices.Clone(tx.Bucket(bridges).Get([]byte("vlan10")))
			v[len(v)-10] ^= 1
			return tx.Bucket(bridges).Put([]byte("vlan10"), v)
		},
		"unknown field": func(tx *bbolt.Tx) error {
			js := []byte(`{"id":"vlan30","vlan":30,"vtep":"","index":3,"novelty":1}`)
			return tx.Bucket(bridges).Put([]byte("vlan30"),
				append(binary.BigEndian.AppendUint32(nil, checksum("vlan30", js)), js...))
		},
		"a bucket among objects": func(tx *bbolt.Tx) error { _, err := tx.Bucket(bridges).CreateBucket([]byte("odd")); return err },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			edit(t, path, change)
			refused(t, path, errDamaged)
		})
	}
}

func TestAStoreThatCannotBeMadeSaysWhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "store.db")
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v does not name the path", err)
	}
	entries, _ := os.ReadDir(filepath.Dir(filepath.Dir(path)))
	if len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestMakingAStoreLeavesNothingElse(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, filepath.Join(dir, "store.db"))
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v %v, want the store alone", entries, err)
	}
}

// The helper half runs as a process of its own, which is killed while it
// writes; what it reported as done must be there.
func TestWhatWasAcknowledgedSurvivesAKill(t *testing.T) {
	if path := os.Getenv("INTENT_TEST_STORE"); path != "" {
		s := mustOpen(t, path)
		for i := 1; i <= maxVLAN; i++ {
			if err := createBridge(s, bridge(fmt.Sprintf("vlan%d", i), uint16(i), 0)); err != nil {
				t.Fatal(err)
			}
			fmt.Printf("done %d\n", i)
		}
		return
	}
	path := filepath.Join(t.TempDir(), "store.db")
	cmd := exec.Command(os.Args[0], "-test.run=^TestWhatWasAcknowledgedSurvivesAKill$")
	cmd.Env = append(os.Environ(), "INTENT_TEST_STORE="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := 0
	for last < 50 {
		var n int
		if _, err := fmt.Fscanf(out, "done %d\n", &n); err != nil {
			_ = cmd.Process.Kill()
			t.Fatalf("after %d: %v", last, err)
		}
		last = n
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	bridges, _ := all(t, mustOpen(t, path))
	if len(bridges) < last {
		t.Errorf("%d bridges are there, %d were acknowledged", len(bridges), last)
	}
}

func TestASlowWatcherHoldsChangesOnly(t *testing.T) {
	s := NewMemory()
	for i := 1; i <= 2000; i++ {
		if err := createBridge(s, bridge(fmt.Sprintf("vlan%d", i), uint16(i), 0)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watch := s.Watch(ctx)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range uint32(1000) { // each makes a new model of about 200 kB
		err := s.Update(func(tx *Tx) error { _, err := tx.Bridges().Update(bridge("vlan1", 1, i+1)); return err })
		if err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 10<<20 {
		t.Errorf("1,000 changes that nobody reads keep %d bytes", grown)
	}
	<-watch
}

func TestWhoHasTheBatchOfAVersionHasSeenAllThatWasThereThen(t *testing.T) {
	s := NewMemory()
	create := func(vlan uint16) {
		if err := s.Update(func(tx *Tx) error {
			_, err := tx.Bridges().Create(LogicalBridge{ID: fmt.Sprintf("vlan%d", vlan), VLAN: vlan})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	create(10)
	if err := s.Update(func(*Tx) error { return nil }); err != nil || s.Version() != 1 {
		t.Errorf("version %d after one change, %v", s.Version(), err)
	}
	watch := s.Watch(t.Context())
	for vlan := uint16(11); vlan < 14; vlan++ {
		create(vlan)
	}
	for seen := 1; seen < 5; seen++ {
		if b := <-watch; b.Version != uint64(seen) {
			t.Errorf("batch %d has version %d", seen, b.Version)
		}
	}
	if s.Version() != 4 {
		t.Errorf("version %d, want 4", s.Version())
	}
}
