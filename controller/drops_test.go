package controller

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/p4"
)

// drop has the target have dropped so many frames, as all its counters say.
func (g *gateway) drop(why p4.DropReason, port, bridge uint16, packets int64) {
	n := &p4v1.CounterData{PacketCount: packets, ByteCount: 100 * packets}
	g.target.SetCounter(uint32(p4.IngressDrops), int64(why), n)
	g.target.SetCounter(uint32(p4.PortDrops), int64(why.Of(port)), n)
	if bridge != 0 {
		g.target.SetCounter(uint32(p4.BridgeDrops), int64(why.Of(bridge)), n)
	}
}

// hasSession reports whether the target has a clone session to the CPU.
func (g *gateway) hasSession(id uint32) bool {
	return g.target.Get(p4.CloneSession{ID: id, Port: p4.CPUPort}.Entry().Entity()) != nil
}

// dropLines are rows as a test can name them.
func dropLines(rows []view.Drop) (lines []string) {
	of := func(parts []view.DropsOf) string {
		var words []string
		for _, p := range parts {
			words = append(words, fmt.Sprintf("%s:%d", p.Name, p.Packets))
		}
		return strings.Join(words, ",")
	}
	for _, r := range rows {
		lines = append(lines, fmt.Sprintf("%s %s %d/%d [%s] [%s]", r.Stage, r.Reason, r.Packets, r.Bytes, of(r.Ports),
			of(r.Bridges)))
	}
	return lines
}

