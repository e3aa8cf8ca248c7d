package ovn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// Keeper keeps the ports of logical switches as the intent has them.
type Keeper struct {
	cfg         Config
	northbound  *database
	openVSwitch *database // nil = the provider bridge is the operator's
	nudged      chan struct{}
	stats       *stats

	bridges  map[string]intent.LogicalBridge // by id
	switches map[string]string               // names, by bridge's id
	problems map[string]string               // that were told, by bridge's id, or ""

	applied  time.Time                 // when the databases were looked at last
	expected map[string][]view.Station // that the fabric was told of, by bridge's id
	lastUp   map[string]time.Time      // when ports were up, by UUID
	shares   map[string]held           // of ports that gateways share, by bridge's id
}

// New checks the configuration and makes a Keeper; Run does the work.
func New(cfg Config) (*Keeper, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("ovn: %w", err)
	}
	k := &Keeper{cfg: cfg, nudged: make(chan struct{}, 1), stats: newStats(),
		bridges: map[string]intent.LogicalBridge{}, switches: map[string]string{}, problems: map[string]string{},
		expected: map[string][]view.Station{}, lastUp: map[string]time.Time{}}
	nb, err := northboundModel()
	if err != nil {
		return nil, fmt.Errorf("ovn: the model of OVN_Northbound: %w", err)
	}
	k.northbound = k.database("OVN's northbound database", nb, cfg.Northbound, monitorNorthbound)
	if cfg.OpenVSwitch != "" {
		ovs, err := openVSwitchModel()
		if err != nil {
			return nil, fmt.Errorf("ovn: the model of Open_vSwitch: %w", err)
		}
		k.openVSwitch = k.database("Open vSwitch", ovs, []string{cfg.OpenVSwitch}, monitorOpenVSwitch)
	}
	return k, nil
}

func (k *Keeper) database(name string, m model.ClientDBModel, addresses []string,
	monitor func(client.Client) *client.Monitor) *database {
	open := func() (client.Client, error) {
		options := []client.Option{client.WithLeaderOnly(len(addresses) > 1)}
		for _, a := range addresses {
			options = append(options, client.WithEndpoint(a))
		}
		if slices.ContainsFunc(addresses, isSSL) {
			secure, err := k.cfg.TLS.load()
			if err != nil {
				return nil, err
			}
			options = append(options, client.WithTLSConfig(secure))
		}
		return client.NewOVSDBClient(m, options...)
	}
	return &database{name: name, open: open, monitor: monitor, nudge: k.nudge, retry: k.cfg.Retry,
		patience: k.cfg.Patience}
}

// nudge has the Keeper look at everything again. It may be called from anywhere.
func (k *Keeper) nudge() {
	select {
	case k.nudged <- struct{}{}:
	default:
	}
}

// Run follows the intent and the databases until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var owned sync.WaitGroup
	defer func() { cancel(); owned.Wait() }()
	owned.Go(func() { k.northbound.run(ctx) })
	if k.openVSwitch != nil {
		owned.Go(func() { k.openVSwitch.run(ctx) })
	}
	watch := k.cfg.Intent.Watch(ctx)
	var behind <-chan struct{}
	if k.cfg.followsBehind() {
		behind = k.cfg.Fabric.BehindChanged()
	}
	known := false      // the intent's first batch came: before, all our ports would seem unwanted
	var first time.Time // of the changes that gather; zero = due is when something is tried again
	var due <-chan time.Time
	for {
		select {
		case batch, open := <-watch:
			if !open {
				return ctx.Err()
			}
			if known = true; !k.take(batch) {
				continue
			}
		case <-k.nudged:
		case <-behind:
		case <-due:
			due, first = nil, time.Time{}
			if known {
				due = after(k.apply(ctx))
			}
			continue
		case <-ctx.Done():
			return ctx.Err()
		}
		now := time.Now()
		if first.IsZero() {
			first = now
		}
		due = time.After(k.gather(first, now))
	}
}

// moment is the longest time between changes that come together, as those of one BGP peer.
const moment = 20 * time.Millisecond

// gather is how long more is waited for when something has changed now, and since first:
// after a pause until no more comes, but for Gather at most.
func (k *Keeper) gather(first, now time.Time) time.Duration {
	paused := k.applied.Add(k.cfg.Gather).Sub(now)
	return max(paused, min(moment, first.Add(k.cfg.Gather).Sub(now)), 0)
}

// sooner is the lesser of two times, of which 0 is never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// after is time.After, but never for 0.
func after(d time.Duration) <-chan time.Time {
	if d == 0 {
		return nil
	}
	return time.After(d)
}

