package gobgp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/bgp"
)

const deafVariable = "P4EVPN_TEST_LISTEN"

// A process without file descriptors for a while: it says when it has none left,
// and what Run returned after they were there again.
func TestASpeakerWhoseListenerHasEndedEndsWithThatError(t *testing.T) {
	if listen := os.Getenv(deafVariable); listen != "" {
		runOutOfFiles(t, netip.MustParseAddrPort(listen))
		return
	}
	l := newLab(t)
	listen := netip.AddrPortFrom(l.addr(1), l.port)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), deafVariable+"="+listen.String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer cancel()
	lines := bufio.NewScanner(out)
	await := func(prefix string) string {
		t.Helper()
		for lines.Scan() {
			if s, ok := strings.CutPrefix(lines.Text(), prefix); ok {
				return s
			}
		}
		t.Fatalf("it did not say %q", prefix)
		return ""
	}
	await("no files left")
	// The kernel takes it, the speaker cannot, and may reset it as early as that.
	if c, err := net.Dial("tcp", listen.String()); err == nil {
		defer c.Close()
	}
	took := time.Now()
	got := await("Run: ")
	if !strings.Contains(got, "too many open files") || !strings.Contains(got, bgp.ErrDeaf.Error()) {
		t.Errorf("Run returned %q, want %q and why", got, bgp.ErrDeaf)
	}
	if d := time.Since(took); d > 5*time.Second {
		t.Errorf("it took %v, want less than 5 s", d)
	}
}

// runOutOfFiles runs a speaker with as many file descriptors as it needs, and no more.
func runOutOfFiles(t *testing.T, listen netip.AddrPort) {
	s, err := New(bgp.Config{
		AS: 65000, RouterID: ours, ListenAddresses: []netip.Addr{listen.Addr()}, ListenPort: int(listen.Port()),
	}, discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()
	awaitKind(t, s, bgp.Converged) // it listens
	limit := unix.Rlimit{Cur: 64, Max: 64}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	var files []*os.File
	for err == nil {
		var f *os.File
		if f, err = os.Open(os.DevNull); err == nil {
			files = append(files, f)
		}
	}
	if !errors.Is(err, unix.EMFILE) {
		t.Fatal(err)
	}
	fmt.Println("no files left")
	select {
	case err := <-ended:
		fmt.Println("Run:", err)
	case <-time.After(patience):
		fmt.Println("Run: goes on")
	}
	for _, f := range files {
		_ = f.Close()
	}
}
