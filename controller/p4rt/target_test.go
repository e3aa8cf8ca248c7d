package p4rt_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// A target is a switch with one port, number 1.
type target struct {
	address string
	keeps   bool                              // entries for another pipeline that they fit
	restart func(tb testing.TB)               // kill, and start empty
	send    func(tb testing.TB, frame []byte) // into port 1
	receive func(tb testing.TB) []byte        // out of port 1
}

func TestFakeConforms(t *testing.T) {
	s := p4rttest.New(t, p4rttest.Config{DeviceID: 1})
	conform(t, &target{address: s.Target(), restart: func(testing.TB) { s.Restart() }})
}

// real is a client's config for a real target and the project's program.
func real(tb testing.TB, tg *target) p4rt.Config {
	cfg := config(tb, tg.address)
	cfg.DeviceID, cfg.MinBackoff, cfg.MaxBackoff = 1, 50*time.Millisecond, 200*time.Millisecond
	cfg.P4Info, cfg.DeviceConfig, cfg.Cookie = p4.P4Info(), p4.DeviceConfig(), p4.Cookie()
	cfg.Digests = []p4rt.DigestConfig{{ID: p4.DigestID()}}
	return cfg
}

// conform proves on a target with the project's program what the other tests
// prove on the fake one with another.
func conform(t *testing.T, tg *target) {
	for _, check := range []struct {
		name   string
		run    func(*testing.T, *target)
		frames bool // the target must forward
	}{
		{"the pipeline is pushed once", pushedOnce, false},
		{"every kind of entry comes back as it was written", readsBack, false},
		{"each update has its own answer", answersEachUpdate, false},
		{"a big batch of errors arrives whole", answersManyUpdates, false},
		{"a big table is read whole", readsMany, false},
		{"mastership goes to the higher election id and back", changesMastership, false},
		{"a second client with the same election id cannot write", keepsOutSecond, false},
		{"a source MAC is reported, known, and idle", learnsAndAges, true},
		{"frames go to the controller and come from it", punts, true},
		{"a replaced pipeline leaves no replicas behind", replaces, true},
		{"a restarted target gets its pipeline", restarts, false},
	} {
		if check.frames && tg.send == nil {
			continue
		}
		if !t.Run(check.name, func(t *testing.T) { check.run(t, tg) }) && check.name == "the pipeline is pushed once" {
			return // nothing else can work
		}
	}
}

func pushedOnce(t *testing.T, tg *target) {
	t.Run("first", func(t *testing.T) {
		if !nextUp(t, start(t, real(t, tg))).Pushed {
			t.Error("the first client pushed nothing")
		}
	})
	if nextUp(t, start(t, real(t, tg))).Pushed {
		t.Error("the second client pushed again")
	}
}

// primary gives a client that is primary on a target without entries.
func primary(t *testing.T, tg *target) *p4rt.Client {
	t.Helper()
	c := start(t, real(t, tg))
	nextUp(t, c)
	empty(t, c)
	t.Cleanup(func() { empty(t, c) })
	return c
}

// held reads all that the target holds.
func held(t *testing.T, c *p4rt.Client) map[p4.Key]p4.Value {
	t.Helper()
	entries := map[p4.Key]p4.Value{}
	for _, e := range p4.Wildcards() {
		if err := c.Read(context.Background(), []*p4v1.Entity{e}, func(e *p4v1.Entity) error {
			entry, err := p4.FromEntity(e)
			entries[entry.Key] = entry.Value
			return err
		}); err != nil {
			t.Fatalf("reading %v: %v", e, err)
		}
	}
	return entries
}

func empty(t *testing.T, c *p4rt.Client) {
	t.Helper()
	var updates [p4.Levels][]p4rt.Update
	for k, v := range held(t, c) {
		e := p4.Entry{Key: k, Value: v}
		typed, err := p4.Decode(e)
		if err != nil {
			t.Fatal(err)
		}
		updates[typed.Level()] = append(updates[typed.Level()], &p4v1.Update{Type: remove, Entity: e.Entity()})
	}
	for _, level := range slices.Backward(updates[:]) {
		writeEntries(t, c, level)
	}
}