// take notes what changed, and reports whether anything of ours did.
func (k *Keeper) take(batch intent.Batch) bool {
	changed := batch.Snapshot
	for _, c := range batch.Changes {
		switch o := c.Old.(type) {
		case intent.LogicalBridge:
			delete(k.bridges, o.ID)
			changed = true
		case intent.Instance:
			delete(k.switches, o.Of().ID)
			changed = true
		}
		switch o := c.New.(type) {
		case intent.LogicalBridge:
			k.bridges[o.ID] = o
			changed = true
		case intent.Instance:
			if o.LogicalSwitch != "" {
				k.switches[o.Of().ID] = o.LogicalSwitch
			}
			changed = true
		}
	}
	return changed
}

// wanted are the attachments that the intent asks for, in the order of bridges' ids.
func (k *Keeper) wanted(problems map[string]string) (all []attachment) {
	for _, id := range slices.Sorted(maps.Keys(k.switches)) {
		b, there := k.bridges[id]
		switch {
		case !there: // the configuration speaks of a bridge that is to come
		case b.VNI == 0:
			problems[id] = "logical_switch: the bridge has no VNI, by which OVN's port is named"
		default:
			all = append(all, attachment{bridge: id, logicalSwitch: k.switches[id], vni: b.VNI, vlan: b.VLAN})
		}
	}
	return all
}

// apply brings the databases to what is wanted, and says when to do so again; 0 = when
// something changes.
func (k *Keeper) apply(ctx context.Context) (again time.Duration) {
	problems := map[string]string{}
	wanted := k.wanted(problems)
	err := k.askWhatIsBehind(ctx, wanted)
	nb, there, absent := k.readNorthbound(ctx)
	if absent == nil {
		again = k.settleShares(there, wanted, problems)
	}
	var chassis string
	switch {
	case err != nil:
	case k.cfg.Tunnels:
		err = k.makeTunnels(ctx, wanted, problems)
	default:
		chassis, err = k.applyChassis(ctx, wanted, absent == nil)
	}
	if err == nil {
		err = absent
	}
	if err == nil {
		var more time.Duration
		more, err = k.applyNorthbound(ctx, nb, there, chassis, wanted, problems)
		again = sooner(again, more)
	}
	if err == nil && k.cfg.Tunnels {
		err = k.endTunnels(ctx)
	}
	switch {
	case errors.Is(err, errConnecting):
		return 0 // it says so when it is there
	case err != nil:
		problems[""], again = err.Error(), k.cfg.Retry
	}
	k.applied = time.Now()
	if ctx.Err() == nil {
		k.tell(problems)
		k.stats.attached(wanted, problems)
	}
	return again
}

// askWhatIsBehind completes attachments by what is behind VTEPs, if OVN is told.
func (k *Keeper) askWhatIsBehind(ctx context.Context, wanted []attachment) (err error) {
	if !k.cfg.followsBehind() {
		return nil
	}
	for i := range wanted {
		if wanted[i].behind, err = k.cfg.Fabric.Behind(ctx, wanted[i].bridge); err != nil {
			return fmt.Errorf("asking what is behind VTEPs: %w", err)
		}
	}
	return nil
}

// makeTunnels makes those that are missing in Open vSwitch: OVN's ports wait for them.
func (k *Keeper) makeTunnels(ctx context.Context, wanted []attachment, problems map[string]string) error {
	want := k.cfg.tunnelInterfaces(wanted)
	return k.changeTunnels(ctx, func(there chassis, c client.Client) ([]ovsdb.Operation, error) {
		ops, wrong, err := there.makeTunnels(c, k.cfg, want)
		for _, a := range wanted {
			for _, vtep := range a.behind.VTEPs {
				if text := wrong[tunnelName(vtep, a.vni)]; text != "" {
					problems[a.bridge] = text
				}
			}
		}
		return ops, err
	})
}

// endTunnels takes away those that OVN has no port for any more.
func (k *Keeper) endTunnels(ctx context.Context) error {
	_, there, err := k.readNorthbound(ctx)
	if err != nil {
		return err
	}
	kept := map[string]bool{}
	for _, p := range there.ports {
		kept[p.Name] = true
	}
	return k.changeTunnels(ctx, func(there chassis, c client.Client) ([]ovsdb.Operation, error) {
		return there.endTunnels(c, k.cfg, kept)
	})
}

