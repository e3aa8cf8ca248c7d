package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
)

// inLeaf runs a test in a namespace that has FRR's devices, without FRR.
func inLeaf(t *testing.T, test func(*testbed.Namespace)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("it makes a network namespace: run it as root")
	}
	lab, err := testbed.NewLab()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	}()
	ns, err := lab.Namespace("leaf")
	if err == nil {
		err = lab.Cable(testbed.End{NS: ns, Dev: frrDevice}, testbed.End{NS: ns, Dev: leafDevice})
	}
	if err != nil {
		t.Fatal(err)
	}
	links := ns.Command(t.Context(), "ip", "-batch", "-")
	links.Stdin = strings.NewReader(frrLinks())
	if out, err := links.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	test(ns)
}

func TestTheMonitorSeesEachKindOfEntryOnce(t *testing.T) {
	inLeaf(t, func(ns *testbed.Namespace) {
		const first, n = 7, 3
		m, err := newMonitor(ns, kernelEntries{macs: n, neighbours: n, routes: n}, first)
		if err != nil {
			t.Fatal(err)
		}
		defer m.close()
		run := func(args ...string) {
			t.Helper()
			if _, err := ns.Output(t.Context(), args...); err != nil {
				t.Fatal(err)
			}
		}
		add := func(i int) {
			t.Helper()
			mac := stationMAC(uint32(i)).String()
			// As zebra does: one message to the bridge and to the VXLAN device.
			run("bridge", "fdb", "replace", mac, "dev", frrVXLAN, "dst", vtep(0).String(), "self", "master", "extern_learn")
			run("ip", "neighbour", "replace", tenantAddress(i).String(), "lladdr", mac, "dev", frrBridge, "extern_learn")
			run("ip", "route", "replace", fmt.Sprintf("%s/24", address(firstPrefix+uint32(i)<<8)), "via",
				leafAddress.Addr().String())
		}
		for _, i := range []int{first, first + 1, first + 1, first - 1, first + n} { // those outside are not meant
			add(i)
		}
		var gaveUp late
		if _, err := m.wait(t.Context(), time.Second); !errors.As(err, &gaveUp) ||
			!strings.Contains(err.Error(), "1 FDB entries, 1 neighbours and 1 routes are missing") {
			t.Fatalf("with one of each missing: %v", err)
		}
		add(first + 2)
		if _, err := m.wait(t.Context(), time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// notification is a message of netlink.
func notification(typ uint16, body ...byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(body)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	return append(append(b, make([]byte, unix.NLMSG_HDRLEN-len(b))...), body...)
}

func FuzzMonitor(f *testing.F) {
	head := make([]byte, bodyLength)
	head[0] = unix.AF_BRIDGE
	f.Add(notification(unix.RTM_NEWNEIGH, append(head, 10, 0, unix.NDA_LLADDR, 0, 2, 0, 0, 0, 0, 1, 0, 0)...))
	head[0] = unix.AF_INET
	f.Add(notification(unix.RTM_NEWNEIGH, append(head, 8, 0, unix.NDA_DST, 0, 100, 64, 1, 0)...))
	f.Add(notification(unix.RTM_NEWROUTE, append(head, 8, 0, unix.RTA_DST, 0, 20, 0, 1, 0)...))
	f.Add(notification(unix.RTM_NEWROUTE, append(head, 3, 0, unix.RTA_DST, 0)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		const n = 4
		m := &monitor{n: n, missing: [kernelKinds]int{n, n, n}}
		for kind := range m.seen {
			m.seen[kind] = make([]bool, n)
		}
		m.take(b)
		for kind, seen := range m.seen {
			missing := n
			for _, s := range seen {
				if s {
					missing--
				}
			}
			if missing != m.missing[kind] {
				t.Errorf("of kind %d %d are missing, not %d", kind, missing, m.missing[kind])
			}
		}
	})
}