func writeEntries(t *testing.T, c *p4rt.Client, updates []p4rt.Update) {
	t.Helper()
	errs, err := c.Write(context.Background(), updates)
	if err = errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
}

func inserts(entries ...p4.Entry) []p4rt.Update {
	var updates []p4rt.Update
	for _, e := range entries {
		updates = append(updates, &p4v1.Update{Type: insert, Entity: e.Entity()})
	}
	return updates
}

var vtep, peer = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")

func someMAC(n int) ether.MAC { return ether.MAC{2, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)} }

func oneOfEach() []p4.Entry {
	return []p4.Entry{
		p4.BridgePort{Port: 1}.Entry(), p4.Uplink{Port: 2, HostPort: 3}.Entry(), p4.HostPort{Port: 3, Uplink: 2}.Entry(),
		p4.Member{Port: 1, Bridge: 1}.Entry(), p4.Member{Port: 1, VLAN: 4094, Bridge: 4095}.Entry(),
		p4.EgressVLAN{Port: 1, Bridge: 1}.Entry(), p4.EgressVLAN{Port: 1, Bridge: 4095, VLAN: 4094}.Entry(),
		p4.RemoteVTEP{Prefix: netip.MustParsePrefix("0.0.0.0/0")}.Entry(),
		p4.RemoteVTEP{Prefix: netip.PrefixFrom(peer, 32)}.Entry(),
		p4.RemoteVTEP{Prefix: netip.MustParsePrefix("10.1.2.0/23")}.Entry(),
		p4.LocalVTEP{Address: vtep}.Entry(), p4.VNI{Local: vtep, VNI: 0xffffff, Bridge: 1}.Entry(),
		p4.Source{Bridge: 1, MAC: someMAC(1), Port: 1, IdleTimeout: time.Hour, Metadata: "\x00seven\xff"}.Entry(),
		p4.Source{Bridge: 1, MAC: someMAC(2), Port: 1, Verdict: p4.Discard, IdleTimeout: time.Minute}.Entry(),
		p4.FDB{Bridge: 1, MAC: someMAC(1), Kind: p4.ToPort, Port: 1}.Entry(),
		p4.FDB{Bridge: 1, MAC: someMAC(3), Kind: p4.ToVTEP, VTEP: 256, VNI: 77}.Entry(),
		p4.FDB{Bridge: 1, MAC: someMAC(4), Kind: p4.Drop}.Entry(),
		p4.Path{VTEP: 256, Port: 2}.Entry(),
		p4.Flows{VTEP: 257, Group: 8}.Entry(),
		p4.Tunnel{VTEP: 256, Source: vtep, Destination: peer, Adjacency: 1}.Entry(),
		p4.Adjacency{ID: 1, Source: someMAC(5), Destination: someMAC(6)}.Entry(),
		p4.Replica{Bridge: 1, Instance: 2, VTEP: 256, VNI: 77}.Entry(),
		p4.Group{ID: 1, Members: []p4.GroupMember{{Port: 1, Instance: 1}, {Port: 2, Instance: 2},
			{Port: 2, Instance: 65535}}}.Entry(),
		p4.CloneSession{ID: p4.CPUCloneSession, Port: p4.CPUPort}.Entry(),
		p4.Trap{Bridge: 1, EtherType: 0x0806, Priority: 10, Reason: 3}.Entry(), p4.Trap{Priority: 1, Divert: true,
			Reason: 4}.Entry(),
	}
}

// selectorGroup is what some of oneOfEach refers to.
func selectorGroup() (slots []p4.Entry, group p4.Entry) {
	for i := range uint8(p4.Slots) {
		slots = append(slots, p4.UplinkSlot{Group: 8, Slot: i, Port: 2, Adjacency: 1}.Entry())
	}
	return slots, p4.UplinkGroup{ID: 8}.Entry()
}

