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

	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/softswitch"
)

// provideSwitch sees to it that an embedded switch answers at the target's
// address: the one that is there already, one inside this process, or a new
// process that outlives this one.
func provideSwitch(ctx context.Context, group *errgroup.Group, f *config.File, inProcess bool) error {
	if answers(f.Target.Address) {
		slog.Info("using the switch that is running", "address", f.Target.Address)
		return nil
	}
	if inProcess {
		s, err := softswitch.New(softswitch.Config{
			Ports: switchPorts(f), CPUPort: p4.CPUPort, DropPort: p4.DropPort,
			GRPCAddress: f.Target.Address, DeviceID: f.Target.DeviceID,
		}, slog.Default())
		if err != nil {
			return err
		}
		group.Go(func() error { return s.Run(ctx) })
		return nil
	}
	return startSwitch(f)
}

// answers says whether something listens at a target's address.
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

// startSwitch starts `p4evpn switch` in a session of its own, so that no signal
// to us ends it, with its log beside the store.
func startSwitch(f *config.File) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("starting the embedded switch: %w", err)
	}
	logPath := filepath.Join(filepath.Dir(f.Store), "switch.log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("starting the embedded switch: its log: %w", err)
	}
	defer func() { _ = log.Close() }()
	args := []string{"switch", "--no-p4", "--grpc-server-addr", f.Target.Address,
		"--device-id", fmt.Sprint(f.Target.DeviceID), "--cpu-port", fmt.Sprint(p4.CPUPort), "--drop-port", fmt.Sprint(p4.DropPort)}
	for _, p := range switchPorts(f) {
		args = append(args, "-i", fmt.Sprintf("%d@%s", p.Number, p.Interface))
	}
	cmd := exec.Command(self, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the embedded switch: %w", err)
	}
	slog.Info("started the embedded switch; it goes on when this process ends",
		"pid", cmd.Process.Pid, "address", f.Target.Address, "log", logPath)
	// The switch is nobody's to wait for: it is meant to outlive us.
	return cmd.Process.Release()
}
