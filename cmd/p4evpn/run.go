package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/p4evpn/p4evpn/api"
	"github.com/p4evpn/p4evpn/bgp/front"
	"github.com/p4evpn/p4evpn/check"
	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/controller"
	"github.com/p4evpn/p4evpn/controller/alert"
	"github.com/p4evpn/p4evpn/controller/carrier"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/ovn"
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/peering"
	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/controller/underlay"
	"github.com/p4evpn/p4evpn/controller/underlayroute"
	"github.com/p4evpn/p4evpn/internal/footprint"
	"github.com/p4evpn/p4evpn/internal/journal"
	"github.com/p4evpn/p4evpn/internal/task"
	"github.com/p4evpn/p4evpn/internal/tracing/otlp"
	"github.com/p4evpn/p4evpn/liveness"
)

func newRun() *cobra.Command {
	var file string
	var inProcess, check, drain bool
	cmd := &cobra.Command{
		Use:   "run -c FILE",
		Short: "Run the gateway",
		Long: `Runs the gateway: BGP, the API, and what they ask for on the P4 target. It starts
the embedded switch if none answers at the target's address; the switch goes on
when this command ends, and so does forwarding. SIGTERM and Ctrl-C end it cleanly.`,
		Example: "  p4evpn run -c gateway.yaml\n  p4evpn run -c gateway.yaml --check",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := config.Load(file)
			if err != nil || check {
				return err
			}
			return run(cmd.Context(), f, inProcess, drain)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file; p4evpn.example.yaml explains the keys")
	cmd.Flags().BoolVar(&inProcess, "in-process", false,
		"run the embedded switch inside this process: forwarding ends with it")
	cmd.Flags().BoolVar(&drain, "drain-on-exit", false,
		"withdraw our routes before the end, so that BGP neighbours send to others: "+
			"for a gateway that does not come back soon")
	cmd.Flags().BoolVar(&check, "check", false, "only check the configuration")
	_ = cmd.MarkFlagRequired("config")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	return cmd
}

// gateway is the parts of a running gateway, in the order of the data's flow.
type gateway struct {
	store    *intent.Store
	resolver *underlay.Resolver
	carrier  *carrier.Watcher
	speaker  *front.Speaker
	paths    *liveness.Client
	peering  *peering.Keeper
	router   *underlayroute.Router
	client   *p4rt.Client
	slow     *slowpath.Slowpath // nil: Linux is to do nothing for the VRFs
	loop     *controller.Controller
	ovn      *ovn.Keeper  // nil: there is no OVN
	watch    *check.Watch // nil = it checks only when it is asked
	events   *journal.Log
	alerts   *alert.Watcher
	api      *api.Server
	spans    *otlp.Sender // nil: nobody wants them
	target   string       // its address
}

// run wires the gateway and runs it until ctx ends or a part fails.
func run(ctx context.Context, f *config.File, inProcess, drain bool) error {
	if err := os.MkdirAll(filepath.Dir(f.Store), 0o750); err != nil {
		return fmt.Errorf("making the store's folder: %w", err)
	}
	store, err := intent.Open(f.Store, configured(f)...)
	if err != nil {
		return err
	}
	defer func() {
		if err := store.Close(); err != nil {
			slog.Error("closing the store", "err", err)
		}
	}()
	happened, err := journal.Open(filepath.Join(filepath.Dir(f.Store), "events.log"))
	if err != nil {
		return err
	}
	slog.SetDefault(slog.New(happened.Handler(slog.Default().Handler())))
	g, err := wire(f, store, happened)
	if err != nil {
		return err
	}
	metrics, err := listenMetrics(ctx, f.Metrics.Listen, g.collectors()...)
	if err != nil {
		return err
	}
	defer metrics.close()
	warnOfHost(f)
	sw, err := switchTasks(ctx, f, inProcess)
	if err != nil {
		return err
	}
	tasks := append(g.tasks(sw), task.Task{Name: "metrics", Run: metrics.serve})
	if os.Getenv("GOGC") == "" { // else somebody knows better
		tasks = append(tasks, task.Task{Name: "memory", Run: footprint.Tend})
	}
	tasks = append(tasks, task.Task{Name: "systemd", Run: task.After(g.tellTarget, task.Ready(tasks)...)})
	if drain {
		asked := ctx // the others go on until that is done
		var stop context.CancelFunc
		ctx, stop = context.WithCancel(context.WithoutCancel(ctx))
		defer stop()
		tasks = append(tasks, task.Task{Name: "drain", Run: func(ctx context.Context) error {
			defer stop()
			g.drain(ctx, asked)
			return nil
		}})
	}
	notify("", "waiting for the P4 target at "+g.target)
	defer notify(daemon.SdNotifyStopping, "")
	return task.Run(ctx, slog.Default(), tasks)
}

// tasks is what runs of a gateway with a switch of its own, or none. The target's
// client comes after the switch; BGP after the target's state was taken over and all
// that is local was given to it: a session before that would announce a gateway that
// does not forward, or say End-of-RIB too early.
func (g *gateway) tasks(sw []task.Task) []task.Task {
	tasks := append(sw[:len(sw):len(sw)],
		task.Task{Name: "underlay", Run: g.resolver.Run},
		task.Task{Name: "carrier", Run: g.carrier.Run},
		task.Task{Name: "P4Runtime client", Run: task.After(g.client.Run, task.Ready(sw)...)},
		task.Task{Name: "controller", Run: g.loop.Run},
		task.Task{Name: "API", Run: g.api.Run, Ready: g.api.Ready()},
		task.Task{Name: "events", Run: g.events.Run},
		task.Task{Name: "alerts", Run: task.After(g.alerts.Run, g.loop.Synced())},
		task.Task{Name: "neighbours", Run: g.peering.Run},
		task.Task{Name: "BFD client", Run: task.After(g.paths.Run, task.Ready(sw)...)},
		task.Task{Name: "underlay routes", Run: task.After(g.router.Run, g.loop.Synced())},
		task.Task{Name: "BGP", Run: task.After(g.speak, g.loop.Synced())},
	)
	if g.slow != nil {
		tasks = append(tasks, task.Task{Name: "slow path", Run: g.runSlowPath})
	}
	if g.watch != nil {
		tasks = append(tasks, task.Task{Name: "check", Run: task.After(g.watch.Run, g.loop.Synced())})
	}
	if g.ovn != nil {
		tasks = append(tasks, task.Task{Name: "OVN", Run: g.ovn.Run})
	}
	if g.spans != nil {
		tasks = append(tasks, task.Task{Name: "traces", Run: g.spans.Run})
	}
	return tasks
}

// drainTime bounds how long neighbours have to take our withdrawals.
const drainTime = 10 * time.Second

// drain waits until the end is asked for, and then has the neighbours send
// elsewhere while the gateway runs on.
func (g *gateway) drain(ctx, asked context.Context) {
	select {
	case <-asked.Done():
	case <-ctx.Done():
		return
	}
	notify(daemon.SdNotifyStopping, "withdrawing our routes")
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	g.speaker.Drain(ctx)
}

// speak runs BGP, after the underlay's own prefixes are known to it.
func (g *gateway) speak(ctx context.Context) error {
	if g.loop.Preserved() {
		g.speaker.PreservedForwarding()
	}
	select {
	case <-g.router.Advertised():
	case <-time.After(underlayPatience):
		slog.Warn("BGP starts before the prefixes of the underlay are known to it")
	case <-ctx.Done():
		return ctx.Err()
	}
	err := g.speaker.Run(ctx)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: ports below 1024 need CAP_NET_BIND_SERVICE", err)
	}
	return err
}

