package bmv2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Config says which BMv2 to start and how.
type Config struct {
	// Binary is the program: simple_switch or simple_switch_grpc.
	Binary string
	// JSON is the path of the compiled program; empty starts without one
	// (simple_switch_grpc only).
	JSON     string
	Ports    []uint32
	DeviceID uint64
	// TargetArgs come behind "--", such as --cpu-port 510.
	TargetArgs []string
}

// Switch is a running BMv2.
type Switch struct {
	// GRPC and Thrift are the addresses of its servers.
	GRPC, Thrift string

	dir    string
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended, by exit
	exit   error
	ports  *ports
}

// Start runs BMv2 until Close, or until ctx is done, and waits for its servers
// to listen.
func Start(ctx context.Context, c Config) (*Switch, error) {
	dir, err := os.MkdirTemp("", "bmv2-")
	if err != nil {
		return nil, err
	}
	s := &Switch{dir: dir}
	if err := s.start(ctx, c); err != nil {
		s.Close()
		return nil, fmt.Errorf("start %s: %w", c.Binary, err)
	}
	return s, nil
}

func (s *Switch) start(ctx context.Context, c Config) error {
	numbers := slices.Sorted(slices.Values(c.Ports))
	var err error
	if s.ports, err = openPorts(s.dir, numbers); err != nil {
		return err
	}
	if s.Thrift, err = freeAddress(); err != nil {
		return err
	}
	_, thrift, _ := net.SplitHostPort(s.Thrift)
	args := []string{"--use-files", "0", "--thrift-port", thrift, "--log-level", "off", "--device-id",
		fmt.Sprint(c.DeviceID)}
	const notifications = "--notifications-addr" // which a BMv2 built without nanomsg does not know
	if help, _ := exec.CommandContext(ctx, c.Binary, "--help").CombinedOutput(); bytes.Contains(help,
		[]byte(notifications)) {
		// By default it is one file in /tmp for all switches of a device ID.
		args = append(args, notifications, "ipc://"+filepath.Join(s.dir, "notifications"))
	}
	for _, n := range numbers {
		args = append(args, "-i", fmt.Sprintf("%d@%s", n, filepath.Join(s.dir, portFile(n))))
	}
	if c.JSON == "" {
		args = append(args, "--no-p4")
	} else {
		args = append(args, c.JSON)
	}
	args = append(args, "--")
	if filepath.Base(c.Binary) == "simple_switch_grpc" {
		if s.GRPC, err = freeAddress(); err != nil {
			return err
		}
		args = append(args, "--grpc-server-addr", s.GRPC)
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.CommandContext(ctx, c.Binary, append(args, c.TargetArgs...)...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func() {
		defer close(s.exited)
		s.exit = s.cmd.Wait()
	}()
	return s.await(ctx)
}

// freeAddress is a loopback address that nobody listens at now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// await waits for the servers.
func (s *Switch) await(ctx context.Context) error {
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for _, address := range []string{s.Thrift, s.GRPC} {
		for address != "" {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				conn.Close()
				break
			}
			select {
			case <-s.exited:
				return s.Exited()
			case <-deadline.C:
				return fmt.Errorf("no server at %s after a minute", address)
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

func (s *Switch) log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(text[max(0, len(text)-2000):])
}

// errCrashed is how BMv2 ends by a fault of its own: a bad memory access, or an
// assertion of its code or of the P4 program.
var errCrashed = errors.New("BMv2 crashed")

// Exited reports whether the process has ended by itself, and how; errors.Is tells
// errCrashed from other ends.
func (s *Switch) Exited() error {
	select {
	case <-s.exited:
	default:
		return nil
	}
	if status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		switch status.Signal() {
		case syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGABRT, syscall.SIGILL, syscall.SIGFPE:
			return fmt.Errorf("%w: %v: %s", errCrashed, status.Signal(), s.log())
		}
	}
	if s.exit == nil {
		return fmt.Errorf("BMv2 ended: %s", s.log())
	}
	return fmt.Errorf("BMv2 ended: %w: %s", s.exit, s.log())
}

// Crashed waits for the end of a BMv2 that does not answer, and reports whether it
// crashed: a dump of its memory can take a while.
func (s *Switch) Crashed(patience time.Duration) bool {
	select {
	case <-s.exited:
	case <-time.After(patience):
	}
	return errors.Is(s.Exited(), errCrashed)
}

// Close ends the process and removes its files.
func (s *Switch) Close() error {
	if s.exited != nil {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.exited:
		case <-time.After(5 * time.Second):
			_ = s.cmd.Process.Kill()
			<-s.exited
		}
	}
	if s.ports != nil {
		s.ports.close()
	}
	return errors.Join(os.RemoveAll(s.dir))
}
