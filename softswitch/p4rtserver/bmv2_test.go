package p4rtserver

import (
	"os/exec"
	"strings"
	"testing"

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
	features   bool // with package pipeline's program
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
				_, c := startWith(t, d.config(t))
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
				if got := d.try(startBMv2(t, d.config(t))); got != d.bmv2 {
					t.Errorf("%s, documented is %s", got, d.bmv2)
				}
			})
		}
	})
}

// config is of the program that the row needs.
func (d *difference) config(t *testing.T) *p4v1.ForwardingPipelineConfig {
	if d.features {
		return configOf(t, "../pipeline/testdata/features")
	}
	return testConfig(t)
}

// startBMv2 is BMv2 with a pipeline and its primary client.
func startBMv2(t *testing.T, config *p4v1.ForwardingPipelineConfig) *client {
	t.Helper()
	sw, err := bmv2.Start(t.Context(), bmv2.Config{Binary: "simple_switch_grpc", Ports: []uint32{1, 2, 3, 4},
		DeviceID: testDevice})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sw.Close() })
	tg := &target{t: t, names: newNamer(t, config.P4Info)}
	tg.conn = tg.dial(sw.GRPC)
	tg.rpc = p4v1.NewP4RuntimeClient(tg.conn)
	c := tg.client(t)
	c.arbitrate(0, 1)
	c.mustRecv()
	if len(config.P4Info.Digests) > 0 {
		if err := c.setPipeline(p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT, config); err == nil {
			t.Error("BMv2 takes a digest with fields that are not bit, documented is that it does not")
		}
		config.P4Info.Digests = nil
	}
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
	}, "ResourceExhausted", "Unknown", false},
	{"empty value", tries(func(n *namer) []*p4v1.Update {
		return one(insert(n.entry("ingress.host", n.action("ingress.drop"), exact())))
	}), "InvalidArgument", "OK", false},
	{"value of a range left out", tries(func(n *namer) []*p4v1.Update {
		return one(insert(withPriority(n.entry("ingress.rule", n.action("ingress.drop"), nil, between(nil, []byte{9})), 1)))
	}), "InvalidArgument", "OK", false},
	{"is_const set", tries(func(n *namer) []*p4v1.Update {
		return one(insert(with(n.entry("ingress.host", n.action("ingress.drop"), exact(1)),
			func(te *p4v1.TableEntry) { te.IsConst = true })))
	}), "InvalidArgument", "OK", false},
	{"DELETE of a constant entry", tries(func(n *namer) []*p4v1.Update {
		return one(remove(n.entry("ingress.fixed", nil, exact(0x88, 0xcc))))
	}), "PermissionDenied", "NotFound", false},
	{"INSERT into a table without key", tries(func(n *namer) []*p4v1.Update {
		return one(insert(n.entry("ingress.nokey", n.action("ingress.drop"))))
	}), "InvalidArgument", "Unknown", false},
	{"MODIFY without an action", func(c *client) string {
		n := c.tg.names
		c.mustWrite(insert(n.entry("ingress.host", n.action("ingress.drop"), exact(1))))
		return outcome(c.write(modify(n.entry("ingress.host", nil, exact(1)))))
	}, "OK", "InvalidArgument", false},
	{"counter index outside the array", tries(func(n *namer) []*p4v1.Update {
		return one(modify(&p4v1.CounterEntry{CounterId: n.ids["ingress.by_port"], Index: at(16), Data: &p4v1.CounterData{}}))
	}), "OutOfRange", "Unknown", false},
	{"counter write without an index", tries(func(n *namer) []*p4v1.Update {
		return one(modify(&p4v1.CounterEntry{CounterId: n.ids["ingress.by_port"], Data: &p4v1.CounterData{}}))
	}), "OK", "Unimplemented", false},
	{"replica instance above 65,535", func(c *client) string {
		if err := c.write(insert(group(1, replica(1, 65536+7)))); err != nil {
			return outcome(err)
		}
		return "OK"
	}, "InvalidArgument", "OK", false},
	{"query for a match with any priority", reads(func(n *namer) *p4v1.Entity {
		return entity(n.entry("ingress.rule", nil, nil, between([]byte{1}, []byte{9})))
	}), "OK", "InvalidArgument", false},
	{"query for all digests", reads(func(*namer) *p4v1.Entity { return entityOf(&p4v1.DigestEntry{}) }), "OK", "Unimplemented", false},
	{"error in one query of several", func(c *client) string {
		found, err := c.read(entityOf(&p4v1.CounterEntry{CounterId: 1}),
			entityOf(&p4v1.CounterEntry{CounterId: c.tg.names.ids["ingress.by_port"], Index: at(1)}))
		if len(found) == 1 && err != nil {
			return "the others are answered"
		}
		return outcome(err)
	}, "the others are answered", "InvalidArgument", false},
	{"is_const of constant entries", func(c *client) string {
		for _, e := range c.mustRead(entity(c.tg.names.entry("ingress.fixed", nil))) {
			if e.GetTableEntry().IsConst {
				return "set"
			}
		}
		return "not set"
	}, "set", "not set", false},
	{"class of service of a clone session", tries(func(*namer) []*p4v1.Update {
		return one(insert(&p4v1.CloneSessionEntry{SessionId: 1, ClassOfService: 1, Replicas: []*p4v1.Replica{replica(1, 1)}}))
	}), "OK", "Unimplemented", false},
	{"backup replicas", tries(func(*namer) []*p4v1.Update {
		return one(insert(group(1, backed(replica(1, 1), &p4v1.BackupReplica{Port: []byte{2}, Instance: 1}))))
	}), "OK", "OK", false},
	{"ROLLBACK_ON_ERROR", func(c *client) string {
		return outcome(c.writeAs(p4v1.WriteRequest_ROLLBACK_ON_ERROR, insert(group(1, replica(1, 1)))))
	}, "OK", "Unimplemented", false},
	{"DATAPLANE_ATOMIC", func(c *client) string {
		return outcome(c.writeAs(p4v1.WriteRequest_DATAPLANE_ATOMIC, insert(group(1, replica(1, 1)))))
	}, "OK", "Unimplemented", false},
	{"field of a later version", tries(func(n *namer) []*p4v1.Update {
		te := n.entry("ingress.host", n.action("ingress.drop"), exact(1))
		te.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 1))
		return one(insert(te))
	}), "InvalidArgument", "OK", false},
	{"direct counter of a default entry", reads(func(n *namer) *p4v1.Entity {
		return entityOf(&p4v1.DirectCounterEntry{TableEntry: asDefault(n.entry("ingress.host", nil))})
	}), "OK", "Unknown", false},
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
	}, "nobody is primary", "the next id is promoted", false},
	{"VERIFY_AND_SAVE, then another push", func(c *client) string {
		config := testConfig(c.t)
		if err := c.setPipeline(p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_SAVE, config); err != nil {
			return outcome(err)
		}
		return outcome(c.setPipeline(p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT, config))
	}, "OK", "Unknown", false},
	{"register", reads(func(n *namer) *p4v1.Entity {
		return entityOf(&p4v1.RegisterEntry{RegisterId: n.ids["ingress.cells"], Index: at(0)})
	}), "OK", "Unimplemented", true},
	{"parser value sets", reads(func(*namer) *p4v1.Entity { return entityOf(&p4v1.ValueSetEntry{}) }), "OK", "Unimplemented", true},
	{"direct meter of a default entry", tries(func(n *namer) []*p4v1.Update {
		return one(modify(&p4v1.DirectMeterEntry{TableEntry: asDefault(n.entry("ingress.by_rate", nil)),
			Config: &p4v1.MeterConfig{Cir: 1, Cburst: 1, Pir: 1, Pburst: 1}}))
	}), "OK", "Unknown", true},
}