func readsBack(t *testing.T, tg *target) {
	c := primary(t, tg)
	want := map[p4.Key]p4.Value{}
	for _, e := range oneOfEach() {
		want[e.Key] = e.Value
	}
	slots, group := selectorGroup()
	writeEntries(t, c, inserts(slots...))
	writeEntries(t, c, inserts(group))
	writeEntries(t, c, inserts(oneOfEach()...))
	for _, e := range append(slots, group) {
		want[e.Key] = e.Value
	}
	got := held(t, c)
	for k, v := range want {
		if got[k] != v {
			t.Errorf("wrote %v, read %v", p4.Entry{Key: k, Value: v}, p4.Entry{Key: k, Value: got[k]})
		}
	}
	for k, v := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("read %v, which nobody wrote", p4.Entry{Key: k, Value: v})
		}
	}
	// A MODIFY replaces the whole value, metadata and members too.
	for _, e := range []p4.Entry{
		p4.Source{Bridge: 1, MAC: someMAC(1), Port: 1, Verdict: p4.Ignore, IdleTimeout: time.Minute, Metadata: "8"}.Entry(),
		p4.Group{ID: 1, Members: []p4.GroupMember{{Port: 1, Instance: 1}, {Port: 4, Instance: 2}}}.Entry(),
		p4.FDB{Bridge: 1, MAC: someMAC(1), Kind: p4.ToVTEP, VTEP: 256, VNI: 5}.Entry(),
		p4.UplinkSlot{Group: 8, Slot: 63, Port: 4, Adjacency: 1}.Entry(), p4.Path{VTEP: 256, Port: 4, MTU: 9}.Entry(),
	} {
		writeEntries(t, c, []p4rt.Update{&p4v1.Update{Type: modify, Entity: e.Entity()}})
		want[e.Key] = e.Value
	}
	if got := held(t, c); !maps.Equal(got, want) {
		t.Errorf("after MODIFY the target holds %v, want %v", got, want)
	}
}

