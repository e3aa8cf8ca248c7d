package intent

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"testing"
)

// failing is a backend whose commits fail as they are told to.
type failing struct {
	forgetful
	err error
}

func (f *failing) Commit([]value) error { return f.err }

func TestAStoreThatFailedIsClosedToChangesAndReadOn(t *testing.T) {
	for _, c := range []struct {
		err    error
		closes bool
	}{
		{syscall.EIO, true}, {errors.New("page 4 already freed"), true}, {fmt.Errorf("sync: %w", syscall.EBADF), true},
		{&fs.PathError{Op: "write", Path: "store.db", Err: syscall.ENOSPC}, false}, {syscall.EDQUOT, false},
		{syscall.EROFS, false}, {syscall.EFBIG, false},
	} {
		b := &failing{}
		s := newStore(b, "store.db", model{})
		if err := createBridge(s, bridge("vlan10", 10, 10)); err != nil {
			t.Fatal(err)
		}
		b.err = c.err
		if err := createBridge(s, bridge("vlan20", 20, 20)); !errors.Is(err, c.err) {
			t.Errorf("%v: the caller is told %v", c.err, err)
		}
		b.err = nil
		err := createBridge(s, bridge("vlan30", 30, 30))
		if closed := errors.Is(err, errFailed) && errors.Is(err, c.err) && s.Failed() != nil; closed != c.closes ||
			(err == nil) == c.closes {
			t.Errorf("%v: the next change: %v (%v)", c.err, err, s.Failed())
		}
		if bridges, _ := all(t, s); len(bridges) == 0 || bridges[0].ID != "vlan10" ||
			slices.ContainsFunc(bridges, func(b LogicalBridge) bool { return b.ID == "vlan20" }) {
			t.Errorf("%v: it shows %v", c.err, bridges)
		}
	}
}
