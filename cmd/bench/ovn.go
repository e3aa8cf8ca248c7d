package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/ovn"
)

const (
	ovnBound  = 1.3
	ovnSwitch = "tenant-net"
	ovnSchema = "/usr/share/ovn/ovn-nb.ovsschema"
	ovnPause  = 600 * time.Millisecond // after it, what comes is done at once
	ovnLimit  = 3 * time.Minute
)

// ovnRatio has a gateway tell OVN of so many MACs behind a VTEP, and compares the time from
// the first route sent until another client of the database has seen all with what the
// bare transactions take: one for what each UPDATE has, as a client makes them that does
// nothing else. Each has an ovsdb-server of its own, in turn; medians. What one
// transaction with all MACs takes is told beside it.
func ovnRatio(macs int) func(context.Context, *bench) ([]value, error) {
	return func(ctx context.Context, b *bench) ([]value, error) {
		if err := needOVSDB(); err != nil {
			return nil, err
		}
		name := fmt.Sprintf("ovn_%d", macs)
		var ours, bare, once []float64
		for range rounds {
			for _, side := range []struct {
				times   *[]float64
				measure func(context.Context, *northbound, int) (time.Duration, error)
			}{{&ours, b.routesToNorthbound}, {&bare, updatesInTransactions}, {&once, allInATransaction}} {
				took, err := b.withNorthbound(ctx, func(nb *northbound) (time.Duration, error) {
					return side.measure(ctx, nb, macs)
				})
				if err != nil {
					return nil, err
				}
				*side.times = append(*side.times, took.Seconds())
			}
		}
		return []value{
			{name: name + "_ratio", number: median(ours) / median(bare), unit: "ratio", goal: atMost(ovnBound),
				against: fmt.Sprintf("medians of %d rounds in turn", rounds)},
			{name: name, number: median(ours), unit: "s",
				against: "from the first route sent until all MACs are in OVN's northbound database"},
			{name: name + "_bare", number: median(bare), unit: "s",
				against: fmt.Sprintf(
					"a transaction for each UPDATE's %d MACs by the same client, on an ovsdb-server alike", perUpdate)},
			{name: name + "_at_once", number: median(once), unit: "s",
				against: "one transaction for all of them, which have to be known beforehand"},
		}, nil
	}
}

func needOVSDB() error {
	for _, program := range []string{"ovsdb-server", "ovsdb-tool", "ovsdb-client"} {
		if _, err := exec.LookPath(program); err != nil {
			return skip("OVN is not here: install Debian's packages ovn-central and openvswitch-switch")
		}
	}
	if _, err := os.Stat(ovnSchema); err != nil {
		return skip("OVN's schema is not here: install Debian's package ovn-central")
	}
	return nil
}

// lsPort and lSwitch are rows of OVN_Northbound as far as they matter here.
type lsPort struct {
	UUID      string   `ovsdb:"_uuid"`
	Name      string   `ovsdb:"name"`
	Addresses []string `ovsdb:"addresses"`
}

type lSwitch struct {
	UUID  string   `ovsdb:"_uuid"`
	Name  string   `ovsdb:"name"`
	Ports []string `ovsdb:"ports"`
}

// northbound is a genuine ovsdb-server with an empty northbound database but for a logical
// switch, and a client that sees how many addresses ports have.
type northbound struct {
	address string
	watcher client.Client
	most    atomic.Int64  // addresses of a port
	changed chan struct{} // that became another
}

// withNorthbound measures something with a server of its own.
func (b *bench) withNorthbound(ctx context.Context,
	measure func(*northbound) (time.Duration, error)) (time.Duration, error) {
	dir, err := os.MkdirTemp(b.dir, "nb-")
	if err != nil {
		return 0, err
	}
	file, socket := filepath.Join(dir, "db"), filepath.Join(dir, "sock")
	if out, err := exec.CommandContext(ctx, "ovsdb-tool", "create", file, ovnSchema).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("make a northbound database: %w: %s", err, out)
	}
	cmd := exec.CommandContext(ctx, "ovsdb-server", "--no-chdir", "--pidfile="+filepath.Join(dir, "pid"),
		"--unixctl="+filepath.Join(dir, "ctl"), "--remote=punix:"+socket, file)
	cmd.Env = append(os.Environ(), "OVS_RUNDIR="+dir, "OVS_LOGDIR="+dir)
	server, err := startProcess("ovsdb-server", cmd, filepath.Join(dir, "log"))
	if err != nil {
		return 0, err
	}
	defer server.stop()
	nb := &northbound{address: "unix:" + socket, changed: make(chan struct{}, 1)}
	for exec.CommandContext(ctx, "ovsdb-client", "list-dbs", nb.address).Run() != nil {
		if err := errors.Join(server.lastWords(), sleep(ctx, 10*time.Millisecond)); err != nil {
			return 0, err
		}
	}
	if nb.watcher, err = nb.connect(ctx, nb.note); err != nil {
		return 0, fmt.Errorf("connect to the northbound database: %w", err)
	}
	defer nb.watcher.Close()
	if err := nb.create(ctx, nb.watcher, &lSwitch{UUID: "made", Name: ovnSwitch}); err != nil {
		return 0, err
	}
	runtime.GC()
	return measure(nb)
}

func (nb *northbound) note(m model.Model) {
	p, ok := m.(*lsPort)
	if !ok {
		return
	}
	nb.most.Store(int64(len(p.Addresses)))
	select {
	case nb.changed <- struct{}{}:
	default:
	}
}