func answersEachUpdate(t *testing.T, tg *target) {
	c := primary(t, tg)
	there := p4.FDB{Bridge: 1, MAC: someMAC(1), Port: 1}.Entry()
	writeEntries(t, c, inserts(there))
	wide := inserts(p4.FDB{Bridge: 1, MAC: someMAC(9), Port: 1}.Entry())[0]
	wide.GetEntity().GetTableEntry().GetAction().GetAction().GetParams()[0].Value = []byte{0xff, 0xff}
	again := p4.Group{ID: 9, Members: []p4.GroupMember{{Port: 1, Instance: 1}}}.Entry()
	twice := again.Entity()
	g := twice.GetPacketReplicationEngineEntry().GetMulticastGroupEntry()
	g.Replicas = append(g.Replicas, g.GetReplicas()[0])
	errs, err := c.Write(context.Background(), []p4rt.Update{
		inserts(p4.FDB{Bridge: 2, MAC: someMAC(1), Port: 1}.Entry())[0],
		inserts(there)[0],
		&p4v1.Update{Type: modify, Entity: p4.FDB{Bridge: 1, MAC: someMAC(2), Port: 1}.Entry().Entity()},
		&p4v1.Update{Type: remove, Entity: p4.FDB{Bridge: 1, MAC: someMAC(3), Port: 1}.Entry().Entity()},
		wide,
		&p4v1.Update{Type: insert, Entity: twice},
		inserts(p4.FDB{Bridge: 2, MAC: someMAC(2), Port: 1}.Entry())[0],
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []codes.Code{
		codes.OK, codes.AlreadyExists, codes.NotFound, codes.NotFound, codes.InvalidArgument, codes.InvalidArgument, codes.OK,
	} {
		// BMv2 says OUT_OF_RANGE for the wide value.
		if got := status.Code(errs[i]); got != want && (got != codes.OutOfRange || want != codes.InvalidArgument) {
			t.Errorf("update %d: %v, want %v", i, errs[i], want)
		}
	}
	if got := len(held(t, c)); got != 3 {
		t.Errorf("%d entries, want 3", got)
	}
}

func answersManyUpdates(t *testing.T, tg *target) {
	cfg := real(t, tg)
	cfg.MaxBatch = 5000
	c := start(t, cfg)
	nextUp(t, c)
	var updates []p4rt.Update
	for i := range 5000 {
		updates = append(updates, &p4v1.Update{Type: remove, Entity: p4.FDB{Bridge: 3, MAC: someMAC(i)}.Entry().Entity()})
	}
	errs, err := c.Write(context.Background(), updates)
	if err != nil {
		t.Fatal(err)
	}
	for i, err := range errs {
		if !errors.Is(err, p4rt.ErrNotFound) {
			t.Fatalf("update %d: %v", i, err)
		}
	}
}

func readsMany(t *testing.T, tg *target) {
	c := primary(t, tg)
	const n = 2_500
	metadata := strings.Repeat("m", 2000) // makes it more than 4 MB
	var entries []p4.Entry
	for i := range n {
		entries = append(entries, p4.Source{Bridge: uint16(1 + i%100), MAC: someMAC(i), Port: 1, Metadata: metadata}.Entry())
	}
	writeEntries(t, c, inserts(entries...))
	if got := len(held(t, c)); got != n {
		t.Errorf("read %d entries of %d", got, n)
	}
}

func changesMastership(t *testing.T, tg *target) {
	c := primary(t, tg)
	t.Run("another", func(t *testing.T) {
		cfg := real(t, tg)
		cfg.ElectionID.Low++
		other := start(t, cfg)
		if nextUp(t, other).Pushed {
			t.Error("the other pushed again")
		}
		if got := next[p4rt.NotPrimary](t, c); got.Primary != cfg.ElectionID {
			t.Errorf("the primary is %v", got.Primary)
		}
		if _, err := c.Write(context.Background(), inserts(p4.BridgePort{Port: 1}.Entry())); !errors.Is(err,
			p4rt.ErrNotPrimary) {
			t.Errorf("Write as a backup: %v", err)
		}
		writeEntries(t, other, inserts(p4.BridgePort{Port: 1}.Entry()))
		if got := len(held(t, c)); got != 1 {
			t.Errorf("the backup reads %d entries", got)
		}
	})
	nextUp(t, c)
	writeEntries(t, c, inserts(p4.BridgePort{Port: 4}.Entry()))
}

// keepsOutSecond: with the id in use a client is refused. On a target where the
// first client had to go above it, the second is a backup.
func keepsOutSecond(t *testing.T, tg *target) {
	c := primary(t, tg)
	other := start(t, real(t, tg))
	switch e := next[p4rt.Event](t, other).(type) {
	case p4rt.Down:
		if !errors.Is(e.Err, p4rt.ErrRefused) {
			t.Errorf("Down says %v", e.Err)
		}
	case p4rt.NotPrimary:
	default:
		t.Errorf("%T", e)
	}
	if _, err := other.Write(context.Background(), inserts(p4.BridgePort{Port: 2}.Entry())); err == nil {
		t.Error("the second client could write")
	}
	writeEntries(t, c, inserts(p4.BridgePort{Port: 1}.Entry()))
}

// frame is a broadcast from a MAC, with an EtherType of nobody.
func frame(src ether.MAC, etherType uint16) []byte {
	f := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, src[:]...)
	f = append(f, byte(etherType>>8), byte(etherType))
	return append(f, make([]byte, 46)...)
}

// await gives the next event that is a T, and passes over others.
func await[T p4rt.Event](t *testing.T, c *p4rt.Client) T {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case e := <-c.Events():
			if e, ok := e.(T); ok {
				return e
			}
		case <-deadline:
			t.Fatalf("waited 20 s in vain for %T", *new(T))
		}
	}
}

func learnsAndAges(t *testing.T, tg *target) {
	c := primary(t, tg)
	writeEntries(t, c, inserts(p4.BridgePort{Port: 1}.Entry(), p4.Member{Port: 1, Bridge: 1}.Entry()))
	tg.send(t, frame(someMAC(1), 0x88b5))
	d := await[p4rt.Digest](t, c)
	learn, err := p4.DecodeLearn(d.Members[0])
	if err != nil || learn != (p4.Learn{Bridge: 1, MAC: someMAC(1), Port: 1}) {
		t.Fatalf("digest %+v, %v", learn, err)
	}
	// Acknowledged and not answered by an entry, so the next frame makes
	// another one, long before the ack timeout.
	began := time.Now()
	for again := false; !again; {
		tg.send(t, frame(someMAC(1), 0x88b5))
		select {
		case e := <-c.Events():
			_, again = e.(p4rt.Digest)
		case <-time.After(20 * time.Millisecond):
			if time.Since(began) > 20*time.Second {
				t.Fatal("no second digest")
			}
		}
	}
	if took := time.Since(began); took > 900*time.Millisecond {
		t.Errorf("the second digest came after %v: the first was not acknowledged", took)
	}
	src := p4.Source{Bridge: 1, MAC: someMAC(1), Port: 1, IdleTimeout: time.Second}.Entry()
	writeEntries(t, c, inserts(src))
	idle := await[p4rt.Idle](t, c)
	if key, err := p4.TableKey(idle.Entries[0]); err != nil || key != src.Key {
		t.Errorf("idle %v, %v", idle.Entries[0], err)
	}
}

