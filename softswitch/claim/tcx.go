package claim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

const (
	bpfFS  = "/sys/fs/bpf"
	pinDir = bpfFS + "/p4evpn"
)

// tcx claims by BPF links, which end with their last holder: they are pinned.
type tcx struct{}

func (tcx) take(d Device, dir Direction) error {
	if err := ensurePinDir(); err != nil {
		return err
	}
	sweepPins()
	if err := takeTCX(d, ingress, ebpf.AttachTCXIngress); err != nil {
		return err
	}
	if dir == In {
		return unpin(d, egress)
	}
	if err := takeTCX(d, egress, ebpf.AttachTCXEgress); err != nil {
		return errors.Join(err, unpin(d, ingress))
	}
	return nil
}

// ensurePinDir makes the folder of the pins, which only its owner may change.
func ensurePinDir() error {
	var fsInfo unix.Statfs_t
	if err := unix.Statfs(bpfFS, &fsInfo); err != nil || fsInfo.Type != unix.BPF_FS_MAGIC {
		return fmt.Errorf("no BPF file system at %s", bpfFS)
	}
	if err := os.Mkdir(pinDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the folder of pins: %w", err)
	}
	info, err := os.Lstat(pinDir)
	if err != nil {
		return fmt.Errorf("the folder of pins: %w", err)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || s.Uid != uint32(os.Geteuid()) ||
		info.Mode().Perm() != 0o700 {
		return fmt.Errorf("%s is not a folder that only this user may change", pinDir)
	}
	return nil
}

// pin is where a link is pinned: by the namespace's cookie, which is never used
// again before a boot, and the index.
func pin(d Device, s side) (string, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open a socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return "", fmt.Errorf("identify the network namespace: %w", err)
	}
	return filepath.Join(pinDir, fmt.Sprintf("%d-%d-%s", cookie, d.Index, s.name)), nil
}

// takeTCX gives a pinned link this program, or makes one.
func takeTCX(d Device, s side, attach ebpf.AttachType) error {
	path, err := pin(d, s)
	if err != nil {
		return err
	}
	program, err := s.load()
	if err != nil {
		return err
	}
	defer func() { _ = program.Close() }()
	if index, l, err := pinned(path); err == nil {
		defer func() { _ = l.Close() }()
		if index == d.Index {
			if err := l.Update(program); err != nil {
				return fmt.Errorf("replace the program of %s: %w", path, err)
			}
			return nil
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove the pin of a device that is gone: %w", err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open %s: %w", path, err)
	}
	l, err := link.AttachTCX(link.TCXOptions{Interface: d.Index, Program: program, Attach: attach, Anchor: link.Head()})
	if err != nil {
		return fmt.Errorf("attach a program: %w", err)
	}
	defer func() { _ = l.Close() }()
	if err := l.Pin(path); err != nil {
		return fmt.Errorf("pin a link at %s: %w", path, err)
	}
	return nil
}

// pinned opens a link and says to which device it is attached: 0 for none any
// more, which is no device's index.
func pinned(path string) (int, link.Link, error) {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return 0, nil, err
	}
	info, err := l.Info()
	if err != nil {
		return 0, nil, errors.Join(err, l.Close())
	}
	t := info.TCX()
	if t == nil {
		return 0, nil, errors.Join(fmt.Errorf("%s is no link of tcx", path), l.Close())
	}
	return int(t.Ifindex), l, nil
}

func (tcx) has(d Device) (in, out bool, err error) {
	for _, s := range []struct {
		side side
		has  *bool
	}{{ingress, &in}, {egress, &out}} {
		path, err := pin(d, s.side)
		if err != nil {
			return false, false, err
		}
		index, l, err := pinned(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, false, err
		}
		_ = l.Close()
		*s.has = index == d.Index
	}
	return in, out, nil
}

func (tcx) release(d Device) error { return errors.Join(unpin(d, ingress), unpin(d, egress)) }

// unpin ends a link by removing its pin.
func unpin(d Device, s side) error {
	path, err := pin(d, s)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sweepPins removes the pins of devices that are gone.
func sweepPins() {
	entries, err := os.ReadDir(pinDir)
	if err != nil {
		return
	}
	for _, e := range entries {
		cookie, _, _ := strings.Cut(e.Name(), "-")
		if _, err := strconv.ParseUint(cookie, 10, 64); err != nil {
			continue
		}
		path := filepath.Join(pinDir, e.Name())
		if index, l, err := pinned(path); err == nil {
			if index == 0 {
				_ = os.Remove(path)
			}
			_ = l.Close()
		}
	}
}
