package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/api"
	"github.com/p4evpn/p4evpn/controller/intent"
)

func TestABackupBringsEverythingBackThatChangedSince(t *testing.T) {
	dir := t.TempDir()
	path, saved := filepath.Join(dir, "store.db"), filepath.Join(dir, "saved.db")
	store, err := intent.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{t: t, store: store, address: serveStore(t, api.Config{Store: store, Status: up{}, View: shown})}
	s.does("create bridge blue --vlan-id 10 --vni 100")
	s.does("create neighbor 10.1.1.1 --remote-as 65101 --password secret")
	s.does("backup "+saved, "saved.db holds 2 objects")
	if fi, err := os.Stat(saved); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v: the backup holds a password", fi.Mode(), err)
	}
	s.fails("backup "+saved, "there is a file of this name")
	s.does("backup --without-secrets "+saved+"-open", "saved.db-open holds 2 objects")
	b, err := os.ReadFile(saved + "-open")
	if err = errors.Join(err, os.Remove(saved+"-open")); err != nil || strings.Contains(string(b), "secret") {
		t.Errorf("%v: the backup holds a password", err)
	}
	s.fails("backup /not/there/saved.db", "/not/there")
	s.does("delete bridge blue")
	s.does("create bridge green --vlan-id 20")
	restore := func(args ...string) (string, error) {
		return command(t, append([]string{"restore", "--store", path}, args...)...)
	}
	if _, err := restore(saved); err == nil ||
		!strings.Contains(err.Error(), "another process has the file open: stop it first") {
		t.Errorf("restored under a running gateway: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := restore(filepath.Join(dir, "none.db")); err == nil {
		t.Error("restored from nothing")
	}
	out, err := restore(saved)
	if err != nil {
		t.Fatal(err)
	}
	s.says("restore", out, "store.db.before-restore", "holds 2 objects")
	again, err := intent.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	_ = again.View(func(tx *intent.Tx) error {
		n, err := tx.Neighbors().Get("10.1.1.1")
		if bridges := tx.Bridges().List("", 0); len(bridges) != 1 || bridges[0].ID != "blue" || err != nil ||
			n.Password != "secret" {
			t.Errorf("%v %v %v", bridges, n, err)
		}
		return nil
	})
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 3 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAStoreInMemoryCannotBeBackedUp(t *testing.T) {
	s := newSession(t)
	s.fails("backup "+filepath.Join(t.TempDir(), "saved.db"), "in memory only")
}
