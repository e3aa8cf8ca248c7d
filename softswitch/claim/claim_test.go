package claim

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/internal/netnstest"
)

// TestMain runs the tests in a network namespace of their own.
func TestMain(m *testing.M) { netnstest.Main(m) }

// eachWay runs a test for each way on its own, on a fresh veth pair "own" and
// "peer".
func eachWay(t *testing.T, test func(t *testing.T, w Way, own, peer Device)) {
	t.Helper()
	netnstest.Need(t)
	for _, w := range Ways() {
		t.Run(string(w), func(t *testing.T) {
			own, peer := addVeth(t, "own", "peer")
			if err := mechanisms[w].take(own, Both); err != nil {
				t.Skipf("SKIP: this kernel cannot claim by %s: %v", w, err)
			}
			if err := mechanisms[w].release(own); err != nil {
				t.Fatal(err)
			}
			test(t, w, own, peer)
		})
	}
}

func addVeth(t testing.TB, a, b string) (Device, Device) {
	t.Helper()
	la := netlink.NewLinkAttrs()
	la.Name = a
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: la, PeerName: b}); err != nil {
		t.Fatalf("add veth %s: %v", a, err)
	}
	t.Cleanup(func() {
		if l, err := netlink.LinkByName(a); err == nil {
			_ = netlink.LinkDel(l)
		}
	})
	for _, name := range []string{a, b} {
		setUp(t, name)
	}
	return device(t, a), device(t, b)
}

func device(t testing.TB, name string) Device {
	t.Helper()
	d, err := DeviceNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func setUp(t testing.TB, name string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(l)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func take(t testing.TB, d Device, w Way, dir Direction) {
	t.Helper()
	got, err := Take(d, []Way{w}, dir)
	if err != nil || got != w {
		t.Fatalf("claim %s by %s: %q, %v", d.Name, w, got, err)
	}
	if err := Check(d, w, dir); err != nil {
		t.Fatalf("right after the claim: %v", err)
	}
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// packetSocket is one of all protocols on a device.
func packetSocket(t testing.TB, d Device, protocol uint16) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK, 0)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(protocol), Ifindex: d.Index})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func send(t testing.TB, fd int, d Device, frame []byte) {
	t.Helper()
	err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: d.Index})
	if err != nil && !errors.Is(err, unix.ENOBUFS) {
		t.Fatal(err)
	}
}

// drain reads how many frames of a private type wait at a socket.
func drain(fd int) int {
	buf, n := make([]byte, 2048), 0
	for {
		l, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return n
		}
		if l >= 14 && buf[12] == 0x88 && buf[13] == 0xb5 {
			n++
		}
	}
}

func testFrame(number byte) []byte {
	f := make([]byte, 60)
	copy(f, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 0x88, 0xb5, number})
	return f
}

// TestAClaimKeepsFramesFromTheStackAndLetsPacketSocketsHaveThem: a packet
// socket of one protocol stands behind traffic control, as the host's protocols
// do; one of all protocols before it.
func TestAClaimKeepsFramesFromTheStackAndLetsPacketSocketsHaveThem(t *testing.T) {
	eachWay(t, func(t *testing.T, w Way, own, peer Device) {
		stack, tap, out := packetSocket(t, own, 0x88b5), packetSocket(t, own, unix.ETH_P_ALL), packetSocket(t, peer,
			unix.ETH_P_ALL)
		eventually(t, "without a claim the stack gets them", func() bool {
			send(t, out, peer, testFrame(1)) // the first ones may find no carrier yet
			return drain(stack) > 0
		})
		take(t, own, w, Both)
		drain(tap)
		drain(stack)
		for range 100 {
			send(t, out, peer, testFrame(2))
		}
		seen := 0
		eventually(t, "the tap gets all", func() bool { seen += drain(tap); return seen == 100 })
		if n := drain(stack); n != 0 {
			t.Errorf("%d frames reached the stack", n)
		}
		unmarked, marked := packetSocket(t, own, 0), packetSocket(t, own, 0)
		if err := unix.SetsockoptInt(marked, unix.SOL_SOCKET, unix.SO_MARK, Mark); err != nil {
			t.Fatal(err)
		}
		drain(out)
		send(t, unmarked, own, testFrame(3))
		send(t, marked, own, testFrame(4))
		eventually(t, "the marked frame leaves", func() bool { return drain(out) == 1 })

		take(t, own, w, In)
		// The kernel ends a link a moment after its pin.
		eventually(t, "what leaves is free", func() bool { send(t, unmarked, own, testFrame(5)); return drain(out) > 0 })
		if err := Check(own, w, Both); err == nil {
			t.Error("a claim of what arrives passes for one of both")
		}
		if err := Release(own); err != nil {
			t.Fatal(err)
		}
		if ways := Of(own); len(ways) > 0 {
			t.Errorf("still claimed by %v", ways)
		}
		drain(stack)
		eventually(t, "after the release the stack gets them again", func() bool {
			send(t, out, peer, testFrame(6))
			return drain(stack) > 0
		})
	})
}

