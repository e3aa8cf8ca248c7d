package ovn

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

func TestWhoseASharedPortIs(t *testing.T) {
	const own, other, third = "10.0.0.1", "10.0.0.2", "10.0.0.3"
	for name, c := range map[string]struct {
		was     held
		by      string   // in OVN
		told    []string // VTEPs that EVPN tells of
		settled bool
		want    share
		now     held
	}{
		"nobody's":                               {held{}, "", nil, false, free, held{}},
		"nobody's any more":                      {held{by: own, ours: true}, "", nil, true, free, held{}},
		"ours before a restart":                  {held{}, own, nil, false, ours, held{by: own, ours: true}},
		"another's":                              {held{}, other, []string{third, other}, true, another, held{by: other}},
		"another's, who is gone":                 {held{by: other}, other, []string{third}, true, free, held{by: other}},
		"another's, of whom BGP may yet tell":    {held{}, other, nil, false, another, held{by: other}},
		"taken from us":                          {held{by: own, ours: true}, other, []string{other}, true, another, held{by: other}},
		"taken from us by one who is not told":   {held{by: own, ours: true}, other, nil, true, another, held{by: other, unseen: true}},
		"and still not":                          {held{by: other, unseen: true}, other, nil, true, another, held{by: other, unseen: true}},
		"and told at last":                       {held{by: other, unseen: true}, other, []string{other}, true, another, held{by: other}},
		"taken from that one by a third":         {held{by: other, unseen: true}, third, []string{third}, true, another, held{by: third}},
		"taken from that one by a third unknown": {held{by: other, unseen: true}, third, nil, true, free, held{by: third}},
	} {
		a := attachment{behind: view.Behind{Local: netip.MustParseAddr(own), Settled: c.settled}}
		for _, v := range c.told {
			a.behind.VTEPs = append(a.behind.VTEPs, netip.MustParseAddr(v))
		}
		if got, now := c.was.look(c.by, a); got != c.want || now != c.now {
			t.Errorf("%s: %d %+v, want %d %+v", name, got, now, c.want, c.now)
		}
	}
	if got, _ := (held{}).look("", attachment{}); got != another {
		t.Errorf("of a bridge that is not there yet: %d, want it left alone", got)
	}
}

// sharing is one of the gateways that share ls1, with its own intent.
type sharing struct {
	*gateway
	fabric *fabric
	name   string
	vs     *server // its chassis; nil = the operator's
}

// startSharing starts one whose chassis and VTEP have a number; it is told of these VTEPs.
func startSharing(t *testing.T, nb *server, number byte, told ...string) *sharing {
	t.Helper()
	return startSharingAt(t, nb, nil, number, told...)
}

func startSharingAt(t *testing.T, nb, vs *server, number byte, told ...string) *sharing {
	t.Helper()
	s := &sharing{fabric: newFabric(), name: fmt.Sprintf("hv%d", number), vs: vs}
	s.fabric.local = number
	s.fabric.set(true, "vni-10", told...)
	store := intent.NewMemory()
	stretch(t, store, 10, "ls1")
	s.gateway = start(t, store, nb, vs, s.config)
	return s
}

func (s *sharing) config(c *Config) {
	c.Fabric, c.Port, c.Shared, c.Chassis = s.fabric, "trunk9", true, s.name
}

// joined waits until ls1 is joined at a gateway, with its VM told of there and nowhere else.
func (s *sharing) joined(nb *server, others ...*sharing) {
	s.Helper()
	nb.shows("--bare --columns=options,external_ids find Logical_Switch_Port name=evpn_10", fmt.Sprintf(
		"l2gateway-chassis=%s network_name=evpn\np4evpn-owner=here p4evpn-vni=10 p4evpn-vtep=10.9.0.%d", s.name, s.fabric.local))
	s.fabric.expects(s.T, "vni-10", "02:00:00:00:00:0a[]")
	s.carries("[0, 10]")
	for _, o := range others {
		o.fabric.expects(s.T, "vni-10", "")
		o.carries("[0]")
	}
}

// carries waits until the trunk to OVN has these VLANs: 0 is none.
func (s *sharing) carries(want string) {
	s.Helper()
	if s.vs != nil {
		await(s.T, s.name+" carries "+want, func() bool {
			return s.vs.vs("--if-exists get Port trunk0 trunks") == want
		})
	}
}

// looks waits until the gateway has looked at OVN after all that was done before: it is asked
// for a logical switch of its own, and then no more.
func (s *sharing) looks(nb *server) {
	s.Helper()
	vni := 100 + int(s.fabric.local)
	id, name := fmt.Sprintf("vni-%d", vni), fmt.Sprintf("of-%s", s.name)
	nb.nb("ls-add " + name)
	s.fabric.set(true, id)
	stretch(s.T, s.store, uint32(vni), name)
	await(s.T, "the gateway has looked", func() bool {
		return nb.nb(fmt.Sprintf("--bare --columns=name find Logical_Switch_Port name=evpn_%d", vni)) != ""
	})
	err := s.store.Update(func(tx *intent.Tx) error {
		return errors.Join(tx.Instances().Delete("bridge."+id), tx.Bridges().Delete(id))
	})
	if err != nil {
		s.Fatal(err)
	}
	nb.hasNot(vni)
	nb.nb("ls-del " + name)
}

// shared is a database with a VM on ls1.
func shared(t *testing.T) *server {
	t.Helper()
	nb := serve(t, northboundSchema)
	nb.nb("ls-add ls1 -- lsp-add ls1 vm1 -- lsp-set-addresses vm1 02:00:00:00:00:0a -- " + up("vm1", true))
	return nb
}

