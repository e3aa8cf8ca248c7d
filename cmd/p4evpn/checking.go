package main

import (
	"context"
	"log/slog"
	"slices"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/check"
	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/controller"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/p4"
)

// checkConfig has what is asked for come from where it was said: the objects from the store,
// the routes from BGP, the settings from the file. Of the controller it takes what that alone
// knows, and what the target acknowledged.
func checkConfig(f *config.File, g *gateway) check.Config {
	settings := checkSettings(controllerConfig(f))
	return check.Config{
		Program: &p4v1.ForwardingPipelineConfig{P4Info: p4.P4Info(), P4DeviceConfig: p4.DeviceConfig()},
		Read:    g.client.Read,
		Snapshot: func(ctx context.Context) (s check.Snapshot, err error) {
			version := g.store.Version()
			s.Settings = settings
			err = g.store.View(func(tx *intent.Tx) error {
				s.TakeObjects(tx)
				return nil
			})
			if err != nil {
				return s, err
			}
			err = g.loop.Inspect(ctx, func(i controller.Inspection) {
				if s.Known = i.Known(); s.Known.Busy == "" {
					s.Acknowledged = slices.Collect(i.Entries())
				}
			})
			if err != nil {
				return s, err
			}
			if s.Known.Version != version || g.store.Version() != version {
				s.Known.Busy = "objects are on their way"
			}
			s.TakeRoutes(g.speaker.Paths())
			return s, nil
		},
		Why: func(ctx context.Context, entries []p4.Entry) (why []string, err error) {
			err = g.loop.Inspect(ctx, func(i controller.Inspection) {
				for _, e := range entries {
					why = append(why, i.Why(e))
				}
			})
			return why, err
		},
	}
}

// checkSettings are what the check is told of the controller's configuration.
func checkSettings(c controller.Config) check.Settings {
	s := check.Settings{VTEPs: c.VTEPs, AcceptUnknownVTEPs: c.AcceptUnknownVTEPs, AnswersVXLAN: map[string]bool{},
		OtherSubnets: map[string]bool{}, StaticRoutes: map[string][]check.StaticRoute{}}
	for _, p := range c.Ports {
		t := check.TargetPort{Name: p.Name, Number: p.Number, HostPort: p.HostPort, HostDevice: p.HostDevice, MAC: p.MAC,
			TrustAll: p.Trust == controller.Trusted, TrustNone: p.Trust == controller.Untrusted,
			StackedTags: p.StackedTags, SourceGuard: p.SourceGuard, Carries: p.Everywhere}
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

// watching checks again and again, unless the configuration has it off. Only the embedded
// switch is read for that: another target may forward nothing meanwhile.
func watching(f *config.File, g *gateway) *check.Watch {
	if f.Check.CPUPercent == 0 {
		return nil
	}
	return check.NewWatch(checkConfig(f, g), check.WatchConfig{
		Share: f.Check.CPUPercent / 100, Read: f.Target.Embedded, Logger: slog.Default(),
	})
}
