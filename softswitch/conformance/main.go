package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/p4evpn/p4evpn/softswitch/bmv2"
	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

func main() {
	run := flag.String("run", "", "run only the programs whose path matches this regular expression")
	reference := flag.Bool("bmv2", true, "run simple_switch too, if it is on PATH")
	random := flag.Int("random", 0,
		"send so many random frames more through each program and BMv2, and tell of differences")
	jobs := flag.Int("jobs", runtime.NumCPU(), "programs at a time")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: conformance [flags] P4C-SOURCE-TREE")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := conformance(ctx, flag.Arg(0), options{*run, *reference, *random, *jobs}); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

type options struct {
	run       string
	reference bool
	random    int
	jobs      int
}

// program to test: p4 with the STF file beside it.
type test struct {
	name, p4, stf string
	p414          bool
}

// result of one test; skipped says why there is none.
type result struct {
	name       string
	skipped    error
	ours, bmv2 error        // nil where the STF file's expectations hold
	reference  bool         // bmv2 was there
	random     error        // random frames that are answered differently
	crashed    []bmv2.Frame // those that crashed BMv2
	differ     error        // outputs that differ where the file leaves them open
}

func conformance(ctx context.Context, tree string, o options) error {
	if _, err := exec.LookPath("p4c-bm2-ss"); err != nil {
		return fmt.Errorf("the programs must be compiled: %w", err)
	}
	_, err := exec.LookPath("simple_switch")
	if o.reference && err != nil {
		fmt.Println("simple_switch is not on PATH: the expectations of the STF files alone decide")
		o.reference = false
	}
	only, err := regexp.Compile(o.run)
	if err != nil {
		return err
	}
	tests, err := find(tree, only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	results := make([]result, len(tests))
	slots := make(chan struct{}, max(1, o.jobs))
	var running sync.WaitGroup
	for i := range tests {
		running.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if ctx.Err() == nil {
				results[i] = tests[i].run(ctx, tree, dir, o)
			}
		})
	}
	running.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	return report(results)
}

// find lists the v1model programs with an STF file.
func find(tree string, only *regexp.Regexp) ([]test, error) {
	var out []test
	for _, pattern := range []string{"p4_16_samples/*-bmv2.stf", "p4_14_samples/*.stf"} {
		files, err := filepath.Glob(filepath.Join(tree, "testdata", pattern))
		if err != nil {
			return nil, err
		}
		for _, stf := range files {
			base := strings.TrimSuffix(stf, ".stf")
			name := filepath.Base(filepath.Dir(stf)) + "/" + filepath.Base(base)
			t := test{name: name, p4: base + ".p4", stf: stf, p414: strings.HasPrefix(pattern, "p4_14")}
			_, err := os.Stat(t.p4)
			other := strings.HasPrefix(filepath.Base(base), "psa-") || strings.HasPrefix(filepath.Base(base), "pna-")
			if err == nil && !other && only.MatchString(name) { // empty.stf is nobody's
				out = append(out, t)
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no program with an STF file in %s/testdata: is it a p4c source tree?", tree)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].name < out[j].name })
	return out, nil
}

func (t *test) run(ctx context.Context, tree, dir string, o options) result {
	r := result{name: t.name, reference: o.reference}
	text, err := os.ReadFile(t.stf)
	if err != nil {
		r.skipped = err
		return r
	}
	s, err := parseSTF(string(text))
	if err != nil {
		r.skipped = err
		return r
	}
	path := filepath.Join(dir, strings.ReplaceAll(t.name, "/", "-")+".json")
	json, names, err := t.compile(ctx, tree, path)
	if err != nil {
		r.skipped = err
		return r
	}
	own, err := runOurs(json, names, s, false)
	got := own.out
	r.ours = errors.Join(err, s.check(got))
	if accounted, _ := runOurs(json, names, s, true); !maps.EqualFunc(got, accounted.out, slices.Equal) {
		r.ours = errors.Join(r.ours, fmt.Errorf("with an account of each frame it sends %v", accounted.out))
	}
	if !o.reference {
		return r
	}
	if o.random > 0 {
		r.crashed, r.random = compareRandom(ctx, json, path, names, s, o.random)
	}
	want, err := runBMv2(ctx, path, names, s, own.sent)
	r.bmv2 = errors.Join(err, s.check(want))
	for _, port := range s.ports {
		if a, b := strings.Join(got[port], " "), strings.Join(want[port], " "); a != b {
			r.differ = fmt.Errorf("port %d: ours %s; BMv2 %s", port, a, b)
		}
	}
	return r
}

func (t *test) compile(ctx context.Context, tree, path string) ([]byte, *program, error) {
	args := []string{"--arch", "v1model", "-o", path, "-I", filepath.Dir(t.p4)}
	if t.p414 {
		args = append(args, "--std", "p4-14")
	}
	cmd := exec.CommandContext(ctx, "p4c-bm2-ss", append(args, t.p4)...)
	cmd.Dir = tree
	if out, err := cmd.CombinedOutput(); err != nil {
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "error") {
				return nil, nil, fmt.Errorf("p4c: %s", strings.TrimSpace(line))
			}
		}
		return nil, nil, fmt.Errorf("p4c: %w", err)
	}
	json, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	spec, err := bmv2json.Parse(json)
	if err != nil {
		return nil, nil, err
	}
	return json, newProgram(spec), nil
}

// report prints what is not as BMv2 and the last line; the error says that
// BMv2 passes something that we do not.
func report(results []result) error {
	same, worse, crashes := 0, 0, 0
	var rest []string
	for _, r := range results {
		crashes += len(r.crashed)
		for _, f := range r.crashed {
			rest = append(rest, fmt.Sprintf("%s: BMv2 crashed at port %d: %x", r.name, f.Port, f.Data))
		}
		if r.random != nil {
			rest = append(rest, fmt.Sprintf("%s: %v", r.name, r.random))
		}
		switch {
		case r.skipped != nil:
			rest = append(rest, fmt.Sprintf("%s: not run: %v", r.name, r.skipped))
			continue
		case r.ours != nil && (!r.reference || r.bmv2 == nil):
			worse++
			rest = append(rest, fmt.Sprintf("%s: FAIL: %v", r.name, r.ours))
		case r.reference && r.bmv2 != nil && r.ours == nil:
			rest = append(rest, fmt.Sprintf("%s: passes; BMv2 does not: %v", r.name, r.bmv2))
		case r.differ != nil:
			same++
			rest = append(rest, fmt.Sprintf("%s: as BMv2, but differs in what the test leaves open: %v", r.name, r.differ))
		case r.ours != nil:
			same++
			rest = append(rest, fmt.Sprintf("%s: as BMv2, which fails too: %v", r.name, r.ours))
		default:
			same++
		}
	}
	for _, line := range rest {
		fmt.Println(line)
	}
	fmt.Printf("conformance: %d of %d as BMv2\n", same, len(results))
	if crashes > 0 {
		fmt.Printf("conformance: %d random frames crashed BMv2\n", crashes)
	}
	if worse > 0 {
		return fmt.Errorf("%d programs fail that must pass", worse)
	}
	return nil
}
