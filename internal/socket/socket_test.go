package socket

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestAddressesAreReadInEachForm(t *testing.T) {
	for text, want := range map[string]Address{
		"127.0.0.1:1": {"tcp", "127.0.0.1:1"}, "[::1]:1": {"tcp", "[::1]:1"}, ":1": {"tcp", ":1"},
		"tcp://localhost:1": {"tcp", "localhost:1"}, "unix:/a": {"unix", "/a"}, "unix:///a": {"unix", "/a"},
		"unix://a": {"unix", "a"}, "unix:a": {"unix", "a"},
		"": {}, "127.0.0.1": {}, "unix:": {}, "unix://": {}, "http://x:1": {}, "1.2.3.4:5:6": {}, "unix:a\x00b": {},
	} {
		got, err := Parse(text)
		if want == (Address{}) && err == nil || want != (Address{}) && (err != nil || got != want) {
			t.Errorf("%q: %v %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true,
		"127.9.9.9:1": true, "[::ffff:127.0.0.1]:1": true, ":1": false, "0.0.0.0:1": false, "10.0.0.1:1": false,
		"unix:/a": false, "localhost.example:1": false} {
		if a, err := Parse(text); err != nil || a.Loopback() != want {
			t.Errorf("%q: loopback %v, want %v (%v)", text, a.Loopback(), want, err)
		}
	}
}

func listen(t *testing.T, path string, f File) net.Listener {
	t.Helper()
	l, err := Address{"unix", path}.Listen(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// abandoned is what a process that was killed leaves.
func abandoned(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
}

func TestASocketHasItsModeAndGoesWithItsListener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "api.sock")
	l := listen(t, path, File{Mode: 0o640, Group: "daemon"})
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	gid, _ := groupID("daemon")
	if fi.Mode() != fs.ModeSocket|0o640 || os.Geteuid() == 0 && int(fi.Sys().(*syscall.Stat_t).Gid) != gid {
		t.Errorf("%v of group %d", fi.Mode(), fi.Sys().(*syscall.Stat_t).Gid)
	}
	if l.Addr().String() != path {
		t.Errorf("it says it listens at %v", l.Addr())
	}
	_ = l.Close()
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if other := listen(t, path, File{Mode: 0o600, Group: "no such group"}); other.Addr().String() != path {
		t.Error(other.Addr())
	}
}

func TestWhatIsInThePlaceOfASocketIsTakenOverOnlyIfItIsDead(t *testing.T) {
	for name, c := range map[string]struct {
		put  func(t *testing.T, path string)
		says string // "" is taken over
	}{
		"nothing":       {func(*testing.T, string) {}, ""},
		"a dead socket": {abandoned, ""},
		"a live socket": {func(t *testing.T, path string) { listen(t, path, File{Mode: 0o600}) }, "another process"},
		"a file":        {func(t *testing.T, path string) { _ = os.WriteFile(path, []byte("data"), 0o600) }, "no socket"},
		"a folder":      {func(t *testing.T, path string) { _ = os.Mkdir(path, 0o700) }, "no socket"},
		"a FIFO":        {func(t *testing.T, path string) { _ = syscall.Mkfifo(path, 0o600) }, "no socket"},
		"a link":        {func(t *testing.T, path string) { _ = os.Symlink("elsewhere", path) }, "symbolic link"},
		"a link to a dead socket": {func(t *testing.T, path string) {
			abandoned(t, path+"-there")
			_ = os.Symlink(path+"-there", path)
		}, "symbolic link"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			c.put(t, path)
			before, _ := os.Lstat(path)
			l, err := Address{"unix", path}.Listen(t.Context(), File{Mode: 0o600})
			if err == nil {
				defer func() { _ = l.Close() }()
			}
			if c.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				conn, err := net.Dial("unix", path)
				if err != nil {
					t.Fatal(err)
				}
				_ = conn.Close()
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v, want one that says %q and the path", err, c.says)
			}
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
				t.Errorf("it was changed: %v", err)
			}
		})
	}
}

