// Package supervisor keeps a P4 switch running in a process that outlives its
// supervisor, so that forwarding does not depend on who asked for it. It knows a
// command and the address at which that serves P4Runtime, and nothing of either.
package supervisor

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Config says which switch is kept.
type Config struct {
	Address string   // where it serves P4Runtime: host:port or unix:PATH
	Command []string // starts it
	Log     string   // file that gets its output
	// Pause is the time between looks; it doubles, up to 30 s, while the switch
	// does not stay. 0 = 2 s.
	Pause  time.Duration
	Logger *slog.Logger // nil = slog.Default
}

// Supervisor keeps a switch at an address: the one that is there already, or one
// that it starts.
type Supervisor struct {
	cfg   Config
	log   *slog.Logger
	ready chan struct{}
	pid   int // of the switch that we started; 0 if it was there before
}

const (
	longestPause = 30 * time.Second
	// startTime is what a switch gets to answer before its clients try.
	startTime = 2 * time.Second
)

// New prepares a Supervisor; Run does the work.
func New(cfg Config) *Supervisor {
	cfg = cfg.withDefaults()
	return &Supervisor{cfg: cfg, log: cfg.Logger, ready: make(chan struct{})}
}

func (c Config) withDefaults() Config {
	c.Pause = cmp.Or(c.Pause, 2*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

// Ready is closed when the switch answers, or has not for so long that its clients
// are better off trying themselves.
func (s *Supervisor) Ready() <-chan struct{} { return s.ready }

// Run starts the switch if none answers, and again whenever it is gone, until ctx
// ends; the switch goes on then. It returns an error if the first start fails.
// Call it once.
func (s *Supervisor) Run(ctx context.Context) error {
	if err := s.provide(); err != nil {
		return err
	}
	s.await(ctx)
	close(s.ready)
	s.watch(ctx)
	return nil
}

// await gives the switch a moment to listen: the first connection to it then
// does not fail, which would look like trouble in the log.
func (s *Supervisor) await(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for !Answers(s.cfg.Address) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *Supervisor) watch(ctx context.Context) {
	pause := s.cfg.Pause
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if !s.gone() {
			pause = s.cfg.Pause
			continue
		}
		pause = min(2*pause, longestPause)
		if err := s.provide(); err != nil {
			s.log.Error("the embedded switch cannot be started, trying again", "err", err)
		}
	}
}

// gone reports whether there is no switch any more, and takes the exit status of
// one that we started.
func (s *Supervisor) gone() bool {
	if s.pid == 0 {
		return !Answers(s.cfg.Address)
	}
	var status unix.WaitStatus
	if pid, err := unix.Wait4(s.pid, &status, unix.WNOHANG, nil); err == nil && pid == 0 {
		return false
	}
	how := fmt.Sprintf("exit status %d", status.ExitStatus())
	if status.Signaled() {
		how = "signal: " + status.Signal().String()
	}
	s.log.Error("the embedded switch ended, starting it again", "pid", s.pid, "how", how, "log", s.cfg.Log)
	s.pid = 0
	return true
}

// provide starts a switch if none answers: in a session of its own, so that no
// signal to us ends it.
func (s *Supervisor) provide() error {
	if Answers(s.cfg.Address) {
		s.log.Info("using the switch that is running", "address", s.cfg.Address)
		return nil
	}
	log, err := os.OpenFile(s.cfg.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("starting the embedded switch: its log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(s.cfg.Command[0], s.cfg.Command[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = withoutSystemd(os.Environ())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the embedded switch: %w", err)
	}
	s.pid = cmd.Process.Pid
	s.log.Info("started the embedded switch; it goes on when this process ends",
		"pid", s.pid, "address", s.cfg.Address, "log", s.cfg.Log)
	// gone waits for it, and nobody does once we have ended.
	return cmd.Process.Release()
}

// Answers reports whether something listens at a target's address.
func Answers(address string) bool {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	conn, err := net.DialTimeout(network, address, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// withoutSystemd is an environment for a process that is none of the unit's own
// concern: what it said, and its end, would be taken for ours.
func withoutSystemd(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES":
			return true
		}
		return false
	})
}
