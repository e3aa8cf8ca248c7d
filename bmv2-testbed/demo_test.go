package testbed

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/p4evpn/p4evpn/internal/netnstest"
)

// builtBinary is p4evpn as it is in the tree, builtDemo what shows it; they are
// built once for all tests, into one folder.
var (
	builtBinary = sync.OnceValues(func() (string, error) { return build("p4evpn") })
	builtDemo   = sync.OnceValues(func() (string, error) { return build("p4evpn-demo") })
)

func build(name string) (string, error) {
	path := filepath.Join(binaryFolder, name)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", path, "./cmd/"+name)
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "CGO_ENABLED=0") // as packaging/build.sh
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("go build ./cmd/%s: %w\n%s", name, err, out)
	}
	return path, err
}

// demoCommand runs p4evpn-demo, which finds p4evpn beside itself.
func demoCommand(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	must(builtBinary())(t)
	return exec.CommandContext(ctx, must(builtDemo())(t), args...)
}

var binaryFolder string

func TestMain(m *testing.M) {
	netnstest.Alone()
	manyAtOnce()
	var err error
	if binaryFolder, err = os.MkdirTemp("", "p4evpn-test-"); err != nil {
		panic(err)
	}
	status := m.Run()
	if err := closeShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	_ = os.RemoveAll(binaryFolder)
	os.Exit(status)
}

// manyAtOnce lets four of the tests that say t.Parallel run at once, unless -parallel says
// something: what they do is mostly to wait. What is lost, and how long something takes, is
// measured by the others.
func manyAtOnce() {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
	if !asked {
		_ = flag.Set("test.parallel", "4") // it is a number
	}
}

func needDemo(t *testing.T, target string) {
	t.Helper()
	if testing.Short() {
		t.Skip("the demo takes half a minute")
	}
	if err := needs(target); err != nil {
		t.Skip(err)
	}
}

// testWriter narrates into the test's log.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(b), "\n"))
	return len(b), nil
}

func TestDemoPassesOnTheEmbeddedSwitch(t *testing.T) { runDemo(t, Embedded) }

func TestDemoPassesOnBMv2(t *testing.T) { runDemo(t, BMv2) }

func runDemo(t *testing.T, target string) {
	needDemo(t, target)
	var out bytes.Buffer
	err := RunDemo(t.Context(), DemoOptions{Target: target, Binary: must(builtBinary())(t),
		Out: io.MultiWriter(&out, testWriter{t})})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last, want := lines[len(lines)-1], "demo: 23 of 23 checks passed"; last != want {
		t.Errorf("the last line is %q, want %q", last, want)
	}
	nothingLeft(t, os.Getpid())
}

// nothingLeft checks that no namespace and no folder of a process's labs is
// there.
func nothingLeft(t *testing.T, pid int) {
	t.Helper()
	for _, folder := range []string{netnsFolder, os.TempDir()} {
		entries, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		for _, e := range entries {
			if m := labName.FindStringSubmatch(e.Name()); m != nil && m[1] == strconv.Itoa(pid) {
				t.Errorf("%s is left", filepath.Join(folder, e.Name()))
			}
		}
	}
}

func TestInterruptedDemoLeavesNothingBehind(t *testing.T) {
	needDemo(t, Embedded)
	for _, c := range []struct {
		name, until string
		signal      os.Signal
		args        []string
	}{
		{"Ctrl-C while the network is being built", "Building", os.Interrupt, nil},
		{"Ctrl-C in the middle of a check", "ok    4/", os.Interrupt, nil},
		{"SIGTERM", "ok    1/", syscall.SIGTERM, nil},
		// Check 18 of all.
		{"SIGTERM while tenants are routed", "ok    1/", syscall.SIGTERM, []string{"--only", "IRB"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
			defer cancel()
			cmd := demoCommand(ctx, t, c.args...)
			out, err := cmd.StdoutPipe()
			check(t, err)
			check(t, cmd.Start())
			text := readUntil(out, c.until)
			check(t, cmd.Process.Signal(c.signal))
			rest, _ := io.ReadAll(out)
			text += string(rest)
			if err := cmd.Wait(); err == nil {
				t.Error("exit status 0, want another: not all checks were run")
			}
			if !strings.Contains(text, " checks passed\n") {
				t.Errorf("no last line in:\n%s", text)
			}
			nothingLeft(t, cmd.Process.Pid)
		})
	}
}

// readUntil reads until the text holds a part, or to its end.
func readUntil(r io.Reader, part string) string {
	var b strings.Builder
	buffer := make([]byte, 1)
	for !strings.Contains(b.String(), part) {
		if _, err := r.Read(buffer); err != nil {
			break
		}
		b.Write(buffer)
	}
	return b.String()
}
