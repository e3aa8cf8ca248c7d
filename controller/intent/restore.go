package intent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Restored says what Restore did.
type Restored struct {
	Objects int
	// Kept is where the file is now that was there before; "" if there was none.
	Kept string
}

// MaxFile bounds a store's file and its backup, in bytes.
const MaxFile = 1 << 30

// whole reads until ctx ends.
type whole struct {
	ctx context.Context
	io.Reader
}

func (w whole) Read(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.Reader.Read(b)
}

// keptSuffix is added to the name of a file that Restore replaces.
const keptSuffix = ".before-restore"

// Restore puts a backup in the place of a store that no process has open. The
// backup is read and checked as a whole first, and the file that was there, whole
// or damaged, is kept beside it; an error, or the end of ctx, leaves it where it was.
func Restore(ctx context.Context, path string, backup io.Reader) (Restored, error) {
	r, err := restore(ctx, path, backup)
	if err != nil {
		return Restored{}, fmt.Errorf("restore store %s: nothing was changed: %w", path, err)
	}
	return r, nil
}

func restore(ctx context.Context, path string, backup io.Reader) (r Restored, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".restore-")
	if err != nil {
		return r, err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	n, err := io.Copy(f, io.LimitReader(whole{ctx, backup}, MaxFile+1))
	if err == nil && n > MaxFile {
		err = fmt.Errorf("the backup is larger than %d bytes", int64(MaxFile))
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return r, err
	}
	m, err := check(f.Name())
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return r, fmt.Errorf("the backup: %w", err)
	}
	r.Objects = len(m.snapshot().Changes)
	if r.Kept, err = setAside(path); err != nil {
		return r, err
	}
	if err := os.Link(f.Name(), path); err != nil {
		if r.Kept != "" {
			err = errors.Join(err, os.Rename(r.Kept, path))
		}
		return r, err
	}
	return r, syncFolder(path)
}

// setAside moves the file at path out of the way, unless a process has it open.
func setAside(path string) (kept string, err error) {
	old, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = old.Close() }()
	if fi, err := old.Stat(); err != nil || !fi.Mode().IsRegular() {
		return "", errors.Join(err, fmt.Errorf("%s is no regular file", path))
	}
	if err := unix.Flock(int(old.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil { // bbolt's lock
		return "", errLocked
	}
	kept = path + keptSuffix
	for i := 1; ; i++ {
		if _, err := os.Lstat(kept); errors.Is(err, fs.ErrNotExist) {
			return kept, os.Rename(path, kept)
		}
		kept = fmt.Sprintf("%s%s-%d", path, keptSuffix, i)
	}
}

// syncFolder makes the name of a file durable.
func syncFolder(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Check reads a store's file or a backup as a whole and says how many objects it
// holds. It changes nothing.
func Check(path string) (objects int, err error) {
	m, err := check(path)
	if err != nil {
		return 0, fmt.Errorf("store %s: %w", path, err)
	}
	return len(m.snapshot().Changes), nil
}
