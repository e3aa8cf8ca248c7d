package p4_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/internal/netnstest"
	"github.com/p4evpn/p4evpn/p4"
)

// patience is for what takes milliseconds.
const patience = 5 * time.Second

// bmv2 is simple_switch_grpc, the reference switch, in a network namespace of
// its own. Each port is a veth pair whose other end is a raw socket here.
type bmv2 struct {
	lab    *testbed.Lab
	daemon *testbed.Process
	client *p4rt.Client
	ports  map[uint32]*testbed.RawSocket

	marks     uint64     // sentinels made
	sentinels counted    // out of each port, by the test that runs
	inserted  []p4.Entry // by the test that runs
	reports   []p4.Learn // not asked for yet
	broken    error      // no test can run any more
}

// One BMv2 serves the whole run: to push the program again would spoil its
// multicast groups (BMv2 issue 891). So entries are removed after
// each test, and counters set to 0 before it.
var (
	sharedBMv2 = sync.OnceValues(startBMv2)
	stopBMv2   = func() error { return nil }
)

func TestMain(m *testing.M) {
	netnstest.Alone()
	code := m.Run()
	if err := stopBMv2(); err != nil {
		fmt.Fprintln(os.Stderr, "stop BMv2:", err)
		code = 1
	}
	os.Exit(code)
}

func newBMv2(t *testing.T) target {
	t.Helper()
	if _, err := exec.LookPath("simple_switch_grpc"); err != nil {
		t.Skip("SKIP: simple_switch_grpc is not on PATH")
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIP: a network namespace needs root")
	}
	b, err := sharedBMv2()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.broken, b.daemon.Running(), b.clearCounters()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := b.learned() // leaves no frame and no report to the next test
		if err = errors.Join(err, b.removeInserted()); err != nil {
			b.broken = fmt.Errorf("%s could not be tidied up: %w", t.Name(), err)
			t.Error(err)
		}
	})
	return b
}

func startBMv2() (_ *bmv2, err error) {
	lab, err := testbed.NewLab()
	if err != nil {
		return nil, err
	}
	stopBMv2 = lab.Close
	b := &bmv2{lab: lab, ports: map[uint32]*testbed.RawSocket{}}
	ns, err := lab.Namespace("bmv2")
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(lab.Dir, "p4rt")
	args := []string{"simple_switch_grpc", "--no-p4", "--device-id", "1", "--log-console", "--log-level", "warn"}
	for _, port := range []uint32{access1, access2, trunk, other, uplink, host, unused} {
		ours, its := fmt.Sprintf("test%d", port), fmt.Sprintf("port%d", port)
		if err := lab.Cable(testbed.End{NS: ns, Dev: ours}, testbed.End{NS: ns, Dev: its}); err != nil {
			return nil, err
		}
		if b.ports[port], err = ns.OpenRaw(ours); err != nil {
			return nil, err
		}
		args = append(args, "-i", fmt.Sprintf("%d@%s", port, its))
	}
	args = append(args, "--", "--grpc-server-addr", "unix:"+socket, "--cpu-port", fmt.Sprint(p4.CPUPort))
	if b.daemon, err = lab.Start(ns, "bmv2", args...); err != nil {
		return nil, err
	}
	if b.client, err = p4rt.New(p4rt.Config{
		Target: "unix:" + socket, DeviceID: 1, ElectionID: p4rt.ElectionID{Low: 1},
		P4Info: p4.P4Info(), DeviceConfig: p4.DeviceConfig(), Cookie: p4.Cookie(),
	}); err != nil {
		return nil, err
	}
	b.connect()
	for {
		e, err := b.event()
		if err != nil {
			return nil, errors.Join(err, b.daemon.Running())
		}
		if up, ok := e.(p4rt.Up); ok && up.Pushed {
			return b, b.write(p4v1.Update_INSERT, everyDigest())
		}
	}
}

// everyDigest asks for each report at once, and again for the next frame: with
// an ack timeout, PI leaves reports out for as long, since it loses acks that
// another stream message follows closely.
func everyDigest() *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_DigestEntry{DigestEntry: &p4v1.DigestEntry{
		DigestId: p4.DigestID(), Config: &p4v1.DigestEntry_Config{MaxListSize: 1},
	}}}
}

// connect runs the client until the switch is stopped.
func (b *bmv2) connect() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.client.Run(ctx) }()
	stopBMv2 = func() error {
		cancel()
		err := <-done
		for _, s := range b.ports {
			err = errors.Join(err, s.Close())
		}
		return errors.Join(err, b.lab.Close())
	}
}

func (b *bmv2) event() (p4rt.Event, error) {
	select {
	case e := <-b.client.Events():
		return e, nil
	case <-time.After(patience):
		return nil, fmt.Errorf("BMv2 told nothing for %v", patience)
	}
}

