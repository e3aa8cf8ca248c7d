package netport

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/internal/netnstest"
)

// TestMain runs the tests in a network namespace of their own.
func TestMain(m *testing.M) { netnstest.Main(m) }

func needRoot(t testing.TB) {
	t.Helper()
	netnstest.Need(t)
}

// addVeth makes a veth pair that is up, without IPv6 chatter.
func addVeth(t testing.TB, a, b string, mtu int) {
	t.Helper()
	la := netlink.NewLinkAttrs()
	la.Name, la.MTU = a, mtu
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: la, PeerName: b, PeerMTU: uint32(mtu)}); err != nil {
		t.Fatalf("add veth %s: %v", a, err)
	}
	t.Cleanup(func() { delLink(a) })
	for _, name := range []string{a, b} {
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0)
		setUp(t, name)
	}
}

func delLink(name string) {
	if l, err := netlink.LinkByName(name); err == nil {
		netlink.LinkDel(l)
	}
}

func linkNamed(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func setUp(t testing.TB, name string) {
	t.Helper()
	if err := netlink.LinkSetUp(linkNamed(t, name)); err != nil {
		t.Fatal(err)
	}
}

// recorder keeps what a port received.
type recorder struct {
	mu     sync.Mutex
	frames [][]byte
}

func (r *recorder) handle(frames [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range frames {
		r.frames = append(r.frames, bytes.Clone(f))
	}
}

func (r *recorder) has(want []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.frames {
		if bytes.Equal(f, want) {
			return true
		}
	}
	return false
}

func (r *recorder) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.frames)
}

func startPort(t testing.TB, name string, handle func([][]byte)) *Port {
	t.Helper()
	p, err := New(Config{Interface: name, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx, handle) })
	running.Go(func() { Watch(ctx, slog.New(slog.DiscardHandler), []*Port{p}) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		p.Close()
	})
	return p
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func testFrame(length int, seed byte) []byte {
	f := make([]byte, length)
	for i := range f {
		f[i] = seed + byte(i)
	}
	copy(f, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5})
	return f
}

func TestFramesOfEveryLengthCross(t *testing.T) {
	needRoot(t)
	addVeth(t, "va", "vb", 1500)
	var got recorder
	a, b := startPort(t, "va", func([][]byte) {}), startPort(t, "vb", got.handle)
	eventually(t, "both ports up", func() bool { return a.Up() && b.Up() })
	var frames [][]byte
	for _, n := range []int{14, 42, 60, 64, 65, 512, 1499, 1514} {
		frames = append(frames, testFrame(n, byte(n)))
	}
	NewSender().Send(a, frames)
	eventually(t, "all frames received", func() bool { return got.len() == len(frames) })
	for i, f := range frames {
		if !bytes.Equal(got.frames[i], f) {
			t.Errorf("frame %d of %d bytes: got %x", i, len(f), got.frames[i])
		}
	}
	if s := a.Stats(); s.TxFrames != uint64(len(frames)) || s.TxError != 0 || s.RxFrames != 0 {
		t.Errorf("sender's counters: %+v", s)
	}
	if s := b.Stats(); s.RxFrames != uint64(len(frames)) {
		t.Errorf("receiver's counters: %+v", s)
	}
}

func TestVLANTagIsPutBack(t *testing.T) {
	needRoot(t)
	addVeth(t, "va", "vb", 1500)
	var got recorder
	a, b := startPort(t, "va", func([][]byte) {}), startPort(t, "vb", got.handle)
	eventually(t, "both ports up", func() bool { return a.Up() && b.Up() })
	for _, tag := range []string{"\x81\x00\x60\x64", "\x81\x00\x00\x00", "\x88\xa8\x0f\xff",
		"\x81\x00\x00\x0a\x81\x00\x00\x14"} {
		for _, length := range []int{64, 1510} {
			plain := testFrame(length, tag[3])
			tagged := append(append(bytes.Clone(plain[:12]), tag...), plain[12:]...)
			if len(tagged) > 1514 {
				tagged = tagged[:1514]
			}
			NewSender().Send(a, [][]byte{tagged})
			eventually(t, fmt.Sprintf("frame with tag %x, %d bytes", tag, len(tagged)), func() bool { return got.has(tagged) })
		}
	}
}

func TestOversizedFrameIsRefusedAndTheOthersPass(t *testing.T) {
	needRoot(t)
	addVeth(t, "va", "vb", 1500)
	var got recorder
	a, b := startPort(t, "va", func([][]byte) {}), startPort(t, "vb", got.handle)
	eventually(t, "both ports up", func() bool { return a.Up() && b.Up() })
	first, last := testFrame(100, 1), testFrame(100, 2)
	NewSender().Send(a, [][]byte{first, testFrame(1600, 3), testFrame(5, 4), last})
	eventually(t, "the good frames arrive", func() bool { return got.has(first) && got.has(last) })
	if s := a.Stats(); s.TxError != 2 || s.TxFrames != 2 {
		t.Errorf("counters: %+v, want two errors and two frames", s)
	}
}

