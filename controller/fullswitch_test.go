package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/softswitch/bmv2"
	"github.com/p4evpn/p4evpn/softswitch/p4rtserver"
	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// realSwitch is a switch without interfaces, whose frames the test carries.
type realSwitch interface {
	// at is where it serves P4Runtime.
	at() string
	// speak has the hosts of plenty say what they do, and host 0 send a frame to the station on
	// eth2 in bridge-10, which passed reports to have come out there since.
	speak()
	passed() bool
}

// toStation is a frame for the station.
var toStation = slices.Concat(macBytes(0x4000), macBytes(1), []byte{0x88, 0xb5}, make([]byte, 46))

func macBytes(n int) []byte { m := mac(n); return m[:] }

// passes reports whether a frame that came out of a port is that, tagged.
func passes(port uint32, frame []byte) bool {
	tagged := slices.Concat(toStation[:12], []byte{0x81, 0, 0, 10}, toStation[12:])
	return port == 2 && bytes.Equal(frame, tagged)
}

// embedded is the embedded switch: its P4Runtime server, and its pipeline.
type embedded struct {
	address string
	stop    func()

	mu         sync.Mutex
	server     *p4rtserver.Server
	forwarding *p4rtserver.Forwarding
	worker     *pipeline.Worker
	arrived    bool
}

func startEmbedded(t *testing.T) realSwitch {
	e := &embedded{address: "unix:" + filepath.Join(t.TempDir(), "switch.sock")}
	e.run(t, pipeline.Limits{})
	t.Cleanup(func() { e.stop() })
	return e
}

// run serves until stop.
func (e *embedded) run(t *testing.T, limits pipeline.Limits) {
	t.Helper()
	server, err := p4rtserver.New(p4rtserver.Config{DeviceID: 1, Limits: limits, Logger: quietly,
		Inject: func([]byte) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", strings.TrimPrefix(e.address, "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	rpc := grpc.NewServer(grpc.MaxRecvMsgSize(64<<20), p4rtserver.ServerOption())
	server.Register(rpc)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = server.Run(ctx) })
	running.Go(func() { _ = rpc.Serve(listener) })
	e.mu.Lock()
	defer e.mu.Unlock()
	e.server = server
	e.stop = func() { cancel(); rpc.Stop(); running.Wait() }
}

// replace has a switch take its place that has room in every table.
func (e *embedded) replace(t *testing.T) {
	e.stop()
	e.run(t, pipeline.Limits{MinTableSize: 1 << 10})
}

func (e *embedded) at() string { return e.address }

func (e *embedded) speak() {
	for n := range plentyHosts {
		e.forward(1, plentyHost(n))
	}
	out := e.forward(1, toStation)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.arrived = slices.ContainsFunc(out, func(p pipeline.Packet) bool { return passes(p.Port, p.Data) })
}

// forward gives what comes out for a frame that comes in.
func (e *embedded) forward(port uint32, frame []byte) (out []pipeline.Packet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.server.Forwarding()
	if f == nil {
		return nil
	}
	if f != e.forwarding {
		e.forwarding, e.worker = f, f.Pipeline.NewWorker(f)
	}
	e.worker.Process(port, frame)
	for _, p := range e.worker.Out {
		if p.Port == p4.CPUPort {
			f.PacketIn(p.Data)
			continue
		}
		out = append(out, pipeline.Packet{Port: p.Port, Data: bytes.Clone(p.Data)})
	}
	e.worker.Reset()
	return out
}

func (e *embedded) passed() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.arrived }

// switchProgram is the program without white space, which is half of it.
var switchProgram = sync.OnceValue(func() string {
	var b bytes.Buffer
	if err := json.Compact(&b, p4.DeviceConfig()); err != nil {
		panic(err)
	}
	return b.String()
})

// sized is the program with another size of one table.
func sized(t *testing.T, table string, size int) string {
	t.Helper()
	named := fmt.Sprintf(`"name":%q,`, table)
	before, of, found := strings.Cut(switchProgram(), named)
	old := fmt.Sprintf(`"max_size":%d,`, tableSize(table))
	if i := strings.Index(of, `"max_size"`); !found || !strings.HasPrefix(of[max(0, i):], old) {
		t.Fatalf("the program has no table %s, or not with %s", table, old)
	}
	return before + named + strings.Replace(of, old, fmt.Sprintf(`"max_size":%d,`, size), 1)
}

// tableSize is what P4Info says.
func tableSize(table string) int64 {
	for _, t := range p4.P4Info().GetTables() {
		if t.GetPreamble().GetName() == table {
			return t.GetSize()
		}
	}
	return 0
}

// updates are how many updates the target took, and how many it refused by code.
func (g *gateway) updates() (taken float64, refused map[string]float64) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(g.client)
	families, err := reg.Gather()
	if err != nil {
		g.Fatal(err)
	}
	refused = map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "p4evpn_p4rt_updates_total":
				taken += m.GetCounter().GetValue()
			case "p4evpn_p4rt_update_errors_total":
				taken -= m.GetCounter().GetValue()
				refused[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return taken, refused
}

// plentyOn is plenty on a switch. Hosts that its tables hide are not known.
func plentyOn(t *testing.T, s realSwitch, o options) *gateway {
	t.Helper()
	o.at = s.at()
	g := plentyAsked(t, o)
	for i := range plentyLeaves {
		g.send(plentyRoutes(i)...)
	}
	g.eventually("the hosts are known, and a frame passes", func() bool {
		s.speak()
		return g.hostsKnown() && s.passed()
	})
	return g
}

