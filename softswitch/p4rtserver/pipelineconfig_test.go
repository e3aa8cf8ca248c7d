package p4rtserver

import (
	"context"
	"strings"
	"testing"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const (
	verify    = p4v1.SetForwardingPipelineConfigRequest_VERIFY
	save      = p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_SAVE
	commitNow = p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT
	commit    = p4v1.SetForwardingPipelineConfigRequest_COMMIT
	reconcile = p4v1.SetForwardingPipelineConfigRequest_RECONCILE_AND_COMMIT
)

func TestUnfitPipelinesAreRefusedAndChangeNothing(t *testing.T) {
	tg, c := startPrimary(t)
	before := tg.server.Forwarding()
	change := func(f func(*p4v1.ForwardingPipelineConfig)) *p4v1.ForwardingPipelineConfig {
		config := testConfig(t)
		f(config)
		return config
	}
	info := func(f func(*p4configv1.P4Info)) *p4v1.ForwardingPipelineConfig {
		return change(func(c *p4v1.ForwardingPipelineConfig) { f(c.P4Info) })
	}
	for _, x := range []struct {
		name   string
		config *p4v1.ForwardingPipelineConfig
		text   string // in the message
	}{
		{"nothing", nil, "p4info"},
		{"no p4info", change(func(c *p4v1.ForwardingPipelineConfig) { c.P4Info = nil }), "p4info"},
		{"no JSON", change(func(c *p4v1.ForwardingPipelineConfig) { c.P4DeviceConfig = nil }), "p4_device_config"},
		{"not JSON", change(func(c *p4v1.ForwardingPipelineConfig) { c.P4DeviceConfig = []byte("{") }), "p4_device_config"},
		{"truncated JSON", change(func(c *p4v1.ForwardingPipelineConfig) { c.P4DeviceConfig = c.P4DeviceConfig[:len(c.P4DeviceConfig)/2] }), "p4_device_config"},
		{"unknown table", info(func(i *p4configv1.P4Info) { i.Tables[0].Preamble.Name = "x" }), "table x"},
		{"table id twice", info(func(i *p4configv1.P4Info) { i.Tables[1].Preamble.Id = i.Tables[0].Preamble.Id }), "twice"},
		{"field missing", info(func(i *p4configv1.P4Info) { i.Tables[0].MatchFields = i.Tables[0].MatchFields[:1] }), "match fields"},
		{"field renamed", info(func(i *p4configv1.P4Info) { i.Tables[0].MatchFields[0].Name = "x" }), "hdr.ethernet.src"},
		{"field of another width", info(func(i *p4configv1.P4Info) { i.Tables[0].MatchFields[0].Bitwidth = 47 }), "47 bits"},
		{"field of another kind", info(func(i *p4configv1.P4Info) {
			i.Tables[0].MatchFields[0].Match = &p4configv1.MatchField_MatchType_{MatchType: p4configv1.MatchField_LPM}
		}), "LPM"},
		{"unknown action id", info(func(i *p4configv1.P4Info) { i.Tables[0].ActionRefs[0].Id = 3 }), "action id 3"},
		{"action renamed", info(func(i *p4configv1.P4Info) { i.Actions[1].Preamble.Name = "x" }), "action x"},
		{"parameter of another width", info(func(i *p4configv1.P4Info) { i.Actions[2].Params[0].Bitwidth = 8 }), "8"},
		{"unknown counter", info(func(i *p4configv1.P4Info) { i.Counters[0].Preamble.Name = "x" }), "counter x"},
		{"counter of another size", info(func(i *p4configv1.P4Info) { i.Counters[0].Size = 17 }), "17"},
		{"unknown digest", info(func(i *p4configv1.P4Info) { i.Digests[0].Preamble.Name = "x" }), "digest x"},
		{"digest type missing", info(func(i *p4configv1.P4Info) { i.TypeInfo = nil }), "seen_t"},
		{"packet header of no width", info(func(i *p4configv1.P4Info) { i.ControllerPacketMetadata[0].Metadata[0].Bitwidth = 0 }), "packet_in"},
	} {
		t.Run(x.name, func(t *testing.T) {
			for _, action := range []p4v1.SetForwardingPipelineConfigRequest_Action{verify, save, commitNow, reconcile} {
				err := c.setPipeline(action, x.config)
				if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), x.text) {
					t.Errorf("%v: got %v, want INVALID_ARGUMENT that says %q", action, err, x.text)
				}
			}
			if tg.server.Forwarding() != before {
				t.Error("the pipeline was replaced")
			}
		})
	}
	if err := c.setPipeline(0, testConfig(t)); status.Code(err) != codes.InvalidArgument {
		t.Errorf("unspecified action: %v", err)
	}
	backup := tg.client(t)
	if err := backup.setPipeline(commitNow, testConfig(t)); status.Code(err) != codes.PermissionDenied {
		t.Errorf("from a client that is not primary: %v", err)
	}
}

