package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
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
		slog.Warn("telling systemd", "error", err)
	}
}

// tellState says that we are ready once the API answers and it is known how the
// target is, and then how it is whenever that changes. A gateway without its target
// is ready too: it takes objects, and what starts after it must not wait for ever.
func (g *gateway) tellState(ctx context.Context, target string) {
	notify("", "waiting for the P4 target at "+target)
	select {
	case <-g.api.Ready():
	case <-ctx.Done():
		return
	}
	for state := daemon.SdNotifyReady; ; state = "" {
		select {
		case reason := <-g.loop.Reports():
			if ctx.Err() != nil {
				return // whatever fails as we end is no news
			}
			words := "the P4 target is in hand"
			if reason != "" {
				words = "without the P4 target at " + target + ": " + reason
			}
			notify(state, words)
		case <-ctx.Done():
			return
		}
	}
}

// tellSwitchState says that the switch is ready once it serves P4Runtime, and from
// then on which of its ports are refused.
func tellSwitchState(ctx context.Context, s *softswitch.Switch) {
	select {
	case <-s.Ready():
	case <-ctx.Done():
		return
	}
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
			return
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

// withoutSystemd is an environment for a process that is none of the unit's own
// concern: what it said, and its end, would be taken for ours.
func withoutSystemd(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES":
			return true
		}
		return false
	})
}
