package softswitch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// inNewNamespace moves an interface into a namespace of its own, gives it an
// address, and runs f there on a goroutine of its own. The namespace goes when
// f returns.
func inNewNamespace(t *testing.T, name, address string, f func() error) <-chan error {
	t.Helper()
	done, moved := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		home, err := netns.Get()
		if err != nil {
			moved <- err
			return
		}
		defer home.Close()
		l, err := netlink.LinkByName(name)
		if err != nil {
			moved <- err
			return
		}
		own, err := netns.New()
		if err != nil {
			moved <- err
			return
		}
		defer own.Close()
		there, err := netlink.NewHandleAt(home)
		if err == nil {
			defer there.Close()
			err = there.LinkSetNsFd(l, int(own))
		}
		if err == nil {
			l, err = netlink.LinkByName(name)
		}
		if err == nil {
			addr, _ := netlink.ParseAddr(address)
			err = errors.Join(netlink.AddrAdd(l, addr), netlink.LinkSetUp(l))
		}
		moved <- err
		if err == nil {
			done <- f()
		}
	}()
	if err := <-moved; err != nil {
		t.Fatalf("put %s into a namespace: %v", name, err)
	}
	return done
}

// TestTCPCrossesWithOffloadsOn lets two hosts with the kernel's default
// offloads exchange what fills many unsegmented frames.
func TestTCPCrossesWithOffloadsOn(t *testing.T) {
	needRoot(t)
	addVeth(t, "sw1", "h1")
	addVeth(t, "sw2", "h2")
	sw, err := New(Config{GRPCAddress: "127.0.0.1:0", Ports: []Port{{1, "sw1"}, {2, "sw2"}}, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- sw.Run(ctx) }()
	defer func() { cancel(); <-stopped }()
	<-sw.Ready()
	b := &bench{t: t, sw: sw, names: map[string]uint32{}}
	b.connect()
	b.commit(kinds(t))
	b.cross(1, 2)
	eventually(t, "all ports up", b.up)

	payload := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
	listening := make(chan struct{})
	server := inNewNamespace(t, "h2", "192.0.2.2/24", func() error {
		l, err := net.Listen("tcp4", "192.0.2.2:7")
		close(listening)
		if err != nil {
			return err
		}
		defer l.Close()
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		defer conn.Close()
		h := sha256.New()
		if _, err := io.Copy(h, conn); err != nil {
			return err
		}
		_, err = conn.Write(h.Sum(nil))
		return err
	})
	<-listening
	client := inNewNamespace(t, "h1", "192.0.2.1/24", func() error {
		conn, err := net.DialTimeout("tcp4", "192.0.2.2:7", 10*time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			return err
		}
		if _, err := conn.Write(payload); err != nil {
			return err
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
		sum, err := io.ReadAll(conn)
		if want := sha256.Sum256(payload); err == nil && !bytes.Equal(sum, want[:]) {
			err = fmt.Errorf("what arrived has digest %x, want %x", sum, want)
		}
		return err
	})
	if err := <-client; err != nil {
		t.Fatalf("client: %v; switch: %+v", err, sw.Stats().Ports)
	}
	if err := <-server; err != nil {
		t.Errorf("server: %v", err)
	}
	if s := sw.Stats(); s.Ports[0].RxSegmented == 0 {
		t.Errorf("no unsegmented frame came: the test proves nothing: %+v", s.Ports[0])
	}
}
