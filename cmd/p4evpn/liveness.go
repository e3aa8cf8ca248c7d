package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/internal/task"
	"github.com/p4evpn/p4evpn/liveness"
)

func newLiveness() *cobra.Command {
	var file, address, metricsAddress string
	cmd := &cobra.Command{
		Use:   "liveness [-c FILE]",
		Short: "Run BFD beside a target that is not the embedded switch",
		Long: `Runs the BFD sessions that a gateway asks for, and goes on with them when the
gateway ends or is killed. The embedded switch has this inside it.`,
		Example: "  p4evpn liveness -c gateway.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file != "" {
				if cmd.Flags().Changed("address") || cmd.Flags().Changed("metrics") {
					return errors.New("--config has the address and that of metrics: leave out --address and --metrics")
				}
				f, err := config.Load(file)
				if err != nil {
					return err
				}
				address, metricsAddress = f.Liveness.Address, f.Metrics.Liveness
			}
			return runLiveness(cmd.Context(), address, metricsAddress)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "",
		"configuration file of the gateway, in the place of all other flags: its liveness.address")
	cmd.Flags().StringVar(&address, "address", config.DefaultLiveness, "where it is asked: unix:PATH, for this user alone")
	cmd.Flags().StringVar(&metricsAddress, "metrics", "", "host:port of /metrics; empty for nowhere")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	return cmd
}

func runLiveness(ctx context.Context, address, metricsAddress string) error {
	e, err := liveness.New(liveness.Config{Address: address, Farewell: true})
	if err != nil {
		return err
	}
	metrics, err := listenMetrics(ctx, metricsAddress, e)
	if err != nil {
		return err
	}
	defer metrics.close()
	tell := func(context.Context) error {
		notify(daemon.SdNotifyReady, "serving BFD")
		return nil
	}
	return task.Run(ctx, slog.Default(), []task.Task{
		{Name: "BFD", Run: e.Run, Ready: e.Ready()},
		{Name: "metrics", Run: metrics.serve},
		{Name: "systemd", Run: task.After(tell, e.Ready())},
	})
}

// livenessInside is BFD in the process of a switch, which forwards without it if need be.
func livenessInside(e *liveness.Endpoint) task.Task {
	return task.Task{Name: "BFD", Run: func(ctx context.Context) error {
		if err := e.Run(ctx); err != nil && ctx.Err() == nil {
			slog.Error("the switch goes on without BFD", "err", err)
		}
		return nil
	}}
}