func (b *bmv2) write(op p4v1.Update_Type, entities ...*p4v1.Entity) error {
	var updates []p4rt.Update
	for _, e := range entities {
		updates = append(updates, &p4v1.Update{Type: op, Entity: e})
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	errs, err := b.client.Write(ctx, updates)
	return errors.Join(append(errs, err)...)
}

func (b *bmv2) insert(entries ...p4.Entry) error {
	b.inserted = append(b.inserted, entries...)
	return b.write(p4v1.Update_INSERT, entities(entries)...)
}

func (b *bmv2) modify(entries ...p4.Entry) error {
	return b.write(p4v1.Update_MODIFY, entities(entries)...)
}

// removeInserted names what is to go, as the controller does.
func (b *bmv2) removeInserted() error {
	var names []*p4v1.Entity
	for _, e := range slices.Backward(b.inserted) { // nothing refers to what came last
		name := &p4v1.Entity{}
		if err := proto.Unmarshal(e.AppendName(nil), name); err != nil {
			return err
		}
		names = append(names, name)
	}
	b.inserted = nil
	return b.write(p4v1.Update_DELETE, names...)
}

func entities(entries []p4.Entry) []*p4v1.Entity {
	var out []*p4v1.Entity
	for _, e := range entries {
		out = append(out, e.Entity())
	}
	return out
}

// cell is the P4Runtime entity of a counter's cell.
func cell(counter string, index uint32) (*p4v1.CounterEntry, error) {
	all := p4.P4Info().GetCounters()
	i := slices.IndexFunc(all, func(c *p4configv1.Counter) bool { return c.GetPreamble().GetName() == counter })
	if i < 0 {
		return nil, fmt.Errorf("no counter %s", counter)
	}
	return &p4v1.CounterEntry{CounterId: all[i].GetPreamble().GetId(), Index: &p4v1.Index{Index: int64(index)}}, nil
}

func (b *bmv2) count(counter string, index uint32) (counted, error) {
	c, err := cell(counter, index)
	if err != nil {
		return counted{}, err
	}
	e, err := b.read(&p4v1.Entity{Entity: &p4v1.Entity_CounterEntry{CounterEntry: c}})
	n := value(e.GetCounterEntry().GetData())
	if counter == "port_out" {
		n.packets -= b.sentinels.packets
		n.bytes -= b.sentinels.bytes
	}
	return n, err
}

func (b *bmv2) meter(e *p4v1.MeterEntry) error {
	return b.write(p4v1.Update_MODIFY, &p4v1.Entity{Entity: &p4v1.Entity_MeterEntry{MeterEntry: e}})
}

func (b *bmv2) countEntry(e p4.Entry) (counted, error) {
	c := &p4v1.DirectCounterEntry{TableEntry: &p4v1.TableEntry{
		TableId: e.Entity().GetTableEntry().GetTableId(), Match: e.Entity().GetTableEntry().GetMatch()}}
	got, err := b.read(&p4v1.Entity{Entity: &p4v1.Entity_DirectCounterEntry{DirectCounterEntry: c}})
	return value(got.GetDirectCounterEntry().GetData()), err
}

func value(d *p4v1.CounterData) counted {
	return counted{uint64(d.GetPacketCount()), uint64(d.GetByteCount())}
}

// read reads one entity.
func (b *bmv2) read(e *p4v1.Entity) (got *p4v1.Entity, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = b.client.Read(ctx, []*p4v1.Entity{e}, func(e *p4v1.Entity) error { got = e; return nil })
	if err == nil && got == nil {
		err = fmt.Errorf("BMv2 has no %v", e)
	}
	return got, err
}

// clearCounters sets to 0 what the tests look at.
func (b *bmv2) clearCounters() error {
	cells := map[string][]uint32{}
	for port := range b.ports {
		cells["port_in"] = append(cells["port_in"], port)
		cells["port_out"] = append(cells["port_out"], port)
		for why := range p4.DropReasons {
			cells["port_drops"] = append(cells["port_drops"], why.Of(uint16(port)))
			cells["port_egress_drops"] = append(cells["port_egress_drops"], why.Of(uint16(port)))
		}
	}
	for i := range uint32(p4.DropReasons) {
		cells["ingress_drops"] = append(cells["ingress_drops"], i)
		cells["egress_drops"] = append(cells["egress_drops"], i)
	}
	for i := range uint32(p4.PuntReasons) {
		cells["punts_limited"] = append(cells["punts_limited"], i)
	}
	for i := range uint32(bridge3 + 1) {
		for why := range p4.DropReasons {
			cells["bridge_drops"] = append(cells["bridge_drops"], why.Of(uint16(i)))
		}
		for _, counter := range []string{"bridge_vxlan_in", "bridge_vxlan_out", "vrf_routed",
			"vrf_vxlan_in", "vrf_vxlan_out"} {
			cells[counter] = append(cells[counter], i)
		}
	}
	var zero []*p4v1.Entity
	for counter, indices := range cells {
		for _, i := range indices {
			c, err := cell(counter, i)
			if err != nil {
				return err
			}
			c.Data = &p4v1.CounterData{}
			zero = append(zero, &p4v1.Entity{Entity: &p4v1.Entity_CounterEntry{CounterEntry: c}})
		}
	}
	b.sentinels = counted{}
	return b.write(p4v1.Update_MODIFY, zero...)
}

// process waits until ingress has the frame, which port_in tells, and then
// flushes what it made out of every port.
func (b *bmv2) process(port uint32, frame []byte) (out, error) {
	if port == p4.CPUPort {
		if err := b.packetOut(frame); err != nil {
			return nil, err
		}
		return b.flush()
	}
	before, err := b.count("port_in", port)
	if err != nil {
		return nil, err
	}
	if err := b.ports[port].Send(frame); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(patience)
	for now := before; now == before; {
		if now, err = b.count("port_in", port); err != nil {
			return nil, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("port %d: BMv2 did not receive %x", port, frame)
		}
	}
	return b.flush()
}

// flush sends a sentinel out of each port and gives what left before it.
// Ingress is one thread and each port's queue is first in, first out: what
// ingress had before the sentinels is before them.
func (b *bmv2) flush() (out, error) {
	b.marks++
	mark := slices.Concat(ether.Broadcast[:], []byte{2, 0xff, 0, 0, 0, 0, 0x88, 0xb5},
		binary.BigEndian.AppendUint64(nil, b.marks))
	o := out{}
	for port := range b.ports {
		if err := b.packetOut(injected(0, uint16(port), 0, 0, mark)); err != nil {
			return nil, err
		}
	}
	b.sentinels.packets++
	b.sentinels.bytes += uint64(len(injected(0, 0, 0, 0, mark)))
	if err := b.packetOut(injected(0, p4.CPUPort, 0, 0, punted(0, 0, 0, 0, mark))); err != nil {
		return nil, err
	}
	for port := range b.ports {
		if err := b.receive(o, port, mark); err != nil {
			return nil, err
		}
	}
	return o, b.receivePunted(o, mark)
}

func (b *bmv2) receive(o out, port uint32, mark []byte) error {
	for deadline := time.Now().Add(patience); ; {
		frame, err := b.ports[port].Receive(make([]byte, 10000), deadline)
		if err != nil {
			return fmt.Errorf("port %d: awaiting the sentinel: %w", port, err)
		}
		if bytes.Equal(frame, mark) {
			return nil
		}
		o[port] = append(o[port], frame)
	}
}

func (b *bmv2) receivePunted(o out, mark []byte) error {
	for {
		e, err := b.event()
		if err != nil {
			return fmt.Errorf("awaiting the sentinel as packet-in: %w", err)
		}
		p, ok := e.(p4rt.PacketIn)
		if !ok {
			if err := b.note(e); err != nil {
				return err
			}
			continue
		}
		if bytes.Equal(p.Packet.GetPayload(), mark) {
			return nil
		}
		o[p4.CPUPort] = append(o[p4.CPUPort], joinHeader("packet_in", p.Packet.GetMetadata(), p.Packet.GetPayload()))
	}
}

// packetOut sends a frame that starts with the header packet_out.
func (b *bmv2) packetOut(frame []byte) error {
	metadata, payload := splitHeader("packet_out", frame)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return b.client.PacketOut(ctx, &p4v1.PacketOut{Metadata: metadata, Payload: payload})
}

// note keeps a report; any other event is an error.
func (b *bmv2) note(e p4rt.Event) error {
	d, ok := e.(p4rt.Digest)
	if !ok {
		return fmt.Errorf("unexpected event %T: %v", e, e)
	}
	for _, m := range d.Members {
		l, err := p4.DecodeLearn(m)
		if err != nil {
			return err
		}
		b.reports = append(b.reports, l)
	}
	return nil
}

// learned sends a frame of a MAC that was never seen, whose report comes after
// those of all frames before it.
func (b *bmv2) learned() ([]p4.Learn, error) {
	b.marks++
	var mark ether.MAC
	binary.BigEndian.PutUint32(mark[2:], uint32(b.marks))
	mark[0], mark[1] = 2, 0xfe
	if _, err := b.process(other, frame(mark, ether.Broadcast)); err != nil {
		return nil, err
	}
	for {
		if i := slices.IndexFunc(b.reports, func(l p4.Learn) bool { return l.MAC == mark }); i >= 0 {
			l := b.reports[:i]
			b.reports = nil
			return l, nil
		}
		e, err := b.event()
		if err == nil {
			err = b.note(e)
		}
		if err != nil {
			return nil, fmt.Errorf("awaiting the report of the sentinel: %w", err)
		}
	}
}