// lessAsked takes away half of what the operator asked for, and of the leaves.
func (g *gateway) lessAsked() {
	g.Helper()
	for i := range plentyLeaves / 2 {
		for _, e := range plentyRoutes(plentyLeaves - 1 - i) {
			g.send(withdraw(peer1, e.Route))
		}
	}
	g.update(func(tx *intent.Tx) (err error) {
		all, err := tx.Ports().Get("eth2")
		all.Bridges = []string{"bridge-10", "bridge-20"}
		errs := []error{err, tx.SVIs().Delete("svi-30"), tx.SVIs().Delete("svi-40"), tx.VRFs().Delete("green"),
			tx.StaticMACs().Delete("bridge-20"), tx.Instances().Delete("bridge.bridge-20")}
		_, err = tx.Ports().Update(all)
		return errors.Join(append(errs, err, tx.Bridges().Delete("bridge-30"), tx.Bridges().Delete("bridge-40"))...)
	})
}

// fullSwitches are the switches whose tables are filled, and how they say that one is full.
var fullSwitches = []struct {
	name, code string
	start      func(*testing.T) realSwitch
}{
	{"embedded", "ResourceExhausted", startEmbedded},
	{"BMv2", "Unknown", startBMv2},
}

func TestEachTableOfASwitchMayBeFullAndTheRestStaysRight(t *testing.T) {
	for _, kind := range fullSwitches {
		t.Run(kind.name, func(t *testing.T) {
			g := plentyOn(t, kind.start(t), options{json: switchProgram()})
			if n := g.without(); len(n) != 0 {
				t.Fatalf("missing where there is room: %v", n)
			}
			whole := sizes(g.shares())
			g.lessAsked()
			g.without()
			after := sizes(g.shares())
			for _, table := range p4.P4Info().GetTables() {
				name := table.GetPreamble().GetName()
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					fillTable(t, kind.start(t), kind.code, name, whole.of(name), after.of(name))
				})
			}
		})
	}
}

// fillTable has one table of a switch be full. It has room for what stays when there is less
// asked for, or where that is the same for all but one.
func fillTable(t *testing.T, s realSwitch, code, name string, whole, after int) {
	size := min(after, whole-1)
	log := &logged{}
	said := func() int { return log.count("the target refused entries") }
	g := plentyOn(t, s, options{json: sized(t, name, size),
		cfg: Config{Logger: slog.New(slog.NewTextHandler(log, nil))}})
	if doneWithout[name] {
		// BMv2 keeps for ever a group that it was once asked to add an entry for where there was
		// no room, which is shown.
		g.eventually("what there is no room for does without", func() bool {
			_, refused := g.updates()
			return refused[code] > 0 && g.shown()[name] == 0 && sizes(g.shares()).of(name) == size
		})
		s.speak()
		g.eventually("a frame passes", s.passed)
		return
	}
	if n := g.without()[name]; n != whole-size {
		t.Errorf("%d entries are missing of %d, want all but the %d that fit", n, whole, size)
	}
	first := said()
	taken, before := g.updates() // what is being written may count for one of them alone
	var refused map[string]float64
	g.eventually("it was asked again, and nothing else was written", func() bool {
		var now float64
		if now, refused = g.updates(); refused[code] < before[code]+3 {
			return false
		}
		if now != taken {
			taken, before = now, refused
			return false
		}
		return true
	})
	if said() != first || first == 0 {
		t.Errorf("it was said %d times more than %d, want once", said()-first, first)
	}
	if len(refused) != 1 {
		t.Errorf("refused by code: %v, want only %s", slices.Collect(maps.Keys(refused)), code)
	}
	s.speak()
	g.eventually("what was there passes a frame", s.passed)
	g.lessAsked()
	e, replaceable := s.(*embedded)
	switch {
	case after < whole:
	case replaceable: // what is in it is the configuration's
		e.replace(t)
	default:
		return
	}
	g.eventually("all came in", func() bool { return g.cameIn(name, after) })
	s.speak()
	g.eventually("a frame passes where there is room", s.passed)
}

// cameIn reports whether a table has what it shall have, and so has the rest.
func (g *gateway) cameIn(table string, want int) bool {
	return sizes(g.shares()).of(table) == want && len(g.without()) == 0
}

// reference is BMv2.
type reference struct {
	*bmv2.Switch
	t    *testing.T
	left int // times that it may speak still
}

func startBMv2(t *testing.T) realSwitch {
	if _, err := exec.LookPath("simple_switch_grpc"); err != nil {
		t.Skip("SKIP: simple_switch_grpc is not on PATH")
	}
	b, err := bmv2.Start(t.Context(), bmv2.Config{Binary: "simple_switch_grpc", Ports: []uint32{1, 2}, DeviceID: 1,
		TargetArgs: []string{"--cpu-port", fmt.Sprint(p4.CPUPort)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	r := &reference{b, t, 1000}
	var all []bmv2.Frame
	for range r.left + 1 { // one frame more than goes in
		for n := range plentyHosts {
			all = append(all, bmv2.Frame{Port: 1, Data: plentyHost(n)})
		}
		all = append(all, bmv2.Frame{Port: 1, Data: toStation})
	}
	if err := b.Load(all); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *reference) at() string { return r.GRPC }

func (r *reference) speak() {
	if r.left--; r.left < 0 {
		r.t.Fatal("there are no more frames")
	}
	if err := r.Release(plentyHosts + 1); err != nil {
		r.t.Fatal(err)
	}
}

func (r *reference) passed() bool {
	for _, f := range r.Receive(plentyHosts+1, 50*time.Millisecond) {
		if passes(f.Port, f.Data) {
			return true
		}
	}
	return false
}
