package p4rt_test

import (
	"context"
	_ "embed"
	"encoding/binary"
	"log/slog"
	"sync"
	"testing"
	"time"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
)

// The ids of testdata/small.p4info.txtpb.
const (
	nexthopTable, routeTable, sourceTable = 33554433, 33554434, 33554435
	toPort, nothing, via                  = 16777217, 16777218, 16777219
	dropsCounter, learnDigest             = 301989889, 385875969
	cookie                                = 0xc00c1e
)

//go:embed testdata/small.p4info.txtpb
var smallP4Info []byte

func p4info(tb testing.TB) *p4configv1.P4Info {
	tb.Helper()
	info := &p4configv1.P4Info{}
	if err := prototext.Unmarshal(smallP4Info, info); err != nil {
		tb.Fatal(err)
	}
	return info
}

// config is for a test: everything happens soon.
func config(tb testing.TB, target string) p4rt.Config {
	return p4rt.Config{
		Target: target, ElectionID: p4rt.ElectionID{Low: 10},
		P4Info: p4info(tb), DeviceConfig: []byte("{}"), Cookie: cookie,
		Digests:    []p4rt.DigestConfig{{ID: learnDigest}},
		Logger:     slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		MinBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond,
		ProbeInterval: 5 * time.Second,
	}
}

// running is a pipeline that a target has before the client comes.
func running(tb testing.TB, cookie uint64) *p4v1.ForwardingPipelineConfig {
	return &p4v1.ForwardingPipelineConfig{P4Info: p4info(tb),
		Cookie: &p4v1.ForwardingPipelineConfig_Cookie{Cookie: cookie}}
}

// start runs a client until the test ends.
func start(tb testing.TB, cfg p4rt.Config) *p4rt.Client {
	tb.Helper()
	c, err := p4rt.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(ctx); err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
	tb.Cleanup(func() { cancel(); wg.Wait() })
	return c
}

// next gives the next event, which must be a T. What ports do, which a switch tells when it
// likes, is passed over by who does not ask for that.
func next[T p4rt.Event](tb testing.TB, c *p4rt.Client) T {
	tb.Helper()
	_, asked := any(*new(T)).(p4rt.PortStates)
	for {
		select {
		case e := <-c.Events():
			if _, ports := e.(p4rt.PortStates); ports && !asked {
				continue
			}
			if got, ok := e.(T); ok {
				return got
			}
			tb.Fatalf("got event %T %+v, want %T", e, e, *new(T))
		case <-time.After(20 * time.Second):
			tb.Fatalf("waited 20 s in vain for event %T", *new(T))
		}
	}
}

// nextUp passes over Downs, which a busy machine may add where time-outs are short, and over
// not being primary, which ends when the target has seen the client before go.
func nextUp(tb testing.TB, c *p4rt.Client) p4rt.Up {
	tb.Helper()
	for {
		select {
		case e := <-c.Events():
			switch e := e.(type) {
			case p4rt.Up:
				return e
			case p4rt.Down, p4rt.NotPrimary, p4rt.PortStates:
			default:
				tb.Fatalf("got event %T %+v, want Up", e, e)
			}
		case <-time.After(20 * time.Second):
			tb.Fatal("waited 20 s in vain for Up")
		}
	}
}

// up gives a client that is primary on a fresh target.
func up(tb testing.TB, sc p4rttest.Config, change ...func(*p4rt.Config)) (*p4rt.Client, *p4rttest.Server) {
	tb.Helper()
	s := p4rttest.New(tb, sc)
	cfg := config(tb, s.Target())
	for _, f := range change {
		f(&cfg)
	}
	c := start(tb, cfg)
	next[p4rt.Up](tb, c)
	return c, s
}

// canonical gives the shortest form of n.
func canonical(n uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, n)
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

func update(typ p4v1.Update_Type, t *p4v1.TableEntry) *p4v1.Update {
	return &p4v1.Update{Type: typ, Entity: &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: t}}}
}

func exact(id uint32, n uint64) *p4v1.FieldMatch {
	return &p4v1.FieldMatch{FieldId: id,
		FieldMatchType: &p4v1.FieldMatch_Exact_{Exact: &p4v1.FieldMatch_Exact{Value: canonical(n)}}}
}

func action(id uint32, params ...uint64) *p4v1.TableAction {
	a := &p4v1.Action{ActionId: id}
	for i, p := range params {
		a.Params = append(a.Params, &p4v1.Action_Param{ParamId: uint32(i + 1), Value: canonical(p)})
	}
	return &p4v1.TableAction{Type: &p4v1.TableAction_Action{Action: a}}
}

func nexthop(typ p4v1.Update_Type, id, port uint64) *p4v1.Update {
	return update(typ, &p4v1.TableEntry{TableId: nexthopTable, Match: []*p4v1.FieldMatch{exact(1, id)},
		Action: action(toPort, port, 0x020000000001)})
}

// route is to 10.x.x.0/24 in VRF 1.
func route(typ p4v1.Update_Type, x, nexthop uint64) *p4v1.Update {
	return update(typ, &p4v1.TableEntry{
		TableId: routeTable, Action: action(via, nexthop),
		Match: []*p4v1.FieldMatch{exact(1, 1), {FieldId: 2, FieldMatchType: &p4v1.FieldMatch_Lpm{
			Lpm: &p4v1.FieldMatch_LPM{Value: canonical(10<<24 | x<<8), PrefixLen: 24},
		}}},
	})
}

func source(typ p4v1.Update_Type, mac uint64) *p4v1.Update {
	return update(typ, &p4v1.TableEntry{TableId: sourceTable, Match: []*p4v1.FieldMatch{exact(1, mac)},
		Action: action(nothing), IdleTimeoutNs: int64(time.Second)})
}

func group(typ p4v1.Update_Type, id uint32, ports ...uint64) *p4v1.Update {
	g := &p4v1.MulticastGroupEntry{MulticastGroupId: id}
	for _, p := range ports {
		g.Replicas = append(g.Replicas, &p4v1.Replica{PortKind: &p4v1.Replica_Port{Port: canonical(p)}, Instance: 1})
	}
	return &p4v1.Update{Type: typ, Entity: &p4v1.Entity{Entity: &p4v1.Entity_PacketReplicationEngineEntry{
		PacketReplicationEngineEntry: &p4v1.PacketReplicationEngineEntry{
			Type: &p4v1.PacketReplicationEngineEntry_MulticastGroupEntry{MulticastGroupEntry: g},
		},
	}}}
}

// tableOf is the wildcard that reads a table.
func tableOf(id uint32) *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{TableId: id}}}
}

// write writes and fails the test on any error.
func write(tb testing.TB, c *p4rt.Client, updates ...p4rt.Update) {
	tb.Helper()
	errs, err := c.Write(tb.Context(), updates)
	if err != nil {
		tb.Fatal(err)
	}
	for _, err := range errs {
		if err != nil {
			tb.Fatal(err)
		}
	}
}
