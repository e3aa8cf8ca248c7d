package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/internal/task"
	"github.com/p4evpn/p4evpn/liveness"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/softswitch"
	"github.com/p4evpn/p4evpn/softswitch/claim"
	"github.com/p4evpn/p4evpn/softswitch/supervisor"
)

// switchTasks see to it that an embedded switch answers at the target's address:
// the one that is there already, one inside this process, or a process that outlives
// this one. There are none where the target is another's.
func switchTasks(ctx context.Context, f *config.File, inProcess bool) ([]task.Task, error) {
	if !f.Target.Embedded {
		return nil, nil
	}
	if inProcess && !supervisor.Answers(f.Target.Address) {
		return switchInside(ctx, f)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("starting the embedded switch: %w", err)
	}
	s := supervisor.New(supervisor.Config{
		Address: f.Target.Address,
		Command: append([]string{self}, switchArgs(f)...),
		Log:     filepath.Join(filepath.Dir(f.Store), "switch.log"),
	})
	return []task.Task{{Name: "switch", Run: s.Run, Ready: s.Ready()}}, nil
}

// switchInside is a switch of this process, and what serves its metrics.
func switchInside(ctx context.Context, f *config.File) ([]task.Task, error) {
	ways, err := claim.ParseWays(f.Target.Claim)
	if err != nil {
		return nil, fmt.Errorf("target.claim: %w", err)
	}
	s, err := softswitch.New(softswitch.Config{
		Ports: switchPorts(f), CPUPort: p4.CPUPort, DropPort: p4.DropPort,
		GRPCAddress: f.Target.Address, DeviceID: f.Target.DeviceID,
		Ways: ways, UnsafeShared: f.Target.UnsafeSharedDevices,
	})
	if err != nil {
		return nil, err
	}
	paths, err := liveness.New(liveness.Config{Address: f.Liveness.Address})
	if err != nil {
		return nil, err
	}
	metrics, err := listenMetrics(ctx, f.Metrics.Switch, s, paths)
	if err != nil {
		return nil, err
	}
	return []task.Task{
		{Name: "switch", Run: s.Run, Ready: s.Ready()},
		livenessInside(paths),
		{Name: "metrics of the switch", Run: metrics.serve},
	}, nil
}

func switchArgs(f *config.File) []string {
	args := []string{"switch", "--no-p4", "--grpc-server-addr", f.Target.Address,
		"--device-id", fmt.Sprint(f.Target.DeviceID),
		"--cpu-port", fmt.Sprint(p4.CPUPort), "--drop-port", fmt.Sprint(p4.DropPort)}
	args = append(args, "--claim", f.Target.Claim, "--liveness", f.Liveness.Address)
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
