package liveness

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/p4evpn/p4evpn/bfd"
)

var (
	here  = netip.MustParseAddr("127.0.3.1")
	there = netip.MustParseAddr("127.0.3.2")
	other = netip.MustParseAddr("127.0.3.3")
)

const patienceOfTests = 20 * time.Second

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patienceOfTests); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// start runs an endpoint at an address, and gives where it is asked and how it is ended.
func start(t *testing.T, at netip.Addr, farewell bool) (e *Endpoint, address string, stop func()) {
	t.Helper()
	address = "unix:" + filepath.Join(t.TempDir(), "liveness.sock")
	e, err := New(Config{Address: address, Farewell: farewell, Logger: slog.New(slog.DiscardHandler),
		listen: []netip.Addr{at}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var owned sync.WaitGroup
	owned.Go(func() { _ = e.Run(ctx) })
	stop = func() { cancel(); owned.Wait() }
	t.Cleanup(stop)
	<-e.Ready()
	return e, address, stop
}

// watcher is a client, and what it was told.
type watcher struct {
	*Client
	mu   sync.Mutex
	told map[netip.Addr]bfd.Status
	lost int
	stop func()
}

func watch(t *testing.T, address string, peers ...Peer) *watcher {
	t.Helper()
	w := &watcher{Client: NewClient(address, slog.New(slog.DiscardHandler)), told: map[netip.Addr]bfd.Status{}}
	w.Want(peers)
	ctx, cancel := context.WithCancel(t.Context())
	var owned sync.WaitGroup
	owned.Go(func() { _ = w.Run(ctx) })
	owned.Go(func() {
		for e := range w.Events() {
			w.mu.Lock()
			for _, st := range e.Sessions {
				w.told[st.Peer] = st
			}
			if e.Lost != nil {
				w.lost++
			}
			w.mu.Unlock()
		}
	})
	w.stop = func() { cancel(); owned.Wait() }
	t.Cleanup(w.stop)
	return w
}

func (w *watcher) status(peer netip.Addr) bfd.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.told[peer]
}

func (w *watcher) await(t *testing.T, what string, peer netip.Addr, holds func(bfd.Status) bool) bfd.Status {
	t.Helper()
	await(t, what, func() bool { return holds(w.status(peer)) })
	return w.status(peer)
}

func up(st bfd.Status) bool      { return st.State == bfd.Up }
func opening(st bfd.Status) bool { return st.State == bfd.Init }
func down(st bfd.Status) bool    { return st.State == bfd.Down && st.Discriminator != 0 }

// with is a peer of ours.
func with(address, local netip.Addr) Peer {
	return Peer{Address: address, Local: local, Hops: 1, Interval: 50 * time.Millisecond, Multiplier: 4}
}

func TestASessionComesUpAndIsLostWithItsPeer(t *testing.T) {
	_, a, _ := start(t, here, false)
	_, b, end := start(t, there, false)
	ours, theirs := watch(t, a, with(there, here)), watch(t, b, with(here, there))
	st := ours.await(t, "up", there, func(st bfd.Status) bool { return up(st) && st.Detection == 200*time.Millisecond })
	theirs.await(t, "up on the other side", here, up)
	if !st.Independent || st.Transmission != 50*time.Millisecond || st.Failures != 0 || st.Trouble != "" {
		t.Errorf("up: %+v", st)
	}
	end() // as a process that is killed
	lost := ours.await(t, "lost", there, down)
	if lost.LastDown != bfd.TimeExpired || !lost.FailedSince(st) || lost.RemoteDiscriminator != 0 {
		t.Errorf("lost: %+v", lost)
	}
}

func TestWhatIsSwitchedOffIsNoFailure(t *testing.T) {
	for name, off := range map[string]func(w *watcher, end func()){
		"nobody wants it any more": func(w *watcher, _ func()) { w.Want(nil) },
		"the process says so":      func(_ *watcher, end func()) { end() },
	} {
		t.Run(name, func(t *testing.T) {
			_, a, _ := start(t, here, false)
			_, b, end := start(t, there, true)
			ours, theirs := watch(t, a, with(there, here)), watch(t, b, with(here, there))
			ours.await(t, "up", there, up)
			off(theirs, end)
			st := ours.await(t, "down", there, down)
			if st.Failures != 0 || st.RemoteState != bfd.AdminDown || st.RemoteDiagnostic != bfd.AdminDownDiag {
				t.Errorf("got %+v", st)
			}
		})
	}
}

func TestSessionsOutliveTheirClient(t *testing.T) {
	e, a, _ := start(t, here, false)
	_, b, _ := start(t, there, false)
	watch(t, b, with(here, there))
	first := watch(t, a, with(there, here))
	was := first.await(t, "up", there, up)
	first.stop()
	silent := NewClient(a, slog.New(slog.DiscardHandler)) // it knows not yet what it wants
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_ = silent.Run(ctx)
	second := watch(t, a, with(there, here))
	known := func(st bfd.Status) bool { return st.Discriminator != 0 }
	now := second.await(t, "known", there, known)
	if now.State != bfd.Up || now.Discriminator != was.Discriminator || now.Failures != 0 || !now.Since.Equal(was.Since) {
		t.Errorf("was %+v, and the next client is told %+v", was, now)
	}
	changed := with(there, here)
	changed.Interval = 20 * time.Millisecond
	second.Want([]Peer{changed})
	now = second.await(t, "sent faster", there, func(st bfd.Status) bool { return st.Detection == 200*time.Millisecond })
	if now.Discriminator != was.Discriminator || now.State != bfd.Up {
		t.Errorf("with another interval: %+v", now)
	}
	second.Want(nil)
	await(t, "no session", func() bool { e.mu.RLock(); defer e.mu.RUnlock(); return len(e.sessions) == 0 })
	second.Want([]Peer{changed}) // while the last one says farewell
	now = second.await(t, "up again", there, func(st bfd.Status) bool {
		return up(st) && st.Discriminator != was.Discriminator
	})
	was = now
	changed.Hops = 2
	second.Want([]Peer{changed})
	second.await(t, "another session", there, func(st bfd.Status) bool {
		return st.Discriminator != was.Discriminator && st.Discriminator != 0
	})
}

func TestAClientFindsTheEndpointAgain(t *testing.T) {
	_, a, end := start(t, here, false)
	w := watch(t, a, with(there, here))
	was := w.await(t, "there", there, down)
	end()
	await(t, "the loss is told", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.lost == 1 })
	e, err := New(Config{Address: a, listen: []netip.Addr{here}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var owned sync.WaitGroup
	owned.Go(func() { _ = e.Run(ctx) })
	defer func() { cancel(); owned.Wait() }()
	w.await(t, "there again", there, func(st bfd.Status) bool { return st.Discriminator != was.Discriminator })
}

// stranger sends packets from an address.
type stranger struct {
	t    *testing.T
	conn *net.UDPConn
}

func newStranger(t *testing.T, at netip.Addr, port uint16) *stranger {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &stranger{t, conn}
}

func (s *stranger) send(b []byte, port uint16, ttl int) {
	s.t.Helper()
	if err := ipv4.NewConn(s.conn).SetTTL(ttl); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.conn.WriteToUDPAddrPort(b, netip.AddrPortFrom(here, port)); err != nil {
		s.t.Fatal(err)
	}
}

// What RFC 5880 section 6.8.6, RFC 5881 section 5 and RFC 5883 have discarded.
func TestWhatIsNoPacketOfThePeersIsCountedAndChangesNothing(t *testing.T) {
	e, a, _ := start(t, here, false)
	far := with(other, here)
	far.Hops = 3
	w := watch(t, a, with(there, here), far)
	was := w.await(t, "there", there, down)
	distant := w.await(t, "there", other, down)
	peer, farPeer := newStranger(t, there, 0), newStranger(t, other, 0)
	nobody := newStranger(t, netip.MustParseAddr("127.0.3.9"), 0)
	packet := func(change func(p *bfd.Packet)) []byte {
		p := bfd.Packet{State: bfd.Down, Multiplier: 3, Mine: 7, DesiredMinTx: time.Second, RequiredMinRx: time.Second}
		change(&p)
		return p.Append(nil)
	}
	good := packet(func(*bfd.Packet) {})
	yours := func(n uint32) []byte {
		return packet(func(p *bfd.Packet) { p.State, p.Yours = bfd.Up, n })
	}
	byteOf := func(at int, value byte) []byte {
		b := append([]byte(nil), good...)
		b[at] = value
		return b
	}
	for _, c := range []struct {
		name string
		from *stranger
		b    []byte
		port uint16
		ttl  int
		want bfd.Reason
	}{
		{"from a router away", peer, good, 3784, 254, bfd.BadTTL},
		{"with a TTL of 1", peer, good, 3784, 1, bfd.BadTTL},
		{"from further than configured", farPeer, good, 4784, 252, bfd.BadTTL},
		{"of nobody", nobody, good, 3784, 255, bfd.NoSession},
		{"with a discriminator of nobody", peer, yours(was.Discriminator ^ 1), 3784, 255, bfd.NoSession},
		{"with the discriminator of another's session", nobody, yours(was.Discriminator), 3784, 255, bfd.BadAddress},
		{"multihop of a peer on the link", peer, good, 4784, 255, bfd.NoSession},
		{"single-hop of a distant peer", farPeer, yours(distant.Discriminator), 3784, 255, bfd.NoSession},
		{"empty", peer, nil, 3784, 255, bfd.BadLength},
		{"cut", peer, good[:20], 3784, 255, bfd.BadLength},
		{"version 2", peer, byteOf(0, 2<<5), 3784, 255, bfd.BadVersion},
		{"multiplier 0", peer, byteOf(2, 0), 3784, 255, bfd.BadMultiplier},
		{"multipoint", peer, byteOf(1, 1<<6|1), 3784, 255, bfd.Multipoint},
		{"with authentication", peer, byteOf(1, 1<<6|4), 3784, 255, bfd.Authenticated},
		{"my discriminator of 0", peer, packet(func(p *bfd.Packet) { p.Mine = 0 }), 3784, 255, bfd.BadDiscriminator},
		{"up without a discriminator", peer, packet(func(p *bfd.Packet) { p.State = bfd.Up }), 3784, 255,
			bfd.NoYourDiscriminator},
		{"much too long, and garbage", peer, make([]byte, 9000), 3784, 255, bfd.BadVersion},
	} {
		before := e.discarded[c.want].Load()
		c.from.send(c.b, c.port, c.ttl)
		await(t, fmt.Sprintf("%s is counted as %v", c.name, c.want), func() bool {
			return e.discarded[c.want].Load() == before+1
		})
		if now := w.status(there); now != was {
			t.Errorf("%s: the session was %+v and is %+v", c.name, was, now)
		}
	}
	if now := w.status(other); now != distant {
		t.Errorf("the distant session was %+v and is %+v", distant, now)
	}
	peer.send(good, 3784, 255)
	w.await(t, "a good packet is taken", there, opening)
	farPeer.send(good, 4784, 253)
	w.await(t, "a good packet from two routers away is taken", other, opening)
}

// RFC 5881 section 4 and 5.
func TestPacketsLeaveAsTheRFCWantsThem(t *testing.T) {
	_, a, _ := start(t, here, false)
	peer := newStranger(t, there, 3784)
	if err := ipv4.NewPacketConn(peer.conn).SetControlMessage(ipv4.FlagTTL, true); err != nil {
		t.Fatal(err)
	}
	watch(t, a, with(there, here))
	_ = peer.conn.SetReadDeadline(time.Now().Add(patienceOfTests))
	ports := map[uint16]bool{}
	for range 2 {
		b, oob := make([]byte, 100), make([]byte, 100)
		n, noob, _, from, err := peer.conn.ReadMsgUDPAddrPort(b, oob)
		if err != nil {
			t.Fatal(err)
		}
		var cm ipv4.ControlMessage
		if err := cm.Parse(oob[:noob]); err != nil || cm.TTL != 255 {
			t.Errorf("TTL %d, %v", cm.TTL, err)
		}
		if from.Port() < 49152 || from.Addr() != here {
			t.Errorf("from %v", from)
		}
		ports[from.Port()] = true
		if p, why := bfd.Parse(b[:n]); why != bfd.Taken || p.State != bfd.Down || !p.Independent {
			t.Errorf("got %+v, %v", p, why)
		}
	}
	if len(ports) != 1 {
		t.Errorf("from ports %v, want one for the session", ports)
	}
}

// A session of an address with itself: both directions of IPv6, and no other machine.
func TestASessionOverIPv6ComesUp(t *testing.T) {
	_, a, _ := start(t, netip.IPv6Loopback(), false)
	p := with(netip.IPv6Loopback(), netip.IPv6Loopback())
	w := watch(t, a, p)
	was := w.await(t, "up", p.Address, up)
	p.Hops = 2
	w.Want([]Peer{p})
	w.await(t, "up by multihop", p.Address, func(st bfd.Status) bool {
		return up(st) && st.Discriminator != was.Discriminator
	})
}

func TestThereAreNoSocketsWithoutSessions(t *testing.T) {
	_, a, _ := start(t, here, false)
	free := func() bool {
		conn, err := net.ListenPacket("udp4", netip.AddrPortFrom(here, 3784).String())
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	if !free() {
		t.Fatal("the port is taken before there are sessions")
	}
	w := watch(t, a, with(there, here))
	await(t, "the port is taken", func() bool { return !free() })
	w.Want(nil)
	await(t, "the port is free", free)
}

func TestWhatCannotBeReceivedOrSentIsSaid(t *testing.T) {
	newStranger(t, here, 3784)
	_, a, _ := start(t, here, false)
	p := with(there, here)
	w := watch(t, a, p)
	w.await(t, "told", there, func(st bfd.Status) bool { return strings.Contains(st.Trouble, "address already in use") })
	p.Local = netip.MustParseAddr("192.0.2.1")
	w.Want([]Peer{p})
	w.await(t, "told", there, func(st bfd.Status) bool { return strings.Contains(st.Trouble, "cannot assign") })
}

// ask sends a line and gives the answer, which may be none.
func ask(t *testing.T, address, line string) string {
	t.Helper()
	conn, err := net.Dial("unix", strings.TrimPrefix(address, "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patienceOfTests))
	_, _ = conn.Write([]byte(line + "\n"))
	s, _ := bufio.NewReader(conn).ReadString('\n')
	return s
}

func TestARequestThatWillNotDoChangesNothing(t *testing.T) {
	e, a, _ := start(t, here, false)
	w := watch(t, a, with(there, here))
	was := w.await(t, "there", there, down)
	if got := ask(t, a, `{"peers":[]}`); !strings.Contains(got, "another client") {
		t.Errorf("a second client is told %q", got)
	}
	w.stop()
	many := request{}
	for i := range MaxPeers + 1 {
		many.Peers = append(many.Peers, with(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), netip.Addr{}))
	}
	tooMany, _ := json.Marshal(many)
	one := `{"address":"127.0.3.2","hops":1,"interval":50000000,"multiplier":3}`
	for line, want := range map[string]string{
		"":                                    "JSON",
		"{":                                   "JSON",
		`[]`:                                  "cannot unmarshal",
		`{"peers":[{}]}`:                      "address",
		`{"peers":[` + one + `,` + one + `]}`: "twice",
		string(tooMany):                       "at most 1024",
		`{"peers":[{"address":"127.0.3.2","hops":0,"interval":50000000,"multiplier":3}]}`:               "hops",
		`{"peers":[{"address":"127.0.3.2","hops":1,"interval":50000000,"multiplier":0}]}`:               "multiplier",
		`{"peers":[{"address":"127.0.3.2","hops":1,"interval":1,"multiplier":3}]}`:                      "interval",
		`{"peers":[{"address":"224.0.0.1","hops":1,"interval":50000000,"multiplier":3}]}`:               "unicast",
		`{"peers":[{"address":"fe80::1%eth0","hops":1,"interval":50000000,"multiplier":3}]}`:            "unicast",
		`{"peers":[{"address":"127.0.3.2","local":"::1","hops":1,"interval":50000000,"multiplier":3}]}`: "version",
		`{"peers":[{"address":"127.0.3.2","hops":1,"interval":9223372036854775807,"multiplier":255}]}`:  "interval",
		`{"peers":[{"address":"127.0.3.2","hops":999,"interval":50000000,"multiplier":3}]}`:             "hops",
	} {
		await(t, "the client before is gone", func() bool {
			return !strings.Contains(ask(t, a, "x"), "another client")
		})
		await(t, fmt.Sprintf("%.80s is refused for %s", line, want), func() bool {
			return strings.Contains(ask(t, a, line), want)
		})
	}
	ask(t, a, strings.Repeat(" ", maxLine+1)) // is not answered
	e.mu.RLock()
	defer e.mu.RUnlock()
	if now := e.statuses[there]; len(e.sessions) != 1 || now.Discriminator != was.Discriminator {
		t.Errorf("the sessions are %+v", e.statuses)
	}
}

func TestOnlyItsOwnUserMayAsk(t *testing.T) {
	_, a, _ := start(t, here, false)
	fi, err := os.Stat(strings.TrimPrefix(a, "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode().Perm() != 0o600 || int(fi.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
		t.Errorf("the socket has mode %v", fi.Mode())
	}
	for _, address := range []string{"", "127.0.0.1:1", "unix:"} {
		if _, err := New(Config{Address: address}); err == nil {
			t.Errorf("an endpoint at %q", address)
		}
	}
}

func FuzzRequest(f *testing.F) {
	for _, s := range []string{``, `{}`, `{"peers":[{"address":"127.0.3.2","hops":1,"interval":50000000,"multiplier":3}]}`,
		`{"peers":[{"address":"::1","local":"::2","hops":255,"interval":1000000000,"multiplier":255}]}`, `{"peers":null}`,
		`{"peers":[{"address":1}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r request
		if json.Unmarshal(b, &r) != nil || checkPeers(r.Peers) != nil {
			return
		}
		for _, p := range r.Peers {
			if d := p.timing().Interval; d < bfd.MinInterval || d > bfd.MaxInterval || p.minTTL() < 1 || p.minTTL() > 255 {
				t.Errorf("taken: %+v", p)
			}
		}
	})
}