// asUser runs a test of this binary, alone, as another user, with the path.
func asUser(t *testing.T, uid, gid uint32, groups []uint32, path string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	binary := filepath.Join(filepath.Dir(path), "as-user.test")
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(binary, self, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-test.run=^TestAsAnotherUser$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "P4EVPN_TEST_SOCKET="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: groups}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// open makes a folder that other users can go into.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "p4evpn-socket-")
	if err == nil {
		err = os.Chmod(dir, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// TestAsAnotherUser is what asUser runs: it says what came of listening and of
// connecting.
func TestAsAnotherUser(t *testing.T) {
	path := os.Getenv("P4EVPN_TEST_SOCKET")
	if path == "" {
		t.Skip("only as another user")
	}
	l, err := Address{"unix", path}.Listen(t.Context(), File{Mode: 0o600})
	fmt.Println("listen:", err)
	if err == nil {
		_ = l.Close()
	}
	conn, err := net.Dial("unix", path)
	fmt.Println("connect:", err)
	if err == nil {
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}
}

func TestAnothersSocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(openFolder(t), "s")
	abandoned(t, path)
	if out := asUser(t, 4242, 4242, nil, path); !strings.Contains(out, "a socket of user 0 was left there") &&
		!strings.Contains(out, "cannot be told") {
		t.Errorf("%s", out)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

func TestTheKernelSaysWhoIsAtTheOtherEnd(t *testing.T) {
	path := filepath.Join(openFolder(t), "s")
	l := listen(t, path, File{Mode: 0o666})
	peers := make(chan Peer, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p, err := PeerOf(conn)
			if err != nil {
				t.Error(err)
			}
			_ = conn.Close()
			if p.UID == 4242 {
				select {
				case peers <- p:
				default:
				}
			}
		}
	})
	defer func() { _ = l.Close() }()
	many := make([]uint32, 1000) // more than one look is for
	for i := range many {
		many[i] = uint32(10000 + i)
	}
	asUser(t, 4242, 4243, many, path)
	p := <-peers
	if !p.Local || p.UID != 4242 || p.GID != 4243 || p.PID <= 0 || !p.In(4243) || !p.In(10999) || p.In(4242) ||
		p.Client() != "user 4242" {
		t.Errorf("%+v", p)
	}
}

func TestAModeKeepsOthersOut(t *testing.T) {
	path := filepath.Join(openFolder(t), "s")
	listen(t, path, File{Mode: 0o600})
	out := asUser(t, 4242, 4242, nil, path)
	if !strings.Contains(out, "connect: dial unix "+path+": connect: permission denied") {
		t.Errorf("%s", out)
	}
}

func TestOfTwoThatStartAtOnceOneHasTheSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for range 50 {
		abandoned(t, path)
		var won []net.Listener
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if l, err := (Address{"unix", path}).Listen(t.Context(), File{Mode: 0o600}); err == nil {
					mu.Lock()
					won = append(won, l)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("%d listen at one path", len(won))
		}
		_ = won[0].Close()
	}
}

// bounded serves connections until the test ends, each until its peer closes it.
func bounded(t *testing.T, l net.Listener, b Bounds) (*Bounded, chan string) {
	t.Helper()
	refused := make(chan string, 1000)
	b.Refused = func(_ Peer, reason string) { refused <- reason }
	bound := Bound(l, b)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := bound.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				_, _ = conn.Write([]byte("!"))
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
				_ = conn.Close() // counts once
			})
		}
	})
	t.Cleanup(func() { _ = bound.Close(); wg.Wait() })
	return bound, refused
}

// dial gives a connection, and whether it was served.
func dial(t *testing.T, from, to string) (net.Conn, bool) {
	t.Helper()
	d := net.Dialer{Timeout: 10 * time.Second}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	network := "tcp"
	if strings.HasPrefix(to, "/") {
		network = "unix"
	}
	conn, err := d.Dial(network, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = conn.Read(make([]byte, 1))
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return conn, err == nil
}

func TestConnectionsAreBoundedInAllAndByClient(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b, refused := bounded(t, l, Bounds{InAll: 5, ByClient: 3})
	at := l.Addr().String()
	var open []net.Conn
	for i := range 6 {
		conn, ok := dial(t, "127.0.0.1", at)
		if ok != (i < 3) {
			t.Errorf("connection %d of one client: served %v", i, ok)
		}
		open = append(open, conn)
	}
	for i, from := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"} {
		if _, ok := dial(t, from, at); ok != (i < 2) {
			t.Errorf("client %d: served %v", i, ok)
		}
	}
	if b.Open() != 5 {
		t.Errorf("%d are open, want 5", b.Open())
	}
	for _, want := range []string{RefusedClient, RefusedClient, RefusedClient, RefusedAll} {
		if got := <-refused; got != want {
			t.Errorf("refused for %q, want %q", got, want)
		}
	}
	_ = open[0].Close()
	for served, deadline := false, time.Now().Add(10*time.Second); !served; {
		if time.Now().After(deadline) {
			t.Fatal("no room after one has gone")
		}
		_, served = dial(t, "127.0.0.1", at)
	}
}

func TestAStrangerIsClosedAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	_, refused := bounded(t, listen(t, path, File{Mode: 0o600}),
		Bounds{InAll: 5, ByClient: 5, Admit: func(p Peer) bool { return int(p.UID) != os.Geteuid() }})
	if _, ok := dial(t, "", path); ok {
		t.Error("it is served")
	}
	if got := <-refused; got != RefusedPeer {
		t.Errorf("refused for %q", got)
	}
}

func TestAHostOfAnIPv6NetworkIsOneClient(t *testing.T) {
	of := func(text string) string {
		a, err := net.ResolveTCPAddr("tcp", "["+text+"]:1")
		if err != nil {
			t.Fatal(err)
		}
		return Peer{Address: a.AddrPort().Addr()}.Client()
	}
	if of("2001:db8::1") != of("2001:db8::ffff:2") || of("2001:db8::1") == of("2001:db8:0:1::1") ||
		of("fe80::1%lo") != of("fe80::2%lo") {
		t.Error(of("2001:db8::1"), of("2001:db8::ffff:2"), of("2001:db8:0:1::1"), of("fe80::1%lo"))
	}
}
