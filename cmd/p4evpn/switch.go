package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/internal/file"
	"github.com/p4evpn/p4evpn/internal/task"
	"github.com/p4evpn/p4evpn/liveness"
	"github.com/p4evpn/p4evpn/softswitch"
	"github.com/p4evpn/p4evpn/softswitch/claim"
)

func newSwitch() *cobra.Command {
	var (
		interfaces     []string
		cfg            softswitch.Config
		noP4           bool
		info           string
		bmv2           bmv2Flags
		claimBy        string
		metricsAddress string
		configuration  string
		bfdAddress     string
	)
	cmd := &cobra.Command{
		Use:   "switch [flags] [PROGRAM.json]",
		Short: "Run the embedded P4 switch",
		Long: `Runs the embedded P4 switch: it loads p4c's BMv2 JSON, serves P4Runtime and
moves packets between Linux interfaces. Flags are simple_switch_grpc's where it
has them, also behind --.`,
		Args:    cobra.ArbitraryArgs, // argsWithDash checks them
		Example: "  p4evpn switch -c gateway.yaml\n  p4evpn switch --no-p4 -i 1@vf1 -i 10@eth1",
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := argsWithDash(cmd, args)
			if err != nil {
				return err
			}
			if configuration != "" {
				if err := flagsOfFile(cmd, args, configuration); err != nil {
					return err
				}
			}
			if cfg.Ports, err = parseInterfaces(interfaces); err != nil {
				return err
			}
			if err := bmv2.apply(cmd, &cfg); err != nil {
				return err
			}
			if cfg.Ways, err = claim.ParseWays(claimBy); err != nil {
				return fmt.Errorf("--claim: %w", err)
			}
			if cfg.Lanes == 0 {
				cfg.Lanes = min(runtime.GOMAXPROCS(0), 8)
			}
			if noP4 && len(args) > 0 {
				return fmt.Errorf("--no-p4 and the program %s exclude each other", args[0])
			}
			if len(args) > 0 {
				if cfg.Pipeline, err = loadProgram(args[0], info); err != nil {
					return err
				}
			}
			s, err := softswitch.New(cfg)
			if err != nil {
				return err
			}
			return serveSwitch(cmd.Context(), s, metricsAddress, bfdAddress)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&configuration, "config", "c", "",
		"configuration file of the gateway, in the place of all other flags: its target, ports and uplinks")
	f.StringArrayVarP(&interfaces, "interface", "i", nil,
		"PORT@INTERFACE: attach a network interface as a port; may be given several times")
	f.StringVar(&cfg.GRPCAddress, "grpc-server-addr", config.DefaultTarget,
		"where P4Runtime is served: unix:PATH, for this user alone, or host:port")
	f.Uint64Var(&cfg.DeviceID, "device-id", 1, "P4Runtime device id")
	f.Uint32Var(&cfg.CPUPort, "cpu-port", 510, "port of packet-ins and packet-outs")
	f.Uint32Var(&cfg.DropPort, "drop-port", 511, "egress port that drops")
	f.StringVar(&info, "p4info", "", "P4Info of PROGRAM.json, text format")
	f.IntVar(&cfg.Lanes, "lanes", 0, "receive rings of each port, over which its flows are spread; "+
		"less with many ports (default as many as there are processors, and 8 at most)")
	f.StringVar(&claimBy, "claim", "auto",
		"how interfaces are kept from the host's network stack: tcx, clsact, nft, or auto for the first that works")
	f.BoolVar(&cfg.UnsafeShared, "unsafe-shared-devices", false,
		"use an interface that cannot be claimed: whoever is behind it reaches this machine")
	f.StringVar(&metricsAddress, "metrics", "", "host:port of /metrics; empty for nowhere")
	f.StringVar(&bfdAddress, "liveness", "",
		"where a gateway asks for BFD sessions: unix:PATH, for this user alone; empty for nowhere")
	_ = cmd.RegisterFlagCompletionFunc("claim", choices("auto", "tcx", "clsact", "nft"))
	f.BoolVar(&noP4, "no-p4", false, "start without a program: one is pushed by P4Runtime")
	f.BoolVar(&cfg.PromoteNext, "promote-next", false,
		"when the primary client leaves, make the next election id primary, as BMv2 does")
	bmv2.define(f, &cfg)
	cmd.AddCommand(newSwitchTrace())
	return cmd
}

// spareProcessors are how many goroutines more may run than there are processors. Go looks for
// frames when one of them has nothing to do, or else every 10 ms: a port that is flooded and a
// large Write must not be all that there is room for.
const spareProcessors = 2

// serveSwitch runs a switch until ctx ends, with BFD where an address for it is given.
func serveSwitch(ctx context.Context, s *softswitch.Switch, metricsAddress, bfdAddress string) error {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + spareProcessors)
	}
	tasks := []task.Task{{Name: "switch", Run: s.Run, Ready: s.Ready()}}
	parts := []prometheus.Collector{s}
	if bfdAddress != "" {
		e, err := liveness.New(liveness.Config{Address: bfdAddress})
		if err != nil {
			return err
		}
		tasks, parts = append(tasks, livenessInside(e)), append(parts, e)
	}
	metrics, err := listenMetrics(ctx, metricsAddress, parts...)
	if err != nil {
		return err
	}
	defer metrics.close()
	tell := func(ctx context.Context) error { return tellPorts(ctx, s) }
	return task.Run(ctx, slog.Default(), append(tasks,
		task.Task{Name: "metrics", Run: metrics.serve},
		task.Task{Name: "systemd", Run: task.After(tell, s.Ready())},
	))
}

// flagsOfFile sets the flags as `p4evpn run` does when it starts the switch itself.
func flagsOfFile(cmd *cobra.Command, args []string, name string) error {
	flags := cmd.LocalNonPersistentFlags()
	var others []string
	flags.Visit(func(f *pflag.Flag) {
		if f.Name != "config" {
			others = append(others, "--"+f.Name)
		}
	})
	if len(others)+len(args) > 0 {
		return fmt.Errorf("--config has all of the switch's settings: leave out %s",
			strings.Join(append(others, args...), ", "))
	}
	c, err := config.Load(name)
	if err != nil {
		return err
	}
	return cmd.Flags().Parse(switchArgs(c)[1:])
}

func parseInterfaces(args []string) ([]softswitch.Port, error) {
	var ports []softswitch.Port
	for _, a := range args {
		p, err := softswitch.ParsePort(a)
		if err != nil {
			return nil, fmt.Errorf("--interface: %w", err)
		}
		ports = append(ports, p)
	}
	return ports, nil
}

// maxProgram bounds a P4 program, its P4Info and its entries, in bytes.
const maxProgram = 256 << 20

// loadProgram reads the pipeline that the switch starts with.
func loadProgram(program, info string) (*p4v1.ForwardingPipelineConfig, error) {
	if info == "" {
		return nil, fmt.Errorf("the program %s needs its P4Info too: give --p4info FILE (text format)", program)
	}
	json, err := file.Read(program, maxProgram)
	if err != nil {
		return nil, fmt.Errorf("reading the P4 program: %w", err)
	}
	text, err := file.Read(info, maxProgram)
	if err != nil {
		return nil, fmt.Errorf("reading the P4Info: %w", err)
	}
	c := &p4v1.ForwardingPipelineConfig{P4Info: &p4configv1.P4Info{}, P4DeviceConfig: json}
	if err := prototext.Unmarshal(text, c.P4Info); err != nil {
		return nil, fmt.Errorf("P4Info %s: %w", info, err)
	}
	return c, nil
}
