package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/softswitch"
	"github.com/p4evpn/p4evpn/softswitch/claim"
)

// provideSwitch sees to it that an embedded switch answers at the target's
// address: the one that is there already, one inside this process, or a
// process that outlives this one.
func provideSwitch(ctx context.Context, group *errgroup.Group, f *config.File, inProcess bool) error {
	if inProcess && !answers(f.Target.Address) {
		ways, err := claim.ParseWays(f.Target.Claim)
		if err != nil {
			return fmt.Errorf("target.claim: %w", err)
		}
		s, err := softswitch.New(softswitch.Config{
			Ports: switchPorts(f), CPUPort: p4.CPUPort, DropPort: p4.DropPort,
			GRPCAddress: f.Target.Address, DeviceID: f.Target.DeviceID,
			Ways: ways, UnsafeShared: f.Target.UnsafeSharedDevices,
		}, slog.Default())
		if err != nil {
			return err
		}
		metrics, err := listenMetrics(ctx, f.Metrics.Switch, s)
		if err != nil {
			return err
		}
		group.Go(func() error { return metrics.serve(ctx) })
		group.Go(func() error { return s.Run(ctx) })
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("starting the embedded switch: %w", err)
	}
	k := &keeper{
		address: f.Target.Address,
		command: append([]string{self}, switchArgs(f)...),
		log:     filepath.Join(filepath.Dir(f.Store), "switch.log"),
		pause:   2 * time.Second,
	}
	if err := k.provide(); err != nil {
		return err
	}
	k.await(ctx)
	group.Go(func() error { return k.run(ctx) })
	return nil
}

// answers reports whether something listens at a target's address.
func answers(address string) bool {
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

func switchArgs(f *config.File) []string {
	args := []string{"switch", "--no-p4", "--grpc-server-addr", f.Target.Address,
		"--device-id", fmt.Sprint(f.Target.DeviceID), "--cpu-port", fmt.Sprint(p4.CPUPort), "--drop-port", fmt.Sprint(p4.DropPort)}
	args = append(args, "--claim", f.Target.Claim)
	if f.Target.UnsafeSharedDevices {
		args = append(args, "--unsafe-shared-devices")
	}
	if f.Metrics.Switch != "" {
		args = append(args, "--metrics", f.Metrics.Switch)
	}
	for _, p := range switchPorts(f) {
		args = append(args, "-i", fmt.Sprintf("%d@%s", p.Number, p.Interface))
	}
	return args
}

// keeper keeps a switch at an address. The switch is not stopped with us, so
// that forwarding does not depend on the controller.
type keeper struct {
	address string
	command []string
	log     string        // the file that gets the switch's own log
	pause   time.Duration // between looks; doubles while the switch does not stay
	pid     int           // of the switch that we started; 0 if it was there before
}

const longestPause = 30 * time.Second

// run starts the switch again whenever it is gone, until ctx ends.
func (k *keeper) run(ctx context.Context) error {
	pause := k.pause
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		if !k.gone() {
			pause = k.pause
			continue
		}
		pause = min(2*pause, longestPause)
		if err := k.provide(); err != nil {
			slog.Error("the embedded switch cannot be started, trying again", "error", err)
		}
	}
}

// await gives the switch a moment to listen: the first connection to it then
// does not fail, which would look like trouble in the log.
func (k *keeper) await(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for !answers(k.address) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// gone reports whether there is no switch any more, and takes the exit status of
// one that we started.
func (k *keeper) gone() bool {
	if k.pid == 0 {
		return !answers(k.address)
	}
	var status unix.WaitStatus
	if pid, err := unix.Wait4(k.pid, &status, unix.WNOHANG, nil); err == nil && pid == 0 {
		return false
	}
	how := fmt.Sprintf("exit status %d", status.ExitStatus())
	if status.Signaled() {
		how = "signal: " + status.Signal().String()
	}
	slog.Error("the embedded switch ended, starting it again", "pid", k.pid, "how", how, "log", k.log)
	k.pid = 0
	return true
}

// provide starts a switch if none answers: in a session of its own, so that no
// signal to us ends it.
func (k *keeper) provide() error {
	if answers(k.address) {
		slog.Info("using the switch that is running", "address", k.address)
		return nil
	}
	log, err := os.OpenFile(k.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("starting the embedded switch: its log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(k.command[0], k.command[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = withoutSystemd(os.Environ())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the embedded switch: %w", err)
	}
	k.pid = cmd.Process.Pid
	slog.Info("started the embedded switch; it goes on when this process ends", "pid", k.pid, "address", k.address, "log", k.log)
	// gone waits for it, and nobody does once we have ended.
	return cmd.Process.Release()
}
