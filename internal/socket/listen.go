package socket

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// File says whose a Unix socket is. TCP has no use for it.
type File struct {
	Mode  fs.FileMode
	Group string // that it belongs to, if there is such a group and we may; "": ours
}

// Listen opens the address. In the place of a Unix socket there may be nothing, or what a
// process that died left behind: a socket that somebody serves, a file and a symbolic link
// are errors and stay as they are, and so is another user's socket, unless we are root. The
// folder is made if it is missing. The socket has its owner, group and mode before anybody
// can connect, and goes when the listener is closed.
func (a Address) Listen(ctx context.Context, f File) (net.Listener, error) {
	if !a.Unix() {
		return new(net.ListenConfig).Listen(ctx, a.Network, a.Where)
	}
	l, err := listenUnix(ctx, a.Where, f)
	if err != nil {
		return nil, fmt.Errorf("listen at unix:%s: %w", a.Where, err)
	}
	return l, nil
}

func listenUnix(ctx context.Context, path string, f File) (net.Listener, error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	// Two that start at once would each find the other's socket dead, before it listens.
	lock, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	defer func() { _ = lock.Close() }()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("lock %s: %w", folder, err)
	}
	if err := vacate(path); err != nil {
		return nil, err
	}
	// Under a name that nobody knows until it is as it should be.
	made := filepath.Join(folder, "."+rand.Text()[:7])
	lis, err := new(net.ListenConfig).Listen(ctx, "unix", made)
	if err != nil {
		return nil, err
	}
	lis.(*net.UnixListener).SetUnlinkOnClose(false)
	l := &listener{Listener: lis, path: path}
	err = f.apply(made)
	if err == nil {
		l.file, err = os.Lstat(made)
	}
	if err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, made, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	}
	if err != nil {
		return nil, errors.Join(err, lis.Close(), os.Remove(made))
	}
	return l, nil
}

// apply gives a file its group and mode.
func (f File) apply(path string) error {
	if gid, ok := groupID(f.Group); ok {
		// Who may not gives it to nobody else: what is left is the owner.
		if err := os.Chown(path, -1, gid); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return os.Chmod(path, f.Mode)
}

func groupID(name string) (int, bool) {
	if name == "" {
		return 0, false
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, false
	}
	id, err := strconv.Atoi(g.Gid)
	return id, err == nil
}

// vacate removes what a process that died left at a path.
func vacate(path string) error {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case fi.Mode().Type() == fs.ModeSymlink:
		return errors.New("there is a symbolic link: remove it, or name another path")
	case fi.Mode().Type() != fs.ModeSocket:
		return errors.New("there is a file that is no socket: move it away, or name another path")
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		_ = conn.Close()
		return errors.New("another process listens there: stop it, or name another path")
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("there is a socket, and whether it is in use cannot be told: %w", err)
	}
	if owner := fi.Sys().(*syscall.Stat_t).Uid; os.Geteuid() != 0 && int(owner) != os.Geteuid() {
		return fmt.Errorf("a socket of user %d was left there: remove it", owner)
	}
	return os.Remove(path)
}

// listener is a Unix socket under the name that it got.
type listener struct {
	net.Listener
	path    string
	file    fs.FileInfo
	closing sync.Once
}

func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

func (l *listener) Close() error {
	l.closing.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.file) {
			_ = os.Remove(l.path)
		}
	})
	return l.Listener.Close()
}
