// Command bench measures the figures that the project promises and prints them
// as one table, each also as a line "bench: NAME VALUE UNIT".
//
// A figure is a function in the list of figures.go. A ratio is measured in one
// run, both sides one after the other. A figure that is bad is no failure; one
// that could not be measured is, unless it needs something that this machine
// does not have, which is said as SKIP. Traffic stays on the loopback and in
// namespaces that the run makes and removes, also after Ctrl-C.
//
// Where simple_switch_grpc is on PATH, BMv2 is measured beside the embedded
// switch; the variable P4EVPN_BMV2 names another build of it, which for a fair
// comparison is one that is optimised and has its logging macros off.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"
)

// figureTimeout bounds one function of the list; no figure needs half of it
// on a machine that is not busy, even with -full.
const figureTimeout = 20 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == forwardCommand {
		return forward(ctx, args[1:])
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	pattern := flags.String("run", ".", "measure the figures whose name matches this regular `expression`")
	profiles := flags.String("profile", "", "write a CPU profile of each measurement to this `folder`")
	full := flags.Bool("full", false, "measure packets with every size, number of flows and number of entries")
	if err := flags.Parse(args); err != nil {
		return err
	}
	names, err := regexp.Compile(*pattern)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	chosen := choose(figures, names)
	if len(chosen) == 0 {
		return fmt.Errorf("no figure's name matches %q; there are %s", *pattern, strings.Join(allNames(figures), ", "))
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	b, err := newBench()
	if err != nil {
		return err
	}
	defer b.close()
	b.profiles, b.full, b.wanted = *profiles, *full, names.MatchString
	r := &report{out: out}
	for _, f := range chosen {
		if ctx.Err() != nil {
			break
		}
		fmt.Fprintln(os.Stderr, "measuring", f.title())
		r.measure(ctx, b, f)
	}
	r.table()
	if ctx.Err() != nil {
		return fmt.Errorf("stopped before the end: %w", context.Cause(ctx))
	}
	return r.failed()
}

// bench is what the figures of one run share.
type bench struct {
	dir      string // temporary: binaries and logs
	profiles string // folder of CPU profiles, empty for none
	full     bool   // every cell of packets
	wanted   func(name string) bool
	binary   string // path of p4evpn once it is built
	large    string // the same with room for a million routes
}

func newBench() (*bench, error) {
	dir, err := os.MkdirTemp("", "p4evpn-bench-")
	if err != nil {
		return nil, err
	}
	return &bench{dir: dir}, nil
}

func (b *bench) close() { _ = os.RemoveAll(b.dir) }

// profile starts a CPU profile of this process and gives what ends it.
func (b *bench) profile(name string) func() {
	if b.profiles == "" {
		return func() {}
	}
	err := os.MkdirAll(b.profiles, 0o755)
	var file *os.File
	if err == nil {
		file, err = os.Create(filepath.Join(b.profiles, name+".pprof"))
	}
	if err == nil {
		err = pprof.StartCPUProfile(file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: no CPU profile:", err)
		return func() {}
	}
	return func() {
		pprof.StopCPUProfile()
		_ = file.Close()
	}
}