// runSlowPath runs the slow path until ctx ends. Bridging and routing go on
// without it, and the status of VRFs and SVIs says that it is away.
func (g *gateway) runSlowPath(ctx context.Context) error {
	if err := g.slow.Run(ctx); err != nil && ctx.Err() == nil {
		slog.Error("Linux does nothing for the VRFs any more: their gateways answer no ping and find no silent hosts",
			"err", err)
	}
	<-ctx.Done()
	return ctx.Err()
}

// underlayPatience bounds how long EVPN waits for the underlay's own prefixes.
const underlayPatience = 5 * time.Second

func wire(f *config.File, store *intent.Store, happened *journal.Log) (*gateway, error) {
	g := &gateway{store: store, target: f.Target.Address, events: happened}
	speaker, err := speakerConfig(f, store)
	if err != nil {
		return nil, err
	}
	if g.speaker, err = front.New(front.Config{BGP: speaker, Logger: slog.Default()}); err != nil {
		return nil, err
	}
	g.paths = liveness.NewClient(f.Liveness.Address, slog.Default())
	target, err := clientConfig(f)
	if err != nil {
		return nil, err
	}
	if g.client, err = p4rt.New(target); err != nil {
		return nil, err
	}
	g.router = underlayroute.New(routerConfig(f, g.speaker))
	if g.resolver, err = underlay.New(underlayConfig(f)); err != nil {
		return nil, err
	}
	if g.peering, err = peering.New(peering.Config{Intent: store, Speaker: g.speaker, Liveness: g.paths,
		NextHops: nextHops(f), Underlay: g.resolver}); err != nil {
		return nil, err
	}
	if g.carrier, err = carrier.New(carrierConfig(f)); err != nil {
		return nil, err
	}
	in := controller.Inputs{Intent: store, Leases: store, Speaker: g.speaker, Target: g.client, Underlay: g.resolver,
		Carrier: g.carrier}
	if !f.SlowPath.Disabled {
		if g.slow, err = slowpath.New(slowPathConfig(f, g)); err != nil {
			return nil, err
		}
		in.SlowPath = g.slow
	}
	if g.loop, err = controller.New(controllerConfig(f), in); err != nil {
		return nil, err
	}
	if f.OVN.Enabled() {
		if g.ovn, err = ovn.New(ovnConfig(f, store, g.loop)); err != nil {
			return nil, err
		}
	}
	g.watch = watching(f, g)
	g.alerts = alert.New(alert.Config{Store: store, Status: g.loop, Drops: g.loop, DropRate: f.Drops.ReportAbove})
	if f.Telemetry.OTLP.Endpoint != "" {
		if g.spans, err = otlp.New(spansConfig(f)); err != nil {
			return nil, err
		}
	}
	asked := apiConfig(f, g)
	if g.spans != nil {
		asked.Spans = g.spans.Tracer()
	}
	g.api, err = api.New(asked)
	return g, err
}

// collectors are the parts that count something.
func (g *gateway) collectors() []prometheus.Collector {
	all := []prometheus.Collector{g.loop, g.loop.Counters(), g.client, g.speaker, g.resolver, g.carrier, g.router,
		g.events, g.api}
	if g.slow != nil {
		all = append(all, g.slow)
	}
	if g.ovn != nil {
		all = append(all, g.ovn)
	}
	if g.watch != nil {
		all = append(all, g.watch)
	}
	if g.spans != nil {
		all = append(all, g.spans)
	}
	return all
}
