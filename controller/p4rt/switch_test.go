package p4rt_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/internal/netnstest"
	"github.com/p4evpn/p4evpn/softswitch"
)

// asSwitch makes the test's binary an embedded switch at that Unix socket.
const asSwitch = "P4RT_TEST_SWITCH"

func TestMain(m *testing.M) {
	if socket := os.Getenv(asSwitch); socket != "" {
		s, err := softswitch.New(softswitch.Config{
			Ports: []softswitch.Port{{Number: 1, Interface: "sw1"}}, CPUPort: 510, GRPCAddress: "unix:" + socket,
			Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		})
		if err == nil {
			err = s.Run(context.Background())
		}
		fmt.Fprintln(os.Stderr, "embedded switch:", err)
		os.Exit(1)
	}
	netnstest.Alone()
	os.Exit(m.Run())
}

func TestEmbeddedSwitchConforms(t *testing.T) {
	tg := startTarget(t, func(socket string) *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), asSwitch+"="+socket)
		return cmd
	})
	tg.keeps = true
	conform(t, tg)
}

func TestBMv2Conforms(t *testing.T) {
	path, err := exec.LookPath("simple_switch_grpc")
	if err != nil {
		t.Skip("SKIP: simple_switch_grpc is not on PATH")
	}
	conform(t, startTarget(t, func(socket string) *exec.Cmd {
		return exec.Command(path, "--no-p4", "--device-id", "1", "-i", "1@sw1", "--log-file", socket+".log", "--log-level",
			"warn",
			"--", "--grpc-server-addr", "unix:"+socket, "--cpu-port", "510")
	}))
}

// startTarget runs a switch in a network namespace of its own, with port sw1,
// until the test ends. Its Unix socket is what connects it with the test.
func startTarget(t *testing.T, command func(socket string) *exec.Cmd) *target {
	if os.Geteuid() != 0 {
		t.Skip("SKIP: a network namespace needs root")
	}
	socket := filepath.Join(t.TempDir(), "p4rt")
	tg := &target{address: "unix:" + socket}
	var ns netns.NsHandle
	var sock int
	inside(t, func() (err error) {
		if ns, err = netns.New(); err != nil {
			return fmt.Errorf("network namespace: %w", err)
		}
		sock, err = makePort()
		return err
	})
	t.Cleanup(func() { _ = unix.Close(sock); _ = ns.Close() })
	var kill func()
	run := func() {
		started := make(chan error)
		exited := make(chan struct{})
		cmd := command(socket)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
		go func() {
			defer close(exited)
			runtime.LockOSThread() // the signal comes when this thread ends
			_ = os.Remove(socket)
			if err := errors.Join(netns.Set(ns), cmd.Start()); err != nil {
				started <- err
				return
			}
			started <- nil
			_ = cmd.Wait()
		}()
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		kill = func() { _ = cmd.Process.Kill(); <-exited }
	}
	run()
	t.Cleanup(func() { kill() })
	tg.restart = func(testing.TB) { kill(); run() }
	tg.send = func(tb testing.TB, frame []byte) {
		if _, err := unix.Write(sock, frame); err != nil {
			tb.Fatalf("sending a frame: %v", err)
		}
	}
	tg.receive = func(tb testing.TB) []byte {
		frame := make([]byte, 2048)
		n, err := unix.Read(sock, frame)
		if err != nil {
			tb.Fatalf("no frame out of port 1: %v", err)
		}
		return frame[:n]
	}
	return tg
}

// inside runs f on a thread whose network namespace f may change.
func inside(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// makePort makes the veth pair sw1 and host1 in the thread's namespace, and a
// raw socket on host1.
func makePort() (int, error) {
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "sw1"}, PeerName: "host1"}
	if err := netlink.LinkAdd(pair); err != nil {
		return -1, fmt.Errorf("veth pair: %w", err)
	}
	for _, name := range []string{"lo", "sw1", "host1"} {
		link, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(link)
		}
		if err != nil {
			return -1, fmt.Errorf("interface %s: %w", name, err)
		}
	}
	host, err := net.InterfaceByName("host1")
	if err != nil {
		return -1, err
	}
	all := int(htons(unix.ETH_P_ALL))
	sock, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
	if err != nil {
		return -1, fmt.Errorf("raw socket: %w", err)
	}
	return sock, errors.Join(
		unix.SetsockoptInt(sock, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptTimeval(sock, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20}),
		unix.Bind(sock, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: host.Index}),
	)
}

func htons(n uint16) uint16 { return n<<8 | n>>8 }