// TestTheMarkStaysOnTheDevice matters where the other end is the host's: a host
// port's frames would meet its rules for marks.
func TestTheMarkStaysOnTheDevice(t *testing.T) {
	eachWay(t, func(t *testing.T, w Way, own, peer Device) {
		take(t, own, w, Both)
		rule(t, "add table netdev marks",
			`add chain netdev marks in { type filter hook ingress device "peer" priority 0; }`,
			"add rule netdev marks in meta mark != 0 counter name bad", "")
		marked, out := packetSocket(t, own, 0), packetSocket(t, peer, unix.ETH_P_ALL)
		if err := unix.SetsockoptInt(marked, unix.SOL_SOCKET, unix.SO_MARK, Mark); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a frame arrives", func() bool { send(t, marked, own, testFrame(1)); return drain(out) > 0 })
		list, err := exec.Command("nft", "list", "counters").CombinedOutput()
		if err != nil || !strings.Contains(string(list), "packets 0 ") {
			t.Errorf("the frame has a mark: %s %v", list, err)
		}
	})
}

// rule gives rules to nft, for the length of the test.
func rule(t testing.TB, lines ...string) {
	t.Helper()
	lines = slices.Insert(lines, 1, "add counter netdev marks bad")
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("SKIP: nft cannot count marks here: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("nft", "delete", "table", "netdev", "marks").Run() })
}

// flood sends frames until stop, with pauses in which the kernel can change
// claims.
func flood(t testing.TB, peer Device) (sent *atomic.Int64, stop func()) {
	fd := packetSocket(t, peer, 0)
	sent = new(atomic.Int64)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for frame := testFrame(0); ; sent.Add(1) {
			select {
			case <-done:
				return
			default:
				_ = unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: peer.Index})
				time.Sleep(20 * time.Microsecond)
			}
		}
	}()
	return sent, func() { close(done); <-ended }
}

