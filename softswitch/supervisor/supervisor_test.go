package supervisor

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// supervise makes a Supervisor whose switch is a command that listens nowhere.
func supervise(t *testing.T, command ...string) *Supervisor {
	dir := t.TempDir()
	return New(Config{
		Address: "unix:" + filepath.Join(dir, "switch.sock"), Command: command,
		Log: filepath.Join(dir, "switch.log"), Pause: time.Millisecond,
	})
}

// started makes one whose switch runs.
func started(t *testing.T) *Supervisor {
	s := supervise(t, "sleep", "1000")
	if err := s.provide(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(s.pid, syscall.SIGKILL)
		_, _ = unix.Wait4(s.pid, nil, 0, nil)
	})
	return s
}

func TestASwitchThatDiesIsStartedAgainAndOutlivesItsSupervisor(t *testing.T) {
	s := started(t)
	first := s.pid
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var owned sync.WaitGroup
	owned.Go(func() { s.watch(ctx) })
	// The first is reaped when it is noticed, and watch then starts another
	// before it looks at ctx again.
	for syscall.Kill(first, 0) == nil && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	cancel()
	owned.Wait()
	if s.pid == first || s.gone() {
		t.Errorf("switch %d, first %d: none runs after the supervisor's end", s.pid, first)
	}
}

func TestASwitchThatCannotBeStartedIsAnErrorThatSaysSo(t *testing.T) {
	s := supervise(t, "/does/not/exist")
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "embedded switch") {
		t.Errorf("started %s, error %v", strconv.Itoa(s.pid), err)
	}
	select {
	case <-s.Ready():
		t.Error("it is ready")
	default:
	}
}

func TestASwitchThatIsThereIsUsedAndReadyAtOnce(t *testing.T) {
	s := supervise(t, "/does/not/exist")
	listener, err := net.Listen("unix", strings.TrimPrefix(s.cfg.Address, "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var owned sync.WaitGroup
	owned.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	<-s.Ready()
	cancel()
	owned.Wait()
	if s.pid != 0 {
		t.Errorf("it started %d", s.pid)
	}
}

func TestTheSwitchOfAUnitDoesNotSpeakForIt(t *testing.T) {
	for _, name := range []string{
		"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
	} {
		t.Setenv(name, "0")
	}
	t.Setenv("P4EVPN_TEST_KEPT", "a=b")
	s := supervise(t, "env", "-0")
	if err := s.provide(); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Wait4(s.pid, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.cfg.Log)
	if err != nil {
		t.Fatal(err)
	}
	env := strings.Split(string(text), "\x00")
	if !slices.Contains(env, "P4EVPN_TEST_KEPT=a=b") {
		t.Errorf("the switch's environment: %q", env)
	}
	for _, kv := range env {
		for _, prefix := range []string{"NOTIFY_", "WATCHDOG_", "LISTEN_"} {
			if strings.HasPrefix(kv, prefix) {
				t.Errorf("the switch has %s", kv)
			}
		}
	}
}