func TestDropsAreToldByReasonPortAndBridge(t *testing.T) {
	g := start(t, options{})
	b10, b20 := g.bridge(10, 100), g.bridge(20, 200)
	g.access("eth1", 10)
	g.settle()
	g.drop(p4.DropHairpin, 1, b10, 7)
	g.drop(p4.DropSpoofed, 2, b20, 9)
	g.drop(p4.DropUnknownPort, 400, 0, 3) // no port of ours
	g.target.SetCounter(uint32(p4.EgressDrops), int64(p4.DropMTU), &p4v1.CounterData{PacketCount: 5, ByteCount: 50})
	g.target.SetCounter(uint32(p4.PortEgressDrops), int64(p4.DropMTU.Of(1)),
		&p4v1.CounterData{PacketCount: 5, ByteCount: 50})
	g.target.SetCounter(uint32(p4.PortDrops), int64(p4.DropHairpin.Of(2)), &p4v1.CounterData{PacketCount: 8})
	for _, tc := range []struct {
		q    view.DropQuery
		want []string
	}{
		{view.DropQuery{}, []string{"ingress spoofed 9/900 [eth2:9] [bridge-20:9]",
			"ingress hairpin 7/700 [eth2:8,eth1:7] [bridge-10:7]", "egress mtu 5/50 [eth1:5] []", "ingress unknown_port 3/300 [] []"}},
		{view.DropQuery{Port: "eth1"}, []string{"ingress hairpin 7/700 [eth1:7] []", "egress mtu 5/50 [eth1:5] []"}},
		{view.DropQuery{Bridge: "bridge-20"}, []string{"ingress spoofed 9/900 [] [bridge-20:9]"}},
		{view.DropQuery{Port: "up1-host"}, nil},
		{view.DropQuery{Totals: true}, []string{"ingress spoofed 9/900 [] []", "ingress hairpin 7/700 [] []", "egress mtu 5/50 [] []",
			"ingress unknown_port 3/300 [] []"}},
	} {
		rows, err := g.c.Drops(t.Context(), tc.q)
		if got := dropLines(rows); err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%+v: %v\n%q, want\n%q", tc.q, err, got, tc.want)
		}
		for _, r := range rows {
			if r.Means == "" || r.Rate != 0 {
				t.Errorf("%+v", r)
			}
		}
	}
	for _, q := range []view.DropQuery{{Port: "eth9"}, {Bridge: "blue"}} {
		if _, err := g.c.Drops(t.Context(), q); !errors.Is(err, view.ErrUnknown) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

func TestDropsOverATimeAreThoseOfThatTimeAlone(t *testing.T) {
	g := start(t, options{})
	b10 := g.bridge(10, 100)
	g.settle()
	g.drop(p4.DropHairpin, 1, b10, 7)
	g.drop(p4.DropRoute, 2, b10, 1000)
	g.drop(p4.DropMartian, 1, b10, 5)
	reads := 0
	g.target.Intercept(func(_ context.Context, m proto.Message) error {
		if r, is := m.(*p4v1.ReadRequest); is && r.GetEntities()[0].GetCounterEntry() != nil {
			if reads++; reads == 3 { // it has read by reason, and by port and bridge
				g.drop(p4.DropHairpin, 1, b10, 27)
				g.drop(p4.DropMartian, 1, b10, 2) // the target was loaded anew
			}
		}
		return nil
	})
	rows, err := g.c.Drops(t.Context(), view.DropQuery{Over: 10 * time.Millisecond})
	g.target.Intercept(nil)
	want := []string{"ingress hairpin 20/2000 [eth1:20] [bridge-10:20]", "ingress martian 2/200 [eth1:2] [bridge-10:2]"}
	if got := dropLines(rows); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v\n%q, want\n%q", err, got, want)
	}
	if r := rows[0]; r.Rate <= 0 || r.Rate > 2000 || r.Rate != r.Ports[0].Rate || r.Rate != r.Bridges[0].Rate {
		t.Errorf("20 frames in 10 ms or more are %v a second", r.Rate)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := g.c.Drops(ctx, view.DropQuery{Over: time.Minute}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("who does not wait gets %v", err)
	}
}

func TestTheLastSampleOfWhatIsDroppedIsTold(t *testing.T) {
	g := start(t, options{})
	b10 := g.bridge(10, 100)
	g.settle()
	if !g.hasSession(p4.SampleCloneSession) {
		t.Error("the target has no clone session for samples")
	}
	g.drop(p4.DropHairpin, 1, b10, 7)
	for i, port := range []uint16{1, 1, 2} {
		g.target.SendPacketIn(packetIn(p4.PuntDropped|p4.PuntReason(p4.DropHairpin), port, b10, 0, []byte{byte(i), 0xff}))
	}
	g.target.SendPacketIn(packetIn(p4.PuntReason(255), 1, b10, 0, []byte{9})) // no reason of ours
	sample := func(q view.DropQuery) *view.DropSample {
		rows, err := g.c.Drops(t.Context(), q)
		if err != nil || len(rows) != 1 {
			t.Fatalf("%v, %+v", err, rows)
		}
		return rows[0].Sample
	}
	g.eventually("the last one of all", func() bool {
		s := sample(view.DropQuery{})
		return s != nil && s.Port == "eth2" && s.Frame[0] == 2
	})
	if s := sample(view.DropQuery{Port: "eth1"}); s == nil || s.Port != "eth1" || s.Frame[0] != 1 {
		t.Errorf("of the port: %+v", s)
	}
	if s := sample(view.DropQuery{Bridge: "bridge-10"}); s == nil || s.Port != "eth2" {
		t.Errorf("of the bridge: %+v", s)
	}
}

func TestSamplesAreNoneWhereTheyAreNotWanted(t *testing.T) {
	cfg := testConfig()
	cfg.DropSamples = -1
	g := start(t, options{cfg: cfg})
	g.settle()
	if g.hasSession(p4.SampleCloneSession) || !g.hasSession(p4.CPUCloneSession) {
		t.Error("the clone sessions are not those of a gateway without samples")
	}
}

func TestSamplesAreBoundedAndTheNewestStay(t *testing.T) {
	all := samples{}
	at := time.Unix(1000, 0)
	for i := range 4 * maxSamples {
		all.take(sample{port: uint16(i), why: p4.DropHairpin, at: at.Add(time.Duration(i))})
	}
	if len(all) != maxSamples {
		t.Errorf("%d are kept", len(all))
	}
	for _, s := range all {
		if s.port < 3*maxSamples {
			t.Errorf("the %dth is kept", s.port)
		}
	}
}
