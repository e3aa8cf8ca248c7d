package p4rtserver

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/p4evpn/p4evpn/softswitch/bmv2"
)

// difference is a row of the table in docs/p4runtime.md: what a client sees.
type difference struct {
	name       string
	try        func(c *client) string
	ours, bmv2 string
}

// outcome is OK, or the code of an error; of a Write the codes of the updates
// that failed.
func outcome(err error) string {
	st := status.Convert(err)
	var failed []string
	for _, d := range st.Details() {
		if e, ok := d.(*p4v1.Error); ok && e.CanonicalCode != 0 {
			failed = append(failed, codes.Code(e.CanonicalCode).String())
		}
	}
	if failed != nil {
		return strings.Join(failed, " ")
	}
	return st.Code().String()
}

// tries makes a difference of the outcome of updates.
func tries(updates func(n *namer) []*p4v1.Update) func(c *client) string {
	return func(c *client) string { return outcome(c.write(updates(c.tg.names)...)) }
}

// reads makes a difference of the outcome of a query.
func reads(query func(n *namer) *p4v1.Entity) func(c *client) string {
	return func(c *client) string {
		_, err := c.read(query(c.tg.names))
		return outcome(err)
	}
}

func one(u *p4v1.Update) []*p4v1.Update { return []*p4v1.Update{u} }

func TestDifferencesFromBMv2AreAsDocumented(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		for _, d := range differences {
			t.Run(d.name, func(t *testing.T) {
				_, c := startPrimary(t)
				if got := d.try(c); got != d.ours {
					t.Errorf("%s, documented is %s", got, d.ours)
				}
			})
		}
	})
	t.Run("bmv2", func(t *testing.T) {
		if _, err := exec.LookPath("simple_switch_grpc"); err != nil {
			t.Skip("SKIP: simple_switch_grpc is not on PATH")
		}
		for _, d := range differences {
			t.Run(d.name, func(t *testing.T) {
				if got := d.try(startBMv2(t)); got != d.bmv2 {
					t.Errorf("%s, documented is %s", got, d.bmv2)
				}
			})
		}
	})
}

// startBMv2 is BMv2 with the pipeline of startPrimary, and its primary client.
func startBMv2(t *testing.T) *client {
	t.Helper()
	sw, err := bmv2.Start(t.Context(), bmv2.Config{Binary: "simple_switch_grpc", Ports: []uint32{1, 2, 3, 4}, DeviceID: testDevice})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sw.Close() })
	config := testConfig(t)
	tg := &target{t: t, names: newNamer(t, config.P4Info)}
	tg.conn = tg.dial(sw.GRPC)
	tg.rpc = p4v1.NewP4RuntimeClient(tg.conn)
	c := tg.client(t)
	c.arbitrate(0, 1)
	c.mustRecv()
	c.commit(config)
	return c
}