func TestPipelineIsReturnedAsItWasSet(t *testing.T) {
	tg, _ := startPrimary(t)
	config := testConfig(t)
	for kind, want := range map[p4v1.GetForwardingPipelineConfigRequest_ResponseType]*p4v1.ForwardingPipelineConfig{
		p4v1.GetForwardingPipelineConfigRequest_ALL:               config,
		p4v1.GetForwardingPipelineConfigRequest_COOKIE_ONLY:       {Cookie: config.Cookie},
		p4v1.GetForwardingPipelineConfigRequest_P4INFO_AND_COOKIE: {Cookie: config.Cookie, P4Info: config.P4Info},
		p4v1.GetForwardingPipelineConfigRequest_DEVICE_CONFIG_AND_COOKIE: {Cookie: config.Cookie,
			P4DeviceConfig: config.P4DeviceConfig},
	} {
		got, err := tg.rpc.GetForwardingPipelineConfig(context.Background(),
			&p4v1.GetForwardingPipelineConfigRequest{DeviceId: testDevice, ResponseType: kind})
		if err != nil || !proto.Equal(got.Config, want) {
			t.Errorf("%v: %v, want what was set", kind, err)
		}
	}
	for _, request := range []*p4v1.GetForwardingPipelineConfigRequest{{DeviceId: 9},
		{DeviceId: testDevice, ResponseType: 9}} {
		if _, err := tg.rpc.GetForwardingPipelineConfig(context.Background(), request); err == nil {
			t.Errorf("%v was answered", request)
		}
	}
}

func TestVerifyAndCommitStartsEmpty(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	if err := c.setPipeline(verify, testConfig(t)); err != nil {
		t.Fatal(err)
	}
	c.mustWrite(insert(n.entry("ingress.host", n.action("ingress.drop"), exact(1))), insert(group(3, replica(1, 1))))
	c.commit(testConfig(t))
	for _, e := range c.everything() {
		// the arrays are there
		if e.GetCounterEntry() != nil || e.GetMeterEntry() != nil || e.GetRegisterEntry() != nil ||
			e.GetValueSetEntry() != nil {
			continue
		}
		if te := e.GetTableEntry(); te == nil || !te.IsDefaultAction && !te.IsConst {
			t.Errorf("left over: %v", e)
		}
	}
}

func TestSavedPipelineTakesWritesAndForwardsAfterCommit(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	frame := ethernet(1, 2, 0x9000, "")
	port := func() uint32 {
		if out := tg.frame(1, frame); len(out) == 1 {
			return out[0].Port
		}
		return 0xffffffff
	}
	c.mustWrite(insert(n.entry("ingress.host", n.action("ingress.forward", []byte{3}), exact(1))))
	if err := c.setPipeline(commit, nil); status.Code(err) != codes.NotFound {
		t.Errorf("commit of nothing: %v", err)
	}
	if err := c.setPipeline(save, testConfig(t)); err != nil {
		t.Fatal(err)
	}
	c.mustWrite(insert(n.entry("ingress.host", n.action("ingress.forward", []byte{4}), exact(1))))
	if got := port(); got != 3 {
		t.Errorf("before the commit the frame left on %d, want 3", got)
	}
	if err := c.setPipeline(commit, testConfig(t)); status.Code(err) != codes.InvalidArgument {
		t.Errorf("commit with a configuration: %v", err)
	}
	if err := c.setPipeline(commit, nil); err != nil {
		t.Fatal(err)
	}
	if got := port(); got != 4 {
		t.Errorf("after the commit the frame left on %d, want 4", got)
	}
}

func TestReconcileKeepsTheState(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	te := withPriority(n.entry("ingress.rule", n.action("ingress.drop"), nil, nil, optional(3)), 4)
	te.Metadata = []byte("kept")
	def := n.entry("ingress.host", n.action("ingress.drop"))
	def.IsDefaultAction = true
	c.mustWrite(insert(te), modify(def), insert(group(3, replica(1, 1))),
		insert(&p4v1.CloneSessionEntry{SessionId: 4, Replicas: []*p4v1.Replica{replica(1, 1)}}),
		insert(&p4v1.DigestEntry{DigestId: n.ids["seen_t"], Config: &p4v1.DigestEntry_Config{MaxListSize: 1}}),
		modify(&p4v1.CounterEntry{CounterId: n.ids["ingress.by_port"], Index: &p4v1.Index{Index: 4},
			Data: &p4v1.CounterData{PacketCount: 4}}))
	before, old := c.everything(), tg.server.Forwarding()
	config := testConfig(t)
	config.Cookie.Cookie = 78
	if err := c.setPipeline(reconcile, config); err != nil {
		t.Fatal(err)
	}
	if tg.server.Forwarding() == old {
		t.Error("the pipeline is still the old one")
	}
	if d := diff(before, c.everything()); d != "" {
		t.Errorf("the state changed: %s", d)
	}
	cells := c.mustRead(entityOf(&p4v1.CounterEntry{CounterId: n.ids["ingress.by_port"], Index: &p4v1.Index{Index: 4}}))
	if cells[0].GetCounterEntry().Data.PacketCount != 4 {
		t.Errorf("counter: %v", cells)
	}
}
