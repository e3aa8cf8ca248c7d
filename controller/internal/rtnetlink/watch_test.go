package rtnetlink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/internal/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

const (
	patience = 10 * time.Second
	link     = 77 // its index, in each namespace
)

// namespace is an anonymous one with a link that is up. It goes with the test,
// also when the process dies.
func namespace(t *testing.T) (netns.NsHandle, *netlink.Handle) {
	t.Helper()
	netnstest.Need(t)
	ns, h := netnstest.Namespace(t)
	cable := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a", Index: link}, PeerName: "b"}
	must(t, h.LinkAdd(cable))
	must(t, h.LinkSetUp(cable))
	return ns, h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// neighbour gives an address on the link a MAC address.
func neighbour(t *testing.T, h *netlink.Handle, ip netip.Addr) {
	t.Helper()
	must(t, setNeighbour(h, ip))
}

func setNeighbour(h *netlink.Handle, ip netip.Addr) error {
	return h.NeighSet(&netlink.Neigh{
		LinkIndex: link, IP: ip.AsSlice(), HardwareAddr: hostMAC[:], State: unix.NUD_PERMANENT,
	})
}

func host(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }

func open(t *testing.T, ns netns.NsHandle) *Conn {
	t.Helper()
	c, err := Open(ns, unix.RTNLGRP_NEIGH)
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// watch starts to watch and gives what awaits, in all that was heard, a neighbour or
// the need to read all, whichever comes first. It ends with the test.
func watch(t *testing.T, c *Conn) (await func(netip.Addr) News) {
	heard := make(chan []syscall.NetlinkMessage)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- c.Watch(ctx, NewOverruns("test"), func(m []syscall.NetlinkMessage) {
			select {
			case heard <- m:
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the watch ended by %v, and not with its context", err)
		}
	})
	return func(ip netip.Addr) (n News) {
		t.Helper()
		deadline := time.After(patience)
		for {
			if _, ok := n.Neighbours[NeighbourKey{link, ip}]; ok || n.All {
				return n
			}
			select {
			case m := <-heard:
				n.Add(m)
			case <-deadline:
				t.Fatalf("no news of %v; heard %+v", ip, n)
			}
		}
	}
}

func TestTheNamespaceIsWatchedAndNoOther(t *testing.T) {
	ns, h := namespace(t)
	_, other := namespace(t)
	await := watch(t, open(t, ns))
	neighbour(t, other, host(1))
	neighbour(t, h, host(2))
	want := map[NeighbourKey]Neighbour{{link, host(2)}: {MAC: hostMAC, State: unix.NUD_PERMANENT}}
	if n := await(host(2)); !maps.Equal(n.Neighbours, want) {
		t.Errorf("news %+v", n)
	}
}

func TestNothingIsMissedBetweenDumpAndWatch(t *testing.T) {
	ns, h := namespace(t)
	c := open(t, ns)
	found, err := c.Neighbours(link)
	must(t, err)
	if _, there := found[NeighbourKey{link, host(1)}]; there {
		t.Fatal("the host is there already")
	}
	neighbour(t, h, host(1))
	watch(t, c)(host(1))
	if found, err = c.Neighbours(link); err != nil || found[NeighbourKey{link, host(1)}].MAC != hostMAC {
		t.Errorf("a dump has %v, %v", found, err)
	}
}

// What the kernel announces from the word of the overrun on is heard, so that it is enough to
// read all then.
func TestAnOverrunIsCountedAndHeardAndTheWatchGoesOn(t *testing.T) {
	ns, h := namespace(t)
	c := open(t, ns)
	must(t, c.Socket.SetReceiveBufferSize(4096, true))
	const hosts = 500
	for n := range hosts { // while nobody reads
		neighbour(t, h, host(n))
	}
	overruns := NewOverruns("test")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	overrun, later, ended := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() {
		ended <- c.Watch(ctx, overruns, func(messages []syscall.NetlinkMessage) {
			n := news(messages...)
			if n.All {
				found, err := c.Neighbours(link)
				if err == nil && len(found) < hosts {
					err = fmt.Errorf("%d neighbours, want %d", len(found), hosts)
				}
				overrun <- errors.Join(err, setNeighbour(h, host(hosts)))
			}
			if _, ok := n.Neighbours[NeighbourKey{link, host(hosts)}]; ok {
				later <- nil
			}
		})
	}()
	wait(t, overrun, "the overrun")
	wait(t, later, "what came after it")
	if got := testutil.ToFloat64(overruns); got != 1 {
		t.Errorf("%v overruns, want 1", got)
	}
	cancel()
	must(t, <-ended)
}

func wait(t *testing.T, signal <-chan error, what string) {
	t.Helper()
	select {
	case err := <-signal:
		must(t, err)
	case <-time.After(patience):
		t.Fatalf("%s was not heard", what)
	}
}

func TestOnlyTheKernelIsHeard(t *testing.T) {
	ns, h := namespace(t)
	c := open(t, ns)
	await := watch(t, c)
	to, err := c.Socket.GetPid()
	must(t, err)
	forger, err := nl.GetNetlinkSocketAt(ns, netns.None(), unix.NETLINK_ROUTE)
	must(t, err)
	defer forger.Close()
	forged := nl.NewNetlinkRequest(unix.RTM_NEWNEIGH, 0)
	forged.AddRawData(ndmsg(unix.AF_INET, link, unix.NUD_REACHABLE, 0))
	forged.AddRawData(attribute(unix.NDA_DST, host(1).AsSlice()...))
	must(t, unix.Sendto(forger.GetFd(), forged.Serialize(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: to}))
	neighbour(t, h, host(2))
	if n := await(host(2)); len(n.Neighbours) != 1 {
		t.Errorf("news %+v", n)
	}
}

func TestALostConnectionIsAnError(t *testing.T) {
	ns, _ := namespace(t)
	c := open(t, ns)
	ended := make(chan error, 1)
	go func() { ended <- c.Watch(t.Context(), NewOverruns("test"), func([]syscall.NetlinkMessage) {}) }()
	c.Socket.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the watch ended without an error")
		}
	case <-time.After(patience):
		t.Error("the watch goes on without a socket")
	}
}

func TestOpenSaysWhatFailed(t *testing.T) {
	if c, err := Open(netns.NsHandle(1 << 20)); err == nil {
		c.Close()
		t.Error("a namespace that is none was opened")
	}
}