var differences = []difference{
	{"full table", func(c *client) string {
		n := c.tg.names
		for i := range byte(4) {
			c.mustWrite(insert(n.entry("ingress.host", n.action("ingress.drop"), exact(i+1))))
		}
		return outcome(c.write(insert(n.entry("ingress.host", n.action("ingress.drop"), exact(9)))))
	}, "ResourceExhausted", "Unknown"},
	{"empty value", tries(func(n *namer) []*p4v1.Update {
		return one(insert(n.entry("ingress.host", n.action("ingress.drop"), exact())))
	}), "InvalidArgument", "OK"},
	{"value of a range left out", tries(func(n *namer) []*p4v1.Update {
		return one(insert(withPriority(n.entry("ingress.rule", n.action("ingress.drop"), nil, between(nil, []byte{9})), 1)))
	}), "InvalidArgument", "OK"},
	{"LPM of length 0", tries(func(n *namer) []*p4v1.Update {
		return one(insert(n.entry("ingress.prefix", n.action("ingress.drop"), lpm(0, 0))))
	}), "InvalidArgument", "Unknown"},
	{"is_const set", tries(func(n *namer) []*p4v1.Update {
		return one(insert(with(n.entry("ingress.host", n.action("ingress.drop"), exact(1)), func(te *p4v1.TableEntry) { te.IsConst = true })))
	}), "InvalidArgument", "OK"},
	{"idle_timeout_ns where the table does not age", tries(func(n *namer) []*p4v1.Update {
		return one(insert(with(n.entry("ingress.host", n.action("ingress.drop"), exact(1)), func(te *p4v1.TableEntry) { te.IdleTimeoutNs = 1e9 })))
	}), "InvalidArgument", "Unknown"},
	{"DELETE of a constant entry", tries(func(n *namer) []*p4v1.Update {
		return one(remove(n.entry("ingress.fixed", nil, exact(0x88, 0xcc))))
	}), "PermissionDenied", "Unknown"},
	{"MODIFY of a constant default action", tries(func(n *namer) []*p4v1.Update {
		return one(modify(asDefault(n.entry("ingress.prefix", n.action("ingress.drop")))))
	}), "PermissionDenied", "OK"},
	{"INSERT into a table without key", tries(func(n *namer) []*p4v1.Update {
		return one(insert(n.entry("ingress.nokey", n.action("ingress.drop"))))
	}), "InvalidArgument", "OK"},
	{"MODIFY without an action", func(c *client) string {
		n := c.tg.names
		c.mustWrite(insert(n.entry("ingress.host", n.action("ingress.drop"), exact(1))))
		return outcome(c.write(modify(n.entry("ingress.host", nil, exact(1)))))
	}, "OK", "InvalidArgument"},
	{"counter index outside the array", tries(func(n *namer) []*p4v1.Update {
		return one(modify(&p4v1.CounterEntry{CounterId: n.ids["ingress.by_port"], Index: at(16), Data: &p4v1.CounterData{}}))
	}), "OutOfRange", "Unknown"},
	{"counter write without an index", tries(func(n *namer) []*p4v1.Update {
		return one(modify(&p4v1.CounterEntry{CounterId: n.ids["ingress.by_port"], Data: &p4v1.CounterData{}}))
	}), "OK", "Unimplemented"},
	{"replica instance above 65,535", func(c *client) string {
		if err := c.write(insert(group(1, replica(1, 65536+7)))); err != nil {
			return outcome(err)
		}
		return "OK"
	}, "InvalidArgument", "OK"},
	{"query for a match with any priority", reads(func(n *namer) *p4v1.Entity {
		return entity(n.entry("ingress.rule", nil, nil, between([]byte{1}, []byte{9})))
	}), "OK", "InvalidArgument"},
	{"query for all digests", reads(func(*namer) *p4v1.Entity { return entityOf(&p4v1.DigestEntry{}) }), "OK", "Unimplemented"},
	{"error in one query of several", func(c *client) string {
		found, err := c.read(entityOf(&p4v1.CounterEntry{CounterId: c.tg.names.ids["ingress.by_port"], Index: at(1)}), entityOf(&p4v1.CounterEntry{CounterId: 1}))
		if len(found) == 1 && err != nil {
			return "the others are answered"
		}
		return outcome(err)
	}, "the others are answered", "Unknown"},
	{"is_const of constant entries", func(c *client) string {
		for _, e := range c.mustRead(entity(c.tg.names.entry("ingress.fixed", nil))) {
			if e.GetTableEntry().IsConst {
				return "set"
			}
		}
		return "not set"
	}, "set", "not set"},
	{"class of service of a clone session", tries(func(*namer) []*p4v1.Update {
		return one(insert(&p4v1.CloneSessionEntry{SessionId: 1, ClassOfService: 1, Replicas: []*p4v1.Replica{replica(1, 1)}}))
	}), "OK", "Unimplemented"},
	{"backup replicas", tries(func(*namer) []*p4v1.Update {
		return one(insert(group(1, backed(replica(1, 1), &p4v1.BackupReplica{Port: []byte{2}, Instance: 1}))))
	}), "OK", "Unimplemented"},
	{"ROLLBACK_ON_ERROR", func(c *client) string {
		return outcome(c.writeAs(p4v1.WriteRequest_ROLLBACK_ON_ERROR, insert(group(1, replica(1, 1)))))
	}, "OK", "Unimplemented"},
	{"DATAPLANE_ATOMIC", func(c *client) string {
		return outcome(c.writeAs(p4v1.WriteRequest_DATAPLANE_ATOMIC, insert(group(1, replica(1, 1)))))
	}, "OK", "Unimplemented"},
	{"field of a later version", tries(func(n *namer) []*p4v1.Update {
		te := n.entry("ingress.host", n.action("ingress.drop"), exact(1))
		te.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 1))
		return one(insert(te))
	}), "InvalidArgument", "OK"},
	{"direct counter of a default entry", reads(func(n *namer) *p4v1.Entity {
		return entityOf(&p4v1.DirectCounterEntry{TableEntry: asDefault(n.entry("ingress.host", nil))})
	}), "OK", "Unimplemented"},
	{"digest data that is not bit", tries(func(n *namer) []*p4v1.Update {
		return one(insert(&p4v1.DigestEntry{DigestId: n.ids["seen_t"], Config: &p4v1.DigestEntry_Config{MaxListSize: 1}}))
	}), "OK", "OK"},
	{"the primary leaves", func(c *client) string {
		other := c.tg.client(c.t)
		other.election = &p4v1.Uint128{Low: 0, High: 0}
		other.arbitrate(0, 0)
		if _, err := other.recv(); err != nil {
			return outcome(err)
		}
		c.cancel()
		if a, err := other.recv(); err != nil || codes.Code(a.GetArbitration().GetStatus().GetCode()) != codes.OK {
			return "nobody is primary"
		}
		return "the next id is promoted"
	}, "nobody is primary", "the next id is promoted"},
	{"VERIFY_AND_SAVE, then another push", func(c *client) string {
		config := testConfig(c.t)
		if err := c.setPipeline(p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_SAVE, config); err != nil {
			return outcome(err)
		}
		return outcome(c.setPipeline(p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT, config))
	}, "OK", "Unknown"},
	{"large Read", func(c *client) string {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		stream, err := c.tg.rpc.Read(ctx, &p4v1.ReadRequest{DeviceId: testDevice, Entities: []*p4v1.Entity{entityOf(&p4v1.CounterEntry{})}})
		if err != nil {
			return outcome(err)
		}
		for {
			if _, err := stream.Recv(); errors.Is(err, io.EOF) {
				return "OK"
			} else if err != nil {
				return outcome(err)
			}
		}
	}, "OK", "OK"},
}