// TestPartialChecksumIsCompleted lets the kernel send UDP over a veth, which
// leaves the checksum to "hardware".
func TestPartialChecksumIsCompleted(t *testing.T) {
	needRoot(t)
	addVeth(t, "va", "vb", 1500)
	setAddress(t, "va", "192.0.2.1/24", net.IPv4(192, 0, 2, 9))
	var got recorder
	b := startPort(t, "vb", got.handle)
	eventually(t, "port up", b.Up)
	conn, err := net.Dial("udp", "192.0.2.9:4789")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("seventeen bytes!!")); err != nil {
		t.Fatal(err)
	}
	udp := func() []byte {
		got.mu.Lock()
		defer got.mu.Unlock()
		for _, f := range got.frames {
			if len(f) > 42 && f[12] == 8 && f[13] == 0 && f[23] == unix.IPPROTO_UDP {
				return f
			}
		}
		return nil
	}
	eventually(t, "the datagram arrives", func() bool { return udp() != nil })
	frame := udp()
	pseudo := append(bytes.Clone(frame[26:34]), 0, unix.IPPROTO_UDP, frame[38], frame[39])
	if sum := onesComplementSum(append(pseudo, frame[34:]...)); sum != 0xffff {
		t.Errorf("UDP checksum %x is wrong: sum %04x", frame[40:42], sum)
	}
}

func TestPortFollowsItsInterface(t *testing.T) {
	needRoot(t)
	var got recorder
	b := startPort(t, "vb", got.handle) // not there yet
	NewSender().Send(b, [][]byte{testFrame(60, 0)})
	if s := b.Stats(); s.TxDown != 1 {
		t.Errorf("counters %+v, want one frame dropped for an absent interface", s)
	}
	seed := byte(0)
	arrives := func(what string) {
		t.Helper()
		seed++
		frame := testFrame(80, seed)
		eventually(t, what, func() bool {
			a, err := New(Config{Interface: "va", Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			if l, err := netlink.LinkByName("va"); err == nil {
				a.ifindex.Store(int32(l.Attrs().Index))
			}
			NewSender().Send(a, [][]byte{frame})
			return got.has(frame)
		})
	}
	addVeth(t, "va", "vb", 1500)
	arrives("a frame after the interface appeared")

	if err := netlink.LinkSetDown(linkNamed(t, "vb")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "port notices that it is down", func() bool { return !b.Up() })
	setUp(t, "vb")
	arrives("a frame after down and up")

	for _, name := range []string{"va", "vb"} {
		if err := netlink.LinkSetMTU(linkNamed(t, name), 9000); err != nil {
			t.Fatal(err)
		}
	}
	arrives("a frame after the MTU changed")
	jumbo := testFrame(9014, 99)
	eventually(t, "a jumbo frame", func() bool {
		a := Port{tx: b.tx}
		a.ifindex.Store(int32(linkNamed(t, "va").Attrs().Index))
		NewSender().Send(&a, [][]byte{jumbo})
		return got.has(jumbo)
	})

	delLink("va")
	eventually(t, "port notices that it is gone", func() bool { return !b.Up() })
	addVeth(t, "va", "vb", 1500)
	arrives("a frame after the interface was made again")
}

func TestBadNamesAreRefused(t *testing.T) {
	for _, name := range []string{"", "a-name-longer-than-15"} {
		if _, err := New(Config{Interface: name}); err == nil {
			t.Errorf("interface name %q was accepted", name)
		}
	}
}

func TestReceiveAndSendDoNotAllocate(t *testing.T) {
	needRoot(t)
	addVeth(t, "va", "vb", 1500)
	p, err := New(Config{Interface: "va"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.ifindex.Store(int32(linkNamed(t, "va").Attrs().Index))
	l := link{index: linkNamed(t, "vb").Attrs().Index, mtu: 1500}
	rings, err := openRings(l, 1<<20, 1, newGroup, &counters{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeRings(rings)
	r := rings[0]
	s, frames, handle := NewSender(), [][]byte{testFrame(64, 0), testFrame(64, 1)}, func([][]byte) {}
	if n := testing.AllocsPerRun(200, func() {
		s.Send(p, frames)
		if err := r.receive(handle); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a batch, want 0", n)
	}
}

// TestHostStackIsKeptOffThePort gives the host an address on another
// interface: it would answer ARP requests for it on every interface, and send
// its own frames.
func TestHostStackIsKeptOffThePort(t *testing.T) {
	needRoot(t)
	addVeth(t, "va", "vb", 1500)
	addVeth(t, "vc", "vd", 1500)
	addr, _ := netlink.ParseAddr("192.0.2.1/24")
	if err := netlink.AddrAdd(linkNamed(t, "vc"), addr); err != nil {
		t.Fatal(err)
	}
	request := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1},
		2, 0, 0, 0, 0, 9, 192, 0, 2, 9, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1)
	var got recorder
	host := startPort(t, "vb", got.handle)
	eventually(t, "the host's end is up", host.Up)
	NewSender().Send(host, [][]byte{request})
	eventually(t, "without the switch the kernel answers", func() bool { return got.len() > 0 })

	var arrived recorder
	port := startPort(t, "va", arrived.handle)
	eventually(t, "the port is up", port.Up)
	before := got.len()
	sendFromHost(t, "va")
	NewSender().Send(host, [][]byte{request})
	eventually(t, "the switch gets the request", func() bool { return arrived.has(request) })
	marker := testFrame(60, 1)
	NewSender().Send(port, [][]byte{marker})
	eventually(t, "the switch can send", func() bool { return got.has(marker) })
	if n := got.len() - before; n != 1 {
		t.Errorf("%d frames left the port, want the switch's alone", n)
	}
}

// sendFromHost sends a datagram of the host's own out of an interface.
func sendFromHost(t *testing.T, name string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	to := &unix.SockaddrLinklayer{Ifindex: linkNamed(t, name).Attrs().Index, Protocol: htons(unix.ETH_P_IP), Halen: 6,
		Addr: [8]byte{2, 0, 0, 0, 0, 9}}
	if err := unix.Sendto(fd, make([]byte, 46), 0, to); err != nil && err != unix.ENOBUFS {
		t.Fatal(err)
	}
}