// connect gives a client with a copy of switches and ports, and calls note for each row that
// is new or another.
func (nb *northbound) connect(ctx context.Context, note func(model.Model)) (client.Client, error) {
	m, err := model.NewClientDBModel("OVN_Northbound", map[string]model.Model{
		"Logical_Switch": &lSwitch{}, "Logical_Switch_Port": &lsPort{}})
	if err != nil {
		return nil, err
	}
	c, err := client.NewOVSDBClient(m, client.WithEndpoint(nb.address))
	if err != nil {
		return nil, err
	}
	if err := c.Connect(ctx); err != nil {
		return nil, err
	}
	c.Cache().AddEventHandler(&cache.EventHandlerFuncs{
		AddFunc:    func(_ string, m model.Model) { note(m) },
		UpdateFunc: func(_ string, _, m model.Model) { note(m) },
	})
	s, p := &lSwitch{}, &lsPort{}
	_, err = c.Monitor(ctx, c.NewMonitor(client.WithTable(s, &s.Name, &s.Ports),
		client.WithTable(p, &p.Name, &p.Addresses)))
	return c, err
}

func transact(ctx context.Context, c client.Client, ops ...ovsdb.Operation) error {
	results, err := c.Transact(ctx, ops...)
	if err == nil {
		_, err = ovsdb.CheckOperationResults(results, ops)
	}
	if err != nil {
		return fmt.Errorf("write to the northbound database: %w", err)
	}
	return nil
}

func (nb *northbound) create(ctx context.Context, c client.Client, row model.Model) error {
	ops, err := c.Create(row)
	if err != nil {
		return err
	}
	return transact(ctx, c, ops...)
}

// await waits until a port has so many addresses.
func (nb *northbound) await(ctx context.Context, addresses int) error {
	limit := time.After(ovnLimit)
	for nb.most.Load() != int64(addresses) {
		select {
		case <-nb.changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-limit:
			return late{ovnLimit, fmt.Sprintf("OVN has %d of %d MACs", nb.most.Load(), addresses)}
		}
	}
	return nil
}

// routesToNorthbound has a gateway do it.
func (b *bench) routesToNorthbound(ctx context.Context, nb *northbound, macs int) (time.Duration, error) {
	store, err := storeWith(1)
	if err != nil {
		return 0, err
	}
	err = store.Update(func(tx *intent.Tx) error {
		_, err := tx.Instances().Create(intent.Instance{ID: "bridge." + bridgeID(0),
			LogicalSwitch: ovnSwitch})
		return err
	})
	if err != nil {
		return 0, err
	}
	g, err := b.startBGPGateway(ctx, setup{injectors: 1, store: store})
	if err != nil {
		return 0, err
	}
	defer g.stop()
	keeper, err := ovn.New(ovn.Config{Intent: store, Fabric: g.loop, Addresses: true, Northbound: []string{nb.address},
		Chassis: "hv1", Owner: "bench", Logger: slog.Default()})
	if err != nil {
		return 0, err
	}
	running, cancel := context.WithCancel(ctx)
	var owned sync.WaitGroup
	defer func() { cancel(); owned.Wait() }()
	owned.Go(func() { _ = keeper.Run(running) }) // it ends with its context
	if err := g.settle(ctx, macs, 1); err != nil {
		return 0, err
	}
	if err := errors.Join(nb.await(ctx, 1), sleep(ctx, ovnPause)); err != nil {
		return 0, err
	}
	wire := bytes.Join(bgptest.MACUpdates(leafAS, vtep(0), firstVNI, 0, macs, perUpdate), nil)
	defer b.profile(fmt.Sprintf("ovn_%d", macs))()
	start := time.Now()
	if err := g.sessions[0].Send(wire); err != nil {
		return 0, err
	}
	err = nb.await(ctx, macs+1)
	return time.Since(start), err
}

// updatesInTransactions adds to a port what an UPDATE has, one after the other.
func updatesInTransactions(ctx context.Context, nb *northbound, macs int) (time.Duration, error) {
	return nb.add(ctx, slices.Collect(slices.Chunk(northboundMACs(macs), perUpdate)))
}

// allInATransaction adds them together.
func allInATransaction(ctx context.Context, nb *northbound, macs int) (time.Duration, error) {
	return nb.add(ctx, [][]string{northboundMACs(macs)})
}

func northboundMACs(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("02:00:%02x:%02x:%02x:%02x", i>>24, byte(i>>16), byte(i>>8), byte(i)))
	}
	return all
}

// add makes a port and then a transaction for each group of MACs, by a client that has a
// copy of the database, as the gateway's has.
func (nb *northbound) add(ctx context.Context, groups [][]string) (time.Duration, error) {
	c, err := nb.connect(ctx, func(model.Model) {})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	port, count := &lsPort{UUID: "made", Name: "evpn_1"}, 1
	ops, err := c.Create(&lsPort{UUID: port.UUID, Name: port.Name, Addresses: []string{"02:ff:00:00:00:01"}})
	if err != nil {
		return 0, err
	}
	on := &lSwitch{}
	join, err := c.WhereCache(func(s *lSwitch) bool { return s.Name == ovnSwitch }).Mutate(on, model.Mutation{
		Field: &on.Ports, Mutator: ovsdb.MutateOperationInsert, Value: []string{port.UUID}})
	if err != nil {
		return 0, err
	}
	if err := errors.Join(transact(ctx, c, append(ops, join...)...), nb.await(ctx, count)); err != nil {
		return 0, err
	}
	start := time.Now()
	for _, macs := range groups {
		row := &lsPort{Name: port.Name}
		ops, err := c.Where(row).Mutate(row, model.Mutation{Field: &row.Addresses, Mutator: ovsdb.MutateOperationInsert,
			Value: macs})
		if err != nil {
			return 0, err
		}
		if err := transact(ctx, c, ops...); err != nil {
			return 0, err
		}
		count += len(macs)
	}
	err = nb.await(ctx, count)
	return time.Since(start), err
}
