package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/p4evpn/p4evpn/softswitch"
)

// notify tells systemd, where it started us, how we are (sd_notify(3)): a state of
// ours, "" for the same as before, and words for people, of one line.
func notify(state, words string) {
	if words != "" {
		// A line of its own would be another message.
		state = strings.TrimPrefix(state+"\nSTATUS="+strings.Join(strings.Fields(words), " "), "\n")
	}
	if _, err := daemon.SdNotify(false, state); err != nil {
		slog.Warn("telling systemd", "err", err)
	}
}

// tellTarget is called once all that runs is ready. It says so as soon as it is known
// how the target is, and then how that is whenever it changes. A gateway without its
// target is ready too: it takes objects, and what starts after it must not wait for
// ever.
func (g *gateway) tellTarget(ctx context.Context) error {
	for state := daemon.SdNotifyReady; ; state = "" {
		select {
		case reason := <-g.loop.Reports():
			if ctx.Err() != nil {
				return ctx.Err() // whatever fails as we end is no news
			}
			words := "the P4 target is in hand"
			if reason != "" {
				words = "without the P4 target at " + g.target + ": " + reason
			}
			notify(state, words)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tellPorts is called once the switch serves P4Runtime. It says so, and from then on
// which of its ports are refused.
func tellPorts(ctx context.Context, s *softswitch.Switch) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	said := ""
	for state := daemon.SdNotifyReady; ; state = "" {
		if words := switchState(s.Stats().Ports); words != said || state != "" {
			notify(state, words)
			said = words
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func switchState(ports []softswitch.PortStats) string {
	var refused []string
	for _, p := range ports {
		if p.Refused != "" {
			refused = append(refused, p.Interface+": "+p.Refused)
		}
	}
	if len(refused) == 0 {
		return "serving P4Runtime"
	}
	return fmt.Sprintf("%d of %d ports refused: %s", len(refused), len(ports), strings.Join(refused, "; "))
}
