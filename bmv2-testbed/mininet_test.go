package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// needPython skips a test if a module of Debian is not there.
func needPython(t *testing.T, modules ...string) {
	t.Helper()
	if err := needsPython(t.Context(), modules...); err != nil {
		t.Skipf("SKIP: %v", err)
	}
}

// mininet is the Mininet program in a namespace of its own, so that its devices
// and ports are nobody else's.
type mininet struct {
	*exec.Cmd
	space  *Namespace
	folder string // of the run
}

func newMininet(t *testing.T, args ...string) *mininet {
	t.Helper()
	needPython(t, "mininet.net", "grpc", "google.protobuf")
	l := needLab(t)
	m := &mininet{space: must(l.Namespace("mn"))(t), folder: filepath.Join(l.Dir, "mininet")}
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	t.Cleanup(cancel)
	args = append([]string{debianPython, "-B", "mininet", "--dir", m.folder, "--binary", must(builtBinary())(t)}, args...)
	m.Cmd = m.space.Command(ctx, args...)
	m.Cancel = func() error { return m.Process.Signal(syscall.SIGTERM) }
	m.WaitDelay = 3 * grace // to take everything away
	return m
}

// startWithOutput starts it and gives all that it says: Mininet uses both outputs.
func (m *mininet) startWithOutput(t *testing.T) io.Reader {
	t.Helper()
	read, write, err := os.Pipe()
	check(t, err)
	t.Cleanup(func() { _ = read.Close() })
	m.Stdout, m.Stderr = write, write
	check(t, m.Start())
	check(t, write.Close())
	return read
}

// nothingLeft checks that the run's folder, processes and devices are gone.
func (m *mininet) nothingLeft(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(m.folder); !os.IsNotExist(err) {
		t.Errorf("%s is left (%v)", m.folder, err)
	}
	found, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range found {
		if line, err := os.ReadFile(file); err == nil && bytes.Contains(line, []byte(m.folder)) {
			t.Errorf("a process is left: %s", bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
	links := must(m.space.link.LinkList())(t)
	for _, l := range links {
		if strings.Contains(l.Attrs().Name, "-eth") {
			t.Errorf("device %s is left", l.Attrs().Name)
		}
	}
}

func TestMininetChecksPass(t *testing.T) {
	for _, target := range []string{Embedded, BMv2} {
		t.Run(target, func(t *testing.T) {
			needDemo(t, target)
			m := newMininet(t, "--test", "--switch", target)
			out, err := m.CombinedOutput()
			t.Logf("%s", out)
			check(t, err)
			if last, want := lastLine(out), "mininet: 17 of 17 checks passed"; last != want {
				t.Errorf("the last line is %q, want %q", last, want)
			}
			m.nothingLeft(t)
		})
	}
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

func TestMininetPromptRunsCommandsOfItsNodes(t *testing.T) {
	needDemo(t, Embedded)
	m := newMininet(t, "--network", "bridged")
	in, out := must(m.StdinPipe())(t), m.startWithOutput(t)
	const prompt = "mininet> "
	for _, c := range []struct{ command, want string }{
		{"", "Try:"},
		{"gw1 p4evpn show bridges\n", "blue"},
		{"h1 ping -c 1 h3\n", "1 received"},
	} {
		must(io.WriteString(in, c.command))(t)
		if text := readUntil(out, prompt); !strings.Contains(text, c.want) {
			t.Errorf("no %q after %q in:\n%s", c.want, c.command, text)
		}
	}
	check(t, m.Process.Signal(syscall.SIGTERM))
	_, _ = io.Copy(io.Discard, out)
	if err := m.Wait(); err == nil {
		t.Error("exit status 0 after SIGTERM, want another")
	}
	m.nothingLeft(t)
}

func TestMininetLeavesNothingBehindAfterCtrlC(t *testing.T) {
	needDemo(t, Embedded)
	for _, c := range []struct {
		name, until, arg string
	}{
		{"while hosts and cables are made", "(h1, s1)", "--verbose"},
		{"while daemons are started", "Starting 3 switches", "--verbose"},
		{"in the middle of the checks", "ok    h1 and h2", "--test"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMininet(t, c.arg, "--network", "bridged")
			read := m.startWithOutput(t)
			text := readUntil(read, c.until)
			check(t, m.Process.Signal(os.Interrupt))
			rest, _ := io.ReadAll(read)
			if err := m.Wait(); err == nil {
				t.Errorf("exit status 0, want another; it said:\n%s%s", text, rest)
			}
			if strings.Contains(string(rest), "Traceback") {
				t.Errorf("it said:\n%s%s", text, rest)
			}
			m.nothingLeft(t)
		})
	}
}

func TestMininetSaysWhatIsWrong(t *testing.T) {
	needPython(t, "mininet.net")
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	for _, c := range []struct {
		name, want string
		args       []string
		attributes *syscall.SysProcAttr
		path       string // "": as it is
	}{
		{"without root", "run it as root", nil, nobody, ""},
		{"without the binary", "`make build` makes", []string{"--binary", "/nowhere/p4evpn"}, nil, ""},
		{"without Mininet", "apt-get install --no-install-recommends mininet", nil, nil, "/nowhere"},
		{"a switch that does not exist", "invalid choice: 'tofino'", []string{"--switch", "tofino"}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.attributes == nil && os.Geteuid() != 0 {
				t.Skip("needs root")
			}
			folder := filepath.Join(t.TempDir(), "run")
			cmd := exec.CommandContext(t.Context(), debianPython,
				append([]string{"-B", "mininet", "--dir", folder}, c.args...)...)
			if cmd.SysProcAttr = c.attributes; c.attributes != nil {
				cmd.Dir = readableByAll(t, "mininet")
			}
			if c.path != "" {
				cmd.Env = append(os.Environ(), "PATH="+c.path)
			}
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) || strings.Contains(string(out), "Traceback") {
				t.Errorf("it ended with %v and said %q, want %q", err, out, c.want)
			}
			if _, err := os.Stat(folder); !os.IsNotExist(err) {
				t.Errorf("it made its folder (%v)", err)
			}
		})
	}
}

// readableByAll copies a folder to where another user finds it: a checkout may
// stand in root's home. It gives the folder that the copy is in.
func readableByAll(t *testing.T, folder string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "p4evpn-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := errors.Join(os.Chmod(dir, 0o755), os.CopyFS(filepath.Join(dir, folder), os.DirFS(folder))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMininetRefusesASecondRunInOneFolder(t *testing.T) {
	needDemo(t, Embedded)
	m := newMininet(t, "--network", "bridged")
	check(t, os.Mkdir(m.folder, 0o755))
	lock := must(os.Create(filepath.Join(m.folder, "lock")))(t)
	check(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	out, err := m.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another run uses") {
		t.Errorf("it ended with %v and said %q", err, out)
	}
}

func TestMininetCodeCompilesAndItsUnitTestsPass(t *testing.T) {
	needPython(t, "mininet.net")
	files, err := filepath.Glob("mininet/*.py")
	check(t, err)
	for _, file := range files {
		program := fmt.Sprintf("compile(open(%q).read(), %[1]q, 'exec')", file)
		if out, err := exec.CommandContext(t.Context(), debianPython, "-W", "error", "-c",
			program).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", file, err, out)
		}
	}
	space := must(needLab(t).Namespace("mn"))(t) // the ports of the tests are nobody else's
	out, err := space.Output(t.Context(), debianPython, "-B", "-m", "unittest", "discover", "-s", "mininet", "-p",
		"*_test.py")
	if err != nil || !strings.Contains(out, "\nOK") {
		t.Errorf("%v: %s", err, out)
	}
}