// changeTunnels does what is to be done in Open vSwitch as it is.
func (k *Keeper) changeTunnels(ctx context.Context,
	what func(chassis, client.Client) ([]ovsdb.Operation, error)) error {
	there, c, err := k.chassis(ctx)
	if err != nil {
		return err
	}
	ops, err := what(there, c)
	if err == nil {
		err = k.transact(ctx, c, ops)
	}
	if err != nil {
		return fmt.Errorf("making tunnels in Open vSwitch: %w", err)
	}
	return nil
}

// chassis is Open vSwitch as it is, and what changes it.
func (k *Keeper) chassis(ctx context.Context) (chassis, client.Client, error) {
	c, err := k.openVSwitch.get()
	if err != nil {
		return chassis{}, nil, err
	}
	there, err := readChassis(ctx, c)
	if err != nil {
		return there, nil, fmt.Errorf("reading Open vSwitch: %w", err)
	}
	return there, c, nil
}

// transact does what is to be done, if there is anything.
func (k *Keeper) transact(ctx context.Context, c client.Client, ops []ovsdb.Operation) error {
	if len(ops) == 0 {
		return nil
	}
	k.stats.transactions.Inc()
	ctx, cancel := context.WithTimeout(ctx, k.cfg.Patience)
	defer cancel()
	return transact(ctx, c, ops)
}

// applyChassis joins the target to the chassis, if anything is to be attached, and gives
// the chassis' name. Settled says that it is known which shared ports are here.
func (k *Keeper) applyChassis(ctx context.Context, wanted []attachment, settled bool) (string, error) {
	if k.openVSwitch == nil {
		return k.cfg.Chassis, nil
	}
	there, c, err := k.chassis(ctx)
	if err != nil {
		return "", err
	}
	name := k.cfg.Chassis
	if name == "" {
		if name, err = there.name(); err != nil {
			return "", err
		}
	}
	if len(wanted) == 0 {
		return name, nil
	}
	vlans := []int{} // all
	switch {
	case k.cfg.Shared && !settled:
		vlans = nil
	case k.cfg.Shared:
		vlans = carried(wanted)
	}
	ops, err := there.attach(c, k.cfg, vlans)
	if err == nil {
		err = k.transact(ctx, c, ops)
	}
	if err != nil {
		return "", fmt.Errorf("joining %s to Open vSwitch: %w", k.cfg.Interface, err)
	}
	if fault := there.fault(k.cfg); fault != "" {
		return "", fmt.Errorf("interface %s of Open vSwitch: %s", k.cfg.Interface, fault)
	}
	return name, nil
}

// readNorthbound is OVN as it is, and what changes it.
func (k *Keeper) readNorthbound(ctx context.Context) (client.Client, northbound, error) {
	c, err := k.northbound.get()
	if err != nil {
		return nil, northbound{}, err
	}
	there, err := readNorthbound(ctx, c)
	if err != nil {
		return nil, there, fmt.Errorf("reading OVN: %w", err)
	}
	return c, there, nil
}

func (k *Keeper) applyNorthbound(ctx context.Context, c client.Client, there northbound, chassis string,
	wanted []attachment, problems map[string]string) (again time.Duration, err error) {
	again, err = k.expect(ctx, there, wanted)
	if err != nil {
		return 0, err
	}
	changes, cannot := there.plan(k.cfg, chassis, wanted)
	maps.Copy(problems, cannot)
	for _, change := range changes {
		ops, err := change.operations(c)
		if err == nil {
			err = k.transact(ctx, c, ops)
		}
		if err != nil {
			again = k.cfg.Retry
			problems[change.bridge] = fmt.Sprintf("%v: %v", change, err)
			continue
		}
		k.cfg.Logger.Debug("OVN is as it shall be", "bridge", change.bridge, "change", change.String())
	}
	return again, nil
}

// tell logs each problem when it comes and when it goes.
func (k *Keeper) tell(problems map[string]string) {
	for _, bridge := range slices.Sorted(maps.Keys(problems)) {
		switch text := problems[bridge]; {
		case k.problems[bridge] == text:
		case bridge == "":
			k.cfg.Logger.Warn("OVN is not kept as it shall be, trying again", "err", text)
		default:
			k.cfg.Logger.Warn("a logical switch is not attached", "bridge", bridge, "err", text)
		}
	}
	for bridge := range k.problems {
		switch {
		case problems[bridge] != "":
		case bridge == "":
			k.cfg.Logger.Info("OVN is kept as it shall be again")
		default:
			k.cfg.Logger.Info("a logical switch is attached again, or not wanted any more", "bridge", bridge)
		}
	}
	k.problems = problems
}
