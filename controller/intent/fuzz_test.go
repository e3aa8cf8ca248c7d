package intent

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzStoreFile overwrites a part of a store's file: it is refused, or it opens
// and can be read, written and closed. Nothing may panic.
func FuzzStoreFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "good.db")
	s, err := Open(path)
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Update(func(tx *Tx) error {
		_, err := tx.Bridges().Create(LogicalBridge{ID: "blue", VLAN: 10, VNI: 100})
		return err
	}); err != nil {
		f.Fatal(err)
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint(0), []byte{})
	f.Add(uint(16), []byte{0xff})                     // the first page's header
	f.Add(uint(4096+8), []byte{0, 0, 0, 0})           // the second meta page
	f.Add(uint(len(good)), []byte("behind the end"))  // grown
	f.Add(uint(3*4096), []byte{9, 9, 9, 9, 9, 9, 9})  // a page of content
	f.Add(uint(3*4096+10), []byte{0xff, 0xff, 0, 12}) // its element count
	for page := range uint(len(good) / 4096) {        // each page says how many more belong to it
		f.Add(page*4096+12, []byte{0xff, 0xff, 0xff, 0x7f})
		f.Add(page*4096+8, []byte{1, 0}) // a branch that may lead back to itself
	}
	f.Fuzz(func(t *testing.T, at uint, b []byte) {
		bad := append([]byte(nil), good...)
		at %= uint(len(bad) + 1)
		bad = append(bad[:at], append(b, bad[min(len(bad), int(at)+len(b)):]...)...)
		path := filepath.Join(t.TempDir(), "bad.db")
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path)
		if err != nil {
			return
		}
		file(s).NoSync = true
		_ = s.Update(func(tx *Tx) error {
			_, err := tx.Bridges().Create(LogicalBridge{ID: "green", VLAN: 11})
			return err
		})
		_ = s.Close()
	})
}
