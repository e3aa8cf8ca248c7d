package slowpath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespaceDir is where `ip netns` and package netns keep named namespaces: one
// file each, on which the namespace is mounted.
const namespaceDir = "/run/netns"

// inNamespace runs f on a thread that is in the network namespace. What f opens
// stays there; f must not start goroutines that rely on it.
func inNamespace(ns netns.NsHandle, f func() error) error {
	return onOwnThread(func() error {
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// onOwnThread runs f on a locked thread, which afterwards is either back in the
// namespace it came from or discarded by the runtime.
func onOwnThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // a goroutine that ends locked takes its thread along
		home, err := netns.Get()
		if err != nil {
			done <- fmt.Errorf("find own network namespace: %w", err)
			return
		}
		err = f()
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		_ = home.Close()
		done <- err
	}()
	return <-done
}

// openNamespace opens the named namespace and makes it when it is missing.
func openNamespace(name string) (netns.NsHandle, error) {
	if isNamespace(name) {
		ns, err := netns.GetFromName(name)
		if err != nil {
			return netns.None(), fmt.Errorf("open network namespace %s: %w", name, err)
		}
		return ns, nil
	}
	// A file without a mount is left when a process dies while it makes one.
	if err := os.Remove(filepath.Join(namespaceDir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return netns.None(), fmt.Errorf("remove stale %s: %w", filepath.Join(namespaceDir, name), err)
	}
	err := shareMounts()
	ns := netns.None()
	if err == nil {
		err = onOwnThread(func() (err error) {
			ns, err = netns.NewNamed(name)
			return err
		})
	}
	if err != nil {
		return netns.None(), fmt.Errorf("make network namespace %s (needs CAP_SYS_ADMIN, and "+
			"CAP_DAC_OVERRIDE to write in %s): %w", name, namespaceDir, err)
	}
	return ns, nil
}

// shareMounts makes the folder a shared mount, as `ip netns` does: what is
// mounted there later is seen, and can be removed, from other mount namespaces.
func shareMounts() error {
	if err := os.MkdirAll(namespaceDir, 0o755); err != nil {
		return err
	}
	err := unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) { // not a mount yet
		if err = unix.Mount(namespaceDir, namespaceDir, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, "")
		}
	}
	if err != nil {
		return fmt.Errorf("share mounts in %s: %w", namespaceDir, err)
	}
	return nil
}

func isNamespace(name string) bool {
	var s unix.Statfs_t
	err := unix.Statfs(filepath.Join(namespaceDir, name), &s)
	return err == nil && s.Type == unix.NSFS_MAGIC
}

// namespaces lists the names that begin with the prefix.
func namespaces(prefix string) ([]string, error) {
	list, err := os.ReadDir(namespaceDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	var names []string
	for _, e := range list {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// errForeign is a namespace of our prefix that this package did not make.
var errForeign = errors.New("not ours, left alone")

// removeNamespace removes a namespace and the taps in it. Taps go first: a shell
// that an operator left in the namespace would keep it alive, and them with it.
func removeNamespace(name string) error {
	if !isNamespace(name) {
		return os.Remove(filepath.Join(namespaceDir, name))
	}
	ns, err := netns.GetFromName(name)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", name, err)
	}
	defer ns.Close()
	if err := removeTaps(ns); err != nil {
		return fmt.Errorf("network namespace %s: %w", name, err)
	}
	if err := netns.DeleteNamed(name); err != nil {
		return fmt.Errorf("remove network namespace %s: %w", name, err)
	}
	return nil
}

func removeTaps(ns netns.NsHandle) error {
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	var taps []netlink.Link
	var foreign string
	made := false // by us: it has the VRF tap, which comes first
	for _, l := range links {
		bridge, ours := bridgeOfTap(l)
		switch flags := l.Attrs().RawFlags; {
		case ours && flags&unix.IFF_LOWER_UP != 0: // a tap has carrier while it is open
			return fmt.Errorf("interface %s is open in another process: %w", l.Attrs().Name, errForeign)
		case ours:
			taps = append(taps, l)
			made = made || bridge == 0
		case flags&unix.IFF_UP != 0 && flags&unix.IFF_LOOPBACK == 0:
			foreign = l.Attrs().Name
		}
	}
	if foreign != "" && !made {
		return fmt.Errorf("interface %s: %w", foreign, errForeign)
	}
	for _, l := range taps {
		if err := h.LinkDel(l); err != nil && !errors.As(err, &netlink.LinkNotFoundError{}) {
			return fmt.Errorf("remove %s: %w", l.Attrs().Name, err)
		}
	}
	return nil
}

// RemoveAll removes every namespace whose name begins with the prefix, with all
// taps in it; no Slowpath of that prefix may run. It goes on after an error and
// returns all of them.
func RemoveAll(prefix string) error {
	names, err := namespaces(prefix)
	for _, name := range names {
		err = errors.Join(err, removeNamespace(name))
	}
	return err
}
