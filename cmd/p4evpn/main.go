// Command p4evpn is an EVPN gateway for a P4 target: the controller, the embedded
// switch and the commands that look into a running gateway. It holds commands and
// wiring only; what it wires is in the packages it imports.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRoot().ExecuteContext(ctx); err != nil {
		if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
			fmt.Fprintln(os.Stderr, "p4evpn:", err)
		}
		stop()
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	var level string
	root := &cobra.Command{
		Use:           "p4evpn",
		Short:         "EVPN gateway for P4 targets",
		Long:          "p4evpn turns EVPN routes and the objects of the OPI EVPN GW API into P4Runtime entries.",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return setLogger(level)
		},
	}
	root.PersistentFlags().StringVar(&level, "log-level", "info",
		"what is logged to standard error: debug, info, warn or error")
	_ = root.RegisterFlagCompletionFunc("log-level", choices("debug", "info", "warn", "error"))
	root.AddCommand(newRun(), newSwitch(), newLiveness(), newClaim(), newShow(), newClear(), newAudit(), newTrace(),
		newCheck(), newWhy(), newEvents(), newToken())
	root.AddCommand(newObjects()...)
	root.AddCommand(movedDemo(), newMan())
	return root
}

// movedDemo says where the demo is to those who look for it where it was.
func movedDemo() *cobra.Command {
	return &cobra.Command{
		Use: "demo", Hidden: true, DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("the demo is a program of its own, bin/p4evpn-demo of a source tree: make demo")
		},
	}
}

// release and commit are what packages set by the linker's -X.
var release, commit string

// version is the release's or the module's, or says from which commit this was built.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// revision is the commit that this was built from, as far as that is known.
func revision() string {
	if commit != "" {
		return commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}

// choices completes a flag or argument that takes one of a few words.
func choices(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

func setLogger(level string) error {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return fmt.Errorf("--log-level %q: want debug, info, warn or error", level)
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l})))
	return nil
}
