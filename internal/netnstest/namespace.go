package netnstest

import (
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace makes an anonymous network namespace and a handle to its links,
// addresses, neighbours and routes. It goes with the test, also when the process
// dies. It needs root.
func Namespace(t testing.TB) (netns.NsHandle, *netlink.Handle) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	runtime.LockOSThread()
	home, err := netns.Get()
	must(err)
	ns, err := netns.New()
	must(err)
	must(netns.Set(home)) // else the thread stays locked and is discarded
	runtime.UnlockOSThread()
	must(home.Close())
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	must(err)
	t.Cleanup(func() { h.Close(); _ = ns.Close() })
	return ns, h
}