func TestASharedLogicalSwitchIsJoinedAtAnotherGatewayWhenEVPNTellsOfOneNoMore(t *testing.T) {
	nb := shared(t)
	before := nb.foreign()
	var chassis [2]*server
	for i := range chassis {
		chassis[i] = serve(t, openVSwitchSchema)
		chassis[i].vs(chassisRows)
		chassis[i].vs(fmt.Sprintf("set Open_vSwitch . external_ids:system-id=hv%d", i+1))
	}
	a := startSharingAt(t, nb, chassis[0], 1, "@2", "@3")
	a.joined(nb)
	b := startSharingAt(t, nb, chassis[1], 2, "@1", "@3")
	b.looks(nb)
	a.joined(nb, b)
	a.stop() // as one that restarts: EVPN goes on to tell of it
	b.looks(nb)
	a.joined(nb, b)
	uuid := nb.nb("get Logical_Switch_Port evpn_10 _uuid")
	b.fabric.set(true, "vni-10", "0b@3")
	b.joined(nb)
	a = startSharingAt(t, nb, chassis[0], 1) // it is not told of all yet
	a.fabric.set(false, "vni-10")
	a.fabric.set(false, "vni-10", "@2")
	a.fabric.set(true, "vni-10", "@2", "@3")
	b.fabric.set(true, "vni-10", "@1", "@3")
	a.looks(nb)
	b.looks(nb)
	b.joined(nb, a)
	if got := nb.nb("get Logical_Switch_Port evpn_10 _uuid"); got != uuid {
		t.Errorf("the port is another one: %s, was %s", got, uuid)
	}
	if after := nb.foreign(); after != before {
		t.Errorf("of others' rows there were\n%s\nand are\n%s", before, after)
	}
}

// Both come up, and neither is told of the other: they do not take the port in turns.
func TestGatewaysThatAreNotToldOfEachOtherDoNotTakeASharedPortInTurns(t *testing.T) {
	nb := shared(t)
	a := startSharing(t, nb, 1)
	a.joined(nb)
	b := startSharing(t, nb, 2)
	b.joined(nb, a)
	await(t, "the one that lost it says so", func() bool { return testutil.ToFloat64(a.stats.problems) == 1 })
	for range 3 {
		a.looks(nb)
		b.looks(nb)
		b.joined(nb, a)
	}
	a.fabric.set(true, "vni-10", "@2")
	await(t, "all is well", func() bool { return testutil.ToFloat64(a.stats.problems) == 0 })
	a.fabric.set(true, "vni-10")
	a.joined(nb)
	a.stop()
	if text := fmt.Sprint(a.problems); text != "map[]" {
		t.Error(text)
	}
}

func TestOneOfSeveralGatewaysThatStartAtOnceHasASharedPort(t *testing.T) {
	nb := shared(t)
	var all []*sharing
	for n := byte(1); n <= 4; n++ {
		var others []string
		for m := 1; m <= 4; m++ {
			if m != int(n) {
				others = append(others, fmt.Sprintf("@%d", m))
			}
		}
		all = append(all, startSharing(t, nb, n, others...))
	}
	for _, s := range all {
		await(t, "it is well", func() bool {
			return testutil.ToFloat64(s.stats.wanted) == 1 && testutil.ToFloat64(s.stats.problems) == 0
		})
	}
	at := nb.nb("get Logical_Switch_Port evpn_10 options:l2gateway-chassis")
	for _, s := range all {
		s.looks(nb)
	}
	for i, s := range all {
		if s.name == at {
			s.joined(nb, append(all[:i:i], all[i+1:]...)...)
		}
	}
}

func TestASharedPortGoesWithTheBridgeOfTheGatewayThatHasIt(t *testing.T) {
	nb := shared(t)
	a := startSharing(t, nb, 1, "@2")
	a.joined(nb)
	b := startSharing(t, nb, 2, "@1")
	b.looks(nb)
	gone := func(s *sharing) {
		t.Helper()
		if err := s.store.Update(func(tx *intent.Tx) error { return tx.Instances().Delete("bridge.vni-10") }); err != nil {
			t.Fatal(err)
		}
	}
	gone(b)
	b.looks(nb)
	a.joined(nb)
	gone(a)
	nb.hasNot(10)
}

// Two may want a port that is free: what one has seen before the other took it does not count.
func TestASharedPortThatSomebodyElseTookMeanwhileIsNotTaken(t *testing.T) {
	nb := shared(t)
	b := startSharing(t, nb, 2)
	b.joined(nb)
	c, err := b.northbound.get()
	if err != nil {
		t.Fatal(err)
	}
	there, err := readNorthbound(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	b.stop()
	nb.nb("set Logical_Switch_Port evpn_10 external_ids:p4evpn-vtep=10.9.0.3 options:l2gateway-chassis=hv3")
	d := startSharing(t, nb, 3, "@2")
	d.looks(nb)
	if c, err = d.northbound.get(); err != nil {
		t.Fatal(err)
	}
	cfg := b.cfg
	a := attachment{bridge: "vni-10", logicalSwitch: "ls1", vni: 10, vlan: 10,
		behind: view.Behind{Local: netip.MustParseAddr("10.9.0.2"), Settled: true}}
	there.port("evpn_10").Options[chassisKey] = "hv9" // as it was seen
	changes, _ := there.plan(cfg, "hv2", []attachment{a})
	if len(changes) == 0 {
		t.Fatal("nothing is to be done, want a port to be taken")
	}
	ops, err := changes[0].operations(c)
	if err == nil {
		err = transact(t.Context(), c, ops)
	}
	if err == nil || !strings.Contains(err.Error(), "timed out") {
		t.Errorf("%v, want the transaction to fail", err)
	}
	d.joined(nb)
}