func punts(t *testing.T, tg *target) {
	c := primary(t, tg)
	writeEntries(t, c, inserts(p4.BridgePort{Port: 1}.Entry(), p4.Member{Port: 1, Bridge: 1}.Entry(),
		p4.Trap{Bridge: 1, EtherType: 0x88b6, Priority: 1, Divert: true, Reason: 9}.Entry()))
	f := frame(someMAC(1), 0x88b6)
	tg.send(t, f)
	p, err := p4.DecodePacketIn(await[p4rt.PacketIn](t, c).Packet)
	if err != nil || p.Reason != 9 || p.Port != 1 || p.Bridge != 1 || !slices.Equal(p.Frame, f) {
		t.Errorf("packet-in %+v, %v", p, err)
	}
	if err := c.PacketOut(context.Background(), p4.PacketOut{Port: 1, Frame: f}.Message()); err != nil {
		t.Errorf("packet-out: %v", err)
	}
	if n := copies(t, tg, f, f); n != 1 {
		t.Errorf("the packet-out left %d times", n)
	}
}

// copies counts how often frame leaves port 1 until last does, once if they
// are equal.
func copies(t *testing.T, tg *target, frame, last []byte) (n int) {
	t.Helper()
	for {
		got := tg.receive(t)
		if bytes.Equal(got, frame) {
			n++
		}
		if bytes.Equal(got, last) {
			return n
		}
	}
}

func replaces(t *testing.T, tg *target) {
	entries := []p4.Entry{
		p4.Group{ID: 1, Members: []p4.GroupMember{{Port: 1, Instance: 1}, {Port: 2, Instance: 2}}}.Entry(),
		p4.BridgePort{Port: 1}.Entry(), p4.EgressVLAN{Port: 1, Bridge: 1}.Entry(),
	}
	for i, cookie := range []uint64{p4.Cookie(), p4.Cookie() + 1, p4.Cookie()} {
		t.Run("", func(t *testing.T) {
			cfg := real(t, tg)
			cfg.Cookie = cookie
			c := start(t, cfg)
			up, got := nextUp(t, c), held(t, c)
			switch {
			case up.Pushed != (i > 0) || up.Emptied != (up.Pushed && !tg.keeps):
				t.Errorf("Up says %+v", up)
			case up.Pushed && tg.keeps: // the program is the same, so all of it fits
				if len(got) != len(entries) {
					t.Errorf("a target that keeps its entries has kept %v", got)
				}
			case len(got) != 0:
				t.Errorf("a target with a new pipeline holds %v", got)
			default:
				writeEntries(t, c, inserts(entries...))
			}
			flooded, last := frame(someMAC(1), uint16(0x88b5+i)), frame(someMAC(2), 0x88b5)
			for _, p := range []p4.PacketOut{{Bridge: 1, Frame: flooded}, {Port: 1, Frame: last}} {
				if err := c.PacketOut(context.Background(), p.Message()); err != nil {
					t.Fatal(err)
				}
			}
			if n := copies(t, tg, flooded, last); n != 1 {
				t.Errorf("a flooded frame left port 1 %d times", n)
			}
		})
	}
	c := start(t, real(t, tg))
	nextUp(t, c)
	empty(t, c)
}

func restarts(t *testing.T, tg *target) {
	c := primary(t, tg)
	writeEntries(t, c, inserts(p4.BridgePort{Port: 1}.Entry()))
	tg.restart(t)
	next[p4rt.Down](t, c)
	if !nextUp(t, c).Pushed {
		t.Error("the restarted target got no pipeline")
	}
	if got := held(t, c); len(got) != 0 {
		t.Errorf("the restarted target holds %v", got)
	}
	writeEntries(t, c, inserts(p4.BridgePort{Port: 1}.Entry()))
}
