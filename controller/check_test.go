package controller

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/check"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/p4"
)

// settings are what the check is told of a configuration.
func (c Config) settings() check.Settings {
	s := check.Settings{VTEPs: c.VTEPs, AcceptUnknownVTEPs: c.AcceptUnknownVTEPs, AnswersVXLAN: map[string]bool{},
		OtherSubnets: map[string]bool{}, StaticRoutes: map[string][]check.StaticRoute{}}
	for _, p := range c.Ports {
		t := check.TargetPort{Name: p.Name, Number: p.Number, HostPort: p.HostPort, HostDevice: p.HostDevice, MAC: p.MAC,
			TrustAll: p.Trust == Trusted, TrustNone: p.Trust == Untrusted, StackedTags: p.StackedTags,
			SourceGuard: p.SourceGuard, Carries: p.Everywhere}
		for _, m := range p.StaticMACs {
			t.StaticMACs = append(t.StaticMACs, check.StaticMAC(m))
		}
		s.TargetPorts = append(s.TargetPorts, t)
	}
	for id, o := range c.SVIs {
		s.AnswersVXLAN[id], s.OtherSubnets[id] = o.Unique || o.Centralised, o.OtherSubnets
	}
	for id, v := range c.VRFs {
		for _, st := range v.StaticRoutes {
			s.StaticRoutes[id] = append(s.StaticRoutes[id], check.StaticRoute(st))
		}
	}
	return s
}

// checker checks a gateway.
func (g *gateway) checker() *check.Checker {
	return check.New(check.Config{
		Program: &p4v1.ForwardingPipelineConfig{P4Info: p4.P4Info(), P4DeviceConfig: p4.DeviceConfig()},
		Again:   time.Millisecond, Read: g.client.Read,
		Snapshot: func(ctx context.Context) (s check.Snapshot, err error) {
			s.Settings = g.cfg.settings()
			s.TakeRoutes(g.speaker.Paths())
			if err := g.store.View(func(tx *intent.Tx) error { s.TakeObjects(tx); return nil }); err != nil {
				return s, err
			}
			err = g.c.Inspect(ctx, func(i Inspection) {
				s.Known, s.Acknowledged = i.Known(), slices.Collect(i.Entries())
			})
			return s, err
		},
		Why: func(ctx context.Context, entries []p4.Entry) (why []string, err error) {
			err = g.c.Inspect(ctx, func(i Inspection) {
				for _, e := range entries {
					why = append(why, i.Why(e))
				}
			})
			return why, err
		},
	})
}

// differences are those of a check, for people.
func differences(c view.Check) string {
	var b strings.Builder
	for i, d := range c.Differences {
		if i == 5 {
			fmt.Fprintf(&b, "and %d more\n", len(c.Differences)+c.More-i)
			break
		}
		fmt.Fprintf(&b, "%s\n  arrives %s\n  want %s\n    since %s\n  got  %s\n  %x\n", d.Object, d.Arrives, d.Expected,
			d.Rule, d.Actual, d.Frame)
		for _, s := range d.Steps {
			fmt.Fprintf(&b, "    %s %s %s\n", s.Text, s.Why, s.Odd)
		}
	}
	return b.String()
}

// Whatever the inputs and their order, in the end the oracle finds each frame where it must be.
func TestTheOracleFindsNoDifferenceInAnyState(t *testing.T) {
	frames, states := 0, 0
	for seed := *first; seed < *first+uint64(*seeds); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			cfg := testConfig()
			cfg.VTEPs = []netip.Addr{vtep1, vtep2}
			if seed%2 == 0 {
				cfg.Duplicates.Moves = -1
			}
			cfg.AcceptUnknownVTEPs = seed%5 == 0
			cfg.SVIs = map[string]SVI{"svi-1": {Unique: seed%3 == 0}, "svi-2": {OtherSubnets: true}}
			cfg.VRFs = map[string]VRF{"vrf-0": {StaticRoutes: []StaticRoute{{prefix("10.99.0.0/16"), addr("10.0.0.102")}}}}
			cfg.Ports[0].Trust = Trust(seed % 3)
			cfg.Ports[1].StackedTags, cfg.Ports[1].SourceGuard = seed%4 == 0, seed%4 == 1
			if seed%7 == 0 {
				cfg.Ports = append(cfg.Ports, Port{Name: "eth4", Number: 4, Kind: KindBridge, Everywhere: true})
			}
			cfg.Ports[2].StaticMACs = []StaticMAC{{MAC: mac(3)}, {MAC: mac(4), VLAN: 10}}
			h := &story{
				gateway: start(t, options{cfg: cfg, target: p4rttest.Config{Seed: seed}}),
				rand:    rand.New(rand.NewPCG(seed, 3)), best: map[bgp.Key]bgp.Event{},
				leaves: []netip.Addr{leaf0, leaf1, leaf2, vtep2}, failed: map[neighborKey]bool{},
			}
			c := h.checker()
			for range *length / 15 {
				for range 15 {
					h.step()
				}
				h.target.FailUpdates(nil)
				h.settle()
				h.regroup()
				got, err := c.Check(t.Context(), view.CheckRequest{})
				if err != nil {
					t.Fatal(err)
				}
				if len(got.Differences) > 0 {
					t.Fatalf("%d frames:\n%s", got.Frames, differences(got))
				}
				frames, states = frames+got.Frames, states+1
			}
		})
	}
	t.Logf("%d frames in %d states", frames, states)
	if states > 0 && frames < 50*states {
		t.Errorf("%d frames in %d states", frames, states)
	}
}