// TestTakingAClaimAgainLeavesNoGap claims again and again, from each way to
// each other, while frames come.
func TestTakingAClaimAgainLeavesNoGap(t *testing.T) {
	eachWay(t, func(t *testing.T, w Way, own, peer Device) {
		for _, next := range Ways() {
			take(t, own, w, Both)
			stack := packetSocket(t, own, 0x88b5)
			if err := unix.SetsockoptInt(stack, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
				t.Fatal(err)
			}
			sent, stop := flood(t, peer)
			for range 5 {
				before := sent.Load()
				if _, err := Take(own, []Way{next, w}, Both); err != nil {
					t.Fatal(err)
				}
				if _, err := Take(own, []Way{w}, Both); err != nil {
					t.Fatal(err)
				}
				eventually(t, "frames come meanwhile", func() bool { return sent.Load() > before+10 })
			}
			stop()
			if n := drain(stack); n != 0 {
				t.Errorf("%s to %s and back: %d of %d frames reached the stack", w, next, n, sent.Load())
			}
			if ways := Of(own); !slices.Equal(ways, []Way{w}) {
				t.Errorf("claimed by %v, want %s alone", ways, w)
			}
			if err := Release(own); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestADeviceWithAnAddressIsRefused(t *testing.T) {
	netnstest.Need(t)
	for _, c := range []struct {
		address string
		refused bool
	}{{"192.0.2.1/24", true}, {"2001:db8::1/64", true}, {"fe80::1/64", false}} {
		own, _ := addVeth(t, "own", "peer")
		address, err := netlink.ParseAddr(c.address)
		if err != nil {
			t.Fatal(err)
		}
		address.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(deviceLink(own), address); err != nil {
			t.Fatal(err)
		}
		_, err = Take(own, Ways(), Both)
		if (err != nil) != c.refused || err != nil && !strings.Contains(err.Error(), c.address) {
			t.Errorf("with %s: %v, want refused: %t", c.address, err, c.refused)
		}
		if c.refused && len(Of(own)) > 0 {
			t.Errorf("with %s: refused and claimed", c.address)
		}
		delLink(t, "own")
	}
}

func delLink(t testing.TB, name string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkDel(l)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAForeignDisciplineIsLeftAloneAndAnotherWayTaken(t *testing.T) {
	netnstest.Need(t)
	own, _ := addVeth(t, "own", "peer")
	ingress := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: own.Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS,
	}}
	if err := netlink.QdiscAdd(ingress); err != nil {
		t.Skipf("SKIP: no ingress queueing discipline: %v", err)
	}
	if _, err := Take(own, []Way{Clsact}, Both); err == nil {
		t.Error("the host may send, and the claim is said to be good")
	}
	w, err := Take(own, []Way{Clsact, NFT}, Both)
	if err != nil || w != NFT {
		t.Errorf("claimed by %q, %v, want nft", w, err)
	}
	qdiscs, err := netlink.QdiscList(deviceLink(own))
	if err != nil || !slices.ContainsFunc(qdiscs, func(q netlink.Qdisc) bool { return q.Type() == "ingress" }) {
		t.Errorf("the foreign discipline is gone: %v %v", qdiscs, err)
	}
}

func TestQuietSwitchesTheKernelsARPAndIPv6OffAndReleaseOn(t *testing.T) {
	netnstest.Need(t)
	own, _ := addVeth(t, "own", "peer")
	state := func() (arp bool, ipv6 string) {
		i, err := netlink.LinkByIndex(own.Index)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(ipv6Setting("own"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return i.Attrs().RawFlags&unix.IFF_NOARP == 0, strings.TrimSpace(string(b))
	}
	arpBefore, ipv6Before := state()
	if !arpBefore {
		t.Fatal("a new device without ARP")
	}
	if err := Quiet(own); err != nil {
		t.Fatal(err)
	}
	if arp, ipv6 := state(); arp || ipv6 == "0" {
		t.Errorf("quiet: ARP %t, disable_ipv6 %q", arp, ipv6)
	}
	addrs, err := net.InterfaceByIndex(own.Index)
	if err == nil {
		if list, err := addrs.Addrs(); err != nil || len(list) > 0 {
			t.Errorf("addresses are left: %v %v", list, err)
		}
	}
	if err := Release(own); err != nil {
		t.Fatal(err)
	}
	if arp, ipv6 := state(); !arp || ipv6 != ipv6Before {
		t.Errorf("released: ARP %t, disable_ipv6 %q, before %q", arp, ipv6, ipv6Before)
	}
}

func TestARemovedClaimIsNoticed(t *testing.T) {
	eachWay(t, func(t *testing.T, w Way, own, _ Device) {
		for name, remove := range map[string][]string{
			"all": {"tc qdisc del dev own clsact", "nft flush ruleset", "rm -r " + pinDir},
			"out": {"tc filter del dev own egress", "nft delete chain netdev p4evpn-own out", "find " + pinDir + " -name *out -delete"},
		} {
			take(t, own, w, Both)
			for _, line := range remove {
				args := strings.Fields(line)
				_ = exec.Command(args[0], args[1:]...).Run() // those of other ways fail
			}
			if err := Check(own, w, Both); err == nil {
				t.Errorf("%s: removed, and not noticed", name)
			}
			take(t, own, w, Both)
		}
	})
}

func TestEventsTellOfARemovedClaim(t *testing.T) {
	eachWay(t, func(t *testing.T, w Way, own, _ Device) {
		if w == TCX {
			t.Skip("SKIP: the kernel tells nobody of links")
		}
		changed := make(chan struct{}, 1)
		done := make(chan error, 1)
		go func() {
			done <- Watch(t.Context(), func() {
				select {
				case changed <- struct{}{}:
				default:
				}
			})
		}()
		// The subscription is there when it sees us.
		eventually(t, "an event of the claim", func() bool {
			take(t, own, w, Both)
			select {
			case <-changed:
				return true
			default:
				return false
			}
		})
		eventually(t, "silence", func() bool {
			select {
			case <-changed:
				return false
			case <-time.After(50 * time.Millisecond):
				return true
			}
		})
		if err := mechanisms[w].release(own); err != nil {
			t.Fatal(err)
		}
		select {
		case <-changed:
		case err := <-done:
			t.Fatal(err)
		case <-time.After(10 * time.Second):
			t.Error("no event")
		}
	})
}

func TestADeviceMadeAnewIsNotClaimed(t *testing.T) {
	eachWay(t, func(t *testing.T, w Way, own, _ Device) {
		take(t, own, w, Both)
		delLink(t, "own")
		again, _ := addVeth(t, "own", "peer")
		if err := Check(again, w, Both); err == nil && w != NFT {
			t.Error("a claim of the device before it")
		}
		take(t, again, w, Both)
		entries, err := os.ReadDir(pinDir)
		if err == nil && len(entries) > 2 {
			t.Errorf("pins of devices that are gone are left: %v", entries)
		}
	})
}

func TestWaysAreParsed(t *testing.T) {
	for s, want := range map[string][]Way{"auto": Ways(), "tcx": {TCX}, "clsact": {Clsact}, "nft": {NFT}, "": nil,
		"xdp": nil} {
		got, err := ParseWays(s)
		if !slices.Equal(got, want) || (err != nil) != (want == nil) {
			t.Errorf("ParseWays(%q) = %v, %v", s, got, err)
		}
	}
}
